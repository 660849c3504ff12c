"""Calls of the public API with good and hostile arguments, and what must hold of each answer.

Shared by the stateful test and by ``benchmarks/fuzz_api.py``: everything is drawn from one
``random.Random``, which hypothesis can stand in for, so that a failure is found again from a seed.
"""

from __future__ import annotations

import copy
import decimal
import fractions
import pickle
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import scaling_laws as sl
from scaling_laws.errors import ScalingLawError

_TRUTH = sl.published.BESIROGLU_2024
_NODE = sl.get_accelerator("H100-SXM", count=8, price_per_hour=2.0)
_HOSTILE_NUMBERS: tuple[Any, ...] = (
    float("nan"), float("inf"), float("-inf"), 0, -0.0, -1, -1e9, 1e308, 5e-324, 10**30, 2**63,
    10**400, True, None, "1e9", "x", "", [], [1e9], (1e9, 2e9), [1e9, float("nan")], [[1e9]],
    np.float32(1e9), np.int64(10**9), np.array(1e9), np.array([[1e9]]), np.array(["a"]),
    np.array([None, 1.0], dtype=object), decimal.Decimal("1e9"), fractions.Fraction(1, 3), 1 + 2j,
    pd.NA, pd.NaT, {}, {"a": 1}, b"1", object(), np.datetime64("2020-01-01"), range(3), {1e9},
    pd.Series([1e9, 2e9], index=[7, 7]), np.ma.masked_array([1e9], mask=[True]), lambda n: n,
)  # fmt: skip
_HOSTILE_CELLS: tuple[Any, ...] = (
    float("nan"), float("inf"), float("-inf"), 0, 0.0, -1.0, 1e308, 1e-308, 5e-324, 10**30, 2**63,
    -(2**63) - 1, "3.1", "x", "", None, True, pd.NA, pd.NaT, [3.0], {}, 1j, b"3", object(),
    decimal.Decimal("3.1"), np.datetime64("2020-01-01"),
)  # fmt: skip
_LAWS = (
    "chinchilla", "coupled", "kaplan", "power", "power_with_floor", "log_linear", "additive_power",
    "product", "translog", "constant", "logarithmic",
)  # fmt: skip


def hostile(rng: random.Random, good: Any, share: float = 0.15) -> Any:
    """The good value, or now and then one that is not."""
    return rng.choice(_HOSTILE_NUMBERS) if rng.random() < share else good


def amount(rng: random.Random, low: float, high: float, share: float = 0.15) -> Any:
    """A quantity of plausible size, an array of some, or nothing of the kind."""
    exponent = np.log10(low) + rng.random() * np.log10(high / low)
    kind = rng.randrange(6)
    if kind == 0:
        return hostile(rng, np.geomspace(low, high, rng.randint(1, 4)), share)
    if kind == 1:
        return hostile(rng, 10 ** rng.uniform(-30, 60), share)
    return hostile(rng, float(10**exponent), share)


# --- tables ---------------------------------------------------------------------------------------


def good_table(rng: random.Random) -> pd.DataFrame:
    """A grid of runs of a known law, small."""
    sizes, levels = rng.randint(1, 5), rng.randint(1, 5)
    params, tokens = np.meshgrid(np.geomspace(1e7, 1e10, sizes), np.geomspace(2e8, 2e11, levels))
    noise = rng.choice([0.0, 0.003, 0.05, 2.0])
    z = np.random.default_rng(rng.randrange(2**16)).standard_normal(params.size)
    loss = _TRUTH(params=params.ravel(), tokens=tokens.ravel()) * np.exp(noise * z)
    table = pd.DataFrame({"params": params.ravel(), "tokens": tokens.ravel(), "loss": loss})
    if rng.random() < 0.3:
        table["flops"] = 6 * table.params * table.tokens
    if rng.random() < 0.2:
        table["group"] = [("a", "b")[i % 2] for i in range(len(table))]
    if rng.random() < 0.1:
        table["seed"] = range(len(table))
    return table


