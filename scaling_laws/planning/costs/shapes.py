"""Shapes that grow with size, and the cost of training them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.errors import PlanError
from scaling_laws.planning.amounts import Array, one, plain, positive
from scaling_laws.planning.costs.architecture import (
    Convention,
    Positions,
    Transformer,
    check_convention,
    check_options,
    flops_per_token_of,
    params_of,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_STEPS = 10
_CORRECTIONS = 3


@dataclass(frozen=True)
class ShapeRule:
    """Shapes of every size from fixed proportions; called with a size, gives a `Transformer`.

    Parameters
    ----------
    width_per_layer : float, default 128.0
        Aspect ratio, width / layers.
    key_size : float, default 128.0
        Width of a head.
    feed_forward_per_width : float, default 4.0
        Inner width of a feed-forward block / width; 8/3 makes a gated one as large.
    queries_per_key : float, default 1.0
        Query heads that share a key-value head.
    vocab_size, context, gated, tied, biases, positions, experts, active_experts
        As in `Transformer`.
    embeddings : bool, default True
        Whether the sizes it is called with count embedding and output layer.

    Raises
    ------
    PlanError
        A number is not positive.

    References
    ----------
    Pearce and Song (2024), arXiv:2406.12907, sec. 3 (sizes at a fixed aspect ratio).

    Examples
    --------
    >>> rule = ShapeRule(gated=True, feed_forward_per_width=8 / 3)
    >>> shape = rule(7e9)
    >>> round(shape.params() / 1e9, 9), round(shape.layers), round(shape.width)
    (7.0, 32, 4157)
    """

    width_per_layer: float = 128.0
    key_size: float = 128.0
    feed_forward_per_width: float = 4.0
    queries_per_key: float = 1.0
    vocab_size: float = 32000
    context: float = 2048
    gated: bool = False
    tied: bool = False
    biases: bool = False
    positions: Positions = "none"
    experts: float = 1
    active_experts: float = 1
    embeddings: bool = True

    def __post_init__(self) -> None:
        check_options(self)
        for name in (f.name for f in fields(self) if not isinstance(f.default, bool | str)):
            one("ShapeRule", name, getattr(self, name), unit="count")

    def __call__(self, params: float) -> Transformer:
        """Shape of ``params`` [count] parameters."""
        size = np.asarray(one("ShapeRule", "params", params))
        shape = vars(self._at_width(self._widths(size)))
        plainly: dict[str, Any] = {
            n: v if isinstance(v, bool | str) else float(v) for n, v in shape.items()
        }
        return Transformer(**plainly)

    def flops_per_token(
        self,
        params: ArrayLike,
        convention: Convention = "chinchilla",
        embeddings: bool | None = None,
    ) -> Any:
        """Compute [FLOP] of training models of ``params`` [count] on one token, all at once."""
        size = positive("ShapeRule", "params", params)
        shape = self._at_width(self._widths(size))
        return plain(flops_per_token_of(shape, convention, embeddings))

    def _at_width(self, width: Array) -> SimpleNamespace:
        heads = width / self.key_size
        return SimpleNamespace(
            layers=width / self.width_per_layer,
            width=width,
            heads=heads,
            key_size=self.key_size,
            feed_forward=width * self.feed_forward_per_width,
            vocab_size=self.vocab_size,
            context=self.context,
            key_value_heads=heads / self.queries_per_key,
            gated=self.gated,
            tied=self.tied,
            biases=self.biases,
            positions=self.positions,
            experts=self.experts,
            active_experts=self.active_experts,
        )

    def _widths(self, params: Array) -> Array:
        """Invert parameters, a cubic in width without constant: Newton's method in logarithms."""
        points = np.array([1.0, 1e3, 1e6])
        powers = np.array([1.0, 2.0, 3.0])
        known = self._count(points)
        terms = points[:, None] ** powers / known[:, None]
        cubic = np.maximum(np.linalg.solve(terms, np.ones(3)), 0.0)
        with np.errstate(divide="ignore"):
            log_terms = np.log(cubic)
            bounds = (np.log(params)[..., None] - log_terms) / powers
        log_width = bounds.min(axis=-1)
        for _ in range(_STEPS):
            parts = np.exp(log_terms + powers * log_width[..., None])
            total = parts.sum(axis=-1)
            slope = (parts * powers).sum(axis=-1) / total
            log_width = log_width - np.log(total / params) / slope
        for _ in range(_CORRECTIONS):
            found = self._count(np.exp(log_width))
            log_width = log_width - np.log(found / params) / slope
        return np.asarray(np.exp(log_width), dtype=float)

    def _count(self, width: Array) -> Array:
        found = params_of(self._at_width(width), self.experts, self.embeddings)
        return np.asarray(found, dtype=float)


@dataclass(frozen=True)
class ArchitectureCost:
    """Training compute of models of known shape.

    Parameters
    ----------
    shape : callable
        ``shape(params) -> Transformer``; a `ShapeRule` is fast for many sizes at once.
    convention : {"chinchilla", "kaplan", "non_causal", "6ND"}
        See `Transformer.flops_per_token`.
    embeddings : bool, optional
        Whether embedding and output layer count. Default: as the convention does.
    name : str, default "architecture"
        How to call it in results.

    Raises
    ------
    PlanError
        ``shape`` is not a function, or gives no `Transformer`.

    References
    ----------
    Hoffmann et al. (2022), arXiv:2203.15556, appendix F.

    Examples
    --------
    >>> cost = ArchitectureCost(ShapeRule(context=8192))
    >>> [round(cost.flops(n, 1e9) / (6 * n * 1e9), 2) for n in (1e8, 1e10)]
    [1.83, 1.28]
    """

    shape: Callable[[float], Transformer]
    convention: Convention = "chinchilla"
    embeddings: bool | None = None
    name: str = "architecture"

    def __post_init__(self) -> None:
        if isinstance(self.shape, Transformer) or not callable(self.shape):
            raise PlanError(
                "ArchitectureCost: shape must be a function of params that gives a Transformer, "
                f"got {type(self.shape).__name__}. A ShapeRule is one."
            )
        check_convention(self.convention)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The quantities it reads."""
        return ("params", "tokens")

    def flops(self, params: ArrayLike, tokens: ArrayLike) -> Any:
        """Compute [FLOP] of training ``params`` [count] on ``tokens`` [count]."""
        size = positive(f"cost '{self.name}'", "params", params)
        count = positive(f"cost '{self.name}'", "tokens", tokens)
        if isinstance(self.shape, ShapeRule):
            each = self.shape.flops_per_token(size, self.convention, self.embeddings)
        else:
            different, back = np.unique(size, return_inverse=True)
            each = np.array([self._one(float(n)) for n in different])[back].reshape(size.shape)
        return plain(each * count)

    def _one(self, params: float) -> float:
        shape = self.shape(params)
        if not isinstance(shape, Transformer):
            raise PlanError(
                f"cost '{self.name}': shape({params:g}) gave {type(shape).__name__}, not a "
                "Transformer."
            )
        return shape.flops_per_token(self.convention, embeddings=self.embeddings)
