"""One law under many row weightings at once: every cut of a backtest, every focus of a candidate.

A cut is a weighting too (rows above it weigh nothing), so that all cuts and focuses of a law are
one batch from a handful of starts instead of as many global searches.
"""

from __future__ import annotations

import numpy as np

from scaling_laws.solving.batch import solve_batch
from scaling_laws.solving.objective import EFFICIENCY, MAD_TO_SIGMA, Array, Problem

_COARSE, _FINE = 3e-2, 1e-2  # shares of a standard error (squared) that a step may still promise
_FEW = 30  # steps; along a flat valley more change the coefficients, not what they predict
_SCALE_ROUNDS = 2
_EXACT = 1e-10  # residuals below this are rounding, not noise


def solve_weightings(
    problem: Problem, starts: Array, weights: Array, *, auto_delta: bool
) -> tuple[Array, Array]:
    """Solve a problem under each weighting, from every start, and keep the best.

    Parameters
    ----------
    problem : Problem
    starts : ndarray (m, q)
        Starting points, each tried for each weighting.
    weights : ndarray (k, n)
    auto_delta : bool
        Re-estimate Huber's turning point for each weighting; else the problem's own is used.

    Returns
    -------
    free : ndarray (k, q)
    delta : ndarray (k,)
        Huber's turning points.
    """
    k = len(weights)
    scouts = _scouts(problem, starts, weights, auto_delta)
    m = len(scouts)
    delta = np.full(k, problem.delta)
    points, rows = np.tile(scouts, (k, 1)), np.repeat(weights, m, axis=0)
    if auto_delta:
        scale = weighted_scales(problem.residuals(points), rows)
        delta = _turning_points(np.nan_to_num(scale, nan=np.inf).reshape(k, m).min(axis=1))
    tried = solve_batch(
        problem, points, rows, delta=np.repeat(delta, m), tolerance=_COARSE, iterations=_FEW
    )
    best = tried.objective.reshape(k, m).argmin(axis=1)
    free = tried.free.reshape(k, m, -1)[np.arange(k), best]
    for _ in range(_SCALE_ROUNDS if auto_delta else 1):
        if auto_delta:
            delta = _turning_points(weighted_scales(problem.residuals(free), weights))
        free = solve_batch(
            problem, free, weights, delta=delta, tolerance=_FINE, iterations=_FEW
        ).free
    return free, delta


def _scouts(problem: Problem, starts: Array, weights: Array, auto_delta: bool) -> Array:
    """Solve the first and the last weighting from every start; keep the distinct best."""
    ends = weights[[0, -1]]
    m = len(starts)
    points, rows = np.tile(starts, (2, 1)), np.repeat(ends, m, axis=0)
    delta = np.full(2 * m, problem.delta)
    if auto_delta:
        scale = weighted_scales(problem.residuals(points), rows)
        delta = _turning_points(np.nan_to_num(scale, nan=np.inf))
        delta = np.repeat(delta.reshape(2, m).min(axis=1), m)
    tried = solve_batch(problem, points, rows, delta=delta, tolerance=_COARSE, iterations=_FEW)
    best = tried.objective.reshape(2, m).argmin(axis=1)
    return np.unique(tried.free[best + np.array([0, m])], axis=0)


def weighted_scales(residuals: Array, weights: Array) -> Array:
    """Robust standard deviation of each row of residuals ``(k, n)``: 1.4826 weighted medians.

    Examples
    --------
    >>> weighted_scales(np.array([[-1.0, 0.5, 1.0]]), np.ones((1, 3))).tolist()
    [1.4826]
    """
    size = np.abs(residuals)
    order = np.argsort(size, axis=1, kind="stable")
    total = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    middle = (total >= 0.5 * total[:, -1:] * (1 - 1e-12)).argmax(axis=1)
    sorted_size = np.take_along_axis(size, order, axis=1)
    return np.asarray(MAD_TO_SIGMA * sorted_size[np.arange(len(size)), middle])


def _turning_points(scale: Array) -> Array:
    told = np.isfinite(scale) & (scale > _EXACT)
    return np.where(told, EFFICIENCY * np.where(told, scale, 1.0), np.inf)
