"""Train a grid of configurations: every run measured, logged and kept, whatever happens."""

from __future__ import annotations

import inspect
import itertools
import math
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from scaling_laws.errors import MeasureError, Note
from scaling_laws.measurement.compute import flops_of
from scaling_laws.measurement.configuration import (
    Config,
    check_metric_names,
    key_of,
    plain_value,
    wanted_runs,
)
from scaling_laws.measurement.dispatch import Dispatcher
from scaling_laws.measurement.ledger import Ledger, SweepProgress, checked_budget, cost_of
from scaling_laws.measurement.runlog import RunLog, to_table
from scaling_laws.measurement.runner import blank

if TYPE_CHECKING:
    import pandas as pd

Record = dict[str, Any]

_TRIED_AGAIN = ("error", "timeout", "killed", "out_of_memory")  # a loss that diverged, diverged


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
    workers: int | None = None,
    isolate: bool = False,
    timeout: float | None = None,
    backend: str | None = None,
    retries: int = 0,
    retry_failed: bool = False,
    warmup: int = 0,
    repeats: int = 1,
    count_flops: bool = False,
    checkpoints: bool = False,
    cost: Callable[[Mapping[str, Any]], float] | None = None,
    budget: Mapping[str, float] | None = None,
    progress: bool | Callable[[SweepProgress], object] | None = None,
) -> pd.DataFrame:
    """Call ``train(**config)`` for every configuration; called again, do only what is missing.

    Runs whose compute can be predicted are done cheapest first.

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
    workers : int, optional
        Runs at a time: one, or with a ``backend`` as many as it has workers. More than one
        without ``backend`` implies a child process per run.
    isolate : bool, default False
        Do each run in a fresh child process: its peak memory is its own, and a crash costs one
        row. Children leave with this process, however it ends.
    timeout : float, optional
        Seconds a run may take, the start of its child process and all its calls included;
        implies ``isolate``.
    backend : str, optional
        Send the runs to joblib's workers: ``"loky"``, ``"threading"``, any backend that was
        registered (``"dask"``, ``"ray"``, ``"spark"``), or ``"active"`` for the one of
        ``joblib.parallel_config``. With ``isolate`` the workers start a child for each run. With
        ``workers=1`` joblib does the runs in this process.
    retries : int, default 0
        Further attempts at a run that failed, those of earlier calls counted; each is a line of
        the log. A loss that is not finite is a result, and not tried again.
    retry_failed : bool, default False
        Do runs again whose status in the log is not ``"ok"``.
    warmup, repeats : int, default 0 and 1
        Calls of ``train`` that are not timed, and calls after them that are. ``seconds`` and
        ``cpu_seconds`` are then medians, ``seconds_spread`` is the interquartile range, and the
        metrics are those of the last call.
    count_flops : bool, default False
        Let torch count the FLOP of the first call, if ``train`` or its module has loaded torch
        by then. It slows that call down, so have a ``warmup``.
    checkpoints : bool, default False
        Give ``train`` one more keyword argument, ``checkpoint``: a function for what it measures
        on its way, ``checkpoint(step=100, loss=3.2)``. Each call is a line of the log, there also
        if the run then fails, times out or is killed; ``read_log(log, checkpoints=True)`` reads
        them. From workers of a ``backend`` they come with the run. Needs ``log``.
    cost : callable, optional
        Predicts a configuration's compute [FLOP], or anything in proportion where the budget
        does not limit compute. By default ``flops``, or 6 ``params`` ``tokens``, if configured.
    budget : mapping, optional
        ``seconds`` [s] of wall time, ``flops`` [FLOP], or both, that this call may spend. Runs
        predicted to end beyond it are not begun, and their rows have status ``"scheduled"``; one
        that was begun is never cut short.
    progress : bool or callable, optional
        True shows a bar on standard error; a callable is given a :class:`SweepProgress` after
        each run. By default nothing is shown.

    Returns
    -------
    DataFrame
        One row per configuration in the order given: its entries, the metrics, then ``status``
        (``"ok"``, ``"error"``, ``"timeout"``, ``"killed"``, ``"out_of_memory"``, ``"nan"`` if a
        metric is not finite, ``"scheduled"``), ``failure`` (type and last line of the
        exception), ``seconds`` [s], ``seconds_spread`` [s], ``first_seconds`` [s, of the first
        call], ``cpu_seconds`` [s], ``peak_memory`` [bytes above what was held before training],
        ``peak_memory_source``, ``device_memory`` [bytes, see :class:`meter`], ``flops_source``,
        ``attempt``, ``started`` (UTC), ``hostname`` and ``versions``. ``flops`` [FLOP] is there
        where it is known: returned by ``train`` as ``flops`` or as ``macs`` (two FLOP each),
        configured, counted by torch, or 6 ``params`` ``tokens``; the first of these, which
        ``flops_source`` names. ``frame.attrs["torn_lines"]`` lists lines of the log cut by a crash,
        ``frame.attrs["notes"]`` what to doubt.

    Raises
    ------
    MeasureError
        If the sweep cannot be set up (nothing has been trained then), a metric has the name of a
        configuration entry or of a measured column, or a worker of a ``backend`` died.

    Notes
    -----
    Seed ``train`` from its configuration: the library touches no random state, so the results
    then do not depend on ``workers``. Limit the threads of each run yourself. Time left is
    predicted from the runs that have ended, as a fixed part and one in proportion to compute.

    Examples
    --------
    >>> runs = sweep(lambda width, seed: 1 / width, grid(width=[1, 0], seed=0))
    >>> runs[["width", "loss", "status", "failure"]].values.tolist()
    [[1, 1.0, 'ok', ''], [0, nan, 'error', 'ZeroDivisionError: division by zero']]
    """
    wanted = wanted_runs(configurations)
    options = {"warmup": warmup, "repeats": repeats, "count_flops": count_flops}
    count = 1 if workers is None else workers
    _check_options(train, workers=count, repeats=repeats, warmup=warmup, retries=retries)
    _check_checkpoints(checkpoints, train, wanted, log)
    dispatcher = Dispatcher(train, options, workers, isolate, _checked(timeout), backend)
    costs = {key: cost_of(config, cost) for key, config in wanted.items()}
    ledger = Ledger(costs, checked_budget(budget), dispatcher.workers)
    with ExitStack() as stack:
        book = stack.enter_context(RunLog(log, exclusive=True)) if log is not None else None
        work = _Work(wanted, costs, book, ledger, _listener(progress, len(wanted), stack))
        work.do(dispatcher, retries, retry_failed, checkpoints)
    frame = to_table(work.rows())
    frame.attrs["torn_lines"] = book.torn if book else []
    frame.attrs["notes"] += work.notes(count_flops)
    return frame


