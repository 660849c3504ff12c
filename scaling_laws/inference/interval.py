"""Predictions as draws of functions, and intervals as their quantiles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from scaling_laws.data.frozen import Frozen
from scaling_laws.errors import DataError
from scaling_laws.inference.law_error import LawError, weighted_median
from scaling_laws.inference.trend import NoiseTrend
from scaling_laws.laws.family import LawFamily
from scaling_laws.quantities import as_floats
from scaling_laws.solving.objective import Array, Residual, inverse_transform, transform

Kind = Literal["run", "mean"]
PARTS = ("coefficients", "candidates", "law", "run")
_ELEMENTS = 4_000_000
_FARTHEST = 1.0  # deviation of coefficients that a draw of a selection may cause, in logs


@dataclass(frozen=True, eq=False)
class Spread(Frozen):
    """How draws of several candidates spread around their weighted mean.

    Parameters
    ----------
    candidates : int
        How many; the family is their combination, and its first coefficients are their weights.
    coefficient_share : float
        Share of the coefficients' deviations that the candidates' disagreement does not contain.
    moved : ndarray (s, p)
        Coefficients of one candidate each, moved a little along an axis of their covariance.
    size : ndarray (s,)
        How little, in standard deviations.
    z : mapping of str to ndarray (k,)
        Standard normal numbers of the parts "candidates" and "coefficients". Their size is a root
        mean square over the candidates, so that a light one far away widens the interval too.
    factor : ndarray (k,)
        By how much each draw's deviation from the mean is stretched.
    stretch, dof : float
        The same as a distribution: so many times Student's t of so many degrees of freedom.
    """

    candidates: int
    coefficient_share: float
    moved: Array
    size: Array
    z: Mapping[str, Array]
    factor: Array
    stretch: float
    dof: float


@dataclass(frozen=True, eq=False)
class Predictive(Frozen):
    """Everything a prediction is drawn from. Draw ``j`` is (coefficients, z_law, z_run) of ``j``.

    Parameters
    ----------
    family : LawFamily
    values : ndarray (p,)
        Point coefficients, raw units.
    coef : ndarray (k, p)
        Draws of the coefficients, raw units.
    z_law, z_run : ndarray (k,)
        Numbers of the law error (standard normal) and of the run noise (times how large the noise
        is in that draw: of Student's kind where runs are few).
    noise : float
        Typical run noise on the residual scale.
    trend : NoiseTrend or None
        How the run noise changes with compute or loss; None where it does not.
    residual : {"log", "linear", "logit"}
    bounds : pair of float
    law_error : LawError or None
        How far the law itself may be wrong beyond the data; None leaves that out.
    spread : Spread or None
        For several candidates: how their draws are put together.
    """

    family: LawFamily
    values: Array
    coef: Array
    z_law: Array
    z_run: Array
    noise: float
    residual: Residual
    bounds: tuple[float, float]
    law_error: LawError | None = None
    spread: Spread | None = None
    trend: NoiseTrend | None = None

    def mean(self, inputs: Sequence[Array]) -> Array:
        """Return the point prediction ``(n,)``."""
        with np.errstate(over="ignore", divide="ignore"):  # at its limits where inputs are extreme
            value = self.family.evaluate(inputs, list(self.values))
        value = np.broadcast_to(value, inputs[0].shape)
        return np.clip(value, *self.bounds) if self.residual == "logit" else value

    def draws(
        self, inputs: Sequence[Array], parts: Sequence[str], span: slice = slice(None)
    ) -> Array:
        """Return draws of the target ``(k, n)`` with the named parts of the uncertainty."""
        deviation = self.deviations(inputs, parts, span)
        centre = transform(self._inside(self.mean(inputs)), self.residual, self.bounds)
        with np.errstate(invalid="ignore"):  # NaN where both are infinite
            return self._back(centre + deviation)

    def deviations(
        self, inputs: Sequence[Array], parts: Sequence[str], span: slice = slice(None)
    ) -> Array:
        """Return draws of the target less its point prediction, on the residual scale."""
        coef = self.coef[span]
        total = np.zeros((len(coef), len(inputs[0])))
        if self.spread is not None:
            for part, size in self._sizes(inputs, parts, self.spread).items():
                total += size * self.spread.z[part][span][:, None]
        elif "coefficients" in parts:
            total += _less(self._on_scale(inputs, coef), self._on_scale(inputs, self.values[None]))
        if "law" in parts and self.law_error is not None:
            size = self.law_error.at(self.family.inputs, inputs)
            total += size * self.z_law[span][:, None]
        if self.spread is not None:
            total *= self.spread.factor[span][:, None]
        return total + self._run(inputs, span) if "run" in parts else total

    def _run(self, inputs: Sequence[Array], span: slice) -> Array:
        """Deviations of a run from the curve ``(k, n)``."""
        size = self.noise_at(inputs) * self.z_run[span][:, None]
        return size if self.spread is None else size * self.spread.factor[span][:, None]

    def _sizes(
        self, inputs: Sequence[Array], parts: Sequence[str], spread: Spread
    ) -> dict[str, Array]:
        """Standard deviations ``(n,)`` of the candidates' disagreement and coefficients."""
        m = spread.candidates
        centre = np.concatenate([np.eye(m), np.repeat(self.values[None, m:], m, axis=0)], axis=1)
        middle = self._on_scale(inputs, centre)
        out = {}
        if "candidates" in parts:
            point, heavy = self._on_scale(inputs, self.values[None]), self.values[:m] > 0
            gaps = _less(middle, point)[heavy]
            out["candidates"] = np.sqrt(self.values[:m][heavy] @ gaps**2)
        if "coefficients" in parts:
            owner = spread.moved[:, :m].argmax(axis=1)
            change = _less(self._on_scale(inputs, spread.moved), middle[owner])
            change /= spread.size[:, None]
            variance = np.zeros(middle.shape)
            np.add.at(variance, owner, np.where(np.isfinite(change), change, 0.0) ** 2)
            if self.residual != "linear":  # few points may leave a coefficient all but free
                variance = np.minimum(variance, _FARTHEST**2)
            middle_one = weighted_median(variance, self.values[:m])
            out["coefficients"] = spread.coefficient_share * np.sqrt(middle_one)
        return out

    def _on_scale(self, inputs: Sequence[Array], coef: Array) -> Array:
        """Evaluate draws of coefficients ``(k, p)`` on the residual scale ``(k, n)``."""
        columns = [c[:, None] for c in coef.T]
        with np.errstate(all="ignore"):
            value = self.family.evaluate(inputs, columns)
        value = self._inside(np.broadcast_to(value, (len(coef), len(inputs[0]))))
        return np.asarray(transform(value, self.residual, self.bounds))

    def noise_at(self, inputs: Sequence[Array]) -> Array:
        """Return the standard deviation of a run on the residual scale ``(n,)``."""
        if self.trend is None:
            return np.full(len(inputs[0]), self.noise)
        return self.noise * self.trend.factor(self.family, self.values.tolist(), inputs)

    def _inside(self, value: Array) -> Array:
        """Keep draws of a bounded or positive target where its residual is defined."""
        if self.residual == "logit":
            low, high = self.bounds
            edge = 1e-12 * (high - low)
            return np.clip(value, low + edge, high - edge)
        return np.maximum(value, 1e-300) if self.residual == "log" else value

    def interval(
        self, inputs: Sequence[Array], level: float, parts: Sequence[str]
    ) -> tuple[Array, Array]:
        """Return the central interval of mass ``level``, two arrays ``(n,)``."""
        n, k = len(inputs[0]), len(self.coef)
        low, high = np.full(n, np.nan), np.full(n, np.nan)
        if k == 0 or ("run" in parts and not np.isfinite(self.noise)):
            return low, high
        tails = np.array([0.5 * (1 - level), 0.5 * (1 + level)])
        size = max(1, _ELEMENTS // k)
        for i in range(0, n, size):
            piece = slice(i, i + size)
            low[piece], high[piece] = self._ends([v[piece] for v in inputs], tails, parts)
        return low, high

    def _ends(self, inputs: Sequence[Array], tails: Array, parts: Sequence[str]) -> Array:
        """Ends of the interval ``(2, n)``; those of a run enclose those of the mean.

        Quantiles of the draws; for several candidates, whose draws are Student's t by
        construction, those of that distribution.
        """
        centre = transform(self._inside(self.mean(inputs)), self.residual, self.bounds)
        if self.spread is not None:
            return self._around(centre, self._student(inputs, tails, parts, self.spread))
        deviation = self.deviations(inputs, [p for p in parts if p != "run"])
        with np.errstate(invalid="ignore"):  # between draws that are infinite
            ends = np.quantile(deviation, tails, axis=0)
        if "run" in parts:
            with np.errstate(invalid="ignore"):
                wider = np.quantile(deviation + self._run(inputs, slice(None)), tails, axis=0)
            ends = np.stack([np.minimum(ends[0], wider[0]), np.maximum(ends[1], wider[1])])
        return self._around(centre, ends)

    def _around(self, centre: Array, ends: Array) -> Array:
        """Ends of an interval around a known centre; open where they have no float."""
        with np.errstate(invalid="ignore"):
            found = centre + ends
        lost = np.isnan(found) & ~np.isnan(centre)
        return self._back(np.where(lost, [[-np.inf], [np.inf]], found))

    def _back(self, value: Array) -> Array:
        """From the residual scale to the target; infinite where that has no float."""
        with np.errstate(over="ignore"):
            return np.asarray(inverse_transform(value, self.residual, self.bounds))

    def _student(
        self, inputs: Sequence[Array], tails: Array, parts: Sequence[str], spread: Spread
    ) -> Array:
        from scipy.special import stdtrit

        sizes = self._sizes(inputs, parts, spread)
        if "law" in parts and self.law_error is not None:
            sizes["law"] = self.law_error.at(self.family.inputs, inputs)
        if "run" in parts:
            sizes["run"] = self.noise_at(inputs)
        total = np.sqrt(sum((v**2 for v in sizes.values()), np.zeros(len(inputs[0]))))
        return np.asarray(spread.stretch * stdtrit(spread.dof, tails)[:, None] * total)


def _less(values: Array, others: Array) -> Array:
    """Differences, 0 where both are the same infinity."""
    with np.errstate(invalid="ignore"):
        return np.where(values == others, 0.0, values - others)


def parts_of(kind: Kind, parts: Sequence[str] | None) -> tuple[str, ...]:
    """Return the parts of the uncertainty that a kind of interval contains.

    Raises
    ------
    DataError
        Unknown kind or part.

    Examples
    --------
    >>> parts_of("mean", None)
    ('coefficients', 'candidates', 'law')
    """
    if not isinstance(kind, str) or kind not in ("run", "mean"):
        raise DataError(f"kind must be 'run' (one new run) or 'mean' (the curve), got {kind!r}.")
    if parts is None:
        return PARTS if kind == "run" else PARTS[:3]
    listed = isinstance(parts, Collection) and getattr(parts, "ndim", 1) > 0
    if isinstance(parts, str) or not listed:
        raise DataError(f"parts must be a sequence among {PARTS}, got {parts!r}.")
    unknown = [p for p in parts if p not in PARTS]
    if unknown:
        raise DataError(f"parts must be among {PARTS}, got {unknown[0]!r}.")
    return tuple(p for p in PARTS if p in parts)


def check_level(level: Any) -> float:
    """Return ``level`` as a float in (0, 1).

    Raises
    ------
    DataError
        If it is not.

    Examples
    --------
    >>> check_level(95)
    Traceback (most recent call last):
        ...
    scaling_laws.errors.DataError: level must be in (0, 1), got 95. Did you mean 0.95?
    """
    try:
        value = float(as_floats("level", level))
    except (DataError, TypeError):
        raise DataError(f"level must be a number in (0, 1), got {level!r}.") from None
    if not 0.0 < value < 1.0:
        hint = f" Did you mean {value / 100:g}?" if 1.0 < value < 100.0 else ""
        raise DataError(f"level must be in (0, 1), got {level}.{hint}")
    return value
