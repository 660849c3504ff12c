"""Plans: worked values, identities, and agreement of the closed forms with a search."""

import copy
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_laws.laws import generic, joint, published
from scaling_laws.laws.registry import get_law
from scaling_laws.planning.costs.cost import Cost
from scaling_laws.planning.optimum import NumericSurface
from scaling_laws.planning.planner import Plan, Planner
from scaling_laws.planning.power_sum import PowerSum
from scaling_laws.planning.source import get_source

BUDGETS = np.geomspace(1e19, 1e26, 15)
TIED = joint.chinchilla.with_coef({"E": 1.8, "A": 521, "alpha": 0.3527, "B": 1488, "beta": 0.3527})
CLOSED = [
    published.HOFFMANN_2022,
    published.BESIROGLU_2024,
    published.KAPLAN_2020,
    joint.coupled.with_coef(joint.coupled.example),
    joint.kaplan_with_floor.with_coef(joint.kaplan_with_floor.example),
    generic.additive_power.with_coef(generic.additive_power.example),
]


def searched(law):
    """The same law under a function the closed forms do not know."""

    def twin(*arguments):
        return law.family.function(*arguments)

    family = replace(law.family, function=twin, value_and_jacobian=None)
    return replace(law, family=family)


def product(**rates):
    family = get_law("product", tuple(rates))
    return family.with_coef({"K": 20.0} | {f"alpha_{n}": a for n, a in rates.items()})


@pytest.mark.parametrize(
    ("law", "params", "tokens", "ratio", "loss"),
    [
        (published.HOFFMANN_2022, "3.2190e+10", "2.98231e+12", "92.65", "1.930748"),
        (published.HOFFMANN_2022_FULL, "4.0361e+10", "2.37854e+12", "58.93", "1.918412"),
        (published.BESIROGLU_2024, "7.2249e+10", "1.32874e+12", "18.39", "1.974441"),
    ],
)
def test_worked_values_at_the_chinchilla_budget(law, params, tokens, ratio, loss):
    best = Planner(law).for_budget(flops=5.76e23).best
    assert f"{best['params']:.4e}" == params
    assert f"{best['tokens']:.5e}" == tokens
    assert f"{best['tokens_per_param']:.2f}" == ratio
    assert f"{best['loss']:.6f}" == loss


@pytest.mark.parametrize(
    "law", [published.HOFFMANN_2022, published.HOFFMANN_2022_FULL, published.BESIROGLU_2024]
)
def test_budget_matches_the_formula_written_out(law):
    E, A, alpha, B, beta = law.values
    share, x = beta / (alpha + beta), 5.76e23 / 6
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    best = Planner(law).for_budget(flops=5.76e23).best
    assert best["params"] == pytest.approx(G * x**share, rel=1e-12)
    assert best["tokens"] == pytest.approx(x ** (1 - share) / G, rel=1e-12)
    loss = E + (A * G**-alpha + B * G**beta) * x ** (-alpha * beta / (alpha + beta))
    assert best["loss"] == pytest.approx(loss, rel=1e-13)


def test_tokens_per_param_is_constant_only_for_equal_exponents():
    tied = Planner(TIED).frontier(BUDGETS).best["tokens_per_param"]
    np.testing.assert_allclose(tied, 19.598, atol=5e-4)
    np.testing.assert_allclose(tied, tied[0], rtol=1e-12)
    other = Planner(published.HOFFMANN_2022).frontier(BUDGETS).best["tokens_per_param"]
    assert other[-1] / other[0] > 2


@pytest.mark.parametrize("law", CLOSED, ids=lambda law: law.family.name)
def test_plan_then_predict(law):
    best = Planner(law).frontier(BUDGETS * 1e2).best
    predicted = law(params=best["params"], tokens=best["tokens"])
    np.testing.assert_allclose(best["loss"], predicted, rtol=1e-12)
    np.testing.assert_allclose(6 * best["params"] * best["tokens"], BUDGETS * 1e2, rtol=1e-12)
    np.testing.assert_array_equal(best["flops"], BUDGETS * 1e2)


