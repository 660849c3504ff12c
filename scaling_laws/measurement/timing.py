"""How long a call takes: warm calls only, by their quantiles."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from scaling_laws.errors import MeasureError
from scaling_laws.measurement.devices import synchronise
from scaling_laws.measurement.meter import quantile

_FEWEST_CALLS = 20  # the 95 % quantile of fewer is their maximum


@dataclass(frozen=True)
class Latency:
    """Seconds that calls of one function took.

    Parameters
    ----------
    samples : tuple of float
        Each warm call, in order [s].
    first : float
        The very first call [s]: compilation, allocation and caches included.

    Examples
    --------
    >>> Latency(tuple(float(i) for i in range(101)), 500.0).p95
    95.0
    """

    samples: tuple[float, ...]
    first: float

    @property
    def p50(self) -> float:
        """Median [s]."""
        return self.quantile(0.5)

    @property
    def p95(self) -> float:
        """What 19 of 20 calls stay below [s]."""
        return self.quantile(0.95)

    def quantile(self, share: float) -> float:
        """Seconds that this share of the calls, in [0, 1], stays below."""
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
            raise MeasureError(f"share must be in [0, 1], got {share!r}. Did you mean 0.95?")
        return quantile(self.samples, share)

    def to_dict(self) -> dict[str, float]:
        """Return metrics as ``train`` may give them to a sweep: ``latency`` is the median [s]."""
        return {"latency": self.p50, "latency_p95": self.p95, "latency_first": self.first}

    def __str__(self) -> str:
        return (
            f"p50 {self.p50:.3g} s, p95 {self.p95:.3g} s of {len(self.samples)} calls; "
            f"first {self.first:.3g} s"
        )


def latency(
    predict: Callable[[Any], Any],
    inputs: Iterable[Any],
    *,
    calls: int = 200,
    warmup: int = 10,
) -> Latency:
    """Time ``predict(x)`` for the inputs in turn, one call at a time, after a warm-up.

    Parameters
    ----------
    predict : callable
        Takes one input, or one batch. An exception passes through.
    inputs : iterable
        Requests to cycle through, as varied as the real ones.
    calls : int, default 200
        Calls that are timed, at least 20.
    warmup : int, default 10
        Calls before them that are not: they compile, allocate and fill caches.

    Returns
    -------
    Latency
        ``p50``, ``p95`` and ``first`` [s], ``samples`` and ``quantile(share)``.

    Raises
    ------
    MeasureError
        If there are no inputs, or the numbers of calls cannot be used.

    Notes
    -----
    Where torch or jax has used an accelerator, each call ends when its queued work has. Calls
    follow each other without a pause: waiting in a queue is not part of the figure.

    Examples
    --------
    >>> found = latency(sorted, [[3, 1, 2], [2, 1]], calls=50)
    >>> 0 < found.p50 <= found.p95, len(found.samples)
    (True, 50)
    """
    _check_count("calls", calls, _FEWEST_CALLS)
    _check_count("warmup", warmup, 0)
    requests = list(inputs)
    if not requests:
        raise MeasureError("inputs is empty; give at least one request to time predict with.")
    turns = itertools.islice(itertools.cycle(requests), warmup + calls)
    times = [_timed(predict, request) for request in turns]
    return Latency(tuple(times[warmup:]), times[0])


def _timed(predict: Callable[[Any], Any], request: Any) -> float:
    synchronise()
    start = time.perf_counter()
    predict(request)
    synchronise()
    return time.perf_counter() - start


def _check_count(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise MeasureError(f"{name} must be a whole number from {least} up, got {value!r}.")
