"""The coefficients papers print: the paper's formula and the law's agree, both ways."""

from __future__ import annotations

import numpy as np
import pytest

import scaling_laws as sl
from scaling_laws.errors import LawError
from scaling_laws.laws.parametrizations import PARAMETRIZATIONS

X = np.geomspace(1.5, 1e6, 60)
X_OF = {"accuracy_from_loss": np.linspace(0.1, 5.0, 30)}
HIGHER = {"alpha": 0.73, "beta": 0.07, "kappa": 0.355, "delta": 0.46}
LOWER = {"alpha": 0.07, "beta": 0.73, "kappa": 0.01, "delta": 0.6}


def janoschek(x, alpha, beta, kappa, delta):
    return alpha - (alpha - beta) * np.exp(-kappa * x**delta)


def weibull(x, alpha, beta, kappa, delta):
    return alpha - (alpha - beta) * np.exp(-((kappa * x) ** delta))


def mmf(x, alpha, beta, kappa, delta):
    return alpha - (alpha - beta) / (1 + (kappa * x) ** delta)


FORMULAS = {  # as the papers write them, with coefficients of falling and of growing curves
    "pow3": (lambda x, a, b, c: a - b * x**-c,
             {"a": 0.9, "b": 0.8, "c": 0.3}, {"a": 0.1, "b": -2.0, "c": 0.4}),
    "henighan": (lambda x, L_inf, x0, alpha: L_inf + (x0 / x) ** alpha,
                 {"L_inf": 1.7, "x0": 3.0e3, "alpha": 0.17}),
    "pow4": (lambda x, a, b, c, d: a - b * (x + d) ** -c,
             {"a": 0.9, "b": 0.8, "c": 0.3, "d": 7.0}, {"a": 0.1, "b": -2.0, "c": 0.4, "d": 9.0}),
    "pow4_domhan": (lambda x, c, a, b, alpha: c - (a * x + b) ** -alpha,
                    {"c": 0.84, "a": 200.0, "b": 0.1, "alpha": 0.1}),
    "zhai": (lambda x, a, b, c, d: a * (x + d) ** -b + c,
             {"a": 0.26, "d": 0.01, "b": 0.35, "c": 0.09}),
    "bansal": (lambda x, alpha, C, p: alpha * (1 / x + C) ** p,
               {"alpha": 6.0, "C": 1e-4, "p": 0.3}),
    "m3": (lambda x, beta, gamma, c: beta * (1 / x + gamma) ** c,
           {"beta": 6.0, "gamma": 1e-4, "c": 0.3}),
    "logx_linear": (lambda x, a, b: a * np.log(x) + b, {"a": 0.04, "b": 0.2}),
    "ilog2": (lambda x, c, a: c - a / np.log(x + 1), {"c": 0.78, "a": 0.43},
              {"c": 0.1, "a": -2.0}),
    "loglog_linear": (lambda x, a, b: np.log(a * np.log(x) + b), {"a": 0.05, "b": 1.2}),
    "exp3": (lambda x, a, b, c: a * np.exp(-b * x) + c, {"a": 0.4, "b": 1e-4, "c": 0.2},
             {"a": -0.4, "b": 1e-4, "c": 0.8}),
    "expd3": (lambda x, a, b, c: c - (c - a) * np.exp(-b * x), {"a": 0.2, "b": 1e-4, "c": 0.8},
              {"a": 0.9, "b": 1e-4, "c": 0.1}),
    "wbl4": (lambda x, a, b, c, d: c - b * np.exp(-a * x**d),
             {"a": 0.05, "b": 0.6, "c": 0.9, "d": 0.4}, {"a": 0.05, "b": -0.6, "c": 0.1, "d": 0.4}),
    "exp4": (lambda x, c, a, b, alpha: c - np.exp(-a * x**alpha + b),
             {"c": 0.9, "a": 0.08, "b": -0.8, "alpha": 0.3}),
    "janoschek": (janoschek, HIGHER, LOWER),
    "weibull": (weibull, HIGHER, LOWER),
    "mmf4": (lambda x, a, b, c, d: (a * b + c * x**d) / (b + x**d),
             {"a": 0.2, "b": 30.0, "c": 0.9, "d": 0.5}),
    "mmf": (mmf, HIGHER, LOWER),
    "log_logistic": (lambda x, lo, hi, k, x0: lo + (hi - lo) / (1 + np.exp(-k * (np.log(x) - x0))),
                     {"lo": 0.2, "hi": 0.9, "k": 0.8, "x0": 6.0}),
    "rl_sigmoid": (lambda x, R0, A, C_mid, B: R0 + (A - R0) / (1 + (C_mid / x) ** B),
                   {"R0": 0.2, "A": 0.61, "C_mid": 2e3, "B": 1.4}),
    "dr_hill_zero_background": (lambda x, theta, eta, kappa: (
        theta * x**eta / (kappa**eta + x**eta)), {"theta": 0.772, "eta": 0.586, "kappa": 2.46}),
    "logpower3": (lambda x, a, b, c: a / (1 + (x / np.exp(b)) ** c),
                  {"a": 0.77, "b": 2.98, "c": -0.51}),
    "bnsl": (lambda x, a, b, c0, c1, d1, f1: (
        a + b * x**-c0 * (1 + (x / d1) ** (1 / f1)) ** (-c1 * f1)),
        {"a": 0.1, "b": 1.2, "c0": 0.05, "c1": 0.6, "d1": 3e3, "f1": 0.4}),
    "accuracy_from_loss": (lambda x, a, b, k, L0: a / (1 + np.exp(-k * (x - L0))) + b,
                           {"a": 0.6, "b": 0.25, "k": -4.0, "L0": 2.0}),
    "pass_at_k": (lambda x, a, b: np.exp(a * x**b), {"a": -1.6, "b": -0.35}),
}  # fmt: skip
CASES = [(name, coef) for name, (_, *coefs) in FORMULAS.items() for coef in coefs]


