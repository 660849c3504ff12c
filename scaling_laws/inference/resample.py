"""Draws of coefficients: disturb every run by what its noise may have been, and fit again.

A robust fit equals a least-squares fit to pseudo-data, whose residuals are cut at Huber's turning
point. Draw ``j`` moves the pseudo-data by noise as large as the residuals say a run's is, and
refits. How large that is, is itself drawn (a chi-squared number for each draw), so that intervals
from few runs have the tails of Student's t. With many clusters, more and more of the noise is each
cluster's own residual times a random number (the wild cluster bootstrap), which needs no model of
the noise.

The disturbance of cluster ``c`` in draw ``j`` is a function of (seed, label of ``c``, ``j``), so
draws do not depend on row order, chunking or workers, and two fits that share runs are paired
draw by draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.runs import hash_labels, hash_rows, mix_bits
from scaling_laws.inference.variance import Components, components
from scaling_laws.solving.batch import Solutions, joined, second_order_terms, solve_batch
from scaling_laws.solving.objective import (
    EFFICIENCY,
    Array,
    Problem,
    inverse_transform,
    robust_scale,
)
from scaling_laws.solving.point import PointSolution

_UNIT = 2.0**-53
_FEW = 4  # clusters per coefficient: the wild bootstrap starts here, and is alone at twice this
_NORMAL_ROWS = 20.0
_WILD = np.uint64(0x5851F42D4C957F2D)  # keeps the wild numbers apart from the others


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws of the free coefficients.

    Parameters
    ----------
    free : ndarray (k, q)
    failed : int
        Draws whose refit did not converge (their last iterate is kept).
    noise : ndarray (k,)
        Standard deviation of a run in each draw.
    """

    free: Array
    failed: int
    noise: Array


def keyed_uniforms(labels: NDArray[np.uint64], first: int, last: int, seed: int) -> Array:
    """Uniform numbers in (0, 1), one per draw ``first <= j < last`` and label.

    Parameters
    ----------
    labels : ndarray of uint64 (g,)
    first, last : int
        Range of draws.
    seed : int

    Returns
    -------
    ndarray (last - first, g)

    Examples
    --------
    >>> labels = np.array([3, 5], dtype=np.uint64)
    >>> both = keyed_uniforms(labels, 0, 4, seed=0)
    >>> bool((both[2:] == keyed_uniforms(labels, 2, 4, seed=0)).all())
    True
    """
    key = mix_bits(labels ^ mix_bits(np.array([seed], dtype=np.int64).view(np.uint64)))
    draw = mix_bits(np.arange(first, last, dtype=np.uint64))
    bits = mix_bits(key[None, :] ^ draw[:, None])
    return (np.asarray(bits >> np.uint64(11), dtype=float) + 0.5) * _UNIT


def keyed_normals(label: str, draws: int, seed: int) -> Array:
    """Return standard normal numbers ``(draws,)`` for a named use, a function of the draw alone."""
    from scipy.special import ndtri

    return np.asarray(ndtri(keyed_uniforms(hash_labels([label]), 0, draws, seed)[:, 0]))


@dataclass(frozen=True, eq=False)
class Disturbance:
    """What the residuals of a fit may have been: the law of the noise behind the draws.

    Parameters
    ----------
    components : Components
        Shared and single noise of the rows.
    inefficiency : float
        Variance of the robust estimate over that of least squares.
    wild_share : float
        Share of the variance that is taken from each cluster's own residuals.
    wild : ndarray (n,)
        Those residuals, cut at Huber's turning point, corrected for coefficients spent.
    clusters, rows : ndarray of uint64 (n,)
        Labels of the clusters and of the rows.
    """

    components: Components
    inefficiency: float
    wild_share: float
    wild: Array
    clusters: NDArray[np.uint64]
    rows: NDArray[np.uint64]

    @property
    def noise(self) -> float:
        """Standard deviation of a run."""
        return float(np.hypot(*self.components.estimate))

    def scales(self, draws: int, seed: int) -> tuple[Array, Array]:
        """Standard deviations shared by a cluster and of single rows in each draw ``(k,)``."""
        ranks = [_keyed(name, draws, seed) for name in ("scale of noise", "ratio of noise")]
        return self.components.draw(np.stack(ranks, axis=1))

    def shifts(self, span: slice, scales: tuple[Array, Array], seed: int) -> Array:
        """Disturbances ``(draws of the span, n)``."""
        unique, first, inverse = np.unique(self.clusters, return_index=True, return_inverse=True)
        inverse = inverse.ravel()
        alone = len(unique) == len(self.clusters)
        shared, single = (v[span, None] for v in scales)
        keep = np.sqrt((1.0 - self.wild_share) * self.inefficiency)
        by_cluster = _normals(unique, span, seed)
        if alone:
            out = (keep * single * by_cluster)[:, inverse]
        else:
            out = (keep * shared * by_cluster)[:, inverse]
            out = out + keep * single * _normals(self.rows, span, seed)
        if self.wild_share > 0:
            size = np.hypot(*scales)[span, None] / self.noise if self.noise > 0 else 1.0
            salted = mix_bits(unique ^ _WILD)
            own = _normals(salted, span, seed)[:, inverse]
            out = out + np.sqrt(self.wild_share) * size * self.wild * own
        return np.asarray(out)


