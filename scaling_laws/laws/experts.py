"""Laws of mixture-of-experts models: dense size and experts per layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_laws.laws.elementary import grown
from scaling_laws.laws.family import (
    Coefficient,
    Coefs,
    LawFamily,
    amplitude,
    exponent,
    floor,
    slope,
)

_LOG_10 = np.log(10.0)


def _routed(
    N: Any, experts: Any, a: Any, b: Any, c: Any, d: Any, experts_start: Any, experts_max: Any
) -> Any:
    offset = 1.0 / (1.0 / experts_start - 1.0 / experts_max)
    worth = 1.0 / (experts - 1.0 + offset) + 1.0 / experts_max
    log_n, log_e = np.log(N) / _LOG_10, -np.log(worth) / _LOG_10
    return np.exp(_LOG_10 * (a * log_n + b * log_e + c * log_n * log_e + d))


def _routed_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    shift = np.log10(factors[0])
    return {**coef, "b": coef["b"] - coef["c"] * shift, "d": coef["d"] - coef["a"] * shift}


routed = LawFamily(
    name="routed",
    function=_routed,
    inputs=("params", "experts"),
    coefficients=(
        slope("a", meaning="slope in size"),
        slope("b", meaning="slope in experts for a model of one unit"),
        slope("c", meaning="how much less large models gain from experts"),
        slope("d", meaning="log10 of the value at one unit"),
        Coefficient(
            "experts_start", "scale", 1.0, 30.0, None, (1.05, 15.0), "what one expert counts as"
        ),
        Coefficient(
            "experts_max", "scale", 30.0, np.inf, None, (40.0, 4e3), "what many experts tend to"
        ),
    ),
    formula=r"\log_{10} L = a n + b x + c n x + d,\ n = \log_{10} N,\ x = \log_{10} X,\ "
    r"1/X = 1/(experts - 1 + (1/start - 1/max)^{-1}) + 1/max",
    reference="Clark et al. 2022, arXiv:2202.01169, eq. 1",
    example={
        "a": -0.082,
        "b": -0.108,
        "c": 0.009,
        "d": 1.104,
        "experts_start": 1.847,
        "experts_max": 314.478,
    },
    aliases=("clark", "unified_routed"),
    rescale=_routed_rescale,
    units=("params", ""),
    candidate=True,
)


def _experts_product(N: Any, experts: Any, E: Any, B: Any, alpha: Any, beta: Any) -> Any:
    return E + B * np.exp(-alpha * np.log(N) - beta * np.log(experts))


def _experts_product_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size = grown(coef["B"], coef["alpha"], factors[0])
    return {**coef, "B": grown(size, coef["beta"], factors[1])}


experts_product = LawFamily(
    name="experts_product",
    function=_experts_product,
    inputs=("params", "experts"),
    coefficients=(
        floor("E"),
        amplitude("B"),
        exponent("alpha", (0.02, 1.0)),
        exponent("beta", (0.005, 0.5)),
    ),
    formula=r"L = E + B N^{-\alpha} experts^{-\beta}",
    reference="Li et al. 2026, arXiv:2604.22753, mixture-of-experts law 1",
    example={"E": 1.55, "B": 38.0, "alpha": 0.19, "beta": 0.07},
    rescale=_experts_product_rescale,
    candidate=True,
)

FAMILIES = (routed, experts_product)
