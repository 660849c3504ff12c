"""What a fit is doubted for: each doubt where it is due, and not where it is not."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulate import TRUTH, grid_runs

import scaling_laws as sl
from scaling_laws.fitting.held_out import HeldOut, predict_held_out


def codes(result):
    return {n.code for n in result.notes}


def note(result, code):
    return next(n for n in result.notes if n.code == code)


def fit(table, law="chinchilla", **options):
    return sl.fit(table, law, **{"draws": 0, **options})


def lone_large_run(off=1.0, seed=0):
    """A grid of small runs, and one run far beyond them."""
    table = grid_runs(6, 6, seed=seed)
    table = table[table.params * table.tokens < 3e18].reset_index(drop=True)
    large = {"params": 1e10, "tokens": 2e11, "loss": off * TRUTH(params=1e10, tokens=2e11)}
    return pd.concat([table, pd.DataFrame([large], index=["large"])])


def curve(span=(1e6, 1e9), floor=2.0, noise=0.002, rows=12, seed=0):
    tokens = np.geomspace(*span, rows)
    rng = np.random.default_rng(seed)
    loss = (floor + 90 * tokens**-0.3) * np.exp(noise * rng.standard_normal(rows))
    return pd.DataFrame({"tokens": tokens, "loss": loss})


class TestInfluence:
    def test_a_run_that_carries_the_prediction_is_named(self):
        found = sl.diagnose(fit(lone_large_run(1.05), robust=None))
        told = note(found, "influential_run")
        assert told.severity == "warning"
        assert told.details["rows"][0] == "large"
        assert abs(found.influence.prediction.iloc[0]) > 2
        assert found.influence.index[0] == "large"

    def test_a_full_grid_rests_on_no_run(self):
        for seed in range(5):
            assert "influential_run" not in codes(sl.diagnose(fit(grid_runs(6, 6, seed=seed))))

    def test_moves_are_those_of_fits_without_the_run(self):
        table = grid_runs(5, 5, noise=0.01)
        whole = fit(table, robust=None)
        found = sl.diagnose(whole)
        moves = {}
        for i in table.index:
            without = fit(table.drop(index=i), robust=None)
            moves[str(i)] = without.coef["alpha"] - whole.coef["alpha"]
        moved = pd.Series(moves)
        others = (moved**2).sum() - moved**2
        expected = moved / np.sqrt(others * 24 / 25)
        shown = found.influence["alpha"].loc[expected.index]
        np.testing.assert_allclose(shown, expected, rtol=1e-3, atol=1e-5)

    def test_rows_of_one_run_leave_together(self):
        table = pd.concat([grid_runs(5, 5, seed=s).assign(run=range(25)) for s in range(3)])
        found = sl.diagnose(fit(table))
        assert found.influence.rows.tolist() == [3] * 25

    def test_beyond_many_runs_the_rest_move_by_a_step(self, monkeypatch):
        exact = sl.diagnose(fit(grid_runs(7, 7))).influence.sort_index()
        monkeypatch.setattr("scaling_laws.fitting.diagnostics._MOST_REFITS", 5)
        rough = sl.diagnose(fit(grid_runs(7, 7))).influence.sort_index()
        assert np.corrcoef(exact.prediction, rough.prediction)[0, 1] > 0.98

    def test_exact_data_rest_on_nothing(self):
        found = sl.diagnose(fit(grid_runs(noise=0.0)))
        assert (found.influence.drop(columns="rows") == 0).all(axis=None)
        assert (found.residuals.standardised == 0).all()

    def test_the_place_can_be_chosen(self):
        found = sl.diagnose(fit(grid_runs()), at={"params": 1e12, "tokens": 1e13})
        assert found.place == {"params": 1e12, "tokens": 1e13}
        with pytest.raises(sl.DataError, match="missing"):
            sl.diagnose(fit(grid_runs()), at={"params": 1e12})
        with pytest.raises(sl.DataError, match="single place"):
            sl.diagnose(fit(grid_runs()), at={"params": [1e12, 1e13], "tokens": 1e12})

    def test_shown(self):
        found = sl.diagnose(fit(lone_large_run(1.05), robust=None))
        assert "! influential_run" in str(found)
        assert repr(found) == str(found)
        assert "influential_run" in found._repr_html_()

    def test_a_fit_saved_without_rows_cannot_be_diagnosed(self, tmp_path):
        fit(grid_runs()).save(tmp_path / "fit.json", rows=False)
        with pytest.raises(sl.DataError, match="diagnose needs the rows"):
            sl.diagnose(sl.load(tmp_path / "fit.json"))


class TestGroups:
    @pytest.fixture(scope="class")
    @staticmethod
    def grouped():
        table = pd.concat(
            [grid_runs(5, 5, seed=s).assign(corpus=g) for s, g in enumerate("ab")],
            ignore_index=True,
        )
        return fit(table, group="corpus", shared=("alpha", "beta"))

    def test_groups_are_refitted_together(self, grouped, tmp_path):
        found = sl.diagnose(grouped, at={"corpus": "b", "params": 1e11, "tokens": 1e12})
        assert len(found.influence) == 50
        assert {"alpha", "A[a]", "A[b]"} <= set(found.influence.columns)
        assert set(found.residuals.corpus) == {"a", "b"}
        own = found.influence[["A[a]", "A[b]"]].abs().max()
        assert (own > 0).all()  # a run of a moves b through what they share
        grouped.save(tmp_path / "g.json")
        again = sl.diagnose(sl.load(tmp_path / "g.json"), at=found.place)
        pd.testing.assert_frame_equal(again.influence, found.influence)
        assert sl.diagnose(grouped).place["corpus"] in ("a", "b")

    def test_one_of_them_alone_is_refused(self, grouped):
        with pytest.raises(sl.DataError, match="shares coefficients with others"):
            sl.diagnose(grouped["a"])
        with pytest.raises(sl.DataError, match=r"must name a group of 'corpus', got 'c'"):
            sl.diagnose(grouped, at={"corpus": "c", "params": 1e11, "tokens": 1e12})
        table = pd.concat([grid_runs(5, 5, seed=s).assign(corpus=s) for s in (1, 2)])
        apart = fit(table, group="corpus")
        with pytest.raises(sl.DataError, match=r"one at a time, sl.diagnose\(grouped\[1\]\)"):
            sl.diagnose(apart)
        assert len(sl.diagnose(apart[2]).influence) == 25

    def test_groups_measured_at_different_scales_are_told_apart(self, grouped):
        small = grid_runs(5, 5)
        large = small.assign(tokens=small.tokens * 1e6)
        large["loss"] = TRUTH(params=large.params, tokens=large.tokens)
        table = pd.concat([small.assign(corpus="small"), large.assign(corpus="large")])
        apart = fit(table, group="corpus", shared=("alpha",))
        assert note(apart["large"], "groups_apart").details["inputs"] == ["tokens"]
        assert "groups_apart" not in codes(grouped)


class TestResiduals:
    def test_a_run_far_from_the_curve_is_named(self):
        table = grid_runs()
        table.loc[20, "loss"] *= 1.08
        robust, squares = fit(table), fit(table, robust=None)
        assert note(robust, "outlying_runs").details["rows"] == ["20"]
        assert robust.trusted
        assert not squares.trusted
        worst = sl.diagnose(robust).residuals.iloc[0]
        assert worst.name == 20
        assert worst.standardised < -10
        assert worst.predicted < worst.loss

    @pytest.mark.parametrize("noise", [0.005, 0.0])
    @pytest.mark.parametrize("off", [0.3, 2.0, 1e6])
    def test_a_wild_run_is_a_warning(self, off, noise):
        """The robust loss spares the curve, but the run noise is that of a broken row."""
        table = grid_runs(noise=noise)
        table.loc[20, "loss"] *= off
        found = fit(table)
        told = note(found, "outlying_runs")
        assert told.severity == "warning"
        assert told.details["rows"] == ["20"]
        assert told.details["inflation"] > 10
        assert "drop them" in told.message
        assert not found.trusted
        assert fit(table.drop(index=20)).trusted

    def test_a_wild_run_among_groups_is_a_warning(self):
        table = pd.concat(
            [grid_runs(5, 5, seed=s).assign(corpus=g) for s, g in enumerate("ab")],
            ignore_index=True,
        )
        table.loc[30, "loss"] *= 3
        for shared in ((), ("alpha",)):
            found = fit(table, group="corpus", shared=shared)
            assert not found.trusted
            assert note(found["b"], "outlying_runs").details["rows"] == ["30"]

    def test_an_outlier_among_many_runs_hardly_moves_the_noise_and_is_no_warning(self):
        table = grid_runs(20, 20)
        table.loc[20, "loss"] *= 1.08
        told = note(fit(table), "outlying_runs")
        assert (told.severity, told.details["rows"]) == ("info", ["20"])
        assert 1 < told.details["inflation"] < 2

    def test_normal_noise_has_no_outliers(self):
        found = [codes(fit(grid_runs(seed=seed))) for seed in range(40)]
        assert sum("outlying_runs" in c for c in found) <= 2

    def test_leverages_add_up_to_the_coefficients(self):
        found = sl.diagnose(fit(grid_runs()))
        assert found.residuals.leverage.sum() == pytest.approx(5)


class TestIdentification:
    def test_an_exponent_from_a_short_range_is_weak(self):
        short = fit(curve((1e6, 2e6), noise=0.01), "power_with_floor", inputs=("tokens",))
        found = codes(short) & {"weakly_identified", "coefficient_at_bound"}
        assert found
        wide = fit(curve(), "power_with_floor", inputs=("tokens",))
        assert "weakly_identified" not in codes(wide)

    def test_weak_exponents_are_listed_with_their_error(self):
        table = grid_runs(6, 6, noise=0.02)
        table = table[table.tokens < 2e9]
        told = note(fit(table, fixed={"E": 1.8, "B": 2.0}), "weakly_identified")
        assert told.details["relative_stderr"]["beta"] > 0.5
        assert told.severity == "info"

    def test_draws_on_a_bound_count(self):
        table = grid_runs(noise=0.01)
        tight = fit(table, draws=100, bounds={"alpha": (0.0, fit(table).coef["alpha"] + 0.002)})
        assert note(tight, "weakly_identified").details["draws_at_bound"]["alpha"] > 0.1
        assert "weakly_identified" not in codes(fit(table, draws=100))

    def test_a_floor_far_below_the_runs_is_not_identified(self):
        far = fit(curve((1e3, 1e5), floor=0.1, noise=0.02), "power_with_floor",
                  inputs=("tokens",), draws=200)  # fmt: skip
        assert "floor_not_identified" in codes(far)
        near = fit(curve(), "power_with_floor", inputs=("tokens",), draws=200)
        assert "floor_not_identified" not in codes(near)
        held = fit(curve((1e3, 1e5), floor=0.1, noise=0.02), "power_with_floor",
                   inputs=("tokens",), draws=200, fixed={"E": 0.1})  # fmt: skip
        assert "floor_not_identified" not in codes(held)

    def test_a_ceiling_counts_as_a_limit(self):
        samples = np.geomspace(100, 3000, 12)
        rng = np.random.default_rng(0)
        table = pd.DataFrame(
            {
                "samples": samples,
                "accuracy": 0.97 - 2.0 * samples**-0.3 + 0.01 * rng.normal(size=12),
            }
        )
        short = fit(table, "power_with_floor", inputs=("samples",), target="accuracy", draws=200)
        assert "floor_not_identified" in codes(short)


def test_r_squared_of_held_out_runs_is_scikit_learns_and_may_be_negative():
    metrics = pytest.importorskip("sklearn.metrics")
    runs = sl.load_dataset("tiny_lm")
    small = runs.flops <= runs.flops.max() / 10
    found = predict_held_out(fit(runs[small], draws=0), runs[~small])
    assert found.r_squared == pytest.approx(
        metrics.r2_score(found.table.actual, found.table.predicted), rel=1e-12
    )
    worse = HeldOut(found.table.assign(predicted=found.table.actual.max() + 1.0), 0.9)
    assert worse.r_squared < 0
    assert math.isnan(HeldOut(found.table.head(1), 0.9).r_squared)


def test_r_squared_says_nothing_of_what_lies_ahead():
    """A law without a floor explains the runs of one that has, and is far off beyond them."""
    wrong = fit(curve((1e6, 3e7), noise=0.0), "power", inputs=("tokens",), draws=0)
    assert min(sl.diagnose(wrong).r_squared.values()) > 0.98
    ahead = 1e13
    assert wrong.law(tokens=ahead) < 0.95 * (2.0 + 90 * ahead**-0.3)


def test_every_code_is_explained():
    """The table of doubts names every code that the package can give, and no other."""
    root = Path(__file__).resolve().parents[1]
    page = (root / "docs" / "doubts.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    given = {"target_below_floor", "target_above_ceiling"}  # named apart from their Note
    for path in (root / "scaling_laws").rglob("*.py"):
        given |= set(re.findall(r'\bNote\(\s*"(\w+)"', path.read_text(encoding="utf-8")))
    assert listed == given
