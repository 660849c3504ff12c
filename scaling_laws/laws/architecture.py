"""Laws of a model's shape: width and depth, granularity of experts, weights that are zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scaling_laws.laws.elementary import regrown
from scaling_laws.laws.family import Coefs, LawFamily, amplitude, exponent, floor
from scaling_laws.laws.generic import additive_power

width_depth = replace(
    additive_power.bind(("width", "depth", "params", "tokens")),
    name="width_depth",
    formula=r"L = E + A_w w^{-\alpha_w} + A_d d^{-\alpha_d} + A_N N^{-\alpha_N} "
    r"+ A_D D^{-\alpha_D}",
    reference="McLeish et al. 2025, arXiv:2502.06857, width-depth law",
    example={
        "E": 1.9,
        "A_width": 40.0,
        "alpha_width": 0.6,
        "A_depth": 1.2,
        "alpha_depth": 0.7,
        "A_params": 150.0,
        "alpha_params": 0.3,
        "A_tokens": 2e3,
        "alpha_tokens": 0.37,
    },
    aliases=("gemstones",),
    candidate=False,
)


def _granularity(
    N: Any,
    D: Any,
    G: Any,
    E: Any,
    g: Any,
    gamma: Any,
    a: Any,
    alpha: Any,
    b: Any,
    beta: Any,
) -> Any:
    log_n = np.log(N)
    coarse = g * np.exp(-gamma * np.log(G) - alpha * log_n)
    return E + coarse + a * np.exp(-alpha * log_n) + b * np.exp(-beta * np.log(D))


def _granularity_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size, data, fineness = factors
    return regrown(
        coef,
        ("g", coef["gamma"], fineness),
        ("g", coef["alpha"], size),
        ("a", coef["alpha"], size),
        ("b", coef["beta"], data),
    )


granularity = LawFamily(
    name="granularity",
    function=_granularity,
    inputs=("params", "tokens", "granularity"),
    coefficients=(
        floor("E"),
        amplitude("g", "what coarse experts add to the term in size"),
        exponent("gamma", (0.05, 2.0)),
        amplitude("a", "size of the term in size, for the finest experts"),
        exponent("alpha", (0.02, 1.0)),
        amplitude("b"),
        exponent("beta", (0.02, 1.0)),
    ),
    formula=r"L = E + (g G^{-\gamma} + a) N^{-\alpha} + b D^{-\beta}",
    reference="Krajewski et al. 2024, arXiv:2402.07871, eq. 9 and table 1",
    example={
        "E": 0.47,
        "g": 2.1,
        "gamma": 0.58,
        "a": 18.1,
        "alpha": 0.115,
        "b": 30.8,
        "beta": 0.147,
    },
    aliases=("krajewski",),
    rescale=_granularity_rescale,
)

sparse_weights = replace(
    granularity.bind(("params", "tokens", "sparsity_ratio")),
    name="sparse_weights",
    coefficients=(
        floor("E"),
        amplitude("g", "what a dense model has more than a very sparse one"),
        exponent("gamma", (0.05, 2.0)),
        amplitude("a", "size of the term in weights, for very sparse models"),
        exponent("alpha", (0.02, 1.0)),
        amplitude("b"),
        exponent("beta", (0.02, 1.0)),
    ),
    formula=r"L = E + (g R^{-\gamma} + a) N^{-\alpha} + b D^{-\beta},\ R = 1 / (1 - S)",
    reference="Frantar et al. 2023, arXiv:2309.08520, eq. 1; N counts weights that are not zero, "
    "and the ratio of all weights to these is 1 / (1 - sparsity)",
    example={
        "E": 0.65,
        "g": 16.8,
        "gamma": 0.72,
        "a": 45.0,
        "alpha": 0.245,
        "b": 62.0,
        "beta": 0.203,
    },
    aliases=("frantar",),
)

FAMILIES = (width_depth, granularity, sparse_weights)
