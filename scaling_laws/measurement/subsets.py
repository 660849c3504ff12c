"""Nested training subsets, so that a learning curve grows by adding samples, not by swapping."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from scaling_laws.errors import MeasureError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


def subsets(
    n: int,
    sizes: ArrayLike | Iterable[float],
    *,
    stratify: ArrayLike | None = None,
    seed: int | np.random.Generator = 0,
) -> dict[int, NDArray[np.int64]]:
    """Draw nested subsets of ``range(n)``: each smaller one lies in every larger one.

    Parameters
    ----------
    n : int
        Samples to choose from [count].
    sizes : array_like of int or float
        Whole numbers are counts [count]; floats in (0, 1] are fractions of ``n``, rounded.
    stratify : array_like of shape (n,), optional
        Class of each sample. Every subset then holds each class in proportion, to within one
        sample; a class whose share comes to less than one sample may be absent.
    seed : int or Generator, default 0
        Randomness of the choice; the same seed gives the same subsets, whichever sizes are asked.

    Returns
    -------
    dict of int to ndarray of int64
        Size to indices, sizes ascending. The first ``k`` indices of a subset are the subset of
        size ``k``.

    Raises
    ------
    MeasureError
        If a size is not in 1..n, sizes repeat, ``stratify`` does not have ``n`` labels, or a
        subset has fewer samples than there are classes.

    Notes
    -----
    Without labels the order is one random permutation. With labels, members of each class keep
    their random order, and each place goes to the class with the earliest deadline among those
    whose turn has come, which keeps every prefix within one sample of proportion [1]_.

    References
    ----------
    .. [1] R. Tijdeman (1980), The chairman assignment problem, Discrete Math. 32, 323-330.

    Examples
    --------
    >>> chosen = subsets(100, [10, 0.5], seed=1)
    >>> list(chosen), set(chosen[10]) <= set(chosen[50])
    ([10, 50], True)
    """
    import numpy as np

    count = _whole(n)
    if count is None or count < 1:
        raise MeasureError(f"subsets: n must be a whole number of samples from 1 up, got {n!r}.")
    counts = _counts(sizes, count)
    rng = np.random.default_rng(seed)
    order = rng.permutation(count).astype(np.int64)
    if stratify is not None:
        order = _stratified(order, stratify, counts[0])
    return {size: order[:size].copy() for size in counts}


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None


def _counts(sizes: Any, n: int) -> list[int]:
    """Sizes as ascending counts."""
    if isinstance(sizes, (str, Real)) or not isinstance(sizes, Iterable):
        raise MeasureError(f"subsets: sizes must be a list, got {sizes!r}; write [{sizes}].")
    counts = [_count(size, n) for size in sizes]
    if not counts:
        raise MeasureError("subsets: sizes is empty; give at least one.")
    repeated = {size for size in counts if counts.count(size) > 1}
    if repeated:
        raise MeasureError(
            f"subsets: size {min(repeated)} of {n} samples is asked more than once (fractions are "
            "rounded). Drop the repeats; for another draw change the seed."
        )
    return sorted(counts)


def _count(size: Any, n: int) -> int:
    whole = _whole(size)
    if whole is not None:
        if 1 <= whole <= n:
            return whole
        raise MeasureError(f"subsets: size {whole} is not in 1..{n}, the samples there are.")
    if isinstance(size, Real) and not isinstance(size, bool) and 0 < float(size) <= 1:
        rounded = round(float(size) * n)
        if rounded:
            return rounded
        raise MeasureError(
            f"subsets: the fraction {size} of {n} samples rounds to 0; give at least {1 / n:.3g}."
        )
    raise MeasureError(
        f"subsets: size {size!r} is neither a count in 1..{n} nor a fraction, a float in (0, 1]."
    )


def _stratified(order: NDArray[np.int64], stratify: ArrayLike, smallest: int) -> NDArray[np.int64]:
    """Interleave the classes so that every prefix holds them in proportion."""
    import numpy as np

    labels = np.asarray(stratify)
    if labels.shape != order.shape:
        raise MeasureError(
            f"subsets: stratify has shape {labels.shape}; give one class for each of the "
            f"{len(order)} samples."
        )
    classes, members = np.unique(labels, return_inverse=True)
    totals = np.bincount(members)
    if smallest < len(classes):
        raise MeasureError(
            f"subsets: {smallest} samples cannot hold all {len(classes)} classes. Ask for at least "
            f"{len(classes)}, or leave stratify out."
        )
    waiting = [order[members[order] == index] for index in range(len(classes))]
    turns = _turns(totals)
    place = np.empty_like(order)
    for index, own in enumerate(waiting):
        place[turns == index] = own
    return place


def _turns(totals: NDArray[np.int64]) -> NDArray[np.int64]:
    """Class of each place in turn, by earliest deadline among the classes that are due.

    Before place ``t`` class ``i`` may hold at most ``ceil(share_i (t + 1))`` samples, and must not
    fall below ``floor(share_i t)``: exact in whole numbers, so nothing is lost to rounding.
    """
    import heapq

    import numpy as np

    n = int(totals.sum())
    turns = np.empty(n, dtype=np.int64)
    # (j + 1)-th member: not before place ceil(j n / m), at the latest at ceil((j + 1) n / m) - 1
    releases = [(0, index) for index in range(len(totals))]
    taken = [0] * len(totals)
    due: list[tuple[int, int]] = []
    for place in range(n):
        while releases and releases[0][0] <= place:
            _, index = heapq.heappop(releases)
            m = int(totals[index])
            heapq.heappush(due, (-(-(taken[index] + 1) * n // m) - 1, index))
        _, index = heapq.heappop(due)
        turns[place] = index
        taken[index] += 1
        if taken[index] < totals[index]:
            heapq.heappush(releases, (taken[index] * n // int(totals[index]), index))
    return turns
