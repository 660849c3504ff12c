"""Selection among laws by backtests: weights, predictions, parts of the interval, limits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import scaling_laws as sl
from scaling_laws.errors import DataError, FitError
from scaling_laws.inference.calibration import Calibration, bundled_calibration
from scaling_laws.laws.combined import combine
from scaling_laws.laws.registry import get_law

TRUTH = {"E": 1.7, "A": 400.0, "alpha": 0.34, "B": 1000.0, "beta": 0.33}
FEW = {"focuses": (0.0, 1.0), "draws": 120}


def ladder(seed=0, noise=0.003, sizes=8, spans=7) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n, d = (
        a.ravel()
        for a in np.meshgrid(np.geomspace(1e7, 1e9, sizes), np.geomspace(1e9, 1e11, spans))
    )
    loss = get_law("chinchilla").with_coef(TRUTH)(params=n, tokens=d)
    return pd.DataFrame(
        {"params": n, "tokens": d, "loss": loss * np.exp(noise * rng.standard_normal(len(n)))}
    )


@pytest.fixture(scope="module")
def runs():
    return ladder()


@pytest.fixture(scope="module")
def selection(runs):
    return sl.select(runs, **FEW)


class TestWeights:
    def test_they_sum_to_one_and_every_candidate_is_listed(self, selection):
        assert selection.table.weight.sum() == pytest.approx(1.0)
        assert len(selection.table) == 2 * 2 * 2  # laws, leaning or not, focuses
        assert (np.diff(selection.table.weight) <= 0).all()

    def test_a_wrong_law_loses(self, runs):
        found = sl.select(
            runs, ["chinchilla", "kaplan"], calibration=Calibration(prior_cuts=0.0), **FEW
        )
        assert found.weights["chinchilla"] > 0.9

    def test_what_cannot_be_fitted_is_excluded_with_its_reason(self, runs):
        few = runs.iloc[:: len(runs) // 6].head(6)  # six runs: enough for five coefficients only
        found = sl.select(few, ["chinchilla", "coupled"], focuses=(0.0,), draws=0)
        reasons = found.table.set_index("law").excluded
        assert "6 runs cannot determine 6 coefficients" in reasons["coupled"].iloc[0]
        assert (reasons["chinchilla"] == "").all()

    def test_nothing_left_says_why(self, runs):
        with pytest.raises(FitError, match="none of 1 laws can be fitted"):
            sl.select(runs.head(3), ["chinchilla"])

    def test_a_spent_time_budget_leaves_laws_out(self, runs):
        found = sl.select(runs, time_budget=0.0, **FEW)
        assert found.table.excluded.str.contains("time budget").sum() == 3
        assert found.table.weight.sum() == pytest.approx(1.0)


class TestPredictions:
    def test_truth_of_a_ten_times_larger_run_is_inside(self, selection):
        ahead = selection.predict(params=3e9, tokens=3e11)
        truth = get_law("chinchilla").with_coef(TRUTH)(params=3e9, tokens=3e11)
        assert ahead.loss_low[0] < truth < ahead.loss_high[0]

    def test_a_run_is_never_surer_than_the_mean(self, selection):
        at = {"params": [1e8, 1e9, 1e10], "tokens": [1e10, 1e11, 1e12]}
        run, mean = (selection.predict(**at, kind=k) for k in ("run", "mean"))
        assert (run.loss_high - run.loss_low >= mean.loss_high - mean.loss_low).all()

    def test_parts_add_up_and_the_law_error_grows(self, selection):
        parts = selection.uncertainty(params=[1e9, 1e10, 1e11], tokens=[1e11, 1e12, 1e13])
        names = ["coefficients", "candidates", "law", "run"]
        assert np.allclose(parts.total, np.sqrt((parts[names] ** 2).sum(axis=1)))
        assert parts.law[0] == 0 < parts.law[1] < parts.law[2]

    def test_row_order_and_workers_change_nothing(self, runs, selection):
        shuffled = sl.select(runs.sample(frac=1, random_state=1), workers=2, **FEW)
        at = {"params": 1e10, "tokens": 1e12}
        assert shuffled.predict(**at).equals(selection.predict(**at))

    def test_a_unit_of_the_inputs_changes_nothing(self, runs, selection):
        scaled = sl.select(runs.assign(params=runs.params / 1e6, tokens=runs.tokens / 1e9), **FEW)
        here = selection.predict(params=1e10, tokens=1e12).loss
        there = scaled.predict(params=1e4, tokens=1e3).loss
        assert np.allclose(here, there, rtol=2e-3)

    def test_a_plan_evaluates_the_selection(self, selection):
        plan = sl.Planner(selection).for_budget(flops=1e22)
        at = {n: plan.best[n] for n in ("params", "tokens")}
        assert plan.best["loss"] == pytest.approx(selection.law(**at), rel=1e-9)
        assert plan.low["loss"] < plan.best["loss"] < plan.high["loss"]

    def test_the_best_candidate_can_be_had_alone(self, selection):
        best = selection.best
        assert best.law.family.name == selection.table.law[0]
        assert best.fitter.focus == selection.table.focus[0]


class TestOtherInputs:
    def test_one_input(self):
        samples = np.geomspace(100, 1e5, 20)
        noise = np.exp(0.01 * np.random.default_rng(0).standard_normal(20))
        found = sl.select(
            pd.DataFrame({"samples": samples, "loss": (0.2 + 3 * samples**-0.4) * noise}), draws=50
        )
        assert found.along == "samples"
        assert found.predict(samples=1e6).loss[0] == pytest.approx(0.2 + 3 * 1e6**-0.4, rel=0.05)

    def test_unknown_columns_are_asked_for(self):
        with pytest.raises(DataError, match="inputs="):
            sl.select(
                pd.DataFrame({"width": [1.0, 2.0], "loss": [1.0, 2.0]}).rename(
                    columns={"width": "w"}
                )
            )

    @pytest.mark.parametrize("wrong", [{"along": "depth"}, {"drawz": 3}])
    def test_wrong_options_are_named(self, runs, wrong):
        with pytest.raises(DataError, match=next(iter(wrong))):
            sl.select(runs, **wrong)


class TestGrowth:
    """The work does not outgrow draws and rows, counted in evaluations, not in seconds."""

    @staticmethod
    def evaluations(monkeypatch, runs, draws):
        from scaling_laws.solving.objective import Problem

        seen = []
        plain = Problem.residuals_with_jacobian

        def counted(self, free):
            seen.append(len(free) * len(self.y))
            return plain(self, free)

        with monkeypatch.context() as patch:
            patch.setattr(Problem, "residuals_with_jacobian", counted)
            sl.select(runs, ["chinchilla"], focuses=(0.0, 1.0), draws=draws)
        return sum(seen)

    def test_draws_need_no_further_fits(self, monkeypatch, runs):
        few, many = (self.evaluations(monkeypatch, runs, k) for k in (200, 4000))
        assert many == few

    def test_linear_in_rows(self, monkeypatch):
        small, large = (self.evaluations(monkeypatch, ladder(sizes=s), 100) for s in (8, 32))
        assert large < 6 * small


class TestConstants:
    def test_bundled_table_says_where_it_comes_from(self):
        constants = bundled_calibration()
        assert constants.provenance["splits"] > 100
        assert len(constants.provenance["families"]) >= 10
        assert set(constants.scores) >= {"flops", "params", "tokens"}

    def test_few_runs_lean_on_other_data_sets(self, runs):
        lean = sl.select(
            runs.iloc[::7], ["chinchilla"], focuses=(0.0,), draws=50, bounds={"E": (0, 1.8)}
        )
        assert lean.table.weight.sum() == pytest.approx(1.0)

    def test_combined_laws_must_share_inputs(self):
        with pytest.raises(sl.LawError, match="same inputs"):
            combine([get_law("power"), get_law("chinchilla")])
