"""The first worksheet of an XLSX file. The only module that knows openpyxl, which is slow to import and imported on use.

openpyxl gives None for a formula whose result was never stored and for all cells but one that are merged, as if they were
empty; so both are looked for in the sheet's XML.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from manor.control.templates.rows import MAX_TABULAR_BYTES
from manor.errors import Finding, InputError, Place
from manor.scan import suggest

MAX_FINDINGS = 50
"""Per worksheet; of those beyond it only the number is said."""

_BLOCK_ROWS = 256
_NAMESPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_CELL, _ROW, _MERGED = (_NAMESPACE + name for name in ("c", "row", "mergeCell"))
_FORMULA, _VALUE = _NAMESPACE + "f", _NAMESPACE + "v"
_SIGNS = re.compile(rb"[<:](?:f|mergeCell)[\s/>]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One worksheet: its values, row by row, and what cannot be taken for a value."""

    rows: list[tuple[Any, ...]]
    findings: list[Finding]
    unusable: frozenset[int]
    """Lines, counted from 1, with a cell that has a finding."""


def read_sheet(path: Path, shown: str) -> Sheet:
    """The first worksheet; of a formula, the result that was saved with it. Places name the file as ``shown``.

    Raises ``InputError`` for a file that is no workbook or unpacks to more than ``MAX_TABULAR_BYTES``, ``OSError`` for one that
    cannot be opened.
    """
    with open_sheet(path, shown) as reader:
        return reader.read()


@contextlib.contextmanager
def open_sheet(path: Path, shown: str, name: str = "") -> Iterator[SheetReader]:
    """The worksheet called ``name``, else the first one, to be read row by row. Raises as ``read_sheet`` does."""
    _check_size(path)
    with _translated():
        book = _book(path)
    try:
        with _translated():
            sheet = _chosen(book.worksheets, name)
        yield SheetReader(sheet, shown, [other for other in book.worksheets if other is not sheet])
    finally:
        book.close()


def _book(path: Path) -> Any:
    """The workbook. Its chart sheets are there without their charts, which openpyxl does not find in all of them."""
    from openpyxl.chartsheet import Chartsheet
    from openpyxl.reader.excel import ExcelReader

    class Reader(ExcelReader):
        def read_chartsheet(self, sheet: Any, _rel: Any) -> None:
            book: Any = self.wb
            book._add_sheet(Chartsheet(title=sheet.name, parent=book))

    reader = Reader(path, read_only=True, data_only=True)
    reader.read()
    return reader.wb


