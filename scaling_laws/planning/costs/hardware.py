"""Machines: from compute to seconds and dollars, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.errors import PlanError
from scaling_laws.planning.amounts import Array, each, one, plain, positive, whole
from scaling_laws.quantities import real_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scaling_laws.laws.family import Law

_HOUR = 3600.0
_SLOWEST = 1e9  # FLOP/s of a device below which a figure must be in another unit
_SMALLEST = 1e6  # bytes, likewise
_ACCELERATED = 1e12  # FLOP/s above which nobody plans runs of a second


@dataclass(frozen=True)
class Hardware:
    """Devices of one kind: their speed, memory, price and the share of the peak that is reached.

    Parameters
    ----------
    name : str
        How to call it in results.
    peak_flops : float
        Peak speed of one device at the precision used, without sparsity [FLOP/s].
    memory : float
        Memory of one device [bytes].
    count : int, default 1
        Devices.
    utilization : float, callable or Law, default 0.4
        Share of the peak that is reached, in (0, 1], counting the FLOP of the cost that is asked
        about: model FLOP utilisation for ``6ND``. A function or law of ``params`` where it depends
        on size, such as what `fit_utilization` returns.
    price_per_hour : float, optional
        Dollars per device and hour.
    source : str
        Where the figures come from.

    Raises
    ------
    PlanError
        A number is not positive, looks like TFLOP/s or GB, or the utilisation exceeds 1.

    References
    ----------
    Chowdhery et al. (2022), arXiv:2204.02311, appendix B (model FLOP utilisation); Narayanan et al.
    (2021), arXiv:2104.04473, sec. 5.1, eq. 4 (time of a run; the example).

    Examples
    --------
    GPT-3 on 1024 A100 at 140 TFLOP/s each takes 34 days when activations are recomputed:

    >>> machine = Hardware("A100", 312e12, 80e9, count=1024, utilization=140 / 312)
    >>> round(machine.seconds(8 * 175e9 * 300e9) / 86400)
    34
    """

    name: str
    peak_flops: float
    memory: float
    count: int = 1
    utilization: float | Callable[[Any], Any] | Law = 0.4
    price_per_hour: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        where = f"Hardware '{self.name}'"
        if one(where, "peak_flops", self.peak_flops, unit="FLOP/s") < _SLOWEST:
            raise PlanError(
                f"{where}: peak_flops={self.peak_flops:g} is no speed of a device in FLOP/s. Write "
                "989e12 for 989 TFLOP/s."
            )
        if one(where, "memory", self.memory, unit="bytes") < _SMALLEST:
            raise PlanError(
                f"{where}: memory={self.memory:g} is no size in bytes. Write 80e9 for 80 GB."
            )
        whole(where, "count", self.count)
        if self.price_per_hour is not None:
            one(where, "price_per_hour", self.price_per_hour, unit="dollars per device and hour")
        if not callable(self.utilization):
            self._check_share(self.utilization)
        elif getattr(self.utilization, "inputs", ("params",)) != ("params",):
            raise PlanError(f"{where}: utilization must be a law of 'params' alone.")

    def _check_share(self, share: Any) -> None:
        where = f"Hardware '{self.name}': utilization must be in (0, 1]"
        if not callable(self.utilization) and not np.isfinite(real_number(share)):
            raise PlanError(f"{where}, got {share!r}.")
        values = np.asarray(share, dtype=float)
        wrong = values[~((values > 0) & (values <= 1))]
        if wrong.size:
            value = float(wrong.flat[0])
            hint = f" Did you mean {value / 100:g}?" if 1 < value <= 100 else ""
            raise PlanError(f"{where}, got {value:g}.{hint}")

    def share(self, params: ArrayLike | None = None) -> Any:
        """Utilisation at ``params`` [count]; they are needed only where it depends on them.

        Raises
        ------
        PlanError
            ``params`` are missing, or the utilisation there is outside (0, 1].
        """
        if not callable(self.utilization):
            return float(self.utilization)
        if params is None:
            raise PlanError(
                f"Hardware '{self.name}': the utilisation depends on params. Pass params=."
            )
        size = positive(f"Hardware '{self.name}'", "params", params)
        named = hasattr(self.utilization, "inputs")
        found: Any = self.utilization
        values = plain(found(params=size) if named else each(found, size))
        self._check_share(values)
        return values

    def flops_per_second(self, params: ArrayLike | None = None) -> Any:
        """Speed of all devices together [FLOP/s], as utilised."""
        return plain(float(self.count) * self.peak_flops * np.asarray(self.share(params)))

    def seconds(self, flops: ArrayLike, params: ArrayLike | None = None) -> Any:
        """Wall time [s] of ``flops`` [FLOP] for a model of ``params`` [count].

        Raises
        ------
        PlanError
            ``flops`` is not positive, or looks like a speed: less than a second at peak on an
            accelerator.
        """
        work = self._work(flops)
        return plain(work / np.asarray(self.flops_per_second(params)))

    def device_hours(self, flops: ArrayLike, params: ArrayLike | None = None) -> Any:
        """Device-hours [h] of ``flops`` [FLOP]; they do not depend on ``count``."""
        return plain(np.asarray(self.seconds(flops, params)) * (self.count / _HOUR))

    def dollars(self, flops: ArrayLike, params: ArrayLike | None = None) -> Any:
        """Price [dollars] of ``flops`` [FLOP].

        Raises
        ------
        PlanError
            No price is known.
        """
        return plain(np.asarray(self.device_hours(flops, params)) * self._price())

    def flops(
        self,
        *,
        seconds: ArrayLike | None = None,
        dollars: ArrayLike | None = None,
        device_hours: ArrayLike | None = None,
        params: ArrayLike | None = None,
    ) -> Any:
        """Compute [FLOP] that a time, a sum or device-hours pay for; give exactly one.

        Raises
        ------
        PlanError
            Not exactly one is given, it is not positive, or no price is known.

        Examples
        --------
        >>> machine = Hardware("mine", 1e14, 24e9, count=10, utilization=0.5, price_per_hour=2.0)
        >>> machine.flops(seconds=3600), machine.flops(dollars=20), machine.flops(device_hours=10)
        (1.8e+18, 1.8e+18, 1.8e+18)
        """
        where = f"Hardware '{self.name}'.flops"
        given = {"seconds": seconds, "dollars": dollars, "device_hours": device_hours}
        known = {n: v for n, v in given.items() if v is not None}
        if len(known) != 1:
            raise PlanError(
                f"{where}: give exactly one of seconds, dollars and device_hours, got "
                f"{sorted(known) or 'none'}."
            )
        (name, value), *_ = known.items()
        amount = positive(where, name, value)
        factor = 1.0
        if name != "seconds":
            factor = _HOUR / self.count / (self._price() if name == "dollars" else 1.0)
        return plain(amount * factor * np.asarray(self.flops_per_second(params)))

    def tokens_per_second(self, params: ArrayLike, flops_per_param_token: float = 6.0) -> Any:
        """Training speed [tokens/s] at ``params`` [count]; 2 instead of 6 for a forward pass."""
        size = positive(f"Hardware '{self.name}'", "params", params)
        each = one(
            f"Hardware '{self.name}'", "flops_per_param_token", flops_per_param_token, unit="FLOP"
        )
        return plain(np.asarray(self.flops_per_second(size)) / (each * size))

    @property
    def total_memory(self) -> float:
        """Memory of all devices together [bytes]."""
        return float(self.memory) * self.count

    def _price(self) -> float:
        if self.price_per_hour is None:
            raise PlanError(
                f"Hardware '{self.name}' has no price. Give price_per_hour, in dollars per device "
                "and hour."
            )
        return float(self.price_per_hour)

    def _work(self, flops: ArrayLike) -> Array:
        work = positive(f"Hardware '{self.name}'", "flops", flops)
        at_once = float(self.count) * self.peak_flops
        if at_once >= _ACCELERATED and work.min() <= at_once:
            raise PlanError(
                f"Hardware '{self.name}': flops={work.min():.3g} is less than a second of its "
                f"peak, {at_once:.3g} FLOP/s. It looks like a speed: multiply by the seconds of "
                "the run."
            )
        return work


def serving_weight(training: Hardware, serving: Hardware, params: float | None = None) -> float:
    """Price of a served FLOP relative to a FLOP of training, for `LifetimeCost`.

    Parameters
    ----------
    training, serving : Hardware
        Both with a price. Serving reaches a far lower share of the peak, above all one token at a
        time.
    params : float, optional
        Size [count] at which utilisations are taken, where they depend on it.

    Raises
    ------
    PlanError
        A price or ``params`` is missing.

    References
    ----------
    Sardana et al. (2024), arXiv:2401.00448, eq. 6: each term over its utilisation, times its price.

    Examples
    --------
    >>> train = Hardware("H100", 989.4e12, 80e9, utilization=0.4, price_per_hour=2.0)
    >>> serve = Hardware("H100", 989.4e12, 80e9, utilization=0.1, price_per_hour=2.0)
    >>> serving_weight(train, serve)
    4.0
    """
    hour = [float(machine.flops(dollars=1.0, params=params)) for machine in (training, serving)]
    return hour[0] / hour[1]
