"""Curves of what was measured: learning curves to a goal, repetitions, noise, times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from scaling_laws.errors import DataError, PlanError, suggest
from scaling_laws.fitting.result import Fit
from scaling_laws.inference.interval import Kind, check_level
from scaling_laws.laws.family import Law
from scaling_laws.planning.planner import Planner
from scaling_laws.plot import style
from scaling_laws.plot.fits import fit_table, measured
from scaling_laws.plot.style import Array
from scaling_laws.quantities import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling_laws.fitting.selection import Selection
    from scaling_laws.planning.plan import Plan

_POINTS = 80


def learning_curve(
    fit: Fit,
    *,
    goal: float | None = None,
    level: float = 0.9,
    kind: Kind = "run",
    ax: Axes | None = None,
) -> Axes:
    """Draw a learning curve, its extrapolation, and how much more data a goal needs.

    Parameters
    ----------
    fit : Fit
        Of one input, such as ``samples``.
    goal : float, optional
        Value of the target to reach.
    level : float, default 0.9
        Mass of the intervals.
    kind : {"run", "mean"}
        As `fit`.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        Dots are runs, rings their means. The goal is a line, with what it needs and the interval
        of that; where the law cannot reach it, the title says what it can.

    Raises
    ------
    DataError
        The fit was saved without its rows.
    PlanError
        Several inputs, or an impossible goal.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> digits = sl.load_dataset("digits").query("width == 64")
    >>> fit = sl.fit(digits, "power_with_floor", target="accuracy", inputs=("samples",))
    >>> ax = sl.plot.learning_curve(fit, goal=0.96)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('training samples [count]', 'accuracy [fraction]')
    >>> plt.close(ax.figure)
    """
    name = _single(fit)
    table = learning_curve_table(fit, level=level, kind=kind)
    runs = table[table["curve"] == "measured"]
    means = table[table["curve"] == "mean"]
    curve = table[table["curve"] == "fit"]
    ax = style.get_axes(ax)
    style.scatter(
        ax, runs[name].to_numpy(), runs[fit.target].to_numpy(), color=style.GREY, alpha=0.6
    )
    ax.plot(
        means[name], means[fit.target], "o", mfc="white", mec=style.INK, ms=4, zorder=4,
        label="measured mean",
    )  # fmt: skip
    at = curve[name].to_numpy()
    style.line(ax, at, curve[fit.target].to_numpy(), float(runs[name].max()), style.BLUE, "fit")
    style.band(
        ax, at, curve[f"{fit.target}_low"], curve[f"{fit.target}_high"], style.BLUE,
        f"{style.percent(level)} {'of runs' if kind == 'run' else 'for the curve'}",
    )  # fmt: skip
    log = style.is_log(name, runs[name].to_numpy(), fit.law)
    if goal is not None:
        _draw_goal(ax, fit, Planner(fit, level=level).for_target(goal), float(goal), name)
    style.set_axis(ax, "x", quantity(name).label, log=log)
    style.set_axis(ax, "y", quantity(fit.target).label, log=False)
    style.legend(ax)
    return ax


def _draw_goal(ax: Axes, fit: Fit, plan: Plan, goal: float, name: str) -> None:
    colour = style.VERMILION
    ax.axhline(goal, color=colour, lw=0.9, ls=":", label=f"goal {goal:.4g}")
    if not plan.feasible:
        limit = f", limit {plan.limit:.4g}" if plan.limit is not None else ""
        style.headline(ax, f"{goal:.4g} is out of reach{limit}")
        return
    best = float(plan.best[name])
    top = ax.get_xlim()[1]
    if best > top:
        x = np.geomspace(float(measured(fit).column(name).max()), best, _POINTS)
        ax.plot(x, fit.law(**{name: x}), color=style.BLUE, lw=1.6, ls=style.BEYOND)
    told = f"needs {style.count(best)}"
    if plan.low and np.isfinite(plan.low[name]):
        low, high = float(plan.low[name]), float(plan.high[name])
        told += (
            f" ({style.count(low)} to {style.count(high)})"
            if np.isfinite(high)
            else f" ({style.count(low)} or more)"
        )
        ax.hlines(goal, low, min(high, 10 * best), color=colour, lw=2.4, alpha=0.7, zorder=4)
    ax.plot(best, goal, "D", color=colour, ms=5, mec="white", mew=0.6, zorder=5)
    style.headline(ax, told)


def learning_curve_table(fit: Fit, *, level: float = 0.9, kind: Kind = "run") -> pd.DataFrame:
    """Return what `learning_curve` draws.

    Parameters
    ----------
    fit, level, kind
        As the figure.

    Returns
    -------
    DataFrame
        As `fit_table`, with the mean of the runs at each value of the input (``curve`` is
        ``"mean"``).

    Raises
    ------
    DataError, PlanError
        As the figure.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> digits = sl.load_dataset("digits").query("width == 64")
    >>> fit = sl.fit(digits, "power_with_floor", target="accuracy", inputs=("samples",), draws=0)
    >>> sl.plot.learning_curve_table(fit).curve.unique().tolist()
    ['measured', 'fit', 'mean']
    """
    name = _single(fit)
    table = fit_table(fit, level=level, kind=kind)
    runs = table[table["curve"] == "measured"]
    means = runs.groupby(name)[fit.target].mean().reset_index().assign(curve="mean")
    return pd.concat([table, means], ignore_index=True)


def _single(fit: Fit) -> str:
    if len(fit.law.inputs) != 1:
        raise PlanError(
            f"learning_curve draws laws of one input; this is one of {', '.join(fit.law.inputs)}. "
            "Draw it with plot.fit."
        )
    return fit.law.inputs[0]


def runs(
    table: pd.DataFrame,
    *,
    x: str,
    y: str | Sequence[str],
    by: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw columns of a table of runs against another: any metric or time against any size.

    Parameters
    ----------
    table : DataFrame
        From `learning_curve`, `sweep`, or your own.
    x : str
        Column on the horizontal axis.
    y : str or sequence of str
        Columns to draw, of one unit; or one column, with ``by``.
    by : str, optional
        Column whose values are lines of their own.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        Means over repeats, bars from the least to the largest.

    Raises
    ------
    DataError
        A column is missing.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> ax = sl.plot.runs(sl.load_dataset("digits"), x="samples", y="seconds", by="width")
    >>> ax.get_ylabel()
    'wall time [s]'
    >>> plt.close(ax.figure)
    """
    shown = runs_table(table, x=x, y=y, by=by)
    columns = (y,) if isinstance(y, str) else tuple(y)
    ax = style.get_axes(ax)
    parts = list(shown.groupby("line", sort=False))
    cmap = None
    if by is not None and len(parts) > len(style.SEQUENCE):
        cmap, norm = style.colours(by, table[by].to_numpy(dtype=float))
    for i, (label, rows) in enumerate(parts):
        colour = style.SEQUENCE[i % 6] if cmap is None else cmap(norm(float(label)))  # type: ignore[arg-type]
        name = None if len(parts) == 1 else f"{by} {label}" if by else quantity(str(label)).meaning
        ends = np.abs(rows[["low", "high"]].to_numpy().T - rows["mean"].to_numpy())
        ax.errorbar(
            rows[x], rows["mean"], yerr=ends, fmt="o-", ms=3.5, lw=1.2, elinewidth=0.8,
            color=colour, label=name,
        )  # fmt: skip
    everything = shown[["low", "high"]].to_numpy()
    style.set_axis(ax, "x", quantity(x).label, log=style.is_log(x, shown[x].to_numpy()))
    wide = bool((everything > 0).all() and everything.max() > 3 * everything.min())
    log = wide and style.is_log(columns[0], everything)
    style.set_axis(ax, "y", quantity(columns[0]).label, log=log)
    if len(parts) > 1:
        style.legend_above(ax, columns=3)
    return ax


