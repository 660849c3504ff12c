"""Memory [bytes] of training and of serving a model, and the largest model that fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from scaling_laws.errors import PlanError
from scaling_laws.planning.amounts import is_number, one, plain, positive, whole
from scaling_laws.planning.costs.architecture import Transformer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Sharded = Literal["nothing", "optimizer", "gradients", "everything"]
Recomputed = Literal["nothing", "attention", "everything"]

_HALVINGS = 48


def training_bytes(
    params: ArrayLike,
    *,
    devices: int = 1,
    sharded: Sharded = "nothing",
    weight_bytes: float = 2.0,
    gradient_bytes: float = 2.0,
    optimizer_bytes: float = 12.0,
) -> Any:
    """Memory [bytes per device] of weights, gradients and optimiser state.

    Parameters
    ----------
    params : array_like
        Parameters [count], all experts included.
    devices : int, default 1
        Devices the state is sharded over.
    sharded : {"nothing", "optimizer", "gradients", "everything"}
        What is split over the devices: ZeRO stage 0, 1, 2 or 3.
    weight_bytes, gradient_bytes, optimizer_bytes : float
        Bytes a parameter. The defaults are Adam in mixed precision: 2 + 2 + 12 = 16, the last for
        a copy of the weights and two moments in 32 bit.

    Returns
    -------
    float or ndarray
        Activations, buffers and fragmentation come on top: see `activation_bytes`.

    Raises
    ------
    PlanError
        A number is not positive, or ``sharded`` is unknown.

    References
    ----------
    Rajbhandari et al. (2020), arXiv:1910.02054, sec. 3.1 and fig. 1 (the example).

    Examples
    --------
    >>> stages = ("nothing", "optimizer", "gradients", "everything")
    >>> [round(training_bytes(7.5e9, devices=64, sharded=s) / 1e9, 1) for s in stages]
    [120.0, 31.4, 16.6, 1.9]
    """
    size = positive("training_bytes", "params", params)
    each = _bytes_per_param(devices, sharded, weight_bytes, gradient_bytes, optimizer_bytes)
    return plain(size * each)


def largest_to_train(
    memory: ArrayLike,
    *,
    devices: int = 1,
    sharded: Sharded = "nothing",
    reserved: float = 0.0,
    weight_bytes: float = 2.0,
    gradient_bytes: float = 2.0,
    optimizer_bytes: float = 12.0,
) -> Any:
    """Largest model [count] whose training state fits: inverts `training_bytes`.

    Parameters
    ----------
    memory : array_like
        Memory of one device [bytes].
    reserved : float, default 0
        Kept for activations and buffers on every device [bytes].
    devices, sharded, weight_bytes, gradient_bytes, optimizer_bytes
        As in `training_bytes`.

    Raises
    ------
    PlanError
        As `training_bytes`, or nothing is left after what is reserved.

    References
    ----------
    Rajbhandari et al. (2020), arXiv:1910.02054, sec. 3.1.

    Examples
    --------
    >>> largest_to_train(80e9, devices=8, sharded="everything") / 1e9
    40.0
    """
    free = _free("largest_to_train", memory, reserved)
    each = _bytes_per_param(devices, sharded, weight_bytes, gradient_bytes, optimizer_bytes)
    return plain(free / each)


def activation_bytes(
    shape: Transformer, sequences: float = 1, *, recomputed: Recomputed = "nothing"
) -> float:
    r"""Memory [bytes] of the activations that the backward pass needs, all layers, 16 bit.

    Parameters
    ----------
    shape : Transformer
        Width h, heads a, context s and layers of the model.
    sequences : float, default 1
        Sequences b processed at once.
    recomputed : {"nothing", "attention", "everything"}
        What is computed a second time instead of being kept.

    Returns
    -------
    float
        ``layers`` times :math:`sbh(34 + 5as/h)`, :math:`34 sbh` or :math:`2 sbh`. Tensor and
        sequence parallelism over t devices divide it by t. A stated estimate: for feed-forward
        blocks of 4 h, without grouped queries or gates, and without the output layer.

    Raises
    ------
    PlanError
        A number is not positive, or ``recomputed`` is unknown.

    References
    ----------
    Korthikanti et al. (2022), arXiv:2205.05198, eq. 2 and table 2; 70 % saved for GPT-3 (example).

    Examples
    --------
    >>> gpt3 = Transformer(96, 12288, 96, 128, 49152, 51200, 2048)
    >>> whole = activation_bytes(gpt3)
    >>> round(1 - activation_bytes(gpt3, recomputed="attention") / whole, 2)
    0.7
    """
    count = one("activation_bytes", "sequences", sequences, unit="count")
    tokens = count * shape.context
    per_layer = {
        "nothing": 34 * shape.width + 5 * shape.heads * shape.context,
        "attention": 34 * shape.width,
        "everything": 2 * shape.width,
    }
    if recomputed not in per_layer:
        raise PlanError(
            f"activation_bytes: recomputed must be one of {get_args(Recomputed)}, got "
            f"{recomputed!r}."
        )
    return float(shape.layers * tokens * per_layer[recomputed])


def serving_bytes(
    params: ArrayLike,
    *,
    bits: float = 16,
    shape: Transformer | None = None,
    sequences: float = 1,
    context: float | None = None,
    cache_bits: float = 16,
) -> Any:
    """Memory [bytes] of weights and, for a known shape, of the cache of keys and values.

    Parameters
    ----------
    params : array_like
        Parameters [count], all experts included.
    bits : float, default 16
        Bits a weight.
    shape : Transformer, optional
        Without it no cache is counted.
    sequences : float, default 1
        Sequences served at once.
    context : float, optional
        Tokens a sequence [count]; default: the context of the shape.
    cache_bits : float, default 16
        Bits a cached value.

    Raises
    ------
    PlanError
        A number is not positive.

    References
    ----------
    Kwon et al. (2023), arXiv:2309.06180, sec. 3 (the cache).

    Examples
    --------
    >>> llama = Transformer(32, 4096, 32, 128, 11008, 32000, 4096, gated=True)
    >>> round(serving_bytes(llama.params(), bits=8, shape=llama, sequences=4) / 1e9, 2)
    15.33
    """
    size = positive("serving_bytes", "params", params)
    weights = size * (one("serving_bytes", "bits", bits, unit="bits") / 8)
    return plain(weights + _cache("serving_bytes", shape, sequences, context, cache_bits))


def largest_to_serve(
    memory: float,
    *,
    bits: float = 16,
    reserved: float = 0.0,
    shape: Callable[[float], Transformer] | None = None,
    sequences: float = 1,
    context: float | None = None,
    cache_bits: float = 16,
) -> float:
    """Largest model [count] that can be served: inverts `serving_bytes`.

    Parameters
    ----------
    memory : float
        Memory [bytes].
    reserved : float, default 0
        Kept for activations and buffers [bytes].
    shape : callable, optional
        ``shape(params) -> Transformer``, such as a `ShapeRule`; without it no cache is counted.
    bits, sequences, context, cache_bits
        As in `serving_bytes`.

    Raises
    ------
    PlanError
        A number is not positive, nothing is left after what is reserved, or the cache of the
        smallest shape does not fit.

    References
    ----------
    Kwon et al. (2023), arXiv:2309.06180, sec. 3 (the cache).

    Examples
    --------
    >>> largest_to_serve(24e9, bits=8) / 1e9
    24.0
    """
    free = float(_free("largest_to_serve", one("largest_to_serve", "memory", memory), reserved))
    each = one("largest_to_serve", "bits", bits, unit="bits") / 8
    if shape is None:
        return free / each
    low, high = 0.0, float(np.log(max(free / each, 1.0)))
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        size = float(np.exp(middle))
        cache = _cache("largest_to_serve", shape(size), sequences, context, cache_bits)
        low, high = (middle, high) if size * each + cache <= free else (low, middle)
    if low == 0.0:
        raise PlanError(
            f"largest_to_serve: no model fits in {free:.3g} bytes beside its cache. Serve fewer or "
            "shorter sequences, or store fewer bits."
        )
    return float(np.exp(low))


def _cache(
    where: str,
    shape: Transformer | None,
    sequences: float,
    context: float | None,
    cache_bits: float,
) -> float:
    count = one(where, "sequences", sequences, unit="count")
    bits = one(where, "cache_bits", cache_bits, unit="bits")
    if shape is None:
        if context is not None or count != 1:
            raise PlanError(f"{where}: sequences and context need a shape, to size the cache.")
        return 0.0
    length = shape.context if context is None else one(where, "context", context, unit="count")
    return count * length * shape.cache_bytes_per_token(bits / 8)


def _free(where: str, memory: ArrayLike, reserved: float) -> Any:
    have = positive(where, "memory", memory, unit="bytes")
    if not is_number(reserved) or not 0 <= reserved < np.inf:
        raise PlanError(f"{where}: reserved must be a number of bytes >= 0, got {reserved!r}.")
    if np.any(have <= reserved):
        raise PlanError(
            f"{where}: nothing is left of {have.min():.3g} bytes after reserving {reserved:.3g}. "
            "Use larger devices or reserve less."
        )
    return have - reserved


def _bytes_per_param(
    devices: int, sharded: str, weights: float, gradients: float, optimizer: float
) -> float:
    parts = [
        one("training_bytes", f"{name}_bytes", value, unit="bytes")
        for name, value in (("optimizer", optimizer), ("gradient", gradients), ("weight", weights))
    ]
    if sharded not in get_args(Sharded):
        raise PlanError(
            f"training_bytes: sharded must be one of {get_args(Sharded)}, got {sharded!r}."
        )
    split = get_args(Sharded).index(sharded)
    count = whole("training_bytes", "devices", devices)
    return sum(parts[:split]) / count + sum(parts[split:])
