"""Who wins at 10 and 30 times the compute, and by how much: `compare` against today's gap.

For every pair of open recipes (see pairs.py): both are fitted to their runs below a cut, and the
matched runs at about 10 or 30 times the cut are held out. Scored per held-out comparison: whether
the winner was named, and the error of the logarithm of the losses' ratio. Means over comparisons,
then over cuts, then over pairs, then over families, each with equal weight.

    python benchmarks/recipes/compare.py [family ...] [--every 3] [--json results.json]

"Today's gap stays" is the mean log-ratio of the matched runs at the largest matched compute below
the cut. The columns "fits" are the two fits without any pooling.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent))
from pairs import OTHERS, SHOWN, Pair, cuts, load_pairs

import scaling_laws as sl

DISTANCES = (10, 30)
MOST_CUTS = 3
LEVEL = 0.9


def score_pair(pair: Pair) -> list[dict]:
    """Return one row a distance, cut and method."""
    rows, made = [], {}
    for times in DISTANCES:
        usable = list(cuts(pair, times))
        if len(usable) > MOST_CUTS:
            keep = np.round(np.linspace(0, len(usable) - 1, MOST_CUTS)).astype(int)
            usable = [usable[i] for i in keep]
        for cut, held in usable:
            if cut not in made:
                made[cut] = _compare(pair, cut)
            if made[cut] is not None:
                rows += _scores(pair, made[cut], cut, held, times)
    return rows


def _compare(pair: Pair, cut: float) -> sl.Comparison | None:
    known = {
        name: table[table.axis <= cut * 1.0000001]
        for name, table in (("first", pair.first), ("second", pair.second))
    }
    cluster = "run" if "run" in pair.first else None
    try:
        return sl.compare(
            known, law=pair.law, inputs=pair.inputs, cluster=cluster, draws=200, level=LEVEL
        )
    except sl.ScalingLawError as error:
        print(f"  {pair.name} at {cut:.3g}: {str(error)[:110]}", file=sys.stderr)
        return None


def _scores(
    pair: Pair, comparison: sl.Comparison, cut: float, held: pd.DataFrame, times: float
) -> list[dict]:
    actual = np.log(_loss(pair.first, held["first"]) / _loss(pair.second, held["second"]))
    points = [_inputs(pair, pair.first, held["first"]), _inputs(pair, pair.second, held["second"])]
    mean, drawn = (np.log(f(points)) for f in (comparison.gap.mean, comparison.gap.draws))
    fits = [c.mean(x) for c, x in zip(comparison.gap.curves, points, strict=True)]
    past = pair.matched[pair.matched.axis <= cut * 1.0000001]
    last = past[past.axis >= past.axis.max() * (1 - 1e-9)]
    today = np.mean(np.log(_loss(pair.first, last["first"]) / _loss(pair.second, last["second"])))
    low, high = np.quantile(drawn[0] - drawn[1], [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
    methods = {
        "compare": mean[0] - mean[1],
        "today": np.full(len(held), today),
        "fits": np.log(fits[0] / fits[1]),
    }
    return [
        {
            "family": pair.family,
            "pair": pair.name,
            "times": times,
            "cut": cut,
            "method": method,
            "winner": float(np.mean(np.sign(gap) == np.sign(actual))),
            "error": float(np.mean(np.abs(gap - actual))),
            "covered": float(np.mean((low <= actual) & (actual <= high)))
            if method == "compare"
            else np.nan,
            **{f"w_{n}": w for n, w in comparison.weights.items()},
        }
        for method, gap in methods.items()
    ]


def _loss(table: pd.DataFrame, labels: pd.Series) -> np.ndarray:
    return table.loc[labels, "loss"].to_numpy()


def _inputs(pair: Pair, table: pd.DataFrame, labels: pd.Series) -> list[np.ndarray]:
    return [table.loc[labels, n].to_numpy(dtype=float) for n in pair.inputs]


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a family and distance, and their means."""
    values = ["winner", "error", "covered"]
    by_pair = rows.groupby(["times", "family", "pair", "method"])[values].mean()
    by_family = by_pair.groupby(["times", "family", "method"]).mean()
    overall = by_family.groupby(["times", "method"]).mean()
    overall["family"] = "all"
    table = pd.concat(
        [by_family.reset_index(), overall.reset_index()], ignore_index=True
    ).pivot_table(index=["times", "family"], columns="method", values=values)
    out = pd.DataFrame(
        {f"winner {m}": table["winner"][m] for m in ("compare", "today", "fits")}
        | {f"error {m} %": 100 * table["error"][m] for m in ("compare", "today", "fits")}
        | {f"covered {LEVEL:.0%}": table["covered"]["compare"]}
    )
    pairs = rows.groupby(["times", "family"]).pair.nunique()
    out.insert(0, "pairs", pairs.reindex(out.index))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", default=SHOWN, help=f"of {(*SHOWN, *OTHERS)}")
    parser.add_argument("--every", type=int, default=1, help="use every n-th pair of a family")
    parser.add_argument("--json", type=Path, help="also write all rows here")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    rows: list[dict] = []
    for family in given.families:
        for pair in list(load_pairs((family,)))[:: given.every]:
            rows += score_pair(pair)
        print(f"{family}: {len(rows)} rows", file=sys.stderr, flush=True)
        if given.json:
            given.json.write_text(json.dumps(rows), encoding="utf-8")
    print(summary(pd.DataFrame(rows)).to_string(float_format="{:.3g}".format, na_rep="-"))


if __name__ == "__main__":
    main()
