"""The quantities a plan is free to choose, as coordinates of a box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scaling_laws.errors import PlanError, suggest
from scaling_laws.laws.family import input_domain
from scaling_laws.planning.amounts import Array
from scaling_laws.planning.source import Source
from scaling_laws.quantities import INPUT_NAMES, LEAST, MOST, real_number

SCALES = ("params", "tokens", "samples", "steps", "flops")
"""Inputs a plan may grow beyond the data; others stay in their measured range."""

_FILLERS = ("tokens", "samples", "steps", "params")
_SMALLEST_SHARE = 18.0  # exp(-18) of a mixture counts as nothing
_BEYOND = 1e3  # below the smallest measured value
_LARGEST = float(np.log(1e60))
_AMOUNTS = ("flops", "epochs")  # what a plan amounts to, unless the law reads it
_HALVINGS = 60
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Space:
    """Free quantities, and those that are held.

    Parameters
    ----------
    held : mapping of str to float or ndarray (rows, 1)
    free : mapping of str to pair of float
        Smallest and largest value of every quantity that is searched for.
    logs : frozenset of str
        Those searched on a logarithmic scale.
    mixture : tuple of str
        Shares that are searched together.
    filler : str, optional
        The quantity that takes what the bounds leave.
    total : float, default 1.0
        What the searched shares sum to.
    """

    held: Mapping[str, Any]
    free: Mapping[str, tuple[float, float]]
    logs: frozenset[str]
    mixture: tuple[str, ...]
    filler: str | None
    total: float = 1.0

    @property
    def searched(self) -> tuple[str, ...]:
        """Free quantities with a coordinate of their own."""
        return tuple(n for n in self.free if n != self.filler and n not in self.mixture)

    @property
    def variables(self) -> tuple[str, ...]:
        """Every quantity of a plan."""
        return (*self.free, *(n for n in self.held if n not in self.free))

    @property
    def box(self) -> list[tuple[float, float]]:
        """Smallest and largest coordinate, a pair a dimension."""
        pairs = [self._coordinates(n) for n in self.searched]
        return pairs + [(-_SMALLEST_SHARE, _SMALLEST_SHARE)] * max(len(self.mixture) - 1, 0)

    @property
    def filler_box(self) -> tuple[float, float]:
        """Smallest and largest logarithm of the filler."""
        return (0.0, 0.0) if self.filler is None else self._coordinates(self.filler)

    def _coordinates(self, name: str) -> tuple[float, float]:
        low, high = self.free[name]
        return (float(np.log(low)), float(np.log(high))) if name in self.logs else (low, high)

    def values(self, at: Sequence[Array]) -> dict[str, Array]:
        """Quantities at coordinates, the filler left out."""
        out = {n: np.asarray(v, dtype=float) for n, v in self.held.items()}
        for name, x in zip(self.searched, at, strict=False):
            out[name] = np.exp(x) if name in self.logs else x
        if self.mixture:
            scores = [*at[len(self.searched) :], np.zeros(np.shape(at[-1]) if at else (1, 1))]
            out |= dict(zip(self.mixture, self._shares(scores), strict=True))
        return out

    def _shares(self, scores: Sequence[Array]) -> list[Array]:
        """Shares within their ranges that sum to the total, growing with their scores."""
        top = np.maximum.reduce(list(scores))
        parts = [np.exp(s - top) for s in scores]
        free = sum(parts)
        shares = [self.total * p / free for p in parts]
        ranges = [self.free[n] for n in self.mixture]
        if all(low <= 0.0 and high >= self.total for low, high in ranges):
            return shares
        below, above = np.full(np.shape(free), -60.0), np.full(np.shape(free), 60.0)
        for _ in range(_HALVINGS):  # the level at which clipped shares sum to the total
            level = 0.5 * (below + above)
            clipped = [np.clip(p * np.exp(level), *r) for p, r in zip(parts, ranges, strict=True)]
            over = sum(clipped) > self.total
            below, above = np.where(over, below, level), np.where(over, level, above)
        return clipped

    def hold(self, **values: Any) -> Space:
        """Return the space with further quantities held; the other shares sum to what is left.

        A value is a number, or an array ``(rows, 1)`` with one for each row of a solve.
        """
        free = {n: r for n, r in self.free.items() if n not in values}
        mixture = tuple(n for n in self.mixture if n not in values)
        total = self.total - sum(v for n, v in values.items() if n in self.mixture)
        filler = None if self.filler in values else self.filler
        return Space({**self.held, **values}, free, self.logs, mixture, filler, total)

    def within(self, ranges: Mapping[str, tuple[float, float]]) -> Space:
        """Return the space with searched quantities in narrower ranges where these leave any."""
        free = dict(self.free)
        for name, (low, high) in ranges.items():
            if name in free and name != self.filler:
                pair = max(low, free[name][0]), min(high, free[name][1])
                free[name] = pair if pair[0] < pair[1] else free[name]
        least = sum(free[n][0] for n in self.mixture)
        most = sum(free[n][1] for n in self.mixture)
        if self.mixture and not least < self.total < most:
            free |= {n: self.free[n] for n in self.mixture}  # no mixture is allowed: say so later
        return replace(self, free=free)

    def on_edge(self, values: Mapping[str, float]) -> list[str]:
        """Searched quantities that ended at an end of their range."""
        out = []
        for name in self.searched:
            low, high = self._coordinates(name)
            x = np.log(values[name]) if name in self.logs else values[name]
            if min(x - low, high - x) < 1e-6 * (high - low):
                out.append(name)
        return out


def get_space(
    source: Source,
    fixed: Mapping[str, Any],
    ranges: Mapping[str, Any],
    needed: Sequence[str] = (),
) -> Space:
    """Return the quantities of a law and of a cost as a space.

    Parameters
    ----------
    source : Source
    fixed : mapping of str to float
        Quantities the caller holds; they need not be inputs of the law.
    ranges : mapping of str to (low, high)
        Ranges of the caller.
    needed : sequence of str
        Quantities that the cost reads; they can be held.

    Raises
    ------
    PlanError
        A value is not a positive number, a name is unknown, or a range is missing.
    """
    law = source.law
    shares = [n for n in law.inputs if input_domain(law.family, n) == "fraction"]
    shares = shares if len(shares) > 1 else []
    read = (*law.inputs, *(n for n in needed if n not in law.inputs))
    known = (*read, *(n for n in INPUT_NAMES if n not in _AMOUNTS))
    _check_names(source.label, "fixed", fixed, known)
    _check_names(source.label, "ranges", ranges, law.inputs)
    held = {n: _number(n, v, least=0.0 if n in shares else None) for n, v in fixed.items()}
    free = {n: _range(source, n, ranges) for n in law.inputs if n not in held}
    mixture = tuple(n for n in shares if n in free)
    total = 1.0 - sum(held.get(n, 0.0) for n in shares)
    if shares and (total < -_ROUNDING or (not mixture and abs(total) > _ROUNDING)):
        raise PlanError(f"Planner: shares {shares} are held at a sum of {1 - total:g}, not one.")
    logs = {n for n, (low, _) in free.items() if low > 0 and n not in mixture}
    filler = next((n for n in _FILLERS if n in free and n in logs), None)
    return Space(held, free, frozenset(logs), mixture, filler, total)


def _check_names(label: str, what: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            shown = tuple(dict.fromkeys(known))[:12]
            raise PlanError(
                f"Planner: {what} names '{name}', which plans of '{label}' do not have."
                f"{suggest(str(name), known)} Known are {shown}."
            )


def _range(source: Source, name: str, ranges: Mapping[str, Any]) -> tuple[float, float]:
    known = source.ranges.get(name)
    fraction = input_domain(source.law.family, name) == "fraction"
    if name in ranges:
        pair = ranges[name]
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise PlanError(f"Planner: range of '{name}' must be (low, high), got {pair!r}.")
        low, high = (_number(name, v, least=0.0 if fraction else None) for v in pair)
        if not low < high:
            raise PlanError(f"Planner: range of '{name}' must increase, got {ranges[name]!r}.")
        return low, high
    if fraction:
        return 0.0, 1.0
    if name in SCALES:
        least = 1.0 if known is None else min(1.0, known[0] / _BEYOND)
        return least, float(np.exp(_LARGEST))
    if known is None:
        raise PlanError(
            f"Planner: nothing says where '{name}' may lie. Pass ranges={{'{name}': (low, high)}}, "
            f"or hold it with fixed={{'{name}': ...}}."
        )
    if known[0] == known[1]:
        raise PlanError(
            f"Planner: '{name}' was measured at {known[0]:g} alone. Hold it with "
            f"fixed={{'{name}': {known[0]:g}}}, or pass ranges=."
        )
    return known


def _number(name: str, value: Any, least: float | None = None) -> float:
    """Return a positive number, or one of at least ``least``."""
    number = real_number(value)
    if not (LEAST if least is None else least) <= number <= MOST:
        bound = "> 0" if least is None else f">= {least:g}"
        raise PlanError(
            f"Planner: {name} must be a number {bound}, got {value!r}. Write counts out, such as "
            "7e9 for '7B'."
        )
    return number
