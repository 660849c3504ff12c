"""Plans under limits, against brute force and closed forms."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scaling_laws as sl
from scaling_laws.planning.costs.cost import FunctionCost, LifetimeCost
from scaling_laws.planning.costs.hardware import Hardware
from scaling_laws.planning.costs.memory import serving_bytes
from scaling_laws.planning.limits import Limit

HOFFMANN, EPOCH = sl.published.HOFFMANN_2022, sl.published.BESIROGLU_2024
MACHINE = Hardware("node", 1e15, 80e9, count=64, utilization=0.4, price_per_hour=2.0)


def _sized(params):
    """A machine that is used better by larger models."""
    return 0.5 * np.asarray(params) / (np.asarray(params) + 3e8)


BENT = Hardware("bent", 1e15, 80e9, count=64, utilization=_sized, price_per_hour=2.0)


def _attention(params, tokens):
    return (6.0 * params + 40.0 * np.asarray(params) ** 0.66 * 2048) * tokens


COSTS = {
    "6ND": (lambda n, d: 6 * n * d, "6ND"),
    "lifetime": (lambda n, d: 6 * n * d + 2 * n * 1e12, LifetimeCost(1e12)),
    "attention": (_attention, FunctionCost("attention", ("params", "tokens"), _attention)),
}
additive = st.fixed_dictionaries(
    {
        "E": st.floats(0.1, 2.0),
        "A": st.floats(50, 2000),
        "alpha": st.floats(0.15, 0.6),
        "B": st.floats(50, 5000),
        "beta": st.floats(0.15, 0.6),
    }
)


def _law(coef, k):
    """The additive law, or the coupled one where there is a k."""
    name = "chinchilla" if k is None else "coupled"
    return sl.get_law(name).with_coef(coef if k is None else {**coef, "k": k})


maybe = partial(st.one_of, st.none())
laws = st.builds(_law, additive, maybe(st.floats(0.3, 1.2)))
limits = st.fixed_dictionaries(
    {
        "params": maybe(st.floats(8.0, 10.5)),
        "tokens": maybe(st.floats(9.0, 12.0)),
        "dollars": maybe(st.floats(2.0, 7.0)),
        "low": maybe(st.floats(0.5, 2.0)),
        "high": maybe(st.floats(2.0, 3.5)),
    }
)


def brute(law, cost, machine, flops, limit):
    """Best loss and size on ever finer grids, bounds inverted by halving where needed."""

    def most_tokens(n):
        low, high = np.full_like(n, -20.0), np.full_like(n, 60.0)
        for _ in range(80):
            mid = 0.5 * (low + high)
            d = np.exp(mid)
            spent = cost(n, d)
            ok = spent <= flops
            if limit["dollars"] is not None:
                share = machine.utilization
                share = share(n) if callable(share) else share
                hours = spent / (machine.count * machine.peak_flops * share) / 3600 * machine.count
                ok &= hours * machine.price_per_hour <= 10 ** limit["dollars"]
            if limit["tokens"] is not None:
                ok &= d <= 10 ** limit["tokens"]
            if limit["high"] is not None:
                ok &= d / n <= 10 ** limit["high"]
            low, high = np.where(ok, mid, low), np.where(ok, high, mid)
        return low

    def loss(log_n):
        n = np.exp(log_n)
        d = np.exp(most_tokens(n))
        bad = d < 1.0
        if limit["low"] is not None:
            bad |= d / n < 10 ** limit["low"] * (1 - 1e-12)
        if limit["params"] is not None:
            bad |= n > 10 ** limit["params"] * (1 + 1e-12)
        return np.where(bad, np.inf, law(params=n, tokens=np.maximum(d, 1.0)))

    left, right = 0.0, 60.0
    if limit["params"] is not None:
        right = np.log(10 ** limit["params"])
    for _ in range(7):
        grid = np.linspace(left, right, 1001)
        values = loss(grid)
        i = int(np.argmin(values))
        if not np.isfinite(values[i]):
            return None
        left, right = grid[max(i - 2, 0)], grid[min(i + 2, 1000)]
    return float(values[i]), float(np.exp(grid[i]))


@given(
    laws, st.sampled_from(sorted(COSTS)), st.sampled_from([MACHINE, BENT]), limits,
    st.floats(19.0, 25.0),
)  # fmt: skip
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_plan_under_limits_is_the_one_that_brute_force_finds(law, name, machine, limit, c):
    function, cost = COSTS[name]
    given_limits = {n: 10 ** limit[n] for n in ("params", "tokens", "dollars") if limit[n]}
    pair = tuple(None if limit[n] is None else 10 ** limit[n] for n in ("low", "high"))
    if pair != (None, None):
        given_limits["tokens_per_param"] = pair
    plan = sl.Planner(law, cost, hardware=machine, limits=given_limits).for_budget(flops=10**c)
    expected = brute(law, function, machine, 10**c, limit)
    assert plan.feasible == (expected is not None)
    if expected is None:
        assert plan.nearest
        assert plan.notes[0].code == "no_feasible_plan"
        return
    assert plan.best["loss"] == pytest.approx(expected[0], rel=1e-9)
    assert plan.best["params"] == pytest.approx(expected[1], rel=1e-4)


@given(laws, limits, st.floats(20.0, 24.0), st.sampled_from([MACHINE, BENT]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_limits_never_help_and_only_binding_ones_have_a_price(law, limit, c, machine):
    chosen = {n: 10 ** limit[n] for n in ("params", "tokens", "dollars") if limit[n]}
    free = sl.Planner(law, hardware=machine).for_budget(flops=10**c)
    held = sl.Planner(law, hardware=machine, limits=chosen).for_budget(flops=10**c)
    if not held.feasible:
        return
    assert held.best["loss"] >= free.best["loss"] * (1 - 1e-9)
    for name, bound in {**chosen, "flops": 10**c}.items():
        wider = {**chosen, name: bound * 1.02}
        flops = wider.pop("flops", 10**c)
        again = sl.Planner(law, hardware=machine, limits=wider).for_budget(flops=flops)
        gain = held.best["loss"] - again.best["loss"]
        assert gain >= -1e-9
        if name in held.binding:
            assert gain > 1e-10
        else:
            assert gain < 1e-7


def test_the_search_agrees_with_the_closed_form_for_budgets_and_targets():
    closed = sl.Planner(HOFFMANN).for_budget(flops=1e22)
    found = sl.Planner(HOFFMANN, hardware=MACHINE).for_budget(flops=1e22)
    for name in ("params", "tokens"):
        assert found.best[name] == pytest.approx(closed.best[name], rel=1e-6)
        assert found.near_optimal["params"] == pytest.approx(
            closed.near_optimal["params"], rel=1e-4
        )
    closed = sl.Planner(HOFFMANN).for_target(2.1)
    found = sl.Planner(HOFFMANN, hardware=MACHINE).for_target(2.1)
    assert found.best["flops"] == pytest.approx(closed.best["flops"], rel=1e-9)
    assert found.near_optimal["params"] == pytest.approx(closed.near_optimal["params"], rel=1e-4)


def test_time_money_and_compute_are_one_budget():
    planner = sl.Planner(EPOCH, hardware=MACHINE)
    seconds = planner.for_budget(seconds=14 * 86400)
    flops = 64 * 1e15 * 0.4 * 14 * 86400
    assert seconds.best["flops"] == pytest.approx(flops, rel=1e-9)
    assert seconds.best["device_hours"] == pytest.approx(64 * 14 * 24, rel=1e-9)
    dollars = planner.for_budget(dollars=64 * 14 * 24 * 2.0)
    assert dollars.best["params"] == pytest.approx(seconds.best["params"], rel=1e-6)
    assert dollars.binding == ("dollars",)
    both = planner.for_budget(dollars=1e3, seconds=14 * 86400)
    assert both.binding == ("dollars",)


def test_serving_makes_models_smaller_as_published():
    """Sardana et al. 2024, arXiv:2401.00448: quality of 13B, 2T tokens served: about 7B."""
    law = sl.published.HOFFMANN_2022_FULL
    plain = sl.Planner(law).for_params(13e9)
    planner = sl.Planner(law, LifetimeCost(2e12))
    plan = planner.for_target(plain.best["loss"])
    assert plan.best["params"] == pytest.approx(7.1e9, rel=0.02)
    assert plan.best["tokens"] / plain.best["tokens"] == pytest.approx(2.1, rel=0.02)
    n, d, coef = plan.best["params"], plan.best["tokens"], law.coef
    slope_n = coef["alpha"] * coef["A"] * n ** -coef["alpha"]
    slope_d = coef["beta"] * coef["B"] * d ** -coef["beta"]
    assert slope_n / slope_d == pytest.approx(1 + 2e12 / (3 * d), rel=1e-5)


def test_memory_of_the_served_model_is_a_hard_limit():
    fits = Limit(partial(serving_bytes, bits=8), at_most=24e9)
    planner = sl.Planner(EPOCH, LifetimeCost(1e12), limits={"serving memory": fits})
    plan = planner.for_target(2.0)
    assert plan.best["params"] == pytest.approx(24e9, rel=1e-6)
    assert plan.binding == ("serving memory",)
    assert planner.for_target(1.85).feasible is False


def test_sizes_that_can_be_built():
    sizes = [1e9, 3e9, 7e9, 13e9]
    plans = sl.Planner(EPOCH, sizes=sizes).frontier([1e20, 1e21, 1e22])
    assert set(plans.best["params"]) <= set(sizes)
    for i, flops in enumerate(plans.given["flops"]):
        losses = [float(EPOCH(params=n, tokens=flops / (6 * n))) for n in sizes]
        assert plans.best["loss"][i] == pytest.approx(min(losses), rel=1e-12)
    none = sl.Planner(EPOCH, sizes=lambda params: None).for_budget(flops=1e22)
    assert none.feasible is False
    assert none.nearest["params"] == pytest.approx(
        sl.Planner(EPOCH).for_budget(flops=1e22).best["params"], rel=1e-6
    )
    assert none.notes[0].code == "no_feasible_plan"

    def built(params):
        return 128 * round(params / 128e6) * 1e6 or None

    plan = sl.Planner(EPOCH, sizes=built).for_budget(flops=1e21)
    assert plan.best["params"] % 128e6 == 0


def test_plans_take_whole_steps():
    step = 4e6 * 3
    plan = sl.Planner(EPOCH, step_tokens=step).for_budget(flops=1e21)
    assert plan.best["tokens"] % step == 0
    assert 1e21 * (1 - 1e-3) < plan.best["flops"] <= 1e21 * (1 + 1e-12)
    reached = sl.Planner(EPOCH, step_tokens=step).for_target(2.3)
    assert reached.best["tokens"] % step == 0
    assert reached.best["loss"] <= 2.3
    with pytest.raises(sl.PlanError, match="step_tokens"):
        sl.Planner(EPOCH, step_tokens=0)


def test_enough_unique_tokens_change_nothing():
    """Acceptance test 26 of the field: repetition laws equal the plain law (arXiv:2305.16264)."""
    law = sl.published.MUENNIGHOFF_2023
    repeated = sl.get_law("repeated_data")
    coef = {**repeated.example, **{n: law.coef[n] for n in ("E", "A", "alpha", "B", "beta")}}
    with_u = repeated.with_coef({n: coef[n] for n in repeated.coefficient_names})
    plain = sl.Planner(law).for_budget(flops=1e21)
    free = sl.Planner(with_u, fixed={"unique_tokens": 1e13}).for_budget(flops=1e21)
    assert free.best["loss"] == pytest.approx(plain.best["loss"], rel=1e-6)
    scarce = sl.Planner(with_u, fixed={"unique_tokens": 1e9}).for_budget(flops=1e21)
    assert scarce.best["loss"] > plain.best["loss"]
    assert scarce.best["epochs"] > 1
    limited = sl.Planner(with_u, fixed={"unique_tokens": 1e9}, limits={"epochs": 4.0})
    plan = limited.for_budget(flops=1e21)
    assert plan.best["epochs"] <= 4 * (1 + 1e-9)
    assert "epochs" in plan.binding


def test_a_surface_over_learning_rate_and_batch_is_planned_within_what_was_measured():
    """Several quantities at once: the optimum of a quadratic in logarithms is known."""
    family = sl.get_law("additive_power").bind(("params", "tokens"))
    law = family.with_coef(
        {"E": 1.7, "A_params": 400, "alpha_params": 0.34, "A_tokens": 900, "alpha_tokens": 0.3}
    )
    pair = sl.Planner(sl.get_law("chinchilla").with_coef(
        {"E": 1.7, "A": 400, "alpha": 0.34, "B": 900, "beta": 0.3}
    )).for_budget(flops=1e21)  # fmt: skip
    other = sl.Planner(law, hardware=MACHINE).for_budget(flops=1e21)
    assert other.best["params"] == pytest.approx(pair.best["params"], rel=1e-6)


def test_shares_of_a_mixture_sum_to_one_and_match_the_known_optimum():
    """Two domains, additive with one exponent: the best share has a closed form."""
    family = sl.get_law("mixture_inverse").bind(("web", "code"))
    law = family.with_coef({"E": 1.5, "gamma": 0.5, "C_web": 1.0, "C_code": 0.5})
    plan = sl.Planner(law, limits={"web": 0.999}).for_budget()
    # sum C r^g is largest where C g r^(g-1) agree: r_web / r_code = (C_web / C_code)^2
    assert plan.best["web"] == pytest.approx(0.8, rel=1e-4)
    assert plan.best["web"] + plan.best["code"] == pytest.approx(1.0, abs=1e-12)
    capped = sl.Planner(law, limits={"web": 0.5}).for_budget()
    assert capped.best["web"] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "question", "text"),
    [
        ({"limits": {"dollars": 1.0}}, {"flops": 1e21}, "hardware="),
        ({"limits": {"memory": 1.0}}, {"flops": 1e21}, "cannot limit 'memory'"),
        ({"limits": {"params": "7B"}}, {"flops": 1e21}, "positive number"),
        ({"limits": {"params": (2.0, 1.0)}}, {"flops": 1e21}, "exclude each other"),
        ({"fixed": {"params": -1.0}}, {"flops": 1e21}, "params must be"),
        ({"ranges": {"parms": (1, 2)}}, {"flops": 1e21}, "Did you mean 'params'"),
        ({"hardware": MACHINE}, {}, "give a budget"),
        ({"fixed": {"params": 1e9}}, {}, "nothing bounds tokens"),
        ({"fixed": {"params": 1e9, "tokens": 1e10}}, {}, "nothing is left to choose"),
        ({"hardware": MACHINE}, {"seconds": np.nan}, "finite"),
        ({"spend": "euros", "hardware": MACHINE}, None, "spend='euros'"),
        ({"confidence": 0.9}, {"flops": 1e21}, "needs the draws"),
    ],
)
def test_what_cannot_be_planned_is_said(options, question, text):
    def asked():
        planner = sl.Planner(EPOCH, **options)
        return planner.for_target(2.0) if question is None else planner.for_budget(**question)

    with pytest.raises(sl.PlanError, match=text):
        asked()


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(0)
    n, d = (g.ravel() for g in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 6)))
    loss = 1.7 + 400 * n**-0.34 + 900 * d**-0.3
    runs = {"params": n, "tokens": d, "loss": loss * np.exp(0.003 * rng.standard_normal(36))}
    return sl.fit(runs, "chinchilla", draws=200)


def test_intervals_under_limits_are_those_of_the_closed_form(fit):
    closed = sl.Planner(fit).for_budget(flops=1e22)
    found = sl.Planner(fit, hardware=MACHINE).for_budget(flops=1e22)
    for end in ("low", "high"):
        for name in ("params", "tokens", "loss"):
            assert getattr(found, end)[name] == pytest.approx(getattr(closed, end)[name], rel=1e-4)
    again = fit.predict(**{n: found.best[n] for n in ("params", "tokens")})
    assert found.low["loss"] == pytest.approx(float(again.loss_low[0]), rel=1e-12)


def test_confidence_plans_for_bad_luck(fit):
    plain = sl.Planner(fit, hardware=MACHINE)
    sure = sl.Planner(fit, hardware=MACHINE, confidence=0.95)
    target = 2.2
    costlier = sure.for_target(target)
    assert costlier.best["flops"] > plain.for_target(target).best["flops"]
    ahead = fit.predict(params=costlier.best["params"], tokens=costlier.best["tokens"], level=0.9)
    assert float(ahead.loss_high[0]) == pytest.approx(target, rel=1e-6)


def test_intervals_of_a_safe_plan_are_those_of_plans_without_confidence(fit):
    """Each draw knows its own law, so the safe choice for all of them may lie outside."""
    plain, sure = (sl.Planner(fit, hardware=MACHINE, confidence=c) for c in (None, 0.95))
    usual, safe = (planner.for_target(2.2) for planner in (plain, sure))
    for name in ("params", "tokens", "flops"):
        assert safe.low[name] == pytest.approx(usual.low[name], rel=1e-3)
        assert safe.high[name] == pytest.approx(usual.high[name], rel=1e-3)
        assert usual.low[name] < usual.best[name] < usual.high[name]
    assert safe.best["flops"] > safe.high["flops"]
    assert safe.low["loss"] < safe.best["loss"] < safe.high["loss"]  # of a run of this very plan
    assert "90% interval without confidence=0.95" in str(safe)
    assert "without confidence" not in str(usual)


@pytest.mark.parametrize("flops", [1e20, 1e23])
def test_no_plan_of_a_grid_is_surer_than_the_one_with_confidence(fit, flops):
    """Far beyond the data, more tokens harm: the law may be wrong there."""
    best = sl.Planner(fit, confidence=0.95).for_budget(flops=flops).best
    params, tokens = (g.ravel() for g in np.meshgrid(np.geomspace(1e7, 1e11, 81),
                                                     np.geomspace(1e8, 1e13, 81)))  # fmt: skip
    inside = 6 * params * tokens <= flops
    inputs = {"params": np.append(params[inside], best["params"]),
              "tokens": np.append(tokens[inside], best["tokens"])}  # fmt: skip
    high = fit.predict_interval(inputs, level=0.9, kind="run")[1]
    assert high[-1] <= high[:-1].min() < high[-1] * 1.005
    assert best["flops"] <= flops * (1 + 1e-9)


def test_plans_are_data(fit):
    import json

    plan = sl.Planner(fit, hardware=MACHINE, limits={"params": 1e9}).for_budget(flops=1e21)
    back = json.loads(json.dumps(plan.to_dict()))
    assert back["binding"] == ["params", "flops"]
    assert set(back["prices"]) == {"params", "flops"}
    frame = plan.to_frame()
    assert frame.loc[0, "dollars"] == plan.best["dollars"]
    assert "binding; 1% more is worth" in str(plan)


def test_several_searched_inputs_meet_the_first_order_condition():
    """With compute the product of three inputs, all three gain alike from one percent more."""

    def cost(params, tokens, width):
        return 6.0 * params * tokens * width

    family = sl.get_law("additive_power").bind(("params", "tokens", "width"))
    law = family.with_coef(
        {
            "E": 1.7,
            "A_params": 400.0,
            "alpha_params": 0.34,
            "A_tokens": 900.0,
            "alpha_tokens": 0.3,
            "A_width": 5.0,
            "alpha_width": 0.5,
        }
    )
    volume = FunctionCost("volume", ("params", "tokens", "width"), cost)
    planner = sl.Planner(law, volume, ranges={"width": (1.0, 1e6)})
    best = planner.for_budget(flops=1e24).best
    assert best["params"] * best["tokens"] * best["width"] * 6 == pytest.approx(1e24, rel=1e-9)
    gains = [
        law.coef[f"alpha_{n}"] * law.coef[f"A_{n}"] * best[n] ** -law.coef[f"alpha_{n}"]
        for n in ("params", "tokens", "width")
    ]
    assert gains == pytest.approx([gains[0]] * 3, rel=1e-4)
    capped = sl.Planner(law, volume, ranges={"width": (1.0, 1e6)}, limits={"params": 1e9})
    plan = capped.for_budget(flops=1e24)
    assert plan.best["params"] == pytest.approx(1e9, rel=1e-6)
    held = sl.Planner(law, volume, ranges={"width": (1.0, 1e6)}, fixed={"params": 1e9})
    assert plan.best["loss"] == pytest.approx(held.for_budget(flops=1e24).best["loss"], rel=1e-9)


@given(st.lists(st.floats(0.2, 3.0), min_size=3, max_size=5), st.floats(0.2, 0.8))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_mixtures_of_any_number_of_domains_meet_their_closed_form(worth, gamma):
    """Shares that maximise sum C r^g are proportional to C^(1 / (1 - g))."""
    names = tuple(f"d{i}" for i in range(len(worth)))
    coef = {"E": 1.5, "gamma": gamma, **{f"C_{n}": c for n, c in zip(names, worth, strict=True)}}
    law = sl.get_law("mixture_inverse").bind(names).with_coef(coef)
    best = sl.Planner(law, limits={"d0": 1.0}).for_budget().best
    expected = np.array(worth) ** (1 / (1 - gamma))
    expected /= expected.sum()
    assert [best[n] for n in names] == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert best["loss"] == pytest.approx(
        float(law(**dict(zip(names, expected, strict=True)))), rel=1e-9
    )


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda params, width: params * width, "missing 1 required positional argument: 'width'"),
        (lambda params: params.shape[1], "IndexError"),
        (lambda params: {}[1], "KeyError"),
    ],
)
def test_a_limit_whose_function_fails_names_the_limit_and_its_inputs(function, said):
    planner = sl.Planner(
        sl.published.HOFFMANN_2022, limits={"memory": sl.Limit(function, at_most=1e9)}
    )
    with pytest.raises(sl.PlanError, match=r"limit 'memory': .*inputs=\('params',\)") as told:
        planner.for_budget(flops=1e21)
    assert said in str(told.value)
