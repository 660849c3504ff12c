"""Compute of a run [FLOP]: from whom the number comes, and whether the counts agree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from scaling_laws.errors import Note

_APART = 1.5  # below the factor of two between multiply-adds and FLOP
_FLOPS_PER_MULTIPLY_ADD = 2
_FLOPS_PER_PARAM_AND_TOKEN = 6


def flops_of(
    config: Mapping[str, Any], metrics: Mapping[str, float], counted: float = math.nan
) -> dict[str, float]:
    """Every count of a run's compute, the one to use first.

    Parameters
    ----------
    config : mapping
        Configuration of the run; ``flops`` [FLOP], ``params`` and ``tokens`` [count] are read.
    metrics : mapping of str to float
        What the run returned; also ``macs`` [multiply-adds], which are two FLOP each.
    counted : float
        What torch counted [FLOP], or NaN.

    Returns
    -------
    dict of str to float
        By convention: ``"returned"``, ``"2 macs"``, ``"given"``, ``"torch"``, ``"6ND"``; those
        that are known. Counts of zero are kept, for a check against the others.

    References
    ----------
    6ND: Kaplan et al. (2020), arXiv:2001.08361, sec. 2.1.

    Examples
    --------
    >>> flops_of({"params": 10, "tokens": 200}, {"loss": 2.0, "macs": 6000})
    {'2 macs': 12000.0, '6ND': 12000.0}
    """
    known = {**config, **metrics}
    found = {
        "returned": _number(metrics.get("flops")),
        "2 macs": _FLOPS_PER_MULTIPLY_ADD * _number(metrics.get("macs")),
        "given": _number(config.get("flops")),
        "torch": counted,
        "6ND": _FLOPS_PER_PARAM_AND_TOKEN * _positive(known, "params") * _positive(known, "tokens"),
    }
    return {name: value for name, value in found.items() if not math.isnan(value)}


def flops_notes(counts: Iterable[Mapping[str, float]]) -> list[Note]:
    """Say in which runs the counts of compute are impossible, or too far apart.

    Parameters
    ----------
    counts : iterable of mapping
        As from :func:`flops_of`, one per row.

    Returns
    -------
    list of Note
        ``flops_disagree`` if counts of a run differ by more than a factor of 1.5, or one is not
        positive and finite; else empty.

    Examples
    --------
    >>> str(flops_notes([{"torch": 1e9, "6ND": 1.1e9}]))
    '[]'
    >>> flops_notes([{"torch": 0.0, "6ND": 1.1e9}])[0].code
    'flops_disagree'
    """
    rows = list(counts)
    apart = [row for row, found in enumerate(rows) if _disagree(found)]
    if not apart:
        return []
    first = rows[apart[0]]
    shown = ", ".join(f"{name} {value:.4g}" for name, value in first.items())
    return [
        Note(
            "flops_disagree",
            "warning",
            f"in {len(apart)} of {len(rows)} runs the counts of compute differ by more than a "
            f"factor of {_APART} (row {apart[0]}: {shown}). Multiply-adds are half the FLOP: "
            "return them as 'macs'. Counters miss attention on processors and compiled kernels; "
            "6ND leaves attention out",
            {"rows": apart, "counts": dict(first)},
        )
    ]


def _disagree(found: Mapping[str, float]) -> bool:
    values = list(found.values())
    if not all(math.isfinite(value) and value > 0 for value in values):
        return True
    return bool(values) and max(values) > _APART * min(values)


def _number(value: Any) -> float:
    """Return a number as float, NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    return _as_float(value)


def _positive(known: Mapping[str, Any], name: str) -> float:
    value = _number(known.get(name))
    return value if 0 < value < math.inf else math.nan


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
