"""What a training run costs: compute from model size and tokens, and back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.errors import PlanError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_WRITTEN = re.compile(r"(\d+(?:\.\d*)?)\s*\*?\s*N\s*\*?\s*D")


@dataclass(frozen=True)
class Cost:
    r"""Training compute proportional to model size times tokens, :math:`C = \kappa N D`.

    Parameters
    ----------
    name : str
        How to call it in results, for example ``"6ND"``.
    kappa : float, default 6.0
        FLOP per parameter and token: two forward and four backward for a dense model, 8 when
        every activation is computed a second time.

    Raises
    ------
    PlanError
        ``kappa`` is not a positive number.

    References
    ----------
    Kaplan et al. (2020), arXiv:2001.08361, sec. 2.1.

    Examples
    --------
    >>> cost = Cost("6ND")
    >>> cost.flops(params=7e10, tokens=1.4e12)
    5.88e+23
    >>> cost.tokens(flops=5.88e23, params=7e10)
    1400000000000.0
    """

    name: str
    kappa: float = 6.0

    def __post_init__(self) -> None:
        number = isinstance(self.kappa, int | float) and not isinstance(self.kappa, bool)
        if not number or not np.isfinite(self.kappa) or self.kappa <= 0:
            raise PlanError(
                f"cost '{self.name}': kappa must be a positive number of FLOP per parameter and "
                f"token, got {self.kappa!r}. A dense model takes about 6."
            )

    def flops(self, params: ArrayLike, tokens: ArrayLike) -> Any:
        """Compute [FLOP] of training ``params`` [count] on ``tokens`` [count]."""
        return _plain(self.kappa * np.asarray(params, float) * np.asarray(tokens, float))

    def tokens(self, flops: ArrayLike, params: ArrayLike) -> Any:
        """Tokens [count] that ``flops`` [FLOP] pay for at ``params`` [count]."""
        return _plain(np.asarray(flops, float) / (self.kappa * np.asarray(params, float)))

    def params(self, flops: ArrayLike, tokens: ArrayLike) -> Any:
        """Model size [count] that ``flops`` [FLOP] pay for on ``tokens`` [count]."""
        return _plain(np.asarray(flops, float) / (self.kappa * np.asarray(tokens, float)))


def get_cost(cost: Cost | str) -> Cost:
    """Return a cost from its written form ``"<kappa>ND"``; a `Cost` is returned as it is.

    Raises
    ------
    PlanError
        Neither a `Cost` nor of that form.

    Examples
    --------
    >>> get_cost("8ND").kappa
    8.0
    >>> get_cost("6NT")
    Traceback (most recent call last):
        ...
    scaling_laws.errors.PlanError: cost must be written '<FLOP per parameter and token>ND', such \
as '6ND', or be a Cost: got '6NT'.
    """
    if isinstance(cost, Cost):
        return cost
    written = _WRITTEN.fullmatch(cost.strip()) if isinstance(cost, str) else None
    if written is None:
        raise PlanError(
            "cost must be written '<FLOP per parameter and token>ND', such as '6ND', or be a "
            f"Cost: got {cost!r}."
        )
    return Cost(str(cost).strip(), float(written[1]))


def _plain(values: Any) -> Any:
    return values if np.ndim(values) else float(values)
