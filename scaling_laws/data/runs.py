"""From a user's table to checked arrays: columns found, rows judged, clusters labelled."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_laws.data.aliases import ALIASES
from scaling_laws.data.frozen import Frozen
from scaling_laws.data.read_report import ReadReport, report_of
from scaling_laws.data.statuses import FINISHED, NO_STATUS, UNFINISHED, status_word
from scaling_laws.data.tables import columns_of, frame_of
from scaling_laws.errors import DataError, Note, suggest
from scaling_laws.laws.family import LawFamily, input_domain
from scaling_laws.quantities import (
    INPUT_NAMES,
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

_RUN_COLUMNS = ("run", "run_id")
_CHECKPOINT_COLUMNS = ("checkpoint", "step", "global_step")
_PROGRESS = frozenset({"tokens", "flops", "samples", "steps", "epochs"})  # grow within a run
_COLLINEAR = 0.9999  # correlation of two inputs (in logs where positive)
_HUGE = 1e150  # weights beyond are scaled: their squares have no float


@dataclass(frozen=True, eq=False)
class Runs(Frozen):
    """Checked rows of a table, in an order that does not depend on the table's.

    Parameters
    ----------
    inputs : tuple of str
    target : str
    x : tuple of ndarray, each (n,)
        Inputs, raw counts.
    y : ndarray (n,)
        Target.
    weights : ndarray (n,)
    clusters : ndarray of uint64 (n,)
        Label of the cluster of each row: rows of one cluster are resampled together.
    index : tuple
        The rows' labels in the user's table.
    flops : ndarray (n,) or None
        Training compute, where it can be told.
    notes : tuple of Note
        What was dropped, derived or suspicious.
    groups : tuple, optional
        Label of the group of each row, where runs are fitted in groups.
    read_report : ReadReport, optional
        How the table came about, where `read_runs` or `clean` made it.
    """

    inputs: tuple[str, ...]
    target: str
    x: tuple[Array, ...]
    y: Array
    weights: Array
    clusters: NDArray[np.uint64]
    index: tuple[Hashable, ...]
    flops: Array | None
    notes: tuple[Note, ...]
    groups: tuple[Hashable, ...] | None = None
    read_report: ReadReport | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: NDArray[Any]) -> Runs:
        """Return the chosen rows (boolean mask or positions)."""
        positions = np.arange(len(self))[rows]
        return replace(
            self,
            x=tuple(v[positions] for v in self.x),
            y=self.y[positions],
            weights=self.weights[positions],
            clusters=self.clusters[positions],
            index=tuple(self.index[i] for i in positions),
            flops=None if self.flops is None else self.flops[positions],
            groups=None if self.groups is None else tuple(self.groups[i] for i in positions),
        )

    def column(self, name: str) -> Array:
        """Return an input, the target, or ``flops`` by name."""
        if name in self.inputs:
            return self.x[self.inputs.index(name)]
        if name == "flops" and self.flops is not None:
            return self.flops
        if name == self.target:
            return self.y
        have = [*self.inputs, self.target, *(["flops"] if self.flops is not None else [])]
        raise DataError(f"no column '{name}' among the fitted ones.{suggest(name, have)} It has "
                        f"{', '.join(have)}.")  # fmt: skip

    def compute(self) -> Array:
        """Scale of each run: its FLOPs where known, else the product of its positive inputs."""
        if self.flops is not None:
            return self.flops
        out: Array = np.ones(len(self))
        for v in self.x:
            if (v > 0).all():
                out = out * v
        return out

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest measured value of every input, and of ``flops`` where known."""
        named = dict(zip(self.inputs, self.x, strict=True))
        if self.flops is not None:
            named["flops"] = self.flops
        return {n: (float(v.min()), float(v.max())) for n, v in named.items()}

    def digest(self) -> str:
        """Hexadecimal digest of the numbers, independent of the table's row order."""
        h = blake2b(digest_size=16)
        for v in (*self.x, self.y, self.weights):
            h.update(np.ascontiguousarray(v).tobytes())
        return h.hexdigest()

    def to_frame(self) -> pd.DataFrame:
        """Return the rows as a table in the user's row labels."""
        import pandas as pd

        columns: dict[str, Any] = dict(zip(self.inputs, self.x, strict=True))
        if self.flops is not None and "flops" not in columns:
            columns["flops"] = self.flops
        columns[self.target] = self.y
        columns["weight"] = self.weights
        columns["cluster"] = self.clusters
        labels = pd.Index(list(self.index), name="row", tupleize_cols=False)
        return pd.DataFrame(columns, index=labels)


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
    labels = _labels(frame, cluster, columns, keep_status)
    if cluster is None and labels is None:
        labels = _inferred_runs(frame, columns, notes)
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


