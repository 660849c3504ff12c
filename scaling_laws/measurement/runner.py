"""Do one run, here or as a child process, and say what happened: never raise, never lose it.

As a child (``python -P runner.py``) this reads one message from standard input, trains, and
answers with one message, after one for every checkpoint. Whatever the training prints goes to
standard error. The child dies with its parent, however the parent dies.
"""

from __future__ import annotations

import copy
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from numbers import Integral, Real
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling_laws.measurement.meter import meter

_LENGTH = 8  # bytes of the length in front of each message
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_VERSIONED = ("numpy", "scipy", "pandas", "sklearn", "torch", "jax", "tensorflow", "xgboost")
CHECKPOINT_COLUMNS = ("run", "status", "seconds")  # recorded with every checkpoint
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")


def measure(
    train: Callable[..., Any],
    config: Mapping[str, Any],
    *,
    warmup: int = 0,
    repeats: int = 1,
    count_flops: bool = False,
    checkpoint: Callable[[float, dict[str, float]], object] | None = None,
) -> dict[str, Any]:
    """Call ``train(**config)`` and describe the run.

    Parameters
    ----------
    train : callable
        Returns a loss or a mapping of metric names to numbers.
    config : mapping of str to object
        Keyword arguments of each call; every call has a copy.
    warmup, repeats : int
        Calls that are not timed, and calls after them that are. Metrics are the last call's.
    count_flops : bool, default False
        Let torch count the FLOP of the first call, if the user's code has loaded it.
    checkpoint : callable, optional
        Takes the seconds [s] since the last call began and what ``train`` gave its argument
        ``checkpoint``, a function that it then has. Calls before the last have one that keeps
        nothing.

    Returns
    -------
    dict
        The fields of :func:`blank`. Exceptions of ``train`` become a status; only
        KeyboardInterrupt passes through.

    Examples
    --------
    >>> run = measure(lambda width: 1 / width, {"width": 4})
    >>> run["status"], run["metrics"]
    ('ok', {'loss': 0.25})
    >>> measure(lambda width: 1 / width, {"width": 0})["error"]
    'ZeroDivisionError: division by zero'
    """
    from scaling_laws.measurement.meter import meter

    record = blank("ok")
    times: list[tuple[float, float]] = []
    gauge = meter()
    try:
        with gauge:
            for number in range(warmup + repeats):
                given = copy.deepcopy(dict(config))
                if checkpoint is not None:
                    last = number == warmup + repeats - 1
                    given["checkpoint"] = _checkpointer(checkpoint if last else None)
                answer, *spent, flops = _call(train, given, count_flops and number == 0)
                times.append((spent[0], spent[1]))
                if number == 0:
                    record["counted_flops"] = flops
        record["metrics"] = as_metrics(answer)
        finite = all(map(math.isfinite, record["metrics"].values()))
        record["status"] = "ok" if finite else "nan"
    except (Exception, SystemExit) as failure:
        record["status"], record["error"] = status_of(failure)
    return {**record, **measured(gauge), **_times(times, warmup, repeats), "versions": versions()}


def _checkpointer(
    keep: Callable[[float, dict[str, float]], object] | None,
) -> Callable[..., None]:
    """Return what ``train`` is given as ``checkpoint``; it may be called from any thread."""
    start = time.perf_counter()

    def checkpoint(**values: Any) -> None:
        found = checkpoint_values(values, "checkpoint was given")
        if keep is not None:
            keep(time.perf_counter() - start, found)

    return checkpoint


def _call(
    train: Callable[..., Any], config: Mapping[str, Any], count: bool
) -> tuple[Any, float, float, float]:
    """Answer of one call, its wall and processor seconds, and the FLOP that torch counted."""
    from scaling_laws.measurement.devices import counted_flops, synchronise
    from scaling_laws.measurement.meter import processor_seconds

    cpu = processor_seconds()
    start = time.perf_counter()
    with counted_flops(count) as counted:
        answer = train(**config)
        synchronise()
    seconds = time.perf_counter() - start
    return answer, seconds, processor_seconds() - cpu, counted()


