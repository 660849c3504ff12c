"""Laws in one input: samples, steps, parameters, compute - anything with a scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_laws.laws.elementary import MOST_LOG, grown
from scaling_laws.laws.family import (
    Coefficient,
    Coefs,
    LawFamily,
    amplitude,
    exponent,
    floor,
    plateau,
    scale,
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
    aliases=("saturating", "saturating_power", "pow3", "henighan"),
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
    aliases=("pow4", "pow4_domhan", "zhai"),
    rescale=_shifted_power_rescale,
    candidate=True,
)


def _reciprocal_shift_power(x: Any, A: Any, gamma: Any, c: Any) -> Any:
    return A * np.exp(c * np.log(1.0 / x + gamma))


def _reciprocal_shift_power_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {"A": grown(coef["A"], coef["c"], factors[0]), "gamma": coef["gamma"] / factors[0],
            "c": coef["c"]}  # fmt: skip


reciprocal_shift_power = LawFamily(
    name="reciprocal_shift_power",
    function=_reciprocal_shift_power,
    inputs=("samples",),
    coefficients=(
        amplitude("A", "value at one unit of the input, were there no gamma"),
        scale("gamma", (1e-4, 1e2), "one over the input where the curve levels off"),
        Coefficient("c", "exponent", -3.0, 3.0, "log", None, "decay rate; < 0 where it grows"),
    ),
    formula=r"y = A (1/x + gamma)^{c}",
    reference="Bansal et al. 2022, arXiv:2202.01994; Alabdulmohsin et al. 2022, "
    "arXiv:2209.06640, M3",
    example={"A": 6.0, "gamma": 1e-4, "c": 0.3},
    aliases=("bansal", "m3"),
    rescale=_reciprocal_shift_power_rescale,
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
    aliases=("log", "log2", "logx_linear"),
    rescale=_logarithmic_rescale,
)


def _inverse_logarithmic(x: Any, E: Any, A: Any) -> Any:
    return E + A / np.log1p(x)


inverse_logarithmic = LawFamily(
    name="inverse_logarithmic",
    function=_inverse_logarithmic,
    inputs=("samples",),
    coefficients=(floor("E"), amplitude("A")),
    formula=r"y = E + A / \ln(1 + x)",
    reference="Mohr et al. 2022, LCDB, ilog2, with 1 + x as in Adriaensen et al. 2023, "
    "arXiv:2310.20447: no pole at one",
    example={"E": 0.05, "A": 2.0},
    aliases=("ilog2",),
)


def _log_log_linear(x: Any, b: Any, a: Any) -> Any:
    return np.log(b - a * np.log(x))


def _log_log_linear_by_level(x: Any, b: Any, a: Any) -> Any:
    return b + np.log(1.0 - a * np.log(x))


def _log_log_linear_from_level(coef: Coefs) -> dict[str, Any]:
    b = np.exp(coef["b"])
    return {"b": b, "a": coef["a"] * b}


log_log_linear = LawFamily(
    name="log_log_linear",
    function=_log_log_linear,
    inputs=("samples",),
    coefficients=(
        Coefficient("b", "shape", -np.inf, np.inf, None, (1.0, 1e2), "exp(y) at one unit"),
        Coefficient(
            "a", "slope", -np.inf, np.inf, None, (-1.0, 1.0), "fall of exp(y) per e-fold; < 0: rise"
        ),
    ),
    formula=r"y = \ln(b - a \ln x)",
    reference="Domhan et al. 2015, log-log linear, with the sign of a turned",
    example={"b": 1.2, "a": -0.15},
    aliases=("loglog_linear",),
    rescale=_logarithmic_rescale,
    solve_as=LawFamily(
        name="log_log_linear_by_level",
        function=_log_log_linear_by_level,
        inputs=("samples",),
        coefficients=(
            plateau("b", "value at one unit"),
            Coefficient("a", "slope", -np.inf, np.inf, None, (-0.5, 0.5)),
        ),
    ),
    from_solved=_log_log_linear_from_level,
)


def _vapor_pressure(x: Any, a: Any, b: Any, c: Any) -> Any:
    return np.exp(a + b / x + c * np.log(x))


def _vapor_pressure_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    shift = coef["c"] * np.log(factors[0])
    return {"a": coef["a"] - shift, "b": coef["b"] * factors[0], "c": coef["c"]}


vapor_pressure = LawFamily(
    name="vapor_pressure",
    function=_vapor_pressure,
    inputs=("samples",),
    coefficients=(
        slope("a", meaning="logarithm of the power's value at one unit of the input"),
        slope("b", meaning="bend at small inputs, in units of the input"),
        slope("c", meaning="power at large inputs"),
    ),
    formula=r"y = \exp(a + b/x + c \ln x)",
    reference="Domhan et al. 2015, vapor pressure; Mohr et al. 2022, LCDB, vap3",
    example={"a": 1.2, "b": 20.0, "c": -0.2},
    aliases=("vap3",),
    rescale=_vapor_pressure_rescale,
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


_BELOW = np.log(1e2)  # e-folds of the inputs' middle over where the solver puts the unit
_BENDING = Coefficient(
    "d", "shape", 1e-2, 10.0, None, (0.05, 2.0), "1 is an exponential; next to 0, a power law"
)


def _stretched_solved(x: Any, E: Any, A: Any, scale: Any, d: Any) -> Any:
    """``A`` is the drop left at 1 % of a unit, ``scale`` the power there; d = 0 is a power law."""
    return E + A * np.exp(-scale * np.expm1(d * (np.log(x) + _BELOW)) / d)


def _stretched_solved_derivatives(
    x: Any, E: Any, A: Any, scale: Any, d: Any
) -> tuple[Any, list[Any]]:
    distance = np.log(x) + _BELOW
    grown = np.expm1(d * distance)
    left = np.exp(-scale * grown / d)
    by_d = ((1.0 + grown) * distance - grown / d) / d
    return E + A * left, [1.0, left, -A * left * grown / d, -A * left * scale * by_d]


def _stretched_from_solved(coef: Coefs) -> dict[str, Any]:
    d = coef["d"]
    log_scale = np.clip(np.log(d / coef["scale"]) / d - _BELOW, -MOST_LOG, MOST_LOG)
    with np.errstate(divide="ignore", over="ignore"):
        log_drop = np.log(np.abs(coef["A"])) + np.exp(-d * (log_scale + _BELOW))
    drop = np.sign(coef["A"]) * np.exp(np.minimum(log_drop, MOST_LOG))
    return {"E": coef["E"], "A": drop, "scale": np.exp(log_scale), "d": d}


stretched_exponential = LawFamily(
    name="stretched_exponential",
    function=_stretched_exponential,
    inputs=("samples",),
    coefficients=(
        floor("E"),
        amplitude("A", "drop from the start to the floor"),
        scale("scale", (1e-4, 1e2), "input at which 63 % of the drop is done"),
        _BENDING,
    ),
    formula=r"y = E + A \exp(-(x/scale)^{d})",
    reference="Mohr et al. 2022, LCDB, wbl4",
    example={"E": 0.1, "A": 0.8, "scale": 200.0, "d": 0.5},
    aliases=("weibull", "wbl4", "janoschek", "exp4"),
    rescale=_stretched_exponential_rescale,
    candidate=True,
    solve_as=LawFamily(
        name="stretched_exponential_solved",
        function=_stretched_solved,
        value_and_jacobian=_stretched_solved_derivatives,
        inputs=("samples",),
        coefficients=(
            floor("E"),
            amplitude("A"),
            scale("scale", (1e-5, 1.0)),
            _BENDING,
        ),
    ),
    from_solved=_stretched_from_solved,
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


FAMILIES = (
    constant,
    power,
    power_with_floor,
    shifted_power,
    reciprocal_shift_power,
    logarithmic,
    inverse_logarithmic,
    log_log_linear,
    vapor_pressure,
    exponential,
    exponential_with_floor,
    stretched_exponential,
    log_quadratic,
)
