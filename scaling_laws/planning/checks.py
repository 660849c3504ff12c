"""Checks of what a planner is asked, and remarks on what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling_laws.errors import Note, PlanError
from scaling_laws.planning.amounts import is_number, within
from scaling_laws.planning.optimum import Array, Mask
from scaling_laws.quantities import LEAST, MOST, quantity, real_number

_RATE = 1e3
_SLACK = 1e-9
_AT_END = 1e-6
_FAR = 300.0  # decades


@dataclass(frozen=True)
class Asked:
    """A checked question: every quantity as an array of ``size`` rows.

    Parameters
    ----------
    question : str
        Name of the planner's method.
    rows : mapping of str to ndarray of shape (size,)
    scalar : bool
        Whether the caller gave numbers, so that numbers go back.
    """

    question: str
    rows: Mapping[str, Array]
    scalar: bool

    @property
    def size(self) -> int:
        """Number of answers wanted."""
        return len(next(iter(self.rows.values())))

    def out(self, values: Any) -> Any:
        """Return a row array in the shape the caller used: a number for a number."""
        array = np.asarray(values)
        if not self.scalar:
            return array
        return array.ravel()[0].item()


def asked(question: str, positive: Mapping[str, Any], real: Mapping[str, Any]) -> Asked:
    """Check and broadcast the quantities of a question.

    Parameters
    ----------
    question : str
        Name of the planner's method, for messages.
    positive, real : mapping of str to array_like
        Quantities that must be > 0, and those that may be any number, up to 1e100 in size.

    Raises
    ------
    PlanError
        Something is not a number, not finite, not positive, or the lengths differ.
    """
    arrays = {n: _numbers(question, n, v, positive=True) for n, v in positive.items()}
    arrays |= {n: _numbers(question, n, v, positive=False) for n, v in real.items()}
    scalar = all(a.ndim == 0 for a in arrays.values())
    try:
        rows = np.broadcast_arrays(*(np.atleast_1d(a) for a in arrays.values()))
    except ValueError:
        shapes = {n: a.shape for n, a in arrays.items()}
        raise PlanError(
            f"{question}: arrays of different length: {shapes}. Give equal lengths, or one number."
        ) from None
    return Asked(question, dict(zip(arrays, rows, strict=True)), scalar)


def _numbers(question: str, name: str, values: Any, *, positive: bool) -> Array:
    unit = quantity(name).unit
    what = f"{question}: {name} must be a number{f' [{unit}]' if unit else ''} or an array of them"
    try:
        raw = np.asarray(values)
        strings = raw.dtype.kind not in "iufO" or (
            raw.dtype.kind == "O" and any(isinstance(x, str | bytes) for x in raw.ravel())
        )
        array = None if strings else np.asarray(values, dtype=float)
    except (TypeError, ValueError, OverflowError):
        array = None
    if array is None:
        raise PlanError(f"{what}, got {values!r}. Write counts out, such as 7e9 for '7B'.")
    if array.ndim > 1 or array.size == 0:
        raise PlanError(f"{what}, got shape {array.shape}. Pass one dimension, not empty.")
    ok = (array >= LEAST if positive else array >= -MOST) & (array <= MOST)
    if not ok.all():
        row = int(np.flatnonzero(~np.atleast_1d(ok))[0])
        where = f"row {row} has " if array.ndim else ""
        value = float(np.atleast_1d(array)[row])
        wanted = within(value) if positive else f"finite, at most {MOST:g} in size"
        raise PlanError(f"{question}: {name} must be {wanted}: {where}{value}. Correct the value.")
    return array


def check_options(level: Any, tolerance: Any, anchor: Any = True) -> None:
    """Check a planner's interval mass, its tolerance, and whether it is anchored.

    Raises
    ------
    PlanError
        ``level`` is outside (0, 1), ``tolerance`` is not a positive number, or ``anchor`` is
        neither True nor False.
    """
    if not is_number(level) or not 0 < level < 1:
        percent = is_number(level) and 1 < level < 100
        hint = f" Did you mean {level / 100:g}?" if percent else " Give a fraction such as 0.9."
        raise PlanError(f"Planner: level must be in (0, 1), got {level!r}.{hint}")
    if not 0 < real_number(tolerance) <= MOST:
        raise PlanError(
            f"Planner: tolerance must be a positive fraction of extra compute, got {tolerance!r}. "
            "0.02 means 2 %."
        )
    if not isinstance(anchor, bool):
        raise PlanError(f"Planner: anchor must be True or False, got {anchor!r}.")


def check_budget(question: str, flops: Array, smallest: float | None) -> None:
    """Refuse a budget that looks like a speed.

    Parameters
    ----------
    question : str
        For the message.
    flops : ndarray
        Budgets [FLOP].
    smallest : float, optional
        Smallest measured compute [FLOP].

    Raises
    ------
    PlanError
        A budget lies more than 1000 times below the smallest measured compute.
    """
    if smallest is None or flops.min() * _RATE >= smallest:
        return
    with np.errstate(over="ignore"):
        times = f"{smallest / flops.min():.2g}"
    raise PlanError(
        f"{question}: flops={flops.min():.3g} is {times} times below the "
        f"smallest compute the law knows ({smallest:.3g} FLOP). It looks like a speed in FLOP/s: "
        "multiply by the seconds of the run."
    )


def data_notes(
    values: Mapping[str, Array], ranges: Mapping[str, tuple[float, float]]
) -> list[Note]:
    """Notes on answers outside the measured ranges.

    Parameters
    ----------
    values : mapping of str to ndarray of shape (n,)
        Recommended quantities; NaN where there is no answer.
    ranges : mapping of str to pair of float
        Measured ranges.
    """
    decades: dict[str, float] = {}
    said: list[str] = []
    outside = np.zeros(len(next(iter(values.values()))), dtype=bool)
    below = False
    for name in (n for n in values if n in ranges):
        low, high = ranges[name]
        with np.errstate(all="ignore"):
            above = np.nan_to_num(np.log10(values[name] / high), posinf=_FAR, neginf=-_FAR)
            under = np.nan_to_num(np.log10(low / values[name]), posinf=_FAR, neginf=-_FAR)
        beyond = np.maximum(above, under)
        if beyond.max() <= _SLACK:
            continue
        outside |= beyond > _SLACK
        decades[name] = float(beyond.max())
        up = above.max() >= under.max()
        end, of = ("above the largest", high) if up else ("below the smallest", low)
        far = f"{10 ** decades[name]:.3g} times ({decades[name]:.2f} decades)"
        said.append(f"{name} {far} {end} measured ({of:.3g})")
        below |= name == "flops" and bool(under.max() > _SLACK)
    if not decades:
        return []
    many = (
        f"{outside.sum()} of {len(outside)} answers lie" if len(outside) > 1 else "the answer lies"
    )
    notes = [
        Note(
            "optimum_outside_data",
            "warning",
            f"{many} outside the data: {'; '.join(said)}. Measure a run nearer to it before "
            "relying on the law there.",
            {"decades": decades, "rows": int(outside.sum())},
        )
    ]
    if below:
        message = "the compute lies below everything measured. Make sure it is FLOP, not FLOP/s."
        notes.append(Note("budget_below_data", "warning", message, {"decades": decades["flops"]}))
    return notes


def boundary_note(inside: Mask, law: str) -> list[Note]:
    """Note that a law has no best split of compute between its inputs."""
    if inside.all():
        return []
    return [
        Note(
            "no_interior_optimum",
            "warning",
            f"'{law}' has no best split of compute between params and tokens: the search ended at "
            "its boundary. Fix one of them with for_params or for_tokens, or use a law with an "
            "optimum.",
            {"rows": int((~inside).sum())},
        )
    ]


def interval_note(
    low: Mapping[str, Any], high: Mapping[str, Any], searched: Mapping[str, tuple[float, float]]
) -> list[Note]:
    """Note on intervals that end where the search ends: their draws know no optimum inside.

    Parameters
    ----------
    low, high : mapping of str to float or ndarray of shape (n,)
        Ends of the intervals.
    searched : mapping of str to (float, float)
        Positive ends of the search; infinite where there is none.
    """
    ends: dict[str, float] = {}
    rows = 0
    for name, (least, most) in searched.items():
        down = np.atleast_1d(low[name]) <= least * (1 + _AT_END)
        up = np.atleast_1d(high[name]) >= most * (1 - _AT_END)
        up &= np.isfinite(most) & np.isfinite(np.atleast_1d(high[name]))
        if down.any() or up.any():
            ends[name] = least if down.any() else most
            rows = max(rows, int((down | up).sum()))
    if not ends:
        return []
    said = ", ".join(f"{n} ends at {v:.3g}" for n, v in ends.items())
    return [
        Note(
            "interval_on_edge",
            "info",
            f"the interval of {said}, where the search ends: some draws know no optimum "
            "inside, so read that end as unknown. Add runs that tell the values apart, or say with "
            "ranges= what is possible",
            {"ends": ends, "rows": rows},
        )
    ]


def reach_notes(
    target: str,
    wanted: Array,
    limit: Array,
    feasible: Mask,
    share: Array | None,
    higher: bool,
    fixed: tuple[str, ...] = (),
) -> list[Note]:
    """Notes on targets that the law, or part of its draws, cannot reach.

    Parameters
    ----------
    target : str
        Name of the predicted quantity.
    wanted, limit : ndarray of shape (n,)
        Values asked for, and the best the law allows.
    feasible : ndarray of bool
        Where the point law reaches the target.
    share : ndarray, optional
        Share of draws that do.
    higher : bool
        Whether the limit is a ceiling.
    fixed : tuple of str
        Quantities the caller holds, which lower the limit.
    """
    notes = []
    details: dict[str, Any] = {"target": target, "limit": float(limit[0])}
    share_text = ""
    if share is not None:
        details["share"] = float(share[~feasible].max() if not feasible.all() else share.min())
        share_text = f" {details['share']:.0%} of the draws reach it."
    if not feasible.all():
        row = int(np.flatnonzero(~feasible)[0])
        value, end = float(wanted[row]), float(limit[row])
        details |= {"limit": end, "wanted": value, "rows": int((~feasible).sum())}
        beyond = value >= end if higher else value <= end
        code = "target_above_ceiling" if higher else "target_below_floor"
        held = f" at these {', '.join(fixed)}" if fixed else ""
        side = "at or above the ceiling" if higher else "at or below the floor"
        where = f"is {side} {end:.6g}{held}"
        if not beyond:
            code = "target_out_of_reach"
            where = "takes more than 1e60 of an input or of compute"
        bounds = quantity(target).bounds
        percent = bounds == (0.0, 1.0) and 1 < value <= 100
        remedy = f"Did you mean {value / 100:.6g}?" if percent else "Ask for less."
        message = f"{target} {value:.6g} {where}: no plan reaches it.{share_text} {remedy}"
        notes.append(Note(code, "warning", message, details))
    elif share is not None and share.min() < 1:
        message = (
            f"{target} is close to the limit of the law: only {_percent(share.min())} of the draws "
            "reach it; the others count as infinite in the interval."
        )
        notes.append(Note("target_near_limit", "warning", message, details))
    return notes


def _percent(share: float) -> str:
    """A share below one in percent, never rounded up to all."""
    return f"{share:.0%}" if share < 0.995 else f"{np.floor(1e3 * share) / 10:g}%"


def passed_note(target: str, wanted: Array, value: Array) -> list[Note]:
    """Note on targets that the smallest plan considered is past already."""
    past = np.abs(value - wanted) > 1e-6 * (np.abs(value) + np.abs(wanted))
    if not past.any():
        return []
    row = int(np.flatnonzero(past)[0])
    return [
        Note(
            "target_already_reached",
            "info",
            f"{target} {wanted[row]:.6g} asks for less than the smallest plan considered gives "
            f"({value[row]:.6g}).",
            {"rows": int(past.sum())},
        )
    ]
