"""Which runs next, what a design is worth, how large the ladder: against closed forms, refits."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scaling_laws as sl
from scaling_laws.planning.design.belief import Belief, best_choice, greedy, low_rank
from scaling_laws.planning.design.ladder import ladder
from scaling_laws.planning.design.next_runs import next_runs
from scaling_laws.planning.design.score import score_design

TRUTH = sl.published.HOFFMANN_2022
NOISE = 0.003
GOAL = {"params": 2e10, "tokens": 4e11}


def made(params, tokens, seed=0, noise=NOISE):
    n, d = (a.ravel() for a in np.meshgrid(params, tokens))
    rng = np.random.default_rng(seed)
    loss = TRUTH(params=n, tokens=d) * np.exp(noise * rng.standard_normal(len(n)))
    return pd.DataFrame({"params": n, "tokens": d, "loss": loss})


PILOTS = made(np.geomspace(3e7, 3e8, 4), np.geomspace(1e9, 1e10, 4))
LINE = sl.fit(PILOTS, "chinchilla", draws=400, law_error=False)
FIT = sl.fit(PILOTS, "chinchilla", draws=400)
COULD = made(np.geomspace(5e7, 2e9, 6), np.geomspace(2e9, 5e10, 5)).drop(columns="loss")


def belief(n=6, t=2, q=3, seed=0, law=0.0):
    rng = np.random.default_rng(seed)
    error = law * rng.random(n + t)
    noise = 0.1 + rng.random(n)
    place = rng.normal(size=(n + t, 2))
    return Belief(rng.normal(size=(n + t, q)), error, place, noise, np.full(t, 1 / t))


def conditioned(b, rows):
    """Covariance at the goals by the textbook formula."""
    apart = ((b.place[:, None] - b.place[None]) ** 2).sum(axis=2)
    error = np.outer(b.law, b.law) * np.exp(-0.5 * apart / np.log(10) ** 2)
    cov, goals = b.factors @ b.factors.T + error, np.arange(b.runs, len(b.law))
    inner = cov[np.ix_(rows, rows)] + np.diag(b.noise[rows])
    cross = cov[np.ix_(goals, rows)]
    return np.diag(cov)[goals] - np.diag(cross @ np.linalg.solve(inner, cross.T))


# --- the belief --------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.permutations(range(6)), st.floats(0, 2))
def test_runs_one_by_one_equal_all_at_once_in_any_order(seed, order, law):
    start = b = belief(seed=seed, law=law)
    for count, j in enumerate(order[:4], 1):
        wider, b = b.at_goals(), b.after(j)
        assert (b.at_goals() <= wider + 1e-12).all()
        np.testing.assert_allclose(b.at_goals(), conditioned(start, order[:count]), atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_greedy_takes_the_run_that_brute_force_finds(seed):
    b = belief(seed=seed, law=0.5)
    chosen = greedy(b, np.ones(6), np.ones(6), np.inf, 3, 0.0)
    taken = []
    for j in chosen.order:
        left = [i for i in range(6) if i not in taken]
        after = {i: conditioned(b, [*taken, i]).mean() for i in left}
        assert min(after, key=after.get) == j
        taken.append(j)
        assert chosen.beliefs[len(taken)].expected() == pytest.approx(after[j])


@given(st.integers(0, 200), st.floats(0.1, 30))
def test_a_budget_is_kept_and_more_of_it_never_hurts(seed, budget):
    b, cost = belief(seed=seed), 0.1 + 10 * np.random.default_rng(seed).random(6)
    chosen = best_choice(b, cost, np.ones(6), budget, 6)
    assert cost[list(chosen.order)].sum() <= budget * (1 + 1e-9)
    assert len(set(chosen.order)) == len(chosen.order)
    every = best_choice(b, cost, np.ones(6), 1e9, 6)
    assert every.beliefs[-1].expected() <= chosen.beliefs[-1].expected() + 1e-12


def test_wild_draws_are_pulled_in_and_chance_is_not_signal():
    rng = np.random.default_rng(1)
    drawn = rng.normal(size=(400, 2)) @ rng.normal(size=(2, 5))
    wild = drawn.copy()
    wild[:3] *= 1e6
    calm, tamed = (np.sum(low_rank(d, 2)[0] ** 2, axis=1) for d in (drawn, wild))
    np.testing.assert_allclose(calm, drawn.var(axis=0), rtol=0.05)
    np.testing.assert_allclose(tamed, calm, rtol=0.25)
    factors, left = low_rank(rng.normal(size=(400, 5)), 2)
    assert factors.shape == (5, 2)
    assert left.sum() > 2.5  # of 5; two directions hold a little over two


# --- next_runs ---------------------------------------------------------------------------------


def test_chosen_runs_narrow_a_refit_more_than_random_ones_do():
    """The truth is known: refits with the runs made, over seeds, against as many random runs."""
    value = float(TRUTH(**GOAL))
    chosen = next_runs(LINE, COULD, at=GOAL, batch=3).rows
    errors = {"chosen": [], "random": []}
    for seed in range(12):
        rng = np.random.default_rng(100 + seed)
        pilots = made(PILOTS.params.unique(), PILOTS.tokens.unique(), seed)
        for name, rows in (("chosen", list(chosen)), ("random", rng.permutation(30)[:3])):
            extra = COULD.iloc[rows]
            loss = TRUTH(params=extra.params, tokens=extra.tokens)
            extra = extra.assign(loss=loss * np.exp(NOISE * rng.standard_normal(3)))
            fit = sl.fit(pd.concat([pilots, extra]), "chinchilla", draws=0)
            errors[name].append(np.log(float(fit.law(**GOAL)) / value))
    rms = {n: np.sqrt(np.mean(np.square(e))) for n, e in errors.items()}
    assert rms["chosen"] < 0.8 * rms["random"]


def test_expected_width_is_that_of_refits_with_the_runs():
    chosen = next_runs(LINE, COULD, at=GOAL, batch=4)
    extra = COULD.loc[list(chosen.rows)]
    widths = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        loss = TRUTH(params=extra.params, tokens=extra.tokens)
        table = pd.concat([PILOTS, extra.assign(loss=loss * np.exp(NOISE * rng.normal(size=4)))])
        fit = sl.fit(table, "chinchilla", draws=300, law_error=False)
        low, high = fit.predict_interval(GOAL, level=0.9, kind="mean")
        widths.append(float((high - low)[0]))
    before, after = chosen.width
    low, high = LINE.predict_interval(GOAL, level=0.9, kind="mean")
    assert before == pytest.approx(float((high - low)[0]))
    assert 0.6 < after / np.median(widths) < 1.6
    assert after < 0.7 * before


def test_law_error_makes_runs_toward_the_goal_worth_more():
    near = {"params": [3e8, 4e9], "tokens": [1e10, 1e11]}
    worth = {}
    for name, rate in (("exact", 0.0), ("wrong", 0.1)):
        error = replace(FIT.predictive.law_error, rates={"flops": rate})
        fit = replace(FIT, predictive=replace(FIT.predictive, law_error=error))
        chosen = next_runs(fit, near, at=GOAL, batch=1)
        assert chosen.rows == (1,)
        worth[name] = chosen.width[1] / chosen.width[0]
        alone = score_design(fit, {n: v[:1] for n, v in near.items()}, at=GOAL).table
        worth[f"{name} far"] = float((alone.width_after / alone.width_before)[0])
    gain = {n: worth[f"{n} far"] / worth[n] for n in ("exact", "wrong")}
    assert worth["wrong far"] > 0.95  # inside the data, nothing is learned of the law's error
    assert worth["wrong"] < 0.9
    assert gain["wrong"] > 1.0


def test_pending_runs_are_taken_into_account():
    first = next_runs(LINE, COULD, at=GOAL, batch=2)
    under_way = COULD.loc[[first.rows[0]]]
    rest = COULD.drop(index=first.rows[0])
    second = next_runs(LINE, rest, at=GOAL, batch=1, pending=under_way)
    assert second.rows == first.rows[1:]
    assert second.table.width_after[0] == pytest.approx(first.table.width_after[1])
    status = np.where(COULD.index == first.rows[0], "running", "")
    marked = next_runs(LINE, COULD.assign(status=status), at=GOAL, batch=1)
    assert marked.rows == second.rows


def test_failed_runs_are_not_proposed_again_and_their_neighbours_less():
    free = next_runs(LINE, COULD, at=GOAL, batch=1)
    best = free.rows[0]
    again = next_runs(LINE, COULD, at=GOAL, batch=30, failed=COULD.loc[[best]])
    assert best not in again.rows
    assert len(again.rows) <= 29
    close = again.table.loc[again.table.success.idxmin()]
    assert 0.5 < close.success < 0.9
    status = np.where(COULD.index == best, "failed", None)
    marked = next_runs(LINE, COULD.assign(status=status), at=GOAL, batch=30)
    assert marked.rows == again.rows


def test_done_runs_are_left_out_and_none_left_is_said():
    with pytest.raises(sl.PlanError, match="none of the 30 candidates is left"):
        next_runs(LINE, COULD.assign(status="ok"), at=GOAL)


def test_a_selection_values_runs_that_tell_laws_apart():
    selection = sl.select(PILOTS, draws=200)
    chosen = next_runs(selection, COULD, at=GOAL, budget=5e20)
    assert 0 < chosen.cost <= 5e20
    assert chosen.width[1] < chosen.width[0]


def test_costs():
    named = next_runs(LINE, COULD.assign(price=2.0), at=GOAL, cost="price", budget=7)
    assert len(named.rows) == 3
    assert named.cost == 6
    assert named.cost_unit == "price"
    flops = next_runs(LINE, COULD, at=GOAL, budget=1e20, cost="8ND")
    run = flops.table.iloc[0]
    assert run.cost == pytest.approx(8 * run.params * run.tokens)
    given = next_runs(LINE, COULD, at=GOAL, budget=3, cost=np.ones(30))
    assert len(given.rows) == 3


def test_a_law_of_one_input_counts_runs_where_nothing_says_their_cost():
    samples = np.geomspace(100, 3000, 8)
    noise = np.exp(0.01 * np.random.default_rng(0).normal(size=8))
    runs = {"samples": samples, "loss": (0.1 + 3 * samples**-0.4) * noise}
    fit = sl.fit(runs, "power_with_floor", inputs=("samples",), draws=200)
    chosen = next_runs(fit, {"samples": [200, 5e3, 1e4]}, at={"samples": 1e5}, batch=1)
    assert chosen.rows == (2,)
    assert chosen.cost_unit == "runs"
    assert "unit_cost" in {n.code for n in chosen.notes}


def test_notes_say_what_is_in_doubt():
    poor = next_runs(LINE, COULD, at=GOAL, budget=1e10)
    assert poor.rows == ()
    assert {n.code for n in poor.notes} == {"nothing_affordable"}
    assert poor.width[0] == poor.width[1]
    inside = PILOTS.drop(columns="loss").iloc[:1]
    little = next_runs(LINE, inside, at=GOAL, batch=1, noise=1.0)
    assert "little_to_gain" in {n.code for n in little.notes}
    doubtful = replace(LINE, notes=(sl.Note("lack_of_fit", "warning", "x"),))
    asked = next_runs(doubtful, COULD, at=GOAL)
    assert "design_from_doubtful_fit" in {n.code for n in asked.notes}


def test_results_are_json_ready_and_printed():
    chosen = next_runs(LINE, COULD, at={"params": [1e10, 2e10], "tokens": [2e11, 4e11]}, batch=2)
    assert json.loads(json.dumps(chosen.to_dict(), allow_nan=False))["runs"][0]["rank"] == 1
    assert "2 runs" in str(chosen)
    assert repr(chosen) == str(chosen)
    page = chosen._repr_html_()
    assert "2 runs" in page
    assert page.count("<tr") == 3  # a header and the two
    assert list(chosen.to_frame()) == list(chosen.table)
    assert list(chosen.goals.weight) == [0.5, 0.5]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budget": -1}, "budget must be a positive number, got -1"),
        ({"budget": float("nan")}, "budget must be"),
        ({"budget": "1e20"}, "budget must be"),
        ({"budget": True}, "budget must be"),
        ({"batch": 0}, "batch must be a count"),
        ({"batch": 1.5}, "batch must be a count"),
        ({"noise": 0}, "noise must be a positive"),
        ({"level": 90}, "Did you mean 0.9"),
        ({"weights": [1, 2]}, "weights must be 1 numbers"),
        ({"weights": [-1]}, "weights must be"),
        ({"cost": "price"}, "cost must be written"),
        ({"cost": [1.0, 2.0]}, "must hold 30 positive numbers"),
        ({"cost": np.zeros(30)}, "row 0 has 0.0"),
        ({"at": {"params": 1e10}}, "at= lacks the column 'tokens'"),
        ({"at": {"params": -1, "tokens": 1e10}}, "'params' must be positive"),
        ({"at": {"params": "7B", "tokens": 1e10}}, "must hold numbers"),
        ({"at": {"params": True, "tokens": 1e10}}, "truth values"),
        ({"failed": {"params": [1e8]}}, "failed= lacks the column"),
        ({"pending": 3}, "pending= must be a DataFrame"),
        ({"candidates": []}, "must be a DataFrame"),
        ({"candidates": COULD.assign(status="odd")}, "unknown status 'odd'"),
        ({"candidates": COULD.assign(cost=np.inf)}, "positive and finite"),
    ],
)
def test_questions_that_cannot_be_asked(options, said):
    options = {"candidates": COULD, "at": GOAL} | options
    candidates = options.pop("candidates")
    with pytest.raises(sl.PlanError, match=said):
        next_runs(LINE, candidates, **options)


def test_sources_that_cannot_answer():
    with pytest.raises(sl.PlanError, match="starts from a Fit or a Selection"):
        next_runs(TRUTH, COULD, at=GOAL)
    bare = sl.fit(PILOTS, "chinchilla", draws=0)
    with pytest.raises(sl.PlanError, match="draws"):
        next_runs(bare, COULD, at=GOAL)
    with pytest.raises(sl.PlanError, match="draws"):
        ladder(bare, at=GOAL)


# --- score_design ------------------------------------------------------------------------------


def test_a_designs_score_is_the_spread_of_fits_of_it():
    """Delta method against 60 least-squares fits of simulated runs of the design."""
    design = made(np.geomspace(1e8, 3e9, 5), np.geomspace(2e9, 6e10, 5))
    score = score_design(
        TRUTH, design, at=GOAL, optimum_at=1e22, noise=NOISE, level=0.6826894921370859
    )
    fitter = sl.Fitter(draws=0, robust=None, start=TRUTH.coef)
    values, best = [], []
    for seed in range(60):
        runs = made(np.geomspace(1e8, 3e9, 5), np.geomspace(2e9, 6e10, 5), seed)
        law = fitter.fit(runs, "chinchilla").law
        values.append(float(law(**GOAL)))
        best.append(sl.Planner(law).for_budget(flops=1e22).best["params"])
    assert score.table.width_after[0] == pytest.approx(2 * np.std(values), rel=0.3)
    assert np.log(score.optimum["factor_after"]) == pytest.approx(np.std(np.log(best)), rel=0.3)
    expected = sl.Planner(TRUTH).for_budget(flops=1e22).best["params"]
    assert score.optimum["params"] == pytest.approx(expected, rel=1e-6)


@given(st.floats(0.001, 0.05))
def test_a_laws_width_is_proportional_to_the_noise(noise):
    at = {"params": 1e9, "tokens": 2e10}
    one, two = (score_design(TRUTH, COULD, optimum_at=1e22, noise=s) for s in (noise, 2 * noise))
    ratio = np.log(two.optimum["factor_after"]) / np.log(one.optimum["factor_after"])
    assert ratio == pytest.approx(2.0)
    doubled = pd.concat([COULD, COULD])
    half = score_design(TRUTH, doubled, at=at, noise=noise).table.width_after[0]
    full = score_design(TRUTH, COULD, at=at, noise=noise).table.width_after[0]
    assert half == pytest.approx(full / np.sqrt(2), rel=1e-2)


def test_a_design_that_cannot_determine_the_law_is_infinitely_wide():
    """A factorial of two by two fixes three of an additive law's five coefficients."""
    few = {"params": [1e8, 1e9, 1e8, 1e9], "tokens": [2e9, 2e9, 2e10, 2e10]}
    at = {"params": [1e8, 1e11], "tokens": [2e9, 1e12]}
    score = score_design(TRUTH, few, at=at, optimum_at=1e22, noise=NOISE)
    note = next(n for n in score.notes if n.code == "design_not_identifying")
    assert note.details["rank"] == 3
    assert np.isfinite(score.table.width_after[0])
    assert np.isinf(score.table.width_after[1])
    assert np.isinf(score.optimum["factor_after"])
    assert score.to_dict()["optimum"]["factor_after"] is None


