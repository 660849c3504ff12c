"""Plans that were trained: growth of a study, the next runs, and whether a plan held."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scaling_laws.plot import style
from scaling_laws.quantities import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling_laws.loop.growing import Growth
    from scaling_laws.loop.verifying import Verification
    from scaling_laws.planning.design.next_runs import NextRuns


def growth(grown: Growth, *, ax: Axes | None = None) -> Axes:
    """Draw how the interval at the goal narrowed while runs were added.

    Parameters
    ----------
    grown : Growth
        From `scaling_laws.grow`.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        One ring a round, with the number of runs so far.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> law = sl.published.HOFFMANN_2022
    >>> could = sl.grid(params=[1e7, 3e7, 1e8, 3e8], tokens=[1e9, 3e9, 1e10, 3e10])
    >>> grown = sl.grow(lambda params, tokens: law(params=params, tokens=tokens), candidates=could,
    ...                 at={"params": 1e10, "tokens": 1e11}, budget=1e20, laws="chinchilla",
    ...                 draws=100)
    >>> sl.plot.growth(grown).get_xlabel()
    'spent [FLOP]'
    >>> plt.close("all")
    """
    table = growth_table(grown)
    table = table[np.isfinite(table["width"])]
    ax = style.get_axes(ax)
    ax.plot(
        table["spent"], table["width"], "o-", color=style.BLUE, mfc="white", mew=1.4, ms=5, lw=1.5
    )
    for row in table.to_dict("records"):
        ax.annotate(
            f"{int(row['runs'])} runs", (row["spent"], row["width"]), xytext=(4, 4),
            textcoords="offset points", fontsize=style.small_size(ax), color=style.INK,
        )  # fmt: skip
    ax.axvline(grown.budget, color=style.GREY, lw=0.9, ls=":", label="budget")
    style.set_axis(ax, "x", f"spent [{grown.cost_unit}]", log=True)
    style.set_axis(ax, "y", _width_label(_goal_target(grown)), log=True)
    ax.margins(x=0.12, y=0.15)
    style.legend(ax, loc="lower left")
    return ax


def growth_table(grown: Growth) -> pd.DataFrame:
    """Return what `growth` draws: the rounds, with ``runs``, ``spent`` and ``width``.

    Parameters
    ----------
    grown : Growth
        From `scaling_laws.grow`.

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> import scaling_laws as sl
    >>> law = sl.published.HOFFMANN_2022
    >>> could = sl.grid(params=[1e7, 3e7, 1e8, 3e8], tokens=[1e9, 3e9, 1e10, 3e10])
    >>> grown = sl.grow(lambda params, tokens: law(params=params, tokens=tokens), candidates=could,
    ...                 at={"params": 1e10, "tokens": 1e11}, budget=1e20, laws="chinchilla",
    ...                 draws=100)
    >>> bool(sl.plot.growth_table(grown).spent.is_monotonic_increasing)
    True
    """
    return grown.rounds.copy()


def _goal_target(grown: Growth) -> str:
    return "" if grown.source is None else grown.source.target


def _width_label(target: str) -> str:
    shown = quantity(target) if target else None
    unit = f" [{shown.unit}]" if shown is not None and shown.unit else ""
    return f"width of the interval at the goal{unit}"


def next_runs(chosen: NextRuns, *, ax: Axes | None = None) -> Axes:
    """Draw what the next runs should narrow the interval to, for what they cost.

    Parameters
    ----------
    chosen : NextRuns
        From `scaling_laws.next_runs`.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        Runs in order, from the width there is now.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100, law_error=False)
    >>> could = {"params": [1e5, 1e6, 4e6], "tokens": [1e7, 3e7, 1e8]}
    >>> chosen = sl.next_runs(fit, could, at={"params": 1e7, "tokens": 1e9}, batch=2)
    >>> sl.plot.next_runs(chosen).get_xlabel()
    'cost of the runs so far [FLOP]'
    >>> plt.close("all")
    """
    table = next_runs_table(chosen)
    ax = style.get_axes(ax)
    x, y = table["total_cost"].to_numpy(), table["width"].to_numpy()
    ax.plot(x, y, color=style.BLUE, lw=1.4, drawstyle="steps-post")
    ax.plot(x[1:], y[1:], "o", color=style.BLUE, mfc="white", mew=1.4, ms=5, label="after a run")
    ax.axhline(y[0], color=style.GREY, lw=0.9, ls=":", label="now")
    style.set_axis(ax, "x", f"cost of the runs so far [{chosen.cost_unit}]", log=False)
    style.set_axis(ax, "y", _width_label(chosen.target), log=False)
    ax.set_ylim(0.0, 1.12 * float(y.max()))
    style.legend(ax, loc="lower left")
    return ax


def next_runs_table(chosen: NextRuns) -> pd.DataFrame:
    """Return what `next_runs` draws.

    Parameters
    ----------
    chosen : NextRuns
        From `scaling_laws.next_runs`.

    Returns
    -------
    DataFrame
        ``rank`` (0 for now), ``total_cost`` and expected ``width`` of the interval.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100, law_error=False)
    >>> could = {"params": [1e5, 1e6, 4e6], "tokens": [1e7, 3e7, 1e8]}
    >>> chosen = sl.next_runs(fit, could, at={"params": 1e7, "tokens": 1e9}, batch=2)
    >>> sl.plot.next_runs_table(chosen)["rank"].tolist()
    [0, 1, 2]
    """
    runs = chosen.table
    now = runs["width_before"].iloc[:1].tolist()
    return pd.DataFrame(
        {"rank": [0, *runs["rank"]], "total_cost": [0.0, *runs["total_cost"]],
         "width": [*now, *runs["width_after"]]}
    )  # fmt: skip


def verification(found: Verification, *, ax: Axes | None = None) -> Axes:
    """Draw what a plan foretold and what its runs reached.

    Parameters
    ----------
    found : Verification
        From `scaling_laws.verify`.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> law = sl.published.HOFFMANN_2022
    >>> runs = sl.grid(params=[1e7, 1e8, 1e9], tokens=[1e9, 1e10, 1e11])
    >>> table = [{**run, "loss": law(**run)} for run in runs]
    >>> plan = sl.Planner(sl.fit(table, "chinchilla", draws=100)).for_budget(flops=1e21)
    >>> found = sl.verify(plan, lambda params, tokens: law(params=params, tokens=tokens))
    >>> sl.plot.verification(found).get_xlabel()
    'test loss [nats]'
    >>> plt.close("all")
    """
    table = verification_table(found)
    runs = table[table["part"] == "run"]["value"].to_numpy(dtype=float)
    ax = style.get_axes(ax)
    at = style.bars(ax, ["predicted", "measured"], quantity(found.target).label)
    ax.axvspan(found.low, found.high, color=style.BLUE, alpha=0.1, lw=0)
    style.whiskers(ax, at[:1], [found.predicted], [found.low], [found.high])
    colour = style.BLUE if found.inside else style.VERMILION
    style.scatter(ax, runs, np.full(len(runs), at[1]), color=style.GREY)
    ax.plot(found.result, at[1], "D", ms=6, color=colour, mec="white", mew=0.6, zorder=4)
    where = "inside" if found.inside else "outside"
    style.headline(ax, f"{where} the {style.percent(found.level)} interval, z {found.z:+.2f}")
    ax.margins(x=0.15)
    return ax


def verification_table(found: Verification) -> pd.DataFrame:
    """Return what `verification` draws.

    Parameters
    ----------
    found : Verification
        From `scaling_laws.verify`.

    Returns
    -------
    DataFrame
        ``part`` (``"predicted"``, ``"measured"`` or ``"run"``), ``value``, and ``low`` and
        ``high`` of the prediction.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> law = sl.published.HOFFMANN_2022
    >>> runs = sl.grid(params=[1e7, 1e8, 1e9], tokens=[1e9, 1e10, 1e11])
    >>> table = [{**run, "loss": law(**run)} for run in runs]
    >>> plan = sl.Planner(sl.fit(table, "chinchilla", draws=100)).for_budget(flops=1e21)
    >>> found = sl.verify(plan, lambda params, tokens: law(params=params, tokens=tokens))
    >>> sl.plot.verification_table(found).part.tolist()
    ['predicted', 'measured', 'run']
    """
    values = pd.to_numeric(found.table[found.target], errors="coerce").dropna().tolist()
    parts = ["predicted", "measured", *["run"] * len(values)]
    table = pd.DataFrame({"part": parts, "value": [found.predicted, found.result, *values]})
    first = table["part"] == "predicted"
    return table.assign(low=np.where(first, found.low, np.nan),
                        high=np.where(first, found.high, np.nan))  # fmt: skip
