"""Laws with the numbers their authors published.

Read the ``convention`` of a law before comparing it with your own runs: parameters with or
without embeddings, single- or multi-epoch tokens.
"""

from __future__ import annotations

import math

from scaling_laws.laws.joint import chinchilla, kaplan
from scaling_laws.laws.repeated_data import repeated_data

_TOTAL = "params with embeddings; tokens of a single epoch; loss in nats/token"
_HOFFMANN_RANGE = (("params", 4.4e7, 1.6e10), ("tokens", 1e9, 1e12), ("flops", 1e18, 3e21))

HOFFMANN_2022 = chinchilla.with_coef(
    {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28},
    name="Hoffmann et al. 2022 (rounded)",
    reference="Hoffmann et al. 2022, arXiv:2203.15556, eq. 10",
    convention=_TOTAL,
    validity=_HOFFMANN_RANGE,
)
HOFFMANN_2022_FULL = chinchilla.with_coef(
    {
        "E": math.exp(0.5267228),
        "A": math.exp(6.0073404),
        "alpha": 0.33917084,
        "B": math.exp(6.0179186),
        "beta": 0.2849083,
    },
    name="Hoffmann et al. 2022 (full precision)",
    reference="Hoffmann et al. 2022, arXiv:2203.15556, TeX source of appendix D.3",
    convention=_TOTAL,
    validity=_HOFFMANN_RANGE,
)
BESIROGLU_2024 = chinchilla.with_coef(
    {"E": 1.8172, "A": 482.01, "alpha": 0.3478, "B": 2085.43, "beta": 0.3658},
    name="Besiroglu et al. 2024",
    reference="Besiroglu et al. 2024, arXiv:2404.10102, table 1",
    convention=_TOTAL,
    validity=_HOFFMANN_RANGE,
)
KAPLAN_2020 = kaplan.with_coef(
    {"Nc": 6.4e13, "alpha_N": 0.076, "Dc": 1.8e13, "alpha_D": 0.103},
    name="Kaplan et al. 2020",
    reference="Kaplan et al. 2020, arXiv:2001.08361, table 2",
    convention="params without embeddings; tokens at early stopping; loss in nats/token",
    validity=(("params", 4e5, 1.5e9), ("tokens", 2.2e7, 2.3e10)),
)
MUENNIGHOFF_2023 = chinchilla.with_coef(
    {
        "E": math.exp(0.6254804),
        "A": math.exp(6.255414),
        "alpha": 0.3526596,
        "B": math.exp(7.3049974),
        "beta": 0.3526596,
    },
    name="Muennighoff et al. 2023, base law",
    reference="Muennighoff et al. 2023, arXiv:2305.16264, eq. 5 with exponents tied",
    convention=_TOTAL + "; C4 validation; no repeated data",
    validity=(("params", 7e6, 8.7e9), ("tokens", 1e8, 9e11)),
)
MUENNIGHOFF_2023_REPEATED = repeated_data.with_coef(
    {**MUENNIGHOFF_2023.coef, "R_D": 15.387756, "R_N": 5.309743},
    name="Muennighoff et al. 2023",
    reference="Muennighoff et al. 2023, arXiv:2305.16264, eq. 5-6, constants of the authors' code",
    convention=_TOTAL.replace("of a single epoch", "processed, repeated ones included")
    + "; C4 validation",
    validity=(
        ("params", 7e6, 8.7e9),
        ("tokens", 1e8, 9e11),
        ("unique_tokens", 1e8, 1.8e11),
    ),
)
