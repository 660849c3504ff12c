r"""What a training run costs: compute from model size, tokens and whatever else sets it.

What to use when: `Cost` for :math:`C = \kappa N D` (or write ``"6ND"``); `ProductCost` where
further inputs multiply it (sparsity, streams, precision); `LifetimeCost` if the model is served;
`scaling_laws.planning.architecture.ArchitectureCost` where the shape of the model is known;
`FittedCost` where cost was measured; `FunctionCost` for anything else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, overload, runtime_checkable

import numpy as np

from scaling_laws.errors import PlanError, suggest
from scaling_laws.planning.amounts import Array, one, plain, positive
from scaling_laws.quantities import LEAST, MOST, quantity, real_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_WRITTEN = re.compile(r"(\d+(?:\.\d*)?)\s*\*?\s*N\s*\*?\s*D")
_MOST_LOG_TOKENS = 138.0  # log of 1e60: beyond everything
_HALVINGS = 64


@runtime_checkable
class AnyCost(Protocol):
    """What a planner needs to know of a cost; any object with these three will do.

    Attributes
    ----------
    name : str
        How to call it in results.
    inputs : tuple of str
        The quantities it reads.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def inputs(self) -> tuple[str, ...]: ...  # noqa: D102
    def flops(self, *args: Any, **inputs: Any) -> Any:
        """Compute [FLOP], one keyword per input; increases with ``tokens``."""
        ...


@dataclass(frozen=True)
class Cost:
    r"""Training compute proportional to model size times tokens, :math:`C = \kappa N D`.

    Parameters
    ----------
    name : str
        How to call it in results, for example ``"6ND"``.
    kappa : float, default 6.0
        FLOP per parameter and token: two forward and four backward for a dense model, 8 when
        every activation is computed a second time.

    Raises
    ------
    PlanError
        ``kappa`` is not a positive number, or contradicts a name of the form ``"6ND"``.

    References
    ----------
    Kaplan et al. (2020), arXiv:2001.08361, sec. 2.1.

    Examples
    --------
    >>> cost = Cost("6ND")
    >>> cost.flops(params=7e10, tokens=1.4e12)
    5.88e+23
    >>> cost.tokens(flops=5.88e23, params=7e10)
    1400000000000.0
    """

    name: str
    kappa: float = 6.0

    def __post_init__(self) -> None:
        if not LEAST <= real_number(self.kappa) <= MOST:
            raise PlanError(
                f"cost '{self.name}': kappa must be a positive number of FLOP per parameter and "
                f"token, got {self.kappa!r}. A dense model takes about 6."
            )
        written = _WRITTEN.fullmatch(str(self.name))
        if written and float(written[1]) != self.kappa:
            raise PlanError(
                f"cost '{self.name}' contradicts kappa={self.kappa:g}. Write get_cost('{self.name}'"
                f"), or pass kappa={float(written[1]):g}."
            )

    @property
    def inputs(self) -> tuple[str, ...]:
        """The quantities it reads."""
        return ("params", "tokens")

    def flops(self, params: ArrayLike, tokens: ArrayLike) -> Any:
        """Compute [FLOP] of training ``params`` [count] on ``tokens`` [count]."""
        with np.errstate(over="ignore"):
            return plain(self.kappa * np.asarray(params, float) * np.asarray(tokens, float))

    def tokens(self, flops: ArrayLike, params: ArrayLike) -> Any:
        """Tokens [count] that ``flops`` [FLOP] pay for at ``params`` [count]."""
        return plain(np.asarray(flops, float) / (self.kappa * np.asarray(params, float)))

    def params(self, flops: ArrayLike, tokens: ArrayLike) -> Any:
        """Model size [count] that ``flops`` [FLOP] pay for on ``tokens`` [count]."""
        return plain(np.asarray(flops, float) / (self.kappa * np.asarray(tokens, float)))


