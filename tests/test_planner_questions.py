"""Plans from a fit's draws, and questions that cannot be asked."""

import copy
import json
import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest

import scaling_laws as sl
from scaling_laws.errors import PlanError
from scaling_laws.laws import joint, published
from scaling_laws.laws.family import Law
from scaling_laws.laws.registry import get_law
from scaling_laws.planning.planner import Planner

RANGES = {"params": (1e7, 1e10), "tokens": (1e9, 1e12), "flops": (1e18, 1e22)}


@dataclass(frozen=True, eq=False)
class Drawn:
    """Smallest thing a planner takes for a fit: a law, draws, and intervals from them."""

    law: Law
    draws: np.ndarray
    target: str
    ranges: dict

    def predict_interval(self, inputs, *, level, kind):
        assert kind == "run"
        values = [np.atleast_1d(inputs[n]) for n in self.law.inputs]
        every = self.law.family.evaluate(values, tuple(c[:, None] for c in self.draws.T))
        return tuple(np.quantile(every, [0.5 - level / 2, 0.5 + level / 2], axis=0))


def drawn(law, k=400, spread=0.02, target="loss", ranges=RANGES):
    rng = np.random.default_rng(0)
    draws = np.array(law.values) * np.exp(spread * rng.standard_normal((k, len(law.values))))
    return Drawn(law, draws, target, ranges)


FIT = drawn(published.HOFFMANN_2022)


