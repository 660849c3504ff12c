"""Recipes compared: paired differences, chances, multipliers, crossings, pooling, notes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulate import TRUTH, grid_runs

import scaling_laws as sl
from scaling_laws.errors import DataError, PlanError
from scaling_laws.planning.recipes.gap import idea_weights, learned_drift
from scaling_laws.planning.recipes.path import last_change, reached

TOKENS = np.geomspace(1e7, 1e10, 12)


def recipe(**coef):
    """The true law with other coefficients."""
    return TRUTH.family.with_coef({**TRUTH.coef, **coef})


def curve(E=2.0, A=200.0, alpha=0.3, noise=0.0, seed=0, tokens=TOKENS):
    """Runs of one input."""
    rng = np.random.default_rng(seed)
    loss = (E + A * tokens**-alpha) * np.exp(noise * rng.standard_normal(len(tokens)))
    return pd.DataFrame({"tokens": tokens, "loss": loss})


def fitted(**coef):
    return sl.fit(curve(**coef), "power_with_floor", inputs=("tokens",), draws=60)


@pytest.fixture(scope="module")
def pair():
    """Two fits whose noises are independent; the new recipe is better."""
    new = grid_runs(sizes=6, levels=6, seed=1, law=recipe(A=0.8 * TRUTH.coef["A"]))
    old = grid_runs(sizes=6, levels=6, seed=2)
    return {
        n: sl.fit(t, "chinchilla", draws=200, law_error=False)
        for n, t in {"new": new, "old": old}.items()
    }


@pytest.fixture(scope="module")
def both(pair):
    return sl.compare(pair)


# --- differences -----------------------------------------------------------------------------


def test_the_better_recipe_wins_with_an_interval_that_holds_the_truth(both):
    at = {"params": 1e11, "tokens": 2e12}
    row = both.difference(**at).iloc[0]
    truth = recipe(A=0.8 * TRUTH.coef["A"])(**at) - TRUTH(**at)
    assert row.winner == "new"
    assert row.difference_low <= truth <= row.difference_high
    assert row.loss - row.loss_reference == pytest.approx(row.difference)
    assert 0.5 < row.p_better <= 1


@pytest.mark.parametrize("pooling", ["auto", "today", "shared", "random", "apart"])
def test_exchanging_the_recipes_changes_the_sign_only(pair, pooling):
    one = sl.compare(pair, pooling=pooling)
    other = sl.compare(pair, pooling=pooling, reference="new")
    a, b = (c.difference(params=[1e10, 1e12], tokens=[1e11, 1e13]) for c in (one, other))
    np.testing.assert_allclose(a.difference, -b.difference, rtol=1e-9)
    np.testing.assert_allclose(a.p_better, 1 - b.p_better, atol=1e-12)
    assert list(a.winner) == list(b.winner)
    np.testing.assert_allclose(a.difference_low, -b.difference_high, rtol=1e-9)


@given(shift=st.floats(0.5, 2.0), alpha=st.floats(0.2, 0.5), at=st.floats(1e8, 1e12))
@settings(max_examples=8, deadline=None)
def test_differences_and_multipliers_are_antisymmetric(shift, alpha, at):
    pair = {"a": fitted(A=200.0 * shift, alpha=alpha), "b": fitted(alpha=alpha)}
    one, other = (sl.compare(pair, pooling="apart", reference=r) for r in "ba")
    a, b = (c.difference(tokens=at).difference[0] for c in (one, other))
    assert a == pytest.approx(-b, abs=1e-9)
    there = one.multiplier(tokens=at).multiplier[0]
    back = other.multiplier(tokens=at * there).multiplier[0]
    assert there * back == pytest.approx(1.0, rel=1e-3)


def test_a_paired_comparison_is_narrower_than_the_difference_of_independent_intervals():
    """Arms that share runs: three quarters of the runs are the same ones."""
    shared = grid_runs(sizes=6, levels=6, seed=3, noise=0.01)
    new = shared.copy()
    new.loc[::4, "loss"] *= 0.99
    fits = {n: sl.fit(t, "chinchilla", draws=300) for n, t in {"new": new, "old": shared}.items()}
    at = {"params": 1e11, "tokens": 1e12}
    row = sl.compare(fits, pooling="apart", law_error=False).difference(**at).iloc[0]
    paired = row.difference_high - row.difference_low
    bands = [f.predict(**at, kind="mean", parts=["coefficients"]).iloc[0] for f in fits.values()]
    alone = np.sqrt(sum((b.loss_high - b.loss_low) ** 2 for b in bands))
    assert paired < 0.8 * alone
    unpaired = {"new": fits["new"], "old": sl.fit(shared, "chinchilla", draws=300, seed=1)}
    found = sl.compare(unpaired, pooling="apart", law_error=False)
    row = found.difference(**at).iloc[0]
    assert row.difference_high - row.difference_low > 1.2 * paired  # what losing the pairs costs
    assert "unpaired_draws" in [n.code for n in found.notes]


def test_single_runs_have_noises_of_their_own_even_of_the_same_recipe():
    fit = sl.fit(grid_runs(sizes=6, levels=6, noise=0.01), "chinchilla", draws=400)
    same = sl.compare({"a": fit, "b": fit})
    at = {"params": 1e9, "tokens": 1e10}
    mean, run = (same.difference(**at, kind=k).iloc[0] for k in ("mean", "run"))
    assert (mean.difference_low, mean.difference_high) == (0.0, 0.0)
    width = (run.difference_high - run.difference_low) / run.loss
    assert width == pytest.approx(2 * 1.645 * 2**0.5 * fit.noise, rel=0.25)
    assert 0.4 < run.p_better < 0.6


def test_the_error_of_the_laws_is_common_and_cancels(pair):
    """Law error moves both arms alike, so an interval of the difference does not hold it twice."""
    runs = {n: f.runs.to_frame().drop(columns="cluster") for n, f in pair.items()}
    with_error = {n: sl.fit(t, "chinchilla", draws=200) for n, t in runs.items()}
    at = {"params": 1e12, "tokens": 1e14}
    a, b = (sl.compare(f, pooling="apart", law_error=False).difference(**at).iloc[0]
            for f in (pair, with_error))  # fmt: skip
    wide, narrow = b.difference_high - b.difference_low, a.difference_high - a.difference_low
    assert wide == pytest.approx(narrow, rel=0.1)


# --- multiplier and crossing -----------------------------------------------------------------


@given(seed=st.integers(0, 1000), noise=st.floats(0.0, 0.02))
@settings(max_examples=3, deadline=None)
def test_the_same_data_twice_has_multiplier_one(seed, noise):
    runs = curve(noise=noise, seed=seed)
    same = sl.compare({"a": runs, "b": runs}, law="power_with_floor", inputs=("tokens",), draws=40)
    found = same.multiplier(tokens=[1e9, 1e10, 1e12])
    np.testing.assert_allclose(found.multiplier, 1.0, rtol=1e-9)
    assert (found.multiplier_low <= 1 + 1e-9).all()
    assert (found.multiplier_high >= 1 - 1e-9).all()
    assert set(same.table.winner) == {"neither"}
    np.testing.assert_allclose(same.table.p_better, 0.5)


@given(A=st.floats(100.0, 400.0), alpha=st.floats(0.2, 0.5), E=st.floats(0.5, 3.0))
@settings(max_examples=8, deadline=None)
def test_with_a_shared_floor_and_exponent_the_multiplier_is_the_same_at_every_budget(A, alpha, E):
    pair = {"new": fitted(E=E, A=A, alpha=alpha), "old": fitted(E=E, alpha=alpha)}
    at = np.geomspace(1e8, 1e12, 5)
    found = sl.compare(pair, pooling="apart").multiplier(tokens=at)
    identity = (200.0 / A) ** (1 / alpha)
    new, old = (pair[n].law(tokens=at) - E for n in ("new", "old"))
    np.testing.assert_allclose((old / new) ** (1 / alpha), identity, rtol=0.01)
    np.testing.assert_allclose(found.multiplier, identity, rtol=0.02)


def test_the_multiplier_along_compute_compares_each_at_its_own_best_split():
    new = grid_runs(noise=0.0, law=recipe(A=0.7 * TRUTH.coef["A"], B=0.7 * TRUTH.coef["B"]))
    pair = {
        n: sl.fit(t, "chinchilla", draws=0)
        for n, t in {"new": new, "old": grid_runs(noise=0)}.items()
    }
    both = sl.compare(pair, pooling="apart")
    spent = 1e22
    found = both.multiplier(flops=spent).multiplier[0]
    planners = {n: sl.Planner(f) for n, f in pair.items()}
    reach = planners["new"].for_budget(flops=spent).best["loss"]
    needed = planners["old"].for_target(float(reach)).best["flops"]
    assert found == pytest.approx(float(needed) / spent, rel=2e-3)
    held = both.difference(flops=spent, ratio=20)
    assert held.tokens[0] / held.params[0] == pytest.approx(20)


def test_a_reference_that_never_gets_there_has_an_infinite_multiplier():
    pair = {"new": fitted(E=1.5), "old": fitted(E=2.0)}
    found = sl.compare(pair, pooling="apart").multiplier(tokens=1e12)
    assert found.multiplier[0] == np.inf


def test_curves_cross_where_their_laws_are_equal():
    pair = {"steep": fitted(A=800.0, alpha=0.4), "flat": fitted(A=200.0, alpha=0.3)}
    truth = (800.0 / 200.0) ** (1 / 0.1)
    both = sl.compare(pair, pooling="apart")
    row = both.crossing().iloc[0]
    assert truth < both.today  # it lies below the data's end, and the steep one wins beyond
    assert both.difference(tokens=both.today * 10).winner[0] == "steep"
    assert row.better_beyond == "steep"
    late = {"steep": fitted(A=8000.0, alpha=0.4), "flat": fitted(A=800.0, alpha=0.3)}
    row = sl.compare(late, pooling="apart").crossing().iloc[0]
    assert row.crossing == pytest.approx(1e10, rel=0.05)
    assert row.better_beyond == "steep"


def test_curves_that_never_cross_say_so():
    row = sl.compare({"a": fitted(A=100.0), "b": fitted()}, pooling="apart").crossing().iloc[0]
    assert np.isnan(row.crossing)
    assert row.better_beyond == "a"


@given(st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=12))
def test_the_last_change_of_sign_lies_between_values_of_different_sign(gaps):
    log = np.arange(float(len(gaps)))
    at = last_change(log, np.array([gaps]))[0]
    changes = [i for i in range(len(gaps) - 1) if np.sign(gaps[i]) * np.sign(gaps[i + 1]) < 0]
    assert np.isnan(at) == (not changes)
    if changes:
        assert changes[-1] <= at <= changes[-1] + 1


def test_a_curve_that_rises_again_is_read_where_it_first_fell_there():
    log, curve_ = np.arange(4.0), np.array([3.0, 1.0, 2.0, 0.5])
    assert reached(log, curve_, np.array([2.0, 0.75])).tolist() == [0.5, 2.5]
    assert reached(log, curve_, np.array([4.0, 0.1])).tolist() == [-np.inf, np.inf]


# --- how the gap is extrapolated --------------------------------------------------------------


def test_today_keeps_the_measured_gap_at_any_distance(pair):
    stays = sl.compare(pair, pooling="today", law_error=False)
    table = stays.difference(params=[1e10, 1e13], tokens=[1e11, 1e15])
    ratio = np.log(table.loss / table.loss_reference)
    assert ratio[0] == pytest.approx(ratio[1], rel=1e-9)
    new, old = (
        f.runs.to_frame().sort_values(["params", "tokens"], ignore_index=True)
        for f in pair.values()
    )
    measured, compute = np.log(new.loss / old.loss), new.params * new.tokens
    assert ratio[0] == pytest.approx(np.average(measured, weights=compute), abs=1e-3)


def test_sharing_coefficients_narrows_the_interval(pair):
    widths = {}
    for pooling in ("shared", "random", "apart"):
        row = sl.compare(pair, pooling=pooling, law_error=False).difference(
            params=1e12, tokens=1e14
        ).iloc[0]  # fmt: skip
        widths[pooling] = row.difference_high - row.difference_low
    assert widths["shared"] < widths["apart"]
    assert widths["random"] < widths["apart"]


def test_a_backtest_weighs_the_ideas(both):
    assert set(both.weights) == {"today", "shared", "random", "apart"}
    assert sum(both.weights.values()) == pytest.approx(1.0)
    assert {"cut", "distance", "runs", *both.weights} == set(both.backtest.columns)
    assert (both.backtest.distance > 0).all()


def test_ideas_that_missed_earlier_gaps_weigh_less():
    rows = [{"today": 0.01, "shared": 0.001, "distance": 1.0}] * 8
    alone, seen = idea_weights([], ("today", "shared")), idea_weights(rows, ("today", "shared"))
    assert seen["shared"] > alone["shared"]
    assert learned_drift(rows, {"today": 0.0, "shared": 1.0}, 0.0) < 0.008
    assert learned_drift([], {"today": 1.0}, 0.0) == pytest.approx(0.008)


def test_more_than_two_recipes_are_compared_with_one():
    runs = {n: curve(A=a) for n, a in {"a": 100.0, "b": 150.0, "c": 200.0}.items()}
    found = sl.compare(
        runs, law="power_with_floor", inputs=("tokens",), draws=40, reference="b",
        at={"tokens": [1e10, 1e11]},
    )  # fmt: skip
    assert list(found.table.recipe) == ["a", "a", "c", "c"]
    assert list(found.table.winner) == ["a", "a", "b", "b"]
    assert "recipe" in str(found)


def test_accuracy_is_better_when_higher():
    samples = np.geomspace(100, 1e5, 12)
    good, bad = (
        pd.DataFrame({"samples": samples, "accuracy": 0.95 - a * samples**-0.5}) for a in (1.0, 2.0)
    )
    found = sl.compare(
        {"good": good, "bad": bad}, law="power_with_floor", target="accuracy",
        inputs=("samples",), draws=40,
    )  # fmt: skip
    assert set(found.table.winner) == {"good"}
    assert (found.table.difference > 0).all()
    assert (found.multiplier().multiplier > 1).all()
    assert found.difference(samples=1e9).accuracy[0] < 1


def test_selections_are_compared_too():
    runs = sl.load_dataset("tiny_lm")
    pair = {
        n: sl.select(t, ["chinchilla", "coupled"], focuses=(0.0,), draws=60)
        for n, t in {"new": runs.assign(loss=0.97 * runs.loss), "old": runs}.items()
    }
    found = sl.compare(pair)
    assert set(found.table.winner) == {"new"}
    assert "not_pooled" in [n.code for n in found.notes]
    with pytest.raises(PlanError, match="fits of one law"):
        sl.compare(pair, pooling="shared")


def test_selections_of_different_runs_do_not_share_their_errors():
    """Their coefficients err independently; those of the same runs alike."""
    chosen = [
        sl.select(
            curve(noise=0.01, seed=i), ["power_with_floor"], inputs=("tokens",), focuses=(0.0,),
            draws=400,
        )
        for i in range(2)
    ]  # fmt: skip
    options = {"pooling": "apart", "law_error": False}
    apart = sl.compare(dict(zip("ab", chosen, strict=True)), **options)
    same = sl.compare({"a": chosen[0], "b": chosen[0]}, **options)
    row, none = (c.difference(tokens=1e11).iloc[0] for c in (apart, same))
    bands = [c.predict(tokens=1e11, parts=["coefficients"]).iloc[0] for c in chosen]
    alone = np.sqrt(sum((b.loss_high - b.loss_low) ** 2 for b in bands))
    assert row.difference_high - row.difference_low > 0.8 * alone
    assert (none.difference_low, none.difference_high) == (0.0, 0.0)


# --- notes and refusals -----------------------------------------------------------------------


def test_recipes_measured_to_different_scales_are_noted():
    pair = {"a": curve(), "b": curve(tokens=TOKENS / 100)}
    found = sl.compare(pair, law="power_with_floor", inputs=("tokens",), draws=20)
    assert found.today == pytest.approx(1e8)
    assert "unequal_scales" in [n.code for n in found.notes]


def test_fits_without_their_rows_are_compared_as_they_are(pair):
    bare = {n: replace(f, runs=None) for n, f in pair.items()}
    found = sl.compare(bare)
    assert found.weights == {"apart": 1.0}
    with pytest.raises(PlanError, match="rows=True"):
        sl.compare(bare, pooling="today")


def test_what_cannot_be_compared_is_refused_with_a_remedy(pair):
    one = pair["old"]
    with pytest.raises(PlanError, match="at least two"):
        sl.compare({"old": one})
    with pytest.raises(PlanError, match="either all fits"):
        sl.compare({"old": one, "new": curve()})
    with pytest.raises(PlanError, match="law="):
        sl.compare({"old": curve(), "new": curve()})
    with pytest.raises(PlanError, match="fitted already"):
        sl.compare(pair, law="chinchilla")
    with pytest.raises(PlanError, match=r"not a recipe.*'old'"):
        sl.compare(pair, reference="olt")
    with pytest.raises(PlanError, match="inputs"):
        sl.compare({"old": one, "new": fitted()})
    with pytest.raises(PlanError, match="pooling"):
        sl.compare(pair, pooling="partial")
    with pytest.raises(PlanError, match="nothing these recipes scale in"):
        sl.compare(pair, along="steps")
    with pytest.raises(PlanError, match="tokens per parameter"):
        sl.compare(pair, along="tokens", ratio=20)
    with pytest.raises(PlanError, match="hold="):
        sl.compare(pair, hold={"params": 1e9})
    with pytest.raises(DataError, match="recipe 'b'"):
        sl.compare({"a": grid_runs(), "b": grid_runs()[:2]}, law="chinchilla")


def test_points_that_cannot_be_compared_are_refused(both):
    with pytest.raises(DataError, match="'tokens'"):
        both.difference(params=1e9)
    with pytest.raises(DataError, match="no input 'steps'"):
        both.difference(params=1e9, steps=1e3)
    with pytest.raises(PlanError, match="scale along 'flops'"):
        both.multiplier(params=1e9)
    with pytest.raises(DataError, match="kind"):
        both.difference(flops=1e21, kind="curve")


def test_one_input_can_scale_while_another_is_held(pair):
    found = sl.compare(pair, along="tokens", hold={"params": 1e9}, pooling="apart")
    assert set(found.table.params) == {1e9}
    assert (found.multiplier(tokens=1e12, hold={"params": 1e10}).multiplier > 0).all()


def test_it_is_shown_and_goes_to_json(both):
    text = str(both)
    assert "new against old" in text
    assert "90 % interval" in text
    assert "<table" in both._repr_html_()
    assert json.loads(json.dumps(both.to_dict()))["reference"] == "old"
    assert both.to_frame() is not both.table


def test_without_draws_there_are_no_intervals_or_chances():
    pair = {n: sl.fit(grid_runs(seed=i), "chinchilla", draws=0) for i, n in enumerate("ab")}
    found = sl.compare(pair)
    assert found.table.difference_low.isna().all()
    assert found.table.p_better.isna().all()
    assert "no_draws" in [n.code for n in found.notes]
    assert np.isnan(found.crossing().p_ahead[0])


@pytest.mark.parametrize("what", ["multiplier", "difference"])
def test_the_figure_shows_each_recipe_with_its_interval(both, what):
    plt = pytest.importorskip("matplotlib.pyplot")
    figure, ax = plt.subplots()
    assert sl.plot.compare(both, what=what, ax=ax) is ax
    assert "old" in ax.get_ylabel()
    assert len(ax.collections) >= 1
    plt.close(figure)
    with pytest.raises(PlanError, match="what"):
        sl.plot.compare(both, what="ratio")
