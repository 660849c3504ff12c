"""Results are values: copies and pickles say the same, threads and processes change no bit."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from functools import cache

import numpy as np
import pandas as pd
import pytest
from simulate import grid_runs

import scaling_laws as sl

AT = {"params": [1e9, 1e11], "tokens": [1e10, 1e12]}
CANDIDATES = {"params": [1e9, 1e10], "tokens": [1e11, 1e12]}


@cache
def _fit():
    return sl.fit(grid_runs(4, 4), "chinchilla", draws=20, law_error=False)


@cache
def _selection():
    return sl.select(grid_runs(4, 4), ["chinchilla", "coupled"], focuses=(0.0,), draws=20)


def _grouped_runs():
    parts = [grid_runs(4, 4, seed=i).assign(corpus=name) for i, name in enumerate("ab")]
    return pd.concat(parts, ignore_index=True)


def _isoflop_runs():
    flops, share = (v.ravel() for v in np.meshgrid([1e18, 1e19, 1e20], np.linspace(-1, 1, 7)))
    params = np.sqrt(flops / 120) * 2.0**share
    law = sl.published.BESIROGLU_2024
    tokens = flops / (6 * params)
    loss = law(params=params, tokens=tokens)
    return pd.DataFrame({"params": params, "tokens": tokens, "flops": flops, "loss": loss})


def _fit_of_seconds():
    runs = grid_runs(4, 4)
    runs["seconds"] = 6 * runs.params * runs.tokens / 1e15
    return sl.fit(runs, "product", inputs=["params", "tokens"], target="seconds", draws=0)


def _chain():
    runs = grid_runs(4, 4)
    runs["error"] = 0.8 - 0.9 * np.exp(-0.4 * runs.loss)
    options = {"draws": 20, "law_error": False}
    link = sl.fit(runs, "loss_to_error", inputs=("loss",), target="error", **options)
    return sl.chain(sl.fit(runs, "chinchilla", **options), link)


def _plan():
    return sl.Planner(_fit()).for_budget(flops=[1e22, 1e23])


MADE = {
    "ArchitectureCost": lambda: sl.ArchitectureCost(sl.ShapeRule()),
    "Baseline": lambda: sl.constant_exponent(_isoflop_runs()),
    "Chain": _chain,
    "Coefficient": lambda: sl.get_law("chinchilla").coefficients[0],
    "Comparison": lambda: sl.compare(
        {"a": _fit(), "b": _fit()}, at=AT, pooling="apart", law_error=False
    ),
    "Cost": lambda: sl.Cost("6ND", 6.0),
    "CriticalBatch": lambda: sl.CriticalBatch(1e6, 1e9),
    "DesignScore": lambda: sl.score_design(_fit(), CANDIDATES, at=AT),
    "Diagnosis": lambda: sl.diagnose(_fit(), {"params": 1e10, "tokens": 1e11}),
    "Factors": lambda: sl.factors(_fit(), at={"params": 1e10, "tokens": 1e11}),
    "Fit": _fit,
    "Fitter": lambda: sl.Fitter(fixed={"E": 1.8}, draws=0),
    "FittedCost": lambda: sl.FittedCost(_fit_of_seconds(), quantity="seconds", flops_per_unit=1e15),
    "FunctionCost": lambda: sl.FunctionCost("c", ("params", "tokens"), np.multiply),
    "GroupedSelection": lambda: sl.select(
        _grouped_runs(), ["chinchilla"], group="corpus", focuses=(0.0,), draws=5
    ),
    "GroupedFit": lambda: sl.fit(_grouped_runs(), "chinchilla", group="corpus", draws=5),
    "Hardware": lambda: sl.get_accelerator("H100-SXM", count=8),
    "Huber": lambda: sl.Huber(1e-3),
    "IsoFLOP": lambda: sl.fit_isoflop(_isoflop_runs(), draws=10),
    "Ladder": lambda: sl.ladder(_fit(), at={"params": 1e11, "tokens": 1e12}),
    "Latency": lambda: sl.Latency((0.1, 0.2), 0.3),
    "Law": lambda: sl.published.HOFFMANN_2022,
    "LawFamily": lambda: sl.get_law("coupled"),
    "Limit": lambda: sl.Limit(np.sqrt, at_most=1e5, inputs=("params",)),
    "LifetimeCost": lambda: sl.LifetimeCost(served_tokens=1e12),
    "Manifest": lambda: sl.manifest(sl.subsets(10, [2, 4])),
    "NextRuns": lambda: sl.next_runs(_fit(), CANDIDATES, at=AT, budget=1e24),
    "Note": lambda: sl.Note("code", "info", "text", {"a": 1}),
    "Parametrization": lambda: sl.parametrization("janoschek"),
    "Plan": _plan,
    "Planner": lambda: sl.Planner(_fit(), limits={"params": 1e9}),
    "ProductCost": lambda: sl.ProductCost("c", 6.0, (("params", 1.0), ("tokens", 1.0))),
    "ReadReport": lambda: sl.read_report(sl.read_runs(grid_runs(3, 3))),
    "Selection": _selection,
    "ShapeRule": lambda: sl.ShapeRule(),
    "SweepProgress": lambda: sl.SweepProgress(1, 2, 0, 0.5, 0.5, 1e9, {"params": 1}, "finished"),
    "Transformer": lambda: sl.Transformer(12, 768, 12, 64, 3072, 50000, 1024),
    "TokenSubset": lambda: sl.token_subsets([5, 6, 7], [10])[10],
    "Verification": lambda: sl.verify(
        sl.Planner(_fit()).for_budget(flops=1e20),
        lambda params, tokens: sl.published.BESIROGLU_2024(params=params, tokens=tokens),
    ),
}
# Two hold functions that no pickle takes; an envelope and a growth take long to make.
ELSEWHERE = {"CleaningStep", "Envelope", "Growth"}


def same(one, other):
    """Whether two results hold the same, arrays and tables bit for bit."""
    if isinstance(one, pd.DataFrame | pd.Series):
        return one.equals(other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.tobytes() == other.tobytes()
    if is_dataclass(one) and not isinstance(one, type):
        return type(one) is type(other) and all(
            same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one)
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(v, other[k]) for k, v in one.items())
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return np.float64(one).tobytes() == np.float64(other).tobytes()
    if callable(one) and callable(other):  # equal functions need not be the same object
        return type(one) is type(other)
    return one is other or one == other


def test_every_public_frozen_class_is_tried_or_named():
    public = {
        n for n in sl.__all__ if is_dataclass(getattr(sl, n)) and isinstance(getattr(sl, n), type)
    }
    assert public == set(MADE) | ELSEWHERE


@pytest.mark.parametrize("name", MADE)
def test_copies_and_pickles_hold_the_same(name):
    made = MADE[name]()
    assert type(made).__name__ == name
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made), copy.copy(made)):
        assert same(again, made)
        assert str(again) == str(made)


@pytest.mark.parametrize("made", [_fit, _selection], ids=["fit", "selection"])
def test_copies_predict_and_plan_the_same(made):
    one = made()
    for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert again.predict(**AT).equals(one.predict(**AT))
        assert same(*(sl.Planner(s).for_budget(flops=1e23).best for s in (again, one)))


def arrays_in(value, where=""):
    """Every array that a result reaches, by the way to it."""
    if isinstance(value, np.ndarray):
        yield where, value
    elif is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            yield from arrays_in(getattr(value, f.name), f"{where}.{f.name}")
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from arrays_in(part, f"{where}[{key!r}]")
    elif isinstance(value, tuple):
        for i, part in enumerate(value):
            yield from arrays_in(part, f"{where}[{i}]")


@pytest.mark.parametrize("name", ["Fit", "Selection", "Plan", "IsoFLOP"])
def test_arrays_of_results_cannot_be_written_to(name):
    made = MADE[name]()
    for one in (made, pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        found = list(arrays_in(one))
        assert found
        assert [where for where, array in found if array.flags.writeable] == []


def test_what_was_given_can_still_be_written_to():
    budgets = np.array([1e22, 1e23])
    sl.Planner(sl.published.HOFFMANN_2022).for_budget(flops=budgets)
    budgets[0] = 1e21
    runs = grid_runs(4, 4)
    sl.fit(runs, "chinchilla", draws=0)
    runs.loc[0, "loss"] = 9.0


def _job(seed):
    """What threads and processes each do; the bits of what comes out."""
    runs = grid_runs(4, 4, seed=seed)
    fit = sl.fit(runs, "chinchilla", draws=10, seed=seed)
    chosen = sl.select(runs, ["chinchilla"], focuses=(0.0,), draws=10, seed=seed)
    plan = sl.Planner(fit).for_budget(flops=1e23)
    limited = sl.Planner(fit, limits={"params": 1e9}).for_budget(flops=1e23)
    numbers = [fit.draws, fit.covariance, chosen.draws, chosen.predict(**AT).to_numpy()]
    numbers += [np.array(list(p.best.values())) for p in (plan, limited)]
    numbers += [np.array(list(plan.low.values()))]
    return b"".join(np.ascontiguousarray(n).tobytes() for n in numbers)


def test_threads_give_the_bits_of_one_alone():
    alone = [_job(seed) for seed in range(2)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(_job, [0, 1, 0, 1]))
    assert together == alone * 2
    assert alone[0] != alone[1]


def _predicted(fit, level):
    return fit.predict(**AT, level=level)


def test_a_fit_goes_to_a_process_started_afresh():
    fit = _fit()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        frame = pool.submit(sl.Fit.predict, fit, AT, level=0.8).result(timeout=60)
        plan = pool.submit(sl.Planner.for_budget, sl.Planner(fit), flops=1e23).result(timeout=60)
    assert frame.equals(_predicted(fit, 0.8))
    assert same(plan.best, sl.Planner(fit).for_budget(flops=1e23).best)


def test_a_whole_path_raises_no_warning_in_development_mode():
    code = (
        "import scaling_laws as sl\n"
        "runs = sl.load_dataset('tiny_lm')\n"
        "fit = sl.fit(runs, 'chinchilla', draws=10, law_error=False)\n"
        "fit.predict(params=1e8, tokens=1e9); str(fit)\n"
        "print(sl.Planner(fit).for_budget(flops=1e17).feasible)\n"
    )
    argv = [sys.executable, "-W", "error", "-X", "dev", "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True\n"
    assert done.stderr == ""


@pytest.mark.parametrize(
    "labels",
    [
        [("a", i) for i in range(16)],
        [("a", float("nan"), i) for i in range(16)],
        [float("nan"), float("inf"), *range(14)],
        [0.5 + i for i in range(16)],
        ["text", 3, 2.5, True, *range(10, 22)],
    ],
    ids=["tuples", "tuples with NaN", "not finite", "fractions", "mixed"],
)
def test_labels_of_rows_survive_the_way_through_a_file(labels, tmp_path):
    index = pd.Index(labels, tupleize_cols=False, dtype=object)
    fit = sl.fit(grid_runs(4, 4).set_axis(index), "chinchilla", draws=0)
    fit.save(tmp_path / "fit.json")
    again = sl.load(tmp_path / "fit.json")
    assert same(again.runs.index, fit.runs.index)
    assert [type(i) for i in again.runs.index] == [type(i) for i in fit.runs.index]
    assert len(again.residual_table()) == 16