def test_a_fits_optimum_gets_surer_with_runs_off_the_diagonal():
    far = {"params": [2e9, 5e7] * 3, "tokens": [3e9, 1e11] * 3}
    score = score_design(LINE, far, optimum_at=1e22)
    before, after = score.optimum["factor_before"], score.optimum["factor_after"]
    plan = sl.Planner(LINE, level=0.9).for_budget(flops=1e22)
    measured = np.sqrt(plan.high["params"] / plan.low["params"])
    assert before == pytest.approx(measured, rel=0.35)
    assert 1 < after < 0.9 * before
    assert "known to a factor" in str(score)


def test_scores_that_cannot_be_given():
    with pytest.raises(sl.PlanError, match="give noise="):
        score_design(TRUTH, COULD, at=GOAL)
    with pytest.raises(sl.PlanError, match="say what matters"):
        score_design(TRUTH, COULD, noise=0.01)
    with pytest.raises(sl.PlanError, match="optimum_at must be a positive"):
        score_design(TRUTH, COULD, noise=0.01, optimum_at=-1)
    one = sl.get_law("power_with_floor", ("samples",))
    design = {"samples": [10.0, 100.0, 1e3]}
    with pytest.raises(sl.PlanError, match="a law of params and tokens"):
        score_design(one.with_coef(one.example), design, noise=0.01, optimum_at=1e22)


