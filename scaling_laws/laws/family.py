"""What a law is: coefficients with roles, a functional form, and a form with numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_laws.errors import DataError, LawError, suggest
from scaling_laws.quantities import Domain, as_floats, check_values, quantity

Array = NDArray[np.float64]
Role = Literal["floor", "plateau", "amplitude", "exponent", "scale", "shape", "slope"]
Linear = Literal["target", "log"]
Coefs = Mapping[str, Any]

_STEP = 1e-30


@dataclass(frozen=True)
class Coefficient:
    """One fitted constant of a law.

    Parameters
    ----------
    name : str
        Name in the function's signature and in results.
    role : str
        ``"floor"`` (limit at infinite inputs), ``"plateau"``, ``"amplitude"``, ``"exponent"``,
        ``"scale"`` (in an input's unit), ``"shape"`` or ``"slope"`` (either sign).
    lower, upper : float
        Bounds.
    linear : {"target", "log", None}
        Claim, tested by `scaling_laws.testing.check_law`: the prediction (or its logarithm) is
        linear in this coefficient when the others are held. Linear coefficients are solved for,
        the others are searched.
    starts : pair of float, optional
        Span searched for starting values, for inputs divided by their geometric mean. Needed by
        coefficients that are not linear.
    meaning : str
        One line for people.

    Examples
    --------
    >>> exponent("alpha")
    Coefficient(name='alpha', role='exponent', lower=0.0, upper=3.0, linear=None, \
starts=(0.02, 1.5), meaning='')
    """

    name: str
    role: Role
    lower: float = -np.inf
    upper: float = np.inf
    linear: Linear | None = None
    starts: tuple[float, float] | None = None
    meaning: str = ""

    def __post_init__(self) -> None:
        if not self.lower < self.upper:
            raise LawError(
                f"coefficient '{self.name}': lower bound {self.lower} is not below upper bound "
                f"{self.upper}. Swap or widen them."
            )
        if self.starts and not self.lower <= self.starts[0] < self.starts[1] <= self.upper:
            raise LawError(
                f"coefficient '{self.name}': starts {self.starts} must increase and lie inside "
                f"the bounds ({self.lower}, {self.upper})."
            )


def floor(name: str = "E", meaning: str = "irreducible value") -> Coefficient:
    """Limit of the target at infinite inputs: non-negative, linear."""
    return Coefficient(name, "floor", 0.0, np.inf, "target", None, meaning)


def plateau(name: str, meaning: str = "") -> Coefficient:
    """A level the curve tends to at one end: any sign, linear."""
    return Coefficient(name, "plateau", -np.inf, np.inf, "target", None, meaning)


def amplitude(name: str, meaning: str = "") -> Coefficient:
    """Size of a term: non-negative, linear."""
    return Coefficient(name, "amplitude", 0.0, np.inf, "target", None, meaning)


def exponent(
    name: str, starts: tuple[float, float] = (0.02, 1.5), upper: float = 3.0, meaning: str = ""
) -> Coefficient:
    """Rate of a power, > 0 where the term falls; searched."""
    return Coefficient(name, "exponent", 0.0, upper, None, starts, meaning)


def signed_exponent(name: str, starts: tuple[float, float], meaning: str = "") -> Coefficient:
    """Rate of a power of either sign; searched."""
    return Coefficient(name, "exponent", -3.0, 3.0, None, starts, meaning)


def scale(name: str, starts: tuple[float, float] = (1e-3, 1e3), meaning: str = "") -> Coefficient:
    """Positive constant carrying an input's unit; searched on a logarithmic grid."""
    return Coefficient(name, "scale", 0.0, np.inf, None, starts, meaning)


def shape(
    name: str, starts: tuple[float, float] = (0.1, 2.0), upper: float = 10.0, meaning: str = ""
) -> Coefficient:
    """Positive constant without unit that bends the curve; searched."""
    return Coefficient(name, "shape", 0.0, upper, None, starts, meaning)


def slope(name: str, linear: Linear = "log", meaning: str = "") -> Coefficient:
    """Rate of either sign, linear in the target or in its logarithm."""
    return Coefficient(name, "slope", -np.inf, np.inf, linear, None, meaning)


@dataclass(frozen=True)
class LawFamily:
    r"""A functional form without numbers.

    Parameters
    ----------
    name : str
        Canonical name, lower case with underscores.
    function : callable
        Pure function ``f(*inputs, *coefficients)`` that broadcasts inputs of shape ``(n,)``
        against coefficients that are scalars or ``(k, 1)``, and works on complex coefficients
        (unless ``analytic=False``). A module-level function, so that laws pickle.
    inputs : tuple of str
        Names of its inputs, in the order of the arguments. They can be bound to other names.
    coefficients : tuple of Coefficient
        In the order of the arguments.
    formula : str
        LaTeX.
    reference : str
        Paper and equation.
    example : mapping of str to float
        Plausible coefficients in raw units, used by tests and figures.
    aliases : tuple of str
        Other names people know it by.
    build : callable, optional
        ``inputs -> (coefficients, example)`` for forms over any number of inputs.
    rescale : callable, optional
        ``(coef, factors) -> coef``: coefficients of the same curve when input ``i`` is
        multiplied by ``factors[i]``; ``coef`` comes in the order of the coefficients. With it
        the fit runs in inputs of order one.
    units : tuple of str, optional
        Unit of each input, for `rescale`: inputs of one unit are multiplied by the same factor,
        and pure numbers, of unit ``""``, by none. Default: every input has a unit of its own.
    value_and_jacobian : callable, optional
        ``f(*inputs, *coefficients) -> (value, derivatives)``, one derivative a coefficient.
        Default: complex step.
    solve_as, from_solved : LawFamily and callable, optional
        The same curves in coefficients that are easier to find (a linear block, less
        correlated), each named after the one it becomes, and the map back. The solver works in
        these unless coefficients are fixed, bounded, tied or given priors.
    input_domain : {"positive", "fraction", "real"}
        ``"fraction"`` for proportions, zero included; ``"real"`` where the form is defined for
        any finite input.
    analytic : bool
        False where the function uses ``abs``, ``maximum`` and the like.
    increasing : bool
        True for a target that grows towards its limit: the form is mirrored at its floor,
        ``E - A x^-alpha`` for ``E + A x^-alpha``. Set by `bind`.
    candidate : bool
        Whether automatic selection may propose it.
    typical : mapping of str to (mean, standard deviation)
        Where coefficients without a unit usually lie. `select` tries the law with and without
        leaning on them; `fit` does not. Of ``solve_as`` where there is one; names that are no
        coefficients are ignored.

    Raises
    ------
    LawError
        If the declaration contradicts itself.

    Examples
    --------
    >>> from scaling_laws.laws.registry import get_law
    >>> family = get_law("chinchilla")
    >>> family.coefficient_names
    ('E', 'A', 'alpha', 'B', 'beta')
    >>> round(family.with_coef(family.example)(params=7e10, tokens=1.4e12), 4)
    1.9366
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    coefficients: tuple[Coefficient, ...] = ()
    formula: str = ""
    reference: str = ""
    example: Mapping[str, float] = field(default_factory=dict, hash=False)
    aliases: tuple[str, ...] = ()
    build: Callable[[tuple[str, ...]], tuple[tuple[Coefficient, ...], dict[str, float]]] | None = (
        None
    )
    rescale: Callable[[Coefs, Sequence[float]], Mapping[str, Any]] | None = None
    units: tuple[str, ...] = ()
    value_and_jacobian: Callable[..., tuple[Any, Sequence[Any]]] | None = None
    solve_as: LawFamily | None = None
    from_solved: Callable[[Coefs], Mapping[str, Any]] | None = None
    input_domain: Domain = "positive"
    analytic: bool = True
    increasing: bool = False
    candidate: bool = False
    typical: Mapping[str, tuple[float, float]] = field(default_factory=dict, hash=False)

    def __repr__(self) -> str:
        coefficients = ", ".join(self.coefficient_names)
        return f"LawFamily {self.name} of {', '.join(self.inputs)}: {coefficients}"

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))
        if not self.inputs:
            raise LawError(f"law '{self.name}' has no inputs. Name at least one.")
        if self.build is not None and not self.coefficients:
            coefficients, example = self.build(self.inputs)
            object.__setattr__(self, "coefficients", coefficients)
            object.__setattr__(self, "example", example)
        self._check_declaration()

    def _check_declaration(self) -> None:
        names = self.coefficient_names
        for what, listed in (("a coefficient", names), ("an input", self.inputs)):
            if len(set(listed)) < len(listed):
                raise LawError(f"law '{self.name}' declares {what} twice: {listed}.")
        if self.units and len(self.units) != len(self.inputs):
            raise LawError(
                f"law '{self.name}' gives {len(self.units)} units for {len(self.inputs)} inputs. "
                "Give one for each, or none."
            )
        parameters = inspect.signature(self.function).parameters.values()
        if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
            taken = tuple(p.name for p in parameters)[len(self.inputs) :]
            if taken != names:
                raise LawError(
                    f"law '{self.name}': after its {len(self.inputs)} inputs the function takes "
                    f"coefficients {taken} but the declaration lists {names}."
                )
        if self.example and set(self.example) != set(names):
            raise LawError(
                f"law '{self.name}': example gives {sorted(self.example)} but the coefficients "
                f"are {sorted(names)}."
            )
        for c in self.coefficients:
            if self.example and not c.lower <= self.example[c.name] <= c.upper:
                raise LawError(
                    f"law '{self.name}': example {c.name}={self.example[c.name]} lies outside "
                    f"its bounds ({c.lower}, {c.upper})."
                )

    @property
    def coefficient_names(self) -> tuple[str, ...]:
        """Names of the coefficients, in the order of the function's arguments."""
        return tuple(c.name for c in self.coefficients)

    @property
    def floor_index(self) -> int | None:
        """Position of the coefficient with role ``"floor"``, if there is exactly one."""
        found = [i for i, c in enumerate(self.coefficients) if c.role == "floor"]
        return found[0] if len(found) == 1 else None

    def bind(
        self, inputs: Sequence[str] | None = None, *, increasing: bool | None = None
    ) -> LawFamily:
        """Return the family over other input names (any number where the form allows it).

        Parameters
        ----------
        inputs : sequence of str, optional
            New names, in the order of the function's inputs.
        increasing : bool, optional
            Mirror the form at its floor, for a target where higher is better. Forms without a
            floor take either direction as they are.

        Raises
        ------
        LawError
            Wrong number of names, or a name given twice.

        Examples
        --------
        >>> from scaling_laws.laws.registry import get_law
        >>> get_law("product").bind(("width", "depth", "tokens")).coefficient_names
        ('K', 'alpha_width', 'alpha_depth', 'alpha_tokens')
        """
        if isinstance(inputs, str):
            raise LawError(
                f"inputs must be a sequence of names, got '{inputs}': write ('{inputs}',)."
            )
        names = self.inputs if inputs is None else name_tuple("inputs", inputs)
        if len(set(names)) < len(names):
            raise LawError(f"law '{self.name}': an input is named twice in {names}.")
        if self.build is None and len(names) != len(self.inputs):
            raise LawError(
                f"law '{self.name}' takes {len(self.inputs)} inputs {self.inputs}, got "
                f"{len(names)}: {names}. Name as many with inputs=. Laws over any inputs: "
                "additive_power, linear, log_linear, log_linear_with_floor, product, "
                "product_with_floor, product_with_overhead, semi_log, translog; of proportions: "
                "mixture_additive, mixture_exponential, mixture_inverse."
            )
        mirrored = self.increasing if increasing is None else increasing
        mirrored = mirrored and self.floor_index is not None
        if self.build is not None and names != self.inputs:
            return replace(self, inputs=names, coefficients=(), example={}, increasing=mirrored)
        return replace(self, inputs=names, increasing=mirrored)

    def same_unit(self, factors: Sequence[float]) -> list[float]:
        """Make factors of the inputs legal for `rescale`: one a unit, none for pure numbers.

        Parameters
        ----------
        factors : sequence of float
            A factor wanted for each input; those of one unit give their geometric mean.

        Examples
        --------
        >>> from scaling_laws.laws.registry import get_law
        >>> get_law("chinchilla").same_unit([2.0, 3.0])
        [2.0, 3.0]
        """
        if not self.units:
            return list(factors)
        logs = np.log(factors)
        units = np.array(self.units)
        return [float(np.exp(logs[units == u].mean())) if u else 1.0 for u in self.units]

    def evaluate(self, inputs: Sequence[Any], coef: Sequence[Any]) -> Any:
        """Evaluate on arrays: inputs ``(n,)``, coefficients scalars or ``(k, 1)``.

        Examples
        --------
        >>> from scaling_laws.laws.registry import get_law
        >>> float(get_law("power").evaluate([np.array(100.0)], [3.0, 0.5]).round(12))
        0.3
        """
        value = self.function(*inputs, *coef)
        i = self.floor_index if self.increasing else None
        return value if i is None else 2.0 * coef[i] - value

    def evaluate_with_jacobian(
        self, inputs: Sequence[Any], coef: Sequence[Any]
    ) -> tuple[Any, list[Any]]:
        """Value and its derivative with respect to every coefficient.

        Uses the declared derivative, else a complex step, else central differences.
        """
        if self.value_and_jacobian is not None:
            value, columns = self.value_and_jacobian(*inputs, *coef)
            columns = list(columns)
        else:
            value = self.function(*inputs, *coef)
            columns = [self._derivative(inputs, coef, i) for i in range(len(coef))]
        i = self.floor_index if self.increasing else None
        if i is None:
            return value, columns
        mirrored = [-c for c in columns]
        mirrored[i] = 2.0 + mirrored[i]
        return 2.0 * coef[i] - value, mirrored

    def _derivative(self, inputs: Sequence[Any], coef: Sequence[Any], i: int) -> Any:
        shifted = list(coef)
        if self.analytic:
            shifted[i] = coef[i] + 1j * _STEP
            return np.imag(self.function(*inputs, *shifted)) / _STEP
        step = 6e-6 * np.where(np.abs(coef[i]) > 0, np.abs(coef[i]), 1e-3)
        shifted[i] = coef[i] + step
        above = self.function(*inputs, *shifted)
        shifted[i] = coef[i] - step
        return (above - self.function(*inputs, *shifted)) / (2 * step)

    def with_coef(self, coef: Coefs, **about: Any) -> Law:
        """Return the law with these numbers.

        Parameters
        ----------
        coef : mapping of str to float
            One value for every coefficient, in raw units.
        **about
            Further fields of `Law`: ``name``, ``reference``, ``convention``, ``validity``.

        Raises
        ------
        LawError
            A coefficient is missing, unknown, or not finite.
        """
        names = self.coefficient_names
        if not isinstance(coef, Mapping):
            raise LawError(f"law '{self.name}' takes its coefficients by name: {names}.")
        for given in coef:
            if given not in names:
                raise LawError(
                    f"law '{self.name}' has no coefficient '{given}'.{suggest(given, names)} "
                    f"It has {names}."
                )
        missing = [n for n in names if n not in coef]
        if missing:
            raise LawError(f"law '{self.name}' needs a value for {missing}.")
        values = tuple(as_number(self.name, n, coef[n]) for n in names)
        if not np.all(np.isfinite(values)):
            raise LawError(f"law '{self.name}' has coefficients that are not finite: {dict(coef)}.")
        return Law(self, values, **about)


@dataclass(frozen=True)
class Law:
    """A law family with numbers: callable, comparable, and all a planner needs.

    Parameters
    ----------
    family : LawFamily
    values : tuple of float
        Coefficients in the family's order, in raw units.
    name, reference : str
        What to call it and where it comes from.
    convention : str
        What is counted, for example whether parameters include embeddings.
    validity : tuple of (str, float, float)
        Range of each quantity the numbers were fitted on.

    Examples
    --------
    >>> from scaling_laws.laws import published
    >>> law = published.HOFFMANN_2022
    >>> law.coef["alpha"], round(law(params=7e10, tokens=1.4e12), 3)
    (0.34, 1.937)
    """

    family: LawFamily
    values: tuple[float, ...]
    name: str = ""
    reference: str = ""
    convention: str = ""
    validity: tuple[tuple[str, float, float], ...] = ()

    @property
    def coef(self) -> dict[str, float]:
        """Coefficients by name, a fresh mapping."""
        return dict(zip(self.family.coefficient_names, self.values, strict=True))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return self.family.inputs

    @property
    def floor(self) -> float | None:
        """Limit of the target at infinite inputs, where the family declares one."""
        i = self.family.floor_index
        return None if i is None else self.values[i]

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name}={value:.6g}" for name, value in self.coef.items())
        title = f" ({self.name})" if self.name else ""
        return f"Law {self.family.name} of {', '.join(self.inputs)}{title}: {numbers}"

    def __call__(self, **inputs: ArrayLike) -> Any:
        """Predict the target.

        Parameters
        ----------
        **inputs : array_like
            One per input of the law, raw counts; they broadcast.

        Returns
        -------
        float or ndarray

        Raises
        ------
        DataError
            An input is missing, unknown, or outside its domain.
        """
        arrays = check_inputs(self.family, inputs)
        with np.errstate(
            over="ignore", under="ignore", divide="ignore"
        ):  # infinite where it is too large
            value = self.family.evaluate(arrays, self.values)
        return float(value) if np.ndim(value) == 0 else value

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping: names and numbers, never code."""
        return {
            "family": self.family.name,
            "inputs": list(self.family.inputs),
            "increasing": self.family.increasing,
            "coef": self.coef,
            "name": self.name,
            "reference": self.reference,
            "convention": self.convention,
            "validity": [list(v) for v in self.validity],
        }


def name_tuple(option: str, names: Any) -> tuple[str, ...]:
    """Return a sequence of names as a tuple.

    Raises
    ------
    LawError
        Something else.

    Examples
    --------
    >>> name_tuple("inputs", ["params", "tokens"])
    ('params', 'tokens')
    """
    if isinstance(names, str) or not isinstance(names, Iterable) or getattr(names, "ndim", 1) < 1:
        raise LawError(f"{option} must be a sequence of names, got {names!r}.")
    found = tuple(names)
    wrong = [n for n in found if not isinstance(n, str)]
    if wrong:
        raise LawError(f"{option} must be a sequence of names, got {wrong[0]!r} among them.")
    return found


def as_number(law: str, name: str, value: Any) -> float:
    """Return a coefficient as a float.

    Raises
    ------
    LawError
        It is no number.

    Examples
    --------
    >>> as_number("power", "alpha", 1)
    1.0
    """
    try:
        return float(as_floats(name, value))
    except (DataError, TypeError):  # an array of several is no number either
        raise LawError(
            f"law '{law}': coefficient '{name}' must be a number, got {value!r}."
        ) from None


def check_inputs(family: LawFamily, inputs: Mapping[str, ArrayLike]) -> list[Array]:
    """Return the law's inputs as broadcast float arrays, in order, or say what is wrong.

    Raises
    ------
    DataError
        An input is missing, unknown, or outside its domain.
    """
    missing = [n for n in family.inputs if n not in inputs]
    unknown = [n for n in inputs if n not in family.inputs]
    if missing or unknown:
        said = f"missing {missing}" if missing else f"unknown {unknown}"
        said += f", got {list(inputs)}" if missing and unknown else ""
        near = suggest(unknown[0], family.inputs) if unknown else ""
        raise DataError(
            f"law '{family.name}' needs inputs {family.inputs}: {said}.{near} Pass one keyword "
            "argument per input, as raw counts."
        )
    arrays = [check_values(n, inputs[n], input_domain(family, n)) for n in family.inputs]
    try:
        return [np.asarray(a) for a in np.broadcast_arrays(*arrays)]
    except ValueError:
        shapes = {n: a.shape for n, a in zip(family.inputs, arrays, strict=True)}
        raise DataError(f"inputs of '{family.name}' do not broadcast: {shapes}.") from None


def input_domain(family: LawFamily, name: str) -> Domain:
    """Domain of an input: the quantity's own, or a narrower one that the form needs."""
    return quantity(name).domain if family.input_domain == "real" else family.input_domain
