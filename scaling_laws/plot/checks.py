"""Is the law right: residuals, backtests and predictions of runs held out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scaling_laws.errors import DataError
from scaling_laws.inference.interval import check_level
from scaling_laws.plot import style
from scaling_laws.plot.fits import measured
from scaling_laws.quantities import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling_laws.fitting.result import Fit
    from scaling_laws.plot.style import Array

_COLUMNS = ("actual", "predicted", "low", "high")


def residuals(fit: Fit, *, x: str = "fitted", level: float = 0.9, ax: Axes | None = None) -> Axes:
    """Draw how far the fit lies above (+) or below (-) each run, with the band of the run noise.

    Parameters
    ----------
    fit : Fit
    x : str, default "fitted"
        Horizontal axis: ``"fitted"`` for the predicted target, an input of the law, or
        ``"flops"`` where known.
    level : float, default 0.9
        Share of runs the noise band should hold.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        In percent of the measured value for log residuals, else on the residual scale.

    Raises
    ------
    DataError
        The fit was saved without its rows, or ``x`` is not among them.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> fitted = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100)
    >>> ax = sl.plot.residuals(fitted, x="params")
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('model parameters [count]', 'predicted above measured [%]')
    >>> plt.close(ax.figure)
    """
    table = residuals_table(fit, x=x)
    values = table[x].to_numpy(dtype=float)
    name = fit.target if x == "fitted" else x
    ax = style.get_axes(ax)
    low, high = _noise_band(fit, check_level(level))
    scale = fit.predictive.residual
    ax.axhspan(
        _shown(low, scale),
        _shown(high, scale),
        color=style.BLUE,
        alpha=style.BAND_ALPHA,
        lw=0,
        label=f"run noise, {style.percent(level)}",
    )
    ax.axhline(0.0, color=style.BLUE, lw=1.0)
    style.scatter(ax, values, table["deviation"].to_numpy(dtype=float), color=style.INK)
    label = quantity(name).label
    log = style.is_log(name, values, fit.law) and scale != "linear"
    style.set_axis(ax, "x", f"fitted {label}" if x == "fitted" else label, log=log)
    unit = {"log": "[%]", "logit": "[logit]"}.get(scale, f"[{quantity(fit.target).unit or '-'}]")
    style.set_axis(ax, "y", f"predicted above measured {unit}", log=False)
    style.legend(ax)
    return ax


def residuals_table(fit: Fit, *, x: str = "fitted") -> pd.DataFrame:
    """Return what `residuals` draws.

    Parameters
    ----------
    fit, x
        As the figure.

    Returns
    -------
    DataFrame
        One row a run: ``fitted`` or ``x``, and ``deviation``: percent for log residuals, else on
        the residual scale.

    Raises
    ------
    DataError
        As the figure.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fitted = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=0)
    >>> list(sl.plot.residuals_table(fitted, x="params").columns)
    ['params', 'deviation']
    """
    runs = measured(fit)
    values = np.asarray(fit.predictive.mean(runs.x)) if x == "fitted" else runs.column(x)
    deviation = _shown(fit.residuals, fit.predictive.residual)
    return pd.DataFrame({x: values, "deviation": deviation}, index=list(runs.index))


def backtest(backtest: Any, *, ax: Axes | None = None) -> Axes:
    """Draw the error of predictions made from the runs below each cut, against distance.

    Parameters
    ----------
    backtest : Backtest
        From `scaling_laws.backtest`.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        One dot a held-out run, one ring a cut at its mean.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> back = sl.backtest(sl.load_dataset("tiny_lm"), "chinchilla")
    >>> ax = sl.plot.backtest(back)
    >>> ax.get_ylabel()
    '|predicted / measured - 1| [%]'
    >>> plt.close(ax.figure)
    """
    table = backtest_table(backtest)
    relative = _relative(backtest)
    means = table.groupby("cut").mean().sort_values("distance")
    ax = style.get_axes(ax)
    style.scatter(
        ax,
        table["distance"].to_numpy(dtype=float),
        table["error"].to_numpy(dtype=float),
        color=style.GREY,
        alpha=0.6,
        label="held-out run",
    )
    ax.plot(
        means["distance"],
        means["error"],
        color=style.VERMILION,
        marker="o",
        mfc="white",
        mew=1.5,
        lw=1.5,
        zorder=4,
        label="mean of a cut",
    )
    along = quantity(backtest.along).meaning
    style.set_axis(ax, "x", f"distance in {along} [decades]", log=False)
    label = "|predicted / measured - 1| [%]" if relative else "|predicted - measured|"
    style.set_axis(ax, "y", label, log=False)
    ax.set_ylim(bottom=0.0)
    style.legend(ax)
    return ax


def backtest_table(backtest: Any) -> pd.DataFrame:
    """Return what `backtest` draws.

    Parameters
    ----------
    backtest : Backtest
        From `scaling_laws.backtest`.

    Returns
    -------
    DataFrame
        One row a held-out run: ``cut``, ``distance`` [decades] and ``error``, its size [%], or in
        the target's unit where the target is not positive.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> back = sl.backtest(sl.load_dataset("tiny_lm"), "chinchilla")
    >>> bool((sl.plot.backtest_table(back).error >= 0).all())
    True
    """
    rows = backtest.rows
    error = rows["error"].to_numpy(dtype=float)
    size = 100.0 * np.abs(np.expm1(error)) if _relative(backtest) else np.abs(error)
    return pd.DataFrame(rows[["cut", "distance"]].assign(error=size))


def _relative(backtest: Any) -> bool:
    return bool((backtest.rows["actual"] > 0).all())


def predicted(table: pd.DataFrame, *, x: str = "actual", ax: Axes | None = None) -> Axes:
    """Draw predictions of held-out runs with their intervals, in percent of what was measured.

    Where a measured value is not positive: as differences.

    Parameters
    ----------
    table : DataFrame
        Columns ``actual``, ``predicted``, ``low``, ``high``, one row a run.
    x : str, default "actual"
        Column on the horizontal axis; any other column of the table, for example ``"flops"``.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        A column is missing.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, pandas as pd, scaling_laws as sl
    >>> held_out = pd.DataFrame(
    ...     {"actual": [3.0, 2.8], "predicted": [3.03, 2.8], "low": [2.9, 2.7], "high": [3.1, 2.9]}
    ... )
    >>> ax = sl.plot.predicted(held_out)
    >>> ax.get_title()
    'inside the interval: 2 of 2'
    >>> plt.close(ax.figure)
    """
    shown = predicted_table(table, x=x)
    relative = bool((table["actual"] > 0).all())
    inside = shown["inside"].to_numpy(dtype=bool)
    ax = style.get_axes(ax)
    ax.axhline(0.0, color=style.INK, lw=1.0, zorder=1)
    for rows, colour, marker, label in (
        (inside, style.BLUE, "o", "inside"),
        (~inside, style.VERMILION, "D", "outside"),
    ):
        if not rows.any():
            continue
        middle, low, high = (shown[n].to_numpy()[rows] for n in _COLUMNS[1:])
        ends = np.abs([low - middle, high - middle])
        ax.errorbar(
            shown[x].to_numpy()[rows],
            middle,
            yerr=np.where(np.isfinite(ends), ends, 0.0),
            fmt=marker,
            color=colour,
            ms=3.5,
            lw=1.0,
            label=label,
        )
    style.set_axis(ax, "x", _x_label(x), log=bool((shown[x] > 0).all()))
    style.set_axis(ax, "y", "predicted above measured" + " [%]" * relative, log=False)
    style.headline(ax, f"inside the interval: {int(inside.sum())} of {len(inside)}")
    return ax


def predicted_table(table: pd.DataFrame, *, x: str = "actual") -> pd.DataFrame:
    """Return what `predicted` draws.

    Parameters
    ----------
    table, x
        As the figure.

    Returns
    -------
    DataFrame
        One row a run: ``x``, ``predicted``, ``low`` and ``high`` less what was measured, in
        percent of it where all are positive, and ``inside``.

    Raises
    ------
    DataError
        A column is missing.

    Examples
    --------
    >>> import pandas as pd, scaling_laws as sl
    >>> runs = pd.DataFrame({"actual": [2.0], "predicted": [2.1], "low": [1.9], "high": [2.2]})
    >>> sl.plot.predicted_table(runs).predicted.round(3).tolist()
    [5.0]
    """
    data = _held_out(table, x)
    actual = data["actual"]
    scale = actual / 100.0 if (actual > 0).all() else np.ones_like(actual)
    deviation = {n: (data[n] - actual) / scale for n in _COLUMNS[1:]}
    inside = (data["low"] <= actual) & (actual <= data["high"])
    return pd.DataFrame({x: data[x], **deviation, "inside": inside}, index=table.index)


def _noise_band(fit: Fit, level: float) -> tuple[float, float]:
    """Central interval of the run noise on the residual scale, from the fit's own draws."""
    tails = [0.5 * (1 - level), 0.5 * (1 + level)]
    z = fit.predictive.z_run
    if not len(z):
        from scipy.special import ndtri

        low, high = ndtri(tails)
    else:
        low, high = np.quantile(z, tails)
    return float(fit.noise * low), float(fit.noise * high)


def _shown(values: Any, scale: str) -> Any:
    return 100.0 * np.expm1(values) if scale == "log" else values


def _held_out(table: pd.DataFrame, x: str) -> dict[str, Array]:
    missing = [n for n in (*_COLUMNS, x) if n not in table]
    if missing:
        raise DataError(
            f"the table of held-out runs lacks the columns {missing}. Found: "
            f"{', '.join(map(str, table.columns))}."
        )
    return {n: table[n].to_numpy(dtype=float) for n in dict.fromkeys((*_COLUMNS, x))}


def _x_label(x: str) -> str:
    return "measured" if x == "actual" else quantity(x).label
