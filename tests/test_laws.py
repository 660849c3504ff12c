"""Every law: the conformance suite, an independent expression, known reductions, properties."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import formulas_joint
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gamma

from scaling_laws.errors import DataError
from scaling_laws.laws.family import LawFamily
from scaling_laws.laws.registry import get_law, list_laws
from scaling_laws.testing import check_law

# --- one row per registered law: the formula as its paper writes it, in plain NumPy -------------


def _translog(z: np.ndarray, c0: float, c: Sequence[float], q: Sequence[float]) -> np.ndarray:
    m = len(z)
    matrix = np.zeros((m, m))
    matrix[np.triu_indices(m)] = q
    return np.exp(c0 + z.T @ np.asarray(c) + np.einsum("in,ij,jn->n", z, matrix, z))


def _repeated_data(
    N: Any, D: Any, U: Any, E: float, A: float, a: float, B: float, b: float, rd: float, rn: float
) -> Any:
    U = np.minimum(U, D)
    G = (a * A / (b * B)) ** (1 / (a + b))
    UN = np.minimum(N, G * (U * G) ** (b / a))
    size = UN + UN * rn * (1 - np.exp(-(N / UN - 1) / rn))
    data = U + U * rd * (1 - np.exp(-(D / U - 1) / rd))
    return E + A * size ** (-a) + B * data ** (-b)


def _routed(
    N: Any, E: Any, a: float, b: float, c: float, d: float, start: float, most: float
) -> Any:
    Eh = 1 / (1 / (E - 1 + 1 / (1 / start - 1 / most)) + 1 / most)
    return 10 ** (a * np.log10(N) + b * np.log10(Eh) + c * np.log10(N) * np.log10(Eh) + d)


def _broken(x: Any, a: float, b: float, c0: float, *breaks: float) -> Any:
    y = b * x ** (-c0)
    for c, d, f in zip(breaks[::3], breaks[1::3], breaks[2::3], strict=True):
        y = y * (1 + (x / d) ** (1 / f)) ** (-c * f)
    return a + y


def _skewed(x: Any, start: float, end: float, s: float, d: float, a: float) -> Any:
    """The paper's implicit equation, solved by bisection."""
    left = s**d * (start - end) ** (1 - a) * x ** (-d)
    low, high = np.zeros_like(x), np.full_like(x, start - end)
    for _ in range(80):
        middle = (low + high) / 2
        below = middle < left * (start - end - middle) ** a
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return end + low


