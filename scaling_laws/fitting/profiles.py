"""Profile intervals of a fit's coefficients, from its own robust objective."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scaling_laws.errors import DataError, suggest
from scaling_laws.inference.profile import Profile
from scaling_laws.inference.resample import pseudo_problem, reweighted_share
from scaling_laws.solving.objective import Array, Problem

if TYPE_CHECKING:
    import pandas as pd

    from scaling_laws.fitting.result import Fit

_MOST_POINTS = 10_000


def _problem(fit: Fit, what: str) -> tuple[Problem, Array]:
    """Return the problem in raw units, and its optimum.

    With few clusters, the least-squares problem of the same optimum that the draws solve: the
    kinks of a robust objective of few rows would show.
    """
    runs = fit.rows(what)
    problem = fit.fitter.posed(runs, fit.law.family, fit.delta)
    free = problem.reduced(np.array([fit.law.values]))[0]
    if reweighted_share(len(np.unique(runs.clusters)), len(free)) < 0.5:
        problem = pseudo_problem(problem, free)
    return problem, free


def _distance(fit: Fit, problem: Problem, level: float) -> float:
    """Quantile of Student's t with the clusters' degrees of freedom."""
    from scipy.special import stdtrit

    clusters = len(np.unique(fit.rows("profile").clusters))
    return float(stdtrit(max(clusters - len(problem.free), 1), 0.5 * (1.0 + level)))


def _profile(fit: Fit, problem: Problem, free: Array, position: int) -> Profile:
    i = problem.free[position]
    stderr = float(np.sqrt(fit.covariance[i, i]))
    if problem.logs[i]:
        stderr /= fit.law.values[i]
    return Profile(problem, free, position, stderr)


def profile_table(fit: Fit, name: str, level: float, points: int) -> pd.DataFrame:
    """Return the curve behind `Fit.profile`."""
    import pandas as pd

    names = fit.law.family.coefficient_names
    if isinstance(points, bool) or not isinstance(points, int | np.integer) or points < 2:
        raise DataError(f"points must be a whole number >= 2, got {points!r}.")
    if not points <= _MOST_POINTS:
        raise DataError(f"points must be at most {_MOST_POINTS}, got {points}: each is a fit.")
    if name not in names:
        raise DataError(f"'{name}' is not a coefficient.{suggest(name, names)} It has {names}.")
    problem, free = _problem(fit, "profile")
    if names.index(name) not in problem.free:
        raise DataError(f"'{name}' is fixed or tied, so it has no profile. Profile a free one.")
    if name in fit.at_bound or not fit.stderr[name] > 0:
        raise DataError(
            f"'{name}' has no standard error (at its bound, or exact data), so its profile has no "
            "scale. Read fit.interval() instead."
        )
    found = _profile(fit, problem, free, problem.free.index(names.index(name)))
    curvature, centre = found.curvature(), free[found.position]
    reach = 1.5 * _distance(fit, problem, level) * found.stderr
    lower, upper = (float(b[found.position]) for b in (problem.lower, problem.upper))
    rows = []
    for value in np.linspace(max(centre - reach, lower), min(centre + reach, upper), points):
        t, solved = found.root(float(value), curvature)
        rows.append([*problem.full(solved[None])[0].tolist(), t])
    table = pd.DataFrame(rows, columns=[*names, "t"])
    return table[[name, "t", *(n for n in names if n != name)]]


def profile_bands(fit: Fit, level: float) -> Array:
    """Ends of the profile interval of every coefficient ``(2, p)``; NaN for those at a bound."""
    problem, free = _problem(fit, "interval(method='profile')")
    distance = _distance(fit, problem, level)
    out = np.repeat(np.array([fit.law.values]), 2, axis=0)
    for position in range(len(free)):
        found = _profile(fit, problem, free, position)
        usable = np.isfinite(found.stderr) and found.stderr > 0
        ends = np.repeat(free[None], 2, axis=0)
        for row, sign in enumerate((-1, 1)):
            ends[row, position] = found.end(sign, distance) if usable else np.nan
        moved = np.flatnonzero(problem.matrix[:, position])
        with np.errstate(invalid="ignore"):
            out[:, moved] = problem.full(ends)[:, moved]
    return out
