"""The fitted curve beside the runs it was fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scaling_laws.data.runs import Runs
from scaling_laws.errors import DataError, suggest
from scaling_laws.inference.interval import Kind, check_level
from scaling_laws.planning.planner import Planner
from scaling_laws.plot import style
from scaling_laws.plot.style import Array
from scaling_laws.quantities import quantity, training_flops

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from scaling_laws.fitting.result import Fit

_BEYOND = 10.0  # curves are drawn to this many times the largest measured value
_LEVELS = 8
_POINTS = 100


def fit(
    fit: Fit,
    *,
    x: str | None = None,
    level: float = 0.9,
    kind: Kind = "run",
    ax: Axes | None = None,
) -> Axes:
    """Draw measured runs and the fitted curve with its interval, to 10 times beyond the data.

    A law of one input is one curve. A law of params and tokens is drawn against compute: one
    curve per model size, the runs in the colour of their size, and the loss of the best split of
    each budget, which is what extends beyond the data. Other laws show one input, in the colour
    of the second; a third and further inputs are held at their median, and the runs are moved
    along the fit to the same values (partial residuals).

    Parameters
    ----------
    fit : Fit
    x : str, optional
        Input on the horizontal axis, or ``"flops"`` for laws of params and tokens, which is taken
        as 6 params tokens. Default: ``"flops"`` there, else the first input.
    level : float, default 0.9
        Mass of the interval, as in `Fit.predict`.
    kind : {"run", "mean"}
        Interval of one new run or of the curve itself. The best split of a budget always has the
        interval of one run.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        The fit was saved without its rows, or ``x`` is not one of its inputs.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> fitted = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100)
    >>> ax = sl.plot.fit(fitted)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('training compute [FLOP]', 'test loss [nats]')
    >>> plt.close(ax.figure)
    """
    check_level(level)
    runs = measured(fit)
    joint = set(fit.law.inputs) == {"params", "tokens"}
    name = _horizontal(fit, x, joint)
    ax = style.get_axes(ax)
    if len(fit.law.inputs) == 1:
        _one_input(ax, fit, runs, name, level, kind)
    elif name == "flops" and "flops" not in fit.law.inputs:
        _against_compute(ax, fit, runs, level)
    else:
        _one_of_several(ax, fit, runs, name, level, kind)
    return ax


def measured(fit: Fit) -> Runs:
    """Return the rows of a fit, or say that the file left them out."""
    if fit.runs is None:
        raise DataError(
            "this figure shows the runs, which the saved fit left out. Save with rows=True, or "
            "fit again."
        )
    return fit.runs


def _horizontal(fit: Fit, x: str | None, joint: bool) -> str:
    known = (*fit.law.inputs, *(("flops",) if joint else ()))
    if x is None:
        return "flops" if joint else fit.law.inputs[0]
    if x not in known:
        raise DataError(f"x must be one of {known}, got {x!r}.{suggest(x, known)}")
    return x


def _one_input(ax: Axes, fit: Fit, runs: Runs, name: str, level: float, kind: Kind) -> None:
    values = runs.column(name)
    log = style.is_log(name, values, fit.law)
    grid = _grid(float(values.min()), _further(values, log), log)
    table = fit.predict({name: grid}, level=level, kind=kind)
    style.scatter(ax, values, runs.y, color=style.INK, label="measured")
    _curve(ax, table, name, fit.target, float(values.max()), color=style.BLUE, label="fit")
    _band(ax, table, name, fit.target, style.BLUE, f"{style.percent(level)} {_noun(kind)}")
    _finish(ax, fit, name, log)
    style.legend(ax)


def _against_compute(ax: Axes, fit: Fit, runs: Runs, level: float) -> None:
    import pandas as pd

    params, tokens = runs.column("params"), runs.column("tokens")
    flops = np.asarray(training_flops(params, tokens))
    cmap, norm = style.colours("params", params)
    for size, rows in _levels(params, log=True):
        grid = _grid(float(flops[rows].min()), float(flops[rows].max()), log=True)
        mean = fit.law(params=size, tokens=grid / (6.0 * size))
        ax.plot(grid, mean, color=cmap(norm(size)), lw=1.0, zorder=2)
    edge = float(flops.max())
    plan = Planner(fit, level=level).frontier(_grid(float(flops.min()), _BEYOND * edge, log=True))
    best = pd.DataFrame({"flops": plan.best["flops"], fit.target: plan.best[fit.target]})
    if plan.low:
        best[f"{fit.target}_low"] = plan.low[fit.target]
        best[f"{fit.target}_high"] = plan.high[fit.target]
    best = best.dropna(subset=[fit.target])
    dots = style.scatter(ax, flops, runs.y, c=params, cmap=cmap, norm=norm)
    if len(best):
        _curve(ax, best, "flops", fit.target, edge, color=style.VERMILION, label="compute-optimal")
        _band(
            ax, best, "flops", fit.target, style.VERMILION, f"{style.percent(level)} of runs there"
        )
        style.legend(ax)
    _finish(ax, fit, "flops", log=True)
    style.colour_bar(ax, dots, "params")


def _one_of_several(ax: Axes, fit: Fit, runs: Runs, name: str, level: float, kind: Kind) -> None:
    others = [n for n in fit.law.inputs if n != name]
    second, held = others[0], {n: float(np.median(runs.column(n))) for n in others[1:]}
    values, levels = runs.column(name), runs.column(second)
    y = runs.y
    if held:
        actual = {n: runs.column(n) for n in fit.law.inputs}
        moved = fit.law(**(actual | {n: np.full(len(y), v) for n, v in held.items()}))
        on_fit = fit.law(**actual)
        y = y * moved / on_fit if fit.predictive.residual == "log" else y + moved - on_fit
    log = style.is_log(name, values, fit.law)
    cmap, norm = style.colours(second, levels)
    for value, rows in _levels(levels, style.is_log(second, levels, fit.law)):
        own = values[rows]
        grid = _grid(float(own.min()), _further(own, log), log)
        fixed = {n: np.full(len(grid), v) for n, v in {second: value, **held}.items()}
        table = fit.predict({name: grid, **fixed}, level=level, kind=kind)
        colour = cmap(norm(value))
        _curve(ax, table, name, fit.target, float(own.max()), color=colour, lw=1.0)
        _band(ax, table, name, fit.target, colour, None)
    dots = style.scatter(ax, values, y, c=levels, cmap=cmap, norm=norm)
    _finish(ax, fit, name, log)
    if held:
        ax.set_ylabel(f"{ax.get_ylabel()}\n({', '.join(held)} at the median)")
    style.colour_bar(ax, dots, second)


def _curve(
    ax: Axes,
    table: pd.DataFrame,
    x: str,
    target: str,
    edge: float,
    *,
    color: object,
    label: str | None = None,
    lw: float = 1.5,
) -> None:
    """Draw a curve: solid where runs were measured, dashed beyond ``edge``."""
    at, y = table[x].to_numpy(), table[target].to_numpy()
    inside = at <= edge * (1 + 1e-9)
    last = max(int(inside.sum()) - 1, 0)
    ax.plot(at[inside], y[inside], color=color, lw=lw, label=label, zorder=2.5)
    ax.plot(at[last:], y[last:], color=color, lw=lw, ls=(0, (3, 1.5)), zorder=2.5)


def _band(
    ax: Axes, table: pd.DataFrame, x: str, target: str, colour: object, label: str | None
) -> None:
    if f"{target}_low" not in table or table[f"{target}_low"].isna().all():
        return
    ax.fill_between(
        table[x],
        table[f"{target}_low"],
        table[f"{target}_high"],
        color=colour,
        alpha=style.BAND_ALPHA,
        lw=0,
        label=label,
        zorder=1.5,
    )


def _finish(ax: Axes, fit: Fit, name: str, log: bool) -> None:
    log_y = fit.predictive.residual == "log"
    style.set_axis(ax, "x", quantity(name).label, log=log)
    style.set_axis(ax, "y", quantity(fit.target).label, log=log_y)


def _levels(values: Array, log: bool) -> list[tuple[float, Array]]:
    """Up to eight values to draw a curve at, each with the mask of the rows near it."""
    unique = np.unique(values)
    if len(unique) <= _LEVELS:
        return [(float(v), values == v) for v in unique]
    z = np.log(values) if log else values
    edges = np.linspace(z.min(), z.max(), _LEVELS + 1)
    bins = np.clip(np.searchsorted(edges, z, side="right") - 1, 0, _LEVELS - 1)
    masks = [bins == i for i in range(_LEVELS) if (bins == i).any()]
    return [(float(np.median(values[m])), m) for m in masks]


def _grid(low: float, high: float, log: bool) -> Array:
    if not low < high:
        return np.array([low])
    return np.geomspace(low, high, _POINTS) if log else np.linspace(low, high, _POINTS)


def _further(values: Array, log: bool) -> float:
    """Where a curve ends: 10 times the largest value, or half the range more if not positive."""
    top = float(values.max())
    return _BEYOND * top if log else top + 0.5 * float(np.ptp(values))


def _noun(kind: Kind) -> str:
    return "of runs" if kind == "run" else "for the curve"
