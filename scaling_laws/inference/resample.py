"""Draws of coefficients: a cluster bootstrap whose weights depend on labels, not on order.

The weight of cluster ``c`` in draw ``j`` is a function of (seed, label of ``c``, ``j``) alone, so
draws do not depend on row order, chunking or workers, and two fits that share runs are paired
draw by draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.runs import hash_labels, mix_bits
from scaling_laws.solving.batch import Solutions, joined, second_order_terms, solve_batch
from scaling_laws.solving.objective import EFFICIENCY, Array, Problem, robust_scale
from scaling_laws.solving.point import PointSolution

_UNIT = 2.0**-53


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws of the free coefficients.

    Parameters
    ----------
    free : ndarray (k, q)
    failed : int
        Draws whose refit did not converge (their last iterate is kept).
    """

    free: Array
    failed: int


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


def cluster_weights(labels: NDArray[np.uint64], first: int, last: int, seed: int) -> Array:
    """Return exponential cluster weights of mean one (Rubin's Bayesian bootstrap), per row.

    Rows of one cluster share their weight.

    References
    ----------
    Rubin (1981), Annals of Statistics 9, 130.
    """
    unique, inverse = np.unique(labels, return_inverse=True)
    weights = -np.log(keyed_uniforms(unique, first, last, seed))
    weights /= weights.mean(axis=1, keepdims=True)
    return np.asarray(weights[:, inverse.ravel()])


def draw_coefficients(
    point: PointSolution,
    clusters: NDArray[np.uint64],
    draws: int,
    seed: int,
    *,
    workers: int = 1,
    chunk: int | None = None,
    prior_sd: Array | None = None,
) -> Draws:
    """Refit to reweighted clusters, ``draws`` times.

    Deviations from the point are widened by ``sqrt(n / (n - q))`` for the coefficients spent.

    Parameters
    ----------
    point : PointSolution
    clusters : ndarray of uint64 (n,)
    draws, seed, workers : int
    chunk : int, optional
        Draws solved together; no effect on the result.
    prior_sd : ndarray (p,), optional
        Standard deviations of the priors: each draw moves their means by so much at random, so
        that what only a prior tells keeps the prior's spread (randomised maximum a posteriori;
        Bardsley et al. 2014).
    """
    problem, q = point.problem, len(point.free)
    start = np.repeat(point.free[None], draws, axis=0)
    if q == 0 or draws == 0:
        return Draws(start, 0)

    def weights(span: slice) -> Array:
        return problem.weights * cluster_weights(clusters, span.start, span.stop, seed)

    if prior_sd is None:
        solved = solve_batch(problem, start, weights, workers=workers, chunk=chunk)
    else:
        solved = _with_moved_priors(point, start, weights, prior_sd, seed)
    count = len(np.unique(clusters))
    widened = point.free + (solved.free - point.free) * np.sqrt(count / max(count - q, 1))
    free = np.clip(widened, problem.lower, problem.upper)
    return Draws(free, int(np.sum(~solved.converged)))


def _with_moved_priors(
    point: PointSolution,
    start: Array,
    weights: Callable[[slice], Array],
    prior_sd: Array,
    seed: int,
) -> Solutions:
    """Refit draw by draw, each with prior means of its own."""
    problem, draws = point.problem, len(start)
    names = problem.family.coefficient_names
    moves = np.stack([keyed_normals(f"prior of {n}", draws, seed) for n in names], axis=1)
    means = problem.prior_mean + np.where(np.isfinite(prior_sd), prior_sd, 0.0) * moves
    parts = [
        solve_batch(
            replace(problem, prior_mean=means[j]), start[j : j + 1], weights(slice(j, j + 1))
        )
        for j in range(draws)
    ]
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
