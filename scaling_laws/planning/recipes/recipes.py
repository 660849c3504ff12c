"""The recipes of a comparison: fits gathered, tables fitted, and their gap set up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from scaling_laws.errors import DataError, FitError, Note, PlanError
from scaling_laws.fitting.chain import steps_hint
from scaling_laws.fitting.fitter import Fitter, fit
from scaling_laws.fitting.result import Fit
from scaling_laws.fitting.selection import Selection
from scaling_laws.laws.family import LawFamily
from scaling_laws.planning.recipes.gap import (
    DRIFT,
    Gap,
    Idea,
    Measured,
    Scale,
    gap_backtest,
    idea_weights,
    learned_drift,
)
from scaling_laws.planning.recipes.pooling import Curves, pool
from scaling_laws.quantities import quantity

Pooling = Literal["auto", "today", "shared", "random", "apart"]
Recipe = Fit | Selection
Rows = list[dict[str, Any]]

_FAR_APART = 10.0  # factor between the recipes' largest scales that is worth a note


@dataclass(frozen=True, eq=False)
class Recipes:
    """Fits with the same target, inputs and residual scale, by name.

    Parameters
    ----------
    fits : mapping of str to Fit or Selection
    """

    fits: Mapping[str, Recipe]

    def __post_init__(self) -> None:
        first = self.names[0]
        for name, other in self.fits.items():
            for what, a, b in (
                ("target", self.target, other.target),
                ("inputs", self.inputs, other.inputs),
                ("residual scale", self.one.predictive.residual, other.predictive.residual),
            ):
                if a != b:
                    raise PlanError(
                        f"recipes must agree in their {what}: '{first}' has {a}, '{name}' has {b}. "
                        "Fit them alike."
                    )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the recipes."""
        return tuple(self.fits)

    @property
    def one(self) -> Recipe:
        """The first, for what all agree in."""
        return next(iter(self.fits.values()))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Inputs of the laws."""
        return self.one.inputs

    @property
    def target(self) -> str:
        """What is predicted."""
        return self.one.target

    @property
    def higher(self) -> bool:
        """Whether a higher target is better."""
        return quantity(self.target).direction == "higher"

    def gap(
        self, along: str, pooling: Pooling, *, law_error: bool
    ) -> tuple[Gap, Rows, tuple[Note, ...]]:
        """Set up the recipes' gap: its ideas, their weights, its drift.

        Raises
        ------
        PlanError
            Unknown pooling, or one that these fits do not allow.
        """
        if pooling not in get_args(Pooling):
            raise PlanError(f"pooling must be one of {get_args(Pooling)}, got {pooling!r}.")
        scale, own = Scale(along, self.inputs), self._curves(along)
        count, measured = min(len(c.coef) for c in own), self._measured(scale)
        seed = next(iter(self._seeds().values()))
        notes = [*self._doubts(), *_remarks(measured, count)]
        rows: Rows = []
        if measured is None or pooling == "apart":
            ideas = _unanchored(own, count, pooling)
            overlap, today = 0.0, min(f.ranges[along][1] for f in self.fits.values())
        else:
            curves, rows = self._pooled(own, measured, pooling, count, notes)
            ideas = measured.ideas(curves, own, count, seed)
            overlap, today = measured.overlap(), measured.today
            if pooling != "auto":
                ideas = {pooling: ideas[pooling]}
        weights = idea_weights(rows, tuple(ideas)) if len(ideas) > 1 else dict.fromkeys(ideas, 1.0)
        drift = learned_drift(rows, weights, overlap) if law_error else 0.0
        gap = Gap(own, scale, ideas, weights, today, drift, count, seed, self.names)
        return gap, rows, tuple(notes)

    def _curves(self, along: str) -> Curves:
        """Draws of every recipe's curve; a selection's weighed for the direction compared along.

        The calibrated spread of a selection is one number a draw and part, whatever the runs; its
        coefficients are paired by the runs.
        """
        turned = (f.toward(along) if isinstance(f, Selection) else f for f in self.fits.values())
        return tuple(replace(f.predictive, spread=None) for f in turned)

    def _measured(self, scale: Scale) -> Measured | None:
        """Return the runs of all recipes, None where some fit left its own out."""
        runs = {n: f.runs for n, f in self.fits.items() if f.runs is not None}
        if len(runs) < len(self.fits):
            return None
        return Measured(runs, tuple(scale.of_runs(r) for r in runs.values()))

    def _pooled(
        self, own: Curves, measured: Measured, pooling: Pooling, count: int, notes: list[Note]
    ) -> tuple[dict[str, Curves], Rows]:
        """Fit the recipes together, and backtest their gap; or note why that cannot be."""
        apart: dict[str, Curves] = {"apart": own}
        if pooling == "today":
            return apart, []
        try:
            fitter, family = self._alike()
            pooled = pool(fitter, family, measured.runs, count)
            rows = gap_backtest(fitter, family, measured)
        except (PlanError, DataError, FitError) as error:
            if pooling != "auto":
                raise PlanError(f"pooling='{pooling}' is not possible: {error}") from None
            notes.append(Note("not_pooled", "info", f"coefficients were not pooled: {error}"))
            return apart, []
        if not rows:
            notes.append(
                Note(
                    "no_gap_backtest",
                    "info",
                    "too few scales to see how earlier gaps went on: ideas of the gap have the "
                    f"weights, and its drift the size ({DRIFT:g} per e-fold), that did best on "
                    "open data. Add runs at more scales",
                )
            )
        return pooled | apart, rows

    def _alike(self) -> tuple[Fitter, LawFamily]:
        """Options and law that all recipes were fitted with."""
        fits = tuple(f for f in self.fits.values() if isinstance(f, Fit))
        if len(fits) < len(self.fits):
            raise PlanError("that takes fits of one law, not selections of several.")
        family = fits[0].law.family
        if any(f.law.family.function is not family.function for f in fits):
            names = sorted({f.law.family.name for f in fits})
            raise PlanError(f"the recipes are fits of different laws ({', '.join(names)}).")
        return fits[0].fitter, family

    def _seeds(self) -> dict[str, int]:
        options = (f.fitter if isinstance(f, Fit) else f.selector for f in self.fits.values())
        return {n: o.seed for n, o in zip(self.fits, options, strict=True)}

    def _doubts(self) -> list[Note]:
        """Doubts of the recipes' own fits, and of the pairing of their draws."""
        notes = []
        found = {
            n: [note.code for note in f.notes if note.severity == "warning"]
            for n, f in self.fits.items()
        }
        found = {n: codes for n, codes in found.items() if codes}
        if found:
            listed = "; ".join(f"{n}: {', '.join(codes)}" for n, codes in found.items())
            message = f"fits with warnings of their own ({listed}). Look at their notes"
            notes.append(Note("doubted_fits", "warning", message, found))
        seeds = self._seeds()
        if len(set(seeds.values())) > 1:
            message = (
                f"the recipes were fitted with different seeds ({seeds}), so that their draws are "
                "not paired and intervals of differences too wide. Fit them with one seed"
            )
            notes.append(Note("unpaired_draws", "warning", message, seeds))
        return notes