def group_labels(frame: pd.DataFrame, group: str) -> list[Hashable]:
    """Return the label of each row's group, as text or a plain number.

    Raises
    ------
    DataError
        No such column, or a label that is missing or neither text nor a number.
    """
    have = [str(c) for c in frame.columns]
    if not isinstance(group, str) or group not in frame.columns:
        raise DataError(
            f"group={group!r} is not a column.{suggest(str(group), have)} Found: {', '.join(have)}."
        )
    labels: list[Hashable] = []
    for row, value in zip(frame.index, frame[group], strict=True):
        plain = value.item() if isinstance(value, np.generic) else value
        if not isinstance(plain, str | int | float) or plain != plain:
            raise DataError(
                f"the group column '{group}' must hold text or numbers: row {row} has {value!r}. "
                "Name the row's group, or drop the row."
            )
        labels.append(plain)
    return labels


def design_notes(runs: Runs) -> tuple[Note, ...]:
    """Notes on inputs that do not vary, or vary only together."""
    logs = {}
    notes = []
    for name, v in zip(runs.inputs, runs.x, strict=True):
        z = np.log(v) if (v > 0).all() else v
        if np.ptp(z) <= 1e-9 * max(1.0, float(np.abs(z).max())):
            notes.append(
                Note(
                    "constant_input",
                    "warning",
                    f"'{name}' has the single value {v[0]:g}: nothing can be learned about it",
                    {"input": name},
                )
            )
        else:
            logs[name] = (z - z.mean()) / z.std()
    names = list(logs)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            r = float(np.mean(logs[a] * logs[b]))
            if abs(r) > _COLLINEAR:
                notes.append(
                    Note(
                        "collinear",
                        "warning",
                        f"'{a}' and '{b}' vary only together (correlation {r:.6f}): their effects "
                        "cannot be told apart. Add runs that vary their ratio, or tie coefficients",
                        {"inputs": [a, b], "correlation": r},
                    )
                )
    return tuple(notes)


def hash_labels(labels: Sequence[Any] | NDArray[Any]) -> NDArray[np.uint64]:
    """Stable 64-bit label of each value, from its text."""
    known: dict[str, int] = {}
    out = np.empty(len(labels), dtype=np.uint64)
    for i, label in enumerate(labels):
        text = str(label)
        if text not in known:
            digest = blake2b(text.encode(), digest_size=8).digest()
            known[text] = int.from_bytes(digest, "little")
        out[i] = known[text]
    return out


def hash_rows(values: Sequence[Array]) -> NDArray[np.uint64]:
    """Stable 64-bit label of each row of numbers, whatever the order of the rows.

    Numbers count to ten digits, so that the last bits, which differ between machines, do not.
    """
    h = np.full(len(values[0]), 0x9E3779B97F4A7C15, dtype=np.uint64)
    for v in values:
        mantissa, exponent = np.frexp(v)
        digits = np.round(mantissa * 2.0**33).astype(np.int64).view(np.uint64)
        h = mix_bits(h ^ mix_bits(digits ^ mix_bits(exponent.astype(np.int64).view(np.uint64))))
    return h


def mix_bits(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit integers (SplitMix64's finaliser; Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def _check_columns(
    frame: pd.DataFrame,
    family: LawFamily,
    target: str,
    columns: Mapping[str, str],
    chosen: set[str],
) -> None:
    known = [*family.inputs, target, "flops", "params", "tokens", "status", *_RUN_COLUMNS]
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


def _labels(
    frame: pd.DataFrame,
    cluster: str | ArrayLike | None,
    columns: Mapping[str, str],
    keep: NDArray[np.bool_],
) -> NDArray[Any] | None:
    if cluster is None:
        found = [columns.get(n, n) for n in _RUN_COLUMNS if columns.get(n, n) in frame.columns]
        return frame[found[0]].to_numpy(dtype=object) if found else None
    if isinstance(cluster, str):
        if cluster not in frame.columns:
            raise DataError(
                f"cluster='{cluster}' is not a column.{suggest(cluster, map(str, frame.columns))} "
                f"Found: {', '.join(map(str, frame.columns))}."
            )
        return frame[cluster].to_numpy(dtype=object)
    labels = np.asarray(cluster, dtype=object)
    if labels.shape != keep.shape:
        raise DataError(
            f"cluster has shape {labels.shape} but the table has {len(keep)} rows. Give one "
            "label per row."
        )
    return labels[keep]


def _inferred_runs(
    frame: pd.DataFrame, columns: Mapping[str, str], notes: list[Note]
) -> NDArray[Any] | None:
    """Label rows by configuration and seed where a column says they are checkpoints."""
    marks = [c for c in _CHECKPOINT_COLUMNS if c in frame.columns and len(frame[c].unique()) > 1]
    names = [n for n in (*INPUT_NAMES, "seed") if n not in _PROGRESS]
    used = {n: columns.get(n, n) for n in names if columns.get(n, n) in frame.columns}
    if not marks or not used:
        return None
    told = [frame[c].astype(str) for c in used.values()]
    labels = np.array([" ".join(parts) for parts in zip(*told, strict=True)], dtype=object)
    count = len(set(labels))
    if count == len(frame):
        return None
    notes.append(
        Note(
            "runs_inferred",
            "info",
            f"the table has a column '{marks[0]}' and none that names runs: rows of equal "
            f"{tuple(used)} were taken as checkpoints of one run ({count} runs). If they are "
            "runs of their own, pass cluster=range(len(runs))",
            {"column": marks[0], "by": list(used), "runs": count},
        )
    )
    return labels


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
