"""What could go wrong in plans under limits, and once did."""

import numpy as np
import pytest

import scaling_laws as sl
from scaling_laws.laws.family import Coefficient, LawFamily
from scaling_laws.planning.costs.cost import LifetimeCost
from scaling_laws.planning.costs.hardware import Hardware

EPOCH = sl.published.BESIROGLU_2024
NODE = Hardware("node", 1e15, 80e9, count=64, utilization=0.4, price_per_hour=2.0)


def _harmed(N, D, U, E, A, alpha, B, beta, K):
    return E + A * N**-alpha + B * D**-beta + K * (D / U) * (N / U) ** 0.3


@pytest.fixture(scope="module")
def harmed():
    """A law that repeats of the data harm."""
    names = ("E", "A", "alpha", "B", "beta", "K")
    family = LawFamily(
        "harmed",
        _harmed,
        ("params", "tokens", "unique_tokens"),
        tuple(Coefficient(n, "shape", 0.0, np.inf, None, (0.1, 1.0)) for n in names),
    )
    return family.with_coef(
        {"E": 1.8, "A": 480.0, "alpha": 0.35, "B": 2000.0, "beta": 0.37, "K": 0.002}
    )


@pytest.fixture(scope="module")
def blend():
    family = sl.get_law("mixture_inverse").bind(("web", "code", "books"))
    return family.with_coef({"E": 1.5, "gamma": 0.5, "C_web": 1.0, "C_code": 0.6, "C_books": 0.4})


@pytest.fixture(scope="module")
def fit():
    return sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100)


@pytest.mark.parametrize("target", [2.5, 2.3, 2.27])
def test_targets_where_tokens_may_harm(harmed, target):
    plan = sl.Planner(harmed, fixed={"unique_tokens": 1e10}).for_target(target)
    n = np.geomspace(1e6, 1e13, 1400)[:, None]
    d = np.geomspace(1e7, 1e15, 3000)
    loss = harmed(params=n, tokens=d, unique_tokens=1e10)
    cheapest = np.where(loss <= target, 6 * n * d, np.inf).min()
    assert plan.best["flops"] == pytest.approx(cheapest, rel=0.02)
    assert plan.best["loss"] == pytest.approx(target, rel=1e-6)


@pytest.mark.parametrize(
    "limits",
    [
        {"web": 0.3},
        {"web": 0.1, "books": 0.1},
        {"code": 0.1, "books": 0.1},
        {"books": (0.4, None)},
        {"web": 0.35, "code": (0.5, None)},
    ],
)
def test_mixtures_under_limits_are_those_of_a_grid(blend, limits):
    plan = sl.Planner(blend, limits=limits).for_budget()
    w, c = np.meshgrid(np.linspace(0, 1, 1001), np.linspace(0, 1, 1001))
    shares = {"web": w, "code": c, "books": np.clip(1 - w - c, 0, 1)}
    allowed = w + c <= 1 + 1e-12
    for name, limit in limits.items():
        low, high = limit if isinstance(limit, tuple) else (0.0, limit)
        allowed &= (shares[name] >= (low or 0) - 1e-9) & (shares[name] <= (high or 1) + 1e-9)
    best = np.where(allowed, blend(**shares), np.inf).min()
    assert plan.best["loss"] <= best + 1e-9
    assert sum(plan.best[n] for n in shares) == pytest.approx(1, abs=1e-9)
    for name, limit in limits.items():
        low, high = limit if isinstance(limit, tuple) else (0.0, limit)
        assert (low or 0) - 1e-9 <= plan.best[name] <= (high or 1) + 1e-9


def test_a_share_that_is_held_leaves_the_rest_to_the_others(blend):
    plan = sl.Planner(blend, fixed={"books": 0.1}, limits={"web": 0.5}).for_budget()
    assert plan.best["web"] + plan.best["code"] == pytest.approx(0.9, abs=1e-9)
    table = sl.Planner(blend, limits={"web": 0.9}).trade_off("books", [0.1, 0.5])
    assert (table.excess >= -1e-9).all()
    ranged = sl.Planner(blend, ranges={"books": (0.0, 0.05)}, limits={"web": 0.9}).for_budget()
    assert ranged.best["books"] <= 0.05 + 1e-9
    with pytest.raises(sl.PlanError, match=r"sum of 1\.2"):
        sl.Planner(blend, fixed={"books": 0.6, "web": 0.6}, limits={"code": 1.0}).for_budget()


def test_sizes_from_numpy_and_from_long_lists():
    rule = sl.Planner(EPOCH, sizes=lambda n: np.round(n / 128e6) * 128e6 or None)
    assert rule.for_budget(flops=1e22).best["params"] == pytest.approx(9.1e9, rel=0.02)
    many = sl.Planner(EPOCH, sizes=np.arange(1, 9000) * 128e6).for_budget(flops=1e26)
    free = sl.Planner(EPOCH).for_budget(flops=1e26).best["params"]
    assert many.best["params"] == pytest.approx(free, rel=1e-3)


def test_whole_steps_never_break_a_limit():
    assert sl.Planner(EPOCH, step_tokens=1e13).for_budget(flops=1e22).feasible is False
    capped = sl.Planner(EPOCH, limits={"tokens": 5e11}, step_tokens=4e11).for_target(2.05)
    assert capped.feasible is False or capped.best["tokens"] <= 5e11
    least = sl.Planner(EPOCH, limits={"tokens": (2.5e11, None)}, step_tokens=1e11)
    plan = least.for_budget(flops=1e22)
    assert plan.best["tokens"] >= 2.5e11 if plan.feasible else plan.nearest


