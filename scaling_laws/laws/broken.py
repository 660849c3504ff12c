"""Laws in one input that bend more than once: breaks, bumps and turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_laws.laws.elementary import grown, softplus
from scaling_laws.laws.family import (
    Coefficient,
    Coefs,
    LawFamily,
    amplitude,
    exponent,
    floor,
    plateau,
    scale,
    shape,
    signed_exponent,
)


def _width(name: str, starts: tuple[float, float], meaning: str) -> Coefficient:
    """A width in e-folds: below the least one a break is a kink, and at zero there is no law."""
    return Coefficient(name, "shape", 1e-3, 10.0, None, starts, meaning)


_STEEPEST = 24.0  # exponent in force that no run could tell from a steeper one
_BEFORE = signed_exponent("c0", (-0.2, 1.0), "exponent before any break")


def _broken(x: Any, E: Any, A: Any, c0: Any, *breaks: Any) -> Any:
    log_x = np.log(x)
    steepness = c0 * log_x
    for c, d, f in _by_break(breaks):
        steepness = steepness + c * f * softplus((log_x - np.log(d)) / f)
    return E + A * np.exp(-steepness)


def _broken_derivatives(x: Any, E: Any, A: Any, c0: Any, *breaks: Any) -> tuple[Any, list[Any]]:
    log_x = np.log(x)
    steepness, columns = c0 * log_x, [-log_x]
    for c, d, f in _by_break(breaks):
        z = (log_x - np.log(d)) / f
        small = np.exp(-np.abs(z))
        bent = np.maximum(z, 0.0) + np.log1p(small)  # softplus
        share = np.where(z > 0, 1.0, small) / (1.0 + small)  # and its slope
        steepness = steepness + c * f * bent
        columns += [-f * bent, c * share / d, -c * (bent - z * share)]
    unit = np.exp(-steepness)
    return E + A * unit, [np.ones_like(unit), unit, *(A * unit * column for column in columns)]


def _by_break(breaks: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Exponent added, place and width of every break."""
    return list(zip(breaks[::3], breaks[1::3], breaks[2::3], strict=True))


def _broken_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    moved = {n: v * factors[0] for n, v in coef.items() if n[0] == "d"}
    return {**coef, **moved, "A": grown(coef["A"], coef["c0"], factors[0])}


broken_power = LawFamily(
    name="broken_power",
    function=_broken,
    value_and_jacobian=_broken_derivatives,
    inputs=("samples",),
    coefficients=(
        floor("E"),
        amplitude("A"),
        _BEFORE,
        signed_exponent("c1", (-2.0, 2.0), "added to it by the break"),
        scale("d", (1e-2, 1e2), "input at the break"),
        _width("f", (0.05, 1.5), "width of the break, in e-folds"),
    ),
    formula=r"y = E + A x^{-c_0} (1 + (x/d)^{1/f})^{-c_1 f}",
    reference="Caballero et al. 2022, arXiv:2210.14891, eq. 1 with one break",
    example={"E": 0.1, "A": 1.2, "c0": 0.05, "c1": 0.6, "d": 3e3, "f": 0.4},
    aliases=("bnsl", "broken_neural_scaling_law"),
    rescale=_broken_rescale,
)


def _ordered(coefficients: Sequence[Any]) -> list[Any]:
    """Coefficients of the law from exponents in force and places as e-folds since the last.

    Exponents add up over breaks and a place is found relative to the one before: searched this
    way, no break can take another's name and every exponent tried is a plausible one.
    """
    E, A, c0, *breaks = coefficients
    out = [E, A, c0]
    for i, (c, d, f) in enumerate(_by_break(breaks)):
        before = breaks[3 * i - 3] if i else c0
        out += [c - before, out[-2] * np.exp(d) if i else d, f]
    return out


def _broken_ordered(x: Any, *coefficients: Any) -> Any:
    return _broken(x, *_ordered(coefficients))


def _broken_ordered_derivatives(x: Any, *coefficients: Any) -> tuple[Any, list[Any]]:
    plain = _ordered(coefficients)
    value, columns = _broken_derivatives(x, *plain)
    out = list(columns)
    later: Any = 0.0  # what the places of all further breaks gain with this one
    for i in range(len(columns) - 3, 2, -3):
        before = 2 if i == 3 else i - 3
        out[before] = out[before] - columns[i]
        later = later + columns[i + 1] * plain[i + 1]
        out[i + 1] = later / plain[i + 1] if i == 3 else later
    return value, out


def _from_ordered(coef: Coefs) -> dict[str, Any]:
    return dict(zip(coef, _ordered(list(coef.values())), strict=True))


def _place(i: int, *, ordered: bool) -> Coefficient:
    """Where a break lies; in order, near inputs that are of order one, as the solver's are."""
    if not ordered:
        return scale(f"d{i}", (1e-2, 1e2), f"input at break {i}")
    if i > 1:
        return shape(f"d{i}", (0.5, 5.0), 20.0)
    return Coefficient("d1", "scale", 1e-6, 1e6, None, (1e-2, 1.0))


