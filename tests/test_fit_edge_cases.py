"""Legal but awkward tables and options: nothing is ignored, nothing is silently wrong."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from simulate import grid_runs

import scaling_laws as sl
from scaling_laws.fitting.notes import conditioning_notes
from scaling_laws.inference.variance import leverage

POINT = sl.Fitter(draws=0)


def codes(fit):
    return {n.code for n in fit.notes}


def curve(rows=30, seed=0):
    rng = np.random.default_rng(seed)
    samples = np.geomspace(10, 1e5, rows)
    loss = (0.5 + 20 * (samples + 40) ** -0.5) * np.exp(0.005 * rng.standard_normal(rows))
    return pd.DataFrame({"samples": samples, "loss": loss})


class TestClusters:
    def test_one_run_is_not_certainty(self):
        table = grid_runs(noise=0.01).assign(run="only")
        fit = sl.fit(table, "chinchilla", draws=200)
        assert "one_cluster" in codes(fit)
        ahead = fit.predict(params=1e11, tokens=1e12, kind="mean")
        assert float((ahead.loss_high - ahead.loss_low).iloc[0]) > 1e-3
        assert fit.stderr["E"] > 1e-3

    def test_fewer_runs_than_coefficients_are_doubted(self):
        table = grid_runs(noise=0.01).assign(run=np.arange(64) % 4)
        assert "few_clusters" in codes(sl.fit(table, "chinchilla", draws=20))

    def test_missing_labels_of_any_kind_drop_their_row(self):
        table = grid_runs(noise=0.01)
        table["run"] = pd.array(np.arange(64), dtype="Int64")
        table.loc[3, "run"] = pd.NA
        assert len(POINT.fit(table, "chinchilla").runs) == 63


class TestStatus:
    @pytest.mark.parametrize("odd", [None, np.nan, pd.NA])
    def test_a_missing_status_is_not_a_finished_run(self, odd):
        table = grid_runs().assign(status=["ok"] * 60 + ["failed"] * 3 + [odd])
        fit = POINT.fit(table, "chinchilla")
        assert len(fit.runs) == 60
        assert "unfinished_runs" in codes(fit)

    def test_an_unknown_word_is_kept_and_said(self):
        table = grid_runs().assign(status=["ok"] * 60 + ["failed"] * 3 + ["early-stopped"])
        fit = POINT.fit(table, "chinchilla")
        assert len(fit.runs) == 61
        assert {"status_unknown", "unfinished_runs"} <= codes(fit)

    def test_a_column_of_another_meaning_is_left_alone(self):
        fit = POINT.fit(grid_runs().assign(status=["gold"] * 64), "chinchilla")
        assert len(fit.runs) == 64
        assert "status_unknown" not in codes(fit)


class TestOptions:
    def test_a_partial_start_never_replaces_the_search(self):
        table = curve()
        free = sl.Fitter(draws=0, robust=None).fit(table, "shifted_power", inputs=("samples",))
        for start in ({"alpha": 0.03}, {"shift": 1e4}, {"alpha": 2.9, "shift": 1e-3}):
            started = sl.Fitter(draws=0, robust=None, start=start).fit(
                table, "shifted_power", inputs=("samples",)
            )
            assert started.objective <= free.objective * (1 + 1e-9)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"ties": {"beta": "alpha"}, "bounds": {"beta": (0.1, 0.2)}}, "also fixed or tied"),
            ({"fixed": {"E": 1.7}, "bounds": {"E": (2, 3)}}, "also fixed or tied"),
            ({"fixed": {"E": -5.0}}, "outside what"),
            ({"ties": {"beta": ("alpha", -1.0)}}, "factor > 0"),
            ({"bounds": {"E": (-2, 0)}}, "single value"),
            ({"bounds": {"E": (None, 3)}}, "pair of numbers"),
            ({"priors": {"alpha": 0.3}}, "pair of numbers"),
            ({"fixed": {"E": "x"}}, "must be a number"),
            ({"fixed": {"E": np.nan}}, "must be a number"),
            ({"fixed": None}, "must map coefficients"),
            ({"ties": {"beta": ("alpha",)}}, "a name or"),
            ({"focus": None}, "focus must be"),
        ],
    )
    def test_what_would_be_ignored_or_crash_is_refused(self, options, message):
        with pytest.raises(sl.DataError, match=message):
            sl.fit(grid_runs(), "chinchilla", draws=0, **options)

    def test_ties_across_kinds_are_refused(self):
        with pytest.raises(sl.DataError, match="one kind"):
            sl.fit(curve(), "shifted_power", inputs=("samples",), ties={"A": "shift"})

    def test_a_tie_keeps_both_inside_their_limits(self):
        fit = sl.Fitter(draws=0, ties={"beta": ("alpha", 20.0)}).fit(grid_runs(), "chinchilla")
        assert fit.coef["beta"] <= 3.0

    def test_size_of_weights_does_not_matter_even_with_priors(self):
        table = grid_runs(noise=0.01)
        fitter = sl.Fitter(draws=0, priors={"alpha": (0.6, 0.05)})
        one = fitter.fit(table, "chinchilla", weights=np.full(64, 1e-27)).coef
        assert fitter.fit(table, "chinchilla", weights=np.full(64, 1e9)).coef == pytest.approx(one)

    def test_what_only_the_prior_tells_keeps_its_spread(self):
        table = grid_runs(noise=0.01).assign(tokens=1e10)
        table["loss"] = sl.published.BESIROGLU_2024(params=table.params, tokens=1e10) * np.exp(
            0.01 * np.random.default_rng(0).standard_normal(64)
        )
        priors = {"beta": (0.28, 0.05), "B": (410.0, 50.0)}
        fit = sl.Fitter(draws=200, priors=priors).fit(table, "chinchilla")
        spread = dict(zip(fit.coef, fit.draws.std(axis=0), strict=True))
        assert spread["beta"] == pytest.approx(0.05, rel=0.3)
        assert fit.stderr["beta"] == pytest.approx(0.05, rel=0.3)

    def test_infinite_bounds_survive_the_file(self, tmp_path):
        fit = sl.fit(grid_runs(), "chinchilla", draws=5, bounds={"alpha": (0.1, np.inf)})
        fit.save(tmp_path / "fit.json")
        again = sl.load(tmp_path / "fit.json").fitter
        assert again == fit.fitter
        assert again.fit(grid_runs(), "chinchilla").coef == fit.coef


class TestBoundedPredictions:
    def test_draws_that_leave_the_range_do_not_spoil_the_interval(self):
        table = pd.DataFrame({"samples": np.geomspace(10, 1e4, 20)})
        noise = 0.01 * np.random.default_rng(0).standard_normal(20)
        table["accuracy"] = 0.2 + 0.07 * np.log(table.samples) + noise
        fit = sl.fit(table, "logarithmic", target="accuracy", inputs=("samples",), draws=200)
        ahead = fit.predict(samples=[1e5, 1e8])
        assert np.isfinite(ahead).all(axis=None)
        assert (ahead.filter(like="accuracy") <= 1.0).all(axis=None)


class TestTables:
    def test_one_budget_is_never_cut_in_two(self):
        budgets = np.repeat(np.geomspace(1e18, 1e20, 5), 8)
        params = np.tile(np.geomspace(1e7, 1e9, 8), 5) * np.repeat(np.geomspace(1, 6, 5), 8)
        table = pd.DataFrame({"params": params, "tokens": budgets / (6 * params)})
        table["loss"] = sl.published.BESIROGLU_2024(params=params, tokens=table.tokens)
        back = sl.backtest(table, "chinchilla", along="flops")
        assert set(back.table.n_train) <= {8, 16, 24, 32}
        assert (back.rows.distance > 0.1).all()

    def test_negative_weight_names_its_row(self):
        weights = np.ones(64)
        weights[10] = -1.0
        table = grid_runs()
        table.index = [f"r{i}" for i in range(64)]
        with pytest.raises(sl.DataError, match=r"row r10 has -1\.0"):
            sl.fit(table, "chinchilla", weights=weights)

    @pytest.mark.parametrize("value", [1e308, 1e101, 1e-101, 1e-310, 5e-324])
    @pytest.mark.parametrize("name", ["params", "loss"])
    def test_sizes_that_nothing_measured_has_name_their_row(self, name, value):
        table = grid_runs().set_axis([f"r{i}" for i in range(64)])
        table.loc["r10", name] = value
        with pytest.raises(sl.DataError, match=f"'{name}' is .* in row r10"):
            sl.fit(table, "chinchilla")

    def test_laws_are_fitted_up_to_the_largest_and_smallest_sizes(self):
        for unit in (1e-90, 1e80):
            table = grid_runs()
            table[["params", "tokens"]] *= unit
            fit = sl.fit(table, "chinchilla", draws=0)
            assert fit.coef["alpha"] == pytest.approx(sl.fit(grid_runs(), "chinchilla", draws=0)
                                                      .coef["alpha"], rel=1e-6)  # fmt: skip
            ahead = fit.predict(params=1e12 * unit, tokens=1e14 * unit)
            assert np.isfinite(ahead.loss).all()

    def test_repeated_columns_are_refused(self):
        table = grid_runs().assign(flops=1e20)
        table.columns = ["params", "tokens", "loss", "loss"]
        with pytest.raises(sl.DataError, match="several columns named 'loss'"):
            sl.fit(table, "chinchilla")

    def test_a_training_function_may_change_its_arguments(self, tmp_path):
        def train(options, seed):
            return options.pop("rate") + seed

        grid = [{"options": {"rate": 0.5}, "seed": s} for s in (0, 1)]
        first = sl.sweep(train, grid, log=tmp_path / "runs.jsonl")
        again = sl.sweep(train, grid, log=tmp_path / "runs.jsonl")
        assert first.loss.tolist() == again.loss.tolist() == [0.5, 1.5]
        assert len((tmp_path / "runs.jsonl").read_text().splitlines()) == 2


def test_a_score_under_an_unknown_name_is_told_that_its_law_cannot_grow():
    n = np.geomspace(1e2, 1e5, 12)
    table = {"samples": n, "quality": 0.9 - n**-0.4}
    fit = sl.fit(table, "power_with_floor", target="quality", inputs=("samples",), draws=0)
    note = next(n for n in fit.notes if n.code == "coefficient_at_bound")
    assert "the target grows where this law can only fall" in note.message
    named = sl.fit(table, "power_with_floor", target="accuracy", inputs=("samples",), draws=0,
                   columns={"accuracy": "quality"})  # fmt: skip
    assert named.coef["E"] == pytest.approx(0.9, abs=1e-6)
    assert "coefficient_at_bound" not in {n.code for n in named.notes}


@pytest.mark.parametrize("level", [0.3, 3.0, 300.0])
@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_a_constant_is_met_by_laws_whose_scales_it_sends_beyond_all_floats(level, noise):
    """[(Nc / N)^a + ...]^b is a constant other than 1 only in the limit of an infinite Nc."""
    table = grid_runs()
    table["loss"] = level * np.exp(noise * np.random.default_rng(0).standard_normal(len(table)))
    fit = sl.fit(table, "kaplan", draws=5, law_error=False)
    ahead = fit.predict(params=[1e6, 1e9], tokens=[1e8, 1e12])
    assert np.isfinite(ahead).all(axis=None)
    if noise == 0:  # else the noise's own slopes are rounded, and the note says so
        assert ahead.loss.to_numpy() == pytest.approx(level, rel=0.2)
        assert fit.predictive.mean(fit.runs.x) == pytest.approx(level, rel=0.05)
    assert "coefficients_rounded" in codes(fit)
    assert not fit.trusted


def test_a_coefficient_at_its_bound_has_no_standard_error_where_its_raw_value_is_clipped():
    n = np.geomspace(1e2, 1e5, 20)
    noisy = np.exp(0.01 * np.random.default_rng(1).standard_normal(20))
    fit = sl.fit({"samples": n, "loss": (0.5 + 5 / n) * noisy}, "hill", draws=0)
    assert "scale" in fit.at_bound
    assert np.isnan(fit.stderr["scale"])


def test_coefficients_as_given_are_the_curve_that_was_found():
    table = grid_runs(noise=0.01)
    for law in ("kaplan", "coupled"):
        fit = POINT.fit(table, law)
        gap = np.log(fit.predictive.mean(fit.runs.x)) - np.log(fit.runs.y) - fit.residuals
        assert np.abs(gap).max() < 1e-6
        assert "coefficients_rounded" not in codes(fit)


def test_a_slope_that_is_not_finite_does_not_end_a_fit():
    """At the edge of where a law is defined its Jacobian may be infinite or not a number."""
    jacobian = np.array([[1.0, np.nan, 1.0], [0.0, np.inf, 1.0]])
    solution = SimpleNamespace(
        free=np.ones(2),
        problem=SimpleNamespace(weights=np.ones(3)),
        linearised=(np.zeros(3), jacobian),
    )
    assert conditioning_notes(sl.get_law("power"), solution) == []
    assert np.isfinite(leverage(jacobian.T)).all()
