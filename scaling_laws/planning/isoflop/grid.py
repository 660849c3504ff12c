"""Grids of runs for isoFLOP studies: a few sizes around the expected optimum of each budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.errors import PlanError
from scaling_laws.planning.checks import asked
from scaling_laws.planning.costs.cost import Cost, get_cost
from scaling_laws.planning.source import get_source

if TYPE_CHECKING:
    import pandas as pd

    from scaling_laws.laws.family import Law
    from scaling_laws.planning.source import Predictor

_TOKENS_PER_PARAM = 20.0

_MOST = 10_000  # sizes a budget


def isoflop_grid(
    budgets: ArrayLike,
    *,
    sizes_per_budget: int = 7,
    span: float = 4.0,
    law: Law | Predictor | None = None,
    tokens_per_param: float = _TOKENS_PER_PARAM,
    cost: Cost | str = "6ND",
) -> pd.DataFrame:
    """Runs of an isoFLOP study: sizes evenly spaced in logarithm around each budget's optimum.

    Parameters
    ----------
    budgets : array_like
        Budgets [FLOP].
    sizes_per_budget : int, default 7
        At least 3.
    span : float, default 4
        The smallest and the largest size are this factor from the centre. Narrow grids keep the
        parabola unbiased; wide ones need fewer repeats against noise.
    law : Law or Fit, optional
        Its optima are the centres.
    tokens_per_param : float, default 20
        Centre where no law is given.
    cost : Cost or str, default "6ND"

    Returns
    -------
    DataFrame
        ``flops`` [FLOP], ``params`` [count], ``tokens`` [count]; one row a run.

    Raises
    ------
    PlanError
        A quantity is not a positive number, fewer than three sizes, or a law that has no optimum.

    References
    ----------
    Hoffmann et al. (2022), arXiv:2203.15556, sec. 3.2; centred and narrow: arXiv:2603.22339.

    Examples
    --------
    >>> grid = isoflop_grid([6e18, 6e19], sizes_per_budget=3, span=2)
    >>> [f"{n:.3g}" for n in grid.params]
    ['1.12e+08', '2.24e+08', '4.47e+08', '3.54e+08', '7.07e+08', '1.41e+09']
    """
    import pandas as pd

    given = {"budgets": budgets, "span": span, "tokens_per_param": tokens_per_param}
    rows = {n: np.atleast_1d(asked("isoflop_grid", {n: v}, {}).rows[n]) for n, v in given.items()}
    for name in ("span", "tokens_per_param"):
        if np.ndim(given[name]):
            raise PlanError(f"isoflop_grid: {name} must be one number, got {given[name]!r}.")
    if not len(rows["budgets"]):
        raise PlanError("isoflop_grid: budgets is empty. Give at least one.")
    if not span > 1.0:
        raise PlanError(f"isoflop_grid: span must be above 1, got {span!r}.")
    count: Any = sizes_per_budget
    whole = isinstance(count, int | np.integer) and not isinstance(count, bool)
    if not whole or not 3 <= count <= _MOST:
        raise PlanError(f"isoflop_grid: sizes_per_budget must be 3 to {_MOST}, got {count!r}.")
    price, flops = get_cost(cost), rows["budgets"]
    centre = np.sqrt(flops / (price.kappa * tokens_per_param))
    if law is not None:
        centre = _optimum(law, price, flops)
    ratios = np.exp(np.linspace(-np.log(span), np.log(span), int(count)))
    params = (centre[:, None] * ratios).ravel()
    every = np.repeat(flops, int(count))
    return pd.DataFrame({"flops": every, "params": params, "tokens": price.tokens(every, params)})


def _optimum(law: Law | Predictor, cost: Cost, flops: Any) -> Any:
    source = get_source(law, None)
    if not source.joint:
        raise PlanError(
            f"isoflop_grid: '{source.label}' is a law of {', '.join(source.law.inputs)}; a grid "
            "needs one of params and tokens. Leave it out to centre on tokens_per_param."
        )
    u, inside = source.surface(draws=False).best_split(np.log(flops / cost.kappa))
    if not inside.all():
        raise PlanError(
            f"isoflop_grid: '{source.label}' has no best split of compute between params and "
            "tokens. Leave it out to centre on tokens_per_param."
        )
    return np.exp(u.ravel())
