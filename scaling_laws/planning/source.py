"""What a planner starts from: a law alone, or a law with draws and measured ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_laws.errors import PlanError
from scaling_laws.laws.combined import NAME as COMBINED
from scaling_laws.laws.family import Law, input_domain
from scaling_laws.planning.costs.cost import AnyCost
from scaling_laws.planning.optimum import Array, Curve, NumericSurface
from scaling_laws.planning.power_sum import PowerSum, power_sum
from scaling_laws.quantities import quantity

PAIR = ("params", "tokens")
_QUANTITIES = ("params", "tokens", "flops", "tokens_per_param")
Kind = Literal["run", "mean"]
_MOST_SEARCHED = 200  # draws of several laws together, whose optima are searched for


@runtime_checkable
class Predictor(Protocol):
    """Anything a planner can start from besides a bare `Law`; a `Fit` is one.

    Attributes
    ----------
    law : Law
        The point law.
    draws : ndarray of shape (k, p)
        Coefficient draws in raw units, columns in the order of ``law.family``.
    target : str
        Name of the predicted quantity.
    ranges : mapping of str to pair of float
        Measured range of every input, and of ``"flops"`` where params and tokens are inputs.
    """

    @property
    def law(self) -> Law: ...  # noqa: D102
    @property
    def draws(self) -> NDArray[np.float64]: ...  # noqa: D102
    @property
    def target(self) -> str: ...  # noqa: D102
    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]: ...  # noqa: D102
    def predict_interval(
        self, inputs: Mapping[str, ArrayLike], *, level: float, kind: Kind
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper end of the central interval of one run (``kind="run"``)."""
        ...


@dataclass(frozen=True)
class Source:
    """One view of either kind of source.

    Parameters
    ----------
    law : Law
        The point law.
    draws : ndarray of shape (k, p), optional
        None for a bare law.
    target : str
        Name of the predicted quantity.
    ranges : mapping of str to pair of float
        Measured range of quantities; may lack some, or all.
    predictor : Predictor, optional
        Gives the intervals of the target.
    """

    law: Law
    draws: Array | None
    target: str
    ranges: Mapping[str, tuple[float, float]]
    predictor: Predictor | None

    @property
    def joint(self) -> bool:
        """Whether the law is one of model size and tokens."""
        return set(self.law.inputs) == set(PAIR)

    @property
    def single(self) -> str | None:
        """The input of a law of one positive input."""
        inputs, family = self.law.inputs, self.law.family
        one = len(inputs) == 1 and input_domain(family, inputs[0]) == "positive"
        return inputs[0] if one else None

    @property
    def higher(self) -> bool:
        """Whether a higher target is better."""
        return self.law.family.increasing or quantity(self.target).direction == "higher"

    @property
    def label(self) -> str:
        """What to call the law in a message."""
        return self.law.name or self.law.family.name

    def predict(self, inputs: Mapping[str, Array]) -> Array:
        """Point prediction of the target."""
        return np.asarray(self.law(**inputs), dtype=float)

    def coef(self, draws: bool) -> tuple[Array, ...]:
        """Coefficients in the family's order, of shape (1, 1) or (draws, 1)."""
        rows = self.draws if draws else None
        rows = np.array([self.law.values]) if rows is None else rows
        return tuple(column[:, None] for column in rows.T)

    def surface(self, draws: bool, first: str = "params") -> PowerSum | NumericSurface:
        """Optima of the law: in closed form where it has one, else searched.

        Parameters
        ----------
        draws : bool
            Whether to hold every draw or the point law.
        first : {"params", "tokens"}
            The quantity called ``u``.
        """
        family = self.law.family
        position = family.inputs.index(first)
        closed = power_sum(family, self.coef(draws=False), position)
        if closed is not None and closed.regular and self.higher == family.increasing:
            found = power_sum(family, self.coef(draws), position)
            if found is not None:
                return found
        second = PAIR[1 - PAIR.index(first)]
        lows = (self._low(first), self._low(second))
        return NumericSurface(family, self.coef(draws), self.higher, position, lows)

    def curve(self, name: str, draws: bool) -> Curve:
        """Return the law of one input."""
        return Curve(self.law.family, self.coef(draws), self._low(name))

    def smallest_flops(self, cost: AnyCost) -> float | None:
        """Smallest measured compute [FLOP], if anything is known about it."""
        if "flops" in self.ranges:
            return self.ranges["flops"][0]
        if all(name in self.ranges for name in PAIR) and set(cost.inputs) <= set(PAIR):
            return float(
                cost.flops(params=self.ranges["params"][0], tokens=self.ranges["tokens"][0])
            )
        return None

    def _low(self, name: str) -> float:
        if name not in self.ranges:
            return 0.0
        return min(0.0, float(np.log(self.ranges[name][0] / 1e3)))


def get_source(source: Any, target: str | None) -> Source:
    """Return the view of a `Law` or of a `Predictor`.

    Raises
    ------
    PlanError
        ``source`` is neither, or ``target`` contradicts it.
    """
    if target is not None and (not isinstance(target, str) or target in _QUANTITIES):
        raise PlanError(f"target must name what the law predicts, got {target!r}.")
    if isinstance(source, Law):
        name = target or ("score" if source.family.increasing else "loss")
        ranges = {n: (low, high) for n, low, high in source.validity}
        return Source(source, None, name, ranges, None)
    if not isinstance(source, Predictor) or not isinstance(source.law, Law):
        family = hasattr(source, "with_coef")
        remedy = (
            "Give the family numbers first: family.with_coef({...}), or fit it."
            if family
            else "Pass a Law (such as scaling_laws.published.HOFFMANN_2022) or a fit."
        )
        raise PlanError(
            f"a planner starts from a Law or a fit, got {type(source).__name__}. {remedy}"
        )
    if target is not None and target != source.target:
        raise PlanError(
            f"target={target!r} contradicts the fit, which predicts '{source.target}'. Leave it "
            "out."
        )
    draws = np.asarray(source.draws, dtype=float)
    if draws.ndim != 2 or draws.shape[1] != len(source.law.values):
        raise PlanError(
            f"draws of {type(source).__name__} have shape {draws.shape}; expected (draws, "
            f"{len(source.law.values)}), one column per coefficient of '{source.law.family.name}'."
        )
    draws = draws[np.isfinite(draws).all(axis=1)]
    if source.law.family.name == COMBINED:
        draws = draws[:_MOST_SEARCHED]
    return Source(
        source.law, draws if len(draws) else None, source.target, dict(source.ranges), source
    )