def test_every_parametrization_but_the_implicit_one_has_a_formula_row():
    assert {p.name for p in PARAMETRIZATIONS} == {*FORMULAS, "m4"}


@pytest.mark.parametrize("form", PARAMETRIZATIONS, ids=lambda p: p.name)
def test_a_parametrization_is_named_by_an_alias_of_its_law(form):
    assert sl.parametrization(form.name) is form
    assert sl.get_law(form.name).name == form.law
    assert form.formula
    assert form.reference


@pytest.mark.parametrize(("name", "coef"), CASES)
def test_the_curve_is_the_papers_and_the_coefficients_come_back(name, coef):
    form = sl.parametrization(name)
    law = form.with_coef(coef, inputs=("x",))
    x = X_OF.get(name, X)
    np.testing.assert_allclose(law(x=x), FORMULAS[name][0](x, **coef), rtol=1e-10)
    assert form.coef_of(law) == pytest.approx(coef, rel=1e-10)
    assert form.with_coef(form.coef_of(law), inputs=("x",)).values == pytest.approx(law.values)


def test_the_implicit_law_satisfies_the_papers_equation():
    coef = {"e_inf": 0.05, "e_0": 0.92, "beta": 8.0, "c": -0.4, "a": 0.6}
    form = sl.parametrization("m4")
    law = form.with_coef(coef)
    y = law(samples=X)
    left = (y - coef["e_inf"]) / (coef["e_0"] - y) ** coef["a"]
    np.testing.assert_allclose(left, coef["beta"] * X ** coef["c"], rtol=1e-10)
    assert form.coef_of(law) == pytest.approx(coef, rel=1e-10)


def test_growing_curves_are_mirrored_laws():
    falling, growing = (sl.parametrization("janoschek").with_coef(c) for c in (LOWER, HIGHER))
    assert not falling.family.increasing
    assert growing.family.increasing
    assert growing.coef["A"] > 0


def test_a_sigmoid_that_rises_with_its_input_is_written_with_the_levels_exchanged():
    form = sl.parametrization("accuracy_from_loss")
    law = form.with_coef({"a": 0.6, "b": 0.25, "k": 4.0, "L0": 2.0}, inputs=("x",))
    x = X_OF["accuracy_from_loss"]
    expected = FORMULAS["accuracy_from_loss"][0](x, 0.6, 0.25, 4.0, 2.0)
    np.testing.assert_allclose(law(x=x), expected, rtol=1e-10)
    again = form.with_coef(form.coef_of(law), inputs=("x",))
    np.testing.assert_allclose(again(x=x), expected, rtol=1e-10)


def test_coefficients_of_a_fit():
    law = sl.parametrization("janoschek").with_coef(HIGHER)
    samples = np.geomspace(1, 1e3, 30)
    fit = sl.Fitter(draws=0).fit(
        {"samples": samples, "accuracy": law(samples=samples)}, "janoschek", target="accuracy"
    )
    assert sl.parametrization("janoschek").coef_of(fit.law) == pytest.approx(HIGHER, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sl.parametrization("janosek"), "Did you mean 'janoschek'"),
        (lambda: sl.parametrization("pow3").with_coef({"a": 1.0, "b": 1.0}), r"value for \['c'\]"),
        (lambda: sl.parametrization("weibull").with_coef({"alfa": 1.0}), "Did you mean 'alpha'"),
        (
            lambda: sl.parametrization("wbl4").with_coef({"a": -1.0, "b": 1.0, "c": 1.0, "d": 0.5}),
            "no curve of 'stretched_exponential'.*Check the signs",
        ),
        (
            lambda: sl.parametrization("pow4_domhan").coef_of(
                sl.get_law("shifted_power").with_coef(sl.get_law("shifted_power").example)
            ),
            "cannot write",
        ),
        (lambda: sl.parametrization("pow3").coef_of(sl.published.HOFFMANN_2022), "'chinchilla'"),
        (lambda: sl.parametrization(["pow3"]), "no parametrization"),
        (lambda: sl.parametrization("pow3").with_coef([1.0, 1.0, 1.0]), "by name"),
        (
            lambda: sl.parametrization("pow3").with_coef({"a": "one", "b": 1.0, "c": 1.0}),
            "'a' must be a number",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(call, message):
    with pytest.raises(LawError, match=message):
        call()