def test_interval_is_made_of_the_optima_of_every_draw():
    plan = Planner(FIT, level=0.8).for_budget(flops=1e23)
    _, A, alpha, B, beta = FIT.draws.T
    share = beta / (alpha + beta)
    params = (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * (1e23 / 6) ** share
    low, high = np.exp(np.quantile(np.log(params), [0.1, 0.9]))
    assert plan.low["params"] == pytest.approx(low, rel=1e-10)
    assert plan.high["params"] == pytest.approx(high, rel=1e-10)
    assert plan.low["params"] < plan.best["params"] < plan.high["params"]
    assert plan.low["flops"] == plan.high["flops"] == 1e23
    assert list(plan.low) == list(plan.high) == list(plan.best)
    assert plan.share is None


def test_interval_of_the_target_is_the_fits_own_at_the_plan():
    plan = Planner(FIT, level=0.8).for_budget(flops=1e23)
    at = {n: plan.best[n] for n in ("params", "tokens")}
    low, high = FIT.predict_interval(at, level=0.8, kind="run")
    assert (plan.low["loss"], plan.high["loss"]) == (low[0], high[0])


def test_arrays_equal_numbers_one_by_one():
    planner = Planner(FIT)
    budgets = np.geomspace(1e19, 1e24, 1200)
    plan = planner.frontier(budgets)
    for i in (0, 600, 1199):
        one = planner.for_budget(flops=budgets[i])
        for part in ("best", "low", "high"):
            for name, value in getattr(one, part).items():
                assert getattr(plan, part)[name][i] == pytest.approx(value, rel=1e-12)
    frame = plan.to_frame()
    assert {"params", "params_low", "params_high", "loss_low", "params_more"} <= set(frame)


def test_interval_widens_with_the_level():
    narrow, wide = (Planner(FIT, level=q).for_budget(flops=1e23) for q in (0.5, 0.95))
    assert wide.low["params"] < narrow.low["params"] < narrow.high["params"] < wide.high["params"]


def test_search_gives_the_same_intervals():
    law = FIT.law

    def twin(*arguments):
        return law.family.function(*arguments)

    family = replace(law.family, function=twin, value_and_jacobian=None)
    other = replace(FIT, law=replace(law, family=family), draws=FIT.draws[:50])
    closed = replace(FIT, draws=FIT.draws[:50])
    for ask in (
        lambda p: p.for_budget(flops=1e23),
        lambda p: p.for_target(2.0),
        lambda p: p.for_target([1.7, 2.0]),
        lambda p: p.for_params(1e10),
        lambda p: p.for_params(1e10, target=2.05),
    ):
        a, b = ask(Planner(closed)), ask(Planner(other))
        np.testing.assert_array_equal(a.share, b.share)
        for name in a.low:
            np.testing.assert_allclose(b.low[name], a.low[name], rtol=1e-7)
            np.testing.assert_allclose(b.high[name], a.high[name], rtol=1e-7)


def test_compute_interval_of_a_target():
    plan = Planner(FIT).for_target(2.0)
    E, A, alpha, B, beta = FIT.draws.T
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    reducible = (A * G**-alpha + B * G**beta) / (2.0 - E)
    flops = 6 * reducible ** ((alpha + beta) / (alpha * beta))
    low, high = np.exp(np.quantile(np.log(flops), [0.05, 0.95]))
    assert plan.low["flops"] == pytest.approx(low, rel=1e-9)
    assert plan.high["flops"] == pytest.approx(high, rel=1e-9)
    assert plan.share == 1.0


def test_draws_that_cannot_reach_the_target_count_as_infinite():
    plan = Planner(FIT).for_target(1.72)
    share = np.mean(FIT.draws[:, 0] < 1.72)
    assert plan.feasible
    assert 0 < plan.share == share < 1
    assert np.isinf(plan.high["flops"])
    assert np.isfinite(plan.low["flops"])
    assert np.isfinite(plan.high["tokens_per_param"])
    assert {"target_near_limit", "optimum_outside_data"} <= {n.code for n in plan.notes}
    assert plan.to_dict()["high"]["flops"] is None
    json.dumps(plan.to_dict(), allow_nan=False)


def test_infeasible_with_draws_gives_the_share_that_reaches_it():
    plan = Planner(FIT).for_target(1.66)
    assert not plan.feasible
    assert plan.best == plan.low == {}
    assert plan.share == pytest.approx(np.mean(FIT.draws[:, 0] < 1.66))
    assert plan.notes[0].details["share"] == plan.share > 0
    assert "draws reach it" in str(plan)


def test_samples_needed_with_an_interval():
    law = get_law("power_with_floor", ("samples",)).bind(increasing=True)
    law = law.with_coef({"E": 0.95, "A": 2, "alpha": 0.4})
    fit = drawn(law, spread=0.005, target="accuracy", ranges={"samples": (100.0, 3000.0)})
    plan = Planner(fit).for_target(0.9)
    E, A, alpha = fit.draws.T
    needed = (A / (E - 0.9)) ** (1 / alpha)
    low, high = np.exp(np.quantile(np.log(needed), [0.05, 0.95]))
    assert plan.low["samples"] == pytest.approx(low, rel=1e-9)
    assert plan.high["samples"] == pytest.approx(high, rel=1e-9)
    assert plan.more["samples"] == pytest.approx(40**2.5 / 3000)
    assert plan.low["accuracy"] < 0.9 < plan.high["accuracy"]


def test_fixed_size_with_draws():
    plan = Planner(FIT).for_params(1e10, target=2.05)
    assert plan.low["params"] == plan.high["params"] == 1e10
    assert plan.low["tokens"] < plan.best["tokens"] < plan.high["tokens"]
    spent = Planner(FIT).for_params(1e10, flops=1e22)
    assert spent.low["tokens"] == pytest.approx(spent.best["tokens"], rel=1e-12)
    assert spent.low["loss"] < spent.best["loss"] < spent.high["loss"]


def test_flat_draws_need_no_less_than_the_smallest_run():
    """A flat draw below the target meets it anywhere, which the runs measured deny."""
    samples = np.geomspace(50, 160, 5).repeat(3)
    noise = np.random.default_rng(0).normal(0, 0.1, len(samples))
    runs = {"samples": samples, "error": 0.03 + samples**-0.5 * np.exp(noise)}
    selection = sl.select(runs, target="error", inputs=("samples",), draws=200)
    plan = Planner(selection).for_target(0.08)
    assert plan.low["samples"] >= 50 * (1 - 1e-12)
    assert plan.low["samples"] <= plan.best["samples"] <= plan.high["samples"]


def test_draws_that_failed_are_left_out():
    draws = FIT.draws.copy()
    draws[::7] = np.nan
    plan = Planner(replace(FIT, draws=draws)).for_target(2.0)
    assert plan.share == 1.0
    assert np.isfinite(plan.high["flops"])


def test_degenerate_draws_do_not_poison_the_interval():
    draws = FIT.draws.copy()
    draws[:4, 1] = 0.0
    plan = Planner(replace(FIT, draws=draws)).for_budget(flops=1e23)
    assert np.isfinite(plan.low["params"])
    assert np.isfinite(plan.high["tokens"])


def test_no_draws_means_no_interval():
    plan = Planner(replace(FIT, draws=np.empty((0, 5)))).for_budget(flops=1e23)
    assert plan.low == {}
    assert plan.best


def test_drawn_plans_are_values():
    plan = Planner(FIT).frontier([1e20, 1e23])
    assert pickle.loads(pickle.dumps(plan)) == copy.deepcopy(plan) == plan
    assert "90% interval" in str(Planner(FIT).for_budget(flops=1e22))


def test_integers_are_counts():
    planner = Planner(published.HOFFMANN_2022)
    assert planner.for_budget(flops=10**24).best == planner.for_budget(flops=1e24).best
    ours = planner.for_params(np.int64(7 * 10**10), flops=np.array(588 * 10**21, dtype=object))
    assert ours.best["tokens"] == pytest.approx(1.4e12)
    exact = planner.for_params(np.array([10**10, 7 * 10**10], dtype=np.int64), flops=1e24)
    np.testing.assert_allclose(exact.best["flops"], 1e24)


@pytest.mark.parametrize(
    "flops",
    [
        0,
        -1e22,
        float("nan"),
        float("inf"),
        "1e24",
        "64 H100",
        1j,
        True,
        [],
        [[1e22]],
        [1e22, 0],
        [1e22, "1e23"],
        {"a": 1},
        b"1",
    ],
)
def test_budget_must_be_a_positive_number(flops):
    with pytest.raises(PlanError, match="for_budget: flops must be"):
        Planner(published.HOFFMANN_2022).for_budget(flops=flops)


def test_a_budget_is_asked_for():
    with pytest.raises(PlanError, match="for_budget: give a budget"):
        Planner(published.HOFFMANN_2022).for_budget()


def test_the_bad_row_is_named():
    with pytest.raises(PlanError, match=r"row 1 has 0\.0"):
        Planner(published.HOFFMANN_2022).for_budget(flops=[1e22, 0])


@pytest.mark.parametrize(
    "law", [published.HOFFMANN_2022, published.KAPLAN_2020, published.MUENNIGHOFF_2023]
)
def test_a_speed_is_not_a_budget(law):
    with pytest.raises(PlanError, match="FLOP/s: multiply by the seconds"):
        Planner(law).for_budget(flops=1e9)
    with pytest.raises(PlanError, match="FLOP/s"):
        Planner(law).for_params(1e9, flops=[1e22, 1e9])


def test_a_speed_is_caught_for_a_cluster_and_a_fit():
    with pytest.raises(PlanError, match="FLOP/s"):
        Planner(published.HOFFMANN_2022).for_budget(flops=64 * 1e12)
    with pytest.raises(PlanError, match="FLOP/s"):
        Planner(FIT).for_budget(flops=9.9e14)


def test_a_speed_is_caught_for_a_law_of_compute():
    law = get_law("power_with_floor").with_coef(
        {"E": 1.7, "A": 2500, "alpha": 0.17}, validity=(("flops", 1e18, 1e21),)
    )
    with pytest.raises(PlanError, match="FLOP/s"):
        Planner(law).for_budget(flops=1e14)
    assert Planner(law).for_budget(flops=1e20).notes == ()


@pytest.mark.parametrize("target", ["2.0", None, float("nan"), float("inf"), [], True])
def test_target_must_be_a_number(target):
    with pytest.raises(PlanError, match="for_target: loss must be"):
        Planner(published.HOFFMANN_2022).for_target(target)


def test_both_budget_and_target():
    with pytest.raises(PlanError, match="not both"):
        Planner(published.HOFFMANN_2022).for_params(1e9, flops=1e22, target=2.0)
    with pytest.raises(PlanError, match="not both"):
        Planner(published.HOFFMANN_2022).for_tokens(1e9, flops=1e22, target=2.0)


def test_lengths_must_agree():
    with pytest.raises(PlanError, match="different length"):
        Planner(published.HOFFMANN_2022).for_params([1e9, 2e9], flops=[1e22, 1e23, 1e24])


@pytest.mark.parametrize(
    ("level", "said"),
    [(95, "Did you mean 0.95"), (0, r"\(0, 1\)"), (1, r"\(0, 1\)"), (-1, "got -1"), ("a", "'a'")],
)
def test_level(level, said):
    with pytest.raises(PlanError, match=said):
        Planner(published.HOFFMANN_2022, level=level)


@pytest.mark.parametrize("tolerance", [0, -0.1, float("nan"), float("inf"), "2%", True])
def test_tolerance(tolerance):
    with pytest.raises(PlanError, match="tolerance must be a positive fraction"):
        Planner(published.HOFFMANN_2022, tolerance=tolerance)


def test_source_of_the_wrong_type():
    with pytest.raises(PlanError, match="Give the family numbers first"):
        Planner(joint.chinchilla)
    for wrong in ("chinchilla", None, 3, {}):
        with pytest.raises(PlanError, match="a Law or a fit, got"):
            Planner(wrong)
    with pytest.raises(PlanError, match=r"shape \(400, 3\)"):
        Planner(replace(FIT, draws=FIT.draws[:, :3]))
    with pytest.raises(PlanError, match="contradicts"):
        Planner(FIT, target="accuracy")


def test_a_law_without_the_inputs_names_the_question_to_ask():
    family = get_law("power_with_floor", ("samples",))
    planner = Planner(family.with_coef(family.example))
    for ask in (
        lambda: planner.for_budget(flops=1e22),
        lambda: planner.for_params(1e9),
        lambda: planner.for_tokens(1e9),
    ):
        with pytest.raises(PlanError, match=r"a law of samples: for_target\(value\)"):
            ask()
    family = get_law("additive_power", ("params", "tokens", "width"))
    three = Planner(family.with_coef(family.example))
    with pytest.raises(PlanError, match="nothing says where 'width' may lie"):
        three.for_target(2.0)
    with pytest.raises(PlanError, match="nothing says where 'width' may lie"):
        three.for_budget(flops=1e22)


def test_a_share_asked_for_in_percent_is_recognised():
    n = np.geomspace(50, 5e3, 8)
    curve = sl.fit({"samples": n, "accuracy": 0.97 - n**-0.6}, "power_with_floor",
                   target="accuracy", inputs=("samples",), draws=0)  # fmt: skip
    note = Planner(curve).for_target(95).notes[0]
    assert note.code == "target_above_ceiling"
    assert note.message.endswith("Did you mean 0.95?")
    assert Planner(curve).for_target(0.99).notes[0].message.endswith("Ask for less.")
