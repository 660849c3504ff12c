"""From weighed candidates to one predictive: their mean, and draws that each belong to one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.runs import Runs
from scaling_laws.inference.calibration import Calibration
from scaling_laws.inference.interval import Predictive, Spread
from scaling_laws.inference.law_error import LawError
from scaling_laws.inference.resample import cluster_weights, keyed_normals, keyed_ranks
from scaling_laws.inference.trials import direction_kind
from scaling_laws.inference.weighing import Weighed, directions
from scaling_laws.laws.combined import combine
from scaling_laws.solving.objective import Array, target_unit

_LEAST_WEIGHT = 0.001  # lighter candidates are listed but not drawn from


def combined_predictive(
    runs: Runs,
    weighed: Weighed,
    clusters: NDArray[np.uint64],
    draws: int,
    seed: int,
    constants: Calibration,
) -> Predictive:
    """Combine candidates: point coefficients, draws of each, law error, noise.

    Parameters
    ----------
    runs : Runs
    weighed : Weighed
        Candidates of next to no weight are left out.
    clusters : ndarray of uint64 (n,)
        Labels to resample by.
    draws, seed : int
    constants : Calibration

    Returns
    -------
    Predictive
    """
    kept = np.flatnonzero(weighed.weights >= min(_LEAST_WEIGHT, weighed.weights.max()))
    places = [weighed.places[i] for i in kept]
    share = weighed.weights[kept] / weighed.weights[kept].sum()
    first = places[0][0].problem
    family = combine([t.family for t, _ in places], first.residual, first.bounds)
    rank = keyed_ranks("candidate", draws, seed)
    owner = np.minimum(np.searchsorted(np.cumsum(share), rank), len(places) - 1)
    reweighted = cluster_weights(clusters, 0, draws, seed)
    point = [t.prepared.raw(t.free[[f]])[0] for t, f in places]
    drawn, moved, sizes = [], [], []
    for i, (trial, focus) in enumerate(places):
        mine = np.flatnonzero(owner == i)
        block = np.repeat(point[i][None], draws, axis=0)
        with np.errstate(all="ignore"):  # a long step may leave what numbers can hold
            stepped = trial.prepared.raw(trial.one_step(focus, reweighted[mine]))
        sound = np.isfinite(stepped).all(axis=1)
        block[mine[sound]] = stepped[sound]
        drawn.append(block)
        steps, size = trial.sandwich_steps(focus)
        moved.append(_one_candidate(point, i, trial.prepared.raw(steps)))
        sizes.append(size)
    rates = {
        n: constants.rate(direction_kind(runs.inputs, n)) * target_unit(first.residual, first.y)
        for n in directions(runs)
    }
    weights = np.eye(len(places))[owner] if draws else np.zeros((0, len(places)))
    return Predictive(
        family=family,
        values=np.concatenate([share, *point]),
        coef=np.concatenate([weights, *drawn], axis=1),
        z_law=keyed_normals("law error", draws, seed),
        z_run=keyed_normals("run noise", draws, seed),
        noise=float(np.sqrt(weighed.noise_variance())),
        residual=first.residual,
        bounds=first.bounds,
        law_error=LawError({**rates, weighed.cuts.along: weighed.rate}, runs.ranges()),
        spread=Spread(
            len(places),
            constants.coefficient_share,
            np.concatenate(moved),
            np.concatenate(sizes),
            {part: keyed_normals(part, draws, seed) for part in ("candidates", "coefficients")},
            _stretch(constants, draws, seed),
            constants.factor,
            constants.dof,
        ),
    )


def _one_candidate(point: Sequence[Array], i: int, raw: Array) -> Array:
    """Coefficients of the combined law that weigh candidate ``i`` alone, with these of its own."""
    rows = [np.repeat(p[None], len(raw), axis=0) for p in point]
    rows[i] = raw
    return np.concatenate([np.repeat(np.eye(len(point))[[i]], len(raw), axis=0), *rows], axis=1)


def _stretch(constants: Calibration, draws: int, seed: int) -> Array:
    """Factor of each draw's deviation: Student's t instead of a normal, and calibrated."""
    from scipy.special import gammaincinv

    rank = keyed_ranks("stretch", draws, seed)
    square = 2.0 * gammaincinv(0.5 * constants.dof, rank)
    return np.asarray(constants.factor * np.sqrt(constants.dof / square))
