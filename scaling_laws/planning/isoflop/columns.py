"""Columns of a table of runs as checked numbers, for planning from measured runs alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling_laws.errors import DataError, PlanError, suggest
from scaling_laws.laws.family import Array
from scaling_laws.planning.amounts import within
from scaling_laws.quantities import LEAST, MOST, check_values, training_flops

if TYPE_CHECKING:
    import pandas as pd


def run_columns(
    question: str,
    runs: Any,
    names: Sequence[str],
    columns: Mapping[str, str] | None = None,
) -> tuple[dict[str, Array], NDArray[np.intp]]:
    """Return positive, finite columns of a table, and the positions of the rows kept.

    Compute is 6 N D where the table has no ``flops``.

    Rows that lack one of the values (NaN) are left out of all.

    Parameters
    ----------
    question : str
        What is asked, for messages.
    runs : DataFrame, mapping of columns, sequence of mappings, or the ``runs`` of a fit
    names : sequence of str
        The library's names of the columns.
    columns : mapping of str to str, optional
        The library's names to the table's.

    Raises
    ------
    PlanError
        A column is missing, holds no numbers, or is not positive and finite.

    Examples
    --------
    >>> table = {"params": [1e7, 2e7], "tokens": [1e9, float("nan")]}
    >>> columns, rows = run_columns("example", table, ("params", "flops"))
    >>> columns["flops"].tolist(), rows.tolist()
    ([6e+16], [0])
    """
    fetched = {n: _column(question, runs, n, dict(columns or {})) for n in names}
    sizes = {len(v) for v in fetched.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise PlanError(f"{question}: the table of runs is empty. Give one row a run.")
    missing = np.logical_or.reduce([np.isnan(v) for v in fetched.values()])
    kept = {n: v[~missing] for n, v in fetched.items()}
    if missing.all():
        raise PlanError(f"{question}: every row lacks one of {', '.join(names)}. Fill them in.")
    rows = np.flatnonzero(~missing)
    try:
        checked = {n: check_values(n, v, "positive", rows=list(rows)) for n, v in kept.items()}
    except DataError as error:
        raise PlanError(f"{question}: {error}") from None
    for name, values in checked.items():
        far = np.flatnonzero((values < LEAST) | (values > MOST))
        if len(far):
            value = float(values[far[0]])
            raise PlanError(
                f"{question}: '{name}' must be {within(value)}: row {rows[far[0]]} has {value}. "
                "Drop the row or correct the value."
            )
    return checked, rows


def as_table(question: str, runs: Any) -> pd.DataFrame:
    """Return a table of runs as a frame.

    Raises
    ------
    PlanError
        It is no table.
    """
    import pandas as pd

    if isinstance(runs, pd.DataFrame):
        return runs
    if isinstance(runs, str) or hasattr(runs, "__fspath__"):
        raise PlanError(f"{question}: runs must be a table, got {str(runs)!r}. Read it first.")
    try:
        return pd.DataFrame(runs)
    except (ValueError, TypeError) as error:
        raise PlanError(
            f"{question}: runs must be a table, got {type(runs).__name__}: {error}."
        ) from None


def _column(question: str, runs: Any, name: str, columns: Mapping[str, str]) -> Array:
    if callable(getattr(runs, "column", None)):
        try:
            return np.asarray(runs.column(name), dtype=float)
        except DataError as error:
            raise PlanError(f"{question}: {error}") from None
    frame = as_table(question, runs)
    column = columns.get(name, name)
    if column in frame.columns:
        return _numbers(question, column, frame[column])
    if name == "flops":
        parts = (_column(question, frame, n, columns) for n in ("params", "tokens"))
        return np.asarray(training_flops(*parts))
    have = [str(c) for c in frame.columns]
    raise PlanError(
        f"{question} needs a column '{column}'.{suggest(column, have)} Found: {', '.join(have)}. "
        f"Map your names with columns={{'{name}': ...}}."
    )


def _numbers(question: str, column: str, values: Any) -> Array:
    if values.ndim == 1 and values.dtype.kind in "iuf":
        return np.asarray(values.to_numpy(dtype=float, na_value=np.nan))
    if values.ndim == 1 and values.dtype.kind == "O":
        plain = [v for v in values if v is not None]
        if not any(isinstance(v, str | bytes | bool) for v in plain):
            try:
                return np.array([np.nan if v is None else float(v) for v in values])
            except (TypeError, ValueError, OverflowError):
                pass
    raise PlanError(
        f"{question}: column '{column}' must hold numbers, got {np.asarray(values).ravel()[:1]!r}. "
        "Write counts out, such as 7e9 for '7B'."
    )
