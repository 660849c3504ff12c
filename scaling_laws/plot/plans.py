"""What to train: optimal sizes against compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_laws.errors import PlanError
from scaling_laws.laws.family import Law
from scaling_laws.planning.costs.cost import get_cost
from scaling_laws.planning.planner import Planner
from scaling_laws.plot import style
from scaling_laws.plot.style import Array
from scaling_laws.quantities import quantity

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from scaling_laws.planning.plan import Plan

_PAIR = ("params", "tokens")
_SHOWN = {"params": ("model size", "N*"), "tokens": ("training tokens", "D*")}
UNKNOWN = {"flops": (1e18, 1e23), "params": (1e7, 1e11), "tokens": (1e9, 1e13)}
_GRID = 120


def frontier(
    planner: Planner,
    flops: ArrayLike | None = None,
    *,
    ratio: float | None = None,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw compute-optimal model size and tokens against compute, with their intervals.

    Parameters
    ----------
    planner : Planner
        On a fit, for intervals, or on a bare law. Draw several on one ``ax`` to compare laws: each
        gets its own pair of colours; the first one's measured range is shaded.
    flops : array_like, optional
        Budgets [FLOP]. Default: from the smallest measured compute to 100 times the largest,
        dashed beyond the data.
    ratio : float, optional
        Also draw the split with this many tokens per parameter, for example 20.
    label : str, optional
        Name of this law in the legend.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    PlanError
        The law is not one of params and tokens, or has no optimum at any of these budgets.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> ax = sl.plot.frontier(sl.Planner(sl.published.BESIROGLU_2024), ratio=20)
    >>> [line.get_label() for line in ax.get_lines() if line.get_label()[0] != "_"]
    ['model size N*', 'training tokens D*', '20 tokens / parameter']
    >>> plt.close(ax.figure)
    """
    plan, low, high = _frontier(planner, flops)
    known = bool(np.isfinite(high))
    ax = style.get_axes(ax)
    at = np.asarray(plan.best["flops"])
    inside = at <= (high * (1 + 1e-9) if known else np.inf)
    earlier = {str(line.get_gid()) for line in ax.get_lines()} - {"None"}
    colours = style.PAIRS[len(earlier) % len(style.PAIRS)]
    for (name, (meaning, symbol)), colour in zip(_SHOWN.items(), colours, strict=True):
        shown = f"{meaning} {symbol}" if label is None else f"{label} {symbol}"
        for line in _split_line(ax, at, np.asarray(plan.best[name]), inside, colour, shown):
            line.set_gid(f"frontier {len(earlier)}")
        if plan.low:
            ax.fill_between(
                at, *_finite(plan, name), color=colour, alpha=style.BAND_ALPHA, lw=0, zorder=1.5
            )
    if ratio is not None:
        _ratio_lines(ax, at, ratio, float(getattr(get_cost(planner.cost), "kappa", 6.0)))
    if known and not earlier:
        ax.axvspan(low, high, color=style.GREY, alpha=0.12, lw=0, zorder=0, label="measured")
    shown_before = [ax.get_xlim()] if earlier else []
    if len(at) > 1:
        ax.set_xlim(
            min([at.min(), *(low for low, _ in shown_before)]),
            max([at.max(), *(high for _, high in shown_before)]),
        )
    style.set_axis(ax, "x", quantity("flops").label, log=True)
    style.set_axis(ax, "y", "compute-optimal [count]", log=True)
    style.legend_above(ax)
    return ax


def frontier_table(planner: Planner, flops: ArrayLike | None = None) -> pd.DataFrame:
    """Return what `frontier` draws: the planner's answers over the budgets, one row each.

    Parameters
    ----------
    planner, flops
        As the figure.

    Returns
    -------
    DataFrame
        As `Plan.to_frame`.

    Raises
    ------
    PlanError
        As the figure.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> planner = sl.Planner(sl.published.BESIROGLU_2024)
    >>> sl.plot.frontier_table(planner, [1e20, 1e22]).tokens_per_param.round(1).tolist()
    [22.9, 20.4]
    """
    return _frontier(planner, flops)[0].to_frame()


def _frontier(planner: Planner, flops: ArrayLike | None) -> tuple[Plan, float, float]:
    """Plans over the budgets, and the measured range of compute."""
    if not hasattr(planner, "source"):
        raise PlanError(
            f"frontier draws a planner, got {type(planner).__name__}. Give sl.Planner(fit), or "
            "sl.Planner(law)."
        )
    law, ranges = law_and_ranges(planner.source)
    need_pair(law, "frontier")
    low, high = ranges.get("flops", (np.nan, np.nan))
    if flops is None:
        ends = (low, 100.0 * high) if np.isfinite(high) else UNKNOWN["flops"]
        flops = np.geomspace(*ends, _GRID)
    plan = planner.frontier(np.sort(np.atleast_1d(np.asarray(flops, dtype=float))))
    _need_optimum(plan)
    return plan, low, high


def law_and_ranges(source: object) -> tuple[Law, Mapping[str, tuple[float, float]]]:
    """Return the law to draw, and the ranges known of its quantities."""
    if isinstance(source, Law):
        return source, {n: (low, high) for n, low, high in source.validity}
    law, ranges = getattr(source, "law", None), getattr(source, "ranges", None)
    if not isinstance(law, Law) or ranges is None:
        raise PlanError(f"expected a fit or a law to draw, got {type(source).__name__}.")
    return law, ranges


def need_pair(law: Law, what: str) -> None:
    """Refuse laws of other inputs than params and tokens."""
    if set(law.inputs) != set(_PAIR):
        raise PlanError(
            f"{what} needs a law of params and tokens, but '{law.name or law.family.name}' is a "
            f"law of {', '.join(law.inputs)}. Draw it with plot.fit instead."
        )


def _need_optimum(plan: Plan) -> None:
    if not np.any(plan.feasible):
        raise PlanError(
            "the law has no optimal split at any of these budgets. Draw other budgets, or look at "
            "it with plot.contour."
        )


def _split_line(
    ax: Axes, x: Array, y: Array, inside: NDArray[np.bool_], colour: str, label: str
) -> list[Line2D]:
    """Draw a line, solid inside and dashed outside."""
    last = max(int(np.sum(inside)) - 1, 0)
    solid = ax.plot(x[: last + 1], y[: last + 1], color=colour, lw=1.6, label=label, zorder=2.5)
    dashes = (0, (3, 1.5))
    return solid + ax.plot(x[last:], y[last:], color=colour, lw=1.6, ls=dashes, zorder=2.5)


def _finite(plan: Plan, name: str) -> tuple[Array, Array]:
    """Interval ends, NaN where a draw's answer is without bound."""
    ends = (np.asarray(end[name], dtype=float) for end in (plan.low, plan.high))
    low, high = (np.where(np.isfinite(end) & (end > 0), end, np.nan) for end in ends)
    return low, high


def _ratio_lines(ax: Axes, flops: Array, ratio: float, kappa: float) -> None:
    size = np.sqrt(flops / (kappa * ratio))
    for values, label in ((size, f"{ratio:g} tokens / parameter"), (ratio * size, None)):
        ax.plot(flops, values, color=style.GREY, lw=1.0, ls=":", label=label, zorder=2)
