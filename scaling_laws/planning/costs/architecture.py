"""The shape of a transformer: its parameters and its true compute."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from scaling_laws.errors import PlanError, suggest
from scaling_laws.planning.amounts import one, plain, positive

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Convention = Literal["6ND", "kaplan", "non_causal", "chinchilla"]
Positions = Literal["none", "learned", "relative"]

_COUNTED = {"6ND": True, "kaplan": False, "non_causal": False, "chinchilla": True}


@dataclass(frozen=True)
class Transformer:
    r"""Shape of a decoder-only transformer.

    Parameters
    ----------
    layers, width, heads, key_size, feed_forward : float
        Blocks, model width, query heads, width of a head, inner width of a feed-forward block.
        Fractions are allowed, for shapes that change smoothly with size.
    vocab_size : float
        Tokens in the vocabulary.
    context : float
        Tokens a sequence.
    key_value_heads : float, optional
        Fewer than ``heads`` with grouped queries; default ``heads``.
    gated : bool, default False
        Three matrices a feed-forward block (SwiGLU) rather than two.
    tied : bool, default False
        Whether the output layer is the embedding.
    biases : bool, default False
        Biases in linear layers, and shifts in norms.
    positions : {"none", "learned", "relative"}
        ``"none"`` includes rotary; ``"learned"`` is a table of ``context`` rows, ``"relative"`` a
        projection and two biases a layer, as in Transformer-XL and Chinchilla.
    experts, active_experts : int, default 1
        Feed-forward blocks a layer, and how many of them a token passes.

    Raises
    ------
    PlanError
        A number is not positive, or more heads or experts are used than there are.

    Notes
    -----
    Exact counts, norms and router included. Two norms a layer and one at the end.

    References
    ----------
    Touvron et al. (2023), arXiv:2307.09288 (the example).

    Examples
    --------
    >>> llama = Transformer(
    ...     layers=32, width=4096, heads=32, key_size=128, feed_forward=11008, vocab_size=32000,
    ...     context=4096, gated=True,
    ... )
    >>> llama.params(), llama.params(embeddings=False)
    (6738415616.0, 6476271616.0)
    >>> round(llama.training_flops(2e12) / (6 * llama.params() * 2e12), 2)
    1.16
    """

    layers: float
    width: float
    heads: float
    key_size: float
    feed_forward: float
    vocab_size: float
    context: float
    key_value_heads: float | None = None
    gated: bool = False
    tied: bool = False
    biases: bool = False
    positions: Positions = "none"
    experts: float = 1
    active_experts: float = 1

    def __post_init__(self) -> None:
        check_options(self)
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            if name == "key_value_heads" and value is None:
                continue
            if name not in {"gated", "tied", "biases", "positions"}:
                one("Transformer", name, value, unit="count")
        if self.key_value_heads is not None and self.key_value_heads > self.heads:
            raise PlanError(
                f"Transformer: key_value_heads={self.key_value_heads} exceeds heads={self.heads}."
            )

    def params(self, *, embeddings: bool = True) -> float:
        """Parameters [count], with or without embedding and output layer."""
        return float(params_of(self, self.experts, embeddings))

    def active_params(self, *, embeddings: bool = True) -> float:
        """Parameters [count] that one token passes; all but the experts it skips."""
        return float(params_of(self, self.active_experts, embeddings))

    def flops_per_token(
        self, convention: Convention = "chinchilla", *, embeddings: bool | None = None
    ) -> float:
        r"""Compute [FLOP] of training on one token: forward, and twice that backward.

        Parameters
        ----------
        convention : {"6ND", "kaplan", "non_causal", "chinchilla"}
            ``"6ND"``: 6 per active parameter, attention left out. ``"kaplan"`` [1]_: 6 per weight
            plus ``6 layers context heads key_size``, half the attention matrix. ``"non_causal"``
            [2]_: the whole of it, 12. ``"chinchilla"`` [3]_: operation by operation, softmax
            included.
        embeddings : bool, optional
            Whether embedding and output layer count. Default: as the convention does; only
            ``"6ND"`` and ``"chinchilla"`` count them. For ``"kaplan"`` and ``"non_causal"`` the
            output layer alone is counted, since looking up a row costs nothing.

        Raises
        ------
        PlanError
            Unknown convention.

        Notes
        -----
        Table A4 of [3]_ is reproduced to its two decimals by ``embeddings=False`` with relative
        positions, 32,000 tokens in the vocabulary and 2,048 in the context, not by the sum that
        appendix F prints.

        References
        ----------
        .. [1] Kaplan et al. (2020), arXiv:2001.08361, table 1.
        .. [2] Narayanan et al. (2021), arXiv:2104.04473, sec. 3.4 (without recomputation).
        .. [3] Hoffmann et al. (2022), arXiv:2203.15556, appendix F.

        Examples
        --------
        >>> small = Transformer(10, 640, 10, 64, 2560, 32000, 2048, tied=True, positions="relative")
        >>> exact = small.flops_per_token("chinchilla", embeddings=False)
        >>> round(exact / small.flops_per_token("6ND"), 2)
        1.03
        """
        return float(flops_per_token_of(self, convention, embeddings))

    def training_flops(
        self,
        tokens: ArrayLike,
        convention: Convention = "chinchilla",
        *,
        embeddings: bool | None = None,
    ) -> Any:
        """Compute [FLOP] of training on ``tokens`` [count]; options of `flops_per_token`."""
        count = positive("Transformer.training_flops", "tokens", tokens)
        return plain(count * flops_per_token_of(self, convention, embeddings))

    def inference_flops(
        self,
        tokens: ArrayLike,
        convention: Convention = "chinchilla",
        *,
        embeddings: bool | None = None,
    ) -> Any:
        """Compute [FLOP] of passing ``tokens`` [count] forward: a third of training on them."""
        count = positive("Transformer.inference_flops", "tokens", tokens)
        return plain(count * flops_per_token_of(self, convention, embeddings) / 3)

    def cache_bytes_per_token(self, bytes_per_value: float = 2.0) -> float:
        """Memory [bytes] of the keys and values of one token in all layers.

        References
        ----------
        Kwon et al. (2023), arXiv:2309.06180, sec. 3: 800 KB for OPT-13B in 16 bit (the example).

        Examples
        --------
        >>> opt = Transformer(40, 5120, 40, 128, 20480, 50272, 2048)
        >>> opt.cache_bytes_per_token() / 1024
        800.0
        """
        size = one("Transformer", "bytes_per_value", bytes_per_value, unit="bytes")
        return float(2 * self.layers * _key_value_heads(self) * self.key_size * size)


def _key_value_heads(t: Any) -> Any:
    return t.heads if t.key_value_heads is None else t.key_value_heads


def _attention_weights(t: Any) -> Any:
    return 2 * t.width * t.key_size * (t.heads + _key_value_heads(t))


def _feed_forward_weights(t: Any) -> Any:
    return (3 if t.gated else 2) * t.width * t.feed_forward


def _router_weights(t: Any) -> Any:
    return t.width * t.experts if t.experts > 1 else 0.0


def params_of(t: Any, experts: float, embeddings: bool) -> Any:
    """Parameters of any shape, array shapes included; ``experts`` of them counted a layer."""
    layer = _attention_weights(t) + experts * _feed_forward_weights(t) + _router_weights(t)
    layer = layer + (4 if t.biases else 2) * t.width
    if t.biases:
        layer = layer + t.key_size * (t.heads + 2 * _key_value_heads(t)) + t.width
        layer = layer + experts * ((2 if t.gated else 1) * t.feed_forward + t.width)
    if t.positions == "relative":
        layer = layer + (t.width + 2) * t.heads * t.key_size
    total = t.layers * layer + (2 if t.biases else 1) * t.width
    if not embeddings:
        return total
    rows = (1 if t.tied else 2) * t.vocab_size + (t.context if t.positions == "learned" else 0)
    return total + rows * t.width


def flops_per_token_of(t: Any, convention: Convention, embeddings: bool | None) -> Any:
    """Training compute per token of any shape, array shapes included."""
    check_convention(convention)
    counted = _COUNTED[convention] if embeddings is None else embeddings
    if convention == "6ND":
        return 6 * params_of(t, t.active_experts, counted)
    weights = _attention_weights(t) + t.active_experts * _feed_forward_weights(t)
    weights = weights + _router_weights(t)
    scores = t.context * t.heads * t.key_size
    output = 6 * t.vocab_size * t.width if counted else 0.0
    if convention == "kaplan":
        return t.layers * (6 * weights + 6 * scores) + output
    if convention == "non_causal":
        return t.layers * (6 * weights + 12 * scores) + output
    softmax = 9 * t.heads * t.context
    return t.layers * (6 * weights + 12 * scores + softmax) + 2 * output


def check_convention(convention: Any) -> None:
    """Refuse an unknown convention of counting compute."""
    if convention not in _COUNTED:
        raise PlanError(
            f"unknown convention {convention!r}.{suggest(str(convention), _COUNTED)} Known: "
            f"{', '.join(_COUNTED)}."
        )


def check_options(t: Any) -> None:
    """Check what a `Transformer` and a rule for shapes have in common."""
    where = type(t).__name__
    for name in ("gated", "tied", "biases"):
        if not isinstance(getattr(t, name), bool):
            raise PlanError(f"{where}: {name} must be True or False, got {getattr(t, name)!r}.")
    if t.positions not in get_args(Positions):
        raise PlanError(
            f"{where}: positions must be one of {get_args(Positions)}, got {t.positions!r}."
        )
    known = all(isinstance(n, int | float) for n in (t.active_experts, t.experts))
    if known and t.active_experts > t.experts:
        raise PlanError(f"{where}: active_experts={t.active_experts} exceeds experts={t.experts}.")
