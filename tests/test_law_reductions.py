"""Laws at special inputs, and the limits their papers state.

Which law is another with some coefficients held is in ``docs/law_reductions.toml``, and tested by
``test_law_pages.py``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import scaling_laws as sl
from scaling_laws.errors import DataError, LawError
from scaling_laws.laws.registry import get_law

RNG = np.random.default_rng(0)
N, D, U, V = (np.exp(RNG.uniform(np.log(a), np.log(b), 50)) for a, b in
              [(1e7, 1e10), (1e8, 1e11), (1e8, 1e10), (4e3, 1e5)])  # fmt: skip
X = np.geomspace(10, 1e6, 50)
BASE = {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28}


def value(law: str, inputs: list, **coef: float) -> np.ndarray:
    family = get_law(law)
    family = family.bind(family.inputs[: len(inputs)]) if family.build else family
    return family.evaluate(inputs, [coef[n] for n in family.coefficient_names])


def example(law: str, **changed: float) -> dict[str, float]:
    return {**get_law(law).example, **changed}


CHINCHILLA = value("chinchilla", [N, D], **BASE)
LEARNING_RATE = example("learning_rate_batch")
BEST = [LEARNING_RATE["k"] * N ** LEARNING_RATE["a"] * D ** LEARNING_RATE["b"],
        LEARNING_RATE["k_batch"] * D ** LEARNING_RATE["c"]]  # fmt: skip

SAME = {
    "far beyond the break the exponents add": (
        value("broken_power", [X], E=0.3, A=5.0, c0=0.1, c1=0.3, d=1e-9, f=0.3),
        value("power_with_floor", [X], E=0.3, A=5.0 * 1e-9**0.3, alpha=0.4),
    ),
    "one expert counts as experts_start": (
        value("routed", [N, 1.0], **example("routed")),
        10 ** (-0.082 * np.log10(N) - 0.108 * np.log10(1.847)
               + 0.009 * np.log10(N) * np.log10(1.847) + 1.104),
    ),
    "many experts count as experts_max": (
        value("routed", [N, 1e300], **example("routed")),
        10 ** (-0.082 * np.log10(N) - 0.108 * np.log10(314.478)
               + 0.009 * np.log10(N) * np.log10(314.478) + 1.104),
    ),
    "nothing repeated, nothing in excess is chinchilla": (
        value("repeated_data", [N, N * 1e3, N * 1e4], R_D=15.4, R_N=5.3, **BASE),
        value("chinchilla", [N, N * 1e3], **BASE),
    ),
    "many repeats are worth R_D fresh passes": (
        value("repeated_data", [N, 1e9 * N, 1e3 * N], R_D=15.4, R_N=5.3, **BASE),
        value("chinchilla", [N, 1e3 * N * 16.4], **BASE),
    ),
    "a sharp power mean takes the smaller of tokens and k epochs": (
        value("repeated_data_power_mean", [N, D, U], **BASE, k=4.0, q=5e3),
        value("chinchilla", [N, np.minimum(D, 4 * U)], **BASE),
    ),
    "a student that keeps none of its gap is its teacher": (
        value("distillation", [N, D, V], **example("distillation", K=0.0)),
        V,
    ),
    "beside a far better teacher the student keeps its own gap": (
        value("distillation", [N, D, 1.0], **example("distillation", **BASE, K=0.5, f=0.01)),
        1.0 + 0.5 * (CHINCHILLA - 1.69),
    ),
    "at the best learning rate and batch, chinchilla": (
        value("learning_rate_batch", [*BEST, N, D], **{**LEARNING_RATE, **BASE}),
        CHINCHILLA,
    ),
    "one domain alone leaves the gap of its coefficient": (
        value("mixture_exponential", [1.0, 0.0], c=1.6, t_web=0.9, t_code=-0.3),
        1.6 + np.exp(0.9),
    ),
    "an additive mixture of exponent one is linear": (
        value("mixture_additive", [0.3, 0.7], b=3.0, alpha=1.0, w_web=0.4, w_code=-0.2),
        3.0 + 0.4 * 0.3 - 0.2 * 0.7,
    ),
    "an inverse mixture of one domain leaves one over its worth": (
        value("mixture_inverse", [0.0, 1.0], E=1.6, gamma=0.5, C_web=0.4, C_code=2.0),
        2.1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_one_law_is_another(case):
    special, expected = SAME[case]
    np.testing.assert_allclose(special, np.broadcast_to(expected, np.shape(special)), rtol=3e-5)
    exact = "far apart" not in case and "sharp" not in case and "better teacher" not in case
    if exact:
        np.testing.assert_allclose(special, np.broadcast_to(expected, np.shape(special)), rtol=1e-9)


def test_the_rectified_law_is_flat_until_the_data_outweigh_what_was_learned_before():
    law = get_law("rectified").with_coef({"E": 1.0, "B": 900.0, "D_l": 400.0, "beta": 0.75})
    assert law(samples=1e-6) == pytest.approx(1.0 + 900 / 400)
    assert law(samples=10) == pytest.approx(law(samples=1e-6), rel=0.02)


def test_more_epochs_help_less_and_less_but_never_hurt():
    law = sl.published.MUENNIGHOFF_2023_REPEATED
    loss = law(params=5e7, tokens=1e9 * np.arange(1, 100), unique_tokens=1e9)
    assert np.all(np.diff(loss) < 0)
    assert np.all(np.diff(loss, 2) > 0)
    four = law(params=5e7, tokens=4e9, unique_tokens=[1e9, 4e9])
    forty = law(params=5e7, tokens=4e10, unique_tokens=[1e9, 4e10])
    assert 1.0 < four[0] / four[1] < 1.01 < 1.03 < forty[0] / forty[1]


@pytest.mark.parametrize("name", ["mixture_exponential", "mixture_additive", "mixture_inverse"])
def test_a_domain_may_be_left_out_of_a_mixture(name):
    family = get_law(name)
    shares = [np.array([0.0, 0.0, 0.5]), np.array([1.0, 0.4, 0.0]), np.array([0.0, 0.6, 0.5])]
    value, columns = family.evaluate_with_jacobian(shares, list(family.example.values()))
    assert np.isfinite(value).all()
    assert all(np.isfinite(column).all() for column in columns)


def test_shares_of_a_mixture_lie_between_zero_and_one():
    law = get_law("mixture_additive").with_coef(get_law("mixture_additive").example)
    assert np.isfinite(law(web=1.0, code=0.0, books=0.0))
    with pytest.raises(DataError, match=r"'code' must be in \[0, 1\]: row 0 has 30"):
        law(web=0.7, code=30, books=0.0)


# --- units: what may be rescaled ----------------------------------------------------------------


def test_inputs_of_one_unit_are_rescaled_together_and_pure_numbers_never():
    assert get_law("repeated_data").same_unit([2.0, 4.0, 9.0]) == pytest.approx([2.0, 6.0, 6.0])
    assert get_law("routed").same_unit([3.0, 5.0]) == pytest.approx([3.0, 1.0])
    assert get_law("chinchilla").same_unit([3.0, 5.0]) == [3.0, 5.0]


def test_one_unit_an_input():
    with pytest.raises(LawError, match="gives 1 units for 2 inputs"):
        replace(get_law("routed"), units=("params",))


def test_check_law_refuses_units_that_are_not_there():
    with pytest.raises(LawError, match=r"rescale: .*which inputs share a unit or have none"):
        sl.testing.check_law(replace(get_law("repeated_data"), units=()))


@pytest.mark.parametrize("unit", [1e6, 1e-3])
def test_repeated_data_can_be_fitted_in_any_unit_of_tokens(unit):
    from simulate import runs_of

    table = runs_of("repeated_data", noise=0.01)
    scaled = table.assign(tokens=table.tokens / unit, unique_tokens=table.unique_tokens / unit)
    plain, other = (sl.fit(t, "repeated_data", draws=0) for t in (table, scaled))
    expected = dict(plain.coef)
    expected["B"] /= unit ** expected["beta"]
    assert other.coef == pytest.approx(expected, rel=1e-5)
