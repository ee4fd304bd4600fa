"""The first worksheet of an XLSX file. The only module that knows openpyxl, which is slow to import and imported on use."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

from manor.control.templates.rows import MAX_TABULAR_BYTES
from manor.errors import InputError


def read_sheet(path: Path) -> list[tuple[Any, ...]]:
    """The values of the first worksheet, row by row; of a formula, the result that was saved with it.

    Raises ``InputError`` for a file that is no workbook or unpacks to more than ``MAX_TABULAR_BYTES``, ``OSError`` for one that
    cannot be opened.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile:
        raise InputError("this is not an XLSX file", hint="save it as .xlsx from the spreadsheet program") from None
    if size > MAX_TABULAR_BYTES:
        raise InputError(
            f"the file unpacks to {size:,} bytes, {MAX_TABULAR_BYTES:,} are allowed", hint="load bulk rows from CSV"
        )
    return _read(path)


def _read(path: Path) -> list[tuple[Any, ...]]:
    import openpyxl

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns about styles and validations that it drops; only values matter here
        try:
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            try:
                sheet = book.worksheets[0]
                sheet.reset_dimensions()  # some programs write a wrong size, and up to a too large one openpyxl pads
                return [tuple(row) for row in sheet.iter_rows(values_only=True)]
            finally:
                book.close()
        except OSError:
            raise
        except Exception as error:  # openpyxl lets through whatever its parsers raise on a damaged file
            raise InputError(
                f"the workbook cannot be read: {type(error).__name__}", hint="open it and save it again"
            ) from error