@dataclass(frozen=True)
class ProductCost:
    r"""Compute proportional to a product of powers, :math:`C = \kappa \prod_i x_i^{p_i}`.

    Parameters
    ----------
    name : str
        How to call it in results.
    kappa : float
        FLOP of a run whose inputs are all one.
    powers : mapping of str to float, or tuple of pairs
        Power of every input; ``tokens`` among them, with a positive power.

    Raises
    ------
    PlanError
        A power is not a number, or compute would not grow with tokens.

    Notes
    -----
    `SPARSE` is for laws whose ``params`` count every expert; where they count what runs per token
    (``routed``, ``sparsity`` and ``experts_product`` of the registry), ``"6ND"`` is right as it is.
    Routing itself is neglected [1]_. `STREAMS` holds for parallel streams through one model [2]_,
    `PRECISION` for compute counted in 16-bit operations [3]_.

    References
    ----------
    .. [1] Ludziejewski et al. (2025), arXiv:2502.05172: :math:`C \approx 6 N_{active} D`.
    .. [2] Chen et al. (2025), arXiv:2505.10475.
    .. [3] Kumar et al. (2024), arXiv:2411.04330: :math:`C = (6/16) N D P`.

    Examples
    --------
    >>> SPARSE.flops(params=4.8e10, sparsity_ratio=4, tokens=1e12)
    7.2e+22
    """

    name: str
    kappa: float
    powers: tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        one(f"cost '{self.name}'", "kappa", self.kappa, unit="FLOP")
        pairs = self.powers.items() if isinstance(self.powers, Mapping) else self.powers
        object.__setattr__(self, "powers", tuple((str(n), p) for n, p in pairs))
        for name, power in self.powers:
            if not abs(real_number(power)) <= MOST:
                raise PlanError(f"cost '{self.name}': power of '{name}' must be a number: {power}.")
        if dict(self.powers).get("tokens", 0.0) <= 0 or len(dict(self.powers)) < len(self.powers):
            raise PlanError(
                f"cost '{self.name}': powers must name every input once and 'tokens' with a "
                f"positive power, got {self.powers}."
            )

    @property
    def inputs(self) -> tuple[str, ...]:
        """The quantities it reads."""
        return tuple(n for n, _ in self.powers)

    def flops(self, **inputs: ArrayLike) -> Any:
        """Compute [FLOP], one keyword per input; they broadcast."""
        values = _checked(self, inputs)
        return plain(math.prod((values[n] ** p for n, p in self.powers), start=self.kappa))


SPARSE = ProductCost("6ND/S", 6.0, (("params", 1.0), ("tokens", 1.0), ("sparsity_ratio", -1.0)))
STREAMS = ProductCost("6NDP", 6.0, (("params", 1.0), ("tokens", 1.0), ("streams", 1.0)))
PRECISION = ProductCost(
    "(6/16)NDP", 6.0 / 16.0, (("params", 1.0), ("tokens", 1.0), ("precision_bits", 1.0))
)


@dataclass(frozen=True)
class FunctionCost:
    """Compute by a function of one's own.

    Parameters
    ----------
    name : str
        How to call it in results.
    inputs : tuple of str
        The quantities it reads, ``tokens`` among them.
    function : callable
        ``function(**inputs) -> FLOP``, broadcasting, increasing in tokens. A module-level function
        if the cost is to be pickled.

    Raises
    ------
    PlanError
        Not callable, or ``tokens`` is not among the inputs; when called: what comes back is not
        positive.

    Examples
    --------
    A student with a teacher of 1e10 parameters, whose outputs are computed along the way:

    >>> def both(params, tokens):
    ...     return (6 * params + 2 * 1e10) * tokens
    >>> student = FunctionCost("distillation", ("params", "tokens"), both)
    >>> student.flops(params=1e9, tokens=1e10)
    2.6e+20
    """

    name: str
    inputs: tuple[str, ...]
    function: Callable[..., Any]

    def __post_init__(self) -> None:
        names = (self.inputs,) if isinstance(self.inputs, str) else tuple(self.inputs)
        object.__setattr__(self, "inputs", names)
        if not callable(self.function):
            raise PlanError(
                f"cost '{self.name}': function must be callable, got {self.function!r}."
            )
        if "tokens" not in names or len(set(names)) < len(names):
            raise PlanError(
                f"cost '{self.name}': inputs must name 'tokens' and every quantity once, got "
                f"{names}."
            )

    def flops(self, **inputs: ArrayLike) -> Any:
        """Compute [FLOP], one keyword per input; they broadcast."""
        return _sane(self.name, self.function(**_checked(self, inputs)))


