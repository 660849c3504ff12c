"""One question under bounds, solved for the point law and for every draw at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scaling_laws.planning.amounts import Array
from scaling_laws.planning.limits import Bound, Measures, Values
from scaling_laws.planning.region import Region, root
from scaling_laws.planning.search import Minimum, golden, minimise
from scaling_laws.planning.source import Source
from scaling_laws.planning.space import Space

_OUTSIDE = 1e30  # value of plans that break a bound; it grows with how far they are out
_NO_LAW = 1e29  # of plans where the law is not defined
_SCAN = 4001
_INNER = 25
_STEPS = 34
_ROUGH_STEPS = 20  # where it only has to be known whether a target is reached
_LOOSE = 1e-10  # how closely quantiles of draws are met
_EVEN = 1e-9


@dataclass(frozen=True)
class Solution:
    """Best plans of every draw.

    Parameters
    ----------
    values : mapping of str to ndarray (draws,)
        Every quantity of the plan.
    objective : ndarray (draws,)
        Target, signed so that less is better, or the logarithm of what is spent.
    feasible : ndarray of bool (draws,)
    miss : ndarray (draws,)
        How far outside the bounds the nearest plan is, as a logarithm.
    at : tuple of ndarray (draws, 1)
        Coordinates in the space that was searched.
    kinked : bool, default False
        As `search.Minimum`.
    """

    values: Values
    objective: Array
    feasible: Array
    miss: Array
    at: tuple[Array, ...] = ()
    kinked: bool = False


@dataclass(frozen=True)
class Task:
    """What is to be made least, over which plans.

    Parameters
    ----------
    source : Source
    measures : Measures
    space : Space
    bounds : tuple of Bound
    spend : str, optional
        Measure to make least while the target is reached; None makes the target best.
    wanted : float, optional
        The target to reach.
    confidence : float, optional
        Probability with which values are reached, by the source's own interval of one run;
        None goes by the coefficients.
    steady : bool, optional
        Whether more of the filler never harms; None finds out each time.
    """

    source: Source
    measures: Measures
    space: Space
    bounds: tuple[Bound, ...]
    spend: str | None = None
    wanted: float | None = None
    confidence: float | None = None
    steady: bool | None = None

    @property
    def region(self) -> Region:
        """Plans that honour every bound."""
        return Region(self.bounds, self.space.filler, self.space.filler_box)

    def solve(
        self,
        *,
        draws: bool = False,
        space: Space | None = None,
        near: Solution | None = None,
    ) -> Solution:
        """Best plan of the point law, or of every draw, perhaps near one that is known."""
        task = self if space is None else replace(self, space=space, steady=None)
        task = replace(task, space=task.space.within(task._direct()))
        coef = task.source.coef(draws)
        box = task.space.box
        if len(box) == 1 and _shape(task.space.values([np.zeros((1, 1))])) == (1, 1):
            box = [task._narrowed(box[0])]
        steady = task.is_steady()
        if draws and near is None and len(box) > 1:
            near = task.solve()
        known = near is not None and len(near.at) == len(box) > 1
        start = near.at if near is not None and known else None
        smooth = near is not None and known and not near.kinked
        grid = {} if self.confidence is None else {"grid": _INNER}
        found = minimise(
            lambda at: task._at(at, coef, steady)[0], box, start=start, smooth=smooth, **grid
        )
        return task._solution(found, coef, steady)

    def _direct(self) -> dict[str, tuple[float, float]]:
        """Ranges that bounds give to quantities themselves."""
        out: dict[str, tuple[float, float]] = {}
        for bound in (b for b in self.bounds if b.direct):
            low, high = out.get(bound.name, (0.0, np.inf))
            out[bound.name] = max(low, bound.range[0]), min(high, bound.range[1])
        return out

    def relaxed(self, factor: float, names: Sequence[str]) -> Task:
        """Return the task with these bounds wider by a factor."""
        bounds = tuple(
            replace(b, value=b.value * factor**b.side) if b.label in names else b
            for b in self.bounds
        )
        return replace(self, bounds=bounds)

    def profile(self, at: Array) -> Array:
        """Objective of the point law along the only searched coordinate."""
        return np.asarray(self._at([at[None]], self.source.coef(False), self.is_steady())[0][0])

    def _narrowed(self, box: tuple[float, float]) -> tuple[float, float]:
        """Part of the range outside which no plan is allowed, whatever the law."""
        grid = np.linspace(*box, _SCAN)
        miss = self.region.interval(self.space.values([grid]), grid.shape)[2]
        inside = np.flatnonzero(miss == 0)
        if not len(inside):
            inside = np.array([miss.argmin()])
        first, last = max(int(inside[0]) - 1, 0), min(int(inside[-1]) + 1, _SCAN - 1)
        return float(grid[first]), float(grid[last])

    def _at(
        self, at: Sequence[Array], coef: tuple[Array, ...], steady: bool
    ) -> tuple[Array, Array, Array]:
        """Objective, filler and miss at coordinates."""
        values = self.space.values(at)
        shape = _shape(values)
        low, high, miss = self.region.interval(values, shape)
        low = np.minimum(low, high)
        if self.wanted is None:
            if self.space.filler is None or steady:
                w, value = high, self._signed(values, high, coef)
            else:
                w, value = self._inner(values, low, high, coef)
        else:
            w, short = self._needed(values, low, high, coef, steady)
            value = self._spent(values, w)
            value, miss = np.broadcast_arrays(value, miss)
            miss = miss + short
        value, miss = np.broadcast_arrays(value, miss)
        return np.where(miss > 0, _OUTSIDE * (1.0 + np.minimum(miss, 1e3)), value), w, miss

    def _full(self, values: Values, w: Array) -> Values:
        return values if self.space.filler is None else {**values, self.space.filler: np.exp(w)}

    def _signed(self, values: Values, w: Array, coef: tuple[Array, ...]) -> Array:
        """Target, signed so that less is better."""
        full = self._full(values, w)
        inputs = [full[n] for n in self.source.law.inputs]
        if self.confidence is not None:
            assured = self._assured(inputs)
            return np.broadcast_to(assured, np.broadcast_shapes(assured.shape, w.shape))
        with np.errstate(all="ignore"):
            value = np.asarray(self.source.law.family.evaluate(inputs, coef), dtype=float)
        shape = np.broadcast_shapes(value.shape, w.shape, (len(coef[0]), 1))
        value = np.broadcast_to(-value if self.source.higher else value, shape)
        return np.where(np.isnan(value), _NO_LAW, np.clip(value, -_NO_LAW, _NO_LAW))

    def _assured(self, inputs: Sequence[Array]) -> Array:
        """Value that a run is at least as good as, with the task's confidence."""
        source, level = self.source, 2.0 * float(self.confidence or 0.0) - 1.0
        assert source.predictor is not None
        arrays = np.broadcast_arrays(*inputs)
        flat = {n: v.ravel() for n, v in zip(source.law.inputs, arrays, strict=True)}
        low, high = source.predictor.predict_interval(flat, level=level, kind="run")
        return np.reshape(-np.asarray(low) if source.higher else np.asarray(high), arrays[0].shape)

    def _spent(self, values: Values, w: Array) -> Array:
        """Logarithm of what a plan spends."""
        full = self._full(values, w)
        name = str(self.spend)
        with np.errstate(all="ignore"):
            spent = full[name] if name in full else self.measures.of(name, full)
            return np.asarray(np.log(np.broadcast_to(spent, np.broadcast_shapes(w.shape))))

    def _inner(
        self,
        values: Values,
        low: Array,
        high: Array,
        coef: tuple[Array, ...],
        steps: int = _STEPS,
    ) -> tuple[Array, Array]:
        """Best filler between two, for laws that more of it may harm."""
        a, b = np.broadcast_arrays(low, high, np.empty((len(coef[0]), 1)))[:2]
        if self.confidence is not None:  # dear to evaluate, and with a single valley
            near, top = self._stack(values, np.stack([b - (b - a) / (_INNER - 1), b]), coef)
            if (near >= top).all():
                return b, top
        at = a + (b - a) * np.linspace(0.0, 1.0, _INNER)[:, None, None]
        heights = self._stack(values, at, coef)
        least = heights.argmin(axis=0)[None]
        best = np.take_along_axis(at, least, axis=0)[0]
        value = np.take_along_axis(heights, least, axis=0)[0]
        if (least == _INNER - 1).all():
            return best, value

        def signed(w: Array) -> Array:
            return self._signed(values, w, coef)

        width = (b - a) / (_INNER - 1)
        ends = golden(signed, np.maximum(best - width, a), np.minimum(best + width, b), steps)
        middle = 0.5 * (ends[0] + ends[1])
        found = signed(middle)
        better = found < value  # else an end of the range, which sections never meet
        return np.where(better, middle, best), np.where(better, found, value)

    def _stack(self, values: Values, at: Array, coef: tuple[Array, ...]) -> Array:
        """Signed target for several fillers ``(s, draws, points)``, in one call for one law."""
        if at.shape[1] > 1:
            return np.array([self._signed(values, w, coef) for w in at])
        flat = at[:, 0]  # (s, points)
        tiled = {n: np.broadcast_to(v, flat.shape).reshape(1, -1) for n, v in values.items()}
        return self._signed(tiled, flat.reshape(1, -1), coef).reshape(at.shape)

    def _needed(
        self, values: Values, low: Array, high: Array, coef: tuple[Array, ...], steady: bool
    ) -> tuple[Array, Array]:
        """Least filler that reaches the target, and how far the best falls short, if it does."""
        wanted = float(self.wanted or 0.0) * (-1.0 if self.source.higher else 1.0)
        if steady or self.space.filler is None:
            top, best = high, self._signed(values, high, coef)
        else:  # up to the best filler more of it helps
            top, best = self._inner(values, low, high, coef, _ROUGH_STEPS)
        over = best - wanted
        short = np.where(over > _EVEN * abs(wanted), np.maximum(over, 1e-9), 0.0)
        top = np.broadcast_to(top, over.shape)
        if self.space.filler is None:
            return top, short
        bottom = np.broadcast_to(low, over.shape)
        already = self._signed(values, bottom, coef) <= wanted
        crossed = ~already & (over <= 0)

        def excess(w: Array) -> Array:
            return self._signed(values, w, coef) - wanted

        loose = {} if self.confidence is None else {"close": _LOOSE}
        edge = root(excess, np.where(crossed, bottom, top), top, **loose)
        return np.where(crossed, edge, np.where(already, bottom, top)), short

    def is_steady(self) -> bool:
        """Whether more of the filler never harms, by the point law."""
        if self.steady is not None or self.space.filler is None:
            return self.steady is not False
        box = self.space.box
        rng = np.random.default_rng(0)
        at = [low + (high - low) * rng.random((1, 24)) for low, high in box]
        values = self.space.values(at)
        low, high, miss = self.region.interval(values, _shape(values))
        coef = self.source.coef(False)
        along = [
            self._signed(values, low + s * np.maximum(high - low, 0.0), coef)
            for s in np.linspace(0, 1, _INNER)
        ]
        size = np.where(np.isfinite(along[0]), np.abs(along[0]), 0.0)
        with np.errstate(invalid="ignore"):  # from one infinity to the same is no rise
            rises = np.diff(along, axis=0) > _EVEN * size
        allowed = miss == 0
        return not (rises & (allowed if allowed.any() else True)).any()

    def _solution(self, found: Minimum, coef: tuple[Array, ...], steady: bool) -> Solution:
        objective, w, miss = self._at(found.at, coef, steady)
        full = self._full(self.space.values(found.at), w)
        count = max(len(coef[0]), len(objective))
        values = {n: np.broadcast_to(v, (count, 1))[:, 0] for n, v in full.items()}
        miss = np.broadcast_to(miss, (count, 1))[:, 0]
        value = np.broadcast_to(objective, (count, 1))[:, 0]
        return Solution(values, value, miss == 0, miss, tuple(found.at), found.kinked)


def _shape(values: Values) -> tuple[int, ...]:
    """Shape of plans: rows of what is held or of coordinates, by points."""
    return np.broadcast_shapes((1, 1), *(np.shape(v) for v in values.values()))
