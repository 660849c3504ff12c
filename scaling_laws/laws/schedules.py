"""Laws of the loss under a learning-rate schedule, and the sums of a schedule they are laws of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from scaling_laws.errors import DataError
from scaling_laws.laws.elementary import additive_rescale, grown
from scaling_laws.laws.family import Coefs, LawFamily, amplitude, exponent, floor
from scaling_laws.quantities import check_values

if TYPE_CHECKING:
    import pandas as pd

SUMS = ("learning_rate_sum", "learning_rate_annealing")


def schedule_sums(
    learning_rate: ArrayLike, *, momentum: float = 0.999, warm_up: int = 0
) -> pd.DataFrame:
    r"""Sums of a learning-rate schedule that the loss is a law of.

    Parameters
    ----------
    learning_rate : array_like (n,)
        Learning rate of every optimiser step, of steps 1 to n. A warm-up may start at 0, as
        schedulers log it; until the first rate above it, the sum is 0 and no law has a loss.
    momentum : float, default 0.999
        How much of a fall of the learning rate is still felt one step later, in [0, 1). The
        authors use 0.99 to 0.999; compare a few by the fit's ``objective``.
    warm_up : int, default 0
        Steps of warm-up: they count for the sum, but their rises are no annealing.

    Returns
    -------
    DataFrame
        Index the step, from 1; columns ``steps``, ``learning_rate_sum`` :math:`S_1 = \sum_i
        \eta_i` and ``learning_rate_annealing`` :math:`S_2 = \sum_{i} \sum_{k \le i} (\eta_{k-1} -
        \eta_k) \lambda^{i-k}`, both over the steps so far. Rows of logged steps are
        ``sums.loc[steps]``.

    Raises
    ------
    DataError
        Not one learning rate >= 0 a step, none above 0, a momentum outside [0, 1), or a warm-up
        longer than the schedule.

    References
    ----------
    Tissue et al. (2024), arXiv:2408.11029, eq. 1 and its definitions.

    Examples
    --------
    >>> sums = schedule_sums([2.0, 2.0, 1.0, 1.0], momentum=0.5)
    >>> sums.learning_rate_sum.tolist(), sums.learning_rate_annealing.tolist()
    ([2.0, 4.0, 5.0, 6.0], [0.0, 0.0, 1.0, 1.5])
    """
    import pandas as pd

    rate = check_values("learning_rate", learning_rate, "real")
    if rate.ndim != 1 or not (rate > 0).any() or (rate < 0).any():
        raise DataError(
            "learning_rate must give one number >= 0 for every step, and one above 0; got "
            f"shape {rate.shape}" + (f" of {rate.min():g} to {rate.max():g}." if rate.size else ".")
        )
    if not isinstance(momentum, int | float | np.floating) or not 0.0 <= momentum < 1.0:
        raise DataError(f"momentum must be in [0, 1), got {momentum!r}. The authors use 0.999.")
    whole = isinstance(warm_up, int | np.integer) and not isinstance(warm_up, bool)
    if not whole or not 0 <= warm_up < len(rate):
        raise DataError(
            f"warm_up must be a number of steps below the schedule's {len(rate)}, got {warm_up!r}."
        )
    fall = np.zeros(len(rate))
    first = max(warm_up, 1)  # the rise into the first step after warm-up is warm-up too
    fall[first:] = rate[first - 1 : -1] - rate[first:]
    felt = list(accumulate(fall.tolist(), lambda before, new: momentum * before + new))
    columns = {"steps": np.arange(1.0, len(rate) + 1)}
    columns |= dict(zip(SUMS, (np.cumsum(rate), np.cumsum(felt)), strict=True))
    return pd.DataFrame(columns, index=pd.RangeIndex(1, len(rate) + 1, name="step"))


def _annealing(s1: Any, s2: Any, E: Any, A: Any, alpha: Any, C: Any) -> Any:
    return E + A * np.exp(-alpha * np.log(s1)) - C * s2


def _annealing_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    A = grown(coef["A"], coef["alpha"], factors[0])
    return {**coef, "A": A, "C": coef["C"] / factors[1]}


annealing = LawFamily(
    name="annealing",
    function=_annealing,
    inputs=SUMS,
    coefficients=(
        floor("E"),
        amplitude("A"),
        exponent("alpha"),
        amplitude("C", "loss gained for each unit of annealing"),
    ),
    formula=r"L = E + A S_1^{-\alpha} - C S_2",
    reference="Tissue et al. 2024, arXiv:2408.11029, eq. 1",
    example={"E": 2.6, "A": 0.7, "alpha": 0.5, "C": 0.4},
    aliases=("learning_rate_annealing_law",),
    rescale=_annealing_rescale,
    input_domain="real",  # of no annealing the sum is 0
)


def _chinchilla_annealing(
    N: Any, D: Any, s2: Any, E: Any, A: Any, alpha: Any, B: Any, beta: Any, C: Any, r: Any
) -> Any:
    log_n = np.log(N)
    base = E + A * np.exp(-alpha * log_n) + B * np.exp(-beta * np.log(D))
    return base - C * s2 * np.exp(r * log_n)


def _chinchilla_annealing_rescale(coef: Coefs, factors: Sequence[float]) -> dict[str, Any]:
    size, data, area = factors
    out = additive_rescale(coef, (size, data))
    return {**out, "C": grown(coef["C"], -coef["r"], size) / area}


chinchilla_annealing = LawFamily(
    name="chinchilla_annealing",
    function=_chinchilla_annealing,
    inputs=("params", "tokens", "learning_rate_annealing"),
    coefficients=(
        floor("E"),
        amplitude("A"),
        exponent("alpha"),
        amplitude("B"),
        exponent("beta"),
        amplitude("C", "loss gained for each unit of annealing"),
        exponent("r", (0.01, 0.5), 1.0, "how that grows with size"),
    ),
    formula=r"L = E + A N^{-\alpha} + B D^{-\beta} - C S_2 N^r",
    reference="Bhagia et al. 2024, code of arXiv:2412.04403, after Tissue et al. 2024",
    example={
        "E": 1.7, "A": 400.0, "alpha": 0.34, "B": 1500.0, "beta": 0.33, "C": 0.02, "r": 0.1,
    },
    rescale=_chinchilla_annealing_rescale,
    input_domain="real",
)  # fmt: skip

FAMILIES = (annealing, chinchilla_annealing)
