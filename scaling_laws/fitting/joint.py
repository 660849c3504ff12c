"""Groups fitted together: one problem in which some coefficients are common to all groups."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.runs import Runs
from scaling_laws.errors import DataError, Note
from scaling_laws.fitting.doubts import identification_notes, outlying_notes
from scaling_laws.fitting.fitter import raw_covariance
from scaling_laws.fitting.notes import (
    bound_notes,
    conditioning_notes,
    level_notes,
    misfit_notes,
    refit_notes,
    search_notes,
    usable_clusters,
)
from scaling_laws.fitting.result import Fit
from scaling_laws.fitting.shift import shift_notes
from scaling_laws.inference.interval import Predictive
from scaling_laws.inference.noise import run_noise
from scaling_laws.inference.resample import Draws, at_bound, draw_coefficients, keyed_normals
from scaling_laws.inference.weighing import fitted_law_error
from scaling_laws.laws.family import Law, LawFamily
from scaling_laws.laws.tied import Tied, tie
from scaling_laws.solving.groups import joint_starts
from scaling_laws.solving.objective import Array
from scaling_laws.solving.parts import Part, group_part
from scaling_laws.solving.setup import Solved

if TYPE_CHECKING:
    from scaling_laws.fitting.fitter import Fitter

_LEAST_FREEDOM = 2  # rows beyond its coefficients that a group needs for a noise of its own
_MOST_FOR_LMFIT = 40  # coefficients; beyond, lmfit costs seconds and the polish finds the same


@dataclass(frozen=True, eq=False)
class Joint:
    """Groups solved together.

    Parameters
    ----------
    tied : Tied
        Which coefficient of which group stands where.
    runs : Runs
        All rows, group after group; the group's position is the last input.
    parts : tuple of Runs
        The rows of each group.
    solved : Solved
        In the coefficients of all groups.
    prior_sd : ndarray or None
        As `Settings.prior_sd`, for the coefficients of all groups.
    """

    tied: Tied
    runs: Runs
    parts: tuple[Runs, ...]
    solved: Solved
    prior_sd: Array | None

    @property
    def where(self) -> NDArray[np.intp]:
        """Position of each row's group."""
        return self.runs.x[-1].astype(np.intp)


def solve_together(
    fitter: Fitter,
    parts: Mapping[Hashable, Runs],
    family: LawFamily,
    group: str,
    shared: tuple[str, ...],
) -> Joint:
    """Find the optimum over all groups.

    Raises
    ------
    DataError
        A group has fewer rows than coefficients of its own, or impossible options.
    """
    fitter.check_names(family.coefficient_names)
    joint = tie(family, [str(g) for g in parts], shared, group)
    tied = joint.function
    assert isinstance(tied, Tied)
    options = _options_by_group(fitter, tied)
    own = [n for n in tied.own if n not in fitter.fixed and n not in fitter.ties]
    for label, part in parts.items():
        if len(part) < len(own):
            raise DataError(
                f"group {label!r} of '{group}' has {len(part)} rows for its {len(own)} own "
                f"coefficients {tuple(own)}. Add runs to it, share more coefficients, or drop it."
            )
    runs = _stacked(list(parts.values()), group)
    starts = partial(joint_starts, auto_delta=fitter.auto_delta)
    few = len(joint.coefficients) <= _MOST_FOR_LMFIT
    solved = options.solve(runs, joint, use_lmfit=few, starts=starts)
    return Joint(tied, runs, tuple(parts.values()), solved, options.prior_sd(joint))


def fit_together(
    fitter: Fitter,
    parts: Mapping[Hashable, Runs],
    family: LawFamily,
    group: str,
    shared: tuple[str, ...],
) -> tuple[Fit, ...]:
    """Return the fits of groups that share coefficients, in the order of ``parts``."""
    joint = solve_together(fitter, parts, family, group, shared)
    point, problem = joint.solved.point, joint.solved.point.problem
    clusters, doubts = usable_clusters(joint.runs, len(point.free))
    draws = draw_coefficients(
        point, clusters, fitter.draws, fitter.seed, workers=fitter.workers, prior_sd=joint.prior_sd
    )
    found = _Found(
        joint,
        residuals=point.linearised[0],
        coef=joint.solved.coef,
        draws=joint.solved.raw(draws.free),
        covariance=raw_covariance(joint.solved, draws.disturbance, joint.prior_sd),
        held=frozenset(np.array(problem.free)[at_bound(problem, point.free)].tolist()),
        tails=draws.noise / max(draws.run_noise, 1e-300),
    )
    common = joint.solved.notes + doubts + _common_notes(family, joint, draws)
    common += shift_notes(joint, clusters, [str(g) for g in parts])
    if not fitter.draws:
        common += (Note("no_draws", "info", "draws=0: predictions carry no interval"),)
    told = partial(_shared_note, group, shared, len(parts))
    return tuple(
        _fit_of_group(fitter, family, found, g, (told(label), *common))
        for g, label in enumerate(parts)
    )


@dataclass(frozen=True, eq=False)
class _Found:
    """What the joint fit gave, in the coefficients of all groups, raw units."""

    joint: Joint
    residuals: Array
    coef: Array
    draws: Array
    covariance: Array
    held: frozenset[int]
    tails: Array


