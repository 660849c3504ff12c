"""Draws of coefficients, by disturbing the runs or by reweighting them, and fitting again.

With few clusters, draw ``j`` disturbs the runs by noise as large as the residuals say a run's is,
and how large that is, is itself drawn: intervals have the tails of Student's t. With many, draw
``j`` reweights the clusters (Rubin's Bayesian bootstrap), which needs no model of the noise. In
between, some draws are of the one kind and some of the other.

What happens to cluster ``c`` in draw ``j`` is a function of (seed, label of ``c``, ``j``) alone,
so draws do not depend on row order, chunking or workers, and two fits that share runs are paired
draw by draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.hashing import hash_labels, hash_rows, mix_bits
from scaling_laws.inference.noise import lack_of_fit
from scaling_laws.inference.trend import NoiseTrend, noise_trend
from scaling_laws.inference.variance import Components, components, leverage
from scaling_laws.solving.batch import second_order_terms, solve_batch
from scaling_laws.solving.objective import (
    EFFICIENCY,
    Array,
    Problem,
    inverse_transform,
    robust_scale,
)
from scaling_laws.solving.point import PointSolution

_UNIT = 2.0**-53
_FEW = 8  # clusters per coefficient: reweighting starts here, and is alone at twice this
_LACK_OF_FIT = 0.01  # p-value below which replicates' configurations are given misfit of their own
_NORMAL_ROWS = 20.0  # degrees of freedom that theory counts for in the robust loss's efficiency


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
    disturbance : Disturbance
        The noise that they were drawn from.
    """

    free: Array
    failed: int
    noise: Array
    disturbance: Disturbance

    @property
    def run_noise(self) -> float:
        """Typical standard deviation of a run on the residual scale."""
        return self.disturbance.run

    @property
    def trend(self) -> NoiseTrend | None:
        """How that changes with compute or loss, where the data show it."""
        return self.disturbance.trend


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
    return _uniforms(labels, np.arange(first, last), seed)


def _uniforms(labels: NDArray[np.uint64], draws: NDArray[Any], seed: int) -> Array:
    """Uniform numbers of the draws with these numbers."""
    key = mix_bits(labels ^ mix_bits(np.array([seed], dtype=np.int64).view(np.uint64)))
    draw = mix_bits(draws.astype(np.uint64))
    bits = mix_bits(key[None, :] ^ draw[:, None])
    return (np.asarray(bits >> np.uint64(11), dtype=float) + 0.5) * _UNIT


def keyed_normals(label: str, draws: int, seed: int) -> Array:
    """Return standard normal numbers ``(draws,)`` for a named use, a function of the draw alone."""
    from scipy.special import ndtri

    return np.asarray(ndtri(keyed_ranks(label, draws, seed)))


def keyed_ranks(label: str, draws: int, seed: int) -> Array:
    """Return uniform numbers ``(draws,)`` for a named use, a function of the draw alone."""
    return keyed_uniforms(hash_labels([label]), 0, draws, seed)[:, 0]


def cluster_weights(labels: NDArray[np.uint64], first: int, last: int, seed: int) -> Array:
    """Return exponential cluster weights of mean one (Rubin's Bayesian bootstrap), per row.

    Rows of one cluster share their weight.

    References
    ----------
    Rubin (1981), Annals of Statistics 9, 130.
    """
    return _weights(labels, np.arange(first, last), seed)


def _weights(labels: NDArray[np.uint64], draws: NDArray[Any], seed: int) -> Array:
    unique, inverse = np.unique(labels, return_inverse=True)
    weights = -np.log(_uniforms(unique, draws, seed))
    weights /= weights.mean(axis=1, keepdims=True)
    return np.asarray(weights[:, inverse.ravel()])


