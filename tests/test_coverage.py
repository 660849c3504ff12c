"""Intervals hold what they promise, in worlds whose truth is known; wrong methods fail the same.

`benchmarks/coverage/simulate.py` runs the same worlds a thousand at a time.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from scipy.stats import t as student
from simulate import grid_runs, runs_of

import scaling_laws as sl
from scaling_laws.inference import resample
from scaling_laws.inference.noise import run_noise
from scaling_laws.inference.variance import Components, components

WORLDS, CONTROLS = 60, 30
ALARM = 1e-3  # chance that a sound method fails a test here

_SCRIPT = Path(__file__).parents[1] / "benchmarks" / "coverage" / "simulate.py"
_SPEC = importlib.util.spec_from_file_location("coverage_simulate", _SCRIPT)
simulate = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(simulate)

NINE = {"design": "9", "seeds": 1, "noise": 0.003}
CELLS = [
    NINE,
    {"design": "9", "seeds": 3, "noise": 0.003},
    {"design": "16", "seeds": 1, "noise": 0.003},
    {"design": "30", "seeds": 3, "noise": 0.003},
    {"design": "checkpoints", "seeds": 1, "noise": 0.004},
]
TRAP = CELLS[-1]


def too_few(coverage, promised, worlds=WORLDS):
    """Whether so low a coverage would be bad luck at the promised one."""
    return binom.cdf(round(coverage * worlds), worlds, promised) < ALARM


@pytest.mark.parametrize("cell", CELLS, ids=lambda c: f"{c['design']}x{c['seeds']}")
def test_the_truth_lies_inside_as_often_as_promised(cell):
    """And a new run is never surer than the curve."""
    rows = simulate.simulate(cell, WORLDS, draws=300)
    found = {(r["kind"], r["level"]): r for r in rows}
    for (kind, level), row in found.items():
        assert not too_few(row["coverage"], level), (kind, level, row["coverage"])
        assert row["coverage"] < 1.0 or level > 0.9  # nor by being far too wide
        assert found["run", level]["width"] >= found["mean", level]["width"]


def control(cell, change=lambda table: table):
    """Coverage of nominal 95 % intervals of the curve by a wrong method."""
    held = []
    for number in range(CONTROLS):
        table, _, where, _ = simulate.make_world(cell, number)
        fit = sl.fit(change(table), "chinchilla", draws=300, seed=number, law_error=False)
        band = fit.predict(**where, level=0.95, kind="mean")
        true = float(simulate.TRUTH(**where))
        held.append(float(band.loss_low.iloc[0]) <= true <= float(band.loss_high.iloc[0]))
    return float(np.mean(held))


class TestNegativeControls:
    def test_checkpoints_taken_for_runs_fail(self):
        """The trap: rows of a run share its noise (row bootstraps cover 42 %)."""
        assert too_few(control(TRAP, lambda t: t.drop(columns="run")), 0.95, CONTROLS)

    def test_uncounted_degrees_of_freedom_fail(self, monkeypatch):
        def uncounted(self, ranks):
            size = np.sqrt(self.within / (self.within_dof + 5))
            return np.zeros(len(ranks)), np.full(len(ranks), size)

        monkeypatch.setattr(Components, "draw", uncounted)
        assert too_few(control(NINE), 0.95, CONTROLS)


class TestTails:
    def test_draws_of_a_straight_line_are_students(self):
        """Four runs for two coefficients: quantiles of t with two degrees of freedom."""
        table = runs_of("power", noise=0.01, rows=4, seed=2)
        fit = sl.fit(table, "power", robust=None, draws=20_000, law_error=False)
        z = np.log(table.flops)
        design = np.stack([np.ones(4), -z], axis=1)
        sigma2 = float(np.sum(fit.residuals**2)) / 2
        stderr = np.sqrt(sigma2 * np.linalg.inv(design.T @ design)[1, 1])
        ends = (fit.interval(0.9).loc["alpha"] - fit.coef["alpha"]) / stderr
        np.testing.assert_allclose(ends, student.ppf([0.05, 0.95], 2), rtol=0.05)
        assert fit.stderr["alpha"] == pytest.approx(stderr, rel=1e-4)
        assert fit.noise == pytest.approx(np.sqrt(sigma2), rel=1e-6)

    def test_noise_of_a_run_has_the_same_tails(self):
        table = runs_of("power", noise=0.01, rows=6, seed=1)
        fit = sl.fit(table, "power", robust=None, draws=20_000, law_error=False)
        ends = np.quantile(fit.predictive.z_run, [0.025, 0.975])
        np.testing.assert_allclose(ends, student.ppf([0.025, 0.975], 4), rtol=0.06)


class TestComponents:
    def test_shared_and_single_noise_are_told_apart(self):
        rng = np.random.default_rng(0)
        groups = np.repeat(np.arange(60, dtype=np.uint64), 5)
        residuals = np.repeat(0.4 * rng.standard_normal(60), 5) + 0.1 * rng.standard_normal(300)
        shared, single = components(residuals, np.ones((300, 1)), groups).estimate
        assert shared == pytest.approx(0.4, rel=0.25)
        assert single == pytest.approx(0.1, rel=0.15)

    def test_one_kind_of_noise_is_the_residual_one(self):
        rng = np.random.default_rng(1)
        design = np.stack([np.ones(40), rng.standard_normal(40)], axis=1)
        y = rng.standard_normal(40)
        left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        found = components(left, design, np.arange(40, dtype=np.uint64))
        assert found.estimate[1] == pytest.approx(run_noise(left, np.ones(40), 2), rel=1e-12)

    def test_uneven_weights_leave_fewer_degrees_of_freedom_and_no_bias(self):
        rng = np.random.default_rng(3)
        z = np.linspace(-1, 1, 30)
        weights = np.exp(3 * z)
        weights /= weights.mean()
        root, groups = np.sqrt(weights), np.arange(30, dtype=np.uint64)
        design = root[:, None] * np.stack([np.ones(30), z, z**2], axis=1)
        squares = []
        for _ in range(2000):
            y = root * rng.standard_normal(30)
            left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
            found = components(left, design, groups, weights=weights)
            squares.append(found.estimate[1] ** 2)
        assert np.mean(squares) == pytest.approx(1.0, abs=0.05)
        assert found.dof == pytest.approx(2 / np.var(squares), rel=0.15)
        assert found.dof < 20  # of 27

    def test_draws_of_the_noise_hold_the_truth(self):
        """Ninety per cent of the middle of the draws, in worlds of eight runs of four rows."""
        rng, held = np.random.default_rng(2), []
        groups = np.repeat(np.arange(8, dtype=np.uint64), 4)
        ranks = rng.uniform(size=(400, 2))
        for _ in range(200):
            noise = np.repeat(0.3 * rng.standard_normal(8), 4) + 0.1 * rng.standard_normal(32)
            drawn = np.hypot(*components(noise, np.ones((32, 1)), groups).draw(ranks))
            low, high = np.quantile(drawn, [0.05, 0.95])
            held.append(low <= np.hypot(0.3, 0.1) <= high)
        assert binom.cdf(sum(held), 200, 0.9) > ALARM
        assert binom.sf(sum(held), 200, 0.97) > ALARM


class TestNoise:
    @pytest.mark.parametrize(("covariate", "slope"), [("compute", -0.2), ("excess", 1.0)])
    def test_noise_that_changes_is_followed(self, covariate, slope, tmp_path):
        table = grid_runs(noise=0.0)
        floor = sl.published.BESIROGLU_2024.coef["E"]
        log = np.log(table.params * table.tokens if covariate == "compute" else table.loss - floor)
        size = 0.004 * np.exp(slope * (log - log.mean()))
        table["loss"] *= np.exp(size * np.random.default_rng(0).standard_normal(len(table)))
        fit = sl.fit(table, "chinchilla", draws=200)
        assert fit.predictive.trend.covariate == covariate
        ends = [int(np.argmin(log)), int(np.argmax(log))]
        at = fit.predictive.noise_at([table[n].to_numpy()[ends] for n in ("params", "tokens")])
        np.testing.assert_allclose(np.log(at), np.log(size[ends]), atol=0.8)
        band = fit.predict(table.iloc[ends], parts=("run",))
        width = np.log(band.loss_high / band.loss_low).to_numpy()
        np.testing.assert_allclose(width[0] / width[1], at[0] / at[1], rtol=1e-6)
        fit.save(tmp_path / "fit.json")
        assert sl.load(tmp_path / "fit.json").predictive.trend == fit.predictive.trend

    def test_steady_noise_stays_steady(self):
        found = [
            sl.fit(grid_runs(noise=0.004, seed=s), "chinchilla", draws=0).predictive.trend
            for s in range(20)
        ]
        assert sum(t is not None for t in found) <= 2  # 0.01 each

    def test_replicates_tell_noise_from_misfit(self):
        """A law that misses structure: a run's noise is what replicates say, not the misfit."""
        law = sl.get_law("coupled").with_coef(sl.get_law("coupled").example)
        runs = [grid_runs(4, 4, noise=0.002, seed=k, law=law).assign(seed=k) for k in range(3)]
        table = pd.concat(runs, ignore_index=True)
        fit = sl.fit(table, "product", draws=200)
        assert np.sqrt(np.mean(fit.residuals**2)) > 0.005
        assert fit.noise == pytest.approx(0.002, rel=0.35)

    def test_files_of_the_first_format_are_read(self):
        from scaling_laws.fitting.saved_fits import fit_from_dict

        fit = sl.fit(grid_runs(), "chinchilla", draws=10)
        data = fit.to_dict() | {"format": 1}
        del data["predictive"]["trend"]
        assert fit_from_dict(data).predictive.trend is None


