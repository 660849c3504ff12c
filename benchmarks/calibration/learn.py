"""Learn the constants of extrapolation from the declared splits of open data.

    python benchmarks/calibration/trials.py trials.pkl        # minutes
    python benchmarks/calibration/learn.py trials.pkl [more.pkl ...]

Writes ``scaling_laws/inference/calibration.json`` (all families) and
``benchmarks/calibration/leave_one_out.json`` (one set of constants for each family of data, learned
without it), by which ``benchmarks/extrapolation/score.py`` judges. Families weigh equally.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.optimize import minimize

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks" / "extrapolation"), str(Path(__file__).parent)]

from trials import Tried  # noqa: E402

from scaling_laws.inference.calibration import Calibration  # noqa: E402
from scaling_laws.inference.law_error import excess_rate, weighted_median  # noqa: E402
from scaling_laws.inference.weighing import held_out_errors, weigh  # noqa: E402

DIRECTIONS = ("flops", "params", "tokens")
START = {"flops": 0.003, "params": 0.006, "tokens": 0.005}
# covered by intervals called 90 %: the interval score, which prices width, likes less still
NOMINAL = 0.885
MIDDLE = 0.53  # by those called 50 %: beyond the data along params less is covered than on average
MISS = 20.0  # price of a miss in the 90 % interval score


def equally(values: Iterable[tuple[str, np.ndarray | float]]) -> np.ndarray:
    """Mean over families of the mean within each."""
    by_family = defaultdict(list)
    for family, value in values:
        by_family[family].append(value)
    return np.mean([np.mean(v, axis=0) for v in by_family.values()], axis=0)


def learned_scores(tried: Sequence[Tried]) -> dict[str, dict[str, float]]:
    """Mean log held-out error of each candidate over the typical one's, by direction."""
    out = {}
    for along in DIRECTIONS:
        here = [t for t in tried if t.cuts.along == along]
        relative = []
        for t in here:
            error = np.log(np.maximum(np.abs(t.errors).mean(axis=1), 1e-6))
            relative.append((t.family, error - np.median(error)))
        labels = weigh(here[0].trials, here[0].cuts, Calibration()).labels
        full = [(f, v) for f, v in relative if len(v) == len(labels)]
        out[along] = {n: round(float(v), 4) for n, v in zip(labels, equally(full), strict=True)}
    return out


class Parts:
    """What the interval of a split is made of, given weights."""

    def __init__(self, tried: Tried, calibration: Calibration, alone: int | None = None) -> None:
        self.along, self.family, self.distance = tried.cuts.along, tried.family, tried.distance
        share = calibration.coefficient_share
        if alone is None:
            weights = weigh(tried.trials, tried.cuts, calibration).weights
        else:
            weights, share = np.eye(len(tried.errors))[alone], 1.0
        noise = weights @ np.concatenate([t.noise_variance for t in tried.trials])
        mean = weights @ tried.errors
        spread = weights @ (tried.errors - mean) ** 2
        self.error = mean
        self.known = noise + share**2 * weighted_median(tried.variance, weights) + spread
        self.held_out = held_out_errors(tried.trials, tried.cuts, weights, share)

    def deviation(self, rate: float, rate_cuts: float) -> np.ndarray:
        found, _ = excess_rate(*self.held_out, rate, rate_cuts)
        return np.sqrt(self.known + (found * self.distance) ** 2)


def interval_score(
    parts: Sequence[Parts], logs: np.ndarray, rate_cuts: float, factor: bool
) -> float:
    """Mean log score of 90 % intervals; families and directions weigh equally."""
    rates = dict(zip(DIRECTIONS, np.exp(logs[:3]), strict=True))
    half = np.exp(logs[3]) if factor else 1.645
    out = []
    for along in DIRECTIONS:
        scores = []
        for p in parts:
            if p.along != along:
                continue
            width = half * p.deviation(rates[along], rate_cuts)
            miss = np.maximum(np.abs(p.error) - width, 0.0)
            scores.append((p.family, np.log(np.mean(2 * width + MISS * miss))))
        if scores:
            out.append(equally(scores))
    return float(np.mean(out)) + 0.002 * float(
        np.sum((logs[:3] - np.log(list(START.values()))) ** 2)
    )


