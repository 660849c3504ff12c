"""Weights of candidates from their backtests, and the law error that is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.runs import Runs
from scaling_laws.errors import Note, ScalingLawError
from scaling_laws.inference.calibration import Calibration, bundled_calibration
from scaling_laws.inference.law_error import LawError, excess_rate, weighted_median
from scaling_laws.inference.trials import Cuts, Trial, make_cuts, run_trial
from scaling_laws.laws.family import LawFamily
from scaling_laws.solving.objective import Array, target_unit
from scaling_laws.solving.setup import Settings

_LEAST_ERROR = 1e-5
_FEW_CUTS = 2


@dataclass(frozen=True, eq=False)
class Weighed:
    """Candidates with weights.

    Parameters
    ----------
    trials : tuple of Trial
    cuts : Cuts
    labels : tuple of str (m,)
        Names of the candidates, every focus of every trial in turn.
    backtest : ndarray (m,)
        Geometric mean of their held-out errors, NaN without a cut.
    scores, weights : ndarray (m,)
        Logarithm of the error shrunk to the prior, and the weight that follows.
    rate : float
        Law error per e-fold along the direction of the cuts.
    cuts_used : int
        Cuts that told something about it.
    cuts_told : int
        Cuts behind ``backtest``.
    """

    trials: tuple[Trial, ...]
    cuts: Cuts
    labels: tuple[str, ...]
    backtest: Array
    scores: Array
    weights: Array
    rate: float
    cuts_used: int
    cuts_told: int

    @property
    def places(self) -> list[tuple[Trial, int]]:
        """The trial and the focus of each candidate."""
        return [(t, i) for t in self.trials for i in range(len(t.focuses))]

    def noise_variance(self) -> float:
        """Squared run noise, the candidates' weighted mean."""
        return float(self.weights @ np.concatenate([t.noise_variance for t in self.trials]))


Evidence = Mapping[str, tuple[float, int]]


def weigh(
    trials: Sequence[Trial],
    cuts: Cuts,
    calibration: Calibration,
    pooled: Evidence | None = None,
) -> Weighed:
    """Weigh candidates by how they predicted held-out runs, and by what is known of them.

    Parameters
    ----------
    trials : sequence of Trial
    cuts : Cuts
    calibration : Calibration
    pooled : mapping of label to (score, cuts), optional
        Scores over several tables, to count instead of this one's.
    """
    labels = tuple(t.label(i) for t in trials for i in range(len(t.focuses)))
    errors = np.concatenate([t.errors for t in trials], axis=1)  # (c, m, n)
    backtest, told = _backtest_score(errors, ~cuts.train, calibration.decay)
    prior = np.array([calibration.score(cuts.known_as, label) for label in labels])
    own = np.zeros(len(labels)) if not told else backtest - np.median(backtest)
    counts = np.full(len(labels), told)
    if pooled is not None:
        own, counts = (
            np.array(column) for column in zip(*(pooled[n] for n in labels), strict=True)
        )
    worth = calibration.prior_worth(cuts.known_as) if cuts.scored else 0.0
    share = worth / np.maximum(worth + counts, 1e-300)
    scores = share * prior + (1.0 - share) * own
    weights = np.exp(-calibration.power * (scores - scores.min()))
    weights = weights / weights.sum()
    found = held_out_errors(trials, cuts, weights, calibration.coefficient_share)
    problem = trials[0].problem
    prior_rate = calibration.rate(cuts.known_as) * target_unit(problem.residual, problem.y)
    rate, used = excess_rate(*found, prior_rate, calibration.rate_cuts)
    return Weighed(tuple(trials), cuts, labels, np.exp(backtest), scores, weights, rate, used, told)


def pool(weighed: Sequence[Weighed]) -> dict[str, tuple[float, int]]:
    """Scores of candidates over several tables: each cut of each table counts alike."""
    total: dict[str, list[float]] = {}
    for found in weighed:
        own = np.log(found.backtest)
        own = own - np.median(own) if found.cuts_told else np.zeros(len(own))
        for label, score in zip(found.labels, own, strict=True):
            entry = total.setdefault(label, [0.0, 0.0])
            entry[0] += float(score) * found.cuts_told
            entry[1] += found.cuts_told
    return {n: (s / k if k else 0.0, int(k)) for n, (s, k) in total.items()}