@pytest.mark.parametrize("law", CLOSED, ids=lambda law: law.family.name)
def test_search_agrees_with_the_closed_form(law):
    other = searched(law)
    assert isinstance(get_source(law, None).surface(False), PowerSum)
    assert isinstance(get_source(other, None).surface(False), NumericSurface)
    closed, found = Planner(law).frontier(BUDGETS), Planner(other).frontier(BUDGETS)
    np.testing.assert_allclose(found.best["params"], closed.best["params"], rtol=1e-7)
    np.testing.assert_allclose(found.best["loss"], closed.best["loss"], rtol=1e-12)
    for name in ("params", "tokens"):
        for ours, theirs in zip(found.near_optimal[name], closed.near_optimal[name], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-7)
    questions = [
        lambda p: p.for_target(closed.best["loss"]),
        lambda p: p.for_params(closed.best["params"]),
        lambda p: p.for_params(closed.best["params"] * 2, target=closed.best["loss"]),
        lambda p: p.for_tokens(closed.best["tokens"]),
        lambda p: p.for_tokens(closed.best["tokens"] * 2, target=closed.best["loss"]),
        lambda p: p.for_tokens(1e11, flops=BUDGETS),
    ]
    for ask in questions:
        a, b = ask(Planner(law)), ask(Planner(other))
        assert a.feasible.all()
        assert b.feasible.all()
        for name in a.best:
            np.testing.assert_allclose(b.best[name], a.best[name], rtol=1e-7)


@pytest.mark.parametrize("law", CLOSED, ids=lambda law: law.family.name)
@pytest.mark.parametrize("form", [lambda law: law, searched], ids=["closed", "searched"])
def test_target_round_trip(law, form):
    planner = Planner(form(law))
    there = planner.frontier(BUDGETS)
    back = planner.for_target(there.best["loss"])
    np.testing.assert_allclose(back.best["flops"], BUDGETS, rtol=1e-9)
    np.testing.assert_allclose(back.best["loss"], there.best["loss"], rtol=1e-12)


def test_optimal_size_and_optimal_tokens_are_inverse():
    planner = Planner(published.BESIROGLU_2024)
    best = planner.for_budget(flops=1e24).best
    assert planner.for_params(best["params"]).best["tokens"] == pytest.approx(best["tokens"])
    assert planner.for_tokens(best["tokens"]).best["params"] == pytest.approx(best["params"])


def test_inputs_in_the_other_order():
    swapped = joint.chinchilla.bind(("tokens", "params")).with_coef(
        {"E": 1.69, "A": 410.7, "alpha": 0.28, "B": 406.4, "beta": 0.34}
    )
    ours = Planner(swapped).for_budget(flops=1e24).best
    assert ours == pytest.approx(Planner(published.HOFFMANN_2022).for_budget(flops=1e24).best)


def test_a_cost_of_eight_moves_the_budget():
    plan = Planner(published.HOFFMANN_2022, Cost("with recomputation", 8)).for_budget(flops=8e23)
    same = Planner(published.HOFFMANN_2022, "6ND").for_budget(flops=6e23)
    assert plan.best["params"] == pytest.approx(same.best["params"], rel=1e-12)
    assert plan.about["cost"] == "with recomputation"


def test_fixed_size_spends_the_budget():
    plan = Planner(published.HOFFMANN_2022).for_params(7e10, flops=5.88e23)
    assert plan.best["tokens"] == 1.4e12
    assert plan.best["loss"] == published.HOFFMANN_2022(params=7e10, tokens=1.4e12)
    assert plan.binding == ("params", "flops")
    assert plan.near_optimal == {}


def test_fixed_size_reaches_a_target():
    planner = Planner(published.HOFFMANN_2022)
    tokens = planner.for_params(1e10, target=2.05).best["tokens"]
    assert published.HOFFMANN_2022(params=1e10, tokens=tokens) == pytest.approx(2.05, rel=1e-13)
    missed = planner.for_params(1e8, target=2.0)
    assert not missed.feasible
    assert missed.limit == pytest.approx(1.69 + 406.4 * 1e8**-0.34, rel=1e-12)
    assert "at these params" in missed.notes[0].message


