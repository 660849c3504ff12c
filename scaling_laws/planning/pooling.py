"""Several recipes fitted apart, with shared coefficients, or shrunk towards common ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scaling_laws.data.runs import Runs
from scaling_laws.inference.resample import draw_coefficients, sandwich_covariance
from scaling_laws.laws.family import Array, Coefficient, LawFamily
from scaling_laws.solving.setup import Settings, Solved

_COMMON_ROLES = ("floor", "exponent", "shape")
_RECIPE = "recipe"
_SPREAD = 0.1  # recipes' exponents and floors differ by about this fraction
_WORTH = 3.0  # recipes that this guess is worth
_FLOOR_SPREAD = 0.05


@dataclass(frozen=True, eq=False)
class Curves:
    """One curve a recipe, of one family.

    Parameters
    ----------
    family : LawFamily
    values : tuple of ndarray (p,)
        Point coefficients of each recipe.
    draws : tuple of ndarray (k, p)
        Their draws, paired by position; of no rows where none were asked for.
    """

    family: LawFamily
    values: tuple[Array, ...]
    draws: tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class Recipes:
    """Runs of several recipes and how to fit them.

    Parameters
    ----------
    family : LawFamily
    runs : tuple of Runs
    settings : Settings
    """

    family: LawFamily
    runs: tuple[Runs, ...]
    settings: Settings

    @property
    def common(self) -> tuple[str, ...]:
        """Coefficients that recipes may share: those without an input's unit."""
        moved = _moved_by_units(self.family)
        return tuple(
            c.name
            for c in self.family.coefficients
            if c.role in _COMMON_ROLES and c.name not in moved
        )

    def apart(self) -> tuple[Solved, ...]:
        """Fit every recipe by itself."""
        return tuple(self.settings.solve(r, self.family, use_lmfit=False) for r in self.runs)

    def shared(self, start: Sequence[Solved] = ()) -> Solved:
        """Fit all recipes at once with `common` coefficients shared."""
        family = pooled_family(self.family, len(self.runs), self.common)
        settings = self.settings
        if start:
            settings = replace(settings, start=self._pooled_start(start))
        return settings.solve(pooled_runs(self.runs, family), family, use_lmfit=False)

    def _pooled_start(self, apart: Sequence[Solved]) -> dict[str, float]:
        coef = np.array([s.coef for s in apart])
        out: dict[str, float] = {}
        for j, name in enumerate(self.family.coefficient_names):
            if name in self.common:
                out[name] = float(np.median(coef[:, j]))
            else:
                out |= {f"{name}_{i + 1}": float(coef[i, j]) for i in range(len(apart))}
        return out

    def split(self, full: Array) -> tuple[Array, ...]:
        """Coefficients of each recipe ``(k, p)`` from those of the pooled family ``(k, P)``."""
        family = pooled_family(self.family, len(self.runs), self.common)
        return tuple(
            full[:, _columns(self.family, family.coefficient_names, i)]
            for i in range(len(self.runs))
        )

    def shrunk(self, apart: Sequence[Solved], shared: Solved) -> tuple[Solved, ...]:
        """Fit every recipe with priors at the shared coefficients.

        The priors' widths come from how far the recipes' own coefficients lie apart beyond their
        standard errors, mixed with a guess.
        """
        names = self.family.coefficient_names
        positions = [names.index(n) for n in self.common]
        centre = self.split(shared.coef[None])[0][0]
        priors: dict[str, tuple[float, float]] = {}
        own = np.array([s.coef[positions] for s in apart])
        variance = np.array([_variances(s, r, positions) for s, r in zip(apart, self.runs,
                                                                         strict=True)])
        for j, i in enumerate(positions):
            middle = float(centre[i])
            if not middle > 0:
                continue
            relative = _FLOOR_SPREAD if self.family.coefficients[i].role == "floor" else _SPREAD
            between = (own[:, j] - middle) ** 2 - np.nan_to_num(variance[:, j], nan=np.inf)
            learned = float(np.maximum(between, 0.0).sum())
            guess = _WORTH * (relative * middle) ** 2
            priors[names[i]] = middle, float(np.sqrt((guess + learned) / (_WORTH + len(apart))))
        settings = replace(self.settings, priors={**priors, **self.settings.priors})
        return tuple(settings.solve(r, self.family, use_lmfit=False) for r in self.runs)


