"""Rows of `test_laws.FORMULAS` for laws of several inputs: the formula as its paper writes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def _worth(experts: Any, start: float, most: float) -> Any:
    return 1 / (1 / (experts - 1 + 1 / (1 / start - 1 / most)) + 1 / most)


def _experts_joint(
    N: Any, D: Any, X: Any, c: float, a: float, al: float, de: float, ga: float, b: float,
    be: float, om: float, ze: float, start: float, most: float,
) -> Any:  # fmt: skip
    x = _worth(X, start, most)
    return a * x**de * N ** (-al + ga * np.log(x)) + b * x**om * D ** (-be + ze * np.log(x)) + c


def _decay(
    N: Any, D: Any, U: Any, E: float, A: float, a: float, B: float, b: float, ds: float, ns: float
) -> Any:
    U = np.minimum(U, D)
    G = (a * A / (b * B)) ** (1 / (a + b))
    UN = np.minimum(N, G * (U * G) ** (b / a))
    size = N ** (-a * np.maximum(0, 1 - (N / UN - 1) / ns))
    return E + A * size + B * D ** (-b * np.maximum(0, 1 - (D / U - 1) / ds))


def _ratio(
    N: Any, D: Any, U: Any, E: float, A: float, B: float, a: float, rho: float, rd: float, rn: float
) -> Any:
    U = np.minimum(U, D)
    UN = np.minimum(rho * U, N)
    size = UN + UN * rn * (1 - np.exp(-(N / UN - 1) / rn))
    return E + A * size ** (-a) + B * (U + U * rd * (1 - np.exp(-(D / U - 1) / rd))) ** (-a)


def _half_life(U: Any, passes: Any, d: float, a: float, b: float, tau: float) -> Any:
    """A pass at a time, each with the exponent it has left."""
    out = []
    for tokens, unique in zip(*np.broadcast_arrays(U * passes, U), strict=True):
        seen = min(tokens, unique)
        loss, k = a * seen ** (-b), 1
        while seen < tokens:
            further = min((k + 1) * unique, tokens)
            loss *= (further / seen) ** (-b * 0.5 ** (k / tau))
            seen, k = further, k + 1
        out.append(d + loss)
    return np.array(out)


def _learning_curve(
    N: Any, S: Any, B: Any, Nc: float, aN: float, Sc: float, aS: float, Bs: float, aB: float
) -> Any:
    """By bisection in the logarithm of the loss."""
    low, high = np.full(np.shape(N), -30.0), np.full(np.shape(N), 60.0)
    for _ in range(200):
        middle = (low + high) / 2
        critical = Bs / np.exp(middle) ** (1 / aB)
        right = np.log((Nc / N) ** aN + (Sc / (S / (1 + critical / B))) ** aS)
        low, high = np.where(middle < right, middle, low), np.where(middle < right, high, middle)
    return np.exp(low)


JOINT: dict[str, Callable[..., Any]] = {
    "chinchilla_tied": lambda N, D, E, A, B, a: E + A * N ** (-a) + B * D ** (-a),
    "bottleneck": lambda N, D, E, A, a, B, b: E + np.maximum(A * N ** (-a), B * D ** (-b)),
    "envelope": lambda N, D, e0, a, al, b, be, c: (
        e0
        * np.abs(
            (a * N ** (-al) + b * D ** (-be) + c) / ((a * N ** (-al) + b * D ** (-be) + c) - 1j)
        )
    ),
    "farseer": lambda N, D, s, q, S, B, b, Q, A, a, F: (
        np.exp(s * N**q + S) + np.exp(B * N**b + Q) * D ** (-np.exp(A * N**a + F))
    ),
    "repeated_data_decay": _decay,
    "repeated_data_ratio": _ratio,
    "repeated_data_limit": lambda N, D, U, A, a, B, b, E, g, d: (
        A * N ** (-a) + B * D ** (-b) + E * U ** (-g) * N ** (-d)
    ),
    "repeated_data_geometric": lambda N, D, U, E, A, a, B, b, g: (
        A * N ** (-a) + B * (U**g * D ** (1 - g)) ** (-b) + E
    ),
    "repeated_data_overfit": lambda N, D, U, E, A, a, B, b, C, c, d: (
        E + A * N ** (-a) + B * (D / (1 + C * np.maximum(D / U - 1, 0) ** c * N**d)) ** (-b)
    ),
    "two_plateau_overfit": lambda N, D, U, E, H, a, al, b, be, c, g, d: (
        E
        + H
        * (a * N ** (-al) + b * D ** (-be) + c * N**g / U**d)
        / (1 + a * N ** (-al) + b * D ** (-be) + c * N**g / U**d)
    ),
    "utility_half_life": _half_life,
    "experts_joint": _experts_joint,
    "sparsity_joint": lambda N, D, R, e, a, al, b, be, c, lam, d, de, g: (
        a * N ** (-al)
        + b * D ** (-be)
        + c * (1 - (1 - 1 / R)) ** (-lam)
        + d * (1 - (1 - 1 / R)) ** (-de) * N ** (-g)
        + e
    ),
    "experts_interaction": lambda N, X, p0, B, a, b, c, p5: (
        p0
        + np.exp(np.log(B) - b * np.log(X) - a * np.log(N) + c * np.log(X) * np.log(N))
        + p5 * np.log(X)
    ),
    "experts_two_rates": lambda N, X, D0, A, a, B, b, C0: (
        A * N ** (-a) / (1 + B * X**b) + C0 * N ** (0.6 * -a) + D0
    ),
    "width_depth": lambda w, d, N, D, E, A, a, B, b, G, g, K, z: (
        E + A * w ** (-a) + B * d ** (-b) + G * N ** (-g) + K * D ** (-z)
    ),
    "granularity": lambda N, D, G, c, g, ga, a, al, b, be: (
        c + (g * G ** (-ga) + a) * N ** (-al) + b * D ** (-be)
    ),
    "sparse_weights": lambda N, D, R, c, aS, bS, cS, bN, b, bD: (
        (aS * (1 - (1 - 1 / R)) ** bS + cS) * N ** (-bN) + (b ** (1 / bD) / D) ** bD + c
    ),
    "precision": lambda N, D, P, E, A, a, B, b, g: (
        A * (N * (1 - np.exp(-P / g))) ** (-a) + B * D ** (-b) + E
    ),
    "precision_by_part": lambda N, D, Pw, Pa, Pkv, E, A, a, B, b, gw, ga, gkv: (
        E
        + A
        * (N * (1 - np.exp(-Pw / gw)) * (1 - np.exp(-Pa / ga)) * (1 - np.exp(-Pkv / gkv))) ** (-a)
        + B * D ** (-b)
    ),
    "quantisation_penalty": lambda N, D, P, C, gD, gN, g: C * D**gD * N ** (-gN) * np.exp(-P / g),
    "quantised": lambda N, D, P, E, A, a, B, b, C, gD, gN, g: (
        E + A * N ** (-a) + B * D ** (-b) + C * (D**gD / N**gN) * np.exp(-P / g)
    ),
    "transfer": lambda N, D, Nc, aN, Dc, aD, k, a, b: (
        ((Nc / N) ** (aN / aD) + Dc / (D + k * D**a * N**b)) ** aD
    ),
    "over_training": lambda M, C, E, a, b, eta: E + (a * M**eta + b * M ** (-eta)) * C ** (-eta),
    "kaplan_learning_curve": _learning_curve,
    "critical_batch": lambda L, Bs, r: Bs / L**r,
    "batch_trade_off": lambda B, Smin, Bcrit: Smin * (1 + Bcrit / B),
    "algorithmic_progress": lambda N, D, Y, E, A, a, B, b, gn, gd: (
        E + A * (N * np.exp(gn * (Y - 2020))) ** (-a) + B * (D * np.exp(gd * (Y - 2020))) ** (-b)
    ),
    "mixture_own": lambda p, q, r, A, e, al, w1, w2: A * (p + e) ** (-al) * np.exp(w1 * q + w2 * r),
    "bimix": lambda r, s, B, b, C, a: 1 / r**a * (B / s**b + C),
}
RANGES = {
    "epochs": (1.0, 40.0),
    "granularity": (1.0, 32.0),
    "precision_bits": (3.0, 8.0),
    "weight_bits": (3.0, 16.0),
    "activation_bits": (3.0, 16.0),
    "key_value_bits": (3.0, 16.0),
    "width": (256.0, 4096.0),
    "depth": (3.0, 80.0),
    "tokens_per_param": (2.0, 600.0),
    "year": (2012.0, 2025.0),
    "proportion": (0.02, 0.9),
    "training_loss": (1.5, 5.0),
}
FALLING = (
    "chinchilla_tied",
    "bottleneck",
    "repeated_data_ratio",
    "repeated_data_geometric",
    "utility_half_life",
    "experts_two_rates",
    "width_depth",
    "granularity",
    "sparse_weights",
    "precision",
    "precision_by_part",
)
ANY_INPUTS = ("mixture_own",)