@pytest.mark.parametrize("law", [published.HOFFMANN_2022, published.BESIROGLU_2024])
@pytest.mark.parametrize("tolerance", [0.002, 0.02, 0.3])
def test_near_optimal_range_equals_brute_force(law, tolerance):
    E, A, alpha, B, beta = law.values
    plan = Planner(law, tolerance=tolerance).for_budget(flops=1e24)
    log_n = np.linspace(np.log(plan.best["params"] / 9), np.log(plan.best["params"] * 9), 400_001)
    N = np.exp(log_n)
    rest = plan.best["loss"] - E - A * N**-alpha
    D = (B / np.where(rest > 0, rest, np.nan)) ** (1 / beta)
    good = 1e24 * (1 + tolerance) >= 6 * N * D
    low, high = plan.near_optimal["params"]
    assert low == pytest.approx(N[good].min(), rel=2e-5)
    assert high == pytest.approx(N[good].max(), rel=2e-5)
    fewest, most = plan.near_optimal["tokens"]
    assert fewest == pytest.approx(D[good].min(), rel=2e-5)
    assert most == pytest.approx(D[good].max(), rel=2e-5)
    cheaper = Planner(law).for_budget(flops=1e24 / (1 + tolerance)).best["loss"]
    excess = cheaper - plan.best["loss"]
    assert plan.near_optimal["loss_excess"] == pytest.approx(excess, rel=1e-9)
    assert plan.near_optimal["tolerance"] == tolerance


def test_de_vries_overheads():
    law = joint.chinchilla.with_coef({"E": 1.7, "A": 400, "alpha": 0.336, "B": 400, "beta": 0.283})
    for factor, overhead in [(0.75, 0.028), (0.5, 0.20), (0.3, 1.0)]:
        plan = Planner(law, tolerance=overhead).for_budget(flops=1e22)
        assert plan.near_optimal["params"][0] / plan.best["params"] == pytest.approx(factor, 0.02)


@pytest.mark.parametrize("form", [lambda law: law, searched], ids=["closed", "searched"])
def test_target_below_the_floor_is_an_answer(form):
    plan = Planner(form(published.HOFFMANN_2022)).for_target(1.6)
    assert plan.feasible is False
    assert plan.best == plan.low == plan.high == plan.near_optimal == plan.more == {}
    assert plan.limit == 1.69
    assert plan.share is None
    assert [note.code for note in plan.notes] == ["target_below_floor"]
    assert plan.notes[0].details["limit"] == 1.69
    assert "no plan" in str(plan)
    exactly = Planner(form(published.HOFFMANN_2022)).for_target(1.69)
    assert not exactly.feasible


def test_array_with_an_unreachable_target():
    plan = Planner(published.HOFFMANN_2022).for_target([2.0, 1.0])
    assert plan.feasible.tolist() == [True, False]
    assert np.isnan(plan.best["params"][1])
    assert plan.best["params"][0] > 0
    assert plan.to_dict()["best"]["params"][1] is None


def test_target_beyond_any_compute():
    plan = Planner(product(params=0.001, tokens=0.001)).for_target(1e-3)
    assert not plan.feasible
    assert plan.notes[0].code == "target_out_of_reach"
    assert plan.limit == 0.0
    json.dumps(plan.to_dict(), allow_nan=False)


@pytest.mark.parametrize("rates", [(0.05, 0.06), (0.06, 0.05), (0.05, 0.05)])
def test_product_has_no_interior_optimum(rates):
    law = product(params=rates[0], tokens=rates[1])
    plan = Planner(law).for_budget(flops=1e21)
    assert [note.code for note in plan.notes] == ["no_interior_optimum"]
    assert plan.near_optimal == {}
    assert 6 * plan.best["params"] * plan.best["tokens"] == pytest.approx(1e21, rel=1e-9)
    never = Planner(law).for_params(1e9)
    assert not never.feasible
    assert never.notes[0].code == "no_interior_optimum"
    reached = Planner(law).for_params(1e9, target=law(params=1e9, tokens=1e10))
    assert reached.best["tokens"] == pytest.approx(1e10, rel=1e-9)


