"""Published constants reproduce the values their sources print or imply."""

from __future__ import annotations

import pytest

from scaling_laws.laws import published
from scaling_laws.laws.family import Law

LAWS = {name: law for name, law in vars(published).items() if isinstance(law, Law)}


def optimum(law: Law, flops: float) -> tuple[float, float, float]:
    """Hoffmann et al. 2022, eq. 4: optimal size, tokens and loss of an additive law at 6ND."""
    c = law.coef
    a, b = c["alpha"], c["beta"]
    g = (a * c["A"] / (b * c["B"])) ** (1 / (a + b))
    params, tokens = g * (flops / 6) ** (b / (a + b)), (flops / 6) ** (a / (a + b)) / g
    return params, tokens, law(params=params, tokens=tokens)


@pytest.mark.parametrize(
    ("name", "params", "tokens", "loss"),
    [
        ("HOFFMANN_2022", 3.2190e10, 2.98231e12, 1.930748),
        ("HOFFMANN_2022_FULL", 4.0361e10, 2.37854e12, 1.918412),
        ("BESIROGLU_2024", 7.2249e10, 1.32874e12, 1.974441),
    ],
)
def test_compute_optimum_of_the_gopher_budget(name, params, tokens, loss):
    found = optimum(LAWS[name], 5.76e23)
    assert found == pytest.approx((params, tokens, loss), rel=2e-5)
    assert found[2] == pytest.approx(loss, abs=6e-7)


@pytest.mark.parametrize(
    ("params", "tokens", "loss"), [(1e8, 2e10, 2.775331), (1e9, 1e9, 2.794337)]
)
def test_kaplan(params, tokens, loss):
    assert published.KAPLAN_2020(params=params, tokens=tokens) == pytest.approx(loss, abs=6e-7)


def test_muennighoff_base_law_has_tied_exponents_and_a_constant_ratio():
    coef = published.MUENNIGHOFF_2023.coef
    assert coef["alpha"] == coef["beta"]
    assert coef["E"] == pytest.approx(1.87, abs=0.005)
    assert coef["A"] == pytest.approx(521, abs=0.5)
    assert coef["B"] == pytest.approx(1488, abs=0.5)
    for flops in (1e20, 1e24):
        params, tokens, _ = optimum(published.MUENNIGHOFF_2023, flops)
        assert tokens / params == pytest.approx((coef["B"] / coef["A"]) ** (1 / coef["alpha"]))
    rounded = (1488 / 521) ** (1 / 0.3527)  # with the constants as rounded in the paper
    assert rounded == pytest.approx(19.598, abs=6e-4)
    assert tokens / params == pytest.approx(rounded, rel=5e-3)


@pytest.mark.parametrize(
    ("params", "tokens", "loss"),
    [(6.34e9, 2.42e11, 2.2256440889984477), (8.67e9, 1.78e11, 2.2269634075087867)],
)
def test_muennighoff_with_repeated_data(params, tokens, loss):
    """The two models the authors trained on 25 billion distinct tokens, as their code predicts."""
    law = published.MUENNIGHOFF_2023_REPEATED
    assert law(params=params, tokens=tokens, unique_tokens=2.5e10) == pytest.approx(loss, rel=1e-14)


def test_muennighoff_without_repeats_is_the_base_law():
    base, repeated = published.MUENNIGHOFF_2023, published.MUENNIGHOFF_2023_REPEATED
    assert repeated(params=1e9, tokens=1e11, unique_tokens=1e11) == base(params=1e9, tokens=1e11)


def test_rounding_hoffmann_moves_the_optimum_by_a_quarter():
    rounded, full = (optimum(LAWS[n], 5.76e23) for n in ("HOFFMANN_2022", "HOFFMANN_2022_FULL"))
    assert full[0] / rounded[0] == pytest.approx(1.2538, abs=1e-3)
    assert full[1] / full[0] == pytest.approx(58.93, abs=0.01)
    assert rounded[1] / rounded[0] == pytest.approx(92.65, abs=0.01)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_every_constant_says_where_it_comes_from_and_what_it_counts(law):
    assert law.name
    assert "arXiv:" in law.reference
    assert "params" in law.convention
    assert "tokens" in law.convention
    assert {"params", "tokens"} <= {name for name, _, _ in law.validity}
    for _, low, high in law.validity:
        assert 0 < low < high
    inside = {n: (low * high) ** 0.5 for n, low, high in law.validity if n in law.inputs}
    assert 1.5 < law(**inside) < 5
