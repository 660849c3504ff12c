"""Cells to numbers, labels and statuses; what cannot be read is counted, never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.aliases import ALIASES, COUNTS, LABELS, normalised
from scaling_laws.data.histories import EXPLICIT
from scaling_laws.data.numerals import plain_numbers, to_numbers
from scaling_laws.data.read_report import Ledger
from scaling_laws.data.sources import Wanted
from scaling_laws.data.statuses import FINISHED, UNFINISHED, status_word
from scaling_laws.errors import DataError, Note, suggest
from scaling_laws.quantities import INPUT_NAMES, TARGET_NAMES, quantity

if TYPE_CHECKING:
    import pandas as pd

NUMERIC = frozenset({*ALIASES, *INPUT_NAMES, *TARGET_NAMES}) - LABELS
_TRUTH = {"true": True, "false": False}


def convert(
    frame: pd.DataFrame,
    wanted: Wanted,
    *,
    factors: Mapping[str, float],
    decimal: str,
    nan_is_missing: bool,
    ledger: Ledger,
) -> pd.DataFrame:
    """Return the table with float columns for quantities and text for labels.

    Parameters
    ----------
    frame : DataFrame
    wanted : Wanted
        What the caller said: the target and inputs are numbers, the group is text.
    factors : mapping of str to float
        Raw units in one of the table's.
    decimal : {".", ","}
    nan_is_missing : bool
        Whether the text ``NaN`` means that nothing was logged.
    ledger : Ledger

    Returns
    -------
    DataFrame
        With a column that marks targets that say "not a number".

    Raises
    ------
    DataError
        An unreadable cell, if strict.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"params": ["1.5B"], "loss": ["inf"], "run": [7]}, dtype=object)
    >>> wanted = Wanted(None, None, None, "loss", frozenset())
    >>> out = convert(frame, wanted, factors={}, decimal=".", nan_is_missing=False, ledger=Ledger())
    >>> out.drop(columns="__not_a_number__").values.tolist()
    [[1500000000.0, nan, '7']]
    """
    target, strict = wanted.target, wanted.strict
    labels = {*LABELS, *([wanted.group] if wanted.group else [])}
    must = {target, *wanted.inputs, *NUMERIC} - labels
    columns: dict[str, Any] = {}
    for name in frame.columns:
        cells = frame[name]
        if name in labels:
            columns[name] = as_text(cells)
        elif name in must:
            values, explicit = _quantity(cells, name, decimal, strict, ledger)
            factor = factors.get(name, 1.0)
            if factor != 1:
                values = values * factor
                ledger.add("converted", name, f"times {factor:g}, its unit", count=len(values))
            columns[name] = values
            if name == target:
                says = _infinite(cells) if nan_is_missing else explicit
                columns[EXPLICIT] = says
        else:
            columns[name] = _any_column(cells)
    out = type(frame)(columns, index=frame.index)
    if EXPLICIT not in out:
        out[EXPLICIT] = False
    return out


def _quantity(
    cells: pd.Series[Any], name: str, decimal: str, strict: bool, ledger: Ledger
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Numbers of a column, and which cells say "not a number"."""
    if cells.dtype.kind in "iuf":
        values = cells.to_numpy(dtype=float)
        infinite = np.isinf(values)
        return np.where(infinite, np.nan, values), infinite
    read = to_numbers(list(cells), decimal=decimal, suffixes=name in COUNTS)
    if read.unreadable:
        shown = [f"row {i}: {cells.iloc[i]!r}"[:60] for i in read.unreadable[:5]]
        message = (
            f"column '{name}' must hold numbers, but {len(read.unreadable)} cells do not: "
            f"{', '.join(shown)}. Correct them, or leave them blank"
        )
        if strict:
            raise DataError(f"{message}.")
        ledger.add("missing", name, "cells that are not numbers", count=len(read.unreadable),
                   examples=shown)  # fmt: skip
        ledger.note(
            Note("cells_unreadable", "warning", f"{message}; they are missing now",
                 {"column": name, "count": len(read.unreadable), "cells": shown})
        )  # fmt: skip
    if read.rewritten:
        changed = [c for c in cells if isinstance(c, str) and not c.replace(".", "").isdigit()]
        ledger.add("converted", name, "text such as 210M or 1,000 to numbers", count=read.rewritten,
                   examples=dict.fromkeys(changed))  # fmt: skip
    elif any(isinstance(c, str) for c in cells):
        texts = sum(isinstance(c, str) for c in cells)
        ledger.add("converted", name, "text to numbers", count=texts)
    return read.values, read.explicit


