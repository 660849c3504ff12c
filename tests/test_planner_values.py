"""Marginal values, trade-offs, regret, anchored plans, and planners in threads."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import scaling_laws as sl
from scaling_laws.planning.anchor import get_anchor
from scaling_laws.planning.costs.cost import Cost
from scaling_laws.planning.costs.hardware import Hardware

EPOCH = sl.published.BESIROGLU_2024
MACHINE = Hardware("node", 1e15, 80e9, count=64, utilization=0.4, price_per_hour=2.0)


def isoflop_runs(law, budgets, noise=0.0, seed=0, drift=0.0):
    """Runs of an isoFLOP study; ``drift`` bends the truth away from the law."""
    rng = np.random.default_rng(seed)
    n, d = [], []
    for c in budgets:
        best = sl.Planner(law).for_budget(flops=c).best["params"] * (c / 1e19) ** drift
        sizes = best * np.geomspace(0.25, 4, 9)
        n += list(sizes)
        d += list(c / (6 * sizes))
    n, d = np.array(n), np.array(d)
    loss = np.asarray(law(params=n, tokens=d)) * np.exp(noise * rng.standard_normal(len(n)))
    return {"params": n, "tokens": d, "loss": loss}


@pytest.fixture(scope="module")
def fit():
    runs = isoflop_runs(EPOCH, [1e18, 3e18, 1e19, 3e19, 1e20], noise=0.003)
    return sl.fit(runs, "chinchilla", draws=200)


def test_smaller_models_for_longer_cost_what_de_vries_found():
    """de Vries 2023, "Go smol or go home": with exponents .336 and .283, a size of .75, .5, .3 and
    .25 of the optimum costs 2.8 %, 20 %, about 100 % and 188 % more compute, at any scale."""
    law = sl.get_law("chinchilla").with_coef(
        {"E": 1.69, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283}
    )
    planner = sl.Planner(law)
    for flops in (1e20, 1e24):
        best = planner.for_budget(flops=flops).best["params"]
        k = np.array([1, 0.75, 0.5, 0.3, 0.25])
        table = planner.trade_off("params", best * k, flops=flops)
        tokens = (1 - (k**-0.336 - 1) * 0.283 / 0.336) ** (-1 / 0.283)
        assert table.overhead.to_numpy() == pytest.approx(k * tokens - 1, rel=1e-5, abs=1e-7)
        published = [0, 0.028, 0.20, 1.0, 1.88]  # read off and rounded there
        assert table.overhead.to_numpy() == pytest.approx(published, rel=0.06, abs=1e-6)
        assert table.excess.iloc[0] == pytest.approx(0, abs=1e-9)
        assert (table.excess.iloc[1:] > 0).all()
    critical = best * (1 + 0.336 / 0.283) ** (-1 / 0.336)
    table = planner.trade_off("params", [0.98 * critical], flops=1e24)
    assert np.isinf(table.overhead[0])  # below the critical size no data suffices


def test_trade_offs_have_intervals_that_hold_the_point(fit):
    planner = sl.Planner(fit)
    best = planner.for_budget(flops=1e20).best["params"]
    table = planner.trade_off("params", best * np.array([0.3, 3.0]), flops=1e20)
    assert (table.excess_low <= table.excess).all()
    assert (table.excess <= table.excess_high).all()
    with pytest.raises(sl.PlanError, match="'width' is not free"):
        planner.trade_off("width", [1.0], flops=1e20)


def test_marginal_values_agree_at_the_optimum_and_tell_the_bottleneck_elsewhere():
    planner = sl.Planner(EPOCH, hardware=MACHINE)
    best = planner.for_budget(flops=1e22).best
    table = planner.marginal(params=best["params"], tokens=best["tokens"])
    assert table.per_flop["params"] == pytest.approx(table.per_flop["tokens"], rel=1e-4)
    scarce = planner.marginal(params=best["params"], tokens=best["tokens"] / 10)
    assert scarce.per_dollar["tokens"] > 2 * scarce.per_dollar["params"]
    # closed form: dL/dln N = -alpha A N^-alpha
    coef = EPOCH.coef
    slope = coef["alpha"] * coef["A"] * best["params"] ** -coef["alpha"]
    assert table.gain["params"] == pytest.approx(slope * np.log(1.01), rel=1e-5)
    one_percent = table.gain["params"] / (0.01 * 6 * best["params"] * best["tokens"])
    assert table.per_flop["params"] == pytest.approx(one_percent, rel=1e-9)


def test_marginal_values_of_a_fit_have_intervals(fit):
    table = sl.Planner(fit).marginal(params=1e9, tokens=2e10)
    assert (table.gain_low <= table.gain).all()
    assert (table.gain <= table.gain_high).all()
    with pytest.raises(sl.PlanError, match="missing"):
        sl.Planner(fit).marginal(params=1e9)


def test_a_plan_has_no_regret_where_it_is_the_best_of_every_draw(fit):
    planner = sl.Planner(fit, anchor=False)
    plan = planner.for_budget(flops=1e21)
    table = planner.regret(plan, flops=1e21)
    assert (table[["mean", "median", "high"]] >= 0).all().all()
    off = {n: plan.best[n] * (5 if n == "params" else 0.2) for n in ("params", "tokens")}
    assert planner.regret(off, flops=1e21)["mean"].iloc[0] > 3 * table["mean"].iloc[0]
    with pytest.raises(sl.PlanError, match="no draws"):
        sl.Planner(EPOCH).regret(plan, flops=1e21)


def test_regret_by_law_of_a_selection():
    runs = isoflop_runs(EPOCH, [1e18, 3e18, 1e19, 3e19, 1e20], noise=0.003)
    selection = sl.select(runs, draws=60, focuses=(0.0, 1.0))
    planner = sl.Planner(selection)
    plan = planner.for_budget(flops=1e21)
    table = planner.regret(plan, flops=1e21)
    assert set(table.index) <= {"all", *selection.weights}
    assert table.loc["all", "draws"] == 60
    limited = sl.Planner(selection, limits={"params": 1e9}).for_budget(flops=1e21)
    assert limited.best["params"] <= 1e9 * (1 + 1e-9)
    assert limited.low["loss"] < limited.best["loss"] < limited.high["loss"]


def test_beyond_an_isoflop_study_plans_start_from_its_last_optimum():
    """Where sizes really grow more slowly than the law thinks, the anchor is nearer the truth."""
    budgets = [1e18, 3e18, 1e19, 3e19, 1e20]
    runs = isoflop_runs(EPOCH, budgets)
    off = sl.fit(runs, "chinchilla", draws=50, fixed={"alpha": 0.6, "beta": 0.25})
    truth = sl.Planner(EPOCH).for_budget(flops=1e22).best["params"]
    anchored = sl.Planner(off).for_budget(flops=1e22)
    alone = sl.Planner(off, anchor=False).for_budget(flops=1e22)
    wrong = [abs(np.log(p.best["params"] / truth)) for p in (anchored, alone)]
    assert wrong[0] < 0.3 * wrong[1]
    assert anchored.best["flops"] == 1e22
    note = next(n for n in anchored.notes if n.code == "anchored_to_measured_optimum")
    assert note.details["flops"] == pytest.approx(1e20, rel=1e-6)
    assert anchored.low["params"] <= anchored.best["params"] <= anchored.high["params"]
    low, high = anchored.near_optimal["params"]
    assert low < anchored.best["params"] < high
    priced = sl.Planner(off, hardware=MACHINE).for_budget(flops=1e22)
    assert priced.best["params"] == pytest.approx(anchored.best["params"], rel=1e-5)
    assert priced.near_optimal["params"] == pytest.approx((low, high), rel=1e-3)
    capped = sl.Planner(off, limits={"params": 1e9}).for_budget(flops=1e22)
    assert capped.best["params"] == pytest.approx(1e9, rel=1e-6)
    ahead = off.predict(params=anchored.best["params"], tokens=anchored.best["tokens"])
    assert anchored.best["loss"] == pytest.approx(float(ahead.loss[0]), rel=1e-12)


def test_the_measured_optimum_is_found_once_and_is_no_part_of_a_planner(monkeypatch):
    fit = sl.fit(isoflop_runs(EPOCH, [1e18, 1e19, 1e20]), "chinchilla", draws=0)
    found = []

    def counted(*arguments):
        found.append(arguments)
        return get_anchor(*arguments)

    monkeypatch.setattr("scaling_laws.planning.planner.get_anchor", counted)
    asked, fresh = sl.Planner(fit), sl.Planner(fit)
    plans = [asked.for_budget(flops=flops) for flops in (1e21, 1e22)]
    assert len(found) == 1
    assert asked == fresh
    assert copy.copy(asked) == fresh
    assert pickle.loads(pickle.dumps(asked)).for_budget(flops=1e22) == plans[1]
    assert replace(asked, anchor=False).for_budget(flops=1e22) != plans[1]
    assert replace(asked, cost=Cost("8ND", 8.0)).for_budget(flops=1e22) != plans[1]


def test_runs_that_are_no_isoflop_study_do_not_anchor():
    n, d = (g.ravel() for g in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 6)))
    runs = {"params": n, "tokens": d, "loss": EPOCH(params=n, tokens=d)}
    fit = sl.fit(runs, "chinchilla", draws=0)
    plans = [sl.Planner(fit, anchor=a).for_budget(flops=1e22) for a in (True, False)]
    assert plans[0] == plans[1]


def test_a_thousand_plans_from_threads_are_those_of_one(fit, tmp_path):
    """As a framework calls it: from a loaded file, from many threads, without state."""
    path = tmp_path / "fit.json"
    fit.save(path)
    loaded = sl.load(path)
    plain = sl.Planner(loaded)
    priced = sl.Planner(loaded, hardware=MACHINE, limits={"params": 2e9})
    budgets = np.geomspace(1e19, 1e22, 490)

    def ask(i):
        if i % 98 == 97:
            return priced.for_budget(dollars=1e3 * (1 + i % 5)).to_dict()
        return plain.for_budget(flops=budgets[i % 490]).to_dict()

    alone = [ask(i) for i in range(1000)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(ask, range(1000)))
    assert together == alone
    direct = sl.Planner(fit).for_budget(flops=budgets[3]).to_dict()
    assert direct["best"] == pytest.approx(alone[3]["best"])


def test_a_plan_in_a_sentence_says_what_it_assumes(fit):
    said = sl.Planner(fit, hardware=MACHINE).for_budget(flops=1e20).summary()
    assert "90 % of runs" in said
    assert said.endswith("a cost of 6ND and 64 x node at 40 % of their peak.")
    unreachable = sl.Planner(fit).for_target(0.1).summary()
    assert "no plan reaches it" in unreachable
    both = sl.Planner(fit).frontier([1e19, 1e20]).summary()
    assert "2 of 2 have a plan" in both
    held = sl.Planner(fit, fixed={"tokens": 1e10}).for_budget(flops=1e20).summary()
    assert "tokens 1e+10" in held