def test_answers_outside_the_data_say_how_far():
    plan = Planner(published.HOFFMANN_2022).for_budget(flops=3e23)
    note = {n.code: n for n in plan.notes}["optimum_outside_data"]
    assert note.details["decades"]["flops"] == pytest.approx(2.0)
    assert "flops 100 times (2.00 decades) above" in note.message
    assert plan.more["flops"] == pytest.approx(100)
    assert Planner(published.HOFFMANN_2022).for_budget(flops=1e21).notes == ()


def test_budget_below_the_data():
    plan = Planner(published.HOFFMANN_2022).for_budget(flops=1e17)
    codes = {note.code for note in plan.notes}
    assert codes == {"optimum_outside_data", "budget_below_data"}


def test_increasing_law_of_params_and_tokens():
    family = joint.chinchilla.bind(increasing=True)
    law = family.with_coef({"E": 0.95, "A": 40, "alpha": 0.3, "B": 60, "beta": 0.3})
    closed, found = Planner(law, target="accuracy"), Planner(searched(law), target="accuracy")
    for plan in (closed.for_budget(flops=1e22), found.for_budget(flops=1e22)):
        assert plan.best["params"] == pytest.approx(
            Planner(replace(law, family=joint.chinchilla)).for_budget(flops=1e22).best["params"]
        )
        assert plan.best["accuracy"] < 0.95
        back = closed.for_target(plan.best["accuracy"])
        assert back.best["flops"] == pytest.approx(1e22, rel=1e-9)
        assert plan.near_optimal["accuracy_excess"] > 0
    for planner in (closed, found):
        above = planner.for_target(0.96)
        assert not above.feasible
        assert above.limit == 0.95
        assert above.notes[0].code == "target_above_ceiling"


def test_how_many_more_samples():
    family = get_law("power_with_floor", ("samples",))
    law = family.with_coef({"E": 0.1, "A": 5, "alpha": 0.5}, validity=(("samples", 100, 1e4),))
    plan = Planner(law, target="error").for_target(0.12)
    assert plan.best["samples"] == pytest.approx((5 / 0.02) ** 2, rel=1e-12)
    assert plan.best["error"] == pytest.approx(0.12, rel=1e-14)
    assert plan.more["samples"] == pytest.approx(6.25)
    assert plan.notes[0].details["decades"]["samples"] == pytest.approx(np.log10(6.25))
    assert not Planner(law, target="error").for_target(0.1).feasible


def test_accuracy_that_grows_with_samples():
    family = get_law("power_with_floor", ("samples",)).bind(increasing=True)
    law = family.with_coef({"E": 0.95, "A": 2, "alpha": 0.4})
    planner = Planner(law, target="accuracy")
    assert planner.for_target(0.9).best["samples"] == pytest.approx(40**2.5, rel=1e-12)
    plan = planner.for_target([0.9, 0.96])
    assert plan.feasible.tolist() == [True, False]
    assert plan.limit.tolist() == [0.95, 0.95]
    assert plan.notes[0].code == "target_above_ceiling"
    assert Planner(law).for_target(0.9).target == "score"


@pytest.mark.parametrize(
    "name",
    ["power", "power_with_floor", "shifted_power", "exponential_with_floor", "logarithmic"],
)
@pytest.mark.parametrize("over", ["samples", "flops", "tokens", "params", "steps"])
def test_laws_of_one_input_are_inverted(name, over):
    family = get_law(name, (over,))
    law = family.with_coef(family.example)
    x = np.geomspace(50, 5e4, 9)
    back = Planner(law).for_target(law(**{over: x}))
    np.testing.assert_allclose(back.best[over], x, rtol=1e-9)


