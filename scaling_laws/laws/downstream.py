"""Laws of what a model can do: from its loss on the same task, or from its size and data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_laws.laws import elementary
from scaling_laws.laws.family import (
    Coefficient,
    Coefs,
    LawFamily,
    amplitude,
    exponent,
    plateau,
    scale,
)


def _logistic(x: Any, chance: Any, best: Any, middle: Any, k: Any) -> Any:
    return chance + (best - chance) * elementary.logistic(k * (middle - x))


def _logistic_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {**coef, "middle": coef["middle"] * factors[0], "k": coef["k"] / factors[0]}


logistic = LawFamily(
    name="logistic",
    function=_logistic,
    inputs=("task_loss",),
    coefficients=(
        plateau("chance", "level at high loss"),
        plateau("best", "level at low loss"),
        scale("middle", (0.3, 3.0), "loss half-way between the levels"),
        scale("k", (1.0, 50.0), "steepness"),
    ),
    formula=r"y = chance + \frac{best - chance}{1 + e^{k (x - middle)}}",
    reference="Bhagia et al. 2024, arXiv:2412.04403, step 2",
    example={"chance": 0.25, "best": 0.95, "middle": 0.8, "k": 6.0},
    aliases=("sigmoid", "accuracy_from_loss"),
    rescale=_logistic_rescale,
)


def _log_sigmoid(x: Any, a: Any, c: Any, middle: Any, k: Any) -> Any:
    return 1.0 + a * np.log(c + elementary.logistic(k * (middle - x)))


log_sigmoid = LawFamily(
    name="log_sigmoid",
    function=_log_sigmoid,
    inputs=("task_loss",),
    coefficients=(
        Coefficient(
            "a",
            "amplitude",
            0.0,
            10.0,
            "target",
            None,
            "drop for each e-fold of the logistic term",
        ),
        Coefficient(
            "c",
            "shape",
            1e-6,
            1.0,
            None,
            (0.01, 1.0),
            "what keeps the drop finite: the lowest level is 1 + a ln c",
        ),
        scale("middle", (1e-2, 3.0), "loss at the bend"),
        scale("k", (1e-3, 50.0), "steepness"),
    ),
    formula=r"y = 1 + a \ln\left(c + \frac{1}{1 + e^{k (x - middle)}}\right)",
    reference="Bhagia et al. 2024, arXiv:2412.04403, code of step 2 (log-sigmoid)",
    example={"a": 0.25, "c": 0.05, "middle": 0.8, "k": 6.0},
    rescale=_logistic_rescale,
)


def _loss_to_error(x: Any, chance: Any, k: Any, gamma: Any) -> Any:
    return chance - k * np.exp(-gamma * x)


def _loss_to_error_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {**coef, "gamma": coef["gamma"] / factors[0]}


loss_to_error = LawFamily(
    name="loss_to_error",
    function=_loss_to_error,
    inputs=("task_loss",),
    coefficients=(
        plateau("chance", "error at high loss"),
        amplitude("k", "how far the error lies below that, at no loss"),
        scale("gamma", (0.05, 20.0), "rate"),
    ),
    formula=r"y = chance - k\, e^{-\gamma x}",
    reference="Gadre et al. 2024, arXiv:2403.08540, eq. 5",
    example={"chance": 0.83, "k": 0.7, "gamma": 0.9},
    aliases=("error_from_loss",),
    rescale=_loss_to_error_rescale,
)


def _logistic_joint(
    N: Any, D: Any, chance: Any, best: Any, c: Any, A: Any, alpha: Any, B: Any, beta: Any
) -> Any:
    short = A * np.exp(-alpha * np.log(N)) + B * np.exp(-beta * np.log(D))
    return chance + (best - chance) * elementary.logistic(c - short)


logistic_joint = LawFamily(
    name="logistic_joint",
    function=_logistic_joint,
    inputs=("params", "tokens"),
    coefficients=(
        plateau("chance", "level of small models"),
        plateau("best", "highest level there is"),
        Coefficient("c", "shape", -20.0, 20.0, None, (-2.0, 6.0), "logit of large models"),
        scale("A", (0.1, 20.0)),
        exponent("alpha"),
        scale("B", (0.1, 20.0)),
        exponent("beta"),
    ),
    formula=(
        r"y = chance + \frac{best - chance}{1 + e^{A N^{-\alpha} + B D^{-\beta} - c}}"
    ),
    reference="Bhagia et al. 2024, arXiv:2412.04403, single-step variant",
    example={
        "chance": 0.25, "best": 0.95, "c": 3.0, "A": 300.0, "alpha": 0.25, "B": 300.0, "beta": 0.22,
    },
    aliases=("single_step",),
    rescale=elementary.additive_rescale,
)  # fmt: skip

FAMILIES = (logistic, log_sigmoid, loss_to_error, logistic_joint)
