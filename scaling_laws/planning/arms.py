"""The recipes of a comparison: fits gathered, tables fitted, and their gap set up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling_laws.errors import DataError, FitError, Note, PlanError
from scaling_laws.fitting.fitter import fit
from scaling_laws.laws.family import LawFamily
from scaling_laws.planning.contender import Contender, Predictions, contender
from scaling_laws.planning.gap import (
    DRIFT,
    IDEAS,
    Gap,
    Idea,
    Lens,
    Measured,
    Scale,
    gap_backtest,
    idea_weights,
    learned_drift,
)
from scaling_laws.planning.pooling import Recipes
from scaling_laws.quantities import quantity
from scaling_laws.solving.setup import Settings

_POOLINGS = ("auto", *IDEAS)
_CONSTRAINTS = ("fixed", "bounds", "ties", "priors")
_FAR_APART = 10.0  # factor between the recipes' largest scales that is worth a note

Rows = list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Arms:
    """Recipes with the same target and inputs.

    Parameters
    ----------
    contenders : tuple of Contender
    notes : tuple of Note
    """

    contenders: tuple[Contender, ...]
    notes: tuple[Note, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the recipes."""
        return tuple(c.name for c in self.contenders)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Inputs of the laws, in the order of the first."""
        return self.contenders[0].inputs

    @property
    def target(self) -> str:
        """What is predicted."""
        return self.contenders[0].target

    @property
    def higher(self) -> bool:
        """Whether a higher target is better."""
        return self.contenders[0].higher

    def lens(self) -> Lens:
        """Scale of gaps: the fits' residual scale where they agree on one."""
        declared = quantity(self.target)
        bounds = declared.bounds or (0.0, 1.0)
        given = {getattr(c.predictions, "residual", None) for c in self.contenders}
        found = given.pop() if len(given) == 1 else None
        if found in ("log", "linear", "logit"):
            return Lens(found, bounds)
        if declared.bounds:
            return Lens("logit", bounds)
        return Lens("log" if declared.domain == "positive" else "linear", bounds)

    def measured(self, scale: Scale) -> Measured | None:
        """Return the runs of all recipes, None where some fit left its own out."""
        runs = [c.runs for c in self.contenders if c.runs is not None]
        if len(runs) < len(self.contenders):
            return None
        scales = tuple(scale.of_runs(r) for r in runs)
        return Measured(tuple(runs), scales, self.lens())

    def recipes(self) -> Recipes | None:
        """What can be fitted again: fits of one law, free of constraints, with their runs."""
        laws = [getattr(getattr(c.source, "law", None), "family", None) for c in self.contenders]
        fitters = [getattr(c.source, "fitter", None) for c in self.contenders]
        runs = [c.runs for c in self.contenders if c.runs is not None]
        family, fitter = laws[0], fitters[0]
        if not isinstance(family, LawFamily) or not isinstance(fitter, Settings):
            return None
        if len(runs) < len(laws) or any(not _same_law(family, other) for other in laws):
            return None
        if any(getattr(f, c) for f in fitters for c in _CONSTRAINTS):
            return None
        settings = Settings(residual=fitter.residual, robust=fitter.robust, focus=fitter.focus)
        return Recipes(family, tuple(runs), settings)

    def gap(
        self, along: str, pooling: str, *, law_error: bool, seed: int
    ) -> tuple[Gap, Rows, list[Note]]:
        """Set up the recipes' gap: its ideas, their weights, its drift.

        Raises
        ------
        PlanError
            Unknown pooling, or one that these fits do not allow.
        """
        if pooling not in _POOLINGS:
            raise PlanError(f"pooling must be one of {_POOLINGS}, got {pooling!r}.")
        scale, count = Scale(along, self.inputs), min(c.count for c in self.contenders)
        measured, recipes = self.measured(scale), self.recipes()
        notes = list(self.notes)
        own = {"apart": tuple(c.predictions for c in self.contenders)}
        curves: dict[str, tuple[Predictions, ...]] = dict(own)
        rows: Rows = []
        if pooling != "apart" and recipes is not None and measured is not None:
            curves |= _pooled(recipes, count, seed, notes)
            rows = gap_backtest(recipes, measured)
            del curves["apart"]
        self._check_pooling(pooling, curves, measured, notes)
        if measured is None or pooling == "apart":
            ideas = _unanchored(own["apart"], count)
        else:
            ideas = measured.ideas(curves, own["apart"], count, seed)
            if pooling != "auto":
                ideas = {pooling: ideas[pooling]}
        weights = idea_weights(rows, tuple(ideas)) if len(ideas) > 1 else dict.fromkeys(ideas, 1.0)
        if pooling == "auto" and len(ideas) > 1 and not rows:
            notes.append(_no_backtest())
        overlap = measured.overlap() if measured is not None else 0.0
        drift = learned_drift(rows, weights, overlap) if law_error else 0.0
        notes += self._remarks(measured, count)
        return (
            Gap(
                own["apart"], self.lens(), scale, ideas, weights,
                self._today(measured, along), drift, count, seed, self.names,
            ),
            rows,
            notes,
        )  # fmt: skip

    def _today(self, measured: Measured | None, along: str) -> float:
        if measured is not None:
            return measured.today
        return min(c.ranges[along][1] for c in self.contenders)

    def _check_pooling(
        self,
        pooling: str,
        curves: Mapping[str, Any],
        measured: Measured | None,
        notes: list[Note],
    ) -> None:
        if pooling in ("shared", "random") and pooling not in curves:
            raise PlanError(
                f"pooling='{pooling}' fits the recipes together, which needs fits of one law, made "
                "without fixed=, bounds=, ties= or priors=, that keep their runs. Use "
                "pooling='auto' or 'apart', or fit them alike."
            )
        if pooling == "today" and measured is None:
            raise PlanError(
                "pooling='today' needs the runs, which a saved fit left out. Save with rows=True, "
                "or use pooling='apart'."
            )
        if pooling == "auto" and "shared" not in curves:
            notes.append(
                Note(
                    "not_pooled",
                    "info",
                    "the recipes are not fits of one law, free of constraints, with their runs: "
                    "their coefficients were not pooled, nor their gap backtested",
                )
            )

    def _remarks(self, measured: Measured | None, count: int) -> list[Note]:
        notes = []
        if not count:
            notes.append(
                Note("no_draws", "info", "a recipe has no draws: there are no intervals or chances")
            )
        if measured is not None:
            tops = [float(s.max()) for s in measured.scales]
            if max(tops) > _FAR_APART * min(tops):
                notes.append(
                    Note(
                        "unequal_scales",
                        "warning",
                        f"the largest runs of the recipes lie a factor {max(tops) / min(tops):.0f} "
                        "apart: part of the comparison rests on one of them alone. Measure the "
                        "others further out",
                        dict(zip(self.names, tops, strict=True)),
                    )
                )
        return notes


