"""Laws of fine-tuning a model that has learned from other data."""

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
    scale,
    signed_exponent,
)
from scaling_laws.laws.joint import kaplan_from_solved


def _worth(log_n: Any, log_d: Any, k: Any, delta: Any, nu: Any) -> Any:
    """Fine-tuning data and what the other data are worth, in tokens."""
    return np.exp(log_d) + np.exp(np.log(k) + delta * log_d + nu * log_n)


def _transfer(
    N: Any,
    D: Any,
    Nc: Any,
    alpha_N: Any,
    Dc: Any,
    alpha_D: Any,
    k: Any,
    delta: Any,
    nu: Any,
) -> Any:
    log_n = np.log(N)
    worth = _worth(log_n, np.log(D), k, delta, nu)
    ratio = np.exp(alpha_N / alpha_D * (np.log(Nc) - log_n)) + Dc / worth
    return np.exp(alpha_D * np.log(ratio))


def _transfer_solved(
    N: Any,
    D: Any,
    Nc: Any,
    alpha_N: Any,
    Dc: Any,
    alpha_D: Any,
    k: Any,
    delta: Any,
    nu: Any,
) -> Any:
    log_n = np.log(N)
    worth = _worth(log_n, np.log(D), k, delta, nu)
    return Nc * np.exp(alpha_D * np.log(np.exp(-alpha_N * log_n) + Dc / worth))


def _transfer_from_solved(coef: Coefs) -> dict[str, Any]:
    """From ``Nc (N^-alpha_N + Dc / D')^alpha_D``, an amplitude that can be solved for."""
    return {**coef, **kaplan_from_solved(coef)}


def _transfer_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size, data = factors
    k = grown(coef["k"], -coef["nu"], size)
    return {
        **coef,
        "Nc": coef["Nc"] * size,
        "Dc": coef["Dc"] * data,
        "k": grown(k, 1.0 - coef["delta"], data),
    }


_OTHER_DATA = (
    scale("k", (1e-3, 1e3), "what the other data are worth, to one parameter and one token"),
    Coefficient("delta", "exponent", -1.0, 1.0, None, (-0.2, 0.8), "how this grows with the data"),
    signed_exponent("nu", (-0.2, 1.0), "how this grows with the size"),
)
transfer = LawFamily(
    name="transfer",
    function=_transfer,
    inputs=("params", "tokens"),
    coefficients=(
        scale("Nc", (1e-3, 1e12), "model size at which its term alone gives 1"),
        exponent("alpha_N", (0.02, 1.0)),
        scale("Dc", (1e-3, 1e12), "data at which its term alone gives 1"),
        exponent("alpha_D", (0.02, 1.0)),
        *_OTHER_DATA,
    ),
    formula=r"L = \left[(N_c/N)^{\alpha_N/\alpha_D} + D_c/(D + D_T)\right]^{\alpha_D},\ "
    r"D_T = k D^{\delta} N^{\nu}",
    reference="Hernandez et al. 2021, arXiv:2102.01293, eq. 1.1, in eq. 1.5 of arXiv:2001.08361",
    example={
        "Nc": 6.4e13,
        "alpha_N": 0.076,
        "Dc": 1.8e13,
        "alpha_D": 0.103,
        "k": 1.9e4,
        "delta": 0.18,
        "nu": 0.38,
    },
    aliases=("effective_data_transferred",),
    rescale=_transfer_rescale,
    solve_as=LawFamily(
        name="transfer_solved",
        function=_transfer_solved,
        inputs=("params", "tokens"),
        coefficients=(
            amplitude("Nc"),
            exponent("alpha_N", (0.1, 2.5), 10.0),
            scale("Dc", (1e-4, 1e4)),
            exponent("alpha_D", (0.02, 1.0)),
            *_OTHER_DATA,
        ),
    ),
    from_solved=_transfer_from_solved,
)

FAMILIES = (transfer,)
