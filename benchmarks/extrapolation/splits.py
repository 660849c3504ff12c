"""Declared train and held-out splits of open data sets, as tables in the library's own names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SCORES = frozenset({"neg_brier"})  # negative, higher is better: taken with the other sign


@dataclass(frozen=True, eq=False)
class Split:
    """One declared split.

    Parameters
    ----------
    name, source, family, kind : str
        Its label, the data set, the family of independent data it belongs to, and what is cut.
    inputs : tuple of str
        Library names of the varied quantities.
    group : bool
        Whether a column ``group`` separates sub-problems.
    train, test : DataFrame
        Columns: the inputs, ``loss`` (the target), ``axis`` (what was cut), perhaps ``group``.
    """

    name: str
    source: str
    family: str
    kind: str
    inputs: tuple[str, ...]
    group: bool
    train: pd.DataFrame
    test: pd.DataFrame


def load_splits() -> Iterator[Split]:
    """Yield every declared split, in the order of the file."""
    table = pd.read_csv(DATA / "splits.csv", keep_default_na=False)
    files: dict[str, pd.DataFrame] = {}
    for row in table.itertuples():
        frame = files.setdefault(row.file, pd.read_csv(DATA / row.file, low_memory=False))
        yield split_of(row, frame)


def split_of(row, frame: pd.DataFrame) -> Split:
    """Return the split that a row of the file declares, of the table it names."""
    if row.filter:
        frame = frame.query(row.filter)
    if row.best_over:
        frame = frame.sort_values(row.target).drop_duplicates(row.best_over.split("+"))
    names = dict(pair.split("=") for pair in row.inputs.split(";"))
    columns = [*names.values(), row.target, *([row.group] if row.group else [])]
    axis = frame.astype(dict.fromkeys(frame.select_dtypes("number"), float)).eval(row.axis)
    tidy = frame[columns].assign(axis=np.broadcast_to(np.asarray(axis, dtype=float), len(frame)))
    tidy = tidy.rename(columns={**{v: k for k, v in names.items()}, row.target: "loss"})
    if row.group:
        tidy = tidy.rename(columns={row.group: "group"})
    if row.target in SCORES:
        tidy["loss"] *= -1.0
    tidy = tidy.drop_duplicates().reset_index(drop=True)
    train = tidy[tidy.axis <= float(row.train_max)]
    test = tidy[(tidy.axis >= float(row.test_min)) & (tidy.axis <= float(row.test_max))]
    return Split(
        row.split, row.source, row.family, row.kind, tuple(names), bool(row.group), train, test
    )
