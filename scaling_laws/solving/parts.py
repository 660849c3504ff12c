"""The pieces of a joint problem over groups: with the shared coefficients held, they fall apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_laws.laws.tied import Tied
from scaling_laws.solving.objective import Problem


@dataclass(frozen=True)
class Part:
    """The problem of one group, and where its free coefficients stand among the joint ones.

    Parameters
    ----------
    problem : Problem
        The base law on the group's rows.
    rows : ndarray of int
        Those rows.
    places : ndarray of int (q,)
        Position of each free coefficient among the free ones of the joint problem.
    shared : ndarray of bool (q,)
        Whether it is common to all groups.
    """

    problem: Problem
    rows: NDArray[np.intp]
    places: NDArray[np.intp]
    shared: NDArray[np.bool_]


def group_part(problem: Problem, group: int | None) -> Part:
    """Return the part of a joint problem that belongs to one group.

    Parameters
    ----------
    problem : Problem
        Of a law over groups.
    group : int or None
        Position of the group; None takes every row as if it were of the first.
    """
    tied = problem.family.function
    assert isinstance(tied, Tied)
    where = problem.x[-1].astype(np.intp)
    rows = np.arange(len(where)) if group is None else np.flatnonzero(where == group)
    places = tied.positions[group or 0]
    free = tuple(i for i, j in enumerate(places) if j in problem.free)
    columns = np.array([problem.free.index(int(places[i])) for i in free], dtype=np.intp)
    names = tied.base.coefficient_names
    held = Problem(
        family=tied.base,
        x=tuple(v[rows] for v in problem.x[:-1]),
        y=problem.y[rows],
        weights=problem.weights[rows],
        residual=problem.residual,
        delta=problem.delta,
        lower=problem.lower[columns],
        upper=problem.upper[columns],
        matrix=problem.matrix[np.ix_(places, columns)],
        offset=problem.offset[places],
        logs=problem.logs[places],
        free=free,
        bounds=problem.bounds,
        prior_mean=problem.prior_mean[places],
        prior_precision=np.zeros(len(places)),
    )
    shared = np.array([names[i] in tied.shared for i in free], dtype=bool)
    return Part(held, rows, columns, shared)


def group_parts(problem: Problem) -> list[Part]:
    """Return the parts of all groups."""
    tied = problem.family.function
    assert isinstance(tied, Tied)
    return [group_part(problem, g) for g in range(len(tied.labels))]


def determined(part: Part) -> bool:
    """Whether a group has more rows than free coefficients, shared ones included."""
    return len(part.problem.y) > len(part.problem.free)
