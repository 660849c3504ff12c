"""Learn the constants of one input and of other inputs; those of (params, tokens) stay.

    python benchmarks/calibration/trials.py other.pkl --other
    python benchmarks/calibration/learn_other.py other.pkl [more.pkl ...]

Adds the directions ``"one input"`` and ``"other"`` to ``scaling_laws/inference/calibration.json``,
and to ``leave_one_out.json`` what is learned without each family, or without each fold of LCDB's
data sets. Families weigh equally; groups of a split share its weight.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks" / "extrapolation"), str(Path(__file__).parent)]

from learn import Parts, equally  # noqa: E402
from trials import Tried  # noqa: E402

from scaling_laws.inference.calibration import STRANGER, Calibration  # noqa: E402

DIRECTIONS = ("one input", "other")
GENERAL = ("additive_power", "product_with_floor", "translog")
RATES = np.geomspace(0.001, 1.0, 40)
NOMINAL = 0.9
# to be covered: curves of few points miss by more elsewhere, learning curves by most
LEVELS, ROUNDING = {"one input": 0.945, "other": 0.93}, 0.002


def known_as(direction: str, label: str) -> str:
    """Name of a candidate in the tables: laws of one subject stand for each other."""
    law, _, focus = label.rpartition(", ")
    return label if direction == "one input" or law in GENERAL else f"{STRANGER}, {focus}"


def learned_scores(tried: Sequence[Tried], direction: str) -> dict[str, float]:
    """Mean log held-out error of each candidate over the typical one's."""
    found = defaultdict(list)
    for t in tried:
        error = np.log(np.maximum(np.abs(t.errors).mean(axis=1), 1e-5))
        labels = [trial.label(i) for trial in t.trials for i in range(len(trial.focuses))]
        for label, score in zip(labels, error - np.median(error), strict=True):
            found[known_as(direction, label)].append((t.family, float(score)))
    return {n: round(float(equally(v)), 4) for n, v in sorted(found.items())}


def covered(parts: Sequence[Parts], calibration: Calibration, rate: float, level: float) -> float:
    """Share of held-out rows inside 90 % intervals; families weigh equally.

    What a family has beyond the level does not make up for what another lacks.
    """
    from scipy.stats import t as student

    half = calibration.factor * student.ppf(0.5 + 0.5 * NOMINAL, calibration.dof)
    shares = []
    for p in parts:
        width = half * p.deviation(rate, calibration.rate_cuts)
        shares.append((p.family, float(np.mean(np.abs(p.error) <= width))))
    families = {f for f, _ in shares}
    each = [min(float(equally((g, v) for g, v in shares if g == f)), level) for f in families]
    return float(np.mean(each))


def learned(tried: Sequence[Tried], base: Calibration) -> Calibration:
    """Return ``base`` with both directions: scores, and the rate that covers 90 %."""
    scores, rates = dict(base.scores), dict(base.rates)
    for direction in DIRECTIONS:
        here = [t for t in tried if t.cuts.known_as == direction]
        scores[direction] = learned_scores(here, direction)
        calibration = replace(base, scores=scores)
        parts = [Parts(t, calibration) for t in here]
        shares = np.array([covered(parts, calibration, r, LEVELS[direction]) for r in RATES])
        enough = shares >= LEVELS[direction] - ROUNDING
        rates[direction] = round(float(RATES[enough.argmax() if enough.any() else -1]), 5)
    return replace(base, scores=scores, rates=rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trials", type=Path, nargs="+")
    options = parser.parse_args()
    found = [t for path in options.trials for t in pickle.loads(path.read_bytes())]
    tried = sorted((t for t in found if t is not None), key=lambda t: t.name)
    target = ROOT / "scaling_laws" / "inference" / "calibration.json"
    base = Calibration(**json.loads(target.read_text()))
    everything = learned(tried, base)
    counts = {d: sum(t.cuts.known_as == d for t in tried) for d in DIRECTIONS}
    families = sorted({t.family for t in tried})
    about = {"script": "benchmarks/calibration/learn_other.py", "tables": counts}
    provenance = {**base.provenance, "other": {**about, "families": families}}
    target.write_text(replace(everything, provenance=provenance).to_json())
    beside = Path(__file__).parent / "leave_one_out.json"
    without = json.loads(beside.read_text())
    names = {(t.family, t.source if t.family == "lcdb" else "") for t in tried}
    for family, fold in sorted(names):
        rest = [t for t in tried if t.family != family or (fold and t.source != fold)]
        label = f"lcdb {fold.removeprefix('fold ')}" if fold else family
        without[label] = asdict(replace(learned(rest, base), provenance={"without": label}))
    beside.write_text(json.dumps(without, indent=1, sort_keys=True) + "\n")
    print(json.dumps({k: everything.rates[k] for k in DIRECTIONS}), counts)
    print(json.dumps({k: everything.scores[k] for k in DIRECTIONS}, indent=1))


if __name__ == "__main__":
    main()
