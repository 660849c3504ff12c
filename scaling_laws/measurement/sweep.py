"""Train a grid of configurations: every run measured, logged and kept, whatever happens."""

from __future__ import annotations

import copy
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from scaling_laws.errors import MeasureError
from scaling_laws.measurement.runlog import RESERVED, RunLog, key_of, plain_value, to_table

if TYPE_CHECKING:
    import pandas as pd

Config = dict[str, Any]
Record = dict[str, Any]


def grid(**axes: Any) -> list[dict[str, Any]]:
    """Every combination of the given values, the last axis changing fastest.

    Parameters
    ----------
    **axes : scalar or iterable
        Values of each keyword argument of ``train``. A number, string, mapping or None counts as
        one value; to give a list *as* a value, put it in a list.

    Returns
    -------
    list of dict
        One configuration per combination; NumPy numbers become Python numbers.

    Raises
    ------
    MeasureError
        If there is no axis, or one without values.

    Examples
    --------
    >>> grid(width=[8, 16], seed=range(2), data="text")[:2]
    [{'width': 8, 'seed': 0, 'data': 'text'}, {'width': 8, 'seed': 1, 'data': 'text'}]
    """
    if not axes:
        raise MeasureError("grid needs at least one axis, for example grid(width=[8, 16]).")
    values = {name: _axis(axis) for name, axis in axes.items()}
    empty = [name for name, axis in values.items() if not axis]
    if empty:
        raise MeasureError(f"axis '{empty[0]}' of the grid has no values; give at least one.")
    return [dict(zip(values, row, strict=True)) for row in itertools.product(*values.values())]


def _axis(axis: Any) -> list[Any]:
    if isinstance(axis, (str, bytes, Mapping)) or not isinstance(axis, Iterable):
        return [_unwrapped(axis)]
    if getattr(axis, "ndim", 1) == 0:
        return [_unwrapped(axis)]
    return [_unwrapped(value) for value in axis]


def _unwrapped(value: Any) -> Any:
    try:
        return plain_value(value)
    except TypeError:  # the sweep says what cannot be logged
        return value


def sweep(
    train: Callable[..., Any],
    configurations: Iterable[Mapping[str, Any]],
    *,
    log: str | os.PathLike[str] | None = None,
    workers: int = 1,
    isolate: bool = False,
    timeout: float | None = None,
    progress: bool | None = None,
    retry_failed: bool = False,
) -> pd.DataFrame:
    """Call ``train(**config)`` for every configuration; called again, do only what is missing.

    Parameters
    ----------
    train : callable
        Returns the loss, or a mapping of metric names to numbers. An exception makes the row's
        status ``"error"``; the other runs go on.
    configurations : iterable of mapping
        Keyword arguments of each run, as from :func:`grid`, all different.
    log : path-like, optional
        File of JSON lines, one per finished run, on the disk before the next run starts. Runs
        already there are not done again. Numbers count as equal across types: 1 is 1.0.
    workers : int, default 1
        Runs at a time. More than one implies a child process per run.
    isolate : bool, default False
        Do each run in a fresh child process: its peak memory is its own, and a crash costs one
        row. Children leave with this process, however it ends.
    timeout : float, optional
        Seconds a run may take, the start of its child process included; implies ``isolate``.
    progress : bool, optional
        Show a bar on standard error; by default only on a terminal.
    retry_failed : bool, default False
        Do runs again whose status in the log is not ``"ok"``.

    Returns
    -------
    DataFrame
        One row per configuration in the order given: its entries, the metrics, ``status``
        (``"ok"``, ``"error"``, ``"timeout"``, ``"killed"``, ``"out_of_memory"``, or ``"nan"`` if
        a metric is not finite), ``failure`` (type and last line of the exception),
        ``seconds`` [s], ``cpu_seconds`` [s], ``peak_memory`` [bytes above what was held before
        training], ``peak_memory_source``, ``started`` (UTC) and ``versions``.
        ``frame.attrs["torn_lines"]`` lists lines of the log cut by a crash.

    Raises
    ------
    MeasureError
        If the sweep cannot be set up (nothing has been trained then), or a metric has the name of
        a configuration entry or of a measured column.

    Notes
    -----
    Seed ``train`` from its configuration: the library touches no random state, so the results
    then do not depend on ``workers``. Limit the threads of each run yourself.

    Examples
    --------
    >>> runs = sweep(lambda width, seed: 1 / width, grid(width=[1, 0], seed=0))
    >>> runs[["width", "loss", "status", "failure"]].values.tolist()
    [[1, 1.0, 'ok', ''], [0, nan, 'error', 'ZeroDivisionError: division by zero']]
    """
    wanted = _wanted(configurations)
    _check_options(train, workers, timeout)
    with ExitStack() as stack:
        book = stack.enter_context(RunLog(log)) if log is not None else None
        done = {key_of(record["config"]): record for record in (book.records if book else [])}
        missing = {
            key: config
            for key, config in wanted.items()
            if key not in done or (retry_failed and done[key]["status"] != "ok")
        }
        work = _Work(train, book, _bar(progress, len(wanted), len(missing), stack))
        if missing:
            if isolate or workers > 1 or timeout is not None:
                work.in_children(missing, workers, timeout)
            else:
                work.here(missing)
        done.update(work.records)
        torn = book.torn if book else []
    frame = to_table({**done[key], "config": config} for key, config in wanted.items())
    frame.attrs["torn_lines"] = torn
    return frame


