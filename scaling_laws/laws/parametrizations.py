"""The same curves in the coefficients that papers print, and the way back.

Many named curves are one family. The family has one set of coefficients; the table below maps them
to those of a paper, in both directions. Every name is also an alias of its law.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling_laws.errors import LawError, suggest
from scaling_laws.laws.family import Coefs, Law, LawFamily, as_number
from scaling_laws.laws.registry import get_law


@dataclass(frozen=True)
class Parametrization:
    """A registered law in the coefficients of a paper.

    Parameters
    ----------
    name : str
        What the paper calls the curve; an alias of the law.
    law : str
        Registered family with the same curves.
    coefficients : tuple of str
        The paper's names.
    formula, reference : str
        LaTeX in the paper's coefficients, and the paper.
    to_law, from_law : callable
        Maps of coefficients by name, one way and back. For a curve that grows, the amplitude of a
        law with a floor is negative here: ``E + A x^-alpha`` with ``A < 0``.

    Examples
    --------
    >>> weibull = parametrization("weibull")
    >>> law = weibull.with_coef({"alpha": 0.7, "beta": 0.1, "kappa": 0.01, "delta": 0.5})
    >>> law.family.name, round(law(samples=100.0), 4)
    ('stretched_exponential', 0.4793)
    >>> {name: round(value, 12) for name, value in weibull.coef_of(law).items()}
    {'alpha': 0.7, 'beta': 0.1, 'kappa': 0.01, 'delta': 0.5}
    """

    name: str
    law: str
    coefficients: tuple[str, ...]
    formula: str
    reference: str
    to_law: Callable[[Coefs], Mapping[str, Any]]
    from_law: Callable[[Coefs], Mapping[str, Any]]

    def __reduce__(self) -> Any:
        """Pickle and copy by name, as the maps are lambdas."""
        return parametrization, (self.name,)

    def with_coef(self, coef: Coefs, inputs: Sequence[str] | None = None) -> Law:
        """Return the law whose curve has these coefficients of the paper.

        Parameters
        ----------
        coef : mapping of str to float
            One value for every coefficient, in raw units.
        inputs : sequence of str, optional
            Input names to bind the law to.

        Raises
        ------
        LawError
            A coefficient is missing or unknown, or no curve of the law has these.
        """
        self._check_names(coef)
        family = get_law(self.law, inputs)
        with np.errstate(all="ignore"):
            values = {n: float(v) for n, v in self.to_law(self._as_floats(coef)).items()}
        if any(values[n] < 0 for n in _amplitudes(family)):
            family = family.bind(increasing=True)
            values = _signed(family, values)
        outside = [c.name for c in family.coefficients if not c.lower <= values[c.name] <= c.upper]
        if outside or not np.all(np.isfinite(list(values.values()))):
            raise LawError(
                f"'{self.name}' with {dict(coef)} is no curve of '{self.law}': "
                f"{ {n: values[n] for n in outside} or values } is out of range. Check the signs: "
                f"y = {self.formula}."
            )
        return family.with_coef(values, reference=self.reference)

    def coef_of(self, law: Law) -> dict[str, float]:
        """Return the paper's coefficients of a law with numbers.

        Parameters
        ----------
        law : Law
            For a fit, its ``fit.law``.

        Raises
        ------
        LawError
            Another law, or a curve that the paper's form cannot write.
        """
        if not isinstance(law, Law) or law.family.name != self.law:
            given = f"'{law.family.name}'" if isinstance(law, Law) else repr(law)
            raise LawError(
                f"'{self.name}' writes laws of the family '{self.law}', got {given}. Pass such a "
                "law; of a fit, its fit.law."
            )
        with np.errstate(all="ignore"):
            values = self.from_law(self._as_floats(_signed(law.family, law.coef)))
        if not np.all(np.isfinite(list(values.values()))):
            raise LawError(
                f"'{self.name}' cannot write {law.coef}"
                f"{' (mirrored)' if law.family.increasing else ''}: y = {self.formula} has no "
                f"such curve. Use the coefficients of '{self.law}'."
            )
        return {n: float(values[n]) for n in self.coefficients}

    def _as_floats(self, coef: Coefs) -> dict[str, Any]:
        """NumPy's numbers: dividing them by zero raises nothing."""
        return {n: np.float64(as_number(self.name, n, v)) for n, v in coef.items()}

    def _check_names(self, coef: Coefs) -> None:
        if not isinstance(coef, Mapping):
            raise LawError(f"'{self.name}' takes its coefficients by name: {self.coefficients}.")
        for given in coef:
            if given not in self.coefficients:
                raise LawError(
                    f"'{self.name}' has no coefficient '{given}'."
                    f"{suggest(given, self.coefficients)} It has {self.coefficients}."
                )
        missing = [n for n in self.coefficients if n not in coef]
        if missing:
            raise LawError(f"'{self.name}' needs a value for {missing}.")


