"""Tables written as text: delimiter, header, torn and ragged lines, headers of groups of rows."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scaling_laws.data.numerals import decimal_sign
from scaling_laws.data.read_report import Ledger, joined
from scaling_laws.errors import DataError

Row = list[str | None]
_DELIMITERS = (",", "\t", ";", "|")
_HEADER_WITHIN = 30  # lines in which a header is looked for


@dataclass(frozen=True)
class TextTable:
    """Cells of a text table.

    Parameters
    ----------
    header : tuple of str
    rows : list of list
        Text, or None for a blank cell; every row as long as the header.
    decimal : {".", ","}
        Decimal sign.
    grouped : bool
        Whether rows that head a group were found and filled in.
    """

    header: tuple[str, ...]
    rows: list[Row]
    decimal: str
    grouped: bool


def decode(content: bytes, encoding: str | None, where: str, ledger: Ledger) -> str:
    r"""Return a file's text, without lines that hold NUL characters.

    Parameters
    ----------
    content : bytes
    encoding : str, optional
        Default: UTF-8, or UTF-16 where the file starts with its mark.
    where : str
        The file, for messages.
    ledger : Ledger

    Returns
    -------
    str

    Raises
    ------
    DataError
        Not text in that encoding, or mostly NUL.

    Examples
    --------
    >>> decode(b"a,b\n1,2\n\x00\x00\n", None, "x.csv", Ledger())
    'a,b\n1,2\n'
    """
    if encoding is None:
        marked = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        encoding = "utf-16" if marked else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} is not {encoding.removesuffix('-sig')} text: byte {error.start} is "
            f"0x{content[error.start]:02x}. Pass its encoding, for example encoding='latin-1'."
        ) from None
    except (LookupError, UnicodeError) as error:
        raise DataError(
            f"{where} cannot be read with encoding={encoding!r}: {error}. Pass a text encoding "
            "such as 'utf-8' or 'latin-1'."
        ) from None
    if "\0" not in text:
        return text
    lines = list(io.StringIO(text, newline=""))
    kept = [line for line in lines if "\0" not in line]
    if len(kept) < 2 or len(kept) < len(lines) / 2:
        raise DataError(
            f"{where} is mostly NUL characters: not a text table, or UTF-16 without its mark. "
            "Pass encoding='utf-16-le', or write the file again."
        )
    lost = len(lines) - len(kept)
    ledger.add("dropped", "lines", "NUL characters, as after a power cut", rows=-lost, count=lost)
    return "".join(kept)


def read_text_table(
    text: str,
    where: str,
    ledger: Ledger,
    *,
    recognised: Callable[[str], bool],
    decimal: str | None = None,
    spreadsheet: bool = False,
) -> tuple[TextTable, int]:
    r"""Read a table separated by commas, tabs, semicolons or bars.

    Parameters
    ----------
    text : str
    where : str
        The file, for messages.
    ledger : Ledger
    recognised : callable
        Says whether a cell is the name of a known column; the line with most is the header.
    decimal : {".", ","}, optional
        Decimal sign. Default: told from the cells where columns are not separated by commas.
    spreadsheet : bool
        Also fill blanks below a value that heads a group of rows in which it is blank.

    Returns
    -------
    TextTable
    int
        Records read: lines below the header that are not blank, and those above it with several
        cells.

    Raises
    ------
    DataError
        No table, a quote that does not close, or a decimal sign that cannot be told.

    Examples
    --------
    >>> text = "my runs\n\nN,D,loss\n1M,2M,3.1\n2M,2M\n"
    >>> known = {"N", "D", "loss"}.__contains__
    >>> table, count = read_text_table(text, "x", Ledger(), recognised=known)
    >>> table.header, table.rows, count
    (('N', 'D', 'loss'), [['1M', '2M', '3.1'], ['2M', '2M', None]], 2)
    """
    delimiter = _delimiter(text, where, recognised)
    lines = _parse(text, delimiter, where)
    position = _header_line(lines, recognised)
    header = _names(lines[position], ledger)
    if position:
        title = [str(c) for line in lines[:position] for c in line if c]
        ledger.add("kept", "header", f"found on line {position + 1}", count=1, examples=title[:1])
    above = sum(sum(c is not None for c in line) > 1 for line in lines[:position])
    if above:  # a title has one cell
        ledger.add("dropped", "rows", "above the header", rows=-above, count=above)
    torn = not text.endswith(("\n", "\r"))
    rows, read = _body(lines[position + 1 :], len(header), torn, ledger)
    header, rows = _without_blank_columns(header, rows, ledger)
    rows, grouped = _fill_groups(header, rows, ledger, spreadsheet)
    sign = decimal or _told_sign(rows, delimiter, where)
    return TextTable(tuple(header), rows, sign, grouped), read + above


def _told_sign(rows: list[Row], delimiter: str, where: str) -> str:
    sign = "." if delimiter == "," else decimal_sign(c for row in rows for c in row if c)
    if sign is None:
        raise DataError(
            f"{where}: a comma in its numbers may separate thousands or decimals. Pass decimal='.' "
            "or decimal=','."
        )
    return sign


def _delimiter(text: str, where: str, recognised: Callable[[str], bool]) -> str:
    """Choose the delimiter that makes most known names, then equally long lines, then wide ones."""
    head = [line for line in re.split(r"\r\n|\n|\r", text) if line.strip()][:_HEADER_WITHIN]
    if not head:
        raise DataError(f"{where} is empty. Give a table with one row per run.")
    best, most = ",", (0, 0.0)
    for delimiter in _DELIMITERS:
        try:
            lines = list(csv.reader(head, delimiter=delimiter))
        except csv.Error:
            continue
        known = max((_known(line, recognised) for line in lines), default=0)
        lengths = [len(line) for line in lines]
        usual = max(set(lengths), key=lambda n: (lengths.count(n), n), default=0)
        alike = lengths.count(usual) / len(lines) if lines else 0.0
        score = (known, alike + min(usual, 10) / 10 if usual > 1 else 0.0)
        if score > most:
            best, most = delimiter, score
    return best


def _known(line: Sequence[str | None], recognised: Callable[[str], bool]) -> int:
    return len({c for c in line if c and len(c) < 200 and recognised(c.strip())})


def _parse(text: str, delimiter: str, where: str) -> list[Row]:
    lines: list[Row] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for line in reader:
            lines.append([_cell(c) for c in line])
    except csv.Error as error:
        raise DataError(
            f"{where}, line {reader.line_num}: {error}. The file may be cut short, or hold a quote "
            "that does not close; write it again."
        ) from None
    return lines


def _cell(text: str) -> str | None:
    stripped = text.strip()
    return stripped or None


def _header_line(lines: list[Row], recognised: Callable[[str], bool]) -> int:
    """Position of the line with most known names; the first with two cells where none has any."""
    best, most = -1, 0
    for i, line in enumerate(lines[:_HEADER_WITHIN]):
        known = _known(line, recognised)
        if known > most:
            best, most = i, known
    if best >= 0:
        return best
    widths = [sum(c is not None for c in line) for line in lines[:_HEADER_WITHIN]]
    return next((i for i, width in enumerate(widths) if width >= 2), 0)


def _names(line: Row, ledger: Ledger) -> list[str]:
    """Distinct names of the columns; blank ones are numbered, repeated ones get ``.2``."""
    out: list[str] = []
    twice: list[str] = []
    for i, cell in enumerate(line):
        name = base = cell or f"column_{i + 1}"
        count = 1
        while name in out:
            count += 1
            name = f"{base}.{count}"
        if name != base:
            twice.append(base)
        out.append(name)
    if twice:
        ledger.add("renamed", joined(twice), "the name occurs twice", count=len(twice))
    return out


def _body(lines: list[Row], width: int, torn: bool, ledger: Ledger) -> tuple[list[Row], int]:
    rows: list[Row] = []
    filled = [line for line in lines if any(c is not None for c in line)]
    ragged: list[int] = []
    for i, line in enumerate(filled):
        cut = torn and i == len(filled) - 1 and len(line) < width and line is lines[-1]
        if cut:
            ledger.add("dropped", "rows", "the last line is cut short", rows=-1, count=1)
        elif any(c is not None for c in line[width:]):
            ragged.append(i + 1)
        else:
            rows.append((line + [None] * width)[:width])
    if ragged:
        lost = len(ragged)
        ledger.add("dropped", "rows", f"more than {width} cells", rows=-lost, count=lost,
                   examples=[f"record {i}" for i in ragged])  # fmt: skip
    return rows, len(filled)


def _without_blank_columns(
    header: list[str], rows: list[Row], ledger: Ledger
) -> tuple[list[str], list[Row]]:
    keep = [
        i
        for i, name in enumerate(header)
        if not re.fullmatch(r"column_\d+", name) or any(row[i] is not None for row in rows)
    ]
    lost = len(header) - len(keep)
    if lost:
        ledger.add("dropped", "columns", "blank, without a name", count=lost)
        rows = [[row[i] for i in keep] for row in rows]
    return [header[i] for i in keep], rows


def _fill_groups(
    header: Sequence[str], rows: list[Row], ledger: Ledger, spreadsheet: bool
) -> tuple[list[Row], bool]:
    """Give rows below a heading (``12M,,,``, then ``,200,,``) the values of their headings.

    A heading holds values in leading columns only, and these are blank in the row below it.
    """
    width = len(header)
    leading = _heading_columns(rows, width)
    if not leading and not spreadsheet:
        return rows, False
    current: dict[int, str | None] = {}
    out: list[Row] = []
    filled = headings = 0
    keys = leading if leading else set(range(max(width - 1, 0)))
    for row in rows:
        given = [i for i in range(width) if row[i] is not None]
        is_heading = bool(leading) and set(given) <= leading and max(given) < width - 1
        first = min(given)
        if first in keys:  # a new value clears those to its right
            current = {i: v for i, v in current.items() if i < first}
        for i in given:
            if i in keys:
                current[i] = row[i]
        if is_heading:
            headings += 1
            continue
        new = list(row)
        for i in keys:
            if new[i] is None and i < first and current.get(i) is not None:
                new[i] = current[i]
                filled += 1
        out.append(new)
    if headings:
        ledger.add("merged", "rows", "headings of groups, given to the rows below", rows=-headings,
                   count=headings)  # fmt: skip
    if filled:
        names = [header[i] for i in sorted(keys)]
        ledger.add("filled", joined(names), "from the heading above", count=filled)
    return out, bool(headings)


def _heading_columns(rows: list[Row], width: int) -> set[int]:
    """Leading columns that are filled in rows of their own and blank in the row below."""
    found: set[int] = set()
    for row, below in itertools.pairwise(rows):
        given = [i for i in range(width) if row[i] is not None]
        later = [i for i in range(width) if below[i] is not None]
        if len(given) == 1 and later and given[0] < width - 1 and min(later) > given[0]:
            found.add(given[0])
    depth = 0
    while depth in found:
        depth += 1
    return set(range(depth)) & found
