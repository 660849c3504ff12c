"""Candidates on trial: a law, leaning on typical coefficients or not, under several focuses,
solved on all runs and below every cut along one direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.runs import Runs
from scaling_laws.errors import DataError, FitError
from scaling_laws.inference.backtest import automatic_cuts, log_distance
from scaling_laws.laws.family import LawFamily
from scaling_laws.quantities import is_cost
from scaling_laws.solving.batch import solve_batch
from scaling_laws.solving.objective import Array, Problem, robust_scale, target_unit
from scaling_laws.solving.setup import Prepared, Settings
from scaling_laws.solving.starts import find_starts
from scaling_laws.solving.weightings import solve_weightings

FOCUSES = (0.0, 0.25, 0.5, 1.0, 1.5)
CURVE_FOCUSES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)  # of laws in one input
NO_LAW = "constant"  # as a candidate: the value at the largest scale
_STARTS = 4
_LEAST_SIGMA = 1e-4  # on the residual scale; typical coefficients never weigh less than this
_SAME = 1e-9
_LOOKS = 9  # places along a curve
_STEP = 1e-6  # of a coefficient, for derivatives


@dataclass(frozen=True, eq=False)
class Cuts:
    """Rolling origins along one direction.

    Parameters
    ----------
    along : str
        Quantity that is cut: an input, or ``"flops"`` for the scale of the runs.
    axis : ndarray (n,)
        Its value for every run.
    values : ndarray (c,)
        Largest value fitted.
    kind : str
        Name of the direction in calibration tables; default ``along``.
    scored : bool
        Whether their scores, learned on losses, tell anything of the target. Of costs they do not.
    """

    along: str
    axis: Array
    values: Array
    kind: str = ""
    scored: bool = True

    @property
    def known_as(self) -> str:
        """Name of the direction in calibration tables."""
        return self.kind or self.along

    @property
    def train(self) -> NDArray[np.bool_]:
        """Rows at or below each cut ``(c, n)``."""
        limit = self.values + _SAME * np.abs(self.values)
        return np.asarray(self.axis[None, :] <= limit[:, None])

    @property
    def distance(self) -> Array:
        """Natural-log distance of every row beyond the largest value fitted ``(c, n)``."""
        largest = np.where(self.train, self.axis, -np.inf).max(axis=1, initial=-np.inf)
        low, span = self.axis.min(), np.ptp(self.axis)
        return np.asarray(log_distance(self.axis, low, largest[:, None], span))


def make_cuts(runs: Runs, along: str) -> Cuts:
    """Return up to six automatic cuts of the runs."""
    axis = runs.compute() if along == "flops" else runs.column(along)
    if not np.isfinite(axis).all():
        raise DataError(f"the scale of the runs along '{along}' is beyond floating point.")
    kind = direction_kind(runs.inputs, along)
    return Cuts(along, axis, automatic_cuts(axis), kind, not is_cost(runs.target))


def direction_kind(inputs: Sequence[str], along: str) -> str:
    """Return what calibration tables call a direction.

    Examples
    --------
    >>> direction_kind(("params", "tokens"), "tokens"), direction_kind(("tokens",), "tokens")
    ('tokens', 'one input')
    """
    if set(inputs) == {"params", "tokens"}:
        return along
    return "one input" if len(inputs) == 1 else "other"


def focuses_for(family: LawFamily, focuses: Sequence[float] | None = None) -> tuple[float, ...]:
    """Return the focuses that a law is tried with; of no law, the largest scale alone.

    Examples
    --------
    >>> from scaling_laws.laws.registry import get_law
    >>> focuses_for(get_law("constant")), focuses_for(get_law("coupled"))
    ((inf,), (0.0, 0.25, 0.5, 1.0, 1.5))
    """
    if family.name == NO_LAW:
        return (np.inf,)
    if focuses is not None:
        return tuple(focuses)
    return CURVE_FOCUSES if len(family.inputs) == 1 else FOCUSES


@dataclass(frozen=True, eq=False)
class Trial:
    """One law, leaning or not, under ``f`` focuses.

    Parameters
    ----------
    prepared : Prepared
        The problem over all runs, and the way back to raw units.
    leaning : bool
        Whether it leans on the family's typical coefficients.
    focuses : tuple of float
    free, delta : ndarray (f, q) and (f,)
        Solutions on all runs.
    weights : ndarray (f, n)
        Row weights of each focus.
    cut_free, cut_delta, cut_weights : ndarray (c, f, q), (c, f) and (c, f, n)
        The same below every cut; NaN where too few runs are left.
    residuals : ndarray (f, n)
    errors : ndarray (c, f, n)
        Residuals of all rows under the solutions below each cut.
    """

    prepared: Prepared
    leaning: bool
    focuses: tuple[float, ...]
    free: Array
    delta: Array
    weights: Array
    cut_free: Array
    cut_delta: Array
    cut_weights: Array
    residuals: Array
    errors: Array

    @property
    def family(self) -> LawFamily:
        """The law in its own coefficients."""
        return self.prepared.family

    @property
    def problem(self) -> Problem:
        """The problem over all runs."""
        return self.prepared.problem

    def label(self, i: int) -> str:
        """Name of the candidate with focus ``i``, as calibration tables know it."""
        return candidate_label(self.family.name, self.leaning, self.focuses[i])

    @cached_property
    def noise_variance(self) -> Array:
        """Run noise of each focus ``(f,)``, squared."""
        return noise_variance(self.problem, self.free, self.weights, self.delta)

    @cached_property
    def cut_noise_variance(self) -> Array:
        """Run noise below each cut ``(c, f)``, squared."""
        flat = noise_variance(self.problem, *self._flat())
        return flat.reshape(self.cut_delta.shape)

    @cached_property
    def cut_variance(self) -> Array:
        """Coefficient variance of all rows' predictions below each cut ``(c, f, n)``."""
        flat = prediction_variance(self.problem, self.problem, *self._flat())
        return flat.reshape(self.cut_weights.shape)

    def leaves_bounds(self, cuts: Cuts, reach: float) -> bool:
        """Whether any focus' curve passes a bound of a bounded target before ``reach`` times the
        largest run along the cuts; inputs that are not cut along grow in proportion.
        """
        if self.problem.residual != "logit":
            return False
        at = self._beyond(cuts, np.geomspace(1.0, reach, _LOOKS))
        coef = self.prepared.raw(self.free)
        with np.errstate(all="ignore"):
            value = self.family.evaluate(at, [c[:, None] for c in coef.T])
        low, high = self.problem.bounds
        return bool(np.any((value < low) | (value > high)))

    def unknown_beyond(self, cuts: Cuts, reach: float) -> NDArray[np.bool_]:
        """Which focuses' coefficients ``(f,)`` say nothing of ``reach`` times the largest run:
        their variance there is at least one unit, a factor e of a target on a log scale.
        """
        most = target_unit(self.problem.residual, self.problem.y) ** 2
        there = self.variance_at(self._beyond(cuts, np.array([reach])))[:, 0]
        return np.asarray(there >= most)

    def only(self, focuses: NDArray[np.bool_]) -> Trial:
        """Return the trial of some of its focuses."""
        of_cuts = ("cut_free", "cut_delta", "cut_weights", "errors")
        kept = {n: getattr(self, n)[focuses] for n in ("free", "delta", "weights", "residuals")}
        below = {n: getattr(self, n)[:, focuses] for n in of_cuts}
        left = tuple(np.array(self.focuses)[focuses].tolist())
        return replace(self, focuses=left, **kept, **below)

    def _beyond(self, cuts: Cuts, steps: Array) -> list[Array]:
        """Raw inputs at ``steps`` times the largest run along the cuts; inputs that are not cut
        along stay, those of a scale grow in proportion.
        """
        largest = int(np.argmax(cuts.axis))
        runs = [v[largest] / s for v, s in zip(self.problem.x, self.prepared.factors, strict=True)]
        along = [cuts.along in (n, "flops") for n in self.family.inputs]
        steps = steps ** (1.0 / max(sum(along), 1))
        grown = zip(runs, along, strict=True)
        return [v * steps if grows else np.full(len(steps), v) for v, grows in grown]

    def variance_at(self, x: Sequence[Array]) -> Array:
        """Coefficient variance of the prediction at raw inputs ``(f, m)``."""
        at = tuple(v * s for v, s in zip(x, self.prepared.factors, strict=True))
        there = replace(self.problem, x=at, y=np.ones(len(x[0])), weights=np.ones(len(x[0])))
        return prediction_variance(self.problem, there, self.free, self.weights, self.delta)

    def one_step(self, i: int, relative: Array) -> Array:
        """Coefficients ``(k, q)`` of candidate ``i`` under reweighted rows, by one Newton step.

        Parameters
        ----------
        i : int
            Focus.
        relative : ndarray (k, n)
            Weights of the rows in each draw, relative to the candidate's own.

        Notes
        -----
        The one-step bootstrap (Shao and Tu 1995, sec. 8.3): as wide as the sandwich says.
        """
        free, delta = self.free[[i]], self.delta[[i]]
        psi, jac, bread = score_and_bread(self.problem, free, self.weights[[i]], delta)
        step = ((relative - 1.0) * psi) @ jac[0].T @ _inverse(bread)[0]
        moved = free - np.where(np.isfinite(step), step, 0.0)
        return np.asarray(np.clip(moved, self.problem.lower, self.problem.upper))

    def sandwich_steps(self, i: int) -> tuple[Array, Array]:
        """Small steps of the coefficients of candidate ``i`` along the axes of their sandwich.

        Returns
        -------
        moved : ndarray (q, q)
            Free coefficients, each row moved along one axis.
        size : ndarray (q,)
            Length of each step in standard deviations: squared changes of a prediction over
            squared sizes add up to its variance.
        """
        free, delta = self.free[[i]], self.delta[[i]]
        with np.errstate(all="ignore"):
            psi, jac, bread = score_and_bread(self.problem, free, self.weights[[i]], delta)
            meat = (jac[0] * psi[0] ** 2) @ jac[0].T
        inverse = _inverse(bread)[0]
        q = free.shape[1]
        if not (np.isfinite(meat).all() and np.isfinite(inverse).all()):
            return np.repeat(free, q, axis=0), np.ones(q)
        value, axes = np.linalg.eigh(meat)
        with np.errstate(all="ignore"):
            steps = (inverse @ axes * np.sqrt(np.maximum(value, 0.0))).T
        steps = np.where(np.isfinite(steps), steps, 0.0)
        length = np.abs(steps).max(axis=1)
        size = _STEP * (1.0 + np.abs(free).max()) / np.maximum(length, _STEP)
        return np.asarray(free + steps * size[:, None]), np.asarray(size)

    def _flat(self) -> tuple[Array, Array, Array]:
        c, f = self.cut_delta.shape
        return (
            self.cut_free.reshape(c * f, self.free.shape[1]),
            self.cut_weights.reshape(c * f, self.weights.shape[1]),
            self.cut_delta.reshape(c * f),
        )


