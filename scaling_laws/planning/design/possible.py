"""Tables of runs that could be made: their inputs, what they cost, how they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_laws.errors import DataError, Note, PlanError, suggest
from scaling_laws.fitting.chain import steps_hint
from scaling_laws.fitting.result import Fit
from scaling_laws.fitting.selection import Selection
from scaling_laws.laws.family import Law, check_inputs
from scaling_laws.planning.amounts import within
from scaling_laws.planning.costs.cost import Cost, get_cost
from scaling_laws.quantities import LEAST, MOST, real_number
from scaling_laws.solving.objective import Array

if TYPE_CHECKING:
    import pandas as pd

    Table = pd.DataFrame | Mapping[str, ArrayLike]

_DONE = frozenset({"ok", "finished", "completed", "complete", "done", "success", "succeeded"})
_PENDING = frozenset({"running", "scheduled", "pending", "queued"})
_FAILED = frozenset(
    {"error", "failed", "crashed", "killed", "timeout", "nan", "diverged", "out_of_memory"}
)
_OPEN = frozenset({"", "none", "open", "candidate", "planned", "preempted", "cancelled"})
_SAME = 1e-9  # relative difference of inputs that is none
_NEAR = 1.0  # in logs of the inputs: how far a failure tells of other runs
_FAILS_AGAIN = 0.5  # chance of a run right beside one that failed


@dataclass(frozen=True, eq=False)
class Candidates:
    """Runs that could be made.

    Parameters
    ----------
    inputs : tuple of ndarray (n,)
        In the order of the law's.
    cost : ndarray (n,)
    unit : str
        What the cost is called.
    index : tuple
        Labels of the rows in the caller's table.
    status : ndarray of str (n,)
        ``"open"``, ``"pending"``, ``"failed"`` or ``"done"``.
    notes : tuple of Note
    """

    inputs: tuple[Array, ...]
    cost: Array
    unit: str
    index: tuple[Any, ...]
    status: NDArray[np.str_]
    notes: tuple[Note, ...] = ()

    def rows(self, status: str) -> NDArray[np.intp]:
        """Positions of the rows of one status."""
        return np.flatnonzero(self.status == status)


def check_source(source: Any, question: str) -> Fit | Selection:
    """Return a fit or selection, or say that the question needs one.

    Raises
    ------
    PlanError
        Anything else.
    """
    if isinstance(source, Fit | Selection):
        return source
    remedy = steps_hint(source) or (
        " Fit the runs made so far: scaling_laws.fit(runs, law) or scaling_laws.select(runs)."
    )
    raise PlanError(
        f"{question} starts from a Fit or a Selection, got {type(source).__name__}.{remedy}"
    )


def as_table(table: Any, question: str, what: str) -> Any:
    """Return a table with columns; rows given as mappings, as `scaling_laws.grid` does, in columns.

    Raises
    ------
    PlanError
        Neither a table nor rows that all have the same entries.
    """
    if isinstance(table, Mapping) or hasattr(table, "columns"):
        return table
    rows = list(table) if isinstance(table, list | tuple) else []
    if not rows or not all(isinstance(r, Mapping) and r.keys() == rows[0].keys() for r in rows):
        raise PlanError(
            f"{question}: {what} must be a DataFrame, a mapping of columns, or rows as mappings "
            f"with the same entries, got {type(table).__name__}."
        )
    return {name: [row[name] for row in rows] for name in rows[0]}


def table_inputs(law: Law, table: Any, question: str, what: str) -> tuple[Array, ...]:
    """Inputs of a table of runs, each ``(n,)``.

    Raises
    ------
    PlanError
        An input is missing, or a value is not a number in its domain.
    """
    table = as_table(table, question, what)
    have = _columns(table)
    missing = [n for n in law.inputs if n not in have]
    if missing:
        raise PlanError(
            f"{question}: {what} lacks the column '{missing[0]}' that law '{law.family.name}' "
            f"needs.{suggest(missing[0], have)} Found: {', '.join(have) or 'none'}."
        )
    named = {}
    for name in law.inputs:
        value = _entries(table[name])
        if value.dtype.kind == "b" or any(isinstance(v, bool | np.bool_) for v in value.ravel()):
            raise PlanError(
                f"{question}: {what}: '{name}' holds truth values, not numbers. Give counts."
            )
        named[name] = value
    try:
        arrays = [np.atleast_1d(a) for a in check_inputs(law.family, named)]
    except DataError as error:
        raise PlanError(f"{question}: {what}: {error}") from None
    if arrays[0].ndim != 1 or not arrays[0].size:
        raise PlanError(
            f"{question}: {what} has shape {arrays[0].shape}: give one value a run, and one run "
            "at least."
        )
    for name, array in zip(law.inputs, arrays, strict=True):
        if not (np.abs(array) <= MOST).all():
            raise PlanError(
                f"{question}: {what}: '{name}' is {np.abs(array).max():g}, beyond {MOST:g}. "
                "Correct it."
            )
    return tuple(np.ascontiguousarray(a, dtype=float) for a in arrays)


def _entries(values: Any) -> Array:
    """Return a column as an array; of objects, where its entries are not alike."""
    try:
        return np.asarray(values)
    except ValueError:
        out = np.empty(len(values), dtype=object)
        out[:] = list(values)
        return out


def candidates_of(law: Law, table: Any, cost: Any, question: str, what: str) -> Candidates:
    """Check a table of possible runs.

    Parameters
    ----------
    law : Law
    table : DataFrame or mapping of columns
        The law's inputs; maybe a cost and a ``status``.
    cost : str, Cost, array_like or None
        As `next_runs`.
    question, what : str
        For messages.

    Raises
    ------
    PlanError
        As `table_inputs`; or the cost is not positive, or a status is not known.
    """
    table = as_table(table, question, what)
    inputs = table_inputs(law, table, question, what)
    n = len(inputs[0])
    price, unit, notes = _cost(law, table, cost, inputs, question, what)
    labels = tuple(range(n)) if isinstance(table, Mapping) else tuple(table.index)
    return Candidates(inputs, price, unit, labels, _status(table, n, question, what), notes)


def same_runs(inputs: Sequence[Array], others: Sequence[Array]) -> NDArray[np.bool_]:
    """Whether each run has the inputs of one of the others ``(n,)``."""
    alike = np.ones((len(inputs[0]), len(others[0])), dtype=bool)
    for a, b in zip(inputs, others, strict=True):
        alike &= np.abs(a[:, None] - b[None]) <= _SAME * np.maximum(np.abs(a[:, None]), np.abs(b))
    return np.asarray(alike.any(axis=1))


def chance_of_success(place: Array, failed: Array) -> Array:
    """Chance that runs at ``place`` ``(n, d)`` succeed, by how near others failed ``(f, d)``.

    Half right beside a failure, and 1 far away (more than a few e-folds of the inputs).

    Examples
    --------
    >>> chance_of_success(np.array([[0.0], [1.0], [9.0]]), np.array([[0.0]])).round(2).tolist()
    [0.5, 0.7, 1.0]
    """
    apart = np.sum((place[:, None] - failed[None]) ** 2, axis=2)
    return np.asarray(np.prod(1.0 - _FAILS_AGAIN * np.exp(-0.5 * apart / _NEAR**2), axis=1))


def goal_weights(weights: Any, goals: int, question: str) -> Array:
    """Weights of the goals, that sum to 1.

    Raises
    ------
    PlanError
        Not one number >= 0 a goal, or none above 0.
    """
    if weights is None:
        return np.full(goals, 1.0 / goals)
    try:
        given = np.asarray(weights, dtype=float)
    except (TypeError, ValueError):
        given = np.array(np.nan)
    if given.shape != (goals,) or not (np.isfinite(given) & (given >= 0)).all() or not given.sum():
        raise PlanError(
            f"{question}: weights must be {goals} numbers >= 0, one for each point of at=, and not "
            f"all 0: got {weights!r}."
        )
    return np.asarray(given / given.sum())


def positive_number(value: Any, question: str, name: str, hint: str) -> float:
    """Return a positive number within what amounts may be.

    Raises
    ------
    PlanError
        It is not one; ``hint`` says what to give.
    """
    number = real_number(value)
    if not LEAST <= number <= MOST:
        raise PlanError(f"{question}: {name} must be a positive number, got {value!r}. {hint}")
    return number


def _columns(table: Any) -> list[str]:
    return [str(n) for n in (table if isinstance(table, Mapping) else table.columns)]


def _cost(
    law: Law, table: Any, cost: Any, inputs: Sequence[Array], question: str, what: str
) -> tuple[Array, str, tuple[Note, ...]]:
    """Cost of every run ``(n,)``, its name, and a note where every run was taken to cost 1."""
    n, have = len(inputs[0]), _columns(table)
    named = dict(zip(law.inputs, inputs, strict=True))
    if cost is None:
        pair = {"params", "tokens"} <= set(law.inputs)
        cost = "cost" if "cost" in have else "6ND" if pair else None
    if cost is None:
        note = Note(
            "unit_cost",
            "info",
            f"nothing says what these runs cost, so each costs 1 and a budget counts runs. Add a "
            f"column 'cost' to {what}",
        )
        return np.ones(n), "runs", (note,)
    if isinstance(cost, str) and cost in have:
        return _prices(table[cost], n, question, f"column '{cost}' of {what}"), cost, ()
    if isinstance(cost, str | Cost):
        rule = get_cost(cost)
        for name in ("params", "tokens"):
            if name not in named and name in have:
                named[name] = _prices(table[name], n, question, f"column '{name}' of {what}")
        if not {"params", "tokens"} <= set(named):
            raise PlanError(
                f"{question}: cost {rule.name!r} needs params and tokens, which {what} lacks. "
                "Give the name of a column of costs, or one cost a run."
            )
        return np.asarray(rule.flops(named["params"], named["tokens"])), "FLOP", ()
    return _prices(cost, n, question, "cost="), "cost", ()


def _prices(values: Any, n: int, question: str, what: str) -> Array:
    try:
        array = np.asarray(values)
        if array.dtype.kind in "bUS" or any(isinstance(v, str | bool) for v in array.ravel()):
            raise ValueError
        array = np.broadcast_to(np.asarray(values, dtype=float), (n,))
    except (TypeError, ValueError, OverflowError):
        raise PlanError(
            f"{question}: {what} must hold {n} positive numbers, one a run: got {values!r}."
        ) from None
    wrong = np.flatnonzero(~((array >= LEAST) & (array <= MOST)))
    if len(wrong):
        value = float(array[wrong[0]])
        raise PlanError(
            f"{question}: {what} must be {within(value)}: row {wrong[0]} has {value}. Correct it "
            "(counts in int64 overflow above 9.2e18: use floats)."
        )
    return np.array(array)


def _status(table: Any, n: int, question: str, what: str) -> NDArray[np.str_]:
    if "status" not in _columns(table):
        return np.full(n, "open")
    out = []
    for row, value in enumerate(np.asarray(table["status"], dtype=object).ravel()):
        missing = value is None or value != value or str(value) == "<NA>"
        word = "" if missing else str(value).strip().lower()
        kinds = {"open": _OPEN, "pending": _PENDING, "failed": _FAILED, "done": _DONE}
        found = [kind for kind, words in kinds.items() if word in words]
        if not found:
            raise PlanError(
                f"{question}: {what}: row {row} has the unknown status {value!r}. Leave it empty "
                "for a run not made, or say 'pending', 'failed' or 'ok'."
            )
        out.append(found[0])
    return np.array(out)
