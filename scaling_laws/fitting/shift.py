"""Whether groups that share coefficients differ in them: a robust drop test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scaling_laws.errors import Note
from scaling_laws.inference.resample import at_bound
from scaling_laws.solving.batch import solve_batch
from scaling_laws.solving.objective import Array, rho
from scaling_laws.solving.parts import Part, determined, group_parts

if TYPE_CHECKING:
    from scaling_laws.fitting.joint import Joint

_SHIFT = 1e-3  # p-value: the groups of one table are many to choose from
_LEAST_FREEDOM = 3


@dataclass(frozen=True)
class Shift:
    """How much better groups fit apart.

    Parameters
    ----------
    ratio : float
        Drop of the objective per freed coefficient over what noise explains.
    p_value : float
        Chance of a ratio this large if the groups had the shared coefficients in common.
    worst : int
        Position of the group that gains most.
    """

    ratio: float
    p_value: float
    worst: int


def shift_notes(
    joint: Joint, clusters: NDArray[np.uint64], labels: Sequence[str]
) -> tuple[Note, ...]:
    """Doubt sharing where the groups fit significantly better apart."""
    found = group_shift(joint, clusters)
    if found is None or found.p_value > _SHIFT:
        return ()
    names = ", ".join(joint.tied.shared)
    return (
        Note(
            "group_shift",
            "warning",
            f"groups differ in what they share ({names}): each fitted by itself misses less than "
            f"noise explains (F = {found.ratio:.1f}), most of all '{labels[found.worst]}'. Share "
            "fewer coefficients, or leave that group out",
            {
                "ratio": found.ratio,
                "p_value": found.p_value,
                "worst": labels[found.worst],
                "shared": list(joint.tied.shared),
            },
        ),
    )


def group_shift(joint: Joint, clusters: NDArray[np.uint64]) -> Shift | None:
    """Test whether freeing the shared coefficients lowers the objective more than noise would.

    The drop is compared with its mean under the hypothesis, from the clusters' gradients, so that
    robust losses and correlated rows count (Schrader and Hettmansperger 1980; Rao and Scott 1984).

    Returns
    -------
    Shift or None
        None where a group has no row to spare, with priors, or with too few clusters.
    """
    point = joint.solved.point
    parts = group_parts(point.problem)
    freed = (len(parts) - 1) * int(parts[0].shared.sum())
    spare = min(len(np.unique(clusters)), len(joint.runs)) - sum(len(p.places) for p in parts)
    usable = all(determined(p) for p in parts) and joint.prior_sd is None
    if not freed or not usable or spare < _LEAST_FREEDOM:
        return None
    apart = [solve_batch(p.problem, point.free[None, p.places], tolerance=1e-8).free for p in parts]
    drops = np.array(
        [
            _misfit(p, point.free[None, p.places]) - _misfit(p, free)
            for p, free in zip(parts, apart, strict=True)
        ]
    )
    expected = _expected_drop(parts, apart, clusters)
    if not expected > 0:
        return None
    from scipy.special import fdtrc

    ratio = 2.0 * float(drops.sum()) / (freed * expected)
    return Shift(ratio, float(fdtrc(freed, spare, max(ratio, 0.0))), int(np.argmax(drops)))


def _misfit(part: Part, free: Array) -> float:
    problem = part.problem
    return float(np.sum(problem.weights * rho(problem.residuals(free)[0], problem.delta)))


def _expected_drop(parts: list[Part], apart: list[Array], clusters: NDArray[np.uint64]) -> float:
    """Mean drop per freed coefficient if the groups had them in common."""
    _, inverse = np.unique(clusters, return_inverse=True)
    count = int(inverse.max()) + 1
    moves, flats = [], []
    for part, free in zip(parts, apart, strict=True):
        inside = np.flatnonzero(~at_bound(part.problem, free[0]))
        residuals, jac = part.problem.residuals_with_jacobian(free)
        r, jac = residuals[0], jac[0][inside]
        delta, w = part.problem.delta, part.problem.weights
        flat = (jac * (w * (np.abs(r) <= delta))) @ jac.T
        score = jac * (w * np.clip(r, -delta, delta))
        rows = inverse.ravel()[part.rows]
        summed = np.stack([np.bincount(rows, s, count) for s in score]) if len(inside) else score
        chosen = np.zeros((int(part.shared.sum()), len(inside)))
        for row, j in enumerate(np.flatnonzero(part.shared)):
            chosen[row, inside == j] = 1.0
        inverted = _inverse(flat)
        moves.append(chosen @ inverted @ summed if len(inside) else np.zeros((len(chosen), count)))
        flats.append(chosen @ inverted @ chosen.T)
    return _mean_eigenvalue(moves, flats) * _small_sample(parts, len(inverse.ravel()))


def _inverse(matrix: Array) -> Array:
    unit = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    scaled = np.linalg.pinv(matrix * np.outer(unit, unit), rcond=1e-14, hermitian=True)
    return np.asarray(scaled * np.outer(unit, unit))


def _mean_eigenvalue(moves: list[Array], flats: list[Array]) -> float:
    """Mean over the contrasts between groups of observed over nominal variance."""
    told = np.array([np.diag(f) > 0 for f in flats]).all(axis=0)  # nowhere at a bound
    moves, flats = [m[told] for m in moves], [f[np.ix_(told, told)] for f in flats]
    size = int(told.sum())
    if not size:
        return 0.0
    contrast = np.concatenate([m - moves[0] for m in moves[1:]])
    nominal = np.tile(flats[0], (len(flats) - 1,) * 2)
    for g, flat in enumerate(flats[1:]):
        span = slice(g * size, (g + 1) * size)
        nominal[span, span] += flat
    scale = 1.0 / np.sqrt(np.diag(nominal))
    unit = nominal * np.outer(scale, scale)
    contrast = contrast * scale[:, None]
    observed = contrast @ contrast.T
    return float(np.trace(np.linalg.solve(unit, observed))) / len(unit)


def _small_sample(parts: list[Part], rows: int) -> float:
    spent = sum(len(p.places) for p in parts)
    return rows / (rows - spent)
