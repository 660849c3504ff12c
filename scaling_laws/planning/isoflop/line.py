"""A power law through optima of several budgets: a weighted line in logarithms, with draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling_laws.data.frozen import Frozen
from scaling_laws.inference.resample import keyed_normals, keyed_ranks
from scaling_laws.laws.family import Array

_RARE = 0.1  # least share of draws with an optimum that is told from none
_FEWEST = 2  # budgets that a line needs


@dataclass(frozen=True, eq=False)
class Line(Frozen):
    """ln of several quantities along ln C: ``level + slope (ln C - centre)``.

    Parameters
    ----------
    centre : float
    level, slope : ndarray (q,)
        One for each quantity.
    draws : ndarray (k, 2, q)
        Levels and slopes of every draw.
    scatter : float
        Standard deviation of the first quantity's optima about the line, beyond their own errors.
    """

    centre: float
    level: Array
    slope: Array
    draws: Array
    scatter: float

    def at(self, log_c: Array) -> Array:
        """Values ``(q, n)`` at ln compute."""
        return np.asarray(self.level[:, None] + self.slope[:, None] * (log_c - self.centre))

    def interval_at(self, log_c: Array, level: float) -> Array:
        """Ends ``(2, q, n)`` of the central interval; NaN without draws."""
        if not len(self.draws):
            return np.full((2, len(self.level), len(log_c)), np.nan)
        every = self.draws[:, 0, :, None] + self.draws[:, 1, :, None] * (log_c - self.centre)
        return np.asarray(np.quantile(every, [0.5 - level / 2, 0.5 + level / 2], axis=0))

    def slope_interval(self, level: float) -> Array:
        """Ends ``(2, q)`` of the slopes' central interval; NaN without draws."""
        if not len(self.draws):
            return np.full((2, len(self.level)), np.nan)
        ends = [0.5 - level / 2, 0.5 + level / 2]
        return np.asarray(np.quantile(self.draws[:, 1], ends, axis=0))


def line_draws(log_c: Array, optima: Array, drawn: Array, seed: int) -> Line:
    """Fit lines to optima of several budgets, and to every draw of them.

    Parameters
    ----------
    log_c : ndarray (m,)
    optima : ndarray (q, m)
        ln of the quantities; NaN at budgets without an optimum. The first one's errors and
        scatter weigh the budgets for all, so that quantities bound by the cost stay bound.
    drawn : ndarray (k, q, m)
    seed : int

    Examples
    --------
    >>> log_c = np.array([0.0, 1.0, 2.0])
    >>> line = line_draws(log_c, np.array([[1.0, 1.5, 2.0]]), np.empty((0, 1, 3)), 0)
    >>> line.slope.tolist(), line.at(np.array([4.0])).tolist()
    ([0.5], [[3.0]])
    """
    use = np.isfinite(optima[0])
    x, y, d = log_c[use], optima[:, use], drawn[..., use]
    variance = _variance(d[:, 0]) if len(d) else np.zeros(len(x))
    scatter = _scatter(x, y[0], variance)
    weight = _weights(variance, scatter)
    centre = float(np.sum(weight * x) / np.sum(weight))
    level, slope = _lines(x - centre, y[None], weight)
    if len(d):
        d = d + scatter * _moves(len(d), len(x), seed) * np.array([1.0, -1.0])[: len(y), None]
        levels, slopes = _lines(x - centre, d, weight)
        ok = np.isfinite(levels).all(axis=1) & np.isfinite(slopes).all(axis=1)
        draws = np.stack([levels[ok], slopes[ok]], axis=1)
    else:
        draws = np.empty((0, 2, len(y)))
    return Line(centre, level[0], slope[0], draws, scatter)


def _variance(drawn: Array) -> Array:
    """Robust variance of every budget's optimum; NaN draws, without an optimum, count as wide."""
    found = np.isfinite(drawn).mean(axis=0)
    told = found > 0
    if not told.any():
        return np.zeros(len(found))  # all alike
    low, high = np.nanquantile(drawn[:, told], [0.1587, 0.8413], axis=0)
    out = np.zeros(len(found))
    out[told] = (0.5 * (high - low)) ** 2 / np.maximum(found[told], _RARE) ** 2
    out[~told] = out.max() / _RARE**2  # no draw has one
    return out


def _weights(variance: Array, scatter: float) -> Array:
    total = variance + scatter**2
    return np.asarray(1.0 / total) if (total > 0).all() else np.ones(len(total))


def _scatter(x: Array, y: Array, variance: Array) -> float:
    """Standard deviation about the line beyond the points' own, by the method of moments."""
    if len(x) <= _FEWEST:
        return 0.0
    w = _weights(variance, 0.0)
    design = np.stack([np.ones_like(x), x - x.mean()], axis=1)
    gram = np.linalg.inv(design.T @ (w[:, None] * design))
    residual = y - design @ (gram @ design.T @ (w * y))
    q = float(np.sum(w * residual**2))
    inner = (w**2)[:, None] * design
    spare = float(w.sum() - np.trace(gram @ (design.T @ inner)))
    expected = float(
        np.sum(w * variance) - np.trace(gram @ (design.T @ (inner * variance[:, None])))
    )
    return float(np.sqrt(max(q - expected, 0.0) / spare)) if spare > 0 else 0.0


def _moves(draws: int, budgets: int, seed: int) -> Array:
    """Scatter ``(draws, 1, budgets)`` of unit size, with the tails that few budgets give."""
    from scipy.special import gammaincinv

    z = np.stack([keyed_normals(f"scatter of budget {i}", draws, seed) for i in range(budgets)], 1)
    dof = float(max(budgets - _FEWEST, 1))
    ranks = keyed_ranks("size of scatter", draws, seed)
    size = np.sqrt(0.5 * dof / gammaincinv(0.5 * dof, 1.0 - ranks))
    return np.asarray((z * size[:, None])[:, None])


def _lines(x: Array, y: Array, weight: Array) -> tuple[Array, Array]:
    """Levels and slopes ``(k, q)`` of weighted lines through ``y (k, q, m)``; NaN is left out."""
    w = np.where(np.isfinite(y), weight, 0.0)
    filled = np.nan_to_num(y)
    total = w.sum(axis=-1)
    with np.errstate(all="ignore"):
        mean_x = (w * x).sum(axis=-1) / total
        mean_y = (w * filled).sum(axis=-1) / total
        off = x - mean_x[..., None]
        slope = (w * off * filled).sum(axis=-1) / (w * off * off).sum(axis=-1)
        return mean_y - slope * mean_x, slope