class TestRunsInferred:
    @pytest.fixture
    def table(self):
        sizes = np.repeat(np.geomspace(1e7, 1e9, 6), 5)
        steps = np.tile(np.arange(1, 6), 6)
        tokens = 4 * sizes * steps
        loss = sl.published.BESIROGLU_2024(params=sizes, tokens=tokens)
        noise = np.repeat(0.004 * np.random.default_rng(0).standard_normal(6), 5)
        return pd.DataFrame(
            {"params": sizes, "tokens": tokens, "step": steps, "loss": loss * np.exp(noise)}
        )

    def test_checkpoints_are_one_cluster_and_said_so(self, table):
        fit = sl.fit(table, "chinchilla", draws=0)
        note = next(n for n in fit.notes if n.code == "runs_inferred")
        assert note.details["runs"] == 6 == len(np.unique(fit.runs.clusters))

    def test_seeds_are_runs_of_their_own(self, table):
        both = pd.concat([table.assign(seed=s, loss=table.loss * (1 + s / 1e3)) for s in (0, 1)])
        assert len(np.unique(sl.fit(both, "chinchilla", draws=0).runs.clusters)) == 12

    @pytest.mark.parametrize("change", [{"run": lambda t: t.params}, {"step": 7}])
    def test_named_runs_or_a_constant_step_need_no_inference(self, table, change):
        fit = sl.fit(table.assign(**change), "chinchilla", draws=0)
        assert "runs_inferred" not in {n.code for n in fit.notes}

    def test_replicates_without_steps_are_runs(self, table):
        fit = sl.fit(table.drop(columns="step").assign(seed=0), "chinchilla", draws=0)
        assert len(np.unique(fit.runs.clusters)) == 30


