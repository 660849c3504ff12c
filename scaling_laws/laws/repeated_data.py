"""Laws of model size, tokens processed and distinct tokens: training for several epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_laws.laws.elementary import additive_rescale, grown, softplus
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


def _wanted(log_unique: Any, log_balance: Any, alpha: Any, beta: Any) -> Any:
    """Log of the best size for so much data; ``log_balance`` is ``log(alpha A / (beta B))``."""
    return (log_balance + beta * log_unique) / alpha


def _excess(N: Any, D: Any, U: Any, wanted: Any) -> tuple[Any, Any, Any, Any]:
    """Log of parameters that the data can use and of distinct tokens, and the excess of each."""
    log_n, log_seen = np.log(N), np.log(np.minimum(D, U))
    log_used = np.where(np.real(wanted) < log_n, wanted, log_n)
    too_large = np.exp(log_n - log_used) - 1.0
    return log_used, too_large, log_seen, np.exp(np.log(D) - log_seen) - 1.0


def _effective(
    N: Any, D: Any, U: Any, log_balance: Any, alpha: Any, beta: Any, R_D: Any, R_N: Any
) -> tuple[Any, Any]:
    """Log of effective parameters and tokens."""
    wanted = _wanted(np.log(np.minimum(D, U)), log_balance, alpha, beta)
    log_used, too_large, log_seen, repeats = _excess(N, D, U, wanted)
    return _worth(log_used, too_large, R_N), _worth(log_seen, repeats, R_D)


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
    rescale=additive_rescale,
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
    return {**additive_rescale(coef, factors), "s": epochs}


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
    return {**additive_rescale(coef, factors), "k": epochs}


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


def _left(excess: Any, most: Any) -> Any:
    """Share of an exponent that an excess leaves, none beyond ``most``."""
    share = 1.0 - excess / most
    return np.where(np.real(share) > 0, share, 0.0)


def _repeated_data_decay(
    N: Any, D: Any, U: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, R_D: Any, R_N: Any
) -> Any:
    return _repeated_data_decay_solved(N, D, U, E, A, alpha, B / A, beta, R_D, R_N)


def _repeated_data_decay_solved(
    N: Any, D: Any, U: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, R_D: Any, R_N: Any
) -> Any:
    log_balance = np.log(alpha) - np.log(beta * B)
    wanted = _wanted(np.log(np.minimum(D, U)), log_balance, alpha, beta)
    _, too_large, _, repeats = _excess(N, D, U, wanted)
    size = np.exp(-alpha * _left(too_large, R_N) * np.log(N))
    return E + A * (size + B * np.exp(-beta * _left(repeats, R_D) * np.log(D)))


_ENDS = (
    Coefficient("R_D", "scale", 1.0, 1e9, None, (1e2, 1e6), "repetitions that void all data"),
    Coefficient("R_N", "scale", 1.0, 1e9, None, (1e2, 1e6), "excess that voids all parameters"),
)
repeated_data_decay = LawFamily(
    name="repeated_data_decay",
    function=_repeated_data_decay,
    inputs=_INPUTS,
    coefficients=(
        floor("E"),
        scale("A", (1e0, 1e6)),
        exponent("alpha", (0.1, 0.8)),
        scale("B", (1e0, 1e6)),
        exponent("beta", (0.1, 0.8)),
        *_ENDS,
    ),
    formula=r"L = E + A N^{-\alpha \max(0, 1 - (N/V - 1)/R_N)} "
    r"+ B D^{-\beta \max(0, 1 - (D/U - 1)/R_D)},\ "
    r"V = \min(N, (\alpha A U^{\beta} / (\beta B))^{1/\alpha})",
    reference="Muennighoff et al. 2023, arXiv:2305.16264, decay of the exponents, constants of "
    "the authors' code; exponents that change with repetition have no other unit than counts",
    example={
        "E": 1.87,
        "A": 521.0,
        "alpha": 0.3527,
        "B": 1488.0,
        "beta": 0.3527,
        "R_D": 26530.0,
        "R_N": 2041.0,
    },
    aliases=("exponent_decay",),
    solve_as=LawFamily(
        name="repeated_data_decay_solved",
        function=_repeated_data_decay_solved,
        inputs=_INPUTS,
        coefficients=(
            floor("E"),
            amplitude("A"),
            exponent("alpha", (0.15, 0.7)),
            scale("B", (1e-2, 1e3)),
            exponent("beta", (0.15, 0.7)),
            *_ENDS,
        ),
    ),
    from_solved=_repeated_data_from_solved,
)


def _repeated_data_ratio(
    N: Any, D: Any, U: Any, E: Any, A: Any, B: Any, alpha: Any, rho: Any, R_D: Any, R_N: Any
) -> Any:
    wanted = np.log(rho) + np.log(np.minimum(D, U))
    log_used, too_large, log_seen, repeats = _excess(N, D, U, wanted)
    size, data = _worth(log_used, too_large, R_N), _worth(log_seen, repeats, R_D)
    return E + A * np.exp(-alpha * size) + B * np.exp(-alpha * data)


def _repeated_data_ratio_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size, data, _ = factors
    grown_terms = {n: grown(coef[n], coef["alpha"], f) for n, f in (("A", size), ("B", data))}
    return {**coef, **grown_terms, "rho": coef["rho"] * size / data}


repeated_data_ratio = LawFamily(
    name="repeated_data_ratio",
    function=_repeated_data_ratio,
    inputs=_INPUTS,
    coefficients=(
        floor("E"),
        amplitude("A"),
        amplitude("B"),
        exponent("alpha", (0.1, 1.0)),
        scale("rho", (1e-2, 1e2), "parameters that a distinct token can use"),
        *_HALVES,
    ),
    formula=r"L = E + A N'^{-\alpha} + B D'^{-\alpha},\ "
    r"D' = U + U R_D (1 - e^{-(D/U - 1)/R_D}),\ N' = V + V R_N (1 - e^{-(N/V - 1)/R_N}),\ "
    r"V = \min(N, \rho U)",
    reference="Li et al. 2026, arXiv:2604.22753, data-constrained law 3",
    example={
        "E": 1.87,
        "A": 521.0,
        "B": 1488.0,
        "alpha": 0.3527,
        "rho": 0.0511,
        "R_D": 15.4,
        "R_N": 5.3,
    },
    rescale=_repeated_data_ratio_rescale,
    units=("params", "tokens", "tokens"),
)

FAMILIES = (
    repeated_data,
    repeated_data_saturating,
    repeated_data_power_mean,
    repeated_data_decay,
    repeated_data_ratio,
)
