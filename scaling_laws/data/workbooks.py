"""Excel workbooks (``.xlsx``): their one sheet as text, read then like any other table."""

from __future__ import annotations

import csv
import io
import warnings
import zipfile
from typing import Any

from scaling_laws.data.read_report import joined
from scaling_laws.errors import DataError

_MOST_BYTES = 200_000_000  # unpacked: a small archive may hold far more than it should
_MOST_CELLS = 10_000_000


def is_workbook(content: bytes) -> bool:
    """Whether a file is an Excel workbook.

    Parameters
    ----------
    content : bytes

    Returns
    -------
    bool

    Examples
    --------
    >>> is_workbook(b"N,loss"), is_workbook(b"PK")
    (False, False)
    """
    if not content.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def workbook_text(content: bytes, where: str, decimal: str) -> str:
    r"""Return the sheet of a workbook as text, cells separated by tabs.

    Parameters
    ----------
    content : bytes
    where : str
        The file, for messages.
    decimal : {".", ","}
        Decimal sign to write numbers with.

    Returns
    -------
    str
        Values as the workbook stores them; of formulas the result that was saved with them.

    Raises
    ------
    DataError
        openpyxl is not installed, or the workbook is damaged, too large, empty or of several
        sheets.

    Examples
    --------
    >>> try:
    ...     workbook_text(b"PK", "runs.xlsx", ".")
    ... except DataError as error:
    ...     print(str(error)[:12])
    runs.xlsx is
    """
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise DataError(
            f"{where} is an Excel workbook; reading it needs openpyxl. Install it (pip install "
            "openpyxl), or save the sheet as CSV."
        ) from None
    try:
        _check_size(content, where)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and validations that it leaves out
            book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
            sheets = {sheet.title: _rows(sheet, where) for sheet in book.worksheets}
    except DataError:
        raise
    except Exception as error:  # whatever a damaged workbook makes it raise
        raise DataError(
            f"{where} is not a readable Excel workbook: {type(error).__name__}: "
            f"{str(error).rstrip('.')}. Save the sheet as CSV."
        ) from None
    filled = [name for name, rows in sheets.items() if rows]
    if len(filled) != 1:
        raise DataError(
            f"{where} has {len(filled)} sheets that are filled ({joined(filled) or 'none'}); one "
            "is expected. Save the one with the runs as CSV, or pass what pandas.read_excel gives."
        )
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", quoting=csv.QUOTE_ALL)
    writer.writerows([_text(value, decimal) for value in row] for row in sheets[filled[0]])
    return out.getvalue()


def _check_size(content: bytes, where: str) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > _MOST_BYTES:
        raise DataError(
            f"{where} unpacks to {size / 1e6:.0f} MB, more than {_MOST_BYTES / 1e6:.0f}. Save the "
            "sheet as CSV."
        )


def _rows(sheet: Any, where: str) -> list[tuple[Any, ...]]:
    """Rows with a value; what the sheet says of its own size is not believed."""
    sheet.reset_dimensions()
    rows, cells = [], 0
    for row in sheet.iter_rows(values_only=True):
        cells += len(row) + 1
        if cells > _MOST_CELLS:
            raise DataError(f"{where} has more than {_MOST_CELLS:,} cells. Save the sheet as CSV.")
        if any(value is not None for value in row):
            rows.append(row)
    return rows


def _text(value: Any, decimal: str) -> str:
    if isinstance(value, float):
        return repr(value).replace(".", decimal)
    return "" if value is None else str(value).replace("\0", "")