def _infinite(cells: pd.Series[Any]) -> NDArray[np.bool_]:
    """Cells that say "infinite", whatever NaN means."""
    if cells.dtype.kind in "iuf":
        return np.asarray(np.isinf(cells.to_numpy(dtype=float)), dtype=bool)
    words = ("inf", "+inf", "-inf", "infinity", "-infinity")
    return np.array(
        [
            (isinstance(c, str) and c.strip().lower() in words)
            or (isinstance(c, float) and np.isinf(c))
            for c in cells
        ],
        dtype=bool,
    )


def as_text(cells: pd.Series[Any]) -> NDArray[Any]:
    """Labels as text; whole numbers without a decimal point, missing ones None.

    Parameters
    ----------
    cells : Series

    Returns
    -------
    ndarray of object (n,)

    Examples
    --------
    >>> import pandas as pd
    >>> as_text(pd.Series(["a", 3.0, None], dtype=object)).tolist()
    ['a', '3', None]
    """
    out = np.empty(len(cells), dtype=object)
    for i, cell in enumerate(cells):
        if cell is None or str(cell) == "<NA>" or (np.ndim(cell) == 0 and cell != cell):
            out[i] = None
        elif isinstance(cell, float | np.floating) and float(cell).is_integer():
            out[i] = str(int(cell))
        else:
            out[i] = str(cell).strip()
    return out


def _any_column(cells: pd.Series[Any]) -> Any:
    """Turn a column of no known quantity into numbers or truth values where every cell is one."""
    if cells.dtype.kind in "iuf":
        return cells.to_numpy(dtype=float)
    if cells.dtype.kind == "M":
        return cells.to_numpy()
    values = list(cells)
    told = [v for v in values if v is not None]
    if told and all(str(v).strip().lower() in _TRUTH for v in told):
        truth = [None if v is None else _TRUTH[str(v).strip().lower()] for v in values]
        return np.array(truth, dtype=bool if len(told) == len(values) else object)
    numbers = plain_numbers(values)
    if numbers is not None:
        return numbers
    out = np.empty(len(values), dtype=object)
    out[:] = [v if v is None or isinstance(v, bool) else str(v) for v in values]
    return out


def settle_status(frame: pd.DataFrame, target: str, ledger: Ledger) -> pd.DataFrame:
    """Write how each run ended in ``status``: what the tracker says, or what the numbers show.

    A target that says "not a number", or a true ``diverged`` column, makes a row ``diverged``; a
    false ``finished`` column makes it ``unfinished``. Rows stay in the table.

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
    >>> frame = pd.DataFrame({"loss": [3.0, None], "__not_a_number__": [False, True]})
    >>> settle_status(frame, "loss", Ledger()).status.tolist()
    ['ok', 'diverged']
    """
    told = "status" in frame
    words: list[str | None] = [None] * len(frame)
    if told:
        words = [None if v is None else status_word(v) for v in frame["status"]]
    diverged = frame.pop(EXPLICIT).to_numpy(dtype=bool) | _truth(frame, "diverged", True)
    stopped = _truth(frame, "finished", False) | _truth(frame, "completed", False)
    if not told and not diverged.any() and not stopped.any():
        return frame
    missing = frame[target].isna().to_numpy()
    for i in range(len(frame)):
        if diverged[i] and (words[i] is None or words[i] in FINISHED):
            words[i] = "diverged"
        elif stopped[i] and (words[i] is None or words[i] in FINISHED):
            words[i] = "unfinished"
        elif words[i] is None and not told and not missing[i]:
            words[i] = "ok"
    frame = frame.assign(status=np.array(words, dtype=object))
    left = [w for w in words if w in UNFINISHED]
    if left:
        kinds = [f"{w}: {left.count(w)}" for w in dict.fromkeys(left)]
        ledger.add("kept", "rows", "runs that did not finish, with their status; fits leave them "
                   "out", count=len(left), examples=kinds)  # fmt: skip
    return frame


