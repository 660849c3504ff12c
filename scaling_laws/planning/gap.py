"""How recipes differ: the laws' ideas of it, today's gap, and what earlier gaps say of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.runs import Runs, hash_rows
from scaling_laws.errors import DataError, FitError
from scaling_laws.inference.resample import cluster_weights, keyed_normals, keyed_uniforms
from scaling_laws.laws.family import Array
from scaling_laws.planning.contender import Predictions
from scaling_laws.planning.pooling import Recipes
from scaling_laws.quantities import training_flops
from scaling_laws.solving.objective import Residual, inverse_transform, transform

Points = Sequence[Sequence[Array]]
"""Inputs of each recipe, in the order of its law."""

IDEAS = ("today", "shared", "random", "apart")
"""The gap of today stays; coefficients shared; shrunk towards common ones; each by itself."""

# Measured by held-out error on open recipe pairs: benchmarks/recipes/compare.py.
PRIOR = {"today": 1.0, "shared": 0.7, "random": 0.7, "apart": 0.35}
DRIFT = 0.012  # standard deviation of the change of a gap per e-fold of scale
_POWER = 1.0  # weights fall with the backtest's error to this power
_PRIOR_WORTH = 4.0  # held-out windows that the prior weights are worth
_DRIFT_WORTH = 4.0
_RECENT = 1.0  # runs count for today's gap as (scale / largest common) ** this
_WINDOW = 3.0  # held-out runs are judged in windows of this factor
_CUTS = 4
_LEAST = 1e-4  # gap error that counts as none
_NEAR = 1.0 + 1e-9
_PICK = np.array([0x1DEA], dtype=np.uint64)


@dataclass(frozen=True)
class Scale:
    """What recipes are compared along.

    Parameters
    ----------
    name : str
        An input, or ``"flops"``.
    inputs : tuple of str
    """

    name: str
    inputs: tuple[str, ...]

    def of(self, point: Sequence[Array]) -> Array:
        """Scale of points ``(n,)``."""
        named = dict(zip(self.inputs, point, strict=True))
        if self.name in named:
            return np.asarray(named[self.name], dtype=float)
        return np.asarray(training_flops(named["params"], named["tokens"]), dtype=float)

    def of_runs(self, runs: Runs) -> Array:
        """Scale of measured runs ``(n,)``."""
        if self.name == "flops" and runs.flops is not None:
            return runs.flops
        return self.of(runs.x)


@dataclass(frozen=True)
class Lens:
    """Scale on which gaps are added up: logarithm of a loss, logit of an accuracy."""

    residual: Residual
    bounds: tuple[float, float]

    def into(self, value: Array) -> Array:
        """Map a target to the scale."""
        return np.asarray(transform(value, self.residual, self.bounds), dtype=float)

    def back(self, value: Array) -> Array:
        """Map back to the target."""
        return np.asarray(inverse_transform(value, self.residual, self.bounds), dtype=float)


@dataclass(frozen=True, eq=False)
class Idea:
    """One idea of how far each recipe lies from their mean.

    Parameters
    ----------
    curves : tuple of Predictions or None
        None: nowhere, but for the anchor.
    anchor : ndarray (recipes,)
        Added, so that the deviations agree with the runs of today.
    anchor_draws : ndarray (recipes, k)
    """

    curves: tuple[Predictions, ...] | None
    anchor: Array
    anchor_draws: Array


@dataclass(frozen=True, eq=False)
class Gap:
    """Predictions of several recipes, with ideas of their difference weighted.

    Parameters
    ----------
    curves : tuple of Predictions
        Of each recipe by itself: their mean is the level around which the recipes lie.
    lens : Lens
    scale : Scale
    ideas : mapping of str to Idea
    weights : mapping of str to float
    today : float
        Largest scale that all recipes were measured at.
    drift : float
        Standard deviation of what no idea foresees, per e-fold beyond ``today``.
    count, seed : int
        Draws.
    names : tuple of str
    """

    curves: tuple[Predictions, ...]
    lens: Lens
    scale: Scale
    ideas: Mapping[str, Idea]
    weights: Mapping[str, float]
    today: float
    drift: float
    count: int
    seed: int
    names: tuple[str, ...]

    def mean(self, points: Points) -> Array:
        """Point predictions ``(recipes, n)``."""
        own = _means(self.curves, self.lens, points)
        level = own.mean(axis=0)
        deviation = np.zeros_like(own)
        for name, idea in self.ideas.items():
            deviation += self.weights[name] * _deviation(idea, self.lens, points)
        return self.lens.back(level + deviation)

    def draws(self, points: Points) -> Array:
        """Paired draws ``(recipes, k, n)``."""
        level = _drawn(self.curves, self.lens, points, self.count).mean(axis=0)
        picked = self._picked()
        deviation = np.zeros((len(self.names), *level.shape))
        for i, idea in enumerate(self.ideas.values()):
            rows = picked == i
            if rows.any():
                deviation[:, rows] = _deviation_draws(idea, self.lens, points, self.count)[:, rows]
        return self.lens.back(level + deviation + self._drifted(points))

    def _picked(self) -> NDArray[np.intp]:
        """Which idea each draw follows."""
        shares = np.cumsum([self.weights[n] for n in self.ideas])
        uniform = keyed_uniforms(_PICK, 0, self.count, self.seed)[:, 0]
        found = np.searchsorted(shares, uniform * shares[-1])
        return np.asarray(np.minimum(found, len(shares) - 1), dtype=np.intp)

    def _drifted(self, points: Points) -> Array:
        """What no idea foresees ``(recipes, k, n)``: grows with the distance from today."""
        normal = np.array([keyed_normals(f"recipe {n}", self.count, self.seed) for n in self.names])
        normal = (normal - normal.mean(axis=0)) / np.sqrt(2.0)  # differences have variance one
        distance = np.mean([_beyond(self.scale.of(x), self.today) for x in points], axis=0)
        return np.asarray(self.drift * normal[..., None] * distance)


def _beyond(scale: Array, today: float) -> Array:
    """e-folds beyond today's largest common scale, 0 below."""
    return np.maximum(np.log(scale / today), 0.0)


