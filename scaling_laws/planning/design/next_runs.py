"""Which runs to make next: those that narrow the answer most for what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.errors import Note, PlanError
from scaling_laws.fitting.result import Fit
from scaling_laws.fitting.selection import Selection
from scaling_laws.inference.interval import check_level
from scaling_laws.planning.costs.cost import Cost
from scaling_laws.planning.design.belief import Belief, Choice, believe, best_choice, places
from scaling_laws.planning.design.possible import (
    Candidates,
    candidates_of,
    chance_of_success,
    check_source,
    goal_weights,
    positive_number,
    same_runs,
    table_inputs,
)
from scaling_laws.solving.objective import Array

if TYPE_CHECKING:
    import pandas as pd

_ASK = "next_runs"
_LITTLE = 0.02  # share of the width at the goals that a design should take off


@dataclass(frozen=True, eq=False)
class NextRuns:
    """Runs to make next, in order. Frozen; made by `next_runs`.

    Parameters
    ----------
    table : DataFrame
        One row a run: ``rank``, ``row`` (label in the candidates' table), the inputs, ``cost``,
        ``total_cost``, ``success`` (chance that it does not fail), and the expected width of the
        interval at the goals before and after it, runs under way and those above it counted as
        made: ``width_before``, ``width_after``.
    goals : DataFrame
        The points asked about: inputs, weight, prediction, and the width of the interval of the
        mean now and once every run is made.
    target : str
    cost_unit : str
        ``"FLOP"``, ``"runs"`` or the name of the cost column.
    budget : float or None
    level : float
        Mass of the intervals.
    notes : tuple of Note

    Examples
    --------
    >>> import scaling_laws as sl
    >>> from scaling_laws.planning.design.next_runs import next_runs
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=200)
    >>> could = {"params": [1e5, 1e6, 4e6], "tokens": [1e7, 3e7, 1e8]}
    >>> chosen = next_runs(fit, could, at={"params": 1e7, "tokens": 1e9}, batch=1)
    >>> chosen.rows
    (2,)
    """

    table: pd.DataFrame
    goals: pd.DataFrame
    target: str
    cost_unit: str
    budget: float | None
    level: float
    notes: tuple[Note, ...]

    @property
    def rows(self) -> tuple[Any, ...]:
        """Labels of the runs to make, in the candidates' table."""
        return tuple(self.table["row"])

    @property
    def cost(self) -> float:
        """What the runs cost together."""
        return float(self.table["cost"].sum())

    @property
    def width(self) -> tuple[float, float]:
        """Expected width at the goals before and after all runs (root of the weighted mean
        square), in the target's unit.
        """
        weight = self.goals["weight"].to_numpy(dtype=float)
        before, after = (
            np.sqrt(weight @ self.goals[n].to_numpy(dtype=float) ** 2)
            for n in ("width_before", "width_after")
        )
        return float(before), float(after)

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of `table`."""
        return self.table.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "target": self.target,
            "cost_unit": self.cost_unit,
            "budget": self.budget,
            "level": self.level,
            "runs": [plain_row(r) for r in self.table.to_dict("records")],
            "goals": [plain_row(r) for r in self.goals.to_dict("records")],
            "notes": [n.to_dict() for n in self.notes],
        }

    def __str__(self) -> str:
        lines = self._lines()
        if len(self.table):
            lines.append(self.table.to_string(index=False, float_format=lambda v: f"{v:.4g}"))
        return "\n".join([*lines, *note_lines(self.notes)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return page_html(self._lines(), self.table, self.notes)

    def _lines(self) -> list[str]:
        before, after = self.width
        budget = "" if self.budget is None else f" of {self.budget:.4g}"
        return [
            f"Next runs for {self.target} at {len(self.goals)} "
            f"{'point' if len(self.goals) == 1 else 'points'}: {len(self.table)} runs, "
            f"{self.cost:.4g}{budget} {self.cost_unit}",
            f"{self.level:.0%} interval of the mean: {before:.4g} now, {after:.4g} expected after",
        ]


def next_runs(
    source: Fit | Selection,
    candidates: pd.DataFrame | Mapping[str, ArrayLike] | Sequence[Mapping[str, float]],
    *,
    at: pd.DataFrame | Mapping[str, ArrayLike],
    budget: float | None = None,
    cost: str | Cost | ArrayLike | None = None,
    batch: int | None = None,
    pending: pd.DataFrame | Mapping[str, ArrayLike] | None = None,
    failed: pd.DataFrame | Mapping[str, ArrayLike] | None = None,
    weights: ArrayLike | None = None,
    noise: float | None = None,
    level: float = 0.9,
) -> NextRuns:
    """Choose the runs that narrow a prediction most for what they cost.

    Parameters
    ----------
    source : Fit or Selection
        Of the runs made so far, with draws. The draws of a selection come from several laws, so
        runs that tell the laws apart gain too.
    candidates : DataFrame, mapping of columns, or sequence of mappings
        Runs that could be made, one a row (a repeat is a row of its own): the law's inputs, raw
        counts; a column of costs where there is one; maybe ``status``: empty for a run not made,
        ``"pending"`` or ``"running"``, ``"failed"`` and the like, ``"ok"`` for one already fitted.
    at : DataFrame or mapping
        The goal: one or many points, the law's inputs.
    budget : float, optional
        What the runs may cost together, in the unit of the cost.
    cost : str, Cost or array_like, optional
        ``"6ND"`` and the like [FLOP], a column of ``candidates``, or one cost a run. Default: a
        column ``cost``, else ``"6ND"`` for laws of params and tokens, else every run costs 1.
    batch : int, optional
        Runs at most. Default: as many as the budget buys; without a budget, one.
    pending : DataFrame or mapping, optional
        Runs under way: what they will tell is taken into account before anything is chosen.
    failed : DataFrame or mapping, optional
        Runs that failed: they are not proposed again, and runs like them are taken to fail more
        often (half of the time right beside one, never some e-folds away).
    weights : array_like, optional
        How much each point of ``at`` counts. Default: alike.
    noise : float, optional
        Standard deviation of one run on the residual scale (0.003 means 0.3 % of a loss), where
        the fit does not know it or you know better.
    level : float, default 0.9
        Mass of the intervals whose widths are given.

    Returns
    -------
    NextRuns

    Raises
    ------
    PlanError
        ``source`` is neither, or has no draws; a table lacks an input or holds something else
        than numbers in its domain; a cost, the budget or the noise is not positive; no candidate
        is left.

    Notes
    -----
    The belief about the target at candidates and goals is taken as Gaussian, with the covariance
    of the fit's draws and, beyond the data, the law's own error, which runs within about a decade
    share. The expected variance at the goals after a run is that of conditioning on it, with the
    noise of a run, and does not depend on its result; so a batch is chosen one after another
    [1]_. With a budget, gains are divided by the cost to the power 0.7 ([2]_ takes 0.4):
    gain alone spends all on the dearest runs, gain per cost on the cheapest.

    References
    ----------
    .. [1] Cohn (1996), Neural Networks 9, 1071: the expected fall of the variance at the goals.
    .. [2] Li et al. (2026), arXiv:2604.22753, and their code.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=200)
    >>> could = sl.grid(params=[1e5, 1e6, 4e6], tokens=[1e7, 3e7, 1e8])
    >>> chosen = next_runs(fit, could, at={"params": 1e7, "tokens": 1e9}, budget=3e15)
    >>> bool(chosen.cost <= 3e15), bool(chosen.width[1] < chosen.width[0])
    (True, True)
    """
    source = check_source(source, _ASK)
    _check_numbers(budget, batch, noise, level)
    could = candidates_of(source.law, candidates, cost, _ASK, "candidates")
    goals = table_inputs(source.law, at, _ASK, "at=")
    counts = goal_weights(weights, len(goals[0]), _ASK)
    open_runs, chance = _open_runs(source, could, failed)
    under_way = _under_way(source, could, pending)
    runs = [np.concatenate(pair) for pair in zip(open_runs.inputs, under_way, strict=True)]
    n, total = len(open_runs.cost), len(runs[0])
    now = belief = believe(source, runs, goals, counts, noise)
    for j in range(n, total):
        belief = belief.after(j)
    limit = np.inf if budget is None else float(budget)
    most = batch if batch is not None else n if budget is not None else 1
    price = np.concatenate([open_runs.cost, np.full(total - n, np.inf)])
    likely = np.concatenate([chance, np.zeros(total - n)])
    choice = best_choice(belief, price, likely, limit, min(most, n))
    told = _Told(source, goals, counts, now, _widths(source, goals, level))
    notes = (*could.notes, *_doubts(source, choice, open_runs, limit))
    return NextRuns(
        told.table(choice, open_runs, chance),
        told.goals(choice.beliefs[-1]),
        source.target,
        could.unit,
        budget,
        float(level),
        notes,
    )


def _check_numbers(budget: Any, batch: Any, noise: Any, level: Any) -> None:
    if budget is not None:
        positive_number(budget, _ASK, "budget", "It is in the unit of the cost.")
    whole = isinstance(batch, int | np.integer) and not isinstance(batch, bool)
    if batch is not None and not (whole and batch > 0):
        raise PlanError(f"{_ASK}: batch must be a count of runs above 0, got {batch!r}.")
    if noise is not None:
        positive_number(noise, _ASK, "noise", "It is on the residual scale: 0.003 means 0.3 %.")
    check_goal_level(level, _ASK)


def check_goal_level(level: Any, question: str) -> float:
    """Return ``level``, or say what is wrong with it as a `PlanError`."""
    try:
        return check_level(level)
    except ValueError as error:
        raise PlanError(f"{question}: {error}") from None


def _open_runs(source: Fit | Selection, could: Candidates, failed: Any) -> tuple[Candidates, Array]:
    """Candidates that may be proposed, and their chance to succeed."""
    law = source.law
    at_fault = [tuple(a[could.rows("failed")] for a in could.inputs)]
    if failed is not None:
        at_fault.append(table_inputs(law, failed, _ASK, "failed="))
    lost = [np.concatenate(pair) for pair in zip(*at_fault, strict=True)]
    keep = could.rows("open")
    if len(lost[0]):
        keep = keep[~same_runs([a[keep] for a in could.inputs], lost)]
    if not len(keep):
        raise PlanError(
            f"{_ASK}: none of the {len(could.cost)} candidates is left to propose: they are made, "
            "under way or failed. Add others."
        )
    left = Candidates(
        tuple(a[keep] for a in could.inputs),
        could.cost[keep],
        could.unit,
        tuple(could.index[i] for i in keep),
        could.status[keep],
    )
    if not len(lost[0]):
        return left, np.ones(len(keep))
    both = [np.concatenate(pair) for pair in zip(left.inputs, lost, strict=True)]
    place = places(source, both)
    return left, chance_of_success(place[: len(keep)], place[len(keep) :])


def _under_way(source: Fit | Selection, could: Candidates, pending: Any) -> list[Array]:
    parts = [tuple(a[could.rows("pending")] for a in could.inputs)]
    if pending is not None:
        parts.append(table_inputs(source.law, pending, _ASK, "pending="))
    return [np.concatenate(pair) for pair in zip(*parts, strict=True)]


def _widths(source: Fit | Selection, inputs: Sequence[Array], level: float) -> Array:
    """Width of the interval of the mean at every goal, as `predict` gives it."""
    named = dict(zip(source.inputs, inputs, strict=True))
    low, high = source.predict_interval(named, level=level, kind="mean")
    return np.asarray(high - low)


@dataclass(frozen=True, eq=False)
class _Told:
    """Turns variances at the goals into widths of the source's own intervals, ``today``."""

    source: Fit | Selection
    inputs: tuple[Array, ...]
    weights: Array
    now: Belief
    today: Array

    def widths(self, belief: Belief) -> Array:
        """Expected width once the belief has become this one ``(t,)``."""
        before = np.maximum(self.now.at_goals(), 1e-300)
        return np.asarray(self.today * np.sqrt(belief.at_goals() / before))

    def goals(self, last: Belief) -> pd.DataFrame:
        import pandas as pd

        columns = dict(zip(self.source.inputs, self.inputs, strict=True))
        columns["weight"] = self.weights
        columns[self.source.target] = self.source.predictive.mean(self.inputs)
        columns["width_before"], columns["width_after"] = self.today, self.widths(last)
        return pd.DataFrame(columns)

    def table(self, choice: Choice, could: Candidates, chance: Array) -> pd.DataFrame:
        import pandas as pd

        order = list(choice.order)
        width = np.array([np.sqrt(self.weights @ self.widths(b) ** 2) for b in choice.beliefs])
        columns: dict[str, Any] = {"rank": np.arange(1, len(order) + 1)}
        columns["row"] = [could.index[j] for j in order]
        columns |= {n: a[order] for n, a in zip(self.source.inputs, could.inputs, strict=True)}
        columns["cost"] = could.cost[order]
        columns["total_cost"] = np.cumsum(could.cost[order])
        columns["success"] = chance[order]
        columns["width_before"], columns["width_after"] = width[:-1], width[1:]
        return pd.DataFrame(columns)


