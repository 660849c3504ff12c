"""The best of several runs per configuration, and by how much it is too good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scaling_laws.data.cleaning_step import (
    CleaningStep,
    Outcome,
    need_columns,
    numbers_of,
    report_of,
    unless_default,
)
from scaling_laws.data.read_report import joined
from scaling_laws.data.statuses import UNFINISHED, status_word
from scaling_laws.errors import DataError, Note
from scaling_laws.quantities import INPUT_NAMES, quantity

if TYPE_CHECKING:
    import pandas as pd


def best_over(
    *names: str,
    target: str = "loss",
    by: Sequence[str] | None = None,
    method: str = "min",
) -> CleaningStep:
    """Keep the best run over choices that were searched, such as learning rates.

    Parameters
    ----------
    *names : str
        Columns searched over.
    target : str
    by : sequence of str, optional
        Columns that make a configuration. Default: the known inputs in the table but those
        searched over, ``flops`` and ``steps``, and the group the table was read with.
    method : {"min", "parabola"}
        The best run itself, or the vertex of a parabola in the logarithm of the one searched column
        through the best and its neighbours (the best itself where it lies at an end).

    Returns
    -------
    CleaningStep
        The note ``winners_curse`` says by how much the best of k is too good: for k equally good
        runs with normal noise of standard deviation s, by 0.56 s at k = 2, 0.85 s at 3, 1.16 s at 5
        and 1.54 s at 10. ``tried`` is how many runs each is the best of.

    Raises
    ------
    DataError
        A column is missing, or nothing is left to tell configurations apart.

    References
    ----------
    Li et al. (2025), arXiv:2502.18969: minimum with interpolation over learning rates. Expected
    extremes of normal samples: Tippett (1925), Biometrika 17, 364-387.

    Examples
    --------
    >>> import pandas as pd
    >>> runs = pd.DataFrame({"params": [1e6] * 3, "learning_rate": [1e-3, 2e-3, 4e-3],
    ...                      "loss": [3.2, 3.0, 3.2]})
    >>> best_over("learning_rate")(runs).values.tolist()
    [[1000000.0, 0.002, 3.0, 3.0]]
    """
    if not names or method not in {"min", "parabola"}:
        raise DataError(
            "best_over needs the columns searched over, and method='min' or 'parabola'; got "
            f"{names} and {method!r}."
        )
    if method == "parabola" and len(names) != 1:
        raise DataError(f"a parabola has one column, got {names}. Use method='min'.")

    def apply(frame: pd.DataFrame) -> Outcome:
        return _best(frame, names, target, by, method)

    shown = {"names": list(names), **unless_default(target, "loss", "target")}
    shown |= unless_default(list(by) if by else None, None, "by") | unless_default(
        method, "min", "method"
    )
    return CleaningStep("best_over", shown, apply)


def _best(
    frame: pd.DataFrame, names: Sequence[str], target: str, by: Sequence[str] | None, method: str
) -> Outcome:
    need_columns(frame, [*names, target, *(by or ())], "best_over")
    keys = list(by) if by else _configuration(frame, names)
    if not keys:
        raise DataError(
            "best_over found no column that tells configurations apart. Pass by=['params', ...]."
        )
    values = numbers_of(frame, target, "best_over")
    usable = np.isfinite(values) & _finished(frame)
    sign = 1.0 if quantity(target).direction == "lower" else -1.0
    groups = frame.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
    chosen: list[int] = []
    tried: list[int] = []
    fitted: dict[int, tuple[float, float]] = {}
    for g in dict.fromkeys(groups):
        rows = np.flatnonzero((groups == g) & usable)
        if not len(rows):  # nothing finished: the configuration stays, with its status
            chosen.append(int(np.flatnonzero(groups == g)[0]))
            tried.append(0)
            continue
        best = int(rows[np.argmin(sign * values[rows])])
        chosen.append(best)
        tried.append(len(rows))
        if method == "parabola":
            x = numbers_of(frame, names[0], "best_over")
            vertex = _vertex(x[rows], sign * values[rows])
            if vertex:
                fitted[best] = (vertex[0], sign * vertex[1])
    out = frame.iloc[chosen].copy().assign(tried=tried)
    for position, (x_best, y_best) in fitted.items():
        label = out.index[chosen.index(position)]
        out.loc[label, [names[0], target]] = [x_best, y_best]
    count = len(frame) - len(out)
    return Outcome(out, joined(names), f"not the best of equal {', '.join(keys)}", count,
                   notes=_curse(target, tried))  # fmt: skip


def _configuration(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Columns that make a configuration: known inputs, and the group the table was read with."""
    group = report_of(frame).group
    known = [n for n in INPUT_NAMES if n not in {*names, "flops", "steps"}]
    return [n for n in ([*known, group] if group else known) if n in frame]


def _finished(frame: pd.DataFrame) -> NDArray[np.bool_]:
    if "status" not in frame:
        return np.ones(len(frame), dtype=bool)
    return np.array([status_word(s) not in UNFINISHED for s in frame["status"]], dtype=bool)


def _vertex(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float] | None:
    """Lowest point of a parabola in log x through the lowest value and its neighbours."""
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    i = int(np.argmin(y))
    if not 0 < i < len(x) - 1 or not (x[i - 1 : i + 2] > 0).all():
        return None
    z = np.log(x[i - 1 : i + 2] / x[i])
    if (np.diff(z) <= 0).any():
        return None
    a, b, c = np.polyfit(z, y[i - 1 : i + 2], 2)
    return (float(x[i] * np.exp(-b / (2 * a))), float(c - b * b / (4 * a))) if a > 0 else None


def _curse(target: str, tried: Sequence[int]) -> tuple[Note, ...]:
    most = max(tried)
    if most < 2:
        return ()
    middle = int(np.median([k for k in tried if k]))
    bias = expected_extreme(middle)
    return (
        Note(
            "winners_curse",
            "info",
            f"each '{target}' is the best of {middle} runs (median): if these differ by noise of "
            f"standard deviation s only, it is too good by {bias:.2f} s. Repeat the chosen runs "
            "with new seeds",
            {"median_tried": middle, "most_tried": most, "bias_in_standard_deviations": bias},
        ),
    )


def expected_extreme(count: int) -> float:
    """Return the expected largest of ``count`` standard normal numbers.

    Parameters
    ----------
    count : int
        At least 1.

    Returns
    -------
    float

    References
    ----------
    Tippett (1925), Biometrika 17, 364-387.

    Examples
    --------
    >>> [round(expected_extreme(k), 4) for k in (1, 2, 3, 5, 10)]
    [0.0, 0.5642, 0.8463, 1.163, 1.5388]
    """
    from scipy.special import log_ndtr

    z = np.linspace(-12, 12, 20_001)
    density = np.exp(-z * z / 2 + (count - 1) * log_ndtr(z)) * count / np.sqrt(2 * np.pi)
    return float(np.sum(z * density) * (z[1] - z[0])) if count > 1 else 0.0
