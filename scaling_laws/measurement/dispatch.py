"""Where the runs of a sweep are done: here, in child processes, or by workers of joblib."""

from __future__ import annotations

import itertools
import pickle
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

from scaling_laws.errors import MeasureError
from scaling_laws.measurement.runner import measure
from scaling_laws.measurement.supervisor import Supervisor

Job = tuple[str, Mapping[str, Any]]
Result = tuple[str, dict[str, Any], list[tuple[float, dict[str, float]]]]
Keep = Callable[[str, dict[str, Any]], None]
Note = Callable[[str, float, dict[str, float]], object]

ACTIVE = "active"


class Dispatcher:
    """Does runs, a few at a time, and hands each record over as soon as its run has ended.

    Parameters
    ----------
    train : callable
        Called with each configuration.
    options : mapping
        Keyword arguments of :func:`scaling_laws.measurement.runner.measure`.
    workers : int or None
        Runs at a time; None is one, or all workers of the backend.
    isolate : bool
        A child process per run.
    timeout : float or None
        Seconds a run may take; implies ``isolate``.
    backend : str or None
        Of joblib; None for this process and its children.

    Raises
    ------
    MeasureError
        If ``train`` cannot be sent to another process, or joblib does not know the backend.

    Examples
    --------
    >>> found = {}
    >>> here = Dispatcher(lambda width: 1 / width, {}, 1, False, None, None)
    >>> here.run(iter([("a", {"width": 4})]), found.__setitem__)
    >>> found["a"]["metrics"]
    {'loss': 0.25}
    """

    def __init__(
        self,
        train: Callable[..., Any],
        options: Mapping[str, Any],
        workers: int | None,
        isolate: bool,
        timeout: float | None,
        backend: str | None,
    ) -> None:
        self._train = train
        self._options = options
        self._requested = workers
        self._backend = backend
        self._timeout = timeout
        self.workers = (workers or 1) if backend is None else self._backend_size()
        several = self.workers > 1 and backend is None
        self._isolate = isolate or timeout is not None or several
        self._supervisor: Supervisor | None = None
        if self._isolate or backend is not None:
            self._supervisor = Supervisor(train, timeout, options)

    def run(self, jobs: Iterator[Job], keep: Keep, note: Note | None = None) -> None:
        """Do the jobs; ``keep`` is called with the key and the record of each.

        Parameters
        ----------
        jobs : iterator of (key, configuration)
            Taken one by one, as workers become free.
        keep : callable
            May be called from other threads.
        note : callable, optional
            Given the key, the seconds [s] and the values of each checkpoint, before the record:
            at once, but from workers of a backend together with the record.
        """
        if self._backend is not None:
            self._on_workers(jobs, keep, note)
        elif self._isolate:
            self._in_children(jobs, keep, note)
        else:
            for key, config in jobs:
                checkpoint = note and partial(note, key)
                keep(key, measure(self._train, config, checkpoint=checkpoint, **self._options))

    def _in_children(self, jobs: Iterator[Job], keep: Keep, note: Note | None) -> None:
        from joblib import Parallel, delayed

        supervisor = self._supervisor
        assert supervisor is not None

        def one(key: str, config: Mapping[str, Any]) -> None:
            try:
                record = supervisor.run(config, note and partial(note, key))
                if record is not None:
                    keep(key, record)
            except BaseException:
                supervisor.stop()
                raise

        done = False
        try:
            tasks = (delayed(one)(*job) for job in jobs)
            Parallel(n_jobs=self.workers, backend="threading", batch_size=1, pre_dispatch="n_jobs")(
                tasks
            )
            done = True
        finally:
            if not done:
                supervisor.stop()

    def _on_workers(self, jobs: Iterator[Job], keep: Keep, note: Note | None) -> None:
        from joblib import delayed

        assert self._supervisor is not None
        how = (self._isolate, self._timeout, note is not None)
        work = (self._supervisor.train, dict(self._options), *how)
        tasks = (delayed(_on_worker)(*job, *work) for job in jobs)
        results = self._results(tasks)
        try:
            while (result := self._next(results)) is not None:
                key, record, checkpoints = result
                for seconds, values in checkpoints:
                    assert note is not None
                    note(key, seconds, values)
                keep(key, record)
        finally:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", r"\d+ tasks")  # that they are dropped is meant
                results.close()

    def _next(self, results: Iterator[Result]) -> Result | None:
        try:
            return next(results, None)
        except Exception as failure:
            raise MeasureError(
                f"backend {self._backend!r} gave up: {type(failure).__name__}: {failure}. Logged "
                "runs are kept: call sweep again. With isolate=True a run that dies is a row."
            ) from failure

    def _results(self, tasks: Iterator[Any]) -> Generator[Result, None, None]:
        """Results as they come, or from backends that cannot, one batch of workers at a time."""
        try:
            stream = self._parallel(return_as="generator_unordered")
        except ValueError:  # an older joblib, or a backend that only returns lists
            while batch := list(itertools.islice(tasks, self.workers)):
                yield from self._parallel()(batch)
            return
        yield from stream(tasks)

    def _parallel(self, **options: Any) -> Any:
        from joblib import Parallel

        return self._in_backend(
            lambda count: Parallel(
                # Told None, joblib 1.3 asks the backend, not the context, for the number.
                **({} if count is None else {"n_jobs": count}),
                batch_size=1,
                pre_dispatch="n_jobs",
                **options,
            )
        )

    def _in_backend(self, ask: Callable[[int | None], Any]) -> Any:
        """Ask joblib, given the number of jobs, inside the backend's context."""
        from joblib import parallel_config

        active = self._backend == ACTIVE
        every = None if active else -1
        # Not Parallel(backend=): that does not know the backends of other packages.
        with nullcontext() if active else parallel_config(backend=self._backend):
            return ask(every if self._requested is None else self._requested)

    def _backend_size(self) -> int:
        from joblib import effective_n_jobs

        try:
            return int(self._in_backend(effective_n_jobs))
        except (ValueError, KeyError, ImportError) as failure:
            raise MeasureError(
                f"joblib cannot use the backend {self._backend!r} here ({failure}). Use 'loky', "
                "'threading', or start or register it first."
            ) from failure


def _on_worker(
    key: str,
    config: Mapping[str, Any],
    train: bytes,
    options: Mapping[str, Any],
    isolate: bool,
    timeout: float | None,
    checkpoints: bool,
) -> Result:
    """Do one run, in the worker or in a child of it; the log may be out of the worker's reach."""
    found: list[tuple[float, dict[str, float]]] = []
    keep = (lambda seconds, values: found.append((seconds, values))) if checkpoints else None
    if not isolate:
        return key, measure(pickle.loads(train), config, checkpoint=keep, **options), found
    record = Supervisor(train, timeout, options).run(config, keep)
    assert record is not None  # nobody stops it
    return key, record, found
