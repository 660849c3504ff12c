"""Runs that could be made, and the record of those that were made and paid."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.errors import PlanError
from scaling_laws.laws.family import Law
from scaling_laws.measurement.configuration import key_of, plain_value
from scaling_laws.measurement.runlog import read_records
from scaling_laws.measurement.sweep import sweep
from scaling_laws.planning.design.possible import Candidates, as_table, candidates_of
from scaling_laws.solving.objective import Array

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_GROW = "grow"
_POOL = 3  # times as many of the cheapest candidates to choose the first runs from
_FIRST_SHARE = 0.25  # of the budget for the first runs, where the cheapest allow it


def make_pool(law: Law, goals: pd.DataFrame, candidates: Any, cost: Any) -> Pool:
    """Check the candidates, and set apart what `train` is called with.

    Raises
    ------
    PlanError
        A table lacks an input or holds something else than numbers in its domain; candidates
        repeat; a cost is not positive.
    """
    import pandas as pd

    table = pd.DataFrame(as_table(candidates, _GROW, "candidates")).reset_index(drop=True)
    if "status" in table:
        raise PlanError(
            f"{_GROW}: the candidates have a column 'status', which is kept in the log. Leave it "
            "out, and leave out what is made elsewhere."
        )
    candidates_of(law, goals.astype(float), np.ones(len(goals)), _GROW, "at=")
    checked = candidates_of(law, table, cost, _GROW, "candidates")
    named = cost if isinstance(cost, str) and cost in table else "cost"
    kept = [n for n in table if n in goals.columns or n != named]
    configs = [_config(row) for row in table[kept].to_dict("records")]
    keys = [key_of(config) for config in configs]
    if len(set(keys)) < len(keys):
        twice = next(c for c, k in zip(configs, keys, strict=True) if keys.count(k) > 1)
        raise PlanError(
            f"{_GROW}: the candidates hold {twice} more than once. Repeat a run by giving it "
            "another seed."
        )
    return Pool(tuple(configs), tuple(keys), checked, law.inputs)


def _config(row: dict[Any, Any]) -> dict[str, Any]:
    """Arguments of one run, as a log can keep them."""
    try:
        return {str(name): plain_value(value) for name, value in row.items()}
    except TypeError as failure:
        raise PlanError(
            f"{_GROW}: a candidate {row} cannot be kept in a log ({failure}). Give names and "
            "numbers, and build objects inside train."
        ) from None


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates: what `train` is called with, and what each costs."""

    configs: tuple[dict[str, Any], ...]
    keys: tuple[str, ...]
    checked: Candidates
    inputs: tuple[str, ...]

    @property
    def cost(self) -> Array:
        """What each costs ``(n,)``, in `checked.unit`."""
        return self.checked.cost

    def table(self) -> pd.DataFrame:
        """Return the inputs as columns."""
        import pandas as pd

        return pd.DataFrame(dict(zip(self.inputs, self.checked.inputs, strict=True)))

    def places(self) -> Array:
        """Where candidates are ``(n, d)``, in logarithms where inputs are positive, 0 to 1."""
        columns = []
        for values in self.checked.inputs:
            place = np.log(values) if (values > 0).all() else values
            span = float(np.ptp(place))
            columns.append((place - place.min()) / span if span else np.zeros_like(place))
        return np.stack(columns, axis=1)


class Work:
    """Runs made and paid so far."""

    def __init__(
        self,
        pool: Pool,
        train: Callable[..., Any],
        budget: float,
        log: str | os.PathLike[str] | None,
        workers: int,
        timeout: float | None,
    ) -> None:
        self.pool, self.train, self.budget = pool, train, budget
        self.log, self.workers, self.timeout = log, workers, timeout
        self.made: list[int] = []
        self.frames: list[pd.DataFrame] = []

    @property
    def spent(self) -> float:
        """Cost of the runs made."""
        return float(self.pool.cost[self.made].sum())

    @property
    def left(self) -> float:
        """What the budget still pays."""
        return max(0.0, self.budget - self.spent)

    @property
    def open(self) -> NDArray[np.intp]:
        """Candidates not made."""
        return np.setdiff1d(np.arange(len(self.pool.keys)), self.made)

    @property
    def payable(self) -> NDArray[np.intp]:
        """Candidates not made that what is left can pay, cheapest first."""
        cost = self.pool.cost[self.open]
        found = self.open[cost <= self.left]
        return found[np.argsort(self.pool.cost[found], kind="stable")]

    @property
    def frame(self) -> pd.DataFrame:
        """What was measured, in the order made."""
        import pandas as pd

        return pd.concat(self.frames, ignore_index=True) if self.frames else pd.DataFrame()

    def take_up(self) -> None:
        """Count the candidates that the log holds as made."""
        if self.log is None or not os.path.exists(self.log):
            return
        logged = {key_of(record["config"]) for record in read_records(self.log)[0]}
        found = [j for j, key in enumerate(self.pool.keys) if key in logged]
        if found:
            self.make(found, 0)

    def make(self, rows: Sequence[int], number: int) -> None:
        """Train these candidates, unless the log has them."""
        configs = [self.pool.configs[j] for j in rows]
        frame = sweep(self.train, configs, log=self.log, workers=self.workers, timeout=self.timeout)
        self.made += [int(j) for j in rows]
        self.frames.append(frame.assign(cost=self.pool.cost[list(rows)], round=number))

    @property
    def failed(self) -> list[int]:
        """Candidates made without a result."""
        return [j for j, ok in zip(self.made, self.frame["status"] == "ok", strict=True) if not ok]


def cheap_and_far_apart(pool: Pool, work: Work, count: int) -> list[int]:
    """Candidates among the cheapest, each as far as can be from those before it."""
    payable = work.payable
    if not len(payable):
        return []
    within = payable[np.cumsum(pool.cost[payable]) <= max(_FIRST_SHARE * work.budget, 0.0)]
    among = payable[: max(count, min(_POOL * (count + len(work.made)), len(within)))]
    places = pool.places()
    chosen: list[int] = []
    left = work.left
    while len(chosen) < count:
        rest = np.array([j for j in among if j not in chosen and pool.cost[j] <= left], dtype=int)
        if not len(rest):
            break
        taken = [*work.made, *chosen]
        best = int(rest[0])
        if taken:
            apart = np.linalg.norm(places[rest][:, None] - places[taken][None], axis=2).min(axis=1)
            best = int(rest[np.argmax(apart - 1e-9 * np.arange(len(rest)))])
        chosen.append(best)
        left -= float(pool.cost[best])
    return chosen
