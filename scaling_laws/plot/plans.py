"""What to train: optimal sizes against compute, and the surface they lie on."""

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
from scaling_laws.quantities import quantity, training_flops

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.lines import Line2D

    from scaling_laws.fitting.result import Fit
    from scaling_laws.planning.plan import Plan

_PAIR = ("params", "tokens")
_SHOWN = {"params": ("model size", "N*"), "tokens": ("training tokens", "D*")}
_UNKNOWN = {"flops": (1e18, 1e23), "params": (1e7, 1e11), "tokens": (1e9, 1e13)}
_GRID = 120
_CONTOURS = 10


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
    law, ranges = _law_and_ranges(planner.source)
    _need_pair(law, "frontier")
    low, high = ranges.get("flops", (np.nan, np.nan))
    known = bool(np.isfinite(high))
    if flops is None:
        ends = (low, 100.0 * high) if known else _UNKNOWN["flops"]
        flops = np.geomspace(*ends, _GRID)
    plan = planner.frontier(np.sort(np.atleast_1d(np.asarray(flops, dtype=float))))
    _need_optimum(plan)
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


def contour(fit: Fit | Law, *, budgets: ArrayLike | None = None, ax: Axes | None = None) -> Axes:
    """Draw the loss over model size and tokens: iso-FLOP lines, optimal path and measured runs.

    Parameters
    ----------
    fit : Fit or Law
        Of params and tokens. A bare law is drawn over the range it was fitted on.
    budgets : array_like, optional
        Compute of the iso-FLOP lines [FLOP]. Default: powers of ten up to 10 times the largest
        measured.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    PlanError
        The law is not one of params and tokens.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> ax = sl.plot.contour(sl.published.HOFFMANN_2022, budgets=[1e20, 1e22, 1e24])
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('model parameters [count]', 'training tokens processed [count]')
    >>> plt.close(ax.figure)
    """
    law, ranges = _law_and_ranges(fit)
    _need_pair(law, "contour")
    target = "loss" if isinstance(fit, Law) else fit.target
    lines = _budgets(ranges) if budgets is None else np.unique(np.asarray(budgets, dtype=float))
    path = _path(fit, ranges, lines)
    size, tokens = (_span(n, ranges, path) for n in _PAIR)
    ax = style.get_axes(ax)
    n, d = np.meshgrid(np.geomspace(*size, _GRID), np.geomspace(*tokens, _GRID))
    surface = np.asarray(law(params=n, tokens=d))
    higher = quantity(target).direction == "higher" or law.family.increasing
    filled = ax.contourf(n, d, surface, _contour_levels(surface), cmap=_surface_map(higher))
    for c in lines:
        _iso_flop(ax, float(c), size, tokens)
    if len(path):
        ax.plot(path.params, path.tokens, color=style.VERMILION, lw=1.6, label="compute-optimal")
    runs = None if isinstance(fit, Law) else fit.runs
    if runs is not None:
        style.scatter(
            ax, runs.column("params"), runs.column("tokens"), color=style.INK, label="measured"
        )
    ax.set_xlim(*size)
    ax.set_ylim(*tokens)
    style.set_axis(ax, "x", quantity("params").label, log=True)
    style.set_axis(ax, "y", quantity("tokens").label, log=True)
    style.legend_above(ax)
    style.colour_bar(ax, filled, target, format="%.3g")
    return ax


def _law_and_ranges(source: object) -> tuple[Law, Mapping[str, tuple[float, float]]]:
    if isinstance(source, Law):
        return source, {n: (low, high) for n, low, high in source.validity}
    law, ranges = getattr(source, "law", None), getattr(source, "ranges", None)
    if not isinstance(law, Law) or ranges is None:
        raise PlanError(f"expected a fit or a law to draw, got {type(source).__name__}.")
    return law, ranges


def _need_pair(law: Law, what: str) -> None:
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


def _budgets(ranges: Mapping[str, tuple[float, float]]) -> Array:
    """Powers of ten over the measured compute and one decade more, at most seven."""
    low, high = ranges.get("flops", _UNKNOWN["flops"])
    exponents = np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 2)
    step = int(np.ceil(len(exponents) / 7))
    return np.asarray(10.0 ** exponents[::-step][::-1])


def _path(fit: Fit | Law, ranges: Mapping[str, tuple[float, float]], lines: Array) -> pd.DataFrame:
    import pandas as pd

    low = min([float(lines.min()), *([ranges["flops"][0]] if "flops" in ranges else [])])
    high = float(lines.max())
    plan = Planner(fit).frontier(np.geomspace(low, high, _GRID) if low < high else [low])
    table = pd.DataFrame({name: np.atleast_1d(plan.best.get(name, np.nan)) for name in _PAIR})
    return table.dropna()


def _span(
    name: str, ranges: Mapping[str, tuple[float, float]], path: pd.DataFrame
) -> tuple[float, float]:
    """Range of an axis: the measured one and the optimal path, with a margin."""
    values = [*ranges.get(name, () if len(path) else _UNKNOWN[name])]
    values += [path[name].min(), path[name].max()] if len(path) else []
    return min(values) / 1.5, max(values) * 1.5


def _contour_levels(surface: Array) -> Array:
    """Levels that lie closer together where the surface is flat."""
    flat = np.sort(surface[np.isfinite(surface)])
    return np.unique(np.quantile(flat, np.linspace(0, 1, _CONTOURS + 1)))


def _surface_map(higher: bool) -> Colormap:
    """Blues, darker where better, without the shades too dark to write on."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    shades = matplotlib.colormaps["Blues"](np.linspace(0.03, 0.6, 256))
    return ListedColormap(shades if higher else shades[::-1])


def _iso_flop(
    ax: Axes, flops: float, size: tuple[float, float], tokens: tuple[float, float]
) -> None:
    """Draw one iso-FLOP line, labelled where it leaves the axes at the lower right."""
    low = max(size[0], flops / training_flops(1.0, tokens[1]))
    high = min(size[1], flops / training_flops(1.0, tokens[0]))
    if not low < high:
        return
    n = np.array([low, high])
    ax.plot(n, flops / training_flops(1.0, n), color="white", lw=1.8, zorder=2)
    ax.plot(n, flops / training_flops(1.0, n), color=style.GREY, lw=0.9, ls="--", zorder=2)
    power = np.log10(flops)
    text = rf"$10^{{{power:.0f}}}$" if abs(power - round(power)) < 1e-9 else f"{flops:.2g}"
    style.note(ax, text, (high, float(flops / training_flops(1.0, high))))
