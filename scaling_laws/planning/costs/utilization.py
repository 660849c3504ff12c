"""Utilisation: the share of a machine's peak that training reaches, and how it grows with size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.errors import PlanError
from scaling_laws.planning.amounts import Array, is_number, one, plain, positive

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_GRID = 121
_ZOOMS = 8


@dataclass(frozen=True)
class Utilization:
    r"""Model FLOP utilisation that saturates with size, :math:`u(N) = u_{max} N / (N + N_{1/2})`.

    Parameters
    ----------
    limit : float
        Utilisation of very large models, in (0, 1].
    half_params : float
        Size [count] that reaches half of it; 0 for a constant.

    Raises
    ------
    PlanError
        ``limit`` is outside (0, 1], or ``half_params`` is negative.

    References
    ----------
    Chowdhery et al. (2022), arXiv:2204.02311, appendix B, defines model FLOP utilisation; the form
    is a fixed time per parameter and token plus a fixed overhead per token.

    Examples
    --------
    >>> share = Utilization(limit=0.5, half_params=1e8)
    >>> share(1e8), round(share(1e10), 3)
    (0.25, 0.495)
    """

    limit: float
    half_params: float = 0.0

    def __post_init__(self) -> None:
        if not is_number(self.limit) or not 0 < self.limit <= 1:
            raise PlanError(f"Utilization: limit must be in (0, 1], got {self.limit!r}.")
        if not is_number(self.half_params) or not 0 <= self.half_params < np.inf:
            raise PlanError(
                f"Utilization: half_params must be a count >= 0, got {self.half_params!r}."
            )

    def __call__(self, params: ArrayLike) -> Any:
        """Share of the peak that a model of ``params`` [count] reaches."""
        size = positive("Utilization", "params", params)
        return plain(self.limit * size / (size + self.half_params))


def fit_utilization(runs: Any, peak_flops: float) -> Utilization:
    """Learn how utilisation grows with size from measured runs.

    Parameters
    ----------
    runs : DataFrame or mapping of columns
        ``params`` [count], ``flops`` [FLOP], ``seconds`` [s] and, where there were several
        devices, their ``count``; one row a run.
    peak_flops : float
        Peak speed of one device at the precision used [FLOP/s].

    Returns
    -------
    Utilization
        For ``Hardware(utilization=...)``.

    Raises
    ------
    PlanError
        A column is missing or not positive, or a run is faster than the peak.

    Notes
    -----
    Least squares of the logarithm: for a given half-size the limit is a mean, the half-size is
    searched. Runs of a single size give a constant.

    References
    ----------
    Chowdhery et al. (2022), arXiv:2204.02311, appendix B (model FLOP utilisation).

    Examples
    --------
    >>> size = np.array([1e7, 1e8, 1e9, 1e10])
    >>> flops = 6 * size * 1e9
    >>> seconds = flops / (8 * 3e14 * 0.5 * size / (size + 1e8))
    >>> table = {"params": size, "flops": flops, "seconds": seconds, "count": 8 * np.ones(4)}
    >>> found = fit_utilization(table, peak_flops=3e14)
    >>> round(found.limit, 6), round(found.half_params / 1e8, 4)
    (0.5, 1.0)
    """
    peak = one("fit_utilization", "peak_flops", peak_flops, unit="FLOP/s")
    size, flops, seconds = (_column(runs, name) for name in ("params", "flops", "seconds"))
    count = _column(runs, "count") if "count" in runs else np.ones(size.shape)
    if len({size.shape, flops.shape, seconds.shape, count.shape}) > 1:
        raise PlanError("fit_utilization: columns differ in length.")
    share = flops / (seconds * count * peak)
    if share.max() > 1:
        raise PlanError(
            f"fit_utilization: row {int(share.argmax())} reaches {share.max():.3g} of the peak. "
            "Give the peak of one device at the precision used [FLOP/s], without sparsity, and the "
            "column 'count' where there were several devices."
        )
    half = _half_params(np.log(size), np.log(share))
    limit = np.exp(_log_limits(np.array([half]), np.log(size), np.log(share))[0])
    return Utilization(float(limit), half)


def _half_params(log_size: Array, log_share: Array) -> float:
    if np.ptp(log_size) == 0:
        return 0.0
    low, high = log_size.min() - 14.0, log_size.max() + 14.0
    best = least = np.inf
    for _ in range(_ZOOMS):
        grid = np.linspace(low, high, _GRID)
        errors = _errors(np.exp(grid), log_size, log_share)
        at = int(errors.argmin())
        best, least = float(np.exp(grid[at])), float(errors[at])
        step = grid[1] - grid[0]
        low, high = grid[at] - step, grid[at] + step
    constant = float(_errors(np.zeros(1), log_size, log_share)[0])
    return best if least < constant - 1e-12 else 0.0


def _unlimited(half: Array, log_size: Array, log_share: Array) -> Array:
    """Log share over that of a limit of one, a row for every half-size."""
    over = log_share + np.log1p(half[:, None] * np.exp(-log_size))
    return np.asarray(over, dtype=float)


def _log_limits(half: Array, log_size: Array, log_share: Array) -> Array:
    limits = np.minimum(_unlimited(half, log_size, log_share).mean(axis=1), 0.0)
    return np.asarray(limits, dtype=float)


def _errors(half: Array, log_size: Array, log_share: Array) -> Array:
    over = _unlimited(half, log_size, log_share)
    limits = _log_limits(half, log_size, log_share)
    return np.asarray(((over - limits[:, None]) ** 2).sum(axis=1), dtype=float)


def _column(runs: Any, name: str) -> Array:
    if name not in runs:
        raise PlanError(f"fit_utilization: column '{name}' is missing.")
    return np.atleast_1d(positive("fit_utilization", name, np.asarray(runs[name])))
