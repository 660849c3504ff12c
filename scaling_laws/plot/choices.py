"""What a choice is worth: sizes beside the best, what binds, regret, and what moves a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from scaling_laws.errors import PlanError, suggest
from scaling_laws.planning.planner import Planner
from scaling_laws.plot import style
from scaling_laws.plot.plans import law_and_ranges
from scaling_laws.plot.style import Array
from scaling_laws.quantities import quantity as get_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling_laws.planning.factors import Factors

_POINTS = 33
_AROUND = 6.0  # times the best size, to either side
_MOST = 200.0  # per cent of overhead shown
_BUDGETS = 9
_PLANNED = 150  # draws that plan for themselves


def trade_off(
    planners: Planner | Mapping[str, Planner],
    quantity: str = "params",
    values: ArrayLike | None = None,
    *,
    what: Literal["overhead", "excess"] = "overhead",
    ax: Axes | None = None,
    **budget: float,
) -> Axes:
    """Draw what it costs to hold a quantity, such as the model size, at other values than the best.

    Several planners compare costs: one whose cost counts served tokens (`LifetimeCost`) has its
    best size further left.

    Parameters
    ----------
    planners : Planner or mapping of str to Planner
    quantity : str, default "params"
        What is held.
    values : array_like, optional
        Where. Default: to six times the best, either side.
    what : {"overhead", "excess"}
        How much more compute reaches the same target, in percent; or how much worse the target is
        for the same compute, which has an interval with a fit.
    ax : Axes, optional
        Where to draw; default a new figure.
    **budget : float
        As `Planner.for_budget`.

    Returns
    -------
    Axes

    Raises
    ------
    PlanError
        As `Planner.trade_off`; or an unknown ``what``.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> planner = sl.Planner(sl.published.BESIROGLU_2024)
    >>> sl.plot.trade_off(planner, flops=1e21).get_ylabel()
    'compute beyond the best plan [%]'
    >>> plt.close("all")
    """
    if what not in ("overhead", "excess"):
        raise PlanError(f"what must be 'overhead' or 'excess', got {what!r}.")
    table = trade_off_table(planners, quantity, values, **budget)
    some = _named(planners)
    ax = style.get_axes(ax)
    for i, (name, rows) in enumerate(table.groupby("planner", sort=False)):
        colour = style.SEQUENCE[i % 6]
        x = rows[quantity].to_numpy(dtype=float)
        y = rows[what].to_numpy(dtype=float)
        if what == "overhead":
            y = np.where(np.isfinite(y) & (100 * y <= 2 * _MOST), 100 * y, np.nan)
        ax.plot(x, y, color=colour, lw=1.6, label=str(name))
        if what == "excess" and "excess_low" in rows:
            style.band(ax, x, rows["excess_low"], rows["excess_high"], colour)
        best = float(np.asarray(some[str(name)].for_budget(**budget).best[quantity]))
        ax.plot(best, 0.0, "D", ms=5, color=colour, mec="white", mew=0.6, zorder=4, clip_on=False)
    style.set_axis(ax, "x", get_quantity(quantity).label, log=True)
    target = _target(next(iter(some.values())))
    unit = get_quantity(target).unit
    label = "compute beyond the best plan [%]"
    if what == "excess":
        label = f"{get_quantity(target).meaning} worse than the best" + f" [{unit}]" * bool(unit)
    style.set_axis(ax, "y", label, log=False)
    ax.set_ylim(0.0, min(ax.get_ylim()[1], _MOST) if what == "overhead" else None)
    if len(some) > 1:
        style.legend_above(ax)
    return ax


def trade_off_table(
    planners: Planner | Mapping[str, Planner],
    quantity: str = "params",
    values: ArrayLike | None = None,
    **budget: float,
) -> pd.DataFrame:
    """Return what `trade_off` draws: `Planner.trade_off` of each planner.

    Parameters
    ----------
    planners, quantity, values, **budget
        As the figure.

    Returns
    -------
    DataFrame
        As `Planner.trade_off`, with a first column ``planner``.

    Raises
    ------
    PlanError
        As the figure.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> planner = sl.Planner(sl.published.BESIROGLU_2024)
    >>> table = sl.plot.trade_off_table(planner, "params", [1e9, 3e9], flops=1e21)
    >>> table.overhead.round(2).tolist()
    [0.83, 0.0]
    """
    some = _named(planners)
    if values is None:
        best = [float(np.asarray(_best(p, budget)[quantity])) for p in some.values()]
        values = np.geomspace(min(best) / _AROUND, max(best) * _AROUND, _POINTS)
    parts = []
    for name, planner in some.items():
        table = planner.trade_off(quantity, values, **budget)
        table.insert(0, "planner", name)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _best(planner: Planner, budget: Mapping[str, float]) -> Mapping[str, Any]:
    plan = planner.for_budget(**budget)
    if not np.all(plan.feasible) or np.ndim(plan.feasible):
        raise PlanError("trade_off: needs one budget that has a plan. Draw another.")
    return plan.best


def _named(planners: Planner | Mapping[str, Planner]) -> Mapping[str, Planner]:
    return {"plan": planners} if isinstance(planners, Planner) else dict(planners)


def _target(planner: Planner) -> str:
    source: Any = planner.source
    return planner.target or str(getattr(source, "target", "loss"))


def marginal(
    planner: Planner,
    *,
    flops: float,
    params: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what one percent more of each input is worth, along the model sizes of a budget.

    Parameters
    ----------
    planner : Planner
        Of a law of params and tokens.
    flops : float
        Budget [FLOP].
    params : array_like, optional
        Model sizes [count]. Default: to six times the best, either side.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        Under a cost of 6 N D the curves cross at the best size: left of it the model is too
        small, right of it the data are too few.

    Raises
    ------
    PlanError
        As `Planner.marginal`.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> planner = sl.Planner(sl.published.BESIROGLU_2024)
    >>> sl.plot.marginal(planner, flops=1e21).get_ylabel()
    'gain from 1 % more [nats]'
    >>> plt.close("all")
    """
    table = marginal_table(planner, flops=flops, params=params)
    ax = style.get_axes(ax)
    best = float(planner.for_budget(flops=flops).best["params"])
    for (name, rows), colour in zip(
        table.groupby("input", sort=False), style.SEQUENCE, strict=False
    ):
        x = rows["params"].to_numpy(dtype=float)
        ax.plot(x, rows["gain"], color=colour, lw=1.6, label=f"more {name}")
        if "gain_low" in rows:
            style.band(ax, x, rows["gain_low"], rows["gain_high"], colour)
    ax.axvline(best, color=style.GREY, lw=0.9, ls=":", label="best size")
    style.set_axis(ax, "x", get_quantity("params").label, log=True)
    unit = get_quantity(_target(planner)).unit
    style.set_axis(ax, "y", "gain from 1 % more" + f" [{unit}]" * bool(unit), log=True)
    style.legend(ax)
    return ax