def test_the_nearest_miss_misses_by_least():
    planner = sl.Planner(EPOCH, LifetimeCost(served_tokens=1e12))
    plan = planner.for_params(7e10, flops=1e22)
    assert plan.feasible is False
    broken = plan.notes[0].details["broken"]["flops"]
    assert broken == pytest.approx(2 * 7e10 * 1e12 / 1e22, rel=0.01)


def test_limits_that_exclude_each_other_under_a_target():
    limits = {"params": 1e9, "tokens": 1e9, "flops": (1e22, None)}
    plan = sl.Planner(EPOCH, limits=limits).for_target(2.0)
    assert plan.limit is None
    assert [n.code for n in plan.notes] == ["no_feasible_plan"]


def test_targets_of_any_size():
    family = sl.get_law("chinchilla").bind(increasing=True)
    law = family.with_coef({"E": 1e12, "A": 4.8e13, "alpha": 0.35, "B": 2e14, "beta": 0.37})
    plain = sl.Planner(law).for_budget(flops=1e22)
    found = sl.Planner(law, limits={"params": 1e13}).for_budget(flops=1e22)
    assert found.best["params"] == pytest.approx(plain.best["params"], rel=1e-5)


def test_what_is_held_has_no_interval(fit):
    plan = sl.Planner(fit, fixed={"params": 3e6}).for_target(1.1)
    assert plan.low["params"] == plan.high["params"] == 3e6
    with pytest.raises(sl.PlanError, match="already held"):
        sl.Planner(fit, fixed={"params": 3e6}).for_params(1e6, flops=1e15)


def test_regret_is_never_negative_whatever_the_planner_is_sure_of(fit):
    planner = sl.Planner(fit, confidence=0.9)
    plan = sl.Planner(fit).for_budget(flops=1e15)
    assert planner.regret(plan, flops=1e15)["mean"].iloc[0] >= 0
    with pytest.raises(sl.PlanError, match="breaks flops"):
        sl.Planner(fit).regret({"params": 1e9, "tokens": 1e12}, flops=1e15)
    with pytest.raises(sl.PlanError, match="one budget"):
        planner.regret(plan, flops=[1e15, 1e17])


def test_ranges_hold_under_confidence(fit):
    planner = sl.Planner(fit, confidence=0.9, ranges={"params": (1e5, 1e6)})
    assert 1e5 <= planner.for_budget(flops=1e15).best["params"] <= 1e6 * (1 + 1e-9)


def test_amounts_cannot_be_held_but_by_a_law_that_reads_them():
    with pytest.raises(sl.PlanError, match="fixed names 'flops'"):
        sl.Planner(EPOCH, fixed={"flops": 1e20}).for_budget(flops=1e22)
    law = sl.get_law("power_with_floor").bind(("flops",))
    law = law.with_coef({"E": 1.7, "A": 2000.0, "alpha": 0.15})
    plan = sl.Planner(law, hardware=NODE).for_budget(seconds=1e6)
    assert plan.best["flops"] == pytest.approx(64 * 1e15 * 0.4 * 1e6, rel=1e-9)


def test_targets_of_laws_of_one_input_under_limits():
    law = sl.get_law("power_with_floor").bind(("samples",), increasing=True)
    law = law.with_coef({"E": 0.99, "A": 2.0, "alpha": 0.5})
    plan = sl.Planner(law, limits={"samples": 1e6}, target="accuracy").for_target(0.95)
    assert plan.best["samples"] == pytest.approx((2 / 0.04) ** 2, rel=1e-6)
    short = sl.Planner(law, limits={"samples": 1e3}, target="accuracy").for_target(0.95)
    assert short.feasible is False
    assert short.limit == pytest.approx(0.99 - 2 * 1e3**-0.5, rel=1e-6)


def test_utilisation_by_scalar_functions_and_beyond_their_range():
    for rule in (lambda n: 0.4 if n > 1e9 else 0.3, lambda n: min(0.5, 0.05 * np.log10(n) - 0.05)):
        machine = Hardware("node", 1e15, 80e9, count=64, utilization=rule)
        plan = sl.Planner(EPOCH, hardware=machine).for_budget(seconds=1e6)
        share = rule(plan.best["params"])
        assert plan.best["flops"] == pytest.approx(64 * 1e15 * share * 1e6, rel=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"limits": [1]},
        {"ranges": {"params": 5}},
        {"ranges": {"params": (1, 2, 3)}},
        {"hardware": "H100"},
        {"spend": 5},
        {"spend": "dolars"},
        {"anchor": "no"},
        {"fixed": {"params": 0}},
        {"target": 5},
        {"target": "params"},
        {"step_tokens": np.nan},
        {"sizes": "7B"},
        {"confidence": True},
    ],
)
def test_options_of_the_wrong_kind(options):
    with pytest.raises(sl.PlanError):
        sl.Planner(EPOCH, **options).for_budget(flops=1e22)


@pytest.mark.parametrize("plan", [5, {"params": "x", "tokens": 1e9}, {"params": -1, "tokens": 1}])
def test_regret_of_what_is_no_plan(fit, plan):
    with pytest.raises(sl.PlanError):
        sl.Planner(fit).regret(plan, flops=1e15)
