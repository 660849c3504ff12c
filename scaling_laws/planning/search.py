"""Minima of many functions at once over a box: one number a dimension, one function a draw.

Functions may have kinks, where one bound takes over from another, and are infinite outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scaling_laws.planning.amounts import Array

Objective = Callable[[list[Array]], Array]
"""From one array ``(1 or draws, points)`` a dimension to values ``(draws, points)``."""

_GOLDEN = (5**0.5 - 1) / 2
_GRID = 97
_STEPS = 32
_FINE = 17  # points of a grid that is a zoom of the last
_ZOOMS = 10
_SCATTER = 1024
_SIMPLEX_ROUNDS = 60  # for each dimension
_RESTARTS = 4
_SETTLED = 1e-11
_DIFFERENCE = 1e-3
_NEWTON_ROUNDS = 40
_DAMPINGS = (0.0, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where each function is least, and how small it is there.

    Parameters
    ----------
    at : list of ndarray (draws, 1)
        One a dimension.
    value : ndarray (draws, 1)
    kinked : bool, default False
        Whether a simplex found more than Newton's steps did.
    """

    at: list[Array]
    value: Array
    kinked: bool = False


def minimise(
    objective: Objective,
    box: Sequence[tuple[float, float]],
    *,
    grid: int = _GRID,
    start: Sequence[Array] | None = None,
    smooth: bool = False,
) -> Minimum:
    """Least value of every function in the box.

    Parameters
    ----------
    objective : callable
        Evaluated at all functions at once.
    box : sequence of pair of float
        Smallest and largest number of each dimension; none at all evaluates the functions once.
    grid : int, default 97
        Points along a line that tell where the minimum is, roughly.
    start : sequence of ndarray (1, 1), optional
        Where to start from in several dimensions.
    smooth : bool, default False
        Whether Newton's steps will do there.
    """
    if not box:
        return Minimum([], objective([]))
    if len(box) == 1:
        return _along_line(objective, *box[0], grid)
    near = None if start is None else np.concatenate(list(start), axis=1)
    return _in_many(objective, np.array(box, dtype=float), near, smooth)


def golden(
    function: Callable[[Array], Array], low: Array, high: Array, steps: int
) -> tuple[Array, Array]:
    """Narrow intervals that each hold a minimum, by golden sections.

    Parameters
    ----------
    function : callable
        Of one point for every interval.
    low, high : ndarray
        Ends of the intervals.
    steps : int
        Evaluations beyond the first two; each leaves 0.618 of an interval.

    Examples
    --------
    >>> low, high = golden(lambda x: (x - 0.3) ** 2, np.zeros(1), np.ones(1), 20)
    >>> bool(low[0] < 0.3 < high[0]), bool(high[0] - low[0] < 1e-4)
    (True, True)
    """
    a, b = low, high
    x, y = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
    at_x, at_y = function(x), function(y)
    for _ in range(steps):
        lower = at_x < at_y
        a, b = np.where(lower, a, x), np.where(lower, y, b)
        fresh = np.where(lower, b - _GOLDEN * (b - a), a + _GOLDEN * (b - a))
        at_fresh = function(fresh)
        x, y = np.where(lower, fresh, y), np.where(lower, x, fresh)
        at_x, at_y = np.where(lower, at_fresh, at_y), np.where(lower, at_x, at_fresh)
    return a, b


def _along_line(objective: Objective, low: float, high: float, count: int) -> Minimum:
    """Grid, then a search between the neighbours of its best point."""
    grid = np.linspace(low, high, count)
    values = objective([grid[None]])
    best = values.argmin(axis=1)
    spacing = (high - low) / (count - 1)
    a = (low + spacing * np.maximum(best - 1, 0))[:, None]
    b = (low + spacing * np.minimum(best + 1, count - 1))[:, None]
    if len(values) == 1:
        return _zoomed(objective, float(a[0, 0]), float(b[0, 0]))
    a, b = golden(lambda x: objective([x]), a, b, _STEPS)
    points = np.concatenate([a, 0.5 * (a + b), b, grid[best][:, None]], axis=1)
    values = objective([points])
    least = values.argmin(axis=1)[:, None]
    # an edge of the box wins only where it is really lower
    middle = values[:, 1:2] <= np.take_along_axis(values, least, axis=1)
    least = np.where(middle, 1, least)
    return Minimum(
        [np.take_along_axis(points, least, axis=1)], np.take_along_axis(values, least, axis=1)
    )


