"""Where plans are allowed: an interval of one quantity, given all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scaling_laws.planning.amounts import Array
from scaling_laws.planning.limits import Bound, Values

_ROUNDS = 80
_CLOSE = 1e-13
_SLACK = 1e-12  # beyond a bound, in logarithms, that still counts as inside


def root(excess: Callable[[Array], Array], low: Array, high: Array, close: float = _CLOSE) -> Array:
    """Zero between two points of different sign: false position, halved where it lags.

    Parameters
    ----------
    excess : callable
        Continuous; nearly linear functions take a step or two.
    low, high : ndarray
        Both finite. Where the signs agree, the result means nothing.
    close : float
        Excess, or relative width, that is small enough.
    """
    a, b = low, high
    at_a, at_b = excess(a), excess(b)
    x = b
    for turn in range(_ROUNDS):
        with np.errstate(all="ignore"):
            x = b - at_b * (b - a) / (at_b - at_a)
        outside = ~((x >= np.minimum(a, b)) & (x <= np.maximum(a, b)))
        x = np.where(outside | (turn % 3 == 2), 0.5 * (a + b), x)
        at_x = excess(x)
        same = np.sign(at_x) == np.sign(at_b)
        a, at_a = np.where(same, a, b), np.where(same, 0.5 * at_a, at_b)
        b, at_b = x, at_x
        done = (np.abs(at_b) < close) | (np.abs(b - a) < close * (1.0 + np.abs(b)))
        if done.all():
            break
    return np.asarray(x)


@dataclass(frozen=True)
class Region:
    """Plans that honour every bound.

    Parameters
    ----------
    bounds : tuple of Bound
        Each rises or falls with ``filler``, or does not depend on it.
    filler : str, optional
        The quantity that fills what the others leave.
    box : pair of float
        Logarithm of the smallest and largest filler.
    """

    bounds: tuple[Bound, ...]
    filler: str | None
    box: tuple[float, float]

    def interval(self, values: Values, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
        """Logarithm of the smallest and largest filler, and how far from allowed it is.

        The last is zero where some filler is allowed; else, the least over fillers of the largest
        excess over a bound, roughly.
        """
        low, high = np.full(shape, self.box[0]), np.full(shape, self.box[1])
        miss = np.zeros(shape)
        for bound in self.bounds:
            if self.filler is None:
                miss = np.maximum(miss, bound.excess(values))
                continue
            low, high, far = self._narrowed(bound, values, low, high)
            miss = np.maximum(miss, far)
        gap = np.maximum(low - high, 0.0)
        return low, high, np.where(np.maximum(miss, gap) > _SLACK, np.maximum(miss, gap), 0.0)

    def _narrowed(
        self, bound: Bound, values: Values, low: Array, high: Array
    ) -> tuple[Array, Array, Array]:
        def excess(w: Array) -> Array:
            return np.broadcast_to(bound.excess({**values, str(self.filler): np.exp(w)}), w.shape)

        ends = [np.full(low.shape, w) for w in self.box]
        at = [excess(end) for end in ends]
        inside = [a <= _SLACK for a in at]
        crossed = inside[0] != inside[1]
        never = ~(inside[0] | inside[1])  # then the filler that misses by least
        high = np.where(never & (at[0] < at[1]), self.box[0], high)
        if not crossed.any():
            return low, high, np.where(inside[0], 0.0, np.minimum(*at))
        edge = root(excess, np.where(crossed, ends[0], 0.0), np.where(crossed, ends[1], 0.0))
        low = np.where(crossed & inside[1], np.maximum(low, edge), low)
        high = np.where(crossed & inside[0], np.minimum(high, edge), high)
        return low, high, np.where(inside[0] | inside[1], 0.0, np.minimum(*at))
