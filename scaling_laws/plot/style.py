"""What all figures share: new axes, readable scales, colours that everyone can tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from scaling_laws.laws.family import Law, input_domain
from scaling_laws.quantities import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure
    from matplotlib.ticker import Locator

Array = NDArray[np.float64]

# Okabe and Ito's palette (Wong 2011, doi:10.1038/nmeth.1618).
BLUE = "#0072B2"
VERMILION = "#D55E00"
GREY = "#6F6F6F"
INK = "#222222"
PAIRS = ((BLUE, VERMILION), ("#56B4E9", "#E69F00"), ("#009E73", "#CC79A7"))  # laws on one axes

SEQUENCE = (BLUE, VERMILION, "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # things on one axes

BAND_ALPHA = 0.2
BEYOND = (0, (3, 1.5))  # dashes of what lies beyond the data
_LEGEND = 8.0  # points
_NARROW, _SHORT = 3.6, 2.6  # inches: axes smaller than this get smaller text
_SOME, _MANY = 100, 2000  # runs: beyond, dots get smaller
_STEPS = (1, 2, 2.5, 5, 10)
_ENOUGH = 2.2  # decades: below, powers of ten leave an axis nearly without numbers


def get_axes(ax: Axes | None) -> Axes:
    """Return ``ax``, or the axes of a new pyplot figure, so that notebooks show it."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]


def detached_axes(width: float, height: float) -> Axes:
    """Return the axes of a new figure [inches] that pyplot knows nothing about.

    Examples
    --------
    >>> ax = detached_axes(3.4, 2.6)
    >>> ax.figure.get_size_inches().tolist()
    [3.4, 2.6]
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots()


def figure_of(ax: Axes) -> Figure:
    """Return the whole figure that holds the axes."""
    from matplotlib.figure import Figure

    parent = ax.figure
    return parent if isinstance(parent, Figure) else figure_of(parent)  # type: ignore[arg-type]


def is_log(name: str, values: Array, law: Law | None = None) -> bool:
    """Whether an axis of this quantity is logarithmic: positive by declaration and by value."""
    if law is not None and name in law.inputs:
        positive = input_domain(law.family, name) == "positive"
    else:
        positive = quantity(name).domain == "positive"
    return positive and bool((values > 0).all())


def set_axis(ax: Axes, which: Literal["x", "y"], label: str, *, log: bool) -> None:
    """Set scale and label; a logarithmic axis of few decades gets plain round numbers."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

    axis = ax.xaxis if which == "x" else ax.yaxis
    if which == "x":
        ax.set_xscale("log" if log else "linear")
        ax.set_xlabel(label)
    else:
        ax.set_yscale("log" if log else "linear")
        ax.set_ylabel(label)
    _fit_text(ax)
    if not log:
        axis.set_major_locator(MaxNLocator(6, steps=_STEPS))
        return
    locator = _round_numbers(*sorted(axis.get_view_interval()))
    if locator is None:
        axis.set_minor_formatter(NullFormatter())
        return
    axis.set_major_locator(locator)
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(_plain))


def colour_bar(ax: Axes, drawn: Any, name: str, **options: Any) -> None:
    """Add a colour bar for a quantity beside the axes."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FuncFormatter, NullFormatter

    small = _is_small(ax)  # before the bar takes its part of the width
    bar = ax.figure.colorbar(drawn, ax=ax, label=quantity(name).label, **options)
    if isinstance(drawn.norm, LogNorm):
        low, high = drawn.get_clim()
        locator = _round_numbers(low, high)
        if locator is not None:
            ticks = [t for t in locator.tick_values(low, high) if low <= t <= high]
            bar.set_ticks(ticks, minor=False)
            bar.minorticks_off()
            bar.formatter = FuncFormatter(_plain)
            bar.update_ticks()
        else:
            bar.ax.yaxis.set_minor_formatter(NullFormatter())
    if small:
        _shrink(bar.ax)


def _round_numbers(low: float, high: float) -> Locator | None:
    """Return a locator for a logarithmic axis too short for powers of ten alone, else None."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    decades = np.log10(high / low)
    if decades >= _ENOUGH:
        return None
    if decades < 0.7:
        return MaxNLocator(6, steps=_STEPS)
    return LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.3 else (1.0, 3.0))


def _is_small(ax: Axes) -> bool:
    dpi = figure_of(ax).dpi
    return bool(ax.bbox.width < _NARROW * dpi or ax.bbox.height < _SHORT * dpi)


def _fit_text(ax: Axes) -> None:
    """Shrink labels that would not fit beside axes of one column's width."""
    if _is_small(ax):
        _shrink(ax)


def _shrink(ax: Axes) -> None:
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_fontsize(min(8.0, float(axis.label.get_fontsize())))
    ax.tick_params(labelsize=7.5)


def _plain(value: float, position: int | None = None) -> str:
    del position
    if value and not 1e-3 <= abs(value) < 1e4:
        mantissa, exponent = f"{value:.2e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
        factor = "" if mantissa == "1" else rf"{mantissa}\!\times\!"
        return rf"${factor}10^{{{int(exponent)}}}$"
    return f"{value:.4g}"


