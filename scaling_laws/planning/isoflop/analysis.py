"""Approach 2: a parabola through the runs of each budget, and a power law through their minima."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_laws.data.frozen import Frozen
from scaling_laws.errors import Note, PlanError
from scaling_laws.laws.family import Array, Law
from scaling_laws.planning.checks import asked, check_options
from scaling_laws.planning.isoflop import notes as remarks
from scaling_laws.planning.isoflop.bias import bias_of, surface_law
from scaling_laws.planning.isoflop.input import (
    GAP,
    SPAN,
    Residual,
    budget_numbers,
    check_isoflop,
    read_runs,
)
from scaling_laws.planning.isoflop.line import Line, line_draws
from scaling_laws.planning.isoflop.parabola import Parabolas, Slices, at_budgets, normals

if TYPE_CHECKING:
    import pandas as pd

_PRIOR_DOF = 4.0  # degrees of freedom that the other budgets' noise counts for in a budget's own


@dataclass(frozen=True, eq=False)
class IsoFLOP(Frozen):
    """Optima of every budget and the power law through them. Frozen; made by `fit_isoflop`.

    Parameters
    ----------
    table : DataFrame
        One row a budget: ``flops`` [FLOP], ``params`` and ``tokens`` at the minimum [count], their
        ``_low`` and ``_high``, ``loss`` at the minimum, ``curvature`` (half the second derivative
        of what was fitted along ln N), ``bias`` of the parabola's ln N, ``runs`` used, ``inside``
        (whether there is a minimum within the sizes used). NaN where there is none.
    line : Line
        ln N and ln D of the optima along ln C, with draws.
    level : float
        Mass of the intervals.
    corrected : bool
        Whether the parabolas' bias was taken off.
    used : ndarray of int
        Positions in the table of runs of the rows that parabolas go through.
    notes : tuple of Note
    residual : {"log", "linear"}
        Whether the parabolas are of ln loss or of loss.

    Examples
    --------
    >>> from scaling_laws.laws.published import HOFFMANN_2022
    >>> from scaling_laws.planning.isoflop.grid import isoflop_grid
    >>> runs = isoflop_grid([1e18, 1e19, 1e20], law=HOFFMANN_2022)
    >>> runs["loss"] = HOFFMANN_2022(params=runs.params, tokens=runs.tokens)
    >>> found = fit_isoflop(runs, draws=100)
    >>> round(found.params_exponent, 3), round(found.tokens_exponent, 3)
    (0.452, 0.548)
    """

    table: pd.DataFrame
    line: Line
    level: float
    corrected: bool
    used: NDArray[np.intp]
    notes: tuple[Note, ...]
    residual: Residual = "log"

    @property
    def params_exponent(self) -> float:
        """Exponent a in N* proportional to C^a."""
        return float(self.line.slope[0])

    @property
    def tokens_exponent(self) -> float:
        """Exponent b in D* proportional to C^b."""
        return float(self.line.slope[1])

    def interval(self, level: float | None = None) -> pd.DataFrame:
        """Interval of both exponents.

        Parameters
        ----------
        level : float, optional
            Mass, in (0, 1); that of the fit by default.

        Returns
        -------
        DataFrame
            Index ``params_exponent``, ``tokens_exponent``; columns ``low``, ``high``; NaN without
            draws.

        Raises
        ------
        PlanError
            ``level`` outside (0, 1).
        """
        import pandas as pd

        low, high = self.line.slope_interval(self._level(level))
        return pd.DataFrame(
            {"low": low, "high": high}, index=["params_exponent", "tokens_exponent"]
        )

    def predict(self, flops: ArrayLike, level: float | None = None) -> pd.DataFrame:
        """Compute-optimal size and tokens at other budgets, by the power law.

        Parameters
        ----------
        flops : array_like
            Budgets [FLOP].
        level : float, optional
            Mass of the intervals; that of the fit by default.

        Returns
        -------
        DataFrame
            ``flops``, ``params``, ``tokens`` with ``_low`` and ``_high``, and ``more``: the budget
            over the largest measured. Intervals hold the scatter of the minima, not an error of
            the power law itself, which grows with ``more``.

        Raises
        ------
        PlanError
            A budget is not a positive number.
        """
        import pandas as pd

        budgets = np.atleast_1d(asked("IsoFLOP.predict", {"flops": flops}, {}).rows["flops"])
        log_c = np.log(budgets)
        best = np.exp(self.line.at(log_c))
        low, high = np.exp(self.line.interval_at(log_c, self._level(level)))
        columns: dict[str, Array] = {"flops": budgets}
        for i, name in enumerate(("params", "tokens")):
            columns |= {name: best[i], f"{name}_low": low[i], f"{name}_high": high[i]}
        return pd.DataFrame(columns | {"more": budgets / self.table.flops.max()})

    def _level(self, level: float | None) -> float:
        if level is not None:
            check_options(level, 0.02)
        return self.level if level is None else float(level)

    def __str__(self) -> str:
        low, high = self.line.slope_interval(self.level)
        rows = [
            f"{name} ~ C^{slope:.3f}  [{a:.3f}, {b:.3f}]"
            for name, slope, a, b in zip(
                ("params", "tokens"), self.line.slope, low, high, strict=True
            )
        ]
        shown = self.table[["flops", "params", "tokens", "loss", "runs", "inside"]]
        head = f"isoFLOP minima of {len(self.table)} budgets, {100 * self.level:g}% interval"
        return "\n".join([head, *rows, shown.to_string(index=False), *map(str, self.notes)])

    def __repr__(self) -> str:
        return str(self)


def fit_isoflop(
    runs: Any,
    *,
    columns: Mapping[str, str] | None = None,
    budget: str | None = None,
    gap: float = GAP,
    span: float = SPAN,
    residual: Residual = "log",
    surface: Law | str | None = "chinchilla",
    corrected: bool = False,
    level: float = 0.9,
    draws: int = 1000,
    seed: int = 0,
) -> IsoFLOP:
    r"""Fit a parabola in ln N to every budget and a power law to the minima ("Approach 2").

    Parameters
    ----------
    runs : DataFrame, mapping of columns, or the ``runs`` of a fit
        One row a run: ``params`` [count], ``tokens`` [count], ``loss``, perhaps ``flops`` [FLOP]
        (6 N D otherwise).
    columns : mapping of str to str, optional
        The library's names to the table's.
    budget : str, optional
        Column whose equal values are one budget. Default: computes with no gap between them.
    gap : float, default 0.1
        Relative gap between neighbouring computes that separates two budgets.
    span : float, default 5
        Sizes further from the minimum than this factor are left out: a parabola is only right
        nearby. ``numpy.inf`` for all.
    residual : {"log", "linear"}
        Fit ln loss or loss.
    surface : str or Law or None
        Law by which the parabolas' bias is judged: a name is fitted to the same runs; None skips
        it.
    corrected : bool, default False
        Whether to take the bias off.
    level : float, default 0.9
    draws : int, default 1000
        Draws behind intervals; 0 for none.
    seed : int, default 0

    Returns
    -------
    IsoFLOP

    Raises
    ------
    PlanError
        The table cannot be used, the computes form no budgets, or fewer than two budgets have a
        minimum inside their sizes.

    Notes
    -----
    A run whose compute differs from its budget's is first moved to it along the slope of the
    minima. Draw ``j`` adds noise to every run and fits again; a budget's noise is its residuals'
    together with all budgets' (an empirical-Bayes mean of variances [1]_). Scatter of the minima
    about the power law beyond that is estimated by the method of moments [2]_ and drawn too.

    The parabola's minimum is off by an amount that depends on the exponents and the grid; see
    `parabola_bias` [3]_.

    References
    ----------
    Hoffmann et al. (2022), arXiv:2203.15556, sec. 3.2.

    .. [1] Smyth (2004), Stat. Appl. Genet. Mol. Biol. 3(1), 3.
    .. [2] DerSimonian and Laird (1986), Control. Clin. Trials 7, 177.
    .. [3] arXiv:2603.22339.

    Examples
    --------
    >>> from scaling_laws.laws.published import HOFFMANN_2022
    >>> from scaling_laws.planning.isoflop.grid import isoflop_grid
    >>> runs = isoflop_grid([1e18, 1e19, 1e20], law=HOFFMANN_2022)
    >>> runs["loss"] = HOFFMANN_2022(params=runs.params, tokens=runs.tokens)
    >>> found = fit_isoflop(runs, corrected=True, draws=100)
    >>> [f"{n:.3g}" for n in found.predict([1e19, 1e22]).params]
    ['2.28e+08', '5.16e+09']
    """
    check_options(level, 0.02)
    check_isoflop(gap, span, residual)
    _check_draws(draws, seed, corrected, surface)
    data, rows = read_runs("fit_isoflop", runs, columns, budget)
    number = budget_numbers(data, budget, gap)
    log = {n: np.log(v) for n, v in data.items()}
    y = log["loss"] if residual == "log" else data["loss"]
    moved, cut = at_budgets(log["params"], y, log["flops"], number, span)
    point = cut.fit(moved)
    notes = remarks.slice_notes(point, cut, log["flops"], number)
    if point.inside.sum() < 2:
        raise PlanError(
            f"fit_isoflop: {int(point.inside.sum())} of {len(cut.log_c)} budgets has its minimum "
            "inside the sizes measured; a power law needs two. Add smaller or larger sizes, or fit "
            "a law of params and tokens."
        )
    bias = np.full(len(cut.log_c), np.nan)
    if surface is not None:
        law = surface_law(data, surface)
        bias = bias_of(law, data, residual, cut)
        notes += remarks.bias_notes(bias[point.inside], cut, law, corrected)
    off = bias if corrected else np.zeros(len(bias))
    disturbed = _disturbed(moved, cut, log["params"], draws, seed)
    many = cut.fit(disturbed)
    optima = _optima(point, off, cut, log, number)
    drawn = _optima(many, off, cut, log, number)
    line = line_draws(cut.log_c, optima, drawn, seed)
    return IsoFLOP(
        table=_table(cut, point, optima, drawn, bias, residual, level),
        line=line,
        level=float(level),
        corrected=corrected,
        used=rows[_positions(cut)],
        notes=(*notes, *remarks.line_notes(point)),
        residual=residual,
    )


def near_minima(
    runs: Any,
    *,
    columns: Mapping[str, str] | None = None,
    budget: str | None = None,
    gap: float = GAP,
    span: float = SPAN,
) -> NDArray[np.intp]:
    """Positions of the runs within a factor of their budget's best size.

    A law fitted to these alone plans better far away than one fitted to all runs: what a law gets
    wrong about runs far from optimal no longer moves its optimum.

    Parameters
    ----------
    runs, columns, budget, gap, span
        As `fit_isoflop`.

    Raises
    ------
    PlanError
        The table cannot be used, or its computes form no budgets.

    Examples
    --------
    >>> params = [1e7, 3e7, 1e8, 3e8, 1e9, 1e11]
    >>> tokens = [1e19 / 6 / n for n in params]
    >>> table = {"params": params, "tokens": tokens, "loss": [3.3, 3.1, 3.0, 3.1, 3.3, 9.0]}
    >>> near_minima(table).tolist()
    [0, 1, 2, 3, 4]
    """
    check_isoflop(gap, span)
    data, rows = read_runs("near_minima", runs, columns, budget)
    number = budget_numbers(data, budget, gap)
    log = {n: np.log(v) for n, v in data.items()}
    cut = at_budgets(log["params"], log["loss"], log["flops"], number, span)[1]
    return rows[_positions(cut)]


def _positions(cut: Slices) -> NDArray[np.intp]:
    return np.sort(np.concatenate(cut.rows))


def _disturbed(moved: Array, cut: Slices, log_n: Array, draws: int, seed: int) -> Array:
    """Values ``(draws, n)`` of as many repeats of the runs."""
    fitted = cut.fitted(moved, log_n)
    dof = np.array([max(len(r) - 3.0, 0.0) for r in cut.rows])
    square = np.array([np.sum((moved[r] - fitted[r]) ** 2) for r in cut.rows])
    total = dof.sum()
    pooled = square.sum() / total if total > 0 else 0.0
    variance = (square + _PRIOR_DOF * pooled) / (dof + _PRIOR_DOF)
    size = np.zeros(len(moved))
    for rows, v in zip(cut.rows, variance, strict=True):
        size[rows] = np.sqrt(v)
    z, factor = normals(np.stack([log_n, moved]), draws, seed, float(total))
    return np.asarray(np.nan_to_num(fitted) + factor[:, None] * size * z)


def _optima(
    found: Parabolas, off: Array, cut: Slices, log: Mapping[str, Array], number: NDArray[np.intp]
) -> Array:
    """Return ln N and ln D ``(..., 2, m)`` of the minima, NaN where there is none inside."""
    vertex = np.where(found.inside, found.vertex - off, np.nan)
    log_d = log["tokens"] + cut.log_c[number] - log["flops"]
    return np.stack([vertex, cut.at(log_d, vertex)], axis=-2)


def _table(
    cut: Slices,
    point: Parabolas,
    optima: Array,
    drawn: Array,
    bias: Array,
    residual: Residual,
    level: float,
) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, Any] = {"flops": np.exp(cut.log_c)}
    ends = remarks.quantiles(drawn, level)
    for i, name in enumerate(("params", "tokens")):
        columns[name] = np.exp(optima[i])
        for end, values in zip(("low", "high"), ends, strict=True):
            columns[f"{name}_{end}"] = np.where(point.inside, np.exp(values[i]), np.nan)
    least = np.exp(point.least) if residual == "log" else point.least
    columns["loss"] = np.where(point.inside, least, np.nan)
    columns["curvature"] = point.curvature
    columns["bias"] = bias
    columns["runs"] = [len(rows) for rows in cut.rows]
    columns["inside"] = point.inside
    return pd.DataFrame(columns)


def _check_draws(draws: Any, seed: Any, corrected: Any, surface: Any) -> None:
    for name, value in (("draws", draws), ("seed", seed)):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or value < 0:
            raise PlanError(f"{name} must be a whole number, 0 or more, got {value!r}.")
    if corrected and surface is None:
        raise PlanError("corrected=True needs a surface= to judge the parabolas' bias by.")