class TestRefits:
    def test_nothing_to_refit(self):
        coef = sl.published.BESIROGLU_2024.coef
        fit = sl.fit(grid_runs(4, 4, noise=0.01), "chinchilla", draws=50, fixed=coef)
        assert (fit.draws == list(coef.values())).all()
        assert fit.noise == pytest.approx(0.01, rel=0.5)

    def test_failed_refits_are_counted(self, monkeypatch):
        original = resample.solve_batch

        def failing(*args, **options):
            solved = original(*args, **options)
            solved.converged[::10] = False
            return solved

        monkeypatch.setattr(resample, "solve_batch", failing)
        fit = sl.fit(grid_runs(), "chinchilla", draws=100)
        note = next(n for n in fit.notes if n.code == "failed_refits")
        assert note.details["failed"] >= 10

    @pytest.mark.parametrize("cell", [NINE, CELLS[3], TRAP], ids=["few", "many", "clusters"])
    def test_draws_do_not_depend_on_workers_chunks_or_row_order(self, cell):
        """For either kind of draw and for both together."""
        table = simulate.make_world(cell, 0)[0]
        one = sl.fit(table, "chinchilla", draws=120)
        two = sl.fit(table.sample(frac=1, random_state=1), "chinchilla", draws=120, workers=2)
        assert (one.draws == two.draws).all()
        assert (one.predictive.z_run == two.predictive.z_run).all()

    def test_more_draws_begin_with_the_same_ones(self):
        table = simulate.make_world(CELLS[3], 0)[0]
        few, many = (sl.fit(table, "chinchilla", draws=k) for k in (50, 90))
        np.testing.assert_array_equal(few.draws, many.draws[:50])

    @pytest.mark.parametrize("rows", [12, 64])
    def test_fits_that_share_runs_are_paired(self, rows):
        table = grid_runs(4, 4, noise=0.01) if rows == 12 else grid_runs(noise=0.01)
        table["run"] = [f"r{i}" for i in range(len(table))]
        other = table.assign(loss=table.loss * 1.01).iloc[: len(table) - 2]
        a, b = (sl.fit(t, "chinchilla", draws=300).draws[:, 2] for t in (table, other))
        assert np.corrcoef(a, b)[0, 1] > 0.5


