"""Closing the loop on simulated training, whose truth is known: what was promised is checked."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulate import TRUTH

import scaling_laws as sl
from scaling_laws.loop.growing import grow
from scaling_laws.loop.verifying import verify

GOAL = {"params": 1e10, "tokens": 2e11}
NOISE = 0.003


def trainer(noise=NOISE, factor=1.0, calls=None, fail=(), stop_after=None):
    """A training function with the loss of `TRUTH`, noise set by the configuration."""

    def train(params, tokens, seed=0):
        if stop_after is not None and len(calls) >= stop_after:
            raise KeyboardInterrupt
        if calls is not None:
            calls.append((params, tokens, seed))
        if (round(params), round(tokens)) in fail:
            raise ValueError("diverged")
        rng = np.random.default_rng([seed, round(params) % 2**32, round(tokens) % 2**32])
        return float(
            factor * TRUTH(params=params, tokens=tokens) * np.exp(noise * rng.standard_normal())
        )

    return train


def candidates(levels=7, seeds=1):
    params, tokens = np.geomspace(1e7, 1e9, levels), np.geomspace(2e8, 2e10, levels)
    return sl.grid(params=params.round(), tokens=tokens.round(), seed=range(seeds))


def flops(table):
    return 6 * float((table.params * table.tokens).sum())


@pytest.fixture(scope="module")
def plan():
    train = trainer()
    table = [{**c, "loss": train(**c)} for c in candidates()]
    return sl.Planner(sl.fit(table, "chinchilla", draws=300)).for_budget(flops=1e21)


# ------------------------------------------------------------------------------------ verify


def test_a_right_plan_is_verified(plan):
    found = verify(plan, trainer(), seeds=5)
    assert found.inside
    assert abs(found.z) < 1.645
    assert found.low < found.result < found.high
    assert found.table.seed.tolist() == [0, 1, 2, 3, 4]
    assert found.result == pytest.approx(np.median(found.table.loss))
    assert found.table.params.tolist() == [plan.best["params"]] * 5
    assert found.notes == ()
    assert json.loads(json.dumps(found.to_dict()))["inside"] is True
    assert "inside" in str(found)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_wrong_plan_is_caught(plan, factor):
    found = verify(plan, trainer(factor=factor), seeds=2)
    assert not found.inside
    assert np.sign(found.z) == np.sign(factor - 1)
    assert abs(found.z) > 1.645
    assert [note.code for note in found.notes] == ["outside_interval"]
    assert not found.table.inside.any()
    assert "OUTSIDE" in str(found)
    page = found._repr_html_()
    assert "OUTSIDE" in page
    assert "<td>ok</td>" in page
    assert "<li><code>outside_interval</code>" in page


def test_the_deviation_at_the_interval_s_ends_is_that_of_its_level(plan):
    for end, quantile in ((plan.low["loss"], 0.05), (plan.high["loss"], 0.95)):
        found = verify(plan, lambda params, end=end: end)
        assert found.quantile == pytest.approx(quantile)
        assert abs(found.z) == pytest.approx(1.6448536, rel=1e-6)
    centre = verify(plan, lambda params: plan.best["loss"])
    assert centre.z == 0.0
    assert centre.quantile == 0.5


def test_nine_in_ten_right_plans_come_out_inside():
    """A known curve measured anew: the share inside is the level, and less for a wrong curve."""
    samples = np.geomspace(1e3, 1e5, 16)
    rng = np.random.default_rng(0)
    shares = []
    for factor in (1.0, 1.1):
        hits = []
        for _ in range(60):
            table = {"samples": samples, "loss": 5 * samples**-0.3 * rng.normal(1, 0.02, 16)}
            fit = sl.fit(table, "power", inputs=("samples",), draws=200, law_error=False)
            plan = sl.Planner(fit).for_target(0.14)

            def train(samples, factor=factor):
                return 5 * samples**-0.3 * rng.normal(factor, 0.02)

            hits.append(verify(plan, train).inside)
        shares.append(np.mean(hits))
    assert 0.80 <= shares[0] <= 0.98  # 0.9 and 2.6 standard errors of 60
    assert shares[1] < 0.3


def test_bounded_targets_are_compared_in_log_odds():
    samples = np.geomspace(100, 10_000, 12)
    rng = np.random.default_rng(1)
    error = np.exp(0.02 * rng.standard_normal(12)) * 2 * samples**-0.5
    table = {"samples": samples, "accuracy": 1 - error}
    fit = sl.fit(table, "power_with_floor", target="accuracy", inputs=("samples",), draws=200)
    plan = sl.Planner(fit).for_target(0.985)
    assert verify(plan, lambda samples: {"accuracy": 1 - 2 * samples**-0.5}).inside
    perfect = verify(plan, lambda samples: {"accuracy": 1.0})
    assert perfect.z == np.inf
    assert perfect.quantile == 1.0
    assert perfect.to_dict()["z"] is None


def test_runs_that_fail_are_told():
    table = {"samples": [10.0, 30, 100, 300, 1000], "loss": [1.0, 0.62, 0.33, 0.2, 0.11]}
    plan = sl.Planner(sl.fit(table, "power", inputs=("samples",), draws=100)).for_target(0.05)

    def train(samples, seed):
        if seed < 2:
            raise RuntimeError("no memory")
        return 0.05

    some = verify(plan, train, seeds=3)
    assert some.inside
    assert [(n.code, n.severity) for n in some.notes] == [("verification_failed_runs", "info")]
    none = verify(plan, train, seeds=2)
    assert not none.inside
    assert np.isnan(none.z)
    assert "nothing measured in 2 runs" in str(none)
    assert "nothing measured in 2 runs" in none._repr_html_()
    assert repr(none) == str(none)
    assert "RuntimeError: no memory" in none.notes[0].message
    assert none.notes[0].severity == "warning"


def test_train_gets_what_it_takes_and_what_is_given(plan):
    seen = []

    def named(params, width, depth=3):
        seen.append((params, width, depth))
        return plan.best["loss"]

    def anything(**config):
        seen.append(set(config))
        return plan.best["loss"]

    verify(plan, named, given={"width": 64})
    verify(plan, anything, given={"params": 7e8})
    assert seen[0] == (plan.best["params"], 64, 3)
    assert seen[1] >= {"params", "tokens", "flops", "seed"}
    assert "loss" not in seen[1]
    with pytest.raises(sl.MeasureError, match="train needs 'width'"):
        verify(plan, named)


def test_a_verification_is_resumed(plan, tmp_path):
    calls = []
    for _ in range(2):
        verify(plan, trainer(calls=calls), seeds=2, log=tmp_path / "runs.jsonl")
    assert len(calls) == 2


def test_what_cannot_be_verified_is_refused(plan):
    train = trainer()
    bare = sl.Planner(TRUTH)
    many = sl.Planner(TRUTH).for_budget(flops=[1e20, 1e21])
    for wrong, message in (
        (TRUTH, "starts from a Plan, got Law"),
        (many, "holds 2 answers"),
        (bare.for_target(0.1), "nothing answers"),
        (bare.for_budget(flops=1e20), "no interval"),
    ):
        with pytest.raises(sl.PlanError, match=message):
            verify(wrong, train)
    with pytest.raises(sl.MeasureError, match="seeds must be"):
        verify(plan, train, seeds=0)
    with pytest.raises(sl.MeasureError, match="must take 'seed'"):
        verify(plan, lambda params: 1.0, seeds=2)
    with pytest.raises(sl.MeasureError, match="train returned accuracy, not the plan's target"):
        verify(plan, lambda params: {"accuracy": 1.0})


# -------------------------------------------------------------------------------------- grow


def test_a_growth_ends_at_its_budget_and_its_prediction_holds():
    calls = []
    grown = grow(
        trainer(calls=calls), candidates=candidates(), at=GOAL, budget=1e20, laws="chinchilla"
    )
    assert grown.spent <= 1e20
    assert grown.spent == pytest.approx(flops(grown.runs))
    assert len(calls) == len(grown.runs) == len(set(calls))
    assert grown.reason in {"budget", "rounds"}
    (told,) = grown.prediction.to_dict("records")
    assert told["loss_low"] < TRUTH(**GOAL) < told["loss_high"]
    assert grown.rounds.spent.is_monotonic_increasing
    assert grown.rounds.width.iloc[-1] == grown.width < grown.rounds.width.iloc[0]
    assert grown.source.predict(**GOAL, kind="mean").loss[0] == told["loss"]
    assert json.loads(json.dumps(grown.to_dict()))["reason"] == grown.reason
    assert "Grown to" in str(grown)


@settings(max_examples=8)
@given(st.floats(17.5, 21), st.integers(1, 4), st.integers(0, 5))
def test_the_budget_is_never_exceeded(log_budget, rounds, seed):
    paid = []

    def train(params, tokens, seed):
        paid.append(6 * params * tokens)
        if len(paid) % 5 == 3:
            raise ValueError("diverged")
        return float(TRUTH(params=params, tokens=tokens))

    budget = 10.0**log_budget
    grown = grow(
        train, candidates=candidates(5), at=GOAL, budget=budget, laws="chinchilla",
        rounds=rounds, seed=seed, draws=60,
    )  # fmt: skip
    assert sum(paid) <= budget * (1 + 1e-12)
    assert grown.spent == pytest.approx(sum(paid))


def test_a_growth_goes_on_after_an_interruption(tmp_path):
    asked = {"candidates": candidates(), "at": GOAL, "budget": 3e19, "laws": "chinchilla"}
    log, calls = tmp_path / "runs.jsonl", []
    with pytest.raises(KeyboardInterrupt):
        grow(trainer(calls=calls, stop_after=12), **asked, log=log)
    assert len(calls) == 12
    grown = grow(trainer(calls=calls), **asked, log=log)
    assert len(calls) == len(set(calls)) == len(grown.runs)
    assert 6 * sum(p * t for p, t, _ in calls) <= 3e19
    again = grow(trainer(calls=calls), **asked, log=log)
    assert len(again.runs) >= len(grown.runs)
    assert 6 * sum(p * t for p, t, _ in calls) <= 3e19


def test_the_same_seed_grows_the_same_runs():
    asked = {"candidates": candidates(5), "at": GOAL, "budget": 1e19, "laws": "chinchilla"}
    one, two = (grow(trainer(), **asked, draws=100) for _ in range(2))
    assert one.runs.params.tolist() == two.runs.params.tolist()
    assert one.width == two.width


def test_it_stops_as_soon_as_the_interval_is_narrow():
    asked = {"candidates": candidates(), "at": GOAL, "budget": 1e20, "laws": "chinchilla"}
    whole = grow(trainer(), **asked)
    wide = whole.rounds.width.iloc[1] * 1.01
    some = grow(trainer(), **asked, width=wide)
    assert some.reason == "narrow"
    assert some.width <= wide
    assert some.spent < whole.spent


def test_every_candidate_may_be_made():
    grown = grow(trainer(), candidates=candidates(4), at=GOAL, budget=1e25, laws="chinchilla")
    assert grown.reason == "candidates"
    assert len(grown.runs) == 16


def test_failed_runs_are_paid_told_and_not_tried_again():
    calls, cells = [], candidates(5)
    fail = {(c["params"], c["tokens"]) for c in cells if c["params"] > 9e8}
    grown = grow(
        trainer(calls=calls, fail=fail), candidates=cells, at=GOAL, budget=1e25, laws="chinchilla"
    )
    failed = grown.runs[grown.runs.status != "ok"]
    assert 0 < len(failed) <= 5
    assert len(calls) == len(set(calls))
    assert grown.spent == pytest.approx(flops(grown.runs))
    assert "growth_failed_runs" in {note.code for note in grown.notes}


def test_several_laws_are_weighed_and_seeds_repeat_runs():
    cells = candidates(4, seeds=2)
    grown = grow(
        trainer(), candidates=cells, at=GOAL, budget=2e19, laws=["chinchilla", "coupled"],
        rounds=1, draws=100,
    )  # fmt: skip
    assert set(grown.source.weights) <= {"chinchilla", "coupled"}
    assert not grown.runs.duplicated(["params", "tokens", "seed"]).any()


def test_costs_of_any_column_and_many_goals():
    def train(samples):
        return float(0.1 + samples**-0.5)

    table = pd.DataFrame({"samples": 2.0 ** np.arange(4, 14), "dollars": np.arange(1.0, 11)})
    goals = {"samples": [1e5, 1e6]}
    grown = grow(
        train, candidates=table, at=goals, budget=30, cost="dollars", laws="power_with_floor",
        draws=100,
    )  # fmt: skip
    assert grown.cost_unit == "dollars"
    assert grown.spent == grown.runs.cost.sum() <= 30
    assert "dollars" not in grown.runs
    assert len(grown.prediction) == 2
    assert grown.width == grown.prediction.width.max()


def test_too_small_a_budget_is_told_not_guessed():
    cells = candidates()
    cheapest = 6 * 1e7 * 2e8
    with pytest.raises(sl.PlanError, match="cannot pay one candidate"):
        grow(trainer(), candidates=cells, at=GOAL, budget=cheapest / 2)
    grown = grow(trainer(), candidates=cells, at=GOAL, budget=3 * cheapest, laws="chinchilla")
    assert grown.source is None
    assert grown.width == np.inf
    assert "growth_not_fitted" in {note.code for note in grown.notes}
    assert grown.to_dict()["width"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": float("nan")}, "budget must be a positive number"),
        ({"budget": -1}, "budget must be a positive number"),
        ({"budget": "1e20"}, "budget must be a positive number"),
        ({"budget": True}, "budget must be a positive number"),
        ({"width": 0}, "width must be a positive number"),
        ({"rounds": 0}, "rounds must be a whole number"),
        ({"start": 2.5}, "start must be a whole number"),
        ({"level": 90}, "level must be in"),
        ({"at": {"params": [], "tokens": []}}, "at= has no points"),
        ({"at": {"params": 1e9, "tokens": -1}}, "at="),
        ({"candidates": [{"params": 1e7}]}, "lacks the column 'tokens'"),
        ({"candidates": [{"params": float("nan"), "tokens": 1e8}]}, "candidates"),
        ({"candidates": [{"params": 1e7, "tokens": 1e8}] * 2}, "more than once"),
        ({"candidates": [{"params": 1e7, "tokens": 1e8, "status": "ok"}]}, "column 'status'"),
        ({"candidates": [{"params": 1e7, "tokens": 1e8, "data": object()}]}, "cannot be kept"),
        ({"cost": "dollars"}, "dollars"),
    ],
)
def test_a_growth_that_cannot_be_set_up_trains_nothing(change, message):
    def train(**config):
        pytest.fail("trained")

    asked = {"candidates": candidates(3), "at": GOAL, "budget": 1e20, **change}
    with pytest.raises(sl.PlanError, match=message):
        grow(train, **asked)
