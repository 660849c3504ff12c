"""Numbers as people and trackers write them: ``210M``, ``1.5B``, ``3e-4``, ``1,000``, ``11%``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MULTIPLES = {
    "k": 1e3, "thousand": 1e3, "m": 1e6, "mn": 1e6, "mio": 1e6, "million": 1e6, "millions": 1e6,
    "b": 1e9, "g": 1e9, "bn": 1e9, "billion": 1e9, "billions": 1e9, "t": 1e12, "tn": 1e12,
    "trillion": 1e12, "trillions": 1e12, "p": 1e15, "giga": 1e9, "tera": 1e12, "peta": 1e15,
    "exa": 1e18, "zetta": 1e21, "thousands": 1e3, "kilo": 1e3, "mega": 1e6,
}  # fmt: skip
"""Factor of each suffix; those of FLOP beyond peta are written out (``exaflop``, ``EFLOP``)."""
FLOP_MULTIPLES = {**MULTIPLES, "e": 1e18, "z": 1e21, "y": 1e24}
PETAFLOP_PER_SECOND_DAY = 8.64e19  # FLOP: 1e15 a second for 86,400 seconds

_LONGEST = 100  # characters of a cell that may be a number
MISSING_WORDS = frozenset(
    {"", "-", "--", "na", "n/a", "#n/a", "none", "null", "<na>", "?", "tbd", "missing"}
)
_NAN_WORDS = frozenset({"nan", "+nan", "-nan"})
_INFINITE_WORDS = frozenset({"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})
_SPACES = re.compile("[\\s\u00a0\u2009\u202f\ufeff]+")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?([eE][+-]?\d+)?")
_SPACED = re.compile(r"[^\d]*\d{1,3}(\s\d{3})+(?![\s]?\d)")  # 1 000 000
_PLAIN = re.compile(r"[+-]?(\d+(_\d+)*\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TIMES = "[\u00d7x*\u00b7]"  # multiplication sign, x, asterisk, middle dot
_POWER = re.compile(rf"([+-]?[\d.]+){_TIMES}10(?:\^|\*\*)?\{{?([+-]?\d+)\}}?", re.IGNORECASE)
_UNIT_WORDS = r"(?:params?|parameters?|tokens?|toks?|samples?|steps?|seqs?|sequences?)"
_SUFFIXED = re.compile(r"(?P<number>.*?[\d.])(?P<suffix>[a-z]*)", re.IGNORECASE)
_PETAFLOP_DAYS = re.compile(r"(?:petaflops?/?s?|pf(?:lops?)?(?:/s)?)-?days?", re.IGNORECASE)


@dataclass(frozen=True)
class Numerals:
    """A column read as numbers.

    Parameters
    ----------
    values : ndarray (n,)
        NaN where a cell is missing, not a number or unreadable.
    explicit : ndarray of bool (n,)
        Cells that say "not a number" or "infinite", as a diverged run writes.
    unreadable : tuple of int
        Positions of cells that are neither numbers nor a sign for a missing one.
    rewritten : int
        Cells that were not written as plain numbers (``210M``, ``1,000``, ``11%``).
    """

    values: NDArray[np.float64]
    explicit: NDArray[np.bool_]
    unreadable: tuple[int, ...]
    rewritten: int


def parse_number(text: str, *, decimal: str = ".", suffixes: bool = True) -> float | None:
    """Read one number written by people; nothing is ever evaluated.

    Parameters
    ----------
    text : str
        For example ``"210M"``, ``"1.5B tokens"``, ``"3 PFLOP"``, ``"1,000"``, ``"11%"``,
        ``"1.2×10^9"``, ``"2 PF-days"``.
    decimal : {".", ","}
        Decimal sign.
    suffixes : bool
        Whether ``K``, ``M``, ``B``, ... are read.

    Returns
    -------
    float or None
        None if it is no finite number.

    Examples
    --------
    >>> parse_number("210M"), parse_number("1,000"), parse_number("11%"), parse_number("3e-4")
    (210000000.0, 1000.0, 0.11, 0.0003)
    >>> parse_number("=A1*2") is None, parse_number("1,5") is None, parse_number("1,5", decimal=",")
    (True, True, 1.5)
    """
    text = text.strip()
    if len(text) > _LONGEST:
        return None
    if re.search(r"\d\s+\d", text) and not _SPACED.match(text):
        return None
    text = _SPACES.sub("", text).replace("\u2212", "-").lstrip("'~≈")
    if decimal == "," and ("," in text or re.match(r"[+-]?\d{1,3}(\.\d{3})+(?![\d])", text)):
        text = text.replace(".", "").replace(",", ".")
    factor, divisor = 1.0, 1.0
    if text.endswith("%"):
        text, divisor = text[:-1], 100.0
    elif suffixes and text[-1:].isalpha():
        text, found = _split_suffix(text)
        if found is None:
            return None
        factor = found
    value = _plain(_POWER.sub(r"\1e\2", text))
    if value is None:
        return None
    value = value * factor / divisor
    return value if math.isfinite(value) else None


def _plain(text: str) -> float | None:
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    if not _PLAIN.fullmatch(text):
        return None
    return float(text)


def _split_suffix(text: str) -> tuple[str, float | None]:
    """Split ``1.5Btokens`` into ``1.5`` and 1e9; the factor is None for a suffix not known."""
    days = _PETAFLOP_DAYS.search(text)
    if days and days.end() == len(text):
        return text[: days.start()], PETAFLOP_PER_SECOND_DAY
    found = _SUFFIXED.fullmatch(text)
    if not found:
        return text, None
    return found["number"], unit_factor(found["suffix"])


def unit_factor(text: str) -> float | None:
    """Factor of a unit as written after a number or in a column's header.

    Parameters
    ----------
    text : str
        For example ``"M"``, ``"billions"``, ``"B tokens"``, ``"PFLOP"``.

    Returns
    -------
    float or None
        None if it is not known.

    Examples
    --------
    >>> unit_factor("M"), unit_factor("B tokens"), unit_factor("PFLOPs"), unit_factor("nats")
    (1000000.0, 1000000000.0, 1000000000000000.0, None)
    """
    word = re.sub(r"[\s_]+", "", text).lower()
    flop = re.fullmatch(r"(.*?)flops?", word)
    if flop:
        return FLOP_MULTIPLES.get(flop[1]) if flop[1] else 1.0
    plain = re.sub(rf"{_UNIT_WORDS}$", "", word)
    if not plain:
        return 1.0
    return MULTIPLES.get(plain)


def decimal_sign(cells: Iterable[str]) -> str | None:
    """Tell the decimal sign of a table whose columns are not separated by commas.

    Parameters
    ----------
    cells : iterable of str
        Cells of the table.

    Returns
    -------
    {".", ","} or None
        None if every comma could be either (``1,234``).

    Examples
    --------
    >>> decimal_sign(["2,51", "1.5e9"]), decimal_sign(["2.51", "7"]), decimal_sign(["1,234"])
    (',', '.', None)
    """
    unsure = False
    for cell in cells:
        text = cell.strip()
        if re.fullmatch(r"[+-]?\d+,\d+([eE][+-]?\d+)?", text):
            if not _THOUSANDS.fullmatch(text) or text.lstrip("+-").startswith("0"):
                return ","
            unsure = True
        elif _THOUSANDS.fullmatch(text):
            return "."  # two commas, or a point after a comma
    return None if unsure else "."


def to_numbers(cells: Sequence[Any], *, decimal: str = ".", suffixes: bool = True) -> Numerals:
    """Read a column of cells as numbers.

    Parameters
    ----------
    cells : sequence
        Text, numbers, None. Booleans are not numbers.
    decimal : {".", ","}
    suffixes : bool
        Whether ``K``, ``M``, ``B``, ... are read.

    Returns
    -------
    Numerals

    Examples
    --------
    >>> read = to_numbers(["12M", 3, None, "nan", "=A1", True])
    >>> read.values.tolist(), read.explicit.tolist()[3], read.unreadable, read.rewritten
    ([12000000.0, 3.0, nan, nan, nan, nan], True, (4, 5), 1)
    """
    values = np.full(len(cells), np.nan)
    explicit = np.zeros(len(cells), dtype=bool)
    unreadable: list[int] = []
    rewritten = 0
    known: dict[str, tuple[float, bool, bool, bool]] = {}
    for i, cell in enumerate(cells):
        if cell is None:
            continue
        if isinstance(cell, str):
            if cell not in known:
                known[cell] = _read_text(cell, decimal, suffixes)
            values[i], explicit[i], bad, changed = known[cell]
        else:
            values[i], explicit[i], bad = _read_value(cell)
            changed = False
        rewritten += changed
        if bad:
            unreadable.append(i)
    return Numerals(values, explicit, tuple(unreadable), rewritten)


def _read_text(text: str, decimal: str, suffixes: bool) -> tuple[float, bool, bool, bool]:
    """Value, whether it says "not a number", whether unreadable, whether rewritten."""
    word = text.strip().lower()
    if decimal == "." and len(word) <= _LONGEST and word.isascii() and _PLAIN.fullmatch(word):
        value = float(word)
        finite = math.isfinite(value)
        return value if finite else math.nan, False, not finite, "_" in word
    if word in MISSING_WORDS:
        return math.nan, False, False, False
    if word in _NAN_WORDS or word in _INFINITE_WORDS:
        return math.nan, True, False, False
    number = parse_number(text, decimal=decimal, suffixes=suffixes)
    if number is None:
        return math.nan, False, True, False
    return number, False, False, not _PLAIN.fullmatch(word) or "_" in word


def _read_value(cell: Any) -> tuple[float, bool, bool]:
    """Value, whether it says "not a number", whether unreadable."""
    if isinstance(cell, bool | np.bool_) or not isinstance(cell, int | float | np.number):
        return math.nan, False, str(cell) not in {"<NA>", "NaT"}
    if isinstance(cell, complex | np.complexfloating):
        return math.nan, False, True
    try:
        value = float(cell)
    except OverflowError:
        return math.nan, False, True
    return (value, False, False) if math.isfinite(value) else (math.nan, True, False)


def plain_numbers(cells: Sequence[Any]) -> NDArray[np.float64] | None:
    """Return a column as numbers if every cell is a plain one or missing, else None.

    Parameters
    ----------
    cells : sequence

    Returns
    -------
    ndarray (n,) or None

    Examples
    --------
    >>> plain_numbers(["1", "2.5", None]).tolist(), plain_numbers(["7B", "1"])
    ([1.0, 2.5, nan], None)
    """
    for cell in cells:
        if isinstance(cell, str) and re.match(r"\s*[+-]?0\d", cell):
            return None  # a label such as 007
    read = to_numbers(cells, suffixes=False)
    if read.unreadable or read.rewritten or (np.isnan(read.values) & ~read.explicit).all():
        return None
    return read.values
