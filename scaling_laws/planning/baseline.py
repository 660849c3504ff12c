"""The plan that is hard to beat: grow the last measured optimum as the square root of compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.errors import PlanError
from scaling_laws.laws.family import Array
from scaling_laws.planning.checks import asked
from scaling_laws.planning.isoflop.input import GAP, SPAN, SPREAD, read_runs
from scaling_laws.planning.isoflop.parabola import at_budgets, group_budgets

EXPONENT = 0.5
"""Exponent of compute by which the last measured optimum grows."""

_FEWEST = 5  # runs of a budget, for its minimum to count as measured
_SHAPED = 0.5  # share of the runs that must lie in budgets, or equal computes are by accident
_LARGEST_ERROR = 0.35  # standard error of ln N of a minimum, for it to count as measured
_FADING = 2.0  # how fast a law's own growth loses weight along ln compute; 1 to 4 do as well


@dataclass(frozen=True)
class Baseline:
    """A size that was best at some compute, and how it grows with compute.

    Parameters
    ----------
    flops : float
        Compute of the last measured optimum [FLOP].
    params : float
        Its size [count].
    source : {"measured", "law"}
        Whether runs of one budget show the optimum, or a law says where it is.
    exponent : float, default 0.5

    Examples
    --------
    >>> f"{Baseline(1e20, 1e9, 'measured').predict(1e22):.4g}"
    '1e+10'
    """

    flops: float
    params: float
    source: Literal["measured", "law"]
    exponent: float = EXPONENT

    def log_params(self, log_c: Array) -> Array:
        """Return ln of the size at ln compute."""
        off = log_c - np.log(self.flops)
        return np.asarray(np.log(self.params) + self.exponent * off)

    def predict(self, flops: ArrayLike) -> Any:
        """Size [count] at a budget [FLOP].

        Raises
        ------
        PlanError
            Not a positive number.
        """
        ask = asked("Baseline.predict", {"flops": flops}, {})
        return ask.out(np.exp(self.log_params(np.log(ask.rows["flops"]))))


def constant_exponent(
    runs: Any,
    *,
    columns: Mapping[str, str] | None = None,
    budget: str | None = None,
    law_optimum: Callable[[float], float] | None = None,
    exponent: float = EXPONENT,
) -> Baseline:
    """Find the last measured optimum, from which size grows by a constant exponent.

    Parameters
    ----------
    runs : DataFrame, mapping of columns, or the ``runs`` of a fit
        ``params`` [count], ``tokens`` [count], ``loss``, perhaps ``flops`` [FLOP].
    columns : mapping of str to str, optional
        The library's names to the table's.
    budget : str, optional
        Column whose equal values are one budget. Default: computes with no gap between them.
    law_optimum : callable, optional
        From compute [FLOP] to a law's best size [count]; used at the largest measured compute
        where no budget shows an optimum.
    exponent : float, default 0.5

    Returns
    -------
    Baseline

    Raises
    ------
    PlanError
        The table cannot be used, or no budget shows an optimum and no law is given.

    Notes
    -----
    The last optimum is the minimum of a parabola in ln N through the runs of the largest budget
    that has five runs or more and its minimum inside them, with a standard error of ln N of at most
    0.35; at least half of the runs must lie in such budgets, or equal computes are taken for
    accidents. On open isoFLOP experiments the rule chose sizes whose loss was worse than the best
    by 0.02 % at twice, 0.04 % at four times and 0.10 % at sixteen times the largest budget, which
    no fit to all runs did (``benchmarks/planning/regret.py``).

    Examples
    --------
    >>> from scaling_laws.laws.published import HOFFMANN_2022
    >>> from scaling_laws.planning.isoflop.grid import isoflop_grid
    >>> runs = isoflop_grid([1e18, 1e19, 1e20], law=HOFFMANN_2022)
    >>> runs["loss"] = HOFFMANN_2022(params=runs.params, tokens=runs.tokens)
    >>> base = constant_exponent(runs)
    >>> base.source, f"{base.flops:.3g} {base.params:.2g}"
    ('measured', '1e+20 6.5e+08')
    """
    number = isinstance(exponent, int | float) and not isinstance(exponent, bool)
    if not number or not 0 < exponent < 1:
        raise PlanError(f"constant_exponent: exponent must be in (0, 1), got {exponent!r}.")
    data, _ = read_runs("constant_exponent", runs, columns, budget)
    found = _last_minimum(data, data["flops"] if budget is None else data[budget], budget is None)
    if found is not None:
        return Baseline(*found, "measured", float(exponent))
    if law_optimum is None:
        raise PlanError(
            "constant_exponent: no budget has five runs with their best size in the middle, so no "
            "optimum was measured. Give law_optimum=, or add runs of equal compute."
        )
    largest = float(data["flops"].max())
    return Baseline(largest, float(law_optimum(largest)), "law", float(exponent))


def law_share(distance: Array) -> Array:
    """Share that a law's own growth keeps against the baseline's, ``1 / (1 + 2 |distance|)``.

    Parameters
    ----------
    distance : ndarray
        ln of the budget over the last measured optimum's compute.

    Notes
    -----
    0.42 at twice, 0.26 at four and 0.15 at sixteen times the compute. Constants of 1 to 4 in place
    of 2 do as well on open isoFLOP experiments (``benchmarks/planning/regret.py``).

    Examples
    --------
    >>> law_share(np.log([1.0, 2.0, 4.0, 16.0])).round(2).tolist()
    [1.0, 0.42, 0.27, 0.15]
    """
    return np.asarray(1.0 / (1.0 + _FADING * np.abs(distance)))


def shrunk_optimum(
    log_n_law: ArrayLike, log_n_law_last: ArrayLike, base: Baseline, log_c: ArrayLike
) -> Array:
    """Best size by a law, tied to the last measured optimum and shrunk to the baseline's growth.

    At the last measured optimum's compute the plan is that optimum. Beyond it, size grows by the
    law's growth and the baseline's, the law's counting `law_share`; below it, the law's optimum
    counts, moved by what is left of its miss at the last measured optimum.

    Parameters
    ----------
    log_n_law, log_n_law_last : array_like
        ln of the law's best size at the budget and at ``base.flops``. They broadcast, draws
        ``(k, n)`` and ``(k, 1)`` too.
    base : Baseline
    log_c : array_like
        ln of the budget [FLOP].

    Returns
    -------
    ndarray
        ln of the size [count].

    Notes
    -----
    Where ``base.source`` is ``"law"`` the law does not miss its own optimum, and only its growth is
    shrunk.

    Examples
    --------
    >>> base = Baseline(flops=1.0, params=1.0, source="measured")
    >>> log_c = np.log([0.01, 1.0, 4.0, 1e6])
    >>> law = 1.0 + 0.6 * log_c
    >>> shrunk_optimum(law, 1.0, base, log_c).round(2).tolist()
    [-1.86, 0.0, 0.73, 6.96]
    """
    c = np.asarray(log_c, dtype=float)
    law, last = np.asarray(log_n_law, dtype=float), np.asarray(log_n_law_last, dtype=float)
    off = c - np.log(base.flops)
    keep = law_share(off)
    beyond = base.log_params(c) + keep * (law - last - base.exponent * off)
    below = law + keep * (np.log(base.params) - last)
    return np.asarray(np.where(off > 0.0, beyond, below))


def _last_minimum(
    data: Mapping[str, Array], labels: Array, by_gaps: bool
) -> tuple[float, float] | None:
    """Compute and best size of the largest budget whose runs show one."""
    log = {n: np.log(v) for n, v in data.items()}
    every = np.unique(labels, return_inverse=True)[1].ravel()
    if by_gaps:
        every = group_budgets(labels, GAP)
    counts = np.bincount(every)
    narrow = [np.ptp(log["flops"][every == i]) <= np.log(SPREAD) for i in range(len(counts))]
    keep = ((counts >= _FEWEST) & np.array(narrow))[every]
    if keep.mean() < _SHAPED:
        return None
    number = np.unique(every[keep], return_inverse=True)[1].ravel()
    kept = {n: v[keep] for n, v in log.items()}
    moved, cut = at_budgets(kept["params"], kept["loss"], kept["flops"], number, SPAN)
    found = cut.fit(moved)
    shown = found.inside & (cut.errors(moved, kept["params"]) <= _LARGEST_ERROR)
    shown &= np.array([len(rows) >= _FEWEST for rows in cut.rows])
    if not shown.any():
        return None
    last = int(np.argmax(np.where(shown, cut.log_c, -np.inf)))
    return float(np.exp(cut.log_c[last])), float(np.exp(found.vertex[last]))
