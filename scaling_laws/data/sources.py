"""From a path or an object to untouched cells: which container it is, and its records."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.data.aliases import match_column
from scaling_laws.data.json_tables import (
    json_records,
    parse_json,
    parse_json_lines,
    records_to_frame,
    trainer_records,
)
from scaling_laws.data.read_report import Ledger, joined
from scaling_laws.data.shapes import learning_curve_frame
from scaling_laws.data.text_tables import decode, read_text_table
from scaling_laws.data.workbooks import is_workbook, workbook_text
from scaling_laws.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

CONTAINERS = ("csv", "json", "jsonl", "parquet")
_KNOWN_FILES = ("trainer_state.json", "metrics.csv")
_PLAIN_NAMES = frozenset({"metrics", "trainer_state", "history", "runs", "scalars", "summary"})
_MAGIC = {
    b"\x1f\x8b": "compressed with gzip. Unpack it first",
    b"PK\x03\x04": "a zip archive, or an Excel workbook. Unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook. Save the sheet as CSV",
    b"\x80": "a pickle, which can run code when it is read. Load it yourself and pass the table",
    b"\x93NUMPY": "a NumPy array. Pass a table with named columns",
    b"\x89HDF": "HDF5. Load it with pandas and pass the table",
}


@dataclass(frozen=True, eq=False)
class Raw:
    """Cells as they were found.

    Parameters
    ----------
    frame : DataFrame
        Numbers where the source has typed columns, else untouched cells; None is missing.
    read : int
        Records in the source.
    label : str or None
        Name for a run that the table itself does not name.
    shape : str or None
        What the container already says about the shape.
    decimal : {".", ","}
    marks_missing : bool
        Whether missing cells can be told from those that say "not a number".
    """

    frame: pd.DataFrame
    read: int
    label: str | None = None
    shape: str | None = None
    decimal: str = "."
    marks_missing: bool = True


@dataclass(frozen=True, eq=False)
class Wanted:
    """How to read: what the caller said.

    Parameters
    ----------
    format : str or None
        Container or shape.
    encoding : str or None
    decimal : str or None
    target : str
    names : frozenset of str
        Columns that the caller named.
    columns, units : mapping
    inputs : tuple of str
    group : str or None
    strict : bool
        As for :func:`scaling_laws.data.readers.read_runs`.
    """

    format: str | None
    encoding: str | None
    decimal: str | None
    target: str
    names: frozenset[str]
    columns: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    units: Mapping[str, float | str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    group: str | None = None
    strict: bool = False

    def recognised(self, cell: str) -> bool:
        """Whether a cell is the name of a column that is known or was named."""
        if cell in self.names or cell.startswith(("metrics.", "params.", "config.", "summary.")):
            return True
        return " - " in cell or match_column(cell) is not None


def is_path(source: Any) -> bool:
    """Whether a source is a path.

    Parameters
    ----------
    source : object

    Returns
    -------
    bool

    Examples
    --------
    >>> is_path("runs.csv"), is_path({"loss": [1.0]})
    (True, False)
    """
    return isinstance(source, str) or hasattr(source, "__fspath__")


def expand(source: Any) -> list[Any]:
    """Return the single sources that one source stands for: a list's, or a folder's files.

    Parameters
    ----------
    source : object

    Returns
    -------
    list

    Raises
    ------
    DataError
        No such path, or a folder without files that are known.

    Examples
    --------
    >>> expand({"loss": [3.0]})
    [{'loss': [3.0]}]
    """
    if isinstance(source, list | tuple) and source and all(is_path(s) for s in source):
        return [inner for s in source for inner in expand(s)]
    if isinstance(source, list) and source and all(hasattr(s, "columns") for s in source):
        return list(source)
    if not is_path(source):
        return [source]
    try:
        path = Path(os.fsdecode(source))
        if not path.exists():
            raise DataError(f"there is no file or folder {str(path)!r}. Check the path.")
        folder = path.is_dir()
    except (ValueError, OSError) as error:
        raise DataError(f"the path {str(source)[:80]!r} cannot be used: {error}.") from None
    if not folder or any(path.rglob("*tfevents*")):
        return [path]
    for name in _KNOWN_FILES:
        found = sorted(path.rglob(name))
        if found:
            return list(found)
    inside = sorted(p.name for p in path.iterdir())
    raise DataError(
        f"the folder {str(path)!r} holds no event files, {' or '.join(_KNOWN_FILES)}. Found: "
        f"{joined(inside) or 'nothing'}. Pass the files themselves."
    )


def load(source: Any, wanted: Wanted, ledger: Ledger) -> Raw:
    """Return the cells of one source.

    Parameters
    ----------
    source : path, DataFrame, mapping of columns, list of records, or learning-curve tuple
    wanted : Wanted
    ledger : Ledger

    Returns
    -------
    Raw

    Raises
    ------
    DataError
        It cannot be read; the message says why and what to do.

    Examples
    --------
    >>> wanted = Wanted(None, None, None, "loss", frozenset())
    >>> load([{"N": 1e6, "loss": 3.0}], wanted, Ledger()).read
    1
    """
    if is_path(source):
        path = Path(os.fsdecode(source))
        if path.is_dir():
            return _load_events(path)
        return _load_file(path, wanted, ledger)
    return _load_object(source, wanted, ledger)


def label_of(path: Path) -> str:
    """Name of a run from its file: the stem, or the folder's where the stem says nothing.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str

    Examples
    --------
    >>> label_of(Path("logs/run-a/checkpoint-500/trainer_state.json")), label_of(Path("x/190M.csv"))
    ('run-a', '190M')
    """
    if path.stem.lower() not in _PLAIN_NAMES:
        return path.stem
    folder = path.absolute().parent
    if re.fullmatch(r"checkpoint-\d+", folder.name):
        folder = folder.parent
    return folder.name or path.stem


def _load_file(path: Path, wanted: Wanted, ledger: Ledger) -> Raw:
    where = path.name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{str(path)!r} cannot be read: {error.strerror}.") from None
    kind = wanted.format if wanted.format in CONTAINERS else None
    if kind == "parquet" or (kind is None and content[:4] == b"PAR1"):
        return _load_parquet(path)
    if kind is None and is_workbook(content):
        sign = wanted.decimal or "."
        text = workbook_text(content, where, sign)
        return _from_text_file(text, "csv", path, replace(wanted, decimal=sign), ledger)
    for magic, what in _MAGIC.items():
        if content.startswith(magic):
            raise DataError(f"{where} is {what}.")
    before = ledger.change
    text = decode(content, wanted.encoding, where, ledger)
    lost = before - ledger.change
    raw = _from_text_file(text, kind or _text_kind(text, path), path, wanted, ledger)
    return replace(raw, read=raw.read + lost)


def _from_text_file(text: str, kind: str, path: Path, wanted: Wanted, ledger: Ledger) -> Raw:
    where, label = path.name, label_of(path)
    if kind == "jsonl":
        records, read = parse_json_lines(text, where, ledger)
        return Raw(records_to_frame(records, ledger), read, label)
    if kind == "json":
        return _load_json(parse_json(text, where), where, label, ledger)
    table, read = read_text_table(
        text, where, ledger, recognised=wanted.recognised, decimal=wanted.decimal,
        spreadsheet=wanted.format == "spreadsheet",
    )  # fmt: skip
    return _from_text(table.header, table.rows, table.decimal, read, label, table.grouped)


def _from_text(
    header: Sequence[str], rows: list[Any], decimal: str, read: int, label: str, grouped: bool
) -> Raw:
    import pandas as pd

    if not rows:
        raise DataError("the table has a header and no rows. Give one row per run.")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    frame = pd.DataFrame(columns, dtype=object)
    blank = any(cell is None for row in rows for cell in row)
    return Raw(frame, read, label, "spreadsheet" if grouped else None, decimal, blank)


def _text_kind(text: str, path: Path) -> str:
    start = text.lstrip()[:1]
    if start not in {"{", "["} or path.suffix.lower() in {".csv", ".tsv"}:
        return "csv"
    if path.suffix.lower() in {".jsonl", ".ndjson"}:
        return "jsonl"
    lines = [line for line in text.split("\n", 3) if line.strip()]
    if start == "{" and len(lines) > 1 and lines[0].rstrip().endswith("}"):
        return "jsonl"
    return "json"


def _load_json(content: Any, where: str, label: str, ledger: Ledger) -> Raw:
    if isinstance(content, dict) and "log_history" in content:
        records = trainer_records(content, where)
        read = len(content["log_history"])
        if len(records) > read:
            more = len(records) - read
            ledger.add("reshaped", "rows", "what the file says of its end", rows=more, count=more)
        frame = records_to_frame(records, ledger)
        return Raw(frame, read, label, "trainer_state")
    records = json_records(content, where)
    return Raw(records_to_frame(records, ledger), len(records), label)


def _load_parquet(path: Path) -> Raw:
    import pandas as pd

    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except ImportError:
        raise DataError(
            f"reading {path.name} needs pyarrow. Install it (pip install pyarrow), or save the "
            "table as CSV."
        ) from None
    except Exception as error:  # pyarrow raises kinds of its own
        raise DataError(
            f"{path.name} is not a readable Parquet file: {_sentence(error)}."
        ) from None
    return _from_frame(frame, label_of(path))


def _sentence(error: Exception) -> str:
    return str(error).rstrip(".")


def _load_events(path: Path) -> Raw:
    try:
        from tbparse import SummaryReader
    except ImportError:
        raise DataError(
            f"reading the event files in {str(path)!r} needs tbparse. Install it (pip install "
            "tbparse), or download the scalars as CSV."
        ) from None
    try:
        frame = SummaryReader(str(path), extra_columns={"dir_name"}).scalars
    except Exception as error:  # whatever a damaged event file makes it raise
        raise DataError(f"the event files in {str(path)!r} cannot be read: {error}.") from None
    if not len(frame):
        raise DataError(f"the event files in {str(path)!r} hold no scalars.")
    if "dir_name" in frame and (frame["dir_name"].astype(str) == "").all():
        frame = frame.drop(columns="dir_name")
    raw = _from_frame(frame, path.name)
    return Raw(raw.frame, raw.read, raw.label, "tensorboard")


def _load_object(source: Any, wanted: Wanted, ledger: Ledger) -> Raw:
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return _from_frame(source, None)
    if isinstance(source, Mapping):
        if "log_history" in source:
            return _load_json(dict(source), "trainer state", "run", ledger)
        try:
            return _from_frame(pd.DataFrame(dict(source)), None)
        except (ValueError, TypeError) as error:
            raise DataError(f"the mapping is not a table of columns: {error}.") from None
    records = isinstance(source, list | tuple) and all(isinstance(r, Mapping) for r in source)
    if records and source:
        return Raw(records_to_frame(source, ledger), len(source))
    if isinstance(source, tuple) or wanted.format == "learning_curve":
        curve = list(source) if isinstance(source, list | tuple) else source
        if not isinstance(curve, list):
            raise DataError("a learning curve is a tuple of sizes, training and test scores.")
        frame = learning_curve_frame(curve, wanted.target, ledger)
        return Raw(frame, _sizes(curve), None, "learning_curve")
    raise DataError(
        f"cannot read runs from a {type(source).__name__}. Pass a path, a DataFrame, a mapping of "
        "columns, a list of records, or the tuple of sklearn's learning_curve."
    )


def _sizes(curve: Sequence[Any]) -> int:
    return len(np.asarray(curve[0]))


def _from_frame(frame: pd.DataFrame, label: str | None) -> Raw:
    """Copy a table: typed columns as they are, others cell by cell with None for missing."""
    import pandas as pd

    if not len(frame.columns) or not len(frame):
        raise DataError("the table of runs is empty. Give one row per run.")
    out = frame.copy(deep=False)
    out.attrs = {}
    if isinstance(out.columns, pd.MultiIndex):
        raise DataError("the table has several levels of column names. Join them to one first.")
    out.columns = pd.Index([str(c) for c in out.columns], dtype=object)
    named = out.index.name
    if named is not None and str(named) not in out.columns:
        out = out.reset_index()
        out.columns = pd.Index([str(c) for c in out.columns], dtype=object)
    if out.columns.duplicated().any():
        name = out.columns[out.columns.duplicated()][0]
        raise DataError(f"the table has several columns named '{name}'. Rename all but one.")
    out = out.reset_index(drop=True)
    for name in out.columns:
        if out[name].dtype.kind not in "iuf" or not isinstance(out[name].dtype, np.dtype):
            cells = out[name].astype(object)
            out[name] = cells.where(cells.notna(), None)
    return Raw(out, len(out), label, marks_missing=False)
