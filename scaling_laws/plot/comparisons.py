"""Recipes against each other: compute multiplier or difference, against scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    >>> both = sl.compare({"new": runs, "old": worse}, law="chinchilla", draws=50, law_error=False)
    >>> ax = sl.plot.compare(both)
    >>> ax.get_ylabel()
    'training compute that old needs / spent'
    >>> plt.close(ax.figure)
    """
    table = compare_table(comparison, what=what, scale=scale)
    today, at = comparison.today, np.unique(table[comparison.along].to_numpy(dtype=float))
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


def compare_table(
    comparison: Comparison,
    *,
    what: Literal["multiplier", "difference"] = "multiplier",
    scale: ArrayLike | None = None,
) -> pd.DataFrame:
    """Return what `compare` draws: `Comparison.multiplier` or `.difference` along the scale.

    Parameters
    ----------
    comparison, what, scale
        As the figure.

    Returns
    -------
    DataFrame

    Raises
    ------
    PlanError
        ``what`` is neither.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=50, law_error=False)
    >>> both = sl.compare({"a": fit, "b": fit}, pooling="apart")
    >>> bool((sl.plot.compare_table(both).multiplier == 1).all())
    True
    """
    if what not in ("multiplier", "difference"):
        raise PlanError(f"what must be 'multiplier' or 'difference', got {what!r}.")
    at: dict[str, Any] = {comparison.along: _scale(comparison, scale)}
    found: pd.DataFrame = getattr(comparison, what)(**at)
    return found


def _scale(comparison: Comparison, scale: ArrayLike | None) -> NDArray[np.float64]:
    today = comparison.today
    if scale is None:
        scale = np.geomspace(_SPAN[0] * today, _SPAN[1] * today, _POINTS)
    return np.unique(np.atleast_1d(np.asarray(scale, dtype=float)))


def crossing(
    comparison: Comparison, *, scale: ArrayLike | None = None, ax: Axes | None = None
) -> Axes:
    """Draw every recipe against scale, and where each changes places with the reference.

    Parameters
    ----------
    comparison : Comparison
    scale : array_like, optional
        Values of ``comparison.along``. Default: as `compare`.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        A band where the crossing may lie, at the comparison's level, of the draws that cross.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=50, law_error=False)
    >>> both = sl.compare({"a": fit, "b": fit}, pooling="apart")
    >>> sl.plot.crossing(both).get_title()
    'a: no crossing'
    >>> plt.close("all")
    """
    table = crossing_table(comparison, scale=scale)
    ax = style.get_axes(ax)
    parts = list(table.groupby("recipe", sort=False))
    for i, (name, rows) in enumerate(parts):
        colour = style.INK if name == comparison.reference else style.SEQUENCE[i % 6]
        x, y = rows[comparison.along].to_numpy(), rows[comparison.target].to_numpy()
        style.line(ax, x, y, comparison.today, colour, str(name))
    told = []
    for i, row in enumerate(comparison.crossing().to_dict("records")):
        at, colour = row["crossing"], style.SEQUENCE[i % 6]
        if not np.isfinite(at):
            told.append(f"{row['recipe']}: no crossing")
            continue
        ax.axvline(at, color=colour, lw=0.9, ls=":")
        if np.isfinite(row["crossing_low"]):
            ax.axvspan(row["crossing_low"], row["crossing_high"], color=colour, alpha=0.12, lw=0)
        told.append(f"{row['recipe']}: crosses in {100 * row['share']:.0f} % of draws")
    ends = table[comparison.along]
    ax.set_xlim(float(ends.min()), float(ends.max()))
    style.set_axis(ax, "x", quantity(comparison.along).label, log=True)
    positive = bool((table[comparison.target] > 0).all()) and not comparison.higher
    style.set_axis(ax, "y", quantity(comparison.target).label, log=positive)
    style.headline(ax, "\n".join(told))
    style.legend(ax)
    return ax


def crossing_table(comparison: Comparison, *, scale: ArrayLike | None = None) -> pd.DataFrame:
    """Return what `crossing` draws.

    Parameters
    ----------
    comparison, scale
        As the figure.

    Returns
    -------
    DataFrame
        One row a recipe and scale: ``recipe``, ``comparison.along`` and the target.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=50, law_error=False)
    >>> both = sl.compare({"a": fit, "b": fit}, pooling="apart")
    >>> sl.plot.crossing_table(both, scale=[1e12]).recipe.tolist()
    ['a', 'b']
    """
    import pandas as pd

    at: dict[str, Any] = {comparison.along: _scale(comparison, scale)}
    table = comparison.difference(**at)
    target, along = comparison.target, comparison.along
    first = table[table["recipe"] == comparison.others[0]]
    reference = {"recipe": comparison.reference, along: first[along]}
    last = pd.DataFrame(reference | {target: first[f"{target}_reference"]})
    return pd.concat([table[["recipe", along, target]], last], ignore_index=True)


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
