"""`diagnose`: what a fit rests on - influence of every run, worst residuals - by warm refits."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_laws.data.runs import Runs
from scaling_laws.errors import DataError, Note, suggest
from scaling_laws.fitting.chain import steps_hint
from scaling_laws.fitting.doubts import Standardised, standardised
from scaling_laws.fitting.groups import GroupedFit
from scaling_laws.fitting.held_out import share_explained
from scaling_laws.fitting.joint import solve_together
from scaling_laws.fitting.notes import usable_clusters
from scaling_laws.fitting.result import Fit
from scaling_laws.laws.family import check_inputs
from scaling_laws.laws.tied import Tied
from scaling_laws.solving.batch import solve_batch
from scaling_laws.solving.objective import Array, transform
from scaling_laws.solving.setup import Solved

if TYPE_CHECKING:
    import pandas as pd

_MOST_REFITS = 2000
_INFLUENTIAL = 2.0  # standard errors
_FEWEST = 8  # clusters, below which each is influential by itself


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What a fit rests on; made by `scaling_laws.diagnose`.

    Parameters
    ----------
    place : mapping
        Inputs (and group) at which the prediction was watched.
    influence : DataFrame
        One row a cluster (a run, a configuration, or a row), most influential first: ``rows``
        (how many), ``prediction`` and every coefficient: how far leaving it out moves them, in
        standard errors from the other clusters.
    residuals : DataFrame
        One row a row, furthest first: inputs, target, ``predicted``, ``residual`` (on the
        residual scale), ``leverage`` (0 to 1) and ``standardised``.
    r_squared : mapping
        Share of the variance explained: ``"linear"``, of the target itself, and on the residual
        scale where that is another. Any law that falls with the data has one near 1: it says
        nothing about predictions beyond the data, and no law is chosen by it.
    notes : tuple of Note
        Those of the fit, and ``influential_run``.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> found = sl.diagnose(sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=0))
    >>> list(found.influence.columns)
    ['rows', 'prediction', 'E', 'A', 'alpha', 'B', 'beta']
    """

    place: Mapping[str, Any]
    influence: pd.DataFrame
    residuals: pd.DataFrame
    r_squared: Mapping[str, float]
    notes: tuple[Note, ...]

    def __str__(self) -> str:
        where = ", ".join(f"{n}={v:.3g}" if isinstance(v, float) else f"{n}={v}"
                          for n, v in self.place.items())  # fmt: skip
        lines = [f"Left out, each moves the prediction at {where} by so many standard errors:"]
        lines.append(self.influence.head(5).to_string(float_format=lambda v: f"{v:.2f}"))
        lines.append("Furthest from the curve:")
        lines.append(self.residuals.head(5).to_string(float_format=lambda v: f"{v:.4g}"))
        shares = ", ".join(f"{v:.4f} ({n} scale)" for n, v in self.r_squared.items())
        lines.append(f"R² {shares}; of the fitted runs only, no measure of predictions beyond them")
        lines += [f"{'!' if n.severity == 'warning' else '-'} {n}" for n in self.notes]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        notes = "".join(
            f"<li><code>{escape(n.code)}</code> {escape(n.message)}</li>" for n in self.notes
        )
        tables = f"{self.influence.head(5).to_html()}{self.residuals.head(5).to_html()}"
        return f"<p><b>Influence and residuals</b></p>{tables}<ul>{notes}</ul>"


def diagnose(fit: Fit | GroupedFit, at: Mapping[str, ArrayLike] | None = None) -> Diagnosis:
    """Say what a fit rests on: refit it without each run in turn.

    Parameters
    ----------
    fit : Fit or GroupedFit
        With its rows. Groups that share coefficients are refitted together.
    at : mapping, optional
        Inputs (and the group) at which to watch the prediction. Default: the run of largest
        scale.

    Returns
    -------
    Diagnosis

    Raises
    ------
    DataError
        The fit was saved without its rows, is one of several that share coefficients, or ``at``
        lacks an input.

    Notes
    -----
    Warm refits with one cluster's weight at zero, robust scale held. A move is divided by the
    jackknife standard error over the *other* clusters, so that an outlier does not hide itself.
    Beyond 2,000 clusters only those of largest gradient are refitted; the others are moved by one
    Newton step.

    References
    ----------
    Belsley, Kuh and Welsch (1980), Regression Diagnostics, ch. 2.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=0)
    >>> found = sl.diagnose(fit, at={"params": 1e8, "tokens": 1e10})
    >>> bool(found.influence.prediction.abs().max() < 2)
    True
    """
    study = _grouped_study(fit) if isinstance(fit, GroupedFit) else _study(fit)
    values, place = _watched(study, at)
    influence = _influence(study, place)
    point = study.solved.point
    found = standardised(point.problem, *point.linearised)
    notes = (*fit.notes, *_influence_notes(influence))
    shares = _r_squared(study, found)
    return Diagnosis(values, influence, _residual_table(study, found), shares, notes)


