"""How `select` predicts the held-out rows of every declared (params, tokens) split.

    python benchmarks/extrapolation/score.py RESULTS [--peer peer.json] [--draws 500] [--docs FILE]

Constants used for a family of data are learned without it (``calibration/leave_one_out.json``).
Beside it: the unweighted additive and coupled laws, the interval rule ``s0^2 + (k h)^2`` around the
same prediction, and, where ``peer.py`` has run, `simple-scaling-laws`. All errors are mean
|log(predicted / actual)|; means over families are geometric, families weigh equally.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from splits import Split, load_splits  # noqa: E402

import scaling_laws as sl  # noqa: E402
from scaling_laws.inference.calibration import Calibration  # noqa: E402

CONSTANTS = ROOT / "benchmarks" / "calibration" / "leave_one_out.json"
KINDS = {
    "C": "top of compute",
    "L": "a decade or more below",
    "N": "params alone",
    "D": "tokens alone",
}
MISS = 20.0  # price of a miss, in log loss, of a 90 % interval
NORMAL = 1.645
MARK = "<!-- written by benchmarks/extrapolation/score.py -->"


def interval_score(actual: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Mean width plus the price of misses, in log units."""
    low, high, y = np.log(np.maximum(low, 1e-300)), np.log(np.maximum(high, 1e-300)), np.log(actual)
    return float(np.mean(high - low + MISS * (np.maximum(low - y, 0) + np.maximum(y - high, 0))))