def test_growing_cost_curve_is_inverted():
    law = get_law("power", ("samples",)).with_coef({"A": 0.01, "alpha": -1.2})
    plan = Planner(law, target="seconds").for_target(3600.0)
    assert plan.best["samples"] == pytest.approx((3600 / 0.01) ** (1 / 1.2))


def test_budget_of_a_law_of_compute():
    law = get_law("power_with_floor").with_coef({"E": 1.7, "A": 2500, "alpha": 0.17})
    plan = Planner(law).for_budget(flops=1e21)
    assert plan.best == {"flops": 1e21, "loss": law(flops=1e21)}


@settings(deadline=None, max_examples=60)
@given(
    flops=st.floats(1e18, 1e28),
    alpha=st.floats(0.1, 1.0),
    beta=st.floats(0.1, 1.0),
    A=st.floats(1.0, 1e5),
    B=st.floats(1.0, 1e5),
    tolerance=st.floats(1e-3, 0.5),
)
def test_properties_of_an_optimum(flops, alpha, beta, A, B, tolerance):
    law = joint.chinchilla.with_coef({"E": 1.5, "A": A, "alpha": alpha, "B": B, "beta": beta})
    planner = Planner(law, tolerance=tolerance)
    plan = planner.for_budget(flops=flops)
    best, (low, high) = plan.best, plan.near_optimal["params"]
    assert best["loss"] == law(params=best["params"], tokens=best["tokens"])
    assert 6 * best["params"] * best["tokens"] == pytest.approx(flops, rel=1e-9)
    assert planner.for_budget(flops=2 * flops).best["loss"] <= best["loss"]
    assert low < best["params"] < high
    wider = Planner(law, tolerance=2 * tolerance).for_budget(flops=flops).near_optimal["params"]
    assert wider[0] < low < high < wider[1]
    for factor in (0.5, 0.9, 1.1, 2):
        other = planner.for_params(best["params"] * factor, flops=flops)
        assert other.best["loss"] >= best["loss"] * (1 - 1e-14)


@settings(deadline=None, max_examples=25)
@given(
    flops=st.floats(1e18, 1e26),
    k=st.floats(0.3, 1.5),
    alpha=st.floats(0.2, 0.8),
    beta=st.floats(0.2, 0.8),
)
def test_search_agrees_anywhere(flops, k, alpha, beta):
    coef = {"E": 1.5, "A": 2e3, "alpha": alpha, "B": 4e3, "beta": beta, "k": k}
    law = joint.coupled.with_coef(coef)
    closed, found = (Planner(x).for_budget(flops=flops).best for x in (law, searched(law)))
    assert found["loss"] == pytest.approx(closed["loss"], rel=1e-12)
    assert found["params"] == pytest.approx(closed["params"], rel=1e-5)


def test_a_law_with_a_kink_is_searched_too():
    def envelope(N, D, E, A, B):
        return E + np.maximum(A / N**0.4, B / D**0.4)

    family = replace(
        joint.chinchilla,
        name="bottleneck",
        function=envelope,
        value_and_jacobian=None,
        coefficients=tuple(joint.chinchilla.coefficients[i] for i in (0, 1, 3)),
        example={},
        analytic=False,
    )
    law = family.with_coef({"E": 1.5, "A": 100, "B": 300})
    best = Planner(law).for_budget(flops=6e20).best
    assert best["tokens_per_param"] == pytest.approx(3**2.5, rel=1e-5)


def test_threads_agree():
    planner = Planner(searched(published.HOFFMANN_2022))
    with ThreadPoolExecutor(8) as pool:
        plans = list(pool.map(lambda _: planner.for_budget(flops=1e23), range(200)))
    assert all(plan == plans[0] for plan in plans)


