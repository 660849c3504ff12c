"""One page of six figures that say what was fitted, whether to believe it, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scaling_laws.errors import PlanError
from scaling_laws.inference.interval import check_level
from scaling_laws.planning.planner import Planner
from scaling_laws.plot import style
from scaling_laws.plot.checks import backtest as plot_backtest
from scaling_laws.plot.checks import predicted, residuals
from scaling_laws.plot.fits import fit as plot_fit
from scaling_laws.plot.plans import frontier
from scaling_laws.plot.surfaces import contour
from scaling_laws.plot.uncertainty import coefficients, parts

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from scaling_laws.fitting.result import Fit

_SIZE = (10.5, 6.0)  # inches


def page(
    fit: Fit, *, backtest: Any = None, held_out: pd.DataFrame | None = None, level: float = 0.9
) -> Figure:
    """Draw six figures of a fit on one page.

    The fit, its residuals, a check on runs it did not see, its coefficients, and for laws of
    params and tokens the frontier and the contour; else what its intervals are made of, and the
    residuals along its last input.

    Parameters
    ----------
    fit : Fit
        With its rows.
    backtest : Backtest, optional
        From `scaling_laws.backtest`.
    held_out : DataFrame, optional
        Table of `predicted`; shown instead of the backtest. With neither, the residuals along the
        first input take the place.
    level : float, default 0.9
        Mass of the intervals.

    Returns
    -------
    Figure
        One that pyplot knows nothing about, 10.5 by 6 inches. A panel that does not apply to the
        law is left out.

    Raises
    ------
    DataError
        The fit was saved without its rows.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=50, law_error=False)
    >>> sl.plot.page(fit).get_size_inches().tolist()
    [10.5, 6.0]
    """
    check_level(level)
    drawn = [*_of_the_fit(fit, backtest, held_out, level), *_of_what_follows(fit, level)]
    figure = style.figure_of(style.detached_axes(*_SIZE))
    figure.clear()
    axes = figure.subplots(2, 3).ravel()
    for ax in axes[len(drawn) :]:
        ax.set_axis_off()
    for ax, draw in zip(axes, drawn, strict=False):
        try:
            draw(ax)
        except PlanError:  # no optimum at any budget
            ax.clear()
            ax.set_axis_off()
    return figure


def _of_the_fit(
    fit: Fit, backtest: Any, held_out: pd.DataFrame | None, level: float
) -> list[Callable[[Axes], Axes]]:
    first = fit.law.inputs[0]
    if held_out is not None:
        x = "flops" if "flops" in held_out else "actual"
        check: Callable[[Axes], Axes] = lambda ax: predicted(held_out, x=x, ax=ax)  # noqa: E731
    elif backtest is not None:
        check = lambda ax: plot_backtest(backtest, ax=ax)  # noqa: E731
    else:
        check = lambda ax: residuals(fit, x=first, level=level, ax=ax)  # noqa: E731
    return [
        lambda ax: plot_fit(fit, level=level, ax=ax),
        lambda ax: residuals(fit, level=level, ax=ax),
        check,
    ]


def _of_what_follows(fit: Fit, level: float) -> list[Callable[[Axes], Axes]]:
    out: list[Callable[[Axes], Axes]] = []
    if set(fit.law.inputs) == {"params", "tokens"}:
        out.append(lambda ax: frontier(Planner(fit, level=level), ax=ax))
        out.append(lambda ax: contour(fit, ax=ax))
    else:
        last = fit.law.inputs[-1]
        if len(fit.law.inputs) > 1:
            out.append(lambda ax: residuals(fit, x=last, level=level, ax=ax))
        elif len(fit.draws):
            out.append(lambda ax: parts(fit, ax=ax))
    if len(fit.draws) > 1:
        out.append(lambda ax: coefficients(fit, level=level, ax=ax))
    return out
