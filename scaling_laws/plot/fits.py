"""The fitted curve beside the runs it was fitted to."""

from __future__ import annotations

from dataclasses import dataclass
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
    shown = _shown(fit, x, level, kind)
    ax = style.get_axes(ax)
    if shown.second is None:
        _draw_one_input(ax, fit, shown, f"{style.percent(level)} {_noun(kind)}")
    else:
        _draw_coloured(ax, fit, shown, style.percent(level))
    return ax


def fit_table(
    fit: Fit, *, x: str | None = None, level: float = 0.9, kind: Kind = "run"
) -> pd.DataFrame:
    """Return what `fit` draws.

    Parameters
    ----------
    fit, x, level, kind
        As the figure.

    Returns
    -------
    DataFrame
        ``curve`` (``"measured"``, or the name of a curve), the horizontal quantity, the target
        and, for curves with an interval, its ``_low`` and ``_high``.

    Raises
    ------
    DataError
        As the figure.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fitted = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100)
    >>> table = sl.plot.fit_table(fitted)
    >>> list(table.columns)
    ['curve', 'flops', 'loss', 'loss_low', 'loss_high']
    """
    import pandas as pd

    shown = _shown(fit, x, level, kind)
    columns = [shown.name, fit.target, f"{fit.target}_low", f"{fit.target}_high"]
    measured = pd.DataFrame({shown.name: shown.values, fit.target: shown.y})
    parts = [measured.assign(curve="measured")]
    parts += [c.table.assign(curve=c.label) for c in shown.curves]
    known = [p.reindex(columns=["curve", *columns]).dropna(axis=1, how="all") for p in parts]
    return pd.concat(known, ignore_index=True).reindex(columns=["curve", *columns])


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


@dataclass(frozen=True)
class _Curve:
    """A curve with its interval; ``at`` is the value of the quantity that colours it."""

    label: str
    table: pd.DataFrame
    edge: float
    at: float | None = None


@dataclass(frozen=True)
class _Shown:
    """Everything a figure of a fit shows: runs, and curves."""

    name: str
    values: Array
    y: Array
    curves: tuple[_Curve, ...]
    log: bool = True
    second: str | None = None
    levels: Array | None = None
    held: tuple[str, ...] = ()


def _shown(fit: Fit, x: str | None, level: float, kind: Kind) -> _Shown:
    check_level(level)
    runs = measured(fit)
    name = _horizontal(fit, x, set(fit.law.inputs) == {"params", "tokens"})
    if len(fit.law.inputs) == 1:
        return _one_input(fit, runs, name, level, kind)
    if name == "flops" and "flops" not in fit.law.inputs:
        return _against_compute(fit, runs, level)
    return _one_of_several(fit, runs, name, level, kind)


def _one_input(fit: Fit, runs: Runs, name: str, level: float, kind: Kind) -> _Shown:
    values = runs.column(name)
    log = style.is_log(name, values, fit.law)
    grid = _grid(float(values.min()), _further(values, log), log)
    table = fit.predict({name: grid}, level=level, kind=kind)
    return _Shown(name, values, runs.y, (_Curve("fit", table, float(values.max())),), log)


def _against_compute(fit: Fit, runs: Runs, level: float) -> _Shown:
    import pandas as pd

    params, tokens = runs.column("params"), runs.column("tokens")
    flops = np.asarray(training_flops(params, tokens))
    curves = []
    for size, rows in _levels(params, log=True):
        grid = _grid(float(flops[rows].min()), float(flops[rows].max()), log=True)
        mean = fit.law(params=size, tokens=grid / (6.0 * size))
        table = pd.DataFrame({"flops": grid, fit.target: mean})
        curves.append(_Curve(f"params={size:.4g}", table, float(grid[-1]), size))
    edge = float(flops.max())
    plan = Planner(fit, level=level).frontier(_grid(float(flops.min()), _BEYOND * edge, log=True))
    best = pd.DataFrame({"flops": plan.best["flops"], fit.target: plan.best[fit.target]})
    if plan.low:
        best[f"{fit.target}_low"] = plan.low[fit.target]
        best[f"{fit.target}_high"] = plan.high[fit.target]
    best = best.dropna(subset=[fit.target])
    if len(best):
        curves.append(_Curve("compute-optimal", best, edge))
    return _Shown("flops", flops, runs.y, tuple(curves), True, "params", params)


def _one_of_several(fit: Fit, runs: Runs, name: str, level: float, kind: Kind) -> _Shown:
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
    curves = []
    for value, rows in _levels(levels, style.is_log(second, levels, fit.law)):
        own = values[rows]
        grid = _grid(float(own.min()), _further(own, log), log)
        fixed = {n: np.full(len(grid), v) for n, v in {second: value, **held}.items()}
        table = fit.predict({name: grid, **fixed}, level=level, kind=kind)
        curves.append(_Curve(f"{second}={value:.4g}", table, float(own.max()), value))
    return _Shown(name, values, y, tuple(curves), log, second, levels, tuple(held))


def _draw_one_input(ax: Axes, fit: Fit, shown: _Shown, band: str) -> None:
    (curve,) = shown.curves
    style.scatter(ax, shown.values, shown.y, color=style.INK, label="measured")
    _curve(ax, curve.table, shown.name, fit.target, curve.edge, color=style.BLUE, label="fit")
    _band(ax, curve.table, shown.name, fit.target, style.BLUE, band)
    _finish(ax, fit, shown.name, shown.log)
    style.legend(ax)


def _draw_coloured(ax: Axes, fit: Fit, shown: _Shown, level: str) -> None:
    """Draw curves in the colour of a second quantity; those without a value of it stand out."""
    assert shown.second is not None
    assert shown.levels is not None
    cmap, norm = style.colours(shown.second, shown.levels)
    for curve in shown.curves:
        best = curve.at is None
        colour = style.VERMILION if curve.at is None else cmap(norm(curve.at))
        label = curve.label if best else None
        width = 1.5 if best else 1.0
        _curve(
            ax, curve.table, shown.name, fit.target, curve.edge, color=colour, label=label, lw=width
        )
        band = f"{level} of runs there" if best else None
        _band(ax, curve.table, shown.name, fit.target, colour, band)
    dots = style.scatter(ax, shown.values, shown.y, c=shown.levels, cmap=cmap, norm=norm)
    _finish(ax, fit, shown.name, shown.log)
    if shown.held:
        ax.set_ylabel(f"{ax.get_ylabel()}\n({', '.join(shown.held)} at the median)")
    if any(curve.at is None for curve in shown.curves):
        style.legend(ax)
    style.colour_bar(ax, dots, shown.second)


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
    if not inside.all():
        ax.plot(at[last:], y[last:], color=color, lw=lw, ls=style.BEYOND, zorder=2.5)


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
