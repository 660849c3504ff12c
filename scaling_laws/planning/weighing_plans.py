"""What plans are worth: a little more of each input, a miss of the optimum, a further run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.errors import PlanError
from scaling_laws.laws.family import Law
from scaling_laws.planning.amounts import one
from scaling_laws.planning.checks import asked
from scaling_laws.planning.constrained import Answers, Options, check_within, posed
from scaling_laws.planning.costs.cost import AnyCost, Cost, get_cost
from scaling_laws.planning.costs.hardware import Hardware
from scaling_laws.planning.limits import Measures
from scaling_laws.planning.marginal import marginal_values
from scaling_laws.planning.plan import Plan
from scaling_laws.planning.solving import Task
from scaling_laws.planning.source import Predictor, Source, get_source
from scaling_laws.planning.trade_off import regret_table, trade_off_table

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from scaling_laws.planning.design.next_runs import NextRuns


class Weighing:
    """Questions about plans, for `Planner`."""

    source: Law | Predictor
    cost: AnyCost | str
    hardware: Hardware | None
    fixed: Mapping[str, float]
    level: float
    target: str | None

    def _options(self, source: Source) -> Options:
        """Options of the planner, checked."""
        raise NotImplementedError

    def marginal(self, **at: float) -> pd.DataFrame:
        """What one percent more of each input is worth at a point, and per unit of its cost.

        Parameters
        ----------
        **at : float
            Every input of the law and of the cost.

        Returns
        -------
        DataFrame
            Index ``input``. ``gain``: improvement of the target for 1 % more. ``per_flop`` and,
            with a priced hardware, ``per_dollar``: the same divided by what that percent costs;
            at the best split the inputs agree, and the larger is the bottleneck. With a fit,
            ``_low`` and ``_high``.

        Raises
        ------
        PlanError
            An input is missing, unknown, or not a positive number.

        Examples
        --------
        >>> from scaling_laws.laws.published import HOFFMANN_2022
        >>> from scaling_laws.planning.planner import Planner
        >>> table = Planner(HOFFMANN_2022).marginal(params=7e10, tokens=1.4e12)
        >>> table.gain.round(5).to_dict()
        {'params': 0.00028, 'tokens': 0.00045}
        """
        source = get_source(self.source, self.target)
        measures = Measures(get_cost(self.cost), self.hardware)
        read = (*source.law.inputs, *measures.cost.inputs)
        held = {n: v for n, v in self.fixed.items() if n in read}
        return marginal_values(source, measures, {**held, **at}, self.level)

    def trade_off(self, quantity: str, values: ArrayLike, **budget: float) -> pd.DataFrame:
        """What it costs to hold a quantity at other values than the best.

        The isoFLOP curve of a law, the overhead of training a smaller model for longer, the price
        of a learning rate that misses its optimum.

        Parameters
        ----------
        quantity : str
            A quantity the plan is free to choose.
        values : array_like
            To hold it at; everything else is chosen again each time.
        **budget : float
            As `for_budget`.

        Returns
        -------
        DataFrame
            One row a value. ``excess``: loss of the target against the best plan of the budget.
            ``overhead``: how much more has to be spent to reach that best plan's target, as a
            fraction; infinite where nothing reaches it. With a fit, ``excess_low`` and
            ``excess_high``.

        Raises
        ------
        PlanError
            As `for_budget`; or the quantity is not free.

        References
        ----------
        de Vries (2023), "Go smol or go home": the overhead of smaller models.

        Examples
        --------
        Half the size takes a fifth more compute:

        >>> from scaling_laws.laws.published import HOFFMANN_2022_FULL
        >>> from scaling_laws.planning.planner import Planner
        >>> planner = Planner(HOFFMANN_2022_FULL)
        >>> best = planner.for_budget(flops=1e23).best["params"]
        >>> table = planner.trade_off("params", [0.5 * best], flops=1e23)
        >>> table.overhead.round(2).tolist()
        [0.21]
        """
        source = get_source(self.source, self.target)
        answers, task = self._single_task("trade_off", source, budget)
        if quantity not in task.space.free:
            raise PlanError(
                f"trade_off: '{quantity}' is not free to choose; free are {tuple(task.space.free)}."
            )
        held = asked("trade_off", {quantity: np.atleast_1d(np.asarray(values))}, {})
        return trade_off_table(answers, task, quantity, held.rows[quantity], self.level)

    def regret(self, plan: Plan | Mapping[str, float], **budget: float) -> pd.DataFrame:
        """How much worse a plan is than the best that each draw, and each law, would choose.

        Parameters
        ----------
        plan : Plan or mapping
            A plan, or a value for every input of the law.
        **budget : float
            As `for_budget`: what the alternatives may spend.

        Returns
        -------
        DataFrame
            Index ``law``: all draws together, then those of each law of a `Selection`. ``mean``,
            ``median`` and ``high`` (the end of the interval) of the regret, in the unit of the
            target.

        Raises
        ------
        PlanError
            As `for_budget`; or the planner has a bare law, which has no draws.

        Examples
        --------
        >>> import scaling_laws as sl
        >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100)
        >>> planner = sl.Planner(fit)
        >>> plan = planner.for_budget(flops=1e14)
        >>> bool(planner.regret(plan, flops=1e14).loc["all", "mean"] < 0.01)
        True
        """
        source = get_source(self.source, self.target)
        if source.draws is None:
            raise PlanError("regret: a bare law has no draws to differ. Give the planner a fit.")
        answers, task = self._single_task("regret", source, budget)
        values = plan.best if isinstance(plan, Plan) else plan
        if not isinstance(values, Mapping):
            raise PlanError(f"regret: give a Plan or a mapping of inputs, got {plan!r}.")
        missing = [n for n in source.law.inputs if n not in values]
        if missing:
            raise PlanError(f"regret: the plan lacks {missing}. Give every input of the law.")
        given = {n: one("regret", n, values[n]) for n in source.law.inputs}
        check_within(task, {**task.space.held, **given})
        return regret_table(answers, task, given, self.level)

    def next_runs(self, candidates: Any, *, at: Any, **options: Any) -> NextRuns:
        """Choose the runs that narrow a prediction most for what they cost under this planner.

        Parameters
        ----------
        candidates, at, **options
            As `scaling_laws.next_runs`; ``cost`` is the planner's unless it is given.

        Examples
        --------
        >>> import scaling_laws as sl
        >>> fit = sl.fit(sl.load_dataset("tiny_lm"), "chinchilla", draws=100)
        >>> could = {"params": [1e6, 4e6], "tokens": [1e8, 4e8]}
        >>> goal = {"params": 1e8, "tokens": 1e10}
        >>> len(sl.Planner(fit).next_runs(could, at=goal, batch=1).table)
        1
        """
        from scaling_laws.planning.design.next_runs import next_runs

        cost = get_cost(self.cost)
        if isinstance(cost, Cost):
            options.setdefault("cost", cost)
        source: Any = self.source  # which next_runs checks
        return next_runs(source, candidates, at=at, **options)

    def _single_task(
        self, question: str, source: Source, budget: Mapping[str, Any]
    ) -> tuple[Answers, Task]:
        """One task, for questions about one budget."""
        ask, answers, tasks = posed(self._options(source), question, budget)
        if not ask.scalar:
            raise PlanError(f"{question}: give one budget, not arrays: got {dict(budget)!r}.")
        return answers, tasks[0]