def runs_table(
    table: pd.DataFrame, *, x: str, y: str | Sequence[str], by: str | None = None
) -> pd.DataFrame:
    """Return what `runs` draws.

    Parameters
    ----------
    table, x, y, by
        As the figure.

    Returns
    -------
    DataFrame
        ``line`` (value of ``by``, or the column), ``x``, and ``mean``, ``low``, ``high`` over the
        ``repeats``.

    Raises
    ------
    DataError
        A column is missing.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> digits = sl.load_dataset("digits").query("width == 64")
    >>> sl.plot.runs_table(digits, x="samples", y="accuracy").mean.__name__
    'mean'
    """
    columns = (y,) if isinstance(y, str) else tuple(y)
    for name in (x, *columns, *((by,) if by else ())):
        if name not in table:
            raise DataError(
                f"the table has no column '{name}'.{suggest(name, list(map(str, table)))}"
            )
    if by and len(columns) > 1:
        raise DataError(f"by='{by}' draws one column by another; y names {len(columns)}. Give one.")
    parts = []
    for name in columns:
        rows = pd.DataFrame({"line": table[by] if by else name, x: table[x], "y": table[name]})
        values = rows.dropna().groupby(["line", x], sort=True)["y"]
        parts.append(values.agg(mean="mean", low="min", high="max", repeats="count").reset_index())
    return pd.concat(parts, ignore_index=True)


