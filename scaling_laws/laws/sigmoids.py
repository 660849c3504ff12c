"""Laws in one input that run between two levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_laws.laws.elementary import MOST_LOG, logistic, softplus
from scaling_laws.laws.family import (
    Coefficient,
    Coefs,
    LawFamily,
    amplitude,
    plateau,
    scale,
    shape,
)

_MOST_STEPS = 100
_SETTLED = 1e-15


def _scale_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    return {**coef, "scale": coef["scale"] * factors[0]}


def _two_plateau(x: Any, start: Any, end: Any, scale: Any, d: Any) -> Any:
    return end + (start - end) / (1.0 + np.exp(d * (np.log(x) - np.log(scale))))


two_plateau = LawFamily(
    name="two_plateau",
    function=_two_plateau,
    inputs=("samples",),
    coefficients=(
        plateau("start", "level at zero input"),
        plateau("end", "level at infinite input"),
        scale("scale", (1e-3, 1e3), "input half-way between the levels"),
        shape("d", (0.1, 3.0)),
    ),
    formula=r"y = end + \frac{start - end}{1 + (x/scale)^{d}}",
    reference="Mohr et al. 2022, LCDB, mmf4 with b = s^d",
    example={"start": 0.9, "end": 0.1, "scale": 300.0, "d": 0.7},
    aliases=("mmf4", "mmf", "bounded_rational", "hill4", "log_logistic", "rl_sigmoid"),
    rescale=_scale_rescale,
)


def _log_odds(z: Any, a: Any) -> Any:
    """Log odds ``s`` of the share ``u`` that solves ``ln u - a ln(1 - u) = z``, by Newton's method.

    The left side rises in ``s`` with a slope between 1 and ``a`` and is convex or concave
    throughout; the start below is on the side from which Newton's steps never overshoot.
    """
    s = np.where(z > 0, z / a, z)
    for _ in range(_MOST_STEPS):
        u = logistic(s)
        step = (a * softplus(s) - softplus(-s) - z) / (1.0 - u + a * u)
        s = s - step
        if np.all(np.abs(step) <= _SETTLED * (1.0 + np.abs(s))):
            break
    return s


def _skewed_two_plateau(x: Any, start: Any, end: Any, scale: Any, d: Any, a: Any) -> Any:
    return end + (start - end) * logistic(_log_odds(d * (np.log(scale) - np.log(x)), a))


def _skewed_two_plateau_derivatives(
    x: Any, start: Any, end: Any, scale: Any, d: Any, a: Any
) -> tuple[Any, list[Any]]:
    distance = np.log(scale) - np.log(x)
    s = _log_odds(d * distance, a)
    u, rest = logistic(s), logistic(-s)
    by_z = (start - end) * u * rest / (rest + a * u)  # by the implicit function theorem
    columns = [u, rest, by_z * d / scale, by_z * distance, -by_z * softplus(s)]
    return end + (start - end) * u, columns


skewed_two_plateau = LawFamily(
    name="skewed_two_plateau",
    function=_skewed_two_plateau,
    value_and_jacobian=_skewed_two_plateau_derivatives,
    analytic=False,
    inputs=("samples",),
    coefficients=(
        plateau("start", "level at zero input"),
        plateau("end", "level at infinite input"),
        scale("scale", (1e-3, 1e3), "input where the far power, drawn back, meets the start"),
        shape("d", (0.1, 3.0), meaning="power of the input far beyond scale"),
        Coefficient(
            "a", "shape", 1e-3, 10.0, None, (5e-3, 5.0), "1 is two_plateau, 0 power_with_floor"
        ),
    ),
    formula=r"y = end + (start - end) u,\ u (1 - u)^{-a} = (x/scale)^{-d}",
    reference="Alabdulmohsin et al. 2022, arXiv:2209.06640, M4 with beta = s^d (e_0 - e_inf)^(1-a)",
    example={"start": 0.9, "end": 0.1, "scale": 600.0, "d": 0.7, "a": 2.0},
    aliases=("m4",),
    rescale=_scale_rescale,
)


def _hill(x: Any, A: Any, scale: Any, d: Any) -> Any:
    return A * logistic(d * (np.log(x) - np.log(scale)))


def _hill_solved(x: Any, A: Any, scale: Any, d: Any) -> Any:
    """``A`` is the value at one unit and ``scale`` its share of the level: none is a power law."""
    return A / (scale + (1.0 - scale) * np.exp(-d * np.log(x)))


def _hill_solved_derivatives(x: Any, A: Any, scale: Any, d: Any) -> tuple[Any, list[Any]]:
    log_x = np.log(x)
    power = np.exp(-d * log_x)
    unit = 1.0 / (scale + (1.0 - scale) * power)
    by_bottom = -A * unit * unit
    columns = [unit, by_bottom * (1.0 - power), -by_bottom * (1.0 - scale) * power * log_x]
    return A * unit, columns


def _hill_from_solved(coef: Coefs) -> dict[str, Any]:
    """From the value and the share of the level at one unit.

    A share next to none puts the scale beyond all floats where d is small: then the scale is the
    last that has one, and d the one that keeps the power at one unit, ``d (1 - share)``.
    """
    share = np.clip(coef["scale"], 1e-12, 1.0 - 1e-12)
    odds, d = np.log1p(-share) - np.log(share), np.asarray(coef["d"], dtype=float)
    far = (np.abs(odds) > MOST_LOG * np.abs(d)) | (d == 0)
    side, power = np.sign(odds), np.where(far, np.abs(d) * (1.0 - share), 0.0)
    size = power
    for _ in range(_MOST_STEPS if far.any() else 0):
        size = power / logistic(side * MOST_LOG * size)
    d = np.where(far, np.copysign(size, d), d)
    log_scale = np.where(far, side * np.copysign(MOST_LOG, d), odds / np.where(far, 1.0, d))
    return {"A": coef["A"] * (1.0 + np.exp(d * log_scale)), "scale": np.exp(log_scale), "d": d}


_GROWTH = Coefficient("d", "shape", -10.0, 10.0, None, (-3.0, 3.0), "> 0 where it grows")
hill = LawFamily(
    name="hill",
    function=_hill,
    inputs=("samples",),
    coefficients=(
        amplitude("A", "level at infinite input (at zero where d < 0)"),
        scale("scale", (1e-3, 1e3), "input at half the level"),
        _GROWTH,
    ),
    formula=r"y = \frac{A}{1 + (x/scale)^{-d}}",
    reference="Domhan et al. 2015, DR-Hill with zero background; Mohr et al. 2022, LCDB, logpower3",
    example={"A": 0.8, "scale": 400.0, "d": 0.6},
    aliases=("hill3", "dr_hill_zero_background", "logpower3"),
    rescale=_scale_rescale,
    solve_as=LawFamily(
        name="hill_solved",
        function=_hill_solved,
        value_and_jacobian=_hill_solved_derivatives,
        inputs=("samples",),
        coefficients=(
            amplitude("A"),
            Coefficient("scale", "shape", 1e-12, 1.0 - 1e-12, None, (1e-3, 0.99)),
            _GROWTH,
        ),
    ),
    from_solved=_hill_from_solved,
)


def _michaelis_menten(x: Any, A: Any, scale: Any) -> Any:
    return A * x / (scale + x)


michaelis_menten = LawFamily(
    name="michaelis_menten",
    function=_michaelis_menten,
    inputs=("samples",),
    coefficients=(
        amplitude("A", "level at infinite input"),
        scale("scale", (1e-3, 1e3), "input at half the level"),
    ),
    formula=r"y = \frac{A x}{scale + x}",
    reference="Michaelis and Menten 1913; hill with d = 1",
    example={"A": 0.9, "scale": 400.0},
    rescale=_scale_rescale,
)

FAMILIES = (two_plateau, skewed_two_plateau, hill, michaelis_menten)
