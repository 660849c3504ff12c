"""Train what a plan recommends, and say whether the result is what it predicted."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.errors import MeasureError, Note, PlanError
from scaling_laws.measurement.configuration import RESERVED
from scaling_laws.measurement.sweep import sweep
from scaling_laws.planning.design.next_runs import note_lines, page_html, plain_row
from scaling_laws.planning.plan import Plan
from scaling_laws.quantities import quantity

if TYPE_CHECKING:
    import pandas as pd

_VERIFY = "verify"


@dataclass(frozen=True, eq=False)
class Verification:
    """A plan beside what training it gave. Frozen; made by `verify`.

    Parameters
    ----------
    target : str
    predicted, low, high : float
        The plan's prediction and the ends of its interval for one run, in the target's unit.
    level : float
        Mass of that interval.
    result : float
        Median of the finished runs; NaN where none finished.
    inside : bool
        Whether the result is inside the interval.
    z : float
        How far the result is from the prediction, in standard deviations of the interval on the
        scale of the target (logarithm, log-odds or as it is); positive when higher.
    quantile : float
        Share of the predicted distribution below the result, taken as Gaussian on each side.
    table : DataFrame
        One row a run: what was trained, the target, ``inside``, ``z``, ``status``, ``seconds``.
    notes : tuple of Note

    Examples
    --------
    >>> import scaling_laws as sl
    >>> from scaling_laws.loop.verifying import verify
    >>> law = sl.published.HOFFMANN_2022
    >>> runs = sl.grid(params=[1e7, 1e8, 1e9], tokens=[1e9, 1e10, 1e11])
    >>> table = [{**run, "loss": law(**run)} for run in runs]
    >>> plan = sl.Planner(sl.fit(table, "chinchilla", draws=200)).for_budget(flops=1e21)
    >>> found = verify(plan, lambda params, tokens: law(params=params, tokens=tokens))
    >>> abs(found.result / found.predicted - 1) < 1e-6
    True
    """

    target: str
    predicted: float
    low: float
    high: float
    level: float
    result: float
    inside: bool
    z: float
    quantile: float
    table: pd.DataFrame
    notes: tuple[Note, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of `table`."""
        return self.table.copy()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping; what is not finite becomes None."""
        names = ("target", "predicted", "low", "high", "level", "result", "inside", "z", "quantile")
        return {
            **plain_row({name: getattr(self, name) for name in names}),
            "runs": [plain_row(row) for row in self.table.to_dict("records")],
            "notes": [note.to_dict() for note in self.notes],
        }

    def __str__(self) -> str:
        return "\n".join([*self._lines(), *note_lines(self.notes)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return page_html(self._lines(), self.table, self.notes)

    def _lines(self) -> list[str]:
        finished = int(np.isfinite(self.table[self.target].to_numpy(dtype=float)).sum())
        verdict = "inside" if self.inside else "OUTSIDE"
        measured = (
            f"measured {self.result:.5g} in {finished} of {len(self.table)} runs: {verdict}, "
            f"z {self.z:+.2f}, quantile {self.quantile:.3f}"
            if finished
            else f"nothing measured in {len(self.table)} runs"
        )
        return [
            f"Verification of {self.target}: predicted {self.predicted:.5g}, "
            f"{self.level:.0%} interval {self.low:.5g} to {self.high:.5g}",
            measured,
        ]


def verify(
    plan: Plan,
    train: Callable[..., Any],
    *,
    seeds: int = 1,
    given: Mapping[str, Any] | None = None,
    log: str | os.PathLike[str] | None = None,
    workers: int = 1,
    timeout: float | None = None,
) -> Verification:
    """Train what a plan recommends, and say whether the result is what it predicted.

    Parameters
    ----------
    plan : Plan
        One feasible answer of a planner of a fit or selection (a bare law has no interval).
    train : callable
        Called with those entries of ``plan.best`` it takes by name (with ``**config``: all but
        the target), in raw counts, not rounded. Returns the target, or a mapping that has it.
    seeds : int, default 1
        Runs. With more than one, ``train`` takes ``seed``.
    given : mapping of str to object, optional
        Further arguments of ``train``, or other values for entries of the plan, such as a size
        that can be built. Keep them close: the interval stays that of the plan.
    log, workers, timeout
        As `sweep`.

    Returns
    -------
    Verification

    Raises
    ------
    PlanError
        The plan has several answers, none, or no interval.
    MeasureError
        ``train`` needs what the plan does not have, or returns no target, or ``seeds`` cannot be.

    Notes
    -----
    The plan's interval is that of one run, so about ``level`` of right plans come out inside: one
    result outside a 90 % interval is no proof, two in a row are (1 in 100).

    Examples
    --------
    >>> import numpy as np
    >>> import scaling_laws as sl
    >>> from scaling_laws.loop.verifying import verify
    >>> samples = np.geomspace(100, 10_000, 12)
    >>> noise = np.random.default_rng(0).normal(1, 0.01, 12)
    >>> table = {"samples": samples, "loss": 2 * samples**-0.4 * noise}
    >>> plan = sl.Planner(sl.fit(table, "power", inputs=("samples",))).for_target(0.02)
    >>> bool(verify(plan, lambda samples: 2 * samples**-0.4).inside)
    True
    >>> bool(verify(plan, lambda samples: 3 * samples**-0.4).inside)
    False
    """
    _check_plan(plan)
    config = _configuration(plan, train, seeds, given or {})
    runs = sweep(train, config, log=log, workers=workers, timeout=timeout)
    target = plan.target
    if target not in runs and (runs["status"] == "ok").any():
        names = [n for n in runs if n not in RESERVED and n not in config[0]]
        raise MeasureError(
            f"{_VERIFY}: train returned {', '.join(map(str, names))}, not the plan's target "
            f"'{target}'. Return {{'{target}': value}}."
        )
    value = runs[target].to_numpy(dtype=float) if target in runs else np.full(len(runs), np.nan)
    best, low, high = (float(side[target]) for side in (plan.best, plan.low, plan.high))
    level = float(plan.about["level"])
    finished = value[np.isfinite(value)]
    result = float(np.median(finished)) if len(finished) else math.nan
    told = runs.assign(**{target: value})
    told["inside"] = (value >= low) & (value <= high)
    told["z"] = [_deviation(v, best, low, high, level, target) for v in value]
    shown = [*config[0], target, "inside", "z", "status", "failure", "seconds"]
    z = _deviation(result, best, low, high, level, target)
    inside = bool(low <= result <= high)
    failures = [_reason(row) for row in told[~np.isfinite(value)].to_dict("records")]
    notes = _verification_notes(plan, result, inside, z, failures, len(value))
    return Verification(
        target, best, low, high, level, result, inside, z, _normal_share(z),
        told[shown], notes,
    )  # fmt: skip


def _check_plan(plan: Any) -> None:
    if not isinstance(plan, Plan):
        raise PlanError(
            f"{_VERIFY} starts from a Plan, got {type(plan).__name__}. Make one with "
            "Planner(fit).for_budget(...)."
        )
    if np.ndim(plan.feasible):
        raise PlanError(f"{_VERIFY}: the plan holds {len(plan)} answers. Ask for one at a time.")
    if not plan.feasible:
        raise PlanError(f"{_VERIFY}: nothing answers the plan's question, so there is no run.")
    if plan.target not in plan.low:
        raise PlanError(
            f"{_VERIFY}: the plan has no interval of '{plan.target}', because it is made from a "
            "bare law or draws=0. Plan from a fit or a selection."
        )


def _configuration(
    plan: Plan, train: Any, seeds: Any, given: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Arguments of every run."""
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise MeasureError(f"{_VERIFY}: seeds must be a whole number from 1 up, got {seeds!r}.")
    if not callable(train):
        raise MeasureError(f"{_VERIFY}: train must be callable, got {type(train).__name__}.")
    offered = {n: float(v) for n, v in plan.best.items() if n != plan.target}
    takes, needs, anything = _arguments(train)
    config = {n: v for n, v in offered.items() if anything or n in takes} | dict(given)
    missing = [n for n in needs if n not in config and n != "seed"]
    if missing:
        raise MeasureError(
            f"{_VERIFY}: train needs '{missing[0]}', which the plan does not have "
            f"({', '.join(offered)}). Give it with given={{'{missing[0]}': ...}}."
        )
    if "seed" not in takes and not (anything and "seed" not in config):
        if seeds > 1:
            raise MeasureError(f"{_VERIFY}: train must take 'seed' to be run {seeds} times.")
        return [config]
    first = config.pop("seed", 0)
    return [{**config, "seed": first + number} for number in range(seeds)]