def marginal_table(
    planner: Planner, *, flops: float, params: ArrayLike | None = None
) -> pd.DataFrame:
    """Return what `marginal` draws: `Planner.marginal` at every size.

    Parameters
    ----------
    planner, flops, params
        As the figure.

    Returns
    -------
    DataFrame
        ``params``, ``tokens`` [count], ``input``, and the columns of `Planner.marginal`.

    Raises
    ------
    PlanError
        As the figure.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> planner = sl.Planner(sl.published.BESIROGLU_2024)
    >>> sl.plot.marginal_table(planner, flops=1e21, params=[1e9]).input.tolist()
    ['params', 'tokens']
    """
    if params is None:
        best = float(_best(planner, {"flops": flops})["params"])
        params = np.geomspace(best / _AROUND, best * _AROUND, _POINTS)
    sizes = np.atleast_1d(np.asarray(params, dtype=float))
    plan = planner.for_params(sizes, flops=flops)
    parts = []
    for size, tokens in zip(sizes, np.asarray(plan.best["tokens"]), strict=True):
        if np.isfinite(tokens):
            at = {"params": float(size), "tokens": float(tokens)}
            table = planner.marginal(**at).reset_index()
            parts.append(table.assign(**at))
    if not parts:
        raise PlanError("marginal: none of these sizes can be trained on this budget.")
    return pd.concat(parts, ignore_index=True)


def regret(
    planner: Planner,
    flops: ArrayLike | None = None,
    *,
    ratios: Sequence[float] = (20.0,),
    ax: Axes | None = None,
) -> Axes:
    """Draw by how much a plan may miss the best, for all that the data leave open.

    Parameters
    ----------
    planner : Planner
        Of a fit or selection.
    flops : array_like, optional
        Budgets [FLOP]. Default: from the largest measured compute to 100 times it.
    ratios : sequence of float
        Rules to compare with: so many tokens per parameter.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        Mean regret over the draws; the band ends where the interval does.

    Raises
    ------
    PlanError
        As `Planner.regret`.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=50, law_error=False)
    >>> sl.plot.regret(sl.Planner(fit), [1e13, 1e14]).get_xlabel()
    'training compute [FLOP]'
    >>> plt.close("all")
    """
    table = regret_table(planner, flops, ratios=ratios)
    ax = style.get_axes(ax)
    for i, (name, rows) in enumerate(table.groupby("choice", sort=False)):
        colour = style.SEQUENCE[i % 6]
        ax.plot(rows["flops"], rows["mean"], "o-", ms=3, color=colour, lw=1.5, label=str(name))
        style.band(ax, rows["flops"], np.zeros(len(rows)), rows["high"], colour)
    style.set_axis(ax, "x", get_quantity("flops").label, log=True)
    target = get_quantity(_target(planner))
    unit = f" [{target.unit}]" if target.unit else ""
    style.set_axis(ax, "y", f"regret in {target.meaning}{unit}", log=False)
    ax.set_ylim(bottom=0.0)
    style.legend_above(ax)
    return ax


