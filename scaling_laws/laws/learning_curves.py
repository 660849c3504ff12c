"""Laws in one input: samples, steps, parameters, compute - anything with a scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_laws.laws.elementary import grown, softplus
from scaling_laws.laws.family import (
    Coefficient,
    Coefs,
    LawFamily,
    amplitude,
    exponent,
    floor,
    plateau,
    scale,
    shape,
    slope,
)


def _constant(x: Any, level: Any) -> Any:
    return level + 0.0 * x


def _same(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:  # noqa: ARG001
    return dict(coef)


constant = LawFamily(
    name="constant",
    function=_constant,
    inputs=("samples",),
    coefficients=(plateau("level", "value at any input"),),
    formula=r"y = level",
    reference="No law: in `select`, the value at the largest scale",
    example={"level": 2.0},
    rescale=_same,
    candidate=True,
)


def _power(x: Any, A: Any, alpha: Any) -> Any:
    return A * np.exp(-alpha * np.log(x))


def _power_derivatives(x: Any, A: Any, alpha: Any) -> tuple[Any, list[Any]]:
    log_x = np.log(x)
    unit = np.exp(-alpha * log_x)
    value = A * unit
    return value, [unit, -log_x * value]


def _power_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {**coef, "A": coef["A"] * np.exp(coef["alpha"] * np.log(factors[0]))}


power = LawFamily(
    name="power",
    function=_power,
    value_and_jacobian=_power_derivatives,
    inputs=("flops",),
    coefficients=(
        amplitude("A", "value at one unit of the input"),
        Coefficient("alpha", "exponent", -3.0, 3.0, "log", None, "decay rate; < 0 where it grows"),
    ),
    formula=r"y = A x^{-\alpha}",
    reference="Kaplan et al. 2020, arXiv:2001.08361, eq. 1.1-1.3",
    example={"A": 25.0, "alpha": 0.05},
    aliases=("power_law", "pow2"),
    rescale=_power_rescale,
    candidate=True,
)


def _power_with_floor(x: Any, E: Any, A: Any, alpha: Any) -> Any:
    return E + A * np.exp(-alpha * np.log(x))


def _power_with_floor_derivatives(x: Any, E: Any, A: Any, alpha: Any) -> tuple[Any, list[Any]]:
    value, columns = _power_derivatives(x, A, alpha)
    return E + value, [np.ones_like(value), *columns]


power_with_floor = LawFamily(
    name="power_with_floor",
    function=_power_with_floor,
    value_and_jacobian=_power_with_floor_derivatives,
    inputs=("flops",),
    coefficients=(floor("E"), amplitude("A"), exponent("alpha")),
    formula=r"y = E + A x^{-\alpha}",
    reference="Henighan et al. 2020, arXiv:2010.14701, eq. 1.1",
    example={"E": 1.7, "A": 2.5e3, "alpha": 0.17},
    aliases=("saturating", "saturating_power", "pow3"),
    rescale=_power_rescale,
    candidate=True,
)


def _shifted_power(x: Any, E: Any, A: Any, shift: Any, alpha: Any) -> Any:
    return E + A * np.exp(-alpha * np.log(x + shift))


def _shifted_power_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {**_power_rescale(coef, factors), "shift": coef["shift"] * factors[0]}


shifted_power = LawFamily(
    name="shifted_power",
    function=_shifted_power,
    inputs=("samples",),
    coefficients=(floor("E"), amplitude("A"), scale("shift", (1e-4, 1e2)), exponent("alpha")),
    formula=r"y = E + A (x + shift)^{-\alpha}",
    reference="Zhai et al. 2022, arXiv:2106.04560, eq. 1",
    example={"E": 0.1, "A": 5.0, "shift": 40.0, "alpha": 0.5},
    aliases=("pow4", "zhai"),
    rescale=_shifted_power_rescale,
    candidate=True,
)


def _logarithmic(x: Any, b: Any, a: Any) -> Any:
    return b - a * np.log(x)


def _logarithmic_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {**coef, "b": coef["b"] + coef["a"] * np.log(factors[0])}


logarithmic = LawFamily(
    name="logarithmic",
    function=_logarithmic,
    inputs=("flops",),
    coefficients=(
        plateau("b", "value at one unit of the input"),
        slope("a", "target", "fall per e-fold of the input"),
    ),
    formula=r"y = b - a \ln x",
    reference="Mohr et al. 2022, LCDB, log2",
    example={"b": 6.0, "a": 0.08},
    aliases=("log", "log2"),
    rescale=_logarithmic_rescale,
)


def _exponential(x: Any, A: Any, rate: Any) -> Any:
    return A * np.exp(-rate * x)


def _rate_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {**coef, "rate": coef["rate"] / factors[0]}


exponential = LawFamily(
    name="exponential",
    function=_exponential,
    inputs=("steps",),
    coefficients=(
        amplitude("A", "value at zero"),
        slope("rate", "log", "decay per unit of the input; < 0 where it grows"),
    ),
    formula=r"y = A \exp(-rate x)",
    reference="Mohr et al. 2022, LCDB, exp2",
    example={"A": 3.0, "rate": 2e-4},
    aliases=("exp", "exp2"),
    rescale=_rate_rescale,
)


def _exponential_with_floor(x: Any, E: Any, A: Any, rate: Any) -> Any:
    return E + A * np.exp(-rate * x)


exponential_with_floor = LawFamily(
    name="exponential_with_floor",
    function=_exponential_with_floor,
    inputs=("steps",),
    coefficients=(floor("E"), amplitude("A"), scale("rate", (1e-2, 3e1))),
    formula=r"y = E + A \exp(-rate x)",
    reference="Mohr et al. 2022, LCDB, exp3",
    example={"E": 1.5, "A": 3.0, "rate": 2e-4},
    aliases=("exp3", "expd3"),
    rescale=_rate_rescale,
)


def _stretched_exponential(x: Any, E: Any, A: Any, scale: Any, d: Any) -> Any:
    return E + A * np.exp(-np.exp(d * (np.log(x) - np.log(scale))))


def _stretched_exponential_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {**coef, "scale": coef["scale"] * factors[0]}


stretched_exponential = LawFamily(
    name="stretched_exponential",
    function=_stretched_exponential,
    inputs=("samples",),
    coefficients=(
        floor("E"),
        amplitude("A", "drop from the start to the floor"),
        scale("scale", (1e-4, 1e2), "input at which 63 % of the drop is done"),
        shape("d", (0.05, 2.0)),
    ),
    formula=r"y = E + A \exp(-(x/scale)^{d})",
    reference="Mohr et al. 2022, LCDB, wbl4",
    example={"E": 0.1, "A": 0.8, "scale": 200.0, "d": 0.5},
    aliases=("weibull", "wbl4", "janoschek"),
    rescale=_stretched_exponential_rescale,
    candidate=True,
)


def _two_plateau(x: Any, start: Any, end: Any, scale: Any, d: Any) -> Any:
    return end + (start - end) / (1.0 + np.exp(d * (np.log(x) - np.log(scale))))


def _two_plateau_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {**coef, "scale": coef["scale"] * factors[0]}


two_plateau = LawFamily(
    name="two_plateau",
    function=_two_plateau,
    inputs=("samples",),
    coefficients=(
        plateau("start", "level at zero input"),
        plateau("end", "level at infinite input"),
        scale("scale", (1e-3, 1e3), "input half-way between the levels"),
        shape("d", (0.1, 3.0)),
    ),
    formula=r"y = end + \frac{start - end}{1 + (x/scale)^{d}}",
    reference="Mohr et al. 2022, LCDB, mmf4 with b = s^d",
    example={"start": 0.9, "end": 0.1, "scale": 300.0, "d": 0.7},
    aliases=("mmf4", "bounded_rational", "hill4"),
    rescale=_two_plateau_rescale,
)


def _log_quadratic(x: Any, a: Any, b: Any, c: Any) -> Any:
    log_x = np.log(x)
    return a + b * log_x + c * log_x * log_x


def _log_quadratic_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    shift = np.log(factors[0])
    return {
        "a": coef["a"] - coef["b"] * shift + coef["c"] * shift * shift,
        "b": coef["b"] - 2.0 * coef["c"] * shift,
        "c": coef["c"],
    }


log_quadratic = LawFamily(
    name="log_quadratic",
    function=_log_quadratic,
    inputs=("flops",),
    coefficients=(
        plateau("a", "value at one unit of the input"),
        slope("b", "target", "slope at one unit of the input"),
        slope("c", "target", "curvature; > 0 where the curve is U-shaped"),
    ),
    formula=r"y = a + b \ln x + c (\ln x)^{2}",
    reference="Quadratic regression in the logarithm; for U-shapes: Wu and Lo 2024, "
    "arXiv:2410.01692",
    example={"a": 40.0, "b": -1.6, "c": 0.0175},
    aliases=("u_shape", "parabola"),
    rescale=_log_quadratic_rescale,
)


def _broken_power(x: Any, E: Any, A: Any, c0: Any, c1: Any, d: Any, f: Any) -> Any:
    log_x = np.log(x)
    return E + A * np.exp(-c0 * log_x - c1 * f * softplus((log_x - np.log(d)) / f))


def _broken_power_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {
        **coef,
        "A": grown(coef["A"], coef["c0"], factors[0]),
        "d": coef["d"] * factors[0],
    }


broken_power = LawFamily(
    name="broken_power",
    function=_broken_power,
    inputs=("samples",),
    coefficients=(
        floor("E"),
        amplitude("A"),
        Coefficient("c0", "exponent", -3.0, 3.0, None, (-0.2, 1.0), "exponent before the break"),
        Coefficient("c1", "exponent", -3.0, 3.0, None, (-0.5, 1.5), "added to it by the break"),
        scale("d", (1e-2, 1e2), "input at the break"),
        shape("f", (0.05, 1.5), meaning="width of the break, in e-folds"),
    ),
    formula=r"y = E + A x^{-c_0} (1 + (x/d)^{1/f})^{-c_1 f}",
    reference="Caballero et al. 2022, arXiv:2210.14891, eq. 1 with one break",
    example={"E": 0.1, "A": 1.2, "c0": 0.05, "c1": 0.6, "d": 3e3, "f": 0.4},
    aliases=("bnsl", "broken_neural_scaling_law"),
    rescale=_broken_power_rescale,
)

FAMILIES = (
    constant,
    power,
    power_with_floor,
    shifted_power,
    logarithmic,
    exponential,
    exponential_with_floor,
    stretched_exponential,
    two_plateau,
    log_quadratic,
    broken_power,
)