def gather(recipes: Any, law: Any, options: Mapping[str, Any]) -> Recipes:
    """Take fits as they are, and fit tables.

    Raises
    ------
    PlanError, DataError
        As `compare`.
    """
    if not isinstance(recipes, Mapping) or len(recipes) < 2:
        count = f" of {len(recipes)}" if isinstance(recipes, Mapping) else ""
        raise PlanError(
            "compare takes a mapping of at least two named recipes, such as "
            f"{{'new': fit_a, 'old': fit_b}}, got {type(recipes).__name__}{count}."
        )
    for name, recipe in recipes.items():
        if hint := steps_hint(recipe):
            raise PlanError(f"compare: recipe '{name}' is no Fit or Selection.{hint}")
    made = {str(n): r for n, r in recipes.items() if isinstance(r, Fit | Selection)}
    if made and len(made) < len(recipes):
        tables = [str(n) for n in recipes if str(n) not in made]
        raise PlanError(
            f"recipes are either all fits or all tables of runs: {tables} are not fits. Fit them "
            "first."
        )
    if made and (law is not None or options):
        said = "law" if law is not None else next(iter(options))
        raise PlanError(f"{said}= is for tables of runs; these recipes are fitted already.")
    if not made and law is None:
        raise PlanError(
            "tables of runs need law=, the law to fit to each, such as law='chinchilla'. Or pass "
            "fits."
        )
    for name, table in recipes.items() if not made else ():
        try:
            made[str(name)] = fit(table, law, **options)
        except (DataError, FitError) as error:
            raise type(error)(f"recipe '{name}': {error}") from None
    return Recipes(made)


def _unanchored(own: Curves, count: int, pooling: Pooling) -> dict[str, Idea]:
    """Every fit as it is."""
    if pooling not in ("auto", "apart"):
        raise PlanError(
            f"pooling='{pooling}' needs the runs, which a saved fit left out. Save with rows=True, "
            "or use pooling='apart'."
        )
    return {"apart": Idea(own, np.zeros(len(own)), np.zeros((len(own), count)))}


def _remarks(measured: Measured | None, count: int) -> list[Note]:
    notes = []
    if not count:
        message = "a recipe has no draws: there are no intervals or chances. Fit with draws"
        notes.append(Note("no_draws", "info", message))
    tops = [float(s.max()) for s in measured.scales] if measured is not None else [1.0]
    if measured is not None and max(tops) > _FAR_APART * min(tops):
        message = (
            f"the largest runs of the recipes lie a factor {max(tops) / min(tops):.0f} apart: part "
            "of the comparison rests on one of them alone. Measure the others further out"
        )
        details = dict(zip(measured.runs, tops, strict=True))
        notes.append(Note("unequal_scales", "warning", message, details))
    return notes
