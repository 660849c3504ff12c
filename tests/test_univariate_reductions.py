"""Laws in one input: where one is another, exactly or in a limit, and how fast the limit is met."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import betabinom
from simulate import runs_of

import scaling_laws as sl
from scaling_laws.laws.registry import get_law

X = np.geomspace(2, 1e6, 60)
K = np.array([1.0, 2.0, 5.0, 30.0, 100.0])
POWER = {"E": 0.3, "A": 5.0, "alpha": 0.4}
BREAK = {"E": 0.1, "A": 1.2, "c0": 0.05, "c1": 0.6, "d1": 3e3, "f1": 0.4}
SECOND = {"c2": -0.3, "d2": 5e4, "f2": 0.2}


def value(name, x=X, **coef):
    family = get_law(name, ("x",) if np.ndim(x) == 1 and get_law(name).build else None)
    return family.evaluate([x], [coef[n] for n in family.coefficient_names])


SAME = {
    "a break with c1 f = 1 from a flat start: falling hill": (
        value("broken_power", E=0.0, A=0.8, c0=0.0, c1=0.7, d=400.0, f=1 / 0.7),
        value("hill", A=0.8, scale=400.0, d=-0.7),
    ),
    "exponential of semi-log: product": (
        np.exp(value("semi_log", c0=2.0, c_x=-0.08)),
        value("product", K=np.exp(2.0), alpha_x=0.08),
    ),
    "exponential of linear: log-linear": (
        np.exp(value("linear", c0=2.0, c_x=-1e-6)),
        value("log_linear", c0=2.0, c_x=-1e-6),
    ),
    "far beyond two breaks the exponents add": (
        value("broken_power_2", **{**BREAK, **SECOND, "d1": 1e-9, "d2": 1e-8}),
        value("power_with_floor", E=0.1, A=1.2 * 1e-9**0.6 * 1e-8**-0.3, alpha=0.35),
    ),
    "minus the logarithm of coverage: power": (
        -np.log(value("repeated_sampling", a=1.6, b=0.35)),
        value("power", A=1.6, alpha=0.35),
    ),
    "chances spread evenly: one in k + 1 is missed": (
        value("repeated_sampling_beta", a=1.0, b=1.0),
        X / (X + 1.0),
    ),
    "k attempts at chances from a beta distribution": (
        value("repeated_sampling_beta", x=K, a=0.4, b=3.0),
        1.0 - betabinom.pmf(0, K.astype(int), 0.4, 3.0),
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_one_law_is_another(case):
    np.testing.assert_allclose(*SAME[case], rtol=1e-8)


def test_coverage_is_the_mean_over_problems():
    def solved(p, k):
        return (1.0 - (1.0 - p) ** k) * 3.0 * (1.0 - p) ** 2  # Beta(1, 3)

    expected = [quad(solved, 0.0, 1.0, args=(k,))[0] for k in K]
    np.testing.assert_allclose(value("repeated_sampling_beta", x=K, a=1.0, b=3.0), expected)


def weak_stretch(d):
    """``A exp(-(alpha/d) x^d)`` less the power it tends to, its amplitude grown with ``1/d``."""
    coef = {"E": 0.3, "A": 5.0 * np.exp(0.4 / d), "scale": (0.4 / d) ** (-1 / d), "d": d}
    x = X[X < 50]
    return value("stretched_exponential", x=x, **coef) - value("power_with_floor", x=x, **POWER)


LIMITS = {  # distance from the limit at a small number, and the power of it that it follows
    "skew towards zero: power with floor": (
        lambda h: (
            value("skewed_two_plateau", start=1e3, end=0.3, scale=1e-3, d=0.4, a=h)
            - value("power_with_floor", E=0.3, A=(1e3 - 0.3) * 1e-3**0.4, alpha=0.4)
        ),
        1,
    ),
    "left plateau towards infinity: power with floor": (
        lambda h: (
            value("two_plateau", start=0.3 + 5.0 / h, end=0.3, scale=h ** (1 / 0.4), d=0.4)
            - value("power_with_floor", **POWER)
        ),
        1,
    ),
    "stretch towards zero: power with floor": (
        lambda h: weak_stretch(10 * h),
        1,
    ),
    "exponent towards zero: logarithmic": (
        lambda h: (
            value("power_with_floor", E=6.0 - 0.5 / h, A=0.5 / h, alpha=h)
            - value("logarithmic", b=6.0, a=0.5)
        ),
        1,
    ),
    "a small slope inside the logarithm: logarithmic": (
        lambda h: (
            value("log_log_linear", b=3.0, a=3.0 * h) - value("logarithmic", b=np.log(3.0), a=h)
        ),
        2,
    ),
    "large inputs: the inverse logarithm without one added": (
        lambda h: (
            value("inverse_logarithmic", x=1 / np.array([h]), E=0.0, A=1.0) - 1.0 / np.log(1 / h)
        ),
        1,
    ),
    "many attempts: a power of what is missed": (
        lambda h: (
            (1.0 - value("repeated_sampling_beta", x=1 / np.array([h]), a=1.0, b=3.0)) / h - 3.0
        ),
        1,
    ),
}


@pytest.mark.parametrize("case", LIMITS)
def test_limits_are_approached_at_their_order(case):
    distance, order = LIMITS[case]
    far, near = (np.abs(distance(h)).max() for h in (4e-3, 1e-3))
    logs = 0.35 if "inverse logarithm" in case else 0.08  # that one carries a logarithm squared
    assert np.log(far / near) / np.log(4.0) == pytest.approx(order, abs=logs)


def test_breaks_may_be_given_in_any_order():
    swapped = {"c1": -0.3, "d1": 5e4, "f1": 0.2, "c2": 0.6, "d2": 3e3, "f2": 0.4}
    np.testing.assert_allclose(
        value("broken_power_2", **BREAK, **SECOND),
        value("broken_power_2", E=0.1, A=1.2, c0=0.05, **swapped),
        rtol=1e-12,
    )


def test_fitted_breaks_come_in_order_and_one_break_cannot_follow_two():
    table = runs_of("broken_power_2", noise=0.01, seed=3)
    two, one = (sl.Fitter(draws=0).fit(table, n) for n in ("broken_power_2", "broken_power"))
    assert two.coef["d1"] < two.coef["d2"]
    assert two.coef["d2"] == pytest.approx(1e4, rel=0.3)
    assert np.std(two.residuals) < 0.012 < 0.03 < np.std(one.residuals)


@pytest.mark.parametrize("a", [1e-3, 0.5, 1.0, 10.0])
def test_the_implicit_law_is_solved_far_into_both_plateaus(a):
    x = np.concatenate([[1e-300], np.geomspace(1e-30, 1e30, 41), [1e300]])
    y = value("skewed_two_plateau", x=x, start=1.0, end=0.0, scale=1.0, d=0.5, a=a)
    assert np.all(np.isfinite(y))
    assert np.all(np.diff(y) <= 0)
    inside = (y > 1e-12) & (y < 1 - 1e-4)
    left = np.log(y[inside]) - a * np.log1p(-y[inside])
    np.testing.assert_allclose(left, -0.5 * np.log(x[inside]), rtol=1e-9, atol=1e-9)


def test_a_kink_is_fitted_as_a_narrow_break():
    """A width of zero would be no law at all: the fit stops short of it and says a number."""
    samples = np.geomspace(10, 1e5, 25)
    loss = np.where(samples < 1e3, 0.5, 0.5 * (samples / 1e3) ** -0.4)
    fit = sl.Fitter(draws=0).fit({"samples": samples, "loss": loss}, "broken_power")
    assert np.isfinite(fit.law(samples=samples)).all()
    assert 1e-3 <= fit.coef["f"] < 0.1
    assert np.abs(fit.residuals).max() < 1e-3
