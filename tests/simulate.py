"""Tables of runs with a known truth, shared by the tests."""

from __future__ import annotations

import formulas_joint
import numpy as np
import pandas as pd

import scaling_laws as sl
from scaling_laws.laws.registry import get_law

TRUTH = sl.published.BESIROGLU_2024


def grid_runs(sizes=8, levels=8, noise=0.005, seed=0, law=TRUTH):
    """A full grid of params x tokens with log-normal noise."""
    params, tokens = (
        v.ravel()
        for v in np.meshgrid(np.geomspace(1e7, 1e10, sizes), np.geomspace(2e8, 2e11, levels))
    )
    rng = np.random.default_rng(seed)
    loss = law(params=params, tokens=tokens) * np.exp(noise * rng.standard_normal(len(params)))
    return pd.DataFrame({"params": params, "tokens": tokens, "loss": loss})


_SPAN = {"params": (1e7, 1e10), "tokens": (2e8, 2e11), "flops": (1e17, 1e21)}
_SPAN |= {"samples": (30.0, 3e5), "steps": (3e2, 2e4), "unique_tokens": (1e8, 1e10)}
_SPAN |= {"experts": (1.0, 512.0), "streams": (1.0, 8.0), "vocab_size": (4e3, 1e5)}
_SPAN |= {"learning_rate": (1e-4, 1e-2), "batch_size": (3e4, 4e6), "sparsity_ratio": (1.0, 16.0)}
_SPAN |= {"teacher_loss": (1.9, 3.5), "task_loss": (0.3, 2.0), "attempts": (1.0, 1e4)}
_SPAN |= formulas_joint.RANGES
_SPAN |= {"learning_rate_sum": (0.1, 30.0), "learning_rate_annealing": (0.01, 0.5)}


def runs_of(name, noise=0.005, rows=80, seed=0):
    """Runs of a registered law at its example, on inputs of plausible size."""
    family = get_law(name)
    rng = np.random.default_rng(seed)
    inputs = {}
    if family.input_domain == "fraction":
        shares = rng.dirichlet(np.ones(len(family.inputs)), rows)
        inputs = dict(zip(family.inputs, shares.T, strict=True))
    for q in family.inputs if not inputs else ():
        low, high = _SPAN[q]
        inputs[q] = np.exp(rng.uniform(np.log(low), np.log(high), rows))
    if name in (
        "log_linear",
        "log_linear_with_floor",
    ):  # exponentials of raw counts need a narrow range
        inputs = {q: v / v.max() * 1e9 for q, v in inputs.items()}
    value = family.with_coef(family.example)(**inputs)
    return pd.DataFrame({**inputs, "loss": value * np.exp(noise * rng.standard_normal(rows))})