@dataclass(frozen=True, eq=False)
class _Study:
    """A solved fit with its rows; the group's position is the last input where there are groups."""

    solved: Solved
    runs: Runs
    group: str | None = None
    labels: tuple[Hashable, ...] = ()


def _study(fit: Fit) -> _Study:
    if not hasattr(fit, "residuals"):
        raise DataError(
            f"diagnose takes a fit of one law or of groups, got {type(fit).__name__}. Of a "
            f"selection, diagnose selection.best.{steps_hint(fit)}"
        )
    if any(n.code == "shared_coefficients" for n in fit.notes):
        raise DataError(
            "this group shares coefficients with others: diagnose the grouped fit that it came "
            "from."
        )
    return _Study(fit.fitter.solve(fit.rows("diagnose"), fit.law.family), fit.rows("diagnose"))


def _grouped_study(grouped: GroupedFit) -> _Study:
    if not grouped.shared:
        raise DataError(
            "the groups have nothing in common: diagnose one at a time, "
            f"sl.diagnose(grouped[{grouped.groups[0]!r}])."
        )
    parts = {label: f.rows("diagnose") for label, f in grouped.items()}
    joint = solve_together(
        grouped.fits[0].fitter, parts, grouped.family, grouped.group, grouped.shared
    )
    return _Study(joint.solved, joint.runs, grouped.group, grouped.groups)


def _watched(
    study: _Study, at: Mapping[str, ArrayLike] | None
) -> tuple[dict[str, Any], list[Array]]:
    """Return the place where the prediction is watched: for people, and as the law's inputs."""
    runs = study.runs
    if at is None:
        i = int(np.argmax(runs.compute()))
        place = [v[i : i + 1] for v in runs.x]
    else:
        given = dict(at)
        if study.group is not None:
            label: Any = given.get(study.group)
            if label not in study.labels:
                near = suggest(str(label), [str(v) for v in study.labels])
                raise DataError(
                    f"at= must name a group of '{study.group}', got {label!r}.{near} It has "
                    f"{list(study.labels)}."
                )
            given[study.group] = float(study.labels.index(label))
            place = [np.atleast_1d(a) for a in _inputs_of_group(study, given)]
        else:
            place = [np.atleast_1d(a) for a in check_inputs(study.solved.family, given)]
        if any(v.shape != (1,) for v in place):
            raise DataError("at= must be a single place: give one number per input.")
    values: dict[str, Any] = {n: float(v[0]) for n, v in zip(runs.inputs, place, strict=True)}
    if study.group is not None:
        values[study.group] = study.labels[int(values[study.group])]
    return values, place


def _inputs_of_group(study: _Study, given: dict[str, ArrayLike]) -> list[Array]:
    """Return the law's inputs, and the group's position after them."""
    where = given.pop(str(study.group))
    tied = study.solved.family.function
    assert isinstance(tied, Tied)
    return [*check_inputs(tied.base, given), np.asarray(where, dtype=float)]


def _influence(study: _Study, place: list[Array]) -> pd.DataFrame:
    import pandas as pd

    solved, point = study.solved, study.solved.point
    problem = point.problem
    labels, _ = usable_clusters(study.runs, len(point.free))
    _, first, inverse, counts = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    free = _without_each(solved, inverse.ravel(), len(first))
    raw, centre = solved.raw(free), solved.coef

    def watched(coef: Array) -> Array:
        with np.errstate(all="ignore"):  # what is not finite has no ratio
            value = solved.family.evaluate(place, [c[:, None] for c in coef.T])
        scaled = transform(np.broadcast_to(value, (len(coef), 1)), problem.residual, problem.bounds)
        return np.asarray(scaled)

    with np.errstate(invalid="ignore"):
        moves = np.concatenate([watched(raw) - watched(centre[None]), raw - centre], axis=1)
    sizes = np.concatenate([np.ones(1), np.abs(centre)])
    ratios = _in_standard_errors(moves, sizes)
    index = pd.Index([str(study.runs.index[i]) for i in first], name="first row")
    table = pd.DataFrame(
        ratios, columns=["prediction", *solved.family.coefficient_names], index=index
    )
    table.insert(0, "rows", counts)
    return table.iloc[np.argsort(-np.abs(ratios[:, 0]), kind="stable")]


