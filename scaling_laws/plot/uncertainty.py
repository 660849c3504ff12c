"""What is uncertain: coefficients and how they move together, parts of an interval, laws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from scaling_laws.errors import DataError, suggest
from scaling_laws.inference.interval import PARTS, check_level
from scaling_laws.planning.planner import Planner
from scaling_laws.plot import style
from scaling_laws.plot.style import Array
from scaling_laws.quantities import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling_laws.fitting.result import Fit
    from scaling_laws.fitting.selection import Selection

_POINTS = 60
_BINS = 24
_MOST_DOTS = 400
_ROLES = {
    "coefficients": "coefficients",
    "candidates": "laws disagree",
    "law": "law itself wrong",
    "run": "noise of a run",
}


def coefficients(
    fit: Fit, names: Sequence[str] | None = None, *, level: float = 0.9, ax: Axes | None = None
) -> Axes:
    """Draw the draws of the coefficients, one by one and in pairs.

    Parameters
    ----------
    fit : Fit
        With draws.
    names : sequence of str, optional
        Which coefficients. Default: all that vary.
    level : float, default 0.9
        Mass of the intervals.
    ax : Axes, optional
        Axes whose place the panels take; default a new figure.

    Returns
    -------
    Axes
        The frame, its panels inside: on the diagonal the draws with the interval, below it
        pairs, above it their correlation.

    Raises
    ------
    DataError
        No draws, or an unknown coefficient.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100, law_error=False)
    >>> ax = sl.plot.coefficients(fit, ["E", "alpha"])
    >>> len(ax.child_axes)
    4
    >>> plt.close(ax.figure)
    """
    table = coefficients_table(fit, names)
    ends = fit.interval(check_level(level))
    ax = style.get_axes(ax)
    ax.set_axis_off()
    count = len(table.columns)
    text = style.small_size(ax)
    side, gap = 1.0 / count, 0.12 / count
    shown = [str(name) for name in table]
    for row, up in enumerate(shown):
        for column, across in enumerate(shown):
            place = (column * side, 1 - (row + 1) * side, side - gap, side - 2.4 * gap)
            panel = ax.inset_axes(place)
            panel.set_xticks([])
            panel.set_yticks([])
            x, y = table[across].to_numpy(), table[up].to_numpy()
            if row == column:
                low, high = (float(ends[end].to_dict()[up]) for end in ("low", "high"))
                _one(panel, x, fit.coef[up], low, high)
                panel.set_title(f"{up} {fit.coef[up]:.3g}", fontsize=text, pad=2)
            elif row > column:
                some = slice(None, None, max(len(x) // _MOST_DOTS, 1))
                panel.plot(x[some], y[some], ".", color=style.BLUE, ms=2, alpha=0.35, mew=0,
                           rasterized=True)  # fmt: skip
                panel.plot(fit.coef[across], fit.coef[up], "+", color=style.VERMILION, ms=6)
                panel.set_xlim(*_view(x))
                panel.set_ylim(*_view(y))
            else:
                _correlation(panel, float(np.corrcoef(x, y)[0, 1]), text)
    return ax


def _one(panel: Axes, x: Array, best: float, low: float, high: float) -> None:
    panel.hist(np.clip(x, *_view(x)), bins=_BINS, color=style.BLUE, alpha=0.55)
    panel.axvspan(low, high, color=style.GREY, alpha=0.15, lw=0)
    panel.axvline(best, color=style.VERMILION, lw=1.0)
    panel.set_xlim(*_view(x))


def _view(x: Array) -> tuple[float, float]:
    """Range of nearly all draws: a few far ones must not squeeze the rest."""
    low, high = np.quantile(x, [0.005, 0.995])
    margin = 0.08 * (high - low) or 0.5
    return float(low - margin), float(high + margin)


def _correlation(panel: Axes, value: float, text: float) -> None:
    from matplotlib.colors import to_rgba

    colour = style.BLUE if value < 0 else style.VERMILION
    panel.set_facecolor(to_rgba(colour, 0.6 * abs(value)))
    panel.text(0.5, 0.5, f"{value:+.2f}", ha="center", va="center", fontsize=text + 0.5,
               transform=panel.transAxes)  # fmt: skip


def coefficients_table(fit: Fit, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the draws that `coefficients` shows, one column a coefficient, raw units.

    Parameters
    ----------
    fit, names
        As the figure.

    Returns
    -------
    DataFrame

    Raises
    ------
    DataError
        As the figure.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100, law_error=False)
    >>> sl.plot.coefficients_table(fit).shape
    (100, 5)
    """
    table = pd.DataFrame(fit.draws, columns=list(fit.law.family.coefficient_names))
    if len(table) < 2:
        raise DataError("the fit has no draws of its coefficients. Fit again with draws.")
    if names is None:
        spread = np.ptp(table.to_numpy(), axis=0)
        moving = spread > 1e-12 * np.abs(table.to_numpy()).max(axis=0)
        return table[[str(n) for n, moves in zip(table, moving, strict=True) if moves]]
    for name in names:
        if name not in table:
            raise DataError(
                f"the law has no coefficient '{name}'.{suggest(name, list(map(str, table)))}"
            )
    return table[list(names)]


