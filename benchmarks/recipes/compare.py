"""Who wins at 10 and 30 times the compute, and by how much: `compare` against today's gap.

For every pair of open recipes (see pairs.py): both are fitted to their runs below a cut, and the
matched runs at about 10 or 30 times the cut are held out. Scored per held-out comparison: whether
the winner was named, and the error of the logarithm of the losses' ratio. Means over comparisons,
then over cuts, then over pairs, then over families, each with equal weight.

    python benchmarks/recipes/compare.py [family ...] [--every 3] [--json results.json]

"stays" (today's gap stays) is the mean log-ratio of the matched runs at the largest matched
compute below the cut. The other columns are the ideas that `compare` weights: its own version of
today's gap, which uses all runs near today; coefficients shared; shrunk; and the fits apart.
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
METHODS = ("compare", "stays", "today", "shared", "random", "apart")


def score_pair(pair: Pair) -> list[dict]:
    """Return one row a distance and cut: the held-out gaps, and what every method foresaw."""
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
                rows.append(_gaps(pair, made[cut], cut, held) | {"times": times})
    return rows


def _compare(pair: Pair, cut: float) -> sl.Comparison | None:
    """Compare what was known at a cut; None where the runs cannot be fitted."""
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


def _gaps(pair: Pair, comparison: sl.Comparison, cut: float, held: pd.DataFrame) -> dict:
    gap = comparison.gap
    points = [_inputs(pair, pair.first, held["first"]), _inputs(pair, pair.second, held["second"])]
    past = pair.matched[pair.matched.axis <= cut * 1.0000001]
    last = past[past.axis >= past.axis.max() * (1 - 1e-9)]
    ideas = {n: idea.mean(points) for n, idea in gap.ideas.items()}
    mean, drawn = np.log(gap.mean(points)), np.log(gap.draws(points, runs=True))
    ends = np.quantile(drawn[0] - drawn[1], [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
    return {
        "family": pair.family,
        "pair": pair.name,
        "cut": cut,
        "actual": _log_ratio(pair, held).tolist(),
        "compare": (mean[0] - mean[1]).tolist(),
        "stays": [float(_log_ratio(pair, last).mean())] * len(held),
        **{n: (d[0] - d[1]).tolist() for n, d in ideas.items()},
        "low": ends[0].tolist(),
        "high": ends[1].tolist(),
        "distance": np.log(gap.scale.of(points[0]) / gap.today).tolist(),
        "weights": dict(comparison.weights),
        "backtest": comparison.backtest.to_dict("records"),
    }


def _log_ratio(pair: Pair, matched: pd.DataFrame) -> np.ndarray:
    first, second = pair.first.loss[matched["first"]], pair.second.loss[matched["second"]]
    return np.log(first.to_numpy() / second.to_numpy())


def _inputs(pair: Pair, table: pd.DataFrame, labels: pd.Series) -> list[np.ndarray]:
    return [table.loc[labels, n].to_numpy(dtype=float) for n in pair.inputs]


def scores(rows: list[dict]) -> pd.DataFrame:
    """One row a distance, family, pair, cut and method."""
    out = []
    for row in rows:
        actual = np.array(row["actual"])
        inside = (np.array(row["low"]) <= actual) & (actual <= np.array(row["high"]))
        place = {n: row[n] for n in ("times", "family", "pair", "cut")}
        for method in METHODS:
            gap = np.array(row.get(method, row["compare"]))
            out.append(
                {
                    **place,
                    "method": method,
                    "winner": float(np.mean(np.sign(gap) == np.sign(actual))),
                    "error": float(np.mean(np.abs(gap - actual))),
                    "covered": float(inside.mean()) if method == "compare" else np.nan,
                }
            )
    return pd.DataFrame(out)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row a distance and family, and their means."""
    values = ["winner", "error", "covered"]
    by_pair = table.groupby(["times", "family", "pair", "method"])[values].mean()
    by_family = by_pair.groupby(["times", "family", "method"]).mean()
    overall = by_family.groupby(["times", "method"]).mean().assign(family="all")
    both = pd.concat([by_family.reset_index(), overall.reset_index()], ignore_index=True)
    wide = both.pivot_table(index=["times", "family"], columns="method", values=values)
    out = pd.DataFrame(
        {f"winner {m}": wide["winner"][m] for m in METHODS}
        | {f"error {m} %": 100 * wide["error"][m] for m in METHODS}
        | {f"covered {LEVEL:.0%}": wide["covered"]["compare"]}
    )
    pairs = table.groupby(["times", "family"]).pair.nunique()
    out.insert(0, "pairs", pairs.reindex(out.index))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", default=SHOWN, help=f"of {(*SHOWN, *OTHERS)}")
    parser.add_argument("--every", type=int, default=1, help="use every n-th pair of a family")
    parser.add_argument("--json", type=Path, help="also write all gaps here")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    rows: list[dict] = []
    for family in given.families:
        for pair in list(load_pairs((family,)))[:: given.every]:
            rows += score_pair(pair)
        print(f"{family}: {len(rows)} rows", file=sys.stderr, flush=True)
        if given.json:
            given.json.write_text(json.dumps(rows), encoding="utf-8")
    table = summary(scores(rows))
    print(table.T.to_string(float_format="{:.3g}".format, na_rep="-"))


if __name__ == "__main__":
    main()
