"""Plans of any law under any limits: from solved tasks to a `Plan`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scaling_laws.errors import Note, PlanError, suggest
from scaling_laws.planning.amounts import is_number, one
from scaling_laws.planning.anchor import Anchor
from scaling_laws.planning.answer import central_interval
from scaling_laws.planning.checks import (
    Asked,
    asked,
    check_budget,
    data_notes,
    interval_note,
    passed_note,
    reach_notes,
)
from scaling_laws.planning.costs.cost import AnyCost, Cost
from scaling_laws.planning.costs.hardware import Hardware
from scaling_laws.planning.limits import BUDGETS, Measures, get_bounds
from scaling_laws.planning.plan import Plan
from scaling_laws.planning.sizes import Sizes, get_sizes, solve_sizes
from scaling_laws.planning.solving import Solution, Task
from scaling_laws.planning.source import PAIR, Source
from scaling_laws.planning.space import SCALES, Space, get_space

_RELAXED = 1.01
_SEEN = 1e-9


@dataclass(frozen=True)
class Options:
    """Options of a planner, checked; parameters as `Planner`.

    ``get_anchor`` returns the measured optimum that plans start from, where there is one.
    """

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
    get_anchor: Callable[[], Anchor | None]
    level: float
    tolerance: float


def check_options_of_plans(options: Options) -> None:
    """Check what can be checked before a question.

    Raises
    ------
    PlanError
        An option is of the wrong kind or out of range.
    """
    for name in ("limits", "fixed", "ranges"):
        if not isinstance(getattr(options, name), Mapping):
            raise PlanError(f"Planner: {name} must be a mapping, got {getattr(options, name)!r}.")
    if options.hardware is not None and not isinstance(options.hardware, Hardware):
        raise PlanError(
            f"Planner: hardware must be a Hardware, got {options.hardware!r}. get_accelerator("
            "name) makes one."
        )
    if not isinstance(options.spend, str):
        raise PlanError(f"Planner: spend must be a name, got {options.spend!r}.")
    if options.step_tokens is not None:
        one("Planner", "step_tokens", options.step_tokens, unit="tokens")
    confidence = options.confidence
    if confidence is None:
        return
    if not is_number(confidence) or not 0.5 < confidence < 1:
        raise PlanError(
            f"Planner: confidence must be in (0.5, 1), got {confidence!r}. None plans by the "
            "point law."
        )
    if options.source.predictor is None:
        raise PlanError("Planner: confidence= needs the draws of a fit; a bare law has none.")


def check_within(task: Task, plan: Mapping[str, float]) -> None:
    """Refuse a plan that breaks a bound of a task.

    Raises
    ------
    PlanError
        It does.
    """
    arrays = {n: np.array([v]) for n, v in plan.items()}
    for bound in task.bounds:
        beyond = float(np.exp(np.max(bound.excess(arrays))))
        if beyond > 1.0 + 1e-6:
            raise PlanError(
                f"regret: the plan breaks {bound.label} by a factor of {beyond:.4g}. Compare plans "
                "of one budget."
            )


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
    real = {} if target is None else {source.target: target}
    ask = asked(question, given, real) if given or real else Asked(question, {}, True)
    measures = Measures(options.cost, options.hardware)
    space = get_space(source, options.fixed, options.ranges, options.cost.inputs)
    if target is None and not options.limits and not set(given) & set(BUDGETS):
        _check_ends(question, options, space)
    held = [n for n in given if n not in BUDGETS]
    for name in held:
        if name in options.fixed:
            raise PlanError(
                f"{question}: '{name}' is already held by the planner at "
                f"{float(options.fixed[name]):g}. Leave it out of fixed=, or out of the question."
            )
        if name not in space.variables:
            raise PlanError(
                f"{question}: '{source.label}' has no '{name}'; its plans have {space.variables}."
            )
    if "flops" in ask.rows and "flops" in measures.names(space.variables):
        check_budget(question, ask.rows["flops"], source.smallest_flops(options.cost))
    bounds = get_bounds("Planner: limits", options.limits, measures, space.variables)
    spend = _spend(options, measures, space)
    tasks = []
    for i in range(ask.size if ask.rows else 1):
        budgets = {n: float(ask.rows[n][i]) for n in given if n in BUDGETS}
        own = get_bounds(question, budgets, measures, space.variables)
        where = space.hold(**{n: float(ask.rows[n][i]) for n in held})
        wanted = None if target is None else float(ask.rows[source.target][i])
        aim = None if target is None else spend
        tasks.append(
            Task(source, measures, where, (*bounds, *own), aim, wanted, options.confidence)
        )
    return ask, Answers(options, measures, space, get_sizes(options.sizes)), tasks


def _check_ends(question: str, options: Options, space: Space) -> None:
    """Refuse a question without budget or limits, unless what is free has ends of its own."""
    if not options.fixed and not options.ranges:
        raise PlanError(f"{question}: give a budget, or a planner with limits= or fixed=.")
    endless = [n for n in space.free if n in SCALES and n not in options.ranges]
    if endless:
        raise PlanError(
            f"{question}: nothing bounds {', '.join(endless)}. Give a budget, or a planner with "
            f"limits={{'{endless[0]}': ...}}, or hold it with fixed=."
        )
    if not space.free:
        raise PlanError(
            f"{question}: fixed= holds every input of '{options.source.label}', so nothing is left "
            "to choose. Call the law or predict, or leave one out of fixed=."
        )


def _spend(options: Options, measures: Measures, space: Space) -> str:
    known = (*space.variables, *measures.names(space.variables))
    if options.spend == "flops" and "flops" not in known:
        return options.source.single or ""  # of laws that know no compute
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
        law = self._stepped(task, self.solved(task, draws=False))
        drawn = None
        if self.source.draws is not None:
            sure = task if task.confidence is None else replace(task, confidence=None, steady=None)
            drawn = self.solved(sure, draws=True, near=law)
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
        nearest = self._described(task, law)
        broken = self._infeasible(task, nearest)
        told = task.wanted is not None and limit is not None
        return replace(plan, nearest=nearest, notes=(*notes, *(() if told else (broken,))))

    def _filled(self, plan: Plan, task: Task, law: Solution, drawn: Solution | None) -> Plan:
        """Complete a plan that is feasible."""
        prices = self._prices(task, law)
        near = self._near_optimal(task, law, prices)
        at, moved = self._anchored(task, law, prices)
        at = self._stepped(task, at)
        best = self._described(task, at)
        low, high = ({}, {}) if drawn is None else self._interval(task, drawn, best)
        factor = float(at.values["params"][0] / law.values["params"][0]) if moved else 1.0
        if moved and near:
            near |= {n: tuple(e * f for e in near[n]) for n, f in _shifts(near, factor)}
        ranges = {n: r for n, r in self.source.ranges.items() if n in best}
        edge = task.space.on_edge(best) if self.sizes is None else []
        notes = [*plan.notes, *moved, *_edge_notes(edge)]
        if drawn is not None and self.sizes is None:
            inside = [n for n in task.space.logs if n in task.space.free and n not in edge]
            notes += interval_note(low, high, {n: task.space.free[n] for n in inside})
        notes += data_notes({n: np.array([v]) for n, v in best.items()}, ranges)
        if task.wanted is not None and self.options.confidence is None:
            reached = np.array([best[self.source.target]])
            whole = self.options.step_tokens is not None  # which reach a little more
            notes += passed_note(self.source.target, np.array([task.wanted]), reached)[whole:]
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
        if limit is None and not feasible[0]:
            return None, share, []
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
        if not isinstance(cost, Cost) or task.wanted is not None or self.sizes is not None:
            return law, []
        free = task.space.searched == ("params",) and self.options.confidence is None
        anchor = self.options.get_anchor() if free and set(prices) <= set(BUDGETS) else None
        if anchor is None:
            return law, []
        log_n, log_d = (np.log(law.values[n][:1]) for n in PAIR)
        size = anchor.moved(self.source.surface(draws=False), log_n + log_d, log_n)
        held = task.solve(space=task.space.hold(params=float(np.exp(size[0]))))
        spent = [self.measures.of(n, held.values) / self.measures.of(n, law.values) for n in prices]
        whole = np.allclose(spent, 1.0, rtol=1e-6)  # else another limit binds there
        return (held, anchor.notes(log_n, size)) if held.feasible[0] and whole else (law, [])

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

    def _stepped(self, task: Task, found: Solution) -> Solution:
        """Tokens in whole steps: the nearest number of them that honours every bound."""
        step = self.options.step_tokens
        if step is None or "tokens" not in task.space.free or not found.feasible[0]:
            return found
        steps = float(found.values["tokens"][0]) / step
        order = (np.floor(steps + _SEEN), np.ceil(steps - _SEEN))
        for whole in order if task.wanted is None else order[::-1]:
            values = {**found.values, "tokens": np.array([step * whole])}
            arrays = {n: np.asarray(v)[:1] for n, v in values.items()}
            inside = all(np.max(b.excess(arrays)) <= _SEEN for b in task.bounds)
            if whole >= 1 and inside:
                return replace(found, values=values)
        return replace(found, feasible=np.zeros(1, dtype=bool))

    def _described(self, task: Task, found: Solution) -> dict[str, float]:
        """Quantities, measures and the target of one plan."""
        values = {n: float(found.values[n][0]) for n in task.space.variables}
        out = dict(values)
        machine = self.options.hardware
        if machine is not None and found.feasible[0] and "params" in values:
            machine.share(values["params"])  # says so where its utilisation makes no sense
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
            reached = np.where(drawn.feasible, values, np.inf)[:, None]
            for end, value in zip(ends, central_interval(reached, self.options.level), strict=True):
                end[name] = best[name] if name in task.space.held else float(value[0])
            if self.options.confidence is None:  # an anchored plan may lie outside its draws
                ends[0][name] = min(ends[0][name], best[name])
                ends[1][name] = max(ends[1][name], best[name])
            if abs(ends[1][name] - ends[0][name]) <= _SEEN * abs(best[name]):
                ends[0][name] = ends[1][name] = best[name]
        inputs = {n: np.array([best[n]]) for n in self.source.law.inputs}
        assert self.source.predictor is not None
        pair = self.source.predictor.predict_interval(inputs, level=self.options.level, kind="run")
        for end, value in zip(ends, pair, strict=True):
            end[self.source.target] = float(np.asarray(value).ravel()[0])
        low, high = ({n: end[n] for n in best} for end in ends)
        return low, high

    def _reachable(self, task: Task) -> float | None:
        """Best value of the target that the bounds allow; None where they allow nothing."""
        found = self.solved(replace(task, spend=None, wanted=None), draws=False)
        value = float(found.objective[0])
        return None if not found.feasible[0] else -value if self.source.higher else value

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

    def _near_optimal(
        self, task: Task, point: Solution, prices: Mapping[str, float]
    ) -> dict[str, Any]:
        """Sizes that do as well with a little more of what is spent."""
        searched = task.space.searched
        if searched != ("params",) or task.space.mixture or self.sizes is not None:
            return {}
        base = float(point.objective[0])
        extra = 1.0 + self.options.tolerance
        if task.wanted is None:
            spent = [n for n in prices if n in BUDGETS]
            if not spent:
                return {}
            wider, allowed = task.relaxed(extra, spent), base
            less = self.solved(task.relaxed(1.0 / extra, spent), draws=False)
            worth = {f"{self.source.target}_excess": float(less.objective[0]) - base}
        else:
            spent, worth = [str(task.spend)], {}
            wider, allowed = task, base + float(np.log(extra))
        best = float(np.log(point.values["params"][0]))
        ends = [_crossing(wider, best, side, allowed) for side in (-1.0, 1.0)]
        params = tuple(float(np.exp(end)) for end in ends)
        near: dict[str, Any] = {"params": params}
        if "tokens" in task.space.free:
            held = [wider.solve(space=task.space.hold(params=n)) for n in params]
            near["tokens"] = tuple(float(h.values["tokens"][0]) for h in held[::-1])
        return {**near, **worth, "tolerance": self.options.tolerance, "spent": " and ".join(spent)}

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


def _edge_notes(edge: Sequence[str]) -> list[Note]:
    if not edge:
        return []
    return [
        Note(
            "optimum_on_edge",
            "info",
            f"the best {', '.join(edge)} lies at the end of the range allowed: the law knows "
            "no optimum inside. Widen ranges=, or limit what it costs",
            {"quantities": list(edge)},
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


def _shifts(near: Mapping[str, Any], factor: float) -> list[tuple[str, float]]:
    """How ranges of an anchored plan move with its size."""
    return [(n, f) for n, f in (("params", factor), ("tokens", 1.0 / factor)) if n in near]


def stacked(plans: Sequence[Plan]) -> Plan:
    """One plan that holds arrays, from one for each row."""
    first = plans[0]

    def column(name: str) -> dict[str, Any]:
        keys = dict.fromkeys(k for p in plans for k in getattr(p, name))
        keys = dict.fromkeys(k for k in keys if k != "spent")
        return {k: _column([getattr(p, name).get(k, np.nan) for p in plans]) for k in keys}

    def optional(name: str) -> Any:
        values = [getattr(p, name) for p in plans]
        if all(v is None for v in values):
            return None
        return np.array([np.nan if v is None else v for v in values])

    near = column("near_optimal")
    if near:
        known = next(p.near_optimal for p in plans if "tolerance" in p.near_optimal)
        near |= {n: known[n] for n in ("tolerance", "spent")}
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
