"""Starting points of a law over groups, put together from fits of one group at a time.

With the shared coefficients held, the groups fall apart: each is a small problem of its own. So
candidates for the shared ones come from every group and from all runs together, and the groups'
own coefficients are solved for, group by group.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scaling_laws.errors import FitError
from scaling_laws.laws.tied import Tied
from scaling_laws.solving.batch import solve_batch
from scaling_laws.solving.objective import Array, Problem
from scaling_laws.solving.parts import Part, determined, group_part, group_parts
from scaling_laws.solving.point import with_scale
from scaling_laws.solving.starts import find_starts

_MOST_CANDIDATES = 4  # groups whose shared coefficients are tried for all
_STARTS = 3
_ROUGHLY = 1e-2


def joint_starts(problem: Problem, auto_delta: bool) -> Array:
    """Return starts ``(m, p)`` of a joint problem, all coefficients.

    Raises
    ------
    FitError
        Neither a group nor all runs together can be fitted.
    """
    tied = problem.family.function
    assert isinstance(tied, Tied)
    parts = group_parts(problem)
    alone = [_solved(part, auto_delta) for part in parts]
    pooled = _solved(group_part(problem, None), auto_delta)
    fallback = pooled or next((s for s in alone if s is not None), None)
    if fallback is None:
        raise FitError(
            f"neither all runs together nor one group alone gives '{tied.base.name}' a start. "
            "Check the units of the inputs, or pass start= with a value for every coefficient."
        )
    candidates = _candidates(parts, alone, fallback)
    own = [s or fallback for s in alone]
    rows = [_filled(problem, parts, own, shared) for shared in candidates]
    return problem.full(np.array(rows))


@dataclass(frozen=True)
class _Alone:
    """A rough fit of one group, or of all rows: the problem with its scale, and the optimum."""

    problem: Problem
    free: Array


def _solved(part: Part, auto_delta: bool) -> _Alone | None:
    if not determined(part):
        return None
    try:
        starts = find_starts(part.problem, limit=_STARTS)
    except FitError:
        return None
    problem = with_scale(part.problem, starts[:1], auto_delta, None)
    solved = solve_batch(problem, starts, tolerance=_ROUGHLY)
    return _Alone(problem, solved.free[int(np.argmin(solved.objective))])


def _candidates(parts: list[Part], alone: list[_Alone | None], fallback: _Alone) -> list[Array]:
    """Values to try for the shared free coefficients: middle, everything, largest groups."""
    shared = parts[0].shared
    found = [s.free[shared] for s in alone if s is not None]
    sizes = [len(p.problem.y) for p, s in zip(parts, alone, strict=True) if s is not None]
    largest = [found[i] for i in np.argsort(sizes, kind="stable")[::-1][:_MOST_CANDIDATES]]
    middle = [np.median(found, axis=0)] if found else []
    return [*middle, fallback.free[shared], *largest]


def _filled(problem: Problem, parts: list[Part], own: list[_Alone], shared: Array) -> Array:
    """Free coefficients of the joint problem: the shared ones given, the others solved."""
    out = np.zeros(len(problem.free))
    for part, start in zip(parts, own, strict=True):
        out[part.places[part.shared]] = shared
        free = ~part.shared
        if not free.any():
            continue
        held = part.problem.matrix[:, part.shared] @ shared
        small = replace(
            part.problem,
            delta=start.problem.delta,
            lower=part.problem.lower[free],
            upper=part.problem.upper[free],
            matrix=part.problem.matrix[:, free],
            offset=part.problem.offset + held,
            free=tuple(np.array(part.problem.free)[free].tolist()),
        )
        solved = solve_batch(small, start.free[None, free], tolerance=_ROUGHLY)
        out[part.places[free]] = solved.free[0]
    return out