def candidate_label(law: str, leaning: bool, focus: float) -> str:
    """Return the name of a candidate.

    Examples
    --------
    >>> candidate_label("coupled", True, 0.5)
    'coupled, typical, focus 0.5'
    """
    return f"{law}{', typical' if leaning else ''}, focus {focus:g}"


def run_trial(
    settings: Settings,
    runs: Runs,
    family: LawFamily,
    cuts: Cuts,
    *,
    leaning: bool = False,
    focuses: Sequence[float] | None = None,
    borrowed: Mapping[str, tuple[float, float]] | None = None,
) -> Trial:
    """Solve a law under every focus, on all runs and below every cut, in one batch.

    ``borrowed`` draws coefficients to a centre with a standard deviation, as ``leaning`` does to
    the family's typical ones.

    Raises
    ------
    DataError, FitError, LawError
        The law cannot be fitted to these runs at all.
    """
    focuses = focuses_for(family, focuses)
    prepared = settings.prepare(runs, family)
    problem = prepared.problem
    if not problem.free:
        raise DataError(f"no coefficient of '{family.name}' is free, so none can be fitted.")
    starts = find_starts(problem, limit=_STARTS)
    pull = {**(problem.family.typical if leaning else {}), **(borrowed or {})}
    if pull:
        problem = _drawn_to(pull, problem, starts)
        if borrowed:
            given = [borrowed.get(n, (np.nan, 0.0))[0] for n in problem.family.coefficient_names]
            starts = find_starts(problem, np.array([given]), limit=_STARTS)
        prepared = replace(prepared, problem=problem)
    masks = np.concatenate([np.ones((1, len(runs)), dtype=bool), cuts.train])
    weights = np.stack([_focused(problem, cuts.axis, m, focuses) for m in masks])
    groups, f, n = weights.shape
    enough = masks.sum(axis=1) > len(problem.free)
    if not enough[0]:
        raise DataError(
            f"{len(runs)} runs cannot judge the {len(problem.free)} coefficients of "
            f"'{family.name}', priors or not: at least {len(problem.free) + 1} are needed. Add "
            "runs, or use a law with fewer."
        )
    free = np.full((groups, f, len(problem.free)), np.nan)
    delta = np.full((groups, f), np.inf)
    solved = solve_weightings(
        problem, starts, weights[enough].reshape(-1, n), auto_delta=settings.auto_delta
    )
    free[enough] = solved[0].reshape(-1, f, len(problem.free))
    delta[enough] = solved[1].reshape(-1, f)
    residuals = problem.residuals(free.reshape(groups * f, -1)).reshape(groups, f, n)
    _check_written(prepared, runs, free[0])
    return Trial(
        prepared, leaning, focuses, free[0], delta[0], weights[0],
        free[1:], delta[1:], weights[1:], residuals[0], residuals[1:],
    )  # fmt: skip


