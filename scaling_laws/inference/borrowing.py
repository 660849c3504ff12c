"""What a group's coefficients may borrow from the other groups: exponents and shapes.

Groups that share a mechanism share its exponents more than its amplitudes and floors, and a dozen
runs hardly tell an exponent. Each group's are drawn towards the other groups', as loosely as these
differ among themselves (empirical Bayes; the group's own runs never enter).

References
----------
Efron & Morris (1975), "Data analysis using Stein's estimator and its generalizations".
Choshen et al. (2024), arXiv:2410.11840: exponents carry over between model families.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scaling_laws.inference.trials import Trial, score_and_bread
from scaling_laws.solving.objective import Array

Typical = Mapping[str, tuple[float, float]]

_ROLES = ("exponent", "shape")
_LEAST_SPREAD = 0.3  # of a coefficient between groups, relative to its mean
_LEAST_SD = 0.05  # of what one group says: a lone exact fit does not decide
_LEAST_VARIANCE = 1e-12


def borrowed(trials: Sequence[Trial]) -> list[Typical]:
    """For each group, where the other groups put the coefficients of one law.

    Parameters
    ----------
    trials : sequence of Trial
        One law tried in every group.

    Returns
    -------
    list of mapping of str to (float, float)
        Centre and standard deviation by coefficient, in the solver's terms; empty where the law
        has no exponent or shape, or the other groups tell nothing.
    """
    told = [_told(t) for t in trials]
    return [_typical([x for j, x in enumerate(told) if j != i]) for i in range(len(trials))]


def _told(trial: Trial) -> dict[str, tuple[float, float]]:
    """Estimate and precision of each shared coefficient, without focus."""
    problem = trial.problem
    at = int(np.argmin(trial.focuses))
    free, delta = trial.free[at : at + 1], trial.delta[at : at + 1]
    if not np.isfinite(free).all() or not np.isfinite(trial.focuses[at]):
        return {}
    bread = score_and_bread(problem, free, trial.weights[at : at + 1], delta)[2][0]
    noise = max(float(trial.noise_variance[at]), _LEAST_VARIANCE)
    variance = _variances(bread / noise)
    out = {}
    for j, i in enumerate(problem.free):
        coefficient = problem.family.coefficients[i]
        if coefficient.role in _ROLES and np.isfinite(variance[j]):
            out[coefficient.name] = (float(free[0, j]), 1.0 / (variance[j] + _LEAST_SD**2))
    return out


def _variances(information: Array) -> Array:
    """Diagonal of the inverse; infinite where a coefficient is not determined."""
    if not np.isfinite(information).all():
        return np.full(len(information), np.inf)
    values, vectors = np.linalg.eigh(information)
    with np.errstate(all="ignore"):
        each = vectors**2 / np.maximum(values, 0.0)
    return np.asarray(np.where(np.isfinite(each), each, np.inf).sum(axis=1), dtype=float)


def _typical(others: Sequence[Mapping[str, tuple[float, float]]]) -> Typical:
    """Weighted mean over groups, and how far a further group's may be from it."""
    out = {}
    for name in sorted({n for told in others for n in told}):
        estimate, precision = np.array([told[name] for told in others if name in told]).T
        share = precision / precision.sum()
        centre = float(share @ estimate)
        k = len(estimate)
        spread = float(share @ (estimate - centre) ** 2) * k / max(k - 1, 1)
        sd = float(np.hypot(_LEAST_SPREAD * abs(centre), np.sqrt(spread)))
        if sd > 0:
            out[name] = (centre, sd)
    return out
