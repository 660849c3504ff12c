"""Laws of mixture-of-experts models: dense or active size, data, and experts per layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_laws.laws.elementary import additive_rescale, grown, regrown
from scaling_laws.laws.family import (
    Coefficient,
    Coefs,
    LawFamily,
    amplitude,
    exponent,
    floor,
    plateau,
    scale,
    signed_exponent,
    slope,
)

_LOG_10 = np.log(10.0)


def _log_worth(experts: Any, experts_start: Any, experts_max: Any) -> Any:
    """Log of what experts count as: from ``experts_start`` for one, up to ``experts_max``."""
    offset = 1.0 / (1.0 / experts_start - 1.0 / experts_max)
    return -np.log(1.0 / (experts - 1.0 + offset) + 1.0 / experts_max)


def _routed(
    N: Any, experts: Any, a: Any, b: Any, c: Any, d: Any, experts_start: Any, experts_max: Any
) -> Any:
    log_e = _log_worth(experts, experts_start, experts_max) / _LOG_10
    log_n = np.log(N) / _LOG_10
    return np.exp(_LOG_10 * (a * log_n + b * log_e + c * log_n * log_e + d))


def _routed_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    shift = np.log10(factors[0])
    return {**coef, "b": coef["b"] - coef["c"] * shift, "d": coef["d"] - coef["a"] * shift}


_WORTH = (
    Coefficient(
        "experts_start", "scale", 1.0, 30.0, None, (1.05, 15.0), "what one expert counts as"
    ),
    Coefficient(
        "experts_max", "scale", 30.0, np.inf, None, (40.0, 4e3), "what many experts tend to"
    ),
)
routed = LawFamily(
    name="routed",
    function=_routed,
    inputs=("params", "experts"),
    coefficients=(
        slope("a", meaning="slope in size"),
        slope("b", meaning="slope in experts for a model of one unit"),
        slope("c", meaning="how much less large models gain from experts"),
        slope("d", meaning="log10 of the value at one unit"),
        *_WORTH,
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


def _experts_joint(
    N: Any,
    D: Any,
    experts: Any,
    E: Any,
    A: Any,
    alpha: Any,
    delta: Any,
    gamma: Any,
    B: Any,
    beta: Any,
    omega: Any,
    zeta: Any,
    experts_start: Any,
    experts_max: Any,
) -> Any:
    x = _log_worth(experts, experts_start, experts_max)
    size = A * np.exp(delta * x + (gamma * x - alpha) * np.log(N))
    return E + size + B * np.exp(omega * x + (zeta * x - beta) * np.log(D))


def _experts_joint_derivatives(
    N: Any,
    D: Any,
    experts: Any,
    E: Any,
    A: Any,
    alpha: Any,
    delta: Any,
    gamma: Any,
    B: Any,
    beta: Any,
    omega: Any,
    zeta: Any,
    experts_start: Any,
    experts_max: Any,
) -> tuple[Any, list[Any]]:
    log_n, log_d = np.log(N), np.log(D)
    x = _log_worth(experts, experts_start, experts_max)
    unit_n = np.exp(delta * x + (gamma * x - alpha) * log_n)
    unit_d = np.exp(omega * x + (zeta * x - beta) * log_d)
    size, data = A * unit_n, B * unit_d
    value = E + size + data
    slope_x = size * (delta + gamma * log_n) + data * (omega + zeta * log_d)
    offset = 1.0 / (1.0 / experts_start - 1.0 / experts_max)
    moved = np.exp(x) * (offset / (experts - 1.0 + offset)) ** 2
    columns = [
        np.ones_like(value),
        unit_n,
        -log_n * size,
        x * size,
        x * log_n * size,
        unit_d,
        -log_d * data,
        x * data,
        x * log_d * data,
        slope_x * moved / experts_start**2,
        slope_x * (np.exp(x) - moved) / experts_max**2,
    ]
    return value, columns


def _experts_joint_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size, data, _ = factors
    out = additive_rescale(coef, (size, data))
    out["delta"] = coef["delta"] - coef["gamma"] * np.log(size)
    out["omega"] = coef["omega"] - coef["zeta"] * np.log(data)
    return out


experts_joint = LawFamily(
    name="experts_joint",
    function=_experts_joint,
    value_and_jacobian=_experts_joint_derivatives,
    inputs=("params", "tokens", "experts"),
    coefficients=(
        floor("E"),
        amplitude("A"),
        exponent("alpha", (0.05, 0.8)),
        signed_exponent("delta", (-0.4, 0.1), "how experts lower the term in size"),
        signed_exponent("gamma", (-0.05, 0.05), "how they change its exponent"),
        amplitude("B"),
        exponent("beta", (0.05, 0.8)),
        signed_exponent("omega", (-0.3, 0.3), "how experts raise the term in data"),
        signed_exponent("zeta", (-0.1, 0.1), "how they change its exponent"),
        *_WORTH,
    ),
    formula=r"L = E + A x^{\delta} N^{-\alpha + \gamma \ln x} "
    r"+ B x^{\omega} D^{-\beta + \zeta \ln x},\ "
    r"1/x = 1/(experts - 1 + (1/start - 1/max)^{-1}) + 1/max",
    reference="Ludziejewski et al. 2025, arXiv:2502.05172, eq. 6 and table 3, N active parameters",
    example={
        "E": 1.3637,
        "A": 35.91,
        "alpha": 0.1889,
        "delta": -0.2285,
        "gamma": 0.0098,
        "B": 35.98,
        "beta": 0.1775,
        "omega": 0.5529,
        "zeta": -0.0259,
        "experts_start": 2.0732,
        "experts_max": 290.4521,
    },
    aliases=("ludziejewski",),
    rescale=_experts_joint_rescale,
    units=("params", "tokens", ""),
)


def _sparsity_joint(
    N: Any,
    D: Any,
    R: Any,
    E: Any,
    A: Any,
    alpha: Any,
    B: Any,
    beta: Any,
    C: Any,
    lam: Any,
    F: Any,
    delta: Any,
    gamma: Any,
) -> Any:
    log_n, log_r = np.log(N), np.log(R)
    value = E + A * np.exp(-alpha * log_n) + B * np.exp(-beta * np.log(D))
    return value + C * np.exp(lam * log_r) + F * np.exp(delta * log_r - gamma * log_n)


def _sparsity_joint_derivatives(
    N: Any,
    D: Any,
    R: Any,
    E: Any,
    A: Any,
    alpha: Any,
    B: Any,
    beta: Any,
    C: Any,
    lam: Any,
    F: Any,
    delta: Any,
    gamma: Any,
) -> tuple[Any, list[Any]]:
    log_n, log_d, log_r = np.log(N), np.log(D), np.log(R)
    size, data, ratio = np.exp(-alpha * log_n), np.exp(-beta * log_d), np.exp(lam * log_r)
    both = np.exp(delta * log_r - gamma * log_n)
    value = E + A * size + B * data + C * ratio + F * both
    columns = [
        np.ones_like(value),
        size,
        -A * log_n * size,
        data,
        -B * log_d * data,
        ratio,
        C * log_r * ratio,
        both,
        F * log_r * both,
        -F * log_n * both,
    ]
    return value, columns


def _sparsity_joint_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size, data, ratio = factors
    return regrown(
        coef,
        ("A", coef["alpha"], size),
        ("B", coef["beta"], data),
        ("C", -coef["lam"], ratio),
        ("F", -coef["delta"], ratio),
        ("F", coef["gamma"], size),
    )


sparsity_joint = LawFamily(
    name="sparsity_joint",
    function=_sparsity_joint,
    value_and_jacobian=_sparsity_joint_derivatives,
    inputs=("params", "tokens", "sparsity_ratio"),
    coefficients=(
        floor("E"),
        amplitude("A"),
        exponent("alpha", (0.3, 1.0)),
        amplitude("B"),
        exponent("beta", (0.1, 1.0)),
        amplitude("C", "what sparsity alone can take away"),
        signed_exponent("lam", (-0.8, -0.02)),
        amplitude("F"),
        signed_exponent("delta", (-0.5, 0.5), "how sparsity changes the second term in size"),
        exponent("gamma", (0.02, 0.5)),
    ),
    formula=r"L = E + A N^{-\alpha} + B D^{-\beta} + C R^{\lambda} + F R^{\delta} N^{-\gamma},"
    r"\ R = 1 / (1 - S)",
    reference="Abnar et al. 2025, arXiv:2501.12370, eq. 6 and table 3; the ratio of all experts "
    "to active ones is 1 / (1 - sparsity)",
    example={
        "E": 0.94,
        "A": 16612.5,
        "alpha": 0.5962,
        "B": 5455.67,
        "beta": 0.3954,
        "C": 0.4598,
        "lam": -0.1666,
        "F": 17.26,
        "delta": 0.1603,
        "gamma": 0.1595,
    },
    aliases=("abnar",),
    rescale=_sparsity_joint_rescale,
)


def _experts_interaction(
    N: Any, X: Any, E: Any, B: Any, alpha: Any, beta: Any, c: Any, F: Any
) -> Any:
    log_n, log_x = np.log(N), np.log(X)
    return E + B * np.exp(-alpha * log_n - beta * log_x + c * log_n * log_x) + F * log_x


def _experts_interaction_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size = factors[0]
    out = regrown(coef, ("B", coef["alpha"], size))
    return {**out, "beta": coef["beta"] + coef["c"] * np.log(size)}


experts_interaction = LawFamily(
    name="experts_interaction",
    function=_experts_interaction,
    inputs=("params", "experts"),
    coefficients=(
        plateau("E", "limit of large sizes at one expert"),
        amplitude("B"),
        exponent("alpha", (0.02, 1.0)),
        signed_exponent("beta", (-0.3, 0.3)),
        signed_exponent("c", (-0.05, 0.05), "how much less large models gain from experts"),
        slope("F", "target", "change of the limit per e-fold of experts"),
    ),
    formula=r"L = E + B N^{-\alpha} X^{-\beta} e^{c \ln N \ln X} + F \ln X",
    reference="Li et al. 2026, arXiv:2604.22753, mixture-of-experts law 5",
    example={"E": 1.59, "B": 44.7, "alpha": 0.2, "beta": 0.24, "c": 0.013, "F": -0.07},
    rescale=_experts_interaction_rescale,
    units=("params", ""),
)


def _experts_two_rates(
    N: Any, X: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, C: Any
) -> Any:
    log_n = np.log(N)
    helped = A * np.exp(-alpha * log_n) / (1.0 + B * np.exp(beta * np.log(X)))
    return E + helped + C * np.exp(-0.6 * alpha * log_n)


def _experts_two_rates_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size, experts = factors
    return regrown(
        coef,
        ("A", coef["alpha"], size),
        ("B", -coef["beta"], experts),
        ("C", 0.6 * coef["alpha"], size),
    )


experts_two_rates = LawFamily(
    name="experts_two_rates",
    function=_experts_two_rates,
    inputs=("params", "experts"),
    coefficients=(
        floor("E"),
        amplitude("A", "size of the part that experts lower"),
        exponent("alpha", (0.02, 1.0)),
        scale("B", (1e-2, 1e2)),
        exponent("beta", (0.1, 1.5)),
        amplitude("C", "size of the part that they do not"),
    ),
    formula=r"L = E + \frac{A N^{-\alpha}}{1 + B X^{\beta}} + C N^{-0.6 \alpha}",
    reference="Li et al. 2026, arXiv:2604.22753, mixture-of-experts law 3",
    example={"E": 1.4, "A": 40.0, "alpha": 0.22, "B": 0.12, "beta": 0.64, "C": 3.0},
    rescale=_experts_two_rates_rescale,
)

FAMILIES = (
    routed,
    experts_product,
    experts_joint,
    sparsity_joint,
    experts_interaction,
    experts_two_rates,
)
