"""Nested training subsets, so that a learning curve grows by adding samples, not by swapping."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

from scaling_laws.errors import MeasureError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

Keep = Literal["latest", "earliest"]

_MOST = 10**11  # samples: more indices fill any memory


def subsets(
    n: int,
    sizes: ArrayLike | Iterable[float],
    *,
    stratify: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    time: ArrayLike | None = None,
    keep: Keep = "latest",
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
    groups : array_like of shape (n,), optional
        Group of each sample, such as a patient or a user. Subsets then hold whole groups, as many
        as fit into the size, in random order.
    time : array_like of shape (n,), optional
        When each sample was taken: numbers or dates. Subsets are then the samples nearest in time
        to one end, ties in random order.
    keep : {"latest", "earliest"}
        The end of ``time`` to start from. ``"latest"`` is how a model is trained that must
        predict what comes next.
    seed : int or Generator, default 0
        Randomness of the choice; the same seed gives the same subsets, whichever sizes are asked.

    Returns
    -------
    dict of int to ndarray of int64
        Size to indices, sizes ascending; with ``groups``, the size that whole groups make. The
        first ``k`` indices of a subset are the subset of size ``k``.

    Raises
    ------
    MeasureError
        If a size is not in 1..n, sizes repeat, ``stratify``, ``groups`` or ``time`` does not have
        ``n`` entries, a subset has fewer samples than there are classes or than the first group,
        or groups are to be stratified or ordered.

    Notes
    -----
    Without labels the order is one random permutation. With labels, members of each class keep
    their order, and each place goes to the class with the earliest deadline among those whose
    turn has come, which keeps every prefix within one sample of proportion [1]_.

    References
    ----------
    .. [1] R. Tijdeman (1980), The chairman assignment problem, Discrete Math. 32, 323-330.

    Examples
    --------
    >>> chosen = subsets(100, [10, 0.5], seed=1)
    >>> list(chosen), set(chosen[10]) <= set(chosen[50])
    ([10, 50], True)
    >>> subsets(5, [2], time=["2021", "2025", "2023", "2022", "2024"])[2].tolist()
    [1, 4]
    """
    count = _whole(n)
    if count is None or not 1 <= count <= _MOST:
        raise MeasureError(
            f"subsets: n must be a whole number of samples, 1 to {_MOST:.0e}, got {n!r}."
        )
    counts = _counts(sizes, count)
    nested = nested_order(
        count, stratify=stratify, groups=groups, time=time, keep=keep, seed=seed, least=counts[0]
    )
    chosen = {}
    for size in counts:
        indices = nested.first(size)
        if len(indices) in chosen:
            raise MeasureError(
                f"subsets: {size} samples hold the same whole groups as a smaller size, "
                f"{len(indices)} samples. Ask for sizes further apart."
            )
        chosen[len(indices)] = indices
    return chosen


@dataclass(frozen=True, eq=False)
class Nested:
    """An order of samples of which every subset is the beginning.

    Parameters
    ----------
    order : ndarray of int64 (n,)
        Indices of samples.
    ends : ndarray of int64, optional
        Lengths at which a beginning holds whole groups; None without groups.

    Examples
    --------
    >>> nested = nested_order(6, groups=["a", "a", "b", "b", "b", "b"], seed=1)
    >>> len(nested.first(5)) in (2, 4)
    True
    """

    order: NDArray[np.int64]
    ends: NDArray[np.int64] | None = None

    def first(self, size: int) -> NDArray[np.int64]:
        """Indices of the subset of ``size`` samples [count], or of the whole groups it holds.

        Raises
        ------
        MeasureError
            More samples than there are, or fewer than the first group.
        """
        if not 1 <= size <= len(self.order):
            raise MeasureError(
                f"subsets: size {size} is not in 1..{len(self.order)}, the samples there are."
            )
        if self.ends is None:
            return self.order[:size].copy()
        whole = self.ends[self.ends <= size]
        if not len(whole):
            raise MeasureError(
                f"subsets: {size} samples cannot hold the first group, of {self.ends[0]}. Ask for "
                "more, or leave groups out."
            )
        return self.order[: whole[-1]].copy()


