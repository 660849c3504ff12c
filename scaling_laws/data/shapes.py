"""Shapes of tables that trackers write, and how each becomes one row per run and step."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.data.aliases import match_columns, normalised
from scaling_laws.data.read_report import Ledger, joined
from scaling_laws.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

HISTORIES = frozenset(
    {"wandb_history", "wandb_chart", "metric_history", "trainer_state", "lightning", "tensorboard"}
)
"""Shapes with one row per logging call: rows of one step belong together."""
SINGLE_VALUES = frozenset({"metric_history", "tensorboard"})
"""Shapes with one row per value, which is there because it was logged: also where it is NaN."""
SHAPES = ("table", "spreadsheet", "wandb_runs", "mlflow", "learning_curve", *sorted(HISTORIES))
_PREFIXES = ("metrics.", "summary.", "params.", "config.")  # measured values before settings
_LONGEST_CELL = 100_000  # characters of a cell that holds a whole record
_MOST_BRACKETS = 30  # nested ones in such a cell


def detect_shape(frame: pd.DataFrame) -> str:
    """Tell the shape of a table from its columns.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    str
        One of ``SHAPES``.

    Examples
    --------
    >>> import pandas as pd
    >>> detect_shape(pd.DataFrame({"_step": [0], "eval/loss": [3.0]}))
    'wandb_history'
    >>> detect_shape(pd.DataFrame({"Step": [0], "run-a - eval/loss": [3.0]}))
    'wandb_chart'
    >>> detect_shape(pd.DataFrame({"run_id": ["a"], "metrics.loss": [3.0], "params.lr": ["0.1"]}))
    'mlflow'
    """
    names = [str(c) for c in frame.columns]
    plain = {normalised(n) for n in names}
    if "_step" in names or {"_runtime", "_timestamp"} <= set(names):
        return "wandb_runs" if _one_row_a_run(frame, names) else "wandb_history"
    if any(n.startswith(("metrics.", "params.")) for n in names) and "run_id" in names:
        return "mlflow"
    if len(names) > 1 and all(" - " in n for n in names[1:]):
        return "wandb_chart"
    if {"step", "value"} <= plain and (plain & {"key", "tag"} or plain == _BOARD_CSV):
        return "metric_history"
    dotted = any(n.startswith(("summary.", "config.", "metrics.")) for n in names)
    if dotted or {"summary", "config"} <= plain or {"Name", "State"} <= set(names):
        return "wandb_runs"
    if {"epoch", "step"} <= plain and not {"run", "params"} & set(match_columns(names)):
        return "lightning"
    return "table"


def _one_row_a_run(frame: pd.DataFrame, names: Sequence[str]) -> bool:
    labels = {"run", "run_id", "run_name", "name", "id", "display_name"}
    found = [i for i, name in enumerate(names) if normalised(name) in labels]
    return len(frame) > 1 and any(frame.iloc[:, i].nunique() == len(frame) for i in found)


_BOARD_CSV = {"wall_time", "step", "value"}


def reshape(frame: pd.DataFrame, shape: str, target: str, ledger: Ledger) -> pd.DataFrame:
    """Return a tracker's table with one column per quantity.

    Parameters
    ----------
    frame : DataFrame
    shape : str
        One of ``SHAPES``.
    target : str
        Name for the values of a table that does not name its one metric.
    ledger : Ledger

    Returns
    -------
    DataFrame

    Raises
    ------
    DataError
        The table does not have that shape.

    Examples
    --------
    >>> import pandas as pd
    >>> chart = pd.DataFrame({"Step": [0, 9], "a - loss": [4.0, 3.0], "b - loss": [4.1, None]})
    >>> reshape(chart, "wandb_chart", "loss", Ledger()).values.tolist()
    [[0, 'a', 4.0], [9, 'a', 3.0], [0, 'b', 4.1]]
    """
    actions: dict[str, Callable[[pd.DataFrame, str, Ledger], pd.DataFrame]] = {
        "wandb_chart": _from_chart,
        "metric_history": _from_long,
        "tensorboard": _from_long,
        "wandb_runs": _from_run_table,
        "mlflow": _from_run_table,
        "wandb_history": _from_history,
    }
    return actions[shape](frame, target, ledger) if shape in actions else frame


def _from_history(frame: pd.DataFrame, _target: str, ledger: Ledger) -> pd.DataFrame:
    if "_step" not in frame.columns:
        raise DataError("a W&B history needs its column '_step'. Export it with all columns.")
    others = [c for c in frame.columns if normalised(str(c)) == "step" and c != "_step"]
    if others:
        frame = frame.rename(columns={c: f"logged_{normalised(c)}" for c in others})
        ledger.add("renamed", joined(others), "'_step' orders the rows", count=len(others))
    return frame


def _from_chart(frame: pd.DataFrame, _target: str, ledger: Ledger) -> pd.DataFrame:
    """``Step``, then per run ``<run> - <metric>``, with ``__MIN`` and ``__MAX`` beside it."""
    import pandas as pd

    first, *rest = [str(c) for c in frame.columns]
    bands = [c for c in rest if c.endswith(("__MIN", "__MAX"))]
    metrics = [c for c in rest if " - " in c and c not in bands]
    if not metrics:
        raise DataError(
            "a W&B chart needs columns named '<run> - <metric>'. Found: " + joined(rest)
        )
    parts: dict[str, list[pd.DataFrame]] = {}
    for column in metrics:
        run, _, metric = column.rpartition(" - ")
        filled = frame[column].notna().to_numpy()
        part = frame.loc[filled, [first]].assign(run=run).assign(**{metric: frame[column][filled]})
        parts.setdefault(run, []).append(part)
    if bands:
        ledger.add("dropped", "columns", "__MIN and __MAX of sampled steps", count=len(bands))
    out = pd.concat([p for run in parts.values() for p in run], ignore_index=True)
    for name in dict.fromkeys(c.rpartition(" - ")[2] for c in metrics):  # of another part: None
        out[name] = out[name].astype(object).where(out[name].notna(), None)
    ledger.add("reshaped", "rows", "one row per run and step", rows=len(out) - len(frame),
               count=len(frame))  # fmt: skip
    return out


def _from_long(frame: pd.DataFrame, target: str, ledger: Ledger) -> pd.DataFrame:
    """One row a value, as ``step, key, value``: one column a key instead."""
    import pandas as pd

    names = {normalised(str(c)): c for c in frame.columns}
    if not {"step", "value"} <= set(names):
        raise DataError(
            "a table of single values needs the columns step and value. Found: "
            f"{joined(list(names))}."
        )
    key = names.get("key", names.get("tag"))
    if key is not None:
        ledger.add("reshaped", str(key), "one column a name", count=frame[key].nunique())
    label = next((names[n] for n in ("run_id", "run", "dir_name") if n in names), None)
    renamed = {names["step"]: "step", **({label: "run"} if label else {})}
    wide = frame.rename(columns=renamed)
    time = [names[n] for n in ("timestamp", "wall_time") if n in names]
    wide = wide.drop(columns=time)
    if key is None:
        return wide.rename(columns={names["value"]: target})
    tags = [str(v) if v is not None and v == v else None for v in wide[key]]
    values = list(wide[names["value"]])
    for tag in dict.fromkeys(t for t in tags if t is not None):
        here = [t == tag for t in tags]
        told = [v if h else None for v, h in zip(values, here, strict=True)]
        # As objects: a column of text would turn None, not logged, into NaN, which diverged.
        wide[tag] = pd.Series(told, index=wide.index, dtype=object)
    return wide.drop(columns=[key, names["value"]])


def _from_run_table(frame: pd.DataFrame, _target: str, ledger: Ledger) -> pd.DataFrame:
    """One row a run; prefixes such as ``config.`` and ``metrics.`` go."""
    frame = _unpack(frame, ledger)
    names = [str(c) for c in frame.columns]
    frame = frame.set_axis(names, axis=1)
    internal = [
        n for n in names if n.startswith(("tags.mlflow.", "summary._wandb", "config._wandb"))
    ]
    if internal:
        frame = frame.drop(columns=internal)
        ledger.add("dropped", "columns", "the tracker's own", count=len(internal))
    new: dict[str, str] = {}
    taken = {n for n in frame.columns if not n.startswith(_PREFIXES)}
    for prefix in _PREFIXES:
        for name in [n for n in frame.columns if n.startswith(prefix) and len(n) > len(prefix)]:
            short = name.removeprefix(prefix)
            if short not in taken:
                new[name] = short
                taken.add(short)
    if new:
        found = [p for p in _PREFIXES if any(n.startswith(p) for n in new)]
        ledger.add("renamed", joined(found), "prefixes taken off", count=len(new))
    kept = [n for n in frame.columns if n.startswith(_PREFIXES) and n not in new]
    if kept:
        ledger.add("kept", joined(kept), "the name without prefix is taken", count=len(kept))
    frame = frame.rename(columns=new)
    if "error" in frame.columns and not _any_number(frame["error"]):
        frame = frame.rename(columns={"error": "failure"})  # text; 'error' is an error rate
    return frame


def _any_number(cells: pd.Series[Any]) -> bool:
    return any(isinstance(c, int | float) and not isinstance(c, bool) and c == c for c in cells)


def _unpack(frame: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """Spread cells that hold a whole record, as in ``summary`` and ``config``."""
    import pandas as pd

    from scaling_laws.data.json_tables import flatten

    for name in [c for c in frame.columns if str(c).strip().lower() in {"summary", "config"}]:
        records = [parse_record(cell) for cell in frame[name]]
        bad = [i for i, r in enumerate(records) if r is None and frame[name].iloc[i] is not None]
        flat = [{} if r is None else flatten(r) for r in records]
        keys = list(dict.fromkeys(k for r in flat for k in r))
        prefix = str(name).strip().lower()
        columns = {f"{prefix}.{k}": [r.get(k) for r in flat] for k in keys}
        spread = pd.DataFrame(columns, dtype=object, index=frame.index)
        frame = pd.concat([frame.drop(columns=[name]), spread], axis=1)
        ledger.add("reshaped", str(name), "records spread over columns", count=len(keys))
        if bad:
            ledger.add("missing", str(name), "cells that are no record", count=len(bad),
                       examples=[f"row {i}" for i in bad])  # fmt: skip
    return frame


def parse_record(cell: Any) -> Mapping[str, Any] | None:
    """Return the record in a cell, written as JSON or as Python shows a dict; never executed.

    Parameters
    ----------
    cell : object

    Returns
    -------
    mapping or None
        None if it is no record.

    Examples
    --------
    >>> parse_record("{'loss': 3.0, 'name': None}"), parse_record('{"loss": 3.0}')
    ({'loss': 3.0, 'name': None}, {'loss': 3.0})
    >>> parse_record("__import__('os').getcwd()") is None
    True
    """
    import json

    if isinstance(cell, Mapping):
        return cell
    if not isinstance(cell, str) or len(cell) > _LONGEST_CELL or not cell.startswith("{"):
        return None
    if _deepest(cell) > _MOST_BRACKETS:
        return None
    for parse in (json.loads, ast.literal_eval):  # constants only: no names, no calls
        try:
            found = parse(cell)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
        return found if isinstance(found, dict) else None
    return None


def _deepest(text: str) -> int:
    """Deepest nesting of brackets and of signs that stack, an upper bound."""
    depth = most = 0
    for c in text:
        if c in "([{":
            depth += 1
            most = max(most, depth)
        elif c in ")]}":
            depth -= 1
    runs = [len(r) for r in re.findall(r"[-+~\s]{2,}", text) if r.strip()]
    return max([most, *runs])


def learning_curve_frame(curve: Sequence[Any], target: str, ledger: Ledger) -> pd.DataFrame:
    """Return the tuple of ``sklearn.model_selection.learning_curve`` with one row a size and fold.

    Scores are better the higher: ``target="error"`` takes one minus the score, and a target that is
    better the lower takes the score's negative where all scores are negative (``neg_log_loss``).
    Sizes that failed (NaN) stay, with status ``"failed"``.

    Parameters
    ----------
    curve : sequence of array_like
        Sizes (n,); training and test scores, each (n, folds); optionally times to fit and score
        [s], each (n, folds). Four one-dimensional arrays are sizes, training, validation and test
        scores.
    target : str
    ledger : Ledger

    Returns
    -------
    DataFrame
        ``samples``, ``fold``, the target, ``train_<target>``, ``status``, and ``seconds`` if timed.

    Raises
    ------
    DataError
        Shapes do not agree, or a target that the scores cannot be.

    Examples
    --------
    >>> curve = ([10, 20], [[1.0, 0.9], [0.9, 0.9]], [[0.5, 0.7], [0.8, float("nan")]])
    >>> frame = learning_curve_frame(curve, "accuracy", Ledger())
    >>> frame[["samples", "fold", "accuracy", "status"]].values.tolist()[2:]
    [[20.0, 0, 0.8, 'ok'], [20.0, 1, nan, 'failed']]
    """
    import pandas as pd

    arrays = _curve_arrays(curve)
    sizes, train, test = arrays[0], arrays[1], arrays[-1] if len(arrays) == 4 else arrays[2]
    folds = test.shape[1]
    sign = _score_sign(test, target)
    if sign is not None:
        ledger.add("converted", target, f"from scores: {sign[0]}", count=test.size)
    offset, scale = (0.0, 1.0) if sign is None else sign[1]
    columns: dict[str, Any] = {
        "samples": np.repeat(sizes[:, 0], folds),
        "fold": np.tile(np.arange(folds), len(sizes)),
        target: offset + scale * test.ravel(),
        f"train_{target}": offset + scale * train.ravel(),
        "status": np.where(np.isnan(test.ravel()), "failed", "ok"),
    }
    if len(arrays) == 5:
        columns["seconds"] = arrays[3].ravel()
    elif len(arrays) == 4:
        columns[f"valid_{target}"] = offset + scale * arrays[2].ravel()
    out = pd.DataFrame(columns)
    ledger.add("reshaped", "rows", "one row per size and fold", rows=len(out) - len(sizes),
               count=len(sizes))  # fmt: skip
    return out


def _curve_arrays(curve: Sequence[Any]) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    arrays = []
    try:
        for item in curve:
            array = np.asarray(item, dtype=float)
            arrays.append(array[:, None] if array.ndim == 1 else array)
    except (TypeError, ValueError):
        raise DataError(
            "a learning curve must be arrays of numbers: sizes, training scores, test scores."
        ) from None
    shapes = [a.shape for a in arrays]
    n = len(arrays[0]) if arrays and arrays[0].ndim == 2 else 0
    bad = (
        not 3 <= len(arrays) <= 5
        or not n
        or shapes[0] != (n, 1)
        or any(a.ndim != 2 or not a.size for a in arrays)
        or len(set(shapes[1:])) != 1
        or shapes[1][0] != n
        or (len(arrays) == 4 and shapes[1][1] != 1)
    )
    if bad:
        raise DataError(
            f"a learning curve is (sizes, train_scores, test_scores[, fit_times, score_times]) "
            f"with shapes (n,), (n, folds), ...; got {shapes}. Pass what "
            "sklearn.model_selection.learning_curve returned."
        )
    return arrays


def _score_sign(
    test: np.ndarray[Any, np.dtype[np.float64]], target: str
) -> tuple[str, tuple[float, float]] | None:
    """How a target follows from scores: words, and (offset, scale); None if it is the score."""
    from scaling_laws.quantities import quantity

    if quantity(target).direction == "higher":
        return None
    scores = test[np.isfinite(test)]
    if target == "error" and scores.size and (scores >= 0).all() and (scores <= 1).all():
        return "1 - score", (1.0, -1.0)
    if scores.size and (scores <= 0).all():
        return "-score", (0.0, -1.0)
    raise DataError(
        f"the scores of a learning curve are better the higher, '{target}' the lower, and the "
        "scores are not all negative. Name what was scored, for example target='accuracy', or "
        "target='error' for one minus the accuracy."
    )
