"""Laws of model size N and training data D together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_laws.laws.elementary import MOST_LOG, additive_rescale, grown, regrown
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
    rescale=additive_rescale,
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


def kaplan_from_solved(coef: Coefs) -> dict[str, Any]:
    """From ``Nc (N^-alpha_N + Dc / D)^alpha_D``, an amplitude that can be solved for.

    A curve that is all but flat at another value than 1 would put ``Nc`` and ``Dc`` beyond all
    floats: then the exponents are the smallest that do not, and the value where N and D are one,
    their middle in the solver's units, is kept.
    """
    amplitude, data = (np.log(np.maximum(coef[n], 1e-300)) for n in ("Nc", "Dc"))
    least = np.maximum(np.abs(amplitude), 1e-3) / MOST_LOG
    outer = np.maximum(coef["alpha_D"], least)
    inner = np.maximum(coef["alpha_N"], least / outer)
    amplitude = amplitude + (coef["alpha_D"] - outer) * np.logaddexp(0.0, data)
    log_size = np.clip(amplitude / (inner * outer), -MOST_LOG, MOST_LOG)
    return {
        "Nc": np.exp(log_size),
        "alpha_N": inner * outer,
        "Dc": np.exp(np.clip(data + inner * log_size, -MOST_LOG, MOST_LOG)),
        "alpha_D": outer,
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
    from_solved=kaplan_from_solved,
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
    rescale=additive_rescale,
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
    rescale=additive_rescale,
)


def _chinchilla_tied(N: Any, D: Any, E: Any, A: Any, B: Any, alpha: Any) -> Any:
    return _chinchilla(N, D, E, A, alpha, B, alpha)


def _chinchilla_tied_derivatives(
    N: Any, D: Any, E: Any, A: Any, B: Any, alpha: Any
) -> tuple[Any, list[Any]]:
    value, (one, size, by_size, data, by_data) = _chinchilla_derivatives(
        N, D, E, A, alpha, B, alpha
    )
    return value, [one, size, data, by_size + by_data]


def _chinchilla_tied_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size, data = factors
    return regrown(coef, ("A", coef["alpha"], size), ("B", coef["alpha"], data))


chinchilla_tied = LawFamily(
    name="chinchilla_tied",
    function=_chinchilla_tied,
    value_and_jacobian=_chinchilla_tied_derivatives,
    inputs=("params", "tokens"),
    coefficients=(
        floor("E"),
        amplitude("A"),
        amplitude("B"),
        exponent("alpha", meaning="of both; the best tokens per parameter are (B / A)^(1 / alpha)"),
    ),
    formula=r"L(N, D) = E + A N^{-\alpha} + B D^{-\alpha}",
    reference="Muennighoff et al. 2023, arXiv:2305.16264, eq. 5 with one exponent",
    example={"E": 1.87, "A": 521.0, "B": 1488.0, "alpha": 0.3527},
    rescale=_chinchilla_tied_rescale,
)


def _bottleneck(N: Any, D: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any) -> Any:
    size, data = np.log(A) - alpha * np.log(N), np.log(B) - beta * np.log(D)
    return E + np.exp(np.where(np.real(size) > np.real(data), size, data))


bottleneck = LawFamily(
    name="bottleneck",
    function=_bottleneck,
    inputs=("params", "tokens"),
    coefficients=(
        floor("E"),
        scale("A", (1e-2, 1e2)),
        exponent("alpha"),
        scale("B", (1e-2, 1e2)),
        exponent("beta"),
    ),
    formula=r"L(N, D) = E + \max(A N^{-\alpha}, B D^{-\beta})",
    reference="Leontief 1941; the coupled law of arXiv:2608.07222 as its k tends to 0",
    example={"E": 1.8, "A": 480.0, "alpha": 0.35, "B": 2e3, "beta": 0.37},
    aliases=("leontief",),
    rescale=additive_rescale,
)


def _envelope(N: Any, D: Any, top: Any, A: Any, alpha: Any, B: Any, beta: Any, c: Any) -> Any:
    gap = _chinchilla(N, D, c, A, alpha, B, beta)
    return top * gap / np.sqrt(1.0 + gap * gap)


envelope = LawFamily(
    name="envelope",
    function=_envelope,
    inputs=("params", "tokens"),
    coefficients=(
        amplitude("top", "level of very small runs, that of a random guess"),
        scale("A", (1e-2, 1e1)),
        exponent("alpha", (0.05, 1.5)),
        scale("B", (1e-2, 1e1)),
        exponent("beta", (0.05, 1.5)),
        Coefficient("c", "shape", 0.0, 1e3, None, (0.01, 2.0), "limit of the gap"),
    ),
    formula=r"y = y_{top} \frac{g}{\sqrt{1 + g^{2}}},\ g = c + A N^{-\alpha} + B D^{-\beta}",
    reference="Rosenfeld et al. 2020, arXiv:1909.12673, eq. 5, with their eta in A, B and c",
    example={"top": 0.999, "A": 3e4, "alpha": 0.75, "B": 5e4, "beta": 0.61, "c": 0.2},
    aliases=("rosenfeld_envelope",),
    rescale=additive_rescale,
)


def _farseer(
    N: Any, D: Any, s: Any, q: Any, S: Any, B: Any, b: Any, Q: Any, A: Any, a: Any, F: Any
) -> Any:
    log_n = np.log(N)
    rate = np.exp(A * np.exp(a * log_n) + F)
    data = B * np.exp(b * log_n) + Q - rate * np.log(D)
    return np.exp(s * np.exp(q * log_n) + S) + np.exp(data)


def _farseer_solved(
    N: Any, D: Any, s: Any, q: Any, S: Any, B: Any, b: Any, Q: Any, A: Any, a: Any, F: Any
) -> Any:
    log_n = np.log(N)
    rate = F * np.exp(A * np.expm1(a * log_n))
    data = B * np.expm1(b * log_n) - rate * np.log(D)
    return S * np.exp(s * np.expm1(q * log_n)) + Q * np.exp(data)


def _farseer_solved_derivatives(
    N: Any, D: Any, s: Any, q: Any, S: Any, B: Any, b: Any, Q: Any, A: Any, a: Any, F: Any
) -> tuple[Any, list[Any]]:
    log_n, log_d = np.log(N), np.log(D)
    by_q, by_b, by_a = (np.expm1(rate * log_n) for rate in (q, b, a))
    unit_limit, unit_rate = np.exp(s * by_q), np.exp(A * by_a)
    unit_data = np.exp(B * by_b - F * unit_rate * log_d)
    limit, data = S * unit_limit, Q * unit_data
    faster = -data * log_d * unit_rate
    columns = [
        limit * by_q,
        limit * s * log_n * (1.0 + by_q),
        unit_limit,
        data * by_b,
        data * B * log_n * (1.0 + by_b),
        unit_data,
        faster * F * by_a,
        faster * F * A * log_n * (1.0 + by_a),
        faster,
    ]
    return limit + data, columns


def _farseer_from_solved(coef: Coefs) -> dict[str, Any]:
    """From levels at a model of one unit, two of them linear, in place of S, Q and F."""
    return {
        **coef,
        "S": np.log(np.maximum(coef["S"], 1e-300)) - coef["s"],
        "Q": np.log(np.maximum(coef["Q"], 1e-300)) - coef["B"],
        "F": np.log(coef["F"]) - coef["A"],
    }


def _farseer_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size = factors[0]
    return regrown(coef, ("s", -coef["q"], size), ("B", -coef["b"], size), ("A", -coef["a"], size))


def _rate(name: str, starts: tuple[float, float], meaning: str = "") -> Coefficient:
    """Searched constant of either sign."""
    return Coefficient(name, "slope", -np.inf, np.inf, None, starts, meaning)


_FARSEER_RATES = {
    "s": _rate("s", (-2.0, -0.05), "how the limit falls with size"),
    "q": Coefficient("q", "exponent", 0.0, 3.0, None, (0.03, 0.5)),
    "B": _rate("B", (0.5, 12.0), "how the term in data falls with size"),
    "b": Coefficient("b", "exponent", -3.0, 0.0, None, (-0.5, -0.03)),
    "A": _rate("A", (-8.0, -0.2), "how the exponent of data falls with size"),
    "a": Coefficient("a", "exponent", 0.0, 3.0, None, (0.01, 0.4)),
}
farseer = LawFamily(
    name="farseer",
    function=_farseer,
    inputs=("params", "tokens"),
    coefficients=(
        _FARSEER_RATES["s"],
        _FARSEER_RATES["q"],
        _rate("S", (-1.0, 2.0)),
        _FARSEER_RATES["B"],
        _FARSEER_RATES["b"],
        _rate("Q", (-5.0, 5.0)),
        _FARSEER_RATES["A"],
        _FARSEER_RATES["a"],
        _rate("F", (-1.0, 6.0)),
    ),
    formula=r"L = e^{s N^{q} + S} + e^{B N^{b} + Q} D^{-\exp(A N^{a} + F)}",
    reference="Li et al. 2025, arXiv:2506.10972, eq. 3",
    example={
        "s": -0.062465473,
        "q": 0.13,
        "S": 0.1284880679442551,
        "B": 230.73437075885855,
        "b": -0.1729,
        "Q": -1.544209554,
        "A": -1.665630816,
        "a": 0.0459,
        "F": 3.133347198805445,
    },
    rescale=_farseer_rescale,
    units=("params", ""),  # tokens stay raw: their exponent depends on the size
    solve_as=LawFamily(
        name="farseer_solved",
        function=_farseer_solved,
        value_and_jacobian=_farseer_solved_derivatives,
        inputs=("params", "tokens"),
        coefficients=(
            _FARSEER_RATES["s"],
            _FARSEER_RATES["q"],
            amplitude("S"),
            _FARSEER_RATES["B"],
            _FARSEER_RATES["b"],
            amplitude("Q"),
            _FARSEER_RATES["A"],
            _FARSEER_RATES["a"],
            scale("F", (0.1, 1.0)),
        ),
        units=("params", ""),
    ),
    from_solved=_farseer_from_solved,
)

FAMILIES = (
    chinchilla,
    kaplan,
    kaplan_with_floor,
    coupled,
    two_plateau_joint,
    chinchilla_tied,
    bottleneck,
    envelope,
    farseer,
)