def _means(curves: Sequence[Predictions], lens: Lens, points: Points) -> Array:
    return np.array([lens.into(c.mean(x)) for c, x in zip(curves, points, strict=True)])


def _drawn(curves: Sequence[Predictions], lens: Lens, points: Points, count: int) -> Array:
    parts = ("coefficients", "law")
    drawn = (c.draws(x, parts)[:count] for c, x in zip(curves, points, strict=True))
    return np.array([lens.into(d) for d in drawn])


def _deviation(idea: Idea, lens: Lens, points: Points) -> Array:
    """Deviations from the recipes' mean ``(recipes, n)``."""
    shape = len(points), len(points[0][0])
    if idea.curves is None:
        return np.broadcast_to(idea.anchor[:, None], shape)
    values = _means(idea.curves, lens, points)
    return np.asarray(values - values.mean(axis=0) + idea.anchor[:, None])


def _deviation_draws(idea: Idea, lens: Lens, points: Points, count: int) -> Array:
    """Draws of the same ``(recipes, k, n)``."""
    shape = len(points), count, len(points[0][0])
    if idea.curves is None:
        return np.broadcast_to(idea.anchor_draws[..., None], shape)
    values = _drawn(idea.curves, lens, points, count)
    return np.asarray(values - values.mean(axis=0) + idea.anchor_draws[..., None])


