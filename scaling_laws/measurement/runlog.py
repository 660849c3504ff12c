"""The log of runs: one JSON line per finished run, on the disk before the next one starts."""

from __future__ import annotations

import json
import math
import os
import stat
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_laws.errors import MeasureError
from scaling_laws.measurement.compute import flops_notes
from scaling_laws.measurement.configuration import RESERVED
from scaling_laws.measurement.runner import CHECKPOINT_COLUMNS

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
_NEWER_FIELDS: dict[str, Any] = {  # and their values in logs that are older
    "seconds_spread": math.nan,
    "first_seconds": math.nan,
    "device_memory": math.nan,
    "flops": {},
    "attempt": 1,
    "hostname": "",
}
_NUMBERS = (
    *("seconds", "cpu_seconds", "peak_memory"),
    *("seconds_spread", "first_seconds", "device_memory"),
)
_ROOM = 2**16  # bytes the disk must take before anything is trained


def read_log(path: str | os.PathLike[str], *, checkpoints: bool = False) -> pd.DataFrame:
    """Read a log of runs, finished or not, while it is written or after a crash.

    Parameters
    ----------
    path : path-like
        File given to :func:`sweep` or :class:`record`, or a directory of such files, ``*.jsonl``.
    checkpoints : bool, default False
        Read what runs logged on their way instead, those of unfinished runs included.

    Returns
    -------
    DataFrame
        One row per finished run in the order the runs ended: the configuration, the metrics and
        the measured columns that :func:`sweep` explains. A retried run has several rows. With
        ``checkpoints``, one row per call of :meth:`record.log`, or of the ``checkpoint`` that
        :func:`sweep` gives: the configuration, the values, ``run`` (a name for the run, a new one
        for each attempt), ``status`` (``"running"`` until it has ended, and for good where the
        process that logged was killed) and ``seconds`` [s] since it began.
        ``frame.attrs["torn_lines"]`` lists the lines cut short by a crash: their numbers, or
        ``"file:number"`` in a directory. ``frame.attrs["notes"]`` says where counts of compute
        disagree.

    Raises
    ------
    MeasureError
        If the file cannot be read or is not such a log.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from scaling_laws import grid, sweep
    >>> log = pathlib.Path(tempfile.mkdtemp()) / "runs.jsonl"
    >>> _ = sweep(lambda width: 1 / width, grid(width=[1, 2]), log=log)
    >>> read_log(log)[["width", "loss", "status"]].values.tolist()
    [[1, 1.0, 'ok'], [2, 0.5, 'ok']]
    """
    lines: list[dict[str, Any]] = []
    torn: list[Any] = []
    if Path(path).is_dir():
        for file in sorted(Path(path).glob("*.jsonl")):
            more, cut = _read_lines(file)
            lines += more
            torn += [f"{file.name}:{number}" for number in cut]
    else:
        lines, torn = _read_lines(path)
    finished = [line for line in lines if "checkpoint" not in line]
    frame = _checkpoint_table(lines) if checkpoints else to_table(finished)
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
    lines, torn = _read_lines(path)
    return [line for line in lines if "checkpoint" not in line], torn


def _read_lines(path: str | os.PathLike[str]) -> tuple[list[dict[str, Any]], list[int]]:
    """Runs and checkpoints of a log, in order, and the numbers of its torn lines."""
    try:
        content = Path(path).read_bytes()
    except OSError as failure:
        raise MeasureError(
            f"log {os.fspath(path)!r} cannot be read: {failure.strerror}. "
            "Give the file a sweep was told to log to."
        ) from failure
    lines: list[dict[str, Any]] = []
    torn: list[int] = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        found = _parse(line, number, path)
        if found is None:
            torn.append(number)
        else:
            lines.append(found)
    return lines, torn