def repetition(
    source: Fit | Selection | Law,
    *,
    params: float,
    unique_tokens: float,
    epochs: ArrayLike | None = None,
    level: float = 0.9,
    ax: Axes | None = None,
) -> Axes:
    """Draw what passing over the same data again is worth, beside as many fresh tokens.

    Parameters
    ----------
    source : Fit, Selection or Law
        Of params, tokens and unique_tokens.
    params : float
        Model size [count].
    unique_tokens : float
        Distinct tokens [count].
    epochs : array_like, optional
        Passes, from 1 up. Default: 1 to 64.
    level : float, default 0.9
        Mass of the interval of the curve, with a fit.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    PlanError
        The law does not tell distinct tokens apart.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> law = sl.published.MUENNIGHOFF_2023_REPEATED
    >>> sl.plot.repetition(law, params=1e9, unique_tokens=1e10).get_xlabel()
    'passes over the data [count]'
    >>> plt.close("all")
    """
    table = repetition_table(
        source, params=params, unique_tokens=unique_tokens, epochs=epochs, level=level
    )
    target = "loss" if isinstance(source, Law) else source.target
    ax = style.get_axes(ax)
    x = table["epochs"].to_numpy()
    ax.plot(x, table[f"{target}_fresh"], color=style.GREY, lw=1.4, ls=style.BEYOND,
            label="all tokens fresh")  # fmt: skip
    ax.plot(x, table[target], color=style.BLUE, lw=1.6, label="repeated")
    if f"{target}_low" in table:
        style.band(ax, x, table[f"{target}_low"], table[f"{target}_high"], style.BLUE,
                   f"{style.percent(level)} for the curve")  # fmt: skip
    style.set_axis(ax, "x", quantity("epochs").label, log=True)
    style.set_axis(ax, "y", quantity(target).label, log=False)
    style.headline(ax, f"{params:.3g} parameters, {unique_tokens:.3g} distinct tokens")
    style.legend(ax)
    return ax


def repetition_table(
    source: Fit | Selection | Law,
    *,
    params: float,
    unique_tokens: float,
    epochs: ArrayLike | None = None,
    level: float = 0.9,
) -> pd.DataFrame:
    """Return what `repetition` draws.

    Parameters
    ----------
    source, params, unique_tokens, epochs, level
        As the figure.

    Returns
    -------
    DataFrame
        ``epochs``, the law's inputs, the target (with ``_low`` and ``_high``), and
        ``<target>_fresh``: the target if every token were new.

    Raises
    ------
    PlanError
        As the figure.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> law = sl.published.MUENNIGHOFF_2023_REPEATED
    >>> table = sl.plot.repetition_table(law, params=1e9, unique_tokens=1e10, epochs=[1, 4, 40])
    >>> (table.loss - table.loss_fresh).round(3).tolist()
    [0.0, 0.012, 0.054]
    """
    law = source if isinstance(source, Law) else source.law
    needed = {"params", "tokens", "unique_tokens"}
    if set(law.inputs) != needed:
        raise PlanError(
            f"repetition needs a law of {sorted(needed)}, but '{law.name or law.family.name}' is "
            f"one of {', '.join(law.inputs)}."
        )
    passes = np.geomspace(1, 64, _POINTS) if epochs is None else np.atleast_1d(epochs).astype(float)
    if not (np.isfinite(passes) & (passes >= 1)).all():
        raise PlanError(f"repetition: epochs must be numbers from 1 up, got {epochs!r}.")
    tokens = passes * float(unique_tokens)
    at = {"params": np.full(len(passes), float(params)), "tokens": tokens}
    at["unique_tokens"] = np.full(len(passes), float(unique_tokens))
    fresh = law(**{**at, "unique_tokens": tokens})
    if isinstance(source, Law):
        table = pd.DataFrame({**at, "loss": law(**at)})
        target = "loss"
    else:
        target = source.target
        table = source.predict(at, level=check_level(level), kind="mean")
    table.insert(0, "epochs", passes)
    return table.assign(**{f"{target}_fresh": fresh})