def _backtest_score(errors: Array, held: NDArray[np.bool_], decay: float) -> tuple[Array, int]:
    """Weighted mean log error of each candidate ``(m,)``, and how many cuts there were."""
    total, weight_sum, told = np.zeros(errors.shape[1]), 0.0, 0
    for c, rows in enumerate(held):
        if not rows.any():
            continue
        mean = np.abs(errors[c][:, rows]).mean(axis=1)
        if not np.isfinite(mean).any():
            continue
        mean = np.where(np.isfinite(mean), mean, np.nanmax(np.where(np.isfinite(mean), mean, 0.0)))
        weight = decay ** (len(held) - 1 - c)
        total += weight * np.log(np.maximum(mean, _LEAST_ERROR))
        weight_sum, told = weight_sum + weight, told + 1
    return (total / weight_sum if told else np.full(errors.shape[1], np.nan)), told


HeldOut = tuple[list[Array], list[Array], list[Array]]


def held_out_errors(
    trials: Sequence[Trial], cuts: Cuts, weights: Array, coefficient_share: float
) -> HeldOut:
    """Errors of the weighted mean above each cut, their expected variance, and log distances."""
    errors = np.concatenate([t.errors for t in trials], axis=1)
    variance, noise = _cut_variances(trials)
    distance = cuts.distance
    found: HeldOut = ([], [], [])
    for c, rows in enumerate(~cuts.train):
        told = np.isfinite(errors[c]).all(axis=1)
        if not rows.any() or not (weights * told).sum() > 0:
            continue
        share = weights * told / (weights * told).sum()
        at = np.where(told[:, None], errors[c][:, rows], 0.0)
        mean = share @ at
        own = weighted_median(np.where(told[:, None], variance[c][:, rows], 0.0), share)
        expected = share @ np.where(told, noise[c], 0.0) + coefficient_share**2 * own
        expected = expected + share @ (at - mean) ** 2
        for kept, value in zip(found, (mean, expected, distance[c][rows]), strict=True):
            kept.append(value)
    return found


def _cut_variances(trials: Sequence[Trial]) -> tuple[Array, Array]:
    """Coefficient variance ``(c, m, n)`` and noise variance ``(c, m)`` below every cut."""
    variance = np.concatenate([t.cut_variance for t in trials], axis=1)
    return variance, np.concatenate([t.cut_noise_variance for t in trials], axis=1)


def fitted_law_error(
    settings: Settings, runs: Runs, family: LawFamily, calibration: Calibration | None = None
) -> tuple[LawError, tuple[Note, ...]]:
    """Law error of one law under given options, from its backtests along every direction.

    Parameters
    ----------
    settings : Settings
    runs : Runs
    family : LawFamily
    calibration : Calibration, optional
        Default: the bundled one.

    Returns
    -------
    LawError
    tuple of Note
        ``law_error_from_prior`` where fewer than two cuts could be fitted.
    """
    calibration = calibration or bundled_calibration()
    rates, unsure = {}, []
    unit = settings.target_unit(runs)
    for along in directions(runs):
        cuts = make_cuts(runs, along)
        rates[along] = prior = calibration.rate(along, alone=True) * unit
        try:
            trial = run_trial(settings, runs, family, cuts, focuses=(settings.focus,))
        except ScalingLawError:
            unsure.append(along)
            continue
        rates[along], used = backtested_rate(trial, cuts, prior, calibration.rate_cuts)
        if used < _FEW_CUTS:
            unsure.append(along)
    return LawError(rates, runs.ranges()), _prior_notes(unsure)


def backtested_rate(trial: Trial, cuts: Cuts, prior: float, prior_cuts: float) -> tuple[float, int]:
    """Rate of one law's error beyond its cuts, under its first focus; see `excess_rate`."""
    held = ~cuts.train
    variance, noise = trial.cut_variance[:, 0], trial.cut_noise_variance[:, 0]
    return excess_rate(
        [e[0][rows] for e, rows in zip(trial.errors, held, strict=True)],
        [s + v[rows] for s, v, rows in zip(noise, variance, held, strict=True)],
        [d[rows] for d, rows in zip(cuts.distance, held, strict=True)],
        prior,
        prior_cuts,
    )


def directions(runs: Runs) -> list[str]:
    """Directions whose law error is backtested: compute, and each of at most two inputs."""
    if len(runs.inputs) == 1:
        return list(runs.inputs)
    varied = [n for n, v in zip(runs.inputs, runs.x, strict=True) if np.ptp(v) > 0]
    return ["flops", *(varied if len(runs.inputs) == 2 else [])]


def _prior_notes(unsure: Sequence[str]) -> tuple[Note, ...]:
    if not unsure:
        return ()
    message = (
        f"fewer than two backtests along {list(unsure)}: how far the law may be wrong there is "
        "what other data sets say"
    )
    return (Note("law_error_from_prior", "info", message, {"along": list(unsure)}),)