def _normals(labels: NDArray[np.uint64], span: slice, seed: int) -> Array:
    from scipy.special import ndtri

    return np.asarray(ndtri(keyed_uniforms(labels, span.start, span.stop, seed)))


def _keyed(name: str, draws: int, seed: int) -> Array:
    return keyed_uniforms(hash_labels([name]), 0, draws, seed)[:, 0]


def disturbance(
    point: PointSolution, clusters: NDArray[np.uint64], rows: NDArray[np.uint64] | None = None
) -> Disturbance:
    """Return the law of the noise around a solved point.

    Parameters
    ----------
    point : PointSolution
    clusters : ndarray of uint64 (n,)
        Rows of one cluster share a disturbance.
    rows : ndarray of uint64 (n,), optional
        Labels of the rows; default from their numbers.
    """
    problem, q = point.problem, len(point.free)
    residuals, jacobian = problem.residuals_with_jacobian(point.free[None])
    r, jac = residuals[0], jacobian[0]
    inside = ~at_bound(problem, point.free)
    root = np.sqrt(problem.weights)
    prior = None
    if problem.prior_precision.any():
        slope = np.where(problem.logs, problem.full(point.free[None])[0], 1.0)
        prior = ((np.sqrt(problem.prior_precision) * slope)[:, None] * problem.matrix)[:, inside]
    found = components(root * r, (root * jac[inside]).T, clusters, prior)
    psi, slope_of_psi = pseudo_residuals(r, problem.weights, problem.delta)
    count = len(np.unique(clusters))
    share = float(np.clip((count - _FEW * q) / (_FEW * max(q, 1)), 0.0, 1.0))
    wild = psi / slope_of_psi * np.sqrt(count / max(count - q, 1))
    if rows is None:
        rows = hash_rows([*problem.x, problem.y])
    return Disturbance(
        found, inefficiency(psi / slope_of_psi, found, problem), share, wild, clusters, rows
    )


def pseudo_residuals(r: Array, weights: Array, delta: float) -> tuple[Array, float]:
    """Residuals cut at ``delta``, and the mean slope of that cut.

    Where ``delta`` is below 1.345 robust standard deviations, the slope is spread over that
    width, as for least absolute deviations.
    """
    if not np.isfinite(delta):
        return r, 1.0
    width = max(delta, EFFICIENCY * robust_scale(r, weights))
    inside = float(np.sum(weights * (np.abs(r) <= width)) / np.sum(weights))
    return np.clip(r, -delta, delta), max(inside * delta / width, 1e-3) if width > 0 else 1.0


def inefficiency(pseudo: Array, found: Components, problem: Problem) -> float:
    """Variance of the robust estimate over that of least squares, from residuals and theory.

    The residuals' own ratio counts by their degrees of freedom, that of normal noise by
    twenty.
    """
    from scipy.special import ndtr

    noise = float(np.hypot(*found.estimate))
    if not np.isfinite(problem.delta) or noise <= 0:
        return 1.0
    c = problem.delta / noise
    inner, density = 2 * ndtr(c) - 1, np.exp(-0.5 * c * c) / np.sqrt(2 * np.pi)
    normal = (inner - 2 * c * density + 2 * c * c * (1 - ndtr(c))) / max(inner, 1e-6) ** 2
    dof = max(found.dof, 1.0)
    seen = float(np.sum(problem.weights * pseudo**2)) / dof / noise**2
    return float((_NORMAL_ROWS * normal + dof * seen) / (_NORMAL_ROWS + dof))


def draw_coefficients(
    point: PointSolution,
    noise: Disturbance,
    draws: int,
    seed: int,
    *,
    workers: int = 1,
    chunk: int | None = None,
    prior_sd: Array | None = None,
) -> Draws:
    """Disturb the runs and refit, ``draws`` times.

    Parameters
    ----------
    point : PointSolution
    noise : Disturbance
    draws, seed, workers : int
    chunk : int, optional
        Draws solved together; no effect on the result.
    prior_sd : ndarray (p,), optional
        Standard deviations of the priors: each draw moves their means by so much at random, so
        that what only a prior tells keeps the prior's spread (randomised maximum a posteriori;
        Bardsley et al. 2014).
    """
    start = np.repeat(point.free[None], draws, axis=0)
    scales = noise.scales(draws, seed)
    size = np.hypot(*scales)
    if len(point.free) == 0 or draws == 0:
        return Draws(start, 0, size)
    pseudo = _pseudo_data(point)

    def shifts(span: slice) -> Array:
        return noise.shifts(span, scales, seed)

    if prior_sd is None:
        solved = solve_batch(pseudo, start, shifts=shifts, workers=workers, chunk=chunk)
    else:
        solved = _with_moved_priors(pseudo, start, shifts, prior_sd, seed)
    return Draws(solved.free, int(np.sum(~solved.converged)), size)