@dataclass(frozen=True)
class LifetimeCost:
    r"""Compute of training a model and of serving it, :math:`C + w \, s N D_{served}`.

    Parameters
    ----------
    served_tokens : float
        Tokens [count] the model will read and write in its life; may be 0.
    training : Cost or str, default "6ND"
        Compute of training.
    serving_flops : float, default 2.0
        FLOP per parameter and served token: a forward pass.
    serving_weight : float, default 1.0
        What a served FLOP costs relative to a FLOP of training. The sum is then in FLOP of
        training, and in dollars once multiplied by their price.
        `scaling_laws.planning.hardware.serving_weight` computes it from the two machines.
    name : str, default "lifetime"
        How to call it in results.

    Raises
    ------
    PlanError
        A number is negative or not finite.

    References
    ----------
    Sardana et al. (2024), arXiv:2401.00448, eq. 3, and eq. 6 for dollars.

    Examples
    --------
    >>> cost = LifetimeCost(served_tokens=2e12)
    >>> cost.flops(params=1e10, tokens=1e12)
    1e+23
    >>> cost.training_flops(params=1e10, tokens=1e12)
    6e+22
    """

    served_tokens: float
    training: AnyCost | str = "6ND"
    serving_flops: float = 2.0
    serving_weight: float = 1.0
    name: str = "lifetime"

    def __post_init__(self) -> None:
        object.__setattr__(self, "training", get_cost(self.training))
        for name in ("served_tokens", "serving_flops", "serving_weight"):
            value = getattr(self, name)
            if not 0 <= real_number(value) <= MOST:
                raise PlanError(
                    f"LifetimeCost: {name} must be a number >= 0, got {value!r}. Write counts "
                    "out, such as 2e12 for '2T'."
                )
        if "params" not in self.inputs:
            raise PlanError(
                f"LifetimeCost: serving depends on params, which cost '{self._training.name}' does "
                "not read. Use FunctionCost."
            )

    @property
    def _training(self) -> AnyCost:
        return get_cost(self.training)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The quantities it reads: those of training."""
        return self._training.inputs

    def training_flops(self, **inputs: ArrayLike) -> Any:
        """Compute [FLOP] of training alone."""
        return self._training.flops(**_checked(self, inputs))

    def served_flops(self, params: ArrayLike) -> Any:
        """Compute [FLOP] of serving alone, not weighted."""
        size = positive(f"cost '{self.name}'", "params", params)
        return plain(self.serving_flops * float(self.served_tokens) * size)

    def flops(self, **inputs: ArrayLike) -> Any:
        """Weighted compute [FLOP of training], one keyword per input; they broadcast."""
        values = _checked(self, inputs)
        served = self.serving_flops * float(self.served_tokens) * values["params"]
        return plain(self._training.flops(**values) + self.serving_weight * served)


@dataclass(frozen=True)
class FittedCost:
    """A cost learned from measured runs: a law or a fit of compute, seconds or memory.

    Parameters
    ----------
    fit : Law or Fit
        Predicts the cost from its inputs; for example
        ``sl.fit(runs, "product", target="cpu_seconds")``.
    quantity : str, optional
        What it predicts; default: the target of the fit.
    flops_per_unit : float, default 1.0
        Multiplies the prediction: FLOP per second, if it is to be compared with compute. With 1,
        the "compute" of plans is in the unit of the quantity: a budget of 3600 is an hour.

    Raises
    ------
    PlanError
        Neither a law nor a fit, of another quantity, or falling with tokens in the measured range.

    Examples
    --------
    >>> from scaling_laws.laws.registry import get_law
    >>> law = get_law("product").with_coef({"K": 6e-12, "alpha_params": -1, "alpha_tokens": -1})
    >>> cost = FittedCost(law, "seconds")
    >>> round(cost.flops(params=1e6, tokens=1e8), 6), cost.unit
    (600.0, 's')
    """

    fit: Any
    quantity: str | None = None
    flops_per_unit: float = 1.0

    def __post_init__(self) -> None:
        target = getattr(self.fit, "target", None)
        if not hasattr(self._law, "family"):
            raise PlanError(
                f"FittedCost takes a law with numbers or a fit, got {type(self.fit).__name__}."
            )
        if self.quantity is None:
            object.__setattr__(self, "quantity", target or "flops")
        if target not in (None, self.quantity):
            raise PlanError(
                f"FittedCost: the fit predicts '{target}', not '{self.quantity}'. Fit "
                f"target='{self.quantity}'."
            )
        one("FittedCost", "flops_per_unit", self.flops_per_unit, unit="FLOP")
        self._check_direction()

    def _check_direction(self) -> None:
        known = getattr(self.fit, "ranges", None)
        ranges = known or {n: (low, high) for n, low, high in getattr(self._law, "validity", ())}
        if "tokens" not in self.inputs or any(n not in ranges for n in self.inputs):
            return
        middle = {n: float(np.sqrt(ranges[n][0] * ranges[n][1])) for n in self.inputs}
        low, high = ranges["tokens"]
        along = self._law(**{**middle, "tokens": np.geomspace(low, high, 9)})
        if low < high and np.any(np.diff(along) <= 0):
            raise PlanError(
                f"FittedCost: '{self._law.family.name}' predicts '{self.quantity}' that does not "
                "grow with tokens in the measured range. Use a law such as 'product'."
            )

    @property
    def _law(self) -> Any:
        return getattr(self.fit, "law", self.fit)

    @property
    def name(self) -> str:
        """How to call it in results."""
        return f"fitted {self.quantity}"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The quantities it reads: the inputs of the law."""
        return tuple(self._law.inputs)

    @property
    def unit(self) -> str:
        """Unit of what `flops` returns."""
        return quantity(str(self.quantity)).unit if self.flops_per_unit == 1 else "FLOP"

    def flops(self, **inputs: ArrayLike) -> Any:
        """Predicted cost [FLOP, or `unit`], one keyword per input; they broadcast."""
        return _sane(self.name, self.flops_per_unit * self._law(**_checked(self, inputs)))


