"""Recipes fitted together: coefficients in common, or shrunk towards common ones."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scaling_laws.data.runs import Runs
from scaling_laws.fitting.fitter import raw_covariance
from scaling_laws.fitting.joint import solve_together
from scaling_laws.inference.interval import Predictive
from scaling_laws.inference.resample import disturbance, draw_coefficients
from scaling_laws.laws.family import Array, LawFamily
from scaling_laws.solving.setup import Solved

if TYPE_CHECKING:
    from scaling_laws.fitting.fitter import Fitter

Curves = tuple[Predictive, ...]

_SPREAD = {"floor": 0.05, "exponent": 0.1, "shape": 0.1}  # between recipes, relative: a guess
_WORTH = 3.0  # recipes that this guess is worth


def pool(
    fitter: Fitter, family: LawFamily, runs: Mapping[str, Runs], draws: int
) -> dict[str, Curves]:
    """Fit one law to several recipes in three ways.

    Returns
    -------
    dict
        ``"shared"``: floors, exponents and shapes in common. ``"random"``: they are random
        effects, shrunk towards the common ones. ``"apart"``: every recipe by itself, without
        draws. Each a curve a recipe, in the order of ``runs``.

    Raises
    ------
    DataError, FitError
        As `scaling_laws.fit`.
    """
    common = tuple(c.name for c in family.coefficients if c.role in _SPREAD)
    apart = [fitter.solve(r, family, use_lmfit=False) for r in runs.values()]
    parts = dict[Hashable, Runs](runs.items())
    joint = solve_together(fitter, parts, family, "recipe", common)
    together = _curve(joint.solved, joint.runs, draws, fitter.seed)
    shared = tuple(
        replace(together, family=family, values=together.values[i], coef=together.coef[:, i])
        for i in joint.tied.positions
    )
    priors = _priors(fitter, family, apart, list(runs.values()), shared[0].values, common)
    leaning = replace(fitter, priors={**priors, **fitter.priors})
    solved = zip(apart, shared, runs.values(), strict=True)
    random = tuple(
        _curve(
            leaning.solve(r, family, use_lmfit=False, near=np.stack([own.coef, pooled.values])),
            r,
            draws,
            fitter.seed,
        )
        for own, pooled, r in solved
    )
    pairs = zip(apart, runs.values(), strict=True)
    return {
        "shared": shared,
        "random": random,
        "apart": tuple(_curve(s, r, 0, fitter.seed) for s, r in pairs),
    }


def _curve(solved: Solved, runs: Runs, draws: int, seed: int) -> Predictive:
    """Curve of what was solved, and draws of it; priors stay where they are."""
    problem, coef = solved.point.problem, np.empty((0, len(solved.coef)))
    if draws:
        coef = solved.raw(draw_coefficients(solved.point, runs.clusters, draws, seed).free)
    none = np.zeros(len(coef))
    return Predictive(
        solved.family, solved.coef, coef, none, none, 0.0, problem.residual, problem.bounds
    )


def _priors(
    fitter: Fitter,
    family: LawFamily,
    apart: Sequence[Solved],
    runs: Sequence[Runs],
    centres: Array,
    common: tuple[str, ...],
) -> dict[str, tuple[float, float]]:
    """Centre and width of each common coefficient.

    The width is how far the recipes' own lie from the centre beyond their standard errors,
    together with a guess.
    """
    own = np.array([s.coef for s in apart])
    pairs = zip(apart, runs, strict=True)
    variances = [
        np.diag(raw_covariance(s, disturbance(s.point, r.clusters), None)) for s, r in pairs
    ]
    beyond = np.maximum((own - centres) ** 2 - np.nan_to_num(variances, nan=np.inf), 0.0)
    out = {}
    for i, c in enumerate(family.coefficients):
        if c.name in common and c.name not in {*fitter.fixed, *fitter.ties} and centres[i] > 0:
            guess = _WORTH * (_SPREAD[c.role] * centres[i]) ** 2
            width = np.sqrt((guess + beyond[:, i].sum()) / (_WORTH + len(own)))
            out[c.name] = (float(centres[i]), float(width))
    return out
