"""How large the largest pilot run must be for a prediction of a given accuracy at a goal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.errors import DataError, Note, PlanError
from scaling_laws.fitting.result import Fit
from scaling_laws.fitting.selection import Selection
from scaling_laws.inference.interval import Kind, parts_of
from scaling_laws.planning.design.next_runs import check_goal_level, note_lines, plain_row
from scaling_laws.planning.design.possible import check_source, positive_number, table_inputs
from scaling_laws.quantities import training_flops
from scaling_laws.solving.objective import Array

if TYPE_CHECKING:
    import pandas as pd

_ASK = "ladder"
_POINTS = 41
_BELOW = float(np.log(100.0))  # how far below today's largest pilot the curve reaches, in logs


@dataclass(frozen=True, eq=False)
class Ladder:
    """Accuracy at a goal by the largest pilot run. Frozen; made by `ladder`.

    Parameters
    ----------
    table : DataFrame
        One row a size of the largest pilot, from a hundredth of today's to the goal: `along`, its
        inputs, ``distance`` [decades from it to the goal], ``half_width``.
    along : str
        What sizes are measured in: ``"flops"`` or the law's only input.
    goal : mapping of str to float
        Inputs of the goal, and `along`.
    target : str
    relative : bool
        Whether half-widths are shares of the prediction; else they are in the target's unit.
    within : float or None
        Half-width asked for.
    needed : mapping of str to float
        Smallest largest pilot with which it is met: its inputs and `along`; empty without
        ``within``, or where not even a pilot as large as the goal meets it.
    today : float
        Half-width with the largest pilot measured.
    decade_more : float
        Half-width with one ten times as large (at most the goal).
    level : float
    notes : tuple of Note

    Examples
    --------
    >>> import scaling_laws as sl
    >>> from scaling_laws.planning.design.ladder import ladder
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=200)
    >>> sizes = ladder(fit, at={"params": 1e9, "tokens": 1e11})
    >>> sizes.along, bool(sizes.decade_more < sizes.today)
    ('flops', True)
    """

    table: pd.DataFrame
    along: str
    goal: Mapping[str, float]
    target: str
    relative: bool
    within: float | None
    needed: Mapping[str, float]
    today: float
    decade_more: float
    level: float
    notes: tuple[Note, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of `table`."""
        return self.table.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "target": self.target,
            "along": self.along,
            "goal": dict(self.goal),
            "relative": self.relative,
            "within": self.within,
            "needed": dict(self.needed),
            "today": self.today,
            "decade_more": self.decade_more,
            "level": self.level,
            "table": [plain_row(r) for r in self.table.to_dict("records")],
            "notes": [n.to_dict() for n in self.notes],
        }

    def __str__(self) -> str:
        lines = [
            f"Ladder for {self.target} at {_point(self.goal)}: half-width of the {self.level:.0%} "
            "interval",
            f"today's largest pilot {self._shown(self.today)}, one ten times as large "
            f"{self._shown(self.decade_more)}",
        ]
        if self.needed:
            lines.append(f"for {self._shown(self.within)}: a pilot of {_point(self.needed)}")
        return "\n".join([*lines, *note_lines(self.notes)])

    def __repr__(self) -> str:
        return str(self)

    def _shown(self, value: float | None) -> str:
        if value is None:
            return "-"
        return f"+-{value:.2%}" if self.relative else f"+-{value:.4g}"


def ladder(
    source: Fit | Selection,
    *,
    at: Mapping[str, ArrayLike],
    within: float | None = None,
    level: float = 0.9,
    kind: Kind = "run",
) -> Ladder:
    """Say how large the largest pilot must be for a prediction within so much at a goal.

    Parameters
    ----------
    source : Fit or Selection
        Of the pilots made so far, with draws.
    at : mapping of str to float
        The goal: one point, the law's inputs.
    within : float, optional
        Half-width wanted of the interval at the goal: 0.01 means 1 % either way where residuals
        are logarithmic (losses), else in the target's unit.
    level : float, default 0.9
        Mass of the interval.
    kind : {"run", "mean"}
        Whether the noise of the run at the goal counts.

    Returns
    -------
    Ladder

    Raises
    ------
    PlanError
        ``source`` is neither, or has no draws; the goal is not one point beyond the data;
        ``within`` is not positive.

    Notes
    -----
    Coefficient errors and the law's own error both grow with the distance between the largest
    pilot and the goal, and so does the interval that the source gives. A ladder scaled up as a
    whole, with as many rungs as now, is taken to be as sure a given distance beyond its end as
    the present one is that far beyond its own: the half-width at the goal by a pilot of size P is
    the present half-width at the distance log(goal / P), along the line in logarithms from the
    largest run to the goal. With today's largest pilot it is the source's own interval at the goal.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=200)
    >>> sizes = ladder(fit, at={"params": 1e9, "tokens": 1e11}, within=0.2)
    >>> bool(1e15 < sizes.needed["flops"] < 6e20)
    True
    """
    source = check_source(source, _ASK)
    check_goal_level(level, _ASK)
    if within is not None:
        positive_number(within, _ASK, "within", "0.01 means 1 % of a loss.")
    path = _path(source, table_inputs(source.law, at, _ASK, "at="))
    curve = _Curve(source, path, level, _kind(kind))
    beyond = np.linspace(0.0, path.length + _BELOW, _POINTS)
    widths = curve.half_widths(beyond)
    if not np.isfinite(widths).all():
        raise PlanError(
            f"{_ASK}: the {type(source).__name__.lower()} gives no interval: it has no draws, or "
            "no more runs than coefficients. Fit again with draws, or with more runs."
        )
    needed, notes = _needed(curve, within, beyond, widths)
    one_more = np.array([max(path.length - np.log(10.0), 0.0)])
    return Ladder(
        _table(path, beyond, widths),
        path.along,
        path.pilot(np.zeros(1), scalar=True),
        source.target,
        curve.relative,
        within,
        needed,
        float(curve.half_widths(np.array([path.length]))[0]),
        float(curve.half_widths(one_more)[0]),
        float(level),
        notes,
    )


