"""Optima of any smooth law of two inputs, and crossings of a target, found numerically.

Everything works on natural logarithms of the inputs: ``u`` of the first, ``v`` of the second,
``c = u + v`` of their product. Arrays are ``(draws, questions)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_laws.laws.family import LawFamily
from scaling_laws.planning.search import golden

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

LARGEST = float(np.log(1e60))
"""Logarithm of the largest input or product of inputs that counts as reachable."""

_GRID = 96
_CHUNK = 20_000
_STEP = 0.02
_FIRST = np.array([-1.0, 9.0, -45.0, 0.0, 45.0, -9.0, 1.0]) / (60 * _STEP)
_SECOND = np.array([2.0, -27.0, 270.0, -490.0, 270.0, -27.0, 2.0]) / (180 * _STEP**2)


def crossing(excess: Callable[[Array], Array], short: Array, reached: Array) -> Array:
    """Bisect between a point that falls short and one that reaches, to the last bit.

    Parameters
    ----------
    excess : callable
        Positive where the target is not reached yet; monotone between the two points.
    short, reached : ndarray
        The two ends. Where ``short`` reaches the target already it is returned.
    """
    already = excess(short) <= 0
    start = short
    for _ in range(64):
        middle = 0.5 * (short + reached)
        there = excess(middle) <= 0
        reached = np.where(there, middle, reached)
        short = np.where(there, short, middle)
    return np.where(already, start, 0.5 * (short + reached))


@dataclass(frozen=True)
class NumericSurface:
    """A law of two inputs whose optima are searched for.

    Parameters
    ----------
    family : LawFamily
        Over exactly two inputs.
    coef : tuple of ndarray of shape (draws, 1)
        Coefficients in the family's order.
    higher : bool
        Whether a higher target is better.
    first : int
        Which input of the family is ``u``: 0 or 1.
    lows : pair of float
        Smallest ``u`` and ``v`` to consider.
    """

    family: LawFamily
    coef: tuple[Array, ...]
    higher: bool
    first: int = 0
    lows: tuple[float, float] = (0.0, 0.0)

    def swap(self) -> NumericSurface:
        """Exchange the roles of the two inputs."""
        return replace(self, first=1 - self.first, lows=self.lows[::-1])

    def value(self, u: Any, v: Any) -> Array:
        """Target, signed so that lower is better; infinite where the law is not defined."""
        with np.errstate(all="ignore"):
            inputs = [np.exp(u), np.exp(v)]
            value = self.family.evaluate(inputs if self.first == 0 else inputs[::-1], self.coef)
            signed = -value if self.higher else value
            return np.asarray(np.where(np.isnan(signed), np.inf, signed), dtype=float)

    def best_split(self, c: Array) -> tuple[Array, Mask]:
        """Best ``u`` along ``u + v = c``, and whether it lies inside the search range."""
        u, _, inside = self._minimise(np.atleast_2d(c))
        return u, inside

    def cheapest(self, target: Array) -> tuple[Array, Array]:
        """Smallest ``c`` whose best split reaches the target (infinite if none), and its ``u``."""
        wanted = self._signed(target)
        shape = np.broadcast_shapes((len(self.coef[0]), 1), (1, np.size(target)))
        high = np.full(shape, LARGEST)
        low = np.full(shape, sum(self.lows))
        reachable = self._minimise(high, fine=False)[1] < wanted
        for _ in range(13):
            middle = 0.5 * (low + high)
            there = self._minimise(middle, fine=False)[1] <= wanted
            low, high = np.where(there, low, middle), np.where(there, middle, high)
        ends = np.maximum(low - 1, sum(self.lows)), high + 1
        c = 0.5 * (low + high)
        for _ in range(6):
            u, value, _ = self._minimise(c)
            slope = self._derivatives(u, c - u, (0.0, 1.0))[0]
            with np.errstate(all="ignore"):
                step = np.where(slope < 0, (value - wanted) / slope, 0.0)
            c = np.clip(c - np.clip(step, -1, 1), *ends)
        u = self._minimise(c)[0]
        return np.where(reachable, c, np.inf), np.where(reachable, u, np.inf)

    def matching(self, u: Array) -> Array:
        """Value ``v`` for which ``u`` is the best split; infinite of either sign if none."""
        u = np.broadcast_to(u, (len(self.coef[0]), np.size(u)))

        def gain(v: Array) -> Array:
            return self._derivatives(u, v, (1.0, -1.0))[0]

        def sign(v: Array) -> Array:
            slope = gain(v)
            return np.where(np.abs(slope) > 1e-10 * np.abs(self.value(u, v)), np.sign(slope), 0.0)

        low, high = np.full(u.shape, self.lows[1]), np.full(u.shape, LARGEST / 2)
        at_low, at_high = sign(low), sign(high)
        v = np.where(at_high >= 0, np.inf, crossing(gain, low, high))
        return np.where((at_low <= 0) & (at_high < 0), -np.inf, v)

    def needed(self, u: Array, target: Array) -> Array:
        """Smallest ``v`` that reaches the target at ``u``; infinite if none does."""
        u, wanted = np.broadcast_arrays(np.atleast_2d(u), self._signed(target))
        high = np.full((len(self.coef[0]), u.shape[1]), LARGEST)
        low = np.full(high.shape, self.lows[1])
        reachable = self.value(u, high) < wanted
        v = crossing(lambda v: self.value(u, v) - wanted, low, high)
        return np.where(reachable, v, np.inf)

    def near_optimal(self, c: Array, u: Array, tolerance: float) -> tuple[Array, Array]:
        """Smallest and largest ``u`` as good as the best at ``c`` for ``1 + tolerance`` times."""
        best = self.value(u, c - u)
        more = c + np.log1p(tolerance)

        def excess(at: Array) -> Array:
            return self.value(at, more - at) - best

        low = np.broadcast_to(self.lows[0], u.shape)
        return crossing(excess, low, u), crossing(excess, more - self.lows[1] + 0 * u, u)

    def _signed(self, target: Array) -> Array:
        return np.atleast_2d(-target if self.higher else target)

    def _minimise(self, c: Array, fine: bool = True) -> tuple[Array, Array, Mask]:
        """Best ``u``, its value and whether it is inside, for ``c`` of shape (1 or k, n)."""
        size = max(1, _CHUNK // len(self.coef[0]))
        pieces = [
            self._minimise_piece(c[:, i : i + size], fine) for i in range(0, c.shape[1], size)
        ]
        u, value, inside = (np.concatenate(p, axis=1) for p in zip(*pieces, strict=True))
        return u, value, inside

    def _minimise_piece(self, c: Array, fine: bool) -> tuple[Array, Array, Mask]:
        low = self.lows[0]
        high = np.maximum(c - self.lows[1], low + 1)
        grid = low + (high - low)[..., None] * np.linspace(0, 1, _GRID)
        other = c[..., None] - grid
        flat = self.value(grid.reshape(len(c), -1), other.reshape(len(c), -1))
        values = flat.reshape(len(flat), c.shape[1], _GRID)
        at = values.argmin(axis=-1)
        least = values.min(axis=-1)
        margin = 1e-12 * np.abs(least)
        inside = (values[..., 0] > least + margin) & (values[..., -1] > least + margin)
        spacing = (high - low) / (_GRID - 1)
        left = low + spacing * np.maximum(at - 1, 0)
        right = low + spacing * np.minimum(at + 1, _GRID - 1)
        left_end, right_end = golden(
            lambda u: self.value(u, c - u), left, right, 40 if fine else 14
        )
        u = 0.5 * (left_end + right_end)
        value = self.value(u, c - u)
        if fine:
            u, value = self._polish(c, u, value, left, right)
        edge = low + spacing * at
        return np.where(inside, u, edge), np.where(inside, value, least), inside

    def _polish(
        self, c: Array, u: Array, value: Array, left: Array, right: Array
    ) -> tuple[Array, Array]:
        """Newton's steps on seven-point differences; kept where the value is no worse.

        Comparing values alone stops at the square root of the rounding error.
        """
        better = u
        for _ in range(3):
            first, second = self._derivatives(better, c - better, (1.0, -1.0))
            with np.errstate(all="ignore"):
                step = np.where(second > 0, first / second, 0.0)
            better = np.clip(better - np.clip(step, -0.1, 0.1), left, right)
        reached = self.value(better, c - better)
        keep = reached <= value + 8e-16 * np.abs(value)
        return np.where(keep, better, u), np.where(keep, reached, value)

    def _derivatives(self, u: Array, v: Array, along: Sequence[float]) -> tuple[Array, Array]:
        """First and second derivative along a direction, of sixth order in the step."""
        offsets = [_STEP * i for i in range(-3, 4)]
        samples = np.stack([self.value(u + t * along[0], v + t * along[1]) for t in offsets])
        with np.errstate(all="ignore"):
            first = np.tensordot(_FIRST, samples, axes=1)
            second = np.tensordot(_SECOND, samples, axes=1)
        return np.nan_to_num(first), np.nan_to_num(second)


@dataclass(frozen=True)
class Curve:
    """A monotone law of one positive input.

    Parameters
    ----------
    family : LawFamily
        Over one input.
    coef : tuple of ndarray of shape (draws, 1)
        Coefficients in the family's order.
    low : float, default 0.0
        Logarithm of the smallest input to consider.
    """

    family: LawFamily
    coef: tuple[Array, ...]
    low: float = 0.0

    def value(self, log_x: Any) -> Array:
        """Target at the exponential of ``log_x``."""
        with np.errstate(all="ignore"):
            return np.asarray(self.family.evaluate([np.exp(log_x)], self.coef), dtype=float)

    def needed(self, target: Array) -> Array:
        """Logarithm of the input at which the curve meets the target; infinite if never.

        The curve may rise or fall. Where the smallest input considered is past the target
        already, that input is returned.
        """
        wanted = np.atleast_2d(target)
        shape = (len(self.coef[0]), wanted.shape[1])
        low, high = np.full(shape, self.low), np.full(shape, LARGEST)
        at_low, at_high = self.value(low), self.value(high)
        sign = np.where(at_high < at_low, 1.0, -1.0)
        with np.errstate(all="ignore"):
            reachable = sign * (at_high - wanted) < 0
            found = crossing(lambda x: sign * (self.value(x) - wanted), low, high)
        return np.where(reachable, found, np.inf)
