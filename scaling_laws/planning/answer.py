"""From solved logarithms to a plan: point, interval, near-optimal range, notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling_laws.errors import Note
from scaling_laws.planning.anchor import Anchor
from scaling_laws.planning.checks import (
    Asked,
    boundary_note,
    data_notes,
    interval_note,
    passed_note,
    reach_notes,
)
from scaling_laws.planning.costs.cost import Cost
from scaling_laws.planning.optimum import LARGEST, Array, Mask, NumericSurface
from scaling_laws.planning.plan import Plan
from scaling_laws.planning.power_sum import PowerSum
from scaling_laws.planning.source import PAIR, Source

Surface = PowerSum | NumericSurface
Pair = tuple[Array, Array]
Solve = Callable[[Surface, slice], Pair]
Intervals = tuple[dict[str, Array], dict[str, Array]]

_CHUNK = 200_000
_RANGE = 690.0


@dataclass(frozen=True)
class Answerer:
    """Turns solutions for the point law and for every draw into a `Plan`.

    Parameters
    ----------
    source : Source
    cost : Cost
    level : float
        Mass of the central intervals.
    tolerance : float
        Extra compute, as a fraction, of near-optimal plans.
    """

    source: Source
    cost: Cost
    level: float
    tolerance: float

    def joint(
        self,
        ask: Asked,
        solve: Solve,
        *,
        first: str = "params",
        optimal: bool = False,
        anchor: Anchor | None = None,
    ) -> Plan:
        """Answer a question about params and tokens.

        Parameters
        ----------
        ask : Asked
        solve : callable
            ``(surface, rows) -> (u, v)``: logarithms of ``first`` and of the other quantity for
            those rows of the question, of shape (1 or draws, rows).
        first : {"params", "tokens"}
            The quantity called ``u``.
        optimal : bool
            Whether the split between the two was optimised.
        anchor : Anchor, optional
            Moves the recommendation along the budget; the draws stay where they are.
        """
        source, target = self.source, self.source.target
        surface = source.surface(draws=False, first=first)
        u, v = (np.asarray(x).ravel() for x in solve(surface, slice(None)))
        feasible = (np.abs(u) < _RANGE) & (np.abs(v) < _RANGE)
        notes: list[Note] = []
        with np.errstate(invalid="ignore"):
            law_u, c, moved = u, u + v, np.zeros_like(u)
        if anchor is not None and feasible.all():
            u = anchor.moved(surface, c, law_u)
            v, moved = c - u, u - law_u
            notes += anchor.notes(law_u, u)
        best = self._recommend(ask, first, u, v, feasible)
        low, high, share = self._spread(ask, solve, first, best, feasible)
        if optimal and low and isinstance(surface, NumericSurface):
            names = (first, PAIR[1 - PAIR.index(first)])
            floors = {
                n: (float(np.exp(x)), np.inf) for n, x in zip(names, surface.lows, strict=True)
            }
            notes += interval_note(low, high, floors)
        if moved.any():
            low, high = _including(low, high, best, ("params", "tokens", "tokens_per_param"))
        near: dict[str, Any] = {}
        limit = None
        if optimal and feasible.any():
            near, inside = self._near_optimal(surface, law_u, c, moved, feasible)
            notes += boundary_note(inside, source.label)
        if target in ask.rows:
            fixed = tuple(n for n in PAIR if n in ask.rows)
            limit = self._limit(ask, tuple(n for n in PAIR if n not in fixed))
            wanted = ask.rows[target]
            notes += reach_notes(target, wanted, limit, feasible, share, source.higher, fixed)
            notes += passed_note(target, wanted, best[target])
        elif "flops" in ask.rows:
            share = None
        else:
            notes += boundary_note(feasible, source.label)
        return self._plan(ask, feasible, best, (low, high), near, limit, share, notes)

    def predicted(self, ask: Asked) -> Plan:
        """Answer with the value a law of one input takes at the given input."""
        name = self.source.law.inputs[0]
        x = ask.rows[name]
        return self._single(ask, x, (x, x))

    def needed(self, ask: Asked) -> Plan:
        """Answer with the input at which a law of one input meets the target.

        A draw that is all but flat may meet it anywhere: none counts as needing less than the
        smallest measured run, which did not, unless the point does.
        """
        source = self.source
        name, wanted = source.law.inputs[0], ask.rows[source.target]
        curve = source.curve(name, draws=False)
        log_x = curve.needed(wanted).ravel()
        feasible = np.isfinite(log_x)
        interval, share = None, None
        if source.draws is not None:
            many = source.curve(name, draws=True)
            size = max(1, _CHUNK // len(source.draws))
            smallest = source.ranges.get(name, (0.0,))[0]
            least = np.fmin(np.log(smallest) if smallest > 0 else -np.inf, log_x)
            pieces = [
                np.maximum(many.needed(wanted[i : i + size]), least[i : i + size])
                for i in range(0, ask.size, size)
            ]
            low, high = zip(*(central_interval(piece, self.level) for piece in pieces), strict=True)
            interval = np.exp(np.concatenate(low)), np.exp(np.concatenate(high))
            share = np.concatenate([np.isfinite(piece).mean(axis=0) for piece in pieces])
        limit = self._limit(ask, (name,))
        rising = bool(curve.value(LARGEST) > curve.value(curve.low))
        notes = reach_notes(source.target, wanted, limit, feasible, share, rising)
        x = np.exp(log_x)
        notes += passed_note(source.target, wanted, self._predict({name: x}, feasible))
        return self._single(ask, x, interval, limit, share, notes)

    def _single(
        self,
        ask: Asked,
        x: Array,
        interval: Pair | None,
        limit: Array | None = None,
        share: Array | None = None,
        notes: list[Note] | None = None,
    ) -> Plan:
        name, target = self.source.law.inputs[0], self.source.target
        feasible = np.isfinite(x)
        best = {name: np.where(feasible, x, np.nan)}
        best[target] = self._predict(best, feasible)
        ends: Intervals = ({}, {})
        if self.source.draws is not None and interval is not None:
            bottom, top = self._target_interval(best, feasible)
            ends = {name: interval[0], target: bottom}, {name: interval[1], target: top}
        return self._plan(ask, feasible, best, ends, {}, limit, share, notes or [])

    def _recommend(
        self, ask: Asked, first: str, u: Array, v: Array, feasible: Mask
    ) -> dict[str, Array]:
        """Point recommendation; quantities the caller gave are returned exactly."""
        log = {first: u, PAIR[1 - PAIR.index(first)]: v}
        found = {n: np.exp(np.where(feasible, log[n], np.nan)) for n in PAIR} | dict(ask.rows)
        params, tokens = found["params"], found["tokens"]
        flops = found.get("flops")
        if flops is None:
            flops = self.cost.flops(params, tokens)
        elif first == "params":
            tokens = self.cost.tokens(flops, params)
        else:
            params = self.cost.params(flops, tokens)
        best = {"params": params, "tokens": tokens, "flops": flops}
        best[self.source.target] = self._predict(best, feasible)
        return best | {"tokens_per_param": tokens / params}

    def _spread(
        self, ask: Asked, solve: Solve, first: str, best: Mapping[str, Array], feasible: Mask
    ) -> tuple[dict[str, Array], dict[str, Array], Array | None]:
        """Interval ends of every quantity, and the share of draws with an answer."""
        source = self.source
        if source.draws is None:
            return {}, {}, None
        surface = source.surface(draws=True, first=first)
        size = max(1, _CHUNK // len(source.draws))
        names = ("params", "tokens", "flops", "tokens_per_param")
        solved = [n for n in names if n not in ask.rows]
        ends: dict[str, list[Pair]] = {name: [] for name in solved}
        shares = []
        for start in range(0, ask.size, size):
            u, v = np.broadcast_arrays(*solve(surface, slice(start, start + size)))
            shares.append(np.mean(np.isfinite(u) & np.isfinite(v), axis=0))
            n, d = (u, v) if first == "params" else (v, u)
            with np.errstate(invalid="ignore"):
                logs = {
                    "params": n,
                    "tokens": d,
                    "flops": np.log(self.cost.kappa) + n + d,
                    "tokens_per_param": d - n,
                }
            for name in solved:
                ends[name].append(central_interval(logs[name], self.level))
        out = []
        for i, target_end in enumerate(self._target_interval(best, feasible)):
            with np.errstate(over="ignore"):  # infinite where draws need more than has a float
                found = {n: np.exp(np.concatenate([e[i] for e in ends[n]])) for n in solved}
            found |= {n: ask.rows[n] for n in names if n in ask.rows}
            found[source.target] = target_end
            out.append({n: found[n] for n in best})
        return out[0], out[1], np.concatenate(shares)

    def _near_optimal(
        self, surface: Surface, u: Array, c: Array, moved: Array, feasible: Mask
    ) -> tuple[dict[str, Any], Mask]:
        """All sizes within the tolerance of the optimum, and where the optimum is inside."""
        u, c = np.where(feasible, u, 0.0), np.where(feasible, c, 0.0)
        inside = surface.best_split(c)[1].ravel() | ~feasible
        keep = inside & feasible
        if not keep.any():
            return {}, inside
        ends = surface.near_optimal(c[None], u[None], self.tolerance)
        low, high = (np.where(keep, end.ravel() + moved, np.nan) for end in ends)
        extra = np.log1p(self.tolerance)
        u_less = surface.best_split(c - extra)[0].ravel()
        with np.errstate(over="ignore"):  # infinite where only the other one helps
            less = {"params": np.exp(u_less), "tokens": np.exp(c - extra - u_less)}
            full = {"params": np.exp(u), "tokens": np.exp(c - u)}
            sizes = np.exp(low), np.exp(high)
            data = np.exp(c + extra - high), np.exp(c + extra - low)
        worth = np.abs(self._predict(less, keep) - self._predict(full, keep))
        return {
            "params": sizes,
            "tokens": data,
            f"{self.source.target}_excess": worth,
            "tolerance": self.tolerance,
        }, inside

    def _predict(self, best: Mapping[str, Array], feasible: Mask) -> Array:
        """Target at the recommendation, NaN where there is none."""
        inputs = {n: np.where(feasible, best[n], 1.0) for n in self.source.law.inputs}
        return np.where(feasible, self.source.predict(inputs), np.nan)

    def _limit(self, ask: Asked, free: tuple[str, ...]) -> Array:
        """Value of the target where the ``free`` inputs grow without end; NaN if it never settles.

        The others are the caller's.
        """
        law = self.source.law
        if law.floor is not None and set(free) == set(law.inputs):
            return np.full(ask.size, law.floor)
        ends = []
        with np.errstate(all="ignore"):
            for far in (1e100, 1e200, 1e300):
                inputs = [np.full(ask.size, far) if n in free else ask.rows[n] for n in law.inputs]
                ends.append(np.asarray(law.family.evaluate(inputs, law.values), dtype=float))
            return _settled(*ends)

    def _target_interval(self, best: Mapping[str, Array], feasible: Mask) -> Pair:
        """Interval of the target for one run of the plan, from the source itself."""
        low, high = np.full(len(feasible), np.nan), np.full(len(feasible), np.nan)
        if self.source.predictor is not None and feasible.any():
            inputs = {n: best[n][feasible] for n in self.source.law.inputs}
            low[feasible], high[feasible] = self.source.predictor.predict_interval(
                inputs, level=self.level, kind="run"
            )
        return low, high

    def _plan(
        self,
        ask: Asked,
        feasible: Mask,
        best: dict[str, Array],
        ends: Intervals,
        near: dict[str, Any],
        limit: Array | None,
        share: Array | None,
        notes: list[Note],
    ) -> Plan:
        """Shape the answer: numbers for numbers, nothing where nothing was found."""
        source = self.source
        ranges = {n: source.ranges[n] for n in best if n in source.ranges}
        more = {n: best[n] / ranges[n][1] for n in ranges}
        if feasible.any():
            notes = notes + data_notes(best, ranges)
        empty = ask.scalar and not feasible[0]

        def shaped(values: Mapping[str, Any]) -> dict[str, Any]:
            return {} if empty else {n: _shaped(ask, x) for n, x in values.items()}

        return Plan(
            question=ask.question,
            target=source.target,
            given={n: ask.out(x) for n, x in ask.rows.items()},
            feasible=ask.out(feasible),
            best=shaped(best),
            low=shaped(ends[0]),
            high=shaped(ends[1]),
            near_optimal=shaped(near),
            more=shaped(more),
            limit=None if limit is None or (ask.scalar and np.isnan(limit[0])) else ask.out(limit),
            share=None if share is None else ask.out(share),
            binding=tuple(ask.rows),
            notes=tuple(notes),
            about={
                "name": source.label,
                "law": source.law.to_dict(),
                "cost": self.cost.name,
                "level": self.level,
                "tolerance": self.tolerance,
            },
        )


def _including(
    low: dict[str, Array], high: dict[str, Array], best: Mapping[str, Array], names: Sequence[str]
) -> Intervals:
    """Widen intervals to hold the recommendation."""
    return (
        {n: np.fmin(v, best[n]) if n in names else v for n, v in low.items()},
        {n: np.fmax(v, best[n]) if n in names else v for n, v in high.items()},
    )


def _settled(first: Array, second: Array, third: Array) -> Array:
    """Limit of a sequence that closes in geometrically (Aitken); NaN where it does not."""
    before, after = second - first, third - second
    limit = third - after**2 / (after - before)
    limit = np.where(np.abs(limit) < 1e-9 * np.abs(first), 0.0, limit)
    limit = np.where(np.abs(after) < (1 - 1e-6) * np.abs(before), limit, np.nan)
    return np.where(np.abs(after) <= 1e-12 * np.abs(third), third, limit)


def _shaped(ask: Asked, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(ask.out(end) for end in value)
    return ask.out(value) if isinstance(value, np.ndarray) else value


def central_interval(values: Array, level: float) -> tuple[Array, Array]:
    """Ends of the central interval down the draws; NaN is left out, infinity is kept."""
    ordered = np.sort(values, axis=0)
    counts = np.sum(~np.isnan(ordered), axis=0)
    ends = []
    for q in (0.5 - level / 2, 0.5 + level / 2):
        position = q * np.maximum(counts - 1, 0)
        below = np.floor(position).astype(int)
        above = np.minimum(below + 1, np.maximum(counts - 1, 0))
        a = np.take_along_axis(ordered, below[None], axis=0)[0]
        b = np.take_along_axis(ordered, above[None], axis=0)[0]
        finite = np.isfinite(a) & np.isfinite(b)
        outer = a if q < 0.5 else b
        with np.errstate(invalid="ignore"):
            between = a + (position - below) * (b - a)
        ends.append(np.where(finite, between, np.where(position == below, a, outer)))
    return ends[0], ends[1]
