"""How `select` extrapolates the learning curves of LCDB.

    python benchmarks/extrapolation/lcdb.py RESULTS [--protocol floor ...] [--draws 300]

Constants used for a curve are learned without its fold of data sets. Errors are mean
|log(predicted / actual)| over the held-out anchors of a curve.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from lcdb_curves import PROTOCOLS, Curve, fold_of, load_curves  # noqa: E402

import scaling_laws as sl  # noqa: E402
from scaling_laws.inference.calibration import Calibration  # noqa: E402

CONSTANTS = ROOT / "benchmarks" / "calibration" / "leave_one_out.json"


def score_curve(curve: Curve, calibration: Calibration, draws: int) -> dict:
    """Error, error of the last value, coverage of one curve."""
    selection = sl.select(curve.train, target="error", draws=draws, calibration=calibration)
    ahead, y = selection.predict(curve.test), curve.test.error.to_numpy()
    last = curve.train.error.iloc[-1]
    inside = (ahead.error_low <= y) & (y <= ahead.error_high)
    return {
        "openml_id": curve.openml_id,
        "learner": curve.learner,
        "train": len(curve.train),
        "error": float(np.abs(np.log(ahead.error / y)).mean()),
        "last": float(np.abs(np.log(last / y)).mean()),
        "cover_90": float(inside.mean()),
        "last_value_wins": any(n.code == "last_value_wins" for n in selection.notes),
    }


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row a protocol."""
    return table.groupby("protocol", sort=False).apply(
        lambda t: pd.Series(
            {
                "curves": len(t),
                "mean error": t.error.mean(),
                "median": t.error.median(),
                "beats the last value": (t.error < t["last"]).mean(),
                "cover 90 %": t.cover_90.mean(),
                "last value, mean": t["last"].mean(),
                "last value wins": t.last_value_wins.mean(),
            }
        ),
        include_groups=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--protocol", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    parser.add_argument("--draws", type=int, default=300)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found = json.loads(CONSTANTS.read_text())
    rows = []
    for protocol in options.protocol:
        for curve in load_curves(protocol):
            constants = Calibration(**found[f"lcdb {fold_of(curve.openml_id)}"])
            rows.append({"protocol": protocol, **score_curve(curve, constants, options.draws)})
    table = pd.DataFrame(rows)
    table.to_json(options.results, orient="records", indent=1)
    print(summary(table).round(4).to_string())


if __name__ == "__main__":
    main()
