"""The way a recipe scales: from compute, or one input, to all inputs of its law."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from scaling_laws.errors import PlanError
from scaling_laws.laws.family import Array
from scaling_laws.planning.contender import Predictions

_PAIR = {"params", "tokens"}
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
        joint = set(self.inputs) == _PAIR and self.scale == "flops"
        if self.ratio is not None and not joint:
            raise PlanError(
                f"ratio= is tokens per parameter, but these are laws of {', '.join(self.inputs)} "
                f"compared along {self.scale}. Leave it out."
            )
        if self.ratio is not None and not (np.isfinite(self.ratio) and self.ratio > 0):
            raise PlanError(f"ratio must be a positive number, got {self.ratio!r}.")
        left = [n for n in self.inputs if n != self.scale and n not in self.hold]
        if left and not joint:
            raise PlanError(
                f"scaling along {self.scale} says nothing about {left}. Hold them with "
                f"hold={{{left[0]!r}: ...}}."
            )

    @property
    def label(self) -> str:
        """How the recipes scale, in words."""
        if set(self.inputs) == _PAIR and self.scale == "flops":
            if self.ratio is None:
                return "each at its own best size"
            return f"{self.ratio:g} tokens per parameter"
        held = ", ".join(f"{n}={v:g}" for n, v in self.hold.items())
        return f"at {held}" if held else ""

    def points(self, scale: Array, curve: Predictions, higher: bool) -> list[Array]:
        """Inputs of a recipe at these scales, each ``(n,)``."""
        if self.scale in self.inputs:
            fixed = {n: np.full(scale.shape, v) for n, v in self.hold.items()}
            return [scale if n == self.scale else fixed[n] for n in self.inputs]
        ratio = self.ratio if self.ratio is not None else self._best(scale, curve, higher)
        params = np.sqrt(scale / (_KAPPA * ratio))
        named = {"params": params, "tokens": scale / (_KAPPA * params)}
        return [named[n] for n in self.inputs]

    def _best(self, scale: Array, curve: Predictions, higher: bool) -> Array:
        """Tokens per parameter of the best split of each budget, by a search and a parabola."""
        grid = np.linspace(np.log(_SPAN[0]), np.log(_SPAN[1]), _SIZES)
        params = np.sqrt(scale[:, None] / (_KAPPA * np.exp(grid)))
        named = {"params": params, "tokens": scale[:, None] / (_KAPPA * params)}
        flat = curve.mean([named[n].ravel() for n in self.inputs]).reshape(params.shape)
        cost = np.nan_to_num(-flat if higher else flat, nan=np.inf)
        at = np.clip(cost.argmin(axis=1), 1, _SIZES - 2)
        rows = np.arange(len(scale))
        left, middle, right = (cost[rows, at + i] for i in (-1, 0, 1))
        bend = left - 2.0 * middle + right
        with np.errstate(all="ignore"):
            shift = np.where(bend > 0, 0.5 * (left - right) / bend, 0.0)
        return np.asarray(np.exp(grid[at] + np.clip(shift, -1.0, 1.0) * (grid[1] - grid[0])))
