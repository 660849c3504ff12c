"""`Selection`: laws weighed by how they extrapolate, which predict like one fit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from scaling_laws.data.read_report import ReadReport
from scaling_laws.data.runs import Runs
from scaling_laws.errors import Note
from scaling_laws.fitting import text
from scaling_laws.fitting.file_format import write_json
from scaling_laws.fitting.predicting import Predicts
from scaling_laws.inference.backtest import log_distance
from scaling_laws.inference.interval import Predictive
from scaling_laws.laws.family import Law, LawFamily
from scaling_laws.quantities import training_flops
from scaling_laws.solving.objective import Array
from scaling_laws.solving.setup import Settings

if TYPE_CHECKING:
    import pandas as pd

    from scaling_laws.fitting.result import Fit
    from scaling_laws.fitting.selector import Selector

_LARGEST_FOCUS = 50.0  # leaves next to nothing but the largest scale


@dataclass(frozen=True, eq=False)
class Selection(Predicts):
    """Several laws, weighed by their backtests; predicts and plans like one fit. Frozen.

    Parameters
    ----------
    law : Law
        The weighted mean of the candidates, callable.
    target : str
    predictive : Predictive
        Draws; each belongs to one candidate.
    along : str
        Direction of the backtests that weighed the candidates.
    table : DataFrame
        One row a candidate, best first: law, whether it leans on ``typical`` coefficients,
        ``focus``, held-out ``error``, ``weight``, or why it was ``excluded``.
    ranges : mapping of str to (float, float)
        Measured range of every input, and of ``flops`` where known.
    runs : Runs
        The rows used.
    selector : Selector
    families : tuple of LawFamily
        Laws that competed.
    notes : tuple of Note

    Examples
    --------
    >>> import scaling_laws as sl
    >>> selection = sl.select(sl.load_dataset("tiny_lm"), ["coupled"], focuses=(1.0,), draws=50)
    >>> selection.along, list(selection.weights)
    ('flops', ['coupled'])
    """

    law: Law
    target: str
    predictive: Predictive
    along: str
    table: pd.DataFrame
    ranges: Mapping[str, tuple[float, float]]
    runs: Runs
    selector: Selector
    families: tuple[LawFamily, ...]
    notes: tuple[Note, ...]
    _others: dict[str, Selection] = field(default_factory=dict, repr=False)
    _again: Callable[[str], Selection] | None = field(default=None, repr=False)

    @property
    def read_report(self) -> ReadReport | None:
        """How the table of runs came about, where `read_runs` or `clean` made it."""
        return self.runs.read_report

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each law, summed over its candidates, largest first."""
        total = self.table.groupby("law")["weight"].sum().sort_values(ascending=False)
        return {str(n): float(v) for n, v in total.items() if v > 0}

    @property
    def best(self) -> Fit:
        """The heaviest candidate's law fitted on its own, with its focus."""
        from scaling_laws.fitting.fitter import Fitter

        row = self.table.iloc[0]
        family = next(f for f in self.families if f.name == row["law"])
        own = {n: getattr(self.selector, n) for n in Settings.__dataclass_fields__}
        own["focus"] = min(float(row["focus"]), _LARGEST_FOCUS)
        fitter = Fitter(**own, draws=self.selector.draws, seed=self.selector.seed)
        return fitter.fit_checked(self.runs, family)

    def toward(self, along: str) -> Selection:
        """Weigh the same laws by backtests along another direction.

        Parameters
        ----------
        along : str
            An input, or ``"flops"``.

        Returns
        -------
        Selection

        Raises
        ------
        DataError
            No such direction.

        Examples
        --------
        >>> import scaling_laws as sl
        >>> runs = sl.load_dataset("tiny_lm")
        >>> selection = sl.select(runs, ["chinchilla"], focuses=(0.0,), draws=50)
        >>> selection.toward("params").along
        'params'
        """
        if along == self.along:
            return self
        if along not in self._others:
            from scaling_laws.fitting.selector import select_checked

            again = self._again or partial(select_checked, self.runs, self.families, self.selector)
            self._others[along] = again(along)
        return self._others[along]

    def predictive_for(self, inputs: Sequence[Array]) -> Predictive:
        """Draws weighed for a request: along the input that alone takes it beyond the data.

        Only a selection along ``"flops"`` turns that way, and only where that input leaves the
        data further than compute does; one along an input stays with it.
        """
        if len(self.inputs) != 2 or self.along != "flops" or not len(inputs[0]):
            return self.predictive
        named = dict(zip(self.inputs, inputs, strict=True))
        beyond = {n: self.extrapolation_of(n, v) for n, v in named.items()}
        left = [n for n, distance in beyond.items() if distance > 0]
        if len(left) != 1 or beyond[left[0]] < self.extrapolation_of("flops", scale_of(named)):
            return self.predictive
        return self.toward(left[0]).predictive

    def extrapolation_of(self, name: str, values: Array) -> float:
        """Mean natural-log distance beyond the largest value of an input or of compute."""
        if name in self.ranges:
            low, high = self.ranges[name]
        else:
            compute = self.runs.compute()
            low, high = float(compute.min()), float(compute.max())
        return float(log_distance(values, low, high * (1 + 1e-9), 1.0).mean())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a JSON file, atomically; `scaling_laws.load` reads it.

        Parameters
        ----------
        path : path

        Examples
        --------
        >>> import os, tempfile, scaling_laws as sl
        >>> runs = sl.load_dataset("tiny_lm")
        >>> selection = sl.select(runs, ["chinchilla"], focuses=(0.0,), draws=20)
        >>> path = os.path.join(tempfile.mkdtemp(), "selection.json")
        >>> selection.save(path)
        >>> sl.load(path).weights == selection.weights
        True
        """
        from scaling_laws.fitting.saved_selections import selection_to_dict

        write_json(path, selection_to_dict(self))

    def __str__(self) -> str:
        return text.selection_text(self)

    def __repr__(self) -> str:
        return text.selection_text(self)

    def _repr_html_(self) -> str:
        return text.selection_html(self)


def scale_of(named: Mapping[str, Array]) -> Array:
    """Compute of a request, or the product of its inputs where that is not known."""
    if {"params", "tokens"} <= set(named):
        return np.asarray(training_flops(named["params"], named["tokens"]))
    return np.asarray(np.prod(np.stack(list(named.values())), axis=0))