def regret_table(
    planner: Planner, flops: ArrayLike | None = None, *, ratios: Sequence[float] = (20.0,)
) -> pd.DataFrame:
    """Return what `regret` draws: `Planner.regret` over all draws, of the plan and of rules.

    Parameters
    ----------
    planner, flops, ratios
        As the figure.

    Returns
    -------
    DataFrame
        ``choice``, ``flops``, ``params``, ``tokens``, and the columns of `Planner.regret`.

    Raises
    ------
    PlanError
        As the figure.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=50, law_error=False)
    >>> sl.plot.regret_table(sl.Planner(fit), [1e14], ratios=[5]).choice.tolist()
    ['plan', '5 tokens / parameter']
    """
    if flops is None:
        top = law_and_ranges(planner.source)[1].get("flops", (np.nan, np.nan))[1]
        if not np.isfinite(top):
            raise PlanError("regret: no compute was measured. Give flops=.")
        flops = np.geomspace(top, 100.0 * top, _BUDGETS)
    parts = []
    for budget in np.atleast_1d(np.asarray(flops, dtype=float)):
        best = _best(planner, {"flops": float(budget)})
        chosen = {"plan": (float(best["params"]), float(best["tokens"]))}
        spent = best["params"] * best["tokens"]
        for ratio in ratios:
            size = float(np.sqrt(spent / ratio))
            chosen[f"{ratio:g} tokens / parameter"] = (size, float(ratio) * size)
        for name, (params, tokens) in chosen.items():
            at = {"params": params, "tokens": tokens}
            row = planner.regret(at, flops=float(budget)).loc[["all"]]
            parts.append(row.assign(choice=name, flops=budget, **at))
    table = pd.concat(parts, ignore_index=True)
    return table[["choice", "flops", "params", "tokens", "mean", "median", "high"]]


def sensitivity(
    planner: Planner,
    *,
    flops: float,
    quantity: str = "params",
    ax: Axes | None = None,
) -> Axes:
    """Draw how the best size of a budget moves with each coefficient.

    Parameters
    ----------
    planner : Planner
        Of a fit with draws.
    flops : float
        Budget [FLOP].
    quantity : str, default "params"
        Quantity of the plan.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        Pale: one coefficient where the lowest and highest third of its draws lie, the others as
        fitted. Solid: the median plan of those thirds of the draws, in which the others moved
        along. The second is what the data leave open.

    Raises
    ------
    PlanError
        The planner has no draws, or the quantity is none of the plan's.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=50, law_error=False)
    >>> sl.plot.sensitivity(sl.Planner(fit), flops=1e14).get_xlabel()
    'model parameters [count]'
    >>> plt.close("all")
    """
    table = sensitivity_table(planner, flops=flops, quantity=quantity)
    ax = style.get_axes(ax)
    best = float(_best(planner, {"flops": flops})[quantity])
    at = style.bars(ax, list(table.index), get_quantity(quantity).label)
    for kind, height, alpha, label in (
        ("alone", 0.62, 0.3, "alone"), ("together", 0.3, 1.0, "with the others"),
    ):  # fmt: skip
        for end, colour in (("low", style.BLUE), ("high", style.VERMILION)):
            to = table[f"{kind}_{end}"].to_numpy(dtype=float)
            ax.barh(
                at, to - best, left=best, height=height, color=colour, alpha=alpha, lw=0,
                label=f"{'lower' if end == 'low' else 'higher'}, {label}",
            )  # fmt: skip
    ax.axvline(best, color=style.INK, lw=1.0)
    style.set_axis(ax, "x", get_quantity(quantity).label, log=True)
    style.legend_above(ax)
    return ax