def draw_coefficients(
    point: PointSolution,
    clusters: NDArray[np.uint64],
    draws: int,
    seed: int,
    *,
    rows: NDArray[np.uint64] | None = None,
    workers: int = 1,
    chunk: int | None = None,
    prior_sd: Array | None = None,
) -> Draws:
    """Draw what the coefficients may be, and how large the noise of a run.

    Parameters
    ----------
    point : PointSolution
    clusters : ndarray of uint64 (n,)
        Rows of one cluster share a disturbance, or a weight.
    draws, seed : int
    rows : ndarray of uint64 (n,), optional
        Labels of the rows; default from their numbers.
    workers : int
    chunk : int, optional
        Draws solved together; no effect on the result.
    prior_sd : ndarray (p,), optional
        Standard deviations of the priors: each draw moves their means by so much at random, so
        that what only a prior tells keeps the prior's spread (randomised maximum a posteriori;
        Bardsley et al. 2014).

    Returns
    -------
    Draws
    """
    noise = disturbance(point, clusters, rows)
    shared, single = noise.components.draw(
        np.stack([keyed_ranks(n, draws, seed) for n in ("size of noise", "ratio of noise")], axis=1)
    )
    start = np.repeat(point.free[None], draws, axis=0)
    size = single if noise.misfit else np.hypot(shared, single)
    if len(point.free) == 0 or draws == 0:
        return Draws(start, 0, size, noise)
    reweighted = keyed_ranks("kind of draw", draws, seed) < noise.reweighted
    free, failed = start.copy(), 0
    for kind in (False, True):
        chosen = np.flatnonzero(reweighted == kind)
        if not len(chosen):
            continue
        weights = shifts = None
        if kind:
            problem, weights = point.problem, _reweighting(point.problem, noise, chosen, seed)
        else:
            problem = pseudo_problem(point.problem, point.free)
            shifts = _disturbing(noise, chosen, shared, single, seed)
        means = None if prior_sd is None else _moved_means(problem, prior_sd, chosen, draws, seed)
        solved = solve_batch(
            problem,
            start[chosen],
            weights,
            shifts=shifts,
            prior_means=means,
            workers=workers,
            chunk=chunk,
        )
        failed += int(np.sum(~solved.converged))
        free[chosen] = solved.free
        if kind:
            widened = point.free + (solved.free - point.free) * noise.widening(chosen, draws, seed)
            free[chosen] = np.clip(widened, problem.lower, problem.upper)
    return Draws(free, failed, size, noise)


def _moved_means(
    problem: Problem, prior_sd: Array, chosen: NDArray[Any], draws: int, seed: int
) -> Array:
    """Means of the priors in each draw."""
    names = problem.family.coefficient_names
    moves = np.stack([keyed_normals(f"prior of {n}", draws, seed) for n in names], axis=1)
    return np.asarray(
        problem.prior_mean + np.where(np.isfinite(prior_sd), prior_sd, 0.0) * moves[chosen]
    )


def _reweighting(
    problem: Problem, noise: Disturbance, chosen: NDArray[Any], seed: int
) -> Callable[[slice], Array]:
    """Weights of the clusters in the chosen draws, of a span at a time."""

    def weights(span: slice) -> Array:
        return problem.weights * _weights(noise.clusters, chosen[span], seed)

    return weights


def _disturbing(
    noise: Disturbance, chosen: NDArray[Any], shared: Array, single: Array, seed: int
) -> Callable[[slice], Array]:
    """Disturbances of the rows in the chosen draws, of a span at a time."""

    def shifts(span: slice) -> Array:
        j = chosen[span]
        return noise.shifts(j, shared[j], single[j], seed)

    return shifts


@dataclass(frozen=True, eq=False)
class Disturbance:
    """How draws differ from the data: the noise of the runs, and which kind of draw to trust.

    Parameters
    ----------
    components : Components
        Noise shared by the rows of a cluster, and of single rows.
    misfit : bool
        Whether what rows share is misfit of their configuration, no noise of a run.
    trend : NoiseTrend or None
    factor : ndarray (n,)
        Noise of each row over typical noise.
    inefficiency : float
        Variance of the robust estimate over that of least squares.
    reweighted : float
        Share of the draws that reweight clusters; the others disturb runs.
    dof : float
        Clusters less coefficients.
    clusters, rows : ndarray of uint64 (n,)
        Labels of what shares a disturbance or a weight, and of the rows.
    """

    components: Components
    misfit: bool
    trend: NoiseTrend | None
    factor: Array
    inefficiency: float
    reweighted: float
    dof: float
    clusters: NDArray[np.uint64]
    rows: NDArray[np.uint64]

    @property
    def run(self) -> float:
        """Standard deviation of a run."""
        shared, single = self.components.estimate
        return single if self.misfit else float(np.hypot(shared, single))

    def shifts(self, draws: NDArray[Any], shared: Array, single: Array, seed: int) -> Array:
        """Disturbances ``(draws, n)`` with standard deviations ``shared`` and ``single``."""
        unique, inverse = np.unique(self.clusters, return_inverse=True)
        factor = np.sqrt(self.inefficiency)
        of_cluster = _normals(unique, draws, seed)
        if len(unique) == len(self.clusters):
            of_cluster *= (factor * single)[:, None]
            out = of_cluster[:, inverse.ravel()]
        else:
            of_cluster *= (factor * shared)[:, None]
            out = _normals(self.rows, draws, seed)
            out *= (factor * single)[:, None]
            out += of_cluster[:, inverse.ravel()]
        return out if self.trend is None else out * self.factor

    def widening(self, chosen: NDArray[Any], draws: int, seed: int) -> Array:
        """Factors ``(draws, 1)`` of the deviations of reweighted draws.

        The coefficients spent, and the tails of Student's t.
        """
        from scipy.special import gammaincinv

        ranks = keyed_ranks("size of noise", draws, seed)[chosen]
        square = 2.0 * gammaincinv(0.5 * self.dof, 1.0 - ranks)
        count = len(np.unique(self.clusters))
        return np.asarray(np.sqrt(count / self.dof * (self.dof / square)))[:, None]


