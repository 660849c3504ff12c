"""Cleaning rules as named steps: each takes a table to a table and writes itself into the report.

Every team writes these rules before its fit, and few keep them with it. Here a rule is a value:
``clean(frame, min_step(5000), drop_highest_loss(5))`` does the same each time, and
``read_report(frame)`` says what it did. Rules found in practice: allenai/OLMo#638 and OLMo-core#554
(warm-up, decayed checkpoints, snapped ratios, averaged validation losses), Li et al. 2025,
arXiv:2502.18969 (best over learning rates, smoothing, highest losses left out).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.data.best_runs import best_over
from scaling_laws.data.cleaning_step import (
    CleaningStep,
    Outcome,
    clean,
    leave_out,
    need_columns,
    numbers_of,
    positive_number,
    unless_default,
)
from scaling_laws.data.read_report import joined
from scaling_laws.data.statuses import FINISHED, UNFINISHED, status_word
from scaling_laws.errors import DataError, suggest
from scaling_laws.quantities import INPUT_NAMES, as_floats, quantity

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "average_metrics",
    "best_over",
    "clean",
    "drop_diverged",
    "drop_duplicates",
    "drop_highest_loss",
    "final_only",
    "min_step",
    "prefer_measured",
    "smooth_metric",
    "snap_ratio",
]
_DECAYED = ("is_final", "final", "decayed", "is_last")
_STAGES = (
    "final",
    "decay",
    "decayed",
    "post_decay",
    "post-decay",
    "anneal",
    "annealed",
    "cooldown",
)


def min_step(step: float | Mapping[str, float], *, column: str = "step") -> CleaningStep:
    """Drop checkpoints before a step, as warm-up makes them useless.

    Parameters
    ----------
    step : float or mapping
        First step to keep, or one per run (runs not named keep all their rows).
    column : str

    Returns
    -------
    CleaningStep
        Rows without a step stay.

    Raises
    ------
    DataError
        No such column, a run that is not in the table, or no positive number.

    References
    ----------
    allenai/OLMo#638: no points before step 5,000 or 10,000 of a run.

    Examples
    --------
    >>> import pandas as pd
    >>> runs = pd.DataFrame({"run": ["a", "b"], "step": [100.0, 100.0], "loss": [7.0, 6.0]})
    >>> min_step({"a": 200})(runs).run.tolist()
    ['b']
    """
    if isinstance(step, Mapping):
        by_run = {str(k): positive_number(f"step of {k!r}", v, "min_step") for k, v in step.items()}
    else:
        positive_number("step", step, "min_step")
        by_run = {}

    def apply(frame: pd.DataFrame) -> Outcome:
        values = numbers_of(frame, column, "min_step")
        first = np.full(len(frame), 0.0 if by_run else float(step))  # type: ignore[arg-type]
        if by_run:
            need_columns(frame, ["run"], "min_step by run")
            runs = [str(r) for r in frame["run"]]
            for label in by_run:
                if label not in runs:
                    raise DataError(
                        f"min_step names the run {label!r}, which is not in the table."
                        f"{suggest(label, runs)}"
                    )
            first = np.array([by_run.get(r, 0.0) for r in runs])
        return leave_out(frame, ~(values < first), column, "rows before the first step to keep")

    shown = dict(by_run) if by_run else step
    return CleaningStep(
        "min_step", {"step": shown, **unless_default(column, "step", "column")}, apply
    )


def final_only(*, column: str | None = None) -> CleaningStep:
    """Keep the final checkpoints only.

    Parameters
    ----------
    column : str, optional
        Truth values, or text such as ``"final"`` and ``"pre-decay"``. Default: a column
        ``is_final``, ``final`` or ``stage``, else the largest step of each run.

    Returns
    -------
    CleaningStep

    Raises
    ------
    DataError
        None of these columns, or one without a final row.

    References
    ----------
    allenai/OLMo-core#554: checkpoints after the decay of the learning rate only.

    Examples
    --------
    >>> import pandas as pd
    >>> runs = pd.DataFrame({"run": ["a", "a", "b"], "step": [1, 2, 1], "loss": [5.0, 4.0, 3.0]})
    >>> final_only()(runs).loss.tolist()
    [4.0, 3.0]
    """

    def apply(frame: pd.DataFrame) -> Outcome:
        names = [column] if column else [*_DECAYED, "stage"]
        found = next((n for n in names if n in frame), None)
        if found is None and column is None and {"run", "step"} <= set(frame.columns):
            last = frame.groupby("run", sort=False)["step"].transform("max")
            return leave_out(
                frame, (frame["step"] == last).to_numpy(), "rows", "not a run's last step"
            )
        need_columns(frame, [found or names[0]], "final_only")
        keep = np.array([_is_final(v) for v in frame[found]], dtype=bool)
        return leave_out(frame, keep, str(found), "checkpoints that are not final")

    return CleaningStep("final_only", unless_default(column, None, "column"), apply)


def _is_final(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in {*_STAGES, "true"}
    return bool(value == 1)


def snap_ratio(
    *ratios: float,
    tolerance: float = 0.1,
    of: str = "tokens",
    per: str = "params",
) -> CleaningStep:
    """Move tokens per parameter to the nearest planned ratio, so that runs of one cell agree.

    Parameters
    ----------
    *ratios : float
        Planned ratios. Default: 10, 20, 40, 80, 160.
    tolerance : float
        Largest relative distance that is moved.
    of, per : str
        Columns; ``of`` is changed, and its old value kept as ``<of>_measured``.

    Returns
    -------
    CleaningStep
        Rows further away stay as they are, and are counted.

    Raises
    ------
    DataError
        No such column, or no positive number.

    References
    ----------
    allenai/OLMo-core#554: D/N snapped to 10, 20, 40, 80 and 160.

    Examples
    --------
    >>> import pandas as pd
    >>> runs = pd.DataFrame({"params": [1e6, 1e6], "tokens": [1.96e7, 3e7], "loss": [3.0, 2.9]})
    >>> snap_ratio()(runs).tokens.tolist()
    [20000000.0, 30000000.0]
    """
    wanted = np.array(
        [positive_number("ratio", r, "snap_ratio") for r in ratios or (10, 20, 40, 80, 160)]
    )
    within = positive_number("tolerance", tolerance, "snap_ratio")

    def apply(frame: pd.DataFrame) -> Outcome:
        top, bottom = numbers_of(frame, of, "snap_ratio"), numbers_of(frame, per, "snap_ratio")
        with np.errstate(all="ignore"):
            ratio = top / bottom
            distance = np.abs(ratio[:, None] / wanted - 1)
            planned = wanted * bottom[:, None]
        nearest = np.argmin(np.where(np.isnan(distance), np.inf, distance), axis=1)
        off = distance[np.arange(len(frame)), nearest]
        move = off <= within
        new = np.where(move, planned[np.arange(len(frame)), nearest], top)
        out = frame.assign(**{of: new, f"{of}_measured": top})
        left = int((~move).sum())
        largest = float(off[move].max()) if move.any() else 0.0
        reason = (
            f"moved to planned {of}/{per} by at most {largest:.1%}; {left} rows too far to move"
        )
        return Outcome(out, of, reason, int((move & (new != top)).sum()))

    shown: dict[str, Any] = {"ratios": wanted.tolist(), "tolerance": within}
    shown |= unless_default(of, "tokens", "of") | unless_default(per, "params", "per")
    return CleaningStep("snap_ratio", shown, apply)


def drop_highest_loss(
    count: int | None = None, *, share: float | None = None, target: str = "loss"
) -> CleaningStep:
    """Drop the runs with the worst target; which ones is in the report.

    Parameters
    ----------
    count : int, optional
        How many; or
    share : float, optional
        what share of the rows, in (0, 1), rounded down.
    target : str

    Returns
    -------
    CleaningStep
        Of equal values the later row goes first. Rows without the target stay.

    Raises
    ------
    DataError
        Not exactly one of ``count`` and ``share``, or out of range.

    References
    ----------
    Besiroglu et al. (2024), arXiv:2404.10102, leave out the five highest losses.

    Examples
    --------
    >>> import pandas as pd
    >>> drop_highest_loss(1)(pd.DataFrame({"loss": [3.0, 9.0, 2.9]})).loss.tolist()
    [3.0, 2.9]
    """
    whole = isinstance(count, int) and not isinstance(count, bool) and count > 0
    part = isinstance(share, float) and 0 < share < 1
    if (count is None) == (share is None) or not (whole or part):
        raise DataError(
            f"drop_highest_loss needs a whole number above 0 or a share in (0, 1), got "
            f"count={count!r}, share={share!r}."
        )

    def apply(frame: pd.DataFrame) -> Outcome:
        sign = 1.0 if quantity(target).direction == "lower" else -1.0
        values = sign * numbers_of(frame, target, "drop_highest_loss")
        finite = int(np.isfinite(values).sum())
        k = min(count, finite) if count is not None else int((share or 0.0) * finite)
        worth = np.where(np.isfinite(values), values, -np.inf)
        order = np.lexsort((np.arange(len(frame)), worth))  # later rows last among equals
        keep = np.ones(len(frame), dtype=bool)
        keep[order[len(order) - k :]] = False
        return leave_out(
            frame, keep, target, f"the {k} {'highest' if sign > 0 else 'lowest'} values"
        )

    shown = {"count": count} if count is not None else {"share": share}
    return CleaningStep(
        "drop_highest_loss", shown | unless_default(target, "loss", "target"), apply
    )


def average_metrics(
    *names: str, weights: Sequence[float] | None = None, into: str = "loss"
) -> CleaningStep:
    """Make the target the mean of several metrics, such as losses on several validation sets.

    Parameters
    ----------
    *names : str
        Columns to average.
    weights : sequence of float, optional
        One non-negative number a column. Default: all equal.
    into : str
        Column that takes the mean; missing where any of the metrics is, never a mean of fewer.

    Returns
    -------
    CleaningStep

    Raises
    ------
    DataError
        A column is missing or not numeric, or weights do not fit.

    References
    ----------
    allenai/OLMo-core#554: one target from eleven validation losses.

    Examples
    --------
    >>> import pandas as pd
    >>> runs = pd.DataFrame({"c4": [3.0, 2.0], "pile": [5.0, None]})
    >>> average_metrics("c4", "pile")(runs).loss.tolist()
    [4.0, nan]
    """
    given = np.ones(len(names)) if weights is None else as_floats("weights", weights)
    ok = given.shape == (len(names),) and np.isfinite(given).all() and (given >= 0).all()
    if len(names) < 2 or not ok or given.sum() <= 0:
        raise DataError(
            f"average_metrics needs two columns or more and one non-negative weight for each, got "
            f"{names} and {weights!r}."
        )

    def apply(frame: pd.DataFrame) -> Outcome:
        values = np.stack([numbers_of(frame, n, "average_metrics") for n in names], axis=1)
        mean = values @ (given / given.sum())
        lacking = int(np.isnan(mean).sum())
        reason = f"mean of {joined(names)}; missing in {lacking} rows that lack one of them"
        return Outcome(frame.assign(**{into: mean}), into, reason, len(frame))

    shown: dict[str, Any] = {"names": list(names)}
    shown |= {} if weights is None else {"weights": given.tolist()}
    return CleaningStep("average_metrics", shown | unless_default(into, "loss", "into"), apply)


def drop_diverged(*, above: float | None = None, target: str = "loss") -> CleaningStep:
    """Drop runs that diverged, crashed or did not finish, by status and by their target.

    Parameters
    ----------
    above : float, optional
        Also drop rows with a target above this.
    target : str

    Returns
    -------
    CleaningStep

    Raises
    ------
    DataError
        No such column, or nothing is left.

    Examples
    --------
    >>> import pandas as pd
    >>> runs = pd.DataFrame({"loss": [3.0, float("inf"), 2.9], "status": ["ok", "ok", "crashed"]})
    >>> drop_diverged()(runs).loss.tolist()
    [3.0]
    """
    limit = np.inf if above is None else positive_number("above", above, "drop_diverged")

    def apply(frame: pd.DataFrame) -> Outcome:
        values = numbers_of(frame, target, "drop_diverged")
        words = [status_word(s) for s in frame["status"]] if "status" in frame else []
        stopped = np.array([w in UNFINISHED for w in words] or [False] * len(frame), dtype=bool)
        bad = stopped | ~np.isfinite(values) | (values > limit)
        kinds = {w: words.count(w) for w in dict.fromkeys(words) if w not in FINISHED}
        told = f", statuses {kinds}" if kinds else ""
        return leave_out(
            frame, ~bad, "rows", f"not finished, or '{target}' not finite or above{told}"
        )

    shown = unless_default(above, None, "above") | unless_default(target, "loss", "target")
    return CleaningStep("drop_diverged", shown, apply)


def drop_duplicates(*, target: str = "loss") -> CleaningStep:
    """Drop rows that have the inputs, seed, step and target of an earlier one, to the last digit.

    Parameters
    ----------
    target : str

    Returns
    -------
    CleaningStep
        Under whatever name they were logged; rows without the target stay.

    Raises
    ------
    DataError
        No such column, or no known input.

    Examples
    --------
    >>> import pandas as pd
    >>> runs = pd.DataFrame({"run": ["a", "b"], "params": [1e6, 1e6], "loss": [3.0, 3.0]})
    >>> drop_duplicates()(runs).run.tolist()
    ['a']
    """

    def apply(frame: pd.DataFrame) -> Outcome:
        need_columns(frame, [target], "drop_duplicates")
        names = [c for c in (*INPUT_NAMES, "seed", "step") if c in frame]
        if not names:
            raise DataError("drop_duplicates found no known input in the table. Name its columns.")
        again = frame.duplicated([*names, target]) & frame[target].notna()
        reason = f"equal an earlier row in {joined([*names, target])}"
        return leave_out(frame, ~again.to_numpy(dtype=bool), "rows", reason)

    return CleaningStep("drop_duplicates", unless_default(target, "loss", "target"), apply)


def prefer_measured(measured: str, over: str) -> CleaningStep:
    """Take what was measured over what was planned, and show the gap.

    Parameters
    ----------
    measured : str
        Column that wins where it has a value, for example ``"achieved_flops"``.
    over : str
        Column that is replaced, for example ``"flops"``; its old values stay as
        ``<over>_planned``.

    Returns
    -------
    CleaningStep

    Raises
    ------
    DataError
        A column is missing or not numeric.

    References
    ----------
    Open-Athena/MarinFold#31: batches round, so the compute achieved is not the one planned.

    Examples
    --------
    >>> import pandas as pd
    >>> runs = pd.DataFrame({"flops": [1e18, 1e19], "achieved_flops": [1.1e18, None]})
    >>> prefer_measured("achieved_flops", "flops")(runs).flops.tolist()
    [1.1e+18, 1e+19]
    """

    def apply(frame: pd.DataFrame) -> Outcome:
        new = numbers_of(frame, measured, "prefer_measured")
        old = numbers_of(frame, over, "prefer_measured")
        use = np.isfinite(new)
        both = use & np.isfinite(old) & (old != 0)
        with np.errstate(over="ignore"):
            gap = np.abs(new[both] / old[both] - 1)
        size = (
            f"{np.median(gap):.1%} (median), {gap.max():.1%} at most" if both.any() else "unknown"
        )
        out = frame.assign(**{over: np.where(use, new, old), f"{over}_planned": old})
        reason = f"'{measured}' taken; it differs by {size}"
        return Outcome(out, over, reason, int(use.sum()))

    return CleaningStep("prefer_measured", {"measured": measured, "over": over}, apply)


def smooth_metric(name: str = "train_loss", *, window: float = 0.05) -> CleaningStep:
    """Replace a metric by its mean over the steps just before, a share of the step wide.

    For training losses, which are measured on one batch; a held-out loss needs none. The value at
    step s becomes the mean over the run's steps from (1 - window) s to s.

    Parameters
    ----------
    name : str
        Column; its old values stay as ``<name>_measured``.
    window : float
        Share of the step, in (0, 1).

    Returns
    -------
    CleaningStep

    Raises
    ------
    DataError
        No such column, no ``step``, or a window out of range.

    References
    ----------
    Li et al. (2025), arXiv:2502.18969: a sliding window of 5 %, proportional to the step.

    Examples
    --------
    >>> import pandas as pd
    >>> runs = pd.DataFrame({"run": "a", "step": [96, 98, 100], "train_loss": [3.0, 4.0, 5.0]})
    >>> smooth_metric(window=0.03)(runs).train_loss.tolist()
    [3.0, 3.5, 4.5]
    """
    if not isinstance(window, float) or not 0 < window < 1:
        raise DataError(f"smooth_metric: window must be a share in (0, 1), got {window!r}.")

    def apply(frame: pd.DataFrame) -> Outcome:
        values = numbers_of(frame, name, "smooth_metric")
        steps = numbers_of(frame, "step", "smooth_metric")
        runs = frame["run"].astype(str).to_numpy() if "run" in frame else np.zeros(len(frame))
        new = values.copy()
        for run in dict.fromkeys(runs):
            here = np.flatnonzero((runs == run) & np.isfinite(values) & np.isfinite(steps))
            for i in here:
                near = here[(steps[here] >= (1 - window) * steps[i]) & (steps[here] <= steps[i])]
                new[i] = values[near].mean()
        out = frame.assign(**{name: new, f"{name}_measured": values})
        changed = int((new != values)[np.isfinite(values)].sum())
        return Outcome(out, name, f"mean over the last {window:.0%} of the steps", changed)

    return CleaningStep("smooth_metric", {"name": name, "window": window}, apply)
