"""Data-sheet figures of common accelerators: dense peak speed by precision, and memory.

Speeds are those without sparsity, half of what a data sheet "with sparsity" says. Memory is in
decimal bytes as advertised. There are no prices: they change by the month and the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from scaling_laws.errors import PlanError, suggest
from scaling_laws.planning.costs.hardware import Hardware

_TERA = 1e12
_GIGA = 1e9
_GIBI = 2.0**30


@dataclass(frozen=True)
class Sheet:
    """What a data sheet says of one device.

    Parameters
    ----------
    memory : float
        Bytes.
    peaks : tuple of (str, float)
        Dense peak speed by precision [FLOP/s; OP/s for ``int8``].
    source : str
        The sheet.
    """

    memory: float
    peaks: tuple[tuple[str, float], ...]
    source: str


def _sheet(memory: float, source: str, **tera: float) -> Sheet:
    return Sheet(memory, tuple((name, value * _TERA) for name, value in tera.items()), source)


_A100 = {"tf32": 156.0, "fp16": 312.0, "bf16": 312.0, "int8": 624.0}
_H100 = {"tf32": 494.7, "fp16": 989.4, "bf16": 989.4, "fp8": 1978.9, "int8": 1978.9}

SHEETS: Mapping[str, Sheet] = MappingProxyType(
    {
        "V100-SXM2-16GB": _sheet(16 * _GIGA, "NVIDIA V100 data sheet", fp32=15.7, fp16=125.0),
        "V100-SXM2-32GB": _sheet(32 * _GIGA, "NVIDIA V100 data sheet", fp32=15.7, fp16=125.0),
        "T4": _sheet(16 * _GIGA, "NVIDIA T4 data sheet", fp32=8.1, fp16=65.0, int8=130.0),
        "A100-40GB": _sheet(40 * _GIGA, "NVIDIA A100 data sheet", fp32=19.5, **_A100),
        "A100-80GB": _sheet(80 * _GIGA, "NVIDIA A100 data sheet", fp32=19.5, **_A100),
        "L4": _sheet(24 * _GIGA, "NVIDIA L4 data sheet", fp16=121.0, bf16=121.0, fp8=242.0),
        "L40S": _sheet(48 * _GIGA, "NVIDIA L40S data sheet", fp16=362.0, bf16=362.0, fp8=733.0),
        "RTX-4090": _sheet(
            24 * _GIGA,
            "NVIDIA Ada architecture whitepaper, accumulation in 32 bit",
            fp32=82.6,
            tf32=82.6,
            fp16=165.2,
            bf16=165.2,
            fp8=330.3,
        ),
        "H100-SXM": _sheet(80 * _GIGA, "NVIDIA H100 architecture whitepaper", **_H100),
        "H100-PCIe": _sheet(
            80 * _GIGA,
            "NVIDIA H100 data sheet",
            tf32=378.0,
            fp16=756.5,
            bf16=756.5,
            fp8=1513.0,
            int8=1513.0,
        ),
        "H200-SXM": _sheet(141 * _GIGA, "NVIDIA H200 data sheet", **_H100),
        "B200-HGX": _sheet(
            180 * _GIGA,
            "NVIDIA Blackwell architecture brief, HGX B200 at 1000 W; DGX B200 data sheet (memory)",
            fp16=2250.0,
            bf16=2250.0,
            fp8=4500.0,
        ),
        "MI250X": _sheet(
            128 * _GIGA, "AMD Instinct MI250X data sheet, both dies", fp16=383.0, bf16=383.0
        ),
        "MI300X": _sheet(
            192 * _GIGA, "AMD Instinct MI300X data sheet", fp16=1307.4, bf16=1307.4, fp8=2614.9
        ),
        "TPU-v4": _sheet(32 * _GIBI, "Google Cloud TPU documentation, v4", bf16=275.0, int8=275.0),
        "TPU-v5e": _sheet(
            16 * _GIGA, "Google Cloud TPU documentation, v5e", bf16=197.0, int8=393.0
        ),
        "TPU-v5p": _sheet(95 * _GIGA, "Google Cloud TPU documentation, v5p", bf16=459.0),
        "TPU-v6e": _sheet(
            32 * _GIGA, "Google Cloud TPU documentation, v6e", bf16=918.0, int8=1836.0
        ),
    }
)


def get_accelerator(
    name: str,
    precision: str = "bf16",
    *,
    count: int = 1,
    utilization: float | Callable[[Any], Any] = 0.4,
    price_per_hour: float | None = None,
) -> Hardware:
    """Machine of ``count`` accelerators from their data sheet.

    Parameters
    ----------
    name : str
        One of `list_accelerators`, in any case and with or without dashes; the beginning will do
        where it names one alone.
    precision : str, default "bf16"
        What the matrix products are computed in.
    count : int, default 1
        Devices.
    utilization : float or callable, default 0.4
        Share of the peak that is reached; see `Hardware`. The default is a guess that well-tuned
        training of large models reaches: measure yours.
    price_per_hour : float, optional
        Dollars per device and hour.

    Raises
    ------
    PlanError
        The name is unknown or stands for several, or the sheet gives no speed at that precision.

    References
    ----------
    The data sheet of each device, named in ``Hardware.source``.

    Examples
    --------
    >>> machine = get_accelerator("h100-sxm", count=8)
    >>> machine.peak_flops, machine.memory, machine.source
    (989400000000000.0, 80000000000.0, 'NVIDIA H100 architecture whitepaper')
    >>> get_accelerator("H100")
    Traceback (most recent call last):
        ...
    scaling_laws.errors.PlanError: accelerator 'H100' stands for several: H100-SXM, H100-PCIe. \
Name one.
    """
    known = _find(name)
    sheet = SHEETS[known]
    peaks = dict(sheet.peaks)
    if precision not in peaks:
        raise PlanError(
            f"accelerator '{known}' has no figure for precision {precision!r}. It has "
            f"{', '.join(peaks)}; for another, write Hardware(name, peak_flops, memory)."
        )
    return Hardware(
        f"{known} {precision}",
        peaks[precision],
        sheet.memory,
        count,
        utilization,
        price_per_hour,
        sheet.source,
    )


def list_accelerators() -> tuple[str, ...]:
    """Names that `get_accelerator` knows.

    Examples
    --------
    >>> "A100-80GB" in list_accelerators()
    True
    """
    return tuple(SHEETS)


def _find(name: Any) -> str:
    wanted = _bare(name) if isinstance(name, str) else ""
    exact = [n for n in SHEETS if _bare(n) == wanted]
    found = exact or [n for n in SHEETS if wanted and _bare(n).startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise PlanError(f"accelerator '{name}' stands for several: {', '.join(found)}. Name one.")
    raise PlanError(
        f"unknown accelerator {name!r}.{suggest(str(name), SHEETS)} Known: {', '.join(SHEETS)}. "
        "For another, write Hardware(name, peak_flops, memory)."
    )


def _bare(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
