"""How `select` predicts the declared splits over inputs other than (params, tokens).

    python benchmarks/extrapolation/other_inputs.py RESULTS [--draws 300] [--only TEXT]

Beside it: the best registered law in hindsight, unweighted (`fit` with ``focus=0``), per group
where there are groups. Errors are mean |log(predicted / actual)|, mean |predicted - actual| where
the target is not positive. Constants used for a family are learned without it.
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

from splits import Split, load_splits  # noqa: E402

import scaling_laws as sl  # noqa: E402
from scaling_laws.fitting.candidates import default_candidates  # noqa: E402
from scaling_laws.inference.backtest import signed_error  # noqa: E402
from scaling_laws.inference.calibration import Calibration, bundled_calibration  # noqa: E402

CONSTANTS = ROOT / "benchmarks" / "calibration" / "leave_one_out.json"
CURVES = ("constant", "power", "power_with_floor", "shifted_power", "stretched_exponential")
MORE_CURVES = ("two_plateau", "logarithmic", "exponential_with_floor", "log_quadratic", "rectified")


def fixed_laws(split: Split) -> list[str]:
    """Registered laws over these inputs."""
    if len(split.inputs) == 1:
        return [*CURVES[1:], *MORE_CURVES]
    return [f.name for f in default_candidates(split.inputs, "loss")] + ["product"]


def options_of(split: Split) -> dict:
    return {} if (split.train.loss > 0).all() else {"residual": "linear"}


def table_of(split: Split, part: str) -> pd.DataFrame:
    return getattr(split, part).drop(columns="axis")


def errors_of_law(split: Split, law: str) -> np.ndarray:
    """Held-out errors of one law fitted alone, group by group."""
    found = []
    family = sl.get_law(law, None if sl.get_law(law).build is None else split.inputs)
    if len(split.inputs) == 1:
        family = sl.get_law(law, split.inputs)
    for label in sorted(split.test.group.unique()) if split.group else [None]:
        train, test = (
            t if label is None else t[t.group == label] for t in (split.train, split.test)
        )
        fit = sl.fit(train, family, target="loss", draws=0, **options_of(split))
        found.append(signed_error(fit.predict(test).loss.to_numpy(), test.loss.to_numpy()))
    return np.abs(np.concatenate(found))


def score_split(split: Split, calibration: Calibration, draws: int) -> dict:
    """Our error and coverage, and those of every fixed law."""
    held = split.test
    y = held.loss.to_numpy()
    selection = sl.select(
        table_of(split, "train"), target="loss", inputs=split.inputs, draws=draws,
        calibration=calibration, group="group" if split.group else None, **options_of(split),
    )  # fmt: skip
    ahead = selection.predict(table_of(split, "test"))
    ours = float(np.abs(signed_error(ahead.loss.to_numpy(), y)).mean())
    laws = {}
    for law in fixed_laws(split):
        try:
            laws[law] = float(errors_of_law(split, law).mean())
        except sl.ScalingLawError as error:
            print(split.name, law, str(error)[:100])
    best = min(laws, key=lambda n: laws[n])
    members = selection.members if split.group else (selection,)
    weights = pd.DataFrame([m.weights for m in members]).fillna(0).mean()
    return {
        "split": split.name,
        "family": split.family,
        "rows": len(held),
        "error": ours,
        "hindsight": laws[best],
        "law": best,
        "ratio": ours / laws[best],
        "cover_90": float(((ahead.loss_low <= y) & (y <= ahead.loss_high)).mean()),
        "weights": weights.round(2).to_dict(),
        "laws": laws,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    without = {f: Calibration(**c) for f, c in json.loads(CONSTANTS.read_text()).items()}
    everything = bundled_calibration()
    rows = []
    splits = [s for s in load_splits() if set(s.inputs) != {"params", "tokens"}]
    for split in sorted(splits, key=lambda s: len(s.train)):
        if options.only in split.name:
            rows.append(score_split(split, without.get(split.family, everything), options.draws))
            print({k: v for k, v in rows[-1].items() if k != "laws"}, flush=True)
            options.results.write_text(json.dumps(rows, indent=1) + "\n")
    table = pd.DataFrame(rows)
    print(table.drop(columns=["laws", "weights"]).round(4).to_string())
    ratio = np.log(table.ratio).groupby(table.family).mean()
    print("geometric mean over families:", round(float(np.exp(ratio.mean())), 3))


if __name__ == "__main__":
    main()
