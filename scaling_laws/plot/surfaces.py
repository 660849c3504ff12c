"""The surface of a law: its value over two inputs, with budgets, best path and measured runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.errors import PlanError, suggest
from scaling_laws.laws.family import Law
from scaling_laws.planning.planner import Planner
from scaling_laws.plot import style
from scaling_laws.plot.plans import UNKNOWN, law_and_ranges, need_pair
from scaling_laws.plot.style import Array
from scaling_laws.quantities import quantity, training_flops

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

    from scaling_laws.fitting.result import Fit
    from scaling_laws.fitting.selection import Selection

_PAIR = ("params", "tokens")
_GRID = 120
_CONTOURS = 10


def contour(
    fit: Fit | Selection | Law,
    *,
    budgets: ArrayLike | None = None,
    ratios: Sequence[float] = (),
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss over model size and tokens: iso-FLOP lines, optimal path and measured runs.

    Parameters
    ----------
    fit : Fit, Selection or Law
        Of params and tokens. A bare law is drawn over the range it was fitted on.
    budgets : array_like, optional
        Compute of the iso-FLOP lines [FLOP]. Default: powers of ten up to 10 times the largest
        measured.
    ratios : sequence of float
        Lines of constant tokens per parameter to draw too, such as ``(20, 200)`` for sizes that
        are trained longer than is optimal.
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
    law, ranges, lines, path = _joint_surface(fit, budgets)
    target = "loss" if isinstance(fit, Law) else fit.target
    size, tokens = (_span(n, ranges, path) for n in _PAIR)
    ax = style.get_axes(ax)
    n, d = np.meshgrid(np.geomspace(*size, _GRID), np.geomspace(*tokens, _GRID))
    filled = _filled(ax, n, d, np.asarray(law(params=n, tokens=d)), law, target)
    for c in lines:
        _iso_flop(ax, float(c), size, tokens)
    for ratio in ratios:
        _iso_ratio(ax, float(ratio), size, tokens)
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


def contour_table(fit: Fit | Selection | Law, *, budgets: ArrayLike | None = None) -> pd.DataFrame:
    """Return the surface that `contour` draws, and the best path across it.

    Parameters
    ----------
    fit, budgets
        As the figure.

    Returns
    -------
    DataFrame
        ``part`` (``"surface"`` or ``"compute-optimal"``), ``params``, ``tokens`` [count] and the
        target.

    Raises
    ------
    PlanError
        As the figure.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> table = sl.plot.contour_table(sl.published.HOFFMANN_2022, budgets=[1e20, 1e22])
    >>> table.part.unique().tolist()
    ['surface', 'compute-optimal']
    """
    import pandas as pd

    law, ranges, _, path = _joint_surface(fit, budgets)
    target = "loss" if isinstance(fit, Law) else fit.target
    size, tokens = (_span(n, ranges, path) for n in _PAIR)
    n, d = np.meshgrid(np.geomspace(*size, _GRID), np.geomspace(*tokens, _GRID))
    grid = pd.DataFrame({"part": "surface", "params": n.ravel(), "tokens": d.ravel()})
    parts = [grid, path.assign(part="compute-optimal")] if len(path) else [grid]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(**{target: law(params=table.params, tokens=table.tokens)})


def section(
    source: Fit | Selection | Law,
    x: str,
    y: str,
    *,
    at: Mapping[str, float] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the value of any law over two of its inputs, the others held; for example over the
    learning rate and batch size.

    Parameters
    ----------
    source : Fit, Selection or Law
    x, y : str
        Inputs on the axes.
    at : mapping of str to float, optional
        Values of the other inputs. Default: medians of the runs.
    ranges : mapping of str to pair of float, optional
        Ranges of the axes. Default: as measured.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        A cross at the best point, where that is inside.

    Raises
    ------
    PlanError
        An unknown input, or a value or range that is neither given nor measured.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=0)
    >>> sl.plot.section(fit, "tokens", "params").get_xlabel()
    'training tokens processed [count]'
    >>> plt.close("all")
    """
    law, _ = law_and_ranges(source)
    table = section_table(source, x, y, at=at, ranges=ranges)
    target = "loss" if isinstance(source, Law) else source.target
    side = int(np.sqrt(len(table)))
    across, up, value = (table[n].to_numpy().reshape(side, side) for n in (x, y, target))
    ax = style.get_axes(ax)
    filled = _filled(ax, across, up, value, law, target)
    higher = quantity(target).direction == "higher" or law.family.increasing
    row, column = np.unravel_index(np.argmax(value if higher else -value), value.shape)
    if 0 < row < side - 1 and 0 < column < side - 1:
        where = across[row, column], up[row, column]
        ax.plot(*where, "x", color=style.VERMILION, ms=7, mew=1.8, label="best")
    runs = None if isinstance(source, Law) else source.runs
    if runs is not None:
        style.scatter(ax, runs.column(x), runs.column(y), color=style.INK, label="measured")
    for which, name, values in (("x", x, across), ("y", y, up)):
        style.set_axis(ax, which, quantity(name).label, log=style.is_log(name, values, law))  # type: ignore[arg-type]
    ax.set_xlim(across.min(), across.max())
    ax.set_ylim(up.min(), up.max())
    if ax.get_legend_handles_labels()[0]:
        style.legend_above(ax)
    style.colour_bar(ax, filled, target, format="%.3g")
    return ax