def good_table_of(sizes: int) -> pd.DataFrame:
    """A grid of exact runs."""
    params = np.geomspace(1e7, 1e10, sizes)
    return pd.DataFrame(
        {"params": params, "tokens": 1e10, "loss": _TRUTH(params=params, tokens=1e10)}
    )


def damage(rng: random.Random, table: pd.DataFrame) -> Any:
    """One thing that goes wrong with tables."""
    names = list(table.columns)
    name = rng.choice(names) if names else "loss"
    kind = rng.randrange(17)
    rows = len(table)
    if kind == 0 and rows and names:
        column = table.iloc[:, names.index(name)].astype(object)
        column.iloc[rng.randrange(rows)] = rng.choice(_HOSTILE_CELLS)
        others = table.copy()
        others.isetitem(names.index(name), column)
        return others
    if kind == 1:
        return table.iloc[: rng.randint(0, min(rows, 4))]
    if kind == 2:
        return table.drop(columns=name)
    if kind == 3:
        return pd.concat([table, table[name]], axis=1)
    if kind == 4 and names:
        others = table.copy()
        others.isetitem(names.index(name), [rng.choice(_HOSTILE_CELLS)] * rows)
        return others
    if kind == 5:
        return _as(table, name, rng.choice(["category", "string", "Float64", "Int64", "object"]))
    if kind == 6:
        return _as(table, name, rng.choice(["float32", "float16", "int64", "int8", "bool"]))
    if kind == 7:
        index = rng.choice([[0] * rows, [None] * rows, [float("nan")] * rows, ["x"] * rows])
        return table.set_axis(index, axis=0)
    if kind == 8:
        tuples = [(i % 2, str(i)) for i in range(rows)]
        return table.set_axis(pd.MultiIndex.from_tuples(tuples), axis=0) if rows else table
    if kind == 9:
        return table.rename(columns={name: rng.choice(["Loss", " loss", "x", "", 3, None])})
    if kind == 10:
        return {str(n): list(table.iloc[:, i]) for i, n in enumerate(names)}
    if kind == 11:
        return table.to_dict(orient="records") if len(set(names)) == len(names) else table
    if kind == 12:
        return pd.concat([table] * 3, ignore_index=rng.random() < 0.5)
    if kind == 13:
        return table.sample(frac=1.0, random_state=rng.randrange(1000))
    if kind == 14:
        return table.assign(weight=rng.choice(_HOSTILE_CELLS[:10]))
    if kind == 15:
        return table.assign(status=rng.choice(["finished", "failed", 3, None]))
    return rng.choice([None, 3, "runs.csv", [], {}, [1, 2], table.to_numpy(), table.T, iter([])])


def _as(table: pd.DataFrame, name: str, kind: str) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the cast, which is the test's own
        try:
            return table.assign(**{name: table[name].astype(kind)})
        except (ValueError, TypeError, OverflowError):
            return table


def table(rng: random.Random) -> Any:
    """A table: good four times in ten, else damaged once or more."""
    made: Any = good_table(rng)
    for _ in range(rng.choice([0, 0, 0, 0, 1, 1, 1, 1, 2, 3])):
        if not isinstance(made, pd.DataFrame):
            break
        made = damage(rng, made)
    return made


# --- what must hold -------------------------------------------------------------------------------


def same_table(one: Any, other: Any) -> bool:
    """Whether two tables, or other sources of runs, hold the same."""
    if pickle.dumps(one) == pickle.dumps(other):
        return True
    frames = isinstance(one, pd.DataFrame) and isinstance(other, pd.DataFrame)
    return frames and one.equals(other)  # masked columns pickle otherwise once they were read


