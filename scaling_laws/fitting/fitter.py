"""`Fitter`: frozen options that turn a table of runs and a law into a `Fit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.data.runs import Runs, check_runs, design_notes
from scaling_laws.errors import DataError, LawError, Note, suggest
from scaling_laws.fitting.notes import solution_notes
from scaling_laws.fitting.result import Fit
from scaling_laws.inference.interval import Predictive
from scaling_laws.inference.noise import run_noise
from scaling_laws.inference.resample import (
    at_bound,
    draw_coefficients,
    keyed_normals,
    sandwich_covariance,
)
from scaling_laws.laws.family import Law, LawFamily
from scaling_laws.laws.registry import get_law
from scaling_laws.quantities import quantity
from scaling_laws.solving.objective import Array, Huber, Problem, Residual, linear_map
from scaling_laws.solving.point import PointSolution, solve_point

Tie = str | tuple[str, float]


@dataclass(frozen=True)
class Fitter:
    """Options of a fit; `fit` applies them.

    Parameters
    ----------
    residual : {"auto", "log", "linear", "logit"}
        Scale on which misfit is measured. ``"auto"``: logit for a target declared bounded
        (accuracy, f1, ...), log for a positive one, else linear.
    robust : Huber or None
        Robust loss; None is least squares.
    fixed : mapping of str to float
        Coefficients held at a value, raw units.
    bounds : mapping of str to pair of float
        Tighter bounds, raw units.
    start : mapping of str to float
        A starting point to try besides the automatic ones.
    ties : mapping
        ``{"beta": "alpha"}`` or ``{"beta": ("alpha", 0.9)}`` for beta = 0.9 alpha.
    priors : mapping of str to (mean, standard deviation)
        Gaussian priors, raw units.
    focus : float, default 0
        Weight rows by (compute / largest compute) ** focus, so that runs near the target count
        more. 0 reproduces published fits; values to 1 predict better far away on most data.
    draws : int, default 1000
        Bootstrap draws behind intervals; 0 for none.
    workers : int, default 1
        Threads. Results do not depend on it.
    seed : int, default 0

    Raises
    ------
    DataError
        An option has an impossible value.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> runs = sl.load_dataset("tiny_lm")
    >>> fitter = sl.Fitter(robust=None, ties={"beta": "alpha"}, draws=0)
    >>> fit = fitter.fit(runs, "chinchilla")
    >>> fit.coef["alpha"] == fit.coef["beta"]
    True
    """

    residual: Literal["auto", "log", "linear", "logit"] = "auto"
    robust: Huber | None = field(default_factory=Huber)
    fixed: Mapping[str, float] = field(default_factory=dict, hash=False)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict, hash=False)
    start: Mapping[str, float] = field(default_factory=dict, hash=False)
    ties: Mapping[str, Tie] = field(default_factory=dict, hash=False)
    priors: Mapping[str, tuple[float, float]] = field(default_factory=dict, hash=False)
    focus: float = 0.0
    draws: int = 1000
    workers: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.residual not in ("auto", "log", "linear", "logit"):
            raise DataError(
                f"residual must be 'auto', 'log', 'linear' or 'logit', got {self.residual!r}."
            )
        if self.robust is not None and not isinstance(self.robust, Huber):
            raise DataError(f"robust must be a Huber or None, got {self.robust!r}.")
        if not (np.isfinite(self.focus) and self.focus >= 0):
            raise DataError(f"focus must be a finite number >= 0, got {self.focus}.")
        for name, least in (("draws", 0), ("workers", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise DataError(f"{name} must be an integer >= {least}, got {value!r}.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int | np.integer):
            raise DataError(f"seed must be an integer, got {self.seed!r}.")

    def fit(
        self,
        runs: Any,
        law: str | LawFamily,
        *,
        target: str = "loss",
        inputs: Sequence[str] | None = None,
        columns: Mapping[str, str] | None = None,
        weights: str | ArrayLike | None = None,
        cluster: str | ArrayLike | None = None,
    ) -> Fit:
        """Fit a law to runs. See `scaling_laws.fit` for the parameters.

        Examples
        --------
        >>> import scaling_laws as sl
        >>> fit = sl.Fitter(draws=0).fit(sl.load_dataset("tiny_lm"), "chinchilla")
        >>> sorted(fit.coef)
        ['A', 'B', 'E', 'alpha', 'beta']
        """
        family = _family(law, target, inputs)
        checked = self.check(runs, family, target, columns, weights, cluster)
        return self.fit_checked(checked, family)

    def check(
        self,
        runs: Any,
        family: LawFamily,
        target: str,
        columns: Mapping[str, str] | None = None,
        weights: str | ArrayLike | None = None,
        cluster: str | ArrayLike | None = None,
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
            positive_target=positive,
        )

    def fit_checked(self, runs: Runs, family: LawFamily) -> Fit:
        """Fit rows that `check` returned.

        Raises
        ------
        DataError
            Too few rows, or an input that never varies.
        FitError
            No starting point leads anywhere.
        """
        solution, factors, notes = self.solve(runs, family)
        problem = solution.problem
        residuals = problem.residuals(solution.free[None])[0]
        q = len(solution.free)
        noise = run_noise(residuals, runs.weights, q)
        draws = draw_coefficients(
            solution, runs.clusters, self.draws, self.seed, workers=self.workers
        )
        names = family.coefficient_names
        values = _raw(family, problem.full(solution.free[None]), factors)[0]
        cov = _raw_covariance(family, solution, factors, runs)
        predictive = Predictive(
            family=family,
            values=values,
            coef=_raw(family, problem.full(draws.free), factors),
            z_law=keyed_normals("law error", self.draws, self.seed),
            z_run=keyed_normals("run noise", self.draws, self.seed),
            noise=noise,
            residual=problem.residual,
            bounds=problem.bounds,
        )
        held = [names[problem.free[j]] for j in np.flatnonzero(at_bound(problem, solution.free))]
        notes += solution_notes(family, runs, solution, draws, held)
        return Fit(
            law=Law(family, tuple(float(v) for v in values)),
            target=runs.target,
            fitter=self,
            predictive=predictive,
            covariance=cov,
            at_bound=tuple(held),
            objective=solution.objective,
            delta=problem.delta,
            residuals=residuals,
            runs=runs,
            ranges=runs.ranges(),
            digest=runs.digest(),
            starts=solution.starts,
            starts_agreeing=solution.starts_agreeing,
            notes=notes,
        )

    def solve(
        self, runs: Runs, family: LawFamily, *, use_lmfit: bool = True
    ) -> tuple[PointSolution, Array, tuple[Note, ...]]:
        """Find the point optimum: solution in solver units, unit factors of the inputs, notes."""
        notes = runs.notes + design_notes(runs)
        constant = [n.details["input"] for n in notes if n.code == "constant_input"]
        if constant and not (self.fixed or self.ties or self.priors):
            raise DataError(
                f"input '{constant[0]}' has a single value in all {len(runs)} runs, so its "
                f"coefficients in '{family.name}' cannot be determined. Add runs that vary it, "
                "fix its coefficients with fixed=, or use a law without it."
            )
        residual, bounds, y, zeros = _residual(self.residual, runs)
        factors = _factors(family, runs, self._constrained())
        problem = self._problem(family, runs, residual, bounds, y, factors)
        spare = len(runs) - len(problem.free)
        if spare < 1 and not self.priors:
            raise DataError(
                f"{len(runs)} runs cannot determine {len(problem.free)} coefficients of "
                f"'{family.name}' and their uncertainty: at least {len(problem.free) + 1} are "
                f"needed. Add runs, fix some with fixed={{...}}, or use a law with fewer."
            )
        given = np.array([self.start.get(n, np.nan) for n in family.coefficient_names], dtype=float)
        if family.rescale is not None and np.isfinite(given).all():
            given = _rescaled(family, given[None], factors)[0]
        solution = solve_point(
            problem,
            auto_delta=self.robust is not None and self.robust.delta == "auto",
            prior_sd=self._prior_sd(family),
            given=given if self.start else None,
            use_lmfit=use_lmfit,
        )
        return solution, factors, notes + zeros

    def _constrained(self) -> set[str]:
        tied = {t if isinstance(t, str) else t[0] for t in self.ties.values()}
        return {*self.fixed, *self.bounds, *self.priors, *self.ties, *tied}

    def _prior_sd(self, family: LawFamily) -> Array | None:
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
        self._check_names(names)
        ties = {a: (t, 1.0) if isinstance(t, str) else (t[0], float(t[1])) for a, t in
                self.ties.items()}  # fmt: skip
        fixed = {a: float(v) for a, v in self.fixed.items()}
        matrix, offset, free = linear_map(names, fixed, ties)
        lower, upper = self._limits(family, runs, residual, bounds)
        focus = (runs.compute() / runs.compute().max()) ** self.focus if self.focus else 1.0
        delta = np.inf
        if self.robust is not None and self.robust.delta != "auto":
            delta = float(self.robust.delta)
        mean = np.array([self.priors.get(n, (0.0, np.nan))[0] for n in names])
        return Problem(
            family=family,
            x=tuple(v * s for v, s in zip(runs.x, factors, strict=True)),
            y=y,
            weights=runs.weights * focus,
            residual=residual,
            delta=delta,
            lower=lower[list(free)],
            upper=upper[list(free)],
            matrix=matrix,
            offset=offset,
            free=free,
            bounds=bounds,
            prior_mean=mean,
            prior_precision=np.zeros(len(names)),
        )

    def _check_names(self, names: Sequence[str]) -> None:
        for option in ("fixed", "bounds", "start", "ties", "priors"):
            for name in getattr(self, option):
                if name not in names:
                    raise DataError(
                        f"{option}= names '{name}', which is not a coefficient."
                        f"{suggest(name, names)} The law has {tuple(names)}."
                    )
        for name, (_, sd) in self.priors.items():
            if not sd > 0:
                raise DataError(f"the prior of '{name}' needs a standard deviation > 0, got {sd}.")
        for name, tie in self.ties.items():
            other = tie if isinstance(tie, str) else tie[0]
            if other not in names or other == name or other in self.ties or name in self.fixed:
                raise DataError(
                    f"ties= binds '{name}' to '{other}'. Bind it to another coefficient of "
                    f"{tuple(names)} that is not itself tied, and do not fix it as well."
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
        return lower, upper


def fit(
    runs: Any,
    law: str | LawFamily,
    *,
    target: str = "loss",
    inputs: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    weights: str | ArrayLike | None = None,
    cluster: str | ArrayLike | None = None,
    **options: Any,
) -> Fit:
    """Fit a scaling law to a table of runs.

    Parameters
    ----------
    runs : DataFrame, mapping of columns, or sequence of mappings
        One row a run: the law's inputs as raw counts, and the target. Rows with a missing value
        or an unfinished ``status`` are left out and counted.
    law : str or LawFamily
        Name or alias (see `list_laws`), or a family, registered or not.
    target : str, default "loss"
        Measured quantity. Its declaration says which way is better and whether it is bounded.
    inputs : sequence of str, optional
        Names to bind the law's inputs to; any number for laws over any inputs.
    columns : mapping of str to str, optional
        The library's names to the table's, ``{"params": "N", "loss": "val_loss"}``.
    weights : str or array_like, optional
        Column, or one number a row; only ratios matter to intervals.
    cluster : str or array_like, optional
        Rows that belong to one run or configuration. Default: column ``run`` or ``run_id``.
    **options
        Fields of `Fitter`: ``residual``, ``robust``, ``fixed``, ``bounds``, ``start``, ``ties``,
        ``priors``, ``focus``, ``draws``, ``workers``, ``seed``.

    Returns
    -------
    Fit

    Raises
    ------
    LawError
        Unknown law (the nearest is suggested), or its function returns NaN.
    DataError
        Missing or non-numeric columns, values outside their domain (the row is named), too few
        runs, an input that never varies, an impossible option.
    FitError
        No starting point leads anywhere.

    Notes
    -----
    Minimises a sum of Huber losses of log residuals by default [1]_, from starts found by
    variable projection, with lmfit; intervals are a cluster bootstrap.

    References
    ----------
    .. [1] Hoffmann et al. (2022), arXiv:2203.15556, sec. 3.3.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=200)
    >>> list(fit.predict(params=1e7, tokens=1e9).columns)
    ['params', 'tokens', 'loss', 'loss_low', 'loss_high', 'extrapolation']
    """
    known = tuple(Fitter.__dataclass_fields__)
    for name in options:
        if name not in known:
            raise DataError(f"fit has no option '{name}'.{suggest(name, known)} It has {known}.")
    return Fitter(**options).fit(
        runs,
        law,
        target=target,
        inputs=inputs,
        columns=columns,
        weights=weights,
        cluster=cluster,
    )


def _family(law: str | LawFamily, target: str, inputs: Sequence[str] | None) -> LawFamily:
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
    factors = np.array(
        [
            np.exp(-np.log(v).mean()) if (v > 0).all() else 1.0 / max(np.abs(v).max(), 1e-300)
            for v in runs.x
        ]
    )
    if constrained:
        probe = {c.name: 0.5 for c in family.coefficients}
        moved = family.rescale(probe, list(factors))
        if any(moved[n] != probe[n] for n in constrained):
            return ones
    return factors


def _rescaled(family: LawFamily, full: Array, factors: Sequence[float] | Array) -> Array:
    if family.rescale is None or np.all(np.asarray(factors) == 1.0):
        return full
    names = family.coefficient_names
    moved = family.rescale(dict(zip(names, full.T, strict=True)), list(factors))
    return np.stack([np.broadcast_to(moved[n], len(full)) for n in names], axis=1)


def _raw(family: LawFamily, full: Array, factors: Array) -> Array:
    """Coefficients in raw units from those in the solver's."""
    return _rescaled(family, full, 1.0 / factors)


def _raw_covariance(
    family: LawFamily, solution: PointSolution, factors: Array, runs: Runs
) -> Array:
    """Sandwich covariance of all coefficients in raw units (NaN rows for those at a bound)."""
    problem = solution.problem
    inner = sandwich_covariance(solution, runs.clusters)
    step = 1e-6 * np.maximum(np.abs(solution.free), 1e-6)
    columns = []
    for j in range(len(solution.free)):
        shifted = np.repeat(solution.free[None], 2, axis=0)
        shifted[0, j] += step[j]
        shifted[1, j] -= step[j]
        above, below = _raw(family, problem.full(shifted), factors)
        columns.append((above - below) / (2 * step[j]))
    if not columns:
        return np.zeros((len(family.coefficients),) * 2)
    jacobian = np.stack(columns, axis=1)
    lost = np.isnan(np.diag(inner))
    cov: Array = jacobian @ np.where(np.isnan(inner), 0.0, inner) @ jacobian.T
    undefined = (np.abs(jacobian[:, lost]) > 0).any(axis=1)
    cov[undefined, :] = np.nan
    cov[:, undefined] = np.nan
    return cov
