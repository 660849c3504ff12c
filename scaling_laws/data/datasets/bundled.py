"""Measured data sets that come with the library, each with how it was made."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING

from scaling_laws.errors import DataError, suggest

if TYPE_CHECKING:
    import pandas as pd

_HERE = "scaling_laws.data.datasets"


def list_datasets() -> list[str]:
    """Names of the bundled data sets.

    Returns
    -------
    list of str
        In alphabetical order; each can be given to :func:`load_dataset`.

    Examples
    --------
    >>> "tiny_lm" in list_datasets()
    True
    """
    files = resources.files(_HERE).iterdir()
    return sorted(file.name.removesuffix(".csv") for file in files if file.name.endswith(".csv"))


def load_dataset(name: str) -> pd.DataFrame:
    """Load a bundled data set: one row per run, measured by this library's own ``sweep``.

    Parameters
    ----------
    name : str
        One of :func:`list_datasets`.

    Returns
    -------
    DataFrame
        ``frame.attrs`` says how it was made: ``description``, ``columns`` (meaning and unit of
        each), ``command``, ``date``, ``versions``, ``total_seconds`` [s], ``threads_per_run``.

    Raises
    ------
    DataError
        If there is no data set of that name.

    Examples
    --------
    >>> runs = load_dataset("tiny_lm")
    >>> runs.attrs["columns"]["loss"]
    'cross entropy of the next byte on held-out files [nats per byte]'
    """
    import pandas as pd

    known = list_datasets()
    if name not in known:
        raise DataError(
            f"unknown data set {name!r}.{suggest(str(name), known)} Bundled: {', '.join(known)}."
        )
    folder = resources.files(_HERE)
    with folder.joinpath(f"{name}.csv").open("rb") as file:
        frame = pd.read_csv(file)
    frame.attrs.update(json.loads(folder.joinpath(f"{name}.json").read_text(encoding="utf-8")))
    return frame
