"""Recipes against each other: compute multiplier or difference, against scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.errors import PlanError
from scaling_laws.plot import style
from scaling_laws.quantities import quantity

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from scaling_laws.planning.recipes.compare import Comparison

_POINTS = 60
_SPAN = (0.1, 100.0)  # times the largest common scale
_FURTHEST = 1e3  # multipliers beyond this are cut off


def compare(
    comparison: Comparison,
    *,
    what: Literal["multiplier", "difference"] = "multiplier",
    scale: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how recipes compare with the reference against scale, with the interval.

    Parameters
    ----------
    comparison : Comparison
    what : {"multiplier", "difference"}
        How much more compute (or other scale) the reference needs for what the recipe reaches, or
        the difference of the target.
    scale : array_like, optional
        Values of ``comparison.along``. Default: from a tenth to 100 times the largest scale
        measured for all, dashed beyond it.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    PlanError
        ``what`` is neither.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> runs = sl.load_dataset("tiny_lm")
    >>> worse = runs.assign(loss=1.02 * runs.loss)
    >>> both = sl.compare({"new": runs, "old": worse}, law="chinchilla", draws=50)
    >>> ax = sl.plot.compare(both)
    >>> ax.get_ylabel()
    'training compute that old needs / spent'
    >>> plt.close(ax.figure)
    """
    if what not in ("multiplier", "difference"):
        raise PlanError(f"what must be 'multiplier' or 'difference', got {what!r}.")
    today = comparison.today
    if scale is None:
        scale = np.geomspace(_SPAN[0] * today, _SPAN[1] * today, _POINTS)
    at = np.unique(np.atleast_1d(np.asarray(scale, dtype=float)))
    asked = {comparison.along: at}
    table = getattr(comparison, what)(**asked)
    ax = style.get_axes(ax)
    for i, name in enumerate(comparison.others):
        colour = [c for pair in style.PAIRS for c in pair][i % (2 * len(style.PAIRS))]
        _line(ax, table[table.recipe == name], comparison, what, name, colour)
    equal = 1.0 if what == "multiplier" else 0.0
    ax.axhline(equal, color=style.INK, lw=0.8, zorder=1.2)
    measured = max(at[0], min(today, at[-1]))
    if measured > at[0]:
        ax.axvspan(at[0], measured, color=style.GREY, alpha=0.12, lw=0, zorder=0, label="measured")
    if len(at) > 1:
        ax.set_xlim(at[0], at[-1])
    along = quantity(comparison.along)
    style.set_axis(ax, "x", along.label, log=True)
    if what == "multiplier":
        label = f"{along.meaning} that {comparison.reference} needs / spent"
        style.set_axis(ax, "y", label, log=True)
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, 1 / _FURTHEST), min(high, _FURTHEST))
    else:
        target = quantity(comparison.target)
        unit = f" [{target.unit}]" if target.unit else ""
        label = f"{target.meaning}, less that of {comparison.reference}{unit}"
        style.set_axis(ax, "y", label, log=False)
    style.legend_above(ax, columns=3)
    return ax


def _line(
    ax: Axes, rows: pd.DataFrame, comparison: Comparison, what: str, name: str, colour: str
) -> None:
    at = rows[comparison.along].to_numpy()
    middle, low, high = (rows[f"{what}{end}"].to_numpy() for end in ("", "_low", "_high"))
    if what == "multiplier":  # without bound: the line ends, the band goes on to the edge
        middle = np.where((middle < _FURTHEST) & (middle > 1 / _FURTHEST), middle, np.nan)
        low, high = (np.clip(v, 1 / _FURTHEST, _FURTHEST) for v in (low, high))
    last = max(int(np.sum(at <= comparison.today * (1 + 1e-9))) - 1, 0)
    ax.plot(at[: last + 1], middle[: last + 1], color=colour, lw=1.6, label=name, zorder=2.5)
    ax.plot(at[last:], middle[last:], color=colour, lw=1.6, ls=(0, (3, 1.5)), zorder=2.5)
    if np.isfinite(low).any():
        told = f"{style.percent(comparison.level)} interval"
        label = told if name == comparison.others[0] else None
        ax.fill_between(
            at, low, high, color=colour, alpha=style.BAND_ALPHA, lw=0, zorder=1.5, label=label
        )