def _normals(labels: NDArray[np.uint64], draws: NDArray[Any], seed: int) -> Array:
    from scipy.special import ndtri

    return np.asarray(ndtri(_uniforms(labels, draws, seed)))


def disturbance(
    point: PointSolution, clusters: NDArray[np.uint64], rows: NDArray[np.uint64] | None = None
) -> Disturbance:
    """Return the noise around a solved point.

    Parameters
    ----------
    point : PointSolution
    clusters, rows : ndarray of uint64 (n,)
        As `draw_coefficients`.
    """
    problem, q = point.problem, len(point.free)
    residuals, jacobian = point.linearised
    root = np.sqrt(problem.weights)
    inside = np.flatnonzero(~at_bound(problem, point.free))
    r, jac = residuals, jacobian[inside]
    rows = hash_rows([*problem.x, problem.y]) if rows is None else rows
    groups, trend, misfit = clusters, None, False
    if len(np.unique(clusters)) == len(clusters):
        misfit = _misfits(r, problem, q)
        groups, rows = (hash_rows(problem.x), clusters) if misfit else (clusters, rows)
        values = problem.full(point.free[None])[0].tolist()
        trend = noise_trend(_free_squares(root * r, root * jac), problem.family, values, problem.x)
    factor = np.ones(len(r))
    if trend is not None:
        factor = trend.factor(problem.family, values, problem.x)
    scaled = root / factor
    prior = _prior_rows(point, inside)
    found = components(scaled * r, (scaled * jac).T, groups, prior, problem.weights)
    count = len(np.unique(groups))
    return Disturbance(
        components=found,
        misfit=misfit,
        trend=trend,
        factor=factor,
        inefficiency=_inefficiency(r / factor, problem, found),
        reweighted=reweighted_share(count, q),
        dof=float(max(count - q, 1)),
        clusters=groups,
        rows=rows,
    )


def reweighted_share(clusters: int, coefficients: int) -> float:
    """Share of the draws that reweight clusters: 0 up to eight a coefficient, 1 from sixteen.

    Examples
    --------
    >>> [reweighted_share(n, 5) for n in (9, 40, 60, 240)]
    [0.0, 0.0, 0.5, 1.0]
    """
    enough = _FEW * max(coefficients, 1)
    return float(np.clip((clusters - enough) / enough, 0.0, 1.0))


def _misfits(r: Array, problem: Problem, coefficients: int) -> bool:
    """Whether configurations miss the curve by more than their replicates differ."""
    found = lack_of_fit(r, problem.weights, hash_rows(problem.x), coefficients)
    return found is not None and found.p_value < _LACK_OF_FIT


def _free_squares(residuals: Array, jacobian: Array) -> Array:
    """Squared residuals over the share of noise that the fit leaves in each."""
    taken = leverage(jacobian.T)
    return np.asarray(residuals**2 / np.maximum(1.0 - taken, 0.05))


def _prior_rows(point: PointSolution, inside: NDArray[np.intp]) -> Array | None:
    """Derivatives of the priors' residuals ``(p, q)``; None without priors."""
    problem = point.problem
    if not problem.prior_precision.any():
        return None
    slope = np.where(problem.logs, problem.full(point.free[None])[0], 1.0)
    strength = np.sqrt(problem.prior_precision) * slope
    return np.asarray((strength[:, None] * problem.matrix)[:, inside])


def _inefficiency(r: Array, problem: Problem, found: Components) -> float:
    """Variance of the robust estimate over that of least squares, from residuals and theory.

    The residuals' own ratio, with Huber's correction for few rows (1981, sec. 7.6), counts by
    their degrees of freedom, that of normal noise by twenty.
    """
    from scipy.special import ndtr

    delta, w, dof = problem.delta, problem.weights, max(found.dof, 1.0)
    spread = np.sqrt(found.total / dof)
    if not np.isfinite(delta) or spread <= 0:
        return 1.0
    c = max(delta / spread, 1e-3)  # below, the sum cancels; the limit is that of the median, pi / 2
    inner, density = 2 * ndtr(c) - 1, np.exp(-0.5 * c * c) / np.sqrt(2 * np.pi)
    normal = (inner - 2 * c * density + 2 * c * c * (1 - ndtr(c))) / inner**2
    width = max(delta, EFFICIENCY * robust_scale(r, w))
    inside = max(float(np.sum(w * (np.abs(r) <= width)) / np.sum(w)), 1e-3)
    slope = inside * delta / width
    few = 1.0 + len(problem.free) / len(r) * (1.0 - inside) / inside
    seen = float(np.sum(w * np.clip(r, -delta, delta) ** 2)) * (few / slope) ** 2 / found.total
    return float((_NORMAL_ROWS * normal + dof * seen) / (_NORMAL_ROWS + dof))