def _check_options(train: Any, **counts: Any) -> None:
    if not callable(train):
        raise MeasureError(f"train must be callable, got {type(train).__name__}.")
    for name, value in counts.items():
        least = 1 if name in ("workers", "repeats") else 0
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise MeasureError(f"{name} must be a whole number from {least} up, got {value!r}.")


def _check_checkpoints(
    checkpoints: Any, train: Callable[..., Any], wanted: Mapping[str, Config], log: Any
) -> None:
    """Refuse checkpoints that nobody would keep, or that ``train`` cannot give."""
    if not isinstance(checkpoints, bool):
        raise MeasureError(f"checkpoints must be True or False, got {checkpoints!r}.")
    if not checkpoints:
        return
    if log is None:
        raise MeasureError("checkpoints=True needs log=, the file that they are written to.")
    taken = {"checkpoint", "run"} & {name for config in wanted.values() for name in config}
    if taken:
        raise MeasureError(
            f"a configuration has '{taken.pop()}', which checkpoints=True takes for the argument "
            "of train or for the name of each run. Rename it."
        )
    try:
        parameters = inspect.signature(train).parameters
    except (TypeError, ValueError):  # some built-in functions do not tell
        return
    if "checkpoint" not in parameters and not any(
        p.kind is p.VAR_KEYWORD for p in parameters.values()
    ):
        raise MeasureError(
            "checkpoints=True gives train an argument 'checkpoint', which it does not take. Add "
            "it: def train(..., checkpoint)."
        )


def _checked(timeout: Any) -> float | None:
    if timeout is None:
        return None
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not (number and 0 < timeout < math.inf):
        raise MeasureError(f"timeout must be a positive number of seconds, got {timeout!r}.")
    return float(timeout)


def _listener(
    progress: bool | Callable[[SweepProgress], object] | None, total: int, stack: ExitStack
) -> Callable[[SweepProgress], object] | None:
    """Return what to call with the progress after each run, if anything."""
    if progress is None or progress is False:
        return None
    if progress is not True:
        if not callable(progress):
            raise MeasureError(f"progress must be True, False or a callable, got {progress!r}.")
        return progress
    from tqdm import tqdm

    bar = stack.enter_context(tqdm(total=total, unit="run", file=sys.stderr))

    def show(now: SweepProgress) -> None:
        bar.set_postfix_str(str(now).partition(", ")[2], refresh=False)
        bar.update(now.done - bar.n)

    return show


