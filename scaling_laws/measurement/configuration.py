"""Configurations of runs: plain values that a log keeps, and keys that tell them apart."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from scaling_laws.errors import MeasureError

Config = dict[str, Any]

# Measured columns. The text of a failure is not called ``error``: that is the error rate, a target.
RESERVED = (
    *("status", "failure", "seconds", "seconds_spread", "first_seconds", "cpu_seconds"),
    *("peak_memory", "peak_memory_source", "device_memory", "flops_source", "attempt"),
    *("started", "hostname", "versions"),
)
_LARGEST_EXACT = 2**53


def wanted_runs(configurations: Iterable[Mapping[str, Any]]) -> dict[str, Config]:
    """Return the configurations by key, in order, made plain and checked.

    Parameters
    ----------
    configurations : iterable of mapping
        Keyword arguments of each run.

    Raises
    ------
    MeasureError
        If there are none, two are the same, or one cannot be kept in a log.

    Examples
    --------
    >>> wanted_runs([{"width": 8.0}])
    {'{"width":8}': {'width': 8.0}}
    """
    if isinstance(configurations, Mapping):
        raise MeasureError(
            "configurations is one mapping; give a list of them, or grid(**mapping)."
        )
    wanted: dict[str, Config] = {}
    for index, given in enumerate(configurations):
        config = plain_config(given, f"configuration {index}")
        key = key_of(config)
        if key in wanted:
            earlier = list(wanted).index(key)
            raise MeasureError(
                f"configurations {earlier} and {index} are the same: {config}. Repeat a run by "
                "giving it another seed."
            )
        wanted[key] = config
    if not wanted:
        raise MeasureError("there are no configurations to train; give at least one.")
    return wanted


def plain_config(given: Any, where: str) -> Config:
    """Return one configuration with plain values, fit for a log.

    Parameters
    ----------
    given : mapping of str to object
        Keyword arguments of a run.
    where : str
        Which it is, for messages.

    Raises
    ------
    MeasureError
        If it is not a mapping, takes a measured name, or holds what a log cannot keep.

    Examples
    --------
    >>> import numpy as np
    >>> plain_config({"width": np.int64(8)}, "configuration 0")
    {'width': 8}
    """
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise MeasureError(
            f"{where} is {str(given)[:60]}; give a mapping of argument names to "
            "values, as from grid."
        )
    reserved = [name for name in given if name in RESERVED]
    if reserved:
        raise MeasureError(
            f"{where} has {', '.join(reserved)}, which are measured. "
            f"Rename it. Taken: {', '.join(RESERVED)}."
        )
    config = {}
    for name, value in given.items():
        try:
            config[name] = plain_value(value)
        except TypeError as failure:
            raise MeasureError(
                f"{where}: '{name}' cannot be kept in a log ({failure}). Give a "
                "name or number, and build the object inside train."
            ) from None
    return config


def check_metric_names(config: Config, metrics: Iterable[str]) -> None:
    """Refuse metrics that would hide a configuration entry or a measured column.

    Raises
    ------
    MeasureError
        Naming them.

    Examples
    --------
    >>> check_metric_names({"width": 8}, ["loss"])
    """
    clash = [name for name in metrics if name in config or name in RESERVED]
    if clash:
        raise MeasureError(
            f"metrics are named {', '.join(clash)}, which are configuration entries "
            f"or measured columns. Rename them. Measured: {', '.join(RESERVED)}."
        )


def key_of(config: Mapping[str, Any]) -> str:
    """Canonical text of a configuration; equal numbers give equal keys.

    Parameters
    ----------
    config : mapping of str to object
        Plain values, see :func:`plain_value`.

    Returns
    -------
    str
        JSON with sorted names.

    Examples
    --------
    >>> key_of({"b": 1.0, "a": [1e5]})
    '{"a":[100000],"b":1}'
    """
    return json.dumps(_canonical(config), sort_keys=True, separators=(",", ":"))


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_EXACT:
        return int(value)
    return value


def plain_value(value: Any) -> Any:
    """Turn NumPy scalars and arrays into Python values; others stay as they are.

    Parameters
    ----------
    value : object
        Value of one configuration entry.

    Returns
    -------
    object
        Integers stay integers.

    Raises
    ------
    TypeError
        If the value cannot be written to a log and read back.

    Examples
    --------
    >>> import numpy as np
    >>> plain_value(np.int64(3)), plain_value(np.array([1.5, 2.0]))
    (3, [1.5, 2.0])
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        if math.isfinite(value):
            return value
        raise TypeError(f"{value} is not finite")
    if isinstance(value, (list, tuple)):
        return type(value)(plain_value(item) for item in value)
    if isinstance(value, Mapping):
        return {str(name): plain_value(item) for name, item in value.items()}
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return plain_value(value.tolist())
    raise TypeError(f"a {type(value).__name__} cannot be logged")