def pooled_family(base: LawFamily, count: int, common: Sequence[str]) -> LawFamily:
    """Return the law of several recipes: ``common`` coefficients once, the others once a recipe.

    Its last input is the recipe's number, from 1.

    Examples
    --------
    >>> from scaling_laws.laws.registry import get_law
    >>> pooled_family(get_law("chinchilla"), 2, ("E", "alpha", "beta")).coefficient_names
    ('E', 'A_1', 'A_2', 'alpha', 'B_1', 'B_2', 'beta')
    """
    coefficients: list[Coefficient] = []
    for c in base.coefficients:
        if c.name in common:
            coefficients.append(c)
        else:
            coefficients += [replace(c, name=f"{c.name}_{i + 1}") for i in range(count)]
    names = tuple(c.name for c in coefficients)
    columns = [_columns(base, names, i) for i in range(count)]

    def function(*args: Any) -> Any:
        inputs, recipe, coef = args[: len(base.inputs)], args[len(base.inputs)], args[
            len(base.inputs) + 1 :
        ]
        own = [_chosen(recipe, [coef[c[j]] for c in columns]) for j in range(len(columns[0]))]
        return base.function(*inputs, *own)

    def rescale(coef: Mapping[str, Any], factors: Sequence[float]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for chosen in columns:
            values = list(coef.values()) if tuple(coef) == names else [coef[n] for n in names]
            own = {c.name: values[k] for c, k in zip(base.coefficients, chosen, strict=True)}
            moved = base.rescale(own, list(factors)[:-1]) if base.rescale else own
            out |= {names[k]: moved[c.name] for c, k in zip(base.coefficients, chosen,
                                                            strict=True)}
        return {n: out[n] for n in names}

    return LawFamily(
        name=f"{base.name}_pooled",
        function=function,
        inputs=(*base.inputs, _RECIPE),
        coefficients=tuple(coefficients),
        rescale=rescale if base.rescale else None,
        units=(*(base.units or base.inputs), ""),
        input_domain=base.input_domain,
        analytic=base.analytic,
        increasing=base.increasing,
    )


def pooled_runs(runs: Sequence[Runs], family: LawFamily) -> Runs:
    """Return the runs of all recipes in one table, numbered from 1."""
    number = np.concatenate([np.full(len(r), i + 1.0) for i, r in enumerate(runs)])
    x = [np.concatenate(v) for v in zip(*(r.x for r in runs), strict=True)]
    known = all(r.flops is not None for r in runs)
    return Runs(
        family.inputs,
        runs[0].target,
        (*x, number),
        np.concatenate([r.y for r in runs]),
        np.concatenate([r.weights / r.weights.mean() for r in runs]),
        np.concatenate([r.clusters for r in runs]),
        tuple((i, label) for i, r in enumerate(runs) for label in r.index),
        np.concatenate([np.asarray(r.flops) for r in runs]) if known else None,
        (),
    )


def draws_of(solved: Solved, runs: Runs, draws: int, seed: int) -> Array:
    """Draws of all coefficients ``(k, p)``; priors stay where they are."""
    drawn = draw_coefficients(solved.point, runs.clusters, draws, seed)
    return solved.raw(drawn.free)


def _columns(base: LawFamily, names: Sequence[str], recipe: int) -> list[int]:
    return [
        names.index(c.name if c.name in names else f"{c.name}_{recipe + 1}")
        for c in base.coefficients
    ]


def _chosen(recipe: Any, options: Sequence[Any]) -> Any:
    if all(o is options[0] for o in options):
        return options[0]
    out: Any = 0.0
    for i, option in enumerate(options):
        out = out + np.where(recipe == i + 1.0, 1.0, 0.0) * option
    return out


def _variances(solved: Solved, runs: Runs, positions: Sequence[int]) -> Array:
    """Sampling variances of coefficients that no unit changes; NaN at a bound."""
    covariance = sandwich_covariance(solved.point, runs.clusters)
    free = solved.point.problem.free
    diagonal = dict(zip(free, np.diag(covariance).tolist(), strict=True))
    return np.array([diagonal.get(i, 0.0) for i in positions])


def _moved_by_units(family: LawFamily) -> set[str]:
    if family.rescale is None:
        return set()
    probe = {c.name: 0.5 for c in family.coefficients}
    moved = family.rescale(probe, family.same_unit([3.0 + i for i in range(len(family.inputs))]))
    return {n for n in probe if np.any(moved[n] != probe[n])}
