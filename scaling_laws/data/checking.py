"""From a user's table to checked arrays: columns found, rows judged, clusters labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_laws.data.aliases import ALIASES
from scaling_laws.data.hashing import hash_labels, hash_rows, mix_bits
from scaling_laws.data.labelling import RUN_COLUMNS, cluster_labels, group_labels, inferred_runs
from scaling_laws.data.read_report import report_of
from scaling_laws.data.runs import Runs
from scaling_laws.data.statuses import FINISHED, NO_STATUS, UNFINISHED, status_word
from scaling_laws.data.tables import columns_of, frame_of
from scaling_laws.errors import DataError, Note, suggest
from scaling_laws.laws.family import LawFamily, input_domain
from scaling_laws.quantities import (
    LEAST,
    MOST,
    TARGET_NAMES,
    check_values,
    quantity,
    training_flops,
)

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

_HUGE = 1e150  # weights beyond are scaled: their squares have no float


def check_runs(
    table: Any,
    family: LawFamily,
    target: str,
    *,
    columns: Mapping[str, str] | None = None,
    weights: str | ArrayLike | None = None,
    cluster: str | ArrayLike | None = None,
    group: str | None = None,
    positive_target: bool = False,
) -> Runs:
    """Return the rows a law can be fitted to, or say what is wrong with the table.

    Rows with a missing value, or whose ``status`` column says they did not finish, are left out
    together with their weight and cluster, and counted in a note. Zero, negative or infinite
    values where they cannot be, and sizes beyond 1e-100 and 1e100, are errors that name the row.

    Parameters
    ----------
    table : DataFrame, mapping of columns, or sequence of mappings
        One row a run (or a checkpoint of one).
    family : LawFamily
        Says which inputs are needed.
    target : str
        Measured quantity to fit.
    columns : mapping of str to str, optional
        The library's names to the table's.
    weights : str or array_like, optional
        Column, or one non-negative number a row.
    cluster : str or array_like, optional
        Column or labels of what belongs together. Default: a column ``run`` or ``run_id``, else
        rows of one configuration and seed where a column says which checkpoint or step they are,
        else each row by itself.
    group : str, optional
        Column of what is fitted apart, text or numbers; kept as ``groups``.
    positive_target : bool
        Whether the target must be positive (log residuals).

    Returns
    -------
    Runs

    Raises
    ------
    DataError
        A column is missing or not numeric, or a value is outside its domain.
    """
    frame = frame_of(table)
    columns = columns_of(columns)
    chosen = {c for c in (weights, cluster, group) if isinstance(c, str)}
    _check_columns(frame, family, target, columns, chosen)
    notes: list[Note] = []
    frame, keep_status = _drop_unfinished(frame, columns, notes)
    data: dict[str, Array] = {}
    for name in (*family.inputs, target):
        data[name] = _numbers(frame, name, columns, family, notes)
    w = _weights(frame, weights, keep_status)
    labels = cluster_labels(frame, cluster, columns, keep_status)
    if cluster is None and labels is None:
        labels = inferred_runs(frame, columns, notes)
    groups = None if group is None else group_labels(frame, group)
    missing = _missing(frame.index, [w, *data.values()], labels, notes)
    index = frame.index[~missing]
    if not len(index):
        raise DataError("no usable row is left in the table. Check its columns for missing values.")
    data = {n: v[~missing] for n, v in data.items()}
    _check_domains(data, family, target, index, positive_target)
    weight = _checked_weights(w[~missing], list(index))
    flops = _flops(frame, columns, data, ~missing)
    content = hash_rows([*data.values()])
    clusters = content if labels is None else hash_labels(labels[~missing])
    used = weight > 0
    order = np.lexsort((weight, content))
    order = order[used[order]]
    if not len(order):
        raise DataError("no usable row is left in the table. Check its columns for missing values.")
    kept = None if groups is None else [g for g, m in zip(groups, missing, strict=True) if not m]
    distinct = content if kept is None else content ^ mix_bits(hash_labels(kept))
    _note_duplicates(distinct[order], clusters[order], notes)
    return Runs(
        family.inputs,
        target,
        tuple(data[n][order] for n in family.inputs),
        data[target][order],
        weight[order],
        clusters[order],
        tuple(index[order]),
        None if flops is None else flops[order],
        tuple(notes),
        None if kept is None else tuple(kept[i] for i in order),
        report_of(frame),
    )


def _check_columns(
    frame: pd.DataFrame,
    family: LawFamily,
    target: str,
    columns: Mapping[str, str],
    chosen: set[str],
) -> None:
    known = [*family.inputs, target, "flops", "params", "tokens", "status", *RUN_COLUMNS]
    for name in columns:
        if name not in known:
            raise DataError(
                f"columns= names '{name}', which is neither an input of '{family.name}' nor the "
                f"target '{target}'.{suggest(name, known)}"
            )
    have = [str(c) for c in frame.columns]
    used = chosen | {columns.get(n, n) for n in known}
    twice = [c for c in frame.columns[frame.columns.duplicated()] if c in used]
    if twice:
        raise DataError(f"the table has several columns named '{twice[0]}'. Rename all but one.")
    for name in (*family.inputs, target):
        column = columns.get(name, name)
        if column in frame.columns or (name == "flops" and _can_derive_flops(frame, columns)):
            continue
        hint = suggest(column, have)
        if name == "tokens" and "flops" in have:
            hint += " With flops, add tokens = flops / (6 * params)."
        if name == target and not hint:
            near = [c for c in TARGET_NAMES if c in have and str(column) in ALIASES.get(c, ())]
            found = near or [c for c in have if c in TARGET_NAMES]
            hint = f" Perhaps target='{found[0]}'?" if found else ""
        raise DataError(
            f"law '{family.name}' needs columns {(*family.inputs, target)}; '{column}' is missing. "
            f"Found: {', '.join(have)}.{hint} Map your names with columns={{'{name}': ...}}."
        )


def _can_derive_flops(frame: pd.DataFrame, columns: Mapping[str, str]) -> bool:
    return all(columns.get(n, n) in frame.columns for n in ("params", "tokens"))


def _drop_unfinished(
    frame: pd.DataFrame, columns: Mapping[str, str], notes: list[Note]
) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Leave out rows whose status is a known word for a run that did not finish."""
    column = columns.get("status", "status")
    keep = np.ones(len(frame), dtype=bool)
    if column not in frame.columns:
        return frame, keep
    words = frame[column].astype(object).map(status_word)
    if not words.isin(FINISHED | UNFINISHED - {NO_STATUS}).any():
        return frame, keep  # a column of another meaning
    keep = ~words.isin(UNFINISHED).to_numpy(dtype=bool)
    unknown = sorted(set(words[keep]) - FINISHED)
    if unknown:
        notes.append(
            Note(
                "status_unknown",
                "warning",
                f"rows with the unknown status {unknown} were kept; drop them if they did not "
                "finish",
                {"status": unknown},
            )
        )
    if keep.all():
        return frame, keep
    counts = {str(k): int(v) for k, v in words[~keep].value_counts().sort_index().items()}
    notes.append(
        Note("unfinished_runs", "info", f"runs that did not finish were left out: {counts}", counts)
    )
    if not keep.any():
        raise DataError(f"no run in the table finished: {counts}. Check the column '{column}'.")
    return frame[keep], keep


