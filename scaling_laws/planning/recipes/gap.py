"""How recipes differ: the laws' ideas of it, today's gap, and what earlier gaps say of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.hashing import hash_rows
from scaling_laws.data.runs import Runs
from scaling_laws.errors import DataError, FitError
from scaling_laws.inference.interval import Predictive
from scaling_laws.inference.resample import cluster_weights, keyed_normals, keyed_ranks
from scaling_laws.laws.family import Array, LawFamily
from scaling_laws.planning.recipes.pooling import Curves, pool
from scaling_laws.quantities import training_flops
from scaling_laws.solving.objective import inverse_transform, transform

if TYPE_CHECKING:
    from scaling_laws.fitting.fitter import Fitter

Points = Sequence[Sequence[Array]]
"""Inputs of each recipe, in the order of its law."""

# Chosen by held-out error of the gap on open recipe pairs: benchmarks/recipes/compare.py.
PRIOR = {"today": 1.0, "shared": 1.0, "random": 1.0, "apart": 0.1}
DRIFT = 0.008  # standard deviation of the change of a gap per e-fold of scale
POWER = 1.0  # weights fall with the backtest's error to this power
_PRIOR_WORTH = 10.0  # held-out windows that the prior weights are worth
_DRIFT_WORTH = 4.0
_RECENT = 1.0  # runs count for today's gap as (scale / largest common) ** this
_WINDOW = 3.0  # held-out runs are judged in windows of this factor
_CUTS = 4
_LEAST_BELOW = 0.3  # share of a recipe's runs that a cut leaves to fit
_LEAST = 1e-4  # gap error that counts as none
_NEAR = 1.0 + 1e-9
_EDGE, _SMALLEST = 1e-12, 1e-300  # how near values come to the ends of the residual scale
_SHAPE = ("coefficients",)
_LEVEL = (*_SHAPE, "law")


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


@dataclass(frozen=True, eq=False)
class Idea:
    """One idea of how far each recipe lies from their mean, on the residual scale.

    Parameters
    ----------
    curves : tuple of Predictive or None
        None: nowhere, but for the anchor.
    anchor : ndarray (recipes,)
        Added, so that the deviations agree with the runs of today.
    anchor_draws : ndarray (recipes, k)
    """

    curves: Curves | None
    anchor: Array
    anchor_draws: Array

    def mean(self, points: Points) -> Array:
        """Deviations from the recipes' mean ``(recipes, n)``."""
        if self.curves is None:
            return np.broadcast_to(self.anchor[:, None], (len(points), len(points[0][0])))
        return centred(_means(self.curves, points)) + self.anchor[:, None]

    def draws(self, points: Points, count: int) -> Array:
        """Draws of the same ``(recipes, k, n)``."""
        if self.curves is None:
            shape = len(points), count, len(points[0][0])
            return np.broadcast_to(self.anchor_draws[..., None], shape)
        return centred(_drawn(self.curves, points, count, _SHAPE)) + self.anchor_draws[..., None]