def fingerprint(made: Any) -> bytes:
    """What a fit or a selection says, bit for bit."""
    p = made.predictive
    arrays = (p.coef, p.z_law, p.z_run, np.asarray(p.noise), np.asarray(made.law.values))
    words = repr((made.law.family.name, made.target, made.notes, dict(made.ranges)))
    return b"".join(a.tobytes() for a in arrays) + words.encode()


def check_prediction(made: Any, frame: pd.DataFrame) -> None:
    """Numbers that are not finite come with a note, and limits lie around the prediction."""
    value = frame[made.target].to_numpy()
    low, high = (frame[f"{made.target}_{end}"].to_numpy() for end in ("low", "high"))
    assert not np.isnan(value).any(), "a prediction is NaN"
    if np.isnan(low).any() or np.isnan(high).any():
        assert made.notes, "limits are NaN, and no note says why"
    known = ~(np.isnan(low) | np.isnan(high))
    assert (low[known] <= high[known]).all(), "low is above high"


def check_plan(plan: Any) -> None:
    """A plan that cannot be carried out has notes; one that can has numbers."""
    feasible = np.atleast_1d(plan.feasible)
    for name, value in plan.best.items():
        values = np.atleast_1d(np.asarray(value, dtype=float))
        found = np.isnan(values)
        if found.any():
            assert plan.notes or not feasible.all(), f"best[{name!r}] is NaN without a note"
    plan.to_dict(), plan.to_frame(), str(plan), repr(plan)


# --- calls ----------------------------------------------------------------------------------------


class World:
    """The objects that calls made so far, for later calls to use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fits: list[Any] = []
        self.plans: list[Any] = []

    def source(self, rng: random.Random) -> Any:
        """A fit, a selection or a law."""
        return rng.choice([*self.fits[-6:], _TRUTH]) if rng.random() < 0.95 else rng.choice(_ODD)

    def fit(self, rng: random.Random) -> Any:
        """A fit or a selection, made now if there is none."""
        if not self.fits:
            runs = good_table_of(6)
            self.fits.append(sl.fit(runs, "power", inputs=["params"], draws=5))
        return rng.choice(self.fits[-6:])

    def keep(self, made: Any) -> Any:
        """Remember a fit or a selection."""
        self.fits = [*self.fits[-20:], made]
        return made


_ODD = (None, 3, "chinchilla", object(), {}, pd.DataFrame())


def fit_options(rng: random.Random) -> dict[str, Any]:
    """Options of a fit, most of them cheap and possible."""
    options: dict[str, Any] = {"draws": rng.choice([0, 0, 0, 3, 10]), "law_error": False}
    if rng.random() < 0.05:
        options["law_error"] = hostile(rng, True)
    more = {
        "residual": lambda: rng.choice(["log", "linear", "logit", "auto", "x", None]),
        "robust": lambda: rng.choice([None, sl.Huber("auto"), sl.Huber(1e-3), "x", 1.0]),
        "focus": lambda: hostile(rng, rng.choice([0.5, 1.0])),
        "fixed": lambda: {rng.choice(["E", "alpha", "x"]): hostile(rng, 0.5)},
        "bounds": lambda: {rng.choice(["alpha", "A", "x"]): hostile(rng, rng.choice(_PAIRS))},
        "start": lambda: {rng.choice(["alpha", "A", "x"]): hostile(rng, 0.5)},
        "ties": lambda: hostile(rng, {"beta": rng.choice(["alpha", ("alpha", 0.9), "beta", 3])}),
        "priors": lambda: {rng.choice(["alpha", "x"]): hostile(rng, rng.choice(_PAIRS))},
        "seed": lambda: hostile(rng, rng.randrange(5)),
        "draws": lambda: hostile(rng, 5),
        "workers": lambda: hostile(rng, rng.choice([1, 2])),
        "weights": lambda: hostile(rng, "weight"),
        "cluster": lambda: hostile(rng, "group"),
        "columns": lambda: hostile(rng, {"loss": rng.choice(["loss", "params", "x"])}),
        "group": lambda: rng.choice(["group", "params", "x"]),
        "shared": lambda: rng.choice([(), ("alpha",), ("x",)]),
        "target": lambda: rng.choice(["loss", "accuracy", "params", "x", 3]),
        "nonsense": lambda: 1,
    }
    for name in rng.sample(sorted(more), rng.choice([0, 0, 1, 1, 2])):
        options[name] = more[name]()
    return options


_PAIRS = ((0.1, 0.5), (0.5, 0.1), (0.3, 0.0), (0.3, 0.1), (float("nan"), 1), (0.2,), ("a", "b"))


def law_and_inputs(rng: random.Random) -> dict[str, Any]:
    """A law's name and the inputs it is bound to, mostly such as go together."""
    law = hostile(rng, rng.choice(_LAWS), 0.05)
    if rng.random() < 0.02:
        law = "chinchila"
    known = isinstance(law, str)
    single = known and law in ("power", "power_with_floor", "constant", "logarithmic")
    inputs = [rng.choice(["params", "tokens", "flops"])] if single else None
    if known and law in ("log_linear", "additive_power", "product", "translog"):
        inputs = ["params", "tokens"]
    return {"law": law, "inputs": hostile(rng, inputs, 0.05)}