class _Work:
    """The runs of one sweep: what is known of them, and what is still to be done."""

    def __init__(
        self,
        wanted: Mapping[str, Config],
        costs: Mapping[str, float],
        book: RunLog | None,
        ledger: Ledger,
        listen: Callable[[SweepProgress], object] | None,
    ) -> None:
        self._wanted = wanted
        self._order = list(wanted)
        if not any(map(math.isnan, costs.values())):
            self._order.sort(key=costs.__getitem__)
        self._book = book
        self._ledger = ledger
        self._listen = listen
        self._lock = threading.Lock()
        self._stopped = False
        self._done: dict[str, Record] = {}
        self._failures = dict.fromkeys(wanted, 0)
        self._names: dict[str, str] = {}  # of runs under way, as their checkpoints have it
        for record in book.records if book else []:
            self._remember(key_of(record["config"]), record)

    def do(
        self, dispatcher: Dispatcher, retries: int, retry_failed: bool, checkpoints: bool
    ) -> None:
        """Do what is missing, then what failed and may be tried again."""
        note = self._note if checkpoints else None
        limits = {
            key: retries + 1 + (failures if retry_failed else 0)
            for key, failures in self._failures.items()
        }
        again = (*_TRIED_AGAIN, "nan") if retry_failed else _TRIED_AGAIN
        while not self._stopped:
            due = [
                key
                for key in self._order
                if key not in self._done
                or (self._done[key]["status"] in again and self._failures[key] < limits[key])
            ]
            if not due:
                return
            dispatcher.run(self._begun(due), self._keep, note)

    def rows(self) -> list[Record]:
        """One record per configuration, in the order given."""
        unbegun = {**blank("scheduled", "the budget was spent before it began"), "attempt": 0}
        return [
            {**self._done.get(key, unbegun), "config": config}
            for key, config in self._wanted.items()
        ]

    def notes(self, count_flops: bool) -> list[Note]:
        """What the table does not show by itself."""
        notes = []
        left = len(self._wanted) - len(self._done)
        if left:
            notes.append(
                Note(
                    "budget_spent",
                    "info",
                    f"{left} of {len(self._wanted)} configurations were not begun within the "
                    "budget; call sweep again with the same log to go on",
                    {"left": left},
                )
            )
        finished = [record for record in self._done.values() if record["status"] == "ok"]
        if count_flops and finished and not any("torch" in r["flops"] for r in finished):
            notes.append(
                Note(
                    "flops_not_counted",
                    "warning",
                    "count_flops found no torch to count with: import it where train is defined, "
                    "not inside train, or return 'flops'",
                )
            )
        return notes

    def _begun(self, due: Iterable[str]) -> Iterator[tuple[str, Config]]:
        """Hand out runs as long as the budget affords them."""
        for key in due:
            if not self._ledger.begin(key):
                self._stopped = True
                return
            self._names[key] = uuid.uuid4().hex[:12]
            yield key, self._wanted[key]

    def _note(self, key: str, seconds: float, values: dict[str, float]) -> None:
        assert self._book is not None
        self._book.note(self._names[key], self._wanted[key], seconds, values)

    def _keep(self, key: str, record: Record) -> None:
        config = self._wanted[key]
        check_metric_names(config, record["metrics"])
        flops = flops_of(config, record["metrics"], record.pop("counted_flops"))
        with self._lock:
            record = {"config": config, **record, "flops": flops}
            record["attempt"] = self._failures[key] + 1
            record["run"] = self._names[key]
            if self._book is not None:
                self._book.append(record)
            self._remember(key, record)
            self._ledger.end(key, record["status"], next(iter(flops.values()), math.nan))
            if self._listen is not None:
                self._listen(self._progress(record))

    def _remember(self, key: str, record: Record) -> None:
        if key in self._wanted:
            self._done[key] = record
            self._failures[key] += record["status"] != "ok"

    def _progress(self, record: Record) -> SweepProgress:
        missing = [key for key in self._wanted if key not in self._done]
        return SweepProgress(
            done=len(self._done),
            total=len(self._wanted),
            failed=sum(r["status"] != "ok" for r in self._done.values()),
            seconds=self._ledger.seconds,
            seconds_left=self._ledger.seconds_left(missing),
            flops=self._ledger.flops,
            config=record["config"],
            status=record["status"],
        )
