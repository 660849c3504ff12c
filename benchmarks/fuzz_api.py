"""Call the public API with good and hostile arguments: an answer, or a ``ScalingLawError``.

Run ``python benchmarks/fuzz_api.py --cases 10000``; it prints how often each call was answered or
refused, and every case that raised anything else, with the seed that makes it again. A case depends
on its own seed and on the fits that earlier cases of its block of 50 left.
"""

from __future__ import annotations

import argparse
import collections
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import api_cases

_BLOCK = 50


def _place(error: BaseException) -> str:
    """The library's innermost line that the error went through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "scaling_laws" in Path(f.filename).parts] or list(frames)
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno} {ours[-1].name}"


def main() -> int:
    """Run the cases and print what came out; the exit status is 1 if any raised something else."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first block")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after")
    parser.add_argument("--traces", action="store_true", help="print tracebacks")
    asked = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    broken: collections.Counter[str] = collections.Counter()
    calls, shares = list(api_cases.CALLS), list(api_cases.CALLS.values())
    started, slowest, done = time.perf_counter(), (0.0, ""), 0
    with tempfile.TemporaryDirectory() as folder:
        while done < asked.cases and time.perf_counter() - started < asked.seconds:
            block = asked.seed + done // _BLOCK
            rng, world = random.Random(block), api_cases.World(Path(folder))
            for number in range(min(_BLOCK, asked.cases - done)):
                call = rng.choices(calls, shares)[0]
                own = random.Random(f"{block}.{number}")
                before = time.perf_counter()
                try:
                    counts[api_cases.attempt(call, own, world)] += 1
                except Exception as error:
                    counts[f"{call.__name__.removeprefix('call_')}: BROKEN"] += 1
                    name = f"{type(error).__name__} in {_place(error)}"
                    broken[name] += 1
                    if broken[name] == 1:  # the same fault is shown once, and counted
                        print(f"block {block}, case {number}, {call.__name__}: {name}: {error}")
                        if asked.traces:
                            traceback.print_exc()
                slowest = max(slowest, (time.perf_counter() - before, f"{call.__name__} {block}"))
                done += 1
    for kind, count in sorted(counts.items()):
        print(f"{kind}: {count}")
    print(f"{done} cases in {time.perf_counter() - started:.0f} s, slowest {slowest}")
    print("".join(f"{n} times {name}\n" for name, n in broken.most_common()), end="")
    warned = sum(n for name, n in broken.items() if "Warning in" in name)
    print(f"untyped errors: {sum(broken.values()) - warned}, warnings: {warned}")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
