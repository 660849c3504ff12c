"""Accelerators as torch or jax see them, where the user's code has loaded these; never loaded here.

Standard library only: a child process that is being measured imports this.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_UNKNOWN = float("nan")


def synchronise() -> None:
    """Wait for the work that torch (CUDA, ROCm) or jax has queued on accelerators.

    Nothing is started: a library that is not loaded, or has not touched a device, is left alone.

    Examples
    --------
    >>> synchronise()
    """
    cuda = _cuda()
    if cuda is not None:
        for device in range(cuda.device_count()):
            cuda.synchronize(device)
    jax = _jax()
    if jax is not None:
        for array in jax.live_arrays():
            if not array.is_deleted():
                array.block_until_ready()


class DeviceGauge:
    """Peak memory that torch or jax takes on accelerators from now on.

    Examples
    --------
    >>> gauge = DeviceGauge()
    >>> gauge.peak()  # no accelerator in use
    nan
    """

    def __init__(self) -> None:
        cuda = _cuda()
        if cuda is not None:
            for device in range(cuda.device_count()):
                cuda.reset_peak_memory_stats(device)
        self._held = _memory(peak=False)
        self._earlier = _memory(peak=True)
        self._seen: dict[str, int] = {}

    def remember(self) -> None:
        """Keep the peaks so far, before another gauge resets them."""
        for device, peak in _memory(peak=True).items():
            self._seen[device] = max(peak, self._seen.get(device, 0))

    def peak(self) -> float:
        """Highest memory above what was held, of the device that took most [bytes], or NaN.

        NaN without an accelerator in use, and where jax, which cannot reset its peak, has not
        passed an earlier one.
        """
        self.remember()
        taken = []
        for device, peak in self._seen.items():
            if device.startswith("jax") and peak <= self._earlier.get(device, 0):
                return _UNKNOWN
            taken.append(float(max(0, peak - self._held.get(device, 0))))
        return max(taken, default=_UNKNOWN)


@contextmanager
def counted_flops(wanted: bool) -> Iterator[Callable[[], float]]:
    """Count the FLOP that torch does inside the block, if ``wanted`` and torch is loaded.

    Parameters
    ----------
    wanted : bool
        Counting slows torch down and sees no operation that has no formula.

    Yields
    ------
    callable
        Returns the FLOP counted, two per multiply-add; NaN where nothing was counting.

    Examples
    --------
    >>> with counted_flops(False) as count:
    ...     pass
    >>> count()
    nan
    """
    if not wanted or "torch" not in sys.modules:
        yield lambda: _UNKNOWN
        return
    counter = import_module("torch.utils.flop_counter").FlopCounterMode(display=False)
    with counter:
        yield lambda: float(counter.get_total_flops())


def _cuda() -> Any:
    """Return ``torch.cuda`` if torch is loaded and has used a device, else None."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return cuda if cuda is not None and cuda.is_initialized() else None


def _jax() -> ModuleType | None:
    """Return jax if it is loaded and has used a device: asking it would set the devices up."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    started = getattr(bridge, "backends_are_initialized", None)
    return sys.modules.get("jax") if started is not None and started() else None


def _memory(*, peak: bool) -> dict[str, int]:
    """Memory in use, or its peak, by device [bytes]."""
    found: dict[str, int] = {}
    cuda = _cuda()
    if cuda is not None:
        ask = cuda.max_memory_allocated if peak else cuda.memory_allocated
        found |= {f"cuda:{device}": ask(device) for device in range(cuda.device_count())}
    jax = _jax()
    if jax is not None:
        name = "peak_bytes_in_use" if peak else "bytes_in_use"
        for device in jax.local_devices():
            used = (device.memory_stats() or {}).get(name)
            if used is not None:
                found[f"jax:{device.id}"] = used
    return found
