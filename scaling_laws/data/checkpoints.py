"""Which rows of a table are checkpoints, and the one that stands for each run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scaling_laws.data.histories import align, choose_rows, merge_steps, sampled_note
from scaling_laws.data.read_report import Ledger
from scaling_laws.errors import Note

if TYPE_CHECKING:
    import pandas as pd

_ORDERS = ("step", "tokens", "samples", "epochs")


def one_row_a_run(
    frame: pd.DataFrame,
    *,
    history: bool,
    sampled: bool,
    target: str,
    group: str | None,
    policy: str,
    last: int | float,
    ledger: Ledger,
) -> pd.DataFrame:
    """Align checkpoints and choose the rows that stand for a run, where rows are checkpoints.

    Parameters
    ----------
    frame : DataFrame
    history : bool
        Whether the table is a tracker's log, one row per logging call.
    sampled : bool
        Whether it may have been sampled, as a W&B history.
    target : str
    group : str or None
    policy : str
    last : int or float
        See :func:`choose_rows`.
    ledger : Ledger

    Returns
    -------
    DataFrame
        As it is where no column names the runs, or rows of one step differ in a table that is no
        log.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"run": ["a", "a"], "step": [1.0, 2.0], "loss": [4.0, 3.0]})
    >>> one_row_a_run(frame, history=False, sampled=False, target="loss", group=None,
    ...               policy="final", last=1, ledger=Ledger()).values.tolist()
    [['a', 2.0, 3.0]]
    """
    order = next((c for c in _ORDERS if c in frame and frame[c].notna().any()), None)
    if "run" not in frame:
        _note_unnamed(frame, ledger)
        return frame
    unnamed = frame["run"].isna().to_numpy()
    if unnamed.any():
        names = [f"row-{i}" if u else r for i, (r, u) in enumerate(zip(frame["run"], unnamed))]  # noqa: B905
        frame = frame.assign(run=np.array(names, dtype=object))
        ledger.add(
            "filled", "run", "rows without a name are runs of their own", count=unnamed.sum()
        )
    keys = ["run", *([group] if group and group != "run" else [])]
    if order is None or not frame.duplicated(keys).any():
        return frame
    if history and order == "step":
        _add_note(sampled_note(frame, keys) if sampled else None, ledger)
        frame = frame[frame["step"].notna()] if frame["step"].isna().all() else frame
    merged = merge_steps(frame, keys, order, ledger, tracker=history)
    known = merged[merged[order].notna()]
    if known.duplicated([*keys, order]).any():
        return merged  # rows of one step that differ: something else than checkpoints
    aligned = align(merged, keys, order, target, ledger)
    if history:
        aligned = _peak(aligned, keys, ledger)
    return choose_rows(aligned, keys, order, target, policy, last, ledger)


def _peak(frame: pd.DataFrame, keys: Sequence[str], ledger: Ledger) -> pd.DataFrame:
    """Give every row the highest learning rate of its run's schedule."""
    if "learning_rate" not in frame:
        return frame
    peak = frame.groupby(list(keys), sort=False, dropna=False)["learning_rate"].transform("max")
    changed = int((frame["learning_rate"] != peak).sum())
    if changed:
        ledger.add("derived", "learning_rate", "the peak of the run's schedule", count=changed)
    return frame.assign(learning_rate=peak)


def _add_note(note: Note | None, ledger: Ledger) -> None:
    if note is not None:
        ledger.note(note)


def _note_unnamed(frame: pd.DataFrame, ledger: Ledger) -> None:
    if "step" in frame and len(set(frame["step"].dropna())) > 1:
        ledger.note(
            Note(
                "runs_not_named",
                "warning",
                "a column says at which step a row was measured and none names the run: all rows "
                "were kept. If they are checkpoints, map columns={'run': ...}",
                {"rows": len(frame)},
            )
        )
