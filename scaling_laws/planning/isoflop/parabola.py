"""IsoFLOP slices: runs grouped by budget, and a parabola in log size through each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.hashing import hash_rows
from scaling_laws.inference.resample import keyed_ranks, keyed_uniforms
from scaling_laws.laws.family import Array

Positions = NDArray[np.intp]

_FEWEST = 3  # sizes that a parabola needs
_PASSES = 3  # of choosing rows around the minimum, and of moving rows to their budget


def group_budgets(flops: Array, gap: float) -> Positions:
    """Number of the budget of each run, smallest first: neighbours further apart are separate.

    Parameters
    ----------
    flops : ndarray (n,)
        Training compute [FLOP].
    gap : float
        Relative gap between neighbouring computes that separates two budgets.

    Examples
    --------
    >>> group_budgets(np.array([2.4e19, 1.5e19, 1.52e19]), gap=0.1).tolist()
    [1, 0, 0]
    """
    order = np.argsort(flops, kind="stable")
    jumps = np.diff(np.log(flops[order])) > math.log1p(gap)
    number = np.empty(len(flops), dtype=np.intp)
    number[order] = np.concatenate([[0], np.cumsum(jumps)])
    return number


@dataclass(frozen=True, eq=False)
class Parabolas:
    """One parabola a budget, ``y = least + curvature (u - vertex)^2``; ``u`` is ln N.

    Where a budget has no minimum, ``vertex`` and ``least`` are NaN.

    Parameters
    ----------
    vertex, least, curvature : ndarray (..., m)
        Leading axes as those of the values fitted.
    inside : ndarray of bool (..., m)
        Whether the curvature is positive and the vertex within the sizes used.
    """

    vertex: Array
    least: Array
    curvature: Array
    inside: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Slices:
    """Which rows each budget's parabola goes through, and the maps from values to parabolas.

    Parameters
    ----------
    log_c : ndarray (m,)
        ln of the budgets' compute [FLOP].
    rows : tuple of ndarray
        Positions of the rows used, by budget.
    centre : ndarray (m,)
        Mean ln N of those rows.
    maps : tuple of ndarray (3, rows)
        Least-squares map from values to coefficients of 1, t, t^2; t = ln N - centre.
    ends : ndarray (2, m)
        Smallest and largest ln N used.
    """

    log_c: Array
    rows: tuple[Positions, ...]
    centre: Array
    maps: tuple[Array, ...]
    ends: Array

    def fit(self, values: Array) -> Parabolas:
        """Parabolas through values ``(..., n)`` of all rows."""
        pairs = zip(self.maps, self.rows, strict=True)
        coef = np.stack([values[..., rows] @ m.T for m, rows in pairs], axis=-2)
        level, slope, bend = np.moveaxis(coef, -1, 0)
        with np.errstate(all="ignore"):
            convex = bend > 0
            shift = np.where(convex, -slope / (2.0 * bend), np.nan)
            least = level + 0.5 * slope * shift
        vertex = self.centre + shift
        with np.errstate(invalid="ignore"):
            inside = convex & (vertex >= self.ends[0]) & (vertex <= self.ends[1])
        return Parabolas(vertex, least, bend, inside)

    def fitted(self, values: Array, log_n: Array) -> Array:
        """Fitted values ``(n,)``; NaN at rows that no parabola uses."""
        out = np.full(len(values), np.nan)
        for rows, m, centre in zip(self.rows, self.maps, self.centre, strict=True):
            out[rows] = _basis(log_n[rows] - centre) @ (m @ values[rows])
        return out

    def errors(self, values: Array, log_n: Array) -> Array:
        """Standard error ``(m,)`` of every vertex, from its own residuals; infinite without any."""
        found, fitted = self.fit(values), self.fitted(values, log_n)
        out = np.full(len(self.rows), np.inf)
        for i, (rows, m) in enumerate(zip(self.rows, self.maps, strict=True)):
            spare = len(rows) - _FEWEST
            if spare > 0 and found.curvature[i] > 0:
                variance = np.sum((values[rows] - fitted[rows]) ** 2) / spare
                shift = found.vertex[i] - self.centre[i]
                slope = -(m[1] + 2.0 * shift * m[2]) / (2.0 * found.curvature[i])
                out[i] = np.sqrt(variance * np.sum(slope**2))
        return out

    def at(self, values: Array, log_n: Array) -> Array:
        """Value ``(..., m)`` at a size of each budget, of the parabolas through ``values (n,)``."""
        coef = np.array([m @ values[rows] for m, rows in zip(self.maps, self.rows, strict=True)])
        t = log_n - self.centre
        return np.asarray(coef[:, 0] + t * (coef[:, 1] + t * coef[:, 2]))


def slices(log_n: Array, y: Array, log_c: Array, number: Positions, span: float) -> Slices:
    """Choose the rows of every budget: those within ``span`` of its minimum.

    Parameters
    ----------
    log_n, y, log_c : ndarray (n,)
        ln of model size, value to fit, and ln of compute.
    number : ndarray of int (n,)
        Budget of each row, 0 to m - 1.
    span : float
        Largest ratio of a size used to the size at the minimum, on either side.

    Notes
    -----
    Budgets with fewer than three sizes get no map and are never inside.
    """
    parts = [np.flatnonzero(number == i) for i in range(int(number.max()) + 1)]
    budgets = np.array([np.median(log_c[p]) for p in parts])
    chosen = [_near_minimum(log_n, y, p, math.log(span)) for p in parts]
    centre = np.array([log_n[rows].mean() for rows in chosen])
    maps = [_map(log_n[rows] - c) for rows, c in zip(chosen, centre, strict=True)]
    ends = np.array([[log_n[rows].min(), log_n[rows].max()] for rows in chosen]).T
    return Slices(budgets, tuple(chosen), centre, tuple(maps), ends)


def level_slope(found: Parabolas, log_c: Array) -> float:
    """Slope of the least values along ln compute, 0 where fewer than two are known."""
    use = found.inside & np.isfinite(found.least)
    if use.sum() < 2:
        return 0.0
    return float(np.polyfit(log_c[use], found.least[use], 1)[0])


def at_budgets(
    log_n: Array, y: Array, log_c: Array, number: Positions, span: float
) -> tuple[Array, Slices]:
    """Values moved to the budgets' compute, and the slices through them.

    At the minimum, loss changes along ln C at fixed size as it does along the optima (envelope
    theorem), so a run that cost a little more than its budget is moved by that slope.

    Returns
    -------
    moved : ndarray (n,)
    Slices
    """
    moved = y
    for _ in range(_PASSES):
        found = slices(log_n, moved, log_c, number, span)
        off = log_c - found.log_c[number]
        if np.abs(off).max() < 1e-9:
            break
        moved = y - level_slope(found.fit(moved), found.log_c) * off
    return moved, slices(log_n, moved, log_c, number, span)


def normals(content: Array, draws: int, seed: int, dof: float) -> tuple[Array, Array]:
    """Standard normal numbers of every run and draw, and the size of noise in every draw.

    Both depend on a run's numbers, the draw and the seed alone, not on the order of runs.

    Parameters
    ----------
    content : ndarray (columns, n)
        What tells runs apart.
    draws, seed : int
    dof : float
        Degrees of freedom of the noise.

    Returns
    -------
    ndarray (draws, n), ndarray (draws,)
        The second is ``sqrt(dof / chi^2)``, which gives intervals the tails of Student's t.
    """
    if not draws:
        return np.empty((0, content.shape[1])), np.empty(0)
    from scipy.special import gammaincinv, ndtri

    z = np.asarray(ndtri(keyed_uniforms(hash_rows(list(content)), 0, draws, seed)))
    ranks = keyed_ranks("size of isoFLOP noise", draws, seed)
    if dof <= 0:
        return z, np.ones(draws)
    return z, np.asarray(np.sqrt(0.5 * dof / gammaincinv(0.5 * dof, 1.0 - ranks)))


def _near_minimum(log_n: Array, y: Array, part: Positions, reach: float) -> Positions:
    """Rows of a budget within ``reach`` of its minimum; the nearest few sizes at the least."""
    u, centre = log_n[part], log_n[part][np.argmin(y[part])]
    chosen, sizes = part, np.unique(u)
    for _ in range(_PASSES):
        distance = np.abs(u - centre)
        least = np.sort(np.abs(sizes - centre))[min(_FEWEST + 1, len(sizes) - 1)]
        again = part[distance <= max(reach, least) + 1e-9]
        if np.array_equal(again, chosen):
            break
        chosen = again
        bend, slope, _ = _quadratic(log_n[chosen], y[chosen])
        if not bend > 0:
            break
        vertex = -slope / (2.0 * bend)
        centre = float(np.clip(vertex, log_n[chosen].min(), log_n[chosen].max()))
    return chosen


def _quadratic(u: Array, y: Array) -> tuple[float, float, float]:
    """Coefficients of u^2, u and 1; no curvature where there are fewer than three sizes."""
    centre = u.mean()
    level, slope, bend = _map(u - centre) @ y
    return (
        float(bend),
        float(slope - 2.0 * bend * centre),
        float(level - slope * centre + bend * centre**2),
    )


def _basis(t: Array) -> Array:
    return np.stack([np.ones_like(t), t, t * t], axis=1)


def _map(t: Array) -> Array:
    """Least-squares map ``(3, n)``; of a level alone where there are fewer than three sizes."""
    if len(np.unique(t)) < _FEWEST:
        return np.stack([np.full(len(t), 1.0 / len(t)), np.zeros(len(t)), np.zeros(len(t))])
    return np.asarray(np.linalg.pinv(_basis(t)))
