"""One source read to numbers under the library's names; several put below each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.converting import convert
from scaling_laws.data.histories import EXPLICIT
from scaling_laws.data.naming import name_columns, rename
from scaling_laws.data.read_report import Ledger, joined
from scaling_laws.data.shapes import HISTORIES, SHAPES, SINGLE_VALUES, detect_shape, reshape
from scaling_laws.data.sources import Wanted, label_of, load
from scaling_laws.errors import DataError, suggest

if TYPE_CHECKING:
    import pandas as pd

_TRACKER_TABLES = frozenset({"wandb_runs", "mlflow"})


def read_one(
    source: Any, label: str | None, wanted: Wanted, ledger: Ledger, *, several: bool
) -> tuple[pd.DataFrame, str, int]:
    """Read one source.

    Parameters
    ----------
    source : object
        As for :func:`scaling_laws.data.sources.load`.
    label : str or None
        Name of the run, for a log that does not name it.
    wanted : Wanted
    ledger : Ledger
    several : bool
        Whether it is one of several sources.

    Returns
    -------
    DataFrame
        Numbers and labels under the library's names.
    str
        Its shape.
    int
        Records it had.

    Examples
    --------
    >>> wanted = Wanted(None, None, None, "loss", frozenset())
    >>> table = {"N": ["1M"], "L": [3.0]}
    >>> frame, shape, read = read_one(table, None, wanted, Ledger(), several=False)
    >>> frame.params.tolist(), shape, read
    ([1000000.0], 'table', 1)
    """
    raw = load(source, wanted, ledger)
    target, group = wanted.target, wanted.group
    asked = wanted.format if wanted.format in SHAPES else None
    shape = asked or raw.shape or detect_shape(raw.frame)
    frame = reshape(_checked(raw.frame), shape, target, ledger)
    have = [str(c) for c in _checked(frame).columns]
    if group is not None and group not in have:
        raise DataError(
            f"group={group!r} is not a column.{suggest(group, have)} Found: {joined(have, 30)}."
        )
    naming = name_columns(have, wanted, tracker=shape in _TRACKER_TABLES, ledger=ledger)
    mean = _average(frame, naming.averaged, wanted, raw.decimal, ledger)
    frame = _checked(rename(frame, naming, target, ledger))
    frame = frame if mean is None else frame.assign(**{target: mean})
    history = shape in HISTORIES
    silent = history and not raw.marks_missing and shape not in SINGLE_VALUES
    frame = convert(
        frame, wanted, factors=naming.factors, decimal=raw.decimal, nan_is_missing=silent,
        ledger=ledger,
    )  # fmt: skip
    if "run" not in frame and (history or (several and "step" in frame)):
        name = label or raw.label or "run"
        frame["run"] = np.array([name] * len(frame), dtype=object)
    return frame, shape, raw.read


def _checked(frame: pd.DataFrame) -> pd.DataFrame:
    if not len(frame.columns) or not len(frame):
        raise DataError("the table of runs is empty. Give one row per run.")
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise DataError(f"the table has several columns named '{twice[0]}'. Rename all but one.")
    return frame


def _average(
    frame: pd.DataFrame, names: Sequence[str], wanted: Wanted, decimal: str, ledger: Ledger
) -> NDArray[np.float64] | None:
    """Mean of several columns, missing where one of them is; None where there are none."""
    if not names:
        return None
    each = replace(wanted, target=names[0], inputs=tuple(names))
    parts = convert(
        frame[list(names)], each, factors={}, decimal=decimal, nan_is_missing=True, ledger=ledger
    )
    values = parts[list(names)].to_numpy(dtype=float)
    ledger.add("derived", wanted.target, f"mean of {joined(list(names))}", count=len(frame))
    return np.asarray(values.mean(axis=1), dtype=float)


def below(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put tables below each other; a column that one of them lacks is missing there.

    Parameters
    ----------
    frames : sequence of DataFrame
        As :func:`read_one` returns them.

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> import pandas as pd
    >>> parts = [pd.DataFrame({"loss": [3.0]}), pd.DataFrame({"loss": [2.0], "lr": [0.1]})]
    >>> below([part.assign(__not_a_number__=False) for part in parts]).lr.tolist()
    [nan, 0.1]
    """
    import pandas as pd

    if len(frames) == 1:
        return frames[0]
    names = list(dict.fromkeys(n for f in frames for n in f.columns))
    columns: dict[str, Any] = {}
    for name in names:
        kinds = {f[name].dtype.kind for f in frames if name in f}
        blank: Any = np.nan if kinds == {"f"} else None
        parts = [
            f[name].to_numpy() if name in f else np.full(len(f), blank, dtype=object)
            for f in frames
        ]
        joined_cells = np.concatenate([p.astype(object) for p in parts])
        kind: Any = float if kinds == {"f"} else object
        columns[name] = joined_cells.astype(kind)
    columns[EXPLICIT] = np.array([bool(v) for v in columns[EXPLICIT]])
    return pd.DataFrame(columns)


def run_labels(sources: Sequence[Any]) -> list[str | None]:
    """Names of runs by file: as short as keeps apart files of different folders.

    Parameters
    ----------
    sources : sequence

    Returns
    -------
    list of str or None

    Examples
    --------
    >>> run_labels([Path("a/metrics.csv"), Path("b/metrics.csv"), Path("b/c.csv")])
    ['a', 'b', 'c']
    """
    labels: list[str | None] = []
    homes: dict[str, set[str]] = {}
    for i, source in enumerate(sources):
        if not isinstance(source, Path):
            labels.append(f"source-{i + 1}" if len(sources) > 1 else None)
            continue
        label = source.name if source.is_dir() else label_of(source)
        labels.append(label)
        homes.setdefault(label, set()).add(_home(source))
    for i, source in enumerate(sources):
        name = labels[i]
        if name is not None and isinstance(source, Path) and len(homes[name]) > 1:
            labels[i] = f"{Path(_home(source)).parent.name}/{name}"
    return labels


def _home(path: Any) -> str:
    """What distinguishes a run: its file, or the folder of its checkpoints."""
    folder = path.absolute().parent
    inside = folder.name.startswith("checkpoint-")
    return str(folder.parent if inside else folder if path.name == "metrics.csv" else path)
