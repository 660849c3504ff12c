"""What a fit should be doubted for, as coded notes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.hashing import hash_rows
from scaling_laws.data.runs import Runs
from scaling_laws.errors import Note
from scaling_laws.inference.noise import lack_of_fit
from scaling_laws.inference.resample import Draws
from scaling_laws.laws.family import LawFamily
from scaling_laws.solving.point import PointSolution

_ILL_CONDITIONED = 1e7  # of the Jacobian with columns scaled to length one
_FEW_STARTS = 0.25
_LACK_OF_FIT = 1e-3  # p-value; replicates are few and noise is rarely quite normal


def usable_clusters(runs: Runs, coefficients: int) -> tuple[NDArray[np.uint64], tuple[Note, ...]]:
    """Return the labels to resample by, and what to doubt where there are few of them."""
    count = len(np.unique(runs.clusters))
    if count == 1 < len(runs):
        note = Note(
            "one_cluster",
            "warning",
            "all rows belong to one run: intervals resample its rows and leave out how much "
            "another run would differ. Add runs",
        )
        return hash_rows([*runs.x, runs.y]), (note,)
    if count <= coefficients < len(runs):
        note = Note(
            "few_clusters",
            "warning",
            f"{count} runs or configurations for {coefficients} coefficients: intervals may be too "
            "narrow. Add runs, or fix coefficients",
            {"clusters": count, "coefficients": coefficients},
        )
        return runs.clusters, (note,)
    return runs.clusters, ()


def solution_notes(
    family: LawFamily,
    runs: Runs,
    solution: PointSolution,
    draws: Draws,
    at_bound: Sequence[str],
) -> tuple[Note, ...]:
    """Notes on convergence, bounds, conditioning, levels and refits."""
    return (
        *bound_notes(at_bound, family),
        *search_notes(solution),
        *conditioning_notes(family, solution),
        *misfit_notes(runs, solution),
        *level_notes(family, runs, solution),
        *refit_notes(draws),
    )


def bound_notes(at_bound: Sequence[str], family: LawFamily) -> list[Note]:
    """Coefficients that ended on a bound; an amplitude does where the trend is the other way."""
    amplitudes = {c.name for c in family.coefficients if c.role == "amplitude"}
    other, this = ("fall", "grow") if family.increasing else ("grow", "fall")
    hint = (
        f". Or the target {other}s where this law can only {this}: name a score as one that is "
        "known, such as columns={'accuracy': ...}; a cost fits "
        "'product_with_overhead', 'product' or 'power'"
    )
    return [
        Note(
            "coefficient_at_bound",
            "warning",
            f"'{name}' is at its bound: it has no standard error and its interval is one-sided. "
            f"Extend the range of the runs, or fix it{hint if name in amplitudes else ''}",
            {"coefficient": name},
        )
        for name in at_bound
    ]


def search_notes(solution: PointSolution) -> list[Note]:
    """Whether the solver settled, and the starts agreed."""
    notes = []
    if not solution.converged:
        notes.append(
            Note("not_converged", "warning", "the solver stopped before it settled; try start=")
        )
    if solution.starts_agreeing < _FEW_STARTS * solution.starts and solution.starts > 3:
        notes.append(
            Note(
                "starts_disagree",
                "info",
                f"only {solution.starts_agreeing} of {solution.starts} starts reached the best "
                "optimum; the others ended elsewhere",
                {"agreeing": solution.starts_agreeing, "starts": solution.starts},
            )
        )
    return notes


def refit_notes(draws: Draws) -> list[Note]:
    """Bootstrap refits that did not converge."""
    if draws.failed <= 0.01 * max(len(draws.free), 1):
        return []
    return [
        Note(
            "failed_refits",
            "warning",
            f"{draws.failed} of {len(draws.free)} bootstrap refits did not converge; their "
            "last iterate is used",
            {"failed": draws.failed, "draws": len(draws.free)},
        )
    ]


def conditioning_notes(family: LawFamily, solution: PointSolution) -> list[Note]:
    """Coefficients that the runs do not tell, or tell only together."""
    if len(solution.free) < 2:
        return []
    columns = (solution.linearised[1] * np.sqrt(solution.problem.weights)).T
    columns = np.where(np.isfinite(columns), columns, 0.0)  # at the edge of where a law is defined
    lengths = np.linalg.norm(columns, axis=0)
    unmoved = [
        family.coefficient_names[solution.problem.free[j]] for j in np.flatnonzero(lengths == 0)
    ]
    if unmoved:
        return [
            Note(
                "not_identified",
                "warning",
                f"the runs say nothing about {unmoved}: fix them or use a law without them",
                {"coefficients": unmoved},
            )
        ]
    condition = float(np.linalg.cond(columns / lengths))
    if condition < _ILL_CONDITIONED:
        return []
    return [
        Note(
            "ill_conditioned",
            "warning",
            f"coefficients trade off almost freely (condition {condition:.1e}): read predictions, "
            "not coefficients, or fix one",
            {"condition": condition},
        )
    ]


def misfit_notes(runs: Runs, solution: PointSolution) -> list[Note]:
    """Misfit beyond what replicates explain."""
    residuals, _ = solution.linearised
    found = lack_of_fit(residuals, runs.weights, hash_rows(runs.x), len(solution.free))
    if found is None or found.p_value > _LACK_OF_FIT:
        return []
    return [
        Note(
            "lack_of_fit",
            "warning",
            f"configurations lie further from the curve than their replicates from each other "
            f"(mean squares {found.ratio:.1f} to 1): the law misses structure. Compare others by "
            "backtest",
            {
                "ratio": found.ratio,
                "p_value": found.p_value,
                "replicate_noise": found.replicate_noise,
            },
        )
    ]


def level_notes(family: LawFamily, runs: Runs, solution: PointSolution) -> list[Note]:
    """Inputs with fewer distinct values than a curved term can be told from."""
    few = {n: len(np.unique(v)) for n, v in zip(runs.inputs, runs.x, strict=True)}
    few = {n: c for n, c in few.items() if 1 < c < 3}
    if not few or len(solution.free) <= len(family.inputs) + 1:
        return []
    return [
        Note(
            "few_levels",
            "warning",
            f"inputs with two distinct values only: {sorted(few)}. A curve through two levels is "
            "not checked by anything; add a level",
            {"levels": few},
        )
    ]
