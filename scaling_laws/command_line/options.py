"""What the options of a command mean: tables, names, name=value pairs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import scaling_laws as sl
from scaling_laws.errors import DataError, suggest

if TYPE_CHECKING:
    import pandas as pd

SELECT = "select"  # in place of a law's name: weigh several
BUDGETS = {
    "flops": "[FLOP]",
    "seconds": "of wall time [s]",
    "days": "of wall time [days]",
    "device_hours": "[device-hours]",
    "dollars": "[dollars]",
}


def split_names(text: str) -> list[str] | None:
    """Return names separated by commas; None where there are none."""
    return [n.strip() for n in text.split(",") if n.strip()] or None


def split_pairs(option: str, pairs: Sequence[str], example: str) -> dict[str, str]:
    """Return name=value arguments as a mapping."""
    out = {}
    for pair in pairs:
        if not pair.strip():
            continue
        name, sign, value = (part.strip() for part in pair.partition("="))
        if not (name and sign and value):
            raise DataError(
                f"{option} takes name=value pairs, got '{pair.strip()}'. For example {example}."
            )
        out[name] = value
    return out


def fit_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return what `fit` and `select` are both asked for."""
    return {
        "target": options.target,
        "seed": options.seed,
        "draws": options.draws,
        "inputs": split_names(options.inputs),
    }


def read_table(options: argparse.Namespace) -> pd.DataFrame:
    """Read the table as `scaling_laws.read_runs` does: names, units, one row a run."""
    path = Path(options.table)
    if not path.exists():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"there is no file '{path}'.{suggest(path.name, beside)}")
    columns = split_pairs("--columns", options.columns.split(","), "params=N,tokens=D")
    return sl.read_runs(
        path, target=options.target, inputs=split_names(options.inputs), columns=columns
    )