def test_plans_and_planners_are_values():
    planner = Planner(published.HOFFMANN_2022, tolerance=0.05)
    assert pickle.loads(pickle.dumps(planner)) == copy.deepcopy(planner) == planner
    for plan in (
        planner.frontier(BUDGETS),
        planner.for_budget(flops=1e24),
        planner.for_target(1.0),
    ):
        assert pickle.loads(pickle.dumps(plan)) == copy.deepcopy(plan) == plan
        assert plan != replace(plan, question="another")
    assert planner.for_budget(flops=1e24) != planner.for_budget(flops=2e24)
    assert planner.for_target([2.0, 1.0]) == planner.for_target([2.0, 1.0])
    with pytest.raises(FrozenInstanceError):
        planner.level = 0.5


def test_plan_as_a_dict_is_json_with_stable_keys():
    plan = Planner(published.HOFFMANN_2022).for_budget(flops=1e24)
    data = json.loads(json.dumps(plan.to_dict(), allow_nan=False))
    first = ["question", "target", "given", "feasible", "best", "low", "high", "near_optimal"]
    last = ["more", "limit", "share", "binding", "prices", "nearest", "notes", "about"]
    assert list(data) == [*first, *last]
    assert list(data["best"]) == ["params", "tokens", "flops", "loss", "tokens_per_param"]
    assert data["given"] == {"flops": 1e24}
    assert data["about"]["law"]["coef"]["E"] == 1.69
    assert data["notes"][0]["code"] == "optimum_outside_data"
    assert type(plan.best["params"]) is float
    assert plan.feasible is True


def test_plan_as_a_frame():
    frame = Planner(published.HOFFMANN_2022).frontier(BUDGETS).to_frame()
    assert len(frame) == len(BUDGETS)
    assert (frame["params_near_low"] < frame["params"]).all()
    assert (frame["params"] < frame["params_near_high"]).all()
    infeasible = Planner(published.HOFFMANN_2022).for_target(1.0).to_frame()
    assert infeasible["feasible"].tolist() == [False]


def test_plan_as_text():
    planner = Planner(published.HOFFMANN_2022)
    text = str(planner.for_budget(flops=1e21))
    assert "within 2% more compute" in text
    assert "interval" not in text
    assert "1.824e+09" in planner.for_budget(flops=1e21)._repr_html_()
    assert str(planner.frontier(np.geomspace(1e19, 1e20, 50))).count("\n") < 12
    assert "no plan" in planner.for_target([1.0, 1.1])._repr_html_()
    assert isinstance(planner.for_target(1.0), Plan)
    for plan in (
        planner.for_budget(flops=1e21),
        planner.for_target(1.0),
        planner.frontier(BUDGETS),
    ):
        assert repr(plan) == str(plan)


def test_a_published_plan_loads_numpy_only():
    code = (
        "import sys, scaling_laws as sl\n"
        "sl.Planner(sl.published.HOFFMANN_2022).for_budget(flops=5.76e23).to_dict()\n"
        "heavy = {'scipy', 'pandas', 'lmfit', 'matplotlib', 'joblib', 'sklearn'}\n"
        "print('numpy' in sys.modules, sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True []"


@pytest.mark.parametrize(
    ("name", "limit"),
    [("power", 0.0), ("logarithmic", None), ("two_plateau", 0.1), ("exponential", 0.0)],
)
def test_limit_of_laws_without_a_declared_floor(name, limit):
    family = get_law(name, ("samples",))
    plan = Planner(family.with_coef(family.example)).for_target(0.5)
    assert plan.feasible
    assert plan.limit == (None if limit is None else pytest.approx(limit, abs=1e-12))


def test_kaplan_tends_to_zero():
    planner = Planner(published.KAPLAN_2020)
    assert planner.for_target(2.0).limit == 0.0
    assert planner.for_target(0.0).notes[0].code == "target_below_floor"


def test_a_target_that_needs_nothing():
    family = get_law("shifted_power", ("samples",))
    plan = Planner(family.with_coef(family.example)).for_target(3.0)
    assert plan.best["samples"] == 1.0
    assert [note.code for note in plan.notes] == ["target_already_reached"]
