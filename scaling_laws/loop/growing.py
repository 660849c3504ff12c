"""Grow a set of runs towards a goal: train, fit, choose what teaches most, train."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.errors import Note, PlanError, ScalingLawError
from scaling_laws.fitting.candidates import default_candidates
from scaling_laws.fitting.fitter import fit
from scaling_laws.fitting.result import Fit
from scaling_laws.fitting.selection import Selection
from scaling_laws.fitting.selector import select
from scaling_laws.laws.family import Law
from scaling_laws.loop.pool import Pool, Work, cheap_and_far_apart, make_pool
from scaling_laws.planning.costs.cost import Cost
from scaling_laws.planning.design.next_runs import (
    check_goal_level,
    next_runs,
    note_lines,
    plain_row,
)
from scaling_laws.planning.design.possible import as_table, positive_number
from scaling_laws.solving.setup import bind_family

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

_GROW = "grow"
_SEEDS_SPARE = 3  # runs above the number of coefficients to start from


@dataclass(frozen=True, eq=False)
class Growth:
    """Runs that were made towards a goal, and what is known now. Frozen; made by `grow`.

    Parameters
    ----------
    runs : DataFrame
        One row a run made, failed ones too: what `sweep` measured, with ``cost`` and ``round``
        (0: the first runs, or those the log had).
    source : Fit or Selection or None
        Of the finished runs; None where they could not be fitted.
    prediction : DataFrame
        The goals: inputs, target, ends of the interval of the mean, ``width``.
    rounds : DataFrame
        One row a fit: ``round``, ``runs``, ``spent``, ``width`` (widest of the goals).
    spent, budget : float
        In ``cost_unit``; runs that failed cost what they were to cost.
    cost_unit : str
    width : float
        Widest interval at the goals now, in the target's unit; infinite without a fit.
    reason : {"narrow", "budget", "candidates", "rounds"}
        Why it ended: the width asked for; no candidate is left that can be paid; none is left at
        all; as many rounds as allowed.
    notes : tuple of Note

    Examples
    --------
    >>> import numpy as np
    >>> from scaling_laws.loop.growing import grow
    >>> def train(samples, seed):
    ...     return 0.1 + samples**-0.5 * np.random.default_rng(seed).normal(1, 0.02)
    >>> could = [{"samples": 2**k, "seed": k} for k in range(4, 14)]
    >>> grown = grow(train, candidates=could, at={"samples": 1e5}, budget=20_000, cost="samples",
    ...              laws="power_with_floor", draws=200)
    >>> bool(grown.spent <= 20_000), bool(grown.width < 0.1)
    (True, True)
    """

    runs: pd.DataFrame
    source: Fit | Selection | None
    prediction: pd.DataFrame
    rounds: pd.DataFrame
    spent: float
    budget: float
    cost_unit: str
    width: float
    reason: str
    notes: tuple[Note, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of `runs`."""
        return self.runs.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping; what is not finite becomes None."""
        names = ("spent", "budget", "cost_unit", "width", "reason")
        tables = {n: getattr(self, n).to_dict("records") for n in ("prediction", "rounds", "runs")}
        return {
            **plain_row({name: getattr(self, name) for name in names}),
            **{name: [plain_row(row) for row in rows] for name, rows in tables.items()},
            "notes": [note.to_dict() for note in self.notes],
        }

    def __str__(self) -> str:
        why = {
            "narrow": "the interval is as narrow as asked",
            "budget": "no candidate is left that the budget can pay",
            "candidates": "every candidate was made",
            "rounds": "as many rounds as allowed",
        }[self.reason]
        lines = [
            f"Grown to {len(self.runs)} runs, {self.spent:.4g} of {self.budget:.4g} "
            f"{self.cost_unit}: {why}",
            self.prediction.to_string(index=False, float_format=lambda v: f"{v:.5g}"),
            self.rounds.to_string(index=False, float_format=lambda v: f"{v:.4g}"),
        ]
        return "\n".join([*lines, *note_lines(self.notes)])

    def __repr__(self) -> str:
        return str(self)


def grow(
    train: Callable[..., Any],
    *,
    candidates: pd.DataFrame | Mapping[str, ArrayLike] | Sequence[Mapping[str, Any]],
    at: pd.DataFrame | Mapping[str, ArrayLike],
    budget: float,
    cost: str | Cost | ArrayLike | None = None,
    target: str = "loss",
    laws: str | Sequence[str] | None = None,
    width: float | None = None,
    start: int | None = None,
    rounds: int = 4,
    level: float = 0.9,
    log: str | os.PathLike[str] | None = None,
    workers: int = 1,
    timeout: float | None = None,
    seed: int = 0,
    draws: int = 500,
    options: Mapping[str, Any] | None = None,
) -> Growth:
    """Train a few cheap runs, fit, choose the next by what they teach about the goal, and again.

    Parameters
    ----------
    train : callable
        As `sweep`; called with the candidates' columns but the cost's.
    candidates : DataFrame, mapping of columns, or sequence of mappings
        Runs that could be made, all different: the inputs that ``at`` names, and whatever else
        ``train`` takes, such as ``seed``.
    at : DataFrame or mapping
        The goal, one or many points: the law's inputs.
    budget : float
        What all runs may cost together, those in the log too. Never exceeded.
    cost : str, Cost or array_like, optional
        As `next_runs`: ``"6ND"`` [FLOP], a column (which may be an input), or one cost a run.
    target : str, default "loss"
        What ``train`` returns and the goal is about.
    laws : str or sequence of str, optional
        One law is fitted, several are weighed by `select`; default all that fit the inputs.
    width : float, optional
        Stop as soon as the interval of the mean at every goal is this narrow [target's unit].
    start : int, optional
        First runs [count]: cheap ones, far apart. Default: three more than coefficients.
    rounds : int, default 4
        Choices of further runs; each spends its part of what is left, the last one all.
    level : float, default 0.9
        Mass of the intervals.
    log : path-like, optional
        File of the runs, as `sweep`. Called again with it, ``grow`` counts the candidates it
        holds as made and paid, and goes on from there.
    workers, timeout
        As `sweep`.
    seed, draws
        Of the fits.
    options : mapping of str to object, optional
        Further options of `fit` or `select`, such as ``{"priors": ...}``, or ``{"law_error":
        False}`` where one law is known to be right.

    Returns
    -------
    Growth

    Raises
    ------
    PlanError
        A table or an option is not usable, or the budget cannot pay the first runs.
    MeasureError
        As `sweep`.

    Notes
    -----
    Runs that fail are paid and are not tried again. Where the first runs cannot be fitted, more
    of them are made. See `next_runs` for how runs are chosen.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> from scaling_laws.loop.growing import grow
    >>> law = sl.published.HOFFMANN_2022
    >>> could = sl.grid(params=[1e7, 3e7, 1e8, 3e8], tokens=[1e9, 3e9, 1e10, 3e10])
    >>> grown = grow(lambda params, tokens: law(params=params, tokens=tokens), candidates=could,
    ...              at={"params": 1e10, "tokens": 1e11}, budget=1e20, laws="chinchilla", draws=200)
    >>> bool(grown.spent <= 1e20), bool(0 < grown.width < 0.3)
    (True, True)
    """
    budget = positive_number(budget, _GROW, "budget", "It is in the unit of the cost.")
    _check_numbers(width, start, rounds, level)
    goal = _Goal(at, target, laws, level, {**(options or {}), "seed": seed, "draws": draws})
    pool = make_pool(goal.law, goal.at, candidates, cost)
    work = Work(pool, train, budget, log, workers, timeout)
    work.take_up()
    first = start if start is not None else goal.coefficients + _SEEDS_SPARE
    known = _start(goal, pool, work, first)
    table = [_told(work, known)]
    reason = _ending(work, known, width)
    while reason is None and len(table) <= rounds:
        chosen = _choose(goal, pool, work, known, rounds - len(table) + 1)
        if not chosen:
            reason = "budget"
            break
        work.make(chosen, len(table))
        known = goal.learn(work.frame)
        table.append(_told(work, known))
        reason = _ending(work, known, width)
    return _grown(work, known, table, reason or "rounds")


def _check_numbers(width: Any, start: Any, rounds: Any, level: Any) -> None:
    if width is not None:
        positive_number(width, _GROW, "width", "It is in the target's unit.")
    for name, value in (("start", start), ("rounds", rounds)):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if value is not None and not (whole and value >= 1):
            raise PlanError(f"{_GROW}: {name} must be a whole number from 1 up, got {value!r}.")
    check_goal_level(level, _GROW)


@dataclass(frozen=True, eq=False)
class _Known:
    """What the runs made so far say at the goal."""

    source: Fit | Selection | None
    prediction: pd.DataFrame
    failure: str = ""

    @property
    def width(self) -> float:
        if self.source is None:
            return math.inf
        widest = float(self.prediction["width"].max())
        return widest if math.isfinite(widest) else math.inf


@dataclass(frozen=True, eq=False)
class _Goal:
    """What is asked, and how it is learnt from runs."""

    at: Any
    target: str
    laws: str | Sequence[str] | None
    level: float
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        import pandas as pd

        table = as_table(self.at, _GROW, "at=")
        columns = {str(n): np.atleast_1d(np.asarray(table[n], dtype=object)) for n in table}
        object.__setattr__(self, "at", pd.DataFrame(columns))
        if self.at.empty:
            raise PlanError(f"{_GROW}: at= has no points; give the inputs to predict at.")

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(map(str, self.at.columns))

    @property
    def law(self) -> Law:
        """A law over the inputs, for the checks of tables only."""
        if self.laws is None:
            family = default_candidates(self.inputs, self.target)[0]
        else:
            name = self.laws if isinstance(self.laws, str) else next(iter(self.laws))
            family = bind_family(name, self.target, self.bound)
        return family.with_coef(family.example)

    @property
    def bound(self) -> tuple[str, ...] | None:
        """Inputs to bind laws to; None for laws that name their own."""
        return None if set(self.inputs) == {"params", "tokens"} else self.inputs

    @property
    def coefficients(self) -> int:
        return len(self.law.values)

    def learn(self, frame: pd.DataFrame) -> _Known:
        """Fit or select, and predict at the goal."""
        made: dict[str, Any] = {"target": self.target, **self.options}
        try:
            if isinstance(self.laws, str):
                source: Fit | Selection = fit(frame, self.laws, inputs=self.bound, **made)
            else:
                source = select(frame, self.laws, inputs=self.bound or self.inputs, **made)
            told = source.predict(self.at[list(source.inputs)], level=self.level, kind="mean")
        except ScalingLawError as failure:
            return _Known(None, self.at.copy(), str(failure))
        told["width"] = told[f"{self.target}_high"] - told[f"{self.target}_low"]
        return _Known(source, told)


def _start(goal: _Goal, pool: Pool, work: Work, first: int) -> _Known:
    """Make the first runs; more of them until they can be fitted or nothing is left."""
    if len(work.made) < first:
        chosen = cheap_and_far_apart(pool, work, first - len(work.made))
        if not chosen and not work.made:
            raise PlanError(
                f"{_GROW}: the budget of {work.budget:.4g} cannot pay one candidate; the cheapest "
                f"costs {pool.cost.min():.4g}. Add cheaper ones, or raise the budget."
            )
        if chosen:
            work.make(chosen, 0)
    known = goal.learn(work.frame)
    while known.source is None:
        more = cheap_and_far_apart(pool, work, 2)
        if not more:
            return known
        work.make(more, 0)
        known = goal.learn(work.frame)
    return known


def _choose(goal: _Goal, pool: Pool, work: Work, known: _Known, rounds_left: int) -> list[int]:
    """Next runs: the beginning of the best design of all that is left, worth this round's part."""
    payable = np.sort(work.payable)
    if known.source is None or not len(payable):
        return []
    table = pool.table()
    failed = work.failed
    try:
        design = next_runs(
            known.source,
            table.iloc[payable],
            at=goal.at.astype(float),
            budget=work.left,
            cost=pool.cost[payable],
            failed=table.iloc[failed] if failed else None,
            level=goal.level,
        )
    except PlanError:  # every candidate left repeats one that failed
        return []
    rows = [int(row) for row in design.rows]
    part = work.left / max(rounds_left, 1)
    within = int(np.searchsorted(np.cumsum(pool.cost[rows]), part * (1 + 1e-12), side="right"))
    return rows[: max(within, 1)]


def _ending(work: Work, known: _Known, width: float | None) -> str | None:
    if width is not None and known.width <= width:
        return "narrow"
    if not len(work.open):
        return "candidates"
    return None if len(work.payable) else "budget"


def _told(work: Work, known: _Known) -> dict[str, Any]:
    return {"runs": len(work.made), "spent": work.spent, "width": known.width}


def _grown(work: Work, known: _Known, table: list[dict[str, Any]], reason: str) -> Growth:
    import pandas as pd

    notes: list[Note] = list(work.pool.checked.notes)
    if known.source is None:
        message = f"the runs made could not be fitted ({known.failure})"
        notes.append(Note("growth_not_fitted", "warning", message, {"runs": len(work.made)}))
    else:
        notes += known.source.notes
    if work.failed:
        message = f"{len(work.failed)} of {len(work.made)} runs failed; they count as paid"
        notes.append(Note("growth_failed_runs", "info", message, {"failed": len(work.failed)}))
    rounds = pd.DataFrame(table)
    rounds.insert(0, "round", range(len(table)))
    return Growth(
        work.frame, known.source, known.prediction, rounds, work.spent, work.budget,
        work.pool.checked.unit, known.width, reason, tuple(notes),
    )  # fmt: skip