def quantile(
    parts: Sequence[Parts], rates: dict[str, float], rate_cuts: float, level: float
) -> float:
    """Multiple of the standard deviation that covers ``level`` of the held-out rows."""
    ratios, weights = [], []
    count = defaultdict(int)
    for p in parts:
        count[p.family, p.along] += 1
    for p in parts:
        ratio = np.abs(p.error) / p.deviation(rates[p.along], rate_cuts)
        ratios.append(ratio)
        weights.append(np.full(len(ratio), 1 / len(ratio) / count[p.family, p.along]))
    ratio, weight = np.concatenate(ratios), np.concatenate(weights)
    order = np.argsort(ratio)
    total = np.cumsum(weight[order])
    return float(ratio[order][np.searchsorted(total, level * total[-1])])


def learned(tried: Sequence[Tried]) -> Calibration:
    """Learn all constants from these splits."""
    calibration = Calibration(scores=learned_scores(tried))
    start = np.log([*START.values(), 1.9])
    parts = [Parts(t, calibration) for t in tried]
    cuts = calibration.rate_cuts
    found = minimize(
        lambda v: interval_score(parts, v, cuts, True), start, method="Nelder-Mead",
        options={"maxiter": 300, "xatol": 0.02, "fatol": 1e-4},
    ).x  # fmt: skip
    rates = {n: round(float(r), 5) for n, r in zip(DIRECTIONS, np.exp(found[:3]), strict=True)}
    wide, middle = (quantile(parts, rates, cuts, level) for level in (NOMINAL, MIDDLE))
    shapes = np.array([3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 20.0, 30.0])
    ratios = stats.t.ppf(0.95, shapes) / stats.t.ppf(0.75, shapes)
    dof = float(shapes[np.argmin(np.abs(np.log(ratios * middle / wide)))])
    factor = wide / float(stats.t.ppf(0.95, dof))
    alone = [
        Parts(t, calibration, i) for t in tried for i in plain_places(t) if not t.trials[0].leaning
    ]
    single = minimize(
        lambda v: interval_score(alone, v, cuts, False), start[:3] + 0.7, method="Nelder-Mead",
        options={"maxiter": 200, "xatol": 0.02, "fatol": 1e-4},
    ).x  # fmt: skip
    law_rates = {n: round(float(r), 5) for n, r in zip(DIRECTIONS, np.exp(single), strict=True)}
    return replace(
        calibration,
        rates={**rates, "other": max(rates.values())},
        law_rates={**law_rates, "other": max(law_rates.values())},
        factor=round(factor, 3),
        dof=dof,
    )


def plain_places(tried: Tried) -> list[int]:
    """Candidates that `fit` would give: no focus, not leaning."""
    places = [(t, f) for t in tried.trials for f in t.focuses]
    return [i for i, (t, f) in enumerate(places) if f == 0 and not t.leaning]


def kept(found: dict, before: dict) -> dict:
    """Keep what ``learn_other.py`` learned of other directions; it knows more of them."""
    out = dict(found)
    for name in ("scores", "rates", "law_rates"):
        others = {k: v for k, v in before.get(name, {}).items() if k not in DIRECTIONS}
        out[name] = {**found[name], **others}
    out["provenance"] = {**before.get("provenance", {}), **found["provenance"]}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trials", type=Path, nargs="+")
    options = parser.parse_args()
    tried = [t for path in options.trials for t in pickle.loads(path.read_bytes())]
    tried.sort(key=lambda t: t.name)
    families = sorted({t.family for t in tried})
    everything = replace(
        learned(tried),
        provenance={
            "script": "benchmarks/calibration/learn.py",
            "splits": len(tried),
            "families": families,
        },
    )
    target = ROOT / "scaling_laws" / "inference" / "calibration.json"
    before = json.loads(target.read_text())
    everything = Calibration(**kept(asdict(everything), before))
    target.write_text(everything.to_json())
    beside = Path(__file__).parent / "leave_one_out.json"
    without = json.loads(beside.read_text())
    for family in families:
        found = asdict(learned([t for t in tried if t.family != family]))
        found["provenance"] = {"without": family}
        without[family] = kept(found, without.get(family, {}))
    for name in without.keys() - set(families):  # of other inputs, so learned without it anyway
        without[name] = {**kept(asdict(everything), without[name]), "provenance": {"without": name}}
    beside.write_text(json.dumps(without, indent=1, sort_keys=True) + "\n")
    print(json.dumps({k: v for k, v in asdict(everything).items() if k != "scores"}, indent=1))


if __name__ == "__main__":
    main()