def section_table(
    source: Fit | Selection | Law,
    x: str,
    y: str,
    *,
    at: Mapping[str, float] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> pd.DataFrame:
    """Return the grid that `section` draws.

    Parameters
    ----------
    source, x, y, at, ranges
        As the figure.

    Returns
    -------
    DataFrame
        Every input of the law, and the target.

    Raises
    ------
    PlanError
        As the figure.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> law = sl.published.HOFFMANN_2022
    >>> table = sl.plot.section_table(law, "params", "tokens")
    >>> bool(table.loss.min() > 1.69)
    True
    """
    import pandas as pd

    law, known = law_and_ranges(source)
    for name in (x, y):
        if name not in law.inputs:
            raise PlanError(
                f"section: '{name}' is no input of this law; it has {law.inputs}."
                f"{suggest(name, law.inputs)}"
            )
    if x == y:
        raise PlanError(f"section: both axes are '{x}'. Give two inputs.")
    ends = {**known, **(ranges or {})}
    sides = [_side(law, name, ends) for name in (x, y)]
    across, up = np.meshgrid(*sides)
    held = {n: _held_at(source, n, at or {}) for n in law.inputs if n not in (x, y)}
    values: dict[str, Any] = {x: across.ravel(), y: up.ravel()}
    values |= {n: np.full(across.size, v) for n, v in held.items()}
    target = "loss" if isinstance(source, Law) else source.target
    return pd.DataFrame({n: values[n] for n in law.inputs} | {target: law(**values)})


def _side(law: Law, name: str, ends: Mapping[str, tuple[float, float]]) -> Array:
    if name not in ends:
        raise PlanError(f"section: no range of '{name}' is known. Give ranges={{'{name}': ...}}.")
    low, high = ends[name]
    if style.is_log(name, np.array([low, high]), law):
        return np.geomspace(low, high, _GRID)
    return np.linspace(low, high, _GRID)


def _held_at(source: Fit | Selection | Law, name: str, at: Mapping[str, float]) -> float:
    if name in at:
        return float(at[name])
    runs = None if isinstance(source, Law) else source.runs
    if runs is None:
        raise PlanError(f"section: nothing says where to hold '{name}'. Give at={{'{name}': ...}}.")
    return float(np.median(runs.column(name)))


def _joint_surface(
    fit: Fit | Selection | Law, budgets: ArrayLike | None
) -> tuple[Law, Mapping[str, tuple[float, float]], Array, pd.DataFrame]:
    law, ranges = law_and_ranges(fit)
    need_pair(law, "contour")
    lines = _budgets(ranges) if budgets is None else np.unique(np.asarray(budgets, dtype=float))
    return law, ranges, lines, _path(fit, ranges, lines)


def _filled(ax: Axes, x: Array, y: Array, surface: Array, law: Law, target: str) -> Any:
    """Draw filled contours, the lines between them in white."""
    higher = quantity(target).direction == "higher" or law.family.increasing
    levels = _contour_levels(surface)
    filled = ax.contourf(x, y, surface, levels, cmap=_surface_map(higher))
    ax.contour(x, y, surface, levels, colors="white", linewidths=0.5)
    return filled


def _budgets(ranges: Mapping[str, tuple[float, float]]) -> Array:
    """Powers of ten over the measured compute and one decade more, at most seven."""
    low, high = ranges.get("flops", UNKNOWN["flops"])
    exponents = np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 2)
    step = int(np.ceil(len(exponents) / 7))
    return np.asarray(10.0 ** exponents[::-step][::-1])


def _path(
    fit: Fit | Selection | Law, ranges: Mapping[str, tuple[float, float]], lines: Array
) -> pd.DataFrame:
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
    values = [*ranges.get(name, () if len(path) else UNKNOWN[name])]
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


def _iso_ratio(
    ax: Axes, ratio: float, size: tuple[float, float], tokens: tuple[float, float]
) -> None:
    """Draw one line of constant tokens per parameter, labelled near its upper end."""
    low, high = max(size[0], tokens[0] / ratio), min(size[1], tokens[1] / ratio)
    if not low < high:
        return
    n = np.array([low, high])
    ax.plot(n, ratio * n, color=style.INK, lw=0.9, ls=":", zorder=2)
    at = high**0.65 * low**0.35
    style.note(ax, f"D/N = {ratio:g}", (at, ratio * at), (-3.0, 0.0))
