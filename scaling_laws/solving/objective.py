"""The one definition of what a fit minimises.

For rows ``i`` with weight ``w_i``, target ``y_i`` and prediction ``f_i``::

    sum_i w_i rho(T(f_i) - T(y_i))  +  1/2 sum_j precision_j (theta_j - mean_j)^2

``T`` is the residual scale (log, linear or logit) and ``rho`` Huber's function, a half square up
to ``delta`` and linear beyond. Sums, never means: a mean shrinks gradients until a solver's
tolerance stops it early (Besiroglu et al. 2024, arXiv:2404.10102).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scaling_laws.errors import DataError, LawError
from scaling_laws.laws.family import LawFamily

Array = NDArray[np.float64]
Residual = Literal["log", "linear", "logit"]

EFFICIENCY = 1.345  # Huber (1981): 95 % efficient under normal noise
MAD_TO_SIGMA = 1.4826
_SMALLEST, _LARGEST = 1e-100, 1e250  # bounds of coefficients moved by their logarithm


@dataclass(frozen=True)
class Huber:
    """Huber's robust loss: a half square for residuals up to ``delta``, linear beyond.

    Parameters
    ----------
    delta : float or "auto", default "auto"
        Turning point in units of the residual. ``"auto"`` is 1.345 robust standard deviations
        of the residuals, re-estimated while fitting; 1e-3 (with log residuals) is the
        literature's convention.

    Raises
    ------
    DataError
        If ``delta`` is not positive.

    References
    ----------
    Huber (1964), Annals of Mathematical Statistics 35, 73; Hoffmann et al. (2022), eq. 3.

    Examples
    --------
    >>> Huber(1e-3)
    Huber(delta=0.001)
    """

    delta: float | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        if self.delta != "auto" and not (
            isinstance(self.delta, int | float) and 0 < self.delta < np.inf
        ):
            raise DataError(f"Huber's delta must be positive or 'auto', got {self.delta!r}.")


@dataclass(frozen=True)
class Problem:
    """Arrays and settings of one minimisation.

    Parameters
    ----------
    family : LawFamily
    x : tuple of ndarray, each (n,)
        Inputs in the units the solver works in.
    y : ndarray (n,)
        Target.
    weights : ndarray (n,)
        Non-negative row weights.
    residual : {"log", "linear", "logit"}
    delta : float
        Huber's turning point; ``inf`` is least squares.
    lower, upper : ndarray (q,)
        Bounds of the free coefficients.
    matrix, offset : ndarray (p, q) and (p,)
        All coefficients are ``matrix @ free + offset``: fixed values and ties.
    logs : ndarray of bool (p,)
        Coefficients the solver moves by their logarithm (role ``"scale"``).
    free : tuple of int
        Positions of the free coefficients among all.
    bounds : pair of float
        Range of a bounded target (logit only).
    prior_mean, prior_precision : ndarray (p,)
        Gaussian priors in units of the objective; precision 0 is no prior.
    """

    family: LawFamily
    x: tuple[Array, ...]
    y: Array
    weights: Array
    residual: Residual
    delta: float
    lower: Array
    upper: Array
    matrix: Array
    offset: Array
    logs: NDArray[np.bool_]
    free: tuple[int, ...]
    bounds: tuple[float, float] = (0.0, 1.0)
    prior_mean: Array = field(default_factory=lambda: np.zeros(0))
    prior_precision: Array = field(default_factory=lambda: np.zeros(0))

    @property
    def identity(self) -> bool:
        """Whether every coefficient is free."""
        return len(self.free) == len(self.offset)

    @cached_property
    def transformed_target(self) -> Array:
        """The target on the residual scale."""
        return np.asarray(transform(self.y, self.residual, self.bounds))

    @cached_property
    def moved_by_log(self) -> list[int]:
        """Positions of the coefficients that the solver moves by their logarithm."""
        return np.flatnonzero(self.logs).tolist()

    @cached_property
    def has_priors(self) -> bool:
        """Whether any coefficient has a prior."""
        return bool(self.prior_precision.any())

    def full(self, free: Array) -> Array:
        """All coefficients ``(k, p)`` from the free ones ``(k, q)``."""
        out = free if self.identity else np.einsum("kq,pq->kp", free, self.matrix) + self.offset
        if self.moved_by_log:
            out = out.copy()
            with np.errstate(over="ignore"):
                out[:, self.logs] = np.exp(out[:, self.logs])
        return np.asarray(out)

    def reduced(self, full: Array) -> Array:
        """Free coefficients ``(k, q)`` from all ``(k, p)``, clipped to their bounds."""
        out = np.array(full[:, list(self.free)], dtype=float)
        moved = self.logs[list(self.free)]
        with np.errstate(all="ignore"):
            out[:, moved] = np.log(out[:, moved])
        return np.asarray(np.clip(out, self.lower, self.upper))

    def predict(self, free: Array) -> Array:
        """Predictions ``(k, n)`` for free coefficients ``(k, q)``."""
        columns = [c[:, None] for c in self.full(free).T]
        value = self.family.evaluate(self.x, columns)
        return _broadcast(value, (len(free), len(self.y)))

    def residuals(self, free: Array) -> Array:
        """Residuals ``(k, n)``; not finite where the prediction leaves the residual's domain."""
        with np.errstate(all="ignore"):
            predicted = _transform(self.predict(free), self.residual, self.bounds)
            return np.asarray(predicted - self.transformed_target)

    def residuals_with_jacobian(self, free: Array) -> tuple[Array, Array]:
        """Residuals ``(k, n)`` and their derivative ``(k, q, n)`` in the free coefficients."""
        shape = (len(free), len(self.y))
        full = self.full(free)
        columns = [c[:, None] for c in full.T]
        with np.errstate(all="ignore"):
            value, derivatives = self.family.evaluate_with_jacobian(self.x, columns)
            value = _broadcast(value, shape)
            slope = transform_slope(value, self.residual, self.bounds)
            out = np.empty((shape[0], len(derivatives), shape[1]))
            for j, column in enumerate(derivatives):
                if slope is None:
                    out[:, j, :] = column
                else:
                    np.multiply(column, slope, out=out[:, j, :])
            residuals = _transform(value, self.residual, self.bounds) - self.transformed_target
            for j in self.moved_by_log:
                out[:, j, :] *= full[:, j, None]
        if not self.identity:
            out = np.einsum("kpn,pq->kqn", out, self.matrix)
        return residuals, out

    def objective(self, free: Array, weights: Array | None = None) -> Array:
        """The objective ``(k,)``; infinite where a prediction is invalid."""
        return self.objective_of(self.residuals(free), free, weights)

    def objective_of(
        self,
        residuals: Array,
        free: Array,
        weights: Array | None = None,
        delta: float | Array | None = None,
        prior_mean: Array | None = None,
    ) -> Array:
        """The objective from residuals already at hand.

        ``delta`` may be ``(k, 1)`` and ``prior_mean`` ``(k, p)``.
        """
        w = self.weights if weights is None else weights
        with np.errstate(all="ignore"):
            total = (w * rho(residuals, self.delta if delta is None else delta)).sum(axis=-1)
            total = total + 0.5 * self._prior_terms(free, prior_mean)
        return np.where(np.isfinite(total), total, np.inf)

    def _prior_terms(self, free: Array, prior_mean: Array | None) -> Any:
        if not self.has_priors:
            return 0.0
        held = self.prior_precision > 0
        mean = self.prior_mean if prior_mean is None else prior_mean
        gap = np.ascontiguousarray(self.full(free)[:, held] - mean[..., held])
        return np.sum(self.prior_precision[held] * gap * gap, axis=-1)

    def prior_gradient(
        self, free: Array, prior_mean: Array | None = None
    ) -> tuple[Array, Array] | None:
        """Gradient ``(k, q)`` and Gauss-Newton Hessian ``(k, q, q)`` of the priors, or None."""
        if not self.has_priors:
            return None
        held = self.prior_precision > 0
        mean = self.prior_mean if prior_mean is None else prior_mean
        full, matrix = np.ascontiguousarray(self.full(free)[:, held]), self.matrix[held]
        slope = np.where(self.logs[held], full, 1.0)
        strength = self.prior_precision[held] * slope
        gradient = np.einsum("kp,pq->kq", (full - mean[..., held]) * strength, matrix)
        hessian = np.einsum("pq,kp,pr->kqr", matrix, strength * slope, matrix)
        return gradient, hessian


