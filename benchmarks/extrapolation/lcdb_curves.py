"""Learning curves of LCDB, each with its last anchors held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from splits import DATA

PROTOCOLS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "floor": lambda x: np.arange(len(x)) < int(0.6 * len(x)),
    "ceil": lambda x: np.arange(len(x)) < np.ceil(0.6 * len(x)),
    "size": lambda x: x <= 0.6 * x.max(),
}


@dataclass(frozen=True, eq=False)
class Curve:
    """One learner on one data set; columns ``samples`` and ``error``, smallest first."""

    openml_id: int
    learner: str
    train: pd.DataFrame
    test: pd.DataFrame


def load_curves(protocol: str = "floor") -> Iterator[Curve]:
    """Yield every curve, cut by number of anchors (rounded down or up) or by their size.

    Errors of exactly 0 or 1 have no logarithm on one side: they are moved off by half the smallest
    distance seen on the curve.
    """
    table = pd.read_csv(DATA / "lcdb_curves.csv")
    for (openml_id, learner), rows in table.groupby(["openml_id", "learner"]):
        rows = rows.sort_values("train_size")
        error = rows.error_mean.to_numpy(dtype=float)
        gap = np.minimum(error, 1 - error)
        margin = 0.5 * gap[gap > 0].min()
        tidy = pd.DataFrame(
            {
                "samples": rows.train_size.to_numpy(dtype=float),
                "error": np.clip(error, margin, 1 - margin),
            }
        )
        seen = PROTOCOLS[protocol](tidy.samples.to_numpy())
        yield Curve(int(openml_id), str(learner), tidy[seen], tidy[~seen])


def fold_of(openml_id: int, folds: int = 5) -> int:
    """Fold of a data set: curves of one data set stay together."""
    ids = _ids()
    order = np.random.default_rng(0).permutation(len(ids))
    return int({ids[p]: i % folds for i, p in enumerate(order)}[openml_id])


@cache
def _ids() -> list[int]:
    return sorted(set(pd.read_csv(DATA / "lcdb_curves.csv").openml_id))
