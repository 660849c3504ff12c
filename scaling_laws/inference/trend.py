"""Whether the noise of runs grows or falls with compute or with the loss, and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scaling_laws.laws.family import LawFamily
from scaling_laws.solving.objective import Array

Covariate = Literal["compute", "excess"]

_ROWS = 20
_P_VALUE = 0.01
_STEPS = 30


@dataclass(frozen=True)
class NoiseTrend:
    """Noise that changes with a covariate: ``exp(slope * (covariate - centre))`` times typical.

    Parameters
    ----------
    covariate : {"compute", "excess"}
        Logarithm of the product of the positive inputs, or of the prediction less its floor.
    slope : float
    centre : float
        Covariate where the noise is typical.
    low, high : float
        Range of the covariate among the runs; beyond, the noise stays what it is at the end.
    """

    covariate: Covariate
    slope: float
    centre: float
    low: float
    high: float

    def factor(self, family: LawFamily, values: Sequence[float], inputs: Sequence[Array]) -> Array:
        """Noise over typical noise ``(n,)`` at inputs, for a law with these coefficients."""
        z = covariate(self.covariate, family, values, inputs)
        z = np.full(len(inputs[0]), self.centre) if z is None else z
        z = np.where(np.isfinite(z), np.clip(z, self.low, self.high), self.low)
        return np.asarray(np.exp(self.slope * (z - self.centre)))

    def in_units(self, factors: Array) -> NoiseTrend:
        """Return the trend for inputs that were multiplied by ``factors`` before."""
        if self.covariate != "compute":
            return self
        moved = -float(np.sum(np.log(np.abs(factors))))
        ends = self.centre + moved, self.low + moved, self.high + moved
        return NoiseTrend(self.covariate, self.slope, *ends)


def covariate(
    name: Covariate, family: LawFamily, values: Sequence[float], inputs: Sequence[Array]
) -> Array | None:
    """Return what the noise may follow ``(n,)``, None where the law or its inputs lack it."""
    if name == "compute":
        logs = [np.log(v) for v in inputs if (v > 0).all()]
        return np.asarray(np.sum(logs, axis=0)) if logs else None
    floors = [v for c, v in zip(family.coefficients, values, strict=True) if c.role == "floor"]
    if len(floors) != 1:
        return None
    with np.errstate(all="ignore"):
        excess = np.abs(family.evaluate(inputs, list(values)) - floors[0])
        return np.broadcast_to(np.log(excess), inputs[0].shape)


def noise_trend(
    squares: Array, family: LawFamily, values: Sequence[float], inputs: Sequence[Array]
) -> NoiseTrend | None:
    """Test whether the noise follows compute or the loss, and estimate how.

    Parameters
    ----------
    squares : ndarray (n,)
        Squared residuals, each over the share of noise that the fit leaves in it.
    family : LawFamily
    values : sequence of float (p,)
    inputs : sequence of ndarray (n,)

    Returns
    -------
    NoiseTrend or None
        None with fewer than 20 rows, or where neither studentised score test has a p-value
        below 0.005 (0.01 shared between two). The slope is shrunk by ``1 - 1 / statistic``.

    References
    ----------
    Koenker (1981), Journal of Econometrics 17, 107.

    Examples
    --------
    >>> from scaling_laws.laws.registry import get_law
    >>> power, flops = get_law("power"), np.geomspace(1e15, 1e20, 40)
    >>> sizes = np.tile([0.5, 1.5], 20)
    >>> noise_trend(sizes, power, [9.0, 0.1], [flops]) is None
    True
    >>> round(noise_trend(sizes * flops**-0.4, power, [9.0, 0.1], [flops]).slope, 2)
    -0.19
    """
    from scipy.special import chdtrc

    n = len(squares)
    if n < _ROWS or not squares.sum() > 0:
        return None
    found: list[tuple[float, NoiseTrend]] = []
    names: tuple[Covariate, ...] = ("compute", "excess")
    for name in names:
        z = covariate(name, family, values, inputs)
        if z is None or not np.isfinite(z).all() or np.ptp(z) < 1e-6:
            continue
        centred = z - z.mean()
        left = squares - squares.mean()
        denominator = float(np.sum(centred**2) * np.sum(left**2))
        score = n * float(np.sum(centred * left)) ** 2 / max(denominator, 1e-300)
        if chdtrc(1, score) < _P_VALUE / len(names):
            slope = _slope(squares, centred) * (1.0 - 1.0 / score)
            ends = float(z.min()), float(z.max())
            found.append((score, NoiseTrend(name, slope, float(z.mean()), *ends)))
    return max(found, key=lambda f: f[0])[1] if found else None


def _slope(squares: Array, z: Array) -> float:
    """Half the slope of the log variance, by maximum likelihood for gamma variables."""
    slope = 0.0
    for _ in range(_STEPS):
        relative = squares * np.exp(-slope * z)
        relative /= relative.mean()
        step = float(np.sum(z * (relative - 1.0)) / np.sum(z * z * relative))
        slope += float(np.clip(step, -1.0, 1.0))
        if abs(step) < 1e-8:
            break
    return 0.5 * slope
