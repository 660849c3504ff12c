"""Laws of the proportions of a data mixture: any number of domains, one loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_laws.laws.elementary import regrown
from scaling_laws.laws.family import (
    Coefficient,
    Coefs,
    LawFamily,
    amplitude,
    exponent,
    floor,
    plateau,
    scale,
    slope,
)

_Built = tuple[tuple[Coefficient, ...], dict[str, float]]
_DOMAINS = ("web", "code", "books")


def _share_power(share: Any, rate: Any) -> Any:
    """Share to a power; nothing of a domain that is left out."""
    present = np.asarray(share) > 0
    return np.where(present, np.exp(rate * np.log(np.where(present, share, 1.0))), 0.0)


def _mixture_exponential(*values: Any) -> Any:
    n = (len(values) - 1) // 2
    shares, low, rates = values[:n], values[n], values[n + 1 :]
    return low + np.exp(sum(t * r for t, r in zip(rates, shares, strict=True)))


def _mixture_exponential_build(inputs: tuple[str, ...]) -> _Built:
    rates = tuple(
        Coefficient(f"t_{n}", "slope", -np.inf, np.inf, None, (-4.0, 3.0), f"log gap on {n} alone")
        for n in inputs
    )
    example = {f"t_{n}": 0.9 - 0.8 * i for i, n in enumerate(inputs)}
    return (floor("c"), *rates), {"c": 1.6} | example


mixture_exponential = LawFamily(
    name="mixture_exponential",
    function=_mixture_exponential,
    inputs=_DOMAINS,
    build=_mixture_exponential_build,
    formula=r"L = c + \exp(\sum_j t_j r_j)",
    reference="Ye et al. 2024, arXiv:2403.16952, eq. 7, with ln k added to every t: proportions "
    "sum to one",
    aliases=("data_mixing",),
    input_domain="fraction",
)


def _mixture_additive(*values: Any) -> Any:
    n = (len(values) - 2) // 2
    shares, base, rate, weights = values[:n], values[n], values[n + 1], values[n + 2 :]
    return base + sum(w * _share_power(r, rate) for w, r in zip(weights, shares, strict=True))


def _mixture_additive_build(inputs: tuple[str, ...]) -> _Built:
    rate = Coefficient("alpha", "exponent", 0.05, 3.0, None, (0.1, 0.8), "1 is a linear mixture")
    weights = tuple(slope(f"w_{n}", "target", f"change from {n} alone") for n in inputs)
    example = {f"w_{n}": 0.4 - 0.3 * i for i, n in enumerate(inputs)}
    return (plateau("b"), rate, *weights), {"b": 3.2, "alpha": 0.35} | example


mixture_additive = LawFamily(
    name="mixture_additive",
    function=_mixture_additive,
    inputs=_DOMAINS,
    build=_mixture_additive_build,
    formula=r"L = b + \sum_j w_j r_j^{\alpha}",
    reference="Li et al. 2026, arXiv:2604.22753, domain-mixture law 5, with one exponent",
    input_domain="fraction",
)


def _mixture_inverse(*values: Any) -> Any:
    n = (len(values) - 2) // 2
    shares, low, rate, worths = values[:n], values[n], values[n + 1], values[n + 2 :]
    total = sum(c * _share_power(r, rate) for c, r in zip(worths, shares, strict=True))
    return low + 1.0 / total


def _mixture_inverse_build(inputs: tuple[str, ...]) -> _Built:
    rate = Coefficient("gamma", "exponent", 0.02, 3.0, None, (0.05, 1.5))
    worths = tuple(scale(f"C_{n}", (0.03, 30.0), f"1 / gap on {n} alone") for n in inputs)
    example = {f"C_{n}": 0.4 * 2.5**i for i, n in enumerate(inputs)}
    return (floor("E"), rate, *worths), {"E": 1.6, "gamma": 0.5} | example


mixture_inverse = LawFamily(
    name="mixture_inverse",
    function=_mixture_inverse,
    inputs=_DOMAINS,
    build=_mixture_inverse_build,
    formula=r"L = E + 1 / \sum_j C_j r_j^{\gamma}",
    reference="Shukor et al. 2025, arXiv:2507.09404, eq. 2.4 at one size, with one exponent",
    aliases=("optimal_mixture",),
    input_domain="fraction",
)


def _mixture_own(*values: Any) -> Any:
    n = (len(values) - 2) // 2
    shares, size, offset, rates = values[:n], values[n], values[n + 1], values[n + 2 :]
    others = sum((w * r for w, r in zip(rates[1:], shares[1:], strict=True)), 0.0)
    return size * np.exp(others - rates[0] * np.log(shares[0] + offset))


def _mixture_own_build(inputs: tuple[str, ...]) -> _Built:
    own, *others = inputs
    rates = (
        Coefficient(f"alpha_{own}", "exponent", -3.0, 3.0, "log", None, "gain from its own share"),
        *(slope(f"w_{n}", meaning=f"log change by {n} alone") for n in others),
    )
    offset = Coefficient(
        "share_0", "scale", 1e-5, 10.0, None, (1e-3, 1.0), "share that the others amount to"
    )
    example = {"A": 2.2, "share_0": 0.05, f"alpha_{own}": 0.12}
    example |= {f"w_{n}": 0.1 - 0.15 * i for i, n in enumerate(others)}
    return (amplitude("A"), offset, *rates), example


mixture_own = LawFamily(
    name="mixture_own",
    function=_mixture_own,
    inputs=_DOMAINS,
    build=_mixture_own_build,
    formula=r"L = A (r_1 + r_0)^{-\alpha} \exp(\sum_{j > 1} w_j r_j)",
    reference="Li et al. 2026, arXiv:2604.22753, domain-mixture law 2; the first domain is the one "
    "that the loss is measured on",
    input_domain="fraction",
)


def _bimix(r: Any, S: Any, B: Any, beta: Any, C: Any, alpha: Any) -> Any:
    return np.exp(-alpha * np.log(r)) * (B * np.exp(-beta * np.log(S)) + C)


def _bimix_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    share, steps = factors
    return regrown(
        coef,
        ("B", coef["beta"], steps),
        ("B", coef["alpha"], share),
        ("C", coef["alpha"], share),
    )


bimix = LawFamily(
    name="bimix",
    function=_bimix,
    inputs=("proportion", "steps"),
    coefficients=(
        amplitude("B"),
        exponent("beta", (0.05, 1.5)),
        amplitude("C", "limit of many steps on this domain alone"),
        exponent("alpha", (0.01, 0.8), meaning="gain from the domain's own share"),
    ),
    formula=r"L = r^{-\alpha} (B S^{-\beta} + C)",
    reference="Ge et al. 2024, arXiv:2405.14908, with their A in B and C",
    example={"B": 30.0, "beta": 0.35, "C": 1.8, "alpha": 0.06},
    rescale=_bimix_rescale,
)

FAMILIES = (
    mixture_exponential,
    mixture_additive,
    mixture_inverse,
    mixture_own,
    bimix,
)
