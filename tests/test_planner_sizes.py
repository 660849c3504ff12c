"""Plans of sizes that can be built, and of what is held, against all plans tried one by one."""

import dataclasses
from functools import partial

import numpy as np
import pytest

import scaling_laws as sl
from scaling_laws.planning import solving
from scaling_laws.planning.limits import Limit

EPOCH = sl.published.BESIROGLU_2024
SIZES = np.unique(np.random.default_rng(0).lognormal(np.log(2e9), 2.0, 1000).round())


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(1)
    params, tokens = 10 ** rng.uniform(7, 9.5, 60), 10 ** rng.uniform(9, 11, 60)
    loss = EPOCH(params=params, tokens=tokens) * np.exp(0.002 * rng.standard_normal(60))
    return sl.fit({"params": params, "tokens": tokens, "loss": loss}, "chinchilla", draws=100)


def _each(fit, flops, sizes):
    """Loss of every draw at every size."""
    coef = tuple(column[:, None] for column in fit.draws.T)
    return fit.law.family.evaluate([sizes[None], flops / (6 * sizes[None])], coef)


def test_a_thousand_sizes_give_each_draw_its_own_best(fit):
    plan = sl.Planner(fit, sizes=SIZES, level=0.8).for_budget(flops=1e22)
    assert plan.best["params"] == SIZES[fit.law(params=SIZES, tokens=1e22 / (6 * SIZES)).argmin()]
    own = SIZES[_each(fit, 1e22, SIZES).argmin(axis=1)]
    assert len(np.unique(own)) > 5
    ends = np.quantile(own, [0.1, 0.9])
    assert [plan.low["params"], plan.high["params"]] == pytest.approx(ends, rel=1e-12)


def test_sizes_with_gaps_and_a_limit_of_ones_own(fit):
    """The best plan lies between two clusters, then beyond what memory holds."""
    sizes = np.concatenate([np.geomspace(1e6, 5e8, 400), np.geomspace(2e10, 1e13, 400)])
    plan = sl.Planner(fit, sizes=sizes).for_budget(flops=1e22)
    loss = fit.law(params=sizes, tokens=1e22 / (6 * sizes))
    assert plan.best["params"] == sizes[loss.argmin()]
    memory = {"memory": Limit(partial(np.multiply, 2.0), at_most=4e8)}
    held = sl.Planner(fit, sizes=sizes, limits=memory).for_budget(flops=1e22)
    assert held.best["params"] == sizes[sizes <= 2e8].max()
    none = sl.Planner(fit, sizes=sizes, limits={"params": (1e9, 1e10)}).for_budget(flops=1e22)
    assert none.feasible is False


def test_a_target_takes_the_cheapest_size(fit):
    plan = sl.Planner(fit, sizes=SIZES).for_target(2.2)
    flops = sl.Planner(fit.law).for_params(SIZES, target=2.2).best["flops"]
    assert plan.best["params"] == SIZES[np.nanargmin(flops)]
    assert plan.best["flops"] == pytest.approx(np.nanmin(flops), rel=1e-9)


def test_sizes_where_another_quantity_is_chosen_with_them():
    """The best of `width` grows with size: every size has its own."""

    def function(params, tokens, width, a, b, c):
        off = np.log(width / (1e-3 * params**0.5))
        return 1.7 + a * params**-0.35 + b * tokens**-0.37 + c * off**2

    names = (("a", 480.0), ("b", 2000.0), ("c", 0.01))
    family = sl.LawFamily(
        "widths",
        function,
        ("params", "tokens", "width"),
        tuple(sl.Coefficient(n, "shape", 0.0, np.inf, None, (v / 2, 2 * v)) for n, v in names),
    )
    law = family.with_coef(dict(names))
    sizes = np.geomspace(1e8, 1e11, 300)
    planner = sl.Planner(law, sizes=sizes, ranges={"width": (1.0, 1e4)})
    plan = planner.for_budget(flops=1e21)
    wide = 1e-3 * sizes**0.5
    loss = law(params=sizes, tokens=1e21 / (6 * sizes), width=wide)
    assert plan.best["params"] == sizes[loss.argmin()]
    assert plan.best["width"] == pytest.approx(wide[loss.argmin()], rel=1e-3)
    assert plan.best["loss"] == pytest.approx(loss.min(), rel=1e-9)


def test_the_work_does_not_grow_with_the_list(fit, monkeypatch):
    """A few solves for any number of sizes."""
    seen = []
    solve = solving.Task.solve

    def counted(self, **options):
        seen.append(1)
        return solve(self, **options)

    monkeypatch.setattr(solving.Task, "solve", counted)
    sl.Planner(fit, sizes=SIZES[::100]).for_budget(flops=1e22)
    few = len(seen)
    sl.Planner(fit, sizes=SIZES).for_budget(flops=1e22)
    assert len(seen) == 2 * few < 20


