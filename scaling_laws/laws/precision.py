"""Laws of numerical precision: bits while training, and bits after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_laws.laws.elementary import additive_rescale, regrown
from scaling_laws.laws.family import (
    Coefs,
    LawFamily,
    amplitude,
    exponent,
    floor,
    scale,
    signed_exponent,
)


def _kept(bits: Any, gamma: Any) -> Any:
    """Log of the share of parameters that so many bits leave in effect."""
    return np.log(-np.expm1(-bits / gamma))


def _precision(
    N: Any, D: Any, P: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, gamma: Any
) -> Any:
    size = A * np.exp(-alpha * (np.log(N) + _kept(P, gamma)))
    return E + size + B * np.exp(-beta * np.log(D))


def _precision_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {**additive_rescale(coef, factors), "gamma": coef["gamma"] * factors[2]}


_SIZE_AND_DATA = (
    floor("E"),
    amplitude("A"),
    exponent("alpha", (0.1, 1.0)),
    amplitude("B"),
    exponent("beta", (0.1, 1.0)),
)
_KUMAR = {"E": 2.7, "A": 4.3e3, "alpha": 0.5, "B": 1.8e4, "beta": 0.5}
precision = LawFamily(
    name="precision",
    function=_precision,
    inputs=("params", "tokens", "precision_bits"),
    coefficients=(*_SIZE_AND_DATA, scale("gamma", (0.03, 3.0), "bits whose loss matters e-fold")),
    formula=r"L = E + A \left[N (1 - e^{-P/\gamma})\right]^{-\alpha} + B D^{-\beta}",
    reference="Kumar et al. 2024, arXiv:2411.04330, eq. 3 with one kind of bits",
    example={**_KUMAR, "gamma": 2.5},
    rescale=_precision_rescale,
)


def _precision_by_part(
    N: Any,
    D: Any,
    P_w: Any,
    P_a: Any,
    P_kv: Any,
    E: Any,
    A: Any,
    alpha: Any,
    B: Any,
    beta: Any,
    gamma_w: Any,
    gamma_a: Any,
    gamma_kv: Any,
) -> Any:
    kept = _kept(P_w, gamma_w) + _kept(P_a, gamma_a) + _kept(P_kv, gamma_kv)
    size = A * np.exp(-alpha * (np.log(N) + kept))
    return E + size + B * np.exp(-beta * np.log(D))


def _precision_by_part_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    out = additive_rescale(coef, factors)
    for name, factor in zip(("gamma_w", "gamma_a", "gamma_kv"), factors[2:], strict=True):
        out[name] = coef[name] * factor
    return out


precision_by_part = LawFamily(
    name="precision_by_part",
    function=_precision_by_part,
    inputs=("params", "tokens", "weight_bits", "activation_bits", "key_value_bits"),
    coefficients=(
        *_SIZE_AND_DATA,
        scale("gamma_w", (0.03, 3.0), "bits of weights whose loss matters e-fold"),
        scale("gamma_a", (0.03, 3.0), "the same for activations"),
        scale("gamma_kv", (0.03, 3.0), "the same for keys and values"),
    ),
    formula=r"L = E + A \left[N (1 - e^{-P_w/\gamma_w}) (1 - e^{-P_a/\gamma_a}) "
    r"(1 - e^{-P_{kv}/\gamma_{kv}})\right]^{-\alpha} + B D^{-\beta}",
    reference="Kumar et al. 2024, arXiv:2411.04330, eq. 3",
    example={**_KUMAR, "gamma_w": 2.7, "gamma_a": 2.2, "gamma_kv": 1.0},
    rescale=_precision_by_part_rescale,
)


def _quantisation_penalty(
    N: Any, D: Any, P: Any, C: Any, gamma_D: Any, gamma_N: Any, gamma: Any
) -> Any:
    return C * np.exp(gamma_D * np.log(D) - gamma_N * np.log(N) - P / gamma)


def _quantisation_penalty_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size, data, bits = factors
    out = regrown(coef, ("C", coef["gamma_N"], size), ("C", -coef["gamma_D"], data))
    return {**out, "gamma": coef["gamma"] * bits}


_PENALTY = (
    amplitude("C", "penalty at no bits, of one parameter and one token"),
    signed_exponent("gamma_D", (0.05, 1.5), "how it grows with data"),
    signed_exponent("gamma_N", (0.05, 1.5), "how it falls with size"),
    scale("gamma", (0.02, 2.0), "bits that lower it e-fold"),
)
_PENALTY_EXAMPLE = {"C": 0.06, "gamma_D": 0.5, "gamma_N": 0.35, "gamma": 0.9}
quantisation_penalty = LawFamily(
    name="quantisation_penalty",
    function=_quantisation_penalty,
    inputs=("params", "tokens", "precision_bits"),
    coefficients=_PENALTY,
    formula=r"\delta = C D^{\gamma_D} N^{-\gamma_N} e^{-P/\gamma}",
    reference="Kumar et al. 2024, arXiv:2411.04330, eq. 2",
    example=_PENALTY_EXAMPLE,
    rescale=_quantisation_penalty_rescale,
)


def _quantised(
    N: Any,
    D: Any,
    P: Any,
    E: Any,
    A: Any,
    alpha: Any,
    B: Any,
    beta: Any,
    C: Any,
    gamma_D: Any,
    gamma_N: Any,
    gamma: Any,
) -> Any:
    trained = E + A * np.exp(-alpha * np.log(N)) + B * np.exp(-beta * np.log(D))
    return trained + _quantisation_penalty(N, D, P, C, gamma_D, gamma_N, gamma)


def _quantised_derivatives(
    N: Any,
    D: Any,
    P: Any,
    E: Any,
    A: Any,
    alpha: Any,
    B: Any,
    beta: Any,
    C: Any,
    gamma_D: Any,
    gamma_N: Any,
    gamma: Any,
) -> tuple[Any, list[Any]]:
    log_n, log_d = np.log(N), np.log(D)
    unit_n, unit_d = np.exp(-alpha * log_n), np.exp(-beta * log_d)
    unit_p = np.exp(gamma_D * log_d - gamma_N * log_n - P / gamma)
    size, data, penalty = A * unit_n, B * unit_d, C * unit_p
    value = E + size + data + penalty
    columns = [
        np.ones_like(value),
        unit_n,
        -log_n * size,
        unit_d,
        -log_d * data,
        unit_p,
        log_d * penalty,
        -log_n * penalty,
        P / gamma**2 * penalty,
    ]
    return value, columns


def _quantised_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    trained = additive_rescale(coef, factors)
    return _quantisation_penalty_rescale(trained, factors)


quantised = LawFamily(
    name="quantised",
    function=_quantised,
    value_and_jacobian=_quantised_derivatives,
    inputs=("params", "tokens", "precision_bits"),
    coefficients=(*_SIZE_AND_DATA, *_PENALTY),
    formula=r"L = E + A N^{-\alpha} + B D^{-\beta} + C D^{\gamma_D} N^{-\gamma_N} e^{-P/\gamma}",
    reference="Kumar et al. 2024, arXiv:2411.04330, eq. 2 added to the additive law",
    example={**_KUMAR, **_PENALTY_EXAMPLE},
    rescale=_quantised_rescale,
)

FAMILIES = (precision, precision_by_part, quantisation_penalty, quantised)
