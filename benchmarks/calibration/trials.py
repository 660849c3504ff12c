"""Every candidate tried on every declared split: the slow half of learning the calibration.

    python benchmarks/calibration/trials.py OUTPUT [--part I --parts K] [--other]

With ``--other``: the splits over other inputs, each group apart, and the curves of LCDB.

Writes a pickle that ``learn.py`` reads. Parts share the work between processes.
"""

from __future__ import annotations

import argparse
import pickle
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks" / "extrapolation")]

from lcdb_curves import fold_of, load_curves  # noqa: E402
from splits import Split, load_splits  # noqa: E402

from scaling_laws.errors import ScalingLawError  # noqa: E402
from scaling_laws.fitting.candidates import default_candidates, try_all, well_fed  # noqa: E402
from scaling_laws.fitting.selector import Selector, on_log_scale  # noqa: E402
from scaling_laws.inference.trials import Cuts, Trial, make_cuts, run_trial  # noqa: E402
from scaling_laws.inference.weighing import target_unit  # noqa: E402
from scaling_laws.solving.objective import transform  # noqa: E402
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


def try_other(name: str, part: Split, target: str = "loss") -> Tried | None:
    """Try the default candidates of a table over other inputs, along its scale."""
    options = {} if (part.train[target] > 0).all() else {"residual": "linear"}
    families = default_candidates(part.inputs, target)
    runs = Selector(**options).check(part.train, families[0], target)
    selector = on_log_scale(Selector(**options), runs)
    along = part.inputs[0] if len(part.inputs) == 1 else "flops"
    try:
        trials, _ = try_all(runs, well_fed(families, len(runs)), selector, along)
    except ScalingLawError as error:
        print(name, error)
        return None
    cuts = make_cuts(runs, along)
    problem, x = trials[0].problem, [part.test[n].to_numpy(dtype=float) for n in runs.inputs]
    y = part.test[target].to_numpy(dtype=float)
    actual = transform(y, problem.residual, problem.bounds)
    errors, variance = [], []
    for trial in trials:
        for coef in trial.prepared.raw(trial.free):
            value = np.broadcast_to(trial.family.evaluate(x, list(coef)), y.shape)
            errors.append(transform(value, problem.residual, problem.bounds) - actual)
        variance.append(trial.variance_at(x))
    beyond = [np.maximum(np.log(v / u.max()), 0.0) for u, v in zip(runs.x, x, strict=True)]
    unit = target_unit(problem.residual, problem.y)
    return Tried(
        name, part.source, part.family, part.kind, cuts, trials, x, y,
        np.array(errors), np.concatenate(variance), np.max(beyond, axis=0) * unit,
    )  # fmt: skip


def other_tables() -> list[tuple[str, Split, str]]:
    """Every group of every split over other inputs, and the curves of LCDB."""
    out = []
    for split in load_splits():
        if set(split.inputs) == {"params", "tokens"}:
            continue
        labels = sorted(split.test.group.unique()) if split.group else [None]
        for label in labels:
            tables = [
                t if label is None else t[t.group == label] for t in (split.train, split.test)
            ]
            part = replace(split, train=tables[0], test=tables[1])
            out.append((f"{split.name} {label or ''}".strip(), part, "loss"))
    for c in load_curves():
        name, fold = f"lcdb:{c.openml_id} {c.learner}", f"fold {fold_of(c.openml_id)}"
        part = Split(name, fold, "lcdb", "curve", ("samples",), False, c.train, c.test)
        out.append((name, part, "error"))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--other", action="store_true")
    options = parser.parse_args()
    found = []
    for i, (name, part, target) in enumerate(other_tables() if options.other else []):
        if i % options.parts == options.part:
            found.append(try_other(name, part, target))
    for i, split in enumerate([] if options.other else load_splits()):
        if set(split.inputs) == {"params", "tokens"} and i % options.parts == options.part:
            found.append(try_split(split))
    options.output.write_bytes(pickle.dumps([f for f in found if f is not None]))


if __name__ == "__main__":
    main()
