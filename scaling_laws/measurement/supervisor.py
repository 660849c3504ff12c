"""One fresh child process per run: start it, time it out, and tell how it ended."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from scaling_laws.errors import MeasureError
from scaling_laws.measurement import runner

Checkpoint = Callable[[float, dict[str, float]], object]

_GRACE = 30.0  # seconds a child may take to leave once it has answered


class Supervisor:
    """Runs ``train`` in child processes, from any number of threads.

    Parameters
    ----------
    train : callable or bytes
        Sent to the children by cloudpickle; bytes were packed by it before.
    timeout : float or None
        Seconds one child may live, its start included.
    options : mapping, optional
        How to measure: keyword arguments of :func:`scaling_laws.measurement.runner.measure`.

    Raises
    ------
    MeasureError
        If ``train`` cannot be sent to another process.

    Examples
    --------
    >>> Supervisor(lambda width: 1 / width, None).run({"width": 4})["metrics"]
    {'loss': 0.25}
    """

    def __init__(
        self,
        train: Callable[..., Any] | bytes,
        timeout: float | None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        import cloudpickle

        try:
            self.train = train if isinstance(train, bytes) else cloudpickle.dumps(train)
        except Exception as failure:
            raise MeasureError(
                f"train cannot be sent to a child process: {failure}. Open files, locks and "
                "connections inside train, or measure here with workers=1, isolate=False and no "
                "timeout."
            ) from failure
        self._timeout = timeout
        self._options = dict(options or {})
        self._lock = threading.Lock()
        self._alive: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(
        self, config: Mapping[str, Any], checkpoint: Checkpoint | None = None
    ) -> dict[str, Any] | None:
        """Do one run in a child; None if :meth:`stop` was called meanwhile.

        Parameters
        ----------
        config : mapping of str to object
            Keyword arguments of ``train``.
        checkpoint : callable, optional
            As for :func:`scaling_laws.measurement.runner.measure`; called from another thread.

        Returns
        -------
        dict or None
            As :func:`scaling_laws.measurement.runner.measure`, with status ``"timeout"`` or
            ``"killed"`` when the child gave no answer.
        """
        import cloudpickle

        task = {
            "path": sys.path,
            "train": self.train,
            "config": cloudpickle.dumps(dict(config)),
            "options": self._options,
            "checkpoints": checkpoint is not None,
        }
        unmeasured = runner.blank("error")
        start = time.perf_counter()
        try:
            child = self._start()
        except OSError as failure:  # no memory or no process left: this run's trouble only
            return {**unmeasured, "error": f"child process did not start: {failure}"}
        if child is None:
            return None
        heard = _Heard()
        talk = threading.Thread(target=heard.converse, args=(child, pickle.dumps(task), checkpoint))
        talk.start()
        timed_out = self._wait(child, talk)
        _end(child)
        talk.join()
        _close(child)
        with self._lock:
            self._alive.discard(child)
            if self._stopped:
                return None
        if heard.failure is not None:
            raise heard.failure
        if heard.record is not None:
            return heard.record
        if timed_out:
            status, error = "timeout", f"no result within {self._timeout:g} s"
        else:
            status, error = _ending(child.returncode)
        seconds = time.perf_counter() - start
        return {**unmeasured, "status": status, "error": error, "seconds": seconds}

    def stop(self) -> None:
        """End every child now and start no more."""
        with self._lock:
            self._stopped = True
            alive = list(self._alive)
        for child in alive:
            _end(child)

    def _start(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._stopped:
                return None
            child = subprocess.Popen(
                [sys.executable, "-P", runner.__file__, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            self._alive.add(child)
            return child

    def _wait(self, child: subprocess.Popen[bytes], talk: threading.Thread) -> bool:
        """Wait for the answer, then for the exit; True if the time ran out before the answer."""
        talk.join(self._timeout)
        if talk.is_alive():
            return True
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE)
        return False


class _Heard:
    """What a child said: its record, unless it left without one."""

    def __init__(self) -> None:
        self.record: dict[str, Any] | None = None
        self.failure: BaseException | None = None

    def converse(
        self, child: subprocess.Popen[bytes], task: bytes, checkpoint: Checkpoint | None
    ) -> None:
        """Send the task, hand over checkpoints, and wait for the record."""
        assert child.stdin is not None
        assert child.stdout is not None
        with suppress(OSError):
            runner.write_message(child.stdin, task)
        while (message := runner.read_message(child.stdout)) is not None:
            said = json.loads(message)
            if checkpoint is None or "checkpoint" not in said:
                self.record = said
                return
            try:
                checkpoint(said["seconds"], said["checkpoint"])
            except BaseException as failure:  # the log takes no more: the sweep cannot go on
                self.failure = failure
                child.kill()
                return


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child with all it started, and collect it."""
    # A group outlives its first member, so this also ends what an exited child left behind.
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    child.wait()


def _close(child: subprocess.Popen[bytes]) -> None:
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()


def _ending(code: int) -> tuple[str, str]:
    """Status and text for a child that left without an answer."""
    if code >= 0:
        return "error", f"child process left with exit code {code} and no result"
    error = f"child process ended by {_signal_name(-code)}"
    if -code == getattr(signal, "SIGKILL", 9):
        error += " (often the system running out of memory)"
    return "killed", error


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
