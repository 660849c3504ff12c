"""Run noise: how far one more run falls from the mean curve, on the residual scale."""

from __future__ import annotations

import numpy as np

from scaling_laws.solving.objective import Array


def run_noise(residuals: Array, weights: Array, free_coefficients: int) -> float:
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
