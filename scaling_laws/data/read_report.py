"""What was done to a table on its way in: dropped, converted, renamed and why, all counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from scaling_laws.errors import DataError, Note

if TYPE_CHECKING:
    import pandas as pd

KEY = "read_report"
"""Where the report lies in ``frame.attrs``, as plain values that can be written as JSON."""
_EXAMPLES = 5


@dataclass(frozen=True)
class ReportStep:
    """One thing that was done to a table.

    Parameters
    ----------
    action : str
        ``"dropped"``, ``"merged"``, ``"reshaped"``, ``"converted"``, ``"renamed"``, ``"filled"``,
        ``"derived"``, ``"missing"``, ``"kept"``, or the name of a cleaning step.
    what : str
        Column, or ``"rows"``.
    reason : str
        Why, in words.
    rows : int
        How many rows the table grew by: negative where rows were left out.
    count : int
        Rows, cells or columns concerned.
    examples : tuple of str
        The first few: row labels, cells or names.
    settings : mapping
        Arguments of a cleaning step.

    Examples
    --------
    >>> print(ReportStep("dropped", "rows", "no loss at this step", rows=-3, count=3))
    dropped rows: no loss at this step (3; -3 rows)
    """

    action: str
    what: str
    reason: str
    rows: int = 0
    count: int = 0
    examples: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        change = f"; {self.rows:+d} rows" if self.rows else ""
        shown = f", first {', '.join(self.examples)}" if self.examples else ""
        return f"{self.action} {self.what}: {self.reason} ({self.count}{change}{shown})"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "action": self.action,
            "what": self.what,
            "reason": self.reason,
            "rows": self.rows,
            "count": self.count,
            "examples": list(self.examples),
            "settings": dict(self.settings),
        }


@dataclass(frozen=True)
class ReadReport:
    """How a table of runs came about.

    Parameters
    ----------
    source : str
        Name of the file or kind of object.
    format : str
        Shape that was recognised or asked for.
    rows_read : int
        Records in the source. ``rows_read`` and the ``rows`` of all steps add up to ``rows_kept``.
    rows_kept : int
        Rows of the table.
    steps : tuple of ReportStep
    notes : tuple of Note
        What should be doubted.
    group : str, optional
        Column of what is fitted apart.

    Examples
    --------
    >>> import pandas as pd
    >>> from scaling_laws.data.readers import read_runs
    >>> table = pd.DataFrame({"N": ["1M", "2M"], "D": [1e7, 1e7], "loss": [3.0, 2.9]})
    >>> report = read_report(read_runs(table))
    >>> report.rows_read, report.rows_kept, report.dropped, report.notes
    (2, 2, 0, ())
    >>> print(report.steps[0])
    renamed N: params (1)
    """

    source: str
    format: str
    rows_read: int
    rows_kept: int
    steps: tuple[ReportStep, ...] = ()
    notes: tuple[Note, ...] = ()
    group: str | None = None

    @property
    def dropped(self) -> int:
        """Rows of the source that are in no row of the table."""
        return -sum(s.rows for s in self.steps if s.action not in {"merged", "reshaped"})

    def to_frame(self) -> pd.DataFrame:
        """Return one row a step."""
        import pandas as pd

        names = ["action", "what", "reason", "rows", "count", "examples", "settings"]
        return pd.DataFrame([s.to_dict() for s in self.steps], columns=names)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "source": self.source,
            "format": self.format,
            "rows_read": self.rows_read,
            "rows_kept": self.rows_kept,
            "steps": [s.to_dict() for s in self.steps],
            "notes": [n.to_dict() for n in self.notes],
            "group": self.group,
        }

    def __str__(self) -> str:
        head = (
            f"{self.source} read as {self.format}: {self.rows_read} records, {self.rows_kept} rows"
        )
        return "\n".join(
            [head, *(f"- {s}" for s in self.steps), *(f"! {note}" for note in self.notes)]
        )


def report_from_dict(mapping: Mapping[str, Any]) -> ReadReport:
    """Restore a report from :meth:`ReadReport.to_dict`.

    Parameters
    ----------
    mapping : mapping

    Returns
    -------
    ReadReport

    Examples
    --------
    >>> report = ReadReport("a.csv", "table", 2, 2)
    >>> report_from_dict(report.to_dict()) == report
    True
    """
    steps = tuple(
        ReportStep(**{**s, "examples": tuple(s.get("examples", ()))}) for s in mapping["steps"]
    )
    return ReadReport(
        mapping["source"],
        mapping["format"],
        mapping["rows_read"],
        mapping["rows_kept"],
        steps,
        tuple(Note(**n) for n in mapping["notes"]),
        mapping.get("group"),
    )


def read_report(frame: pd.DataFrame) -> ReadReport:
    """Return what was done to a table that ``read_runs`` or ``clean`` made.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    ReadReport

    Raises
    ------
    DataError
        The table carries no report.

    Examples
    --------
    >>> import pandas as pd
    >>> from scaling_laws.data.cleaning import clean, drop_highest_loss
    >>> frame = clean(pd.DataFrame({"loss": [3.0, 9.0, 2.9]}), drop_highest_loss(1))
    >>> print(read_report(frame))
    table read as table: 3 records, 2 rows
    - drop_highest_loss loss: the 1 highest values (1; -1 rows, first 1)
    """
    report = report_of(frame)
    if report is None:
        raise DataError(
            "the table carries no report of how it was read. Read it with read_runs, and keep "
            "frame.attrs when you copy it into a new table."
        )
    return report


def report_of(frame: Any) -> ReadReport | None:
    """Return the report that a table carries, if any.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    ReadReport or None

    Raises
    ------
    DataError
        What lies in its place is no report.

    Examples
    --------
    >>> import pandas as pd
    >>> report_of(pd.DataFrame({"loss": [1.0]})) is None
    True
    """
    stored = getattr(frame, "attrs", {}).get(KEY)
    if stored is None:
        return None
    try:
        return report_from_dict(stored)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(
            f"frame.attrs[{KEY!r}] is not the report of a reading ({type(error).__name__}: "
            f"{error}). Delete it from frame.attrs."
        ) from None


def with_report(frame: pd.DataFrame, report: ReadReport) -> pd.DataFrame:
    """Return a copy of the table that carries the report.

    Parameters
    ----------
    frame : DataFrame
    report : ReadReport

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> import pandas as pd
    >>> frame = with_report(pd.DataFrame({"loss": [1.0]}), ReadReport("a", "table", 1, 1))
    >>> frame.attrs["read_report"]["rows_read"]
    1
    """
    out = frame.copy(deep=False)
    out.attrs = {**frame.attrs, KEY: report.to_dict()}
    return out


class Ledger:
    """Collects steps and notes while a table is read.

    Examples
    --------
    >>> ledger = Ledger()
    >>> ledger.add("dropped", "rows", "torn line", rows=-1, count=1)
    >>> ledger.change
    -1
    """

    def __init__(self) -> None:
        self.steps: list[ReportStep] = []
        self.notes: list[Note] = []

    def note(self, note: Note) -> None:
        """Keep a note, once."""
        if note not in self.notes:
            self.notes.append(note)

    def add(
        self,
        action: str,
        what: str,
        reason: str,
        *,
        rows: int = 0,
        count: int = 0,
        examples: Iterable[Any] = (),
    ) -> None:
        """Record a step; the same step on another file is added to the one before."""
        shown = first_few(examples)
        for i, old in enumerate(self.steps):
            if (old.action, old.what, old.reason) == (action, what, reason):
                shown = first_few(dict.fromkeys((*old.examples, *shown)))
                rows, count = rows + old.rows, count + old.count
                self.steps[i] = replace(old, rows=int(rows), count=int(count), examples=shown)
                return
        self.steps.append(ReportStep(action, what, reason, int(rows), int(count), shown))

    @property
    def change(self) -> int:
        """Rows gained less rows lost so far."""
        return sum(s.rows for s in self.steps)


def first_few(values: Iterable[Any], most: int = _EXAMPLES) -> tuple[str, ...]:
    """Return the first few values as short text.

    Parameters
    ----------
    values : iterable
    most : int

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> first_few(range(100), 3), first_few(["x" * 50])
    (('0', '1', '2'), ('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…',))
    """
    out: list[str] = []
    for value in values:
        if len(out) == most:
            break
        text = str(value)
        out.append(text if len(text) <= 40 else text[:39] + "…")
    return tuple(out)


def joined(names: Sequence[Any], most: int = 12) -> str:
    """Return names as a comma-separated list, shortened after ``most``.

    Parameters
    ----------
    names : sequence
    most : int

    Returns
    -------
    str

    Examples
    --------
    >>> joined(["a", "b", "c"], 2)
    'a, b, ... (1 more)'
    """
    shown = ", ".join(first_few(names, most))
    return shown if len(names) <= most else f"{shown}, ... ({len(names) - most} more)"