def parametrization(name: str) -> Parametrization:
    """Return the parametrization that a paper uses for a registered law.

    Parameters
    ----------
    name : str
        Such as ``"janoschek"``; the message of an unknown one lists all.

    Returns
    -------
    Parametrization

    Raises
    ------
    LawError
        Unknown name.

    Examples
    --------
    >>> parametrization("pow4_domhan").law
    'shifted_power'
    """
    found = _BY_NAME.get(name) if isinstance(name, str) else None
    if found is None:
        near = suggest(name, _BY_NAME) if isinstance(name, str) else ""
        raise LawError(f"no parametrization {name!r}.{near} There are: {', '.join(_BY_NAME)}.")
    return found


def _amplitudes(family: LawFamily) -> list[str]:
    """Coefficients that change their sign where a law is mirrored at its floor."""
    if family.floor_index is None:
        return []
    return [c.name for c in family.coefficients if c.role == "amplitude"]


def _signed(family: LawFamily, coef: Coefs) -> dict[str, Any]:
    """Turn the amplitudes of a mirrored law, between the law and its plain form."""
    turned = _amplitudes(family) if family.increasing else []
    return {n: -v if n in turned else v for n, v in coef.items()}


def _power(base: Any, rate: Any) -> Any:
    """A power that is NaN for every negative base, whole exponents included."""
    return np.exp(rate * np.log(base))


def _renamed(names: Mapping[str, str], *turned: str) -> dict[str, Any]:
    """Maps for a paper that uses other letters, some with the opposite sign."""

    def to_law(coef: Coefs) -> dict[str, Any]:
        return {ours: -coef[n] if n in turned else coef[n] for ours, n in names.items()}

    def from_law(coef: Coefs) -> dict[str, Any]:
        return {n: -coef[ours] if n in turned else coef[ours] for ours, n in names.items()}

    return {"coefficients": tuple(names.values()), "to_law": to_law, "from_law": from_law}


_LCDB = "Mohr et al. 2022, LCDB"
_DOMHAN = "Domhan et al. 2015"

