"""Laws of training for several epochs in which distinct tokens enter by a term of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_laws.laws.elementary import additive_rescale, grown, regrown
from scaling_laws.laws.family import (
    Coefs,
    LawFamily,
    amplitude,
    exponent,
    floor,
    scale,
    shape,
    signed_exponent,
)

_INPUTS = ("params", "tokens", "unique_tokens")


def _repeated_data_limit(
    N: Any, D: Any, U: Any, A: Any, alpha: Any, B: Any, beta: Any, F: Any, gamma: Any, delta: Any
) -> Any:
    log_n = np.log(N)
    limit = F * np.exp(-gamma * np.log(U) - delta * log_n)
    return A * np.exp(-alpha * log_n) + B * np.exp(-beta * np.log(D)) + limit


def _repeated_data_limit_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size, _, unique = factors
    out = additive_rescale(coef, factors)
    return regrown(out, ("F", coef["gamma"], unique), ("F", coef["delta"], size))


repeated_data_limit = LawFamily(
    name="repeated_data_limit",
    function=_repeated_data_limit,
    inputs=_INPUTS,
    coefficients=(
        amplitude("A"),
        exponent("alpha", (0.2, 1.2)),
        amplitude("B"),
        exponent("beta", (0.2, 1.2)),
        amplitude("F", "limit of many tokens processed, of one distinct token and parameter"),
        signed_exponent("gamma", (-0.15, 0.15), "how it falls with distinct tokens"),
        signed_exponent("delta", (-0.15, 0.15), "how it falls with size"),
    ),
    formula=r"L = A N^{-\alpha} + B D^{-\beta} + F U^{-\gamma} N^{-\delta}",
    reference="Li et al. 2026, arXiv:2604.22753, data-constrained law 1",
    example={
        "A": 5e5,
        "alpha": 0.82,
        "B": 1e5,
        "beta": 0.56,
        "F": 12.0,
        "gamma": 0.04,
        "delta": 0.03,
    },
    rescale=_repeated_data_limit_rescale,
)


def _repeated_data_geometric(
    N: Any, D: Any, U: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, gamma: Any
) -> Any:
    log_data = gamma * np.log(U) + (1.0 - gamma) * np.log(D)
    return E + A * np.exp(-alpha * np.log(N)) + B * np.exp(-beta * log_data)


def _repeated_data_geometric_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size, data, unique = factors
    return regrown(
        coef,
        ("A", coef["alpha"], size),
        ("B", coef["beta"] * (1.0 - coef["gamma"]), data),
        ("B", coef["beta"] * coef["gamma"], unique),
    )


repeated_data_geometric = LawFamily(
    name="repeated_data_geometric",
    function=_repeated_data_geometric,
    inputs=_INPUTS,
    coefficients=(
        floor("E"),
        amplitude("A"),
        exponent("alpha"),
        amplitude("B"),
        exponent("beta"),
        shape("gamma", (0.03, 0.9), 1.0, "weight of distinct tokens among all"),
    ),
    formula=r"L = E + A N^{-\alpha} + B (U^{\gamma} D^{1 - \gamma})^{-\beta}",
    reference="Li et al. 2026, arXiv:2604.22753, data-constrained law 5",
    example={"E": 2.1, "A": 120.0, "alpha": 0.28, "B": 2e6, "beta": 0.71, "gamma": 0.34},
    rescale=_repeated_data_geometric_rescale,
)


def _repeated_data_overfit(
    N: Any,
    D: Any,
    U: Any,
    E: Any,
    A: Any,
    alpha: Any,
    B: Any,
    beta: Any,
    C: Any,
    c: Any,
    d: Any,
) -> Any:
    log_n, log_d = np.log(N), np.log(D)
    repeats = D / U - 1.0
    repeated = repeats > 0
    rise = C * np.exp(c * np.log(np.where(repeated, repeats, 1.0)) + d * log_n)
    lost = np.log1p(np.where(repeated, rise, 0.0))
    return E + A * np.exp(-alpha * log_n) + B * np.exp(beta * (lost - log_d))


def _repeated_data_overfit_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {**additive_rescale(coef, factors), "C": grown(coef["C"], -coef["d"], factors[0])}


repeated_data_overfit = LawFamily(
    name="repeated_data_overfit",
    function=_repeated_data_overfit,
    inputs=_INPUTS,
    coefficients=(
        floor("E"),
        amplitude("A"),
        exponent("alpha", (0.1, 1.5)),
        amplitude("B"),
        exponent("beta", (0.1, 1.5)),
        scale("C", (1e-2, 1e1), "loss of worth at one repetition, for a model of one unit"),
        exponent("c", (0.2, 2.0), meaning="above 1, more epochs hurt in the end"),
        signed_exponent("d", (-0.3, 0.3), "how the loss of worth grows with size"),
    ),
    formula=r"L = E + A N^{-\alpha} + B D'^{-\beta},\ "
    r"D' = D / (1 + C \max(D/U - 1, 0)^{c} N^{d})",
    reference="Li et al. 2026, arXiv:2604.22753, data-constrained law 6",
    example={
        "E": 2.3,
        "A": 5e5,
        "alpha": 0.8,
        "B": 2e4,
        "beta": 0.44,
        "C": 0.02,
        "c": 0.83,
        "d": 0.05,
    },
    rescale=_repeated_data_overfit_rescale,
    units=("params", "tokens", "tokens"),
)


def _two_plateau_overfit(
    N: Any,
    D: Any,
    U: Any,
    E: Any,
    H: Any,
    A: Any,
    alpha: Any,
    B: Any,
    beta: Any,
    C: Any,
    gamma: Any,
    delta: Any,
) -> Any:
    log_n = np.log(N)
    gap = A * np.exp(-alpha * log_n) + B * np.exp(-beta * np.log(D))
    gap = gap + C * np.exp(gamma * log_n - delta * np.log(U))
    return E + H * gap / (1.0 + gap)


def _two_plateau_overfit_derivatives(
    N: Any,
    D: Any,
    U: Any,
    E: Any,
    H: Any,
    A: Any,
    alpha: Any,
    B: Any,
    beta: Any,
    C: Any,
    gamma: Any,
    delta: Any,
) -> tuple[Any, list[Any]]:
    log_n, log_d, log_u = np.log(N), np.log(D), np.log(U)
    size, data = np.exp(-alpha * log_n), np.exp(-beta * log_d)
    over = np.exp(gamma * log_n - delta * log_u)
    gap = A * size + B * data + C * over
    share = gap / (1.0 + gap)
    slope = H / (1.0 + gap) ** 2
    columns = [
        np.ones_like(share),
        share,
        slope * size,
        -slope * A * log_n * size,
        slope * data,
        -slope * B * log_d * data,
        slope * over,
        slope * C * log_n * over,
        -slope * C * log_u * over,
    ]
    return E + H * share, columns


def _two_plateau_overfit_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size, _, unique = factors
    out = additive_rescale(coef, factors)
    return regrown(out, ("C", -coef["gamma"], size), ("C", coef["delta"], unique))


two_plateau_overfit = LawFamily(
    name="two_plateau_overfit",
    function=_two_plateau_overfit,
    value_and_jacobian=_two_plateau_overfit_derivatives,
    inputs=_INPUTS,
    coefficients=(
        floor("E"),
        amplitude("H", "fall from the level of very small runs to the floor"),
        scale("A", (1e-3, 1e1)),
        exponent("alpha", (0.1, 1.0)),
        scale("B", (1e-3, 1e1)),
        exponent("beta", (0.1, 1.0)),
        scale("C", (1e-4, 1e0), "overfitting of one parameter on one distinct token"),
        exponent("gamma", (0.1, 1.5), meaning="how it grows with size"),
        exponent("delta", (0.1, 1.5), meaning="how it falls with distinct tokens"),
    ),
    formula=r"L = E + H \frac{g}{1 + g},\ "
    r"g = A N^{-\alpha} + B D^{-\beta} + C N^{\gamma} U^{-\delta}",
    reference="arXiv:2605.09189, bounded law with a term of overfitting",
    example={
        "E": 1.6,
        "H": 9.0,
        "A": 180.0,
        "alpha": 0.4,
        "B": 250.0,
        "beta": 0.35,
        "C": 1.0,
        "gamma": 0.6,
        "delta": 0.8,
    },
    rescale=_two_plateau_overfit_rescale,
)

_NEGLIGIBLE = 1e-18


def _log_worth_of_passes(U: Any, passes: Any, tau: Any) -> Any:
    """``ln U + sum_j 2^(-(j-1)/tau) ln(j/(j-1))`` over passes, the last one in part."""
    passes = np.asarray(passes)
    log_worth = np.log(U) + np.log(np.minimum(passes, 1.0))
    kept, faded = 1.0, np.exp(-np.log(2.0) / tau)
    for j in range(1, int(np.ceil(passes.max(initial=1.0)))):
        kept = kept * faded
        if np.all(np.abs(kept) < _NEGLIGIBLE):
            break
        log_worth = log_worth + kept * np.log(np.clip(passes / j, 1.0, (j + 1) / j))
    return log_worth


def _utility_half_life(U: Any, passes: Any, E: Any, A: Any, beta: Any, tau: Any) -> Any:
    return E + A * np.exp(-beta * _log_worth_of_passes(U, passes, tau))


def _utility_half_life_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return regrown(coef, ("A", coef["beta"], factors[0]))


utility_half_life = LawFamily(
    name="utility_half_life",
    function=_utility_half_life,
    inputs=("unique_tokens", "epochs"),
    coefficients=(
        floor("E"),
        amplitude("A"),
        exponent("beta", (0.05, 1.5), meaning="of the first pass"),
        scale("tau", (0.3, 30.0), "passes that halve the exponent"),
    ),
    formula=r"L = E + A U^{-\beta} \prod_{j \ge 2} (j / (j - 1))^{-\beta 2^{-(j - 1)/\tau}}",
    reference="Goyal et al. 2024, arXiv:2404.07177, eq. 2-4, with a last pass that may be partial",
    example={"E": 1.9, "A": 2e3, "beta": 0.37, "tau": 6.0},
    aliases=("goyal",),
    rescale=_utility_half_life_rescale,
    units=("unique_tokens", ""),
)

FAMILIES = (
    repeated_data_limit,
    repeated_data_geometric,
    repeated_data_overfit,
    two_plateau_overfit,
    utility_half_life,
)
