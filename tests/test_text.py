"""What a printed fit looks like, kept as files; rewrite them with ``UPDATE_GOLDEN=1``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulate import grid_runs

import scaling_laws as sl
from scaling_laws.fitting.text import plain_formula, rounded

GOLDEN = Path(__file__).parent / "golden"


def at_bound():
    table = grid_runs(noise=0.002)
    noise = np.exp(0.002 * np.random.default_rng(1).standard_normal(64))
    table["loss"] = (100 * table.params**-0.1 + 50 * table.tokens**-0.1 - 0.3) * noise
    return sl.fit(table, "chinchilla", draws=200)


def collinear():
    table = grid_runs(12, 3, noise=0.01)
    jitter = 1 + 0.01 * np.cos(np.arange(36))
    table["tokens"] = 20 * table.params * jitter
    return sl.fit(table, "product", draws=100)


def long_names():
    rng = np.random.default_rng(0)
    names = ["learning_rate_of_the_embedding", "weight_decay_of_the_output_layer"]
    table = pd.DataFrame({n: np.exp(rng.uniform(-9, 0, 40)) for n in names})
    table["loss"] = 3 * np.prod(table**-0.01, axis=1) * np.exp(0.01 * rng.standard_normal(40))
    return sl.fit(table, "product", inputs=names, draws=200)


CASES = {
    "clean": lambda: sl.fit(grid_runs(), "chinchilla", draws=300),
    "one_fixed": lambda: sl.fit(grid_runs(), "chinchilla", draws=300, fixed={"E": 1.8}),
    "no_draws": lambda: sl.fit(grid_runs(), "chinchilla", draws=0),
    "exact": lambda: sl.fit(grid_runs(noise=0.0), "chinchilla", draws=100),
    "least_squares": lambda: sl.fit(grid_runs(), "coupled", draws=100, robust=None),
    "at_bound": at_bound,
    "collinear": collinear,
    "long_names": long_names,
    "dropped_rows": lambda: sl.fit(
        grid_runs().assign(status=["ok"] * 60 + ["killed"] * 4), "kaplan", draws=100
    ),
}


def comparable(text):
    """Rounding noise of exact fits aside, the text itself."""
    return [" ".join(line.split()) for line in text.strip().splitlines() if "e-1" not in line]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["txt", "html"])
def test_golden(case, kind):
    fit = CASES[case]()
    text = str(fit) if kind == "txt" else fit._repr_html_()
    path = GOLDEN / f"fit_{case}.{kind}"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text + "\n", encoding="utf-8")
    assert comparable(text) == comparable(path.read_text(encoding="utf-8"))
    assert repr(fit) == str(fit)


@pytest.mark.parametrize("name", sl.list_laws())
def test_every_formula_reads_as_plain_text(name):
    text = plain_formula(sl.get_law(name).formula)
    assert not set("\\{}") & set(text)


@pytest.mark.parametrize(
    ("value", "stderr", "shown"),
    [
        (0.347312, 0.0147, ("0.347", "0.015")),
        (482.01, 124.5, ("480", "120")),
        (2085.43, 1293.28, ("2100", "1300")),
        (6.4e13, 1.8e12, ("6.40e+13", "1.8e+12")),
        (1.2345678e-11, 3e-13, ("1.235e-11", "3.0e-13")),
        (1.69, 2.9e-16, ("1.69", "2.9e-16")),
        (0.0, 0.013, ("0.000", "0.013")),
        (1.8, 0.0, ("1.8", "fixed")),
        (-0.2664, 0.0087, ("-0.2664", "0.0087")),
    ],
)
def test_digits_follow_the_standard_error(value, stderr, shown):
    assert rounded(value, stderr) == shown


def test_a_value_far_below_its_error_is_not_printed_as_zero():
    assert rounded(0.36, 1e4) == ("0.36", "10000")
    assert rounded(494.2, 1e4) == ("494", "10000")
    assert rounded(0.0, 1e4)[0] == "0"
    assert rounded(-0.0021, 5.9)[0] == "-0.0"