# --- today's gap ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Measured:
    """Runs of all recipes as gaps need them.

    Parameters
    ----------
    runs : tuple of Runs
    scales : tuple of ndarray
        Scale of each run.
    lens : Lens
    """

    runs: tuple[Runs, ...]
    scales: tuple[Array, ...]
    lens: Lens

    @property
    def today(self) -> float:
        """Largest scale that all recipes were measured at."""
        return min(float(s.max()) for s in self.scales)

    def below(self, cut: float) -> Measured:
        """Return the runs at or below a scale."""
        kept = [s <= cut * _NEAR for s in self.scales]
        return Measured(
            tuple(r.take(k) for r, k in zip(self.runs, kept, strict=True)),
            tuple(s[k] for s, k in zip(self.scales, kept, strict=True)),
            self.lens,
        )

    def overlap(self) -> float:
        """Share of the runs that all recipes have in common."""
        sets = [set(hash_rows([*r.x, r.y]).tolist()) for r in self.runs]
        return len(set.intersection(*sets)) / len(set.union(*sets))

    def recency(self) -> tuple[Array, ...]:
        """Weights of runs for today's gap: they fall off to either side of `today`."""
        out = []
        for runs, scale in zip(self.runs, self.scales, strict=True):
            weight = runs.weights * np.exp(-_RECENT * np.abs(np.log(scale / self.today)))
            out.append(weight / weight.sum())
        return tuple(out)

    def ideas(
        self,
        curves: Mapping[str, tuple[Predictions, ...]],
        level: Sequence[Predictions],
        count: int,
        seed: int,
    ) -> dict[str, Idea]:
        """Anchor curves to the runs of today, and add the idea that today's gap stays."""
        stays, drawn = self._today(level, count, seed)
        out = {"today": Idea(None, stays, drawn)}
        for name, own in curves.items():
            anchor, drawn = self._residuals(own, count, seed)
            out[name] = Idea(own, anchor, drawn)
        return out

    def _residuals(
        self, curves: Sequence[Predictions], count: int, seed: int
    ) -> tuple[Array, Array]:
        """Mean residual of each recipe around its curve, less their mean; and its draws."""
        points, drawn = [], []
        weights = self.recency()
        for curve, runs, weight in zip(curves, self.runs, weights, strict=True):
            measured = self.lens.into(runs.y)
            points.append(float(np.sum(weight * (measured - self.lens.into(curve.mean(runs.x))))))
            if count:
                own = self.lens.into(curve.draws(runs.x, ("coefficients", "law"))[:count])
                resampled = weight * cluster_weights(runs.clusters, 0, count, seed)
                resampled /= resampled.sum(axis=1, keepdims=True)
                drawn.append(np.sum(resampled * (measured - own), axis=1))
        anchor = np.array(points)
        draws = np.array(drawn).reshape(len(points), count)
        return anchor - anchor.mean(), draws - draws.mean(axis=0)

    def _today(self, curves: Sequence[Predictions], count: int, seed: int) -> tuple[Array, Array]:
        """Deviation of each recipe today: its curves' at the runs of all, and the residuals'.

        Where recipes were measured at the same points, this is the mean measured gap.
        """
        anchor, drawn = self._residuals(curves, count, seed)
        stays, draws = anchor.copy(), drawn.copy()
        for runs, weight in zip(self.runs, self.recency(), strict=True):
            points = [runs.x] * len(curves)
            values = _means(curves, self.lens, points)
            stays += (values - values.mean(axis=0)) @ weight / len(curves)
            if count:
                many = _drawn(curves, self.lens, points, count)
                draws += (many - many.mean(axis=0)) @ weight / len(curves)
        return stays, draws


# --- what earlier gaps say -----------------------------------------------------------------------


def gap_backtest(recipes: Recipes, measured: Measured) -> list[dict[str, Any]]:
    """Fit below each cut, and say how far each idea's gap was off in the windows beyond.

    Returns
    -------
    list of mapping
        ``cut``, ``distance`` [e-folds from the cut], ``runs`` held out, and for every idea the
        root mean square error of the gap between two recipes.
    """
    rows = []
    for cut in _cuts(measured):
        past = measured.below(cut)
        try:
            fitted: dict[str, Any] = Recipes(recipes.family, past.runs, recipes.settings).curves()
        except (DataError, FitError):
            continue
        level = fitted.pop("apart")
        ideas = past.ideas(fitted, level, 0, 0)
        for inside in _windows(measured, cut):
            rows.append(_window_errors(measured, inside, ideas, level, cut))
    return rows


