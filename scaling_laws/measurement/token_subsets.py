"""Nested subsets of documents by tokens, and manifests that say which data were used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from scaling_laws.errors import MeasureError
from scaling_laws.measurement.subsets import generator, is_list

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class TokenSubset:
    """Documents that hold a budget of tokens.

    Parameters
    ----------
    indices : ndarray of int64
        Positions of the documents, in the order they are taken.
    tokens : int
        Tokens [count] taken of them together.
    last_tokens : int
        Tokens [count] to take of the last document, from its beginning; of the others, all.

    Examples
    --------
    >>> token_subsets([10, 10, 10], [25])[25].last_tokens
    5
    """

    indices: NDArray[np.int64]
    tokens: int
    last_tokens: int

    def __len__(self) -> int:
        return len(self.indices)


def token_subsets(
    documents: ArrayLike | Sequence[Any],
    budgets: Iterable[float],
    *,
    tokens: Callable[[Any], Any] | None = None,
    whole: bool = False,
    seed: int | np.random.Generator = 0,
) -> dict[int, TokenSubset]:
    """Choose documents up to budgets of tokens: each smaller choice begins every larger one.

    Parameters
    ----------
    documents : array_like of int, or sequence
        Tokens of each document [count]; or, with ``tokens``, the documents or their files.
    budgets : iterable of int or float
        Tokens [count]; floats in (0, 1] are fractions of all tokens. Budgets such as 1e6 are
        counts.
    tokens : callable, optional
        Gives the tokens of one entry of ``documents``, or how many there are: a tokenizer, or
        ``lambda path: len(encode(path.read_text()))``. Called once for each.
    whole : bool, default False
        Take whole documents only, as many as fit into the budget in their order. Else the last is
        cut, so that the budget is met exactly.
    seed : int or Generator, default 0
        Order of the documents.

    Returns
    -------
    dict of int to TokenSubset
        Tokens taken to documents, ascending.

    Raises
    ------
    MeasureError
        If there are no documents, a count is not a whole number >= 0, a budget is not in 1..all
        tokens, two budgets come to the same, or, with ``whole``, the first document does not fit.

    Examples
    --------
    >>> texts = ["a b c", "d e", "f g h i"]
    >>> chosen = token_subsets(texts, [4, 1.0], tokens=str.split)
    >>> list(chosen), chosen[4].indices.tolist() == chosen[9].indices[: len(chosen[4])].tolist()
    ([4, 9], True)
    """
    import numpy as np

    counts = _token_counts(documents, tokens)
    order = generator(seed, "token_subsets").permutation(len(counts)).astype(np.int64)
    order = order[counts[order] > 0]
    ends = np.cumsum(counts[order])
    total = int(ends[-1]) if len(ends) else 0
    if not total:
        raise MeasureError("token_subsets: the documents hold no tokens. Give others.")
    chosen: dict[int, TokenSubset] = {}
    if isinstance(budgets, str) or not is_list(budgets):
        raise MeasureError(f"token_subsets: budgets must be a list, got {budgets!r}.")
    for budget in sorted(_budget(value, total) for value in budgets):
        found = _up_to(order, ends, budget, whole)
        if found.tokens in chosen:
            raise MeasureError(
                f"token_subsets: a budget of {budget} tokens comes to {found.tokens}, as a smaller "
                "one does. Ask for budgets further apart."
            )
        chosen[found.tokens] = found
    if not chosen:
        raise MeasureError("token_subsets: budgets is empty; give at least one.")
    return chosen


def _token_counts(documents: Any, tokens: Callable[[Any], Any] | None) -> NDArray[np.int64]:
    import numpy as np

    if isinstance(documents, str) or not is_list(documents):
        raise MeasureError(f"token_subsets: documents must be a list, got {documents!r:.60}.")
    counts = [
        _token_count(entry if tokens is None else tokens(entry), position, tokens is None)
        for position, entry in enumerate(documents)
    ]
    if not counts:
        raise MeasureError("token_subsets: there are no documents; give at least one.")
    return np.array(counts, dtype=np.int64)


def _token_count(value: Any, position: int, bare: bool) -> int:
    if hasattr(value, "__len__") and not bare:
        return len(value)
    number = isinstance(value, Real) and not isinstance(value, bool)
    if number and float(value).is_integer() and 0 <= float(value) < 2**62:
        return int(value)
    remedy = (
        "With documents or files, say with tokens= how to count."
        if bare
        else "tokens= must return a count or the tokens."
    )
    raise MeasureError(
        f"token_subsets: document {position} has {str(value)[:40]!r} for its number of tokens, "
        f"not a whole number from 0 up. {remedy}"
    )


def _budget(value: Any, total: int) -> int:
    if isinstance(value, Integral) and not isinstance(value, bool):
        count = int(value)
    elif isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) <= 1:
        count = round(float(value) * total)
    elif isinstance(value, Real) and not isinstance(value, bool) and float(value).is_integer():
        count = int(float(value))
    else:
        raise MeasureError(
            f"token_subsets: budget {value!r} is neither a count of tokens nor a fraction, a float "
            "in (0, 1]."
        )
    if not 1 <= count <= total:
        raise MeasureError(
            f"token_subsets: a budget of {value} is {count} tokens, not in 1..{total}, the tokens "
            "there are."
        )
    return count


def _up_to(
    order: NDArray[np.int64], ends: NDArray[np.int64], budget: int, whole: bool
) -> TokenSubset:
    """Beginning of the order that holds the budget, the last document cut or left out."""
    import numpy as np

    full = int(np.searchsorted(ends, budget, side="right"))
    taken = int(ends[full - 1]) if full else 0
    if whole or taken == budget:
        if not full:
            raise MeasureError(
                f"token_subsets: the first document, of {int(ends[0])} tokens, does not fit into "
                f"{budget}. Ask for more, or let the last document be cut (whole=False)."
            )
        last = taken - (int(ends[full - 2]) if full > 1 else 0)
        return TokenSubset(order[:full].copy(), taken, last)
    return TokenSubset(order[: full + 1].copy(), budget, budget - taken)


# ----------------------------------------------------------------------------------- manifests


@dataclass(frozen=True, eq=False)
class Manifest:
    """Which data subsets held: enough to tell later whether they are the same.

    Parameters
    ----------
    parts : tuple of mapping
        For each subset: ``size`` (samples or tokens, [count]), ``entries`` (indices, [count]) and
        ``digest`` of the indices in their order.
    about : mapping
        What else was said: the seed, the rule, names of files.

    Examples
    --------
    >>> from scaling_laws.measurement.subsets import subsets
    >>> used = manifest(subsets(100, [10, 50], seed=3), seed=3, data="reviews, first release")
    >>> used.matches(subsets(100, [10, 50], seed=3)), used.matches(subsets(100, [10, 50], seed=4))
    (True, False)
    """

    parts: tuple[Mapping[str, Any], ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """One digest of all subsets."""
        text = ";".join(f"{part['size']}:{part['digest']}" for part in self.parts)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def matches(self, chosen: Mapping[int, Any]) -> bool:
        """Whether subsets hold the same entries in the same order."""
        return _parts(chosen) == self.parts

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping.

        Examples
        --------
        >>> sorted(manifest(token_subsets([5, 5], [7])).to_dict())
        ['about', 'digest', 'parts']
        """
        return {
            "digest": self.digest,
            "parts": [dict(part) for part in self.parts],
            "about": dict(self.about),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row a subset."""
        import pandas as pd

        return pd.DataFrame([dict(part) for part in self.parts])


def manifest(
    chosen: Mapping[int, NDArray[np.int64]] | Mapping[int, TokenSubset], **about: Any
) -> Manifest:
    """Describe subsets, to be kept beside the runs that used them.

    Parameters
    ----------
    chosen : mapping of int to indices or TokenSubset
        As `subsets` or `token_subsets` return.
    **about : str, number, or list of them
        What else to keep: the seed, the data's name and release.

    Returns
    -------
    Manifest

    Raises
    ------
    MeasureError
        If ``chosen`` is not subsets by size, or something in ``about`` cannot be kept.

    Examples
    --------
    >>> manifest(token_subsets([5, 5, 5], [7, 15]), seed=0).to_frame()[["size", "entries"]]
       size  entries
    0     7        2
    1    15        3
    """
    from scaling_laws.measurement.configuration import plain_value

    kept = {}
    for name, value in about.items():
        try:
            kept[name] = plain_value(value)
        except TypeError as failure:
            raise MeasureError(
                f"manifest: '{name}' cannot be kept ({failure}). Give text or numbers."
            ) from None
    return Manifest(_parts(chosen), kept)


def index_digest(indices: ArrayLike, *extra: int) -> str:
    """Digest of indices in their order, the same on every machine.

    Parameters
    ----------
    indices : array_like of int
    *extra : int
        Whole numbers that count too.

    Returns
    -------
    str
        16 hexadecimal digits of SHA-256.

    Examples
    --------
    >>> index_digest([1, 2]) == index_digest((1, 2)), index_digest([1, 2]) == index_digest([2, 1])
    (True, False)
    """
    import numpy as np

    digest = hashlib.sha256(np.asarray(indices).astype("<i8").tobytes())
    digest.update(np.array(extra, dtype="<i8").tobytes())
    return digest.hexdigest()[:16]


def _parts(chosen: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(chosen, Mapping) or not chosen:
        raise MeasureError("manifest: give subsets by size, as subsets() or token_subsets() do.")
    parts = []
    for size, entry in chosen.items():
        extra = (entry.last_tokens,) if isinstance(entry, TokenSubset) else ()
        indices = entry.indices if isinstance(entry, TokenSubset) else entry
        digest = index_digest(indices, *extra)
        parts.append({"size": int(size), "entries": len(indices), "digest": digest})
    return tuple(parts)