def _check_written(prepared: Prepared, runs: Runs, free: Array) -> None:
    """Refuse a law whose best coefficients ``(f, q)`` have no float in raw units."""
    with np.errstate(all="ignore"):
        columns = [c[:, None] for c in prepared.raw(free).T]
        value = prepared.family.evaluate(runs.x, columns)
    if not np.isfinite(value).all():
        raise FitError(
            f"the best '{prepared.family.name}' found has no prediction of its own runs: its "
            "coefficients are beyond floating point."
        )


def _focused(
    problem: Problem, axis: Array, mask: NDArray[np.bool_], focuses: Sequence[float]
) -> Array:
    """Row weights ``(f, n)`` of each focus among the rows of a mask, mean one."""
    relative = axis / axis[mask].max() if (axis > 0).all() else np.ones_like(axis)
    relative = np.where(mask, relative, 0.0)
    out = np.stack([np.where(mask, problem.weights * relative**g, 0.0) for g in focuses])
    mean = out.mean(axis=1, keepdims=True)  # zero where every weight but the mask's has no float
    return np.asarray(np.divide(out, mean, out=out, where=mean > 0))


def _drawn_to(pull: Mapping[str, tuple[float, float]], problem: Problem, starts: Array) -> Problem:
    """Return the problem with priors on coefficients: centre and standard deviation by name."""
    family = problem.family
    sigma = robust_scale(
        problem.residuals(solve_batch(problem, starts[:1], tolerance=1e-2).free)[0],
        problem.weights,
    )
    mean = np.zeros(len(family.coefficients))
    precision = np.zeros(len(family.coefficients))
    for i, name in enumerate(family.coefficient_names):
        if name not in pull:
            continue
        centre, sd = pull[name]
        mean[i], precision[i] = centre, (max(sigma, _LEAST_SIGMA) / sd) ** 2
    return replace(problem, prior_mean=mean, prior_precision=precision)


