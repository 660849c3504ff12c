"""Canonical quantities: what each name means, its unit and the values it may take.

Every law, table, plan and log of this library uses these names for its columns and keyword
arguments, always as raw SI counts (7e9 parameters, never "7 B").
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, overload

from scaling_laws.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

Domain = Literal["positive", "fraction", "real"]
Direction = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that is varied or measured.

    Parameters
    ----------
    name : str
        Column and argument name.
    meaning, unit : str
        For documentation, axis labels and error messages.
    domain : {"positive", "fraction", "real"}
        ``"positive"`` is > 0, ``"fraction"`` is in [0, 1], ``"real"`` is any finite number.
    direction : {"lower", "higher"}
        Which way is better; matters for targets only.
    bounds : pair of float, optional
        Declared range of a bounded target such as accuracy; never inferred from values.
    symbol : str
        Mathematical symbol used in formulas.

    Examples
    --------
    >>> quantity("params").unit, quantity("accuracy").bounds
    ('count', (0.0, 1.0))
    """

    name: str
    meaning: str
    unit: str
    domain: Domain = "positive"
    direction: Direction = "lower"
    bounds: tuple[float, float] | None = None
    symbol: str = ""

    @property
    def label(self) -> str:
        """Axis label: meaning and unit."""
        return f"{self.meaning} [{self.unit}]" if self.unit else self.meaning


def _score(name: str, meaning: str) -> Quantity:
    return Quantity(name, meaning, "fraction", "fraction", "higher", (0.0, 1.0))


MOST, LEAST = 1e100, 1e-100  # sizes lie between: products and powers of them have a float
_INPUTS = (
    Quantity("params", "model parameters", "count", symbol="N"),
    Quantity("tokens", "training tokens processed", "count", symbol="D"),
    Quantity("unique_tokens", "distinct training tokens", "count", symbol="U"),
    Quantity("flops", "training compute", "FLOP", symbol="C"),
    Quantity("samples", "training samples", "count", symbol="n"),
    Quantity("steps", "optimiser steps", "count", symbol="S"),
    Quantity("epochs", "passes over the data", "count"),
    Quantity("experts", "experts per layer", "count", symbol="E"),
    Quantity("streams", "parallel streams", "count", symbol="P"),
    Quantity("vocab_size", "vocabulary size", "count", symbol="V"),
    Quantity("learning_rate", "peak learning rate", "", symbol=r"\eta"),
    Quantity("batch_size", "batch size", "tokens", symbol="B"),
    Quantity("sparsity", "weight sparsity", "fraction", "fraction"),
    Quantity("granularity", "expert granularity", "", symbol="G"),
    Quantity("precision_bits", "numerical precision", "bits"),
    Quantity("width", "model width", "count", symbol="w"),
    Quantity("depth", "model depth", "count"),
    Quantity("sparsity_ratio", "total over active parameters", ""),
    Quantity("weight_bits", "precision of weights", "bits"),
    Quantity("activation_bits", "precision of activations", "bits"),
    Quantity("key_value_bits", "precision of keys and values", "bits"),
    Quantity("tokens_per_param", "training tokens per parameter", "", symbol="M"),
    Quantity("year", "calendar year", ""),
    Quantity("proportion", "share of one domain in a mixture", "fraction", "fraction", symbol="r"),
    Quantity("training_loss", "loss on the training data", "nats"),
    Quantity("teacher_loss", "teacher's loss", "nats", symbol="L_T"),
    Quantity("task_loss", "loss on a downstream task", "nats"),
    Quantity("attempts", "attempts at a problem", "count", symbol="k"),
    Quantity("learning_rate_sum", "sum of learning rates over the steps", "", symbol="S_1"),
    Quantity("learning_rate_annealing", "annealing area of the schedule", "", "real", symbol="S_2"),
)
_TARGETS = (
    Quantity("loss", "test loss", "nats", symbol="L"),
    Quantity("perplexity", "perplexity", ""),
    Quantity("error", "error rate", "fraction", "fraction", "lower", (0.0, 1.0)),
    _score("accuracy", "accuracy"),
    _score("balanced_accuracy", "balanced accuracy"),
    _score("precision", "precision"),
    _score("recall", "recall"),
    _score("f1", "F1 score"),
    _score("roc_auc", "area under the ROC curve"),
    _score("ndcg", "normalised discounted cumulative gain"),
    _score("hit_rate", "hit rate"),
    Quantity("rmse", "root mean square error", ""),
    Quantity("mae", "mean absolute error", ""),
    Quantity("seconds", "wall time", "s"),
    Quantity("cpu_seconds", "processor time", "s"),
    Quantity("latency", "inference latency", "s"),
    Quantity("peak_memory", "peak memory", "bytes"),
)
_COSTS = frozenset({"seconds", "latency", "peak_memory", "flops"})
_BY_NAME = {q.name: q for q in _INPUTS + _TARGETS}

INPUT_NAMES = tuple(q.name for q in _INPUTS)
TARGET_NAMES = tuple(q.name for q in _TARGETS)
_CUT_OFF = re.compile(r"(?P<score>[a-z_0-9]+?)(?:@|_at_)(?P<k>[1-9]\d*)")


def is_cost(name: str) -> bool:
    """Whether a target is what runs cost, which grows with their scale: time, memory, compute.

    Examples
    --------
    >>> is_cost("latency"), is_cost("fit_seconds"), is_cost("loss")
    (True, True, False)
    """
    return name in _COSTS or name.endswith("_seconds")