def _arguments(train: Callable[..., Any]) -> tuple[set[str], list[str], bool]:
    """Names a function takes, those it needs, and whether it takes any."""
    kinds = inspect.Parameter
    found = inspect.signature(train).parameters.values()
    named = [p for p in found if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    needs = [p.name for p in named if p.default is kinds.empty]
    return {p.name for p in named}, needs, any(p.kind is kinds.VAR_KEYWORD for p in found)


def _deviation(
    value: float, best: float, low: float, high: float, level: float, target: str
) -> float:
    """Distance from the prediction, in standard deviations of the side the value is on."""
    declared = quantity(target)
    if declared.bounds is not None:
        bottom, top = declared.bounds
        ends = np.clip([value, best, low, high], bottom, top)
        with np.errstate(divide="ignore"):
            v, b, lo, hi = np.log(ends - bottom) - np.log(top - ends)
    elif min(best, low, high) > 0 and not value <= 0:
        v, b, lo, hi = np.log([value, best, low, high])
    else:
        v, b, lo, hi = value, best, low, high
    if not np.isfinite(v - b):
        return float(v - b)
    half = (hi - b) if v > b else (b - lo)
    if v == b:
        return 0.0
    unit = max(float(half), 0.0) / NormalDist().inv_cdf(0.5 + level / 2)
    return float((v - b) / unit) if unit else math.copysign(math.inf, v - b)


def _normal_share(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2)) if not math.isnan(z) else math.nan


def _reason(row: Mapping[str, Any]) -> str:
    """Why a run gave no result: the last line of its failure, or its status."""
    failure = row.get("failure")
    lines = failure.strip().splitlines() if isinstance(failure, str) else []
    return lines[-1] if lines else str(row.get("status", "not finite"))


def _verification_notes(
    plan: Plan, result: float, inside: bool, z: float, failures: list[str], runs: int
) -> tuple[Note, ...]:
    notes = []
    if failed := len(failures):
        message = (
            f"{failed} of {runs} runs gave no result, the first for {failures[0]!r}: see the "
            "table's failure column"
        )
        severity: Any = "warning" if failed == runs else "info"
        notes.append(Note("verification_failed_runs", severity, message, {"failed": failed}))
    if not inside and math.isfinite(result):
        message = (
            f"{plan.target} came out at {result:.5g}, outside the plan's interval (z {z:+.1f}). "
            "Check that the run is what was planned; then add it to the runs and fit again"
        )
        notes.append(Note("outside_interval", "warning", message, {"result": result, "z": z}))
    return tuple(notes)
