"""Laws of test-time compute: what several attempts at a problem are worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_laws.laws.elementary import grown
from scaling_laws.laws.family import Coefficient, Coefs, LawFamily, exponent, shape


def _repeated_sampling(k: Any, a: Any, b: Any) -> Any:
    return np.exp(-a * np.exp(-b * np.log(k)))


def _repeated_sampling_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {**coef, "a": grown(coef["a"], coef["b"], factors[0])}


repeated_sampling = LawFamily(
    name="repeated_sampling",
    function=_repeated_sampling,
    inputs=("attempts",),
    coefficients=(
        Coefficient(
            "a", "amplitude", 0.0, np.inf, "log", None, "minus the logarithm at one attempt"
        ),
        exponent("b"),
    ),
    formula=r"y = \exp(-a k^{-b})",
    reference="Brown et al. 2024, arXiv:2407.21787, coverage with signs turned",
    example={"a": 1.6, "b": 0.35},
    aliases=("coverage", "pass_at_k"),
    rescale=_repeated_sampling_rescale,
)


def _log_missed(k: Any, a: Any, b: Any) -> Any:
    from scipy.special import betaln

    return betaln(a, b + k) - betaln(a, b)


def _repeated_sampling_beta(k: Any, a: Any, b: Any) -> Any:
    return -np.expm1(_log_missed(k, a, b))


def _repeated_sampling_beta_derivatives(k: Any, a: Any, b: Any) -> tuple[Any, list[Any]]:
    from scipy.special import digamma

    log_missed = _log_missed(k, a, b)
    missed = np.exp(log_missed)
    by_both = digamma(a + b) - digamma(a + b + k)
    return -np.expm1(log_missed), [
        -missed * by_both,
        -missed * (by_both + digamma(b + k) - digamma(b)),
    ]


repeated_sampling_beta = LawFamily(
    name="repeated_sampling_beta",
    function=_repeated_sampling_beta,
    value_and_jacobian=_repeated_sampling_beta_derivatives,
    analytic=False,
    inputs=("attempts",),
    coefficients=(
        shape("a", (0.05, 5.0), np.inf, "exponent of the share still missed after many attempts"),
        shape("b", (0.1, 1e3), np.inf, "a / (a + b) is solved at the first attempt"),
    ),
    formula=r"y = 1 - B(a, b + k) / B(a, b)",
    reference="Attempts succeed with a chance that is Beta(a, b) over problems; Schaeffer et al. "
    "2025, arXiv:2502.17578, for its power tail",
    example={"a": 0.4, "b": 3.0},
    aliases=("coverage_beta",),
)

FAMILIES = (repeated_sampling, repeated_sampling_beta)