def _times(times: list[tuple[float, float]], warmup: int, repeats: int) -> dict[str, float]:
    """Median and spread of the timed calls; nothing if not all of them came to an end."""
    from scaling_laws.measurement.meter import quantile

    found = {"first_seconds": times[0][0]} if times else {}
    if len(times) < warmup + repeats or len(times) == 1:
        return found
    wall = [seconds for seconds, _ in times[warmup:]]
    found["seconds"] = quantile(wall, 0.5)
    found["cpu_seconds"] = quantile([cpu for _, cpu in times[warmup:]], 0.5)
    if repeats > 1:
        found["seconds_spread"] = quantile(wall, 0.75) - quantile(wall, 0.25)
    return found


def blank(status: str, error: str = "") -> dict[str, Any]:
    """Record of a run that starts now and of which nothing is known yet.

    Parameters
    ----------
    status, error : str
        How it ended, and in words.

    Returns
    -------
    dict
        ``metrics``, ``status``, ``error``, ``seconds`` [s], ``cpu_seconds`` [s],
        ``first_seconds`` [s], ``seconds_spread`` [s], ``peak_memory`` [bytes],
        ``peak_memory_source``, ``device_memory`` [bytes], ``counted_flops`` [FLOP],
        ``started`` (UTC), ``hostname`` and ``versions``.

    Examples
    --------
    >>> blank("killed")["metrics"]
    {}
    """
    unknown = float("nan")
    return {
        "metrics": {},
        "status": status,
        "error": error,
        "seconds": unknown,
        "cpu_seconds": unknown,
        "first_seconds": unknown,
        "seconds_spread": unknown,
        "peak_memory": unknown,
        "peak_memory_source": "unknown",
        "device_memory": unknown,
        "counted_flops": unknown,
        "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "hostname": os.uname().nodename if hasattr(os, "uname") else "",
        "versions": versions([]),
    }


def measured(gauge: meter) -> dict[str, Any]:
    """Fields of a record that a meter tells.

    Examples
    --------
    >>> from scaling_laws import meter
    >>> with meter() as gauge:
    ...     pass
    >>> list(measured(gauge))[:2]
    ['seconds', 'cpu_seconds']
    """
    return {
        "seconds": gauge.seconds,
        "cpu_seconds": float("nan") if gauge.shared else gauge.cpu_seconds,
        "peak_memory": gauge.peak_memory,
        "peak_memory_source": gauge.peak_memory_source,
        "device_memory": gauge.device_memory,
    }


def status_of(failure: BaseException) -> tuple[str, str]:
    """Status and text of a run that ended with an exception.

    Examples
    --------
    >>> status_of(MemoryError())
    ('out_of_memory', 'MemoryError')
    >>> status_of(KeyboardInterrupt())
    ('killed', 'KeyboardInterrupt')
    """
    lines = str(failure).strip().splitlines()
    text = f"{type(failure).__name__}: {lines[-1]}" if lines else type(failure).__name__
    if _is_out_of_memory(failure):
        return "out_of_memory", text
    ended = isinstance(failure, (KeyboardInterrupt, GeneratorExit))
    return "killed" if ended else "error", text


def as_metrics(answer: Any, given: str = "train returned") -> dict[str, float]:
    """Turn what ``train`` returned into named plain numbers; a bare number is the ``loss``.

    Parameters
    ----------
    answer : number or mapping of str to number
        NumPy scalars and one-element arrays or tensors count as numbers.
    given : str
        Who gave it, for the message.

    Returns
    -------
    dict of str to int or float
        In the order given.

    Raises
    ------
    TypeError
        If something is not a number; the message says which metric.

    Examples
    --------
    >>> as_metrics(2.5), as_metrics({"error": 0.1, "steps": 30})
    ({'loss': 2.5}, {'error': 0.1, 'steps': 30})
    """
    if not isinstance(answer, Mapping):
        return {"loss": _number(answer, given, "")}
    if not answer:
        raise TypeError(f"{given} an empty mapping; give at least one metric.")
    wrong = [name for name in answer if not isinstance(name, str)]
    if wrong:
        raise TypeError(f"{given} the metric name {wrong[0]!r}; names must be str.")
    return {name: _number(value, given, f" for metric {name!r}") for name, value in answer.items()}


def checkpoint_values(values: Mapping[str, Any], given: str) -> dict[str, float]:
    """Numbers of a checkpoint by name.

    Parameters
    ----------
    values : mapping of str to number
    given : str
        Who gave them, for the message.

    Raises
    ------
    TypeError
        If something is not a number, or has the name of a column that every checkpoint has.

    Examples
    --------
    >>> checkpoint_values({"step": 100, "loss": 3.5}, "log was given")
    {'step': 100, 'loss': 3.5}
    """
    found = as_metrics(values, given)
    taken = [name for name in found if name in CHECKPOINT_COLUMNS]
    if taken:
        raise TypeError(f"'{taken[0]}' is recorded with every checkpoint; give it another name.")
    return found


