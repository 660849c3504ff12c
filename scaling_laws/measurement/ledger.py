"""What a sweep has spent, what its next run will cost, and when it will be done."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scaling_laws.errors import MeasureError
from scaling_laws.measurement.compute import flops_of

_LIMITS = ("seconds", "flops")
_ROUNDING = 1 + 1e-9


@dataclass(frozen=True)
class SweepProgress:
    """Where a sweep stands; given to ``progress=`` after every run.

    Parameters
    ----------
    done, total, failed : int
        Configurations that have a row, all of them, and those whose row is not ``"ok"``.
    seconds : float
        Wall time of this call [s].
    seconds_left : float
        Predicted wall time of what is missing [s]; NaN before the first run has ended.
    flops : float
        Compute spent by this call, as far as it is known [FLOP].
    config : mapping
        Configuration of the run that just ended.
    status : str
        How it ended.

    Examples
    --------
    >>> print(SweepProgress(3, 12, 1, 60.0, 184.0, 0.0, {"width": 8}, "ok"))
    3/12 runs, 1 failed, 3 min 4 s left
    """

    done: int
    total: int
    failed: int
    seconds: float
    seconds_left: float
    flops: float
    config: Mapping[str, Any]
    status: str

    def __str__(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        left = "" if math.isnan(self.seconds_left) else f", {duration(self.seconds_left)} left"
        return f"{self.done}/{self.total} runs{failed}{left}"


def duration(seconds: float) -> str:
    """Wall time for people.

    Examples
    --------
    >>> duration(0.5), duration(184), duration(7300)
    ('0.5 s', '3 min 4 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def cost_of(
    config: Mapping[str, Any], cost: Callable[[Mapping[str, Any]], float] | None = None
) -> float:
    """Predicted compute of a configuration [FLOP], or NaN.

    Parameters
    ----------
    config : mapping
        Its ``flops``, or 6 ``params`` ``tokens``, is the prediction if ``cost`` is not given.
    cost : callable, optional
        Takes the configuration, returns FLOP or anything proportional to the run's time.

    Raises
    ------
    MeasureError
        If ``cost`` returns something that is not a positive finite number.

    Examples
    --------
    >>> cost_of({"params": 10, "tokens": 100}), cost_of({"width": 8}, lambda c: c["width"] ** 2)
    (6000.0, 64.0)
    """
    if cost is None:
        value = next(iter(flops_of(config, {}).values()), math.nan)
        return value if 0 < value < math.inf else math.nan
    answer = cost(config)
    try:
        value = math.nan if isinstance(answer, (bool, str)) else float(answer)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not 0 < value < math.inf:
        raise MeasureError(
            f"cost returned {answer!r} for {dict(config)}; return a positive number of FLOP."
        )
    return value


class TimeModel:
    """Seconds of a run from its cost: a fixed part and one in proportion, neither negative.

    Least squares of relative errors over the runs added so far, each in constant time. Where all
    costs are 0 (unknown), it is the mean.

    Examples
    --------
    >>> model = TimeModel()
    >>> model.add(1.0, 3.0), model.add(10.0, 12.0)
    (None, None)
    >>> round(model(100.0), 6)
    102.0
    """

    def __init__(self) -> None:
        self._count = 0
        self._seconds = 0.0
        self._sums = [0.0] * 5
        self._scale = 1.0

    def add(self, cost: float, seconds: float) -> None:
        """Learn from a run that took ``seconds`` > 0 at ``cost`` >= 0."""
        if not self._count and cost > 0:
            self._scale = cost  # keeps squares of FLOP in range
        a, b = 1 / seconds, cost / self._scale / seconds
        added = (a * a, a * b, b * b, a, b)
        self._sums = [old + new for old, new in zip(self._sums, added, strict=True)]
        self._count += 1
        self._seconds += seconds

    @property
    def several_costs(self) -> bool:
        """Whether runs of different cost have ended: else the fixed part is not known."""
        aa, ab, bb, _, _ = self._sums
        return aa * bb - ab * ab > 1e-9 * aa * bb

    def __call__(self, cost: float) -> float:
        """Predicted seconds; NaN before the first run."""
        if not self._count:
            return math.nan
        fixed, slope = self._line()
        return fixed + slope * (cost / self._scale)

    def _line(self) -> tuple[float, float]:
        aa, ab, bb, a, b = self._sums
        if bb == 0:
            return self._seconds / self._count, 0.0
        if not self.several_costs:
            return 0.0, b / bb
        determinant = aa * bb - ab * ab
        fixed = (a * bb - b * ab) / determinant
        slope = (b * aa - a * ab) / determinant
        if fixed < 0:
            return 0.0, b / bb
        return (a / aa, 0.0) if slope < 0 else (fixed, slope)


