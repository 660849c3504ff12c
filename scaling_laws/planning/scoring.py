"""How sure a design will make an answer, before anything is spent on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.errors import Note, PlanError
from scaling_laws.fitting.result import Fit
from scaling_laws.fitting.selection import Selection
from scaling_laws.inference.interval import Predictive
from scaling_laws.laws.family import Law
from scaling_laws.planning.belief import Belief, believe, low_rank
from scaling_laws.planning.design import check_goal_level, note_lines, plain_row
from scaling_laws.planning.possible import check_source, positive_number, table_inputs
from scaling_laws.planning.source import get_source
from scaling_laws.solving.objective import Array, transform

if TYPE_CHECKING:
    import pandas as pd

_ASK = "score_design"
_STEP = 1e-5  # relative, of central differences
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
    >>> from scaling_laws.planning.scoring import score_design
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


def _of_law(
    law: Law, design: Any, at: Any, flops: float | None, noise: float | None, level: float
) -> DesignScore:
    """Score of a design that is all there is, by the delta method."""
    if noise is None:
        raise PlanError(
            f"{_ASK}: a law does not know the noise of a run: give noise= on the residual scale "
            "(0.003 means 0.3 % of a loss)."
        )
    runs = table_inputs(law, design, _ASK, "design")
    positive = np.min(law(**dict(zip(law.inputs, runs, strict=True)))) > 0
    residual = "log" if positive else "linear"
    steps = _stepped(law)
    size = 2 * _STEP * _sizes(law)

    def slope(values: Array) -> Array:
        """Derivatives ``(n, p)`` of values ``(2 p, n)`` at stepped coefficients."""
        up, down = values[0::2], values[1::2]
        return np.asarray((up - down).T / size * _sizes(law))

    jacobian = slope(_on_scale(law, steps, runs, residual))
    _, singular, right = np.linalg.svd(jacobian, full_matrices=True)
    told = np.zeros(len(size))
    told[: len(singular)] = singular
    known = told > _RANK * max(told.max(), 1e-300)

    def deviation(gradient: Array) -> Array:
        """Standard deviation of what has these derivatives ``(n, p)``."""
        along = gradient @ right.T
        lost = (np.abs(along[:, ~known]) > 1e-6 * np.abs(gradient).max(axis=1)[:, None]).any(axis=1)
        spread = noise * np.sqrt(np.sum((along[:, known] / told[known]) ** 2, axis=1))
        return np.asarray(np.where(lost, np.inf, spread))

    z = _normal(level)
    columns: dict[str, Any] = {}
    if at is not None:
        goals = table_inputs(law, at, _ASK, "at=")
        value = np.asarray(law(**dict(zip(law.inputs, goals, strict=True))))
        after = z * deviation(slope(_on_scale(law, steps, goals, residual)))
        columns = dict(zip(law.inputs, goals, strict=True)) | {"prediction": value}
        columns["width_before"] = np.full(len(value), np.inf)
        columns["width_after"] = _width(value, after, residual)
    optimum: dict[str, float] = {}
    if flops is not None:
        best = _best_params(_surface(law, np.array([law.values])), flops)[0]
        moved = slope(_best_params(_surface(law, steps), flops)[:, None])
        with np.errstate(over="ignore"):
            factor = float(np.exp(z * deviation(moved)[0]))
        optimum = _optimum(flops, best, np.inf, factor)
    notes = () if known.all() else (_not_identifying(law, int(known.sum()), len(runs[0])),)
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


def _sizes(law: Law) -> Array:
    values = np.abs(np.array(law.values, dtype=float))
    return np.where(values > 0, values, 1.0)


def _stepped(law: Law) -> Array:
    """Coefficients a step up, then down, one after another ``(2 p, p)``."""
    values, size = np.array(law.values, dtype=float), _sizes(law)
    steps = np.repeat(np.diag(_STEP * size), 2, axis=0)
    steps[1::2] *= -1.0
    return np.asarray(values + steps)


def _on_scale(law: Law, coef: Array, inputs: Sequence[Array], residual: Any) -> Array:
    """Law at inputs for every row of coefficients, on the residual scale ``(k, n)``."""
    value = law.family.evaluate(list(inputs), [c[:, None] for c in coef.T])
    value = np.broadcast_to(value, (len(coef), len(inputs[0])))
    return np.asarray(transform(value, residual, (-np.inf, np.inf)))


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