def gather(
    recipes: Mapping[str, Any],
    law: Any,
    target: str,
    inputs: Sequence[str] | None,
    columns: Mapping[str, str] | None,
    cluster: str | None,
    seed: int,
    options: Mapping[str, Any],
) -> Arms:
    """Fit tables, take fits as they are, and check that they can be compared.

    Raises
    ------
    PlanError, DataError
        As `compare`.
    """
    if not isinstance(recipes, Mapping) or len(recipes) < 2:
        raise PlanError(
            "compare takes a mapping of at least two named recipes, such as "
            f"{{'new': fit_a, 'old': fit_b}}, got {type(recipes).__name__}"
            f"{f' of {len(recipes)}' if isinstance(recipes, Mapping) else ''}."
        )
    tables = {n: not hasattr(r, "predictive") for n, r in recipes.items()}
    if any(tables.values()) and not all(tables.values()):
        raise PlanError(
            "recipes are either all fits or all tables of runs: "
            f"{[str(n) for n, t in tables.items() if t]} are tables. Fit them first."
        )
    if all(tables.values()):
        recipes = _fitted(recipes, law, target, inputs, columns, cluster, seed, options)
    elif law is not None or options:
        said = "law=" if law is not None else f"{next(iter(options))}="
        raise PlanError(f"{said} is for tables of runs; these recipes are fitted already.")
    found = tuple(contender(str(n), r) for n, r in recipes.items())
    for what in ("target", "inputs"):
        first, *others = (getattr(c, what) for c in found)
        for c, other in zip(found[1:], others, strict=True):
            if other != first:
                raise PlanError(
                    f"recipes must agree in their {what}: '{found[0].name}' has {first}, "
                    f"'{c.name}' has {other}."
                )
    return Arms(found, _doubts(recipes))


def _fitted(
    recipes: Mapping[str, Any],
    law: Any,
    target: str,
    inputs: Sequence[str] | None,
    columns: Mapping[str, str] | None,
    cluster: str | None,
    seed: int,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    if law is None:
        raise PlanError(
            "tables of runs need law=, the law to fit to each, such as law='chinchilla'. Or pass "
            "fits."
        )
    out = {}
    for name, table in recipes.items():
        try:
            out[name] = fit(
                table, law, target=target, inputs=inputs, columns=columns, cluster=cluster,
                seed=seed, **options,
            )  # fmt: skip
        except (DataError, FitError) as error:
            raise type(error)(f"recipe '{name}': {error}") from None
    return out


def _doubts(recipes: Mapping[str, Any]) -> tuple[Note, ...]:
    """One note on recipes whose own fit is in doubt."""
    found = {
        str(name): [n.code for n in getattr(r, "notes", ()) if n.severity == "warning"]
        for name, r in recipes.items()
    }
    doubted = {n: codes for n, codes in found.items() if codes}
    if not doubted:
        return ()
    listed = "; ".join(f"{n}: {', '.join(codes)}" for n, codes in doubted.items())
    return (
        Note("doubted_fits", "warning", f"fits with warnings of their own ({listed})", doubted),
    )


def _pooled(
    recipes: Recipes, count: int, seed: int, notes: list[Note]
) -> dict[str, tuple[Predictions, ...]]:
    try:
        found = recipes.curves(count, seed)
    except (DataError, FitError) as error:
        notes.append(
            Note("not_pooled", "info", f"the recipes could not be fitted together: {error}")
        )
        return {}
    return {n: tuple(c) for n, c in found.items() if n != "apart"}


def _unanchored(curves: tuple[Predictions, ...], count: int) -> dict[str, Idea]:
    nothing = np.zeros(len(curves))
    return {"apart": Idea(curves, nothing, np.zeros((len(curves), count)))}


def _no_backtest() -> Note:
    return Note(
        "no_gap_backtest",
        "info",
        "too few scales to see how earlier gaps went on: ideas of the gap have the weights, and "
        f"its drift the size ({DRIFT:g} per e-fold), that did best on open data",
    )


def _same_law(a: LawFamily, b: Any) -> bool:
    return (
        isinstance(b, LawFamily)
        and a.function is b.function
        and a.inputs == b.inputs
        and a.increasing == b.increasing
    )
