"""Laws whose target is a monotone function of ``A N^-alpha + B D^-beta``: closed forms.

With ``C = kappa N D`` all of them share one optimum,
``N* = G (C / kappa)^(beta / (alpha + beta))``, ``G = (alpha A / (beta B))^(1 / (alpha + beta))``.

References
----------
Hoffmann et al. (2022), arXiv:2203.15556, eq. 4; Kaplan et al. (2020), arXiv:2001.08361, app. B.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scaling_laws.laws import generic, joint
from scaling_laws.laws.family import LawFamily
from scaling_laws.planning.optimum import LARGEST, Array, Mask, crossing

_Terms = tuple[Any, Any, Any, Any]


def _sum_of_powers(coef: Sequence[Any]) -> _Terms:
    _, a, alpha, b, beta = coef[:5]
    return np.log(a), alpha, np.log(b), beta


def _kaplan(coef: Sequence[Any]) -> _Terms:
    n_c, alpha_n, d_c, alpha_d = coef
    return alpha_n / alpha_d * np.log(n_c), alpha_n / alpha_d, np.log(d_c), 1.0 + 0 * alpha_d


def _kaplan_with_floor(coef: Sequence[Any]) -> _Terms:
    _, _, rho, r, _ = coef
    return 0 * rho, rho, np.log(r), 1.0 + 0 * rho


@dataclass(frozen=True)
class _Form:
    """How one family reads as a sum of two powers.

    ``terms`` maps coefficients to (log A, alpha, log B, beta); ``log_sum`` maps a value of the
    target to the logarithm of the sum, NaN where no sum gives it.
    """

    terms: Callable[[Sequence[Any]], _Terms]
    log_sum: Callable[[Array, Sequence[Any]], Array]


_FORMS: dict[Callable[..., Any], _Form] = {
    joint.chinchilla.function: _Form(_sum_of_powers, lambda y, c: np.log(y - c[0])),
    generic.additive_power.function: _Form(_sum_of_powers, lambda y, c: np.log(y - c[0])),
    joint.coupled.function: _Form(_sum_of_powers, lambda y, c: np.log(y - c[0]) / c[5]),
    joint.kaplan.function: _Form(_kaplan, lambda y, c: np.log(y) / c[3]),
    joint.kaplan_with_floor.function: _Form(
        _kaplan_with_floor, lambda y, c: (np.log(y - c[0]) - np.log(c[1])) / c[4]
    ),
}


@dataclass(frozen=True)
class PowerSum:
    """A sum of two powers, with the same questions as `optimum.NumericSurface`.

    Parameters
    ----------
    log_a, alpha, log_b, beta : ndarray of shape (draws, 1)
        Logarithm of the amplitude and exponent of the first and of the second input.
    log_sum : callable
        From a target to the logarithm of the sum.
    """

    log_a: Array
    alpha: Array
    log_b: Array
    beta: Array
    log_sum: Callable[[Array], Array]

    @property
    def _split(self) -> Array:
        """Logarithm of G."""
        with np.errstate(all="ignore"):
            ratio = np.log(self.alpha) + self.log_a - np.log(self.beta) - self.log_b
            return np.asarray(ratio / (self.alpha + self.beta), dtype=float)

    @property
    def regular(self) -> bool:
        """Whether both terms count, so that the optimum is inside."""
        return bool(np.all(np.isfinite(self._split)) and np.all(self.alpha * self.beta > 0))

    def swap(self) -> PowerSum:
        """Exchange the roles of the two inputs."""
        return replace(self, log_a=self.log_b, alpha=self.beta, log_b=self.log_a, beta=self.alpha)

    def best_split(self, c: Array) -> tuple[Array, Mask]:
        """Best ``u`` along ``u + v = c``, and whether it is finite."""
        with np.errstate(all="ignore"):
            u = self._split + self.beta / (self.alpha + self.beta) * np.atleast_2d(c)
        return u, np.isfinite(u)

    def cheapest(self, target: Array) -> tuple[Array, Array]:
        """Smallest ``c`` whose best split reaches the target (infinite if none), and its ``u``."""
        split = self._split
        with np.errstate(all="ignore"):
            log_k = np.logaddexp(self.log_a - self.alpha * split, self.log_b + self.beta * split)
            gamma = self.alpha * self.beta / (self.alpha + self.beta)
            c = _reachable((log_k - self.log_sum(np.atleast_2d(target))) / gamma)
            u = np.where(np.isinf(c), np.inf, self.best_split(c)[0])
        return c, u

    def matching(self, u: Array) -> Array:
        """Value ``v`` for which ``u`` is the best split."""
        with np.errstate(all="ignore"):
            share = self.beta / (self.alpha + self.beta)
            return (np.atleast_2d(u) - self._split) / share - np.atleast_2d(u)

    def needed(self, u: Array, target: Array) -> Array:
        """Smallest ``v`` that reaches the target at ``u``; infinite if none does."""
        with np.errstate(all="ignore"):
            log_sum = self.log_sum(np.atleast_2d(target))
            taken = self.log_a - self.alpha * np.atleast_2d(u) - log_sum
            return _reachable((self.log_b - log_sum - np.log1p(-np.exp(taken))) / self.beta)

    def near_optimal(self, c: Array, u: Array, tolerance: float) -> tuple[Array, Array]:
        """Smallest and largest ``u`` as good as the best at ``c`` for ``1 + tolerance`` times.

        The range is the same multiple of the optimum at every budget: with ``k`` that multiple,
        the extra compute is ``k (1 - (k^-alpha - 1) beta / alpha)^(-1 / beta) - 1``.

        References
        ----------
        de Vries (2023), "Go smol or go home", with the ratio of the two terms at the optimum
        written as ``beta / alpha``.
        """
        del c
        alpha, beta = self.alpha, self.beta
        allowed = np.log1p(tolerance)
        smallest = -np.log1p(alpha / beta) / alpha
        largest = allowed + np.log1p(beta / alpha) / beta + 1e-12
        ends = np.stack([smallest, largest])

        def excess(t: Array) -> Array:
            with np.errstate(all="ignore"):
                left = np.log1p(-np.expm1(-alpha * t) * beta / alpha)
                over = t - left / beta - allowed
            return np.where(np.isnan(over), np.inf, over)

        low, high = crossing(excess, ends, np.zeros_like(ends))
        return u + low, u + high


def power_sum(family: LawFamily, coef: tuple[Array, ...], first: int) -> PowerSum | None:
    """Return the closed forms of a family over two inputs, or None where it has none.

    Parameters
    ----------
    family : LawFamily
    coef : tuple of ndarray of shape (draws, 1)
        In the family's order.
    first : int
        Which input of the family is ``u``: 0 or 1.
    """
    form = _FORMS.get(family.function)
    if form is None or len(family.inputs) != 2:
        return None
    with np.errstate(all="ignore"):
        log_a, alpha, log_b, beta = form.terms(coef)

    def log_sum(target: Array) -> Array:
        i = family.floor_index if family.increasing else None
        return form.log_sum(target if i is None else 2.0 * coef[i] - target, coef)

    found = PowerSum(log_a, alpha, log_b, beta, log_sum)
    return found if first == 0 else found.swap()


def _reachable(log_input: Array) -> Array:
    return np.where(np.isnan(log_input) | (log_input > LARGEST), np.inf, log_input)