def call_fit(rng: random.Random, world: World) -> str:
    runs, options, which = table(rng), fit_options(rng), law_and_inputs(rng)
    before = pickle.dumps(runs) if _pickles(runs) else None
    made = sl.fit(runs, which["law"], inputs=which["inputs"], **options)
    if before is not None:
        assert same_table(runs, pickle.loads(before)), "fit changed its table"
    str(made), repr(made), made.summary()
    if hasattr(made, "predictive"):
        world.keep(made)
        if rng.random() < 0.1:
            again = sl.fit(runs, which["law"], inputs=which["inputs"], **options)
            assert fingerprint(made) == fingerprint(again), "the same call gives other bits"
    return "fit"


def _pickles(runs: Any) -> bool:
    try:
        pickle.dumps(runs)
    except Exception:
        return False
    return True


def call_select(rng: random.Random, world: World) -> str:
    laws = hostile(rng, rng.sample(["chinchilla", "coupled", "kaplan"], rng.randint(1, 2)), 0.1)
    options = fit_options(rng)
    for name in ("law_error", "shared", "start", "focus"):
        options.pop(name, None)
    options["focuses"] = hostile(rng, (0.0,), 0.1)
    made = sl.select(table(rng), laws, along=rng.choice([None, None, "params", "x"]), **options)
    str(made), repr(made)
    if hasattr(made, "predictive"):
        world.keep(made)
    return "select"


def call_predict(rng: random.Random, world: World) -> str:
    fit = world.fit(rng)
    before = fingerprint(fit)
    inputs = {n: amount(rng, 1e7, 1e12) for n in fit.inputs}
    if rng.random() < 0.05:
        inputs[rng.choice(["x", "loss", *fit.inputs])] = hostile(rng, 1e9, 0.5)
    options: dict[str, Any] = {"level": hostile(rng, rng.choice([0.5, 0.9, 90]), 0.1)}
    if rng.random() < 0.3:
        options["kind"] = hostile(rng, rng.choice(["run", "mean", "x"]), 0.1)
    if rng.random() < 0.2:
        options["parts"] = hostile(rng, rng.choice([["run"], ["x"], [], ["law", "run"]]), 0.1)
    if rng.random() < 0.2:
        frame = fit.predict(hostile(rng, inputs), **options)
    else:
        frame = fit.predict(**inputs, **options)
    check_prediction(fit, frame)
    assert fingerprint(fit) == before, "predict changed the fit"
    return "predict"


