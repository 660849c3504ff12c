"""How sure a design will make an answer, before anything is spent on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_laws.errors import Note, PlanError
from scaling_laws.fitting.result import Fit
from scaling_laws.fitting.selection import Selection
from scaling_laws.inference.interval import Predictive
from scaling_laws.laws.family import Law
from scaling_laws.planning.design.belief import Belief, believe, low_rank
from scaling_laws.planning.design.next_runs import check_goal_level, note_lines, plain_row
from scaling_laws.planning.design.possible import check_source, positive_number, table_inputs
from scaling_laws.planning.source import get_source
from scaling_laws.solving.objective import Array, transform

if TYPE_CHECKING:
    import pandas as pd

_ASK = "score_design"
_STEP = 1e-5  # relative, of central differences
_LOST = 1e-6  # of the largest slope: how much of one may lie where nothing is known
_RANK = 1e-9  # of the largest singular value: below, a direction is not determined


@dataclass(frozen=True, eq=False)
class DesignScore:
    """Expected widths with a design's runs. Frozen; made by `score_design`.

    Parameters
    ----------
    table : DataFrame
        One row a point of ``at``: inputs, prediction, and the expected width of the interval of
        the mean now (infinite where only a law is given) and with the design.
    optimum : mapping of str to float
        Of the compute-optimal size: ``flops``, ``params`` and the factor by which its interval
        reaches either way, ``factor_before`` and ``factor_after`` (1.5 means from params / 1.5 to
        1.5 params). Empty unless asked for.
    target : str
    runs : int
        Runs of the design.
    level : float
    notes : tuple of Note

    Examples
    --------
    >>> import scaling_laws as sl
    >>> from scaling_laws.planning.design.score import score_design
    >>> plan = sl.grid(params=[1e8, 3e8, 1e9], tokens=[2e9, 6e9, 2e10])
    >>> score = score_design(sl.published.HOFFMANN_2022, plan, noise=0.003, optimum_at=1e22)
    >>> bool(1 < score.optimum["factor_after"] < score.optimum["factor_before"])
    True
    """

    table: pd.DataFrame
    optimum: Mapping[str, float]
    target: str
    runs: int
    level: float
    notes: tuple[Note, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of `table`."""
        return self.table.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "target": self.target,
            "runs": self.runs,
            "level": self.level,
            "table": [plain_row(r) for r in self.table.to_dict("records")],
            "optimum": plain_row(self.optimum),
            "notes": [n.to_dict() for n in self.notes],
        }

    def __str__(self) -> str:
        lines = [f"Design of {self.runs} runs: expected {self.level:.0%} intervals"]
        if len(self.table):
            lines.append(self.table.to_string(index=False, float_format=lambda v: f"{v:.4g}"))
        if self.optimum:
            o = self.optimum
            lines.append(
                f"best params at {o['flops']:.3g} FLOP: {o['params']:.3g}, known to a factor of "
                f"{o['factor_before']:.3g} now, {o['factor_after']:.3g} with the design"
            )
        return "\n".join([*lines, *note_lines(self.notes)])

    def __repr__(self) -> str:
        return str(self)


def score_design(
    source: Fit | Selection | Law,
    design: pd.DataFrame | Mapping[str, ArrayLike] | Sequence[Mapping[str, float]],
    *,
    at: pd.DataFrame | Mapping[str, ArrayLike] | None = None,
    optimum_at: float | None = None,
    noise: float | None = None,
    level: float = 0.9,
) -> DesignScore:
    """Say how wide intervals will be once a design's runs are made, before making them.

    Parameters
    ----------
    source : Fit, Selection or Law
        A fit or selection: the design is added to the runs it has. A bare law, such as a
        published one: the design is all there is, and its numbers are taken for the truth.
    design : DataFrame, mapping of columns, or sequence of mappings
        The runs, one a row: the law's inputs, raw counts.
    at : DataFrame or mapping, optional
        Points whose prediction matters.
    optimum_at : float, optional
        Compute [FLOP] whose best split between params and tokens (compute 6 N D) matters.
    noise : float, optional
        Standard deviation of one run on the residual scale (0.003 means 0.3 % of a loss); needed
        with a law, else the source's own by default.
    level : float, default 0.9

    Returns
    -------
    DesignScore

    Raises
    ------
    PlanError
        Neither ``at`` nor ``optimum_at``; a law without ``noise``; a law without a best split; a
        table or number that cannot be used; or a fit without draws.

    Notes
    -----
    A law: the delta method, with the covariance of its coefficients noise^2 (J'J)^-1 of least
    squares at the design [1]_. Directions that no run of the design determines make what depends
    on them infinitely wide (note ``design_not_identifying``). The law is taken to be exact.

    A fit: its draws, conditioned on the new runs (see `next_runs`).

    References
    ----------
    .. [1] Atkinson, Donev and Tobias (2007), Optimum Experimental Designs, with SAS, ch. 17.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=200)
    >>> more = {"params": [4e6] * 3, "tokens": [1e8] * 3}
    >>> score = score_design(fit, more, at={"params": 1e7, "tokens": 1e9})
    >>> bool((score.table.width_after < score.table.width_before).all())
    True
    """
    check_goal_level(level, _ASK)
    if noise is not None:
        positive_number(noise, _ASK, "noise", "It is on the residual scale: 0.003 means 0.3 %.")
    if optimum_at is not None:
        positive_number(optimum_at, _ASK, "optimum_at", "It is compute in FLOP.")
    if at is None and optimum_at is None:
        raise PlanError(f"{_ASK}: say what matters: points at=, or compute optimum_at= [FLOP].")
    if isinstance(source, Law):
        return _of_law(source, design, at, optimum_at, noise, level)
    fitted = check_source(source, _ASK)
    return _of_fit(fitted, design, at, optimum_at, noise, level)