def _check_size(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile:
        raise InputError("this is not an XLSX file", hint="save it as .xlsx from the spreadsheet program") from None
    if size > MAX_TABULAR_BYTES:
        raise InputError(
            f"the file unpacks to {size:,} bytes, {MAX_TABULAR_BYTES:,} are allowed", hint="load bulk rows from CSV"
        )


def _chosen(sheets: list[Any], name: str) -> Any:
    if not sheets:
        raise InputError("the workbook has no worksheet, only charts", hint="save the rows in a worksheet")
    if not name:
        return sheets[0]
    found = next((sheet for sheet in sheets if sheet.title == name), None)
    if found is None:
        raise InputError(f"there is no sheet {name!r}", hint=suggest(name, [sheet.title for sheet in sheets]))
    return found


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """openpyxl lets through whatever its parsers raise on a damaged file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns about styles and validations that it drops; only values matter here
        try:
            yield
        except (OSError, InputError):
            raise
        except Exception as error:
            raise InputError(
                f"the workbook cannot be read: {type(error).__name__}", hint="open it and save it again"
            ) from error


class SheetReader:
    """Reads one of openpyxl's worksheets and collects what is wrong with its cells."""

    def __init__(self, sheet: Any, shown: str, others: list[Any]) -> None:
        self.sheet = sheet
        self.shown = shown
        self.others = others
        self.findings: list[Finding] = []
        self.unusable: set[int] = set()

    def read(self) -> Sheet:
        """All of it."""
        rows = list(self.rows())
        self.search_xml(len(rows))
        self.findings.sort(key=lambda finding: (finding.place.line, finding.place.column) if finding.place else (0, 0))
        left_out = len(self.findings) - MAX_FINDINGS
        if left_out > 0:
            self.findings[MAX_FINDINGS:] = [
                Finding(message=f"{left_out:,} more findings in this file", place=Place(self.shown))
            ]
        with _translated():
            self.findings.extend(self.not_read(sheet) for sheet in self.others if _has_content(sheet))
        return Sheet(rows=rows, findings=self.findings, unusable=frozenset(self.unusable))

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Row by row; cells that hold an error are among the findings once their row was handed out."""
        stream = _rows(self.sheet)
        while block := self._block(stream):
            yield from block

    def _block(self, stream: Iterator[Any]) -> list[tuple[Any, ...]]:
        with _translated():
            return [self.values(row) for row in itertools.islice(stream, _BLOCK_ROWS)]

    def not_read(self, sheet: Any) -> Finding:
        return Finding(
            message=f"the sheet {sheet.title!r} is not read: only the first one, {self.sheet.title!r}, is",
            place=Place(self.shown),
            hint="give it a file of its own: <schema>@<table>#<segment>.xlsx",
            severity="notice",
        )

    def report(self, line: int, column: int, message: str, hint: str) -> None:
        self.unusable.add(line)
        self.findings.append(Finding(message=message, place=Place(self.shown, line, column), hint=hint))

    def values(self, row: Any) -> tuple[Any, ...]:
        for cell in row:
            if cell.data_type == "e":
                message = f"{self.name(cell.coordinate)} holds the error {cell.value}"
                self.report(cell.row, cell.column, message, "correct the formula, or write the value")
        return tuple(cell.value for cell in row)

    def name(self, coordinate: str) -> str:
        return f"{self.sheet.title}!{coordinate}"

    def search_xml(self, lines: int = 0) -> None:
        """Look for what the values do not show; ``lines`` is the number of rows that there are."""
        with _translated():
            self._search_xml(lines)

    def _search_xml(self, lines: int) -> None:
        from openpyxl.utils.cell import range_boundaries

        for line, column, coordinate in _from_xml(self.sheet):
            if line:
                hint = "open and save it in a spreadsheet program, or write the value"
                self.report(line, column, f"{self.name(coordinate)}: the formula has no stored value", hint)
            else:
                left, top, _, bottom = (bound or 1 for bound in range_boundaries(coordinate))
                self.report(top, left, f"merged cells {self.name(coordinate)}", "unmerge them and give each row its value")
                self.unusable.update(range(top, min(bottom, lines) + 1))


def _rows(sheet: Any) -> Any:
    sheet.reset_dimensions()  # some programs write a wrong size, and up to a too large one openpyxl pads
    return sheet.iter_rows()


def _has_content(sheet: Any) -> bool:
    return any(cell.value is not None for row in _rows(sheet) for cell in row)


def _from_xml(sheet: Any) -> Iterator[tuple[int, int, str]]:
    """(line, column, coordinate) of formulas without a stored value; (0, 0, range) of merged cells."""
    from openpyxl.utils.cell import coordinate_to_tuple, get_column_letter
    from openpyxl.xml.functions import iterparse

    with sheet._get_source() as source:
        if not _mentions_them(source):
            return
    line = 0
    with sheet._get_source() as source:
        for _, element in iterparse(source):
            if element.tag == _ROW:
                line, column = int(element.get("r") or line + 1), 0
                for cell in element.iterfind(_CELL):
                    written = cell.get("r")
                    column = coordinate_to_tuple(written)[1] if written else column + 1
                    if _is_unstored(cell):
                        yield line, column, f"{get_column_letter(column)}{line}"
                element.clear()
            elif element.tag == _MERGED:
                yield 0, 0, element.get("ref", "")


def _mentions_them(source: IO[bytes]) -> bool:
    """Most sheets hold neither: searching their bytes takes a small part of the time that parsing takes."""
    end = b""
    while block := source.read(1 << 20):
        if _SIGNS.search(end + block):
            return True
        end = block[-16:]
    return False


def _is_unstored(cell: Any) -> bool:
    """Empty text is a result too: it has the type ``str``, which a program that does not calculate leaves out."""
    return cell.find(_FORMULA) is not None and cell.get("t") != "str" and not cell.findtext(_VALUE)
