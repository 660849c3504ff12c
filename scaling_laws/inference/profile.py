"""Profiles: how far the objective must rise to hold one coefficient elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scaling_laws.solving.batch import solve_batch
from scaling_laws.solving.objective import Array, Problem

_TOLERANCE = 1e-18
_NEAR = 0.2  # standard errors from the optimum, where the curvature is read
_STEPS = 40
_ENOUGH = 1e-4  # standard errors


@dataclass(frozen=True, eq=False)
class Profile:
    """The objective as a function of one free coefficient, the others re-optimised.

    Parameters
    ----------
    problem : Problem
    free : ndarray (q,)
        Its optimum.
    position : int
        Which free coefficient is held.
    stderr : float
        Its standard error, in the solver's coordinates.
    """

    problem: Problem
    free: Array
    position: int
    stderr: float

    def at(self, value: float, start: Array | None = None) -> tuple[float, Array]:
        """Rise of the objective with the coefficient held at ``value``, and the coefficients."""
        lower, upper = self.problem.lower.copy(), self.problem.upper.copy()
        lower[self.position] = upper[self.position] = value
        held = replace(self.problem, lower=lower, upper=upper)
        begin = (self.free if start is None else start).copy()
        begin[self.position] = value
        if not np.isfinite(self.problem.objective(begin[None])[0]):
            return np.inf, begin  # on a bound where the law has no value, such as a power of zero
        solved = solve_batch(held, begin[None], tolerance=_TOLERANCE)
        base = float(self.problem.objective(self.free[None])[0])
        return max(float(solved.objective[0]) - base, 0.0), solved.free[0]

    def curvature(self) -> float:
        """Second derivative of the profile at the optimum, from both sides."""
        step = _NEAR * self.stderr
        centre = self.free[self.position]
        return float(np.mean([2.0 * self.at(centre + s * step)[0] / step**2 for s in (-1, 1)]))

    def root(
        self, value: float, curvature: float, start: Array | None = None
    ) -> tuple[float, Array]:
        """Signed root of the rise, in standard errors: linear where the law is.

        The rise is scaled so that near the optimum it says what the standard error says: for a
        robust loss, or clustered rows, the objective's own curvature does not.
        """
        rise, free = self.at(value, start)
        size = np.sqrt(2.0 * rise / max(curvature, 1e-300)) / self.stderr
        return float(np.copysign(size, value - self.free[self.position])), free

    def end(self, sign: int, distance: float) -> float:
        """Where the signed root is ``sign * distance``; the bound where it never gets there."""
        curvature, centre = self.curvature(), float(self.free[self.position])
        bound = float((self.problem.lower if sign < 0 else self.problem.upper)[self.position])
        inner, reached, free = centre, 0.0, self.free
        step = distance * self.stderr
        for _ in range(_STEPS):  # outward until beyond
            outer = centre + sign * min(step, abs(bound - centre))
            beyond, free_beyond = self.root(outer, curvature, free)
            if abs(beyond) >= distance:
                break
            if outer == bound:
                return bound
            inner, reached, free, step = outer, abs(beyond), free_beyond, 1.7 * step
        else:
            return float(sign * np.inf)
        low, high = (inner, reached), (outer, abs(beyond))
        for i in range(_STEPS):
            share = (distance - low[1]) / (high[1] - low[1])
            share = 0.5 if i % 3 == 2 else float(np.clip(share, 0.01, 0.99))
            middle = low[0] + share * (high[0] - low[0])
            size = abs(self.root(middle, curvature, free)[0])
            low, high = ((middle, size), high) if size < distance else (low, (middle, size))
            if min(abs(size - distance), abs(high[0] - low[0]) / self.stderr) < _ENOUGH:
                return middle
        return 0.5 * (low[0] + high[0])
