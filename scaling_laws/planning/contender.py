"""What `compare` and `factors` need to know of a fit, a selection or anything that predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.runs import Runs
from scaling_laws.errors import PlanError
from scaling_laws.quantities import quantity

Array = NDArray[np.float64]

_PARTS = ("coefficients", "law")


@runtime_checkable
class Predictions(Protocol):
    """Point predictions and draws of functions; `Fit.predictive` is one."""

    def mean(self, inputs: Sequence[Array], /) -> Array:
        """Return point predictions ``(n,)`` for inputs in order, each ``(n,)``."""
        ...

    def draws(self, inputs: Sequence[Array], parts: Sequence[str], /) -> Array:
        """Return draws ``(k, n)`` with the named parts of the uncertainty; ``k`` may be 0."""
        ...


@dataclass(frozen=True, eq=False)
class Contender:
    """One recipe's predictions, whatever made them.

    Parameters
    ----------
    name : str
    predictions : Predictions
    inputs : tuple of str
    target : str
    ranges : mapping of str to pair of float
        Measured range of inputs and perhaps of ``flops``.
    runs : Runs or None
    source : object
        What was given.
    """

    name: str
    predictions: Predictions
    inputs: tuple[str, ...]
    target: str
    ranges: Mapping[str, tuple[float, float]]
    runs: Runs | None
    source: Any

    @property
    def higher(self) -> bool:
        """Whether a higher target is better."""
        return quantity(self.target).direction == "higher"

    @property
    def count(self) -> int:
        """Number of draws."""
        at = [np.array([high]) for high in (self.ranges[n][1] for n in self.inputs)]
        return len(self.draws(at))

    def mean(self, inputs: Sequence[Array]) -> Array:
        """Return point predictions ``(n,)``."""
        return np.asarray(self.predictions.mean(inputs), dtype=float)

    def draws(self, inputs: Sequence[Array]) -> Array:
        """Return draws of the mean curve ``(k, n)``."""
        return np.asarray(self.predictions.draws(inputs, _PARTS), dtype=float)


def contender(name: str, source: Any) -> Contender:
    """Return the view of a fit, or of anything with the same interface.

    Raises
    ------
    PlanError
        It does not predict.
    """
    predictions = getattr(source, "predictive", None)
    target, ranges = getattr(source, "target", None), getattr(source, "ranges", None)
    inputs = getattr(source, "inputs", None) or getattr(
        getattr(source, "law", None), "inputs", None
    )
    if not isinstance(predictions, Predictions) or not target or not inputs or ranges is None:
        raise PlanError(
            f"'{name}' must be a fit, got {type(source).__name__}. Pass what sl.fit returns, or "
            "tables of runs together with law=."
        )
    return Contender(
        name,
        predictions,
        tuple(inputs),
        str(target),
        dict(ranges),
        getattr(source, "runs", None),
        source,
    )