def sensitivity_table(planner: Planner, *, flops: float, quantity: str = "params") -> pd.DataFrame:
    """Return what `sensitivity` draws.

    Parameters
    ----------
    planner, flops, quantity
        As the figure.

    Returns
    -------
    DataFrame
        Index coefficient; the plan's quantity at the lowest and highest third of its draws, the
        others as fitted (``alone_low``, ``alone_high``) or as drawn with it (``together_low``,
        ``together_high``).

    Raises
    ------
    PlanError
        As the figure.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=50, law_error=False)
    >>> table = sl.plot.sensitivity_table(sl.Planner(fit), flops=1e14)
    >>> bool(table.loc["E", "alone_low"] == table.loc["E", "alone_high"])
    True
    """
    from dataclasses import replace

    source: Any = planner.source
    law, draws = law_and_ranges(source)[0], getattr(source, "draws", None)
    if draws is None or len(draws) < 2:
        raise PlanError("sensitivity: needs a fit with draws. Fit again with draws.")
    best = _best(planner, {"flops": flops})
    if quantity not in best:
        raise PlanError(
            f"sensitivity: the plan has no '{quantity}'.{suggest(quantity, best)} It has "
            f"{tuple(best)}."
        )
    bare = replace(planner, source=law, target=_target(planner), confidence=None, anchor=False)
    base = float(_best(bare, {"flops": flops})[quantity])
    shift = float(best[quantity]) / base  # from where the planner's own plan is

    def planned(values: Array) -> float:
        names = law.family.coefficient_names
        moved = replace(bare, source=law.family.with_coef(dict(zip(names, values, strict=True))))
        plan = moved.for_budget(flops=flops)
        return shift * float(plan.best[quantity]) if plan.feasible else np.nan

    some = np.asarray(draws[:: max(len(draws) // _PLANNED, 1)], dtype=float)
    answers = np.array([planned(row) for row in some])
    rows = {
        name: _moved(planned, np.asarray(law.values, dtype=float), some, answers, i)
        for i, name in enumerate(law.family.coefficient_names)
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("coefficient")


def _moved(
    planned: Callable[[Array], float], values: Array, draws: Array, answers: Array, i: int
) -> dict[str, float]:
    """Plans at the lowest and highest third of the draws of the i-th coefficient."""
    order = np.argsort(draws[:, i], kind="stable")
    third = max(len(order) // 3, 1)
    out = {}
    for end, rows in (("low", order[:third]), ("high", order[-third:])):
        alone = values.copy()
        alone[i] = np.median(draws[rows, i])
        out[f"alone_{end}"] = planned(alone)
        out[f"together_{end}"] = float(np.nanmedian(answers[rows]))
    return out


def factors(found: Factors, *, ax: Axes | None = None) -> Axes:
    """Draw which input holds a run back: its share of what all inputs together could gain.

    Parameters
    ----------
    found : Factors
        From `scaling_laws.factors`.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        Elasticities instead, where the law has no limit and shares are undefined.

    Examples
    --------
    >>> import matplotlib.pyplot as plt, scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=50, law_error=False)
    >>> ax = sl.plot.factors(sl.factors(fit, at={"params": 3e4, "tokens": 1e9}))
    >>> ax.get_xlabel()
    'share of the gain still possible [%]'
    >>> plt.close(ax.figure)
    """
    table = factors_table(found)
    shares = table.columns[0] == "share"
    unit = 100.0 if shares else 1.0
    ax = style.get_axes(ax)
    label = "share of the gain still possible [%]" if shares else "elasticity of the target"
    at = style.bars(ax, [str(n) for n in table.index], label)
    middle, low, high = (unit * table[n].to_numpy(dtype=float) for n in table.columns[:3])
    colours = [style.VERMILION if n == found.bottleneck else style.BLUE for n in table.index]
    ax.barh(at, middle, height=0.6, color=colours, alpha=0.75, lw=0)
    style.whiskers(ax, at, middle, low, high)
    ax.axvline(0.0, color=style.INK, lw=0.8)
    point = ", ".join(f"{n} {v:.3g}" for n, v in found.at.items())
    style.headline(ax, f"{get_quantity(found.target).meaning} {found.value:.4g} at {point}")
    return ax


def factors_table(found: Factors) -> pd.DataFrame:
    """Return what `factors` draws.

    Parameters
    ----------
    found : Factors
        From `scaling_laws.factors`.

    Returns
    -------
    DataFrame
        Index input; ``share`` (or ``elasticity``) with ``_low`` and ``_high``, and
        ``p_bottleneck``.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=50, law_error=False)
    >>> found = sl.factors(fit, at={"params": 3e4, "tokens": 1e9})
    >>> round(float(sl.plot.factors_table(found).share.sum()), 6)
    1.0
    """
    name = "share" if np.isfinite(found.table["share"]).all() else "elasticity"
    return found.table[[name, f"{name}_low", f"{name}_high", "p_bottleneck"]].copy()
