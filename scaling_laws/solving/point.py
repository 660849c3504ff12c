"""The point fit: global starts, lmfit's nonlinear least squares, a polish to machine precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from scaling_laws.errors import FitError
from scaling_laws.solving.batch import Solutions, solve_batch
from scaling_laws.solving.objective import (
    EFFICIENCY,
    Array,
    Problem,
    check_law_values,
    rho,
    robust_scale,
)
from scaling_laws.solving.starts import find_starts, thinned

_SCALE_ROUNDS = 30
_COARSE_ROWS = 4096  # larger tables are approached on a part of their rows first
_AGREE = 1e-6  # relative difference of objectives that counts as the same optimum
_ROUGHLY = 1e-4  # the same of a start that was not refined to the end
_LAP, _LEAST = 12, 6  # iterations after which starts behind give up, all but so many
_LEADERS = 8  # optima refined to the end
_NEAR, _ALIKE = 1.1, 1e-3  # how high above the lowest, and how near to another is no other
_MOST_OF_GIVEN = 2000  # evaluations of lmfit from a start that the user gave
_MOST_TO_THE_END = 400  # iterations of the last refinement, along the flattest of valleys
_NEWTON_NEAR = 2  # Gauss-Newton steps of a leader before true second derivatives
_ROUNDING = 1e-14  # relative differences of objectives that mean nothing
_EXACT = 1e-10  # residuals below this are rounding, not noise


@dataclass(frozen=True)
class PointSolution:
    """The best point found and what the search saw.

    Parameters
    ----------
    problem : Problem
        The problem with its final ``delta`` and prior precisions.
    free : ndarray (q,)
        Free coefficients at the optimum.
    objective : float
    starts, starts_agreeing : int
        Starts that were not given up, and how many of them reached the optimum.
    converged : bool
    """

    problem: Problem
    free: Array
    objective: float
    starts: int
    starts_agreeing: int
    converged: bool

    @cached_property
    def linearised(self) -> tuple[Array, Array]:
        """Residuals ``(n,)`` at the optimum and their derivative ``(q, n)``."""
        residuals, jacobian = self.problem.residuals_with_jacobian(self.free[None])
        return residuals[0], jacobian[0]


def solve_point(
    problem: Problem,
    *,
    auto_delta: bool = False,
    prior_sd: Array | None = None,
    given: Array | None = None,
    search: bool = True,
    use_lmfit: bool = True,
) -> PointSolution:
    """Find the global optimum of ``problem``.

    Parameters
    ----------
    problem : Problem
    auto_delta : bool
        Re-estimate Huber's ``delta`` from the residuals until it settles.
    prior_sd : ndarray (p,), optional
        Standard deviations of the priors, NaN where there is none. Their weight relative to the
        data follows the residuals' scale.
    given : ndarray (m, p), optional
        Starts to try besides the automatic ones, as `find_starts`.
    search : bool
        Whether there are automatic ones.
    use_lmfit : bool
        Refine with lmfit before the last polish (backtests skip it for speed).

    Raises
    ------
    FitError
        No start leads anywhere; the best attempt is kept on the exception.
    LawError
        The law's function returns NaN.
    """
    if not problem.free:
        nothing = np.zeros((1, 0))
        return PointSolution(
            problem, nothing[0], float(problem.objective(nothing)[0]), 1, 1, converged=True
        )
    starts = problem.reduced(given) if given is not None and not search else _starts(problem, given)
    coarse = thinned(problem, _COARSE_ROWS)
    if coarse is not problem:
        starts = solve_batch(coarse, starts, tolerance=1e-3, newton_after=None).free
    problem = with_scale(problem, starts[:1], auto_delta, prior_sd)
    solved = _race(problem, starts)
    if not np.isfinite(solved.objective).any():
        raise FitError(
            f"none of {len(starts)} starts of '{problem.family.name}' has a finite objective. "
            "Check the units of the inputs, or pass start=.",
            best=dict(
                zip(problem.family.coefficient_names, problem.full(starts[:1])[0], strict=True)
            ),
        )
    if auto_delta or prior_sd is not None:
        best = solved.free[[int(np.argmin(solved.objective))]]
        problem, best = _settle(problem, best, auto_delta, prior_sd)
        solved = solve_batch(problem, solved.free, tolerance=1e-6, newton_after=None)
        leaders = np.concatenate([best, _leaders(solved)])
    else:
        leaders = _leaders(solved)
    refined = _refined(problem, leaders)
    lowest = int(np.argmin(refined.objective))
    final = refined.only(lowest)
    if not final.converged[0]:
        final = _at_the_end(problem, leaders[lowest], final)
    if use_lmfit:
        best = _refine_with_lmfit(problem, final.free)
        if given is not None and np.isfinite(given[0]).all():
            other = _refine_with_lmfit(problem, problem.reduced(given[:1]), _MOST_OF_GIVEN)
            if problem.objective(other)[0] < (1.0 - _AGREE) * problem.objective(best)[0]:
                best = other
        if best is not final.free:
            final = solve_batch(problem, best, tolerance=1e-22, iterations=_MOST_TO_THE_END)
    objective = float(final.objective[0])
    span = _ROUGHLY * objective + 1e-20 * float(np.sum(problem.weights))
    agreeing = max(1, int(np.sum(solved.objective <= objective + span)))
    return PointSolution(
        problem, final.free[0], objective, len(solved.free), agreeing, bool(final.converged[0])
    )


def _race(problem: Problem, starts: Array) -> Solutions:
    """Solve all starts roughly, then those ahead to the end."""
    rough = solve_batch(problem, starts, tolerance=1e-4, iterations=_LAP, newton_after=None)
    order = np.argsort(rough.objective, kind="stable")
    ahead = rough.only(order[: max(_LEAST, len(starts) // 2)])
    if ahead.converged.all():
        return ahead
    return solve_batch(problem, ahead.free, tolerance=1e-4, newton_after=None)


def _leaders(solved: Solutions) -> Array:
    """The lowest optima found, of those that are about as low one."""
    order = np.argsort(solved.objective, kind="stable")
    chosen = [int(order[0])]
    near = solved.objective[order] <= _NEAR * solved.objective[order[0]]
    for i in order[near].tolist():
        gap = solved.objective[i] - solved.objective[chosen[-1]]
        if gap > _ALIKE * solved.objective[i] and len(chosen) < _LEADERS:
            chosen.append(i)
    return solved.free[chosen]


def _refined(problem: Problem, near: Array) -> Solutions:
    return solve_batch(problem, near, tolerance=1e-22, newton_after=_NEWTON_NEAR)


def _at_the_end(problem: Problem, begun: Array, unfinished: Solutions) -> Solutions:
    """Look where a valley that is still being walked down ends: at a bound it runs towards."""
    best = unfinished
    for j, moved in enumerate((unfinished.free[0] - begun).tolist()):
        bound = (problem.upper if moved > 0 else problem.lower)[j]
        if moved == 0 or not np.isfinite(bound) or unfinished.free[0, j] == bound:
            continue
        there, lower, upper = unfinished.free[0].copy(), problem.lower.copy(), problem.upper.copy()
        there[j] = lower[j] = upper[j] = bound
        held = replace(problem, lower=lower, upper=upper)
        found = solve_batch(held, there[None], tolerance=1e-10)
        if found.objective[0] < best.objective[0]:
            best = _refined(problem, found.free)
    return best


def _starts(problem: Problem, given: Array | None) -> Array:
    try:
        return find_starts(problem, given)
    except FitError:
        spans = [c.starts or (1.0, 1.0) for c in problem.family.coefficients]
        middle = np.array([[np.sqrt(max(low, 1e-12) * high) for low, high in spans]])
        check_law_values(problem, problem.reduced(middle))
        raise


def with_scale(problem: Problem, free: Array, auto_delta: bool, prior_sd: Array | None) -> Problem:
    """Return the problem with ``delta`` and prior weights that match its residuals' scale."""
    if not auto_delta and prior_sd is None:
        return problem
    sigma = robust_scale(problem.residuals(free)[0], problem.weights)
    if auto_delta:
        problem = replace(problem, delta=EFFICIENCY * sigma if sigma > _EXACT else np.inf)
    if prior_sd is not None:
        precision = np.where(np.isfinite(prior_sd), (max(sigma, _EXACT) / prior_sd) ** 2, 0.0)
        problem = replace(problem, prior_precision=precision)
    return problem


