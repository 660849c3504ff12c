"""Many weightings of the same data solved at once: damped Gauss-Newton with robust weights.

Steps bend with the model's own curvature (geodesic acceleration, Transtrum and Sethna 2012,
arXiv:1201.5885), so that they follow the narrow curved valleys of scaling laws. Every draw is
solved by operations that do not depend on its neighbours, so results are the same bits for any
number of workers and any chunk size.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_laws.laws.tied import Tied
from scaling_laws.solving.objective import Array, Problem
from scaling_laws.solving.parts import group_parts

_ELEMENTS_PER_CHUNK = 24_000  # rows x draws that stay in cache
_MAX_ITERATIONS = 200
_SAME = 1e-9
_NEGLIGIBLE = 1e-13  # share of the objective that its rounding hides
_STRAIGHT_ITERATIONS = 6  # then steps bend
_GAUSS_NEWTON_ITERATIONS = 12  # then true second derivatives, for flat valleys
_WINDOW, _STALLED = 20, 1e-11  # over so many iterations less than so much lower: a flat valley
_SLIGHTEST = 1e-4  # squared length of a bend, of the step's: below, steps are straight
_FIRST_DAMPING, _LEAST_DAMPING = 1e-3, 1e-12  # Marquardt's, of the scaled Hessian
_AHEAD = 0.1  # share of a step over which its bend is measured


@dataclass(frozen=True)
class Solutions:
    """Solved draws.

    Parameters
    ----------
    free : ndarray (k, q)
        Free coefficients.
    objective : ndarray (k,)
    converged : ndarray of bool (k,)
    """

    free: Array
    objective: Array
    converged: NDArray[np.bool_]

    def only(self, which: NDArray[np.intp] | int) -> Solutions:
        """Some of the draws; an integer gives a batch of one."""
        rows = np.atleast_1d(which)
        return Solutions(self.free[rows], self.objective[rows], self.converged[rows])


def solve_batch(
    problem: Problem,
    start: Array,
    weights: Array | Callable[[slice], Array] | None = None,
    *,
    delta: Array | None = None,
    shifts: Callable[[slice], Array] | None = None,
    prior_means: Array | None = None,
    tolerance: float = 1e-6,
    iterations: int = _MAX_ITERATIONS,
    newton_after: int | None = _GAUSS_NEWTON_ITERATIONS,
    workers: int = 1,
    chunk: int | None = None,
) -> Solutions:
    """Minimise the objective for every row of ``start``.

    Parameters
    ----------
    problem : Problem
    start : ndarray (k, q)
        Starting points with a finite objective.
    weights : ndarray (k, n), or callable slice -> ndarray, optional
        Row weights of each draw; a callable makes them a chunk at a time, which keeps memory
        flat. Default: the problem's own weights for all.
    delta : ndarray (k,), optional
        Huber's turning point of each draw. Default: the problem's own for all.
    shifts : callable slice -> ndarray, optional
        Added to the residuals of each draw, so that draws may differ in their targets.
    prior_means : ndarray (k, p), optional
        Means of the priors in each draw. Default: the problem's own for all.
    tolerance : float
        Stop when the predicted change is below this share of a standard error (squared).
    iterations : int
        Most steps of a draw.
    newton_after : int, optional
        Iterations after which true second derivatives are taken, which cost as much as all else
        together but converge at once near an optimum. None: never.
    workers : int
        Threads.
    chunk : int, optional
        Draws solved together.

    Returns
    -------
    Solutions
    """
    k, n = len(start), len(problem.y)
    size = chunk or int(np.clip(_ELEMENTS_PER_CHUNK // max(n, 1), 1, 256))
    spans = [slice(i, min(i + size, k)) for i in range(0, k, size)]

    def run(span: slice) -> Solutions:
        if callable(weights):
            w = weights(span)
        elif weights is None:
            w = np.broadcast_to(problem.weights, (span.stop - span.start, n))
        else:
            w = weights[span]
        turning = problem.delta if delta is None else delta[span, None]
        moved = None if shifts is None else shifts(span)
        means = None if prior_means is None else prior_means[span]
        return _Chunk(problem, start[span], w, turning, tolerance, moved, means).solve(
            iterations, iterations if newton_after is None else newton_after
        )

    if workers > 1 and len(spans) > 1:
        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(run, spans))
    else:
        parts = [run(span) for span in spans]
    return Solutions(
        np.concatenate([p.free for p in parts]),
        np.concatenate([p.objective for p in parts]),
        np.concatenate([p.converged for p in parts]),
    )


class _Chunk:
    """Iteration state of the draws of one chunk that have not converged yet.

    ``mix`` blends the Hessian of Huber's function (0) with its majorant (1, iteratively
    reweighted least squares, always safe); ``damping`` is Marquardt's.
    """

    def __init__(
        self,
        problem: Problem,
        start: Array,
        weights: Array,
        delta: float | Array,
        tolerance: float,
        shifts: Array | None = None,
        prior_means: Array | None = None,
    ) -> None:
        self.problem = problem
        self.delta = delta
        self.tolerance = tolerance
        self.free = np.clip(start, problem.lower, problem.upper)
        self.done_objective = np.full(len(start), np.inf)
        self.converged = np.zeros(len(start), dtype=bool)
        self.alive = np.arange(len(start))
        self.weights = weights
        self.shifts = shifts
        self.prior_means = prior_means
        self.robust = bool(np.isfinite(delta).any())
        self.mix = np.full(len(start), 0.1 if self.robust else 0.0)
        self.damping = np.zeros(len(start))
        self.residuals, self.jacobian = self._evaluate(self.free)
        self.objective = self._value(self.residuals, self.free)
        self.phi = self.free.copy()
        self.earlier = np.full(len(start), np.inf)

    def _evaluate(self, free: Array) -> tuple[Array, Array]:
        residuals, jacobian = self.problem.residuals_with_jacobian(free)
        return residuals if self.shifts is None else residuals + self.shifts, jacobian

    def _value(self, residuals: Array, free: Array) -> Array:
        return self.problem.objective_of(
            residuals, free, self.weights, self.delta, self.prior_means
        )

    def solve(self, iterations: int, first_order: int) -> Solutions:
        with np.errstate(all="ignore"):  # what is not finite takes no step
            for iteration in range(iterations):
                if iteration % _WINDOW == 0:
                    self._leave_stalled()
                if not len(self.alive):
                    break
                self._iterate(iteration >= _STRAIGHT_ITERATIONS, iteration >= first_order)
        self.free[self.alive] = self.phi
        self.done_objective[self.alive] = self.objective
        return Solutions(self.free, self.done_objective, self.converged)

    def _leave_stalled(self) -> None:
        stalled = self.objective > (1.0 - _STALLED) * self.earlier
        self.earlier = self.objective.copy()
        if stalled.any():
            self.converged[self.alive[stalled]] = True
            self._leave(stalled)

    def _iterate(self, bending: bool, second_order: bool) -> None:
        gradient, hessian, curvature, weighted_psi = self._derivatives()
        held = self._hold_at_bounds(gradient, hessian)
        step, decrement = self._step(gradient, hessian, held)
        if second_order:
            full = hessian + second_order_terms(self.problem, self.phi, weighted_psi)
            newton, newton_decrement = self._step(gradient, full, held)
            sound = newton_decrement > 0
            step = np.where(sound[:, None], newton, step)
            decrement = np.where(sound, newton_decrement, decrement)
        if bending:
            step = self._bent(step, hessian, curvature, held)
        trial = np.clip(self.phi + step, self.problem.lower, self.problem.upper)
        residuals, jacobian = self._evaluate(trial)
        objective = self._value(residuals, trial)
        scale = self.objective / max(len(self.problem.y), 1)
        undamped = decrement * (1.0 + self.damping)  # what a full step would promise, at least
        small = undamped <= self.tolerance * scale
        flat = undamped <= _NEGLIGIBLE * self.objective
        better = (objective < self.objective) | (flat & (objective <= self.objective * (1 + 1e-12)))
        better &= np.isfinite(objective)
        self._take(better, trial, residuals, jacobian, objective)
        self._adapt(better)
        exact = self.objective <= 1e-28 * (1.0 + np.sum(self.weights, axis=-1))
        settled = (better & small) | (~better & flat) | exact
        finished = settled | (~better & (self.damping > 1e12))
        self.converged[self.alive[settled]] = True
        if finished.any():
            self._leave(finished)

    def _bent(
        self, step: Array, hessian: Array, curvature: Array, held: NDArray[np.bool_]
    ) -> Array:
        """The step with half its geodesic acceleration where that leads lower."""
        problem = self.problem
        ends = np.clip(self.phi + step, problem.lower, problem.upper)
        step = ends - self.phi
        ahead = (self._residuals(self.phi + _AHEAD * step) - self.residuals) / _AHEAD
        bend = 2.0 / _AHEAD * (ahead - np.einsum("kqn,kq->kn", self.jacobian, step))
        pull = np.matmul(self.jacobian, (curvature * bend)[:, :, None])[:, :, 0]
        turn, _ = self._step(pull, hessian, held)
        unit = np.abs(np.einsum("kqq->kq", hessian))
        size, bend_size = (np.einsum("kq,kq->k", unit * move, move) for move in (step, turn))
        slight = (bend_size <= size) & (bend_size > _SLIGHTEST * size)  # a series that converges
        if not slight.any():
            return step
        bent = np.clip(ends + 0.5 * turn, problem.lower, problem.upper)
        straight_value, bent_value = (
            self._value(self._residuals(free), free) for free in (ends, bent)
        )
        lower = slight & (bent_value < straight_value)
        return np.where(lower[:, None], bent - self.phi, step)

    def _residuals(self, free: Array) -> Array:
        residuals = self.problem.residuals(free)
        return residuals if self.shifts is None else residuals + self.shifts

    def _derivatives(self) -> tuple[Array, Array, Array, Array]:
        delta, r, jac, w = self.delta, self.residuals, self.jacobian, self.weights
        if self.robust:
            size = np.abs(r)
            psi = np.clip(r, -delta, delta)
            majorant = np.where(size > delta, delta / np.maximum(size, delta), 1.0)
            mix = self.mix[:, None]
            curvature = w * ((1.0 - mix) * (size <= delta) + mix * majorant)
        else:
            psi, curvature = r, w
        gradient = np.matmul(jac, (w * psi)[:, :, None])[:, :, 0]
        hessian = np.matmul(jac * curvature[:, None, :], jac.transpose(0, 2, 1))
        prior = self.problem.prior_gradient(self.phi, self.prior_means)
        if prior is not None:
            gradient, hessian = gradient + prior[0], hessian + prior[1]
        return gradient, hessian, curvature, w * psi

    def _step(
        self, gradient: Array, hessian: Array, held: NDArray[np.bool_]
    ) -> tuple[Array, Array]:
        """Damped Newton step of what is not held at a bound, and the decrease it predicts."""
        q = gradient.shape[1]
        diagonal = np.maximum(np.abs(np.einsum("kqq->kq", hessian)), 1e-300)
        unit = 1.0 / np.sqrt(diagonal)
        scaled = hessian * unit[:, :, None] * unit[:, None, :]
        right = gradient * unit
        np.einsum("kqq->kq", scaled)[:] += (self.damping + 1e-15)[:, None]
        if held.any():
            right[held] = 0.0
            scaled[held[:, :, None] | held[:, None, :]] = 0.0
            np.einsum("kqq->kq", scaled)[:] += held
        finite = np.isfinite(scaled).all(axis=(1, 2)) & np.isfinite(right).all(axis=1)
        if not finite.all():
            scaled[~finite], right[~finite] = np.eye(q), 0.0
        solution = _solve_symmetric(scaled, right)
        decrement = np.einsum("kq,kq->k", solution, right)
        return -solution * unit, decrement

    def _hold_at_bounds(self, gradient: Array, hessian: Array) -> NDArray[np.bool_]:
        """Put on its bound, and hold, what is pushed there over a negligible distance."""
        bound = np.where(gradient > 0, self.problem.lower, self.problem.upper)
        gap = np.abs(self.phi - bound)
        cost = gap * (np.abs(gradient) + gap * np.abs(np.einsum("kqq->kq", hessian)))
        reached = (gap == 0) | (cost <= _NEGLIGIBLE * self.objective[:, None])
        held: NDArray[np.bool_] = reached & ((gradient > 0) | (gradient < 0))
        if not held.any():
            return held
        moved = np.where(held, bound, self.phi)
        if (moved != self.phi).any():  # far from a bound, a flat spot is no reason to jump there
            residuals = self._evaluate(moved)[0]
            found = self._value(residuals, moved)
            most = self.objective * (1.0 + _SAME) + 1e-28 * np.sum(self.weights, axis=-1)
            worse = ~(found <= most)
            held[worse] &= (moved == self.phi)[worse]
            moved[worse] = self.phi[worse]
        self.phi = moved
        return held

    def _take(
        self,
        better: NDArray[np.bool_],
        trial: Array,
        residuals: Array,
        jacobian: Array,
        objective: Array,
    ) -> None:
        if better.all():
            self.phi, self.residuals, self.jacobian = trial, residuals, jacobian
            self.objective = objective
            return
        self.phi[better] = trial[better]
        self.residuals[better] = residuals[better]
        self.jacobian[better] = jacobian[better]
        self.objective[better] = objective[better]

    def _adapt(self, better: NDArray[np.bool_]) -> None:
        mixed = self.mix < 1.0 if self.robust else np.zeros(len(self.mix), dtype=bool)
        more_mix = np.minimum(1.0, np.maximum(self.mix, 1e-2) * 10.0)
        more_damping = np.where(self.damping > 0, self.damping * 10.0, _FIRST_DAMPING)
        self.damping = np.where(
            better,
            np.where(self.damping > _LEAST_DAMPING, self.damping * 0.2, 0.0),
            np.where(mixed, self.damping, more_damping),
        )
        if self.robust:
            floor = 1e-4
            eased = np.maximum(self.mix * 0.2, floor)
            self.mix = np.where(better, eased, np.where(mixed, more_mix, self.mix))

    def _leave(self, finished: NDArray[np.bool_]) -> None:
        gone = self.alive[finished]
        self.free[gone] = self.phi[finished]
        self.done_objective[gone] = self.objective[finished]
        keep = ~finished
        self.alive = self.alive[keep]
        self.weights = self.weights[keep]
        if isinstance(self.delta, np.ndarray):
            self.delta = self.delta[keep]
        self.shifts = None if self.shifts is None else self.shifts[keep]
        self.prior_means = None if self.prior_means is None else self.prior_means[keep]
        for name in ("phi", "residuals", "jacobian", "objective", "earlier", "mix", "damping"):
            setattr(self, name, getattr(self, name)[keep])


def second_order_terms(problem: Problem, free: Array, weighted_psi: Array) -> Array:
    """Sum over rows of ``weighted_psi`` times the residuals' second derivatives ``(k, q, q)``.

    Central differences of the Jacobian; what Gauss-Newton leaves out of the Hessian.
    """
    k, q = free.shape
    if isinstance(problem.family.function, Tied):
        return _over_groups(problem, free, weighted_psi)
    out = np.empty((k, q, q))
    together = max(1, _ELEMENTS_PER_CHUNK // weighted_psi.size)  # coefficients
    for first in range(0, q, together):
        places = np.arange(first, min(first + together, q))
        h = 1e-5 * np.maximum(np.abs(free[:, places]), 1e-4).T
        shifted = np.repeat(free[None], 2 * len(places), axis=0).reshape(2, len(places), k, q)
        shifted[0, np.arange(len(places)), :, places] += h
        shifted[1, np.arange(len(places)), :, places] -= h
        _, jacobian = problem.residuals_with_jacobian(shifted.reshape(-1, q))
        above, below = jacobian.reshape(2, len(places), k, q, -1)
        change = (above - below) / (2 * h)[:, :, None, None]
        out[:, places, :] = np.matmul(change, weighted_psi[:, :, None])[..., 0].transpose(1, 0, 2)
    out = 0.5 * (out + out.transpose(0, 2, 1))
    out[~np.isfinite(out).all(axis=(1, 2))] = 0.0
    return out


def _over_groups(problem: Problem, free: Array, weighted_psi: Array) -> Array:
    """Second-order terms of a law over groups, a group at a time: rows of one know no other's."""
    out = np.zeros((len(free), *free.shape[1:] * 2))
    for part in group_parts(problem):
        inner = second_order_terms(part.problem, free[:, part.places], weighted_psi[:, part.rows])
        out[:, part.places[:, None], part.places] += inner
    return out


def _solve_symmetric(matrices: Array, right: Array) -> Array:
    try:
        solved = np.linalg.solve(matrices, right[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:  # one at a time, so that a singular draw leaves its neighbours be
        solved = np.array([_solve_one(m, v) for m, v in zip(matrices, right, strict=True)])
    return np.asarray(solved, dtype=float)


def _solve_one(matrix: Array, vector: Array) -> Array:
    try:
        solved = np.linalg.solve(matrix[None], vector[None, :, None])[0, :, 0]
    except np.linalg.LinAlgError:
        solved = np.linalg.lstsq(matrix, vector, rcond=None)[0]
    return np.asarray(solved, dtype=float)
