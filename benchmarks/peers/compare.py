"""The library beside other scaling-law tools: the same 240 runs, one tool after another.

    python benchmarks/peers/compare.py --peers PYTHON [--grid 5] [--output FILE]

``PYTHON`` is the interpreter of an environment that has the peers (see ``benchmarks/README.md``);
this script runs under the library's own. Every tool works in a process of its own. Its coefficients
are judged here, on common terms: the sum of Huber losses (1e-3) of log residuals, the objective of
Hoffmann et al. (2022). A tool that is not installed is listed as absent.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
OPEN_DATA = ROOT.parent / "shared" / "data" / "chinchilla_epoch.csv"
DELTA = 1e-3
DRAWS = 1000
COEFFICIENTS = ("E", "A", "alpha", "B", "beta")


def open_rows() -> np.ndarray:
    """Published runs (params, tokens, loss), the five that the replication drops left out."""
    rows = np.genfromtxt(OPEN_DATA, delimiter=",", names=True, dtype=None, encoding="utf-8")
    rows = rows[rows["excluded_by_besiroglu"].astype(str) != "True"]
    return np.column_stack([rows["params"], rows["tokens"], rows["loss"]])


def synthetic_rows(n: int = 240) -> np.ndarray:
    """Runs of a known law with 1 % noise and a few bad ones."""
    rng = np.random.default_rng(0)
    params = 10 ** rng.uniform(7.7, 10.2, n)
    tokens = params * 10 ** rng.uniform(0.0, 2.0, n)
    loss = 1.82 + 478.0 * params**-0.347 + 2140.0 * tokens**-0.367
    bad = rng.exponential(size=n) * (rng.random(n) < 0.05)
    return np.column_stack(
        [params, tokens, loss * np.exp(0.01 * rng.standard_normal(n) + 0.05 * bad)]
    )


def common_objective(rows: np.ndarray, coef: dict[str, float]) -> float:
    """Sum of Huber losses of log residuals."""
    params, tokens, loss = rows.T
    terms = coef["A"] * params ** -coef["alpha"] + coef["B"] * tokens ** -coef["beta"]
    size = np.abs(np.log(coef["E"] + terms) - np.log(loss))
    return float(np.sum(np.where(size <= DELTA, size**2 / 2, DELTA * (size - DELTA / 2))))


# --- how each tool is called; these run in a process of their own --------------------------------


def timed(call: Callable, rounds: int) -> tuple[list[float], list[float]]:
    """Wall and processor seconds of every round, child processes included."""
    wall, busy = [], []
    for _ in range(rounds):
        before, start = processor_seconds(), time.perf_counter()
        call()
        wall.append(time.perf_counter() - start)
        busy.append(processor_seconds() - before)
    return wall, busy


def processor_seconds() -> float:
    """Seconds this process and the children it waited for have used."""
    return time.process_time() + sum(os.times()[2:4])


def library(rows: np.ndarray, robust: str, workers: int, **_: object) -> dict:
    import scaling_laws as sl
    from scaling_laws.inference.resample import draw_coefficients
    from scaling_laws.laws.registry import get_law

    table = dict(zip(("params", "tokens", "loss"), rows.T, strict=True))
    fitter = sl.Fitter(robust=sl.Huber(DELTA if robust == "1e-3" else "auto"), draws=0)
    fit = fitter.fit(table, "chinchilla")
    wall, busy = timed(lambda: fitter.fit(table, "chinchilla"), 7)
    family = get_law("chinchilla")
    checked = fitter.check(table, family, "loss")
    point = fitter.solve(checked, family).point

    def draw() -> None:
        draw_coefficients(point, checked.clusters, DRAWS, 0, workers=workers)

    draw()
    draw_wall, draw_busy = timed(draw, 5)
    return {
        "coef": fit.coef,
        "fit_wall": wall,
        "fit_busy": busy,
        "draws": DRAWS,
        "draw_wall": draw_wall,
        "draw_busy": draw_busy,
    }


def selection(rows: np.ndarray, **_: object) -> dict:
    import scaling_laws as sl

    table = dict(zip(("params", "tokens", "loss"), rows.T, strict=True))
    few, many = 500, 20_500  # the difference is what draws cost
    sl.select(table, draws=few)
    wall, busy = timed(lambda: sl.select(table, draws=few), 5)
    draw_wall, draw_busy = timed(lambda: sl.select(table, draws=many), 3)
    return {
        "fit_wall": wall,
        "fit_busy": busy,
        "draws": many - few,
        "draw_wall": [w - statistics.median(wall) for w in draw_wall],
        "draw_busy": [b - statistics.median(busy) for b in draw_busy],
    }


def chinchilla(rows: np.ndarray, grid: int, **_: object) -> dict:
    from chinchilla import Chinchilla
    from chinchilla._metrics import log_huber

    def loss(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return log_huber(y_true, y_pred, delta=DELTA)

    spans = {"E": (1, 2), "a": (1, 10), "b": (1, 10), "alpha": (0.1, 0.7), "beta": (0.1, 0.7)}
    with tempfile.TemporaryDirectory() as folder:
        params, tokens, measured = rows.T
        columns = np.column_stack([6 * params * tokens, params, tokens, measured])
        np.savetxt(Path(folder) / "df.csv", columns, "%.17g", ",", header="C,N,D,loss", comments="")
        tool = Chinchilla(
            folder,
            param_grid={name: np.linspace(*span, grid) for name, span in spans.items()},
            loss_fn=loss,
            log_level=50,
        )
        wall, busy = timed(tool.fit, 1 if grid > 3 else 3)
        coef = {name: float(getattr(tool, name)) for name in COEFFICIENTS}
    return {"coef": coef, "fit_wall": wall, "fit_busy": busy}


def simple_scaling_laws(rows: np.ndarray, **_: object) -> dict:
    import polars
    from simple_scaling_laws import fit

    target = "test_loss__loss"
    table = polars.DataFrame(
        {
            "training_run_id": [f"run{i}" for i in range(len(rows))],
            "model_size__params": rows[:, 0],
            "dataset_size__tokens": rows[:, 1],
            target: rows[:, 2],
        }
    )
    few, many = 2, 102  # it always draws; the difference is what draws cost
    model = fit(table, n_draws=few)
    wall, busy = timed(lambda: fit(table, n_draws=few), 5)
    draw_wall, draw_busy = timed(lambda: fit(table, n_draws=many), 3)
    coef = dict(model.params(target))
    for amplitude, rate, column in (
        ("A", "alpha", "model_size__params"),
        ("B", "beta", "dataset_size__tokens"),
    ):
        coef[amplitude] *= model.observed_domain[column]["reference"] ** coef[rate]
    return {
        "coef": coef,
        "fit_wall": wall,
        "fit_busy": busy,
        "draws": many - few,
        "draw_wall": [w - statistics.median(wall) for w in draw_wall],
        "draw_busy": [b - statistics.median(busy) for b in draw_busy],
    }


# name: (distribution, function, what it minimises, what it lacks, options)
TOOLS: dict[str, tuple[str, Callable, str, str, dict]] = {
    "scaling_laws, Huber 1e-3": (
        "scaling_laws", library, "sum of log-Huber 1e-3", "", {"robust": "1e-3", "workers": 1},
    ),
    "scaling_laws, default": (
        "scaling_laws", library, "sum of log-Huber, automatic", "",
        {"robust": "auto", "workers": 1},
    ),
    "scaling_laws, default, two threads": (
        "scaling_laws", library, "sum of log-Huber, automatic", "",
        {"robust": "auto", "workers": 2},
    ),
    "scaling_laws, select with 500 draws": (
        "scaling_laws", selection, "weighted candidates, backtested", "", {},
    ),
    "chinchilla": ("chinchilla", chinchilla, "mean of log-Huber 1e-3", "no intervals", {}),
    "simple-scaling-laws": (
        "simple-scaling-laws", simple_scaling_laws, "weighted least squares of the loss",
        "no robust loss, no log residuals", {},
    ),
}  # fmt: skip


# --- running them --------------------------------------------------------------------------------


def worker(name: str, rows_file: str, grid: int) -> None:
    """Run one tool in this process and print what it found as the last line."""
    distribution, function, _, _, options = TOOLS[name]
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        if distribution != "scaling_laws":
            print(json.dumps({"absent": True}))
            return
        sys.path.insert(0, str(ROOT))  # the checkout itself
        import scaling_laws

        version = scaling_laws.__version__
    with contextlib.redirect_stdout(sys.stderr):
        found = function(np.load(rows_file), grid=grid, **options)
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    print(json.dumps({**found, "version": version, **versions}))


def run(name: str, rows_file: Path, grid: int, peers: str) -> dict:
    interpreter = sys.executable if TOOLS[name][0] == "scaling_laws" else peers
    command = [interpreter, __file__, "--worker", name, "--rows", str(rows_file)]
    done = subprocess.run(
        [*command, "--grid", str(grid)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MPLBACKEND": "Agg"},
    )
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def judged(found: dict, name: str, rows: np.ndarray) -> dict:
    """Add the common objective and the medians."""
    _, _, minimises, lacks, _ = TOOLS[name]
    out = {"tool": name, "minimises": minimises, "lacks": lacks, **found}
    if "coef" in found:
        out["objective"] = common_objective(rows, found["coef"])
    if "fit_wall" in found:
        out["fit_seconds"] = statistics.median(found["fit_wall"])
        out["fit_processor_seconds"] = statistics.median(found["fit_busy"])
    if "draws" in found:
        out["draws_per_second"] = found["draws"] / statistics.median(found["draw_wall"])
        out["draws_per_processor_second"] = found["draws"] / statistics.median(found["draw_busy"])
    return out


def markdown(results: list[dict]) -> str:
    head = (
        "| tool | version | minimises | objective | one fit [s] | its processor time [s] "
        "| draws/s | draws per processor second | missing |"
    )
    lines = [head, "|---|---|---|---:|---:|---:|---:|---:|---|"]
    for r in results:
        if "fit_seconds" not in r:
            state = "absent" if r.get("absent") else f"failed: {r['failed']}"
            lines.append(f"| {r['tool']} | {state} | {r['minimises']} | | | | | | |")
            continue
        objective = f"{r['objective']:.8f}" if "objective" in r else "none"
        draws = ("draws_per_second", "draws_per_processor_second")
        rates = " | ".join(f"{r[d]:,.0f}" if d in r else "none" for d in draws)
        lines.append(
            f"| {r['tool']} | {r['version']} | {r['minimises']} | {objective} "
            f"| {r['fit_seconds']:.3g} | {r['fit_processor_seconds']:.3g} | {rates} "
            f"| {r['lacks']} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--grid", type=int, default=5, help="chinchilla's grid points an axis")
    parser.add_argument("--tools", nargs="*", choices=TOOLS, help="default: all")
    parser.add_argument("--output", type=Path, help="write everything measured as JSON")
    parser.add_argument("--worker", choices=TOOLS, help=argparse.SUPPRESS)
    parser.add_argument("--rows", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.rows, options.grid)
        return
    rows = open_rows() if OPEN_DATA.is_file() else synthetic_rows()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.npy"
        np.save(file, rows)
        results = []
        for name in options.tools or TOOLS:
            results.append(judged(run(name, file, options.grid, options.peers), name, rows))
            print(f"{name}: done", file=sys.stderr)
    about = {
        "rows": len(rows),
        "data": "published" if OPEN_DATA.is_file() else "synthetic",
        "cores": os.cpu_count(),
        "chinchilla_starts": options.grid**5,
    }
    print(markdown(results))
    if options.output:
        options.output.write_text(
            json.dumps({**about, "results": results}, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
