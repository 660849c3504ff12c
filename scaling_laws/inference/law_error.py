"""Law error: no law is exact, and how wrong it is grows with the distance beyond the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scaling_laws.inference.backtest import log_distance
from scaling_laws.quantities import training_flops
from scaling_laws.solving.objective import Array

_WIDEST = 3.0  # times the bundled rate, either way, that one table's backtests may say
_EXACT = 1e-9


@dataclass(frozen=True)
class LawError:
    """Standard deviation of a law's own error: a rate per e-fold beyond the largest value fitted.

    Parameters
    ----------
    rates : mapping of str to float
        Rate of each direction, an input or ``"flops"``, on the residual scale.
    largest : mapping of str to (float, float)
        Smallest and largest fitted value of the same.

    Examples
    --------
    >>> error = LawError({"tokens": 0.01}, {"tokens": (1e6, 1e9)})
    >>> error.at(("tokens",), [np.array([1e8, 1e9, 1e10])]).round(4).tolist()
    [0.0, 0.0, 0.023]
    """

    rates: Mapping[str, float]
    largest: Mapping[str, tuple[float, float]]

    def at(self, names: Sequence[str], inputs: Sequence[Array]) -> Array:
        """Standard deviation at inputs ``(n,)``.

        By the distance in compute, or by that of an input so far as it leaves the data alone,
        whichever says more.
        """
        named = dict(zip(names, inputs, strict=True))
        beyond = {n: self._beyond(n, v) for n, v in named.items() if n in self.largest}
        scale = self._scale(named)
        if len(beyond) == 1:
            ((name, distance),) = beyond.items()
            return np.asarray(self._rate(name) * distance)
        total = sum(beyond.values(), np.zeros_like(scale))
        variance = np.zeros_like(scale)
        for name, distance in beyond.items():
            alone = np.maximum(2.0 * distance - total, 0.0) / np.where(total > 0, total, 1.0)
            variance += alone * (self._rate(name) * distance) ** 2
        return np.maximum(np.sqrt(variance), self._rate("flops") * scale)

    def _rate(self, name: str) -> float:
        return self.rates.get(name, self.rates.get("flops", 0.0))

    def _beyond(self, name: str, values: Array) -> Array:
        low, high = self.largest[name]
        return log_distance(np.asarray(values, dtype=float), low, high, high - low)

    def _scale(self, named: Mapping[str, Array]) -> Array:
        """Distance in compute; without compute, the largest distance of an input."""
        if "flops" in self.largest and "flops" not in named and {"params", "tokens"} <= set(named):
            return self._beyond("flops", np.asarray(training_flops(**_pair(named))))
        distances = [self._beyond(n, v) for n, v in named.items() if n in self.largest]
        return np.asarray(np.max(distances, axis=0))


def _pair(named: Mapping[str, Array]) -> dict[str, Array]:
    return {n: named[n] for n in ("params", "tokens")}


def excess_rate(
    errors: Sequence[Array],
    expected: Sequence[Array],
    distances: Sequence[Array],
    prior: float,
    prior_cuts: float,
) -> tuple[float, int]:
    """Rate at which held-out errors exceed what noise and coefficients explain.

    Parameters
    ----------
    errors, expected, distances : sequences of ndarray
        Of the held-out rows of each cut: error, variance expected of it, and log distance.
    prior : float
        Rate to shrink to.
    prior_cuts : float
        Cuts that the prior is worth.

    Returns
    -------
    rate : float
    cuts : int
        Cuts that had something to say.

    Examples
    --------
    >>> far = [np.ones(4)] * 6
    >>> rate, cuts = excess_rate([0.03 * d for d in far], [0 * d for d in far], far, 0.01, 3.0)
    >>> round(rate, 4), cuts
    (0.0252, 6)
    """
    excess = []
    for error, variance, distance in zip(errors, expected, distances, strict=True):
        reach = float(np.mean(distance**2)) if len(distance) else 0.0
        if reach > 1e-6 and np.isfinite(error).all():
            excess.append(float(np.mean(error**2) - np.mean(variance)) / reach)
    if excess and all(np.all(np.abs(e) < _EXACT) for e in errors):
        return 0.0, len(excess)  # every held-out run was foretold to the last digits
    square = (prior_cuts * prior**2 + sum(excess)) / (prior_cuts + len(excess))
    rate = float(np.clip(np.sqrt(max(square, 0.0)), prior / _WIDEST, prior * _WIDEST))
    return rate, len(excess)


def weighted_median(values: Array, weights: Array) -> Array:
    """Weighted median over the first axis ``(m, n) -> (n,)``.

    Examples
    --------
    >>> weighted_median(np.array([[1.0], [2.0], [900.0]]), np.array([0.4, 0.3, 0.3])).tolist()
    [2.0]
    """
    order = np.argsort(values, axis=0, kind="stable")
    total = np.cumsum(weights[order], axis=0)
    middle = (total >= 0.5 * total[-1]).argmax(axis=0)
    chosen = np.take_along_axis(order, middle[None], axis=0)
    return np.asarray(np.take_along_axis(values, chosen, axis=0)[0])