def parts(
    source: Fit | Selection, scale: ArrayLike | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw what the interval of one run is made of, near the data and far from them.

    Parameters
    ----------
    source : Fit or Selection
        Of params and tokens, followed along the compute-optimal path, or of one input.
    scale : array_like, optional
        Compute [FLOP], or values of the one input. Default: from the smallest measured to 100
        times the largest.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        Standard deviations, in percent for log residuals; squares add up to that of the total.

    Raises
    ------
    DataError
        No draws, or a law of several other inputs.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100, law_error=False)
    >>> sl.plot.parts(fit).get_ylabel()
    'standard deviation [%]'
    >>> plt.close("all")
    """
    table = parts_table(source, scale)
    name = str(table.columns[0])
    ax = style.get_axes(ax)
    x = table[name].to_numpy(dtype=float)
    low, high = source.ranges.get(name, (np.nan, np.nan))
    ax.plot(x, table["total"], color=style.INK, lw=1.8, label="total")
    for i, part in enumerate(PARTS):
        if (table[part] > 0).any():
            ax.plot(x, table[part], color=style.SEQUENCE[i], lw=1.4, label=_ROLES[part])
    if np.isfinite(high):
        ax.axvspan(max(low, x.min()), high, color=style.GREY, alpha=0.12, lw=0, label="measured")
    ax.set_xlim(x.min(), x.max())
    style.set_axis(ax, "x", quantity(name).label, log=True)
    scale_of = source.predictive.residual
    unit = {"log": "%", "logit": "logit"}.get(scale_of, quantity(source.target).unit or "-")
    style.set_axis(ax, "y", f"standard deviation [{unit}]", log=False)
    ax.set_ylim(bottom=0.0)
    style.legend_above(ax)
    return ax


def parts_table(source: Fit | Selection, scale: ArrayLike | None = None) -> pd.DataFrame:
    """Return what `parts` draws.

    Parameters
    ----------
    source, scale
        As the figure.

    Returns
    -------
    DataFrame
        The scale, then as `Fit.uncertainty`, in percent for log residuals.

    Raises
    ------
    DataError
        As the figure.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100, law_error=False)
    >>> table = sl.plot.parts_table(fit, [1e12, 1e15])
    >>> bool(table.total[1] > table.total[0])
    True
    """
    joint = set(source.inputs) == {"params", "tokens"}
    if not joint and len(source.inputs) != 1:
        raise DataError(
            f"parts follows laws of params and tokens, or of one input; this is one of "
            f"{', '.join(source.inputs)}. Ask for points with uncertainty()."
        )
    name = "flops" if joint else source.inputs[0]
    if scale is None:
        if name not in source.ranges:
            raise DataError(f"parts: no '{name}' was measured. Give scale=.")
        low, high = source.ranges[name]
        scale = np.geomspace(low, 100.0 * high, _POINTS)
    at = np.unique(np.atleast_1d(np.asarray(scale, dtype=float)))
    points = {name: at}
    if joint:
        best = Planner(source).frontier(at).best
        points = {n: np.asarray(best[n], dtype=float) for n in source.inputs}
        known = np.isfinite(points["params"])
        at, points = at[known], {n: v[known] for n, v in points.items()}
    table = source.uncertainty(points)
    unit = 100.0 if source.predictive.residual == "log" else 1.0
    columns = [*PARTS, "total"]
    table[columns] = unit * table[columns]
    if joint:
        table.insert(0, "flops", at)
    return table


def laws(selection: Selection, *, ax: Axes | None = None) -> Axes:
    """Draw how laws were weighed: the held-out error of each, and what it counts.

    Parameters
    ----------
    selection : Selection
        From `scaling_laws.select`.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        One dot a candidate (a law with a focus), as large as its weight; the share of each law
        is written beside it.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> selection = sl.select(sl.load_dataset("tiny_lm"), ["chinchilla"], focuses=(0.0,), draws=50)
    >>> sl.plot.laws(selection).get_xlabel()
    'held-out error [%]'
    >>> plt.close("all")
    """
    table = laws_table(selection)
    names = list(dict.fromkeys(table["law"]))
    ax = style.get_axes(ax)
    unit = "[%]" if selection.predictive.residual == "log" else "[residual scale]"
    at = style.bars(ax, names, f"held-out error {unit}")
    places = dict(zip(names, at, strict=True))
    y = table["law"].map(places).to_numpy(dtype=float)
    size = 8.0 + 160.0 * table["weight"].to_numpy(dtype=float)
    error = table["error"].to_numpy(dtype=float)
    ax.scatter(error, y, s=size, color=style.BLUE, alpha=0.6, edgecolors="white", lw=0.5)
    style.set_axis(ax, "x", f"held-out error {unit}", log=bool((error > 0).all()))
    share = table.groupby("law")["weight"].sum()
    for name, place in places.items():
        ax.annotate(
            f"{100 * share[name]:.0f} %", (1.0, place), xycoords=("axes fraction", "data"),
            xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=style.small_size(ax) + 1,
        )  # fmt: skip
    ax.set_title("weight", fontsize=style.small_size(ax) + 1, loc="right")
    ax.margins(x=0.1)
    return ax


def laws_table(selection: Selection) -> pd.DataFrame:
    """Return what `laws` draws: the candidates that were scored, heaviest law first.

    Parameters
    ----------
    selection : Selection
        From `scaling_laws.select`.

    Returns
    -------
    DataFrame
        ``law``, ``focus``, held-out ``error`` (percent for log residuals) and ``weight``.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> selection = sl.select(sl.load_dataset("tiny_lm"), ["chinchilla"], focuses=(0.0,), draws=50)
    >>> round(float(sl.plot.laws_table(selection).weight.sum()), 6)
    1.0
    """
    table = selection.table
    scored = table[np.isfinite(table["error"].to_numpy(dtype=float))]
    scored = scored[["law", "focus", "error", "weight"]].fillna({"weight": 0.0})
    unit = 100.0 if selection.predictive.residual == "log" else 1.0
    heaviest = scored.groupby("law")["weight"].transform("sum")
    order = np.lexsort([scored["error"], -heaviest])
    scored = scored.assign(error=unit * scored["error"]).iloc[order]
    return pd.DataFrame(scored.reset_index(drop=True))
