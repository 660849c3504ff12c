"""What draws of a law say about runs not made yet, and what making them would teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scaling_laws.errors import PlanError
from scaling_laws.fitting.result import Fit
from scaling_laws.fitting.selection import Selection
from scaling_laws.solving.objective import Array

_MOST_DRAWS = 400
_FARTHEST = 4.0  # robust deviations beyond which a draw is pulled in: tails are not linear
_DRAWS_A_DIRECTION = 4  # fewer, and a direction of the draws is as much chance as signal
_REACH = float(np.log(10.0))  # of a law's error: how far away runs still tell of it, in logs
_EXPONENT = 0.7  # of cost, by which gains are divided: see benchmarks/planning/next_runs.py
_NEGLIGIBLE = 1e-9  # of the variance at first: a gain that is rounding


@dataclass(frozen=True, eq=False)
class Belief:
    """A Gaussian belief about the target at points: possible runs, then goals.

    Its covariance is ``factors @ factors.T`` from draws, plus the law's own error, whose standard
    deviation is ``law`` and whose correlation falls with distance, less what was learned.

    Parameters
    ----------
    factors : ndarray (n + t, q)
        Of the covariance that the draws show, on the residual scale.
    law : ndarray (n + t,)
        Standard deviation of the law's own error.
    place : ndarray (n + t, d)
        Where the points are, in logarithms of the inputs.
    noise : ndarray (n,)
        Variance of one run, of what a straight line through the draws leaves over too.
    weights : ndarray (t,)
        How much each goal counts; they sum to 1.
    learned : tuple of ndarray (n + t,)
        Covariance with each run taken into account, over the deviation of its result.
    gone : float or ndarray (n + t,)
        Sum of their squares: the variance that is gone.
    """

    factors: Array
    law: Array
    place: Array
    noise: Array
    weights: Array
    learned: tuple[Array, ...] = ()
    gone: Array | float = 0.0

    @property
    def runs(self) -> int:
        """Number of possible runs."""
        return len(self.noise)

    def column(self, j: int) -> Array:
        """Covariance of every point with possible run ``j``, given what was learned."""
        apart = np.sum((self.place - self.place[j]) ** 2, axis=1)
        error = self.law * self.law[j] * np.exp(-0.5 * apart / _REACH**2)
        column = self.factors @ self.factors[j] + error
        for old in self.learned:
            column = column - old * old[j]
        return np.asarray(column)

    def variance(self) -> Array:
        """Variance of every point."""
        total = np.sum(self.factors**2, axis=1) + self.law**2
        return np.asarray(np.maximum(total - self.gone, 0.0))

    def at_goals(self) -> Array:
        """Variance at the goals ``(t,)``."""
        return self.variance()[self.runs :]

    def expected(self) -> float:
        """Weighted mean of the variance at the goals."""
        return float(self.weights @ self.at_goals())

    def cross(self) -> Array:
        """Covariance of every possible run with every goal ``(n, t)``."""
        n = self.runs
        runs, goals = self.place[:n], self.place[n:]
        apart = np.sum((runs[:, None] - goals[None]) ** 2, axis=2)
        error = np.outer(self.law[:n], self.law[n:]) * np.exp(-0.5 * apart / _REACH**2)
        total = self.factors[:n] @ self.factors[n:].T + error
        for old in self.learned:
            total = total - np.outer(old[:n], old[n:])
        return np.asarray(total)

    def after(self, j: int) -> Belief:
        """Return the belief once possible run ``j`` has been made."""
        column = self.column(j)
        spread = np.sqrt(max(column[j], 0.0) + self.noise[j])
        told = column / max(spread, 1e-150)
        return replace(self, learned=(*self.learned, told), gone=self.gone + told**2)


def believe(
    source: Fit | Selection,
    runs: Sequence[Array],
    goals: Sequence[Array],
    weights: Array,
    noise: float | None,
) -> Belief:
    """Belief of a fit or selection about possible runs and goals.

    Parameters
    ----------
    source : Fit or Selection
    runs, goals : sequence of ndarray (n,) and (t,)
        Their inputs, in the law's order.
    weights : ndarray (t,)
    noise : float, optional
        Standard deviation of one run on the residual scale; default the source's own.

    Raises
    ------
    PlanError
        The source has no draws, or its noise is not known.
    """
    both = [np.concatenate([a, b]) for a, b in zip(runs, goals, strict=True)]
    predictive = replace(source.predictive_for(goals), spread=None)
    if len(predictive.coef) < 2 * _DRAWS_A_DIRECTION:
        raise PlanError(
            f"the {type(source).__name__.lower()} has {len(predictive.coef)} draws, too few to "
            "know what it is unsure of. Fit again with draws=200 or more."
        )
    span = slice(0, _MOST_DRAWS)
    drawn = predictive.deviations(both, ("coefficients",), span)
    law = predictive.law_error
    if noise is None and not np.isfinite(predictive.noise):
        raise PlanError(
            "the fit has no run noise: no more runs than coefficients. Give noise=, the standard "
            "deviation of one run on the residual scale (0.003 means 0.3 % of a loss)."
        )
    own = predictive.noise_at(runs) if noise is None else np.full(len(runs[0]), noise)
    factors, left = low_rank(drawn, len(predictive.values))
    error = np.zeros(len(both[0])) if law is None else law.at(source.inputs, both)
    return Belief(factors, error, places(source, both), own**2 + left[: len(runs[0])], weights)


def low_rank(drawn: Array, coefficients: int) -> tuple[Array, Array]:
    """Factors of the covariance of draws ``(n, q)``, and the variance left over ``(n,)``.

    A law of p coefficients moves in p directions as long as it is straight; what the draws show
    beyond that is curvature and chance, from which nothing is learned about other points.
    Draws further than 4 robust deviations from the middle are pulled in to there.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> line = rng.normal(size=(300, 1)) * np.array([1.0, 2.0, 3.0])
    >>> factors, left = low_rank(line, 1)
    >>> factors.shape, bool(left.max() < 1e-12)
    ((3, 1), True)
    """
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    if len(drawn) < 2 * _DRAWS_A_DIRECTION:
        raise PlanError(
            f"only {len(drawn)} draws are finite at these runs and goals. Check their inputs, or "
            "fit again with more draws."
        )
    middle = np.median(drawn, axis=0)
    low, high = np.quantile(drawn, [0.16, 0.84], axis=0)
    reach = _FARTHEST * 0.5 * (high - low)
    drawn = np.clip(drawn, middle - reach, middle + reach)
    centred = (drawn - drawn.mean(axis=0)) / np.sqrt(len(drawn) - 1)
    rank = max(1, min(coefficients, len(drawn) // _DRAWS_A_DIRECTION))
    _, size, right = np.linalg.svd(centred, full_matrices=False)
    factors = (size[:rank, None] * right[:rank]).T
    left = np.sum(centred**2, axis=0) - np.sum(factors**2, axis=1)
    return np.asarray(factors), np.maximum(left, 0.0)


def places(source: Fit | Selection, inputs: Sequence[Array]) -> Array:
    """Coordinates ``(n, d)``: logarithms, or decades of the measured span where not positive."""
    out = []
    for name, value in zip(source.inputs, inputs, strict=True):
        low, high = source.ranges[name]
        positive = low > 0 and bool((value > 0).all())
        out.append(np.log(value) if positive else _REACH * value / max(high - low, 1e-300))
    return np.stack(out, axis=1)


@dataclass(frozen=True, eq=False)
class Choice:
    """Runs chosen in order, and the belief before and after each.

    Parameters
    ----------
    order : tuple of int
        Positions among the possible runs.
    beliefs : tuple of Belief
        Of length ``len(order) + 1``.
    exponent : float
        Of cost, that the gains were divided by.
    """

    order: tuple[int, ...]
    beliefs: tuple[Belief, ...]
    exponent: float


def greedy(
    belief: Belief, cost: Array, chance: Array, budget: float, most: int, exponent: float
) -> Choice:
    """Take the run of the largest gain over cost to a power, again and again.

    The gain is the expected fall of the weighted variance at the goals, given all runs taken
    before, times the chance that the run succeeds.

    Parameters
    ----------
    belief : Belief
    cost, chance : ndarray (n,)
        An infinite cost: never taken.
    budget : float
        Of the runs together; infinite for none.
    most : int
        Runs to take at most.
    exponent : float
    """
    left = np.ones(belief.runs, dtype=bool)
    price = (cost / cost[np.isfinite(cost)].max()) ** exponent
    order: list[int] = []
    beliefs, spent, cross = [belief], 0.0, belief.cross()
    first = max(belief.expected(), 1e-300)
    while len(order) < most:
        can = left & np.isfinite(cost) & (cost <= (budget - spent) * (1 + 1e-12))
        if not can.any():
            break
        now = beliefs[-1]
        spread = now.variance()[: now.runs] + now.noise
        gain = chance * ((cross**2) @ now.weights) / np.maximum(spread, 1e-300)
        j = int(np.where(can, gain / price, -1.0).argmax())
        if gain[j] <= _NEGLIGIBLE * first:
            break
        beliefs.append(now.after(j))
        told = beliefs[-1].learned[-1]
        cross = cross - np.outer(told[: now.runs], told[now.runs :])
        order.append(j)
        left[j] = False
        spent += float(cost[j])
    return Choice(tuple(order), tuple(beliefs), exponent)


def best_choice(belief: Belief, cost: Array, chance: Array, budget: float, most: int) -> Choice:
    """Greedy choice; with a budget, gains are divided by cost to the power 0.7.

    Between gain alone, which spends on few dear runs, as it trusts the law to be right, and gain
    per cost, which buys many cheap ones that say little of the goal.
    """
    exponent = _EXPONENT if np.isfinite(budget) else 0.0
    return greedy(belief, cost, chance, budget, most, exponent)