@dataclass(frozen=True, eq=False)
class Gap:
    """Predictions of several recipes, with ideas of their difference weighted.

    The point is the weighted median of the ideas, so that the winner is the one that most of the
    weight names; a draw follows one idea.

    Parameters
    ----------
    curves : tuple of Predictive
        Of each recipe by itself: their mean is the level around which the recipes lie.
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

    curves: Curves
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
        level = _means(self.curves, points).mean(axis=0)
        ideas = np.array([idea.mean(points) for idea in self.ideas.values()])
        weights = np.array([self.weights[n] for n in self.ideas])
        return self._back(level + centred(weighted_median(ideas, weights)))

    def draws(self, points: Points, *, runs: bool = False) -> Array:
        """Paired draws ``(recipes, k, n)``: of the curves, or of one new run of each recipe.

        The laws' own error moves all recipes alike, and what it does to their difference is the
        drift; the noise of new runs is each recipe's own.
        """
        level = _drawn(self.curves, points, self.count, _LEVEL).mean(axis=0)
        picked = self._picked()
        total = self._drifted(points) + level
        for i, idea in enumerate(self.ideas.values()):
            rows = picked == i
            if rows.any():
                total[:, rows] += idea.draws(points, self.count)[:, rows]
        return self._back(total + self._noise(points) if runs else total)

    def _back(self, value: Array) -> Array:
        first = self.curves[0]
        return np.asarray(inverse_transform(value, first.residual, first.bounds), dtype=float)

    def _picked(self) -> NDArray[np.intp]:
        """Which idea each draw follows."""
        shares = np.cumsum([self.weights[n] for n in self.ideas])
        rank = keyed_ranks("idea of the gap", self.count, self.seed)
        found = np.searchsorted(shares, rank * shares[-1])
        return np.asarray(np.minimum(found, len(shares) - 1), dtype=np.intp)

    def _drifted(self, points: Points) -> Array:
        """What no idea foresees ``(recipes, k, n)``: grows with the distance from today."""
        normal = np.array([keyed_normals(f"recipe {n}", self.count, self.seed) for n in self.names])
        distance = np.mean([_beyond(self.scale.of(x), self.today) for x in points], axis=0)
        unit = centred(normal) / np.sqrt(2.0)  # differences have variance one
        return np.asarray(self.drift * unit[..., None] * distance)

    def _noise(self, points: Points) -> Array:
        """Noise of one run of each recipe ``(recipes, k, n)``, shuffled so that none is shared."""
        out = []
        for name, curve, x in zip(self.names, self.curves, points, strict=True):
            order = np.argsort(keyed_ranks(f"run of {name}", self.count, self.seed))
            out.append(curve.z_run[: self.count][order][:, None] * curve.noise_at(x))
        return np.array(out)


def weighted_median(values: Array, weights: Array) -> Array:
    """Median over the first axis; the middle of two values where they split the weight evenly.

    Examples
    --------
    >>> weighted_median(np.array([1.0, 5.0, 2.0]), np.array([0.3, 0.3, 0.4])).tolist()
    2.0
    """
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    below = np.cumsum(weights[order], axis=0) / weights.sum()
    ends = [np.argmax(below > 0.5 + s, axis=0)[None] for s in (-1e-12, 1e-12)]
    low, high = (np.take_along_axis(ordered, i, axis=0)[0] for i in ends)
    return np.asarray(0.5 * (low + high))


def _beyond(scale: Array, today: float) -> Array:
    """e-folds beyond today's largest common scale, 0 below."""
    return np.maximum(np.log(scale / today), 0.0)


def centred(values: Array) -> Array:
    """Values of each recipe less their mean over recipes, the first axis."""
    return np.asarray(values - values.mean(axis=0))


def _on_scale(curve: Predictive, value: Array) -> Array:
    """Values on the residual scale; those at or past its ends just inside."""
    low, high = curve.bounds
    if curve.residual == "logit":
        value = np.clip(value, low + _EDGE * (high - low), high - _EDGE * (high - low))
    elif curve.residual == "log":
        value = np.maximum(value, _SMALLEST)
    return np.asarray(transform(value, curve.residual, curve.bounds), dtype=float)


def _means(curves: Curves, points: Points) -> Array:
    return np.array([_on_scale(c, c.mean(x)) for c, x in zip(curves, points, strict=True)])


def _drawn(curves: Curves, points: Points, count: int, parts: Sequence[str]) -> Array:
    centre = _means(curves, points)[:, None]
    pairs = zip(curves, points, strict=True)
    deviations = [c.deviations(x, parts, slice(count)) for c, x in pairs]
    return np.asarray(centre + np.array(deviations))


# --- today's gap ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Measured:
    """Runs of all recipes, as gaps need them.

    Parameters
    ----------
    runs : mapping of str to Runs
    scales : tuple of ndarray
        Scale of each run.
    """

    runs: Mapping[str, Runs]
    scales: tuple[Array, ...]

    @property
    def today(self) -> float:
        """Largest scale that all recipes were measured at."""
        return min(float(s.max()) for s in self.scales)

    def below(self, cut: float) -> Measured:
        """Return the runs at or below a scale."""
        kept = [s <= cut * _NEAR for s in self.scales]
        runs = {n: r.take(k) for (n, r), k in zip(self.runs.items(), kept, strict=True)}
        return Measured(runs, tuple(s[k] for s, k in zip(self.scales, kept, strict=True)))

    def overlap(self) -> float:
        """Share of the runs that all recipes have in common."""
        sets = [set(hash_rows([*r.x, r.y]).tolist()) for r in self.runs.values()]
        return len(set.intersection(*sets)) / len(set.union(*sets))

    def ideas(
        self, curves: Mapping[str, Curves], level: Curves, count: int, seed: int
    ) -> dict[str, Idea]:
        """Anchor curves to the runs of today, and add the idea that today's gap stays."""
        out = {"today": Idea(None, *self._today(level, count, seed))}
        return out | {n: Idea(c, *self._residuals(c, count, seed)) for n, c in curves.items()}

    def _recency(self) -> tuple[Array, ...]:
        """Weights of runs for today's gap: they fall off to either side of `today`."""
        out = []
        for runs, scale in zip(self.runs.values(), self.scales, strict=True):
            weight = runs.weights * np.exp(-_RECENT * np.abs(np.log(scale / self.today)))
            out.append(weight / weight.sum())
        return tuple(out)

    def _residuals(self, curves: Curves, count: int, seed: int) -> tuple[Array, Array]:
        """Mean residual of each recipe around its curve, less their mean; and its draws."""
        points, drawn = [], []
        for curve, runs, weight in zip(curves, self.runs.values(), self._recency(), strict=True):
            residual = _on_scale(curve, runs.y) - _on_scale(curve, curve.mean(runs.x))
            points.append(float(weight @ residual))
            if count:
                moved = residual - curve.deviations(runs.x, _SHAPE, slice(count))
                resampled = weight * cluster_weights(runs.clusters, 0, count, seed)
                drawn.append((resampled * moved).sum(axis=1) / resampled.sum(axis=1))
        draws = np.array(drawn).reshape(len(points), count)
        return centred(np.array(points)), centred(draws)

    def _today(self, curves: Curves, count: int, seed: int) -> tuple[Array, Array]:
        """Deviation of each recipe today: its curves' at the runs of all, and the residuals'.

        Where recipes were measured at the same points, this is the mean measured gap.
        """
        stays, draws = self._residuals(curves, count, seed)
        for runs, weight in zip(self.runs.values(), self._recency(), strict=True):
            points = [runs.x] * len(curves)
            stays = stays + centred(_means(curves, points)) @ weight / len(curves)
            if count:
                many = centred(_drawn(curves, points, count, _SHAPE))
                draws = draws + many @ weight / len(curves)
        return stays, draws


