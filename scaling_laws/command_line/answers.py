"""What the commands print, for people and for machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import scaling_laws as sl

if TYPE_CHECKING:
    from scaling_laws.data.read_report import ReadReport


@dataclass(frozen=True)
class Answer:
    """What a command prints, for people and for machines."""

    text: str
    content: Mapping[str, Any]
    answered: bool = True

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> Mapping[str, Any]:
        """Return what is printed with ``--json``."""
        return self.content


def fit_facts(fit: sl.Fit) -> dict[str, Any]:
    """What a fit found, for JSON."""
    return {
        "law": fit.law.to_dict(),
        "target": fit.target,
        "noise": finite_values({"noise": fit.noise})["noise"],
        "trusted": fit.trusted,
        "notes": [n.to_dict() for n in fit.notes],
        "digest": fit.digest,
        "read": read_facts(fit.read_report),
    }


def read_facts(report: ReadReport | None) -> dict[str, Any] | None:
    """How the table was read, for JSON; None where no reader says."""
    return None if report is None else report.to_dict()


def reading_lines(report: ReadReport | None) -> list[str]:
    """What reading did to the table, a line each; nothing where it was read as it is."""
    steps = () if report is None else report.steps
    shown = [s for s in steps if s.reason != "text to numbers"]
    if report is None or not shown:
        return []
    head = f"{report.source}: {report.rows_read} records, {report.rows_kept} rows"
    return [head, *(f"- {s}" for s in shown)]


def finite_values(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Values for JSON: None where a number is not finite."""
    plain = {str(n): v.item() if isinstance(v, np.generic) else v for n, v in values.items()}
    return {n: None if isinstance(v, float) and v - v != 0 else v for n, v in plain.items()}
