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
_SPREAD = {"floor": 0.05, "exponent": 0.1, "shape": 0.1}  # relative, between recipes
_WORTH = 3.0  # recipes that this guess is worth


@dataclass(frozen=True, eq=False)
class Curve:
    """A law with draws, as `contender.Predictions`.

    Parameters
    ----------
    family : LawFamily
    values : ndarray (p,)
    coef : ndarray (k, p)
    """

    family: LawFamily
    values: Array
    coef: Array

    def mean(self, inputs: Sequence[Array], /) -> Array:
        """Return the point curve ``(n,)``."""
        value = self.family.evaluate(inputs, list(self.values))
        return np.broadcast_to(np.asarray(value, dtype=float), inputs[0].shape)

    def draws(self, inputs: Sequence[Array], parts: Sequence[str] = (), /) -> Array:
        """Return draws of the curve ``(k, n)``."""
        del parts
        value = self.family.evaluate(inputs, [c[:, None] for c in self.coef.T])
        return np.broadcast_to(np.asarray(value, dtype=float), (len(self.coef), len(inputs[0])))


@dataclass(frozen=True, eq=False)
class Recipes:
    """Runs of several recipes, and how to fit one law to all of them.

    Parameters
    ----------
    family : LawFamily
    runs : tuple of Runs
    settings : Settings
    """

    family: LawFamily
    runs: tuple[Runs, ...]
    settings: Settings

    def curves(self, draws: int = 0, seed: int = 0) -> dict[str, tuple[Curve, ...]]:
        """Fit every way: ``"apart"``, ``"shared"`` and ``"random"``.

        Raises
        ------
        DataError, FitError
            As `scaling_laws.fit`.
        """
        apart = self._apart(self.settings)
        shared = self._shared(apart)
        random = self._random(apart, shared)
        pooled = pooled_runs(self.runs, shared.family)
        together = zip(
            self._split(shared.coef[None]), self._split(_draws(shared, pooled, draws, seed)),
            strict=True,
        )  # fmt: skip
        out = {"shared": tuple(Curve(self.family, v[0], c) for v, c in together)}
        for name, solved in (("apart", apart), ("random", random)):
            out[name] = tuple(
                Curve(self.family, s.coef, _draws(s, r, draws, seed))
                for s, r in zip(solved, self.runs, strict=True)
            )
        return out

    @property
    def common(self) -> tuple[str, ...]:
        """Coefficients that recipes may share: those that no unit changes."""
        moved = _moved_by_units(self.family)
        return tuple(
            c.name
            for c in self.family.coefficients
            if c.role in _COMMON_ROLES and c.name not in moved
        )

    def _apart(self, settings: Settings) -> tuple[Solved, ...]:
        return tuple(settings.solve(r, self.family, use_lmfit=False) for r in self.runs)

    def _shared(self, apart: Sequence[Solved]) -> Solved:
        family = pooled_family(self.family, len(self.runs), self.common)
        coef = np.array([s.coef for s in apart])
        start: dict[str, float] = {}
        for j, name in enumerate(self.family.coefficient_names):
            if name in self.common:
                start[name] = float(np.median(coef[:, j]))
            else:
                start |= {f"{name}_{i + 1}": float(coef[i, j]) for i in range(len(apart))}
        settings = replace(self.settings, start=start)
        return settings.solve(pooled_runs(self.runs, family), family, use_lmfit=False)

    def _split(self, full: Array) -> tuple[Array, ...]:
        """Coefficients of each recipe ``(k, p)`` from those of the pooled family ``(k, P)``."""
        names = pooled_family(self.family, len(self.runs), self.common).coefficient_names
        return tuple(full[:, _columns(self.family, names, i)] for i in range(len(self.runs)))

    def _random(self, apart: Sequence[Solved], shared: Solved) -> tuple[Solved, ...]:
        """Fit each recipe with priors at the common coefficients.

        The priors' widths are how far the recipes' own coefficients lie from the common ones
        beyond their standard errors, mixed with a guess.
        """
        names = self.family.coefficient_names
        positions = [names.index(n) for n in self.common]
        centre = self._split(shared.coef[None])[0][0][positions]
        own = np.array([s.coef[positions] for s in apart])
        variance = np.array(
            [_variances(s, r, positions) for s, r in zip(apart, self.runs, strict=True)]
        )
        beyond = np.maximum((own - centre) ** 2 - np.nan_to_num(variance, nan=np.inf), 0.0)
        relative = np.array([_SPREAD[self.family.coefficients[i].role] for i in positions])
        learned = _WORTH * (relative * centre) ** 2 + beyond.sum(axis=0)
        width = np.sqrt(learned / (_WORTH + len(apart)))
        priors = {
            n: (float(c), float(w))
            for n, c, w in zip(self.common, centre, width, strict=True)
            if c > 0
        }
        return self._apart(replace(self.settings, priors=priors))


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
        numbered = [replace(c, name=f"{c.name}_{i + 1}") for i in range(count)]
        coefficients += [c] if c.name in common else numbered
    names = tuple(c.name for c in coefficients)
    columns = [_columns(base, names, i) for i in range(count)]
    inputs, plain = len(base.inputs), replace(base, increasing=False)

    def chosen(args: Sequence[Any]) -> list[Any]:
        recipe, coef = args[inputs], args[inputs + 1 :]
        return [_chosen(recipe, [coef[c[j]] for c in columns]) for j in range(len(columns[0]))]

    def function(*args: Any) -> Any:
        return base.function(*args[:inputs], *chosen(args))

    def value_and_jacobian(*args: Any) -> tuple[Any, list[Any]]:
        value, own = plain.evaluate_with_jacobian(args[:inputs], chosen(args))
        out: list[Any] = [0.0] * len(names)
        for i, positions in enumerate(columns):
            of_recipe = np.where(args[inputs] == i + 1.0, 1.0, 0.0)
            for k, column in zip(positions, own, strict=True):
                out[k] = out[k] + of_recipe * column
        return value, out

    def rescale(coef: Mapping[str, Any], factors: Sequence[float]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for chosen in columns:
            own = {c.name: coef[names[k]] for c, k in zip(base.coefficients, chosen, strict=True)}
            moved = base.rescale(own, list(factors)[:-1]) if base.rescale else own
            pairs = zip(base.coefficients, chosen, strict=True)
            out |= {names[k]: moved[c.name] for c, k in pairs}
        return {n: out[n] for n in names}

    return LawFamily(
        name=f"{base.name} of several recipes",
        function=function,
        value_and_jacobian=value_and_jacobian,
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
    flops = [r.flops for r in runs if r.flops is not None]
    return Runs(
        family.inputs,
        runs[0].target,
        (*x, number),
        np.concatenate([r.y for r in runs]),
        np.concatenate([r.weights / r.weights.mean() for r in runs]),
        np.concatenate([r.clusters for r in runs]),
        tuple((i, label) for i, r in enumerate(runs) for label in r.index),
        np.concatenate(flops) if len(flops) == len(runs) else None,
        (),
    )


def _draws(solved: Solved, runs: Runs, draws: int, seed: int) -> Array:
    """Draws of all coefficients ``(k, p)``; priors stay where they are."""
    return solved.raw(draw_coefficients(solved.point, runs.clusters, draws, seed).free)


def _columns(base: LawFamily, names: Sequence[str], recipe: int) -> list[int]:
    """Positions of one recipe's coefficients among those of the pooled family."""
    return [
        names.index(c.name if c.name in names else f"{c.name}_{recipe + 1}")
        for c in base.coefficients
    ]


def _chosen(recipe: Any, options: Sequence[Any]) -> Any:
    """Each row's own coefficient."""
    if all(o is options[0] for o in options):
        return options[0]
    return sum(np.where(recipe == i + 1.0, 1.0, 0.0) * o for i, o in enumerate(options))


def _variances(solved: Solved, runs: Runs, positions: Sequence[int]) -> Array:
    """Sampling variances of coefficients that no unit changes; NaN at a bound."""
    covariance = sandwich_covariance(solved.point, runs.clusters)
    known = dict(zip(solved.point.problem.free, np.diag(covariance).tolist(), strict=True))
    return np.array([known.get(i, 0.0) for i in positions])


def _moved_by_units(family: LawFamily) -> set[str]:
    if family.rescale is None:
        return set()
    probe = {c.name: 0.5 for c in family.coefficients}
    factors = family.same_unit([3.0 + i for i in range(len(family.inputs))])
    moved = family.rescale(probe, factors)
    return {n for n in probe if np.any(moved[n] != probe[n])}