@dataclass(frozen=True, eq=False)
class _Path:
    """The line in logarithms from the largest run to the goal.

    ``length`` is its length in logs of `along`; ``slope`` how fast each input grows along it.
    """

    inputs: tuple[str, ...]
    along: str
    end: Array
    slope: Array
    length: float

    def at(self, distance: Array) -> list[Array]:
        """Inputs of points that lie so far before the goal (negative: beyond it)."""
        return [np.exp(e - s * distance) for e, s in zip(self.end, self.slope, strict=True)]

    def pilot(self, distance: Array, *, scalar: bool = False) -> dict[str, Any]:
        """Inputs and size of pilots that lie so far before the goal."""
        named: dict[str, Any] = dict(zip(self.inputs, self.at(distance), strict=True))
        if self.along not in named:
            named[self.along] = np.asarray(training_flops(named["params"], named["tokens"]))
        return {n: float(v[0]) for n, v in named.items()} if scalar else named


@dataclass(frozen=True, eq=False)
class _Curve:
    source: Fit | Selection
    path: _Path
    level: float
    kind: Kind

    @property
    def relative(self) -> bool:
        return self.source.predictive.residual == "log"

    def half_widths(self, beyond: Array) -> Array:
        """Half-width so far beyond the largest run measured, along the path ``(n,)``."""
        inputs = self.path.at(self.path.length - beyond)
        named = dict(zip(self.source.inputs, inputs, strict=True))
        low, high = self.source.predict_interval(named, level=self.level, kind=self.kind)
        if self.relative:
            with np.errstate(all="ignore"):
                return np.asarray(np.expm1(0.5 * np.log(high / low)))
        return np.asarray(0.5 * (high - low))


def _kind(kind: Any) -> Kind:
    try:
        parts_of(kind, None)
    except DataError as error:
        raise PlanError(f"{_ASK}: {error}") from None
    checked: Kind = kind
    return checked


def _path(source: Fit | Selection, goal: tuple[Array, ...]) -> _Path:
    """Line from the largest run to the goal.

    Raises
    ------
    PlanError
        Not one point, inputs that are not positive, or a goal no larger than the largest run.
    """
    if len(goal[0]) != 1:
        raise PlanError(f"{_ASK}: at= holds {len(goal[0])} points. Ask for one goal at a time.")
    names = source.inputs
    pair = {"params", "tokens"} <= set(names)
    along = "flops" if pair else names[0]
    if not pair and len(names) > 1:
        raise PlanError(
            f"{_ASK}: size is compute, or the only input; this law has the inputs {names}. Use a "
            "law of params and tokens, or of one input."
        )
    top = _largest(source, along)
    if not (top > 0).all() or not all((g > 0).all() for g in goal):
        raise PlanError(f"{_ASK}: inputs must be positive, to be scaled. Got {along} <= 0.")
    end = np.log(np.concatenate(goal))
    change = end - np.log(top)
    scaling = [i for i, n in enumerate(names) if not pair or n in ("params", "tokens")]
    length = float(change[scaling].sum())
    if length <= 1e-9:
        raise PlanError(
            f"{_ASK}: the goal is no larger in {along} than the largest run measured: ask "
            "predict() for its interval, or give a larger goal."
        )
    return _Path(names, along, end, change / length, length)


def _largest(source: Fit | Selection, along: str) -> Array:
    """Inputs of the largest run ``(d,)``; without the runs, the ends of the measured ranges."""
    if source.runs is None:
        return np.array([source.ranges[n][1] for n in source.inputs])
    size = source.runs.compute() if along == "flops" else source.runs.x[0]
    return np.array([x[int(np.argmax(size))] for x in source.runs.x])


def _needed(
    curve: _Curve, within: float | None, beyond: Array, widths: Array
) -> tuple[dict[str, float], tuple[Note, ...]]:
    """Smallest pilot from which on the half-width is small enough."""
    if within is None:
        return {}, ()
    wide = np.flatnonzero(widths > within)
    if len(wide) and wide[0] == 0:
        message = (
            f"even a pilot as large as the goal leaves {widths[0]:.3g}, more than {within:g}: "
            "the noise of a run and the coefficients alone. Repeat runs, or ask for kind='mean'"
        )
        details = {"least": float(widths[0]), "within": within}
        return {}, (Note("ladder_out_of_reach", "warning", message, details),)
    if not len(wide):
        return curve.path.pilot(beyond[-1:], scalar=True), ()
    inside, outside = beyond[wide[0] - 1], beyond[wide[0]]
    for _ in range(40):
        middle = 0.5 * (inside + outside)
        met = float(curve.half_widths(np.array([middle]))[0]) <= within
        inside, outside = (middle, outside) if met else (inside, middle)
    return curve.path.pilot(np.array([inside]), scalar=True), ()


def _table(path: _Path, beyond: Array, widths: Array) -> pd.DataFrame:
    import pandas as pd

    columns = path.pilot(beyond)
    size = {path.along: columns.pop(path.along)}
    decades = {"distance": beyond / np.log(10.0), "half_width": widths}
    return pd.DataFrame({**size, **columns, **decades}).iloc[::-1].reset_index(drop=True)


def _point(values: Mapping[str, float]) -> str:
    return ", ".join(f"{n} {v:.3g}" for n, v in values.items())
