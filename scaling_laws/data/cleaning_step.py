"""What a cleaning step is: a named rule from table to table that writes itself into the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.read_report import (
    KEY,
    ReadReport,
    ReportStep,
    first_few,
    joined,
    read_report,
    with_report,
)
from scaling_laws.errors import DataError, Note, suggest
from scaling_laws.quantities import real_number

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a step made of a table.

    Parameters
    ----------
    frame : DataFrame
    what : str
        Column, or ``"rows"``.
    reason : str
        What was done, in words.
    count : int
        Rows or cells concerned.
    examples : sequence
        Labels of the first rows concerned.
    notes : tuple of Note
    """

    frame: pd.DataFrame
    what: str
    reason: str
    count: int
    examples: Sequence[Any] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class CleaningStep:
    """A rule with its settings; call it on a table, or pass it to :func:`clean`.

    Parameters
    ----------
    name : str
    settings : mapping
        Arguments, as they will stand in the report.
    function : callable
        Table to :class:`Outcome`; leaves the table it is given as it is.

    Examples
    --------
    >>> import pandas as pd
    >>> runs = pd.DataFrame({"run": ["a", "a"], "step": [100.0, 9000.0], "loss": [7.0, 3.0]})
    >>> from scaling_laws.data.cleaning import min_step
    >>> min_step(5000)
    min_step(step=5000)
    >>> runs.pipe(min_step(5000)).loss.tolist()
    [3.0]
    """

    name: str
    settings: Mapping[str, Any] = field(hash=False)
    function: Callable[[pd.DataFrame], Outcome] = field(repr=False, compare=False)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in self.settings.items())})"

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the cleaned table, its report longer by this step."""
        import pandas as pd

        if not isinstance(frame, pd.DataFrame):
            raise DataError(
                f"{self.name} cleans a DataFrame, got a {type(frame).__name__}. Read it with "
                "read_runs first."
            )
        before = report_of(frame)
        done = self.function(frame)
        if not len(done.frame):
            raise DataError(f"{self!r} would leave no row of {len(frame)}. Ask for less.")
        rows = len(done.frame) - len(frame)
        step = ReportStep(
            self.name, done.what, done.reason, rows, int(done.count), first_few(done.examples),
            dict(self.settings),
        )  # fmt: skip
        out = done.frame
        out.attrs = dict(frame.attrs)
        report = replace(
            before,
            rows_kept=len(out),
            steps=(*before.steps, step),
            notes=(*before.notes, *done.notes),
        )
        return with_report(out, report)


def clean(frame: pd.DataFrame, *steps: CleaningStep) -> pd.DataFrame:
    """Apply cleaning steps one after another; each is recorded in ``read_report(frame)``.

    Parameters
    ----------
    frame : DataFrame
        A table of runs, for example from ``read_runs``; it is not modified.
    *steps : CleaningStep
        For example ``min_step(5000)`` or ``drop_highest_loss(5)``.

    Returns
    -------
    DataFrame

    Raises
    ------
    DataError
        A step lacks a column it needs, or would leave no row.

    Examples
    --------
    >>> import pandas as pd
    >>> from scaling_laws.data.best_runs import best_over
    >>> from scaling_laws.data.read_report import read_report
    >>> runs = pd.DataFrame({"params": [1e6, 1e6, 2e6], "learning_rate": [1e-3, 2e-3, 1e-3],
    ...                      "loss": [3.2, 3.1, 3.0]})
    >>> best = clean(runs, best_over("learning_rate"))
    >>> best.loss.tolist(), read_report(best).steps[0].count
    ([3.1, 3.0], 1)
    """
    for step in steps:
        if not isinstance(step, CleaningStep):
            raise DataError(
                f"clean takes steps such as min_step(5000), got {step!r}. Call the step's name "
                "with its settings."
            )
    for step in steps:
        frame = step(frame)
    return frame


def report_of(frame: pd.DataFrame) -> ReadReport:
    """Return the report a table carries, or a fresh one.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    ReadReport

    Examples
    --------
    >>> import pandas as pd
    >>> report_of(pd.DataFrame({"loss": [3.0]})).rows_read
    1
    """
    if KEY in frame.attrs:
        return read_report(frame)
    return ReadReport("table", "table", len(frame), len(frame))


def need_columns(frame: pd.DataFrame, names: Sequence[str], step: str) -> None:
    """Raise unless the table has the columns a step needs.

    Parameters
    ----------
    frame : DataFrame
    names : sequence of str
    step : str
        Name of the step, for the message.

    Raises
    ------
    DataError

    Examples
    --------
    >>> import pandas as pd
    >>> need_columns(pd.DataFrame({"loss": [3.0]}), ["loss"], "min_step")
    """
    have = [str(c) for c in frame.columns]
    for name in names:
        if name not in frame.columns:
            raise DataError(
                f"{step} needs the column '{name}'.{suggest(str(name), have)} Found: "
                f"{joined(have, 30)}."
            )


def numbers_of(frame: pd.DataFrame, name: str, step: str) -> NDArray[np.float64]:
    """Return a column as floats, NaN where missing.

    Parameters
    ----------
    frame : DataFrame
    name : str
    step : str
        Name of the step, for the message.

    Returns
    -------
    ndarray (n,)

    Raises
    ------
    DataError
        No such column, or not numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> numbers_of(pd.DataFrame({"loss": [3, None]}), "loss", "min_step").tolist()
    [3.0, nan]
    """
    need_columns(frame, [name], step)
    try:
        return frame[name].to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        raise DataError(
            f"{step} needs numbers in the column '{name}'. Read the table with read_runs."
        ) from None


def leave_out(
    frame: pd.DataFrame, keep: NDArray[np.bool_], what: str, reason: str, *notes: Note
) -> Outcome:
    """Return the outcome of keeping some rows.

    Parameters
    ----------
    frame : DataFrame
    keep : ndarray of bool (n,)
    what : str
        Column, or ``"rows"``.
    reason : str
    *notes : Note

    Returns
    -------
    Outcome

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"loss": [3.0, 9.0]})
    >>> leave_out(frame, np.array([True, False]), "loss", "too high").examples
    [1]
    """
    out = frame[keep].copy(deep=False)
    labels = frame.get("run", frame.index)
    return Outcome(out, what, reason, int((~keep).sum()), list(labels[~keep]), notes)


def positive_number(name: str, value: Any, step: str) -> float:
    """Return a setting as a float, or raise unless it is positive and finite.

    Parameters
    ----------
    name : str
        Setting, for the message.
    value : object
    step : str
        Name of the step, for the message.

    Returns
    -------
    float

    Raises
    ------
    DataError

    Examples
    --------
    >>> positive_number("step", 5000, "min_step")
    5000.0
    """
    number = real_number(value)
    if not 0 < number < np.inf:
        raise DataError(f"{step}: {name} must be a positive number, got {value!r}.")
    return number


def unless_default(value: Any, default: Any, name: str) -> dict[str, Any]:
    """Return a setting for the report, nothing where it is the default.

    Parameters
    ----------
    value, default : object
    name : str

    Returns
    -------
    dict

    Examples
    --------
    >>> unless_default("loss", "loss", "target"), unless_default("f1", "loss", "target")
    ({}, {'target': 'f1'})
    """
    return {} if value == default else {name: value}
