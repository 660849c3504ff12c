"""Planning: from a law and a cost to what to train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.errors import PlanError
from scaling_laws.laws.family import Law
from scaling_laws.planning.anchor import Anchor, get_anchor
from scaling_laws.planning.answer import Answerer, Pair, Surface
from scaling_laws.planning.checks import Asked, asked, check_budget, check_options
from scaling_laws.planning.constrained import (
    Options,
    answer,
    check_options_of_plans,
)
from scaling_laws.planning.costs.cost import AnyCost, Cost, get_cost
from scaling_laws.planning.costs.hardware import Hardware
from scaling_laws.planning.plan import Plan as Plan
from scaling_laws.planning.sizes import get_sizes
from scaling_laws.planning.source import Predictor, Source, get_source
from scaling_laws.planning.weighing_plans import Weighing

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Planner(Weighing):
    r"""Answers what to train, from a law or a fit and a cost.

    Questions: `for_budget`, `for_target`, `for_params`, `for_tokens`, `frontier`. Every quantity
    is a keyword, a raw SI count, a number or a one-dimensional array; an array gives one `Plan`
    that holds arrays. A planner is frozen and pure: it can be shared between threads.

    Parameters
    ----------
    source : Law or Predictor
        A law alone gives point answers. A fit adds an interval from its draws. Laws of any inputs
        can be planned with: those of ``fixed`` are held, the others chosen.
    cost : Cost or str, default "6ND"
        Compute of a run [FLOP]; others are `LifetimeCost`, `ArchitectureCost`, `FittedCost`.
    hardware : Hardware, optional
        Turns compute into ``seconds``, ``device_hours`` and ``dollars``, which can then be asked
        for and limited.
    limits : mapping of str to float, (at least, at most) or Limit
        Hard limits on quantities of the plan (``params``, ``tokens``, ...), on what it amounts to
        (``flops``, ``seconds``, ``device_hours``, ``dollars``, ``tokens_per_param``, ``epochs``),
        or, as a `Limit`, on anything of your own. A number is the most; either end of a pair may
        be None.
    fixed : mapping of str to float
        Quantities that are given, such as ``unique_tokens``.
    ranges : mapping of str to (low, high)
        Where other quantities may lie. Default: counts that scale may grow without end, others
        stay in their measured range; shares of a mixture sum to one.
    sizes : sequence of float or callable, optional
        Model sizes that can be built: a list, or ``sizes(params) -> size`` that returns one near
        ``params``, or None.
    step_tokens : float, optional
        Tokens of one optimiser step (batch size times sequence length): plans take whole steps.
    spend : {"flops", "seconds", "device_hours", "dollars"} or str, default "flops"
        What targets are reached with least of; a quantity of the plan will do.
    confidence : float, optional
        Plan for the run that bad luck leaves: the best value that is reached with this
        probability, and targets reached with it. Default: plan by the point law. Intervals of
        the quantities stay those of plans without it (where the optimum may be, or what reaching
        the target takes on average), so the safe choice may lie outside of them.
    anchor : bool, default True
        Where the runs of a fit are an isoFLOP study of losses, let the best size of `for_budget`
        grow from the last optimum measured, the law counting less with distance (see `Notes`).
    level : float, default 0.9
        Mass of the central intervals, in (0, 1).
    tolerance : float, default 0.02
        Extra compute, as a fraction, that a near-optimal plan may take.
    target : str, optional
        What a bare law predicts: ``"loss"`` by default, ``"score"`` for an increasing law. A fit
        knows.

    Raises
    ------
    PlanError
        An option is out of range, or the source is neither a law nor a fit.

    Notes
    -----
    Laws whose target is a monotone function of :math:`A N^{-\alpha} + B D^{-\beta}` are solved in
    closed form [1]_; any other law of params and tokens by a search along the iso-cost curve, and
    questions under limits by a search over all plans that honour them.

    On open isoFLOP studies sixteen times beyond the data, sizes that grow as the square root of
    compute from the last optimum measured were nearly as good as the best, and better than those
    of any law fitted to all runs; near the data, laws help. With ``anchor`` a law's own growth
    counts 1 / (1 + 2 h), h the natural logarithm of the budget over that optimum's compute.
    Intervals stay those of the law's draws, widened to hold the recommendation.

    References
    ----------
    .. [1] Hoffmann et al. (2022), arXiv:2203.15556, eq. 4.

    Examples
    --------
    >>> from scaling_laws.laws.published import HOFFMANN_2022
    >>> planner = Planner(HOFFMANN_2022)
    >>> print(planner.for_budget(flops=1e21))
    for_budget(flops=1e+21), Hoffmann et al. 2022 (rounded)
                      best       within 2% more compute
    params            1.824e+09  1.43e+09 to 2.37e+09
    tokens            9.136e+10  7.17e+10 to 1.19e+11
    flops             1e+21
    loss              2.329
    tokens_per_param  50.08
    >>> planner.for_target(1.5).feasible
    False
    """

    source: Law | Predictor
    cost: AnyCost | str = "6ND"
    _: KW_ONLY
    hardware: Hardware | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    sizes: Any = None
    step_tokens: float | None = None
    spend: str = "flops"
    confidence: float | None = None
    anchor: bool = True
    level: float = 0.9
    tolerance: float = 0.02
    target: str | None = None

    def __post_init__(self) -> None:
        check_options(self.level, self.tolerance, self.anchor)
        object.__setattr__(self, "tolerance", float(self.tolerance))
        get_cost(self.cost)
        source = get_source(self.source, self.target)
        get_sizes(self.sizes)
        check_options_of_plans(self._options(source))

    def for_budget(
        self,
        *,
        flops: ArrayLike | None = None,
        seconds: ArrayLike | None = None,
        device_hours: ArrayLike | None = None,
        dollars: ArrayLike | None = None,
    ) -> Plan:
        """Best plan within budgets, and what it reaches.

        For a law of compute alone, the value it predicts at that budget.

        Parameters
        ----------
        flops : array_like, optional
            Budget [FLOP], not FLOP/s.
        seconds, device_hours, dollars : array_like, optional
            Wall time [s], device-hours [h] and money [dollars] on ``hardware``. Several budgets
            hold together, and with the planner's ``limits``. None is needed with limits, nor
            where ``fixed`` and ``ranges`` leave nothing to grow without end.

        Returns
        -------
        Plan

        Raises
        ------
        PlanError
            Not a positive number; more than 1000 times below the smallest compute the law knows;
            or a law without compute.

        Examples
        --------
        >>> from scaling_laws.laws.published import HOFFMANN_2022
        >>> plan = Planner(HOFFMANN_2022).for_budget(flops=5.76e23)
        >>> f"{plan.best['params']:.5g} {plan.best['tokens']:.6g} {plan.best['loss']:.7g}"
        '3.219e+10 2.98231e+12 1.930748'
        """
        given = {"flops": flops, "seconds": seconds, "device_hours": device_hours}
        given = {n: v for n, v in {**given, "dollars": dollars}.items() if v is not None}
        source = get_source(self.source, self.target)
        if not self._plain(source) or set(given) != {"flops"}:
            return self._constrained("for_budget", source, given)
        ask = asked("for_budget", given, {})
        if source.single == "flops":
            self._check_budget(ask, source)
            return self._answerer(source).predicted(ask)
        self._need_pair(ask, source, "for_target(value) says how much of that input a value needs")
        self._check_budget(ask, source)
        c = np.log(ask.rows["flops"] / self._kappa)

        def split(surface: Surface, rows: slice) -> Pair:
            u = surface.best_split(c[rows])[0]
            return u, c[rows] - u

        return self._answerer(source).joint(ask, split, optimal=True, anchor=self._anchor)

    def frontier(self, flops: ArrayLike) -> Plan:
        """Compute-optimal plans over an array of budgets [FLOP]; see `for_budget`.

        Raises
        ------
        PlanError
            As `for_budget`.

        Examples
        --------
        >>> from scaling_laws.laws.published import MUENNIGHOFF_2023
        >>> plan = Planner(MUENNIGHOFF_2023).frontier([1e20, 1e22])
        >>> plan.best["tokens_per_param"].round(3).tolist()
        [19.613, 19.613]
        """
        return self.for_budget(flops=flops)

    def for_target(self, target: ArrayLike) -> Plan:
        """Cheapest plan that reaches a value of the target.

        For a law of one input, how much of that input is needed; ``more`` then says how many
        times the largest measured.

        Parameters
        ----------
        target : array_like
            Value of the target, in its unit.

        Returns
        -------
        Plan
            Not feasible where the law cannot reach it: ``limit`` holds the floor (or ceiling) and
            ``share`` the share of draws that reach it.

        Raises
        ------
        PlanError
            Not a finite number, or a law of other inputs than params and tokens.

        Examples
        --------
        >>> from scaling_laws.laws.published import HOFFMANN_2022
        >>> planner = Planner(HOFFMANN_2022)
        >>> f"{planner.for_target(2.0).best['flops']:.4g} FLOP"
        '1.11e+23 FLOP'
        >>> plan = planner.for_target(1.6)
        >>> plan.limit, plan.notes[0].code
        (1.69, 'target_below_floor')
        """
        source = get_source(self.source, self.target)
        if not self._plain(source):
            return self._constrained("for_target", source, {}, target)
        ask = asked("for_target", {}, {source.target: target})
        wanted = ask.rows[source.target]
        if source.single is not None:
            return self._answerer(source).needed(ask)
        self._need_pair(ask, source, "fix all inputs but one, or call the law itself")

        def cheapest(surface: Surface, rows: slice) -> Pair:
            c, u = surface.cheapest(wanted[rows])
            with np.errstate(invalid="ignore"):
                return u, np.where(np.isinf(c), np.inf, c - u)

        return self._answerer(source).joint(ask, cheapest, optimal=True)

    def for_params(
        self,
        params: ArrayLike,
        *,
        flops: ArrayLike | None = None,
        target: ArrayLike | None = None,
    ) -> Plan:
        """Tokens for a fixed model size.

        Parameters
        ----------
        params : array_like
            Model size [count].
        flops : array_like, optional
            Spend this budget [FLOP].
        target : array_like, optional
            Reach this value instead. With neither: the tokens for which this size is
            compute-optimal.

        Returns
        -------
        Plan

        Raises
        ------
        PlanError
            Both or malformed quantities, or a law of other inputs than params and tokens.

        Examples
        --------
        >>> from scaling_laws.laws.published import BESIROGLU_2024
        >>> planner = Planner(BESIROGLU_2024)
        >>> planner.for_params(7e10, flops=5.88e23).best["tokens"]
        1400000000000.0
        >>> round(planner.for_params(7e10).best["tokens_per_param"], 1)
        18.4
        >>> planner.for_params(1e8, target=2.0).feasible
        False
        """
        return self._fixed("for_params", "params", params, flops, target)

    def for_tokens(
        self,
        tokens: ArrayLike,
        *,
        flops: ArrayLike | None = None,
        target: ArrayLike | None = None,
    ) -> Plan:
        """Model size for a fixed number of tokens: `for_params` with the roles exchanged.

        Parameters
        ----------
        tokens : array_like
            Training tokens [count].
        flops, target : array_like, optional
            Budget [FLOP] to spend, or value to reach; with neither, the model size for which
            these tokens are compute-optimal.

        Raises
        ------
        PlanError
            As `for_params`.

        Examples
        --------
        >>> from scaling_laws.laws.published import BESIROGLU_2024
        >>> f"{Planner(BESIROGLU_2024).for_tokens(1.4e12).best['params']:.3g}"
        '7.63e+10'
        """
        return self._fixed("for_tokens", "tokens", tokens, flops, target)

    def _fixed(
        self,
        question: str,
        name: str,
        amount: ArrayLike,
        flops: ArrayLike | None,
        target: ArrayLike | None,
    ) -> Plan:
        source = get_source(self.source, self.target)
        if flops is not None and target is not None:
            raise PlanError(
                f"{question}: flops={flops!r} and target={target!r} are both given. Give the "
                "budget to spend or the value to reach, not both."
            )
        positive = {name: amount} | ({} if flops is None else {"flops": flops})
        if not self._plain(source):
            if flops is None and target is None:
                raise PlanError(
                    f"{question}: with neither flops= nor target= it asks what makes this "
                    f"{name} compute-optimal, which Planner(source, cost) answers without other "
                    "options. Give a budget or a target."
                )
            return self._constrained(question, source, positive, target)
        ask = asked(question, positive, {} if target is None else {source.target: target})
        self._need_pair(ask, source, "for_target(value) says how much of that input a value needs")
        u = np.log(ask.rows[name])
        if flops is not None:
            self._check_budget(ask, source)
            v = np.log(ask.rows["flops"] / self._kappa) - u

            def spend(surface: Surface, rows: slice) -> Pair:
                del surface
                return u[None, rows], v[None, rows]

            return self._answerer(source).joint(ask, spend, first=name)
        if target is None:

            def match(surface: Surface, rows: slice) -> Pair:
                return u[None, rows], surface.matching(u[rows])

            return self._answerer(source).joint(ask, match, first=name)
        wanted = ask.rows[source.target]

        def reach(surface: Surface, rows: slice) -> Pair:
            return u[None, rows], surface.needed(u[rows], wanted[rows])

        return self._answerer(source).joint(ask, reach, first=name)

    @cached_property
    def _anchor(self) -> Anchor | None:
        """The last measured optimum, found once: no field, so planners compare without it."""
        if not self.anchor or not isinstance(get_cost(self.cost), Cost):
            return None
        return get_anchor(get_source(self.source, self.target), self._kappa)

    @property
    def _kappa(self) -> float:
        cost = get_cost(self.cost)
        assert isinstance(cost, Cost)
        return float(cost.kappa)

    def _plain(self, source: Source) -> bool:
        """Whether the question is one of params and tokens under 6ND alone, or of one input."""
        more = self.limits or self.fixed or self.ranges or self.sizes is not None
        more = more or self.step_tokens is not None
        other = self.hardware is not None or self.confidence is not None or self.spend != "flops"
        known = source.joint or source.single is not None
        return not more and not other and known and isinstance(get_cost(self.cost), Cost)

    def _answerer(self, source: Source) -> Answerer:
        cost = get_cost(self.cost)
        assert isinstance(cost, Cost)
        return Answerer(source, cost, self.level, self.tolerance)

    def _constrained(
        self,
        question: str,
        source: Source,
        given: Mapping[str, Any],
        target: ArrayLike | None = None,
    ) -> Plan:
        return answer(self._options(source), question, given, target)

    def _options(self, source: Source) -> Options:
        own: dict[str, Any] = {f.name: getattr(self, f.name, None) for f in fields(Options)}
        own |= {"source": source, "cost": get_cost(self.cost), "get_anchor": lambda: self._anchor}
        return Options(**own)

    def _check_budget(self, ask: Asked, source: Source) -> None:
        smallest = source.smallest_flops(get_cost(self.cost))
        check_budget(ask.question, ask.rows["flops"], smallest)

    def _need_pair(self, ask: Asked, source: Source, instead: str) -> None:
        if source.joint:
            return
        raise PlanError(
            f"{ask.question} needs a law of params and tokens, but '{source.label}' is a law of "
            f"{', '.join(source.law.inputs)}: {instead}."
        )
