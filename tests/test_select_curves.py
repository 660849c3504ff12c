"""Selection in one input, over other inputs, and by group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import scaling_laws as sl
from scaling_laws.errors import DataError
from scaling_laws.fitting.candidates import default_candidates
from scaling_laws.inference.calibration import Calibration, bundled_calibration

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def curve(seed=0, points=14, noise=0.01, floor=0.1) -> pd.DataFrame:
    samples = np.geomspace(100, 1e4, points)
    z = np.random.default_rng(seed).standard_normal(points)
    return pd.DataFrame(
        {"samples": samples, "error": (floor + 3 * samples**-0.5) * np.exp(noise * z)}
    )


class TestOneInput:
    def test_a_curve_with_a_trend_is_followed(self):
        found = sl.select(curve(), target="error", draws=50)
        ahead = found.predict(samples=1e5)
        assert ahead.error[0] == pytest.approx(0.1 + 3 * 1e5**-0.5, rel=0.1)
        assert ahead.error_low[0] < ahead.error[0] < ahead.error_high[0]

    def test_where_a_curve_has_stopped_falling_the_last_value_wins_and_says_so(self):
        table = curve(noise=0.0, floor=0.0)
        table["error"] = np.maximum(table.error, 0.12) * np.tile([1.0, 1.001], 7)
        found = sl.select(
            table, ["constant", "power"], target="error", draws=0,
            calibration=Calibration(prior_cuts=0.0),
        )  # fmt: skip
        assert found.table.law[0] == "constant"
        assert "last_value_wins" in [n.code for n in found.notes]

    def test_no_law_is_the_value_at_the_largest_scale(self):
        table = curve()
        found = sl.select(table, ["constant"], target="error", draws=20)
        assert found.predict(samples=1e6).error[0] == pytest.approx(table.error.iloc[-1])
        assert [n.code for n in found.notes if n.code == "last_value_wins"]
        assert found.best.law(samples=1e6) == pytest.approx(table.error.iloc[-1], rel=1e-3)

    def test_errors_have_log_residuals_and_accuracies_logit(self):
        table = curve()
        falling = sl.select(table, ["power_with_floor"], target="error", draws=0)
        rising = sl.select(
            table.assign(accuracy=1 - table.error), ["power_with_floor"], target="accuracy",
            inputs=("samples",), draws=0,
        )  # fmt: skip
        assert falling.selector.residual == "log"
        assert rising.predictive.residual == "logit"

    @pytest.mark.skipif(not DATA.exists(), reason="needs the open data beside the repository")
    def test_held_out_anchors_of_open_curves(self):
        table = pd.read_csv(DATA / "lcdb_curves.csv").sort_values("train_size")
        keys = list(table.groupby(["openml_id", "learner"]).groups)[::12]
        ours, last = [], []
        for openml_id, learner in keys:
            rows = table[(table.openml_id == openml_id) & (table.learner == learner)]
            tidy = rows[["train_size", "error_mean"]].set_axis(["samples", "error"], axis=1)
            if (tidy.error <= 0).any():
                continue
            train, test = tidy[: int(0.6 * len(tidy))], tidy[int(0.6 * len(tidy)) :]
            ahead = sl.select(train, target="error", draws=0).predict(test)
            ours.append(np.abs(np.log(ahead.error / test.error)).mean())
            last.append(np.abs(np.log(train.error.iloc[-1] / test.error)).mean())
        assert np.mean(ours) < np.mean(last)


def timed(seed, rows=16, noise=0.03):
    """Seconds of an overhead and a power, on samples where half of the runs are overhead."""
    samples = np.geomspace(1e2, 1e6, rows)
    noisy = np.exp(noise * np.random.default_rng(seed).standard_normal(rows))
    return pd.DataFrame({"samples": samples, "seconds": seconds_of(samples) * noisy})


def seconds_of(samples):
    return 2.0 + 3e-5 * samples**1.1


class TestCosts:
    """A cost grows from an overhead: known truth, and the laws that have none as the control."""

    def test_overhead_and_growth_are_found(self):
        exact = sl.fit(timed(0, noise=0.0), "product_with_overhead", target="seconds", draws=0)
        assert exact.coef == pytest.approx({"c": 2.0, "K": 3e-5, "growth_samples": 1.1}, rel=1e-6)
        inside = []
        for seed in range(20):
            fit = sl.fit(timed(seed), "product_with_overhead", target="seconds", draws=200)
            assert fit.trusted
            ends = fit.interval(0.9)
            truth = pd.Series({"c": 2.0, "K": 3e-5, "growth_samples": 1.1})
            inside.append(((ends.low < truth) & (truth < ends.high)).mean())
        assert 0.75 < np.mean(inside) <= 1.0

    def test_ten_times_the_samples_are_foretold_and_not_by_a_power(self):
        truth = seconds_of(1e7)
        ours, power = [], []
        for seed in range(4):
            table = timed(seed)
            chosen = sl.select(table, inputs=("samples",), target="seconds", draws=100)
            assert next(iter(chosen.weights)) == "product_with_overhead"
            ahead = chosen.predict(samples=1e7)
            assert ahead.seconds_low[0] < truth < ahead.seconds_high[0]
            ours.append(abs(np.log(ahead.seconds[0] / truth)))
            alone = sl.fit(table, "power", inputs=("samples",), target="seconds", draws=0)
            power.append(abs(np.log(alone.law(samples=1e7) / truth)))
        assert max(ours) < 0.1 < 1.0 < min(power)

    @pytest.mark.parametrize("target", ["seconds", "latency"])
    def test_a_cost_that_does_not_grow_is_foretold_as_closely_as_one_that_does(self, target):
        samples = np.geomspace(1e2, 1e5, 14)
        for seed in (0, 1, 5, 10, 16):  # at the last three, noise passes for a steep growth
            noisy = np.exp(0.02 * np.random.default_rng(seed).standard_normal(14))
            for truth, ahead in ((np.full(14, 5.0), 5.0), (0.02 * samples**0.6, 0.02 * 1e6**0.6)):
                table = {"samples": samples, target: truth * noisy}
                chosen = sl.select(table, target=target, draws=50)
                told = chosen.predict(samples=1e6).iloc[0]
                low, high = told[f"{target}_low"], told[f"{target}_high"]
                assert low < ahead < high < 2 * low
                assert told[target] == pytest.approx(ahead, rel=0.1)
                assert (chosen.weights.get("constant", 0.0) > 0.03) == (truth[0] == truth[-1])

    def test_what_tells_nothing_a_decade_beyond_is_left_out_of_costs_alone(self):
        samples = np.geomspace(1e2, 1e5, 14)
        noisy = 5.0 * np.exp(0.02 * np.random.default_rng(5).standard_normal(14))
        table = sl.select({"samples": samples, "seconds": noisy}, target="seconds", draws=0).table
        lost = table[table.excluded != ""]
        assert set(lost.law) == {"product_with_overhead"}
        assert (lost.weight == 0).all()
        assert lost.excluded.str.contains("do not tell the target 10 times beyond").all()
        laws = ["power", "product_with_overhead"]
        table = sl.select({"samples": samples, "loss": noisy}, laws, draws=0).table
        assert (table.excluded == "").all()

    def test_without_overhead_the_constant_is_at_its_bound(self):
        table = timed(0).assign(seconds=lambda t: 1e-3 * t.samples)
        fit = sl.fit(table, "product_with_overhead", target="seconds", draws=0)
        assert fit.at_bound == ("c",)
        assert fit.coef["growth_samples"] == pytest.approx(1.0, abs=1e-6)


class TestOtherInputs:
    def test_laws_of_the_subject_compete_with_general_ones(self):
        names = [f.name for f in default_candidates(("params", "experts"), "loss")]
        assert names[:2] == ["experts_product", "routed"]
        assert {"additive_power", "product_with_floor", "translog"} < set(names)

    @pytest.mark.parametrize("target", ["seconds", "fit_seconds", "latency", "peak_memory"])
    def test_what_runs_cost_has_candidates_that_grow(self, target):
        named = [[f.name for f in default_candidates(n, target)] for n in (["samples"], ["N", "D"])]
        assert named[0] == ["constant", "power", "product_with_overhead"]
        assert named[1] == ["product", "product_with_overhead", "translog"]
        assert not set(named[0][2:]) & {f.name for f in default_candidates(["samples"], "loss")}

    def test_any_inputs_have_candidates(self):
        names = [f.name for f in default_candidates(("width", "depth", "tokens"), "loss")]
        assert names == ["additive_power", "product_with_floor", "translog"]

    def test_weights_do_not_depend_on_the_unit_of_a_negative_target(self):
        n, d = (a.ravel() for a in np.meshgrid(np.geomspace(1e6, 1e8, 6), [1.0, 2.0, 4.0, 8.0]))
        z = np.random.default_rng(0).standard_normal(len(n))
        gain = -5 + 20 * n**-0.2 * d**-0.1 + 0.005 * z
        weights = [
            sl.select(
                {"width": n, "depth": d, "gain": k * gain},
                ["additive_power", "product_with_floor"],
                target="gain", inputs=("width", "depth"), draws=0,
            ).weights
            for k in (1.0, 1000.0)
        ]  # fmt: skip
        assert weights[0] == pytest.approx(weights[1], abs=0.02)


@pytest.fixture(scope="module")
def corpora():
    tables = [curve(seed=i, points=12, floor=0.05 * (i + 1)).assign(corpus=f"c{i}") for i in (0, 1)]
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def grouped(corpora):
    return sl.select(corpora, target="error", inputs=("samples",), group="corpus", draws=40)


class TestGroups:
    def test_every_row_is_predicted_by_its_own_group(self, corpora, grouped):
        ahead = grouped.predict(corpus=["c1", "c0"], samples=1e5)
        assert ahead.corpus.tolist() == ["c1", "c0"]
        own = grouped["c1"].predict(samples=1e5)
        assert ahead.error[0] == own.error[0]
        assert grouped.groups == ("c0", "c1")
        assert len(grouped) == 2

    def test_scores_are_those_of_all_groups(self, grouped):
        tables = [s.table[s.table.excluded == ""] for s in grouped.selections]
        first, second = (t.set_index(["law", "focus"]).weight for t in tables)
        assert np.allclose(first, second[first.index])

    def test_an_unknown_group_is_named(self, grouped):
        with pytest.raises(DataError, match="no group 'c9'"):
            grouped.predict(corpus="c9", samples=1e5)

    def test_it_prints_one_row_a_group(self, grouped):
        assert "2 selections by corpus" in str(grouped)
        assert grouped.weights.sum(axis=1).to_numpy() == pytest.approx(1.0)

    def test_a_group_without_candidates_is_named(self, corpora):
        few = corpora[(corpora.corpus == "c0") | (corpora.samples < 150)]
        with pytest.raises(sl.FitError, match="'c1' of 'corpus'"):
            sl.select(few, ["shifted_power"], target="error", inputs=("samples",), group="corpus")


def test_bundled_constants_know_one_input_and_others():
    constants = bundled_calibration()
    assert constants.score("one input", "constant, focus inf") != 0
    assert constants.rate("one input") > constants.rate("tokens")


class TestBoundedTargets:
    """Curves that pass the bound of a score have no logit there."""

    def scores(self, ceiling=0.97, noise=0.05):
        rng = np.random.default_rng(5)
        samples = np.repeat([50, 90, 160, 280], 8)
        share = ceiling - 1.2 * samples**-0.6
        logit = np.log(share / (1 - share)) + rng.normal(0, noise, len(samples))
        return pd.DataFrame({"samples": samples, "accuracy": 1 / (1 + np.exp(-logit))})

    def test_a_curve_that_passes_the_bound_is_left_out_and_says_why(self):
        found = sl.select(self.scores(), target="accuracy", inputs=("samples",), draws=100)
        assert "power" not in found.weights
        why = found.table.set_index("law").excluded["power"]
        assert "leaves the range of the target" in why

    def test_the_interval_ahead_holds_the_truth_and_is_of_use(self):
        found = sl.select(self.scores(), target="accuracy", inputs=("samples",), draws=100)
        ahead = found.predict(samples=[1_000, 10_000], kind="mean")
        truth = 0.97 - 1.2 * ahead.samples**-0.6
        assert ((ahead.accuracy_low < truth) & (truth < ahead.accuracy_high)).all()
        assert ahead.accuracy_low.min() > 0.7

    def test_where_every_curve_passes_the_bound_they_are_kept(self):
        found = sl.select(self.scores(), ["power"], target="accuracy", inputs=("samples",), draws=0)
        assert found.weights == {"power": pytest.approx(1.0)}  # several focuses, added up

    def test_a_slow_power_law_that_stays_inside_competes(self):
        table = self.scores()
        table["accuracy"] = 0.2 * (table.samples / 50) ** 0.1
        table["accuracy"] *= np.tile([1.0, 1.001], len(table) // 2)
        found = sl.select(table, target="accuracy", inputs=("samples",), draws=0)
        assert "power" in found.weights

    def test_an_error_rate_is_predicted_inside_its_bounds(self):
        table = pd.DataFrame({"samples": np.repeat([50, 90, 160], 4)})
        noise = np.random.default_rng(0).normal(0, 0.15, len(table))
        table["error"] = np.clip(0.5 * (table.samples / 50) ** -0.1 * np.exp(noise), 0, 0.95)
        found = sl.select(table, target="error", inputs=("samples",), draws=100)
        assert found.predictive.residual == "log"
        ahead = found.predict(samples=[1e-2, 1e5])
        assert ((ahead.error_low >= 0) & (ahead.error_high <= 1)).all()
        _, high = found.predict_interval({"samples": [1e-2, 1e5]})
        np.testing.assert_array_equal(high, ahead.error_high)
        assert ahead.error_high.max() == 1.0