def _zoomed(objective: Objective, low: float, high: float) -> Minimum:
    """Ever finer grids of one function: few calls, many points each."""
    for _ in range(_ZOOMS):
        grid = np.linspace(low, high, _FINE)
        values = objective([grid[None]])[0]
        best = int(values.argmin())
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, _FINE - 1)]
    return Minimum([grid[best : best + 1, None]], values[best : best + 1, None])


def _in_many(objective: Objective, box: Array, start: Array | None, smooth: bool) -> Minimum:
    """Newton's steps from a start or the best of many points; a simplex where there are kinks."""
    if start is None:
        start = _scattered(objective, box)
    value = objective(_columns(start))[:, 0]
    start = np.broadcast_to(start, (len(value), len(box)))
    best, value = _newton(objective, start, value, box)
    size, kinked = 0.1, False
    for _ in range(0 if smooth else _RESTARTS):
        before = value
        best, value = _simplex(objective, best, value, box, size)
        best, value = _newton(objective, best, value, box)
        size *= 0.2
        if np.all(before - value <= _SETTLED * np.abs(value)):
            break  # nothing that a simplex finds and Newton does not
        kinked = True
    return Minimum(_columns(best), value[:, None], kinked)


def _columns(points: Array) -> list[Array]:
    return [points[:, d : d + 1] for d in range(points.shape[1])]


def _scattered(objective: Objective, box: Array) -> Array:
    """Best of many points that fill the box, for each function."""
    from scipy.stats import qmc

    unit = qmc.Sobol(len(box), scramble=True, seed=20220329).random(_SCATTER)
    spread = box[:, 0] + unit * (box[:, 1] - box[:, 0])
    values = objective([spread[None, :, d] for d in range(len(box))])
    return np.asarray(spread[values.argmin(axis=1)])


def _newton(objective: Objective, start: Array, value: Array, box: Array) -> tuple[Array, Array]:
    """Damped Newton steps on differences; of several dampings the best is taken."""
    draws, m = start.shape
    span = box[:, 1] - box[:, 0]
    pairs = [(i, j) for i in range(m) for j in range(i)]
    unit = np.eye(m)
    stencil = [*unit, *(-unit)]
    stencil += [sign * (unit[i] + unit[j]) for i, j in pairs for sign in (1, -1)]
    steps = np.array(stencil) * np.minimum(_DIFFERENCE * span, 1e-2)
    h = np.minimum(_DIFFERENCE * span, 1e-2)
    best = start
    for _ in range(_NEWTON_ROUNDS):
        inner = np.clip(best, box[:, 0] + h * 1.01, box[:, 1] - h * 1.01)
        points = np.concatenate([inner[:, None], inner[:, None] + steps], axis=1)
        seen = objective([points[..., d] for d in range(m)])
        centre, plus, minus = seen[:, 0], seen[:, 1 : m + 1], seen[:, m + 1 : 2 * m + 1]
        gradient = (plus - minus) / 2
        hessian = np.zeros((draws, m, m))
        hessian[:, range(m), range(m)] = plus + minus - 2 * centre[:, None]
        for k, (i, j) in enumerate(pairs):
            both = seen[:, 2 * m + 1 + 2 * k] + seen[:, 2 * m + 2 + 2 * k] - 2 * centre
            mixed = 0.5 * (both - hessian[:, i, i] - hessian[:, j, j])
            hessian[:, i, j] = hessian[:, j, i] = mixed
        values, vectors = np.linalg.eigh(np.nan_to_num(hessian))
        along = np.einsum("kij,ki->kj", vectors, np.nan_to_num(gradient))
        top = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-300)
        tried = []
        for damping in _DAMPINGS:
            scaled = along / (np.maximum(np.abs(values), 1e-9 * top) + damping * top)
            move = -h * np.einsum("kij,kj->ki", vectors, scaled)
            move = np.clip(move, -0.1 * span, 0.1 * span)
            tried.append(np.clip(inner + move, box[:, 0], box[:, 1]))
        trials = np.stack(tried, axis=1)
        reached = objective([trials[..., d] for d in range(m)])
        least = reached.argmin(axis=1)
        found = np.take_along_axis(reached, least[:, None], axis=1)[:, 0]
        better = found < value
        moved = np.where(better[:, None], trials[np.arange(draws), least], best)
        done = np.all(np.abs(moved - best) <= 1e-9 * span)
        best, value = moved, np.where(better, found, value)
        if done:
            break
    return best, value


