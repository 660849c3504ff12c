"""Log runs of your own training loop, as a sweep logs its runs."""

from __future__ import annotations

import functools
import inspect
import math
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from scaling_laws.errors import MeasureError
from scaling_laws.measurement.compute import flops_of
from scaling_laws.measurement.configuration import check_metric_names, plain_config
from scaling_laws.measurement.meter import meter
from scaling_laws.measurement.runlog import RunLog
from scaling_laws.measurement.runner import (
    as_metrics,
    blank,
    checkpoint_values,
    measured,
    status_of,
    versions,
)

_P = ParamSpec("_P")
_R = TypeVar("_R")


class record:  # noqa: N801 - used as a function: ``with record("runs.jsonl") as run``
    """Measure the run inside a ``with`` block and add it to a log when it ends.

    Parameters
    ----------
    log : path-like
        File of JSON lines, made if missing. Several processes may append to one file on a local
        disk; on a network disk give each its own, and read them by their directory.
    **config : object
        The run's configuration: ``params``, ``tokens``, ``seed`` and whatever else tells it
        apart; numbers, strings and lists.

    Raises
    ------
    MeasureError
        If the log cannot be written, before anything is trained; or the configuration cannot be
        kept.

    Notes
    -----
    An exception becomes the run's status and goes on. Without :meth:`result` the last checkpoint
    is the result. :func:`read_log` reads the file at any time; ``checkpoints=True`` shows the
    checkpoints of runs that are under way.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from scaling_laws import read_log
    >>> log = pathlib.Path(tempfile.mkdtemp()) / "runs.jsonl"
    >>> with record(log, params=1000, tokens=50_000) as run:
    ...     for step in (1, 2):
    ...         run.log(step=step, loss=3 / step)
    ...     run.result(loss=1.4)
    >>> read_log(log)[["params", "loss", "status", "flops", "flops_source"]].values.tolist()
    [[1000, 1.4, 'ok', 300000000.0, '6ND']]
    >>> read_log(log, checkpoints=True).loss.tolist()
    [3.0, 1.5]
    """

    def __init__(self, log: str | os.PathLike[str], /, **config: Any) -> None:
        self._log = log
        self._config = plain_config(config, "the configuration")
        self._name = uuid.uuid4().hex[:12]
        self._metrics: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._book: RunLog | None = None

    def __enter__(self) -> record:
        if self._book is not None:
            raise MeasureError("this record is in use; make a new one for each run.")
        self._book = RunLog(self._log)
        self._started = blank("ok")
        self._gauge = meter()
        self._gauge.__enter__()
        return self

    def log(self, **values: Any) -> None:
        """Add a checkpoint of the run, such as ``step=100, tokens=1e6, loss=2.5``.

        Parameters
        ----------
        **values : number
            A name of the configuration stands for its value so far.

        Raises
        ------
        MeasureError
            If a value is not a number, a name is taken, or the log does not take it.
        """
        book = self._open()
        try:
            found = checkpoint_values(values, "log was given")
        except TypeError as failure:
            raise MeasureError(str(failure)) from None
        book.note(self._name, self._config, self._gauge.seconds, found)
        self._last = {name: v for name, v in found.items() if name not in self._config}

    def result(self, loss: Any = None, /, **metrics: Any) -> None:
        """Give the result of the run, once or bit by bit.

        Parameters
        ----------
        loss : number or mapping, optional
            A bare number is the ``loss``.
        **metrics : number
            Named results, ``flops`` or ``macs`` among them if you know them.

        Raises
        ------
        MeasureError
            If a value is not a number, or has the name of a configuration entry.
        """
        self._open()
        given = {} if loss is None else _numbers(loss, "result was given")
        given |= _numbers(metrics, "result was given") if metrics or loss is None else {}
        check_metric_names(self._config, given)
        self._metrics |= given

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        book = self._open()
        self._gauge.__exit__(kind, error, trace)
        metrics = self._metrics or (self._last if error is None else {})
        found = {**self._started, **measured(self._gauge), "versions": versions()}
        found["status"], found["error"] = _status(metrics, error)
        counts = flops_of(self._config, metrics, found.pop("counted_flops"))
        own = {"run": self._name, "config": self._config, "metrics": metrics, "flops": counts}
        try:
            book.append({**found, **own})
        finally:
            book.close()
            self._book = None

    def _open(self) -> RunLog:
        if self._book is None:
            raise MeasureError("the run is not under way: use it inside its with block.")
        return self._book


def recorded(
    log: str | os.PathLike[str], *, ignore: Iterable[str] = ()
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Make a function log every call as a run: its arguments and the numbers it returns.

    Parameters
    ----------
    log : path-like
        As for :class:`record`.
    ignore : iterable of str
        Arguments that are not part of the configuration, such as a model or a data set.

    Returns
    -------
    callable
        A decorator. The function returns and raises as before; it must return a number or a
        mapping of names to numbers, else :class:`MeasureError` is raised after the call.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from scaling_laws import read_log
    >>> log = pathlib.Path(tempfile.mkdtemp()) / "runs.jsonl"
    >>> @recorded(log, ignore=("data",))
    ... def train(data, width, seed=0):
    ...     return 1 / width
    >>> train([1, 2], width=4)
    0.25
    >>> read_log(log)[["width", "seed", "loss"]].values.tolist()
    [[4.0, 0.0, 0.25]]
    """
    left_out = frozenset(ignore)

    def decorate(train: Callable[_P, _R]) -> Callable[_P, _R]:
        signature = inspect.signature(train)

        @functools.wraps(train)
        def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with record(log, **_arguments(signature, left_out, args, kwargs)) as current:
                answer = train(*args, **kwargs)
                current.result(_numbers(answer, "the function returned"))
            return answer

        return run

    return decorate


def _arguments(
    signature: inspect.Signature, left_out: frozenset[str], args: Any, kwargs: Any
) -> dict[str, Any]:
    """Arguments of a call by name, those of ``**kwargs`` among them."""
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    found: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            found |= value
        else:
            found[name] = value
    return {name: value for name, value in found.items() if name not in left_out}


def _numbers(values: Any, given: str) -> dict[str, float]:
    try:
        return as_metrics(values, given)
    except TypeError as failure:
        raise MeasureError(str(failure)) from None


def _status(metrics: Mapping[str, float], error: BaseException | None) -> tuple[str, str]:
    if error is not None:
        return status_of(error)
    if not metrics:
        return "error", "the run gave no result"
    return ("ok" if all(map(math.isfinite, metrics.values())) else "nan"), ""