def _fit_of_group(
    fitter: Fitter, family: LawFamily, found: _Found, g: int, notes: tuple[Note, ...]
) -> Fit:
    joint, point = found.joint, found.joint.solved.point
    problem, runs = point.problem, joint.parts[g]
    places = joint.tied.positions[g]
    rows = joint.where == g
    residuals = found.residuals[rows]
    part = group_part(problem, g)
    named = zip(family.coefficient_names, places.tolist(), strict=True)
    held = tuple(n for n, i in named if i in found.held)
    values = found.coef[places]
    alone = part.problem.objective_of(residuals[None], point.free[None, part.places])
    error = None
    if fitter.law_error and fitter.draws:
        error, told = fitted_law_error(fitter, runs, family)
        notes += told
    made = Fit(
        law=Law(family, tuple(float(v) for v in values)),
        target=runs.target,
        fitter=fitter,
        predictive=Predictive(
            family=family,
            values=values,
            coef=found.draws[:, places],
            z_law=keyed_normals("law error", fitter.draws, fitter.seed),
            z_run=keyed_normals("run noise", fitter.draws, fitter.seed) * found.tails,
            noise=_group_noise(found, part, rows),
            residual=problem.residual,
            bounds=problem.bounds,
            law_error=error,
        ),
        covariance=found.covariance[np.ix_(places, places)],
        at_bound=held,
        objective=float(alone[0]),
        delta=problem.delta,
        residuals=residuals,
        runs=runs,
        ranges=runs.ranges(),
        digest=runs.digest(),
        starts=point.starts,
        starts_agreeing=point.starts_agreeing,
        notes=notes + tuple(bound_notes(held, family)) + _apart_notes(joint, g),
        read_report=runs.read_report,
    )
    return replace(made, notes=made.notes + identification_notes(made))


def _group_noise(found: _Found, part: Part, rows: NDArray[np.bool_]) -> float:
    """Noise of a group's own residuals, or of all where it has too few rows.

    The shared coefficients count by the group's share of the rows.
    """
    problem = found.joint.solved.point.problem
    count, every = int(rows.sum()), len(rows)
    spent = float(np.sum(~part.shared) + np.sum(part.shared) * count / every)
    if count - spent < _LEAST_FREEDOM:
        return run_noise(found.residuals, problem.weights, len(problem.free))
    return run_noise(found.residuals[rows], problem.weights[rows], spent)


def _common_notes(family: LawFamily, joint: Joint, draws: Draws) -> tuple[Note, ...]:
    point = joint.solved.point
    whole = replace(joint.runs, inputs=joint.runs.inputs[:-1], x=joint.runs.x[:-1])
    return (
        *search_notes(point),
        *conditioning_notes(joint.solved.family, point),
        *misfit_notes(joint.runs, point),
        *outlying_notes(point.problem, *point.linearised, joint.runs.index),
        *level_notes(family, whole, point),
        *refit_notes(draws),
    )


def _apart_notes(joint: Joint, g: int) -> tuple[Note, ...]:
    """Inputs of a group that lie wholly beyond every other group's."""
    ranges = [p.ranges() for p in joint.parts]
    label = joint.tied.labels[g]
    beyond = []
    for name in joint.parts[g].inputs:
        low, high = ranges[g][name]
        others = [r[name] for i, r in enumerate(ranges) if i != g]
        if all(high < a or low > b for a, b in others):
            beyond.append(name)
    if not beyond:
        return ()
    return (
        Note(
            "groups_apart",
            "info",
            f"{beyond} of group '{label}' overlap no other group's: whether the groups share "
            "coefficients cannot be told from a change with scale. Add runs at scales that others "
            "have",
            {"label": label, "inputs": beyond},
        ),
    )


def _shared_note(group: str, shared: tuple[str, ...], count: int, label: Hashable) -> Note:
    return Note(
        "shared_coefficients",
        "info",
        f"group {label!r} of '{group}' has {', '.join(shared)} in common with {count - 1} other "
        f"group{'s' if count > 2 else ''}",
        {"group": group, "label": label, "shared": list(shared)},
    )


def _stacked(parts: list[Runs], group: str) -> Runs:
    """All rows, group after group, with the group's position as the last input."""
    first = parts[0]
    where = np.repeat(np.arange(len(parts), dtype=float), [len(p) for p in parts])
    flops = [p.flops for p in parts if p.flops is not None]
    columns = [np.concatenate([p.x[i] for p in parts]) for i in range(len(first.x))]
    return Runs(
        inputs=(*first.inputs, group),
        target=first.target,
        x=(*columns, where),
        y=np.concatenate([p.y for p in parts]),
        weights=np.concatenate([p.weights for p in parts]),
        clusters=np.concatenate([p.clusters for p in parts]),
        index=tuple(i for p in parts for i in p.index),
        flops=np.concatenate(flops) if len(flops) == len(parts) else None,
        notes=first.notes,
    )


def _options_by_group(fitter: Fitter, tied: Tied) -> Fitter:
    """Options of one law, said of the coefficients of every group."""
    groups = range(len(tied.labels))

    def spread(option: Mapping[str, Any]) -> dict[str, Any]:
        return {tied.named(n, g): v for n, v in option.items() for g in groups}

    ties = {}
    for name, rule in fitter.ties.items():
        other, factor = (rule, 1.0) if isinstance(rule, str) else rule
        if name in tied.shared and other in tied.own:
            raise DataError(
                f"ties= binds the shared '{name}' to '{other}', of which every group has its own. "
                f"Share both or neither; or write ties={{'{other}': ...}} the other way round."
            )
        ties.update({tied.named(name, g): (tied.named(other, g), factor) for g in groups})
    return replace(
        fitter,
        fixed=spread(fitter.fixed),
        bounds=spread(fitter.bounds),
        start=spread(fitter.start),
        priors=spread(fitter.priors),
        ties=ties,
    )
