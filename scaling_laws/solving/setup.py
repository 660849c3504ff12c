"""From checked runs and options to a solved point: scales, units, constraints, then the solver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.data.checking import check_runs
from scaling_laws.data.runs import Runs, design_notes
from scaling_laws.errors import DataError, LawError, Note, suggest
from scaling_laws.laws.family import LawFamily
from scaling_laws.laws.registry import get_law
from scaling_laws.quantities import as_floats, quantity, real_number
from scaling_laws.solving.objective import (
    Array,
    Huber,
    Problem,
    Residual,
    linear_map,
    log_limits,
    target_unit,
)
from scaling_laws.solving.point import PointSolution, solve_point

Tie = str | tuple[str, float]

_MOST = 10_000_000  # draws: more fill any memory
_FARTHEST = 690.0  # log of the largest factor: it and its inverse are ordinary numbers


@dataclass(frozen=True)
class Settings:
    """What is minimised and under which constraints; the parameters are those of `Fitter`."""

    residual: Literal["auto", "log", "linear", "logit"] = "auto"
    robust: Huber | None = field(default_factory=Huber)
    fixed: Mapping[str, float] = field(default_factory=dict, hash=False)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict, hash=False)
    start: Mapping[str, float] = field(default_factory=dict, hash=False)
    ties: Mapping[str, Tie] = field(default_factory=dict, hash=False)
    priors: Mapping[str, tuple[float, float]] = field(default_factory=dict, hash=False)
    focus: float = 0.0

    def __post_init__(self) -> None:
        if self.residual not in ("auto", "log", "linear", "logit"):
            raise DataError(
                f"residual must be 'auto', 'log', 'linear' or 'logit', got {self.residual!r}."
            )
        if self.robust is not None and not isinstance(self.robust, Huber):
            raise DataError(f"robust must be a Huber or None, got {self.robust!r}.")
        self._check_numbers()
        if not (_factor(self.focus) and self.focus >= 0):
            raise DataError(f"focus must be a finite number >= 0, got {self.focus!r}.")
        object.__setattr__(self, "focus", float(self.focus))

    def _check_numbers(self) -> None:
        """Refuse options that are not mappings of names to numbers."""
        for option, count in (("fixed", 1), ("start", 1), ("bounds", 2), ("priors", 2)):
            given = getattr(self, option)
            if not isinstance(given, Mapping):
                raise DataError(f"{option} must map coefficients to numbers, got {given!r}.")
            for name, value in given.items():
                numbers = [value] if count == 1 else value
                try:
                    ok = len(numbers) == count
                    ok = ok and not any(np.isnan(as_floats(name, v)).any() for v in numbers)
                    ok = ok and all(np.ndim(v) == 0 for v in numbers)
                except (TypeError, ValueError):
                    ok = False
                if not ok:
                    wanted = "a number" if count == 1 else "a pair of numbers"
                    raise DataError(f"{option} of '{name}' must be {wanted}, got {value!r}.")
        if not isinstance(self.ties, Mapping):
            raise DataError(f"ties must map coefficients to others, got {self.ties!r}.")
        for name, tie in self.ties.items():
            pair = isinstance(tie, tuple | list) and len(tie) == 2
            if not isinstance(tie, str) and not (pair and _factor(tie[1])):
                raise DataError(f"ties of '{name}' must be a name or (name, factor), got {tie!r}.")

    def check(
        self,
        runs: Any,
        family: LawFamily,
        target: str,
        columns: Mapping[str, str] | None = None,
        weights: str | ArrayLike | None = None,
        cluster: str | ArrayLike | None = None,
        group: str | None = None,
    ) -> Runs:
        """Return the usable rows of a table for this family and target.

        Raises
        ------
        DataError
            As `scaling_laws.fit`.
        """
        declared = quantity(target)
        positive = self.residual == "log" or (
            self.residual == "auto" and declared.domain == "positive"
        )
        return check_runs(
            runs,
            family,
            target,
            columns=columns,
            weights=weights,
            cluster=cluster,
            group=group,
            positive_target=positive,
        )

    def prepare(self, runs: Runs, family: LawFamily) -> Prepared:
        """Turn checked runs into the problem that `solve` minimises.

        Raises
        ------
        DataError
            Too few rows, an input that never varies, an impossible constraint.
        """
        self.check_names(family.coefficient_names)
        notes = runs.notes + design_notes(runs)
        constant = [n.details["input"] for n in notes if n.code == "constant_input"]
        if constant and not (self.fixed or self.ties or self.priors):
            raise DataError(
                f"input '{constant[0]}' has a single value in all {len(runs)} runs, so its "
                f"coefficients in '{family.name}' cannot be determined. Add runs that vary it, "
                "fix its coefficients with fixed=, or use a law without it."
            )
        residual, bounds, y, zeros = _residual(self.residual, runs)
        constrained = self._constrained()
        inner = None if constrained or self.start else easier_form(family)
        factors = _factors(family, runs, constrained)
        problem = self._problem(inner or family, runs, residual, bounds, y, factors)
        spare = len(runs) - len(problem.free)
        if spare < 1 and not self.priors:
            raise DataError(
                f"{len(runs)} runs cannot determine {len(problem.free)} coefficients of "
                f"'{family.name}' and their uncertainty: at least {len(problem.free) + 1} are "
                f"needed. Add runs, fix some with fixed={{...}}, or use a law with fewer."
            )
        return Prepared(family, problem, factors, notes + zeros, inner is not None)

    def solve(
        self,
        runs: Runs,
        family: LawFamily,
        *,
        use_lmfit: bool = True,
        starts: Callable[[Problem], Array] | None = None,
        near: Array | None = None,
    ) -> Solved:
        """Find the point optimum of a family over checked runs.

        Parameters
        ----------
        runs : Runs
        family : LawFamily
        use_lmfit : bool
            As `solve_point`.
        starts : callable, optional
            Makes starts ``(m, p)`` for the problem in the solver's units, besides the user's.
        near : ndarray (m, p), optional
            Coefficients in raw units to start from instead of a search, where there are priors.

        Raises
        ------
        DataError
            As `prepare`.
        FitError, LawError
            As `solve_point`.
        """
        prepared = self.prepare(runs, family)
        given = self._given(family, prepared.factors)
        if starts is not None:
            given = _joined(given, starts(prepared.problem))
        known = np.empty((0, len(family.coefficients)))
        if near is not None and self.priors:
            known = _rescaled(family, np.asarray(near), prepared.factors)
            known = known[np.isfinite(known).all(axis=1)]
        elif easier_form(family) is not None and not prepared.solved_as_other:
            known = _rescaled(family, self._unbounded(runs, family), prepared.factors)
        if len(known):
            given = _joined(given, known)
        solution = solve_point(
            prepared.problem,
            auto_delta=self.auto_delta,
            prior_sd=self.prior_sd(family),
            given=given,
            search=near is None or not len(known),
            use_lmfit=use_lmfit,
        )
        return Solved(family, solution, prepared.factors, prepared.notes, prepared.solved_as_other)

    def _unbounded(self, runs: Runs, family: LawFamily) -> Array:
        """Optimum in the form that is easier to solve, before bounds or starts forbid that form.

        A start ``(1, p)``, raw units; none where more than these stand in the way.
        """
        if self.fixed or self.ties or self.priors:
            return np.empty((0, len(family.coefficients)))
        free = replace(self, bounds={}, start={}).solve(runs, family, use_lmfit=False)
        return free.coef[None]

    def target_unit(self, runs: Runs) -> float:
        """What errors on the residual scale of these runs are relative to."""
        residual, _, y, _ = _residual(self.residual, runs)
        return target_unit(residual, y)

    @property
    def auto_delta(self) -> bool:
        """Whether Huber's turning point follows the residuals."""
        return self.robust is not None and self.robust.delta == "auto"

    def posed(self, runs: Runs, family: LawFamily, delta: float) -> Problem:
        """Return the problem in raw units with Huber's ``delta`` as given, without priors.

        Raises
        ------
        DataError
            An impossible constraint, or priors.
        """
        if self.priors:
            raise DataError("profiles do not know priors. Read intervals from the draws instead.")
        residual, bounds, y, _ = _residual(self.residual, runs)
        problem = self._problem(family, runs, residual, bounds, y, np.ones(len(runs.x)))
        return replace(problem, delta=delta)

    def _given(self, family: LawFamily, factors: Array) -> Array | None:
        """The user's start in the solver's units, ``(1, p)``; NaN where none was given."""
        if not self.start:
            return None
        given = np.array([[self.start.get(n, np.nan) for n in family.coefficient_names]], float)
        if np.isfinite(given).all():
            return _rescaled(family, given, factors)
        moved = [n in _rescaled_names(family) for n in family.coefficient_names]
        return np.where(moved, np.nan, given)  # alone, these say nothing in the solver's units

    def _tied(self) -> dict[str, tuple[str, float]]:
        """Each tied coefficient with the one it follows and the factor between them."""
        pairs = {n: (t, 1.0) if isinstance(t, str) else t for n, t in self.ties.items()}
        return {name: (other, float(factor)) for name, (other, factor) in pairs.items()}

    def _constrained(self) -> set[str]:
        tied = {other for other, _ in self._tied().values()}
        return {*self.fixed, *self.bounds, *self.priors, *self.ties, *tied}

    def prior_sd(self, family: LawFamily) -> Array | None:
        """Standard deviations of the priors ``(p,)``, NaN where there is none; None without any."""
        if not self.priors:
            return None
        return np.array([self.priors.get(n, (0.0, np.nan))[1] for n in family.coefficient_names])

    def _problem(
        self,
        family: LawFamily,
        runs: Runs,
        residual: Residual,
        bounds: tuple[float, float],
        y: Array,
        factors: Array,
    ) -> Problem:
        names = family.coefficient_names
        ties = self._tied()
        fixed = {a: float(v) for a, v in self.fixed.items()}
        self._check_kinds(family, ties)
        matrix, offset, logs, free = linear_map(family, fixed, ties)
        lower, upper = log_limits(*self._limits(family, runs, residual, bounds), logs)
        focus = (runs.compute() / runs.compute().max()) ** self.focus if self.focus else 1.0
        weights = runs.weights * focus
        delta = np.inf
        if self.robust is not None and self.robust.delta != "auto":
            delta = float(self.robust.delta)
        mean = np.array([self.priors.get(n, (0.0, np.nan))[0] for n in names])
        return Problem(
            family=family,
            x=tuple(v * s for v, s in zip(runs.x, factors, strict=True)),
            y=y,
            weights=weights / weights.mean(),  # only ratios may matter
            residual=residual,
            delta=delta,
            lower=lower[list(free)],
            upper=upper[list(free)],
            matrix=matrix,
            offset=offset,
            logs=logs,
            free=free,
            bounds=bounds,
            prior_mean=mean,
            prior_precision=np.zeros(len(names)),
        )

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse options that name what is not a coefficient, or contradict each other."""
        for option in ("fixed", "bounds", "start", "ties", "priors"):
            for name in getattr(self, option):
                if name not in names:
                    raise DataError(
                        f"{option}= names '{name}', which is not a coefficient."
                        f"{suggest(name, names)} The law has {tuple(names)}."
                    )
        for name in self.bounds:
            if name in self.fixed or name in self.ties:
                raise DataError(
                    f"'{name}' has bounds= but is also fixed or tied, so they would do nothing. "
                    "Drop one; bound the coefficient that it is tied to."
                )
        for name, (_, sd) in self.priors.items():
            if not sd > 0:
                raise DataError(f"the prior of '{name}' needs a standard deviation > 0, got {sd}.")
        for name, (other, _) in self._tied().items():
            if other not in names or other == name or other in self.ties or name in self.fixed:
                raise DataError(
                    f"ties= binds '{name}' to '{other}'. Bind it to another coefficient of "
                    f"{tuple(names)} that is not itself tied, and do not fix it as well."
                )

    def _check_kinds(self, family: LawFamily, ties: Mapping[str, tuple[str, float]]) -> None:
        scales = {c.name for c in family.coefficients if c.role == "scale"}
        for name, (other, factor) in ties.items():
            if not (np.isfinite(factor) and factor > 0):
                raise DataError(f"ties= of '{name}' needs a factor > 0, got {factor}.")
            if (name in scales) != (other in scales):
                raise DataError(
                    f"ties= binds '{name}' to '{other}', but only one of them carries an input's "
                    "unit. Tie coefficients of one kind."
                )

    def _limits(
        self, family: LawFamily, runs: Runs, residual: Residual, bounds: tuple[float, float]
    ) -> tuple[Array, Array]:
        lower = np.array([c.lower for c in family.coefficients])
        upper = np.array([c.upper for c in family.coefficients])
        for i, c in enumerate(family.coefficients):
            if c.role != "floor":
                continue
            if residual == "linear" and (runs.y <= 0).any():
                lower[i] = -np.inf
            if residual == "logit":
                lower[i], upper[i] = max(lower[i], bounds[0]), min(upper[i], bounds[1])
        for name, (low, high) in self.bounds.items():
            i = family.coefficient_names.index(name)
            if not low < high:
                raise DataError(f"bounds of '{name}' must increase, got ({low}, {high}).")
            lower[i], upper[i] = max(lower[i], low), min(upper[i], high)
            if lower[i] > upper[i]:
                raise DataError(
                    f"bounds of '{name}' ({low}, {high}) lie outside what '{family.name}' allows "
                    f"({family.coefficients[i].lower}, {family.coefficients[i].upper})."
                )
            if lower[i] == upper[i]:
                raise DataError(
                    f"bounds of '{name}' leave the single value {lower[i]}. Use fixed= instead."
                )
        for name, value in self.fixed.items():
            i = family.coefficient_names.index(name)
            if not lower[i] <= float(value) <= upper[i]:
                raise DataError(
                    f"fixed= sets '{name}' to {value}, outside what '{family.name}' allows "
                    f"({lower[i]}, {upper[i]})."
                )
        for name, (other, factor) in self._tied().items():
            i, j = (family.coefficient_names.index(n) for n in (name, other))
            lower[j], upper[j] = max(lower[j], lower[i] / factor), min(upper[j], upper[i] / factor)
        return lower, upper


@dataclass(frozen=True, eq=False)
class Prepared:
    """A problem ready to be solved and the way back to raw units.

    Parameters
    ----------
    family : LawFamily
    problem : Problem
        In the solver's units.
    factors : ndarray
        What each input was multiplied by.
    notes : tuple of Note
    solved_as_other : bool
        Whether the solver works in the family's ``solve_as`` coefficients.
    """

    family: LawFamily
    problem: Problem
    factors: Array
    notes: tuple[Note, ...]
    solved_as_other: bool

    def raw(self, free: Array) -> Array:
        """All coefficients in raw units ``(k, p)`` from free ones ``(k, q)``."""
        full = self.problem.full(free)
        if self.solved_as_other and self.family.from_solved is not None:
            names = self.family.coefficient_names
            solved = dict(zip(self.problem.family.coefficient_names, full.T, strict=True))
            with np.errstate(over="ignore"):  # scales of exponents near 0 have no float
                coef = self.family.from_solved(solved)
            full = np.stack([coef[n] for n in names], axis=1)
        return _rescaled(self.family, full, 1.0 / self.factors)


@dataclass(frozen=True, eq=False)
class Solved:
    """A solved point; parameters as `Prepared`, with ``point`` in the solver's units."""

    family: LawFamily
    point: PointSolution
    factors: Array
    notes: tuple[Note, ...]
    solved_as_other: bool

    def raw(self, free: Array) -> Array:
        """All coefficients in raw units ``(k, p)`` from free ones ``(k, q)``."""
        return Prepared(
            self.family, self.point.problem, self.factors, self.notes, self.solved_as_other
        ).raw(free)

    @property
    def coef(self) -> Array:
        """Point coefficients ``(p,)``, raw units."""
        return np.asarray(self.raw(self.point.free[None])[0])


