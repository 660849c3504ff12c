"""Laws of choices in a training recipe: streams, vocabulary, sparsity, teacher, learning rate."""

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
    plateau,
    scale,
    shape,
    signed_exponent,
)


def _size_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {**coef, "A": grown(coef["A"], coef["alpha"], factors[0])}


def _parallel_streams(N: Any, P: Any, E: Any, A: Any, alpha: Any, k: Any) -> Any:
    return E + A * np.exp(-alpha * (np.log(N) + np.log(1.0 + k * np.log(P))))


parallel_streams = LawFamily(
    name="parallel_streams",
    function=_parallel_streams,
    inputs=("params", "streams"),
    coefficients=(
        floor("E"),
        amplitude("A"),
        exponent("alpha", (0.02, 1.0)),
        shape("k", (0.02, 2.0), meaning="gain in effective size per e-fold of streams"),
    ),
    formula=r"L = E + A (N (1 + k \ln P))^{-\alpha}",
    reference="Chen et al. 2025, arXiv:2505.10475, with A for their A^alpha",
    example={"E": 1.29, "A": 42.0, "alpha": 0.196, "k": 0.334},
    aliases=("parscale",),
    rescale=_size_rescale,
    units=("params", ""),
    candidate=True,
)


def _vocabulary(
    N: Any, V: Any, D: Any, E: Any, A: Any, alpha: Any, A_v: Any, alpha_v: Any, B: Any, beta: Any
) -> Any:
    size, words = A * np.exp(-alpha * np.log(N)), A_v * np.exp(-alpha_v * np.log(V))
    return E + size + words + B * np.exp(-beta * np.log(D))


def _vocabulary_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {
        **_size_rescale(coef, factors),
        "A_v": grown(coef["A_v"], coef["alpha_v"], factors[1]),
        "B": grown(coef["B"], coef["beta"], factors[2]),
    }


vocabulary = LawFamily(
    name="vocabulary",
    function=_vocabulary,
    inputs=("params", "vocab_size", "tokens"),
    coefficients=(
        plateau("E", "limit; negative where the loss is relative to a unigram model"),
        amplitude("A"),
        exponent("alpha"),
        amplitude("A_v"),
        exponent("alpha_v"),
        amplitude("B"),
        exponent("beta"),
    ),
    formula=r"L = E + A N^{-\alpha} + A_v V^{-\alpha_v} + B D^{-\beta}",
    reference="Tao et al. 2024, arXiv:2407.13623, with the embedding width in A_v",
    example={
        "E": 0.4,
        "A": 880.0,
        "alpha": 0.447,
        "A_v": 400.0,
        "alpha_v": 0.671,
        "B": 2.2e4,
        "beta": 0.447,
    },
    rescale=_vocabulary_rescale,
    candidate=True,
)


def _vocabulary_product(
    N: Any, V: Any, D: Any, E: Any, A: Any, alpha: Any, mu: Any, B: Any, beta: Any, nu: Any
) -> Any:
    log_v = np.log(V)
    size = A * np.exp(-alpha * np.log(N) - mu * log_v)
    return E + size + B * np.exp(-beta * np.log(D) - nu * log_v)


def _vocabulary_product_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size = grown(coef["A"], coef["alpha"], factors[0])
    data = grown(coef["B"], coef["beta"], factors[2])
    return {
        **coef,
        "A": grown(size, coef["mu"], factors[1]),
        "B": grown(data, coef["nu"], factors[1]),
    }


vocabulary_product = LawFamily(
    name="vocabulary_product",
    function=_vocabulary_product,
    inputs=("params", "vocab_size", "tokens"),
    coefficients=(
        plateau("E", "limit; negative where the loss is relative to a unigram model"),
        amplitude("A"),
        exponent("alpha"),
        signed_exponent("mu", (-0.4, 0.4), "how a larger vocabulary lowers the term in size"),
        amplitude("B"),
        exponent("beta"),
        signed_exponent("nu", (-0.4, 0.4), "how a larger vocabulary lowers the term in data"),
    ),
    formula=r"L = E + A N^{-\alpha} V^{-\mu} + B D^{-\beta} V^{-\nu}",
    reference="Li et al. 2026, arXiv:2604.22753, vocabulary law 6, exponents of V multiplied out",
    example={
        "E": 0.4,
        "A": 600.0,
        "alpha": 0.4,
        "mu": -0.05,
        "B": 3e4,
        "beta": 0.45,
        "nu": 0.03,
    },
    rescale=_vocabulary_product_rescale,
    candidate=True,
)


