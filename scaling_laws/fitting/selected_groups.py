"""`GroupedSelection`: one selection a group, whose candidates are judged by all groups."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from scaling_laws.data.runs import Runs
from scaling_laws.errors import DataError, FitError
from scaling_laws.fitting import text
from scaling_laws.fitting.candidates import try_all
from scaling_laws.fitting.file_format import write_json
from scaling_laws.fitting.groups import ByGroup
from scaling_laws.fitting.selection import Selection
from scaling_laws.fitting.selector import Selector, select_tried
from scaling_laws.inference.borrowing import borrowed
from scaling_laws.inference.trials import Trial, make_cuts, run_trial
from scaling_laws.inference.weighing import pool, weigh
from scaling_laws.laws.family import LawFamily

if TYPE_CHECKING:
    import pandas as pd

Tried = tuple[list[Trial], list[dict[str, Any]]]


@dataclass(frozen=True, eq=False)
class GroupedSelection(ByGroup[Selection]):
    """Selections for the groups of a table. Frozen; made by `scaling_laws.select`.

    ``grouped[label]`` is a full `Selection`. Every group has coefficients of its own, but a
    candidate's score is that over all groups, so that curves of a dozen points are judged by many,
    and exponents and shapes are drawn to those of the other groups, as loosely as these differ.

    Parameters
    ----------
    group : str
        Column that names the group of a row.
    groups : tuple
        The groups' labels: numbers in order, then text.
    selections : tuple of Selection
        In the order of ``groups``.

    Examples
    --------
    >>> import numpy as np, scaling_laws as sl
    >>> tokens = np.tile(np.geomspace(1e6, 1e9, 12), 2)
    >>> corpus = np.repeat(["pile", "stack"], 12)
    >>> loss = np.where(corpus == "pile", 2.0, 1.2) + 80 * tokens**-0.3
    >>> runs = {"tokens": tokens, "corpus": corpus, "loss": loss}
    >>> grouped = sl.select(runs, ["power", "power_with_floor"], inputs=("tokens",),
    ...                     group="corpus", draws=20)
    >>> grouped.weights.round(2).loc["stack"].to_dict()
    {'power': 0.0, 'power_with_floor': 1.0}
    >>> grouped.predict(corpus="stack", tokens=1e11).loss.round(2).tolist()
    [1.24]
    """

    group: str
    groups: tuple[Hashable, ...]
    selections: tuple[Selection, ...]

    @property
    def members(self) -> tuple[Selection, ...]:
        """The selections, in the order of ``groups``."""
        return self.selections

    @property
    def weights(self) -> pd.DataFrame:
        """Weight of each law, one row a group."""
        import pandas as pd

        index = pd.Index(list(self.groups), name=self.group)
        table = pd.DataFrame([s.weights for s in self.selections], index=index).fillna(0.0)
        return table[sorted(table.columns)]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all groups to one JSON file, atomically; `scaling_laws.load` reads it.

        Parameters
        ----------
        path : path
        """
        from scaling_laws.fitting.saved_selections import grouped_selection_to_dict

        write_json(path, grouped_selection_to_dict(self))

    def __str__(self) -> str:
        return text.selections_text(self)

    def __repr__(self) -> str:
        return text.selections_text(self)


def select_groups(
    parts: Mapping[Hashable, Runs],
    families: Sequence[LawFamily],
    selector: Selector,
    along: str,
    group: str,
) -> GroupedSelection:
    """Select in every group, with scores over all of them.

    Raises
    ------
    DataError, FitError
        No candidate can be fitted to a group (it is named).
    """
    tried = []
    for label, runs in parts.items():
        try:
            tried.append(try_all(runs, families, selector, along))
        except (DataError, FitError) as error:
            raise type(error)(f"group {label!r} of '{group}': {error}") from None
    tried = _leaning_on_each_other(tried, list(parts.values()), selector, along)
    weighed = [
        weigh(trials, make_cuts(runs, along), selector.constants)
        for runs, (trials, _) in zip(parts.values(), tried, strict=True)
    ]
    pooled = pool(weighed)
    selections = tuple(
        select_tried(runs, families, selector, along, *found, pooled)
        for runs, found in zip(parts.values(), tried, strict=True)
    )
    return with_siblings(group, tuple(parts), selections)


def with_siblings(
    group: str, labels: tuple[Hashable, ...], selections: Sequence[Selection]
) -> GroupedSelection:
    """Join selections of groups, so that they turn to another direction together."""
    parts = {label: s.runs for label, s in zip(labels, selections, strict=True)}
    turned = _Turned(parts, selections[0].families, selections[0].selector, group, {})
    joined = tuple(replace(s, _again=partial(turned.of, i)) for i, s in enumerate(selections))
    return GroupedSelection(group, labels, joined)


@dataclass(frozen=True, eq=False)
class _Turned:
    """Selections of the same groups along other directions, made when first asked for."""

    parts: Mapping[Hashable, Runs]
    families: Sequence[LawFamily]
    selector: Selector
    group: str
    found: dict[str, GroupedSelection]

    def of(self, i: int, along: str) -> Selection:
        """Selection of the group at place ``i``."""
        if along not in self.found:
            self.found[along] = select_groups(
                self.parts, self.families, self.selector, along, self.group
            )
        return self.found[along].selections[i]


def _leaning_on_each_other(
    tried: Sequence[Tried], parts: Sequence[Runs], selector: Selector, along: str
) -> list[Tried]:
    """Try the candidates again, each group's exponents drawn to those of the other groups."""
    again: list[list[Trial]] = [[] for _ in parts]
    kinds = dict.fromkeys((t.family.name, t.leaning) for trials, _ in tried for t in trials)
    for name, leaning in kinds:
        places = [
            (i, t)
            for i, (trials, _) in enumerate(tried)
            for t in trials
            if (t.family.name, t.leaning) == (name, leaning)
        ]
        for (i, trial), pull in zip(places, borrowed([t for _, t in places]), strict=True):
            if pull:
                trial = run_trial(
                    selector, parts[i], trial.family, make_cuts(parts[i], along),
                    leaning=leaning, focuses=trial.focuses, borrowed=pull,
                )  # fmt: skip
            again[i].append(trial)
    return [(trials, excluded) for trials, (_, excluded) in zip(again, tried, strict=True)]
