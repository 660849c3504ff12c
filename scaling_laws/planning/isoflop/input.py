"""What isoFLOP analyses take: columns, budgets, options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scaling_laws.errors import PlanError
from scaling_laws.laws.family import Array
from scaling_laws.planning.isoflop.columns import run_columns
from scaling_laws.planning.isoflop.parabola import group_budgets
from scaling_laws.quantities import MOST, real_number

Residual = Literal["log", "linear"]

GAP = 0.1
"""Relative gap between computes that separates two budgets."""

SPAN = 5.0
"""Times the size at the minimum, up to which a size counts."""

SPREAD = 2.0
"""Ratio of computes within a budget from which it is none."""


def read_runs(
    question: str,
    runs: Any,
    columns: Mapping[str, str] | None,
    budget: str | None,
    loss: bool = True,
) -> tuple[dict[str, Array], NDArray[np.intp]]:
    """Columns that isoFLOP fits need, and the positions of the rows kept."""
    names = ("params", "tokens", "flops", *(("loss",) if loss else ()))
    return run_columns(question, runs, (*names, *((budget,) if budget else ())), columns)


def budget_numbers(data: Mapping[str, Array], budget: str | None, gap: float) -> NDArray[np.intp]:
    """Number of the budget of each run, in the order of compute."""
    if budget is None:
        number = group_budgets(data["flops"], gap)
    else:
        number = np.unique(data[budget], return_inverse=True)[1].ravel()
    for i in range(int(number.max()) + 1):
        part = data["flops"][number == i]
        if part.max() / SPREAD > part.min():
            raise PlanError(
                f"runs from {part.min():.3g} to {part.max():.3g} FLOP without a gap "
                f"of {float(gap):.0%} between them are no budget. Name a column of budgets "
                "(budget=), lower gap=, or fit a law of params and tokens."
            )
    return number


def check_isoflop(gap: Any, span: Any, residual: Any = "log") -> None:
    """Check the options that say which runs a parabola goes through, and what it fits.

    Raises
    ------
    PlanError
        One is out of range.
    """
    for name, value, least in (("gap", gap, 0.0), ("span", span, 1.0)):
        most = MOST if name == "gap" else np.inf
        if not least < real_number(value) <= most:
            raise PlanError(f"{name} must be a number above {least:g}, got {value!r}.")
    if residual not in ("log", "linear"):
        raise PlanError(f"residual must be 'log' or 'linear', got {residual!r}.")
