"""Model sizes that can be built, and plans that use no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling_laws.errors import PlanError
from scaling_laws.planning.amounts import Array, is_number, positive
from scaling_laws.planning.solving import Solution, Task

_TRIED = 400
_MOST = 600


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

    Where no size may be built, the plan without that limit, marked as not feasible.
    """
    if "params" in task.space.held:
        return task.solve(draws=draws)
    free = task.solve(draws=draws)
    listed = _relevant(task, sizes, free)
    if not len(listed):
        missed = np.ones(len(free.objective))
        return Solution(free.values, free.objective, missed == 0, missed)
    found = [task.solve(draws=draws, space=task.space.hold(params=float(s))) for s in listed]
    return _least(found)


def _relevant(task: Task, sizes: Sizes, free: Solution) -> Array:
    if "params" not in task.space.free:
        raise PlanError(f"Planner: sizes= needs a law of params; '{task.source.label}' has none.")
    low, high = task.space.free["params"]
    if sizes.rule is not None:  # a rule is asked around what is best without it
        middle = free.values["params"]
        low, high = max(low, middle.min() / 30.0), min(high, middle.max() * 30.0)
    listed = sizes.between(low, high)
    off = np.abs(np.log(listed) - np.log(np.median(free.values["params"])))
    return np.sort(listed[np.argsort(off, kind="stable")[:_MOST]])


def _least(found: Sequence[Solution]) -> Solution:
    objective = np.array([f.objective for f in found])
    best = objective.argmin(axis=0)
    draws = np.arange(objective.shape[1])

    def chosen(arrays: list[Array]) -> Array:
        return np.asarray(np.array(arrays)[best, draws])

    values = {n: chosen([f.values[n] for f in found]) for n in found[0].values}
    return Solution(
        values,
        objective[best, draws],
        np.array([f.feasible for f in found])[best, draws],
        chosen([f.miss for f in found]),
    )
