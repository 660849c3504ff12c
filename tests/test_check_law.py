"""Negative controls: the conformance suite refuses what is wrong and accepts what is right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scaling_laws.errors import LawError
from scaling_laws.laws.family import (
    LawFamily,
    amplitude,
    exponent,
    floor,
    plateau,
    scale,
    slope,
)
from scaling_laws.testing import check_law


def _good(x, E, A, alpha):
    return E + A * np.exp(-alpha * np.log(x))


def _good_rescale(coef, factors):
    return {**coef, "A": coef["A"] * np.exp(coef["alpha"] * np.log(factors[0]))}


def _wrong_rescale(coef, factors):
    return {**coef, "A": coef["A"] * factors[0]}


def _short_rescale(coef, factors):
    return {"A": coef["A"]}


def _wrong_jacobian(x, E, A, alpha):
    unit = np.exp(-alpha * np.log(x))
    return E + A * unit, [np.ones_like(A * unit), unit, -A * unit]


def _wrong_value_and_jacobian(x, E, A, alpha):
    unit = np.exp(-alpha * np.log(x))
    return A * unit, [np.ones_like(A * unit), unit, -np.log(x) * A * unit]


def _writes_to_its_input(x, E, A, alpha):
    x /= 1e9
    return E + A * np.exp(-alpha * np.log(x))


_calls = []


def _remembers(x, E, A, alpha):
    _calls.append(1)
    return E + A * np.exp(-alpha * np.log(x)) + 1e-6 * len(_calls)


def _mixes_rows(x, E, A, alpha):
    return E + A * np.exp(-alpha * np.log(x / np.mean(x)))


def _does_not_broadcast(x, E, A, alpha):
    return np.array([float(E) + float(A) * v ** -float(alpha) for v in x])


def _not_analytic(x, E, A, alpha):
    return E + np.abs(A * np.exp(-alpha * np.log(x)))


def _logaddexp(x, E, A, alpha):
    return np.exp(np.logaddexp(np.log(E), np.log(A) - alpha * np.log(x)))


def _not_a_number(x, E, A, alpha):
    return E + A * np.log(-x) + alpha


def _below_its_floor(x, E, A, alpha):
    return E - A * np.exp(-alpha * np.log(x))


def _bilinear(x, a, b):
    return a * b + 0 * x


def _solved(x, E, A, alpha):
    return E + np.sqrt(A) * np.exp(-alpha * np.log(x))


def _right_from_solved(coef):
    return {**coef, "A": np.sqrt(coef["A"])}


def _wrong_from_solved(coef):
    return {**coef, "A": 2 * coef["A"]}


GOOD = LawFamily(
    name="good",
    function=_good,
    inputs=("samples",),
    coefficients=(floor("E"), amplitude("A"), exponent("alpha")),
    formula="E + A x^-alpha",
    reference="the tests",
    example={"E": 0.2, "A": 3.0, "alpha": 0.4},
    rescale=_good_rescale,
)
SOLVED = LawFamily(
    name="good_solved",
    function=_solved,
    inputs=("samples",),
    coefficients=(floor("E"), scale("A"), exponent("alpha")),
)
GOOD_CONTROLS = {
    "as declared": {},
    "without rescale": {"rescale": None},
    "solved in other coefficients": {"solve_as": SOLVED, "from_solved": _right_from_solved},
    "not analytic, and says so": {"function": _not_analytic, "analytic": False},
    "exponent as a claim on the logarithm": {
        "coefficients": (amplitude("E"), amplitude("A"), exponent("alpha")),
    },
}
BROKEN = {
    "no reference": ({"reference": ""}, "declaration: it has no reference"),
    "no example": ({"example": {}}, "declaration: it has no example"),
    "no starts": (
        {"coefficients": (floor("E"), amplitude("A"), replace(exponent("alpha"), starts=None))},
        "declaration: coefficient 'alpha' is searched but has no starts",
    ),
    "lambda": (
        {"function": lambda x, E, A, alpha: E + A * np.exp(-alpha * np.log(x))},
        "pickling: .*top level of a module",
    ),
    "wrong target claim": (
        {"coefficients": (floor("E"), amplitude("A"), slope("alpha", "target"))},
        r"linear claim: the value is not linear in \['alpha'\]",
    ),
    "wrong log claim": (
        {"coefficients": (floor("E"), amplitude("A"), slope("alpha", "log"))},
        r"linear claim: the logarithm of the value is not linear in \['alpha'\]",
    ),
    "wrong rescale": ({"rescale": _wrong_rescale}, "rescale: with inputs .* another curve"),
    "short rescale": ({"rescale": _short_rescale}, r"rescale: rescale returned \['A'\]"),
    "wrong jacobian": (
        {"value_and_jacobian": _wrong_jacobian},
        "derivatives: the derivative in 'alpha' differs",
    ),
    "wrong value beside the jacobian": (
        {"value_and_jacobian": _wrong_value_and_jacobian},
        "derivatives: its value differs",
    ),
    "writes to its input": (
        {"function": _writes_to_its_input},
        r"purity: it modified its arguments \['samples'\]",
    ),
    "keeps state": ({"function": _remembers}, "purity: the same call gave two results"),
    "mixes rows": ({"function": _mixes_rows}, "shapes: one row at a time differs"),
    "does not broadcast": (
        {"function": _does_not_broadcast},
        "evaluation: it raised TypeError|shapes: ",
    ),
    "absolute value": ({"function": _not_analytic}, "derivatives: .*analytic=False"),
    "logaddexp": (
        {"function": _logaddexp},
        "derivatives: it raised TypeError: .*analytic=False",
    ),
    "not a number": ({"function": _not_a_number}, "finite values: the example gives NaN"),
    "below its floor": ({"function": _below_its_floor}, "finite values: it goes below 'E'"),
    "solved form alone": ({"solve_as": SOLVED}, "solved form: .*come together"),
    "solved form of the same name": (
        {"solve_as": replace(SOLVED, name="good"), "from_solved": _right_from_solved},
        "solved form: solve_as is named 'good'",
    ),
    "wrong map from the solved form": (
        {"solve_as": SOLVED, "from_solved": _wrong_from_solved},
        "solved form: from_solved gives another curve",
    ),
    "wrong claim in the solved form": (
        {
            "solve_as": replace(SOLVED, coefficients=GOOD.coefficients),
            "from_solved": _right_from_solved,
        },
        r"solved form: of solve_as, the value is not linear in \['A'\]",
    ),
}


@pytest.mark.parametrize("change", GOOD_CONTROLS.values(), ids=GOOD_CONTROLS)
def test_check_law_accepts_what_is_right(change):
    check_law(replace(GOOD, **change))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # NumPy's, for float() of an array
@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_check_law_refuses_what_is_wrong(change, message):
    with pytest.raises(LawError, match=message) as caught:
        check_law(replace(GOOD, **change))
    assert str(caught.value).startswith("law 'good' fails ")


def test_check_law_names_coefficients_that_are_linear_only_one_at_a_time():
    family = LawFamily(
        name="bilinear",
        function=_bilinear,
        inputs=("samples",),
        coefficients=(plateau("a"), plateau("b")),
        formula="a b",
        reference="the tests",
        example={"a": 1.0, "b": 2.0},
    )
    with pytest.raises(LawError, match=r"linear in each of \['a', 'b'\] but not in all together"):
        check_law(family)


def test_check_law_reports_every_failure_at_once():
    broken = replace(GOOD, reference="", rescale=_wrong_rescale)
    with pytest.raises(LawError, match="fails 2 checks") as caught:
        check_law(broken)
    assert str(caught.value).count("\n- ") == 2


def test_makers_declare_the_roles_they_name():
    made = (floor(), plateau("c"), amplitude("A"), exponent("alpha"), scale("s"), slope("m"))
    assert [c.role for c in made] == ["floor", "plateau", "amplitude", "exponent", "scale", "slope"]
    assert [c.linear for c in made] == ["target", "target", "target", None, None, "log"]
    assert all((c.linear is None) == (c.starts is not None) for c in made)