def transform(value: Any, residual: Residual, bounds: tuple[float, float]) -> Any:
    """Map a target to the residual scale (NaN outside its domain)."""
    with np.errstate(all="ignore"):
        return _transform(value, residual, bounds)


def _transform(value: Any, residual: Residual, bounds: tuple[float, float]) -> Any:
    if residual == "linear":
        return value
    if residual == "log":
        return np.log(value)
    low, high = bounds
    return np.log(value - low) - np.log(high - value)


def _broadcast(value: Any, shape: tuple[int, int]) -> Array:
    return value if np.shape(value) == shape else np.broadcast_to(value, shape)


def target_unit(residual: Residual, y: Array) -> float:
    """What errors on the residual scale are relative to: linear ones, the target's spread.

    Examples
    --------
    >>> target_unit("linear", np.array([1.0, 3.0])), target_unit("log", np.array([1.0, 3.0]))
    (1.0, 1.0)
    """
    return float(np.std(y)) if residual == "linear" else 1.0


def inverse_transform(value: Any, residual: Residual, bounds: tuple[float, float]) -> Any:
    """Map back from the residual scale."""
    if residual == "linear":
        return value
    if residual == "log":
        return np.exp(value)
    low, high = bounds
    return low + (high - low) / (1.0 + np.exp(-value))