class TestProfile:
    def test_least_squares_of_a_straight_line_is_students_interval(self):
        table = runs_of("power", noise=0.05, rows=15)
        fit = sl.fit(table, "power", robust=None, draws=0)
        design = np.stack([np.ones(15), -np.log(table.flops)], axis=1)
        y = np.log(table.loss)
        solved, rss = np.linalg.lstsq(design, y, rcond=None)[:2]
        stderr = np.sqrt(rss[0] / 13 * np.linalg.inv(design.T @ design)[1, 1])
        exact = solved[1] + np.array([-1, 1]) * student.ppf(0.95, 13) * stderr
        np.testing.assert_allclose(
            fit.interval(0.9, method="profile").loc["alpha"], exact, rtol=1e-3
        )
        curve = fit.profile("alpha", points=7)
        np.testing.assert_allclose(curve.t, (curve.alpha - solved[1]) / stderr, atol=2e-3)

    def test_profiles_and_draws_agree_on_a_curved_law(self):
        table = simulate.make_world({"design": "16", "seeds": 1, "noise": 0.002}, 3)[0]
        fit = sl.fit(table, "chinchilla", draws=2000)
        ratio = np.ptp(fit.interval(method="profile"), axis=1) / np.ptp(fit.interval(), axis=1)
        assert ((ratio > 0.8) & (ratio < 1.25)).all()

    def test_constraints(self):
        table = grid_runs(4, 4, noise=0.003)
        fit = sl.fit(table, "chinchilla", draws=0, fixed={"E": 1.8172}, ties={"beta": "alpha"})
        bands = fit.interval(method="profile")
        assert bands.loc["E"].tolist() == [1.8172, 1.8172]
        assert bands.loc["alpha"].tolist() == bands.loc["beta"].tolist()
        with pytest.raises(sl.DataError, match="fixed or tied"):
            fit.profile("beta")

    def test_refusals(self):
        fit = sl.fit(grid_runs(4, 4), "chinchilla", draws=0)
        with pytest.raises(sl.DataError, match="Did you mean 'alpha'"):
            fit.profile("alhpa")
        with pytest.raises(sl.DataError, match="'draws' or 'profile'"):
            fit.interval(method="emcee")
        held = sl.fit(grid_runs(4, 4), "chinchilla", draws=0, priors={"E": (1.8, 0.1)})
        with pytest.raises(sl.DataError, match="do not know priors"):
            held.profile("alpha")
