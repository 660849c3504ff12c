"""What counts as a parameter: a law and a cost must agree, or be translated.

`count_notes` says by how much they differ; `with_embeddings` and `without_embeddings` translate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_laws.errors import Note
from scaling_laws.planning.amounts import one, plain, positive

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from scaling_laws.planning.costs.architecture import Transformer

_OMEGA = 47491.0


def with_embeddings(params: ArrayLike, omega: float = _OMEGA) -> Any:
    r"""Parameters with embeddings [count] of a model counted without, :math:`N + \omega N^{1/3}`.

    Parameters
    ----------
    params : array_like
        Parameters without embeddings [count].
    omega : float, default 47491
        For 32,000 tokens in the vocabulary and width / layers of 39.2; in general ``vocab_size *
        (aspect / 12) ** (1 / 3)``, twice that when the output layer is not tied.

    Raises
    ------
    PlanError
        A number is not positive.

    References
    ----------
    Pearce and Song (2024), arXiv:2406.12907, sec. 3.

    Examples
    --------
    >>> round(float(with_embeddings(1e9)))
    1047491000
    """
    size = positive("with_embeddings", "params", params)
    return plain(size + one("with_embeddings", "omega", omega, unit="") * np.cbrt(size))


def without_embeddings(params: ArrayLike, omega: float = _OMEGA) -> Any:
    """Parameters without embeddings [count] of a model counted with: inverts `with_embeddings`.

    Parameters
    ----------
    params : array_like
        Parameters with embeddings [count].
    omega : float, default 47491
        See `with_embeddings`.

    Raises
    ------
    PlanError
        A number is not positive.

    References
    ----------
    Pearce and Song (2024), arXiv:2406.12907, sec. 3; the real root of its cubic.

    Examples
    --------
    >>> round(float(without_embeddings(1047491000.0)))
    1000000000
    """
    size = positive("without_embeddings", "params", params)
    scale = np.sqrt(one("without_embeddings", "omega", omega, unit="") / 3)
    root = 2 * scale * np.sinh(np.arcsinh(size / (2 * scale**3)) / 3)
    return plain(root**3)


def count_notes(
    source: Any,
    params: float,
    *,
    embeddings: bool,
    shape: Transformer | None = None,
) -> list[Note]:
    """Note that a law and a cost count parameters differently.

    Parameters
    ----------
    source : Law or Fit
        Its ``convention`` says "params with embeddings" or "params without embeddings"; where it
        says neither, nothing can be compared.
    params : float
        Size [count] at which to compare, in the law's count.
    embeddings : bool
        Whether the cost counts embeddings.
    shape : Transformer, optional
        The model in question; default: the shapes of Pearce and Song [1]_.

    Raises
    ------
    PlanError
        ``params`` is not a positive number.

    References
    ----------
    .. [1] Pearce and Song (2024), arXiv:2406.12907.

    Examples
    --------
    >>> from scaling_laws.laws import published
    >>> print(count_notes(published.HOFFMANN_2022, 1e9, embeddings=False)[0])
    count_convention: the law counts params with embeddings, the cost without: at 1e+09 they are \
1.05 times as many. Translate with without_embeddings before computing cost.
    >>> count_notes(published.HOFFMANN_2022, 1e9, embeddings=True)
    []
    """
    size = one("count_notes", "params", params)
    law = getattr(source, "law", source)
    counted = str(getattr(law, "convention", ""))
    own = next((w == "with" for w in ("with", "without") if f"params {w} emb" in counted), None)
    if own is None or own == embeddings:
        return []
    if shape is not None:
        ratio = shape.params() / shape.params(embeddings=False)
    else:
        ratio = size / without_embeddings(size) if own else with_embeddings(size) / size
    words = ("with", "without") if own else ("without", "with")
    more = f"{ratio:.3g} times as many" if own else f"{1 / ratio:.3g} times as many"
    return [
        Note(
            "count_convention",
            "warning",
            f"the law counts params {words[0]} embeddings, the cost {words[1]}: at {size:.3g} they "
            f"are {more}. Translate with {words[1]}_embeddings before computing cost.",
            {"law": words[0], "cost": words[1], "ratio": float(ratio)},
        )
    ]
