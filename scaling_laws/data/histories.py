"""Checkpoints of a run: metrics logged on different steps aligned, then one row a run chosen."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.read_report import Ledger, joined
from scaling_laws.errors import DataError, Note

if TYPE_CHECKING:
    import pandas as pd

POLICIES = ("final", "last_mean", "best", "all")
EXPLICIT = "__not_a_number__"
"""Column that marks targets which say "not a number", apart from missing ones."""
SAMPLED_ROWS = 500  # rows of a W&B history unless more are asked for
PROGRESS = ("tokens", "flops", "samples", "epochs", "epoch", "seconds")
"""Counters that grow within a run: between two records they are interpolated."""


def sampled_note(frame: pd.DataFrame, keys: Sequence[str]) -> Note | None:
    """Tell a W&B history that was sampled: exactly 500 rows of a run, and steps left out.

    Parameters
    ----------
    frame : DataFrame
        With ``step``.
    keys : sequence of str
        Columns that name the run.

    Returns
    -------
    Note or None

    References
    ----------
    Weights & Biases, reference of ``Run.history``: ``samples=500`` rows by default.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"run": "a", "step": range(0, 1500, 3)})
    >>> sampled_note(frame, ["run"]).code, sampled_note(frame[:499], ["run"])
    ('history_sampled', None)
    """
    found = []
    for label, part in frame.groupby(list(keys), sort=False, dropna=False):
        steps = part["step"].dropna()
        if len(part) == SAMPLED_ROWS and steps.max() - steps.min() > SAMPLED_ROWS - 1:
            found.append("/".join(map(str, label if isinstance(label, tuple) else (label,))))
    if not found:
        return None
    return Note(
        "history_sampled",
        "warning",
        f"{len(found)} runs have exactly {SAMPLED_ROWS} rows with steps between them left out: a "
        "sampled history, whose values differ from call to call. Export all of it with "
        "scan_history() or the run's history artifact",
        {"runs": found[:20], "count": len(found)},
    )


def merge_steps(
    frame: pd.DataFrame, keys: Sequence[str], order: str, ledger: Ledger, *, tracker: bool
) -> pd.DataFrame:
    """Merge the rows of one run and step, of which each holds some of the metrics.

    Parameters
    ----------
    frame : DataFrame
    keys : sequence of str
        Columns that name the run.
    order : str
        Column of the step.
    ledger : Ledger
    tracker : bool
        A tracker's history: where a step has two values, the later wins, and is counted. In other
        tables such rows are something else than checkpoints, and nothing is merged.

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> import pandas as pd
    >>> log = pd.DataFrame({"run": "a", "step": [9.0, 9.0], "lr": [0.1, None], "loss": [None, 3.0]})
    >>> merge_steps(log, ["run"], "step", Ledger(), tracker=True).values.tolist()
    [['a', 9.0, 0.1, 3.0]]
    """
    by = [*keys, order]
    known = frame[order].notna()
    if not frame[known].duplicated(by).any():
        return frame
    groups = frame[known].groupby(by, sort=False, dropna=False)
    conflicts = groups.nunique().gt(1).sum()
    conflicts = conflicts[conflicts > 0].drop(EXPLICIT, errors="ignore")
    if len(conflicts) and not tracker:
        return frame
    merged = groups.last()  # the last that is not missing, of each column
    if EXPLICIT in merged:
        merged[EXPLICIT] = groups[EXPLICIT].max()
    out = _concat([merged.reset_index()[list(frame.columns)], frame[~known]])
    lost = len(frame) - len(out)
    ledger.add("merged", "rows", f"of one run and {order}", rows=-lost, count=lost)
    if len(conflicts):
        names = [f"{name} at {n} steps" for name, n in conflicts.items()]
        ledger.add("merged", joined(list(conflicts.index), 5), "two values at one step: the later "
                   "was kept", count=int(conflicts.sum()), examples=names)  # fmt: skip
    return out


def _concat(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    filled = [p for p in parts if len(p)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]


def align(
    frame: pd.DataFrame, keys: Sequence[str], order: str, target: str, ledger: Ledger
) -> pd.DataFrame:
    """Give every step the values that other columns had then; the target stays as logged.

    Counters (``tokens``, ``flops``, ...) are interpolated in the step between two records; all else
    keeps its latest value. A column with a single value in a run has it throughout; a counter that
    was recorded once, as a total at the end is, has it from the last value of the target on, and is
    missing before. Nothing is dropped because two metrics were logged on different steps.

    Parameters
    ----------
    frame : DataFrame
    keys : sequence of str
        Columns that name the run.
    order : str
        Column of the step.
    target : str
    ledger : Ledger

    Returns
    -------
    DataFrame
        In order of run (of first appearance) and step.

    Examples
    --------
    >>> import pandas as pd
    >>> log = pd.DataFrame({"run": "a", "step": [0.0, 5.0, 10.0], "tokens": [0.0, None, 20.0],
    ...                     "loss": [None, 3.0, None]})
    >>> align(log, ["run"], "step", "loss", Ledger()).tokens.tolist()
    [0.0, 10.0, 20.0]
    """
    first = frame.groupby(list(keys), sort=False, dropna=False).ngroup()
    frame = frame.assign(__run__=first).sort_values(["__run__", order], kind="stable")
    run = frame.pop("__run__").to_numpy()
    fixed = {*keys, order, target, EXPLICIT, "status"}
    counts: dict[str, int] = {}
    unknown: dict[str, int] = {}
    has_target = frame[target].notna() | frame.get(EXPLICIT, False)
    ended = _from_last(run, has_target.to_numpy(bool))
    for name in [c for c in frame.columns if c not in fixed]:
        missing = frame[name].isna()
        if not missing.any() or missing.all():
            continue
        if name in PROGRESS and frame[name].dtype.kind == "f":
            frame[name] = _interpolated(run, frame[order].to_numpy(float), frame[name].to_numpy())
        groups = frame[name].groupby(run)
        filled = groups.ffill()
        single = groups.transform("nunique") == 1
        if name in PROGRESS:
            single &= ended | (groups.transform("count") > 1)
        filled = filled.where(~(single & filled.isna()), groups.bfill())
        if name in PROGRESS:
            unknown[name] = int(
                (filled.isna() & has_target & (groups.transform("count") > 0)).sum()
            )
        frame[name] = filled
        counts[name] = int(missing.sum() - filled.isna().sum())
    total = sum(counts.values())
    if total:
        names = [f"{name} in {n}" for name, n in counts.items() if n]
        ledger.add("filled", joined([n for n, k in counts.items() if k], 6), "from the records of "
                   "the run before it, counters between records interpolated", count=total,
                   examples=names)  # fmt: skip
    if any(unknown.values()):
        names = [f"{name} in {n}" for name, n in unknown.items() if n]
        ledger.add("missing", joined([n for n, k in unknown.items() if k], 6), "counters before "
                   "their first record of a run", count=sum(unknown.values()),
                   examples=names)  # fmt: skip
    return frame.reset_index(drop=True)


def _from_last(run: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows from the last known value of their run on; all rows where none is known."""
    out = np.ones(len(run), dtype=bool)
    for start, end in itertools.pairwise(np.flatnonzero(np.diff(run, prepend=-1, append=-1))):
        places = np.flatnonzero(known[start:end])
        out[start : start + (places[-1] if len(places) else 0)] = False
    return out


