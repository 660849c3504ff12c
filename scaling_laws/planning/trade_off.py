"""What it costs to hold a quantity away from its optimum, and how plans fare across draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.planning.amounts import Array
from scaling_laws.planning.constrained import Answers
from scaling_laws.planning.limits import BUDGETS
from scaling_laws.planning.solving import Task
from scaling_laws.planning.source import Source

if TYPE_CHECKING:
    import pandas as pd


def trade_off_table(
    answers: Answers, task: Task, name: str, values: Array, level: float
) -> pd.DataFrame:
    """Best plan with a quantity held at each of some values; see `Planner.trade_off`."""
    import pandas as pd

    source, spend = answers.source, answers.options.spend
    by_draw = replace(task, confidence=None)
    best = answers.solved(task, draws=False)
    drawn = None if source.draws is None else answers.solved(by_draw, draws=True)
    known = (*task.space.variables, *answers.measures.names(task.space.variables))
    budget = _spent(task, spend, best.values) if spend in known else np.nan
    aim = float(best.objective[0]) * (-1.0 if source.higher else 1.0)
    free = replace(task, bounds=tuple(b for b in task.bounds if b.name not in BUDGETS))
    rows = []
    for value in values:
        held = task.space.hold(**{name: float(value)})
        here = task.solve(space=held)
        row: dict[str, Any] = {name: float(value), "feasible": bool(here.feasible[0])}
        other = next((n for n in ("tokens", "params") if n != name and n in here.values), None)
        if other is not None:
            row[other] = float(here.values[other][0])
        row["excess"] = float(here.objective[0] - best.objective[0])
        if drawn is not None:
            excess = by_draw.solve(draws=True, space=held).objective - drawn.objective
            ends = (0.5 - level / 2, 0.5 + level / 2)
            row["excess_low"], row["excess_high"] = (float(np.quantile(excess, q)) for q in ends)
        row["overhead"] = np.nan
        if np.isfinite(budget):
            reach = replace(free, spend=spend, wanted=aim).solve(space=held)
            cost = float(np.exp(reach.objective[0])) if reach.feasible[0] else np.inf
            row["overhead"] = cost / budget - 1.0
        rows.append(row)
    table = pd.DataFrame(rows)
    table.loc[~table["feasible"], [c for c in table if str(c).startswith("excess")]] = np.nan
    return table


def _spent(task: Task, spend: str, values: Mapping[str, Array]) -> float:
    arrays = {n: np.asarray(v) for n, v in values.items()}
    found = arrays[spend] if spend in arrays else task.measures.of(spend, arrays)
    return float(np.ravel(found)[0])


def regret_table(
    answers: Answers, task: Task, plan: Mapping[str, float], level: float
) -> pd.DataFrame:
    """How much worse a plan is than each draw's own best; see `Planner.regret`."""
    import pandas as pd

    source = answers.source
    drawn = answers.solved(replace(task, confidence=None), draws=True)
    inputs = [np.array([float(plan[n])]) for n in source.law.inputs]
    with np.errstate(all="ignore"):
        value = source.law.family.evaluate(inputs, source.coef(True))
    value = np.asarray(value, dtype=float).ravel()
    regret = (-value if source.higher else value) - drawn.objective
    rows = [
        {"law": name, **_summary(regret[mine], level)} for name, mine in _owners(source).items()
    ]
    everything = {"law": "all", **_summary(regret, level)}
    return pd.DataFrame([everything, *rows] if len(rows) > 1 else [everything]).set_index("law")


def _summary(regret: Array, level: float) -> dict[str, float]:
    if not len(regret):
        return {"draws": 0.0, "mean": np.nan, "median": np.nan, "high": np.nan}
    high = float(np.quantile(regret, 0.5 + level / 2))
    return {
        "draws": float(len(regret)),
        "mean": float(regret.mean()),
        "median": float(np.median(regret)),
        "high": high,
    }


def _owners(source: Source) -> dict[str, Any]:
    """Draws of each law, where the source holds several."""
    assert source.draws is not None
    components: Sequence[Any] = getattr(source.law.family.function, "components", ())
    if not components:
        return {source.label: np.ones(len(source.draws), dtype=bool)}
    owner = source.draws[:, : len(components)].argmax(axis=1)
    names = [c.name for c in components]
    return {
        name: np.isin(owner, [i for i, n in enumerate(names) if n == name])
        for name in sorted(set(names))
    }
