"""Several laws as one: their weighted mean on the residual scale, or one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from scaling_laws.errors import LawError
from scaling_laws.laws.family import Coefficient, LawFamily

NAME = "combined"
COMPOSED = "composed"
Scale = Literal["log", "linear", "logit"]


@dataclass(frozen=True)
class Combination:
    """The function of a combined law: weights first, then every component's coefficients.

    Parameters
    ----------
    components : tuple of LawFamily
        Over the same inputs.
    scale : {"log", "linear", "logit"}
        Scale on which predictions are averaged.
    bounds : pair of float
        Range of the target (logit only).
    """

    components: tuple[LawFamily, ...]
    scale: Scale
    bounds: tuple[float, float]

    def __call__(self, *arguments: Any) -> Any:
        """Evaluate at inputs, then weights, then coefficients, as `LawFamily.function`."""
        count = len(self.components[0].inputs)
        inputs, coef = arguments[:count], arguments[count:]
        weights, at = coef[: len(self.components)], len(self.components)
        shape = np.broadcast_shapes(*(np.shape(a) for a in (*inputs, *weights)))
        total = np.zeros(shape)
        for weight, family in zip(weights, self.components, strict=True):
            own = coef[at : at + len(family.coefficients)]
            at += len(own)
            self._add(total, np.asarray(weight, dtype=float), family, inputs, own)
        return self._back(total)

    def _add(
        self, total: Any, weight: Any, family: LawFamily, inputs: Sequence[Any], coef: Sequence[Any]
    ) -> None:
        """Add a component where it weighs anything: a draw holds one of them."""
        used = weight != 0
        if not used.any():
            return
        if weight.ndim == total.ndim == 2 and weight.shape == (len(total), 1) and not used.all():
            rows = np.flatnonzero(used[:, 0])
            inputs = [v[rows] if np.ndim(v) == 2 and len(v) == len(total) else v for v in inputs]
            coef = [np.broadcast_to(c, weight.shape)[rows] for c in coef]
            total[rows] += weight[rows] * self._forth(family.evaluate(inputs, coef))
            return
        total += np.where(used, weight * self._forth(family.evaluate(inputs, coef)), 0.0)

    def _forth(self, value: Any) -> Any:
        if self.scale == "linear":
            return value
        with np.errstate(all="ignore"):
            if self.scale == "log":
                return np.log(np.maximum(value, 1e-300))
            low, high = self.bounds
            edge = 1e-12 * (high - low)
            inside = np.clip(value, low + edge, high - edge)
            return np.log(inside - low) - np.log(high - inside)

    def _back(self, value: Any) -> Any:
        if self.scale == "linear":
            return value
        if self.scale == "log":
            return np.exp(value)
        low, high = self.bounds
        return low + (high - low) / (1.0 + np.exp(-value))


def combine(
    components: Sequence[LawFamily],
    scale: Scale = "log",
    bounds: tuple[float, float] = (0.0, 1.0),
) -> LawFamily:
    """Return the family of weighted means of several laws.

    Parameters
    ----------
    components : sequence of LawFamily
        Over the same inputs, bound to the target's direction.
    scale : {"log", "linear", "logit"}
        Scale on which predictions are averaged: ``"log"`` is the geometric mean.
    bounds : pair of float
        Range of the target (logit only).

    Returns
    -------
    LawFamily
        Coefficients ``weight_1, ...``, which should sum to one, then each component's own with
        its number as a suffix.

    Raises
    ------
    LawError
        No components, or over different inputs.

    Examples
    --------
    >>> from scaling_laws.laws.registry import get_law
    >>> both = combine([get_law("power"), get_law("power_with_floor")])
    >>> both.coefficient_names
    ('weight_1', 'weight_2', 'A_1', 'alpha_1', 'E_2', 'A_2', 'alpha_2')
    >>> float(both.evaluate([100.0], [0.5, 0.5, 10.0, 0.5, 0.0, 40.0, 0.5]).round(12))
    2.0
    """
    families = tuple(components)
    if not families or any(f.inputs != families[0].inputs for f in families):
        raise LawError(
            f"laws can be combined over the same inputs only, got {[f.inputs for f in families]}."
        )
    weights = [
        Coefficient(f"weight_{i + 1}", "shape", 0.0, np.inf, None, (0.1, 1.0))
        for i in range(len(families))
    ]
    own = [
        Coefficient(f"{c.name}_{i + 1}", "shape", c.lower, c.upper, None, c.starts)
        for i, f in enumerate(families)
        for c in f.coefficients
    ]
    return LawFamily(
        name=NAME,
        function=Combination(families, scale, bounds),
        inputs=families[0].inputs,
        coefficients=(*weights, *own),
        formula=r"T^{-1}\left(\sum_i w_i\, T(f_i)\right)",
        reference="weighted mean of laws",
        input_domain=families[0].input_domain,
        analytic=False,
    )


@dataclass(frozen=True)
class Composition:
    """The function of two laws in a row: coefficients of the first, then of the second.

    Parameters
    ----------
    first, second : LawFamily
        The second has one input, which the first predicts.
    """

    first: LawFamily
    second: LawFamily

    def __call__(self, *arguments: Any) -> Any:
        """Evaluate at inputs, then coefficients, as `LawFamily.function`."""
        count = len(self.first.inputs)
        inputs, coef = arguments[:count], arguments[count:]
        own = len(self.first.coefficients)
        between = self.first.evaluate(inputs, coef[:own])
        return self.second.evaluate([between], coef[own:])


def compose(first: LawFamily, second: LawFamily) -> LawFamily:
    """Return the family of a law after another: ``second(first(inputs))``.

    Parameters
    ----------
    first, second : LawFamily
        The second of one input.

    Returns
    -------
    LawFamily
        Over the inputs of the first; each law's coefficients have its number as a suffix.

    Raises
    ------
    LawError
        The second has several inputs.

    Examples
    --------
    >>> from scaling_laws.laws.registry import get_law
    >>> both = compose(get_law("power_with_floor"), get_law("loss_to_error"))
    >>> both.coefficient_names
    ('E_1', 'A_1', 'alpha_1', 'chance_2', 'k_2', 'gamma_2')
    >>> float(both.evaluate([4.0], [1.0, 2.0, 0.5, 0.9, 0.4, 0.0]).round(12))
    0.5
    """
    if len(second.inputs) != 1:
        raise LawError(
            f"law '{second.name}' has inputs {second.inputs}; one that follows another has one."
        )
    own = [
        Coefficient(f"{c.name}_{i}", "shape", c.lower, c.upper, None, c.starts, c.meaning)
        for i, f in enumerate((first, second), start=1)
        for c in f.coefficients
    ]
    return LawFamily(
        name=COMPOSED,
        function=Composition(first, second),
        inputs=first.inputs,
        coefficients=tuple(own),
        formula=r"g(f(x))",
        reference=f"{second.name} of {first.name}",
        input_domain=first.input_domain,
        analytic=first.analytic and second.analytic,
    )
