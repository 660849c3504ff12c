"""Model sizes that can be built, and plans that use no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scaling_laws.errors import PlanError
from scaling_laws.planning.amounts import Array, is_number, positive
from scaling_laws.planning.solving import Solution, Task

_TRIED = 400
_EACH_SIDE = 4  # sizes; one would do where the target has a single valley


@dataclass(frozen=True)
class Sizes:
    """Feasible model sizes.

    Parameters
    ----------
    listed : tuple of float
        Sizes [count], if they are known beforehand.
    rule : callable, optional
        ``rule(params) -> size near params that can be built``, or None where there is none.
    """

    listed: tuple[float, ...] = ()
    rule: Callable[[float], Any] | None = None

    def between(self, low: float, high: float) -> Array:
        """Distinct sizes in a range, ascending."""
        if self.rule is None:
            return np.array([s for s in self.listed if low <= s <= high], dtype=float)
        found = set()
        for params in np.geomspace(low, high, _TRIED):
            size = self.rule(float(params))
            if size is None:
                continue
            if not is_number(size) or not 0 < size < np.inf:
                raise PlanError(
                    f"Planner: sizes({params:.6g}) returned {size!r}. Return a number of "
                    "parameters that can be built, or None."
                )
            found.add(float(size))
        return np.array(sorted(found), dtype=float)


def get_sizes(sizes: Any) -> Sizes | None:
    """Return sizes from a sequence of counts or a callable.

    Raises
    ------
    PlanError
        Neither, or a count that is not positive.

    Examples
    --------
    >>> get_sizes([1e9, 7e9]).listed
    (1000000000.0, 7000000000.0)
    """
    if sizes is None or isinstance(sizes, Sizes):
        return sizes
    if callable(sizes):
        return Sizes(rule=sizes)
    listed = positive("Planner", "sizes", sizes)
    if listed.ndim != 1 or not listed.size:
        raise PlanError(f"Planner: sizes must be a list of counts or a callable, got {sizes!r}.")
    return Sizes(tuple(np.unique(listed).tolist()))


def solve_sizes(task: Task, sizes: Sizes, *, draws: bool) -> Solution:
    """Best plan among the sizes, for the point law or every draw.

    Tried are the sizes next to the best plan that may have any: in one solve, a row for each draw
    and size. Where no size may be built, the plan without that limit, marked as not feasible.
    """
    if "params" in task.space.held:
        return task.solve(draws=draws)
    free = task.solve(draws=draws)
    listed = _listed(task, sizes, free)
    if not len(listed):
        missed = np.ones(len(free.objective))
        return Solution(free.values, free.objective, missed == 0, missed)
    near = _nearest(listed, free.values["params"])
    source = task.source
    if draws and source.draws is not None:
        source = replace(source, draws=np.repeat(source.draws, near.shape[1], axis=0))
    once = task.space.hold(params=np.unique(near)[:, None])
    steady = replace(task, space=once, steady=None).is_steady()
    held = task.space.hold(params=near.reshape(-1, 1))
    every = replace(task, source=source, space=held, steady=steady)
    return _least(every.solve(draws=draws), near.shape)


def _listed(task: Task, sizes: Sizes, free: Solution) -> Array:
    """Sizes that may be built, ascending."""
    if "params" not in task.space.free:
        raise PlanError(f"Planner: sizes= needs a law of params; '{task.source.label}' has none.")
    low, high = task.space.free["params"]
    if sizes.rule is not None:  # a rule is asked around what is best without it
        middle = free.values["params"]
        low, high = max(low, middle.min() / 30.0), min(high, middle.max() * 30.0)
    return sizes.between(low, high)


def _nearest(listed: Array, params: Array) -> Array:
    """Sizes on either side of each of ``params`` (n,), as (n, sizes)."""
    width = min(2 * _EACH_SIDE, len(listed))
    first = np.searchsorted(listed, params) - _EACH_SIDE
    first = np.clip(first, 0, len(listed) - width)
    return np.asarray(listed[first[:, None] + np.arange(width)])


def _least(found: Solution, shape: tuple[int, int]) -> Solution:
    """Best of the sizes of every draw, from one row for each."""
    best = found.objective.reshape(shape).argmin(axis=1)
    rows = np.arange(shape[0]) * shape[1] + best
    values = {n: v[rows] for n, v in found.values.items()}
    return Solution(values, found.objective[rows], found.feasible[rows], found.miss[rows])
