"""The library beside other tools: the same data, machine and run, one tool after another.

    python benchmarks/peers/compare.py --peers PYTHON

``PYTHON`` is the interpreter of an environment that has the peers (see ``benchmarks/README.md``);
this script runs under the library's own. It writes ``results.json`` beside it and the tables of
``docs/peers.md``; ``--tables`` writes the tables again from the stored results.

Five rounds: each tool in turn, in processes of its own, is imported and fits the same runs. So what
else the machine does meets all tools alike, and a ratio is taken round by round. Then every tool
predicts the held-out runs of every fourth declared split of (params, tokens). Coefficients and
predictions are judged here, on common terms. A tool that is not installed is listed as absent.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from page import FIT, SELECT, write_page
from tools import COEFFICIENTS, DELTA, TOOLS, quiet

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OPEN_DATA = ROOT.parent / "shared" / "data" / "chinchilla_epoch.csv"
RESULTS, PAGE = HERE / "results.json", ROOT / "docs" / "peers.md"
ROUNDS, EVERY = 5, 4
MISS = 20.0  # price of a miss, in log loss, of a 90 % interval
ENVIRONMENT = {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)} | dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)  # one thread each, and no window
PATIENCE = 2.0  # seconds within which a warm fit is repeated, three times at most


# --- in a tool's own process ---------------------------------------------------------------------


def clocks() -> np.ndarray:
    """Wall seconds, and processor seconds of this process and the children it waited for."""
    return np.array([time.perf_counter(), time.process_time() + sum(os.times()[2:4])])


def timed(call: Callable, *given: object) -> tuple[list[float], object]:
    """Wall and processor seconds of one call, and what it returned."""
    start = clocks()
    found = quiet(call, *given)
    return (clocks() - start).round(6).tolist(), found


def peak_bytes() -> int | None:
    """Most memory this process, or one of its children, has held; None where it is not told."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    own = int(status.split("VmHWM:")[1].split()[0])  # unlike ru_maxrss, nothing of the parent's
    return 1024 * max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def measure_fit(name: str, folder: Path) -> dict:
    """First and warm fits, the memory they took, and draws on the common runs."""
    tool, rows = TOOLS[name], np.load(folder / "rows.npy")
    first, coef = timed(tool.fit, rows)
    out: dict = {"first": first, "coef": coef}
    warm, start = [], time.perf_counter()
    while not warm or (len(warm) < 3 and time.perf_counter() - start < PATIENCE):
        warm.append(timed(tool.fit, rows)[0])
    out |= {"fit": np.median(warm, axis=0).tolist(), "peak_bytes": peak_bytes()}
    if tool.draw and tool.draws:
        few, many = (np.array(timed(tool.draw, rows, n)[0]) for n in tool.draws)
        out["draws_per_second"] = ((tool.draws[1] - tool.draws[0]) / (many - few)).tolist()
    return out


def predict_splits(name: str, folder: Path) -> dict:
    """Low, middle and high of every held-out run; a refusal is part of the result."""
    tool, out = TOOLS[name], {}
    for split in json.loads((folder / "splits.json").read_text(encoding="utf-8")):
        train, points = np.array(split["train"]), np.array(split["points"])
        start = clocks()
        try:
            answer = quiet(tool.predict, train, points, split["family"])
        except Exception as error:
            out[split["name"]] = {"refused": f"{type(error).__name__}: {error}"[:200]}
            continue
        told = [None if part is None else np.asarray(part).tolist() for part in answer]
        out[split["name"]] = {"answer": told, "seconds": (clocks() - start).round(6).tolist()}
    return out


TASKS = {"fit": measure_fit, "splits": predict_splits}


def worker(task: str, name: str, folder: Path) -> None:
    """Do one task in this process and print what was found as the last line."""
    sys.path.insert(0, str(ROOT))  # the checkout itself
    with contextlib.redirect_stdout(sys.stderr):
        found = TASKS[task](name, folder)
    print(json.dumps(found))


# --- here ----------------------------------------------------------------------------------------


def open_rows() -> np.ndarray:
    """Published runs (params, tokens, loss), the five that the replication drops left out."""
    rows = np.genfromtxt(OPEN_DATA, delimiter=",", names=True, dtype=None, encoding="utf-8")
    rows = rows[rows["excluded_by_besiroglu"].astype(str) != "True"]
    return np.column_stack([rows["params"], rows["tokens"], rows["loss"]])


def common_objective(rows: np.ndarray, coef: dict[str, float]) -> float:
    """Sum of Huber losses of log residuals."""
    params, tokens, loss = rows.T
    terms = coef["A"] * params ** -coef["alpha"] + coef["B"] * tokens ** -coef["beta"]
    size = np.abs(np.log(coef["E"] + terms) - np.log(loss))
    return float(np.sum(np.where(size <= DELTA, size**2 / 2, DELTA * (size - DELTA / 2))))


def declared_splits(every: int) -> list[dict]:
    """Every so-manieth (params, tokens) split in the order of the file."""
    sys.path.insert(0, str(HERE.parent / "extrapolation"))
    from splits import load_splits

    both = [s for s in load_splits() if set(s.inputs) == {"params", "tokens"}]
    columns = ["params", "tokens", "loss"]
    return [
        {
            "name": s.name,
            "family": s.family,
            "kind": s.kind[0],
            "train": s.train[columns].to_numpy(dtype=float).tolist(),
            "points": s.test[columns[:2]].to_numpy(dtype=float).tolist(),
            "actual": s.test.loss.to_numpy(dtype=float).tolist(),
        }
        for s in both[::every]
    ]


