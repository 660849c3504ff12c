"""What a plan amounts to (compute, time, money, ...), and hard limits on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling_laws.errors import PlanError, ScalingLawError, suggest
from scaling_laws.planning.amounts import Array, each
from scaling_laws.planning.costs.cost import AnyCost
from scaling_laws.planning.costs.hardware import Hardware
from scaling_laws.quantities import LEAST, MOST, real_number

Values = Mapping[str, Array]

BUDGETS = ("flops", "seconds", "device_hours", "dollars")
"""Measures that are spent: near-optimal plans may spend a little more of them."""

_HOUR = 3600.0
_IDLE = 1e-12  # least share of the peak


@dataclass(frozen=True)
class Limit:
    """A hard limit on something of your own: memory, latency, power.

    Parameters
    ----------
    function : callable
        ``function(*inputs)``, one positional argument for each of ``inputs``; broadcasts.
    at_most, at_least : float, optional
        The bounds; positive.
    inputs : tuple of str, default ("params",)
        Quantities of the plan it reads. It must rise or fall with each of them, not turn.

    Raises
    ------
    PlanError
        No bound, or one that is not a positive number.

    Examples
    --------
    >>> from functools import partial
    >>> from scaling_laws.planning.costs.memory import serving_bytes
    >>> limit = Limit(partial(serving_bytes, bits=8), at_most=24e9)
    >>> limit.inputs
    ('params',)
    """

    function: Callable[..., Any]
    at_most: float | None = None
    at_least: float | None = None
    inputs: tuple[str, ...] = ("params",)

    def __post_init__(self) -> None:
        names = (self.inputs,) if isinstance(self.inputs, str) else tuple(self.inputs)
        object.__setattr__(self, "inputs", names)
        if not callable(self.function):
            raise PlanError(f"Limit: function must be callable, got {self.function!r}.")
        given = [v for v in (self.at_most, self.at_least) if v is not None]
        if not given or not all(0 < real_number(v) < np.inf for v in given):
            raise PlanError(
                "Limit: give at_most or at_least as a positive number, got "
                f"at_most={self.at_most!r}, at_least={self.at_least!r}."
            )


@dataclass(frozen=True)
class Measures:
    """Everything a plan can be measured by, from its inputs.

    Parameters
    ----------
    cost : Cost
    hardware : Hardware, optional
        Adds ``seconds``, ``device_hours`` and, with a price, ``dollars``.
    """

    cost: AnyCost
    hardware: Hardware | None

    def names(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        """Measures that plans over these quantities have, in the order they are shown."""
        have = set(variables)
        found = []
        if set(self.cost.inputs) <= have or "flops" in have:
            found += [] if "flops" in have else ["flops"]
            if self.hardware is not None:
                found += ["seconds", "device_hours"]
                found += [] if self.hardware.price_per_hour is None else ["dollars"]
        found += ["tokens_per_param"] if {"params", "tokens"} <= have else []
        return (*found, *(["epochs"] if {"tokens", "unique_tokens"} <= have else []))

    def of(self, name: str, values: Values) -> Array:
        """One measure of plans; ``values`` hold arrays that broadcast."""
        if name == "tokens_per_param":
            return np.asarray(values["tokens"] / values["params"])
        if name == "epochs":
            return np.asarray(values["tokens"] / values["unique_tokens"])
        if "flops" in values:
            flops = np.asarray(values["flops"])
        else:
            flops = np.asarray(self.cost.flops(**{n: values[n] for n in self.cost.inputs}))
        if name == "flops" or self.hardware is None:
            return flops
        seconds = flops / _speed(self.hardware, values.get("params"))
        hours = self.hardware.count / _HOUR
        price = hours * float(self.hardware.price_per_hour or 0.0)
        factor = {"seconds": 1.0, "device_hours": hours, "dollars": price}[name]
        return np.asarray(seconds * factor, dtype=float)


def _speed(hardware: Hardware, params: Array | None) -> Array:
    """Speed of all devices [FLOP/s]; a search asks for any size, so shares are kept in (0, 1]."""
    if not callable(hardware.utilization) or params is None:
        return np.asarray(hardware.flops_per_second(params), dtype=float)
    found: Any = hardware.utilization
    with np.errstate(all="ignore"):
        share = found(params=params) if hasattr(found, "inputs") else each(found, params)
    share = np.clip(np.nan_to_num(np.asarray(share, dtype=float)), _IDLE, 1.0)
    return np.asarray(float(hardware.count) * hardware.peak_flops * share)


@dataclass(frozen=True)
class Bound:
    """One side of a limit, in force for a question.

    Parameters
    ----------
    name : str
    function : callable
        From quantities of a plan to what is limited.
    value : float
    side : {1, -1}
        1 for at most, -1 for at least.
    direct : bool
        Whether it bounds a quantity of the plan itself.
    """

    name: str
    function: Callable[[Values], Array]
    value: float
    side: int = 1
    direct: bool = False

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest value allowed."""
        return (0.0, self.value) if self.side == 1 else (self.value, np.inf)

    @property
    def label(self) -> str:
        """How the bound is named in ``binding``."""
        return self.name if self.side == 1 else f"{self.name} at least"

    def excess(self, values: Values) -> Array:
        """Logarithm of how far beyond the bound plans are; negative inside."""
        with np.errstate(all="ignore"):
            ratio = np.log(self.function(values)) - np.log(self.value)
        return np.asarray(np.where(np.isnan(ratio), np.inf, self.side * ratio), dtype=float)


