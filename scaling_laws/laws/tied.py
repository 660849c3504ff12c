"""One law over several groups of runs: some coefficients common to all, the others one a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_laws.laws.family import Coefs, LawFamily


@dataclass(frozen=True)
class Tied:
    """The function of a law over groups: the base law, each row with its own group's coefficients.

    Takes the base's inputs, the group's position of each row, then the coefficients: the shared
    ones, then every group's own, a group at a time.

    Parameters
    ----------
    base : LawFamily
        The law of one group.
    labels : tuple of str
        The groups' names.
    shared : tuple of str
        Coefficients common to all groups.
    """

    base: LawFamily
    labels: tuple[str, ...]
    shared: tuple[str, ...]

    @cached_property
    def own(self) -> tuple[str, ...]:
        """Coefficients of which every group has its own."""
        return tuple(n for n in self.base.coefficient_names if n not in self.shared)

    @cached_property
    def positions(self) -> NDArray[np.intp]:
        """Where the base's coefficients of each group stand among all ``(groups, p)``."""
        first, step = len(self.shared), len(self.own)
        return np.array(
            [
                [
                    self.shared.index(n) if n in self.shared else first + g * step + i
                    for n, i in self._own_places
                ]
                for g in range(len(self.labels))
            ]
        )

    @property
    def _own_places(self) -> list[tuple[str, int]]:
        return [
            (n, 0 if n in self.shared else self.own.index(n)) for n in self.base.coefficient_names
        ]

    def named(self, name: str, group: int) -> str:
        """Name of a base coefficient of one group: its own name where it is shared.

        Examples
        --------
        >>> from scaling_laws.laws.registry import get_law
        >>> tied = Tied(get_law("power"), ("pile", "c4"), ("alpha",))
        >>> tied.named("A", 1), tied.named("alpha", 1)
        ('A[c4]', 'alpha')
        """
        return name if name in self.shared else f"{name}[{self.labels[group]}]"

    def __call__(self, *args: Any) -> Any:
        """Return the prediction of every row."""
        inputs, where, coef = self._parts(args)
        return self.base.evaluate(inputs, self._of_rows(where, coef))

    def value_and_jacobian(self, *args: Any) -> tuple[Any, list[Any]]:
        """Return the prediction and its derivative in every coefficient.

        The base's derivatives are evaluated once; a group's own are zero on other groups' rows.
        """
        inputs, where, coef = self._parts(args)
        value, columns = self.base.evaluate_with_jacobian(inputs, self._of_rows(where, coef))
        shape = np.shape(value)
        mine = [where == g for g in range(len(self.labels))]
        out: list[Any] = [None] * len(coef)
        for i, name in enumerate(self.base.coefficient_names):
            column = np.broadcast_to(columns[i], shape)
            if name in self.shared:
                out[self.positions[0, i]] = column
                continue
            for g, rows in enumerate(mine):
                out[self.positions[g, i]] = np.where(rows, column, 0.0)
        return value, out

    def rescale(self, coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
        """Coefficients of the same curves in other units of the inputs."""
        assert self.base.rescale is not None
        few = list(factors)[: len(self.base.inputs)]
        rescale = self.base.rescale
        return self.mapped(lambda c: rescale(c, few), coef)

    def from_solved(self, coef: Coefs) -> dict[str, Any]:
        """Coefficients from those of the form that the solver prefers."""
        assert self.base.from_solved is not None
        return self.mapped(self.base.from_solved, coef)

    def mapped(self, change: Callable[[Coefs], Mapping[str, Any]], coef: Coefs) -> dict[str, Any]:
        """Apply a map of the base's coefficients to those of every group."""
        out = dict(coef)
        for g in range(len(self.labels)):
            names = {n: self.named(n, g) for n in self.base.coefficient_names}
            moved = change({n: coef[mine] for n, mine in names.items()})
            out.update({names[n]: moved[n] for n in names})
        return out

    def _parts(self, args: Sequence[Any]) -> tuple[Sequence[Any], NDArray[np.intp], Sequence[Any]]:
        m = len(self.base.inputs)
        return args[:m], np.asarray(args[m]).astype(np.intp), args[m + 1 :]

    def _of_rows(self, where: NDArray[np.intp], coef: Sequence[Any]) -> list[Any]:
        """Coefficients of the base for every row: shared ones as they are, the others picked."""
        out = []
        for i, name in enumerate(self.base.coefficient_names):
            if name in self.shared:
                out.append(coef[self.positions[0, i]])
                continue
            every = [np.atleast_1d(coef[j]) for j in self.positions[:, i]]
            out.append(np.take(np.concatenate(every, axis=-1), where, axis=-1))
        return out


def tie(base: LawFamily, labels: Sequence[str], shared: Sequence[str], group: str) -> LawFamily:
    """Return the law over groups, an input ``group`` (positions from 0) added to the base's.

    Parameters
    ----------
    base : LawFamily
    labels : sequence of str
        The groups' names.
    shared : sequence of str
        Coefficients common to all groups.
    group : str
        Name of the added input.

    Examples
    --------
    >>> from scaling_laws.laws.registry import get_law
    >>> law = tie(get_law("power"), ("pile", "c4"), ("alpha",), "corpus")
    >>> law.coefficient_names, law.inputs
    (('alpha', 'A[pile]', 'A[c4]'), ('flops', 'corpus'))
    >>> law.evaluate([np.full(2, 100.0), np.array([0, 1])], [0.5, 10.0, 20.0]).round(9).tolist()
    [1.0, 2.0]
    """
    tied = Tied(base, tuple(labels), tuple(n for n in base.coefficient_names if n in shared))
    made = _family(tied, group)
    if base.rescale is not None:
        probe = [3.0 + i for i in range(len(base.inputs))]
        rescale = base.rescale
        if _keeps_shared(tied, lambda c: rescale(c, probe)):
            units = (*(base.units or base.inputs), "")
            made = replace(made, rescale=tied.rescale, units=units)
    if base.solve_as is not None and base.from_solved is not None:
        if not _keeps_shared(tied, base.from_solved):
            return made
        inner = base.solve_as.bind(base.inputs, increasing=base.increasing)
        easier = tie(inner, labels, shared, group)
        made = replace(made, solve_as=easier, from_solved=tied.from_solved)
    return made


def _family(tied: Tied, group: str) -> LawFamily:
    base = tied.base
    by_name = {c.name: c for c in base.coefficients}
    own = [
        replace(by_name[n], name=tied.named(n, g))
        for g in range(len(tied.labels))
        for n in tied.own
    ]
    return LawFamily(
        name=f"{base.name} by {group}",
        function=tied,
        value_and_jacobian=tied.value_and_jacobian,
        inputs=(*base.inputs, group),
        coefficients=(*(by_name[n] for n in tied.shared), *own),
        input_domain=base.input_domain,
        analytic=base.analytic,
    )


def _keeps_shared(tied: Tied, change: Callable[[Coefs], Mapping[str, Any]]) -> bool:
    """Whether what is shared before a change of coefficients is shared after it too."""
    names = tied.base.coefficient_names
    one = change(dict.fromkeys(names, 0.5))
    other = change({n: 0.5 if n in tied.shared else 0.7 for n in names})
    return all(float(one[n]) == float(other[n]) for n in tied.shared)