# --- ladder ------------------------------------------------------------------------------------


def test_todays_rung_is_the_fits_own_interval():
    sizes = ladder(FIT, at=GOAL)
    low, high = FIT.predict_interval(GOAL, level=0.9)
    assert sizes.today == pytest.approx(np.sqrt(high[0] / low[0]) - 1)
    assert sizes.along == "flops"
    assert sizes.goal["flops"] == pytest.approx(6 * 2e10 * 4e11)
    last = sizes.table.iloc[-1]
    assert last.flops == pytest.approx(sizes.goal["flops"])
    assert last.distance == pytest.approx(0, abs=1e-12)


def test_the_pilot_needed_meets_the_target():
    within = 0.02
    sizes = ladder(FIT, at=GOAL, within=within)
    curve = sizes.table
    at_needed = np.interp(np.log(sizes.needed["flops"]), np.log(curve.flops), curve.half_width)
    assert at_needed == pytest.approx(within, rel=0.02)
    assert sizes.decade_more < sizes.today
    tighter = ladder(FIT, at=GOAL, within=0.01)
    assert tighter.needed["flops"] > sizes.needed["flops"]


def test_a_larger_ladder_is_as_sure_as_foretold():
    """Ten times the compute in every rung: the fit of such runs, against what was foretold."""
    step = np.sqrt(10.0)
    larger = made(step * PILOTS.params.unique(), step * PILOTS.tokens.unique(), seed=3)
    fit = sl.fit(larger, "chinchilla", draws=400)
    low, high = fit.predict_interval(GOAL, level=0.9)
    foretold = ladder(FIT, at=GOAL)
    measured = float(np.sqrt(high[0] / low[0]) - 1)
    assert 0.6 < measured / foretold.decade_more < 1.6
    assert measured < foretold.today


def test_out_of_reach_and_malformed_ladders():
    never = ladder(FIT, at=GOAL, within=1e-4)
    assert never.needed == {}
    assert {n.code for n in never.notes} == {"ladder_out_of_reach"}
    assert json.loads(json.dumps(never.to_dict(), allow_nan=False))["needed"] == {}
    with pytest.raises(sl.PlanError, match="no larger in flops"):
        ladder(FIT, at={"params": 3e7, "tokens": 1e9})
    with pytest.raises(sl.PlanError, match="one goal at a time"):
        ladder(FIT, at={"params": [1e10, 2e10], "tokens": [1e12, 1e12]})
    with pytest.raises(sl.PlanError, match="within must be"):
        ladder(FIT, at=GOAL, within=0)
    with pytest.raises(sl.PlanError, match="kind must be"):
        ladder(FIT, at=GOAL, kind="both")