def inside(actual: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    return float(np.mean((actual >= low) & (actual <= high)))


def score_split(split: Split, calibration: Calibration, draws: int) -> dict:
    """Errors, coverage and interval scores on one split."""
    test, y = split.test, split.test.loss.to_numpy(dtype=float)
    selection = sl.select(split.train, inputs=split.inputs, draws=draws, calibration=calibration)
    wide, middle = selection.predict(test), selection.predict(test, level=0.5)
    plain = {}
    for law in ("chinchilla", "coupled"):
        point = sl.fit(split.train, law, draws=0).predict(test).loss
        plain[law] = float(np.abs(np.log(point / y)).mean())
    error = np.log(wide.loss.to_numpy() / y)
    return {
        "split": split.name,
        "source": split.source,
        "family": split.family,
        "kind": "L" if split.kind.startswith("L") else split.kind[0],
        "decades": float(np.log10((test.axis / split.train.axis.max()).max())),
        "rows": len(test),
        "error": float(np.abs(error).mean()),
        "bias": float(error.mean()),
        **plain,
        "cover_90": inside(y, wide.loss_low, wide.loss_high),
        "cover_50": inside(y, middle.loss_low, middle.loss_high),
        "score": interval_score(y, wide.loss_low, wide.loss_high),
        "noise": selection.noise,
        "along": selection.along,
        "residuals": error.tolist(),
        "distance": np.maximum(np.log(test.axis / split.train.axis.max()), 0).tolist(),
    }


def with_rule(table: pd.DataFrame) -> pd.DataFrame:
    """Add the score of ``s0^2 + (k h)^2``: k of each kind is learned on the other families."""
    scores = []
    for row in table.itertuples():
        others = table[(table.family != row.family) & (table.kind == row.kind)]
        k = minimize_scalar(
            lambda k, o=others: _rule_loss(o, k), bounds=(1e-4, 0.1), method="bounded"
        ).x
        scores.append(_rule_score(row, k))
    return table.assign(rule_score=scores)


def _rule_score(row, k: float) -> float:
    half = NORMAL * np.sqrt(row.noise**2 + (k * np.asarray(row.distance)) ** 2)
    return float(np.mean(2 * half + MISS * np.maximum(np.abs(row.residuals) - half, 0)))


def _rule_loss(table: pd.DataFrame, k: float) -> float:
    scores = np.log([_rule_score(row, k) for row in table.itertuples()])
    return float(pd.Series(scores).groupby(table.family.to_numpy()).mean().mean())


def with_peer(
    table: pd.DataFrame, found: dict[str, dict], splits: dict[str, Split]
) -> pd.DataFrame:
    """Add the other tool's error, coverage and interval score."""
    rows = []
    for name in table.split:
        peer, y = found.get(name, {}), splits[name].test.loss.to_numpy(dtype=float)
        if "50" not in peer:
            rows.append((np.nan, np.nan, np.nan))
            continue
        low, middle, high = (np.array(peer[q]) for q in ("5", "50", "95"))
        with np.errstate(invalid="ignore", divide="ignore"):
            error = np.abs(np.log(np.where(middle > 0, middle, np.nan) / y)).mean()
        rows.append((error, inside(y, low, high), interval_score(y, low, high)))
    columns = pd.DataFrame(
        rows, columns=["peer_error", "peer_cover", "peer_score"], index=table.index
    )
    return pd.concat([table, columns], axis=1)


def by_family(table: pd.DataFrame, value: pd.Series, mean: Callable = np.mean) -> pd.Series:
    """Mean of each kind over families of equal weight."""
    inner = value.groupby([table.kind, table.family]).mean()
    return inner.groupby("kind").agg(mean)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row a kind: error ratio, coverage, interval scores."""
    best = table[["chinchilla", "coupled"]].min(axis=1)
    out = pd.DataFrame(
        {
            "splits": table.groupby("kind").size(),
            "error": np.exp(by_family(table, np.log(table.error))),
            "error / better of two": np.exp(by_family(table, np.log(table.error / best))),
            "cover 90 %": by_family(table, table.cover_90),
            "cover 50 %": by_family(table, table.cover_50),
            "score / rule": np.exp(by_family(table, np.log(table.score / table.rule_score))),
        }
    )
    if "peer_error" in table:
        told = table[table.peer_error.notna()]
        out["error below peer"] = (told.error < told.peer_error).groupby(told.kind).mean()
        out["score below peer"] = (told.score < told.peer_score).groupby(told.kind).mean()
        out["peer cover 90 %"] = by_family(told, told.peer_cover)
    return out.loc[[k for k in "CLND" if k in out.index]]


def write_docs(table: pd.DataFrame, page: Path) -> None:
    """Replace what follows the marker of a documentation page by the tables."""
    head = page.read_text(encoding="utf-8").split(MARK)[0]
    overview = summary(table).rename(index=KINDS)
    rows = ["| | " + " | ".join(overview.columns) + " |", "|---|" + "---:|" * overview.shape[1]]
    for name, row in overview.iterrows():
        cells = [f"{v:.0f}" if c == "splits" else f"{v:.3g}" for c, v in row.items()]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    peer = "peer_error" in table
    more = " peer error | peer cover 90 % |" if peer else ""
    rows += [
        "",
        "One row a split. Errors are mean |log(predicted / actual)| in per cent.",
        "",
        "| split | rows | decades | error | additive | coupled | bias | cover 90 % | cover 50 % |"
        + more,
        "|---|" + "---:|" * (8 + 2 * peer),
    ]
    for r in table.itertuples():
        errors = [100 * v for v in (r.error, r.chinchilla, r.coupled, r.bias)]
        cells = [f"{r.rows}", f"{r.decades:.2f}", *(f"{v:.2f}" for v in errors)]
        cells += [f"{r.cover_90:.2f}", f"{r.cover_50:.2f}"]
        if peer:
            cells += [f"{100 * r.peer_error:.2f}", f"{r.peer_cover:.2f}"]
        rows.append(f"| `{r.split.replace('|', ' ')}` | " + " | ".join(cells) + " |")
    page.write_text(f"{head}{MARK}\n\n" + "\n".join(rows) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--docs", type=Path, help="page to write the tables into")
    parser.add_argument("--draws", type=int, default=500)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    without = {f: Calibration(**c) for f, c in json.loads(CONSTANTS.read_text()).items()}
    pairs = {s.name: s for s in load_splits() if set(s.inputs) == {"params", "tokens"}}
    rows = [score_split(s, without[s.family], options.draws) for s in pairs.values()]
    table = with_rule(pd.DataFrame(rows))
    if options.peer:
        table = with_peer(table, json.loads(options.peer.read_text()), pairs)
    table.drop(columns=["residuals", "distance"]).to_json(
        options.results, orient="records", indent=1
    )
    if options.docs:
        write_docs(table, options.docs)
    print(summary(table).round(3).to_string())
    told = table.groupby("source").cover_90.agg(["size", "mean"])
    low = told[(told["size"] >= 5) & (told["mean"] < 0.7)]
    print(
        f"sources under 0.70: {len(low)} of {int((told['size'] >= 5).sum())}", low["mean"].to_dict()
    )
    print(
        "score / rule, all:",
        round(
            float(
                np.exp(
                    by_family(
                        table.assign(kind="all"), np.log(table.score / table.rule_score)
                    ).iloc[0]
                )
            ),
            3,
        ),
    )


if __name__ == "__main__":
    main()