FORMULAS: dict[str, Callable[..., Any]] = {
    "constant": lambda x, c: c + 0 * x,
    "power": lambda x, A, a: A * x ** (-a),
    "power_with_floor": lambda x, E, A, a: E + A * x ** (-a),
    "shifted_power": lambda x, E, A, s, a: E + A * (x + s) ** (-a),
    "logarithmic": lambda x, b, a: b - a * np.log(x),
    "exponential": lambda x, a, b: a * np.exp(-b * x),
    "exponential_with_floor": lambda x, c, a, b: c + a * np.exp(-b * x),
    "stretched_exponential": lambda x, c, b, s, d: c + b * np.exp(-((x / s) ** d)),
    "two_plateau": lambda x, a, c, s, d: (a * s**d + c * x**d) / (s**d + x**d),
    "reciprocal_shift_power": lambda x, A, g, c: A * (1 / x + g) ** c,
    "inverse_logarithmic": lambda x, c, a: c + a / np.log(x + 1),
    "log_log_linear": lambda x, b, a: np.log(b - a * np.log(x)),
    "vapor_pressure": lambda x, a, b, c: np.exp(a + b / x + c * np.log(x)),
    "skewed_two_plateau": _skewed,
    "hill": lambda x, t, k, n: t * x**n / (k**n + x**n),
    "michaelis_menten": lambda x, V, K: V * x / (K + x),
    "broken_power_2": _broken,
    "broken_power_3": _broken,
    "power_with_bump": lambda x, E, A, a, H, p, w: (
        E + A * x ** (-a) + H * np.exp(-0.5 * (np.log(x / p) / w) ** 2)
    ),
    "two_exponentials": lambda x, E, A, a, B, b: E + A * np.exp(-a * x) - B * np.exp(-b * x),
    "repeated_sampling": lambda k, a, b: np.exp(-a * k ** (-b)),
    "repeated_sampling_beta": lambda k, a, b: (
        1 - gamma(b + k) / gamma(a + b + k) * gamma(a + b) / gamma(b)
    ),
    "log_quadratic": lambda x, a, b, c: a + b * np.log(x) + c * np.log(x) ** 2,
    "broken_power": lambda x, a, b, c0, c1, d, f: (
        a + b * x ** (-c0) * (1 + (x / d) ** (1 / f)) ** (-c1 * f)
    ),
    "logistic": lambda L, b, top, mid, k: (top - b) / (1 + np.exp(k * (L - mid))) + b,
    "log_sigmoid": lambda L, a, c, mid, k: 1 + a * np.log(c + 1 - 1 / (1 + np.exp(k * (mid - L)))),
    "loss_to_error": lambda L, eps, k, g: eps - k * np.exp(-g * L),
    "logistic_joint": lambda N, D, b, top, c, A, a, B, be: (
        (top - b) / (1 + np.exp(A * N ** (-a) + B * D ** (-be) - c)) + b
    ),
    "annealing": lambda S1, S2, L0, A, a, C: L0 + A * S1 ** (-a) - C * S2,
    "chinchilla_annealing": lambda N, D, S2, E, A, a, B, b, C, r: (
        A * N ** (-a) + B * D ** (-b) + E - C * S2 * N**r
    ),
    "chinchilla": lambda N, D, E, A, a, B, b: E + A * N ** (-a) + B * D ** (-b),
    "kaplan": lambda N, D, Nc, aN, Dc, aD: ((Nc / N) ** (aN / aD) + Dc / D) ** aD,
    "kaplan_with_floor": lambda N, D, E, K, r, R, b: E + K * (N ** (-r) + R / D) ** b,
    "coupled": lambda N, D, E, A, a, B, b, k: E + (A * N ** (-a) + B * D ** (-b)) ** k,
    "two_plateau_joint": lambda N, D, E, H, A, a, B, b: (
        (E + (E + H) * (A * N ** (-a) + B * D ** (-b))) / (1 + A * N ** (-a) + B * D ** (-b))
    ),
    "repeated_data": _repeated_data,
    "repeated_data_saturating": lambda N, D, U, E, A, a, B, b, s, d: (
        E + A * N ** (-a) + B * (D / (1 + D / (s * U * N**d))) ** (-b)
    ),
    "repeated_data_power_mean": lambda N, D, U, E, A, a, B, b, k, q: (
        E + A * N ** (-a) + B * (D ** (-b * q) + (k * U) ** (-b * q)) ** (1 / q)
    ),
    "routed": _routed,
    "experts_product": lambda N, E, F, B, a, b: F + B * N ** (-a) * E ** (-b),
    "parallel_streams": lambda N, P, E, A, a, k: (
        E + (A ** (1 / a) / (N * (k * np.log(P) + 1))) ** a
    ),
    "vocabulary": lambda N, V, D, E, A, a, Av, av, B, b: (
        E + A * N ** (-a) + Av * V ** (-av) + B * D ** (-b)
    ),
    "vocabulary_product": lambda P, V, D, c, A, a, mu, B, b, nu: (
        A * (P * V ** (mu / a)) ** (-a) + B * (D * V ** (nu / b)) ** (-b) + c
    ),
    "sparsity": lambda N, P, E, A, b, a, c: (
        A * P ** (-a) * N ** (-b) * np.exp(c * np.log(P) * np.log(N)) + E
    ),
    "rectified": lambda D, E, B, Dl, b: E + B / (Dl + D**b),
    "distillation": lambda N, D, LT, E, A, a, B, b, K, c0, f: (
        LT
        + LT ** (-c0)
        * np.exp(-((LT / (E + A * N ** (-a) + B * D ** (-b))) ** (1 / f)))
        * (K * (A * N ** (-a) + B * D ** (-b)))
    ),
    "learning_rate_batch": lambda lr, bs, N, D, E, A, al, B, be, H, k, a, b, Hb, kb, c: (
        E
        + A * N ** (-al)
        + B * D ** (-be)
        + H * np.log(lr / (k * N**a * D**b)) ** 2
        + Hb * np.log(bs / (kb * D**c)) ** 2
    ),
    "mixture_exponential": lambda p, q, r, c, t1, t2, t3: c + np.exp(t1 * p + t2 * q + t3 * r),
    "mixture_additive": lambda p, q, r, b, a, w1, w2, w3: b + w1 * p**a + w2 * q**a + w3 * r**a,
    "mixture_inverse": lambda p, q, r, E, g, c1, c2, c3: (
        E + 1 / (c1 * p**g + c2 * q**g + c3 * r**g)
    ),
    "log_linear": lambda N, D, C, k, a, b, c: np.exp(k + a * N + b * D + c * C),
    "log_linear_with_floor": lambda N, D, E, K, a, b: E + K * np.exp(a * N + b * D),
    "linear": lambda n, a, b: a + b * n,
    "semi_log": lambda N, D, a, b, c: a + b * np.log(N) + c * np.log(D),
    "product": lambda N, D, K, a, b: K * N ** (-a) * D ** (-b),
    "product_with_floor": lambda N, D, E, K, a, b: E + K * N ** (-a) * D ** (-b),
    "product_with_overhead": lambda n, c, K, r: c + K * n**r,
    "additive_power": lambda N, D, E, A, a, B, b: E + A * N ** (-a) + B * D ** (-b),
    "translog": lambda N, D, c0, cN, cD, qNN, qND, qDD: _translog(
        np.log([N, D]), c0, (cN, cD), (qNN, qND, qDD)
    ),
}
RANGES = {
    "params": (1e7, 1e10),
    "tokens": (1e8, 1e11),
    "flops": (1e17, 1e22),
    "samples": (1e2, 1e5),
    "steps": (1e3, 1e5),
    "unique_tokens": (1e8, 1e10),
    "experts": (1.0, 512.0),
    "streams": (1.0, 8.0),
    "vocab_size": (4e3, 1e5),
    "learning_rate": (1e-4, 1e-2),
    "batch_size": (3e4, 4e6),
    "sparsity_ratio": (1.0, 16.0),
    "teacher_loss": (1.9, 3.5),
    "task_loss": (0.3, 2.0),
    "attempts": (1.0, 100.0),  # the gamma function overflows above 170
    "learning_rate_sum": (0.1, 30.0),
    "learning_rate_annealing": (0.01, 0.5),
}
FALLING = (
    "power_with_floor",
    "shifted_power",
    "exponential_with_floor",
    "stretched_exponential",
    "chinchilla",
    "kaplan_with_floor",
    "coupled",
    "two_plateau_joint",
    "repeated_data",
    "repeated_data_power_mean",
    "experts_product",
    "parallel_streams",
    "rectified",
    "product_with_floor",
    "additive_power",
    "inverse_logarithmic",
)
ANY_INPUTS = ("log_linear", "product", "product_with_floor", "additive_power", "translog")
ANY_INPUTS += ("log_linear_with_floor", "linear", "semi_log", "product_with_overhead")
ANY_INPUTS += ("mixture_exponential", "mixture_additive", "mixture_inverse")
FORMULAS |= formulas_joint.JOINT
RANGES |= formulas_joint.RANGES
FALLING += formulas_joint.FALLING
ANY_INPUTS += formulas_joint.ANY_INPUTS


