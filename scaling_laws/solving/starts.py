"""Starting points by variable projection: search the non-linear coefficients, solve the rest.

Golub and Pereyra (1973), SIAM J. Numer. Anal. 10, 413. Deterministic: a logarithmic grid for one
or two searched coefficients, a scrambled Sobol sequence with a fixed key for more.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scaling_laws.errors import FitError
from scaling_laws.solving.objective import Array, Problem

_GRID_POINTS = {1: 64, 2: 16}  # per searched coefficient
_SOBOL_POINTS = {3: 512, 4: 1024}
_MOST_SOBOL_POINTS = 2048
_MOST_ROWS = 128
_STARTS = (1, 4, 8, 24, 48, 96, 192, 256)  # by the number of searched coefficients
_NEIGHBOURS = 0.25  # so near, the worse of two starts is left out
_ELEMENTS = 400_000
_LOG_STEP = 1e-3  # small, so that an exponential of it cannot overflow


def find_starts(problem: Problem, given: Array | None = None, limit: int | None = None) -> Array:
    """Return up to ``limit`` distinct starting points, best first, shape ``(m, q)``.

    Parameters
    ----------
    problem : Problem
    given : ndarray (m, p), optional
        Starts to try as they are, all coefficients; a row with NaN narrows a second search.
    limit : int, optional
        Default: four for one searched coefficient, 256 for seven and more.

    Raises
    ------
    FitError
        No starting point gives a valid prediction, or the law declares none and the user gave
        none.
    """
    small = thinned(problem, _MOST_ROWS)
    parts = []
    partial = None
    if given is not None:
        complete = np.isfinite(given).all(axis=1)
        parts.append(problem.reduced(given[complete]))
        partial = given[~complete][0] if (~complete).any() else None
    lacking = [c.name for c in small.family.coefficients if not (c.linear or c.starts)]
    if not lacking:
        for narrowed in (None,) if partial is None else (None, partial):
            parts.append(_best(small, _project(small, _search_points(small, narrowed))))
    if lacking and not sum(map(len, parts)):
        raise FitError(
            f"law '{problem.family.name}' declares no span of starts for {lacking}. Pass start= "
            "with a value for every coefficient, or declare Coefficient(..., starts=(low, high))."
        )
    points = np.concatenate(parts)
    score = small.objective(points)
    points, score = points[np.isfinite(score)], score[np.isfinite(score)]
    if not len(points):
        raise FitError(
            f"no starting point of '{problem.family.name}' predicts a valid target. Check the "
            "units of the inputs, or pass start= with a value for every coefficient."
        )
    linear = [problem.family.coefficients[i].linear is not None for i in problem.free]
    searched = np.flatnonzero(~np.array(linear))
    most = limit or _STARTS[min(len(searched), len(_STARTS) - 1)]
    return points[_distinct(points[:, searched] if len(searched) else points, score, most)]


def thinned(problem: Problem, rows: int) -> Problem:
    """Return the problem with at most ``rows`` rows, spread evenly over the target."""
    n = len(problem.y)
    if n <= rows:
        return problem
    keep = np.argsort(problem.y, kind="stable")[np.linspace(0, n - 1, rows).astype(int)]
    return replace(
        problem,
        x=tuple(v[keep] for v in problem.x),
        y=problem.y[keep],
        weights=problem.weights[keep],
    )


def _distinct(points: Array, score: Array, limit: int) -> list[int]:
    """Half the best points that are no neighbours, half those furthest from any better one.

    The first refine the deepest basin seen, the others look into basins of their own.
    """
    pool = np.argsort(score, kind="stable")[: max(100, 2 * limit)]
    coordinates = np.sign(points[pool]) * np.log1p(np.abs(points[pool]) * 10.0)
    gaps = np.abs(coordinates[:, None] - coordinates).max(axis=2)
    to_better = np.array([np.inf, *(gaps[i, :i].min() for i in range(1, len(pool)))])
    best_first = np.arange(len(pool))
    chosen: list[int] = []
    for order, most in (
        (best_first, (limit + 1) // 2),
        (np.argsort(-to_better, kind="stable"), limit),
    ):
        for i in order.tolist():
            if len(chosen) < most and all(gaps[i, j] > _NEIGHBOURS for j in chosen):
                chosen.append(i)
    return [int(i) for i in pool[chosen]]


def _best(problem: Problem, points: Array, keep: int = 400) -> Array:
    score = problem.objective(points)
    order = np.argsort(score, kind="stable")
    return np.asarray(points[order[: min(keep, int(np.isfinite(score).sum()))]])


def _search_points(problem: Problem, given: Array | None) -> Array:
    """Free coefficients with the searched ones filled in and the linear ones at zero."""
    coefficients = [problem.family.coefficients[i] for i in problem.free]
    searched = [j for j, c in enumerate(coefficients) if c.linear is None]
    points = np.zeros((1, len(coefficients)))
    if not searched:
        return points
    unit = _unit_points(len(searched))
    points = np.zeros((len(unit), len(coefficients)))
    for s, j in enumerate(searched):
        i = problem.free[j]
        low, high = problem.family.coefficients[i].starts or (1.0, 1.0)
        if given is not None and np.isfinite(given[i]):
            low = high = float(given[i])
        if problem.logs[i]:
            low, high = np.log(low), np.log(high)
        low, high = np.clip([low, high], problem.lower[j], problem.upper[j])
        if low > 0 and not problem.logs[i]:
            points[:, j] = low * (high / low) ** unit[:, s]
        else:
            points[:, j] = low + unit[:, s] * (high - low)
    return points


def _unit_points(dimensions: int) -> Array:
    """Points filling the unit cube."""
    if dimensions in _GRID_POINTS:
        axis = np.linspace(0.0, 1.0, _GRID_POINTS[dimensions])
        return np.stack(np.meshgrid(*[axis] * dimensions, indexing="ij"), -1).reshape(
            -1, dimensions
        )
    from scipy.stats import qmc

    count = _SOBOL_POINTS.get(dimensions, _MOST_SOBOL_POINTS)
    points: Array = qmc.Sobol(dimensions, scramble=True, seed=20220329).random(count)
    return points


def _project(problem: Problem, points: Array) -> Array:
    """Fill in the linear coefficients of every search point."""
    linear = [problem.family.coefficients[i].linear for i in problem.free]
    on_log = [j for j, kind in enumerate(linear) if kind == "log"]
    on_target = [j for j, kind in enumerate(linear) if kind == "target"]
    if on_log:
        rows = (points[i : i + 1] for i in range(len(points)))
        return np.concatenate([_solve_on_log(problem, row, on_log, on_target) for row in rows])
    if not on_target:
        return points
    size = max(1, _ELEMENTS // (len(problem.y) * (len(on_target) + 1)))
    parts = [points[i : i + size] for i in range(0, len(points), size)]
    return np.concatenate([_solve_on_target(problem, part, on_target) for part in parts])


def _solve_on_target(problem: Problem, points: Array, linear: list[int]) -> Array:
    """Bounded weighted least squares in the linear coefficients, one problem a point."""
    out = points.copy()
    out[:, linear] = 0.0
    with np.errstate(all="ignore"):
        base = problem.predict(out)
        columns = np.empty((len(points), len(linear), len(problem.y)))
        for position, j in enumerate(linear):
            unit = out.copy()
            unit[:, j] = 1.0
            columns[:, position] = problem.predict(unit) - base
    weights = problem.weights * _first_order_weights(problem)
    target = problem.y - base
    usable = np.isfinite(columns).all(axis=(1, 2)) & np.isfinite(base).all(axis=1)
    columns[~usable], target[~usable] = 0.0, 0.0
    solved = bounded_least_squares(
        columns, target, weights, problem.lower[linear], problem.upper[linear]
    )
    solved[~usable] = np.nan
    out[:, linear] = solved
    return out


def _first_order_weights(problem: Problem) -> Array:
    """Weights that make squared errors on the target match the residual scale to first order."""
    y = problem.y
    if problem.residual == "log":
        return 1.0 / np.clip(y, 1e-150, 1e150) ** 2  # squares that have a float
    if problem.residual == "logit":
        low, high = problem.bounds
        return (1.0 / np.maximum((y - low) * (high - y) / (high - low), 1e-6)) ** 2
    return np.ones_like(y)


def bounded_least_squares(
    columns: Array, target: Array, weights: Array, lower: Array, upper: Array
) -> Array:
    """Weighted least squares with bounds, many problems at once, by an active set.

    Parameters
    ----------
    columns : ndarray (g, l, n)
    target : ndarray (g, n)
    weights : ndarray (n,)
    lower, upper : ndarray (l,)

    Returns
    -------
    ndarray (g, l)

    Examples
    --------
    >>> columns = np.array([[[1.0, 1.0, 1.0], [0.0, 1.0, 2.0]]])
    >>> target = np.array([[3.0, 2.0, 1.0]])
    >>> inf = np.array([np.inf, np.inf])
    >>> bounded_least_squares(columns, target, np.ones(3), np.zeros(2), inf).round(3).tolist()
    [[2.0, 0.0]]
    """
    root = np.sqrt(weights)
    weighted, right = columns * root, target * root
    norms = np.sqrt(np.einsum("gln,gln->gl", weighted, weighted))
    norms = np.where(norms > 0, norms, 1.0)
    weighted = weighted / norms[:, :, None]
    gram = np.matmul(weighted, weighted.transpose(0, 2, 1))
    moment = np.matmul(weighted, right[:, :, None])[:, :, 0]
    low, high = lower * norms, upper * norms
    count = gram.shape[1]
    diagonal = np.arange(count)
    held = np.zeros(moment.shape, dtype=bool)
    values = np.zeros(moment.shape)
    for _ in range(count + 1):
        system = np.where(held[:, :, None] | held[:, None, :], 0.0, gram)
        system[:, diagonal, diagonal] += np.where(held, 1.0, 1e-12)
        kept = np.where(held, values, 0.0)
        rest = moment - np.einsum("gij,gj->gi", gram, kept)
        free: NDArray[np.float64] = np.linalg.solve(system, np.where(held, 0.0, rest)[:, :, None])[
            :, :, 0
        ]
        values = np.where(held, values, free)
        outside = ~held & ((values < low) | (values > high))
        if not outside.any():
            break
        values = np.clip(values, low, high)
        held |= outside
    return np.clip(values, low, high) / norms


def _solve_on_log(problem: Problem, point: Array, on_log: list[int], on_target: list[int]) -> Array:
    """Least squares on the logarithm at one point: the log-linear block, and one amplitude."""
    positive = problem.y > 0
    out = point.copy()
    out[:, on_log] = 0.0
    out[:, on_target] = 1.0

    def log_prediction(free: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(np.log(problem.predict(free)[0]))

    base = log_prediction(out)
    columns = []
    for j in on_log:
        unit = out.copy()
        unit[:, j] = _LOG_STEP
        columns.append((log_prediction(unit) - base) / _LOG_STEP)
    columns.extend(np.ones_like(base) for _ in on_target[:1])
    root = np.sqrt(problem.weights * positive)
    design = np.stack(columns, axis=1) * root[:, None]
    right = np.where(positive, np.log(np.where(positive, problem.y, 1.0)) - base, 0.0) * root
    if not np.isfinite(design).all():
        return np.empty((0, point.shape[1]))
    solved = np.linalg.lstsq(design, right, rcond=None)[0]
    out[0, on_log] = solved[: len(on_log)]
    if on_target:
        out[0, on_target[0]] = np.exp(solved[-1])
    return np.asarray(np.clip(out, problem.lower, problem.upper))
