"""Wall time, processor time and peak memory of a piece of work, and how each was told.

Standard library only: a child process that is being measured imports this and nothing else.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Literal

from scaling_laws.measurement.devices import DeviceGauge, synchronise

MemorySource = Literal["reset", "exceeded", "unknown"]

_STATUS = "/proc/self/status"
_CLEAR = "/proc/self/clear_refs"
_RESET_PEAK = "5"
_running: list[meter] = []
_lock = threading.Lock()


class meter:  # noqa: N801 - used as a function: ``with meter() as m``
    """Measure the work done inside a ``with`` block.

    Attributes
    ----------
    seconds : float
        Wall time [s]; while the block runs, the time so far.
    cpu_seconds : float
        Processor time [s] of all threads, and of child processes that ended in the block.
    peak_memory : float
        Highest resident memory above what was held on entry [bytes]; NaN where it cannot be told.
    peak_memory_source : {"reset", "exceeded", "unknown"}
        ``"reset"``: the kernel's peak was reset on entry, so the figure is the block's own.
        ``"exceeded"``: it could not be reset, but the block passed every earlier peak.
        ``"unknown"``: neither (other systems than Linux), or another thread measured at the
        same time, and ``peak_memory`` is NaN.
    device_memory : float
        Peak memory torch (CUDA, ROCm) or jax took on an accelerator, above what was held on
        entry, of the device that took most [bytes]; NaN where none was in use.
    shared : bool
        Another thread measured during the block: processor time and memory are of both.

    Notes
    -----
    Memory is the process's resident memory, so work of other threads counts too, and memory that
    was freed but not returned to the system before the block hides part of its use. A fresh
    process, ``sweep(..., isolate=True)``, has neither trouble. Where torch or jax is loaded and
    has used an accelerator, its queued work is waited for on entry and at the end.

    Examples
    --------
    >>> from scaling_laws import meter
    >>> with meter() as m:
    ...     total = sum(range(100_000))
    >>> m.seconds > 0 and m.cpu_seconds >= 0
    True
    """

    def __init__(self) -> None:
        self.cpu_seconds = 0.0
        self.peak_memory = float("nan")
        self.peak_memory_source: MemorySource = "unknown"
        self.device_memory = float("nan")
        self.shared = False
        self._thread = 0
        self._devices: DeviceGauge | None = None
        self._elapsed: float | None = None
        self._start = time.perf_counter()
        self._seen_peak = 0

    @property
    def seconds(self) -> float:
        """Wall time [s] of the block, or so far."""
        if self._elapsed is not None:
            return self._elapsed
        return time.perf_counter() - self._start

    def __enter__(self) -> meter:
        self._elapsed = None
        self._thread = threading.get_ident()
        with suppress(Exception):  # what failed on a device, the block will meet itself
            synchronise()
        with _lock:
            for other in _running:  # they would lose their peak to the reset
                other._seen_peak = max(other._seen_peak, memory_peak() or 0)
                if other._devices is not None:
                    other._devices.remember()
                if other._thread != self._thread:
                    self.shared = other.shared = True
            self._was_reset = reset_memory_peak()
            self._devices = DeviceGauge()
            _running.append(self)
        self._held = memory_held()
        self._earlier_peak = self._held if self._was_reset else memory_peak()
        self._seen_peak = 0
        self._start_cpu = processor_seconds()
        self._start = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(Exception):
            synchronise()
        self._elapsed = time.perf_counter() - self._start
        self.cpu_seconds = processor_seconds() - self._start_cpu
        with _lock:
            peak = memory_peak()
            _running.remove(self)
            if self._devices is not None:
                self.device_memory = self._devices.peak()
        if self.shared or peak is None or self._held is None or self._earlier_peak is None:
            return
        peak = max(peak, self._seen_peak)
        if self._was_reset:
            self.peak_memory_source = "reset"
        elif peak > self._earlier_peak:
            self.peak_memory_source = "exceeded"
        else:
            return
        self.peak_memory = float(max(0, peak - self._held))


def quantile(values: Sequence[float], share: float) -> float:
    """Quantile of numbers, linear between order statistics; NaN of none.

    Parameters
    ----------
    values : sequence of float
        In any order.
    share : float
        In [0, 1].

    References
    ----------
    Hyndman and Fan (1996), The American Statistician 50(4), definition 7.

    Examples
    --------
    >>> quantile([4.0, 1.0, 2.0], 0.5), quantile([0.0, 1.0], 0.25)
    (2.0, 0.25)
    """
    if not values:
        return math.nan
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = math.ceil(place)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def processor_seconds() -> float:
    """Processor time [s] of this process and of its children that have ended.

    Examples
    --------
    >>> processor_seconds() > 0
    True
    """
    ended = os.times()
    return time.process_time() + ended.children_user + ended.children_system


def memory_held() -> int | None:
    """Resident memory now [bytes], or None where the system does not say.

    Examples
    --------
    >>> held = memory_held()
    >>> held is None or held > 0
    True
    """
    return _status_bytes("VmRSS:")


def memory_peak() -> int | None:
    """Highest resident memory since the start or the last reset [bytes], or None.

    Unlike ``ru_maxrss``, this is not inherited from the process that started this one.

    Examples
    --------
    >>> peak = memory_peak()
    >>> peak is None or peak > 0
    True
    """
    return _status_bytes("VmHWM:")


def reset_memory_peak() -> bool:
    """Let the peak start again from what is held now; False where that is not permitted.

    Examples
    --------
    >>> reset_memory_peak() in (True, False)
    True
    """
    with suppress(OSError), open(_CLEAR, "w") as clear:
        clear.write(_RESET_PEAK)
        return True
    return False


def _status_bytes(label: str) -> int | None:
    with suppress(OSError), open(_STATUS, encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith(label):
                return int(line.split()[1]) * 1024
    return None