def _cuts(measured: Measured) -> Array:
    """Scales with runs of every recipe on both sides, later ones preferred."""
    levels = np.unique(np.concatenate(measured.scales))
    levels = levels[(levels < measured.today / _NEAR)]
    apart = np.diff(levels, append=np.inf) > 1e-9 * levels
    levels = levels[apart]
    share = np.array([min(float(np.mean(s <= c)) for s in measured.scales) for c in levels])
    levels = levels[share >= 0.3]
    if len(levels) <= _CUTS:
        return levels
    return np.asarray(levels[np.round(np.linspace(0, len(levels) - 1, _CUTS)).astype(int)])


def _windows(measured: Measured, cut: float) -> Iterator[list[NDArray[np.bool_]]]:
    """Runs of each recipe in successive windows beyond a cut, where all have some."""
    low = cut * _NEAR
    top = max(float(s.max()) for s in measured.scales)
    while low < top:
        high = max(low * _WINDOW, cut * _WINDOW)
        inside = [(s > low) & (s <= high) for s in measured.scales]
        if all(i.any() for i in inside):
            yield inside
        low = high


def _window_errors(
    measured: Measured,
    inside: Sequence[NDArray[np.bool_]],
    ideas: Mapping[str, Idea],
    level: Sequence[Predictions],
    cut: float,
) -> dict[str, Any]:
    distance = np.mean(
        [np.log(s[i] / cut).mean() for s, i in zip(measured.scales, inside, strict=True)]
    )
    row: dict[str, Any] = {
        "cut": cut,
        "distance": float(distance),
        "runs": int(sum(i.sum() for i in inside)),
    }
    for name, idea in ideas.items():
        missed = []
        for r, (runs, rows) in enumerate(zip(measured.runs, inside, strict=True)):
            held = runs.take(rows)
            points = [held.x] * len(measured.runs)
            predicted = _means(level, measured.lens, points).mean(axis=0)
            predicted = predicted + _deviation(idea, measured.lens, points)[r]
            missed.append(np.average(measured.lens.into(held.y) - predicted, weights=held.weights))
        apart = np.array(missed) - np.mean(missed)
        row[name] = float(np.sqrt(2.0 * np.sum(apart**2) / (len(apart) - 1)))
    return row


def idea_weights(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, float]:
    """Weights of the ideas: prior times backtest error, relative to today's gap, to a power.

    Examples
    --------
    >>> weights = idea_weights([], ("today", "shared"))
    >>> {name: round(w, 2) for name, w in weights.items()}
    {'today': 0.59, 'shared': 0.41}
    """
    logs = np.zeros(len(names))
    if rows:
        errors = np.log([[row[n] + _LEAST for n in names] for row in rows])
        stays = np.log([row["today"] + _LEAST for row in rows])
        logs = (errors - stays[:, None]).sum(axis=0) / (len(rows) + _PRIOR_WORTH)
    weights = np.array([PRIOR[n] for n in names]) * np.exp(-_POWER * logs)
    weights /= weights.sum()
    return dict(zip(names, weights.tolist(), strict=True))


def learned_drift(
    rows: Sequence[Mapping[str, Any]], weights: Mapping[str, float], overlap: float
) -> float:
    """Standard deviation per e-fold of what the weighted ideas did not foresee.

    Mean square of the backtest's errors over their distance, mixed with a guess from open data;
    runs that recipes share cannot differ.

    Examples
    --------
    >>> learned_drift([], {"today": 1.0}, overlap=1.0)
    0.0
    """
    total, count = _DRIFT_WORTH * DRIFT**2 * (1.0 - overlap), _DRIFT_WORTH
    for row in rows:
        error = sum(w * row[n] for n, w in weights.items())
        total += (error / max(row["distance"], 0.5)) ** 2
        count += 1.0
    return float(np.sqrt(total / count))
