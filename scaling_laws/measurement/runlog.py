"""The log of a sweep: one JSON line per finished run, on the disk before the next one starts."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_laws.errors import MeasureError

if TYPE_CHECKING:
    import pandas as pd

_FIELDS = (
    "status",
    "error",
    "seconds",
    "cpu_seconds",
    "peak_memory",
    "peak_memory_source",
    "started",
    "versions",
)
# The text is not called ``error`` in the table: that name is the error rate, a target.
RESERVED = tuple("failure" if name == "error" else name for name in _FIELDS)
STATUSES = ("ok", "error", "timeout", "killed", "nan", "out_of_memory")
_LARGEST_EXACT = 2**53


def read_log(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read the log of a sweep, finished or not, while it runs or after a crash.

    Parameters
    ----------
    path : path-like
        File given to :func:`sweep` as ``log``.

    Returns
    -------
    DataFrame
        One row per line in the order the runs ended: the configuration, the metrics, ``status``,
        ``failure`` (text), ``seconds`` [s], ``cpu_seconds`` [s], ``peak_memory`` [bytes],
        ``peak_memory_source``, ``started`` (UTC) and ``versions``. A retried run has several
        rows. ``frame.attrs["torn_lines"]`` lists the line numbers cut short by a crash.

    Raises
    ------
    MeasureError
        If the file cannot be read or is not the log of a sweep.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from scaling_laws import grid, sweep
    >>> log = pathlib.Path(tempfile.mkdtemp()) / "runs.jsonl"
    >>> _ = sweep(lambda width: 1 / width, grid(width=[1, 2]), log=log)
    >>> read_log(log)[["width", "loss", "status"]].values.tolist()
    [[1, 1.0, 'ok'], [2, 0.5, 'ok']]
    """
    records, torn = read_records(path)
    frame = to_table(records)
    frame.attrs["torn_lines"] = torn
    return frame


def read_records(path: str | os.PathLike[str]) -> tuple[list[dict[str, Any]], list[int]]:
    """Finished runs of a log, in order, and the numbers of its torn lines.

    Parameters
    ----------
    path : path-like
        Log of a sweep.

    Returns
    -------
    records : list of dict
        ``config``, ``metrics`` and the measured fields of each run.
    torn : list of int
        Lines, counted from 1, that a crash cut short.

    Raises
    ------
    MeasureError
        If the file cannot be read or is not the log of a sweep.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "runs.jsonl"
    >>> _ = path.write_text('{"config": {"wid')
    >>> read_records(path)
    ([], [1])
    """
    try:
        content = Path(path).read_bytes()
    except OSError as failure:
        raise MeasureError(
            f"log {os.fspath(path)!r} cannot be read: {failure.strerror}. "
            "Give the file a sweep was told to log to."
        ) from failure
    records: list[dict[str, Any]] = []
    torn: list[int] = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        record = _parse(line, number, path)
        if record is None:
            torn.append(number)
        else:
            records.append(record)
    return records, torn