def transform_slope(value: Any, residual: Residual, bounds: tuple[float, float]) -> Any:
    """Return the derivative of `transform`; None where it is one."""
    if residual == "linear":
        return None
    if residual == "log":
        return 1.0 / value
    low, high = bounds
    return 1.0 / (value - low) + 1.0 / (high - value)


def rho(residuals: Array, delta: float | Array) -> Array:
    """Huber's function; half squares for ``delta = inf``.

    Examples
    --------
    >>> rho(np.array([0.5, 3.0]), 1.0).tolist()
    [0.125, 2.5]
    """
    plain = delta == np.inf if isinstance(delta, float) else not np.isfinite(delta).any()
    if plain:
        return 0.5 * residuals * residuals
    clipped = np.clip(residuals, -delta, delta)
    return clipped * (residuals - 0.5 * clipped)


def robust_scale(residuals: Array, weights: Array) -> float:
    """Robust standard deviation: 1.4826 times the weighted median of absolute residuals.

    Examples
    --------
    >>> robust_scale(np.array([-1.0, 0.5, 1.0]), np.ones(3))
    1.4826
    """
    size = np.abs(residuals)
    order = np.argsort(size, kind="stable")
    total = np.cumsum(weights[order])
    return MAD_TO_SIGMA * float(size[order][np.searchsorted(total, 0.5 * total[-1] * (1 - 1e-12))])


def check_law_values(problem: Problem, free: Array) -> None:
    """Blame the law, not the data, when its function returns something that is not a number.

    Raises
    ------
    LawError
        The function returned NaN at finite inputs and coefficients.
    """
    with np.errstate(all="ignore"):
        value = problem.predict(free)
    bad = np.isnan(value)
    if bad.all(axis=0).any():
        row = int(np.flatnonzero(bad.all(axis=0))[0])
        inputs = {n: float(v[row]) for n, v in zip(problem.family.inputs, problem.x, strict=True)}
        raise LawError(
            f"law '{problem.family.name}' returned NaN at inputs {inputs} (in the solver's units) "
            "for every coefficient tried. The data there are finite: correct the law's function."
        )


def linear_map(
    family: LawFamily,
    fixed: Mapping[str, float] | None = None,
    ties: Mapping[str, tuple[str, float]] | None = None,
) -> tuple[Array, Array, NDArray[np.bool_], tuple[int, ...]]:
    """Matrix, offset, logarithm mask and free positions for fixed values and ties.

    Examples
    --------
    >>> from scaling_laws.laws.registry import get_law
    >>> family = get_law("chinchilla")
    >>> matrix, offset, logs, free = linear_map(family, {"E": 1.7}, {"beta": ("alpha", 0.9)})
    >>> offset.tolist(), free, matrix[4].tolist()
    ([1.7, 0.0, 0.0, 0.0, 0.0], (1, 2, 3), [0.0, 0.9, 0.0])
    """
    fixed, ties = fixed or {}, ties or {}
    names = family.coefficient_names
    logs = np.array([c.role == "scale" for c in family.coefficients])
    free = tuple(i for i, n in enumerate(names) if n not in fixed and n not in ties)
    matrix, offset = np.zeros((len(names), len(free))), np.zeros(len(names))
    for column, i in enumerate(free):
        matrix[i, column] = 1.0
    for name, value in fixed.items():
        i = names.index(name)
        offset[i] = np.log(value) if logs[i] else value
    for name, (other, factor) in ties.items():
        i, j = names.index(name), names.index(other)
        if logs[i]:
            matrix[i], offset[i] = matrix[j], offset[j] + np.log(factor)
        else:
            matrix[i], offset[i] = factor * matrix[j], factor * offset[j]
    return matrix, offset, logs, free


def coefficient_limits(family: LawFamily, logs: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Bounds of a family's coefficients in the solver's coordinates.

    Examples
    --------
    >>> from scaling_laws.laws.registry import get_law
    >>> low, high = coefficient_limits(get_law("power_with_floor"), np.zeros(3, dtype=bool))
    >>> low.tolist(), high.tolist()
    ([0.0, 0.0, 0.0], [inf, inf, 3.0])
    """
    lower = np.array([c.lower for c in family.coefficients])
    upper = np.array([c.upper for c in family.coefficients])
    return log_limits(lower, upper, logs)


def log_limits(lower: Array, upper: Array, logs: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Take the logarithm of the bounds where the solver moves by logarithms."""
    return (
        np.where(logs, np.log(np.maximum(lower, _SMALLEST)), lower),
        np.where(logs, np.log(np.clip(upper, _SMALLEST, _LARGEST)), upper),
    )
