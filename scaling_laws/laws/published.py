"""Laws with the numbers their authors published.

Read the ``convention`` of a law before comparing it with your own runs: parameters with or
without embeddings, single- or multi-epoch tokens. `list` shows all laws as a table, `get` finds
one by name.

Every law is for raw counts and its numbers are as precise as the source gives them. They were read
in the source itself (paper, authors' code or released files), or they are marked ``"quoted"``:
read second-hand, and kept because two or more independent texts agree or because a fit to the
authors' own released runs does. Sets of numbers that cannot predict (exponents alone), that are
only approximate, or that one second-hand text alone gives are left out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from scaling_laws.errors import LawError, suggest
from scaling_laws.laws.architecture import width_depth
from scaling_laws.laws.experts import experts_joint, routed, sparsity_joint
from scaling_laws.laws.family import Law
from scaling_laws.laws.generic import additive_power, product
from scaling_laws.laws.joint import chinchilla, farseer, kaplan
from scaling_laws.laws.learning_curves import power
from scaling_laws.laws.recipe import parallel_streams
from scaling_laws.laws.repeated_data import repeated_data, repeated_data_decay
from scaling_laws.laws.training import critical_batch

if TYPE_CHECKING:
    import pandas as pd

_PF_DAY = 1e15 * 86400  # FLOP


def _additive(E: float, A: float, alpha: float, B: float, beta: float, **about: Any) -> Law:
    coef = {"E": E, "A": A, "alpha": alpha, "B": B, "beta": beta}
    return chinchilla.with_coef(coef, **about)


def _additive_of_millions_and_billions(
    E: float, A: float, alpha: float, B: float, beta: float, **about: Any
) -> Law:
    """Return the additive law for raw counts from its numbers for N / 1e6 and D / 1e9."""
    return _additive(E, A * 1e6**alpha, alpha, B * 1e9**beta, beta, **about)


# ------------------------------------------------------------ params and tokens, one epoch
_TOTAL = "params with embeddings; tokens of a single epoch; loss in nats/token"
_HOFFMANN_RANGE = (("params", 4.4e7, 1.6e10), ("tokens", 1e9, 1e12), ("flops", 1e18, 3e21))

HOFFMANN_2022 = _additive(
    *(1.69, 406.4, 0.34, 410.7, 0.28),
    name="Hoffmann et al. 2022 (rounded)",
    reference="Hoffmann et al. 2022, arXiv:2203.15556, eq. 10",
    convention=_TOTAL,
    validity=_HOFFMANN_RANGE,
)
HOFFMANN_2022_FULL = _additive(
    *(math.exp(0.5267228), math.exp(6.0073404), 0.33917084, math.exp(6.0179186), 0.2849083),
    name="Hoffmann et al. 2022 (full precision)",
    reference="Hoffmann et al. 2022, arXiv:2203.15556, TeX source of appendix D.3",
    convention=_TOTAL,
    validity=_HOFFMANN_RANGE,
)
BESIROGLU_2024 = _additive(
    *(1.8172, 482.01, 0.3478, 2085.43, 0.3658),
    name="Besiroglu et al. 2024",
    reference="Besiroglu et al. 2024, arXiv:2404.10102, table 1",
    convention=_TOTAL,
    validity=_HOFFMANN_RANGE,
)
DE_VRIES_2023 = _additive(
    *(1.62, 406.4, 0.336, 410.7, 0.283),
    name="de Vries 2023",
    reference="de Vries 2023, 'Go smol or go home', after Hoffmann et al. 2022, table A3",
    convention=_TOTAL,
    validity=_HOFFMANN_RANGE,
)
_CZECH = "Czech et al. 2026, arXiv:2603.22339, "
_DIGITISED = _TOTAL + "; 217 runs below 1e21 FLOP, digitised from Hoffmann et al. 2022"
CZECH_2026 = _additive_of_millions_and_billions(
    *(1.9051, 4.0005, 0.3511, 1.0509, 0.4587),
    name="Czech et al. 2026",
    reference=_CZECH + "validation of VPNLS: squared error of the loss",
    convention=_DIGITISED,
    validity=(("params", 5.7e7, 1.3e10), ("tokens", 8e8, 1.4e11), ("flops", 1.4e18, 1e21)),
)
CZECH_2026_LOG = _additive_of_millions_and_billions(
    *(1.8926, 4.0146, 0.3522, 1.0571, 0.443),
    name="Czech et al. 2026 (log loss)",
    reference=_CZECH + "validation of VPNLS: approach 3 with log-scaled loss",
    convention=_DIGITISED,
    validity=CZECH_2026.validity,
)
CZECH_2026_HUBER = _additive_of_millions_and_billions(
    *(1.8267, 3.7066, 0.324, 1.0386, 0.408),
    name="Czech et al. 2026 (Huber)",
    reference=_CZECH + "validation of VPNLS: Huber loss of ml-scalefit",
    convention=_DIGITISED,
    validity=CZECH_2026.validity,
)
CZECH_2026_GRID = _additive_of_millions_and_billions(
    *(1.8608, 4.1479, 0.36, 1.0546, 0.4),
    name="Czech et al. 2026 (grid)",
    reference=_CZECH + "example of the vpnls package: Huber 1e-3, exponents on a grid of 0.01",
    convention=_TOTAL + "; digitised from Hoffmann et al. 2022",
    validity=CZECH_2026.validity,
)
_GEMSTONES = "McLeish et al. 2025, arXiv:2502.06857, released parameters of approach 3, "
_SHAPES = "params with embeddings; tokens processed; loss in nats/token; 22 shapes of model"
_CONSTANT_RATE = _SHAPES + "; constant learning rate, not annealed"
_GEMSTONES_SIZES = ("params", 4.8e7, 2.0e9)
MCLEISH_2025_COOLED = _additive(
    *(math.exp(0.7458889548), math.exp(5.3627962101), 0.2970133066),
    *(math.exp(14.9717677508), 0.6903991635),
    name="McLeish et al. 2025, Gemstones",
    reference=_GEMSTONES + "Huber 1e-4, cooled-down runs",
    convention=_SHAPES + "; each run cooled down",
    validity=(_GEMSTONES_SIZES, ("tokens", 1.1e10, 1.1e11)),
)
MCLEISH_2025_CONSTANT_100B = _additive(
    *(math.exp(0.7663168139), math.exp(5.4574988414), 0.2989180518),
    *(math.exp(14.9719740349), 0.6928331414),
    name="McLeish et al. 2025, Gemstones (constant rate, to 100 B tokens)",
    reference=_GEMSTONES + "Huber 1e-4, hot",
    convention=_CONSTANT_RATE,
    validity=(_GEMSTONES_SIZES, ("tokens", 1e10, 1e11)),
)
MCLEISH_2025_CONSTANT = _additive(
    *(math.exp(0.6655226816), math.exp(4.8761769847), 0.2575546364),
    *(math.exp(12.6984060933), 0.5909317455),
    name="McLeish et al. 2025, Gemstones (constant rate)",
    reference=_GEMSTONES + "Huber 1e-4, hot_100b+",
    convention=_CONSTANT_RATE,
    validity=(_GEMSTONES_SIZES, ("tokens", 1e10, 3.5e11)),
)
MCLEISH_2025_CONSTANT_HUBER_3 = _additive(
    *(math.exp(0.6681624725), math.exp(4.9008415415), 0.2591125694),
    *(math.exp(12.850969215), 0.5972679073),
    name="McLeish et al. 2025, Gemstones (constant rate, Huber 1e-3)",
    reference=_GEMSTONES + "Huber 1e-3, hot_100b+",
    convention=_CONSTANT_RATE,
    validity=MCLEISH_2025_CONSTANT.validity,
)


def _ludziejewski(experts: int, m: float, mu: float, n: float, nu: float) -> Law:
    """Return the law of one number of experts, m N^mu + n D^nu + c."""
    return _additive(
        *(1.3637, m, -mu, n, -nu),
        name=f"Ludziejewski et al. 2025, {experts} expert{'s' if experts > 1 else ''}",
        reference="Ludziejewski et al. 2025, arXiv:2502.05172, table 4",
        convention=f"active params with embeddings, {experts} expert{'s' if experts > 1 else ''} "
        "a layer; tokens of a single epoch; loss in nats/token",
    )


LUDZIEJEWSKI_2025_DENSE = _ludziejewski(1, 30.364, -0.1817, 53.9838, -0.1965)
LUDZIEJEWSKI_2025_2_EXPERTS = _ludziejewski(2, 27.7982, -0.178, 66.8401, -0.2065)
LUDZIEJEWSKI_2025_4_EXPERTS = _ludziejewski(4, 24.8462, -0.1731, 87.7022, -0.2192)
LUDZIEJEWSKI_2025_8_EXPERTS = _ludziejewski(8, 21.833, -0.1676, 119.9126, -0.2338)
LUDZIEJEWSKI_2025_16_EXPERTS = _ludziejewski(16, 19.0159, -0.1617, 167.5073, -0.2494)
LUDZIEJEWSKI_2025_32_EXPERTS = _ludziejewski(32, 16.5424, -0.1557, 234.6726, -0.2652)

LI_2025_FARSEER = farseer.with_coef(
    {
        "s": -0.062465473,
        "q": 0.13,
        "S": 0.1284880679442551,
        "B": 230.73437075885855,
        "b": -0.1729,
        "Q": -1.544209554,
        "A": -1.665630816,
        "a": 0.0458999999999619,
        "F": 3.133347198805445,
    },
    name="Li et al. 2025, Farseer",
    reference="Li et al. 2025, arXiv:2506.10972, eq. 3, constants in the code of arXiv:2604.22753",
    convention="params and tokens as in the authors' 404 runs; loss in their unit, about 0.44 to "
    "0.68 on these runs: not nats/token",
    validity=(("params", 1e8, 2.5e10), ("tokens", 1e9, 5e11)),
)

# ------------------------------------------------------------ Kaplan et al. 2020
KAPLAN_2020 = kaplan.with_coef(
    {"Nc": 6.4e13, "alpha_N": 0.076, "Dc": 1.8e13, "alpha_D": 0.103},
    name="Kaplan et al. 2020",
    reference="Kaplan et al. 2020, arXiv:2001.08361, table 2",
    convention="params without embeddings; tokens at early stopping; loss in nats/token",
    validity=(("params", 4e5, 1.5e9), ("tokens", 2.2e7, 2.3e10)),
)
_KAPLAN = "Kaplan et al. 2020, arXiv:2001.08361, "
KAPLAN_2020_PARAMS = power.bind(("params",)).with_coef(
    {"A": 8.8e13**0.076, "alpha": 0.076},  # (N_c / N)^alpha
    name="Kaplan et al. 2020, size alone",
    reference=_KAPLAN + "eq. 1.1",
    convention="params without embeddings; trained to convergence; loss in nats/token",
    validity=(("params", 768, 1.5e9),),
)
KAPLAN_2020_TOKENS = power.bind(("tokens",)).with_coef(
    {"A": 5.4e13**0.095, "alpha": 0.095},
    name="Kaplan et al. 2020, data alone",
    reference=_KAPLAN + "eq. 1.2",
    convention="tokens of the data set, a large model stopped early; loss in nats/token",
    validity=(("tokens", 2.2e7, 2.3e10),),
)
KAPLAN_2020_FLOPS = power.with_coef(
    {"A": (3.1e8 * _PF_DAY) ** 0.050, "alpha": 0.050},
    name="Kaplan et al. 2020, compute alone",
    reference=_KAPLAN + "eq. 1.3",
    convention="FLOP without embeddings at a small batch, best size for it (C_min); loss in "
    "nats/token",
)
KAPLAN_2020_CRITICAL_BATCH = critical_batch.with_coef(
    {"B_star": 2e8, "rate": 1 / 0.21},
    name="Kaplan et al. 2020, critical batch size",
    reference=_KAPLAN + "eq. 1.4",
    convention="training loss in nats/token; value is the critical batch size in tokens",
)

# ------------------------------------------------------------ repeated data
MUENNIGHOFF_2023 = _additive(
    *(math.exp(0.6254804), math.exp(6.255414), 0.3526596, math.exp(7.3049974), 0.3526596),
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
MUENNIGHOFF_2023_DECAY = repeated_data_decay.with_coef(
    {**MUENNIGHOFF_2023.coef, "R_D": 26530.611, "R_N": 2040.8163},
    name="Muennighoff et al. 2023, decaying exponents",
    reference="Muennighoff et al. 2023, arXiv:2305.16264, decay of alpha and beta, constants of "
    "the authors' code",
    convention=MUENNIGHOFF_2023_REPEATED.convention,
    validity=MUENNIGHOFF_2023_REPEATED.validity,
)

# ------------------------------------------------------------ experts and parallel streams
LUDZIEJEWSKI_2025 = experts_joint.with_coef(
    {
        "E": 1.3637,
        "A": 35.91,
        "alpha": 0.1889,
        "delta": -0.2285,
        "gamma": 0.0098,
        "B": 35.98,
        "beta": 0.1775,
        "omega": 0.5529,
        "zeta": -0.0259,
        "experts_start": 2.0732,
        "experts_max": 290.4521,
    },
    name="Ludziejewski et al. 2025",
    reference="Ludziejewski et al. 2025, arXiv:2502.05172, eq. 6 and table 3",
    convention="active params with embeddings; tokens of a single epoch; experts per layer; loss "
    "in nats/token",
)
ABNAR_2025 = sparsity_joint.with_coef(
    {
        "E": 0.94,
        "A": 16612.5,
        "alpha": 0.5962,
        "B": 5455.67,
        "beta": 0.3954,
        "C": 0.4598,
        "lam": -0.1666,
        "F": 17.26,
        "delta": 0.1603,
        "gamma": 0.1595,
    },
    name="Abnar et al. 2025",
    reference="Abnar et al. 2025, arXiv:2501.12370, eq. 6 and table 3",
    convention="total params; tokens of a single epoch; the ratio is of all experts to active; "
    "loss in nats/token; R² 0.68 on held-out runs of sparsity 0.98",
)


def _clark(router: str, *values: float) -> Law:
    """Return the law of one router: logarithms to base ten, as published."""
    return routed.with_coef(
        dict(zip(routed.coefficient_names, values, strict=True)),
        name=f"Clark et al. 2022, {router}",
        reference="Clark et al. 2022, arXiv:2202.01169, eq. 1 and table 3",
        convention="params without embeddings, of the dense model; experts per routed layer; "
        "130 billion tokens; loss in nats/token",
        validity=(("params", 1.65e7, 1.31e9), ("experts", 1, 512)),
    )


CLARK_2022_S_BASE = _clark("S-BASE", -0.082, -0.108, 0.009, 1.104, 1.847, 314.478)
CLARK_2022_RL_R = _clark("RL-R", -0.083, -0.126, 0.012, 1.111, 1.880, 469.982)
CLARK_2022_HASH = _clark("HASH", -0.087, -0.136, 0.012, 1.157, 4.175, 477.741)


def _streams(corpus: str, E: float, A: float, alpha: float, k: float) -> Law:
    """Return the law of one corpus; as published its amplitude stands inside the power."""
    return parallel_streams.with_coef(
        {"E": E, "A": A**alpha, "alpha": alpha, "k": k},
        name=f"Li et al. 2026, parallel streams, {corpus}",
        reference="Li et al. 2026, arXiv:2604.22753, code of parallel-scaling law 5",
        convention="params as in Chen et al. 2025, arXiv:2505.10475, whose runs these are; tokens "
        "fixed; loss in nats/token",
        validity=(("params", 5.4e8, 4.4e9), ("streams", 1, 8)),
    )


LI_2026_STREAMS_PILE = _streams("Pile", 1.291, 1.95e8, 0.196, 0.334)
LI_2026_STREAMS_STACK = _streams("Stack", 0.709, 1.14e7, 0.199, 0.396)

# ------------------------------------------------------------ width and depth
_GEMSTONES_SHAPE = (("width", 256, 3072), ("depth", 3, 80))
MCLEISH_2025_WIDTH_DEPTH = width_depth.with_coef(
    {
        "E": math.exp(0.4282048563),
        "A_width": math.exp(1.082043835),
        "alpha_width": 0.2195783536,
        "A_depth": math.exp(-0.2186969889),
        "alpha_depth": 0.4758917337,
        "A_params": math.exp(6.0902355695),
        "alpha_params": 0.3636454068,
        "A_tokens": math.exp(10.4720427681),
        "alpha_tokens": 0.4935127042,
    },
    name="McLeish et al. 2025, Gemstones, width and depth",
    reference=_GEMSTONES.replace("approach 3", "the width-depth law with params") + "hot_100b+",
    convention=_CONSTANT_RATE,
    validity=(*_GEMSTONES_SHAPE, *MCLEISH_2025_CONSTANT.validity),
)
MCLEISH_2025_SHAPE = additive_power.bind(("width", "depth", "tokens")).with_coef(
    {
        "E": math.exp(-155.5414963039),  # nothing: the runs do not show this law's floor
        "A_width": math.exp(2.1161206619),
        "alpha_width": 0.2607743843,
        "A_depth": math.exp(0.7321112501),
        "alpha_depth": 0.1418010881,
        "A_tokens": math.exp(11.5418232414),
        "alpha_tokens": 0.5420589921,
    },
    name="McLeish et al. 2025, Gemstones, shape alone",
    reference=_GEMSTONES.replace("approach 3", "the width-depth law") + "hot_100b+",
    convention=_CONSTANT_RATE.replace("params with embeddings; ", "no params; "),
    validity=(*_GEMSTONES_SHAPE, ("tokens", 1e10, 3.5e11)),
)

# ------------------------------------------------------------ optima, not losses
_STEP_LAW = "Li et al. 2025, arXiv:2503.04715, mean of the authors' 1,000 bootstrap fits"
_STEP_LAW_RUNS = (("params", 2.1e8, 1.1e9), ("tokens", 4e9, 1e11))
LI_2025_LEARNING_RATE = product.with_coef(
    {"K": math.exp(0.586308), "alpha_params": 0.712922, "alpha_tokens": -0.307491},
    name="Li et al. 2025, Step Law, learning rate",
    reference=_STEP_LAW,
    convention="params without embeddings; tokens of a single epoch; value is the best peak "
    "learning rate, decayed to 1e-5",
    validity=_STEP_LAW_RUNS,
)
LI_2025_BATCH_SIZE = power.bind(("tokens",)).with_coef(
    {"A": math.exp(-0.543542), "alpha": -0.570944},
    name="Li et al. 2025, Step Law, batch size",
    reference=_STEP_LAW,
    convention="tokens of a single epoch; value is the best batch size in tokens",
    validity=_STEP_LAW_RUNS[1:],
)


def _bi(what: str, equation: str, A: float, rate: float, value: str) -> Law:
    """Return A C^rate of one optimum."""
    return power.with_coef(
        {"A": A, "alpha": -rate},
        name=f"Bi et al. 2024, DeepSeek, {what}",
        reference=f"Bi et al. 2024, arXiv:2401.02954, {equation}",
        convention="FLOP are tokens times M, the FLOP per token without embeddings and with "
        f"attention; value is the {value}",
        validity=(("flops", 1e17, 2e19),) if equation == "eq. 1" else (),
    )


BI_2024_LEARNING_RATE = _bi("learning rate", "eq. 1", 0.3118, -0.1250, "best peak learning rate")
BI_2024_BATCH_SIZE = _bi("batch size", "eq. 1", 0.2920, 0.3271, "best batch size in tokens")
BI_2024_MODEL = _bi("model", "eq. 4", 0.1715, 0.5243, "best M in FLOP per token")
BI_2024_TOKENS = _bi("data", "eq. 4", 5.8316, 0.4757, "best number of tokens")

# ------------------------------------------------------------ what is known of them
_QUOTED = ("KAPLAN_2020", "CLARK_2022", "BI_2024", "ABNAR_2025")  # beginnings of names
_PREDICTS = {
    "KAPLAN_2020_CRITICAL_BATCH": "batch_size",
    "LI_2025_LEARNING_RATE": "learning_rate",
    "LI_2025_BATCH_SIZE": "batch_size",
    "BI_2024_LEARNING_RATE": "learning_rate",
    "BI_2024_BATCH_SIZE": "batch_size",
    "BI_2024_MODEL": "flops_per_token",
    "BI_2024_TOKENS": "tokens",
}
_STANDARD_ERRORS = {
    "BESIROGLU_2024": {"E": 0.026, "A": 124.5, "alpha": 0.015, "B": 1293.3, "beta": 0.021},
    "LI_2025_LEARNING_RATE": {  # of K: 0.62 in its logarithm
        "K": 0.623748 * LI_2025_LEARNING_RATE.coef["K"],
        "alpha_params": 0.029858,
        "alpha_tokens": 0.019139,
    },
    "LI_2025_BATCH_SIZE": {"A": 0.437241 * LI_2025_BATCH_SIZE.coef["A"], "alpha": 0.018669},
}


def get(name: str) -> Law:
    """Return a published law by name, in either case.

    Parameters
    ----------
    name : str
        Name of a constant of this module, such as ``"hoffmann_2022"``.

    Raises
    ------
    LawError
        Unknown name; the nearest known one is suggested.

    Examples
    --------
    >>> get("hoffmann_2022") is HOFFMANN_2022
    True
    """
    known = _laws()
    found = known.get(name.upper()) if isinstance(name, str) else None
    if found is None:
        near = suggest(name.upper(), known) if isinstance(name, str) else ""
        raise LawError(
            f"no published law is called {name!r}.{near} published.list() shows them all."
        )
    return found


def list() -> pd.DataFrame:
    """Return all published laws, one row each.

    Returns
    -------
    DataFrame
        ``name`` (for `get`), ``family``, ``inputs``, ``predicts`` (``loss``, or the optimum that
        the value is), ``coefficients``, ``standard_errors`` (where published), ``reference``,
        ``convention``, ``validity`` (range of the runs, where known) and ``evidence``
        (``"source"`` or ``"quoted"``), all as text. The numbers themselves are in
        ``get(name).coef`` and ``get(name).validity``.

    Examples
    --------
    >>> table = list().set_index("name")
    >>> table.loc["BESIROGLU_2024", "coefficients"]
    'E = 1.8172, A = 482.01, alpha = 0.3478, B = 2085.4, beta = 0.3658'
    >>> table.query("family == 'routed'").index.tolist()
    ['CLARK_2022_S_BASE', 'CLARK_2022_RL_R', 'CLARK_2022_HASH']
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "name": name,
            "family": law.family.name,
            "inputs": ", ".join(law.inputs),
            "predicts": _PREDICTS.get(name, "loss"),
            "coefficients": _text(law.coef),
            "standard_errors": _text(_STANDARD_ERRORS.get(name, {})),
            "reference": law.reference,
            "convention": law.convention,
            "validity": ", ".join(f"{n} {low:.3g} to {high:.3g}" for n, low, high in law.validity),
            "evidence": "quoted" if name.startswith(_QUOTED) else "source",
        }
        for name, law in _laws().items()
    )


def _laws() -> dict[str, Law]:
    """Every law of this module by name, in the order of the text."""
    return {name: law for name, law in globals().items() if isinstance(law, Law)}


def _text(numbers: dict[str, float]) -> str:
    return ", ".join(f"{name} = {value:.5g}" for name, value in numbers.items())
