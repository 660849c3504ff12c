"""Splits into training and held-out samples: folds, fractions, groups, time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from scaling_laws.errors import MeasureError
from scaling_laws.measurement.subsets import Keep, entries, nested_order

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Split = tuple[NDArray[np.int64], NDArray[np.int64]]

_HELD_OUT = 0.2


def splits(
    n: int,
    cv: Any = 5,
    *,
    stratify: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    time: ArrayLike | None = None,
    seed: int = 0,
) -> list[Split]:
    """Split ``range(n)`` into training and held-out samples, once or several times.

    Parameters
    ----------
    n : int
        Samples [count].
    cv : int, float, None, or iterable of (train, test)
        Number of folds; or the fraction held out once (None: a fifth); or indices of your own.
    stratify, groups : array_like of shape (n,), optional
        Classes to hold in proportion; groups to keep whole.
    time : array_like of shape (n,), optional
        When each sample was taken. What is held out then comes after what is trained on: the
        latest fraction, or ``cv`` blocks in turn, each after all that is before it.
    seed : int, default 0

    Returns
    -------
    list of (ndarray of int64, ndarray of int64)
        Training and held-out indices.

    Raises
    ------
    MeasureError
        Fewer samples or groups than folds, a fraction that leaves either side empty, or indices
        of your own that overlap or are not in ``range(n)``.

    Notes
    -----
    With ``time``, all samples of one moment may end on both sides of the cut.

    Examples
    --------
    >>> [len(test) for train, test in splits(10, 4)]
    [2, 3, 2, 3]
    >>> train, test = splits(10, 0.3, time=range(10))[0]
    >>> sorted(test.tolist())
    [7, 8, 9]
    """
    import numpy as np

    if not isinstance(cv, Real) and cv is not None:
        return _own(n, cv)
    if isinstance(cv, bool) or (cv is not None and not _usable(cv, n)):
        raise MeasureError(
            f"cv must be a number of folds in 2..{n}, a fraction held out in (0, 1), or pairs of "
            f"training and held-out indices; got {cv!r}."
        )
    whole = int(cv) if isinstance(cv, Integral) else None
    part = _HELD_OUT if cv is None else float(cv)
    rng = np.random.default_rng([seed, 0])
    if groups is not None:
        return _by_group(entries(groups, n, "groups", "group"), whole, part, rng)
    keep: Keep = "earliest" if time is not None and whole else "latest"
    order = nested_order(
        n, stratify=None if time is not None else stratify, time=time, keep=keep, seed=rng
    ).order
    if whole and time is not None:
        blocks = np.array_split(order, whole + 1) if n > whole else []
        if not blocks:
            raise MeasureError(f"{n} samples are too few for {whole} folds along time.")
        return [(np.concatenate(blocks[: j + 1]), blocks[j + 1]) for j in range(whole)]
    if whole:
        cuts = [j * n // whole for j in range(whole + 1)]
        return [
            (np.concatenate([order[:a], order[b:]]), order[a:b])
            for a, b in itertools.pairwise(cuts)
        ]
    held = round(part * n)
    if not 0 < held < n:
        raise MeasureError(f"holding out {part} of {n} samples leaves one side empty.")
    return [(order[held:], order[:held])]


def _usable(cv: Any, n: int) -> bool:
    return 2 <= int(cv) <= n if isinstance(cv, Integral) else 0 < float(cv) < 1


def _by_group(
    labels: NDArray[Any], whole: int | None, part: float, rng: np.random.Generator
) -> list[Split]:
    """Whole groups, folds of sizes as alike as groups allow; or a part in random order."""
    import numpy as np

    kinds, members, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    members = members.ravel()
    count = whole or 2
    if len(kinds) < count:
        raise MeasureError(f"{len(kinds)} groups are too few for {count} folds of whole groups.")
    turn = rng.permutation(len(kinds))
    fold = np.zeros(len(kinds), dtype=np.int64)
    if whole:
        load = np.zeros(whole)
        for kind in turn[np.argsort(-sizes[turn], kind="stable")]:  # the largest first
            fold[kind] = int(np.argmin(load))
            load[fold[kind]] += sizes[kind]
        held = range(whole)
    else:
        ends = np.cumsum(sizes[turn])
        last = int(np.argmin(np.abs(ends[:-1] - part * len(labels))))
        fold[turn[last + 1 :]] = 1
        held = range(1)
    return [(np.flatnonzero(fold[members] != j), np.flatnonzero(fold[members] == j)) for j in held]


def _own(n: int, cv: Any) -> list[Split]:
    import numpy as np

    remedy = "Give a list of pairs (training indices, held-out indices)."
    if isinstance(cv, str) or not isinstance(cv, Iterable):
        raise MeasureError(f"cv={cv!r} is not a split. {remedy}")
    found: list[Split] = []
    for number, pair in enumerate(cv):
        try:
            train, test = (np.asarray(side) for side in pair)
        except (TypeError, ValueError):
            raise MeasureError(f"split {number} of cv is not a pair. {remedy}") from None
        for side in (train, test):
            whole = side.ndim == 1 and side.size and side.dtype.kind in "iu"
            if not whole or side.min() < 0 or side.max() >= n or len(np.unique(side)) < len(side):
                raise MeasureError(
                    f"split {number} of cv must hold different indices in 0..{n - 1}. {remedy}"
                )
        if np.isin(train, test).any():
            raise MeasureError(
                f"split {number} of cv holds out samples that it trains on. Take them out of one "
                "side."
            )
        found.append((train.astype(np.int64), test.astype(np.int64)))
    if not found:
        raise MeasureError(f"cv has no splits. {remedy}")
    return found