def typical_inputs(family: LawFamily, rng: np.random.Generator, n: int = 20) -> list[np.ndarray]:
    """Inputs of the usual magnitude; of order one where the form is defined on the real line."""
    if family.input_domain == "real" and "learning_rate_annealing" not in family.inputs:
        return [rng.uniform(-1, 1, n) for _ in family.inputs]
    if family.input_domain == "fraction":
        return list(rng.dirichlet(np.ones(len(family.inputs)), n).T)
    spans = [RANGES.get(name, (1.0, 100.0)) for name in family.inputs]
    return [np.exp(rng.uniform(np.log(low), np.log(high), n)) for low, high in spans]


def near_example(family: LawFamily, units: Sequence[float]) -> list[float]:
    """The example, each coefficient moved by up to 30 %, inside its bounds."""
    moved = zip(family.coefficients, units, strict=False)
    return [
        float(np.clip(family.example[c.name] * (1 + 0.3 * u), c.lower, c.upper)) for c, u in moved
    ]


def test_every_registered_law_has_a_formula_row():
    assert sorted(FORMULAS) == list_laws()


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_conforms(name):
    check_law(name)


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_matches_the_formula_as_published(name):
    family, rng = get_law(name), np.random.default_rng(1)
    for _ in range(20):
        inputs = typical_inputs(family, rng)
        coef = near_example(family, rng.uniform(-1, 1, len(family.coefficients)))
        np.testing.assert_allclose(
            family.evaluate(inputs, coef), FORMULAS[name](*inputs, *coef), rtol=1e-12, atol=0
        )


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ANY_INPUTS)
def test_laws_over_any_inputs_conform_at_every_number_of_inputs(name, count, seed):
    check_law(get_law(name, ("params", "knob", "tokens", "width")[:count]), seed=seed)


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_mirrored_laws_conform(name):
    check_law(get_law(name).bind(increasing=True))


