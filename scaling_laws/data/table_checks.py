"""Doubts about a table of runs that need no fit: repeated runs, compute that does not add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scaling_laws.data.read_report import Ledger
from scaling_laws.errors import Note
from scaling_laws.quantities import INPUT_NAMES, training_flops

if TYPE_CHECKING:
    import pandas as pd

_FACTOR = 2.0  # of a median away from 6 N D that is worth a note
_FAR = 10.0  # of a single row


def check_duplicates(frame: pd.DataFrame, target: str, ledger: Ledger) -> pd.DataFrame:
    """Drop rows of one run that repeat another exactly, and report runs that look the same.

    Parameters
    ----------
    frame : DataFrame
    target : str
    ledger : Ledger

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"run": ["a", "a", "b"], "params": [1e6] * 3, "loss": [3.0, 3.0, 3.0]})
    >>> ledger = Ledger()
    >>> len(check_duplicates(frame, "loss", ledger)), ledger.notes[0].code
    (2, 'duplicate_runs')
    """
    if "run" in frame:
        again = frame.duplicated().to_numpy()
        lost = int(again.sum())
        if lost:
            ledger.add("dropped", "rows", "repeat a row of the same run exactly", rows=-lost,
                       count=lost, examples=frame["run"][again])  # fmt: skip
            frame = frame[~again].reset_index(drop=True)
    names = [c for c in (*INPUT_NAMES, "seed", "step", target) if c in frame]
    told = frame[frame[target].notna()]
    same = told[told.duplicated(names, keep=False)] if len(names) > 1 else told[:0]
    if not len(same):
        return frame
    extra = int(told.duplicated(names).sum())
    labels = list(same["run"]) if "run" in same else [f"row {i}" for i in same.index]
    ledger.add("kept", "rows", f"equal another in {', '.join(names)}", count=extra,
               examples=labels)  # fmt: skip
    ledger.note(
        Note(
            "duplicate_runs",
            "warning",
            f"{extra} rows have the same {', '.join(names)} as another, to the last digit: perhaps "
            "one run logged twice. Drop them with drop_duplicates() if they are",
            {"count": extra, "runs": [str(x) for x in labels[:20]]},
        )
    )
    return frame


def check_flops(frame: pd.DataFrame, ledger: Ledger) -> None:
    """Note where compute is far from 6 N D: another unit, multiply-adds, or an overflow.

    Parameters
    ----------
    frame : DataFrame
        Nothing is noted unless it has ``params``, ``tokens`` and ``flops``.
    ledger : Ledger

    Examples
    --------
    >>> import pandas as pd
    >>> ledger = Ledger()
    >>> check_flops(pd.DataFrame({"params": [1e6], "tokens": [1e9], "flops": [2e15]}), ledger)
    >>> print(ledger.notes[0])
    flops_disagree: 'flops' is 0.333 times 6 N D in the median row; 0 rows are off by more than 10 \
times. Check its unit (giga, multiply-adds), what params count, and integer overflow
    """
    if not {"params", "tokens", "flops"} <= set(frame.columns):
        return
    with np.errstate(all="ignore"):
        expected = np.asarray(training_flops(frame["params"], frame["tokens"]))
        ratio = frame["flops"].to_numpy(dtype=float) / expected
    ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
    if not ratio.size:
        return
    median = float(np.median(ratio))
    far = int((np.abs(np.log(ratio)) > np.log(_FAR)).sum())
    if not far and 1 / _FACTOR <= median <= _FACTOR:
        return
    ledger.note(
        Note(
            "flops_disagree",
            "warning",
            f"'flops' is {median:.3g} times 6 N D in the median row; {far} rows are off by more "
            f"than {_FAR:g} times. Check its unit (giga, multiply-adds), what params count, and "
            "integer overflow",
            {"median_ratio": median, "rows_far": far},
        )
    )
