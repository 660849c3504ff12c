"""Laws over any number of inputs, bound to names at fit time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from scaling_laws.laws.family import (
    Coefficient,
    Coefs,
    LawFamily,
    amplitude,
    exponent,
    floor,
    plateau,
    slope,
)

_Built = tuple[tuple[Coefficient, ...], dict[str, float]]


def _log_linear(*values: Any) -> Any:
    n = (len(values) - 1) // 2
    inputs, constant, slopes = values[:n], values[n], values[n + 1 :]
    return np.exp(constant + sum(c * x for c, x in zip(slopes, inputs, strict=True)))


def _log_linear_derivatives(*values: Any) -> tuple[Any, list[Any]]:
    value = _log_linear(*values)
    return value, [value, *(x * value for x in values[: (len(values) - 1) // 2])]


def _log_linear_build(inputs: tuple[str, ...]) -> _Built:
    coefficients = (slope("c0"), *(slope(f"c_{n}") for n in inputs))
    return coefficients, {"c0": 1.0} | _small_slopes(inputs)


def _small_slopes(inputs: tuple[str, ...]) -> dict[str, float]:
    """Slopes that matter little, for inputs of their usual size."""
    size = {"params": 1e9, "tokens": 1e10, "flops": 1e20, "samples": 1e4}
    return {f"c_{n}": -0.1 / size.get(n, 10.0) for n in inputs}


def _log_linear_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    names = [n for n in coef if n != "c0"]
    return {**coef, **{n: coef[n] / s for n, s in zip(names, factors, strict=True)}}


log_linear = LawFamily(
    name="log_linear",
    function=_log_linear,
    value_and_jacobian=_log_linear_derivatives,
    inputs=("params", "tokens", "flops"),
    build=_log_linear_build,
    formula=r"y = \exp(c_0 + \sum_i c_i x_i)",
    reference="Generalised linear model with logarithmic link",
    aliases=("exponential_regression", "multivariate_exponential"),
    rescale=_log_linear_rescale,
    input_domain="real",
)


def _linear(*values: Any) -> Any:
    n = (len(values) - 1) // 2
    inputs, constant, slopes = values[:n], values[n], values[n + 1 :]
    return constant + sum(c * x for c, x in zip(slopes, inputs, strict=True))


def _linear_build(inputs: tuple[str, ...]) -> _Built:
    coefficients = (plateau("c0"), *(slope(f"c_{n}", "target") for n in inputs))
    return coefficients, {"c0": 3.0} | _small_slopes(inputs)


linear = LawFamily(
    name="linear",
    function=_linear,
    inputs=("samples",),
    build=_linear_build,
    formula=r"y = c_0 + \sum_i c_i x_i",
    reference="Linear regression; Mohr et al. 2022, LCDB, lin2",
    aliases=("lin2",),
    rescale=_log_linear_rescale,
    input_domain="real",
)


def _semi_log(*values: Any) -> Any:
    n = (len(values) - 1) // 2
    inputs, constant, slopes = values[:n], values[n], values[n + 1 :]
    return constant + sum(c * np.log(x) for c, x in zip(slopes, inputs, strict=True))


def _semi_log_build(inputs: tuple[str, ...]) -> _Built:
    coefficients = (plateau("c0"), *(slope(f"c_{n}", "target") for n in inputs))
    return coefficients, {"c0": 8.0} | {f"c_{n}": -0.05 for n in inputs}


def _semi_log_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    rates = [coef[n] for n in coef if n != "c0"]
    total = sum(c * np.log(s) for c, s in zip(rates, factors, strict=True))
    return {**coef, "c0": coef["c0"] - total}


semi_log = LawFamily(
    name="semi_log",
    function=_semi_log,
    inputs=("params", "tokens"),
    build=_semi_log_build,
    formula=r"y = c_0 + \sum_i c_i \ln x_i",
    reference="Linear regression in logarithms; in compute alone: Grattafiori et al. 2024, "
    "arXiv:2407.21783, sec. 3.2.1",
    rescale=_semi_log_rescale,
)


def _log_linear_with_floor(*values: Any) -> Any:
    n = (len(values) - 2) // 2
    inputs, low, size, slopes = values[:n], values[n], values[n + 1], values[n + 2 :]
    return low + size * np.exp(sum(c * x for c, x in zip(slopes, inputs, strict=True)))


def _log_linear_with_floor_build(inputs: tuple[str, ...]) -> _Built:
    slopes = (Coefficient(f"c_{n}", "slope", starts=(-4.0, 2.0)) for n in inputs)
    return (floor("E"), amplitude("K"), *slopes), {"E": 1.5, "K": 2.0} | {
        n: 10.0 * c for n, c in _small_slopes(inputs).items()
    }


def _log_linear_with_floor_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    names = [n for n in coef if n not in ("E", "K")]
    return {**coef, **{n: coef[n] / s for n, s in zip(names, factors, strict=True)}}


log_linear_with_floor = LawFamily(
    name="log_linear_with_floor",
    function=_log_linear_with_floor,
    inputs=("params", "tokens"),
    build=_log_linear_with_floor_build,
    formula=r"y = E + K \exp(\sum_i c_i x_i)",
    reference="log_linear and a floor; in proportions: Ye et al. 2024, arXiv:2403.16952",
    aliases=("exponential_regression_with_floor",),
    rescale=_log_linear_with_floor_rescale,
    input_domain="real",
)


def _product(*values: Any) -> Any:
    n = (len(values) - 1) // 2
    inputs, size, rates = values[:n], values[n], values[n + 1 :]
    return size * np.exp(-sum(a * np.log(x) for a, x in zip(rates, inputs, strict=True)))


def _product_derivatives(*values: Any) -> tuple[Any, list[Any]]:
    n = (len(values) - 1) // 2
    logs, size, rates = [np.log(x) for x in values[:n]], values[n], values[n + 1 :]
    unit = np.exp(-sum(a * z for a, z in zip(rates, logs, strict=True)))
    value = size * unit
    return value, [unit, *(-z * value for z in logs)]


def _product_build(inputs: tuple[str, ...]) -> _Built:
    rates = tuple(Coefficient(f"alpha_{n}", "exponent", -3.0, 3.0, "log") for n in inputs)
    return (amplitude("K"), *rates), {"K": 20.0} | {f"alpha_{n}": 0.05 for n in inputs}


def _product_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    """Of decay rates ``alpha_*`` and growth rates ``growth_*``."""
    decay = [coef[n] for n in coef if n.startswith("alpha_")]
    decay += [-coef[n] for n in coef if n.startswith("growth_")]
    total = sum(a * np.log(s) for a, s in zip(decay, factors, strict=True))
    return {**coef, "K": coef["K"] * np.exp(total)}


product = LawFamily(
    name="product",
    function=_product,
    value_and_jacobian=_product_derivatives,
    inputs=("params", "tokens"),
    build=_product_build,
    formula=r"y = K \prod_i x_i^{-\alpha_i}",
    reference="Cobb and Douglas 1928",
    aliases=("cobb_douglas",),
    rescale=_product_rescale,
)


def _product_with_floor(*values: Any) -> Any:
    n = (len(values) - 2) // 2
    return values[n] + _product(*values[:n], *values[n + 1 :])


def _product_with_floor_derivatives(*values: Any) -> tuple[Any, list[Any]]:
    n = (len(values) - 2) // 2
    value, columns = _product_derivatives(*values[:n], *values[n + 1 :])
    return values[n] + value, [np.ones_like(value), *columns]


def _product_with_floor_build(inputs: tuple[str, ...]) -> _Built:
    rates = tuple(exponent(f"alpha_{n}", (0.01, 1.0)) for n in inputs)
    example = {"E": 1.5, "K": 200.0} | {f"alpha_{n}": 0.12 for n in inputs}
    return (floor("E"), amplitude("K"), *rates), example


product_with_floor = LawFamily(
    name="product_with_floor",
    function=_product_with_floor,
    value_and_jacobian=_product_with_floor_derivatives,
    inputs=("params", "tokens"),
    build=_product_with_floor_build,
    formula=r"y = E + K \prod_i x_i^{-\alpha_i}",
    reference="Zhang et al. 2024, arXiv:2402.17193, eq. 1",
    aliases=("multiplicative",),
    rescale=_product_rescale,
    candidate=True,
)


def _product_with_overhead(*values: Any) -> Any:
    n = (len(values) - 2) // 2
    inputs, overhead, size, rates = values[:n], values[n], values[n + 1], values[n + 2 :]
    return overhead + size * np.exp(sum(r * np.log(x) for r, x in zip(rates, inputs, strict=True)))


def _product_with_overhead_build(inputs: tuple[str, ...]) -> _Built:
    overhead = Coefficient("c", "plateau", 0.0, np.inf, "target", None, "what any run costs")
    rates = (exponent(f"growth_{n}", (0.2, 2.0), 4.0, "power it grows with") for n in inputs)
    example = {"c": 2.0, "K": 0.1} | {f"growth_{n}": 0.5 / len(inputs) for n in inputs}
    return (overhead, amplitude("K"), *rates), example


product_with_overhead = LawFamily(
    name="product_with_overhead",
    function=_product_with_overhead,
    inputs=("samples",),
    build=_product_with_overhead_build,
    formula=r"y = c + K \prod_i x_i^{growth_i}",
    reference="Calotoiu et al. 2013, SC13: a constant and one term of the performance model normal "
    "form, with free powers",
    aliases=("power_with_overhead",),
    rescale=_product_rescale,
)


def _additive_power(*values: Any) -> Any:
    n = (len(values) - 1) // 3
    inputs, total = values[:n], values[n]
    for i, x in enumerate(inputs):
        size, rate = values[n + 1 + 2 * i], values[n + 2 + 2 * i]
        total = total + size * np.exp(-rate * np.log(x))
    return total


def _additive_power_derivatives(*values: Any) -> tuple[Any, list[Any]]:
    n = (len(values) - 1) // 3
    total, columns = values[n], []
    for i, x in enumerate(values[:n]):
        size, rate = values[n + 1 + 2 * i], values[n + 2 + 2 * i]
        log_x = np.log(x)
        unit = np.exp(-rate * log_x)
        total = total + size * unit
        columns += [unit, -size * unit * log_x]
    return total, [np.ones_like(total), *columns]


def _additive_power_build(inputs: tuple[str, ...]) -> _Built:
    terms = [(amplitude(f"A_{n}"), exponent(f"alpha_{n}")) for n in inputs]
    example = {"E": 1.5}
    for n in inputs:
        example |= {f"A_{n}": 300.0, f"alpha_{n}": 0.3}
    return (floor("E"), *(c for term in terms for c in term)), example


def _additive_power_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    out = dict(coef)
    for name, s in zip((n[6:] for n in coef if n.startswith("alpha_")), factors, strict=True):
        out[f"A_{name}"] = coef[f"A_{name}"] * np.exp(coef[f"alpha_{name}"] * np.log(s))
    return out


additive_power = LawFamily(
    name="additive_power",
    function=_additive_power,
    value_and_jacobian=_additive_power_derivatives,
    inputs=("params", "tokens"),
    build=_additive_power_build,
    formula=r"y = E + \sum_i A_i x_i^{-\alpha_i}",
    reference="Rosenfeld et al. 2020, arXiv:1909.12673, eq. 4",
    rescale=_additive_power_rescale,
    candidate=True,
)


def _translog_inputs(values: Sequence[Any]) -> int:
    """How many of the arguments are inputs."""
    count = len(values)
    return next(m for m in range(1, count) if 1 + 2 * m + m * (m + 1) // 2 == count)


def _translog(*values: Any) -> Any:
    n = _translog_inputs(values)
    logs = [np.log(x) for x in values[:n]]
    exponent_sum = values[n] + sum(c * z for c, z in zip(values[n + 1 :], logs, strict=False))
    pairs = combinations_with_replacement(logs, 2)
    quadratic = sum(q * a * b for q, (a, b) in zip(values[2 * n + 1 :], pairs, strict=True))
    return np.exp(exponent_sum + quadratic)


def _translog_derivatives(*values: Any) -> tuple[Any, list[Any]]:
    logs = [np.log(x) for x in values[: _translog_inputs(values)]]
    value = _translog(*values)
    squares = (a * b for a, b in combinations_with_replacement(logs, 2))
    return value, [value, *(z * value for z in (*logs, *squares))]


def _translog_build(inputs: tuple[str, ...]) -> _Built:
    linear = [f"c_{n}" for n in inputs]
    quadratic = [f"q_{a}_{b}" for a, b in combinations_with_replacement(inputs, 2)]
    example = {"c0": 3.0} | dict.fromkeys(linear, -0.06) | dict.fromkeys(quadratic, 5e-4)
    return tuple(slope(n) for n in ("c0", *linear, *quadratic)), example


def _translog_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    names, values = list(coef), list(coef.values())
    n = len(factors)
    shifts = [np.log(s) for s in factors]
    out = dict(zip(names, values, strict=True))
    for i, shift in enumerate(shifts):
        out[names[0]] = out[names[0]] - values[1 + i] * shift
    for position, (i, j) in enumerate(combinations_with_replacement(range(n), 2)):
        q = values[1 + n + position]
        out[names[0]] = out[names[0]] + q * shifts[i] * shifts[j]
        out[names[1 + i]] = out[names[1 + i]] - q * shifts[j]
        out[names[1 + j]] = out[names[1 + j]] - q * shifts[i]
    return out


translog = LawFamily(
    name="translog",
    function=_translog,
    value_and_jacobian=_translog_derivatives,
    inputs=("params", "tokens"),
    build=_translog_build,
    formula=r"\ln y = c_0 + \sum_i c_i \ln x_i + \sum_{i \le j} q_{ij} \ln x_i \ln x_j",
    reference="Christensen, Jorgenson and Lau 1973",
    rescale=_translog_rescale,
    candidate=True,
)

FAMILIES = (
    log_linear,
    log_linear_with_floor,
    linear,
    semi_log,
    product,
    product_with_floor,
    product_with_overhead,
    additive_power,
    translog,
)
