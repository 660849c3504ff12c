"""Constants that only many data sets together can tell: priors of candidates, rates of law error,
how wide intervals have to be. Learned by ``benchmarks/calibration/learn.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

STRANGER = "any other law"


@dataclass(frozen=True)
class Calibration:
    """What backtests on open data sets taught about extrapolation.

    Parameters
    ----------
    scores : mapping of str to mapping of str to float
        By direction and candidate: logarithm of its held-out error over the typical candidate's.
        Directions of runs in parameters and tokens have their names; ``"one input"`` and
        ``"other"`` stand for the rest.
    rates : mapping of str to float
        By direction: law error of a selection per e-fold beyond the data.
    law_rates : mapping of str to float
        The same of one law fitted alone.
    prior_cuts, rate_cuts : float
        Cuts of a backtest that the scores and the rates are worth.
    other_cuts : float
        The same of scores in direction ``"other"``, where laws of one subject stand for each other.
    power : float
        Candidates weigh as their score to minus this.
    decay : float
        Weight of a cut relative to the next later one.
    coefficient_share : float
        Share of the coefficients' deviations that the spread between candidates does not contain.
    factor, dof : float
        Intervals are this factor wider than the parts say, with the tails of Student's t.
    provenance : mapping
        Data and figures behind the numbers.
    """

    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    law_rates: Mapping[str, float] = field(default_factory=dict)
    prior_cuts: float = 15.0
    rate_cuts: float = 8.0
    other_cuts: float = 6.0
    power: float = 8.0
    decay: float = 0.7
    coefficient_share: float = 0.5
    factor: float = 1.0
    dof: float = 30.0
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def rate(self, along: str, *, alone: bool = False) -> float:
        """Law error per e-fold along a direction; an unknown one counts as ``"other"``."""
        table = self.law_rates if alone else self.rates
        return table.get(along, table.get("other", 0.01))

    def score(self, along: str, label: str) -> float:
        """Prior score of a candidate; a stranger's with the same focus, else zero, if unknown."""
        table = self.scores.get(along, self.scores.get("other", {}))
        focus = label.rpartition(", ")[2]
        return table.get(label, table.get(f"{STRANGER}, {focus}", 0.0))

    def prior_worth(self, along: str) -> float:
        """Cuts that the scores of a direction are worth.

        Examples
        --------
        >>> Calibration().prior_worth("flops"), Calibration().prior_worth("other")
        (15.0, 6.0)
        """
        return self.other_cuts if along == "other" else self.prior_cuts

    def to_json(self) -> str:
        """Return the file's text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Calibration:
        """Return the calibration of a parsed file."""
        return Calibration(**data)


@cache
def bundled_calibration() -> Calibration:
    """Return the calibration that comes with the library.

    Examples
    --------
    >>> bundled_calibration().power
    8.0
    """
    text = files("scaling_laws.inference").joinpath("calibration.json").read_text("utf-8")
    return Calibration.from_dict(json.loads(text))
