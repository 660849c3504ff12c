"""Certified values: problems of the NIST Statistical Reference Datasets, fitted by the library.

Data, models, starting values and certified results: National Institute of Standards and
Technology, Statistical Reference Datasets, nonlinear regression (Rogers, Filliben, Gill, Guthrie,
Lagergren and Vangel 1998, "StRD: Statistical Reference Datasets for testing the numerical accuracy
of statistical software"). The coefficients of every problem are declared without spans of starts,
so the solver has the certified start and nothing else to begin from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

import scaling_laws as sl


@dataclass(frozen=True)
class Problem:
    """One certified problem: ``start_1`` is far from the solution, ``start_2`` nearer."""

    level: str
    function: Callable
    x: Sequence[float]
    y: Sequence[float]
    start_1: Sequence[float]
    start_2: Sequence[float]
    certified: Sequence[float]
    sum_of_squares: float

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"b{i + 1}" for i in range(len(self.certified)))

    @property
    def runs(self) -> dict[str, np.ndarray]:
        return {"x": np.array(self.x, float), "response": np.array(self.y, float)}

    def family(self, coefficients: Sequence[sl.Coefficient] | None = None) -> sl.LawFamily:
        if coefficients is None:
            coefficients = [sl.Coefficient(n, "slope") for n in self.names]
        name = self.function.__name__
        return sl.LawFamily(name, self.function, ("x",), tuple(coefficients), input_domain="real")


def misra1a(x, b1, b2):
    return b1 * (1 - np.exp(-b2 * x))


def misra1b(x, b1, b2):
    return b1 * (1 - (1 + b2 * x / 2) ** -2)


def misra1c(x, b1, b2):
    return b1 * (1 - (1 + 2 * b2 * x) ** -0.5)


def misra1d(x, b1, b2):
    return b1 * b2 * x / (1 + b2 * x)


def dan_wood(x, b1, b2):
    return b1 * x**b2


def chwirut(x, b1, b2, b3):
    return np.exp(-b1 * x) / (b2 + b3 * x)


def lanczos(x, b1, b2, b3, b4, b5, b6):
    return b1 * np.exp(-b2 * x) + b3 * np.exp(-b4 * x) + b5 * np.exp(-b6 * x)


def mgh09(x, b1, b2, b3, b4):
    return b1 * (x**2 + x * b2) / (x**2 + x * b3 + b4)


def mgh17(x, b1, b2, b3, b4, b5):
    return b1 + b2 * np.exp(-x * b4) + b3 * np.exp(-x * b5)


def roszman(x, b1, b2, b3, b4):
    return b1 - b2 * x - np.arctan(b3 / (x - b4)) / np.pi


def enso(x, b1, b2, b3, b4, b5, b6, b7, b8, b9):
    year, first, second = (2 * np.pi * x / period for period in (12, b4, b7))
    annual = b1 + b2 * np.cos(year) + b3 * np.sin(year)
    slow = b5 * np.cos(first) + b6 * np.sin(first)
    return annual + slow + b8 * np.cos(second) + b9 * np.sin(second)


def ratkowsky2(x, b1, b2, b3):
    return b1 / (1 + np.exp(b2 - b3 * x))


def ratkowsky3(x, b1, b2, b3, b4):
    return b1 / (1 + np.exp(b2 - b3 * x)) ** (1 / b4)


def thurber(x, b1, b2, b3, b4, b5, b6, b7):
    return (b1 + b2 * x + b3 * x**2 + b4 * x**3) / (1 + b5 * x + b6 * x**2 + b7 * x**3)


# fmt: off
MISRA_X = (77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1,
           760.0)
MISRA_Y = (10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40,
           75.47, 81.78)
CHWIRUT2_X = (
    .5, 1, 1.75, 3.75, 5.75, .875, 2.25, 3.25, 5.25, .75, 1.75, 2.75, 4.75, .625, 1.25, 2.25, 4.25,
    .5, 3, .75, 3, 1.5, 6, 3, 6, 1.5, 3, .5, 2, 4, .75, 2, 5, .75, 2.25, 3.75, 5.75, 3, .75, 2.5, 4,
    .75, 2.5, 4, .75, 2.5, 4, .5, 6, 3, .5, 2.75, .5, 1.75)
CHWIRUT2_Y = (
    92.9, 57.1, 31.05, 11.5875, 8.025, 63.6, 21.4, 14.25, 8.475, 63.8, 26.8, 16.4625, 7.125, 67.3,
    41.0, 21.15, 8.175, 81.5, 13.12, 59.9, 14.62, 32.9, 5.44, 12.56, 5.44, 32.0, 13.95, 75.8, 20.0,
    10.42, 59.5, 21.67, 8.55, 62.0, 20.2, 7.76, 3.75, 11.81, 54.7, 23.7, 11.55, 61.3, 17.7, 8.74,
    59.2, 16.3, 8.62, 81.0, 4.87, 14.62, 81.7, 17.17, 81.3, 28.9)
LANCZOS_X = tuple(i / 20 for i in range(24))
LANCZOS2_Y = (
    2.51340, 2.04433, 1.66840, 1.36642, 1.12323, .926890, .767934, .638878, .533784, .447936,
    .377585, .319739, .272013, .232497, .199659, .172270, .149341, .130070, .113812, .100042,
    .0883321, .0783354, .0697669, .0623931)
LANCZOS3_Y = (
    2.5134, 2.0443, 1.6684, 1.3664, 1.1232, .9269, .7679, .6389, .5338, .4479, .3776, .3197, .2720,
    .2325, .1997, .1723, .1493, .1301, .1138, .1000, .0883, .0783, .0698, .0624)
MGH09_X = (4, 2, 1, .5, .25, .167, .125, .1, .0833, .0714, .0625)
MGH09_Y = (.1957, .1947, .1735, .1600, .0844, .0627, .0456, .0342, .0323, .0235, .0246)
MGH17_X = tuple(range(0, 330, 10))
MGH17_Y = (
    .844, .908, .932, .936, .925, .908, .881, .850, .818, .784, .751, .718, .685, .658, .628, .603,
    .580, .558, .538, .522, .506, .490, .478, .467, .457, .448, .438, .431, .424, .420, .414, .411,
    .406)
ROSZMAN1_X = (
    -4868.68, -4868.09, -4867.41, -3375.19, -3373.14, -3372.03, -2473.74, -2472.35, -2469.45,
    -1894.65, -1893.40, -1497.24, -1495.85, -1493.41, -1208.68, -1206.18, -1206.04, -997.92,
    -996.61, -996.31, -834.94, -834.66, -710.03, -530.16, -464.17)
ROSZMAN1_Y = (
    .252429, .252141, .251809, .297989, .296257, .295319, .339603, .337731, .333820, .389510,
    .386998, .438864, .434887, .427893, .471568, .461699, .461144, .513532, .506641, .505062,
    .535648, .533726, .568064, .612886, .624169)
ENSO_Y = (
    12.9, 11.3, 10.6, 11.2, 10.9, 7.5, 7.7, 11.7, 12.9, 14.3, 10.9, 13.7, 17.1, 14.0, 15.3, 8.5,
    5.7, 5.5, 7.6, 8.6, 7.3, 7.6, 12.7, 11.0, 12.7, 12.9, 13.0, 10.9, 10.4, 10.2, 8.0, 10.9, 13.6,
    10.5, 9.2, 12.4, 12.7, 13.3, 10.1, 7.8, 4.8, 3.0, 2.5, 6.3, 9.7, 11.6, 8.6, 12.4, 10.5, 13.3,
    10.4, 8.1, 3.7, 10.7, 5.1, 10.4, 10.9, 11.7, 11.4, 13.7, 14.1, 14.0, 12.5, 6.3, 9.6, 11.7, 5.0,
    10.8, 12.7, 10.8, 11.8, 12.6, 15.7, 12.6, 14.8, 7.8, 7.1, 11.2, 8.1, 6.4, 5.2, 12.0, 10.2, 12.7,
    10.2, 14.7, 12.2, 7.1, 5.7, 6.7, 3.9, 8.5, 8.3, 10.8, 16.7, 12.6, 12.5, 12.5, 9.8, 7.2, 4.1,
    10.6, 10.1, 10.1, 11.9, 13.6, 16.3, 17.6, 15.5, 16.0, 15.2, 11.2, 14.3, 14.5, 8.5, 12.0, 12.7,
    11.3, 14.5, 15.1, 10.4, 11.5, 13.4, 7.5, .6, .3, 5.5, 5.0, 4.6, 8.2, 9.9, 9.2, 12.5, 10.9, 9.9,
    8.9, 7.6, 9.5, 8.4, 10.7, 13.6, 13.7, 13.7, 16.5, 16.8, 17.1, 15.4, 9.5, 6.1, 10.1, 9.3, 5.3,
    11.2, 16.6, 15.6, 12.0, 11.5, 8.6, 13.8, 8.7, 8.6, 8.6, 8.7, 12.8, 13.2, 14.0, 13.4, 14.8)
RAT42_X, RAT42_Y = (9, 14, 21, 28, 42, 57, 63, 70, 79), (
    8.93, 10.8, 18.59, 22.33, 39.35, 56.11, 61.73, 64.62, 67.08)
RAT43_Y = (16.08, 33.83, 65.80, 97.20, 191.55, 326.20, 386.87, 520.53, 590.03, 651.92, 724.93,
           699.56, 689.96, 637.56, 717.41)
THURBER_X = (
    -3.067, -2.981, -2.921, -2.912, -2.840, -2.797, -2.702, -2.699, -2.633, -2.481, -2.363, -2.322,
    -1.501, -1.460, -1.274, -1.212, -1.100, -1.046, -.915, -.714, -.566, -.545, -.400, -.309, -.109,
    -.103, .010, .119, .377, .790, .963, 1.006, 1.115, 1.572, 1.841, 2.047, 2.200)
THURBER_Y = (
    80.574, 84.248, 87.264, 87.195, 89.076, 89.608, 89.868, 90.101, 92.405, 95.854, 100.696,
    101.060, 401.672, 390.724, 567.534, 635.316, 733.054, 759.087, 894.206, 990.785, 1090.109,
    1080.914, 1122.643, 1178.351, 1260.531, 1273.514, 1288.339, 1327.543, 1353.863, 1414.509,
    1425.208, 1421.384, 1442.962, 1464.350, 1468.705, 1447.894, 1457.628)

PROBLEMS = {
    "Misra1a": Problem(
        "lower", misra1a, MISRA_X, MISRA_Y, (500, 1e-4), (250, 5e-4),
        (2.3894212918e2, 5.5015643181e-4), 1.2455138894e-1),
    "Misra1b": Problem(
        "lower", misra1b, MISRA_X, MISRA_Y, (500, 1e-4), (300, 2e-4),
        (3.3799746163e2, 3.9039091287e-4), 7.5464681533e-2),
    "Misra1c": Problem(
        "average", misra1c, MISRA_X, MISRA_Y, (500, 1e-4), (600, 2e-4),
        (6.3642725809e2, 2.0813627256e-4), 4.0966836971e-2),
    "Misra1d": Problem(
        "average", misra1d, MISRA_X, MISRA_Y, (500, 1e-4), (450, 3e-4),
        (4.3736970754e2, 3.0227324449e-4), 5.6419295283e-2),
    "DanWood": Problem(
        "lower", dan_wood, (1.309, 1.471, 1.490, 1.565, 1.611, 1.680),
        (2.138, 3.421, 3.597, 4.340, 4.882, 5.660), (1, 5), (.7, 4),
        (7.6886226176e-1, 3.8604055871), 4.3173084083e-3),
    "Chwirut2": Problem(
        "lower", chwirut, CHWIRUT2_X, CHWIRUT2_Y, (.1, .01, .02), (.15, .008, .01),
        (1.6657666537e-1, 5.1653291286e-3, 1.2150007096e-2), 5.1304802941e2),
    "Lanczos2": Problem(
        "average", lanczos, LANCZOS_X, LANCZOS2_Y,
        (1.2, .3, 5.6, 5.5, 6.5, 7.6), (.5, .7, 3.6, 4.2, 4, 6.3),
        (9.6251029939e-2, 1.0057332849, 8.6424689056e-1, 3.0078283915, 1.5529016879, 5.0028798100),
        2.2299428125e-11),
    "Lanczos3": Problem(
        "lower", lanczos, LANCZOS_X, LANCZOS3_Y,
        (1.2, .3, 5.6, 5.5, 6.5, 7.6), (.5, .7, 3.6, 4.2, 4, 6.3),
        (8.6816414977e-2, 9.5498101505e-1, 8.4400777463e-1, 2.9515951832, 1.5825685901,
         4.9863565084), 1.6117193594e-8),
    "MGH09": Problem(
        "higher", mgh09, MGH09_X, MGH09_Y, (25, 39, 41.5, 39), (.25, .39, .415, .39),
        (1.9280693458e-1, 1.9128232873e-1, 1.2305650693e-1, 1.3606233068e-1), 3.0750560385e-4),
    "MGH17": Problem(
        "average", mgh17, MGH17_X, MGH17_Y, (50, 150, -100, 1, 2), (.5, 1.5, -1, .01, .02),
        (3.7541005211e-1, 1.9358469127, -1.4646871366, 1.2867534640e-2, 2.2122699662e-2),
        5.4648946975e-5),
    "Roszman1": Problem(
        "average", roszman, ROSZMAN1_X, ROSZMAN1_Y,
        (.1, -1e-5, 1000, -100), (.2, -5e-6, 1200, -150),
        (2.0196866396e-1, -6.1953516256e-6, 1.2044556708e3, -1.8134269537e2), 4.9484847331e-4),
    "ENSO": Problem(
        "average", enso, tuple(range(1, 169)), ENSO_Y,
        (11, 3, .5, 40, -.7, -1.3, 25, -.3, 1.4), (10, 3, .5, 44, -1.5, .5, 26, -.1, 1.5),
        (1.0510749193e1, 3.0762128085, 5.3280138227e-1, 4.4311088700e1, -1.6231428586,
         5.2554493756e-1, 2.6887614440e1, 2.1232288488e-1, 1.4966870418), 7.8853978668e2),
    "Rat42": Problem(
        "higher", ratkowsky2, RAT42_X, RAT42_Y, (100, 1, .1), (75, 2.5, .07),
        (7.2462237576e1, 2.6180768402, 6.7359200066e-2), 8.0565229338),
    "Rat43": Problem(
        "higher", ratkowsky3, tuple(range(1, 16)), RAT43_Y, (100, 10, 1, 1), (700, 5, .75, 1.3),
        (6.9964151270e2, 5.2771253025, 7.5962938329e-1, 1.2792483859), 8.7864049080e3),
    "BoxBOD": Problem(
        "higher", misra1a, (1, 2, 3, 5, 7, 10), (109, 149, 149, 191, 213, 224), (1, 1), (100, .75),
        (2.1380940889e2, 5.4723748542e-1), 1.1680088766e3),
    "Thurber": Problem(
        "higher", thurber, THURBER_X, THURBER_Y,
        (1000, 1000, 400, 40, .7, .3, .03), (1300, 1500, 500, 75, 1, .4, .05),
        (1.2881396800e3, 1.4910792535e3, 5.8323836877e2, 7.5416644291e1, 9.6629502864e-1,
         3.9797285797e-1, 4.9727297349e-2), 5.6427082397e3),
}
# fmt: on


STARTS = [(name, start) for name in PROBLEMS for start in ("start_1", "start_2")]


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_data_are_those_of_the_certificate(name):
    problem = PROBLEMS[name]
    runs = problem.runs
    residuals = problem.function(runs["x"], *problem.certified) - runs["response"]
    assert np.sum(residuals**2) == pytest.approx(problem.sum_of_squares, rel=2e-10)


@pytest.mark.parametrize(("name", "start"), STARTS, ids=[f"{n}-{s}" for n, s in STARTS])
def test_the_certified_values_are_found_from_both_starts(name, start):
    problem = PROBLEMS[name]
    values = dict(zip(problem.names, getattr(problem, start), strict=True))
    fitter = sl.Fitter(residual="linear", robust=None, draws=0, start=values)
    fit = fitter.fit(problem.runs, problem.family(), target="response")
    certified = dict(zip(problem.names, problem.certified, strict=True))
    assert 2.0 * fit.objective == pytest.approx(problem.sum_of_squares, rel=1e-6)
    assert fit.coef == pytest.approx(certified, rel=1e-6)
    assert "not_converged" not in {note.code for note in fit.notes}


def exponential(amplitudes: str, rates: str, span: tuple[float, float]) -> list[sl.Coefficient]:
    """Coefficients of a sum of exponentials, declared as a law of this library would be."""
    linear = {n: sl.Coefficient(n, "plateau", linear="target") for n in amplitudes.split()}
    searched = {n: sl.Coefficient(n, "exponent", 0.0, starts=span) for n in rates.split()}
    return [{**linear, **searched}[n] for n in sorted({**linear, **searched})]


@pytest.mark.parametrize(
    ("name", "coefficients"),
    [
        ("Misra1a", exponential("b1", "b2", (1e-5, 1e-1))),
        ("Misra1d", exponential("b1", "b2", (1e-5, 1e-1))),
        ("DanWood", exponential("b1", "b2", (0.1, 10.0))),
        ("BoxBOD", exponential("b1", "b2", (1e-2, 1e1))),
        ("Lanczos3", exponential("b1 b3 b5", "b2 b4 b6", (0.1, 10.0))),
        ("MGH17", exponential("b1 b2 b3", "b4 b5", (1e-3, 1.0))),
    ],
)
def test_declared_linear_coefficients_need_no_start(name, coefficients):
    problem = PROBLEMS[name]
    fitter = sl.Fitter(residual="linear", robust=None, draws=0)
    fit = fitter.fit(problem.runs, problem.family(coefficients), target="response")
    assert 2.0 * fit.objective == pytest.approx(problem.sum_of_squares, rel=1e-6)
    # which exponential is which is not determined, so compare the coefficients as sets
    assert sorted(fit.coef.values()) == pytest.approx(sorted(problem.certified), rel=1e-6)