def colours(name: str, values: Array) -> tuple[Colormap, Normalize]:
    """Colour map and norm of a third quantity; the palest end, unreadable on white, is cut off."""
    import matplotlib
    from matplotlib.colors import ListedColormap, LogNorm, Normalize

    cmap = ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0.0, 0.88, 256)))
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = 0.9 * low, 1.1 * high + (low == 0)
    log = low > 0 and quantity(name).domain == "positive"
    return cmap, LogNorm(low, high) if log else Normalize(low, high)


def scatter(ax: Axes, x: Array, y: Array, **options: Any) -> PathCollection:
    """Measured runs: small dots with a thin white edge, smaller and rasterised when many."""
    many = len(x) > _MANY
    shown: Mapping[str, Any] = {
        "s": 5 if many else 10 if len(x) > _SOME else 18,
        "linewidths": 0.0 if many else 0.4,
        "edgecolors": "none" if many else "white",
        "rasterized": many,
        "zorder": 3,
    }
    return ax.scatter(x, y, **{**shown, **options})


def band(ax: Axes, x: Any, low: Any, high: Any, colour: Any, label: str | None = None) -> None:
    """Fill an interval, where there is one."""
    ends = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    if np.isfinite(ends[0]).any():
        ax.fill_between(x, *ends, color=colour, alpha=BAND_ALPHA, lw=0, zorder=1.5, label=label)


def line(ax: Axes, x: Array, y: Array, edge: float, colour: Any, label: str | None = None) -> None:
    """Draw a curve: solid up to ``edge``, where measuring ended, and dashed beyond."""
    inside = x <= edge * (1 + 1e-9)
    last = max(int(inside.sum()) - 1, 0)
    ax.plot(
        x[: last + 1], y[: last + 1], color=colour, lw=1.6, zorder=2.5,
        label=label if inside.any() else None,
    )  # fmt: skip
    if not inside.all():
        shown = None if inside.any() else label
        ax.plot(x[last:], y[last:], color=colour, lw=1.6, ls=BEYOND, zorder=2.5, label=shown)


def bars(ax: Axes, names: Sequence[str], label: str) -> NDArray[np.float64]:
    """Name the rows of a figure of horizontal bars, first on top, and return their places."""
    at = np.arange(len(names), dtype=float)
    set_axis(ax, "x", label, log=False)
    ax.set_yticks(at, list(names))
    ax.set_ylim(len(names) - 0.4, -0.6)
    _fit_text(ax)
    return at


def whiskers(ax: Axes, at: Array, middle: Any, low: Any, high: Any) -> None:
    """Draw horizontal intervals around the ends of bars, where they are known."""
    middle, low, high = (np.asarray(v, dtype=float) for v in (middle, low, high))
    known = np.isfinite(low) & np.isfinite(high)
    ax.hlines(at[known], low[known], high[known], color=INK, lw=1.0, zorder=3)
    ax.plot(middle, at, "o", ms=3.5, color=INK, zorder=3)


def small_size(ax: Axes) -> float:
    """Size [points] of numbers written into a figure."""
    return 6.5 if _is_small(ax) else _LEGEND


def legend(ax: Axes, **options: Any) -> None:
    """Small legend that lets the data through."""
    size = _LEGEND - 0.5 * _is_small(ax)
    ax.legend(**{"fontsize": size, "framealpha": 0.8, "handlelength": 1.6, **options})


def legend_above(ax: Axes, columns: int = 2) -> None:
    """Legend above the axes, for figures whose every corner matters."""
    legend(
        ax,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=columns,
        frameon=False,
        borderaxespad=0.2,
        columnspacing=1.2,
    )


def note(
    ax: Axes, text: str, at: tuple[float, float], offset: tuple[float, float] = (-2.0, 3.0)
) -> None:
    """Write a few letters ending just above a point, with a halo that parts them from lines."""
    from matplotlib.patheffects import withStroke

    ax.annotate(
        text,
        at,
        xytext=offset,
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=small_size(ax),
        color=INK,
        path_effects=[withStroke(linewidth=1.5, foreground="white", alpha=0.8)],
        zorder=4,
    )


def headline(ax: Axes, text: str) -> None:
    """Title in the size of the labels."""
    ax.set_title(text, fontsize=ax.xaxis.label.get_fontsize())


def count(value: float) -> str:
    """Write a number to three digits, without an exponent where it is short.

    Examples
    --------
    >>> count(1098.0), count(0.02514), count(2.5e9)
    ('1100', '0.0251', '2.5e+09')
    """
    rounded = float(f"{value:.3g}")
    return f"{rounded:.0f}" if 1e3 <= abs(rounded) < 1e6 else f"{rounded:.3g}"


def percent(level: float) -> str:
    """Write an interval's mass.

    Examples
    --------
    >>> percent(0.9), percent(0.995)
    ('90 %', '99.5 %')
    """
    return f"{100 * level:.4g} %"


def rename_unit(ax: Axes, name: str, unit: str) -> None:
    """Write another unit than the declared one wherever the figure shows this quantity."""
    declared = quantity(name)
    right = f"{declared.meaning} [{unit}]" if unit else declared.meaning
    for axes in figure_of(ax).axes:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_label_text(axis.get_label_text().replace(declared.label, right))
