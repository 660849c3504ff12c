"""What a table does not say and its reader does: constants of all runs, or of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.data.converting import NUMERIC
from scaling_laws.data.read_report import Ledger, joined
from scaling_laws.errors import DataError, suggest

if TYPE_CHECKING:
    import pandas as pd

Constants = Mapping[str, Any] | Mapping[str, Mapping[str, Any]]


def add_constants(frame: pd.DataFrame, constants: Constants, ledger: Ledger) -> pd.DataFrame:
    """Fill missing cells with what the caller says of all runs, or of each.

    Parameters
    ----------
    frame : DataFrame
    constants : mapping
        Names to values, or runs to such mappings.
    ledger : Ledger

    Returns
    -------
    DataFrame

    Raises
    ------
    DataError
        An unknown run, or a value that is neither a number nor text.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"run": ["a", "b"], "loss": [3.0, 2.9]})
    >>> add_constants(frame, {"a": {"params": 1e6}}, Ledger()).params.tolist()
    [1000000.0, nan]
    """
    if not constants:
        return frame
    nested = [isinstance(v, Mapping) for v in constants.values()]
    if any(nested) and not all(nested):
        raise DataError("constants= must map names to values, or runs to such mappings, not both.")
    if not all(nested):
        return _fill(frame, np.ones(len(frame), dtype=bool), constants, ledger, "all runs")
    if "run" not in frame:
        raise DataError(
            "constants= gives values by run, but no column names the runs. Map one with "
            "columns={'run': ...}."
        )
    runs = [r for r in dict.fromkeys(frame["run"]) if r is not None]
    for label, values in constants.items():
        here = (frame["run"] == str(label)).to_numpy(dtype=bool)
        if not here.any():
            raise DataError(
                f"constants= names the run {label!r}, which is not in the table."
                f"{suggest(str(label), runs)} Found: {joined(runs)}."
            )
        frame = _fill(frame, here, values, ledger, f"run {label}")
    return frame


def _fill(
    frame: pd.DataFrame, here: Any, values: Mapping[str, Any], ledger: Ledger, whom: str
) -> pd.DataFrame:
    frame = frame.copy(deep=False)
    for name, value in values.items():
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if name in NUMERIC and not (number and np.isfinite(float(value))):
            raise DataError(
                f"constants= gives {value!r} for '{name}', which is a number. Give it in raw units."
            )
        if not number and not isinstance(value, str | bool):
            raise DataError(f"constants= gives {value!r} for '{name}'. Give a number or text.")
        blank: Any = np.nan if number else None
        kind: Any = float if number else object
        old = frame[name] if name in frame else np.full(len(frame), blank, dtype=kind)
        cells = np.asarray(old).astype(object)
        missing = np.array([c is None or c != c for c in cells], dtype=bool) & here
        cells[missing] = float(value) if number else value
        all_numbers = all(c is None or isinstance(c, float) for c in cells) and number
        frame[name] = cells.astype(float) if all_numbers else cells
        ledger.add("filled", name, "as the caller said", count=missing.sum(),
                   examples=[f"{value} for {whom}"])  # fmt: skip
    return frame