def _doubts(
    source: Fit | Selection, choice: Choice, could: Candidates, budget: float
) -> list[Note]:
    notes = []
    if not source.trusted:
        codes = [n.code for n in source.notes if n.severity == "warning"]
        message = (
            f"the fit itself is in doubt ({', '.join(codes)}): spend a part of the budget, fit "
            "again and ask again"
        )
        notes.append(Note("design_from_doubtful_fit", "info", message, {"codes": codes}))
    if not choice.order and could.cost.min() > budget:
        message = (
            f"the cheapest candidate costs {could.cost.min():.4g}, more than the budget of "
            f"{budget:.4g}. Add cheaper candidates"
        )
        details = {"cheapest": float(could.cost.min()), "budget": budget}
        notes.append(Note("nothing_affordable", "warning", message, details))
        return notes
    fall = 1.0 - np.sqrt(choice.beliefs[-1].expected() / max(choice.beliefs[0].expected(), 1e-300))
    if fall < _LITTLE:
        message = (
            f"these runs are expected to take {fall:.1%} off the width at the goal: runs nearer "
            "to it, or of another kind, are needed"
        )
        notes.append(Note("little_to_gain", "warning", message, {"fall": float(fall)}))
    return notes


def note_lines(notes: tuple[Note, ...]) -> list[str]:
    """Lines of notes, warnings marked."""
    return [f"{'!' if n.severity == 'warning' else '-'} {n}" for n in notes]


def page_html(lines: Sequence[str], table: pd.DataFrame, notes: Sequence[Note]) -> str:
    """Notebook form of a result: its first lines, its table where it has rows, its notes."""
    first, *rest = map(escape, lines)
    head = "<br>".join([f"<b>{first}</b>", *rest])
    shown = table.to_html(index=False, float_format="{:.4g}".format) if len(table) else ""
    items = "".join(f"<li><code>{escape(n.code)}</code> {escape(n.message)}</li>" for n in notes)
    return f"<p>{head}</p>{shown}{f'<ul>{items}</ul>' if items else ''}"


def plain_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    """JSON-ready copy of a row: what is not finite as None."""
    out: dict[str, Any] = {}
    for name, value in row.items():
        value = value.item() if isinstance(value, np.generic) else value
        finite = not isinstance(value, float) or np.isfinite(value)
        out[str(name)] = value if finite else None
    return out
