"""Open isoFLOP experiments, cut into budgets to plan from and a larger budget to plan for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from scaling_laws.planning.isoflop.input import SPAN
from scaling_laws.planning.isoflop.parabola import Parabolas, Slices, at_budgets, group_budgets

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FILES = ("isoflops.csv", "porian_isoflops.csv", "xlstm.csv")
RATIOS = (2, 4, 16)
NEAR = 1.5  # factor within which a ratio of budgets counts as the one wanted
FEWEST = 3  # budgets with a minimum inside, to plan from


@dataclass(frozen=True, eq=False)
class Case:
    """A held-out budget and the budgets to plan from.

    Parameters
    ----------
    source, family : str
        Experiment, and the family of data that is not independent of it.
    ratio : int
        Nominal ratio of the held-out budget to the largest to plan from.
    largest : bool
        Whether it is the experiment's largest held-out budget at that ratio.
    log_c, log_n, curvature : float
        ln compute of the held-out budget; vertex and curvature of its parabola of ln loss.
    known : DataFrame
        Runs to plan from: ``params``, ``tokens``, ``loss``, ``flops``, ``budget``.
    """

    source: str
    family: str
    ratio: int
    largest: bool
    log_c: float
    log_n: float
    curvature: float
    known: pd.DataFrame

    def regret(self, log_n: float) -> float:
        """By how much ln loss at a size exceeds the parabola's minimum."""
        return self.curvature * (log_n - self.log_n) ** 2


def cases(data: Path = DATA) -> Iterator[Case]:
    """Yield every case of every experiment of the declared splits."""
    for source, family, runs in experiments(data):
        number = runs.budget.rank(method="dense").to_numpy().astype(int) - 1
        log_n, y, log_c = (np.log(runs[n].to_numpy()) for n in ("params", "loss", "flops"))
        moved, cut = at_budgets(log_n, y, log_c, number, SPAN)
        found = cut.fit(moved)
        wanted = _wanted(cut, found)
        for ratio, held, last in wanted:
            yield Case(
                source,
                family,
                ratio,
                held == max(h for r, h, _ in wanted if r == ratio),
                float(cut.log_c[held]),
                float(found.vertex[held]),
                float(found.curvature[held]),
                runs[number <= last],
            )


def experiments(data: Path) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield label, family and runs of every experiment; ``budget`` is nominal [FLOP]."""
    table = pd.read_csv(data / "splits.csv", keep_default_na=False)
    table = table[table.file.isin(FILES)].drop_duplicates("source")
    files = {name: pd.read_csv(data / name) for name in FILES}
    for row in table.itertuples():
        runs = files[row.file].query(row.filter)
        if "outlier" in runs:
            runs = runs[~runs.outlier.astype(bool)]
        runs = runs.astype({"params": float, "tokens": float}).reset_index(drop=True)
        runs["flops"] = 6.0 * runs.params * runs.tokens
        runs["budget"] = _nominal(row.file, runs)
        yield row.source, row.family, runs[["params", "tokens", "loss", "flops", "budget"]]


def _nominal(file: str, runs: pd.DataFrame) -> pd.Series:
    """Budget of each run; xlstm names groups of runs, of which some share a budget."""
    if file == "isoflops.csv":
        return runs.budget
    if file == "porian_isoflops.csv":
        exact = group_budgets(runs.flops.to_numpy(), 0.05)
        return runs.groupby(exact).flops.transform("median")
    typical = runs.groupby("group").flops.transform("median")
    same = group_budgets(typical.to_numpy(), 0.12)
    return typical.groupby(same).transform("median")


def _wanted(cut: Slices, found: Parabolas) -> list[tuple[int, int, int]]:
    """Ratio, held-out budget and largest budget to plan from."""
    out = []
    for held in range(1, len(cut.log_c)):
        if not found.inside[held]:
            continue
        for ratio in RATIOS:
            miss = np.abs(cut.log_c[held] - cut.log_c[:held] - np.log(ratio))
            last = int(np.argmin(miss))
            enough = found.inside[: last + 1].sum() >= FEWEST
            if miss[last] <= np.log(NEAR) and enough:
                out.append((ratio, held, last))
    return out


if __name__ == "__main__":
    counts = pd.Series([(c.family, c.ratio) for c in cases()]).value_counts().sort_index()
    sys.stdout.write(counts.to_string() + "\n")
