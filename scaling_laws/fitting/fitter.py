"""`Fitter`: frozen options that turn a table of runs and a law into a `Fit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.data.hashing import hash_rows
from scaling_laws.data.runs import Runs
from scaling_laws.errors import DataError, Note, suggest
from scaling_laws.fitting.doubts import identification_notes, outlying_notes, rounding_notes
from scaling_laws.fitting.notes import solution_notes, usable_clusters
from scaling_laws.fitting.result import Fit
from scaling_laws.inference.interval import Predictive
from scaling_laws.inference.law_error import LawError
from scaling_laws.inference.resample import (
    Disturbance,
    Draws,
    at_bound,
    coefficient_covariance,
    draw_coefficients,
    keyed_normals,
)
from scaling_laws.inference.weighing import fitted_law_error
from scaling_laws.laws.family import Law, LawFamily
from scaling_laws.solving.objective import Array
from scaling_laws.solving.setup import Settings, Solved, bind_family, check_draw_options

if TYPE_CHECKING:
    from scaling_laws.fitting.groups import GroupedFit


@dataclass(frozen=True)
class Fitter(Settings):
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
    law_error : bool, default True
        Whether intervals beyond the data allow for an error of the law itself, estimated by
        backtests of these options and a bundled rate. False: as if the law were exact.
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

    draws: int = 1000
    law_error: bool = True
    workers: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_draw_options(self.draws, self.workers, self.seed)
        if not isinstance(self.law_error, bool):
            raise DataError(f"law_error must be True or False, got {self.law_error!r}.")

    @overload
    def fit(
        self,
        runs: Any,
        law: str | LawFamily,
        *,
        target: str = ...,
        inputs: Sequence[str] | None = ...,
        columns: Mapping[str, str] | None = ...,
        weights: str | ArrayLike | None = ...,
        cluster: str | ArrayLike | None = ...,
        group: None = None,
        shared: Sequence[str] = ...,
    ) -> Fit: ...
    @overload
    def fit(
        self,
        runs: Any,
        law: str | LawFamily,
        *,
        target: str = ...,
        inputs: Sequence[str] | None = ...,
        columns: Mapping[str, str] | None = ...,
        weights: str | ArrayLike | None = ...,
        cluster: str | ArrayLike | None = ...,
        group: str,
        shared: Sequence[str] = ...,
    ) -> GroupedFit: ...
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
        group: str | None = None,
        shared: Sequence[str] = (),
    ) -> Fit | GroupedFit:
        """Fit a law to runs. See `scaling_laws.fit` for the parameters.

        Examples
        --------
        >>> import scaling_laws as sl
        >>> fit = sl.Fitter(draws=0).fit(sl.load_dataset("tiny_lm"), "chinchilla")
        >>> sorted(fit.coef)
        ['A', 'B', 'E', 'alpha', 'beta']
        """
        family = bind_family(law, target, inputs)
        if group is not None:
            from scaling_laws.fitting.groups import check_groups, fit_groups

            tied = check_groups(family, target, group, shared)
            checked = self.check(runs, family, target, columns, weights, cluster, group)
            return fit_groups(self, checked, family, group, tied)
        if len(shared):
            raise DataError(
                f"shared={tuple(shared)} ties coefficients across groups: name the column of the "
                "groups with group=, or use ties= within one law."
            )
        checked = self.check(runs, family, target, columns, weights, cluster)
        return self.fit_checked(checked, family)

    def fit_checked(self, runs: Runs, family: LawFamily) -> Fit:
        """Fit rows that `check` returned.

        Raises
        ------
        DataError
            Too few rows, or an input that never varies.
        FitError
            No starting point leads anywhere.
        """
        solved = self.solve(runs, family)
        point, problem = solved.point, solved.point.problem
        residuals, _ = point.linearised
        clusters, doubts = usable_clusters(runs, len(point.free))
        prior_sd = self.prior_sd(family)
        draws = draw_coefficients(
            point,
            clusters,
            self.draws,
            self.seed,
            rows=hash_rows([*runs.x, runs.y]),
            workers=self.workers,
            prior_sd=prior_sd,
        )
        names = family.coefficient_names
        held = tuple(names[problem.free[j]] for j in np.flatnonzero(at_bound(problem, point.free)))
        notes = solved.notes + doubts + solution_notes(family, runs, point, draws, held)
        error = None
        if self.law_error and self.draws:
            error, told = fitted_law_error(self, runs, family)
            notes += told
        if not self.draws:
            notes += (Note("no_draws", "info", "draws=0: predictions carry no interval"),)
        made = Fit(
            law=Law(family, tuple(float(v) for v in solved.coef)),
            target=runs.target,
            fitter=self,
            predictive=self._predictive(solved, draws, len(runs), error),
            covariance=raw_covariance(solved, draws.disturbance, prior_sd),
            at_bound=held,
            objective=point.objective,
            delta=problem.delta,
            residuals=residuals,
            runs=runs,
            ranges=runs.ranges(),
            digest=runs.digest(),
            starts=point.starts,
            starts_agreeing=point.starts_agreeing,
            notes=notes + outlying_notes(problem, *point.linearised, runs.index),
            read_report=runs.read_report,
        )
        found = rounding_notes(made, runs, problem) + identification_notes(made)
        return replace(made, notes=made.notes + found)

    def _predictive(
        self, solved: Solved, draws: Draws, rows: int, error: LawError | None
    ) -> Predictive:
        """What predicts: the optimum, draws of it, and the noise of a run."""
        problem = solved.point.problem
        return Predictive(
            family=solved.family,
            values=solved.coef,
            coef=solved.raw(draws.free),
            z_law=keyed_normals("law error", self.draws, self.seed),
            z_run=keyed_normals("run noise", self.draws, self.seed)
            * (draws.noise / max(draws.run_noise, 1e-300)),
            noise=draws.run_noise if rows > len(solved.point.free) else float("nan"),
            residual=problem.residual,
            bounds=problem.bounds,
            law_error=error,
            trend=None if draws.trend is None else draws.trend.in_units(solved.factors),
        )


@overload
def fit(
    runs: Any,
    law: str | LawFamily,
    *,
    target: str = ...,
    inputs: Sequence[str] | None = ...,
    columns: Mapping[str, str] | None = ...,
    weights: str | ArrayLike | None = ...,
    cluster: str | ArrayLike | None = ...,
    group: None = None,
    shared: Sequence[str] = ...,
    **options: Any,
) -> Fit: ...
@overload
def fit(
    runs: Any,
    law: str | LawFamily,
    *,
    target: str = ...,
    inputs: Sequence[str] | None = ...,
    columns: Mapping[str, str] | None = ...,
    weights: str | ArrayLike | None = ...,
    cluster: str | ArrayLike | None = ...,
    group: str,
    shared: Sequence[str] = ...,
    **options: Any,
) -> GroupedFit: ...
def fit(
    runs: Any,
    law: str | LawFamily,
    *,
    target: str = "loss",
    inputs: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    weights: str | ArrayLike | None = None,
    cluster: str | ArrayLike | None = None,
    group: str | None = None,
    shared: Sequence[str] = (),
    **options: Any,
) -> Fit | GroupedFit:
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
        Rows that belong to one run or configuration. Default: column ``run`` or ``run_id``, else
        rows of one configuration and seed where a column ``checkpoint`` or ``step`` says that
        they are checkpoints.
    group : str, optional
        Column of groups to fit apart, such as corpora or architectures; gives a `GroupedFit`.
    shared : sequence of str, default ()
        Coefficients that all groups have in common; the others are each group's own. With none,
        every group is fitted by itself.
    **options
        Fields of `Fitter`: ``residual``, ``robust``, ``fixed``, ``bounds``, ``start``, ``ties``,
        ``priors``, ``focus``, ``draws``, ``law_error``, ``workers``, ``seed``.

    Returns
    -------
    Fit, or GroupedFit with ``group``

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
    variable projection, with lmfit. Intervals come from refits: of runs disturbed by their noise
    where runs are few (with the tails of Student's t), of reweighted runs where they are many.

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
    where: dict[str, Any] = {
        "target": target,
        "inputs": inputs,
        "columns": columns,
        "weights": weights,
        "cluster": cluster,
        "group": group,
        "shared": shared,
    }
    made: Fit | GroupedFit = Fitter(**options).fit(runs, law, **where)
    return made


def raw_covariance(solved: Solved, noise: Disturbance, prior_sd: Array | None) -> Array:
    """Covariance of all coefficients in raw units (NaN rows for those at a bound)."""
    free, problem = solved.point.free, solved.point.problem
    inner = coefficient_covariance(solved.point, noise, prior_sd)
    if not len(free):
        return np.zeros((len(solved.coef),) * 2)
    step = 1e-6 * np.maximum(np.abs(free), 1e-6)
    above, below = (solved.raw(free + np.diag(move)) for move in (step, -step))
    with np.errstate(over="ignore", invalid="ignore"):  # between coefficients without a float
        jacobian = (above - below).T / (2 * step)
    lost = np.isnan(np.diag(inner))
    with np.errstate(over="ignore", invalid="ignore"):  # coefficients whose variance has no float
        cov: Array = jacobian @ np.where(np.isnan(inner), 0.0, inner) @ jacobian.T
    cov[~np.isfinite(cov)] = np.nan
    undefined = np.asarray((np.abs(jacobian[:, lost]) > 0).any(axis=1))
    undefined[np.array(problem.free)[at_bound(problem, free)]] = True  # even where slopes are 0
    cov[undefined, :] = np.nan
    cov[:, undefined] = np.nan
    return cov