def _sparsity(N: Any, S: Any, E: Any, A: Any, alpha: Any, beta: Any, c: Any) -> Any:
    log_n, log_s = np.log(N), np.log(S)
    return E + A * np.exp(-alpha * log_n - beta * log_s + c * log_n * log_s)


def _sparsity_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size, ratio = np.log(factors[0]), np.log(factors[1])
    moved = coef["alpha"] * size + coef["beta"] * ratio + coef["c"] * size * ratio
    return {
        **coef,
        "A": coef["A"] * np.exp(moved),
        "alpha": coef["alpha"] + coef["c"] * ratio,
        "beta": coef["beta"] + coef["c"] * size,
    }


sparsity = LawFamily(
    name="sparsity",
    function=_sparsity,
    inputs=("params", "sparsity_ratio"),
    coefficients=(
        floor("E"),
        amplitude("A"),
        signed_exponent("alpha", (0.02, 1.0)),
        signed_exponent("beta", (0.01, 0.5)),
        signed_exponent("c", (-0.1, 0.1), "how much less large models gain from sparsity"),
    ),
    formula=r"L = E + A N^{-\alpha} S^{-\beta} e^{c \ln N \ln S}",
    reference="Li et al. 2026, arXiv:2604.22753, sparsity laws 1 and (c = 0) 2",
    example={"E": 1.5, "A": 60.0, "alpha": 0.2, "beta": 0.4, "c": 0.012},
    rescale=_sparsity_rescale,
    candidate=True,
)


def _rectified(x: Any, E: Any, B: Any, D_l: Any, beta: Any) -> Any:
    return E + B / (D_l + np.exp(beta * np.log(x)))


def _rectified_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {
        **coef,
        "B": grown(coef["B"], coef["beta"], factors[0]),
        "D_l": grown(coef["D_l"], coef["beta"], factors[0]),
    }


rectified = LawFamily(
    name="rectified",
    function=_rectified,
    inputs=("samples",),
    coefficients=(
        floor("E"),
        amplitude("B"),
        scale("D_l", (1e-2, 1e2), "what pre-training was worth, in samples to the power beta"),
        exponent("beta", (0.05, 1.5)),
    ),
    formula=r"L = E + \frac{B}{D_l + x^{\beta}}",
    reference="Lin et al. 2024, arXiv:2402.02314, rectified law",
    example={"E": 1.9, "B": 900.0, "D_l": 400.0, "beta": 0.75},
    aliases=("fine_tuning", "pre_learned_data"),
    rescale=_rectified_rescale,
)


def _distillation(
    N: Any, D: Any, T: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, K: Any, c0: Any, f: Any
) -> Any:
    gap = A * np.exp(-alpha * np.log(N)) + B * np.exp(-beta * np.log(D))
    log_t = np.log(T)
    behind = np.exp((log_t - np.log(E + gap)) / f)
    return T + K * gap * np.exp(-c0 * log_t - behind)


def _distillation_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    data = grown(coef["B"], coef["beta"], factors[1])
    return {**_size_rescale(coef, factors), "B": data}