def get_bounds(
    where: str, limits: Mapping[str, Any], measures: Measures, variables: tuple[str, ...]
) -> tuple[Bound, ...]:
    """Return the bounds of limits by name: a number, a pair (at least, at most), or a `Limit`.

    Raises
    ------
    PlanError
        An unknown name, a bound that is not a positive number, or a limit that needs what the
        plan does not have.
    """
    known = (*variables, *measures.names(variables))
    out: list[Bound] = []
    if not isinstance(limits, Mapping):
        raise PlanError(f"{where} must map names to bounds, got {limits!r}.")
    for name, limit in limits.items():
        if isinstance(limit, Limit):
            _need(where, name, limit.inputs, known)
            function = _reading(f"{where}: limit '{name}'", limit, measures)
            out += _sides(where, name, function, False, limit.at_least, limit.at_most)
            continue
        if name not in known:
            raise PlanError(f"{where}: cannot limit '{name}'.{_remedy(name, known, measures)}")
        pair = limit if isinstance(limit, tuple) and len(limit) == 2 else (None, limit)
        out += _sides(where, name, _measure(name, measures), name in variables, *pair)
    return tuple(out)


def _measure(name: str, measures: Measures) -> Callable[[Values], Array]:
    def function(values: Values) -> Array:
        return values[name] if name in values else measures.of(name, values)

    return function


def _reading(where: str, limit: Limit, measures: Measures) -> Callable[[Values], Array]:
    def function(values: Values) -> Array:
        read = [_measure(n, measures)(values) for n in limit.inputs]
        try:
            return each(limit.function, *read)
        except ScalingLawError:
            raise
        except (TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise PlanError(
                f"{where}: its function raised {type(error).__name__}: {error}. It is called with "
                f"one number or array for each of inputs={limit.inputs}: name there all that it "
                "reads, in order, or give the others with functools.partial."
            ) from error

    return function


def _sides(
    where: str, name: str, function: Callable[[Values], Array], direct: bool, low: Any, high: Any
) -> list[Bound]:
    out = []
    for value, side in ((low, -1), (high, 1)):
        if value is None:
            continue
        number = real_number(value)
        if not LEAST <= number <= MOST:
            raise PlanError(
                f"{where}: the limit of '{name}' must be a positive number, a pair (at least, at "
                f"most), or a Limit: got {value!r}. Write counts out, such as 7e9 for '7B'."
            )
        out.append(Bound(name, function, number, side, direct))
    if not out:
        raise PlanError(f"{where}: the limit of '{name}' has no bound. Leave it out.")
    if len(out) == 2 and out[0].value > out[1].value:
        raise PlanError(
            f"{where}: the limits of '{name}' exclude each other: at least {low:g}, at most "
            f"{high:g}. Swap them."
        )
    return out


def _need(where: str, name: str, inputs: tuple[str, ...], known: tuple[str, ...]) -> None:
    for n in inputs:
        if n not in known:
            raise PlanError(
                f"{where}: limit '{name}' reads '{n}', which the plan does not have."
                f"{suggest(n, known)} It has {known}."
            )


def _remedy(name: str, known: tuple[str, ...], measures: Measures) -> str:
    missing = [n for n in measures.cost.inputs if n not in known]
    if name in BUDGETS and missing:
        return (
            f" The cost '{measures.cost.name}' reads {missing}, which the law does not have: hold "
            f"it with fixed={{'{missing[0]}': ...}}, choose another cost, or ask without a budget, "
            "where fixed=, ranges= or limits= bound the plan."
        )
    if name in BUDGETS[1:]:
        lacking = "hardware=" if measures.hardware is None else "a hardware with price_per_hour"
        return f" It needs {lacking}."
    return f"{suggest(name, known)} This plan has {known}; pass a Limit for something of your own."
