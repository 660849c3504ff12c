"""`grow` beside a full grid of the same cost, in simulated worlds of known truth.

Each world is a Chinchilla-shaped law with coefficients and noise drawn at random. Whoever plans
without choosing runs trains a full grid: all pairs of the lowest levels that the budget pays,
spread evenly over the sizes. `grow` gets the same budget and a fine grid of sizes to choose from.
Both are fitted alike, and asked for the loss of a run far beyond them.

    python benchmarks/loop/grow.py [--worlds 50] [--levels 6] [--choices 20] [--exact]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

import scaling_laws as sl
from scaling_laws.loop.growing import grow

PARAMS, TOKENS = (1e7, 3e9), (2e8, 6e10)  # what could be trained at all
GOAL = {"params": 3e10, "tokens": 6e11}
DRAWS = 200


def world(seed):
    """A law and a training function with its noise."""
    rng = np.random.default_rng([7, seed])
    coef = {
        "E": rng.uniform(1.4, 2.0),
        "A": float(np.exp(rng.uniform(5.0, 6.8))),
        "alpha": rng.uniform(0.28, 0.40),
        "B": float(np.exp(rng.uniform(5.5, 7.5))),
        "beta": rng.uniform(0.28, 0.40),
    }
    law = sl.get_law("chinchilla").with_coef(coef)
    noise = float(np.exp(rng.uniform(np.log(0.002), np.log(0.008))))

    def train(params, tokens):
        own = np.random.default_rng([seed, int(params), int(tokens)])
        return float(law(params=params, tokens=tokens) * np.exp(noise * own.standard_normal()))

    return law, train


def levels(span, count):
    return np.geomspace(*span, count).round()


def grid_of_cost(budget, count):
    """The widest grid of ``count`` by ``count`` from the lowest sizes up that costs the budget."""
    low, high = 0.0, 1.0
    for _ in range(60):  # the top of both axes moves together
        share = (low + high) / 2
        axes = [levels((a, a * (b / a) ** share), count) for a, b in (PARAMS, TOKENS)]
        cost = 6 * axes[0].sum() * axes[1].sum()
        low, high = (share, high) if cost <= budget else (low, share)
    axes = [levels((a, a * (b / a) ** low), count) for a, b in (PARAMS, TOKENS)]
    return sl.grid(params=axes[0], tokens=axes[1])


def known(source, law):
    """Width of the interval of the mean, its share from coefficients, and how far off it is."""
    told = source.predict(**GOAL, kind="mean")
    low, high = float(told.loss_low[0]), float(told.loss_high[0])
    truth = float(law(**GOAL))
    miss = abs(np.log(float(told.loss[0]) / truth))
    spread = float(source.uncertainty(**GOAL).coefficients[0])
    covered = low <= truth <= high
    return {"width": high - low, "coefficients": spread, "error": miss, "covered": covered}


def one(seed, budget, count, choices, rounds, options):
    law, train = world(seed)
    table = [{**cell, "loss": train(**cell)} for cell in grid_of_cost(budget, count)]
    cells = sl.grid(params=levels(PARAMS, choices), tokens=levels(TOKENS, choices))
    grown = grow(
        train,
        candidates=cells,
        at=GOAL,
        budget=budget,
        laws="chinchilla",
        rounds=rounds,
        draws=DRAWS,
        seed=seed,
        options=options,
    )
    cost = sum(6 * row["params"] * row["tokens"] for row in table)
    return [
        {"world": seed, "method": "grid", "levels": count, "runs": len(table), "cost": cost}
        | known(sl.fit(table, "chinchilla", draws=DRAWS, seed=seed, **options), law),
        {"world": seed, "method": "grow", "levels": count, "cost": grown.spent}
        | {"runs": len(grown.runs)}
        | known(grown.source, law),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--worlds", type=int, default=50)
    parser.add_argument("--levels", type=int, nargs="+", default=[6])
    parser.add_argument("--choices", type=int, default=20, help="sizes of each kind for `grow`")
    parser.add_argument("--budget", type=float, default=1e20)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--goal", type=float, nargs=2, default=[3e10, 6e11])
    parser.add_argument("--exact", action="store_true", help="take the law to be exact")
    asked = parser.parse_args()
    GOAL.update(zip(("params", "tokens"), asked.goal, strict=True))
    options = {"law_error": False} if asked.exact else {}
    begun = time.perf_counter()
    rows = [
        row
        for count in asked.levels
        for seed in range(asked.worlds)
        for row in one(seed, asked.budget, count, asked.choices, asked.rounds, options)
    ]
    table = pd.DataFrame(rows)
    for count, part in table.groupby("levels"):
        by = part.pivot_table(index="world", columns="method", values=["width"])
        ratio = by["width"]["grow"] / by["width"]["grid"]
        print(f"\nbudget {asked.budget:.3g} FLOP, grid of {count} x {count}, {len(ratio)} worlds")
        shown = part.groupby("method").agg(
            runs=("runs", "median"),
            cost=("cost", "median"),
            width=("width", "median"),
            coefficients=("coefficients", "median"),
            error=("error", "median"),
            covered=("covered", "mean"),
        )
        print(shown.to_string(float_format=lambda v: f"{v:.4g}"))
        print(
            f"width of grow over width of grid: median {ratio.median():.2f}, "
            f"quartiles {ratio.quantile(0.25):.2f} to {ratio.quantile(0.75):.2f}; "
            f"half or less in {np.mean(ratio <= 0.5):.0%}, narrower in {np.mean(ratio < 1):.0%}"
        )
    print(f"\n{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
