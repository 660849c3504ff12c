"""How far parabolas through a budget's runs miss the optimum of the law behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.errors import DataError, FitError, PlanError
from scaling_laws.laws.family import Array, Law
from scaling_laws.planning.isoflop.input import (
    GAP,
    Residual,
    budget_numbers,
    check_isoflop,
    read_runs,
)
from scaling_laws.planning.isoflop.parabola import Slices, at_budgets
from scaling_laws.planning.source import get_source

if TYPE_CHECKING:
    import pandas as pd


def parabola_bias(
    law: Law,
    runs: Any,
    *,
    columns: Mapping[str, str] | None = None,
    budget: str | None = None,
    gap: float = GAP,
    span: float = np.inf,
    residual: Residual = "linear",
) -> pd.DataFrame:
    """How far parabolas through noise-free losses of a law miss its own optima, on this grid.

    Parameters
    ----------
    law : Law
        Of params and tokens.
    runs : DataFrame or mapping
        The grid: ``params`` [count], ``tokens`` [count], perhaps ``flops`` [FLOP].
    columns, budget, gap, span, residual
        As `fit_isoflop`. The defaults are those of the published figures: all sizes, loss itself.

    Returns
    -------
    DataFrame
        ``flops`` [FLOP], ``params`` at the parabola's minimum, ``optimum`` of the law, and
        ``bias``: ``params / optimum - 1``.

    Raises
    ------
    PlanError
        The table cannot be used, or the law is not one of params and tokens.

    Notes
    -----
    Nothing where both exponents are equal and the grid is centred. Otherwise the loss is steeper on
    one side and the parabola's minimum shifts to the other - to larger sizes where alpha exceeds
    beta - by an amount that depends on the exponents and the grid alone when loss is fitted [1]_.

    References
    ----------
    .. [1] arXiv:2603.22339.

    Examples
    --------
    >>> from scaling_laws.laws.published import HOFFMANN_2022
    >>> from scaling_laws.planning.isoflop.grid import isoflop_grid
    >>> grids = [isoflop_grid([1e20], span=s, law=HOFFMANN_2022) for s in (2, 16)]
    >>> [round(float(parabola_bias(HOFFMANN_2022, g).bias.iloc[0]), 4) for g in grids]
    [0.0037, 0.0616]
    """
    import pandas as pd

    check_isoflop(gap, span, residual)
    data, _ = read_runs("parabola_bias", runs, columns, budget, loss=False)
    number = budget_numbers(data, budget, gap)
    data["loss"] = _losses(law, data)
    y = np.log(data["loss"]) if residual == "log" else data["loss"]
    log_c = np.log(data["flops"])
    moved, cut = at_budgets(np.log(data["params"]), y, log_c, number, span)
    vertex, best = cut.fit(moved).vertex, _law_optima(law, data, cut)
    columns_out = {"flops": np.exp(cut.log_c), "params": np.exp(vertex), "optimum": np.exp(best)}
    return pd.DataFrame(columns_out | {"bias": np.expm1(vertex - best)})


def surface_law(data: Mapping[str, Array], surface: Law | str) -> Law:
    """Return the law that parabolas are judged by; a name is fitted to the runs.

    Raises
    ------
    PlanError
        It cannot be fitted to them.
    """
    if isinstance(surface, Law):
        return surface
    from scaling_laws.fitting.fitter import Fitter

    table = {n: data[n] for n in ("params", "tokens", "loss")}
    try:
        return Fitter(draws=0, law_error=False).fit(table, surface).law
    except (DataError, FitError) as error:
        raise PlanError(
            f"fit_isoflop: surface='{surface}' cannot be fitted to these runs: {error} "
            "surface=None skips the estimate of the parabolas' bias."
        ) from None


def bias_of(law: Law, data: Mapping[str, Array], residual: Residual, cut: Slices) -> Array:
    """Bias of ln N of every budget's minimum, through the same rows."""
    loss = _losses(law, data)
    y = np.log(loss) if residual == "log" else loss
    log_c = np.log(data["flops"])
    off = np.zeros(len(y))
    for i, rows in enumerate(cut.rows):
        off[rows] = log_c[rows] - cut.log_c[i]
    moved = y
    for _ in range(3):
        found = cut.fit(moved)
        slope = np.polyfit(cut.log_c, found.least, 1)[0] if np.isfinite(found.least).all() else 0.0
        moved = y - slope * off
    found = cut.fit(moved)
    return np.asarray(found.vertex - _law_optima(law, data, cut))


def _losses(law: Law, data: Mapping[str, Array]) -> Array:
    if set(law.inputs) != {"params", "tokens"}:
        raise PlanError(
            f"the parabolas' bias needs a law of params and tokens, got one of "
            f"{', '.join(law.inputs)}."
        )
    return np.asarray(law(params=data["params"], tokens=data["tokens"]), dtype=float)


def _law_optima(law: Law, data: Mapping[str, Array], cut: Slices) -> Array:
    """Return ln N of the law's own optimum at every budget, at the cost the runs had."""
    cost = np.log(data["flops"]) - np.log(data["params"]) - np.log(data["tokens"])
    log_kappa = np.array([np.median(cost[rows]) for rows in cut.rows])
    split = get_source(law, None).surface(draws=False).best_split(cut.log_c - log_kappa)[0]
    return np.asarray(split.ravel())