def _simplex(
    objective: Objective, start: Array, value: Array, box: Array, size: float
) -> tuple[Array, Array]:
    """One run of Nelder and Mead for every function; points stay in the box."""
    draws, dimensions = start.shape
    span = box[:, 1] - box[:, 0]

    def at(points: Array) -> Array:
        return objective([points[:, d : d + 1] for d in range(dimensions)])[:, 0]

    corners = np.repeat(start[:, None], dimensions + 1, axis=1)
    heights = np.repeat(value[:, None], dimensions + 1, axis=1)
    for d in range(dimensions):
        step = size * span[d]
        inward = np.where(start[:, d] + step > box[d, 1], -step, step)
        corners[:, d + 1, d] += inward
        heights[:, d + 1] = at(corners[:, d + 1])
    rows = np.arange(draws)
    for _ in range(_SIMPLEX_ROUNDS * dimensions):
        order = np.argsort(heights, axis=1, kind="stable")
        corners, heights = corners[rows[:, None], order], np.take_along_axis(heights, order, 1)
        if np.all(np.ptp(corners, axis=1) <= 1e-10 * span):
            break
        corners, heights = _moved(at, corners, heights, box)
    least = heights.argmin(axis=1)
    return corners[rows, least], heights[rows, least]


def _moved(
    at: Callable[[Array], Array], corners: Array, heights: Array, box: Array
) -> tuple[Array, Array]:
    """Replace the worst corner, or shrink towards the best."""
    centre = corners[:, :-1].mean(axis=1)
    away = centre - corners[:, -1]

    def tried(factor: float) -> tuple[Array, Array]:
        point = np.clip(centre + factor * away, box[:, 0], box[:, 1])
        return point, at(point)

    mirrored, at_mirrored = tried(1.0)
    further, at_further = tried(2.0)
    outside, at_outside = tried(0.5)
    inside, at_inside = tried(-0.5)
    best, second, worst = heights[:, 0], heights[:, -2], heights[:, -1]
    expand = (at_mirrored < best) & (at_further < at_mirrored)
    reflect = ~expand & (at_mirrored < second)
    outer = ~expand & ~reflect & (at_mirrored < worst) & (at_outside <= at_mirrored)
    inner = ~expand & ~reflect & ~(at_mirrored < worst) & (at_inside < worst)
    shrink = ~(expand | reflect | outer | inner)
    choice = [expand, reflect, outer, inner]
    new = np.select([c[:, None] for c in choice], [further, mirrored, outside, inside], 0.0)
    height = np.select(choice, [at_further, at_mirrored, at_outside, at_inside], np.inf)
    corners, heights = corners.copy(), heights.copy()
    keep = ~shrink
    corners[keep, -1], heights[keep, -1] = new[keep], height[keep]
    if shrink.any():
        small = 0.5 * (corners + corners[:, :1])
        for k in range(1, corners.shape[1]):
            corners[:, k] = np.where(shrink[:, None], small[:, k], corners[:, k])
            heights[:, k] = np.where(shrink, at(corners[:, k]), heights[:, k])
    return corners, heights
