"""Every candidate tried on every declared split: the slow half of learning the calibration.

    python benchmarks/calibration/trials.py OUTPUT [--part I --parts K]

Writes a pickle that ``learn.py`` reads. Parts share the work between processes.
"""

from __future__ import annotations

import argparse
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks" / "extrapolation")]

from splits import Split, load_splits  # noqa: E402

from scaling_laws.errors import ScalingLawError  # noqa: E402
from scaling_laws.fitting.selection import default_candidates  # noqa: E402
from scaling_laws.inference.trials import Cuts, Trial, make_cuts, run_trial  # noqa: E402
from scaling_laws.solving.setup import Settings  # noqa: E402

DIRECTIONS = {"N": "params", "D": "tokens"}


@dataclass(frozen=True, eq=False)
class Tried:
    """One split: trials on its training rows, and its held-out rows."""

    name: str
    source: str
    family: str
    kind: str
    cuts: Cuts
    trials: list[Trial]
    x: list[np.ndarray]
    y: np.ndarray
    errors: np.ndarray  # (candidates, held-out rows), on the log scale
    variance: np.ndarray
    distance: np.ndarray


def try_split(split: Split) -> Tried | None:
    """Try the default candidates of a (params, tokens) split along its own direction."""
    settings = Settings()
    families = default_candidates(split.inputs, "loss")
    runs = settings.check(split.train, families[0], "loss")
    along = DIRECTIONS.get(split.kind, "flops")
    cuts = make_cuts(runs, along)
    trials = []
    for family in families:
        for leaning in (False, True):
            try:
                trials.append(run_trial(settings, runs, family, cuts, leaning=leaning))
            except ScalingLawError as error:
                print(split.name, family.name, error)
    if not trials:
        return None
    x = [split.test[n].to_numpy(dtype=float) for n in families[0].inputs]
    y = split.test.loss.to_numpy(dtype=float)
    errors, variance = [], []
    for trial in trials:
        for coef in trial.prepared.raw(trial.free):
            errors.append(np.log(trial.family.evaluate(x, list(coef)) / y))
        variance.append(trial.variance_at(x))
    axis = {"params": x[0], "tokens": x[1], "flops": 6.0 * x[0] * x[1]}[along]
    largest = cuts.axis.max()
    return Tried(
        split.name, split.source, split.family, split.kind, cuts, trials, x, y,
        np.array(errors), np.concatenate(variance), np.maximum(np.log(axis / largest), 0.0),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    options = parser.parse_args()
    found = []
    for i, split in enumerate(load_splits()):
        if set(split.inputs) == {"params", "tokens"} and i % options.parts == options.part:
            found.append(try_split(split))
    options.output.write_bytes(pickle.dumps([f for f in found if f is not None]))


if __name__ == "__main__":
    main()