def pseudo_problem(problem: Problem, free: Array) -> Problem:
    """Return the least-squares problem whose optimum is the robust one.

    Its targets leave residuals cut at Huber's turning point (Huber 1981, sec. 7.8).
    """
    if not np.isfinite(problem.delta):
        return problem
    r = problem.residuals(free[None])[0]
    beyond = r - np.clip(r, -problem.delta, problem.delta)
    target = inverse_transform(
        problem.transformed_target + beyond, problem.residual, problem.bounds
    )
    return replace(problem, y=np.asarray(target), delta=np.inf)


def coefficient_covariance(
    point: PointSolution, noise: Disturbance, prior_sd: Array | None = None
) -> Array:
    """Covariance of the free coefficients that goes with the draws, NaN for those at a bound.

    Of the noise's components where clusters are few, cluster-robust where they are many, and in
    between a mean of the two with the draws' own shares.

    Returns
    -------
    ndarray (q, q)
    """
    problem, q = point.problem, len(point.free)
    robust: Array | float = 0.0
    if noise.reweighted > 0.0:
        robust = sandwich_covariance(point, noise.clusters, prior_sd)
    if noise.reweighted >= 1.0:
        return np.asarray(robust)
    inside = np.flatnonzero(~at_bound(problem, point.free))
    out = np.full((q, q), np.nan)
    if not len(inside):
        return out
    jac = point.linearised[1][inside]
    _, group = np.unique(noise.clusters, return_inverse=True)
    scores = jac * problem.weights * noise.factor
    grouped = np.stack([np.bincount(group.ravel(), s) for s in scores])
    shared, single = noise.components.estimate
    meat = single**2 * scores @ scores.T + shared**2 * grouped @ grouped.T
    prior = _prior_rows(point, inside)
    bread = (jac * problem.weights) @ jac.T + (0.0 if prior is None else prior.T @ prior)
    inverse = _inverse(bread)
    meat = noise.inefficiency * meat + _prior_meat(point, inside, prior_sd)
    out[np.ix_(inside, inside)] = inverse @ meat @ inverse
    return noise.reweighted * robust + (1.0 - noise.reweighted) * out


def _inverse(matrix: Array) -> Array:
    """Pseudo-inverse of a symmetric matrix, columns brought to one scale first; NaN for NaN."""
    if not np.isfinite(matrix).all():
        return np.full_like(matrix, np.nan)
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    inverse = np.linalg.pinv(matrix * np.outer(scale, scale), rcond=1e-14, hermitian=True)
    return np.asarray(inverse * np.outer(scale, scale))


def _prior_meat(
    point: PointSolution, inside: NDArray[np.intp], prior_sd: Array | None
) -> Array | float:
    """Variance of the gradient that moving the priors' means causes."""
    if prior_sd is None:
        return 0.0
    problem = point.problem
    spread = problem.prior_precision * np.where(np.isfinite(prior_sd), prior_sd, 0.0)
    slope = np.where(problem.logs, problem.full(point.free[None])[0], 1.0)
    pulled = (problem.matrix * (spread * slope)[:, None])[:, inside]
    return np.asarray(pulled.T @ pulled)


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
    r, jac = point.linearised[0], point.linearised[1][inside]
    psi = problem.weights * np.clip(r, -problem.delta, problem.delta)
    bread = _bread(point, r, jac, psi, inside)
    unique, inverse = np.unique(clusters, return_inverse=True)
    grouped = np.stack([np.bincount(inverse.ravel(), s, len(unique)) for s in jac * psi])
    inverse_bread = _inverse(bread)
    count, n = len(unique), len(r)
    factor = count / max(count - 1, 1) * (n - 1) / max(n - q, 1)
    meat = np.matmul(grouped, grouped.T) + _prior_meat(point, inside, prior_sd)
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
    scaled = full * np.outer(scale, scale)
    definite = np.isfinite(scaled).all() and np.linalg.eigvalsh(scaled).min() > 1e-12
    return full if definite else np.asarray(flat + extra)


def at_bound(problem: Problem, free: Array) -> NDArray[np.bool_]:
    """Which free coefficients sit on one of their bounds, or cannot be told from it."""
    size = float(np.mean(np.abs(problem.y)))
    coefficients = [problem.family.coefficients[i] for i in problem.free]
    least = np.array([size if c.linear == "target" else 1e-8 for c in coefficients])
    margin = 1e-9 * np.maximum(np.abs(free), least)
    return np.asarray((free - problem.lower <= margin) | (problem.upper - free <= margin))