# --- reductions: one law at special coefficients is another ------------------------------------


@pytest.fixture
def grid():
    rng = np.random.default_rng(2)
    return typical_inputs(get_law("chinchilla"), rng, 50)


def test_coupled_with_unit_power_is_chinchilla(grid):
    coef = [1.69, 406.4, 0.34, 410.7, 0.28]
    np.testing.assert_allclose(
        get_law("coupled").evaluate(grid, [*coef, 1.0]),
        get_law("chinchilla").evaluate(grid, coef),
        rtol=1e-13,
    )


def test_coupled_with_unit_data_exponent_is_kaplan_with_floor(grid):
    K, rho, R, beta = 10.0, 0.8, 1e3, 0.3
    A = K ** (1 / beta)
    np.testing.assert_allclose(
        get_law("coupled").evaluate(grid, [1.5, A, rho, A * R, 1.0, beta]),
        get_law("kaplan_with_floor").evaluate(grid, [1.5, K, rho, R, beta]),
        rtol=1e-12,
    )


def test_kaplan_with_zero_floor_is_kaplan(grid):
    Nc, alpha_n, Dc, alpha_d = 6.4e13, 0.076, 1.8e13, 0.103
    rho = alpha_n / alpha_d
    mapped = [0.0, Nc**alpha_n, rho, Dc * Nc**-rho, alpha_d]
    np.testing.assert_allclose(
        get_law("kaplan_with_floor").evaluate(grid, mapped),
        get_law("kaplan").evaluate(grid, [Nc, alpha_n, Dc, alpha_d]),
        rtol=1e-12,
    )


def test_product_with_zero_floor_is_product(grid):
    np.testing.assert_allclose(
        get_law("product_with_floor").evaluate(grid, [0.0, 20.0, 0.05, 0.07]),
        get_law("product").evaluate(grid, [20.0, 0.05, 0.07]),
        rtol=1e-14,
    )


def test_additive_power_of_size_and_data_is_chinchilla(grid):
    coef = [1.69, 406.4, 0.34, 410.7, 0.28]
    np.testing.assert_allclose(
        get_law("additive_power").evaluate(grid, coef),
        get_law("chinchilla").evaluate(grid, coef),
        rtol=1e-14,
    )


def test_translog_without_quadratic_terms_is_product(grid):
    np.testing.assert_allclose(
        get_law("translog").evaluate(grid, [np.log(20.0), -0.05, -0.07, 0.0, 0.0, 0.0]),
        get_law("product").evaluate(grid, [20.0, 0.05, 0.07]),
        rtol=1e-13,
    )


def test_shifted_power_without_shift_is_power_with_floor():
    x = np.geomspace(1, 1e5, 30)
    np.testing.assert_allclose(
        get_law("shifted_power").evaluate([x], [0.1, 5.0, 0.0, 0.5]),
        get_law("power_with_floor").evaluate([x], [0.1, 5.0, 0.5]),
        rtol=1e-14,
    )


def test_stretched_exponential_of_shape_one_is_exponential_with_floor():
    x = np.geomspace(1, 1e4, 30)
    np.testing.assert_allclose(
        get_law("stretched_exponential").evaluate([x], [0.1, 0.8, 200.0, 1.0]),
        get_law("exponential_with_floor").evaluate([x], [0.1, 0.8, 1 / 200.0]),
        rtol=1e-12,
    )


def test_power_with_zero_floor_is_power():
    x = np.geomspace(1e17, 1e22, 30)
    np.testing.assert_allclose(
        get_law("power_with_floor").evaluate([x], [0.0, 25.0, 0.05]),
        get_law("power").evaluate([x], [25.0, 0.05]),
        rtol=1e-15,
    )


# --- properties --------------------------------------------------------------------------------

units = st.lists(st.floats(-1, 1), min_size=12, max_size=12)
factors = st.lists(st.floats(1e-3, 1e3), min_size=5, max_size=5)


