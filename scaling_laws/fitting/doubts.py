"""Doubts that need no refit: what the runs hardly tell, and runs far from the curve."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scaling_laws.errors import FitError, Note
from scaling_laws.solving.objective import Array, Problem, robust_scale, target_unit, transform

if TYPE_CHECKING:
    from scaling_laws.data.runs import Runs
    from scaling_laws.fitting.result import Fit

_WEAK = 0.5  # standard error over value
_PILED = 0.1  # share of draws on a bound
_FLOOR_SPAN = 0.5  # share of what is possible that the interval of a floor covers
_OUTLYING = 0.01  # chance of one such run in a table without any
_WILD = 10.0  # standard deviations: no run of the open data is so far off by its noise alone
_INFLATED = 3.0  # run noise with wild runs, over that without: intervals that say nothing
_MAD_EFFICIENCY = 0.37  # of the robust scale, beside the standard deviation
_EXACT = 1e-10
_ROUNDED, _VISIBLE = 1e-6, 0.05  # of the target's unit, and of the residuals' size


@dataclass(frozen=True, eq=False)
class Standardised:
    """Residuals in units of their spread.

    Parameters
    ----------
    residual : ndarray (n,)
    leverage : ndarray (n,)
        How far each row pulls the curve towards itself, 0 to 1.
    value : ndarray (n,)
        Residual over its robust standard deviation given the leverage; 0 for exact fits.
    limit : float
        Size that a table without outliers exceeds once in a hundred.
    """

    residual: Array
    leverage: Array
    value: Array
    limit: float


def standardised(problem: Problem, residuals: Array, jacobian: Array) -> Standardised:
    """Return residuals ``(n,)`` with this derivative ``(q, n)`` in units of their spread.

    References
    ----------
    Cook and Weisberg (1982), Residuals and Influence in Regression, ch. 2.
    """
    from scipy.special import stdtrit

    r, n, q = residuals, len(residuals), len(jacobian)
    columns = (jacobian * np.sqrt(problem.weights)).T
    lengths = np.linalg.norm(columns, axis=0)
    if q:
        basis = np.linalg.qr(columns[:, lengths > 0] / lengths[lengths > 0])[0]
        leverage = np.clip(np.sum(basis * basis, axis=1), 0.0, 1.0)
    else:
        leverage = np.zeros(n)
    spare = max(n - q, 1)
    scale = robust_scale(r, problem.weights) * np.sqrt(n / spare)
    value = r / (scale * np.sqrt(np.maximum(1 - leverage, 1e-2))) if scale > _EXACT else 0.0 * r
    freedom = max(_MAD_EFFICIENCY * spare, 1.0)
    return Standardised(r, leverage, value, float(-stdtrit(freedom, 0.5 * _OUTLYING / n)))


def outlying_notes(
    problem: Problem, residuals: Array, jacobian: Array, index: Sequence[Hashable]
) -> tuple[Note, ...]:
    """Runs further from the curve than chance explains; a warning where they ruin the noise."""
    found = standardised(problem, residuals, jacobian)
    size = np.abs(found.value)
    outlying = size > found.limit
    if not outlying.any():
        return ()
    wild = outlying & (size > _WILD)
    inflation = _inflation(found.residual, problem.weights, wild)
    ruined = inflation > _INFLATED
    rows = np.flatnonzero(wild if ruined else outlying)
    worst = rows[np.argsort(-size[rows], kind="stable")][:5]
    shown = ", ".join(f"{index[i]} ({found.value[i]:+.1f})" for i in worst)
    robust = bool(np.isfinite(problem.delta))
    if ruined:
        seen = f"wildly far off (with them the run noise is {inflation:.3g} times as large)"
        remedy = "Check these rows; drop them, or give them a group of their own"
    else:
        effect = "they count less by the robust loss" if robust else "least squares follows them"
        seen = f"further from the curve than chance explains ({effect})"
        remedy = "Check how they were measured"
    verb = "row lies" if len(rows) == 1 else "rows lie"
    return (
        Note(
            "outlying_runs",
            "warning" if ruined or not robust else "info",
            f"{len(rows)} {verb} {seen}, in standard deviations: {shown}. {remedy}",
            {"count": len(rows), "rows": [str(index[i]) for i in worst], "inflation": inflation},
        ),
    )


def _inflation(residuals: Array, weights: Array, wild: NDArray[np.bool_]) -> float:
    """Root mean square of all residuals over that of those that are not wild."""
    if not wild.any():
        return 1.0
    every = np.average(residuals**2, weights=weights)
    others = np.average(residuals[~wild] ** 2, weights=weights[~wild])
    return float(np.sqrt(every / max(others, _EXACT**2)))


def rounding_notes(fit: Fit, runs: Runs, problem: Problem) -> tuple[Note, ...]:
    """Coefficients that have no float: those given miss the curve that was found.

    Raises
    ------
    FitError
        They predict nothing at all.
    """
    with np.errstate(invalid="ignore"):
        mean = fit.predictive.mean(runs.x)
    name = fit.law.family.name
    if not np.isfinite(mean).all():
        raise FitError(
            f"the best '{name}' found has no prediction of its own runs: coefficients {fit.coef} "
            "are beyond floating point. Bound them, or use another law.",
            best=fit.coef,
        )
    kind, bounds = problem.residual, problem.bounds
    found = fit.residuals + transform(problem.y, kind, bounds)
    gap = float(np.abs(transform(mean, kind, bounds) - found).max())
    unit = target_unit(kind, problem.y)
    if not gap > _ROUNDED * unit + _VISIBLE * float(np.sqrt(np.mean(fit.residuals**2))):
        return ()
    return (
        Note(
            "coefficients_rounded",
            "warning",
            f"the best coefficients of '{name}' are beyond floating point: those given miss its "
            f"curve by up to {100 * gap / unit:.2g} % at the runs. Compare another law",
            {"gap": gap / unit},
        ),
    )


def identification_notes(fit: Fit) -> tuple[Note, ...]:
    """Coefficients and floors that the runs hardly tell."""
    return (*_weak(fit), *_floor(fit))


def _weak(fit: Fit) -> list[Note]:
    weak: dict[str, float] = {}
    piled: dict[str, float] = {}
    for i, c in enumerate(fit.law.family.coefficients):
        stderr, value = fit.stderr[c.name], fit.coef[c.name]
        if c.role == "floor" or c.name in fit.at_bound or not stderr > 0:
            continue
        if c.role in ("exponent", "shape") and stderr > _WEAK * abs(value):
            weak[c.name] = stderr / max(abs(value), 1e-300)
        low, high = fit.fitter.bounds.get(c.name, (c.lower, c.upper))
        drawn = fit.draws[:, i] if len(fit.draws) else np.zeros(0)
        margin = 1e-6 * abs(value)
        on = (drawn <= max(low, c.lower) + margin) | (drawn >= min(high, c.upper) - margin)
        if len(drawn) and np.mean(on) > _PILED:
            piled[c.name] = float(np.mean(on))
    if not weak and not piled:
        return []
    said = [f"'{n}' (standard error {_percent(v)} of it)" for n, v in weak.items()]
    said += [f"'{n}' (often at a bound in refits)" for n in piled if n not in weak]
    return [
        Note(
            "weakly_identified",
            "info",
            f"the runs hardly tell {', '.join(said)}: read predictions, not coefficients. Widen "
            "the range of the runs, tie or fix coefficients, or use a law with fewer",
            {"relative_stderr": weak, "draws_at_bound": piled},
        )
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share < 10 else "over 1000 %"


def _floor(fit: Fit) -> list[Note]:
    family = fit.law.family
    i = family.floor_index
    if i is None or fit.runs is None:
        return []
    c = family.coefficients[i]
    if c.name not in fit.at_bound and not fit.stderr[c.name] > 0:
        return []  # fixed
    if family.increasing:
        low, high = float(fit.runs.y.max()), min(c.upper, fit.predictive.bounds[1])
    else:
        low, high = max(c.lower, 0.0), float(fit.runs.y.min())
    if not high > low or not np.isfinite(high - low):
        return []
    ends = fit.interval(0.9).loc[c.name].to_numpy() if len(fit.draws) else np.full(2, np.nan)
    share = float(np.ptp(np.clip(ends, low, high)) / (high - low))
    held = c.name in fit.at_bound and fit.coef[c.name] <= low
    if not held and not share > _FLOOR_SPAN:
        return []
    seen = (
        f"'{c.name}' is at {low:g}, as if {fit.target} fell for ever"
        if held
        else f"the 90 % interval of '{c.name}' covers {100 * share:.0f} % of what is possible "
        f"between {low:.4g} and {high:.4g}"
    )
    return [
        Note(
            "floor_not_identified",
            "info",
            f"the runs do not tell the limit: {seen}. Far predictions rest on it; add larger "
            "runs, fix it, or give it a prior",
            {"coefficient": c.name, "share": share if np.isfinite(share) else None},
        )
    ]