def nested_order(
    n: int,
    *,
    stratify: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    time: ArrayLike | None = None,
    keep: Keep = "latest",
    seed: int | np.random.Generator = 0,
    least: int | None = None,
) -> Nested:
    """Order ``range(n)`` so that every beginning is a subset; options as `subsets`.

    Parameters
    ----------
    n : int
        Samples [count].
    stratify, groups, time, keep, seed
        As `subsets`.
    least : int, optional
        Smallest size that will be asked for [count], to check that it can hold every class.

    Returns
    -------
    Nested

    Raises
    ------
    MeasureError
        As `subsets`.

    Examples
    --------
    >>> nested_order(4, time=[3, 1, 2, 0], keep="earliest").order.tolist()
    [3, 1, 2, 0]
    """
    import numpy as np

    if keep not in ("latest", "earliest"):
        raise MeasureError(f"subsets: keep must be 'latest' or 'earliest', got {keep!r}.")
    rng = generator(seed, "subsets")
    order = rng.permutation(n).astype(np.int64)
    if groups is not None:
        if stratify is not None or time is not None:
            raise MeasureError(
                "subsets: whole groups cannot also be stratified or ordered in time. Give groups "
                "alone, or one row a group."
            )
        return _grouped(order, entries(groups, n, "groups", "group"), rng)
    if time is not None:
        order = _ordered(order, entries(time, n, "time", "time"), keep)
    if stratify is not None:
        order = _stratified(order, entries(stratify, n, "stratify", "class"), least)
    return Nested(order)


def entries(values: Any, n: int, name: str, meaning: str) -> NDArray[Any]:
    """Return one entry a sample, none of them missing.

    Raises
    ------
    MeasureError
        Another number of entries, or None or NaN among them.

    Examples
    --------
    >>> entries(["a", "b"], 2, "groups", "group").tolist()
    ['a', 'b']
    """
    import numpy as np

    array = np.asarray(values)
    if array.shape != (n,):
        raise MeasureError(
            f"{name} has shape {array.shape}; give one {meaning} for each of the {n} samples."
        )
    missing = np.array([value is None or bool(value != value) for value in array])
    if missing.any():
        raise MeasureError(
            f"{name} has no {meaning} for sample {int(np.flatnonzero(missing)[0])}. Fill "
            "it in, or leave the sample out."
        )
    return array


def _grouped(order: NDArray[np.int64], labels: NDArray[Any], rng: np.random.Generator) -> Nested:
    """Whole groups one after another, every order of groups as likely."""
    import numpy as np

    kinds, members = np.unique(labels, return_inverse=True)
    turns = rng.permutation(len(kinds))[members.ravel()]
    place = np.argsort(turns[order], kind="stable")
    return Nested(order[place], np.cumsum(np.bincount(turns)).astype(np.int64))


def _ordered(order: NDArray[np.int64], time: NDArray[Any], keep: Keep) -> NDArray[np.int64]:
    """By time from one end; the random order decides between equal times."""
    import numpy as np

    try:
        _, rank = np.unique(time, return_inverse=True)
    except TypeError:
        raise MeasureError(
            "subsets: time holds entries that cannot be compared. Give numbers or dates."
        ) from None
    rank = rank if keep == "earliest" else -rank
    return order[np.argsort(rank[order], kind="stable")]


def is_list(values: Any) -> bool:
    """Whether ``values`` can be gone through; an array without axes cannot."""
    return isinstance(values, Iterable) and getattr(values, "ndim", 1) > 0


def generator(seed: Any, what: str) -> np.random.Generator:
    """Return the generator of a seed, or the one given.

    Raises
    ------
    MeasureError
        Neither a whole number >= 0 nor a generator.

    Examples
    --------
    >>> int(generator(0, "subsets").integers(10)) == int(generator(0, "subsets").integers(10))
    True
    """
    import numpy as np

    whole = _whole(seed)
    if not isinstance(seed, np.random.Generator) and (whole is None or whole < 0):
        raise MeasureError(f"{what}: seed must be a whole number >= 0, got {seed!r}.")
    return np.random.default_rng(seed)


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None


def _counts(sizes: Any, n: int) -> list[int]:
    """Sizes as ascending counts."""
    if isinstance(sizes, str | Real) or not is_list(sizes):
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


def _stratified(
    order: NDArray[np.int64], labels: NDArray[Any], smallest: int | None
) -> NDArray[np.int64]:
    """Interleave the classes so that every prefix holds them in proportion."""
    import numpy as np

    classes, members = np.unique(labels, return_inverse=True)
    totals = np.bincount(members)
    if smallest is not None and smallest < len(classes):
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
