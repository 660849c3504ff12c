"""Amounts that must be positive numbers: checked once, said alike everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_laws.errors import PlanError
from scaling_laws.quantities import LEAST, MOST, quantity

Array = NDArray[np.float64]

"""Sizes that no amount is beyond: products and ratios of three have a float."""


def positive(where: str, name: str, values: Any, *, unit: str | None = None) -> Array:
    """Return values as positive finite floats of any shape.

    Parameters
    ----------
    where : str
        Who asks, for the message.
    name : str
        Name of the argument.
    values : array_like
        Counts, seconds, bytes and the like.
    unit : str, optional
        Default: the declared unit of ``name``.

    Raises
    ------
    PlanError
        Something is not a number, not positive, or beyond 1e-100 and 1e100.

    Examples
    --------
    >>> positive("cost '6ND'", "params", [1e9, 7e9]).tolist()
    [1000000000.0, 7000000000.0]
    >>> positive("cost '6ND'", "params", "7B")
    Traceback (most recent call last):
        ...
    scaling_laws.errors.PlanError: cost '6ND': params must be a positive number [count], got '7B'. \
Write counts out, such as 7e9 for '7B'.
    """
    array = _floats(values)
    if array is None:
        unit = quantity(name).unit if unit is None else unit
        raise PlanError(
            f"{where}: {name} must be a positive number{f' [{unit}]' if unit else ''}, got "
            f"{values!r}. Write counts out, such as 7e9 for '7B'."
        )
    wrong = ~((array >= LEAST) & (array <= MOST))
    if wrong.any():
        first = float(array[wrong].flat[0])
        remedy = (
            "A count this negative is usually a 64-bit integer overflow: convert to float before "
            "multiplying."
            if first < -1e9
            else "Correct the value."
        )
        raise PlanError(f"{where}: {name} must be {within(first)}, got {first}. {remedy}")
    return array


def within(value: float) -> str:
    """Say what a value that is no amount must be.

    Examples
    --------
    >>> within(-1.0), within(1e308)
    ('positive and finite', 'between 1e-100 and 1e+100')
    """
    no_number = not 0 < value < np.inf
    return "positive and finite" if no_number else f"between {LEAST:g} and {MOST:g}"


def one(where: str, name: str, value: Any, *, unit: str | None = None) -> float:
    """Return one positive finite number.

    Raises
    ------
    PlanError
        ``value`` is an array, or not a positive finite number.

    Examples
    --------
    >>> one("Hardware", "count", 8)
    8.0
    """
    array = positive(where, name, value, unit=unit)
    if array.ndim:
        raise PlanError(f"{where}: {name} must be one number, got {value!r}.")
    return float(array)


def whole(where: str, name: str, value: Any) -> int:
    """Return a whole number of at least one.

    Raises
    ------
    PlanError
        ``value`` is not such a number.

    Examples
    --------
    >>> whole("Hardware", "count", 1024)
    1024
    """
    number = one(where, name, value, unit="count")
    if number != int(number):
        raise PlanError(f"{where}: {name} must be a whole number, got {value!r}. Round it.")
    return int(number)


def is_number(value: Any) -> bool:
    """Whether ``value`` is a real number, booleans excepted.

    Examples
    --------
    >>> is_number(1), is_number(True), is_number("1")
    (True, False, False)
    """
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def each(function: Callable[..., Any], *values: Any) -> Array:
    """Call a function on arrays, element by element if it takes only numbers.

    Examples
    --------
    >>> each(lambda n: 0.3 if n < 1e9 else 0.4, np.array([1e8, 1e10])).tolist()
    [0.3, 0.4]
    """
    try:
        return np.asarray(function(*values), dtype=float)
    except (TypeError, ValueError):
        return np.asarray(np.vectorize(function, otypes=[float])(*values), dtype=float)


def plain(values: Any) -> Any:
    """Return a float for a number, an array for an array.

    Examples
    --------
    >>> type(plain(np.float64(1.0))).__name__
    'float'
    """
    return np.asarray(values, dtype=float) if np.ndim(values) else float(values)


def _floats(values: Any) -> Array | None:
    try:
        raw = np.asarray(values)
        if raw.dtype.kind == "O":
            usable = all(is_number(x) for x in raw.ravel())
        else:
            usable = raw.dtype.kind in "iuf"
        return np.asarray(values, dtype=float) if usable and raw.size else None
    except (TypeError, ValueError, OverflowError):
        return None