def checked_budget(budget: Any) -> dict[str, float]:
    """Return the limits of a budget, ``{}`` for None.

    Parameters
    ----------
    budget : mapping or None
        ``seconds`` [s] and ``flops`` [FLOP], either or both.

    Raises
    ------
    MeasureError
        If it names something else, or a limit is not a positive finite number.

    Examples
    --------
    >>> checked_budget({"flops": 10**18})
    {'flops': 1e+18}
    """
    if budget is None:
        return {}
    if not isinstance(budget, Mapping) or not budget or not set(budget) <= set(_LIMITS):
        raise MeasureError(
            f"budget must be a mapping with 'seconds', 'flops' or both, got {budget!r}. "
            "For example budget={'seconds': 3600}."
        )
    for name, limit in budget.items():
        number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
        if not (number and 0 < limit < math.inf):
            raise MeasureError(f"budget['{name}'] must be a positive number, got {limit!r}.")
    return {name: float(limit) for name, limit in budget.items()}


class Ledger:
    """Costs, spending and predictions of one call of ``sweep``; safe from several threads.

    Parameters
    ----------
    costs : mapping of str to float
        Predicted compute of each run by key [FLOP], NaN where unknown.
    budget : mapping of str to float
        As from :func:`checked_budget`.
    workers : int
        Runs at a time.
    clock : callable
        Returns seconds.

    Examples
    --------
    >>> ledger = Ledger({"a": 1e9, "b": 5e9}, {"flops": 4e9}, workers=1)
    >>> ledger.begin("a"), ledger.begin("b")
    (True, False)
    """

    def __init__(
        self,
        costs: Mapping[str, float],
        budget: Mapping[str, float],
        workers: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        known = not any(map(math.isnan, costs.values()))
        self._costs = costs
        self._sizes = costs if known else dict.fromkeys(costs, 0.0)
        self._budget = budget
        self._workers = workers
        self._clock = clock
        self._start = clock()
        self._begun: dict[str, float] = {}
        self._predict = TimeModel()
        self._lock = threading.Lock()
        self.flops = 0.0

    @property
    def seconds(self) -> float:
        """Wall time so far [s]."""
        return self._clock() - self._start

    def begin(self, key: str) -> bool:
        """Note that a run begins, unless it would end beyond the budget: then False."""
        with self._lock:
            if not (self._affords_flops(key) and self._affords_seconds(key)):
                return False
            self._begun[key] = self._clock()
            return True

    def end(self, key: str, status: str, flops: float) -> None:
        """Note that a run ended, and the compute it told [FLOP] or NaN.

        Raises
        ------
        MeasureError
            If the budget limits compute and a finished run tells none.
        """
        with self._lock:
            seconds = self._clock() - self._begun.pop(key)
            spent = self._costs[key] if math.isnan(flops) else flops
            if status == "ok":
                self._predict.add(self._sizes[key], max(seconds, 1e-9))
                if math.isnan(spent) and "flops" in self._budget:
                    raise MeasureError(
                        "the budget limits 'flops' but a run tells none. Return 'flops' from "
                        "train, have 'params' and 'tokens' in the configurations, or give cost=."
                    )
            self.flops += 0.0 if math.isnan(spent) else max(0.0, spent)

    def seconds_left(self, missing: Iterable[str]) -> float:
        """Predicted wall time [s] of the runs that have not ended; NaN before the first has."""
        with self._lock:
            now = self._clock()
            parts = [
                self._predict(self._sizes[key]) - (now - self._begun.get(key, now))
                for key in missing
            ]
        if any(map(math.isnan, parts)):
            return math.nan
        return max([sum(max(0.0, part) for part in parts) / self._workers, *parts, 0.0])

    def _affords_flops(self, key: str) -> bool:
        limit = self._budget.get("flops", math.inf)
        promised = self.flops
        for cost in (self._costs[other] for other in self._begun):
            promised += 0.0 if math.isnan(cost) else cost
        beyond = promised + self._costs[key] > limit * _ROUNDING  # False where it is unknown
        return promised < limit and not beyond

    def _affords_seconds(self, key: str) -> bool:
        limit = self._budget.get("seconds", math.inf)
        told = self._predict.several_costs or not self._sizes[key]
        needed = self._predict(self._sizes[key]) if told else math.nan
        return self.seconds < limit and not self.seconds + needed > limit
