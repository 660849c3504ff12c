"""The way a recipe scales, from compute or one input to all inputs; and curves along it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from scaling_laws.errors import PlanError
from scaling_laws.inference.interval import Predictive
from scaling_laws.laws.family import Array
from scaling_laws.planning.source import PAIR
from scaling_laws.quantities import check_values

_SIZES = 160
_KAPPA = 6.0  # FLOP per parameter and token
_SPAN = (1e-3, 1e6)  # tokens per parameter that an optimum is searched in


@dataclass(frozen=True)
class Path:
    """How the inputs of a law follow from one scale.

    Parameters
    ----------
    scale : str
        ``"flops"`` or an input.
    inputs : tuple of str
    ratio : float, optional
        Tokens per parameter; None for the split that is best by each recipe's own curve.
    hold : mapping of str to float
        Inputs that stay.
    """

    scale: str
    inputs: tuple[str, ...]
    ratio: float | None = None
    hold: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.ratio is None:
            return
        if self.scale in self.inputs:
            raise PlanError(
                f"ratio= is tokens per parameter, but these are laws of {', '.join(self.inputs)} "
                f"compared along {self.scale}. Leave it out."
            )
        if not (np.isfinite(self.ratio) and self.ratio > 0):
            raise PlanError(f"ratio must be a positive number, got {self.ratio!r}.")

    def holding(self, values: Mapping[str, float]) -> Path:
        """Return the path with other values of the inputs that stay."""
        for name in values:
            if name not in self.hold:
                stay = ", ".join(self.hold) or "none"
                raise PlanError(f"hold= names '{name}'; the inputs that do not scale are: {stay}.")
        checked = {n: float(check_values(n, v)) for n, v in values.items()}
        return replace(self, hold={**self.hold, **checked})

    @property
    def label(self) -> str:
        """How the recipes scale, in words."""
        if self.scale not in self.inputs:
            if self.ratio is None:
                return "each at its own best size"
            return f"{self.ratio:g} tokens per parameter"
        held = ", ".join(f"{n}={v:g}" for n, v in self.hold.items())
        return f"at {held}" if held else ""

    def points(self, scale: Array, curve: Predictive, higher: bool) -> list[Array]:
        """Inputs of a recipe at these scales, each ``(n,)``."""
        if self.scale in self.inputs:
            fixed = {n: np.full(scale.shape, v) for n, v in self.hold.items()}
            return [scale if n == self.scale else fixed[n] for n in self.inputs]
        ratio = self.ratio if self.ratio is not None else self._best(scale, curve, higher)
        return self._split(scale, ratio)

    def _split(self, scale: Array, ratio: Array | float) -> list[Array]:
        params = np.sqrt(scale / (_KAPPA * ratio))
        named = dict(zip(PAIR, (params, scale / (_KAPPA * params)), strict=True))
        return [named[n] for n in self.inputs]

    def _best(self, scale: Array, curve: Predictive, higher: bool) -> Array:
        """Tokens per parameter of the best split of each budget, by a search and a parabola."""
        grid = np.linspace(np.log(_SPAN[0]), np.log(_SPAN[1]), _SIZES)
        tried = self._split(scale[:, None], np.exp(grid))
        flat = curve.mean([v.ravel() for v in tried]).reshape(len(scale), _SIZES)
        cost = np.nan_to_num(-flat if higher else flat, nan=np.inf)
        at = np.clip(cost.argmin(axis=1), 1, _SIZES - 2)
        rows = np.arange(len(scale))
        left, middle, right = (cost[rows, at + i] for i in (-1, 0, 1))
        bend = left - 2.0 * middle + right
        with np.errstate(all="ignore"):
            shift = np.where(bend > 0, 0.5 * (left - right) / bend, 0.0)
        return np.asarray(np.exp(grid[at] + np.clip(shift, -1.0, 1.0) * (grid[1] - grid[0])))


def reached(log: Array, curve: Array, wanted: Array) -> Array:
    """Where a falling curve first takes the wanted values; infinite of either sign if nowhere.

    Examples
    --------
    >>> reached(np.array([0.0, 1.0, 2.0]), np.array([3.0, 2.0, 1.0]), np.array([1.5, 0.5])).tolist()
    [1.5, inf]
    """
    falling = np.minimum.accumulate(curve)
    found = np.interp(-wanted, -falling, log)
    found = np.where(wanted < falling[-1], np.inf, found)
    return np.asarray(np.where(wanted > falling[0], -np.inf, found))


def last_change(log: Array, gaps: Array) -> Array:
    """Where each gap ``(k, n)`` changes sign for the last time; NaN if it never does.

    Examples
    --------
    >>> last_change(np.array([0.0, 1.0, 2.0]), np.array([[-1.0, 1.0, 2.0]])).tolist()
    [0.5]
    """
    sign = np.sign(gaps)
    changes = sign[:, 1:] * sign[:, :-1] < 0
    at = changes.shape[1] - 1 - np.argmax(changes[:, ::-1], axis=1)
    rows = np.arange(len(gaps))
    before, after = gaps[rows, at], gaps[rows, at + 1]
    with np.errstate(all="ignore"):
        found = log[at] + (log[at + 1] - log[at]) * before / (before - after)
    return np.where(changes.any(axis=1), found, np.nan)