distillation = LawFamily(
    name="distillation",
    function=_distillation,
    inputs=("params", "tokens", "teacher_loss"),
    coefficients=(
        Coefficient(
            "E", "shape", 0.0, np.inf, None, (0.5, 2.5), "where the student alone would end"
        ),
        scale("A", (0.03, 3.0)),
        exponent("alpha", (0.1, 0.8)),
        scale("B", (0.03, 3.0)),
        exponent("beta", (0.1, 0.8)),
        amplitude("K", "share of the student's own gap that a good teacher leaves"),
        Coefficient("c0", "exponent", -10.0, 10.0, None, (-1.0, 4.0), "gain from a weak teacher"),
        Coefficient("f", "shape", 0.01, 10.0, None, (0.02, 0.5), "width of the turn"),
    ),
    formula=r"L = L_T + K g L_T^{-c_0} \exp(-(L_T / (E + g))^{1/f}),\ "
    r"g = A N^{-\alpha} + B D^{-\beta}",
    reference="Busbridge et al. 2025, arXiv:2502.08606, eq. 8, in the limit of large c_1 and with "
    "one g for both of its sums",
    example={
        "E": 1.43,
        "A": 92.0,
        "alpha": 0.262,
        "B": 56.0,
        "beta": 0.217,
        "K": 2.7,
        "c0": 1.89,
        "f": 0.113,
    },
    rescale=_distillation_rescale,
    units=("params", "tokens", ""),
    candidate=True,
)


def _learning_rate_batch(
    lr: Any,
    batch: Any,
    N: Any,
    D: Any,
    E: Any,
    A: Any,
    alpha: Any,
    B: Any,
    beta: Any,
    H: Any,
    k: Any,
    a: Any,
    b: Any,
    H_batch: Any,
    k_batch: Any,
    c: Any,
) -> Any:
    log_n, log_d = np.log(N), np.log(D)
    rate = np.log(lr) - np.log(k) - a * log_n - b * log_d
    size = np.log(batch) - np.log(k_batch) - c * log_d
    base = E + A * np.exp(-alpha * log_n) + B * np.exp(-beta * log_d)
    return base + H * rate * rate + H_batch * size * size


def _learning_rate_batch_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    lr, batch, size, data = factors
    k = grown(coef["k"], -coef["a"], size)
    return {
        **coef,
        "A": grown(coef["A"], coef["alpha"], size),
        "B": grown(coef["B"], coef["beta"], data),
        "k": grown(k, -coef["b"], data) * lr,
        "k_batch": grown(coef["k_batch"], -coef["c"], data) * batch,
    }


learning_rate_batch = LawFamily(
    name="learning_rate_batch",
    function=_learning_rate_batch,
    inputs=("learning_rate", "batch_size", "params", "tokens"),
    coefficients=(
        floor("E"),
        amplitude("A"),
        exponent("alpha"),
        amplitude("B"),
        exponent("beta"),
        amplitude("H", "loss per squared e-fold of learning rate away from the best"),
        scale("k", (0.2, 5.0), "best learning rate at one parameter and token"),
        signed_exponent("a", (-1.2, 0.2), "best learning rate per e-fold of size"),
        signed_exponent("b", (-0.3, 0.8), "best learning rate per e-fold of data"),
        amplitude("H_batch", "loss per squared e-fold of batch size away from the best"),
        scale("k_batch", (0.2, 5.0), "best batch size at one token"),
        signed_exponent("c", (0.0, 1.0), "best batch size per e-fold of data"),
    ),
    formula=r"L = E + A N^{-\alpha} + B D^{-\beta} + H \ln^{2}(\eta / \eta_{opt}) "
    r"+ H_{batch} \ln^{2}(batch / batch_{opt}),\ \eta_{opt} = k N^{a} D^{b},\ "
    r"batch_{opt} = k_{batch} D^{c}",
    reference="Li et al. 2025, arXiv:2503.04715, for the optima; parabolas around them",
    example={
        "E": 1.7,
        "A": 110.0,
        "alpha": 0.3,
        "B": 3e3,
        "beta": 0.4,
        "H": 0.03,
        "k": 1.79,
        "a": -0.713,
        "b": 0.307,
        "H_batch": 0.01,
        "k_batch": 0.58,
        "c": 0.571,
    },
    aliases=("step_law",),
    rescale=_learning_rate_batch_rescale,
    candidate=True,
)

FAMILIES = (
    parallel_streams,
    vocabulary,
    vocabulary_product,
    sparsity,
    rectified,
    distillation,
    learning_rate_batch,
)
