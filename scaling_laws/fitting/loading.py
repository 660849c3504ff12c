"""`load`: what the ``save`` of a result wrote, restored."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling_laws.errors import DataError, ScalingLawError
from scaling_laws.fitting.chain import Chain, chain_from_dict
from scaling_laws.fitting.file_format import FORMAT_VERSION
from scaling_laws.fitting.groups import GroupedFit, grouped_from_dict
from scaling_laws.fitting.result import Fit
from scaling_laws.fitting.saved_fits import fit_from_dict
from scaling_laws.fitting.saved_selections import (
    grouped_selection_from_dict,
    selection_from_dict,
)
from scaling_laws.fitting.selected_groups import GroupedSelection
from scaling_laws.fitting.selection import Selection

_KINDS = ("Fit", "GroupedFit", "Selection", "GroupedSelection", "Chain")


def load(
    path: str | os.PathLike[str],
) -> Fit | GroupedFit | Selection | GroupedSelection | Chain:
    """Read what the ``save`` of a fit, a selection, one of groups, or a chain wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    Fit, GroupedFit, Selection, GroupedSelection or Chain
        What was saved.

    Raises
    ------
    DataError
        Not such a file, or written by a newer version of the format.
    LawError
        Its law is not registered here.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "notes.json")
    >>> with open(path, "w") as file: _ = file.write("[]")
    >>> load(path)
    Traceback (most recent call last):
        ...
    scaling_laws.errors.DataError: notes.json is not a saved fit. Write one with fit.save(path).
    """
    file = Path(path)
    not_a_fit = f"{file.name} is not a saved fit. Write one with fit.save(path)."
    try:
        data = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise DataError(f"there is no file '{file}'. Check the path.") from None
    except (OSError, ValueError):
        raise DataError(not_a_fit) from None
    if not isinstance(data, dict) or data.get("kind") not in _KINDS:
        raise DataError(not_a_fit)
    if data.get("format", 0) > FORMAT_VERSION:
        raise DataError(
            f"{file.name} has format {data['format']}, written by version {data.get('version')}; "
            f"this version reads up to format {FORMAT_VERSION}. Upgrade scaling_laws."
        )
    try:
        return _restored(data)
    except ScalingLawError:
        raise
    except (KeyError, TypeError, IndexError, ValueError, OverflowError, AttributeError) as error:
        raise DataError(f"{file.name} is damaged ({type(error).__name__}: {error}).") from None


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def _restored(data: Mapping[str, Any]) -> Fit | GroupedFit | Selection | GroupedSelection | Chain:
    if data["kind"] == "Chain":
        return chain_from_dict(data)
    if data["kind"] == "GroupedFit":
        return grouped_from_dict(data)
    if data["kind"] == "Selection":
        return selection_from_dict(data)
    if data["kind"] == "GroupedSelection":
        return grouped_selection_from_dict(data)
    return fit_from_dict(data)
