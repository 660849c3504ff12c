"""Exceptions and notes: what went wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import isfinite
from typing import Any, Literal


class ScalingLawError(ValueError):
    """Base class of every error this library raises on purpose.

    Examples
    --------
    >>> issubclass(DataError, ScalingLawError) and issubclass(ScalingLawError, ValueError)
    True
    """


class DataError(ScalingLawError):
    """A table of runs, a column or a value cannot be used."""


class LawError(ScalingLawError):
    """A law is unknown, wrongly declared, or returned something that is not a number."""


class FitError(ScalingLawError):
    """A fit could not be made.

    Parameters
    ----------
    message : str
        What failed and the remedy.
    best : mapping of str to float, optional
        Coefficients of the best attempt, kept so that nothing computed is lost.
    """

    def __init__(self, message: str, best: Mapping[str, float] | None = None) -> None:
        super().__init__(message)
        self.best = dict(best) if best is not None else None


class PlanError(ScalingLawError):
    """A planning question is malformed (an *infeasible* question is answered, not raised)."""


class MeasureError(ScalingLawError):
    """A sweep or a measurement could not be set up."""


@dataclass(frozen=True)
class Note:
    """A coded remark attached to a result that is usable but should be read with care.

    Parameters
    ----------
    code : str
        Stable identifier, lower case with underscores, safe to branch on.
    severity : {"info", "warning"}
        A ``"warning"`` makes a fit untrusted; ``"info"`` does not.
    message : str
        One sentence for people: what was seen and the remedy.
    details : mapping, optional
        Machine-readable figures behind the message.

    Examples
    --------
    >>> note = Note("collinear", "warning", "tokens is proportional to params in every run")
    >>> print(note)
    collinear: tokens is proportional to params in every run
    """

    code: str
    severity: Literal["info", "warning"]
    message: str
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping; ``Note(**mapping)`` restores the note.

        Numbers among the details that are not finite are None.
        """
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "details": _json_ready(self.details),
        }


def _json_ready(value: Any) -> Any:
    """Copy of nested details: arrays and their numbers as Python's, None where not finite."""
    if hasattr(value, "tolist"):  # NumPy's, told without importing it
        value = value.tolist()
    if isinstance(value, Mapping):
        return {k: _json_ready(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_ready(v) for v in value]
    if hasattr(value, "tolist"):  # NumPy's, which is not imported here
        return _json_ready(value.tolist())
    return None if isinstance(value, float) and not isfinite(value) else value


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known word nearest to ``word``, else ``""``.

    Examples
    --------
    >>> suggest("chinchila", ["chinchilla", "kaplan"])
    " Did you mean 'chinchilla'?"
    >>> suggest("zzz", ["chinchilla"])
    ''
    """
    near = get_close_matches(str(word), list(map(str, known)), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