def _number(value: Any, given: str, where: str) -> float:
    plain = value
    if not isinstance(value, Real) and getattr(value, "size", None) is not None:
        with suppress(ValueError, TypeError, RuntimeError):
            plain = value.item()
    if isinstance(plain, bool) or type(plain).__name__ == "bool_":
        plain = None
    if isinstance(plain, Integral):
        return int(plain)
    if isinstance(plain, Real):
        return float(plain)
    shown = "None" if value is None else f"{str(value)[:40]!r} ({type(value).__name__})"
    raise TypeError(f"{given} {shown}{where}; return a number or a mapping of numbers.")


def _is_out_of_memory(failure: BaseException) -> bool:
    if isinstance(failure, MemoryError) or "OutOfMemory" in type(failure).__name__:
        return True
    text = str(failure).lower()
    return isinstance(failure, (RuntimeError, OSError)) and any(m in text for m in _OUT_OF_MEMORY)


def versions(names: Iterable[str] = _VERSIONED) -> dict[str, str]:
    """Version of Python and of those numerical libraries that are loaded.

    Parameters
    ----------
    names : iterable of str
        Modules to look for; none is imported.

    Returns
    -------
    dict of str to str
        Name to version.

    Examples
    --------
    >>> list(versions([]))
    ['python']
    """
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in names:
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            found[name] = str(version)
    return found


# ------------------------------------------------------------------------- as a child process


def write_message(stream: IO[bytes], body: bytes) -> None:
    """Write one message, its length first, and flush.

    Examples
    --------
    >>> import io
    >>> stream = io.BytesIO()
    >>> write_message(stream, b"hello")
    >>> read_message(io.BytesIO(stream.getvalue()))
    b'hello'
    """
    stream.write(len(body).to_bytes(_LENGTH, "big") + body)
    stream.flush()


def read_message(stream: IO[bytes]) -> bytes | None:
    """Read one message, or None if the other side left before it was complete.

    Examples
    --------
    >>> import io
    >>> read_message(io.BytesIO(b"cut")) is None
    True
    """
    head = stream.read(_LENGTH)
    if len(head) < _LENGTH:
        return None
    length = int.from_bytes(head, "big")
    body = stream.read(length)
    return body if len(body) == length else None


def main(parent: int) -> None:
    """Read a run from standard input, do it, and answer on what was standard output.

    Parameters
    ----------
    parent : int
        Process that waits for the answer; when it is gone, so is this one.
    """
    _die_with(parent)
    questions = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    message = read_message(questions)
    if message is None:
        return
    threading.Thread(target=_die_at_end_of, args=(questions,), daemon=True).start()
    one_at_a_time = threading.Lock()

    def say(answer: Mapping[str, Any]) -> None:
        with one_at_a_time:
            write_message(answers, json.dumps(answer).encode())

    say(_do(message, say))


def _do(message: bytes, say: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """Do the run; its checkpoints are said on the way."""
    import pickle

    def checkpoint(seconds: float, values: dict[str, float]) -> None:
        say({"seconds": seconds, "checkpoint": values})

    task = pickle.loads(message)
    sys.path[:] = task["path"]

    def unpacking_failed(**_config: Any) -> None:
        raise failure

    config: dict[str, Any] = {}
    try:
        train = pickle.loads(task["train"])
        config = pickle.loads(task["config"])
    except Exception as error:
        failure = error
        train = unpacking_failed
    keep = checkpoint if task["checkpoints"] else None
    return measure(train, config, checkpoint=keep, **task["options"])


def _die_with(parent: int) -> None:
    """Ask the kernel for SIGKILL at the parent's death (Linux)."""
    if not sys.platform.startswith("linux"):
        return
    with suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the request
        os._exit(1)


def _die_at_end_of(questions: IO[bytes]) -> None:
    """Everywhere: the parent holds the pipe open as long as it lives."""
    # Unbuffered: a buffered read still waiting at exit would abort the interpreter.
    while os.read(questions.fileno(), 1):
        pass
    with suppress(AttributeError, OSError):
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
