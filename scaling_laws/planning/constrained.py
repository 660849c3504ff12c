"""Plans of any law under any limits: from solved tasks to a `Plan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scaling_laws.errors import Note, PlanError, suggest
from scaling_laws.laws.family import Law
from scaling_laws.planning.amounts import Array, is_number
from scaling_laws.planning.anchor import get_anchor
from scaling_laws.planning.checks import Asked, asked, check_budget, data_notes, reach_notes
from scaling_laws.planning.cost import AnyCost, Cost
from scaling_laws.planning.hardware import Hardware
from scaling_laws.planning.limits import BUDGETS, Measures, get_bounds
from scaling_laws.planning.plan import Plan
from scaling_laws.planning.sizes import Sizes, get_sizes, solve_sizes
from scaling_laws.planning.solving import Solution, Task
from scaling_laws.planning.source import PAIR, Source
from scaling_laws.planning.space import Space, get_space

_RELAXED = 1.01
_SEEN = 1e-9
_PROFILE = 801


@dataclass(frozen=True)
class Options:
    """Options of a planner, checked; parameters as `Planner`."""

    source: Source
    cost: AnyCost
    hardware: Hardware | None
    limits: Mapping[str, Any]
    fixed: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]
    sizes: Any
    step_tokens: float | None
    spend: str
    confidence: float | None
    anchor: bool
    level: float
    tolerance: float


def check_confidence(confidence: Any, source: Any) -> None:
    """Check the probability to plan for.

    Raises
    ------
    PlanError
        Not in (0.5, 1), or the source is a bare law.
    """
    if confidence is None:
        return
    if not is_number(confidence) or not 0.5 < confidence < 1:
        raise PlanError(
            f"Planner: confidence must be in (0.5, 1), got {confidence!r}. None plans by the "
            "point law."
        )
    if isinstance(source, Law):
        raise PlanError("Planner: confidence= needs the draws of a fit; a bare law has none.")


def answer(options: Options, question: str, given: Mapping[str, Any], target: Any = None) -> Plan:
    """Answer a question under limits, row by row.

    Parameters
    ----------
    options : Options
    question : str
        Name of the planner's method.
    given : mapping of str to array_like
        Budgets, and quantities that are held.
    target : array_like, optional
        Value to reach.

    Raises
    ------
    PlanError
        A quantity is malformed or unknown, or there is nothing to plan within.
    """
    ask, answers, tasks = posed(options, question, given, target)
    rows = [{n: float(v[i]) for n, v in ask.rows.items()} for i in range(len(tasks))]
    plans = [answers.one(question, row, task) for row, task in zip(rows, tasks, strict=True)]
    return plans[0] if ask.scalar else stacked(plans)


def posed(
    options: Options, question: str, given: Mapping[str, Any], target: Any = None
) -> tuple[Asked, Answers, list[Task]]:
    """Check a question and pose one task a row; parameters as `answer`.

    Raises
    ------
    PlanError
        As `answer`.
    """
    source = options.source
    if target is None and not options.limits and not set(given) & set(BUDGETS):
        raise PlanError(f"{question}: give a budget, or a planner with limits=.")
    real = {} if target is None else {source.target: target}
    ask = asked(question, given, real) if given or real else Asked(question, {}, True)
    measures = Measures(options.cost, options.hardware)
    space = get_space(source, options.fixed, options.ranges, options.cost.inputs)
    held = [n for n in given if n not in BUDGETS]
    for name in held:
        if name not in space.variables:
            raise PlanError(
                f"{question}: '{source.label}' has no '{name}'; its plans have {space.variables}."
            )
    if "flops" in ask.rows and "flops" in measures.names(space.variables):
        check_budget(question, ask.rows["flops"], source.smallest_flops(options.cost))
    bounds = get_bounds("Planner: limits", options.limits, measures, space.variables)
    spend = None if target is None else _spend(options, measures, space)
    tasks = []
    for i in range(ask.size if ask.rows else 1):
        budgets = {n: float(ask.rows[n][i]) for n in given if n in BUDGETS}
        own = get_bounds(question, budgets, measures, space.variables)
        where = space.hold(**{n: float(ask.rows[n][i]) for n in held})
        wanted = None if target is None else float(ask.rows[source.target][i])
        tasks.append(
            Task(source, measures, where, (*bounds, *own), spend, wanted, options.confidence)
        )
    return ask, Answers(options, measures, space, get_sizes(options.sizes)), tasks


def _spend(options: Options, measures: Measures, space: Space) -> str:
    known = (*space.variables, *measures.names(space.variables))
    if options.spend not in known:
        raise PlanError(
            f"Planner: spend='{options.spend}' is nothing that the plan has."
            f"{suggest(options.spend, known)} It has {known}."
        )
    return options.spend


@dataclass(frozen=True)
class Answers:
    """From solved tasks to plans.

    Parameters
    ----------
    options : Options
    measures : Measures
    space : Space
    sizes : Sizes, optional
    """

    options: Options
    measures: Measures
    space: Space
    sizes: Sizes | None

    @property
    def source(self) -> Source:
        """Law or fit."""
        return self.options.source

    def one(self, question: str, given: Mapping[str, float], task: Task) -> Plan:
        """Plan for one solved task."""
        task = replace(task, steady=task.is_steady())
        law = self.solved(task, draws=False)
        drawn = None
        if self.source.draws is not None:
            drawn = self.solved(replace(task, confidence=None), draws=True, near=law)
        limit, share, notes = self._reach(task, law, drawn)
        plan = Plan(
            question=question,
            target=self.source.target,
            given=given,
            feasible=bool(law.feasible[0]),
            limit=limit,
            share=share,
            notes=tuple(notes),
            about=self._about(),
        )
        if plan.feasible:
            return self._filled(plan, task, law, drawn)
        nearest = self._described(task, law, 0)
        more = () if task.wanted is not None else (self._infeasible(task, nearest),)
        return replace(plan, nearest=nearest, notes=(*notes, *more))

    def _filled(self, plan: Plan, task: Task, law: Solution, drawn: Solution | None) -> Plan:
        """Complete a plan that is feasible."""
        prices = self._prices(task, law)
        near = self._near_optimal(task, law)
        at, moved = self._anchored(task, law, prices)
        best = self._described(task, at, 0)
        low, high = ({}, {}) if drawn is None else self._interval(task, drawn, best)
        factor = float(at.values["params"][0] / law.values["params"][0]) if moved else 1.0
        if moved and near:
            near["params"] = tuple(end * factor for end in near["params"])
        ranges = {n: r for n, r in self.source.ranges.items() if n in best}
        notes = [*plan.notes, *moved, *self._edge_notes(task, best)]
        notes += data_notes({n: np.array([v]) for n, v in best.items()}, ranges)
        return replace(
            plan,
            best=best,
            low=low,
            high=high,
            near_optimal=near,
            more={n: best[n] / ranges[n][1] for n in ranges},
            binding=tuple(prices),
            prices=prices,
            notes=tuple(notes),
        )

    def _reach(
        self, task: Task, law: Solution, drawn: Solution | None
    ) -> tuple[float | None, float | None, list[Note]]:
        """Best value within reach, share of draws that reach the target, and notes on both."""
        if task.wanted is None:
            return None, None, []
        feasible = np.asarray(law.feasible[:1], dtype=bool)
        share = None if drawn is None else float(drawn.feasible.mean())
        exact = self.options.confidence is None or not feasible[0]  # else it takes too long
        limit = self._reachable(task) if exact else None
        notes = reach_notes(
            self.source.target, np.array([task.wanted]),
            np.array([np.nan if limit is None else limit]), feasible,
            None if share is None else np.array([share]), self.source.higher,
            (*task.space.held, *dict.fromkeys(b.name for b in task.bounds)),
        )  # fmt: skip
        return limit, share, notes

    def _anchored(
        self, task: Task, law: Solution, prices: Mapping[str, float]
    ) -> tuple[Solution, list[Note]]:
        """Move the size towards growth from the last measured optimum, where budgets alone bind."""
        cost = self.options.cost
        plain = isinstance(cost, Cost) and task.wanted is None and self.sizes is None
        if not (plain and self.options.anchor and task.space.searched == ("params",)):
            return law, []
        if self.options.confidence is not None or not set(prices) <= set(BUDGETS):
            return law, []
        anchor = get_anchor(self.source, cost.kappa) if isinstance(cost, Cost) else None
        if anchor is None:
            return law, []
        log_n, log_d = (np.log(law.values[n][:1]) for n in PAIR)
        size = anchor.moved(self.source.surface(draws=False), log_n + log_d, log_n)
        held = task.solve(space=task.space.hold(params=float(np.exp(size[0]))))
        return (held, anchor.notes(log_n, size)) if held.feasible[0] else (law, [])

    def _about(self) -> dict[str, Any]:
        options = self.options
        about: dict[str, Any] = {
            "name": self.source.label,
            "law": self.source.law.to_dict(),
            "cost": options.cost.name,
            "level": options.level,
            "tolerance": options.tolerance,
        }
        about |= {"fixed": dict(options.fixed)} if options.fixed else {}
        if options.hardware is not None:
            machine = options.hardware
            share = machine.utilization
            used = "a fitted share" if callable(share) else f"{100 * share:g} %"
            about["hardware"] = f"{machine.count} x {machine.name} at {used} of their peak"
        return about | ({"confidence": options.confidence} if options.confidence else {})

    def solved(self, task: Task, *, draws: bool, near: Solution | None = None) -> Solution:
        """Solve a task, with sizes that can be built where they are given."""
        if self.sizes is None:
            return task.solve(draws=draws, near=near)
        return solve_sizes(task, self.sizes, draws=draws)

    def _described(self, task: Task, found: Solution, row: int) -> dict[str, float]:
        """Quantities, measures and the target of one plan."""
        values = {n: float(found.values[n][row]) for n in task.space.variables}
        step = self.options.step_tokens
        if step is not None and "tokens" in task.space.free:  # whole steps, within the budget
            steps = values["tokens"] / step
            whole = np.floor(steps + 1e-9) if task.wanted is None else np.ceil(steps - 1e-9)
            values["tokens"] = float(step * max(whole, 1.0))
        out = dict(values)
        arrays = {n: np.asarray(v) for n, v in values.items()}
        for name in self.measures.names(task.space.variables):
            out[name] = float(self.measures.of(name, arrays))
        inputs = {n: np.array([values[n]]) for n in self.source.law.inputs}
        out[self.source.target] = float(self.source.predict(inputs)[0])
        return out

    def _interval(
        self, task: Task, drawn: Solution, best: Mapping[str, float]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Quantiles of every draw's own plan; of the target, the source's interval of one run."""
        arrays: dict[str, Any] = {n: drawn.values[n] for n in task.space.variables}
        for name in self.measures.names(task.space.variables):
            arrays[name] = np.broadcast_to(
                self.measures.of(name, drawn.values), drawn.feasible.shape
            )
        ends: list[dict[str, Any]] = [{}, {}]
        for name, values in arrays.items():
            reached = np.where(drawn.feasible, values, np.inf)
            quantiles = (0.5 - self.options.level / 2, 0.5 + self.options.level / 2)
            for end, q, method in zip(ends, quantiles, ("lower", "higher"), strict=True):
                end[name] = _quantile(reached, q, method)
        inputs = {n: np.array([best[n]]) for n in self.source.law.inputs}
        assert self.source.predictor is not None
        pair = self.source.predictor.predict_interval(inputs, level=self.options.level, kind="run")
        for end, value in zip(ends, pair, strict=True):
            end[self.source.target] = float(np.asarray(value).ravel()[0])
        low, high = ({n: end[n] for n in best} for end in ends)
        if self.options.confidence is None:  # an anchored plan may lie outside its draws
            for name in (n for n in task.space.variables if np.isfinite(best[n])):
                low[name], high[name] = min(low[name], best[name]), max(high[name], best[name])
        return low, high

    def _reachable(self, task: Task) -> float:
        """Best value of the target that the bounds allow."""
        open_task = replace(task, spend=None, wanted=None)
        value = float(self.solved(open_task, draws=False).objective[0])
        return -value if self.source.higher else value

    def _prices(self, task: Task, point: Solution) -> dict[str, float]:
        """What one percent more of each bound is worth; only bounds that bind."""
        out = {}
        base = float(point.objective[0])
        for label in dict.fromkeys(b.label for b in task.bounds):
            wider = task.relaxed(_RELAXED, [label])
            gain = float(self.solved(wider, draws=False, near=point).objective[0])
            worth = base - gain
            if worth > _SEEN * max(abs(base), 1.0):
                out[label] = worth
        return out

    def _near_optimal(self, task: Task, point: Solution) -> dict[str, Any]:
        """Sizes that do as well with a little more of what is spent."""
        searched = task.space.searched
        if searched != ("params",) or task.space.mixture or self.sizes is not None:
            return {}
        base = float(point.objective[0])
        if task.wanted is None:
            spent = [b.label for b in task.bounds if b.name in BUDGETS]
            if not spent:
                return {}
            task, allowed = task.relaxed(1.0 + self.options.tolerance, spent), base
        else:
            allowed = base + float(np.log1p(self.options.tolerance))
        best = float(np.log(point.values["params"][0]))
        low, high = (_crossing(task, best, side, allowed) for side in (-1.0, 1.0))
        return {
            "params": (float(np.exp(low)), float(np.exp(high))),
            "tolerance": self.options.tolerance,
        }

    def _infeasible(self, task: Task, nearest: Mapping[str, float]) -> Note:
        arrays = {n: np.asarray(v) for n, v in nearest.items()}
        broken = {
            b.label: float(np.exp(np.max(b.excess(arrays))))
            for b in task.bounds
            if np.max(b.excess(arrays)) > _SEEN
        }
        said = ", ".join(f"{n} by a factor of {v:.3g}" for n, v in broken.items())
        return Note(
            "no_feasible_plan",
            "warning",
            f"no plan honours every limit; the nearest breaks {said or 'the list of sizes'}. Relax "
            "a limit, or look at nearest.",
            {"broken": broken},
        )

    def _edge_notes(self, task: Task, best: Mapping[str, float]) -> list[Note]:
        edge = [n for n in task.space.on_edge(best) if self.sizes is None]
        if not edge:
            return []
        return [
            Note(
                "optimum_on_edge",
                "info",
                f"the best {', '.join(edge)} lies at the end of the range allowed: the law knows "
                "no optimum inside. Widen ranges=, or limit what it costs",
                {"quantities": edge},
            )
        ]