def quantity(name: str) -> Quantity:
    """Return the declared quantity, or an undeclared one (any real number) for a new name.

    A score with a cut-off, such as ``recall@10`` or ``ndcg_at_5``, is that score.

    Parameters
    ----------
    name : str
        Canonical or user-chosen name.

    Examples
    --------
    >>> quantity("tokens").domain, quantity("my_knob").domain
    ('positive', 'real')
    >>> quantity("recall@10").bounds, quantity("recall@10").direction
    ((0.0, 1.0), 'higher')
    """
    known = _BY_NAME.get(name)
    if known is not None:
        return known
    cut = _CUT_OFF.fullmatch(name) if isinstance(name, str) else None
    base = _BY_NAME.get(cut["score"]) if cut else None
    if cut and base is not None and base.domain == "fraction" and base.name in TARGET_NAMES:
        return replace(base, name=name, meaning=f"{base.meaning} at {cut['k']}")
    return Quantity(name, name, "", "real")


def as_floats(name: str, values: Any) -> NDArray[np.float64]:
    """Return ``values`` as floats; masked ones are NaN.

    Parameters
    ----------
    name : str
        What they are, for the message.
    values : array_like

    Returns
    -------
    ndarray of float64

    Raises
    ------
    DataError
        Not numbers: text with a unit, complex numbers, dates, or too large for a float.

    Examples
    --------
    >>> as_floats("params", [1, 2]).tolist()
    [1.0, 2.0]
    >>> as_floats("params", "70B")
    Traceback (most recent call last):
        ...
    scaling_laws.errors.DataError: 'params' must hold numbers: got '70B'. Convert units such as \
'70B' to plain counts first.
    """
    import numpy as np

    try:
        if isinstance(values, np.ma.MaskedArray):
            values = np.ma.filled(values.astype(float), np.nan)
        if getattr(np.asarray(values), "dtype", np.dtype(float)).kind in "cmM":
            raise TypeError  # numpy would drop the imaginary part, and count days
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError, OverflowError):
        shown = repr(values)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise DataError(
            f"'{name}' must hold numbers: got {shown}. Convert units such as '70B' to plain counts "
            "first."
        ) from None


def real_number(value: Any) -> float:
    """Return one real number as a float, infinite where none holds it; NaN for anything else.

    Parameters
    ----------
    value : object
        A number, of NumPy or not; text, truth values and arrays are none.

    Examples
    --------
    >>> real_number(3), real_number(10**400), real_number("3"), real_number(True)
    (3.0, inf, nan, nan)
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if abs(value) == value else -math.inf


def check_values(
    name: str,
    values: ArrayLike,
    domain: Domain | None = None,
    rows: Sequence[Hashable] | None = None,
) -> NDArray[np.float64]:
    """Return ``values`` as finite floats inside the quantity's domain.

    Parameters
    ----------
    name : str
        Quantity the values belong to; names it in the message.
    values : array_like
        Numbers, in the quantity's unit.
    domain : {"positive", "fraction", "real"}, optional
        Defaults to the declared domain of ``name``.
    rows : sequence, optional
        Labels of the values for the message; default their positions.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    DataError
        Not numbers, not finite, or outside the domain; the first offending row is named.

    Examples
    --------
    >>> check_values("tokens", [10, 20]).tolist()
    [10.0, 20.0]
    >>> check_values("tokens", [10, 0])
    Traceback (most recent call last):
        ...
    scaling_laws.errors.DataError: 'tokens' must be positive and finite: row 1 has 0.0. Drop the \
row or correct the value.
    """
    import numpy as np

    array = as_floats(name, values)
    domain = domain or quantity(name).domain
    ok = np.isfinite(array)
    if domain == "positive":
        ok &= array > 0
    elif domain == "fraction":
        ok &= (array >= 0) & (array <= 1)
    if not ok.all():
        first = int(np.flatnonzero(~ok.ravel())[0])
        wanted = {"positive": "positive and finite", "fraction": "in [0, 1]", "real": "finite"}
        value = float(array.ravel()[first])
        row = first if rows is None else rows[first]
        remedy = "Drop the row or correct the value."
        if domain == "positive" and value < -1e9:
            remedy = (
                "A count this negative is usually a 64-bit integer overflow: convert to float "
                "before multiplying."
            )
        elif domain == "fraction" and 1 < value <= 100:
            remedy = "Is it in percent? Then divide by 100."
        raise DataError(f"'{name}' must be {wanted[domain]}: row {row} has {value}. {remedy}")
    return array


@overload
def training_flops(params: float, tokens: float) -> float: ...
@overload
def training_flops(params: ArrayLike, tokens: ArrayLike) -> NDArray[np.float64] | float: ...
def training_flops(params: ArrayLike, tokens: ArrayLike) -> NDArray[np.float64] | float:
    """Training compute of a dense model, ``6 N D`` [FLOP], in floating point.

    Integers are converted first: in 64-bit integers ``6 N D`` overflows silently above 9.2e18.

    Parameters
    ----------
    params, tokens : array_like
        Parameters [count] and training tokens [count]; they broadcast.

    Returns
    -------
    float or ndarray
        Two FLOP forward and four backward per parameter and token.

    Raises
    ------
    DataError
        Not numbers, or shapes that do not broadcast.

    References
    ----------
    Kaplan et al. (2020), arXiv:2001.08361, sec. 2.1.

    Examples
    --------
    >>> import numpy as np
    >>> training_flops(np.int64(70_000_000_000), np.int64(1_400_000_000_000)) == 6 * 7e10 * 1.4e12
    True
    """
    import numpy as np

    sizes, counts = as_floats("params", params), as_floats("tokens", tokens)
    try:
        with np.errstate(over="ignore"):
            product = 6.0 * sizes * counts
    except ValueError:
        raise DataError(
            f"params and tokens do not broadcast: {sizes.shape} and {counts.shape}."
        ) from None
    return product if product.ndim else float(product)