def _settle(
    problem: Problem, best: Array, auto_delta: bool, prior_sd: Array | None
) -> tuple[Problem, Array]:
    for _ in range(_SCALE_ROUNDS):
        before = problem
        problem = with_scale(problem, best, auto_delta, prior_sd)
        best = solve_batch(problem, best, tolerance=1e-2).free
        same_delta = problem.delta == before.delta or (
            abs(problem.delta - before.delta) <= 1e-8 * before.delta
        )
        precisions = problem.prior_precision, before.prior_precision
        if same_delta and np.allclose(*precisions, rtol=1e-8, atol=0.0):
            break
    return problem, best


def _refine_with_lmfit(problem: Problem, free: Array, most: int = 100) -> Array:
    """Minimise with lmfit from ``free``; return the better of the two."""
    import lmfit

    names = [f"free_{i}" for i in problem.free]  # lmfit takes identifiers only
    parameters = lmfit.Parameters()
    for j, name in enumerate(names):
        parameters.add(
            name, value=free[0, j], min=float(problem.lower[j]), max=float(problem.upper[j])
        )

    def point(values: Mapping[str, Any]) -> Array:
        return np.array([[float(values[n]) for n in names]])

    seen: dict[bytes, tuple[Array, Array]] = {}  # both are asked for at every point

    def at(values: Mapping[str, Any]) -> tuple[Array, Array]:
        where = point(values)
        if (key := where.tobytes()) not in seen:
            seen.clear()
            seen[key] = root_residuals(problem, where)
        return seen[key]

    def residual(values: Mapping[str, Any]) -> Array:
        return at(values)[0]

    def jacobian(values: Mapping[str, Any]) -> Array:
        return at(values)[1].copy()

    minimizer = lmfit.Minimizer(residual, parameters, nan_policy="propagate", calc_covar=False)
    try:
        with np.errstate(all="ignore"):  # an exact fit leaves lmfit's own statistics undefined
            result = minimizer.least_squares(
                Dfun=jacobian, x_scale="jac", ftol=1e-12, xtol=1e-12, gtol=1e-12, max_nfev=most
            )
    except (ValueError, np.linalg.LinAlgError, ZeroDivisionError):
        return free  # lmfit could not start here; the batched polish stands
    refined = np.clip(point(result.params), problem.lower, problem.upper)
    lower = problem.objective(refined)[0] < (1.0 - _ROUNDING) * problem.objective(free)[0]
    return refined if lower else free


def root_residuals(problem: Problem, free: Array) -> tuple[Array, Array]:
    """Vector whose half sum of squares is the objective, and its Jacobian ``(rows, q)``."""
    r, jac = problem.residuals_with_jacobian(free)
    r, jac = r[0], jac[0]
    value = rho(r, problem.delta)
    root = np.sqrt(2.0 * value)
    inside = np.abs(r) <= problem.delta
    slope = np.where(inside, 1.0, np.minimum(np.abs(r), problem.delta) / np.maximum(root, 1e-300))
    weight = np.sqrt(problem.weights)
    vector = weight * np.sign(r) * root
    matrix = (weight * slope * jac).T
    if problem.prior_precision.any():
        strength = np.sqrt(problem.prior_precision)
        full = problem.full(free)[0]
        vector = np.concatenate([vector, strength * (full - problem.prior_mean)])
        slope = strength * np.where(problem.logs, full, 1.0)
        matrix = np.concatenate([matrix, slope[:, None] * problem.matrix])
    vector = np.where(np.isfinite(vector), vector, 1e150)
    return vector, np.where(np.isfinite(matrix), matrix, 0.0)
