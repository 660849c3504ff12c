"""`GroupedSelection`: one selection a group, whose candidates are judged by all groups."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaling_laws.data.runs import Runs
from scaling_laws.errors import DataError, FitError
from scaling_laws.fitting import text
from scaling_laws.fitting.groups import ByGroup
from scaling_laws.fitting.selection import Selection, Selector, select_tried, try_all
from scaling_laws.inference.trials import make_cuts
from scaling_laws.inference.weighing import pool, weigh
from scaling_laws.laws.family import LawFamily

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class GroupedSelection(ByGroup[Selection]):
    """Selections for the groups of a table. Frozen; made by `scaling_laws.select`.

    ``grouped[label]`` is a full `Selection`. Every group has coefficients of its own, but a
    candidate's score is that over all groups, so that curves of a dozen points are judged by many.

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
    weighed = [
        weigh(trials, make_cuts(runs, along), selector.constants)
        for runs, (trials, _) in zip(parts.values(), tried, strict=True)
    ]
    pooled = pool(weighed)
    selections = tuple(
        select_tried(runs, families, selector, along, *found, pooled)
        for runs, found in zip(parts.values(), tried, strict=True)
    )
    return GroupedSelection(group, tuple(parts), selections)
