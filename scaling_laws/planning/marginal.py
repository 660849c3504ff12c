"""What a little more of each quantity is worth, per unit of compute and per dollar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.errors import PlanError
from scaling_laws.planning.amounts import Array, one
from scaling_laws.planning.limits import Measures
from scaling_laws.planning.source import Source

if TYPE_CHECKING:
    import pandas as pd

_STEP = 1e-3  # in the logarithm of a quantity


def marginal_values(
    source: Source, measures: Measures, at: Mapping[str, Any], level: float
) -> pd.DataFrame:
    """What one percent more of each input is worth at a point; see `Planner.marginal`.

    Raises
    ------
    PlanError
        An input is missing, unknown, or not a positive number.
    """
    import pandas as pd

    law = source.law
    unknown = [n for n in at if n not in (*law.inputs, *measures.cost.inputs)]
    missing = [n for n in (*law.inputs, *measures.cost.inputs) if n not in at]
    missing = [n for n in missing if n in law.inputs or set(measures.cost.inputs) & set(at)]
    if unknown or missing:
        raise PlanError(
            f"marginal: {'missing ' + str(missing) if missing else 'unknown ' + str(unknown)}. "
            f"Give every input of '{source.label}', {law.inputs}, and of the cost."
        )
    point = {n: one("marginal", n, v) for n, v in at.items()}
    rows = [_row(source, measures, point, name, level) for name in law.inputs]
    return pd.DataFrame(rows).set_index("input")


def _row(
    source: Source, measures: Measures, point: Mapping[str, float], name: str, level: float
) -> dict[str, Any]:
    """Gain of the target for 1 % more of one input, and what that percent costs."""
    row: dict[str, Any] = {"input": name, "gain": float(_gain(source, point, name, False)[0])}
    drawn = None if source.draws is None else _gain(source, point, name, True)
    ends = (0.5 - level / 2, 0.5 + level / 2)
    if drawn is not None:
        row["gain_low"], row["gain_high"] = (float(np.quantile(drawn, q)) for q in ends)
    for unit in measures.names(tuple(point)):
        if unit not in ("flops", "dollars"):
            continue
        extra = _extra(measures, point, name, unit)
        for key in ("gain", "gain_low", "gain_high"):
            if key in row:
                column = key.replace("gain", f"per_{'flop' if unit == 'flops' else 'dollar'}")
                with np.errstate(all="ignore"):  # what costs nothing gains without end, or harms
                    row[column] = float(np.divide(row[key], extra))
    return row


def _gain(source: Source, point: Mapping[str, float], name: str, draws: bool) -> Array:
    """Improvement of the target for one percent more, from central differences."""
    coef = source.coef(draws)

    def target(factor: float) -> Array:
        inputs = [np.array([point[n] * (factor if n == name else 1.0)]) for n in source.law.inputs]
        with np.errstate(all="ignore"):
            return np.asarray(source.law.family.evaluate(inputs, coef), dtype=float).ravel()

    with np.errstate(over="ignore", invalid="ignore"):  # NaN where the target is infinite
        slope = (target(np.exp(_STEP)) - target(np.exp(-_STEP))) / (2 * _STEP)
        return np.asarray((slope if source.higher else -slope) * np.log(1.01))


def _extra(measures: Measures, point: Mapping[str, float], name: str, unit: str) -> float:
    """What one percent more costs."""
    more = {n: np.asarray(v * (1.01 if n == name else 1.0)) for n, v in point.items()}
    here = {n: np.asarray(v) for n, v in point.items()}
    return float(measures.of(unit, more) - measures.of(unit, here))