# --- what earlier gaps say -----------------------------------------------------------------------


def gap_backtest(fitter: Fitter, family: LawFamily, measured: Measured) -> list[dict[str, Any]]:
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
            curves = pool(fitter, family, past.runs, draws=0)
        except (DataError, FitError):
            continue
        ideas = past.ideas(curves, curves["apart"], 0, 0)
        for inside in _windows(measured, cut):
            rows.append(_window_errors(measured, inside, ideas, curves["apart"], cut))
    return rows


def _cuts(measured: Measured) -> Array:
    """Scales with enough runs of every recipe below, spread evenly over those there are."""
    levels = np.unique(np.concatenate(measured.scales))
    levels = levels[levels < measured.today / _NEAR]
    levels = levels[np.diff(levels, append=np.inf) > 1e-9 * levels]
    share = np.array([min(float(np.mean(s <= c)) for s in measured.scales) for c in levels])
    levels = levels[share >= _LEAST_BELOW]
    if len(levels) <= _CUTS:
        return levels
    return np.asarray(levels[np.round(np.linspace(0, len(levels) - 1, _CUTS)).astype(int)])


def _windows(measured: Measured, cut: float) -> Iterator[list[NDArray[np.bool_]]]:
    """Runs of each recipe in successive windows beyond a cut, where all have some."""
    low, top = cut * _NEAR, max(float(s.max()) for s in measured.scales)
    while low < top:
        high = low * _WINDOW
        inside = [(s > low) & (s <= high) for s in measured.scales]
        if all(i.any() for i in inside):
            yield inside
        low = high


def _window_errors(
    measured: Measured,
    inside: Sequence[NDArray[np.bool_]],
    ideas: Mapping[str, Idea],
    level: Curves,
    cut: float,
) -> dict[str, Any]:
    held = [r.take(i) for r, i in zip(measured.runs.values(), inside, strict=True)]
    away = [np.log(s[i] / cut).mean() for s, i in zip(measured.scales, inside, strict=True)]
    row: dict[str, Any] = {
        "cut": cut,
        "distance": float(np.mean(away)),
        "runs": sum(len(h) for h in held),
    }
    for name, idea in ideas.items():
        missed = []
        for r, runs in enumerate(held):
            points = [runs.x] * len(held)
            predicted = _means(level, points).mean(axis=0) + idea.mean(points)[r]
            missed.append(np.average(_on_scale(level[r], runs.y) - predicted, weights=runs.weights))
        apart = centred(np.array(missed))
        row[name] = float(np.sqrt(2.0 * np.sum(apart**2) / (len(apart) - 1)))
    return row


def idea_weights(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, float]:
    """Weights of the ideas: prior times backtest error, relative to today's gap, to a power.

    Examples
    --------
    >>> weights = idea_weights([], ("today", "shared"))
    >>> {name: round(w, 2) for name, w in weights.items()}
    {'today': 0.5, 'shared': 0.5}
    """
    logs = np.zeros(len(names))
    if rows:
        errors = np.log([[row[n] + _LEAST for n in names] for row in rows])
        stays = np.log([row["today"] + _LEAST for row in rows])
        logs = (errors - stays[:, None]).sum(axis=0) / (len(rows) + _PRIOR_WORTH)
    weights = np.array([PRIOR[n] for n in names]) * np.exp(-POWER * logs)
    return dict(zip(names, (weights / weights.sum()).tolist(), strict=True))


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
