"""Give damaged and hostile files to ``read_runs``: a table with a report, or a ``DataError``.

Run ``python benchmarks/fuzz_read_runs.py --cases 2000``; it prints what came out, and every case
that raised anything else, with the seed that makes it again.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

from scaling_laws.data.read_report import read_report
from scaling_laws.data.readers import read_runs
from scaling_laws.errors import DataError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import import_shapes

JUNK = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"'", b",", b";", b"\t", b"\n", b"\r\n", b"\r",
    b"{",    b"[", b"}", b"=1+1", b"=cmd|'/c calc'!A1", b"#REF!", b"NaN", b"inf",
    b"-inf", b"1e999", b"-0",
    b"9" * 30, b"1" * 5000, b"210M", b"1,000", b"None", b"null", b"\xe9", "\u2028".encode(),
    b"__import__('os')", b'{"a":' * 200, b"true", b"-1", b"0", b"\x1c", b" " * 100,
)  # fmt: skip
OPTIONS = (
    {"policy": "all"}, {"policy": "last_mean"}, {"policy": "best"}, {"strict": True},
    {"status": "finished"}, {"format": "spreadsheet"}, {"format": "wandb_history"},
    {"format": "mlflow"}, {"format": "wandb_chart"}, {"format": "metric_history"},
    {"format": "lightning"}, {"format": "csv"}, {"format": "json"}, {"format": "jsonl"},
    {"target": "accuracy"}, {"decimal": ","}, {"encoding": "latin-1"}, {"group": "run"},
    {"inputs": ["params", "tokens"]}, {"columns": {"loss": ["loss", "lr"]}},
)  # fmt: skip


def originals(folder: Path) -> list[bytes]:
    """Contents of the files that every tool would write."""
    contents = []
    for number, write in enumerate(import_shapes.SHAPES):
        home = folder / str(number)
        home.mkdir()
        write(home)
        contents += [path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()]
    return contents


def damaged(rng: random.Random, content: bytes) -> bytes:
    """Cut, repeat, overwrite, insert, swap: one to six times, mostly once."""
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        at = rng.randrange(len(content) + 1)
        to = min(len(content), at + rng.randint(0, 60))
        kind = rng.randrange(7)
        if kind == 0:
            content = content[:at]
        elif kind == 1:
            content = content[:at] + rng.choice(JUNK) + content[at:]
        elif kind == 2:
            content = content[:at] + rng.choice(JUNK) + content[to:]
        elif kind == 3:
            content = content[:at] + content[to:]
        elif kind == 4:
            content = content[:to] + content[at:]
        elif kind == 5:
            head, *lines = content.split(b"\n")
            rng.shuffle(lines)
            content = b"\n".join([head, *lines])
        else:
            spoiled = bytearray(content)
            for _ in range(min(3, len(spoiled))):
                spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
            content = bytes(spoiled)
    return content


def tangled(rng: random.Random, depth: int = 0) -> object:
    """Any JSON, with names that mean something to the reader."""
    names = ["loss", "params", "log_history", "columns", "data", "config", "summary", "step", "run"]
    kind = rng.randrange(8 if depth < 4 else 5)
    plain = [None, True, rng.gauss(0, 1e3), rng.randint(-(10**30), 10**30), rng.choice(names)]
    if kind < 5:
        return plain[kind]
    if kind == 5:
        return [tangled(rng, depth + 1) for _ in range(rng.randint(0, 4))]
    return {rng.choice(names): tangled(rng, depth + 1) for _ in range(rng.randint(0, 5))}


def cases(rng: random.Random, contents: list[bytes]) -> Iterator[bytes]:
    """Damaged originals, tangled JSON and plain noise, without end."""
    while True:
        kind = rng.random()
        if kind < 0.8:
            yield damaged(rng, rng.choice(contents))
        elif kind < 0.95:
            yield json.dumps(tangled(rng)).encode()
        else:
            yield rng.randbytes(rng.randint(0, 300))


def outcome(path: Path, options: dict[str, object]) -> str:
    """Read one file; say what came out."""
    try:
        frame = read_runs(path, **options)
    except DataError:
        return "DataError"
    report = read_report(frame)
    if report.rows_read + sum(s.rows for s in report.steps) != len(frame):
        raise AssertionError(f"rows are not accounted for: {report}")
    json.dumps(frame.attrs["read_report"], allow_nan=False)
    return "table with drops" if report.dropped or report.notes else "table"


def main() -> int:
    """Run the cases and print what came out; the exit status is 1 if any raised something else."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    warnings.simplefilter("error")
    counts: collections.Counter[str] = collections.Counter()
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stream = cases(rng, originals(folder))
        path = folder / "runs.csv"
        slowest = 0.0
        for number in range(asked.cases):
            path.unlink(missing_ok=True)
            path = folder / f"runs.{rng.choice(['csv', 'json', 'jsonl', 'txt'])}"
            path.write_bytes(next(stream))
            options = rng.choice(OPTIONS) if rng.random() < 0.4 else {}
            started = time.perf_counter()
            try:
                counts[outcome(path, dict(options))] += 1
            except Exception:
                counts["BROKEN"] += 1
                print(f"case {number} of seed {asked.seed}, {options}:")
                traceback.print_exc(limit=-4)
                print(path.read_bytes()[:300])
            slowest = max(slowest, time.perf_counter() - started)
    print(", ".join(f"{kind}: {count}" for kind, count in sorted(counts.items())))
    print(f"slowest: {slowest:.2f} s")
    return 1 if counts["BROKEN"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
