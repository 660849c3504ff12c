"""Coefficients in common against fits apart, on declared splits of tables that have groups.

    python benchmarks/groups/shared.py [--json results.json]

`scalebench:parallel`: two corpora, parallel streams. `overtraining`: three training sets, all cut
alike, once with the loss of all three on one held-out text (seven texts), once each on its own as
declared. Mean error is that of the logarithm of the loss; `covered` the share of held-out runs
inside their 90 % interval.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "extrapolation"))
from splits import DATA, load_splits, split_of

import scaling_laws as sl

DRAWS = 100
TEXTS = ("c4", "paloma_c4", "openlm", "redpajama", "refinedweb", "ptb", "code100")
BOTH, EACH = ((), ("alpha", "beta")), ((), ("alpha",), ("beta",), ("alpha", "beta"))
TABLES = {
    ("scalebench_parallel", None): ("parallel_streams", ((), ("alpha",), ("k",), ("alpha", "k"))),
    ("overtraining", None): ("chinchilla", EACH),
    **{("overtraining", f"loss_{text}"): ("chinchilla", BOTH) for text in TEXTS},
}


def tables(family: str, target: str | None) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Training and held-out runs of every kind of split, with a column ``group``."""
    found: dict[str, list] = {}
    for split in splits(family, target):
        label = {} if split.group else {"group": split.source.rpartition(":")[2]}
        found.setdefault(split.kind, []).append(
            (split.train.assign(**label), split.test.assign(**label), split.inputs)
        )
    return {
        kind: (pd.concat([p[0] for p in parts]).reset_index(drop=True),
               pd.concat([p[1] for p in parts]).reset_index(drop=True), parts[0][2])
        for kind, parts in found.items()
    }  # fmt: skip


def splits(family: str, target: str | None):
    """Declared splits of a family, of the declared target or of another column."""
    if target is None:
        return (s for s in load_splits() if s.family == family)
    declared = pd.read_csv(DATA / "splits.csv", keep_default_na=False)
    rows = declared[declared.family == family].assign(target=target)
    return (split_of(row, pd.read_csv(DATA / row.file)) for row in rows.itertuples())


def score(law: str, shared: tuple[str, ...], train: pd.DataFrame, test: pd.DataFrame, inputs):
    """Held-out error and coverage, and the coefficients, of one way to share."""
    fit = sl.fit(train, law, inputs=inputs, group="group", shared=shared, draws=DRAWS)
    ahead = fit.predict(test)
    inside = test.loss.to_numpy() >= ahead.loss_low.to_numpy()
    inside &= test.loss.to_numpy() <= ahead.loss_high.to_numpy()
    error = np.log(ahead.loss.to_numpy() / test.loss.to_numpy())
    width = np.log(ahead.loss_high / ahead.loss_low)
    return {
        "held_out": len(test),
        "mean_abs_error": round(float(np.abs(error).mean()), 5),
        "covered": round(float(inside.mean()), 3),
        "median_width": round(float(width.median()), 4),
        "notes": sorted({n.code for n in fit.notes if n.code in ("group_shift", "groups_apart")}),
        "coef": {str(g): {n: float(f"{v:.4g}") for n, v in row.items()}
                 for g, row in fit.coef.to_dict("index").items()},
    }  # fmt: skip


def main() -> None:
    """Score every table, split and way to share."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path, default=Path(__file__).with_name("results.json"))
    path = parser.parse_args().json
    warnings.simplefilter("ignore")
    found: dict[str, dict] = {}
    for (family, target), (law, ways) in TABLES.items():
        table = family if target is None else f"{family} {target}"
        cut = tables(family, target)
        for kind, (train, test, inputs) in cut.items():
            for shared in ways:
                name = f"{table}, {kind}, {'+'.join(shared) or 'nothing'} shared"
                found[name] = score(law, shared, train, test, inputs)
                print(name, {k: v for k, v in found[name].items() if k != "coef"}, flush=True)
        for shared in ways:
            end = f"{'+'.join(shared) or 'nothing'} shared"
            rows = [found[f"{table}, {kind}, {end}"] for kind in cut]
            mean = {k: round(float(np.mean([r[k] for r in rows])), 5)
                    for k in ("mean_abs_error", "covered", "median_width")}  # fmt: skip
            found[f"{table}, all splits, {end}"] = mean
            print(table, end, mean, flush=True)
    path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
