"""What measuring costs, and how true its figures are.

Run ``python benchmarks/measurement.py``; it prints one line per figure.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import scaling_laws as sl
from scaling_laws.measurement.recording import record

PARENT_BYTES = 600e6
REPEATS = 10


def make_hold() -> Callable[..., float]:
    """Return a run that holds a given number of bytes; pickled by value."""

    def hold(size: int, **_seed: int) -> float:
        block = bytearray(size)
        block[::4096] = b"x" * len(block[::4096])
        return float(len(block))

    return hold


def memory() -> None:
    """Peak memory of small jobs under a large parent, as a ratio to the truth."""
    parent = np.ones(int(PARENT_BYTES / 8))
    cells = sl.grid(size=[10_000_000, 200_000_000], seed=range(REPEATS))
    runs = sl.sweep(make_hold(), cells, isolate=True)
    ratio = runs.peak_memory / runs["size"]
    for size, found in ratio.groupby(runs["size"]):
        job = f"{size / 1e6:.0f} MB job under {parent.nbytes / 1e6:.0f} MB"
        print(f"peak memory over truth, {job}: {found.min():.3f} to {found.max():.3f}")


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of a call [s]."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def overhead_here(runs: int = 2000) -> None:
    """Seconds a run costs in this process, beyond the call itself."""
    cells = sl.grid(width=range(runs))
    bare = seconds_of(lambda: sl.sweep(lambda **_config: 1.0, cells))
    print(f"in process, no log: {1e3 * bare / runs:.3f} ms a run")
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "runs.jsonl"
        logged = seconds_of(lambda: sl.sweep(lambda **_config: 1.0, cells, log=log))
        print(f"in process, log on {directory}: {1e3 * logged / runs:.3f} ms a run")
        print(f"a synced line alone: {1e3 * synced_line(directory):.3f} ms")
        print(f"reading {runs} lines: {1e3 * seconds_of(lambda: sl.read_log(log)):.1f} ms")

        def once() -> None:
            with record(Path(directory) / "own.jsonl", width=1) as run:
                run.result(1.0)

        own = statistics.median(seconds_of(once) for _ in range(50))
        print(f"with record: {1e3 * own:.3f} ms a run")


def synced_line(directory: str, lines: int = 200) -> float:
    """Seconds of appending a line of 400 bytes and syncing it: what no log can go below."""
    with open(Path(directory) / "line", "ab", buffering=0) as file:

        def once() -> None:
            file.write(b"x" * 400 + b"\n")
            os.fsync(file.fileno())

        return statistics.median(seconds_of(once) for _ in range(lines))


def overhead_isolated() -> None:
    """Seconds a run costs in a child process, beside an interpreter that does nothing."""

    def make() -> Callable[..., float]:
        return lambda **_config: 1.0

    train = make()
    sl.sweep(train, sl.grid(width=1), isolate=True)
    cells = sl.grid(width=range(REPEATS))
    child = seconds_of(lambda: sl.sweep(train, cells, isolate=True)) / REPEATS
    nothing = [sys.executable, "-c", "pass"]
    bare = seconds_of(lambda: [subprocess.run(nothing, check=True) for _ in cells]) / REPEATS
    print(f"isolated: {child:.3f} s a run; a bare interpreter: {bare:.3f} s")


def main() -> None:
    memory()
    overhead_here()
    overhead_isolated()


if __name__ == "__main__":
    main()
