"""Which rows of a table belong together: clusters, inferred runs and groups."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_laws.errors import DataError, Note, suggest
from scaling_laws.quantities import INPUT_NAMES

if TYPE_CHECKING:
    import pandas as pd

RUN_COLUMNS = ("run", "run_id")
_CHECKPOINT_COLUMNS = ("checkpoint", "step", "global_step")
_PROGRESS = frozenset({"tokens", "flops", "samples", "steps", "epochs"})  # grow within a run


def cluster_labels(
    frame: pd.DataFrame,
    cluster: str | ArrayLike | None,
    columns: Mapping[str, str],
    keep: NDArray[np.bool_],
) -> NDArray[Any] | None:
    """Label the rows kept: as told, else by a column that names runs, else None.

    ``frame`` holds the rows kept only; ``cluster`` as an array has a label for every row of
    ``keep``.

    Raises
    ------
    DataError
        No such column, or not one label a row.
    """
    if cluster is None:
        found = [columns.get(n, n) for n in RUN_COLUMNS if columns.get(n, n) in frame.columns]
        return frame[found[0]].to_numpy(dtype=object) if found else None
    if isinstance(cluster, str):
        if cluster not in frame.columns:
            raise DataError(
                f"cluster='{cluster}' is not a column.{suggest(cluster, map(str, frame.columns))} "
                f"Found: {', '.join(map(str, frame.columns))}."
            )
        return frame[cluster].to_numpy(dtype=object)
    labels = np.asarray(cluster, dtype=object)
    if labels.shape != keep.shape:
        raise DataError(
            f"cluster has shape {labels.shape} but the table has {len(keep)} rows. Give one "
            "label per row."
        )
    return labels[keep]


def inferred_runs(
    frame: pd.DataFrame, columns: Mapping[str, str], notes: list[Note]
) -> NDArray[Any] | None:
    """Label rows by configuration and seed where a column says they are checkpoints."""
    marks = [c for c in _CHECKPOINT_COLUMNS if c in frame.columns and len(frame[c].unique()) > 1]
    names = [n for n in (*INPUT_NAMES, "seed") if n not in _PROGRESS]
    used = {n: columns.get(n, n) for n in names if columns.get(n, n) in frame.columns}
    if not marks or not used:
        return None
    told = [frame[c].astype(str) for c in used.values()]
    labels = np.array([" ".join(parts) for parts in zip(*told, strict=True)], dtype=object)
    count = len(set(labels))
    if count == len(frame):
        return None
    notes.append(
        Note(
            "runs_inferred",
            "info",
            f"the table has a column '{marks[0]}' and none that names runs: rows of equal "
            f"{tuple(used)} were taken as checkpoints of one run ({count} runs). If they are "
            "runs of their own, pass cluster=range(len(runs))",
            {"column": marks[0], "by": list(used), "runs": count},
        )
    )
    return labels


def group_labels(frame: pd.DataFrame, group: str) -> list[Hashable]:
    """Return the label of each row's group, as text or a plain number.

    Raises
    ------
    DataError
        No such column, or a label that is missing or neither text nor a number.
    """
    have = [str(c) for c in frame.columns]
    if not isinstance(group, str) or group not in frame.columns:
        raise DataError(
            f"group={group!r} is not a column.{suggest(str(group), have)} Found: {', '.join(have)}."
        )
    labels: list[Hashable] = []
    for row, value in zip(frame.index, frame[group], strict=True):
        plain = value.item() if isinstance(value, np.generic) else value
        if not isinstance(plain, str | int | float) or plain != plain:
            raise DataError(
                f"the group column '{group}' must hold text or numbers: row {row} has {value!r}. "
                "Name the row's group, or drop the row."
            )
        labels.append(plain)
    return labels
