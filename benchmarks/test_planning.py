"""Speed of plans: budgets per second in closed form, one budget with 1,000 draws.

Run with ``pytest benchmarks/test_planning.py``; the bounds are those the library promises.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from scaling_laws.laws import published
from scaling_laws.laws.family import Law
from scaling_laws.planning.costs.hardware import Hardware
from scaling_laws.planning.planner import Planner

pytest.importorskip("pytest_benchmark")

LAW = published.HOFFMANN_2022
RANGES = {n: (low, high) for n, low, high in LAW.validity}


@dataclass(frozen=True, eq=False)
class Drawn:
    law: Law
    draws: np.ndarray
    target: str
    ranges: dict

    def predict_interval(self, inputs, *, level, kind):
        assert kind == "run"
        values = [inputs[n] for n in self.law.inputs]
        every = self.law.family.evaluate(values, tuple(c[:, None] for c in self.draws.T))
        return tuple(np.quantile(every, [0.5 - level / 2, 0.5 + level / 2], axis=0))


def searched(law):
    """The same law under a function the closed forms do not know."""

    def twin(*arguments):
        return law.family.function(*arguments)

    family = replace(law.family, function=twin, value_and_jacobian=None)
    return replace(law, family=family)


def drawn(law, k=1000):
    rng = np.random.default_rng(0)
    draws = np.array(law.values) * np.exp(0.02 * rng.standard_normal((k, len(law.values))))
    return Drawn(law, draws, "loss", RANGES)


def test_closed_form_budgets_per_second(benchmark):
    planner, budgets = Planner(LAW), np.geomspace(1e18, 1e26, 100_000)
    benchmark(planner.frontier, budgets)
    if benchmark.stats is not None:
        assert len(budgets) / benchmark.stats.stats.median > 1e5


def test_one_budget_of_a_published_law(benchmark):
    benchmark(Planner(LAW).for_budget, flops=1e24)


@pytest.mark.parametrize("form", [lambda law: law, searched], ids=["closed", "searched"])
def test_one_budget_with_a_thousand_draws(benchmark, form):
    benchmark(Planner(drawn(form(LAW))).for_budget, flops=1e22)
    if benchmark.stats is not None:
        assert benchmark.stats.stats.median < 0.05


@pytest.mark.parametrize("form", [lambda law: law, searched], ids=["closed", "searched"])
def test_one_target_with_a_thousand_draws(benchmark, form):
    benchmark(Planner(drawn(form(LAW))).for_target, 2.0)


def test_frontier_with_a_thousand_draws(benchmark):
    benchmark(Planner(drawn(LAW)).frontier, np.geomspace(1e19, 1e24, 50))


def test_searched_frontier(benchmark):
    benchmark(Planner(searched(LAW)).frontier, np.geomspace(1e19, 1e24, 1000))


MACHINE = Hardware("node", 1e15, 80e9, count=64, utilization=0.4, price_per_hour=2.0)


def test_any_law_with_a_thousand_draws(benchmark):
    """One budget, one searched input, solved for every draw."""
    planner = Planner(drawn(searched(LAW)), hardware=MACHINE)
    benchmark(planner.for_budget, flops=1e22)
    if benchmark.stats is not None:
        assert benchmark.stats.stats.median < 0.1


def test_a_plan_under_limits_with_a_thousand_draws(benchmark):
    limits = {"params": 3e9, "tokens_per_param": (None, 100.0), "dollars": 1e5}
    planner = Planner(drawn(LAW), hardware=MACHINE, limits=limits)
    benchmark(planner.for_budget, seconds=14 * 86400)
    if benchmark.stats is not None:
        assert benchmark.stats.stats.median < 0.3


def test_a_target_under_limits(benchmark):
    planner = Planner(LAW, hardware=MACHINE, limits={"tokens_per_param": (None, 100.0)})
    benchmark(planner.for_target, 2.0)


def test_a_thousand_sizes_with_two_hundred_draws(benchmark):
    planner = Planner(drawn(LAW, 200), sizes=np.geomspace(1e6, 1e13, 1000))
    benchmark(planner.for_budget, flops=1e22)
    if benchmark.stats is not None:
        assert benchmark.stats.stats.median < 0.5


def test_a_plan_with_confidence(benchmark):
    """The source's own interval is asked for thousands of plans."""
    planner = Planner(drawn(LAW), confidence=0.9)
    benchmark(planner.for_budget, flops=1e22)
    if benchmark.stats is not None:
        assert benchmark.stats.stats.median < 1.0
