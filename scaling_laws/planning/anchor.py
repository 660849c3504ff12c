"""Plans beyond the data tied to the last optimum that was measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling_laws.errors import Note, PlanError
from scaling_laws.laws.family import Array
from scaling_laws.planning.baseline import Baseline, constant_exponent, shrunk_optimum
from scaling_laws.planning.optimum import NumericSurface
from scaling_laws.planning.power_sum import PowerSum
from scaling_laws.planning.source import Source

_DISTINCT = 0.4  # share of the runs of a study of budgets that have tokens of their own
_DIGITS = 4


@dataclass(frozen=True)
class Anchor:
    """The last measured optimum, under one cost.

    Parameters
    ----------
    base : Baseline
    kappa : float
        FLOP per parameter and token.
    """

    base: Baseline
    kappa: float

    def moved(self, surface: PowerSum | NumericSurface, log_c: Array, log_n: Array) -> Array:
        """Logarithm of the size to recommend at ``log_c`` of params times tokens."""
        last = np.array([np.log(self.base.flops / self.kappa)])
        law_last = surface.best_split(last)[0].ravel()
        return shrunk_optimum(log_n, law_last, self.base, log_c + np.log(self.kappa)).ravel()

    def notes(self, before: Array, after: Array) -> list[Note]:
        """Say by how much the measured optimum moved the plan."""
        factor = np.exp(after - before)
        far = int(np.argmax(np.abs(after - before)))
        return [
            Note(
                "anchored_to_measured_optimum",
                "info",
                f"sizes grow from the best one measured, {self.base.params:.3g} params at "
                f"{self.base.flops:.3g} FLOP, by the law and by a constant exponent of "
                f"{self.base.exponent:g}, the law counting less with distance: "
                f"{factor[far]:.3g} times the law's own optimum. anchor=False goes by the law "
                "alone",
                {
                    "flops": self.base.flops,
                    "params": self.base.params,
                    "factor": float(factor[far]),
                },
            )
        ]


def get_anchor(source: Source, kappa: float) -> Anchor | None:
    """Return the anchor of a fit to an isoFLOP study of losses; else None."""
    runs = getattr(source.predictor, "runs", None)
    if runs is None or source.target != "loss" or not source.joint:
        return None
    tokens = np.unique(np.log(runs.column("tokens")).round(_DIGITS))
    if len(tokens) < _DISTINCT * len(runs):  # a grid of sizes and tokens, not one of budgets
        return None
    try:
        return Anchor(constant_exponent(runs), kappa)
    except PlanError:
        return None
