"""A table of runs as it was given, and what its columns are said to mean."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from scaling_laws.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def frame_of(table: Any) -> pd.DataFrame:
    """Return a table of runs as a frame of one row or more.

    Raises
    ------
    DataError
        No table, or an empty one.

    Examples
    --------
    >>> frame_of({"loss": [3.0]}).loss.tolist()
    [3.0]
    """
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        frame = table
    elif isinstance(table, str) or hasattr(table, "__fspath__"):
        raise DataError(
            f"runs must be a table, got the path {str(table)!r}. Read it first, with "
            "read_runs or pandas.read_csv."
        )
    else:
        try:
            frame = pd.DataFrame(table)
        except (ValueError, TypeError, OverflowError) as error:
            raise DataError(
                f"runs must be a DataFrame, a mapping of columns or a list of mappings, got "
                f"{type(table).__name__}: {error}."
            ) from None
    if not len(frame):
        raise DataError("the table of runs is empty. Give at least one row per coefficient.")
    return frame


def columns_of(columns: Any) -> dict[str, Any]:
    """Return ``columns=`` as a mapping of names to names.

    Raises
    ------
    DataError
        Something else.

    Examples
    --------
    >>> columns_of({"params": "N"})
    {'params': 'N'}
    """
    if columns is None:
        return {}
    if not isinstance(columns, Mapping):
        raise DataError(
            f"columns must map names to the table's, such as {{'loss': 'val_loss'}}, got "
            f"{columns!r}."
        )
    for name, column in columns.items():
        if not isinstance(column, Hashable):
            raise DataError(f"columns= of '{name}' must name a column, got {column!r}.")
    return dict(columns)