def judged(found: dict, actual: list[float]) -> dict:
    """Error, coverage and interval score of one split; a loss that is not positive is none."""
    if "refused" in found:
        return found
    low, middle, high = (None if a is None else np.array(a, dtype=float) for a in found["answer"])
    if not (np.isfinite(middle) & (middle > 0)).all():
        return {"refused": "a prediction that is not a positive number"}
    y = np.log(actual)
    out = {"error": float(np.abs(np.log(middle) - y).mean()), "seconds": found["seconds"]}
    if low is not None and np.isfinite([low, high]).all():
        low, high = (np.log(np.maximum(a, 1e-300)) for a in (low, high))
        miss = np.maximum(low - y, 0) + np.maximum(y - high, 0)
        out["cover"] = float(np.mean((y >= low) & (y <= high)))
        out["score"] = float(np.mean(high - low + MISS * miss))
    return out


def run(interpreter: str, *arguments: str) -> dict:
    """What a fresh interpreter prints as its last line."""
    done = subprocess.run(
        [interpreter, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **ENVIRONMENT},
    )
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def version(interpreter: str, distribution: str) -> str | None:
    """Version under that interpreter; None where it is not installed."""
    if distribution == "scaling_laws":
        return run(interpreter, "-c", "import scaling_laws as s; print(f'\"{s.__version__}\"')")
    code = f"import json, importlib.metadata as m; print(json.dumps(m.version('{distribution}')))"
    found = run(interpreter, "-c", code)
    return None if isinstance(found, dict) else found


def import_seconds(interpreter: str, statement: str) -> list[float]:
    """Wall and processor seconds of an import in a fresh interpreter, whose start is left out."""
    code = (
        f"import time\nw, p = time.perf_counter(), time.process_time()\n{statement}\n"
        "print([time.perf_counter() - w, time.process_time() - p])"
    )
    return run(interpreter, "-c", code)


def rounds(names: list[str], interpreters: dict[str, str], number: int, folder: Path) -> dict:
    """All tools in turn, over and over."""
    found: dict[str, list[dict]] = {name: [] for name in names}
    for i in range(number):
        for name in names:
            python = interpreters[name]
            imports = import_seconds(python, TOOLS[name].loads)
            once = run(python, __file__, "--worker", "fit", name, str(folder))
            found[name].append({"import": imports, **once})
            print(f"round {i + 1}, {name}: {once.get('failed', 'done')}", file=sys.stderr)
    return found


def load() -> list[float]:
    """What else the machine does: processes at work over 1, 5 and 15 minutes."""
    return [round(v, 1) for v in os.getloadavg()]


def about(rows: np.ndarray, splits: list[dict], number: int) -> dict:
    """Where and on what all this was measured."""

    def git(*words: str) -> str:
        call = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return call.stdout.strip()

    return {
        "commit": git("rev-parse", "HEAD"),
        "changed_since_commit": git("status", "--porcelain", "scaling_laws", str(HERE)) != "",
        "python": platform.python_version(),
        "numpy": importlib.metadata.version("numpy"),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": load(),
        "rows": len(rows),
        "rounds": number,
        "splits": len(splits),
    }


def entry(
    name: str, rows: np.ndarray, found: list[dict], answers: dict, splits: list[dict]
) -> dict:
    """What is stored of one tool."""
    tool = TOOLS[name]
    out = {"tool": name, "minimises": tool.minimises, "intervals": tool.intervals, "rounds": found}
    if coef := found[0].get("coef"):
        out["objective"] = common_objective(rows, {n: coef[n] for n in COEFFICIENTS})
    none = {"refused": answers.get("failed", "no answer")}
    out["splits"] = {
        s["name"]: {"kind": s["kind"], "family": s["family"]}
        | judged(answers.get(s["name"], none), s["actual"])
        for s in splits
    }
    return out


def compare(names: list[str], peers: str, number: int, every: int) -> dict:
    """Everything measured, as it is stored."""
    rows, splits = open_rows(), declared_splits(every)
    pythons = {
        n: sys.executable if TOOLS[n].distribution == "scaling_laws" else peers for n in names
    }
    versions = {n: version(pythons[n], TOOLS[n].distribution) for n in names}
    present = [n for n in names if versions[n]]
    facts = about(rows, splits, number)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        np.save(folder / "rows.npy", rows)
        asked = [{k: v for k, v in s.items() if k != "actual"} for s in splits]
        (folder / "splits.json").write_text(json.dumps(asked), encoding="utf-8")
        found = rounds(present, pythons, number, folder)
        answers = {}
        for n in present:
            answers[n] = run(pythons[n], __file__, "--worker", "splits", n, str(folder))
            print(f"splits, {n}: {answers[n].get('failed', 'done')}", file=sys.stderr)
    results = [
        entry(n, rows, found[n], answers[n], splits) | {"version": versions[n]}
        if n in present
        else {"tool": n, "minimises": TOOLS[n].minimises, "absent": True}
        for n in names
    ]
    return {"about": facts | {"load_after": load()}, "tools": results}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--tools", nargs="*", choices=TOOLS, default=TOOLS, help="default: all")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="fits of the same runs")
    parser.add_argument("--every", type=int, default=EVERY, help="take every so-manieth split")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write the tables into")
    parser.add_argument("--tables", action="store_true", help="only write the tables again")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        task, name, folder = options.worker
        worker(task, name, Path(folder))
        return
    if not options.tables:
        names = [n for n in TOOLS if n in {FIT, SELECT, *options.tools}]
        found = compare(names, options.peers, options.rounds, options.every)
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write_page(json.loads(options.output.read_text(encoding="utf-8")), options.page)


if __name__ == "__main__":
    main()
