"""How often intervals hold what they promise: worlds whose truth is known.

A world draws runs of a known law, fits it and predicts at ten times the compute of the largest
run (nine for checkpoints). ``mean`` counts how often the interval holds the true curve, ``run``
how often it holds a fresh run. Law error is off where the library has it: the law is right.

    python benchmarks/coverage/simulate.py --worlds 1000 --output table.md --json coverage.json
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

import scaling_laws as sl

TRUTH = sl.published.BESIROGLU_2024
LEVELS = (0.9, 0.95)
DESIGNS = {"9": (3, 3), "16": (4, 4), "30": (6, 5)}
RUN_NOISE, ROW_NOISE = 0.004, 0.001  # of checkpoints
FAR = {"params": 2e9 * 10**0.5, "tokens": 6e10 * 10**0.5}
SENTINEL = {"params": 7e9, "tokens": 1.4e11}  # for checkpoints: 9 times the largest run's compute


def configurations(design):
    """Full grid of sizes and token counts."""
    sizes, levels = DESIGNS[design]
    params, tokens = np.meshgrid(np.geomspace(5e7, 2e9, sizes), np.geomspace(1e9, 6e10, levels))
    return pd.DataFrame({"params": params.ravel(), "tokens": tokens.ravel()})


def grid_world(rng, design, seeds, noise):
    """Return runs of a grid and the noise of a fresh run."""
    base = configurations(design)
    table = pd.concat([base.assign(seed=s) for s in range(seeds)], ignore_index=True)
    mean = TRUTH(params=table.params, tokens=table.tokens)
    table["loss"] = mean * np.exp(noise * rng.standard_normal(len(table)))
    return table, noise


def checkpoint_world(rng):
    """Six runs with five checkpoints each, noise of the run shared by its checkpoints."""
    size = np.geomspace(1e8, 2e9, 6)
    rows = [
        {"params": n, "tokens": share * 27 * n, "run": f"run {i}"}
        for i, n in enumerate(size)
        for share in (0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    table = pd.DataFrame(rows)
    mean = TRUTH(params=table.params, tokens=table.tokens)
    shared = np.repeat(RUN_NOISE * rng.standard_normal(6), 5)
    table["loss"] = mean * np.exp(shared + ROW_NOISE * rng.standard_normal(30))
    return table, float(np.hypot(RUN_NOISE, ROW_NOISE))


def make_world(cell, number):
    """Return the table, the noise and the question of one world."""
    rng = np.random.default_rng([20261125, number])
    if cell["design"] == "checkpoints":
        return (*checkpoint_world(rng), SENTINEL, rng)
    return (*grid_world(rng, cell["design"], cell["seeds"], cell["noise"]), FAR, rng)


def without_law_error(options):
    """Switch law error off where the library has it."""
    known = sl.Fitter.__dataclass_fields__
    return {"law_error": False, **options} if "law_error" in known else options


def one_world(cell, number, **options):
    """Return, for each kind and level, whether the truth was held and the width."""
    table, noise, where, rng = make_world(cell, number)
    fit = sl.fit(table, "chinchilla", seed=number, **without_law_error(options))
    true = float(TRUTH(**where))
    fresh = true * np.exp(noise * rng.standard_normal())
    out = {}
    for kind, value in (("mean", true), ("run", fresh)):
        for level in LEVELS:
            band = fit.predict(**where, level=level, kind=kind)
            low, high = float(band["loss_low"].iloc[0]), float(band["loss_high"].iloc[0])
            out[kind, level] = (low <= value <= high, np.log(high / low), value < low)
    return out


def simulate(cell, worlds, workers=1, **options):
    """Return coverage, share of misses below, and median width for each kind and level."""
    numbers = range(worlds)
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            jobs = [pool.submit(one_world, cell, i, **options) for i in numbers]
            found = [j.result() for j in jobs]
    else:
        found = [one_world(cell, i, **options) for i in numbers]
    rows = []
    for kind, level in found[0]:
        held, width, below = np.array([f[kind, level] for f in found]).T
        rows.append(
            {
                **cell,
                "kind": kind,
                "level": level,
                "worlds": worlds,
                "coverage": float(held.mean()),
                "below": float(below.mean()),
                "width": float(np.median(width)),
            }
        )
    return rows


def cells(noises=(0.003,)):
    """Every cell of the table."""
    out = [{"design": d, "seeds": s, "noise": v} for v in noises for d in DESIGNS for s in (1, 3)]
    return [*out, {"design": "checkpoints", "seeds": 1, "noise": RUN_NOISE}]


def markdown(rows):
    """Return the table as Markdown: one row a cell, columns by kind and level."""
    frame = pd.DataFrame(rows)
    head = "| configurations | seeds | noise | worlds | " + " | ".join(
        f"{k} {100 * v:g} %" for k in ("mean", "run") for v in LEVELS
    )
    lines = [head + " | width of mean 95 % | of run 95 % |", "|---|---:|---:|---:|" + "---:|" * 6]
    for key, part in frame.groupby(["design", "seeds", "noise"], sort=False):
        at = part.set_index(["kind", "level"])
        shown = [f"{at.coverage[k, v]:.3f}" for k in ("mean", "run") for v in LEVELS]
        shown += [f"{at.width[k, 0.95]:.4f}" for k in ("mean", "run")]
        first = [str(key[0]), str(key[1]), f"{100 * key[2]:g} %", str(part.worlds.iloc[0])]
        lines.append("| " + " | ".join(first + shown) + " |")
    return "\n".join(lines)


def main():
    """Run the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--noises", type=float, nargs="+", default=[0.003])
    parser.add_argument("--designs", nargs="+", default=None)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    rows, start = [], time.time()
    for cell in cells(given.noises):
        if given.designs and cell["design"] not in given.designs:
            continue
        rows += simulate(cell, given.worlds, given.workers, draws=given.draws)
        print(f"{cell} {time.time() - start:.0f} s", flush=True)
        if given.json:
            given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(markdown(rows))
    if given.output:
        given.output.write_text(markdown(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