@pytest.mark.parametrize("name", sorted(n for n in FORMULAS if get_law(n).rescale))
@given(units=units, factors=factors)
def test_rescaled_coefficients_give_the_same_curve(name, units, factors):
    family = get_law(name)
    inputs = typical_inputs(family, np.random.default_rng(3))
    coef = dict(zip(family.coefficient_names, near_example(family, units), strict=True))
    chosen = family.same_unit(factors[: len(inputs)])
    rescaled = family.rescale(coef, chosen)
    np.testing.assert_allclose(
        family.evaluate(
            [x * s for x, s in zip(inputs, chosen, strict=True)],
            [rescaled[n] for n in family.coefficient_names],
        ),
        family.evaluate(inputs, list(coef.values())),
        rtol=1e-9,
    )


@pytest.mark.parametrize("name", FALLING)
@given(units=units, growth=st.floats(1.01, 1e3))
def test_laws_with_a_floor_fall_towards_it_in_every_input(name, units, growth):
    family = get_law(name)
    coef = near_example(family, units)
    inputs = typical_inputs(family, np.random.default_rng(4))
    value = family.evaluate(inputs, coef)
    for i in range(len(inputs)):
        grown = [x * growth if j == i else x for j, x in enumerate(inputs)]
        further = family.evaluate(grown, coef)
        assert np.all(further <= value)
        assert np.all(further >= coef[family.floor_index])
    mirrored = family.bind(increasing=True)
    assert np.all(mirrored.evaluate(inputs, coef) <= coef[family.floor_index])


@pytest.mark.parametrize("name", sorted(FORMULAS))
@given(units=units)
def test_derivatives_agree_with_central_differences(name, units):
    family = get_law(name)
    coef = near_example(family, units)
    inputs = typical_inputs(family, np.random.default_rng(5))
    value, columns = family.evaluate_with_jacobian(inputs, coef)
    np.testing.assert_allclose(value, family.evaluate(inputs, coef), rtol=1e-13)
    for i, column in enumerate(columns):
        step = 1e-5 * (abs(coef[i]) or 1.0)
        above, below = ([*coef[:i], coef[i] + h, *coef[i + 1 :]] for h in (step, -step))
        numeric = (family.evaluate(inputs, above) - family.evaluate(inputs, below)) / (2 * step)
        rounding = 1e-15 * np.abs(value).max() / step
        np.testing.assert_allclose(
            np.broadcast_to(column, np.shape(value)),
            numeric,
            rtol=1e-6,
            atol=1e-7 * np.abs(numeric).max() + 10 * rounding,
        )


def test_without_complex_step_derivatives_are_central_differences():
    coupled = replace(get_law("coupled"), value_and_jacobian=None)
    inputs = typical_inputs(coupled, np.random.default_rng(6))
    coef = list(coupled.example.values())
    _, exact = coupled.evaluate_with_jacobian(inputs, coef)
    _, numeric = replace(coupled, analytic=False).evaluate_with_jacobian(inputs, coef)
    for a, b in zip(exact, numeric, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8 * np.abs(a).max())


# --- a law with numbers ------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_laws())
def test_no_inputs_give_no_values(name):
    family = get_law(name)
    law = family.with_coef(family.example)
    assert law(**{n: np.array([]) for n in family.inputs}).shape == (0,)


def test_law_takes_scalars_and_broadcasts_arrays():
    law = get_law("chinchilla").with_coef(get_law("chinchilla").example)
    value = law(params=7e10, tokens=1.4e12)
    assert isinstance(value, float)
    assert value == pytest.approx(1.69 + 406.4 * 7e10**-0.34 + 410.7 * 1.4e12**-0.28, rel=1e-14)
    assert law(params=[1e9, 1e10], tokens=1e11).shape == (2,)
    assert law(params=np.ones((3, 1)), tokens=np.ones(4)).shape == (3, 4)
    assert law.floor == 1.69


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"params": 1e9}, r"missing \['tokens'\]"),
        ({"params": 1e9, "token": 1e9}, r"missing \['tokens'\].*'tokens'"),
        ({"params": 1e9, "tokens": 1e9, "param": 1.0}, r"unknown \['param'\].*'params'"),
        ({"params": [1e9, -1.0], "tokens": 1e9}, r"'params' must be positive.*row 1"),
        ({"params": [1.0, 2.0], "tokens": [1.0, 2.0, 3.0]}, "do not broadcast"),
    ],
)
def test_law_says_what_is_wrong_with_its_inputs(inputs, message):
    law = get_law("chinchilla").with_coef(get_law("chinchilla").example)
    with pytest.raises(DataError, match=message):
        law(**inputs)
