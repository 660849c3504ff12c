"""`GroupedFit`: one fit a group, alone or with coefficients in common."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_laws.data.labelling import group_labels
from scaling_laws.data.runs import Runs
from scaling_laws.errors import DataError, FitError, Note, suggest
from scaling_laws.fitting import text
from scaling_laws.fitting.file_format import FORMAT_VERSION, write_json
from scaling_laws.fitting.result import Fit
from scaling_laws.fitting.saved_fits import fit_from_dict
from scaling_laws.inference.interval import Kind
from scaling_laws.laws.family import LawFamily

if TYPE_CHECKING:
    import pandas as pd

    from scaling_laws.fitting.fitter import Fitter


class _Member(Protocol):
    """What belongs to one group: a fit, or a selection."""

    @property
    def target(self) -> str: ...
    @property
    def notes(self) -> tuple[Note, ...]: ...
    @property
    def trusted(self) -> bool: ...
    def predict(
        self,
        data: pd.DataFrame | Mapping[str, ArrayLike] | None = None,
        *,
        level: float = 0.9,
        kind: Kind = "run",
        parts: Sequence[str] | None = None,
    ) -> pd.DataFrame: ...


Member = TypeVar("Member", bound=_Member)


class ByGroup(Generic[Member]):
    """What `GroupedFit` and `GroupedSelection` share: a mapping by label that predicts tables."""

    group: str
    groups: tuple[Hashable, ...]

    @property
    def members(self) -> tuple[Member, ...]:
        """What belongs to each group, in their order."""
        raise NotImplementedError

    def __getitem__(self, label: Hashable) -> Member:
        if label in self.groups:
            return self.members[self.groups.index(label)]
        raise DataError(self._unknown(label))

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __contains__(self, label: object) -> bool:
        return label in self.groups

    def items(self) -> list[tuple[Hashable, Member]]:
        """Return pairs of label and what belongs to it."""
        return list(zip(self.groups, self.members, strict=True))

    @property
    def target(self) -> str:
        """Predicted quantity."""
        return self.members[0].target

    @property
    def notes(self) -> tuple[Note, ...]:
        """Notes of all groups; one that concerns some only is led by their name."""
        seen = [{(n.code, n.message) for n in m.notes} for m in self.members]
        common = set.intersection(*seen)
        out = [n for n in self.members[0].notes if (n.code, n.message) in common]
        for label, member in self.items():
            out += [
                replace(n, message=f"{label}: {n.message}")
                for n in member.notes
                if (n.code, n.message) not in common and n.code != "shared_coefficients"
            ]
        return tuple(out)

    @property
    def trusted(self) -> bool:
        """Whether no group has a warning."""
        return all(m.trusted for m in self.members)

    def predict(
        self,
        data: pd.DataFrame | Mapping[str, ArrayLike] | None = None,
        *,
        level: float = 0.9,
        kind: Kind = "run",
        parts: Sequence[str] | None = None,
        **inputs: ArrayLike,
    ) -> pd.DataFrame:
        """Predict the target with an interval, every row by its own group.

        Parameters
        ----------
        data : DataFrame or mapping, optional
            Columns: the group and the inputs; instead of keyword arguments.
        level, kind, parts
            As `Fit.predict`.
        **inputs : array_like
            The group's column and one per input; they broadcast.

        Returns
        -------
        DataFrame
            The group, then the columns of `Fit.predict`, in the order of the rows.

        Raises
        ------
        DataError
            The group's column is missing or names an unknown group; else as `Fit.predict`.

        Examples
        --------
        >>> import numpy as np, scaling_laws as sl
        >>> runs = sl.load_dataset("tiny_lm")
        >>> runs["half"] = np.where(np.arange(len(runs)) % 2, "odd", "even")
        >>> grouped = sl.fit(runs, "chinchilla", group="half", shared=("alpha", "beta"), draws=20)
        >>> ahead = grouped.predict(half=["odd", "even"], params=1e8, tokens=1e9)
        >>> ahead.half.tolist(), list(ahead.columns)[1:4]
        (['odd', 'even'], ['params', 'tokens', 'loss'])
        """
        import pandas as pd

        if data is not None and inputs:
            raise DataError("give inputs as a table or as keyword arguments, not both.")
        table = data if isinstance(data, pd.DataFrame) else _table(inputs if data is None else data)
        if self.group not in table.columns:
            raise DataError(
                f"predictions need the group of every row: column '{self.group}' is missing. "
                f"Found: {', '.join(map(str, table.columns))}."
            )
        labels = group_labels(table, self.group)
        for row, label in zip(table.index, labels, strict=True):
            if label not in self.groups:
                raise DataError(f"row {row}: {self._unknown(label)}")
        places = [np.flatnonzero([v == label for v in labels]) for label in self.groups]
        pieces = [
            member.predict(table.iloc[rows], level=level, kind=kind, parts=parts)
            for member, rows in zip(self.members, places, strict=True)
            if len(rows)
        ]
        if not pieces:
            return self.members[0].predict(table, level=level, kind=kind, parts=parts)
        order = np.argsort(np.concatenate(places), kind="stable")
        out = pd.concat(pieces).iloc[order]
        out.insert(0, self.group, labels)
        return out

    def _unknown(self, label: Hashable) -> str:
        known = [g for g in self.groups if isinstance(g, str)]
        near = suggest(label, known) if isinstance(label, str) else ""
        return f"'{self.group}' has no group {label!r}.{near} It has {_listed(self.groups)}."


@dataclass(frozen=True, eq=False)
class GroupedFit(ByGroup["Fit"]):
    """Fits of one law to the groups of a table. Frozen; made by `scaling_laws.fit`.

    ``grouped[label]`` is a full `Fit`. Draw ``j`` of every group comes from the same joint refit,
    or from the same cluster weights where nothing is shared, so that differences between groups
    are paired draw by draw.

    Parameters
    ----------
    group : str
        Column that names the group of a row.
    shared : tuple of str
        Coefficients that all groups have in common.
    groups : tuple
        The groups' labels: numbers in order, then text.
    fits : tuple of Fit
        In the order of ``groups``.

    Examples
    --------
    >>> import numpy as np, scaling_laws as sl
    >>> tokens = np.tile(np.geomspace(1e6, 1e9, 12), 2)
    >>> corpus = np.repeat(["pile", "stack"], 12)
    >>> loss = np.where(corpus == "pile", 2.0, 1.2) + 80 * tokens**-0.3
    >>> runs = {"tokens": tokens, "corpus": corpus, "loss": loss}
    >>> grouped = sl.fit(runs, "power_with_floor", inputs=("tokens",), group="corpus",
    ...                  shared=("alpha",), draws=20)
    >>> grouped.groups, round(grouped["stack"].coef["E"], 3)
    (('pile', 'stack'), 1.2)
    """

    group: str
    shared: tuple[str, ...]
    groups: tuple[Hashable, ...]
    fits: tuple[Fit, ...]

    @property
    def members(self) -> tuple[Fit, ...]:
        """The fits, in the order of ``groups``."""
        return self.fits

    @property
    def family(self) -> LawFamily:
        """The law of every group."""
        return self.fits[0].law.family

    @property
    def coef(self) -> pd.DataFrame:
        """Coefficients in raw units, one row a group."""
        import pandas as pd

        index = pd.Index(list(self.groups), name=self.group)
        return pd.DataFrame([f.coef for f in self.fits], index=index)

    def summary(self, level: float = 0.9) -> pd.DataFrame:
        """Coefficients of every group, as `Fit.summary`; index group and coefficient."""
        import pandas as pd

        return pd.concat(
            [f.summary(level) for f in self.fits], keys=list(self.groups), names=[self.group]
        )

    def __str__(self) -> str:
        return text.grouped_text(self)

    def __repr__(self) -> str:
        return text.grouped_text(self)

    def _repr_html_(self) -> str:
        return text.grouped_html(self)

    def to_dict(self, *, rows: bool | None = None) -> dict[str, Any]:
        """Return a JSON-ready mapping, the content of a saved file.

        Parameters
        ----------
        rows : bool, optional
            Keep the rows used; default up to 100,000 a group.
        """
        from scaling_laws import __version__

        return {
            "format": FORMAT_VERSION,
            "kind": "GroupedFit",
            "version": __version__,
            "group": self.group,
            "shared": list(self.shared),
            "groups": list(self.groups),
            "fits": [f.to_dict(rows=rows) for f in self.fits],
        }

    def save(self, path: str | os.PathLike[str], *, rows: bool | None = None) -> None:
        """Write all groups to one JSON file, atomically; `scaling_laws.load` reads it.

        Parameters
        ----------
        path : path
        rows : bool, optional
            Keep the rows used; default up to 100,000 a group.
        """
        write_json(path, self.to_dict(rows=rows))


def grouped_from_dict(data: Mapping[str, Any]) -> GroupedFit:
    """Restore grouped fits from `GroupedFit.to_dict`."""
    return GroupedFit(
        group=data["group"],
        shared=tuple(data["shared"]),
        groups=tuple(data["groups"]),
        fits=tuple(fit_from_dict(f) for f in data["fits"]),
    )


def check_groups(
    family: LawFamily, target: str, group: str, shared: Sequence[str]
) -> tuple[str, ...]:
    """Return the shared coefficients in the law's order, or say what is wrong with them.

    Raises
    ------
    DataError
        Not coefficients of the law, or the group's column is an input or the target.
    """
    if isinstance(shared, str):
        raise DataError(f"shared must be a sequence of names, got {shared!r}: write ({shared!r},).")
    names = family.coefficient_names
    for name in shared:
        if name not in names:
            raise DataError(
                f"shared= names {name!r}, which is not a coefficient.{suggest(str(name), names)} "
                f"'{family.name}' has {names}."
            )
    if group in (*family.inputs, target):
        raise DataError(
            f"group='{group}' is also an input or the target of the fit. Name a column that says "
            "which runs belong together."
        )
    return tuple(n for n in names if n in shared)


def fit_groups(
    fitter: Fitter, runs: Runs, family: LawFamily, group: str, shared: tuple[str, ...]
) -> GroupedFit:
    """Fit every group of checked rows, together where something is shared.

    Raises
    ------
    DataError
        A single group, or one with too few rows (it is named).
    FitError
        No starting point leads anywhere.
    """
    parts = split_groups(runs, group)
    if shared:
        from scaling_laws.fitting.joint import fit_together

        fits = fit_together(fitter, parts, family, group, shared)
    else:
        fits = tuple(_alone(fitter, p, family, group, g) for g, p in parts.items())
    return GroupedFit(group, shared, tuple(parts), fits)


def split_groups(runs: Runs, group: str) -> dict[Hashable, Runs]:
    """Rows of each group, numbers in order, then text.

    Raises
    ------
    DataError
        A single group, or groups that read alike.
    """
    assert runs.groups is not None
    labels = sorted(set(runs.groups), key=_order)
    if len(labels) < 2:
        raise DataError(
            f"column '{group}' has the single group {labels[0]!r}. Leave group= out, or name a "
            "column that tells runs apart."
        )
    if len({str(v) for v in labels}) < len(labels):
        raise DataError(
            f"column '{group}' has groups that read alike: {_listed(labels)}. Use text or numbers, "
            "not both."
        )
    position = {label: i for i, label in enumerate(labels)}
    where = np.array([position[v] for v in runs.groups])
    return {label: replace(runs.take(where == i), groups=None) for label, i in position.items()}


def _order(label: Hashable) -> tuple[bool, Any]:
    return isinstance(label, str), label


def _alone(fitter: Fitter, runs: Runs, family: LawFamily, group: str, label: Hashable) -> Fit:
    try:
        return fitter.fit_checked(runs, family)
    except DataError as error:
        raise DataError(f"group {label!r} of '{group}': {error}") from None
    except FitError as error:
        raise FitError(f"group {label!r} of '{group}': {error}", best=error.best) from None


def _table(columns: Mapping[str, ArrayLike]) -> pd.DataFrame:
    import pandas as pd

    try:
        arrays = np.broadcast_arrays(*[np.atleast_1d(_objects(v)) for v in columns.values()])
    except ValueError:
        shapes = {n: np.shape(_objects(v)) for n, v in columns.items()}
        raise DataError(f"inputs do not broadcast: {shapes}.") from None
    return pd.DataFrame({n: np.array(a) for n, a in zip(columns, arrays, strict=True)})


def _objects(values: ArrayLike) -> NDArray[Any]:
    """Array that keeps numbers and text apart."""
    array = np.asarray(values)
    return array if array.dtype.kind in "iufb" else np.asarray(values, dtype=object)


def _listed(labels: Sequence[Hashable], most: int = 12) -> str:
    shown = ", ".join(repr(v) for v in labels[:most])
    return shown if len(labels) <= most else f"{shown}, ... ({len(labels)} in all)"