def _breaks(count: int, *, ordered: bool) -> tuple[Coefficient, ...]:
    out: list[Coefficient] = [floor("E"), amplitude("A"), _BEFORE]
    most = _STEEPEST if ordered else 2.0 * _STEEPEST  # exponents in force, or steps between two
    for i in range(1, count + 1):
        out += [
            Coefficient(f"c{i}", "exponent", -most, most, None, (-2.0, 2.0), f"added by break {i}"),
            _place(i, ordered=ordered),
            _width(f"f{i}", (0.02, 1.0), f"width of break {i}, in e-folds"),
        ]
    return tuple(out)


def _broken_power(count: int, example: dict[str, float]) -> LawFamily:
    name = f"broken_power_{count}"
    formula = r"y = E + A x^{-c_0} \prod_{i=1}^{n} (1 + (x/d_i)^{1/f_i})^{-c_i f_i}"
    formula = formula.replace("{n}", f"{{{count}}}")
    reference = f"Caballero et al. 2022, arXiv:2210.14891, eq. 1 with {count} breaks"
    ordered = LawFamily(
        name=f"{name}_ordered",
        function=_broken_ordered,
        value_and_jacobian=_broken_ordered_derivatives,
        inputs=("samples",),
        coefficients=_breaks(count, ordered=True),
    )
    return LawFamily(
        name=name,
        function=_broken,
        value_and_jacobian=_broken_derivatives,
        inputs=("samples",),
        coefficients=_breaks(count, ordered=False),
        formula=formula,
        reference=reference,
        example=example,
        aliases=(f"bnsl_{count}",),
        rescale=_broken_rescale,
        solve_as=ordered,
        from_solved=_from_ordered,
    )


broken_power_2 = _broken_power(
    2,
    {"E": 0.02, "A": 3.0, "c0": 0.4, "c1": -0.45, "d1": 300.0, "f1": 0.3}
    | {"c2": 0.9, "d2": 1e4, "f2": 0.4},
)
broken_power_3 = _broken_power(
    3,
    {"E": 0.02, "A": 1.0, "c0": 0.02, "c1": 0.6, "d1": 150.0, "f1": 0.3}
    | {"c2": -0.65, "d2": 2e3, "f2": 0.3, "c3": 0.9, "d3": 3e4, "f3": 0.4},
)


def _power_with_bump(x: Any, E: Any, A: Any, alpha: Any, H: Any, peak: Any, width: Any) -> Any:
    log_x = np.log(x)
    z = (log_x - np.log(peak)) / width
    return E + A * np.exp(-alpha * log_x) + H * np.exp(-0.5 * z * z)


def _power_with_bump_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {
        **coef,
        "A": grown(coef["A"], coef["alpha"], factors[0]),
        "peak": coef["peak"] * factors[0],
    }


power_with_bump = LawFamily(
    name="power_with_bump",
    function=_power_with_bump,
    inputs=("samples",),
    coefficients=(
        floor("E"),
        amplitude("A"),
        exponent("alpha"),
        amplitude("H", "height of the bump"),
        scale("peak", (3e-3, 3e2), "input at the middle of the bump"),
        _width("width", (0.1, 2.0), "standard deviation of the bump, in e-folds"),
    ),
    formula=r"y = E + A x^{-\alpha} + H \exp(-\frac{(\ln x - \ln peak)^{2}}{2 width^{2}})",
    reference="Regression for double descent; no paper is known to us",
    example={"E": 0.1, "A": 4.0, "alpha": 0.4, "H": 0.15, "peak": 3e3, "width": 0.6},
    aliases=("double_descent",),
    rescale=_power_with_bump_rescale,
)


def _two_exponentials(x: Any, E: Any, A: Any, rate: Any, B: Any, slow_rate: Any) -> Any:
    return E + A * np.exp(-rate * x) - B * np.exp(-slow_rate * x)


def _two_exponentials_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    rates = {n: coef[n] / factors[0] for n in ("rate", "slow_rate")}
    return {**coef, **rates}


two_exponentials = LawFamily(
    name="two_exponentials",
    function=_two_exponentials,
    inputs=("steps",),
    coefficients=(
        plateau("E", "level at infinite input"),
        amplitude("A", "size of the fall"),
        scale("rate", (1e-1, 1e2), "rate of the fall"),
        amplitude("B", "size of the rise"),
        scale("slow_rate", (1e-2, 3e1), "rate of the rise; below rate, the curve dips"),
    ),
    formula=r"y = E + A \exp(-rate x) - B \exp(-slow\_rate x)",
    reference="Regression for curves that fall and rise; no paper is known to us",
    example={"E": 2.0, "A": 2.5, "rate": 1e-3, "B": 1.0, "slow_rate": 1.5e-4},
    rescale=_two_exponentials_rescale,
)

FAMILIES = (broken_power, broken_power_2, broken_power_3, power_with_bump, two_exponentials)