def check_draw_options(draws: int, workers: int, seed: int) -> None:
    """Refuse numbers of draws and workers, and seeds, that are not whole numbers in range.

    Raises
    ------
    DataError
        One of them is not.
    """
    for name, value, least in (("draws", draws, 0), ("workers", workers, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise DataError(f"{name} must be an integer >= {least}, got {value!r}.")
        if value > _MOST:
            raise DataError(f"{name} must be at most {_MOST}, got {value}.")
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not -(2**63) <= seed < 2**63:
        raise DataError(f"seed must be an integer of at most 64 bits, got {seed!r}.")


def _factor(value: Any) -> bool:
    """Whether a value is a finite number."""
    return bool(np.isfinite(real_number(value)))


def easier_form(family: LawFamily) -> LawFamily | None:
    """Return the form the solver prefers for these curves, bound alike, if there is one."""
    if family.solve_as is None:
        return None
    return family.solve_as.bind(family.inputs, increasing=family.increasing)


def bind_family(law: str | LawFamily, target: str, inputs: Sequence[str] | None) -> LawFamily:
    """Return the family bound to its inputs and to the target's direction.

    Raises
    ------
    LawError, DataError
        Unknown law, wrong inputs, or a target that is also an input.
    """
    if not isinstance(law, str | LawFamily):
        hint = " fit takes the runs first, then the law." if hasattr(law, "columns") else ""
        raise LawError(
            f"a law is named by a string or given as a LawFamily, got {type(law).__name__}.{hint}"
        )
    family = get_law(law, inputs)
    if target in family.inputs:
        raise DataError(f"the target '{target}' is also an input of '{family.name}'.")
    return family.bind(increasing=quantity(target).direction == "higher")


def _residual(
    wanted: str, runs: Runs
) -> tuple[Residual, tuple[float, float], Array, tuple[Note, ...]]:
    """Residual scale, bounds of the target, the target moved off its bounds, and a note if so."""
    declared, y = quantity(runs.target), runs.y
    bounds = declared.bounds or (0.0, 1.0)
    if wanted == "logit" and declared.bounds is None:
        raise DataError(
            f"residual='logit' needs a target declared bounded; '{runs.target}' is not. Use one "
            "of the bounded targets (accuracy, error, f1, recall, ...) through columns=."
        )
    if wanted == "auto":
        wanted = "logit" if declared.bounds else ("log" if (y > 0).all() else "linear")
    if wanted == "log":
        return "log", bounds, y, ()
    if wanted == "linear":
        return "linear", bounds, y, ()
    low, high = bounds
    gap = np.minimum(y - low, high - y)
    if (gap > 0).all():
        return "logit", bounds, y, ()
    inside = gap[gap > 0]
    if not len(inside):
        raise DataError(f"every value of '{runs.target}' sits on a bound of {bounds}.")
    margin = 0.5 * float(inside.min())
    note = Note(
        "values_at_bound",
        "info",
        f"{int((gap <= 0).sum())} values of '{runs.target}' on a bound were moved inside by "
        f"{margin:.3g}, half the smallest distance seen, to take their logit",
        {"count": int((gap <= 0).sum()), "margin": margin},
    )
    return "logit", bounds, np.clip(y, low + margin, high - margin), (note,)


def _factors(family: LawFamily, runs: Runs, constrained: set[str]) -> Array:
    """Factors that bring the inputs to order one; ones where the law or constraints forbid it."""
    ones = np.ones(len(runs.x))
    if family.rescale is None:
        return ones
    factors = np.array(family.same_unit([_unit_factor(family, v) for v in runs.x]))
    if constrained & _rescaled_names(family):
        return ones
    return factors


def _rescaled_names(family: LawFamily) -> set[str]:
    """Coefficients that change with the unit of an input."""
    if family.rescale is None:
        return set()
    probe = {c.name: 0.5 for c in family.coefficients}
    moved = family.rescale(probe, [3.0 + i for i in range(len(family.inputs))])
    return {n for n in probe if moved[n] != probe[n]}


def _unit_factor(family: LawFamily, values: Array) -> float:
    """Bring positive inputs to geometric mean one, inputs of either sign to largest size one."""
    if family.input_domain == "positive" and (values > 0).all():
        return float(np.exp(np.clip(-np.log(values).mean(), -_FARTHEST, _FARTHEST)))
    return 1.0 / max(float(np.abs(values).max()), 1e-300)


def _joined(given: Array | None, starts: Array) -> Array:
    """Return the user's start, completed by the best of the others, before them."""
    if given is None:
        return starts
    return np.concatenate([np.where(np.isfinite(given), given, starts[:1]), starts])


def _rescaled(family: LawFamily, full: Array, factors: Sequence[float] | Array) -> Array:
    if family.rescale is None or np.all(np.asarray(factors) == 1.0):
        return full
    names = family.coefficient_names
    moved = family.rescale(dict(zip(names, full.T, strict=True)), list(factors))
    return np.stack([np.broadcast_to(moved[n], len(full)) for n in names], axis=1)