def _crossing(task: Task, best: float, side: float, allowed: float) -> float:
    """Coordinate on one side of the best where the objective exceeds what is allowed."""
    step, inside = 0.05, best
    low, high = task.space.box[0]
    while True:
        outside = float(np.clip(best + side * step, low, high))
        if task.profile(np.array([outside]))[0] > allowed:
            break
        inside = outside
        if outside in (low, high):
            return outside
        step *= 2.0
    for _ in range(5):
        grid = np.linspace(inside, outside, 17)
        over = np.flatnonzero(task.profile(grid) > allowed)
        first = int(over[0]) if len(over) else len(grid) - 1
        inside, outside = float(grid[max(first - 1, 0)]), float(grid[first])
    return 0.5 * (inside + outside)


def _quantile(values: Array, q: float, method: str) -> float:
    """Quantile that keeps infinity."""
    if np.isfinite(values).all():
        return float(np.quantile(values, q))
    return float(np.quantile(values, q, method=method))  # type: ignore[call-overload]


def stacked(plans: Sequence[Plan]) -> Plan:
    """One plan that holds arrays, from one for each row."""
    first = plans[0]

    def column(name: str) -> dict[str, Any]:
        keys = dict.fromkeys(k for p in plans for k in getattr(p, name))
        return {k: _column([getattr(p, name).get(k, np.nan) for p in plans]) for k in keys}

    def optional(name: str) -> Any:
        values = [getattr(p, name) for p in plans]
        if all(v is None for v in values):
            return None
        return np.array([np.nan if v is None else v for v in values])

    near = column("near_optimal")
    if near:
        near["tolerance"] = next(
            p.near_optimal["tolerance"] for p in plans if "tolerance" in p.near_optimal
        )
    return Plan(
        question=first.question,
        target=first.target,
        given=column("given"),
        feasible=np.array([p.feasible for p in plans]),
        best=column("best"),
        low=column("low"),
        high=column("high"),
        near_optimal=near,
        more=column("more"),
        limit=optional("limit"),
        share=optional("share"),
        binding=tuple(dict.fromkeys(b for p in plans for b in p.binding)),
        prices=column("prices"),
        nearest=column("nearest"),
        notes=_joined([p.notes for p in plans]),
        about=first.about,
    )


def _column(values: list[Any]) -> Any:
    if any(isinstance(v, tuple) for v in values):
        pairs = [v if isinstance(v, tuple) else (np.nan, np.nan) for v in values]
        return tuple(np.array(end, dtype=float) for end in zip(*pairs, strict=True))
    return np.array(values, dtype=float)


def _joined(notes: Sequence[Sequence[Note]]) -> tuple[Note, ...]:
    """The first note of each code, with the number of rows it concerns."""
    found: dict[str, list[Note]] = {}
    for row in notes:
        for note in row:
            found.setdefault(note.code, []).append(note)
    return tuple(
        Note(n[0].code, n[0].severity, n[0].message, {**n[0].details, "rows": len(n)})
        for n in found.values()
    )
