"""`Frozen`: results whose arrays cannot be written to, copies and unpickled ones included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np


def read_only(value: Any) -> Any:
    """Return arrays, alone or in a tuple or dict, as views that cannot be written to.

    Parameters
    ----------
    value : object

    Returns
    -------
    object
        The same numbers in the same memory; whoever made the array can still write to it.

    Examples
    --------
    >>> import numpy as np
    >>> read_only(np.zeros(2)).flags.writeable
    False
    """
    if isinstance(value, np.ndarray):
        view = value.view()
        view.flags.writeable = False
        return view
    if type(value) is tuple and any(isinstance(v, np.ndarray) for v in value):
        return tuple(map(read_only, value))
    if type(value) is dict and any(isinstance(v, np.ndarray) for v in value.values()):
        return {n: read_only(v) for n, v in value.items()}
    return value


class Frozen:
    """Base of frozen dataclasses that hold arrays.

    NumPy forgets that an array is read-only when it is pickled or copied, so the state is frozen
    again when it is restored.
    """

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, f.name, read_only(getattr(self, f.name)))

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update({n: read_only(v) for n, v in state.items()})
