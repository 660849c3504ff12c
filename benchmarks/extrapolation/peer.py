"""What `simple-scaling-laws` predicts on the (params, tokens) splits, under its own interpreter.

    PYTHON benchmarks/extrapolation/peer.py OUTPUT [--draws 400]

``PYTHON`` belongs to an environment with ``simple-scaling-laws`` (see ``benchmarks/README.md``).
Its default law and options; a split that it refuses is listed with its message.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import polars
from simple_scaling_laws import fit
from splits import Split, load_splits

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TARGET = "test_loss__loss"


def predicted(split: Split, draws: int) -> dict[str, list[float]]:
    """Point prediction and quantiles of one new run for every held-out row."""
    train, test = split.train, split.test
    table = polars.DataFrame(
        {
            "training_run_id": [f"run{i}" for i in range(len(train))],
            "model_size__params": train.params.to_numpy(dtype=float),
            "dataset_size__tokens": train.tokens.to_numpy(dtype=float),
            TARGET: train.loss.to_numpy(dtype=float),
        }
    )
    points = polars.DataFrame(
        {
            "point_id": np.arange(len(test)),
            "model_size__params": test.params.to_numpy(dtype=float),
            "dataset_size__tokens": test.tokens.to_numpy(dtype=float),
        }
    )
    model = fit(table, n_draws=draws)
    found = model.predict(points, kind="new-run", quantiles=QUANTILES).sort("point_id")
    names = [n for n in found.columns if n.startswith(TARGET)]
    columns = np.sort(np.stack([found[n].to_numpy() for n in names], axis=1), axis=1)
    return {f"{100 * q:g}": columns[:, i].tolist() for i, q in enumerate(QUANTILES)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--draws", type=int, default=400)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    out: dict[str, dict] = {}
    for split in load_splits():
        if set(split.inputs) != {"params", "tokens"}:
            continue
        try:
            out[split.name] = predicted(split, options.draws)
        except Exception as error:  # the tool's own refusals are part of the result
            out[split.name] = {"failed": str(error)}
    options.output.write_text(json.dumps(out))


if __name__ == "__main__":
    main()
