"""Laws of model size, tokens processed and distinct tokens: training for several epochs."""

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
    scale,
)

_INPUTS = ("params", "tokens", "unique_tokens")


def _worth(log_unique: Any, excess: Any, half: Any) -> Any:
    """Log of what is worth as much as ``unique (1 + excess)`` whose excess loses its worth."""
    return log_unique + np.log(1.0 - half * np.expm1(-excess / half))


def _effective(
    N: Any, D: Any, U: Any, log_balance: Any, alpha: Any, beta: Any, R_D: Any, R_N: Any
) -> tuple[Any, Any]:
    """Log of effective parameters and tokens; ``log_balance`` is ``log(alpha A / (beta B))``."""
    log_n, log_seen = np.log(N), np.log(np.minimum(D, U))
    wanted = (log_balance + beta * log_seen) / alpha
    log_used = np.where(np.real(wanted) < log_n, wanted, log_n)
    size = _worth(log_used, np.exp(log_n - log_used) - 1.0, R_N)
    return size, _worth(log_seen, np.exp(np.log(D) - log_seen) - 1.0, R_D)


def _repeated_data(
    N: Any, D: Any, U: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, R_D: Any, R_N: Any
) -> Any:
    log_balance = np.log(alpha * A) - np.log(beta * B)
    size, data = _effective(N, D, U, log_balance, alpha, beta, R_D, R_N)
    return E + A * np.exp(-alpha * size) + B * np.exp(-beta * data)


def _repeated_data_solved(
    N: Any, D: Any, U: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, R_D: Any, R_N: Any
) -> Any:
    log_balance = np.log(alpha) - np.log(beta * B)
    size, data = _effective(N, D, U, log_balance, alpha, beta, R_D, R_N)
    return E + A * (np.exp(-alpha * size) + B * np.exp(-beta * data))


def _repeated_data_from_solved(coef: Coefs) -> dict[str, Any]:
    """From ``E + A (N'^-alpha + B D'^-beta)``: an amplitude that can be solved for."""
    return {**coef, "B": coef["A"] * coef["B"]}


def _additive_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {
        **coef,
        "A": grown(coef["A"], coef["alpha"], factors[0]),
        "B": grown(coef["B"], coef["beta"], factors[1]),
    }


_HALVES = (
    Coefficient(
        "R_D", "scale", 1e-3, 1e6, None, (0.5, 200.0), "repetitions whose worth falls e-fold"
    ),
    Coefficient(
        "R_N", "scale", 1e-3, 1e6, None, (0.5, 200.0), "excess of parameters whose worth does"
    ),
)
repeated_data = LawFamily(
    name="repeated_data",
    function=_repeated_data,
    inputs=_INPUTS,
    coefficients=(
        floor("E"),
        scale("A", (1e-2, 1e2)),
        exponent("alpha"),
        scale("B", (1e-2, 1e2)),
        exponent("beta"),
        *_HALVES,
    ),
    formula=r"L = E + A N'^{-\alpha} + B D'^{-\beta},\ "
    r"D' = U + U R_D (1 - e^{-(D/U - 1)/R_D}),\ N' = V + V R_N (1 - e^{-(N/V - 1)/R_N}),\ "
    r"V = \min(N, (\alpha A U^{\beta} / (\beta B))^{1/\alpha})",
    reference="Muennighoff et al. 2023, arXiv:2305.16264, eq. 5-6 and 16-20",
    example={
        "E": 1.87,
        "A": 521.0,
        "alpha": 0.353,
        "B": 1488.0,
        "beta": 0.34,
        "R_D": 15.4,
        "R_N": 5.3,
    },
    aliases=("muennighoff", "data_constrained"),
    rescale=_additive_rescale,
    units=("params", "tokens", "tokens"),
    solve_as=LawFamily(
        name="repeated_data_solved",
        function=_repeated_data_solved,
        inputs=_INPUTS,
        coefficients=(
            floor("E"),
            amplitude("A"),
            exponent("alpha", (0.1, 1.0)),
            scale("B", (1e-1, 1e1)),
            exponent("beta", (0.1, 1.0)),
            *_HALVES,
        ),
        units=("params", "tokens", "tokens"),
    ),
    from_solved=_repeated_data_from_solved,
    candidate=True,
)


def _repeated_data_saturating(
    N: Any, D: Any, U: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, s: Any, d: Any
) -> Any:
    log_n, log_d = np.log(N), np.log(D)
    lost = softplus(log_d - np.log(s) - np.log(U) - d * log_n)
    return E + A * np.exp(-alpha * log_n) + B * np.exp(beta * (lost - log_d))


def _repeated_data_saturating_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    epochs = grown(coef["s"], -coef["d"], factors[0]) * factors[1] / factors[2]
    return {**_additive_rescale(coef, factors), "s": epochs}


repeated_data_saturating = LawFamily(
    name="repeated_data_saturating",
    function=_repeated_data_saturating,
    inputs=_INPUTS,
    coefficients=(
        floor("E"),
        amplitude("A"),
        exponent("alpha"),
        amplitude("B"),
        exponent("beta"),
        scale("s", (1e-1, 1e3), "epochs' worth that the data tend to, for a model of one unit"),
        Coefficient("d", "slope", -2.0, 2.0, None, (-0.5, 0.5), "how it changes with model size"),
    ),
    formula=r"L = E + A N^{-\alpha} + B D'^{-\beta},\ 1/D' = 1/D + 1/(s U N^{d})",
    reference="Li et al. 2026, arXiv:2604.22753, data-constrained law 4",
    example={"E": 2.3, "A": 5e5, "alpha": 0.8, "B": 2e4, "beta": 0.44, "s": 197.0, "d": -0.13},
    rescale=_repeated_data_saturating_rescale,
    candidate=True,
)


def _repeated_data_power_mean(
    N: Any, D: Any, U: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, k: Any, q: Any
) -> Any:
    log_d = np.log(D)
    lost = softplus(beta * q * (log_d - np.log(k) - np.log(U))) / q
    return E + A * np.exp(-alpha * np.log(N)) + B * np.exp(lost - beta * log_d)


def _repeated_data_power_mean_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    epochs = coef["k"] * factors[1] / factors[2]
    return {**_additive_rescale(coef, factors), "k": epochs}


repeated_data_power_mean = LawFamily(
    name="repeated_data_power_mean",
    function=_repeated_data_power_mean,
    inputs=_INPUTS,
    coefficients=(
        floor("E"),
        amplitude("A"),
        exponent("alpha"),
        amplitude("B"),
        exponent("beta"),
        scale("k", (1e-2, 1e3), "epochs' worth that the data tend to"),
        Coefficient("q", "shape", 0.1, 50.0, None, (0.5, 25.0), "sharpness of the turn"),
    ),
    formula=r"L = E + A N^{-\alpha} + B (D^{-\beta q} + (k U)^{-\beta q})^{1/q}",
    reference="Li et al. 2026, arXiv:2604.22753, data-constrained law 10",
    example={"E": 2.3, "A": 2e3, "alpha": 0.42, "B": 2e4, "beta": 0.44, "k": 23.0, "q": 4.0},
    rescale=_repeated_data_power_mean_rescale,
    candidate=True,
)

FAMILIES = (repeated_data, repeated_data_saturating, repeated_data_power_mean)
