"""Arithmetic that laws share; complex arguments are allowed, and nothing overflows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MOST_LOG = 600.0  # of a scale that still has a float in any unit


def grown(amplitude: Any, rate: Any, factor: float) -> Any:
    """Return the amplitude of ``x^-rate`` after ``x`` is multiplied by ``factor``.

    Examples
    --------
    >>> float(grown(3.0, 0.5, 4.0))
    6.0
    """
    with np.errstate(over="ignore", invalid="ignore"):  # infinite where too large, NaN if it was
        return amplitude * np.exp(rate * np.log(factor))


def regrown(coef: Mapping[str, Any], *terms: tuple[str, Any, float]) -> dict[str, Any]:
    """Return the coefficients with some amplitudes grown in turn, each a (name, rate, factor).

    Examples
    --------
    >>> new = regrown({"A": 3.0, "alpha": 0.5}, ("A", 0.5, 4.0), ("A", 1.0, 2.0))
    >>> round(float(new["A"]), 12)
    12.0
    """
    out = dict(coef)
    for name, rate, factor in terms:
        out[name] = grown(out[name], rate, factor)
    return out


def additive_rescale(coef: Mapping[str, Any], factors: Sequence[float]) -> dict[str, Any]:
    """Return the coefficients of a law with ``A x^-alpha`` and ``B z^-beta`` in other units.

    Its first two inputs, ``x`` and ``z``, are multiplied by the first two factors.

    Examples
    --------
    >>> new = additive_rescale({"A": 3.0, "alpha": 0.5, "B": 1.0, "beta": 1.0}, (4.0, 10.0))
    >>> round(float(new["A"]), 12), round(float(new["B"]), 12)
    (6.0, 10.0)
    """
    return regrown(coef, ("A", coef["alpha"], factors[0]), ("B", coef["beta"], factors[1]))


def logistic(z: Any) -> Any:
    """Return ``1 / (1 + exp(-z))``.

    Examples
    --------
    >>> logistic(np.array([-1000.0, 0.0, 1000.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    rising = np.real(z) > 0
    small = np.exp(np.where(rising, -z, z))
    return np.where(rising, 1.0, small) / (1.0 + small)


def softplus(z: Any) -> Any:
    """Return ``log(1 + exp(z))``.

    Examples
    --------
    >>> softplus(np.array([-1000.0, 0.0, 1000.0])).round(6).tolist()
    [0.0, 0.693147, 1000.0]
    """
    rising = np.real(z) > 0
    return np.where(rising, z, 0.0) + np.log1p(np.exp(np.where(rising, -z, z)))
