"""Remarks on isoFLOP fits: budgets without a minimum, grids that mislead, biased parabolas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling_laws.errors import Note
from scaling_laws.laws.family import Array, Law
from scaling_laws.planning.isoflop.parabola import Parabolas, Slices

_FEW_SIZES = 5  # sizes below which a parabola has little to be checked by
_FEW_BUDGETS = 4  # budgets below which a power law has little to be checked by
_LARGE_BIAS = 0.05  # of the optimum, that is worth a warning


def slice_notes(
    point: Parabolas, cut: Slices, log_c: Array, number: NDArray[np.intp]
) -> list[Note]:
    """Notes on budgets without a minimum, with few sizes, or with runs of unequal compute."""
    notes = []
    budgets = np.exp(cut.log_c)
    out = ~point.inside
    if out.any():
        notes.append(
            Note(
                "no_interior_minimum",
                "warning",
                f"{out.sum()} of {len(out)} budgets have no minimum inside the sizes measured "
                f"(first {budgets[out][0]:.3g} FLOP) and were left out. Add smaller or larger "
                "sizes there.",
                {"flops": budgets[out].tolist()},
            )
        )
    few = np.array([len(rows) < _FEW_SIZES for rows in cut.rows]) & point.inside
    if few.any():
        notes.append(
            Note(
                "few_sizes",
                "info",
                f"{few.sum()} budgets have fewer than {_FEW_SIZES} runs near the minimum: nothing "
                "checks the parabola there. Add sizes.",
                {"flops": budgets[few].tolist()},
            )
        )
    ratio = [np.exp(np.ptp(log_c[number == i])) for i in range(len(budgets))]
    if max(ratio) > 1.0 + 1e-6:
        notes.append(
            Note(
                "unequal_compute",
                "info",
                f"runs of one budget differ in compute by up to {max(ratio) - 1:.1%}; their losses "
                "were moved to the budget along the slope of the minima.",
                {"ratio": float(max(ratio))},
            )
        )
    return notes


def line_notes(point: Parabolas) -> list[Note]:
    """Note on too few budgets to check a power law."""
    used = int(point.inside.sum())
    if used >= _FEW_BUDGETS:
        return []
    message = (
        f"the power law goes through {used} budgets: nothing or little checks it. Add budgets."
    )
    return [Note("few_budgets", "warning", message, {"budgets": used})]


def bias_notes(bias: Array, cut: Slices, law: Law, corrected: bool) -> list[Note]:
    """Notes on the parabolas' bias, by a law on the grid as it is.

    Parameters
    ----------
    bias : ndarray
        Of ln N, at the budgets used.
    """
    with np.errstate(over="ignore"):  # infinite where a law puts the optimum beyond all floats
        size = np.expm1(bias[np.isfinite(bias)])
    if not len(size):
        return []
    worst, mean = float(size[np.argmax(np.abs(size))]), float(size.mean())
    drift = float(np.ptp(bias[np.isfinite(bias)]))
    done = "It was taken off" if corrected else "corrected=True takes it off"
    large = abs(worst) > _LARGE_BIAS and not corrected
    width = float(np.exp(np.max(cut.ends[1] - cut.ends[0]) / 2))
    return [
        Note(
            "parabola_bias",
            "warning" if large else "info",
            f"if '{law.family.name}' is right, these parabolas miss its optima by {mean:+.1%} of "
            f"the size on average, {worst:+.1%} at most. {done}; narrow, centred grids or a fitted "
            "law avoid it.",
            {"mean": mean, "worst": worst, "drift": drift, "half_width": width},
        )
    ]


def quantiles(drawn: Array, level: float) -> Array:
    """Ends ``(2, ...)`` of the central interval down the draws; NaN is left out."""
    if not len(drawn):
        return np.full((2, *drawn.shape[1:]), np.nan)
    counts = np.isfinite(drawn).any(axis=0)
    filled = np.where(counts, drawn, 0.0)
    ends = np.nanquantile(filled, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return np.asarray(np.where(counts, ends, np.nan))