def call_copies(rng: random.Random, world: World) -> str:
    fit = world.fit(rng)
    path = world.folder / "saved.json"
    fit.save(path, **({"rows": rng.random() < 0.5} if hasattr(fit, "residuals") else {}))
    for again in (sl.load(path), pickle.loads(pickle.dumps(fit)), copy.deepcopy(fit)):
        at = {n: [3e8, 1e11] for n in fit.inputs}
        pd.testing.assert_frame_equal(again.predict(**at), fit.predict(**at), check_exact=True)
        world.keep(again)
    return "copies"


def call_damaged_file(rng: random.Random, world: World) -> str:
    path = world.folder / "saved.json"
    world.fit(rng).save(path)
    text = path.read_text(encoding="utf-8")
    at = rng.randrange(len(text))
    junk = rng.choice(["", "null", '"x"', "[]", "{}", "-1", "1e999", "NaN", text[at : at + 50]])
    path.write_text(text[:at] + junk + text[at + rng.randint(0, 30) :], encoding="utf-8")
    made = sl.load(path)
    if hasattr(made, "predictive"):
        made.predict(**dict.fromkeys(made.inputs, 1e9))
    return "damaged file"


def planner_options(rng: random.Random) -> dict[str, Any]:
    """Options of a planner."""
    more: dict[str, Any] = {
        "cost": lambda: rng.choice(["6ND", "x", sl.LifetimeCost(served_tokens=1e12), None, 6.0]),
        "hardware": lambda: hostile(
            rng, sl.get_accelerator("H100-SXM", count=8, price_per_hour=2.0)
        ),
        "limits": lambda: {
            rng.choice(["params", "tokens", "flops", "seconds", "x", "epochs"]): hostile(
                rng, rng.choice([1e9, (1e8, None), (None, 1e11), (2e9, 1e9)]), 0.3
            )
        },
        "fixed": lambda: {rng.choice(["params", "tokens", "x"]): hostile(rng, 1e9)},
        "ranges": lambda: {rng.choice(["params", "tokens", "x"]): hostile(rng, (1e8, 1e10))},
        "sizes": lambda: hostile(rng, [1e8, 1e9, 1e10], 0.3),
        "step_tokens": lambda: hostile(rng, 4e6, 0.3),
        "spend": lambda: rng.choice(["flops", "seconds", "dollars", "params", "x", 3]),
        "confidence": lambda: hostile(rng, 0.9, 0.3),
        "anchor": lambda: hostile(rng, rng.random() < 0.5, 0.2),
        "level": lambda: hostile(rng, 0.9, 0.3),
        "tolerance": lambda: hostile(rng, 0.02, 0.3),
        "target": lambda: rng.choice(["loss", "accuracy", "x", 3]),
    }
    return {n: more[n]() for n in rng.sample(sorted(more), rng.choice([0, 0, 1, 1, 2, 3]))}


def call_plan(rng: random.Random, world: World) -> str:
    planner = sl.Planner(world.source(rng), **planner_options(rng))
    flops = amount(rng, 1e19, 1e26)
    question = rng.randrange(7)
    if question == 0:
        name = rng.choice(["flops", "flops", "flops", "seconds", "dollars", "device_hours"])
        plan = planner.for_budget(**{name: flops})
    elif question == 1:
        plan = planner.for_target(amount(rng, 1.5, 4.0))
    elif question == 2:
        plan = planner.for_params(amount(rng, 1e7, 1e12), flops=rng.choice([None, flops]))
    elif question == 3:
        plan = planner.for_tokens(
            amount(rng, 1e8, 1e13), target=rng.choice([None, amount(rng, 1.7, 4)])
        )
    elif question == 4:
        plan = planner.frontier(hostile(rng, [1e20, 1e22]))
    elif question == 5:
        planner.marginal(params=amount(rng, 1e7, 1e12), tokens=amount(rng, 1e8, 1e13))
        return "marginal"
    else:
        planner.trade_off("params", amount(rng, 1e7, 1e11), flops=flops)
        return "trade_off"
    check_plan(plan)
    world.plans = [*world.plans[-5:], plan]
    return "plan"


