"""How often the interval of the compute-optimal size holds the truth, where the law is right.

A world draws an isoFLOP study of a known law with run noise, fits the law and plans for a hundred
times the largest budget. The truth is the law's closed form.

    python benchmarks/planning/optimum_coverage.py --worlds 1000 --output coverage.json
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor

import numpy as np

import scaling_laws as sl
from scaling_laws.planning.isoflop.grid import isoflop_grid

TRUTH = sl.published.BESIROGLU_2024
BUDGETS = np.geomspace(6e18, 6e20, 6)
FAR = 100 * BUDGETS[-1]
NOISE = 0.004
LEVEL = 0.9


def study(rng, law=TRUTH, noise=NOISE, sizes=9, span=8.0):
    """Runs of one isoFLOP study, its centres off by a little."""
    runs = isoflop_grid(BUDGETS, sizes_per_budget=sizes, span=span, law=law)
    mean = law(params=runs.params, tokens=runs.tokens)
    return runs.assign(loss=mean * np.exp(noise * rng.standard_normal(len(runs))))


def world(task):
    """Plan of one world: whether the interval holds the truth, its width and its miss."""
    seed, law_error, draws = task
    rng = np.random.default_rng(seed)
    runs = study(rng)
    table = runs[["params", "tokens", "loss"]]
    fit = sl.fit(table, "chinchilla", draws=draws, law_error=law_error, seed=seed)
    truth = sl.Planner(TRUTH).for_budget(flops=FAR).best["params"]
    plan = sl.Planner(fit, level=LEVEL).for_budget(flops=FAR)
    low, best, high = (end["params"] for end in (plan.low, plan.best, plan.high))
    return low <= truth, truth <= high, float(np.log(high / low)), float(np.log(best / truth))


def main():
    """Run the worlds and write what was counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-law-error", action="store_true")
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    tasks = [(s, not options.no_law_error, options.draws) for s in range(options.worlds)]
    with ProcessPoolExecutor(options.workers) as pool:
        found = list(pool.map(world, tasks, chunksize=4))
    low, high, width, miss = (np.array(column) for column in zip(*found, strict=True))
    result = {
        "worlds": len(found),
        "level": LEVEL,
        "law_error": not options.no_law_error,
        "cover": float(np.mean(low & high)),
        "below": float(np.mean(~low)),
        "above": float(np.mean(~high)),
        "median width of ln N": float(np.median(width)),
        "standard deviation of ln N": float(np.std(miss)),
    }
    with open(options.output, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
