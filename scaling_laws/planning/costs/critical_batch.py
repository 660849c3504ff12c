r"""Batch size: when more accelerators stop helping.

Below the critical batch size, twice the batch is half the steps; far above it, twice the compute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.errors import PlanError
from scaling_laws.planning.amounts import one, plain, positive

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class CriticalBatch:
    r"""Steps and tokens that reach one loss at any batch size.

    :math:`S = S_{min}(1 + B_{crit}/B)` and :math:`D = B S = D_{min}(1 + B/B_{crit})`, with
    :math:`D_{min} = B_{crit} S_{min}`.

    Parameters
    ----------
    critical_batch_size : float
        Batch size [tokens] at which both steps and tokens are twice their least.
    min_tokens : float
        Tokens [count] that a very small batch needs.

    Raises
    ------
    PlanError
        A number is not positive.

    References
    ----------
    McCandlish et al. (2018), arXiv:1812.06162, eq. 2.11; Kaplan et al. (2020), arXiv:2001.08361,
    sec. 5.1.

    Examples
    --------
    >>> batch = CriticalBatch(critical_batch_size=2e6, min_tokens=1e11)
    >>> batch.min_steps, batch.steps(2e6), batch.tokens(2e6)
    (50000.0, 100000.0, 200000000000.0)
    """

    critical_batch_size: float
    min_tokens: float

    def __post_init__(self) -> None:
        one("CriticalBatch", "critical_batch_size", self.critical_batch_size, unit="tokens")
        one("CriticalBatch", "min_tokens", self.min_tokens, unit="count")

    @property
    def min_steps(self) -> float:
        """Steps [count] that a very large batch needs."""
        return float(self.min_tokens) / float(self.critical_batch_size)

    def steps(self, batch_size: ArrayLike) -> Any:
        """Steps [count] at ``batch_size`` [tokens]."""
        more, _ = steps_and_compute(batch_size, self.critical_batch_size)
        return plain(self.min_steps * np.asarray(more))

    def tokens(self, batch_size: ArrayLike) -> Any:
        """Tokens [count], and so compute, at ``batch_size`` [tokens]."""
        _, more = steps_and_compute(batch_size, self.critical_batch_size)
        return plain(float(self.min_tokens) * np.asarray(more))

    def seconds(
        self, devices: ArrayLike, *, batch_per_device: float, seconds_per_step: float
    ) -> Any:
        """Wall time [s] when every device adds its share of the batch.

        Parameters
        ----------
        devices : array_like
            Devices [count].
        batch_per_device : float
            Tokens each of them processes a step.
        seconds_per_step : float
            Time of a step [s], taken not to depend on the number of devices.

        Raises
        ------
        PlanError
            A number is not positive.

        Examples
        --------
        A hundred times the devices make it fifty-one times as fast; never more than 101 times:

        >>> batch = CriticalBatch(critical_batch_size=1e6, min_tokens=1e11)
        >>> time = batch.seconds([1, 100, 1e9], batch_per_device=1e4, seconds_per_step=1.0)
        >>> (time[0] / time).round(1).tolist()
        [1.0, 50.5, 101.0]
        """
        count = positive("CriticalBatch.seconds", "devices", devices, unit="count")
        each = one("CriticalBatch.seconds", "batch_per_device", batch_per_device, unit="tokens")
        step = one("CriticalBatch.seconds", "seconds_per_step", seconds_per_step)
        return plain(step * np.asarray(self.steps(count * each)))

    def best_batch_size(
        self, *, seconds_per_step: float, dollars_per_second: float, dollars_per_token: float
    ) -> float:
        r"""Batch size [tokens] that minimises the price of waiting plus that of computing.

        Parameters
        ----------
        seconds_per_step : float
            Time of a step [s], whatever the batch.
        dollars_per_second : float
            What a second of waiting is worth.
        dollars_per_token : float
            Price of processing a token.

        Returns
        -------
        float
            :math:`B_{crit} \sqrt{w_1 S_{min} t / (w_2 D_{min})}`.

        Raises
        ------
        PlanError
            A number is not positive.

        Examples
        --------
        >>> batch = CriticalBatch(critical_batch_size=1e6, min_tokens=1e11)
        >>> batch.best_batch_size(
        ...     seconds_per_step=2.0, dollars_per_second=0.1, dollars_per_token=1e-7
        ... ).__round__()
        1414214
        """
        where = "CriticalBatch.best_batch_size"
        step = one(where, "seconds_per_step", seconds_per_step)
        waiting = one(where, "dollars_per_second", dollars_per_second, unit="dollars/s")
        token = one(where, "dollars_per_token", dollars_per_token, unit="dollars")
        ratio = waiting * self.min_steps * step / (token * float(self.min_tokens))
        return float(self.critical_batch_size) * float(np.sqrt(ratio))


def steps_and_compute(batch_size: ArrayLike, critical_batch_size: float) -> tuple[Any, Any]:
    """How many times the least steps, and the least compute, a batch size takes.

    Parameters
    ----------
    batch_size : array_like
        Batch size [tokens, or any unit both share].
    critical_batch_size : float
        Critical batch size, in the same unit.

    Returns
    -------
    pair of float or ndarray
        ``1 + critical / batch`` and ``1 + batch / critical``.

    Raises
    ------
    PlanError
        A number is not positive.

    References
    ----------
    McCandlish et al. (2018), arXiv:1812.06162, eq. 2.11.

    Examples
    --------
    >>> steps_and_compute(3e6, 1e6)
    (1.3333333333333333, 4.0)
    """
    batch = positive("steps_and_compute", "batch_size", batch_size)
    critical = one("steps_and_compute", "critical_batch_size", critical_batch_size, unit="tokens")
    return plain(1 + critical / batch), plain(1 + batch / critical)


def fit_critical_batch(batch_size: ArrayLike, steps: ArrayLike) -> CriticalBatch:
    """Learn the critical batch size from the steps that several batch sizes took to one loss.

    Parameters
    ----------
    batch_size : array_like of shape (n,)
        Batch sizes [tokens].
    steps : array_like of shape (n,)
        Steps [count] each took to the same loss, every one with its best learning rate.

    Raises
    ------
    PlanError
        Fewer than two batch sizes, or steps that do not fall with the batch, or fall as fast as it
        grows: then it lies outside what was tried.

    Notes
    -----
    Least squares of relative errors in the linear form ``steps = least + tokens / batch``.

    References
    ----------
    McCandlish et al. (2018), arXiv:1812.06162, eq. 2.11 and appendix A.

    Examples
    --------
    >>> size = np.array([1e5, 1e6, 1e7])
    >>> found = fit_critical_batch(size, 5e4 * (1 + 2e6 / size))
    >>> round(found.critical_batch_size), round(found.min_tokens / 1e9)
    (2000000, 100)
    """
    batch = np.atleast_1d(positive("fit_critical_batch", "batch_size", batch_size))
    took = np.atleast_1d(positive("fit_critical_batch", "steps", steps))
    if batch.shape != took.shape or batch.ndim != 1 or len(np.unique(batch)) < 2:
        raise PlanError(
            "fit_critical_batch: needs one number of steps for each of two or more batch sizes, "
            f"got shapes {batch.shape} and {took.shape}."
        )
    columns = np.stack([1 / took, 1 / (batch * took)], axis=1)
    scale = np.abs(columns).max(axis=0)
    least, tokens = np.linalg.lstsq(columns / scale, np.ones(len(took)), rcond=None)[0] / scale
    if least <= 0 or tokens <= 0:
        which = "larger" if least <= 0 else "smaller"
        raise PlanError(
            f"fit_critical_batch: the critical batch size is {which} than everything tried. Try "
            f"{which} batches."
        )
    return CriticalBatch(float(tokens / least), float(tokens))