def call_ask(rng: random.Random, world: World) -> str:
    """Questions to a fit other than a prediction."""
    fit = world.fit(rng)
    at = {n: amount(rng, 1e8, 1e12, 0.1) for n in fit.inputs}
    level = hostile(rng, 0.9, 0.1)
    question = rng.randrange(9)
    if question == 0:
        str(sl.factors(fit, at=at, level=level))
    elif question == 1:
        str(sl.ladder(fit, at=at, within=rng.choice([None, hostile(rng, 0.01)]), level=level))
    elif question == 2:
        str(sl.diagnose(fit, at if rng.random() < 0.5 else None))
    elif question == 3:
        fit.uncertainty(**at)
    elif question == 4 and hasattr(fit, "interval"):
        fit.interval(level, method=rng.choice(["draws", "x"]))
        fit.summary(level if rng.random() < 0.5 else 0.9)
    elif question == 5 and hasattr(fit, "profile"):
        fit.profile(rng.choice([*fit.coef, "x"]), level=level, points=hostile(rng, 3, 0.2))
    elif question == 6 and hasattr(fit, "residual_table"):
        fit.residual_table()
        assert isinstance(fit.r_squared, float)
    elif question == 7:
        candidates: Any = {n: [1e9, hostile(rng, 1e10)] for n in fit.inputs}
        budget = rng.choice([None, hostile(rng, 1e22)])
        str(sl.next_runs(fit, candidates, at=at, budget=budget, level=level))
    else:
        design: Any = {n: [1e8, 1e9, hostile(rng, 1e10)] for n in fit.inputs}
        sl.score_design(fit, design, at=at, level=level)
    return "ask"


def call_compare(rng: random.Random, world: World) -> str:
    one = {"a": world.fit(rng), "b": hostile(rng, world.fit(rng))}
    comparison = sl.compare(
        one,
        reference=rng.choice([None, "a", "x"]),
        at=rng.choice([None, {"params": 1e10, "tokens": 1e11}, {"params": float("nan")}, {}]),
        level=hostile(rng, 0.9, 0.1),
        pooling=rng.choice(["apart", "apart", "apart", "today", "x"]),  # others are slow
    )
    str(comparison), comparison.to_dict()
    return "compare"


def call_read(rng: random.Random, world: World) -> str:
    frame = sl.read_runs(table(rng), policy=rng.choice(["final", "all", "best", "x"]))
    steps = [
        lambda: sl.drop_diverged(above=hostile(rng, 5.0)),
        lambda: sl.drop_duplicates(),
        lambda: sl.drop_highest_loss(hostile(rng, 2)),
        lambda: sl.snap_ratio(hostile(rng, 20.0)),
        lambda: sl.min_step(hostile(rng, 10)),
        lambda: sl.final_only(),
        lambda: sl.average_metrics("loss", "params", weights=hostile(rng, [1, 2])),
        lambda: sl.prefer_measured("flops", "loss"),
        lambda: sl.smooth_metric("loss", window=hostile(rng, 0.1)),
        lambda: sl.best_over("params"),
    ]
    before = frame.copy(deep=True)
    sl.clean(frame, *(rng.choice(steps)() for _ in range(rng.randint(0, 3))))
    assert before.equals(frame), "clean changed its table"
    str(sl.read_report(frame))
    return "read"


def call_study(rng: random.Random, world: World) -> str:
    """Functions of a table that are no fit of a law."""
    runs = table(rng)
    which = rng.randrange(5)
    if which == 0:
        sl.backtest(runs, rng.choice(["power", "kaplan"]), inputs=["params"], along="params")
    elif which == 1:
        str(sl.fit_isoflop(runs, draws=5, level=hostile(rng, 0.9, 0.1), gap=hostile(rng, 0.1, 0.1)))
    elif which == 2:
        sl.constant_exponent(runs).predict(hostile(rng, 1e22))
    elif which == 3:
        sl.near_minima(runs, span=hostile(rng, 5.0))
    else:
        frame = isinstance(runs, pd.DataFrame) and "loss" in runs.columns
        sl.fit_envelope(runs.assign(run="a", step=1) if frame else runs, points=hostile(rng, 50))
    return "study"