@overload
def get_cost(cost: Cost | str) -> Cost: ...
@overload
def get_cost(cost: AnyCost | str) -> AnyCost: ...
def get_cost(cost: AnyCost | str) -> AnyCost:
    """Return a cost from its written form ``"<kappa>ND"``; a cost is returned as it is.

    Raises
    ------
    PlanError
        Neither a cost nor of that form.

    Examples
    --------
    >>> get_cost("8ND").kappa
    8.0
    >>> get_cost("6NT")
    Traceback (most recent call last):
        ...
    scaling_laws.errors.PlanError: cost must be written '<FLOP per parameter and token>ND', such \
as '6ND', or be a Cost: got '6NT'.
    """
    if not isinstance(cost, str | type) and isinstance(cost, AnyCost):
        return cost
    written = _WRITTEN.fullmatch(cost.strip()) if isinstance(cost, str) else None
    if written is None:
        raise PlanError(
            "cost must be written '<FLOP per parameter and token>ND', such as '6ND', or be a "
            f"Cost: got {cost!r}."
        )
    return Cost(str(cost).strip(), float(written[1]))


def tokens_for(cost: AnyCost | str, flops: ArrayLike, **held: ArrayLike) -> Any:
    """Tokens [count] that a budget pays for, under any cost.

    Parameters
    ----------
    cost : Cost or str
        Any cost that reads ``tokens``.
    flops : array_like
        Budget [FLOP, or the unit of the cost].
    **held : array_like
        The cost's other inputs; all broadcast.

    Returns
    -------
    float or ndarray
        NaN where the budget does not pay for a single token.

    Raises
    ------
    PlanError
        A number is not positive, or an input is missing.

    Notes
    -----
    `Cost` in closed form, others by bisection of the logarithm to double precision.

    Examples
    --------
    >>> tokens_for("6ND", 6e20, params=1e9)
    100000000000.0
    >>> round(tokens_for(LifetimeCost(1e11), 6e20, params=1e9) / 1e9, 6)
    66.666667
    """
    cost = get_cost(cost)
    values = _checked(cost, {**held, "tokens": 1.0})
    budget = positive(f"cost '{cost.name}'", "flops", flops)
    if isinstance(cost, Cost):
        return cost.tokens(budget, values["params"])
    others = {n: values[n] for n in cost.inputs if n != "tokens"}
    shape = np.broadcast_shapes(budget.shape, *(v.shape for v in others.values()))
    low, high = np.zeros(shape), np.full(shape, _MOST_LOG_TOKENS)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        below = np.asarray(cost.flops(**others, tokens=np.exp(middle))) <= budget
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    enough = np.asarray(cost.flops(**others, tokens=np.ones(shape))) <= budget
    return plain(np.where(enough, np.exp(low), np.nan))


def _checked(cost: AnyCost, inputs: Mapping[str, Any]) -> dict[str, Array]:
    wanted = cost.inputs
    missing = [n for n in wanted if n not in inputs]
    unknown = [n for n in inputs if n not in wanted]
    if missing or unknown:
        said = f"missing {missing}" if missing else f"unknown {unknown}"
        near = suggest(unknown[0], wanted) if unknown else ""
        raise PlanError(f"cost '{cost.name}' reads {wanted}: {said}.{near} Pass one keyword each.")
    return {n: positive(f"cost '{cost.name}'", n, inputs[n]) for n in wanted}


def _sane(name: str, values: Any) -> Any:
    array = np.asarray(values, dtype=float)
    if not np.all(np.isfinite(array) & (array > 0)):
        raise PlanError(
            f"cost '{name}' is not a positive finite number at some of these inputs. Check the "
            "function, or the range it was fitted on."
        )
    return plain(array)
