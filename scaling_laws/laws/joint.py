"""Laws of model size N and training data D together."""

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
    scale,
)


def _chinchilla(N: Any, D: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any) -> Any:
    return E + A * np.exp(-alpha * np.log(N)) + B * np.exp(-beta * np.log(D))


def _chinchilla_derivatives(
    N: Any, D: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any
) -> tuple[Any, list[Any]]:
    log_n, log_d = np.log(N), np.log(D)
    unit_n, unit_d = np.exp(-alpha * log_n), np.exp(-beta * log_d)
    term_n, term_d = A * unit_n, B * unit_d
    value = E + term_n + term_d
    return value, [np.ones_like(value), unit_n, -log_n * term_n, unit_d, -log_d * term_d]


def _additive_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {
        **coef,
        "A": grown(coef["A"], coef["alpha"], factors[0]),
        "B": grown(coef["B"], coef["beta"], factors[1]),
    }


chinchilla = LawFamily(
    name="chinchilla",
    function=_chinchilla,
    value_and_jacobian=_chinchilla_derivatives,
    inputs=("params", "tokens"),
    coefficients=(floor("E"), amplitude("A"), exponent("alpha"), amplitude("B"), exponent("beta")),
    formula=r"L(N, D) = E + A N^{-\alpha} + B D^{-\beta}",
    reference="Hoffmann et al. 2022, arXiv:2203.15556, eq. 2",
    example={"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28},
    aliases=("additive", "hoffmann"),
    rescale=_additive_rescale,
    candidate=True,
    typical={"alpha": (0.35, 0.1), "beta": (0.35, 0.1)},
)


def _kaplan_with_floor(N: Any, D: Any, E: Any, K: Any, rho: Any, R: Any, beta: Any) -> Any:
    return E + K * np.exp(beta * np.log(np.exp(-rho * np.log(N)) + R / D))


def _kaplan_with_floor_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {
        **coef,
        "K": grown(coef["K"], coef["rho"] * coef["beta"], factors[0]),
        "R": grown(coef["R"], -coef["rho"], factors[0]) * factors[1],
    }


kaplan_with_floor = LawFamily(
    name="kaplan_with_floor",
    function=_kaplan_with_floor,
    inputs=("params", "tokens"),
    coefficients=(
        floor("E"),
        amplitude("K"),
        exponent("rho", (0.1, 2.5), 10.0),
        scale("R", (1e-4, 1e4), "weight of the data term"),
        exponent("beta", (0.02, 1.2)),
    ),
    formula=r"L(N, D) = E + K (N^{-\rho} + R / D)^{\beta}",
    reference="Kaplan et al. 2020, arXiv:2001.08361, eq. 1.5, with a floor",
    example={"E": 1.5, "K": 10.0, "rho": 0.8, "R": 1e3, "beta": 0.3},
    rescale=_kaplan_with_floor_rescale,
)


def _kaplan_solved(N: Any, D: Any, Nc: Any, alpha_N: Any, Dc: Any, alpha_D: Any) -> Any:
    return _kaplan_with_floor(N, D, 0.0, Nc, alpha_N, Dc, alpha_D)


def _kaplan(N: Any, D: Any, Nc: Any, alpha_N: Any, Dc: Any, alpha_D: Any) -> Any:
    ratio = np.exp(alpha_N / alpha_D * (np.log(Nc) - np.log(N))) + Dc / D
    return np.exp(alpha_D * np.log(ratio))


def _kaplan_from_solved(coef: Coefs) -> dict[str, Any]:
    """From ``Nc (N^-alpha_N + Dc / D)^alpha_D``."""
    alpha_n = coef["alpha_N"] * coef["alpha_D"]
    log_nc = np.log(np.maximum(coef["Nc"], 1e-300)) / np.maximum(alpha_n, 1e-12)
    n_c = np.exp(np.clip(log_nc, -600.0, 600.0))
    return {
        "Nc": n_c,
        "alpha_N": alpha_n,
        "Dc": grown(coef["Dc"], coef["alpha_N"], n_c),
        "alpha_D": coef["alpha_D"],
    }


def _kaplan_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {**coef, "Nc": coef["Nc"] * factors[0], "Dc": coef["Dc"] * factors[1]}


kaplan = LawFamily(
    name="kaplan",
    function=_kaplan,
    inputs=("params", "tokens"),
    coefficients=(
        scale("Nc", (1e-3, 1e12), "model size at which its term alone gives 1"),
        exponent("alpha_N", (0.02, 1.0)),
        scale("Dc", (1e-3, 1e12), "data at which its term alone gives 1"),
        exponent("alpha_D", (0.02, 1.0)),
    ),
    formula=r"L(N, D) = \left[(N_c/N)^{\alpha_N/\alpha_D} + D_c/D\right]^{\alpha_D}",
    reference="Kaplan et al. 2020, arXiv:2001.08361, eq. 1.5",
    example={"Nc": 6.4e13, "alpha_N": 0.076, "Dc": 1.8e13, "alpha_D": 0.103},
    rescale=_kaplan_rescale,
    solve_as=LawFamily(
        name="kaplan_solved",
        function=_kaplan_solved,
        inputs=("params", "tokens"),
        coefficients=(
            amplitude("Nc"),
            exponent("alpha_N", (0.1, 2.5), 10.0),
            scale("Dc", (1e-4, 1e4)),
            exponent("alpha_D", (0.02, 1.0)),
        ),
    ),
    from_solved=_kaplan_from_solved,
)


def _coupled(N: Any, D: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, k: Any) -> Any:
    g = A * np.exp(-alpha * np.log(N)) + B * np.exp(-beta * np.log(D))
    return E + np.exp(k * np.log(g))


def _coupled_derivatives(
    N: Any, D: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, k: Any
) -> tuple[Any, list[Any]]:
    log_n, log_d = np.log(N), np.log(D)
    unit_n, unit_d = np.exp(-alpha * log_n), np.exp(-beta * log_d)
    term_n, term_d = A * unit_n, B * unit_d
    log_g = np.log(term_n + term_d)
    powered = np.exp(k * log_g)
    slope = k * powered / (term_n + term_d)
    columns = [
        np.ones_like(powered),
        slope * unit_n,
        -slope * log_n * term_n,
        slope * unit_d,
        -slope * log_d * term_d,
        powered * log_g,
    ]
    return E + powered, columns


def _coupled_solved(N: Any, D: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, k: Any) -> Any:
    size = np.exp(-alpha / k * np.log(N))
    data = np.exp((np.log(B) - beta * np.log(D)) / k)
    return E + A * np.exp(k * np.log(size + data))


def _coupled_solved_derivatives(
    N: Any, D: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, k: Any
) -> tuple[Any, list[Any]]:
    log_n, log_d = -alpha * np.log(N), np.log(B) - beta * np.log(D)
    size, data = np.exp(log_n / k), np.exp(log_d / k)
    total = size + data
    log_total = np.log(total)
    unit = np.exp(k * log_total)
    term, share = A * unit, data / total
    bend = log_total - ((1.0 - share) * log_n + share * log_d) / k
    columns = [
        np.ones_like(unit),
        unit,
        -term * (1.0 - share) * np.log(N),
        term * share / B,
        -term * share * np.log(D),
        term * bend,
    ]
    return E + term, columns


def _coupled_from_solved(coef: Coefs) -> dict[str, Any]:
    """From ``E + A (N^(-alpha/k) + (B D^-beta)^(1/k))^k``: terms that do not depend on k."""
    k = coef["k"]
    log_a = np.log(np.maximum(coef["A"], 1e-300))
    return {
        "E": coef["E"],
        "A": np.exp(log_a / k),
        "alpha": coef["alpha"] / k,
        "B": np.exp((log_a + np.log(coef["B"])) / k),
        "beta": coef["beta"] / k,
        "k": k,
    }


_blend = Coefficient(
    "k", "shape", 0.05, 3.0, None, (0.1, 1.2), "below 1, size and data help each other"
)
coupled = LawFamily(
    name="coupled",
    function=_coupled,
    value_and_jacobian=_coupled_derivatives,
    inputs=("params", "tokens"),
    coefficients=(
        floor("E"),
        scale("A", (1e-3, 1e3)),
        exponent("alpha", (0.1, 2.0), 60.0),
        scale("B", (1e-3, 1e3)),
        exponent("beta", (0.1, 2.0), 60.0),
        _blend,
    ),
    formula=r"L(N, D) = E + (A N^{-\alpha} + B D^{-\beta})^{k}",
    reference="Busbridge et al. 2025, arXiv:2502.08606, supervised law",
    example={"E": 1.5, "A": 2e4, "alpha": 0.55, "B": 8e4, "beta": 0.5, "k": 0.6},
    rescale=_additive_rescale,
    solve_as=LawFamily(
        name="coupled_solved",
        function=_coupled_solved,
        value_and_jacobian=_coupled_solved_derivatives,
        inputs=("params", "tokens"),
        coefficients=(
            floor("E"),
            amplitude("A"),
            exponent("alpha", (0.02, 1.0)),
            scale("B", (1e-2, 1e2)),
            exponent("beta", (0.02, 1.0)),
            _blend,
        ),
        typical={"alpha": (0.35, 0.1), "beta": (0.35, 0.1), "k": (0.6, 0.15)},
    ),
    from_solved=_coupled_from_solved,
    candidate=True,
)


def _two_plateau_joint(
    N: Any, D: Any, E: Any, H: Any, A: Any, alpha: Any, B: Any, beta: Any
) -> Any:
    g = A * np.exp(-alpha * np.log(N)) + B * np.exp(-beta * np.log(D))
    return E + H * g / (1.0 + g)


two_plateau_joint = LawFamily(
    name="two_plateau_joint",
    function=_two_plateau_joint,
    inputs=("params", "tokens"),
    coefficients=(
        floor("E"),
        amplitude("H", "fall from the level of very small runs to the floor"),
        scale("A", (1e-3, 1e2)),
        exponent("alpha", (0.05, 1.5)),
        scale("B", (1e-3, 1e2)),
        exponent("beta", (0.05, 1.5)),
    ),
    formula=r"L(N, D) = E + H \frac{g}{1 + g},\ g = A N^{-\alpha} + B D^{-\beta}",
    reference="Morgan, Mercer and Flodin 1975, in the sum of powers of Hoffmann et al. 2022",
    example={"E": 1.6, "H": 9.0, "A": 180.0, "alpha": 0.4, "B": 250.0, "beta": 0.35},
    aliases=("bounded_rational_joint",),
    rescale=_additive_rescale,
)

FAMILIES = (chinchilla, kaplan, kaplan_with_floor, coupled, two_plateau_joint)