def call_machine(rng: random.Random, world: World) -> str:
    """Hardware, shapes and memory: functions of numbers."""
    which = rng.randrange(9)
    size = amount(rng, 1e7, 1e12)
    if which == 0:
        gpu = sl.Hardware("x", hostile(rng, 1e15), hostile(rng, 8e10), count=hostile(rng, 8))
        gpu.seconds(hostile(rng, 1e20))
    elif which == 1:
        shape = sl.Transformer(
            layers=hostile(rng, 12, 0.1), width=hostile(rng, 768, 0.1), heads=hostile(rng, 12, 0.1),
            key_size=64, feed_forward=3072, vocab_size=hostile(rng, 50000, 0.1), context=1024,
        )  # fmt: skip
        shape.params(), sl.activation_bytes(shape, hostile(rng, 8))
    elif which == 2:
        sl.training_bytes(size, devices=hostile(rng, 8))
    elif which == 3:
        sl.serving_bytes(size, bits=hostile(rng, 8))
    elif which == 4:
        sl.with_embeddings(size), sl.without_embeddings(size)
    elif which == 5:
        sl.training_flops(size, amount(rng, 1e8, 1e13))
    elif which == 6:
        sl.fit_critical_batch([1e5, 1e6, hostile(rng, 1e7)], [1e4, 2e3, hostile(rng, 1e3)])
    elif which == 7:
        sl.isoflop_grid(amount(rng, 1e18, 1e22), sizes_per_budget=hostile(rng, 5))
    else:
        sl.get_accelerator(
            hostile(rng, "H100-SXM"), count=hostile(rng, 8), utilization=hostile(rng, 0.4)
        )
    return "machine"


def call_sample(rng: random.Random, world: World) -> str:
    """Subsets, grids and laws' own numbers."""
    which = rng.randrange(6)
    if which == 0:
        n = hostile(rng, 50)
        n = 50 if isinstance(n, np.int64) else n  # a possible size that takes minutes
        sl.subsets(n, hostile(rng, [5, 10]), seed=hostile(rng, 0))
    elif which == 1:
        sl.token_subsets(hostile(rng, [10, 20, 30]), hostile(rng, [10, 40]), seed=hostile(rng, 0))
    elif which == 2:
        sl.grid(params=hostile(rng, [1, 2]), seed=hostile(rng, range(2)))
    elif which == 3:
        sl.get_law(hostile(rng, "chinchilla"), hostile(rng, None))
    elif which == 4:
        family = sl.get_law("chinchilla")
        coef = dict(family.example) | {rng.choice(["E", "alpha", "x"]): hostile(rng, 0.3, 0.5)}
        family.with_coef(coef)(params=hostile(rng, 1e9), tokens=1e10)
    else:
        _TRUTH(params=amount(rng, 1e7, 1e12), tokens=amount(rng, 1e8, 1e13))
    return "sample"


CALLS = {
    call_fit: 6, call_select: 1, call_predict: 5, call_copies: 1, call_damaged_file: 2,
    call_plan: 6, call_ask: 3, call_compare: 1, call_read: 4, call_study: 3, call_machine: 4,
    call_sample: 4,
}  # fmt: skip


def attempt(call: Any, rng: random.Random, world: World) -> str:
    """Make one call: say what came out. Anything but a `ScalingLawError` is let through."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return f"{call(rng, world)}: answered"
        except ScalingLawError as error:
            said = error
    assert str(said).strip(), "an error without a message"
    return f"{call.__name__.removeprefix('call_')}: {type(said).__name__}"