def noise(fit: Fit, *, x: str = "fitted", ax: Axes | None = None) -> Axes:
    """Draw how much repeats of a run differ, beside the noise that the fit assumes.

    Parameters
    ----------
    fit : Fit
        To runs some of which repeat the same inputs, with other seeds.
    x : str, default "fitted"
        ``"fitted"`` for the predicted target, an input of the law, or ``"flops"`` where known.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        Standard deviation of each set of repeats, with the 90 % interval that a normal
        distribution gives it.

    Raises
    ------
    DataError
        No two runs share their inputs, or the fit was saved without its rows.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=0)
    >>> sl.plot.noise(fit, x="flops").get_ylabel()
    'standard deviation of repeats [%]'
    >>> plt.close("all")
    """
    table = noise_table(fit, x=x)
    at = table[x].to_numpy(dtype=float)
    ax = style.get_axes(ax)
    ax.vlines(at, table["low"], table["high"], color=style.GREY, lw=1.0)
    style.scatter(
        ax, at, table["deviation"].to_numpy(dtype=float), color=style.INK, label="repeats"
    )
    order = np.argsort(at, kind="stable")
    ax.plot(at[order], table["assumed"].to_numpy()[order], color=style.BLUE, lw=1.5,
            label="one run, as fitted")  # fmt: skip
    name = fit.target if x == "fitted" else x
    label = quantity(name).label
    style.set_axis(
        ax, "x", f"fitted {label}" if x == "fitted" else label, log=style.is_log(name, at, fit.law)
    )
    unit = {"log": "%", "logit": "logit"}.get(fit.predictive.residual, quantity(fit.target).unit)
    style.set_axis(ax, "y", f"standard deviation of repeats [{unit or '-'}]", log=True)
    style.legend_above(ax)
    return ax


def noise_table(fit: Fit, *, x: str = "fitted") -> pd.DataFrame:
    """Return what `noise` draws.

    Parameters
    ----------
    fit, x
        As the figure.

    Returns
    -------
    DataFrame
        One row a set of repeats: ``x``, how many ``runs``, their standard ``deviation`` with
        ``low`` and ``high``, and what the fit ``assumed``; in percent for log residuals, else on
        the residual scale.

    Raises
    ------
    DataError
        As the figure.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=0)
    >>> bool((sl.plot.noise_table(fit).runs >= 2).all())
    True
    """
    from scipy.stats import chi2

    rows = measured(fit)
    values = np.asarray(fit.predictive.mean(rows.x)) if x == "fitted" else rows.column(x)
    table = pd.DataFrame(dict(zip(rows.inputs, rows.x, strict=True)))
    table = table.assign(shown=values, residual=fit.residuals, place=np.arange(len(values)))
    sets = table.groupby(list(rows.inputs), sort=False)
    found = sets.agg(
        shown=("shown", "first"),
        runs=("residual", "size"),
        place=("place", "first"),
        deviation=("residual", "std"),
    )
    found = found[found["runs"] > 1].reset_index(drop=True)
    if found.empty:
        raise DataError(
            "no two runs share their inputs, so nothing shows how repeats differ. Repeat a few "
            "cheap ones with other seeds."
        )
    dof = found["runs"].to_numpy() - 1.0
    unit = 100.0 if fit.predictive.residual == "log" else 1.0
    at: list[Array] = [v[found["place"].to_numpy()] for v in rows.x]
    size = unit * found["deviation"].to_numpy()
    ends = [size * np.sqrt(dof / chi2.ppf(p, dof)) for p in (0.95, 0.05)]
    assumed = unit * np.broadcast_to(fit.predictive.noise_at(at), len(found))
    return pd.DataFrame(
        {x: found["shown"], "runs": found["runs"], "deviation": size, "low": ends[0],
         "high": ends[1], "assumed": assumed}
    )  # fmt: skip
