"""Make the bundled data set ``digits``: error of small networks against samples and width.

One hidden layer on the 8x8 handwritten digits of scikit-learn; nested stratified training subsets,
scored on samples kept apart.

Run ``python benchmarks/datasets/make_digits.py --log digits.jsonl``; stop and start it at will.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

import scaling_laws as sl

SAMPLES = (50, 90, 160, 280, 480, 820, 1400)
WIDTHS = (2, 4, 8, 16, 32, 64)
SEEDS = 10
HELD_OUT = 397
PIXEL_MAXIMUM = 16.0

COLUMNS = {
    "samples": "training samples, nested and stratified [count]",
    "width": "hidden units [count]",
    "params": "weights and biases [count]",
    "error": "share of held-out samples misclassified [fraction]",
    "accuracy": "1 - error [fraction]",
    "loss": "held-out cross entropy [nats per sample]",
    "iterations": "passes over the training samples until converged [count]",
    "converged": "1 if the optimiser met its tolerance, 0 if it ran out of iterations",
    "seed": "of the held-out split, the subsets and the initial weights",
    "seconds": "wall time of training and scoring [s]",
    "cpu_seconds": "processor time of training and scoring [s]",
}
DESCRIPTION = (
    "Multilayer perceptrons with one hidden layer (tanh, L-BFGS, L2 penalty 1e-2) on the 8x8 "
    f"handwritten digits of scikit-learn, scored on {HELD_OUT} samples that each seed keeps apart."
)


def train(samples: int, width: int, seed: int) -> dict[str, float]:
    """Train one network and score it on the samples its seed keeps apart."""
    pixels, digits = load_digits(return_X_y=True)
    pixels = pixels / PIXEL_MAXIMUM - 0.5
    x, x_held, y, y_held = train_test_split(
        pixels, digits, test_size=HELD_OUT, stratify=digits, random_state=seed
    )
    chosen = sl.subsets(len(x), SAMPLES, stratify=y, seed=seed)[samples]
    model = MLPClassifier(
        (width,), activation="tanh", solver="lbfgs", alpha=1e-2, max_iter=1500, random_state=seed
    )
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # told by the column converged
        model.fit(x[chosen], y[chosen])
    likelihood = model.predict_proba(x_held)
    accuracy = float(np.mean(likelihood.argmax(axis=1) == y_held))
    likely = np.clip(likelihood[np.arange(len(y_held)), y_held], 1e-12, None)
    return {
        "params": sum(part.size for part in [*model.coefs_, *model.intercepts_]),
        "error": 1.0 - accuracy,
        "accuracy": accuracy,
        "loss": float(-np.log(likely).mean()),
        "iterations": model.n_iter_,
        "converged": int(model.n_iter_ < model.max_iter),
    }


def write(runs: Any, directory: Path) -> None:
    """Write the finished runs as csv and what is known of them as json."""
    runs = runs[runs.status == "ok"]
    runs = runs.astype(dict.fromkeys(["params", "iterations", "converged"], "int64"))
    runs = runs.round({"error": 6, "accuracy": 6, "loss": 6, "seconds": 4, "cpu_seconds": 4})
    provenance = {
        "name": "digits",
        "description": DESCRIPTION,
        "columns": COLUMNS,
        "command": "python benchmarks/datasets/make_digits.py",
        "date": max(runs.started)[:10],
        "versions": dict(entry.split(" ", 1) for entry in runs.versions.iloc[-1].split(", ")),
        "runs": len(runs),
        "total_seconds": round(float(runs.seconds.sum()), 1),
        "threads_per_run": 1,
    }
    runs[list(COLUMNS)].to_csv(directory / "digits.csv", index=False)
    text = json.dumps(provenance, indent=2) + "\n"
    (directory / "digits.json").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log", type=Path, default=Path("digits.jsonl"))
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(__file__).parents[2] / "scaling_laws" / "data" / "datasets",
    )
    options = parser.parse_args()
    configurations = sl.grid(samples=SAMPLES, width=WIDTHS, seed=range(SEEDS))
    write(sl.sweep(train, configurations, log=options.log), options.directory)


if __name__ == "__main__":
    main()