def noise_variance(problem: Problem, free: Array, weights: Array, delta: Array) -> Array:
    """Mean squared residual, clipped at Huber's turning point, degrees of freedom counted.

    Rows of unequal weight count as Kish's effective number of equal ones.
    """
    psi = np.clip(problem.residuals(free), -delta[:, None], delta[:, None])
    total = weights.sum(axis=1)
    effective = total**2 / np.maximum((weights**2).sum(axis=1), 1e-300)
    spare = np.maximum(effective - free.shape[1], 1.0)
    return np.asarray((weights * psi**2).sum(axis=1) / total * effective / spare)


def prediction_variance(
    problem: Problem, there: Problem, free: Array, weights: Array, delta: Array
) -> Array:
    """Sandwich variance of predictions on the residual scale ``(k, m)``, at most one unit."""
    most = target_unit(problem.residual, problem.y) ** 2
    with np.errstate(all="ignore"):
        psi, jac, bread = score_and_bread(problem, free, weights, delta)
        meat = np.matmul(jac * (psi**2)[:, None, :], jac.transpose(0, 2, 1))
        inverse = _inverse(bread)
        _, slope = there.residuals_with_jacobian(free)
        pulled = np.matmul(inverse, slope)
        variance = np.einsum("kqn,kqr,krn->kn", pulled, meat, pulled, optimize=True)
    return np.asarray(np.minimum(np.where(np.isfinite(variance), variance, most), most))


def score_and_bread(
    problem: Problem, free: Array, weights: Array, delta: Array
) -> tuple[Array, Array, Array]:
    """Weighted scores of the rows ``(k, n)``, Jacobian ``(k, q, n)`` and Hessian ``(k, q, q)``."""
    r, jac = problem.residuals_with_jacobian(free)
    turning = delta[:, None]
    flat = weights * (np.abs(r) <= turning)
    bread = np.matmul(jac * flat[:, None, :], jac.transpose(0, 2, 1))
    prior = problem.prior_gradient(free)
    bread = bread if prior is None else bread + prior[1]
    return weights * np.clip(r, -turning, turning), jac, bread


def _inverse(matrices: Array) -> Array:
    """Pseudo-inverse of symmetric matrices, scaled; NaN where one is not finite."""
    diagonal = np.maximum(np.einsum("kqq->kq", matrices), 1e-300)
    unit = 1.0 / np.sqrt(diagonal)
    scaled = matrices * unit[:, :, None] * unit[:, None, :]
    q = matrices.shape[1]
    bad = ~np.isfinite(scaled).all(axis=(1, 2))
    scaled[bad] = np.eye(q)
    scaled[:, np.arange(q), np.arange(q)] += 1e-9
    with np.errstate(over="ignore"):  # where a coefficient is all but free
        found = np.linalg.pinv(scaled, rcond=1e-10, hermitian=True)
        out = found * unit[:, :, None] * unit[:, None, :]
    out[bad] = np.nan
    return np.asarray(out)