PARAMETRIZATIONS = (
    Parametrization(
        "pow3",
        "power_with_floor",
        **_renamed({"E": "a", "A": "b", "alpha": "c"}, "b"),
        formula=r"a - b x^{-c}",
        reference=_LCDB,
    ),
    Parametrization(
        "henighan",
        "power_with_floor",
        ("L_inf", "x0", "alpha"),
        r"L_\infty + (x_0/x)^{\alpha}",
        "Henighan et al. 2020, arXiv:2010.14701, eq. 1.1",
        lambda c: {"E": c["L_inf"], "A": _power(c["x0"], c["alpha"]), "alpha": c["alpha"]},
        lambda c: {
            "L_inf": c["E"],
            "x0": _power(c["A"], 1 / c["alpha"]),
            "alpha": c["alpha"],
        },
    ),
    Parametrization(
        "pow4",
        "shifted_power",
        **_renamed({"E": "a", "A": "b", "alpha": "c", "shift": "d"}, "b"),
        formula=r"a - b (x + d)^{-c}",
        reference=_LCDB,
    ),
    Parametrization(
        "pow4_domhan",
        "shifted_power",
        ("c", "a", "b", "alpha"),
        r"c - (a x + b)^{-\alpha}",
        _DOMHAN,
        lambda c: {
            "E": c["c"],
            "A": -(_power(c["a"], -c["alpha"])),
            "shift": c["b"] / c["a"],
            "alpha": c["alpha"],
        },
        lambda c: {
            "c": c["E"],
            "a": _power(-c["A"], -1 / c["alpha"]),
            "b": _power(-c["A"], -1 / c["alpha"]) * c["shift"],
            "alpha": c["alpha"],
        },
    ),
    Parametrization(
        "zhai",
        "shifted_power",
        **_renamed({"A": "a", "shift": "d", "alpha": "b", "E": "c"}),
        formula=r"a (x + d)^{-b} + c",
        reference="Zhai et al. 2022, arXiv:2106.04560, eq. 1",
    ),
    Parametrization(
        "bansal",
        "reciprocal_shift_power",
        **_renamed({"A": "alpha", "gamma": "C", "c": "p"}),
        formula=r"\alpha (1/x + C)^{p}",
        reference="Bansal et al. 2022, arXiv:2202.01994",
    ),
    Parametrization(
        "m3",
        "reciprocal_shift_power",
        **_renamed({"A": "beta", "gamma": "gamma", "c": "c"}),
        formula=r"\beta (1/x + \gamma)^{c}",
        reference="Alabdulmohsin et al. 2022, arXiv:2209.06640",
    ),
    Parametrization(
        "logx_linear",
        "logarithmic",
        **_renamed({"a": "a", "b": "b"}, "a"),
        formula=r"a \ln x + b",
        reference="Regression on the logarithm",
    ),
    Parametrization(
        "ilog2",
        "inverse_logarithmic",
        **_renamed({"E": "c", "A": "a"}, "a"),
        formula=r"c - a / \ln(1 + x)",
        reference=_DOMHAN + "; Adriaensen et al. 2023, arXiv:2310.20447",
    ),
    Parametrization(
        "loglog_linear",
        "log_log_linear",
        **_renamed({"a": "a", "b": "b"}, "a"),
        formula=r"\ln(a \ln x + b)",
        reference=_DOMHAN,
    ),
    Parametrization(
        "exp3",
        "exponential_with_floor",
        **_renamed({"A": "a", "rate": "b", "E": "c"}),
        formula=r"a e^{-b x} + c",
        reference=_LCDB,
    ),
    Parametrization(
        "expd3",
        "exponential_with_floor",
        ("a", "b", "c"),
        r"c - (c - a) e^{-b x}",
        _LCDB,
        lambda c: {"E": c["c"], "A": c["a"] - c["c"], "rate": c["b"]},
        lambda c: {"a": c["E"] + c["A"], "b": c["rate"], "c": c["E"]},
    ),
    Parametrization(
        "wbl4",
        "stretched_exponential",
        ("a", "b", "c", "d"),
        r"c - b e^{-a x^{d}}",
        _LCDB,
        lambda c: {"E": c["c"], "A": -c["b"], "scale": _power(c["a"], -1 / c["d"]), "d": c["d"]},
        lambda c: {"a": _power(c["scale"], -c["d"]), "b": -c["A"], "c": c["E"], "d": c["d"]},
    ),
    Parametrization(
        "exp4",
        "stretched_exponential",
        ("c", "a", "b", "alpha"),
        r"c - e^{-a x^{\alpha} + b}",
        _LCDB + "; " + _DOMHAN,
        lambda c: {
            "E": c["c"],
            "A": -np.exp(c["b"]),
            "scale": _power(c["a"], -1 / c["alpha"]),
            "d": c["alpha"],
        },
        lambda c: {
            "c": c["E"],
            "a": _power(c["scale"], -c["d"]),
            "b": np.log(-c["A"]),
            "alpha": c["d"],
        },
    ),
    Parametrization(
        "janoschek",
        "stretched_exponential",
        ("alpha", "beta", "kappa", "delta"),
        r"\alpha - (\alpha - \beta) e^{-\kappa x^{\delta}}",
        _DOMHAN,
        lambda c: {
            "E": c["alpha"],
            "A": c["beta"] - c["alpha"],
            "scale": _power(c["kappa"], -1 / c["delta"]),
            "d": c["delta"],
        },
        lambda c: {
            "alpha": c["E"],
            "beta": c["E"] + c["A"],
            "kappa": _power(c["scale"], -c["d"]),
            "delta": c["d"],
        },
    ),
    Parametrization(
        "weibull",
        "stretched_exponential",
        ("alpha", "beta", "kappa", "delta"),
        r"\alpha - (\alpha - \beta) e^{-(\kappa x)^{\delta}}",
        _DOMHAN,
        lambda c: {
            "E": c["alpha"],
            "A": c["beta"] - c["alpha"],
            "scale": 1 / c["kappa"],
            "d": c["delta"],
        },
        lambda c: {
            "alpha": c["E"],
            "beta": c["E"] + c["A"],
            "kappa": 1 / c["scale"],
            "delta": c["d"],
        },
    ),
    Parametrization(
        "mmf4",
        "two_plateau",
        ("a", "b", "c", "d"),
        r"\frac{a b + c x^{d}}{b + x^{d}}",
        _LCDB,
        lambda c: {
            "start": c["a"],
            "end": c["c"],
            "scale": _power(c["b"], 1 / c["d"]),
            "d": c["d"],
        },
        lambda c: {"a": c["start"], "b": _power(c["scale"], c["d"]), "c": c["end"], "d": c["d"]},
    ),
    Parametrization(
        "mmf",
        "two_plateau",
        ("alpha", "beta", "kappa", "delta"),
        r"\alpha - \frac{\alpha - \beta}{1 + (\kappa x)^{\delta}}",
        _DOMHAN,
        lambda c: {
            "start": c["beta"],
            "end": c["alpha"],
            "scale": 1 / c["kappa"],
            "d": c["delta"],
        },
        lambda c: {
            "alpha": c["end"],
            "beta": c["start"],
            "kappa": 1 / c["scale"],
            "delta": c["d"],
        },
    ),
    Parametrization(
        "log_logistic",
        "two_plateau",
        ("lo", "hi", "k", "x0"),
        r"lo + \frac{hi - lo}{1 + e^{-k (\ln x - x_0)}}",
        "Logistic curve in the logarithm",
        lambda c: {"start": c["lo"], "end": c["hi"], "scale": np.exp(c["x0"]), "d": c["k"]},
        lambda c: {"lo": c["start"], "hi": c["end"], "k": c["d"], "x0": np.log(c["scale"])},
    ),
    Parametrization(
        "rl_sigmoid",
        "two_plateau",
        **_renamed({"start": "R0", "end": "A", "scale": "C_mid", "d": "B"}),
        formula=r"R_0 + \frac{A - R_0}{1 + (C_{mid}/x)^{B}}",
        reference="Khatri et al. 2025, arXiv:2510.13786, eq. 1",
    ),
    Parametrization(
        "m4",
        "skewed_two_plateau",
        ("e_inf", "e_0", "beta", "c", "a"),
        r"\frac{y - e_\infty}{(e_0 - y)^{a}} = \beta x^{c}",
        "Alabdulmohsin et al. 2022, arXiv:2209.06640",
        lambda c: {
            "start": c["e_0"],
            "end": c["e_inf"],
            "scale": _power(c["beta"] * _power(c["e_0"] - c["e_inf"], c["a"] - 1), -1 / c["c"]),
            "d": -c["c"],
            "a": c["a"],
        },
        lambda c: {
            "e_inf": c["end"],
            "e_0": c["start"],
            "beta": _power(c["scale"], c["d"]) * _power(c["start"] - c["end"], 1 - c["a"]),
            "c": -c["d"],
            "a": c["a"],
        },
    ),
    Parametrization(
        "dr_hill_zero_background",
        "hill",
        **_renamed({"A": "theta", "d": "eta", "scale": "kappa"}),
        formula=r"\frac{\theta x^{\eta}}{\kappa^{\eta} + x^{\eta}}",
        reference=_DOMHAN,
    ),
    Parametrization(
        "logpower3",
        "hill",
        ("a", "b", "c"),
        r"\frac{a}{1 + (x/e^{b})^{c}}",
        _LCDB + "; " + _DOMHAN + ", log power",
        lambda c: {"A": c["a"], "scale": np.exp(c["b"]), "d": -c["c"]},
        lambda c: {"a": c["A"], "b": np.log(c["scale"]), "c": -c["d"]},
    ),
    Parametrization(
        "bnsl",
        "broken_power",
        **_renamed({"E": "a", "A": "b", "c0": "c0", "c1": "c1", "d": "d1", "f": "f1"}),
        formula=r"a + b x^{-c_0} (1 + (x/d_1)^{1/f_1})^{-c_1 f_1}",
        reference="Caballero et al. 2022, arXiv:2210.14891, eq. 1",
    ),
    Parametrization(
        "accuracy_from_loss",
        "logistic",
        ("a", "b", "k", "L0"),
        r"\frac{a}{1 + e^{-k (x - L_0)}} + b",
        "Bhagia et al. 2024, arXiv:2412.04403, step 2",
        lambda c: {
            "chance": c["b"] if c["k"] < 0 else c["a"] + c["b"],
            "best": c["a"] + c["b"] if c["k"] < 0 else c["b"],
            "middle": c["L0"],
            "k": abs(c["k"]),
        },
        lambda c: {
            "a": c["best"] - c["chance"],
            "b": c["chance"],
            "k": -c["k"],
            "L0": c["middle"],
        },
    ),
    Parametrization(
        "pass_at_k",
        "repeated_sampling",
        **_renamed({"a": "a", "b": "b"}, "a", "b"),
        formula=r"\exp(a x^{b})",
        reference="Brown et al. 2024, arXiv:2407.21787",
    ),
)
_BY_NAME = {p.name: p for p in PARAMETRIZATIONS}