def _interpolated(
    run: NDArray[Any], step: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fill gaps between two known values of a run linearly in the step; no extrapolation."""
    out = np.array(values, dtype=float)
    bounds = np.flatnonzero(np.diff(run, prepend=-1, append=-1))
    for start, end in itertools.pairwise(bounds):
        x, y = step[start:end], out[start:end]
        known = np.isfinite(x) & np.isfinite(y)
        inside = ~np.isfinite(y) & np.isfinite(x)
        if known.sum() > 1 and inside.any():
            inside &= (x > x[known].min()) & (x < x[known].max())
            y[inside] = np.interp(x[inside], x[known], y[known])
    return out


def choose_rows(
    frame: pd.DataFrame,
    keys: Sequence[str],
    order: str,
    target: str,
    policy: str,
    last: int | float,
    ledger: Ledger,
) -> pd.DataFrame:
    """Keep the rows that stand for each run.

    Parameters
    ----------
    frame : DataFrame
        In order of run and step.
    keys : sequence of str
        Columns that name the run.
    order : str
        Column of the step.
    target : str
    policy : {"final", "last_mean", "best", "all"}
        The last row with the target; the same with the target's mean over the ``last`` ones; the
        row with the best target; or every row with the target.
    last : int or float
        Rows of ``last_mean``, or their share of the run's rows.
    ledger : Ledger

    Returns
    -------
    DataFrame
        A run without any value of the target keeps its last row.

    Examples
    --------
    >>> import pandas as pd
    >>> log = pd.DataFrame({"run": "a", "step": [0.0, 5.0, 10.0], "loss": [4.0, 3.0, 3.2]})
    >>> for policy in ("final", "last_mean", "best"):
    ...     print(choose_rows(log, ["run"], "step", "loss", policy, 2, Ledger()).values.tolist())
    [['a', 10.0, 3.2]]
    [['a', 10.0, 3.1]]
    [['a', 5.0, 3.0]]
    """
    told = frame[target].notna()
    if EXPLICIT in frame:
        told |= frame[EXPLICIT].astype(bool)
    run = frame.groupby(list(keys), sort=False, dropna=False).ngroup().to_numpy()
    silent = ~np.isin(run, run[told.to_numpy()])
    last_row = np.append(run[1:] != run[:-1], True)
    keep = told.to_numpy() | (silent & last_row)
    lost = int((~keep).sum())
    if lost:
        ledger.add("merged", "rows", f"no '{target}' at this {order}", rows=-lost, count=lost)
    frame, run = frame[keep].reset_index(drop=True), run[keep]
    if policy == "all":
        return frame
    picks: Callable[..., int] = {"final": _final, "last_mean": _final, "best": _best}[policy]
    chosen: list[int] = []
    means: list[float] = []
    bounds = np.flatnonzero(np.diff(run, prepend=-1, append=-1))
    values = frame[target].to_numpy(float)
    for start, end in itertools.pairwise(bounds):
        chosen.append(int(start) + picks(values[start:end], target))
        width = last if isinstance(last, int) else max(1, round(last * (end - start)))
        means.append(float(np.mean(values[max(start, end - width) : end])))
    out = frame.iloc[chosen].copy()
    if policy == "last_mean":
        out[target] = means
    if policy == "best":
        _note_best(target, len(frame) / max(len(out), 1), ledger)
    lost = len(frame) - len(out)
    if lost:
        ledger.add("merged", "rows", f"policy '{policy}': one row a run", rows=-lost, count=lost)
    return out.reset_index(drop=True)


def _final(values: NDArray[np.float64], _target: str) -> int:
    return len(values) - 1


def _best(values: NDArray[np.float64], target: str) -> int:
    from scaling_laws.quantities import quantity

    if np.isnan(values[-1]):
        return len(values) - 1  # a run that diverged has no best
    sign = 1.0 if quantity(target).direction == "lower" else -1.0
    return int(np.nanargmin(sign * values))


def _note_best(target: str, per_run: float, ledger: Ledger) -> None:
    if per_run > 1:
        ledger.note(
            Note(
                "winners_curse",
                "info",
                f"the best '{target}' of {per_run:.0f} checkpoints a run is better than what "
                "another run would end with. Use policy='final' or 'last_mean'",
                {"rows_per_run": per_run},
            )
        )


def check_policy(policy: str, last: int | float) -> None:
    """Raise if the policy or the window is not one.

    Parameters
    ----------
    policy : str
    last : int or float

    Raises
    ------
    DataError

    Examples
    --------
    >>> check_policy("final", 0.05)
    >>> check_policy("last", 0.05)
    Traceback (most recent call last):
        ...
    scaling_laws.errors.DataError: unknown policy 'last'. Choose from: final, last_mean, best, all.
    """
    if policy not in POLICIES:
        raise DataError(f"unknown policy {policy!r}. Choose from: {', '.join(POLICIES)}.")
    whole = isinstance(last, int) and not isinstance(last, bool) and last > 0
    if not whole and not (isinstance(last, float) and 0 < last <= 1):
        raise DataError(
            f"last must be a number of rows above 0 or a share in (0, 1], got {last!r}."
        )
