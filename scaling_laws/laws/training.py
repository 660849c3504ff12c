"""Laws of how training is spent: over-training, batch and steps, progress in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_laws.laws.elementary import additive_rescale, regrown
from scaling_laws.laws.family import (
    Coefficient,
    Coefs,
    LawFamily,
    amplitude,
    exponent,
    floor,
    scale,
)


def _over_training(M: Any, C: Any, E: Any, a: Any, b: Any, eta: Any) -> Any:
    log_m, log_c = np.log(M), np.log(C)
    return E + a * np.exp(eta * (log_m - log_c)) + b * np.exp(-eta * (log_m + log_c))


def _over_training_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    ratio, flops = factors
    return regrown(coef, ("a", coef["eta"], flops / ratio), ("b", coef["eta"], flops * ratio))


over_training = LawFamily(
    name="over_training",
    function=_over_training,
    inputs=("tokens_per_param", "flops"),
    coefficients=(
        floor("E"),
        amplitude("a", "size of the term in params, at one FLOP and one token per parameter"),
        amplitude("b", "size of the term in tokens"),
        exponent(
            "eta", (0.02, 0.8), meaning="the best tokens per parameter are (b / a)^(1 / 2eta)"
        ),
    ),
    formula=r"L = E + (a M^{\eta} + b M^{-\eta}) C^{-\eta}",
    reference="Gadre et al. 2024, arXiv:2403.08540, eq. 4",
    example={"E": 1.87, "a": 715.0, "b": 2040.0, "eta": 0.17635},
    aliases=("gadre", "overtraining"),
    rescale=_over_training_rescale,
)

_ROUNDS, _SETTLED = 40, 1e-12  # Newton from below: each round squares the error once small


def _log_loss(
    size: Any, steps: Any, log_critical: Any, alpha_S: Any, alpha_B: Any
) -> tuple[Any, Any, Any]:
    """Solve ``log L = log(size + steps (1 + critical L^-p)^alpha_S)``, whose right side falls.

    Also the share of the steps in the loss, and of noise in the steps.
    """
    log_loss, p = np.log(size + steps), 1.0 / alpha_B
    for _ in range(_ROUNDS):
        noisy = np.exp(log_critical - p * log_loss)
        slowed = steps * np.exp(alpha_S * np.log1p(noisy))
        share, noise = slowed / (size + slowed), noisy / (1.0 + noisy)
        gap = log_loss - np.log(size + slowed)
        log_loss = log_loss - gap / (1.0 + p * alpha_S * share * noise)
        if np.all(np.abs(gap) < _SETTLED * (1.0 + np.abs(log_loss))):
            break
    return log_loss, share, noise


def _kaplan_learning_curve(
    N: Any,
    S: Any,
    batch: Any,
    Nc: Any,
    alpha_N: Any,
    Sc: Any,
    alpha_S: Any,
    B_star: Any,
    alpha_B: Any,
) -> Any:
    size = np.exp(alpha_N * (np.log(Nc) - np.log(N)))
    steps = np.exp(alpha_S * (np.log(Sc) - np.log(S)))
    log_critical = np.log(B_star) - np.log(batch)
    return np.exp(_log_loss(size, steps, log_critical, alpha_S, alpha_B)[0])


def _kaplan_learning_curve_derivatives(
    N: Any,
    S: Any,
    batch: Any,
    Nc: Any,
    alpha_N: Any,
    Sc: Any,
    alpha_S: Any,
    B_star: Any,
    alpha_B: Any,
) -> tuple[Any, list[Any]]:
    """By the implicit function theorem."""
    log_n, log_s = np.log(Nc) - np.log(N), np.log(Sc) - np.log(S)
    log_critical = np.log(B_star) - np.log(batch)
    size, steps = np.exp(alpha_N * log_n), np.exp(alpha_S * log_s)
    log_loss, share, noise = _log_loss(size, steps, log_critical, alpha_S, alpha_B)
    loss = np.exp(log_loss)
    held = loss / (1.0 + alpha_S * share * noise / alpha_B)
    by_size, by_steps = held * (1.0 - share), held * share
    slower = np.log1p(np.exp(log_critical - log_loss / alpha_B))
    columns = [
        by_size * alpha_N / Nc,
        by_size * log_n,
        by_steps * alpha_S / Sc,
        by_steps * (log_s + slower),
        by_steps * alpha_S * noise / B_star,
        by_steps * alpha_S * noise * log_loss / alpha_B**2,
    ]
    return loss, columns


def _kaplan_learning_curve_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size, steps, batch = factors
    return {
        **coef,
        "Nc": coef["Nc"] * size,
        "Sc": coef["Sc"] * steps,
        "B_star": coef["B_star"] * batch,
    }


kaplan_learning_curve = LawFamily(
    name="kaplan_learning_curve",
    function=_kaplan_learning_curve,
    value_and_jacobian=_kaplan_learning_curve_derivatives,
    inputs=("params", "steps", "batch_size"),
    coefficients=(
        scale("Nc", (1e-3, 1e12), "model size at which its term alone gives 1"),
        exponent("alpha_N", (0.03, 0.5)),
        scale("Sc", (1e-4, 1e3), "steps at which their term alone gives 1"),
        exponent("alpha_S", (0.1, 1.5)),
        scale("B_star", (1e-2, 1e4), "critical batch size at a loss of 1"),
        exponent(
            "alpha_B", (0.08, 1.0), meaning="the critical batch size is B_star L^(-1/alpha_B)"
        ),
    ),
    formula=r"L = (N_c/N)^{\alpha_N} + (S_c/S_{min})^{\alpha_S},\ "
    r"S_{min} = S / (1 + B_* L^{-1/\alpha_B} / batch)",
    reference="Kaplan et al. 2020, arXiv:2001.08361, eq. 1.6 with eq. 5.4, solved for L",
    example={
        "Nc": 6.5e13,
        "alpha_N": 0.077,
        "Sc": 2.1e3,
        "alpha_S": 0.76,
        "B_star": 2e8,
        "alpha_B": 0.21,
    },
    rescale=_kaplan_learning_curve_rescale,
)


def _critical_batch(loss: Any, B_star: Any, rate: Any) -> Any:
    return B_star * np.exp(-rate * np.log(loss))


def _critical_batch_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return regrown(coef, ("B_star", coef["rate"], factors[0]))


critical_batch = LawFamily(
    name="critical_batch",
    function=_critical_batch,
    inputs=("training_loss",),
    coefficients=(
        amplitude("B_star", "critical batch size at a loss of 1"),
        exponent("rate", (0.5, 15.0), 30.0, "1 / alpha_B of the paper"),
    ),
    formula=r"batch_{crit} = B_* L^{-r}",
    reference="Kaplan et al. 2020, arXiv:2001.08361, eq. 1.4, with rate = 1 / alpha_B",
    example={"B_star": 2e8, "rate": 1 / 0.21},
    rescale=_critical_batch_rescale,
)


def _batch_trade_off(batch: Any, S_min: Any, B_crit: Any) -> Any:
    return S_min * (1.0 + B_crit / batch)


def _batch_trade_off_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {**coef, "B_crit": coef["B_crit"] * factors[0]}


batch_trade_off = LawFamily(
    name="batch_trade_off",
    function=_batch_trade_off,
    inputs=("batch_size",),
    coefficients=(
        amplitude("S_min", "steps that no batch size can save"),
        scale("B_crit", (1e-3, 1e3), "critical batch size: twice the steps, twice the examples"),
    ),
    formula=r"S = S_{min} (1 + B_{crit} / batch)",
    reference="McCandlish et al. 2018, arXiv:1812.06162, eq. 2.11",
    example={"S_min": 1e4, "B_crit": 1e6},
    aliases=("mccandlish",),
    rescale=_batch_trade_off_rescale,
)

_ORIGIN = 2020.0


def _algorithmic_progress(
    N: Any, D: Any, year: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, g_N: Any, g_D: Any
) -> Any:
    since = year - _ORIGIN
    size = A * np.exp(-alpha * (np.log(N) + g_N * since))
    return E + size + B * np.exp(-beta * (np.log(D) + g_D * since))


def _algorithmic_progress_derivatives(
    N: Any, D: Any, year: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, g_N: Any, g_D: Any
) -> tuple[Any, list[Any]]:
    since = year - _ORIGIN
    log_n, log_d = np.log(N) + g_N * since, np.log(D) + g_D * since
    unit_n, unit_d = np.exp(-alpha * log_n), np.exp(-beta * log_d)
    size, data = A * unit_n, B * unit_d
    value = E + size + data
    columns = [
        np.ones_like(value),
        unit_n,
        -log_n * size,
        unit_d,
        -log_d * data,
        -alpha * since * size,
        -beta * since * data,
    ]
    return value, columns


def _yearly(name: str, of: str) -> Coefficient:
    meaning = f"e-folds a year of what a {of} is worth"
    return Coefficient(name, "slope", -np.inf, np.inf, None, (-0.3, 1.0), meaning)


algorithmic_progress = LawFamily(
    name="algorithmic_progress",
    function=_algorithmic_progress,
    value_and_jacobian=_algorithmic_progress_derivatives,
    inputs=("params", "tokens", "year"),
    coefficients=(
        floor("E"),
        amplitude("A", "size of its term in 2020"),
        exponent("alpha"),
        amplitude("B", "size of its term in 2020"),
        exponent("beta"),
        _yearly("g_N", "parameter"),
        _yearly("g_D", "token"),
    ),
    formula=r"L = E + A (N e^{g_N (year - 2020)})^{-\alpha} + B (D e^{g_D (year - 2020)})^{-\beta}",
    reference="Ho et al. 2024, arXiv:2403.05812, eq. 3",
    example={
        "E": 1.7,
        "A": 480.0,
        "alpha": 0.35,
        "B": 2e3,
        "beta": 0.37,
        "g_N": 0.15,
        "g_D": 0.5,
    },
    rescale=additive_rescale,
    units=("params", "tokens", ""),
)


FAMILIES = (
    over_training,
    kaplan_learning_curve,
    critical_batch,
    batch_trade_off,
    algorithmic_progress,
)