def _numbers(
    frame: pd.DataFrame,
    name: str,
    columns: Mapping[str, str],
    family: LawFamily,
    notes: list[Note],
) -> Array:
    column = columns.get(name, name)
    if column not in frame.columns:
        notes.append(Note("flops_derived", "info", "'flops' was taken as 6 * params * tokens", {}))
        n, d = (_numbers(frame, q, columns, family, notes) for q in ("params", "tokens"))
        return np.asarray(training_flops(n, d))
    values = frame[column]
    if values.dtype.kind in "iufb":
        return values.to_numpy(dtype=float, na_value=np.nan)
    out = np.empty(len(values))
    for i, value in enumerate(values):
        try:
            out[i] = np.nan if value is None or str(value) == "<NA>" else float(value)
        except (TypeError, ValueError, OverflowError):
            raise DataError(
                f"column '{column}' must hold numbers: row {frame.index[i]} has {value!r}. Convert "
                "units such as '70B' to plain counts first."
            ) from None
    return out


def _weights(
    frame: pd.DataFrame, weights: str | ArrayLike | None, keep: NDArray[np.bool_]
) -> Array:
    if weights is None:
        return np.ones(len(frame))
    if isinstance(weights, str):
        if weights not in frame.columns:
            raise DataError(
                f"weights='{weights}' is not a column.{suggest(weights, map(str, frame.columns))} "
                f"Found: {', '.join(map(str, frame.columns))}."
            )
        try:
            return frame[weights].to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError, OverflowError):
            raise DataError(f"the weights column '{weights}' must hold numbers.") from None
    try:
        values = np.asarray(weights, dtype=float)
    except (TypeError, ValueError, OverflowError):
        raise DataError("weights must be a column's name or one number per row.") from None
    if values.shape != keep.shape:
        raise DataError(
            f"weights has shape {values.shape} but the table has {len(keep)} rows. Give one "
            "number per row."
        )
    return values[keep]