def _recommender():
    """Recall of interactions and factors; best at 8 (interactions / 1000)^0.4 factors."""

    def function(interactions, factors, gain):
        off = np.log(factors) - np.log(8 * (interactions / 1e3) ** 0.4)
        return 0.1 + gain * np.log(interactions) - 0.02 * off**2

    family = sl.LawFamily(
        "recommender",
        function,
        ("interactions", "factors"),
        (sl.Coefficient("gain", "shape", 0.0, np.inf, None, (0.01, 0.1)),),
        increasing=True,
    )
    law = family.with_coef({"gain": 0.04})
    measured = (("interactions", 1e3, 1e5), ("factors", 4.0, 256.0))
    return dataclasses.replace(law, validity=measured)


def test_what_is_held_is_enough_where_nothing_grows_without_end():
    law = _recommender()
    plan = sl.Planner(law, fixed={"interactions": 8e5}, target="recall").for_budget()
    assert plan.best["factors"] == pytest.approx(8 * 800**0.4, rel=1e-4)
    assert plan.best["interactions"] == 8e5
    limited = sl.Planner(
        law, fixed={"interactions": 8e5}, limits={"factors": 256.0}, target="recall"
    ).for_budget()
    assert plan.best == pytest.approx(limited.best, rel=1e-6)
    ranged = sl.Planner(law, ranges={"interactions": (1e3, 1e4)}, target="recall").for_budget()
    assert ranged.best["interactions"] == pytest.approx(1e4, rel=1e-9)
    with pytest.raises(sl.PlanError, match=r"give a budget, or a planner with limits= or fixed="):
        sl.Planner(law, target="recall").for_budget()
    with pytest.raises(sl.PlanError, match="ask without a budget"):
        sl.Planner(law, fixed={"interactions": 8e5}, target="recall").for_budget(flops=1e20)


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
    """A law with draws."""

    law: sl.Law
    draws: np.ndarray
    target: str = "loss"
    ranges: dict = dataclasses.field(default_factory=dict)

    def predict_interval(self, inputs, *, level, kind):
        value = self.law(**inputs)
        return value - 0.1, value + 0.1


@pytest.mark.parametrize("options", [{}, {"limits": {"flops": 1e22}}])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.2])
def test_an_interval_that_ends_with_the_search_says_so(options, share):
    """Draws in which size does not matter want none of it."""

    def twin(*arguments):
        return EPOCH.family.function(*arguments)

    family = dataclasses.replace(EPOCH.family, function=twin, value_and_jacobian=None)
    law = dataclasses.replace(EPOCH, family=family)
    rng = np.random.default_rng(0)
    draws = np.array(law.values) * np.exp(0.01 * rng.standard_normal((100, 5)))
    draws[: round(100 * share), law.family.coefficient_names.index("A")] = 0.0
    plan = sl.Planner(Drawn(law, draws), **options).for_budget(flops=1e21)
    found = [n for n in plan.notes if n.code == "interval_on_edge"]
    if share < 0.05:
        assert plan.low["params"] > 1e8
        assert not found
        return
    assert plan.low["params"] == pytest.approx(1.0, rel=1e-5)
    assert plan.best["params"] == pytest.approx(
        sl.Planner(EPOCH).for_budget(flops=1e21).best["params"], rel=1e-5
    )
    assert found[0].details == {"ends": {"params": 1.0}, "rows": 1}


@pytest.mark.parametrize("short", [20, 40])
def test_draws_that_never_reach_a_target_count_alike_with_and_without_limits(short):
    """Some floors lie above the target: as infinite in both intervals, the others as they are."""
    rng = np.random.default_rng(0)
    draws = np.array(EPOCH.values) * np.exp(0.01 * rng.standard_normal((101, 5)))
    floor = EPOCH.family.coefficient_names.index("E")
    draws[:short, floor] = 2.3
    source = Drawn(EPOCH, draws)
    plain = sl.Planner(source, level=0.5).for_target(2.2)
    limited = sl.Planner(source, level=0.5, limits={"params": 1e40}).for_target(2.2)
    assert np.isinf(plain.high["params"]) == (short > 25)
    for name in ("params", "tokens", "flops"):
        assert limited.low[name] == pytest.approx(plain.low[name], rel=1e-6)
        assert limited.high[name] == pytest.approx(plain.high[name], rel=1e-6)
    assert limited.share == plain.share == pytest.approx(1 - short / 101)