@dataclass(frozen=True, eq=False)
class _Delta:
    """What least squares at a design's runs would leave open, by the delta method.

    Parameters
    ----------
    law : Law
        Taken for the truth.
    residual : {"log", "linear"}
    noise : float
    told : ndarray (p,)
        Singular values of the Jacobian at the runs, by relative change of the coefficients.
    right : ndarray (p, p)
        Its right singular vectors, in rows.
    """

    law: Law
    residual: Literal["log", "linear"]
    noise: float
    told: Array
    right: Array

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which directions the design determines."""
        return np.asarray(self.told > _RANK * max(self.told.max(), 1e-300))

    def deviation(self, slopes: Array) -> Array:
        """Standard deviation ``(n,)`` of what has these slopes ``(n, p)``."""
        along, known = slopes @ self.right.T, self.known
        largest = np.abs(slopes).max(axis=1)[:, None]
        lost = (np.abs(along[:, ~known]) > _LOST * largest).any(axis=1)
        spread = np.sqrt(np.sum((along[:, known] / self.told[known]) ** 2, axis=1))
        return np.asarray(np.where(lost, np.inf, self.noise * spread))

    def of_target(self, inputs: Sequence[Array]) -> Array:
        """Standard deviation of the target at inputs, on the residual scale ``(n,)``."""
        return self.deviation(_slopes(self.law, inputs, self.residual))

    def of_best_params(self, flops: float) -> float:
        """Standard deviation of the logarithm of the best params at this compute."""
        moved = _best_params(_surface(self.law, _stepped(self.law)), flops)
        return float(self.deviation(_difference(moved[:, None]))[0])


def _delta(law: Law, runs: Sequence[Array], noise: float) -> _Delta:
    positive = np.min(law(**dict(zip(law.inputs, runs, strict=True)))) > 0
    residual: Literal["log", "linear"] = "log" if positive else "linear"
    _, singular, right = np.linalg.svd(_slopes(law, runs, residual), full_matrices=True)
    told = np.zeros(len(law.values))
    told[: len(singular)] = singular
    return _Delta(law, residual, noise, told, right)


def _of_law(
    law: Law, design: Any, at: Any, flops: float | None, noise: float | None, level: float
) -> DesignScore:
    """Score of a design that is all there is."""
    if noise is None:
        raise PlanError(
            f"{_ASK}: a law does not know the noise of a run: give noise= on the residual scale "
            "(0.003 means 0.3 % of a loss)."
        )
    runs = table_inputs(law, design, _ASK, "design")
    delta, z = _delta(law, runs, noise), _normal(level)
    columns: dict[str, Any] = {}
    if at is not None:
        goals = table_inputs(law, at, _ASK, "at=")
        columns = dict(zip(law.inputs, goals, strict=True))
        columns["prediction"] = value = np.asarray(law(**columns))
        columns["width_before"] = np.full(len(value), np.inf)
        columns["width_after"] = _width(value, z * delta.of_target(goals), delta.residual)
    optimum: dict[str, float] = {}
    if flops is not None:
        best = _best_params(_surface(law, np.array([law.values])), flops)[0]
        with np.errstate(over="ignore"):
            factor = float(np.exp(z * delta.of_best_params(flops)))
        optimum = _optimum(flops, best, np.inf, factor)
    rank = int(delta.known.sum())
    notes = () if delta.known.all() else (_not_identifying(law, rank, len(runs[0])),)
    name = "score" if law.family.increasing else "loss"
    return DesignScore(_frame(columns), optimum, name, len(runs[0]), float(level), notes)


def _of_fit(
    source: Fit | Selection,
    design: Any,
    at: Any,
    flops: float | None,
    noise: float | None,
    level: float,
) -> DesignScore:
    """Score of a design added to the runs a fit has."""
    runs = table_inputs(source.law, design, _ASK, "design")
    n = len(runs[0])
    columns: dict[str, Any] = {}
    if at is not None:
        goals = table_inputs(source.law, at, _ASK, "at=")
        alike = np.full(len(goals[0]), 1.0 / len(goals[0]))
        now = believe(source, runs, goals, alike, noise)
        shrunk = np.sqrt(_all_made(now).at_goals() / np.maximum(now.at_goals(), 1e-300))
        named = dict(zip(source.inputs, goals, strict=True))
        low, high = source.predict_interval(named, level=level, kind="mean")
        columns = named | {"prediction": source.predictive.mean(goals)}
        columns |= {"width_before": high - low, "width_after": (high - low) * shrunk}
    optimum: dict[str, float] = {}
    if flops is not None:
        logs, belief = _belief_of_optimum(source, runs, flops, noise)
        z = _normal(level)
        before, after = (
            float(np.exp(z * np.sqrt(b.at_goals()[0]))) for b in (belief, _all_made(belief))
        )
        optimum = _optimum(flops, logs, before, after)
    return DesignScore(_frame(columns), optimum, source.target, n, float(level), ())


def _belief_of_optimum(
    source: Fit | Selection, runs: Sequence[Array], flops: float, noise: float | None
) -> tuple[float, Belief]:
    """Log of the best params, and the belief about it beside the possible runs.

    The optimum is a goal like any other: what draws say of it goes with what they say of runs.
    """
    view = get_source(source, None)
    if view.draws is None:
        raise PlanError(f"{_ASK}: the fit has no draws. Fit again with draws=200 or more.")
    count = len(view.draws)
    best = _best_params(view.surface(draws=True), flops)
    point = float(_best_params(view.surface(draws=False), flops)[0])
    belief = believe(source, runs, [v[:1] for v in runs], np.ones(1), noise)
    predictive: Predictive = replace(source.predictive, spread=None)
    finite = np.isfinite(source.draws).all(axis=1)
    keep = np.flatnonzero(finite)[:count]
    drawn = predictive.deviations(runs, ("coefficients",))[keep]
    both = np.column_stack([drawn, best])
    factors, left = low_rank(both, len(predictive.values))
    law = np.append(belief.law[:-1], 0.0)
    own = np.maximum(belief.noise, left[:-1])
    return point, replace(belief, factors=factors, law=law, noise=own)


def _all_made(belief: Belief) -> Belief:
    for j in range(belief.runs):
        belief = belief.after(j)
    return belief


def _best_params(surface: Any, flops: float) -> Array:
    """Log of the best params at this compute, one a draw."""
    u, inside = surface.best_split(np.array([[np.log(flops / 6.0)]]))
    u, inside = np.ravel(u), np.ravel(inside)
    if not inside.all() and np.mean(inside) < 0.5:
        raise PlanError(
            f"{_ASK}: the law has no best split of {flops:.3g} FLOP between params and tokens. "
            "Score predictions with at= instead."
        )
    return np.asarray(u)


def _surface(law: Law, coef: Array) -> Any:
    """Surface of optima of a law for these coefficients ``(k, p)``."""
    view = get_source(law, None)
    if not view.joint:
        raise PlanError(
            f"{_ASK}: optimum_at needs a law of params and tokens; '{view.label}' has the inputs "
            f"{law.inputs}. Score predictions with at= instead."
        )
    return replace(view, draws=coef).surface(draws=True)


def _stepped(law: Law) -> Array:
    """Coefficients a step up, then down, one after another ``(2 p, p)``."""
    values = np.array(law.values, dtype=float)
    size = np.where(values == 0.0, 1.0, np.abs(values))
    steps = np.repeat(np.diag(_STEP * size), 2, axis=0)
    steps[1::2] *= -1.0
    return np.asarray(values + steps)


def _slopes(law: Law, inputs: Sequence[Array], residual: Literal["log", "linear"]) -> Array:
    """Change of the law by relative change of each coefficient ``(n, p)``, on the scale."""
    coef = _stepped(law)
    value = law.family.evaluate(list(inputs), [c[:, None] for c in coef.T])
    value = np.broadcast_to(value, (len(coef), len(inputs[0])))
    return _difference(transform(value, residual, (-np.inf, np.inf)))


def _difference(values: Array) -> Array:
    """Central differences ``(n, p)`` of values at stepped coefficients ``(2 p, n)``."""
    return np.asarray((values[0::2] - values[1::2]).T / (2.0 * _STEP))


def _width(value: Array, half: Array, residual: str) -> Array:
    if residual == "linear":
        return 2.0 * half
    with np.errstate(over="ignore"):
        return np.asarray(2.0 * value * np.sinh(half))


def _normal(level: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(0.5 + 0.5 * level)


def _optimum(flops: float, log_params: float, before: float, after: float) -> dict[str, float]:
    return {
        "flops": float(flops),
        "params": float(np.exp(log_params)),
        "factor_before": before,
        "factor_after": after,
    }


def _frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(dict(columns))


def _not_identifying(law: Law, rank: int, runs: int) -> Note:
    return Note(
        "design_not_identifying",
        "warning",
        f"{runs} runs of this design determine {rank} of the {len(law.values)} coefficients of "
        f"'{law.family.name}': what depends on the others is infinitely wide. Vary the inputs "
        "more, or add runs",
        {"rank": rank, "coefficients": len(law.values), "runs": runs},
    )