def _checked_weights(weights: Array, rows: list[Any]) -> Array:
    """Weights of the rows kept, small enough to be summed."""
    weight = check_values("weights", weights, "real", rows=rows)
    if (weight < 0).any() or not weight.max() > 0:
        row = rows[int(np.argmin(weight))]
        raise DataError(
            f"weights must not be negative and not all zero: row {row} has {weight.min()}. "
            "Correct the weights."
        )
    return weight / weight.max() if weight.max() > _HUGE else weight


def _missing(
    index: pd.Index, columns: Sequence[Array], labels: Any, notes: list[Note]
) -> NDArray[np.bool_]:
    """Which rows lack a number or a label, with a note if any does."""
    import pandas as pd

    missing = np.asarray(np.isnan(columns).any(axis=0))
    if labels is not None:
        missing |= np.asarray(pd.isna(labels))
    count, rows = int(missing.sum()), list(index[missing][:5])
    if count:
        message = f"{count} rows with a missing value were left out, first {rows}"
        details = {"count": count, "rows": [str(r) for r in rows]}
        notes.append(Note("rows_dropped", "info", message, details))
    return missing


def _check_domains(
    data: Mapping[str, Array], family: LawFamily, target: str, index: Any, positive_target: bool
) -> None:
    rows = list(index)
    for name, values in data.items():
        if name == target:
            domain = quantity(target).domain
            if domain == "positive" and not positive_target:
                domain = "real"
            domain = "positive" if positive_target and domain == "real" else domain
        else:
            domain = input_domain(family, name)
        check_values(name, values, domain, rows=rows)
        size = np.abs(values)
        wrong = np.flatnonzero((size > MOST) | ((size > 0) & (size < LEAST)))
        if len(wrong):
            raise DataError(
                f"'{name}' is {values[wrong[0]]:g} in row {rows[wrong[0]]}: what is measured lies "
                f"between {LEAST:g} and {MOST:g} in size, or is 0. Drop the row or correct the "
                "value."
            )


def _flops(
    frame: pd.DataFrame,
    columns: Mapping[str, str],
    data: Mapping[str, Array],
    keep: NDArray[np.bool_],
) -> Array | None:
    if "flops" in data:
        return data["flops"]
    column = columns.get("flops", "flops")
    if column in frame.columns and frame[column].dtype.kind in "iuf":
        values = frame[column].to_numpy(dtype=float)[keep]
        if ((values >= LEAST) & (values <= MOST)).all():
            return values
    if "params" in data and "tokens" in data:
        return np.asarray(training_flops(data["params"], data["tokens"]))
    return None


def _note_duplicates(
    content: NDArray[np.uint64], clusters: NDArray[np.uint64], notes: list[Note]
) -> None:
    pairs = np.stack([content, clusters], axis=1)
    extra = len(pairs) - len(np.unique(pairs, axis=0))
    if extra:
        notes.append(
            Note(
                "duplicate_rows",
                "info",
                f"{extra} rows repeat another row exactly; each set counts as one run in intervals",
                {"count": extra},
            )
        )
