"""Pairs of recipes from open data, with the runs of both that can be held against each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SHOWN = ("porian", "overtraining", "xlstm", "routing")
OTHERS = ("marin", "sft")  # seen while the rule was chosen, not chosen by: a check


@dataclass(frozen=True, eq=False)
class Pair:
    """Two recipes and what is known of both.

    Parameters
    ----------
    name, family : str
    law : str
        Law that both are fitted with.
    inputs : tuple of str
    first, second : DataFrame
        Runs: the inputs, ``loss``, ``axis`` (what is cut), perhaps ``flops`` and ``run``.
    matched : DataFrame
        One row a comparison: ``axis``, and row labels in ``first`` and ``second``.
    """

    name: str
    family: str
    law: str
    inputs: tuple[str, ...]
    first: pd.DataFrame
    second: pd.DataFrame
    matched: pd.DataFrame


def load_pairs(families: tuple[str, ...] = SHOWN) -> Iterator[Pair]:
    """Yield the pairs of the named families."""
    makers = {
        "porian": _porian,
        "overtraining": _overtraining,
        "xlstm": _xlstm,
        "routing": _routing,
        "marin": _marin,
        "sft": _sft,
    }
    for family in families:
        yield from makers[family]()


def _pair(
    name: str,
    family: str,
    first: pd.DataFrame,
    second: pd.DataFrame,
    keys: list[str],
    inputs: tuple[str, ...] = ("params", "tokens"),
    law: str = "chinchilla",
) -> Pair:
    """Match the rows of two tables that agree in ``keys``."""
    first, second = (t.reset_index(drop=True) for t in (first, second))
    left = first[[*keys, "axis"]].assign(first=first.index)
    right = second[keys].assign(second=second.index)
    matched = left.merge(right, on=keys)[["axis", "first", "second"]]
    return Pair(name, family, law, inputs, first, second, matched)


def _porian() -> Iterator[Pair]:
    """Settings of one data set; sizes near the optimum, at the same size and budget."""
    table = pd.read_csv(DATA / "porian_isoflops.csv")
    table = table[(table.param_count == "standard") & (table.loss_split == "val")]
    table["axis"] = table.flops
    best = table.groupby(["dataset", "hparams", "warmup", "decay", "flops"]).loss.transform("min")
    table = table[table.loss <= 1.1 * best]
    for dataset, rows in table.groupby("dataset"):
        settings = {
            "-".join(map(str, key)): part
            for key, part in rows.groupby(["hparams", "warmup", "decay"])
        }
        for a, b in combinations(settings, 2):
            yield _pair(
                f"{dataset}: {a} / {b}", "porian", settings[a], settings[b], ["params", "flops"]
            )


def _overtraining() -> Iterator[Pair]:
    """Training data sets under four evaluation losses, at the same size and tokens."""
    table = pd.read_csv(DATA / "overtraining.csv").astype({"params": float, "tokens": float})
    table["axis"] = table["flops"] = table.flops_6nd.astype(float)
    for measured in ("loss_c4", "loss_openlm", "loss_refinedweb", "loss_redpajama"):
        tidy = table.assign(loss=table[measured])
        sets = {str(key): part for key, part in tidy.groupby("train_dataset")}
        for a, b in combinations(sets, 2):
            yield _pair(
                f"{measured}: {a} / {b}", "overtraining", sets[a], sets[b], ["params", "tokens"]
            )


def _xlstm() -> Iterator[Pair]:
    """Llama against mLSTM, each at its own best size for a nominal budget.

    Trained at context 16,384, held out at context 8,192: the change is the same for both.
    """
    table = pd.read_csv(DATA / "xlstm.csv").query("~diverged")
    budgets = {  # groups of runs by their nominal budget, which counts attention and gating
        "llama": {12: 6e18, 11: 1e19, 10: 3e19, 13: 1e20},
        "mlstm": {6: 6e18, 5: 1e19, 4: 3e19, 7: 1e20, 8: 1e20},
    }
    arms = []
    for architecture, nominal in budgets.items():
        rows = table[table.architecture == architecture]
        number = rows.group.str.extract(r"iso(\d+)$")[0].astype(int)
        rows = rows.assign(axis=number.map(nominal)).dropna(subset="axis")
        rows = rows[(rows.axis < 1e20) == (rows.context_length == 16384)]
        arms.append(rows.assign(flops=rows.axis).astype({"params": float, "tokens": float}))
    best = [a.reset_index(drop=True) for a in arms]
    ends = [a.loc[a.groupby("axis").loss.idxmin()].set_index("axis") for a in best]
    labels = [a.reset_index().groupby("axis").loss.idxmin() for a in best]
    shared = sorted(set(ends[0].index) & set(ends[1].index))
    matched = pd.DataFrame(
        {"axis": shared, "first": labels[0][shared].array, "second": labels[1][shared].array}
    )
    yield Pair("llama / mlstm", "xlstm", "chinchilla", ("params", "tokens"), *best, matched)


def _routing() -> Iterator[Pair]:
    """Routers with as many experts, at the same size and step."""
    table = pd.read_csv(DATA / "routing.csv").astype({"dense_params": float})
    table = table[(table.routing_frequency == 0.5) & (table.k == 1) & (table.seed == 42)]
    table = table.rename(columns={"dense_params": "params", "hyper_id": "run"})
    table["tokens"] = table.step.clip(upper=249_000) * float(2**19)
    table["axis"] = table["flops"] = 6.0 * table.params * table.tokens
    dense = table[table.router_type == "Dense"]
    for experts, rows in table[table.num_experts >= 8].groupby("num_experts"):
        routers = {str(key): part for key, part in rows.groupby("router_type")}
        if experts in (8, 64, 512):
            routers["Dense"] = dense
        for a, b in combinations(routers, 2):
            yield _pair(
                f"{a} / {b}, {experts} experts", "routing", routers[a], routers[b],
                ["params", "tokens"],
            )  # fmt: skip


def _marin() -> Iterator[Pair]:
    """Three data mixes, each at its own best size for a budget."""
    table = pd.read_csv(DATA / "isoflops.csv").query("~outlier and source == 'marin_202603'")
    table = table.assign(axis=table.budget, flops=table.budget)
    mixes = {str(k): t.reset_index(drop=True) for k, t in table.groupby("dataset")}
    for a, b in combinations(mixes, 2):
        first, second = mixes[a], mixes[b]
        labels = [t.groupby("axis").loss.idxmin() for t in (first, second)]
        shared = sorted(set(labels[0].index) & set(labels[1].index))
        matched = pd.DataFrame(
            {"axis": shared, "first": labels[0][shared].array, "second": labels[1][shared].array}
        )
        yield Pair(
            f"{a} / {b}", "marin", "chinchilla", ("params", "tokens"), first, second, matched
        )


def _sft() -> Iterator[Pair]:
    """Pretrained models fine-tuned on one data set, at as many samples."""
    table = pd.read_csv(DATA / "scalebench_sft.csv").astype({"samples": float})
    table["axis"] = table.samples
    table["data"] = table.group.str.extract(r", '(\w+)'\)")
    for data, rows in table.groupby("data"):
        models = {str(key): part for key, part in rows.groupby("group")}
        for a, b in combinations(models, 2):
            yield _pair(
                f"{data}: {a} / {b}", "sft", models[a], models[b], ["samples"], ("samples",),
                "power_with_floor",
            )  # fmt: skip


def cuts(pair: Pair, times: float) -> Iterator[tuple[float, pd.DataFrame]]:
    """Yield each usable largest compute of a training set and the matched rows beyond it.

    Held out: matched rows at ``times`` the cut, a factor of the square root of three either way.
    """
    axis = pair.matched.axis.to_numpy()
    least = len(pair.inputs) * 2 + 2
    for cut in np.unique(axis):
        ratio = axis / cut
        held = pair.matched[(ratio > times / 3**0.5) & (ratio <= times * 3**0.5)]
        enough = all((t.axis <= cut * 1.0000001).sum() >= least for t in (pair.first, pair.second))
        if len(held) and enough:
            yield float(cut), held
