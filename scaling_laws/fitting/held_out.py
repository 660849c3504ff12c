"""How well runs that a fit did not see were predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaling_laws.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from scaling_laws.fitting.result import Fit
    from scaling_laws.fitting.selection import Selection


@dataclass(frozen=True)
class HeldOut:
    """How well runs that the fit did not see were predicted.

    Parameters
    ----------
    table : DataFrame
        One row a run, with ``actual``, ``predicted``, ``low``, ``high``.
    level : float
        Mass of the intervals.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame(
    ...     {"actual": [2.0, 4.0], "predicted": [2.1, 4.0], "low": [2.05, 3.9], "high": [2.2, 4.1]}
    ... )
    >>> print(HeldOut(table, 0.9))
    mean |error| 2.5 %; 1 of 2 runs inside the 90 % interval
    """

    table: pd.DataFrame
    level: float

    @property
    def relative(self) -> bool:
        """Whether errors are ratios: every measured value is positive."""
        return bool((self.table["actual"] > 0).all())

    @property
    def errors(self) -> pd.Series[float]:
        """Signed error of each run: predicted / measured - 1, or the difference."""
        difference = self.table["predicted"] - self.table["actual"]
        return difference / self.table["actual"] if self.relative else difference

    @property
    def error(self) -> float:
        """Mean of the absolute errors."""
        return float(self.errors.abs().mean())

    @property
    def r_squared(self) -> float:
        """Share of these runs' variance that was predicted; negative if their mean does better.

        NaN where they are all alike. It grows with how far apart the runs lie, and not only with
        how well they were predicted: `error` does not.
        """
        return share_explained(self.table["actual"], self.table["predicted"])

    @property
    def inside(self) -> int:
        """How many runs lie inside their interval."""
        actual = self.table["actual"]
        return int(((self.table["low"] <= actual) & (actual <= self.table["high"])).sum())

    def __str__(self) -> str:
        error = f"{100 * self.error:.3g} %" if self.relative else f"{self.error:.3g}"
        if self.table["low"].isna().any():
            return f"mean |error| {error}; no interval, for lack of bootstrap draws"
        return (
            f"mean |error| {error}; {self.inside} of {len(self.table)} runs inside the "
            f"{100 * self.level:g} % interval"
        )


def share_explained(
    actual: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Share of the variance of what was measured that predictions explain (R²).

    Parameters
    ----------
    actual, predicted : array_like (n,)
    weights : array_like (n,), optional

    Returns
    -------
    float
        1 less the sum of squared errors over that around the mean; NaN without variance.

    Examples
    --------
    >>> share_explained([1.0, 2.0, 3.0], [1.0, 2.0, 3.5]), share_explained([2.0, 2.0], [2.0, 2.0])
    (0.875, nan)
    """
    import numpy as np

    y, fitted = np.asarray(actual, dtype=float), np.asarray(predicted, dtype=float)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)
    around_mean = float(np.sum(w * (y - np.average(y, weights=w)) ** 2))
    if not around_mean > 0:
        return float("nan")
    return float(1.0 - np.sum(w * (y - fitted) ** 2) / around_mean)


def predict_held_out(fit: Fit | Selection, runs: pd.DataFrame, *, level: float = 0.9) -> HeldOut:
    """Predict runs that the fit did not see.

    Parameters
    ----------
    fit : Fit or Selection
    runs : DataFrame
        Columns named as the law's inputs and the target.
    level : float, default 0.9
        Mass of the interval in which one run should land.

    Returns
    -------
    HeldOut

    Raises
    ------
    DataError
        A column is missing, or an impossible level.

    Examples
    --------
    >>> import scaling_laws as sl
    >>> runs = sl.load_dataset("tiny_lm")
    >>> small = runs.flops <= runs.flops.max() / 10
    >>> fit = sl.fit(runs[small], "chinchilla", draws=100)
    >>> predict_held_out(fit, runs[~small]).inside > 0
    True
    """
    if fit.target not in runs:
        raise DataError(
            f"the held-out runs lack the target '{fit.target}'. Found: "
            f"{', '.join(map(str, runs.columns))}."
        )
    table = fit.predict(runs, level=level)
    if "flops" in runs and "flops" not in table:
        table.insert(len(fit.law.inputs), "flops", runs["flops"])
    ends = {f"{fit.target}_low": "low", f"{fit.target}_high": "high", fit.target: "predicted"}
    table = table.rename(columns=ends)
    table.insert(list(table.columns).index("predicted"), "actual", runs[fit.target])
    return HeldOut(table, level)