def _pseudo_data(point: PointSolution) -> Problem:
    """Return the least-squares problem whose optimum is the robust one (Huber 1981, sec. 7.9)."""
    problem = point.problem
    if not np.isfinite(problem.delta):
        return problem
    r = problem.residuals(point.free[None])[0]
    beyond = r - np.clip(r, -problem.delta, problem.delta)
    target = inverse_transform(
        problem.transformed_target + beyond, problem.residual, problem.bounds
    )
    return replace(problem, y=np.asarray(target), delta=np.inf)


def _with_moved_priors(
    problem: Problem,
    start: Array,
    shifts: Callable[[slice], Array],
    prior_sd: Array,
    seed: int,
) -> Solutions:
    """Refit draw by draw, each with prior means of its own."""
    draws = len(start)
    names = problem.family.coefficient_names
    moves = np.stack([keyed_normals(f"prior of {n}", draws, seed) for n in names], axis=1)
    means = problem.prior_mean + np.where(np.isfinite(prior_sd), prior_sd, 0.0) * moves
    parts = []
    for j in range(draws):
        moved = replace(problem, prior_mean=means[j])
        parts.append(
            solve_batch(moved, start[j : j + 1], shifts=lambda _, j=j: shifts(slice(j, j + 1)))
        )
    return joined(parts)


def sandwich_covariance(
    point: PointSolution, clusters: NDArray[np.uint64], prior_sd: Array | None = None
) -> Array:
    """Cluster-robust covariance of the free coefficients, NaN for those at a bound.

    Bread is the Hessian of the objective. Huber's function has no second derivative beyond
    ``delta``; where ``delta`` is below 1.345 robust standard deviations its curvature is spread
    over that width, as for least absolute deviations (Powell 1991). Meat is the outer products
    of the clusters' gradients, with the factor ``G / (G - 1) * (n - 1) / (n - q)``.

    Returns
    -------
    ndarray (q, q)
    """
    problem, q = point.problem, len(point.free)
    out = np.full((q, q), np.nan)
    inside = np.flatnonzero(~at_bound(problem, point.free))
    if not len(inside):
        return out
    residuals, jac = problem.residuals_with_jacobian(point.free[None])
    r, jac = residuals[0], jac[0][inside]
    psi = problem.weights * np.clip(r, -problem.delta, problem.delta)
    bread = _bread(point, r, jac, psi, inside)
    unique, inverse = np.unique(clusters, return_inverse=True)
    grouped = np.stack([np.bincount(inverse.ravel(), s, len(unique)) for s in jac * psi])
    scale = 1.0 / np.sqrt(np.maximum(np.diag(bread), 1e-300))
    inverse_bread = np.linalg.pinv(bread * np.outer(scale, scale), rcond=1e-14, hermitian=True)
    inverse_bread = inverse_bread * np.outer(scale, scale)
    count, n = len(unique), len(r)
    factor = count / max(count - 1, 1) * (n - 1) / max(n - q, 1)
    meat = np.matmul(grouped, grouped.T)
    if prior_sd is not None:
        spread = problem.prior_precision * np.where(np.isfinite(prior_sd), prior_sd, 0.0)
        slope = np.where(problem.logs, problem.full(point.free[None])[0], 1.0)
        pulled = (problem.matrix * (spread * slope)[:, None])[:, inside]
        meat = meat + pulled.T @ pulled
    out[np.ix_(inside, inside)] = factor * inverse_bread @ meat @ inverse_bread
    return out


def _bread(
    point: PointSolution, r: Array, jac: Array, psi: Array, inside: NDArray[np.intp]
) -> Array:
    problem, free = point.problem, point.free[None]
    width = max(problem.delta, EFFICIENCY * robust_scale(r, problem.weights))
    share = 1.0 if not np.isfinite(width) else problem.delta / width if width > 0 else 1.0
    curvature = problem.weights * (np.abs(r) <= width) * share
    flat = np.matmul(jac * curvature, jac.T)
    bent = second_order_terms(problem, free, psi[None])[0][np.ix_(inside, inside)]
    prior = problem.prior_gradient(free)
    extra = 0.0 if prior is None else prior[1][0][np.ix_(inside, inside)]
    full: Array = flat + bent + extra
    scale = 1.0 / np.sqrt(np.maximum(np.diag(flat), 1e-300))
    definite = np.linalg.eigvalsh(full * np.outer(scale, scale)).min() > 1e-12
    return full if definite else np.asarray(flat + extra)


def at_bound(problem: Problem, free: Array) -> NDArray[np.bool_]:
    """Which free coefficients sit on one of their bounds, or cannot be told from it."""
    size = float(np.mean(np.abs(problem.y)))
    coefficients = [problem.family.coefficients[i] for i in problem.free]
    least = np.array([size if c.linear == "target" else 1e-8 for c in coefficients])
    margin = 1e-9 * np.maximum(np.abs(free), least)
    return np.asarray((free - problem.lower <= margin) | (problem.upper - free <= margin))