def _wanted(configurations: Iterable[Mapping[str, Any]]) -> dict[str, Config]:
    """Return the configurations by key, in order, made plain and checked."""
    if isinstance(configurations, Mapping):
        raise MeasureError(
            "configurations is one mapping; give a list of them, or grid(**mapping)."
        )
    wanted: dict[str, Config] = {}
    for index, given in enumerate(configurations):
        config = _plain(given, index)
        key = key_of(config)
        if key in wanted:
            earlier = list(wanted).index(key)
            raise MeasureError(
                f"configurations {earlier} and {index} are the same: {config}. Repeat a run by "
                "giving it another seed."
            )
        wanted[key] = config
    if not wanted:
        raise MeasureError("there are no configurations to train; give at least one.")
    return wanted


def _plain(given: Any, index: int) -> Config:
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise MeasureError(
            f"configuration {index} is {str(given)[:60]}; give a mapping of argument names to "
            "values, as from grid."
        )
    reserved = [name for name in given if name in RESERVED]
    if reserved:
        raise MeasureError(
            f"configuration {index} has {', '.join(reserved)}, which the sweep measures itself. "
            f"Rename it. Taken: {', '.join(RESERVED)}."
        )
    config = {}
    for name, value in given.items():
        try:
            config[name] = plain_value(value)
        except TypeError as failure:
            raise MeasureError(
                f"configuration {index}: '{name}' cannot be kept in a log ({failure}). Give a "
                "name or number, and build the object inside train."
            ) from None
    return config


def _check_options(train: Any, workers: Any, timeout: Any) -> None:
    if not callable(train):
        raise MeasureError(f"train must be callable, got {type(train).__name__}.")
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise MeasureError(f"workers must be a whole number from 1 up, got {workers!r}.")
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if timeout is not None and not (number and 0 < timeout < float("inf")):
        raise MeasureError(f"timeout must be a positive number of seconds, got {timeout!r}.")


def _bar(progress: bool | None, total: int, missing: int, stack: ExitStack) -> Callable[[], object]:
    """Return what to call after each run."""
    if progress is False or (progress is None and not sys.stderr.isatty()):
        return lambda: None
    from tqdm import tqdm

    bar = stack.enter_context(
        tqdm(total=total, initial=total - missing, unit="run", file=sys.stderr)
    )
    return bar.update


class _Work:
    """The runs of one sweep that are still to be done, and what came of them."""

    def __init__(
        self, train: Callable[..., Any], book: RunLog | None, tick: Callable[[], object]
    ) -> None:
        self.records: dict[str, Record] = {}
        self._train = train
        self._book = book
        self._tick = tick
        self._lock = threading.Lock()

    def here(self, missing: Mapping[str, Config]) -> None:
        from scaling_laws.measurement.runner import measure

        for key, config in missing.items():
            self._keep(key, config, measure(self._train, copy.deepcopy(config)))

    def in_children(
        self, missing: Mapping[str, Config], workers: int, timeout: float | None
    ) -> None:
        from joblib import Parallel, delayed

        from scaling_laws.measurement.supervisor import Supervisor

        supervisor = Supervisor(self._train, timeout)

        def one(key: str, config: Config) -> None:
            try:
                record = supervisor.run(config)
                if record is not None:
                    self._keep(key, config, record)
            except BaseException:
                supervisor.stop()
                raise

        try:
            jobs = (delayed(one)(key, config) for key, config in missing.items())
            Parallel(n_jobs=workers, backend="threading", batch_size=1)(jobs)
        finally:
            supervisor.stop()

    def _keep(self, key: str, config: Config, record: Record) -> None:
        _check_names(config, record["metrics"])
        record = {"config": config, **record}
        with self._lock:
            if self._book is not None:
                self._book.append(record)
            self.records[key] = record
            self._tick()


def _check_names(config: Config, metrics: Sequence[str] | Mapping[str, float]) -> None:
    clash = [name for name in metrics if name in config or name in RESERVED]
    if clash:
        raise MeasureError(
            f"train returned metrics named {', '.join(clash)}, which are configuration entries "
            f"or measured columns. Rename them. Measured: {', '.join(RESERVED)}."
        )