def _parse(line: bytes, number: int, path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the run on a line, or None if the line was cut short."""
    try:
        record = json.loads(line)
    except ValueError:
        if line.startswith((b"{", b"\0")):  # after a power cut some systems leave zeros
            return None
        record = None
    fields = {"config", "metrics", *_FIELDS}
    if not isinstance(record, dict) or not fields.issubset(record):
        raise MeasureError(
            f"line {number} of {os.fspath(path)!r} is not a run: {line[:40]!r}. "
            "Give the log of a sweep, or a new file."
        )
    record["metrics"] = {name: _from_json(value) for name, value in record["metrics"].items()}
    for name in ("seconds", "cpu_seconds", "peak_memory"):
        record[name] = _from_json(record[name])
    return record


def _to_json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _from_json(value: float | str) -> float:
    return float(value) if isinstance(value, str) else value


class RunLog:
    """Append finished runs to a file, each synced to the disk before :meth:`append` returns.

    Parameters
    ----------
    path : path-like
        Made if missing; a line torn by an earlier crash is closed first.

    Raises
    ------
    MeasureError
        If the file cannot be read and written, or is not the log of a sweep.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "runs.jsonl"
    >>> with RunLog(path) as log:
    ...     log.records, log.torn
    ([], [])
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        try:
            made = not self.path.exists()
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as failure:
            raise MeasureError(
                f"log {os.fspath(path)!r} cannot be written: {failure.strerror}. "
                "Make its directory, or choose a place you may write to."
            ) from failure
        try:
            if made:
                _sync_directory(self.path.parent)
            self.records, self.torn = read_records(self.path)
            self._close_torn_line()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one finished run; when this returns, it is on the disk.

        Parameters
        ----------
        record : mapping
            ``config``, ``metrics`` and the measured fields.

        Raises
        ------
        MeasureError
            If the disk does not take it; what was logged before stays.
        """
        line = dict(record)
        line["metrics"] = {name: _to_json(value) for name, value in record["metrics"].items()}
        for name in ("seconds", "cpu_seconds", "peak_memory"):
            line[name] = _to_json(record[name])
        text = json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            with self._lock:
                self._write(text.encode("utf-8", errors="backslashreplace"))
        except OSError as failure:
            raise MeasureError(
                f"run {record['config']} finished but log {str(self.path)!r} did not take it: "
                f"{failure.strerror}. Make room and call sweep again; logged runs are kept."
            ) from failure

    def _close_torn_line(self) -> None:
        size = os.lseek(self._file, 0, os.SEEK_END)
        if size == 0:
            return
        os.lseek(self._file, size - 1, os.SEEK_SET)
        if os.read(self._file, 1) != b"\n":
            self._write(b"\n")

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]
        os.fsync(self._file)


def _sync_directory(directory: Path) -> None:
    """Make a new file's name durable too, where directories can be synced."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def key_of(config: Mapping[str, Any]) -> str:
    """Canonical text of a configuration; equal numbers give equal keys.

    Parameters
    ----------
    config : mapping of str to object
        Plain values, see :func:`plain_value`.

    Returns
    -------
    str
        JSON with sorted names.

    Examples
    --------
    >>> key_of({"b": 1.0, "a": [1e5]})
    '{"a":[100000],"b":1}'
    """
    return json.dumps(_canonical(config), sort_keys=True, separators=(",", ":"))


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_EXACT:
        return int(value)
    return value


def plain_value(value: Any) -> Any:
    """Turn NumPy scalars and arrays into Python values; others stay as they are.

    Parameters
    ----------
    value : object
        Value of one configuration entry.

    Returns
    -------
    object
        Integers stay integers.

    Raises
    ------
    TypeError
        If the value cannot be written to a log and read back.

    Examples
    --------
    >>> import numpy as np
    >>> plain_value(np.int64(3)), plain_value(np.array([1.5, 2.0]))
    (3, [1.5, 2.0])
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        if math.isfinite(value):
            return value
        raise TypeError(f"{value} is not finite")
    if isinstance(value, (list, tuple)):
        return type(value)(plain_value(item) for item in value)
    if isinstance(value, Mapping):
        return {str(name): plain_value(item) for name, item in value.items()}
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return plain_value(value.tolist())
    raise TypeError(f"a {type(value).__name__} cannot be logged")


def to_table(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per run: configuration, metrics, then the measured columns.

    Parameters
    ----------
    records : iterable of mapping
        As written to the log.

    Returns
    -------
    DataFrame
        Metrics a run does not have are NaN.

    Examples
    --------
    >>> list(to_table([]).columns)[:2]
    ['status', 'failure']
    """
    import pandas as pd

    records = list(records)
    names = [*_names(records, "config"), *_names(records, "metrics"), *RESERVED]
    rows = [
        {
            **record["config"],
            **record["metrics"],
            **{name: record[field] for name, field in zip(RESERVED, _FIELDS, strict=True)},
            "versions": ", ".join(f"{name} {v}" for name, v in record["versions"].items()),
        }
        for record in records
    ]
    return pd.DataFrame(rows, columns=list(dict.fromkeys(names)))


def _names(records: Sequence[Mapping[str, Any]], part: str) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record[part]))