def _parse(line: bytes, number: int, path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the run or checkpoint on a line, or None if the line was cut short."""
    try:
        found = json.loads(line)
    except ValueError:
        if line.startswith((b"{", b"\0")):  # after a power cut some systems leave zeros
            return None
        found = None
    names = set(found) if isinstance(found, dict) else set()
    if names >= {"config", "checkpoint", "run", "seconds"}:
        return {**found, "checkpoint": _all_from_json(found["checkpoint"])}
    if not names >= {"config", "metrics", *_FIELDS}:
        raise MeasureError(
            f"line {number} of {os.fspath(path)!r} is not a run: {line[:40]!r}. "
            "Give the log of a sweep, or a new file."
        )
    record = {**_NEWER_FIELDS, **found}
    record["metrics"] = _all_from_json(record["metrics"])
    record["flops"] = _all_from_json(record["flops"])
    for name in _NUMBERS:
        record[name] = _from_json(record[name])
    return record


def _to_json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _from_json(value: float | str) -> float:
    return float(value) if isinstance(value, str) else value


def _all_from_json(values: Mapping[str, float | str]) -> dict[str, float]:
    return {name: _from_json(value) for name, value in values.items()}


def _all_to_json(values: Mapping[str, float]) -> dict[str, float | str]:
    return {name: _to_json(value) for name, value in values.items()}


class RunLog:
    """Append finished runs to a file, each synced to the disk before :meth:`append` returns.

    Parameters
    ----------
    path : path-like
        Made if missing; a line torn by an earlier crash is closed first.
    exclusive : bool, default False
        Refuse a file that another exclusive log has open, where the system can tell.

    Raises
    ------
    MeasureError
        If the file cannot be read and written, the disk is full, the file is not a log of runs,
        or another sweep has it.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "runs.jsonl"
    >>> with RunLog(path) as log:
    ...     log.records, log.torn
    ([], [])
    """

    def __init__(self, path: str | os.PathLike[str], *, exclusive: bool = False) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        try:
            made = not self.path.exists()
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as failure:
            raise self._unusable(failure) from failure
        try:
            if not stat.S_ISREG(os.fstat(self._file).st_mode):
                raise MeasureError(f"log {str(path)!r} is not a file on a disk; choose another.")
            if exclusive and not _lock_alone(self._file):
                raise MeasureError(
                    f"log {str(path)!r} is in use by another sweep. Wait for it, or give each "
                    "sweep its own file and read them together: read_log(directory)."
                )
            if made:
                _sync_directory(self.path.parent)
            self.records, self.torn = read_records(self.path)
            _check_room(self.path.parent)
            self._close_torn_line()
        except OSError as failure:
            self.close()
            raise self._unusable(failure) from failure
        except BaseException:
            self.close()
            raise

    def _unusable(self, failure: OSError) -> MeasureError:
        return MeasureError(
            f"log {str(self.path)!r} cannot be written: {failure.strerror}. Nothing was trained. "
            "Make its directory, make room, or choose a place you may write to."
        )

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file. A thread that a run left behind then cannot write to another."""
        with self._lock:
            file, self._file = self._file, -1
        os.close(file)

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
        for name in {"metrics", "flops"} & set(line):
            line[name] = _all_to_json(line[name])
        for name in set(_NUMBERS) & set(line):
            line[name] = _to_json(line[name])
        text = json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            with self._lock:
                self._write(text.encode("utf-8", errors="backslashreplace"))
        except OSError as failure:
            raise MeasureError(
                f"run {record['config']} finished but log {str(self.path)!r} did not take it: "
                f"{failure.strerror}. Make room and call again; logged runs are kept."
            ) from failure

    def note(
        self, run: str, config: Mapping[str, Any], seconds: float, values: Mapping[str, float]
    ) -> None:
        """Add a checkpoint of a run that goes on; it survives this process, not a power cut.

        Parameters
        ----------
        run : str
            Name of the run.
        config : mapping
            Its configuration.
        seconds : float
            Since it began [s].
        values : mapping of str to float
            Such as ``step`` and ``loss``.

        Raises
        ------
        MeasureError
            If the disk does not take it.
        """
        line = {"run": run, "config": config, "checkpoint": _all_to_json(values)}
        text = json.dumps({**line, "seconds": seconds}, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            with self._lock:
                self._write(text.encode("utf-8", errors="backslashreplace"), sync=False)
        except OSError as failure:
            raise MeasureError(
                f"log {str(self.path)!r} did not take a checkpoint: {failure.strerror}. Make room; "
                "logged runs are kept."
            ) from failure

    def _close_torn_line(self) -> None:
        size = os.lseek(self._file, 0, os.SEEK_END)
        if size == 0:
            return
        os.lseek(self._file, size - 1, os.SEEK_SET)
        if os.read(self._file, 1) != b"\n":
            self._write(b"\n")

    def _write(self, data: bytes, *, sync: bool = True) -> None:
        while data:
            data = data[os.write(self._file, data) :]
        if sync:
            os.fsync(self._file)


def _check_room(directory: Path) -> None:
    """Raise OSError if the disk is full: better now than when the first run has ended."""
    try:
        probe = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115
    except PermissionError:  # the log itself could be opened
        return
    with probe:
        probe.write(b"\0" * _ROOM)
        probe.flush()
        os.fsync(probe.fileno())


def _lock_alone(file: int) -> bool:
    """Lock a file until it is closed; False if another has it, True where nobody can tell."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network disks have no locks
        return True
    return True


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
    records = [{**_NEWER_FIELDS, **record} for record in records]
    metrics = _names(records, "metrics")
    if any(record["flops"] for record in records):
        metrics.append("flops")
    names = [*_names(records, "config"), *metrics, *RESERVED]
    frame = _frame([_row(record) for record in records], names)
    frame.attrs["notes"] = flops_notes(record["flops"] for record in records)
    return frame


def _frame(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> pd.DataFrame:
    """Rows as a table; whole numbers without a float, which pandas 2 refuses, are objects."""
    import pandas as pd

    columns = list(dict.fromkeys(names))
    try:
        return pd.DataFrame(rows, columns=columns)
    except OverflowError:
        return pd.concat([_single_column(rows, name) for name in columns], axis=1)


def _single_column(rows: Sequence[Mapping[str, Any]], name: str) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.DataFrame(rows, columns=[name])
    except OverflowError:
        return pd.DataFrame(rows, columns=[name], dtype=object)


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    source = next(iter(record["flops"]), "")
    return {
        **({"flops": record["flops"][source]} if source else {}),
        **record["config"],
        **record["metrics"],
        **{name: record[name] for name in RESERVED if name in record},
        "failure": record["error"],
        "flops_source": source,
        "versions": ", ".join(f"{name} {v}" for name, v in record["versions"].items()),
    }


def _checkpoint_table(lines: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per checkpoint, with what became of its run."""
    status = {line["run"]: line["status"] for line in lines if "status" in line and "run" in line}
    points = [line for line in lines if "checkpoint" in line]
    rows = [
        {
            **point["config"],
            **point["checkpoint"],
            "run": point["run"],
            "status": status.get(point["run"], "running"),
            "seconds": point["seconds"],
        }
        for point in points
    ]
    names = [*_names(points, "config"), *_names(points, "checkpoint"), *CHECKPOINT_COLUMNS]
    return _frame(rows, names)


def _names(records: Sequence[Mapping[str, Any]], part: str) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record[part]))