def _without_each(solved: Solved, inverse: NDArray[np.intp], count: int) -> Array:
    """Free coefficients without each cluster ``(clusters, q)``: refitted, or one step of many."""
    problem, centre = solved.point.problem, solved.point.free
    residuals, jac = solved.point.linearised
    delta, w = problem.delta, problem.weights
    score = jac * (w * np.clip(residuals, -delta, delta))
    flat = (jac * (w * (np.abs(residuals) <= delta))) @ jac.T
    unit = 1.0 / np.sqrt(np.maximum(np.diag(flat), 1e-300))
    step = np.linalg.pinv(flat * np.outer(unit, unit), rcond=1e-14, hermitian=True)
    summed = np.stack([np.bincount(inverse, s, count) for s in score], axis=1)
    one_step = (summed * unit) @ step * unit
    out = np.clip(centre + one_step, problem.lower, problem.upper)
    size = np.sum(one_step * summed, axis=1)
    chosen = np.argsort(-size, kind="stable")[:_MOST_REFITS]

    def weights(span: slice) -> Array:
        left_out = inverse[None, :] == chosen[span][:, None]
        return np.where(left_out, 0.0, w)

    start = np.repeat(centre[None], len(chosen), axis=0)
    out[chosen] = solve_batch(problem, start, weights, tolerance=1e-8).free
    return out


def _in_standard_errors(moves: Array, sizes: Array) -> Array:
    """Moves over the jackknife standard error that the other clusters give."""
    count = len(moves)
    with np.errstate(invalid="ignore", over="ignore"):
        squares = moves * moves
        finite = np.isfinite(squares)  # one that is not says nothing about the others
        squares = np.where(finite, squares, 0.0)
        others = np.maximum(squares.sum(axis=0) - squares, 0.0) * (count - 1) / count
        stderr = np.sqrt(others)
        told = finite & (stderr > 1e-9 * np.maximum(sizes, 1e-300))  # less is rounding
        ratios = np.where(told, moves / np.where(told, stderr, 1.0), 0.0)
    ratios = np.where(finite, ratios, np.copysign(np.inf, moves))
    return np.where(np.isnan(moves), np.nan, ratios)  # no prediction, with the run or without


def _influence_notes(influence: pd.DataFrame) -> tuple[Note, ...]:
    moved = influence["prediction"]
    large = influence[moved.abs() > _INFLUENTIAL]
    if not len(large) or len(influence) < _FEWEST:
        return ()
    shown = ", ".join(f"{i} ({v:+.1f})" for i, v in large["prediction"].head(5).items())
    return (
        Note(
            "influential_run",
            "warning",
            f"the prediction rests on single runs; left out they move it by so many standard "
            f"errors: {shown}. Check them, and repeat them or add runs of their scale",
            {"count": len(large), "rows": [str(i) for i in large.index[:5]]},
        ),
    )


def _predicted(study: _Study) -> Array:
    coef = study.solved.coef
    value = study.solved.family.evaluate(study.runs.x, [c[:, None] for c in coef[None].T])
    out: Array = np.broadcast_to(value, (1, len(study.runs)))[0]
    return out


def _r_squared(study: _Study, found: Standardised) -> dict[str, float]:
    """Share explained of the target, and of what was minimised where that is on another scale."""
    runs, problem = study.runs, study.solved.point.problem
    shares = {"linear": share_explained(runs.y, _predicted(study), runs.weights)}
    if problem.residual != "linear":
        scaled = transform(problem.y, problem.residual, problem.bounds)
        shares[problem.residual] = share_explained(scaled, scaled + found.residual, runs.weights)
    return shares


def _residual_table(study: _Study, found: Standardised) -> pd.DataFrame:
    import pandas as pd

    runs = study.runs
    columns: dict[str, Any] = dict(zip(runs.inputs, runs.x, strict=True))
    if study.group is not None:
        columns[study.group] = [study.labels[int(v)] for v in runs.x[-1]]
    columns[runs.target] = runs.y
    columns["predicted"] = _predicted(study)
    columns["residual"] = found.residual
    columns["leverage"] = found.leverage
    columns["standardised"] = found.value
    labels = pd.Index(list(runs.index), name="row", tupleize_cols=False)
    table = pd.DataFrame(columns, index=labels)
    return table.iloc[np.argsort(-np.abs(found.value), kind="stable")]
