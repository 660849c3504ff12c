"""Run noise: how far one more run falls from the mean curve, on the residual scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_laws.solving.objective import Array


def run_noise(residuals: Array, weights: Array, free_coefficients: float) -> float:
    """Standard deviation of a run around the curve, degrees of freedom counted.

    Parameters
    ----------
    residuals : ndarray (n,)
        On the residual scale.
    weights : ndarray (n,)
        Row weights; only their ratios matter.
    free_coefficients : int
        Coefficients spent on the fit.

    Returns
    -------
    float
        ``sqrt(n / (n - q) * weighted mean square)``; NaN when no degree of freedom is left.

    Examples
    --------
    >>> run_noise(np.array([1.0, -1.0, 1.0, -1.0]), np.ones(4), 2)
    1.4142135623730951
    """
    n = len(residuals)
    if n <= free_coefficients:
        return float("nan")
    mean_square = float(np.sum(weights * residuals**2) / np.sum(weights))
    return float(np.sqrt(mean_square * n / (n - free_coefficients)))


@dataclass(frozen=True)
class LackOfFit:
    """Misfit of the curve against the spread of replicates.

    Parameters
    ----------
    replicate_noise : float
        Standard deviation between runs of one configuration, on the residual scale.
    ratio : float
        Mean square of the configurations' distance from the curve over that of replicates.
    p_value : float
        Chance of a ratio this large if the law were right and the noise normal.
    """

    replicate_noise: float
    ratio: float
    p_value: float


def lack_of_fit(
    residuals: Array, weights: Array, configuration: NDArray[np.uint64], free_coefficients: int
) -> LackOfFit | None:
    """Compare the misfit with the spread of repeated configurations (F test of pure error).

    Parameters
    ----------
    residuals, weights : ndarray (n,)
    configuration : ndarray (n,)
        Label of the inputs of each row; equal labels are replicates.
    free_coefficients : int

    Returns
    -------
    LackOfFit or None
        None without replicates, without noise, or without more configurations than coefficients.

    References
    ----------
    Draper and Smith (1998), Applied Regression Analysis, sec. 2.1.

    Examples
    --------
    >>> level = np.repeat(np.arange(8), 4).astype(np.uint64)
    >>> noise = np.tile([0.1, -0.1, 0.2, -0.2], 8)
    >>> lack_of_fit(noise, np.ones(32), level, 2).p_value > 0.9
    True
    >>> lack_of_fit(noise + np.repeat([1.0, -1.0] * 4, 4), np.ones(32), level, 2).p_value < 1e-6
    True
    """
    from scipy.special import fdtrc

    _, group = np.unique(configuration, return_inverse=True)
    group = group.ravel()
    weights = (
        weights / weights.max()
    )  # only their ratios matter, and sums of tiny ones have no float
    total = np.bincount(group, weights)
    sums = np.bincount(group, weights * residuals)
    mean = np.divide(sums, total, out=np.zeros(len(total)), where=total > 0)  # weights may vanish
    n, levels = len(residuals), len(total)
    inner, outer = n - levels, levels - free_coefficients
    pure = float(np.sum(weights * (residuals - mean[group]) ** 2))
    if inner < 1 or outer < 1 or pure <= 1e-24 * float(np.sum(weights)):
        return None
    ratio = float(np.sum(total * mean**2)) / outer / (pure / inner)
    scale = n / float(np.sum(weights))
    return LackOfFit(float(np.sqrt(pure * scale / inner)), ratio, float(fdtrc(outer, inner, ratio)))
