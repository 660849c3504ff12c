"""Stable 64-bit labels of texts and of rows of numbers: the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def hash_labels(labels: Sequence[Any] | NDArray[Any]) -> NDArray[np.uint64]:
    """Stable 64-bit label of each value, from its text."""
    known: dict[str, int] = {}
    out = np.empty(len(labels), dtype=np.uint64)
    for i, label in enumerate(labels):
        text = str(label)
        if text not in known:
            digest = blake2b(text.encode(), digest_size=8).digest()
            known[text] = int.from_bytes(digest, "little")
        out[i] = known[text]
    return out


def hash_rows(values: Sequence[Array]) -> NDArray[np.uint64]:
    """Stable 64-bit label of each row of numbers, whatever the order of the rows.

    Numbers count to ten digits, so that the last bits, which differ between machines, do not.
    """
    h = np.full(len(values[0]), 0x9E3779B97F4A7C15, dtype=np.uint64)
    for v in values:
        mantissa, exponent = np.frexp(v)
        digits = np.round(mantissa * 2.0**33).astype(np.int64).view(np.uint64)
        h = mix_bits(h ^ mix_bits(digits ^ mix_bits(exponent.astype(np.int64).view(np.uint64))))
    return h


def mix_bits(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit integers (SplitMix64's finaliser; Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