def _truth(frame: pd.DataFrame, name: str, value: bool) -> NDArray[np.bool_]:
    """Rows in which a column of truth values has the given one."""
    found = [c for c in frame.columns if normalised(str(c)) == name]
    if not found:
        return np.zeros(len(frame), dtype=bool)
    cells = list(frame[found[0]])
    if not all(c is None or c != c or c in (0, 1) for c in cells):
        return np.zeros(len(frame), dtype=bool)
    return np.array([c is not None and c == c and bool(c) is value for c in cells], dtype=bool)


def choose_status(frame: pd.DataFrame, status: str | Sequence[str], ledger: Ledger) -> pd.DataFrame:
    """Keep all rows, those of finished runs, or those with given statuses.

    Parameters
    ----------
    frame : DataFrame
    status : {"keep", "finished"} or sequence of str
    ledger : Ledger

    Returns
    -------
    DataFrame

    Raises
    ------
    DataError
        Nothing is left, or no such choice.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"loss": [3.0, 9.0], "status": ["finished", "crashed"]})
    >>> choose_status(frame, "finished", Ledger()).loss.tolist()
    [3.0]
    """
    if isinstance(status, str) and status not in {"keep", "finished"}:
        raise DataError(
            f"status must be 'keep', 'finished' or a list of statuses, got {status!r}."
            f"{suggest(status, ['keep', 'finished'])}"
        )
    if status == "keep" or "status" not in frame:
        return frame
    words = frame["status"].map(status_word)
    wanted = FINISHED if status == "finished" else {status_word(s) for s in status}
    keep = words.isin(wanted).to_numpy(dtype=bool)
    if not keep.any():
        raise DataError(f"no run has the status asked for. Found: {sorted(set(words))}.")
    lost = int((~keep).sum())
    if lost:
        counts = words[~keep].value_counts(sort=False)
        ledger.add("dropped", "rows", "status", rows=-lost, count=lost,
                   examples=[f"{k}: {v}" for k, v in counts.items()])  # fmt: skip
    return frame[keep].reset_index(drop=True)


def check_domains(frame: pd.DataFrame, names: Iterable[str], ledger: Ledger) -> pd.DataFrame:
    """Turn values that a quantity cannot have into missing ones, counted.

    Parameters
    ----------
    frame : DataFrame
    names : iterable of str
        Columns to check, where present.
    ledger : Ledger

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"tokens": [1e9, -9e18], "loss": [3.0, 2.9]})
    >>> ledger = Ledger()
    >>> check_domains(frame, ["tokens"], ledger).tokens.tolist()
    [1000000000.0, nan]
    >>> print(ledger.notes[0])
    values_invalid: 'tokens' must be positive and finite, but 1 rows are not, first -9e+18 in \
row 1; they are missing now. A count this negative is a 64-bit integer overflow
    """
    frame = frame.copy(deep=False)
    for name in dict.fromkeys(names):
        if name not in frame or frame[name].dtype.kind != "f":
            continue
        domain = quantity(name).domain
        values = frame[name].to_numpy(dtype=float)
        bad = np.zeros(len(values), dtype=bool)
        if domain == "positive":
            bad = values <= 0
        elif domain == "fraction":
            bad = (values < 0) | (values > 1)
        if not bad.any():
            continue
        first = int(np.flatnonzero(bad)[0])
        wanted = "positive and finite" if domain == "positive" else "in [0, 1]"
        hint = ""
        if domain == "positive" and values[bad].min() < -1e9:
            hint = ". A count this negative is a 64-bit integer overflow"
        elif domain == "fraction" and values[bad].max() <= 100 and values[bad].min() > 1:
            hint = f". If it is in per cent, pass units={{'{name}': 0.01}}"
        said = (
            f"'{name}' must be {wanted}, but {int(bad.sum())} rows are not, first "
            f"{values[first]:g} in row {first}; they are missing now{hint}"
        )
        ledger.add("missing", name, f"not {wanted}", count=int(bad.sum()),
                   examples=[f"{v:g}" for v in values[bad][:5]])  # fmt: skip
        ledger.note(
            Note("values_invalid", "warning", said, {"column": name, "count": int(bad.sum())})
        )
        frame[name] = np.where(bad, np.nan, values)
    return frame
