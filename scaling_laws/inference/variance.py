"""How large a run's noise is, and how sure of it we are: variance components of the residuals.

Rows of one cluster share a disturbance with standard deviation ``shared``; each row adds its own,
``single``. Residuals of a fit with ``q`` coefficients carry ``n - q`` independent numbers. Rotated
to directions that do not mix them, each has variance ``single^2 + weight * shared^2``, which is
all that a likelihood (and draws of both) needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scaling_laws.solving.objective import Array

_ROTATED = 400  # clusters; beyond, their directions are taken as they are
_RANK = 1e-9
_RATIOS = np.concatenate([[0.0], np.geomspace(1e-4, 1e14, 400)])


@dataclass(frozen=True, eq=False)
class Components:
    """Residuals in directions that are independent of each other.

    Parameters
    ----------
    within : float
        Sum of squares of the directions that a cluster's disturbance does not reach.
    within_dof : float
        How many those are.
    squares : ndarray (m,)
        Square of the residual in each direction that it does reach; none where every cluster is
        one row.
    weights : ndarray (m,)
        Variance of the shared disturbance in that direction, in units of its own.
    """

    within: float
    within_dof: float
    squares: Array
    weights: Array

    @property
    def dof(self) -> float:
        """Degrees of freedom of all residuals."""
        return self.within_dof + len(self.squares)

    @property
    def total(self) -> float:
        """Sum of squares of the residuals left by least squares."""
        return self.within + float(self.squares.sum())

    @cached_property
    def _profile(self) -> tuple[Array, Array, Array]:
        """Ratios of the two variances, sums of squares given each, restricted log-likelihood."""
        ratio = _RATIOS / (self.weights.mean() if len(self.weights) else 1.0)
        spread = 1.0 + self.weights * ratio[:, None]
        total = self.within + np.sum(self.squares / spread, axis=1)
        with np.errstate(divide="ignore"):
            fit = -0.5 * (np.sum(np.log(spread), axis=1) + self.dof * np.log(total))
        return ratio, total, fit

    @cached_property
    def estimate(self) -> tuple[float, float]:
        """Most likely ``(shared, single)`` standard deviations (restricted likelihood)."""
        dof = max(self.dof, 1e-9)
        if not len(self.squares):
            return 0.0, float(np.sqrt(self.within / dof))
        ratio, total, fit = self._profile
        best = int(np.argmax(np.where(np.isnan(fit), -np.inf, fit)))
        single = float(np.sqrt(total[best] / dof))
        return float(np.sqrt(ratio[best])) * single, single

    def draw(self, ranks: Array) -> tuple[Array, Array]:
        """Plausible ``(shared, single)`` given the residuals, one pair for each pair of ranks.

        With one variance, its confidence distribution: the sum of squares over a chi-squared
        number. With two, draws under Jeffreys' prior of their restricted likelihood.

        Parameters
        ----------
        ranks : ndarray (k, 2)
            In (0, 1): of the variance, and of the ratio of the two.

        Returns
        -------
        pair of ndarray (k,)

        References
        ----------
        Tiao and Tan (1965), Biometrika 52, 37; Harville (1977), JASA 72, 320.

        Examples
        --------
        >>> one = Components(4.0, 4.0, np.zeros(0), np.zeros(0))
        >>> shared, single = one.draw(np.array([[0.5, 0.5]]))
        >>> shared.tolist(), single.round(3).tolist()
        ([0.0], [1.092])
        """
        from scipy.special import gammaincinv

        dof = max(self.dof, 1.0)
        chi_square = 2.0 * gammaincinv(0.5 * dof, 1.0 - ranks[:, 0])
        if not len(self.squares):
            single = np.sqrt(self.within / np.maximum(chi_square, 1e-300))
            return np.zeros(len(ranks)), single
        ratio = self._ratios(ranks[:, 1])
        total = self.within + np.sum(self.squares / (1 + self.weights * ratio[:, None]), axis=1)
        single = np.sqrt(total / np.maximum(chi_square, 1e-300))
        return np.sqrt(ratio) * single, single

    def _ratios(self, ranks: Array) -> Array:
        ratio, _, fit = self._profile
        leverage = self.weights / (1.0 + self.weights * ratio[:, None])
        information = np.sum(leverage**2, axis=1) - np.sum(leverage, axis=1) ** 2 / self.dof
        with np.errstate(all="ignore"):
            density = np.exp(fit - np.nanmax(fit[np.isfinite(fit)], initial=0.0))
        density = np.nan_to_num(density * np.sqrt(np.maximum(information, 0.0)))
        with np.errstate(over="ignore"):  # ratios too large to add up
            mass = 0.5 * (density[1:] + density[:-1]) * np.diff(ratio)
            total = mass.sum()
        if not 0 < total < np.inf:
            return np.full(len(ranks), (self.estimate[0] / max(self.estimate[1], 1e-300)) ** 2)
        below = np.concatenate([[0.0], np.cumsum(mass)]) / total
        return np.asarray(np.interp(ranks, below, ratio))


def components(
    residuals: Array,
    jacobian: Array,
    groups: NDArray[np.uint64],
    prior: Array | None = None,
    weights: Array | None = None,
) -> Components:
    """Rotate residuals of a fit to independent directions.

    Parameters
    ----------
    residuals : ndarray (n,)
        Times the square roots of the rows' weights.
    jacobian : ndarray (n, q)
        Their derivatives in the coefficients.
    groups : ndarray (n,)
        Label of the cluster of each row.
    prior : ndarray (p, q), optional
        Derivatives of the priors' residuals: what they determine, the data need not.
    weights : ndarray (n,), optional
        The rows' weights, of mean one. Uneven ones leave fewer degrees of freedom
        (Satterthwaite's; Kish's effective number of rows, where few coefficients are spent).

    Returns
    -------
    Components

    Examples
    --------
    >>> rows = np.array([1.0, -1.0, 2.0, -2.0])
    >>> found = components(rows, np.ones((4, 1)), np.arange(4, dtype=np.uint64))
    >>> found.within, found.within_dof
    (10.0, 3.0)
    """
    n = len(residuals)
    basis = _orthonormal(jacobian if prior is None else np.concatenate([jacobian, prior]))[:n]
    left = residuals - basis @ (basis.T @ residuals)
    spent = float(np.sum(basis**2))
    size_of_one, kept = _uneven(basis, weights)
    left = left / np.sqrt(size_of_one)
    _, inverse = np.unique(groups, return_inverse=True)
    inverse = inverse.ravel()
    size = np.bincount(inverse).astype(float)
    nothing = np.zeros(0)
    if size.max() == 1 or len(size) == 1:
        return Components(kept * float(left @ left), kept * (n - spent), nothing, nothing)
    sums = np.bincount(inverse, left)
    shadow = np.stack([np.bincount(inverse, b, len(size)) for b in basis.T], axis=1)
    if len(size) <= _ROTATED:
        share, turn = np.linalg.eigh(np.diag(size) - shadow @ shadow.T)
        sums = turn.T @ sums
    else:
        share = size - np.sum(shadow**2, axis=1)
    reached = share > _RANK * size.max()
    squares = sums[reached] ** 2 / share[reached]
    within = max(float(left @ left) - float(squares.sum()), 0.0)
    dof = max(n - spent - len(squares), 0.0)
    return Components(kept * within, kept * dof, squares, share[reached])


def _uneven(basis: Array, weights: Array | None) -> tuple[float, float]:
    """Mean square of a free residual over a row's variance, and share of the freedom kept."""
    if weights is None or np.ptp(weights) == 0:
        return 1.0, 1.0
    taken = np.sum(basis**2, axis=1)
    freedom = len(weights) - float(taken.sum())
    mean = float(np.sum(weights * (1.0 - taken)))
    inner = basis.T @ (weights[:, None] * basis)
    square = float(np.sum(weights**2 * (1.0 - 2.0 * taken)) + np.sum(inner**2))
    if not (freedom > 0 and mean > 0 and square > 0):
        return 1.0, 1.0
    return mean / freedom, min(mean**2 / square / freedom, 1.0)


def leverage(jacobian: Array) -> Array:
    """Share of each row's noise that a least-squares fit follows ``(n,)``.

    Examples
    --------
    >>> leverage(np.ones((4, 1))).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    return np.asarray(np.sum(_orthonormal(jacobian) ** 2, axis=1))


def _orthonormal(matrix: Array) -> Array:
    """Orthonormal basis of the columns, dependent ones left out."""
    if not matrix.shape[1]:
        return matrix
    matrix = np.where(np.isfinite(matrix), matrix, 0.0)  # a draw of no use must not end a fit
    length = np.linalg.norm(matrix, axis=0)
    left, size, _ = np.linalg.svd(matrix / np.maximum(length, 1e-300), full_matrices=False)
    return np.asarray(left[:, size > 1e-12 * max(float(size.max(initial=0.0)), 1e-300)])
