"""Data files to rows: ``.dat`` (a YAML list of mappings), ``.csv`` and ``.xlsx`` (a header row, then one row each).

Pure but for the bytes that come in. Strings are scanned once for ``{NAME}``; what an inserted value looks like never
matters again. Cells of spreadsheets that are empty become ``EMPTY``, whose meaning depends on the column and is decided
when rows are typed.
"""

from __future__ import annotations

import csv
import datetime as dt
import enum
import io
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from manor.control.templates.model import Cell, Sql
from manor.errors import Finding, InputError, Place
from manor.scan import scan
from manor.typed_input import describe
from manor.yaml_reader import YamlDocument

MAX_TABULAR_BYTES = 256 * 1024 * 1024
"""Size limit of a CSV file and of an unpacked XLSX file."""

DATA_NAME = re.compile(r"(?P<schema>[^@#]+)@(?P<table>[^@#]+)(?:#(?P<segment>[^@#]+))?")
"""The stem of a data file's name."""
ENDINGS = (".dat", ".csv", ".xlsx")

_LIKE_VARIABLE = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")


class Empty(enum.Enum):
    """A cell of a spreadsheet in which nothing stands."""

    EMPTY = "empty"


EMPTY = Empty.EMPTY

RawRow = Mapping[str, Cell | Empty]
Locate = Callable[[int, str | None], Place]
"""(index of the row, column or None for the row itself) to its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRows:
    """The rows of one file, scanned, not yet typed."""

    file: str
    rows: tuple[RawRow, ...]
    locate: Locate
    header: tuple[tuple[str, Place], ...] = ()
    """Of a CSV or XLSX file: the names of its columns, with their places."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class DataName:
    """What a data file's name says: ``<schema>@<table>[#segment]``."""

    schema: str
    table: str
    segment: str = ""

    @property
    def subject(self) -> str:
        """``schema@table``."""
        return f"{self.schema}@{self.table}"

    @classmethod
    def parse(cls, stem: str) -> DataName | None:
        """The name that ``stem`` (without ending) means, or None."""
        match = DATA_NAME.fullmatch(stem)
        return cls(schema=match["schema"], table=match["table"], segment=match["segment"] or "") if match else None


def sql_tag(text: str, place: Place) -> Sql:
    """What ``!sql`` makes. Raises ``InputError`` for an empty expression."""
    if not text.strip():
        raise InputError("!sql without an expression", place=place, hint="write it like !sql NOW()")
    return Sql(text.strip())


TAGS = {"!sql": sql_tag}


def parse_dat(document: YamlDocument) -> tuple[RawRows, list[Finding]]:
    """The rows of a ``.dat`` file (read with ``TAGS``) and all that is wrong with them."""
    findings: list[Finding] = []
    rows: list[RawRow] = []
    indexes: list[int] = []
    value = document.value if document.value is not None else []
    if not isinstance(value, list):
        message = f"a data file holds a list of rows, found {describe(value)}"
        return _no_rows(document.file), [Finding(message=message, place=document.place(), hint="begin each row with '- '")]
    for index, row in enumerate(value):
        if not isinstance(row, dict):
            message = f"a row is a mapping of columns to values, found {describe(row)}"
            findings.append(Finding(message=message, place=document.place((index,))))
            continue
        rows.append({name: _scan_cell(cell, document, (index, name), findings) for name, cell in row.items()})
        indexes.append(index)

    def locate(row: int, column: str | None) -> Place:
        return document.place((indexes[row],) if column is None else (indexes[row], column))

    return RawRows(file=document.file, rows=tuple(rows), locate=locate), findings


def _no_rows(file: str) -> RawRows:
    return RawRows(file=file, rows=(), locate=lambda _row, _column: Place(file))


def _scan_cell(cell: Any, document: YamlDocument, path: tuple[str | int, ...], findings: list[Finding]) -> Any:
    if isinstance(cell, str):
        return scan_text(cell, lambda: document.place(path), findings)
    if isinstance(cell, list):
        return [_scan_cell(item, document, (*path, index), findings) for index, item in enumerate(cell)]
    if isinstance(cell, dict):
        return {key: _scan_cell(item, document, (*path, key), findings) for key, item in cell.items()}
    if isinstance(cell, Sql):
        _check_sql(cell, document, path, findings)
    return cell


def _check_sql(cell: Sql, document: YamlDocument, path: tuple[str | int, ...], findings: list[Finding]) -> None:
    place = document.place(path)
    if len(path) > 2:
        findings.append(Finding(message="!sql cannot stand inside a value", place=place, hint="let it be the whole value"))
    looks = _LIKE_VARIABLE.search(cell.expression)
    if looks:
        message = f"{looks.group(0)} is not filled in: variables do not work inside !sql"
        findings.append(Finding(message=message, place=place, severity="notice", hint="a value must not become SQL"))


def scan_text(text: str, place: Callable[[], Place], findings: list[Finding]) -> Cell:
    """``text`` itself where it holds no variable (escapes resolved), else a ``Text``."""
    if "{" not in text and "}" not in text:
        return text
    try:
        scanned = scan(text)
    except InputError as error:
        findings.append(Finding(message=error.message, place=place(), hint=error.hint))
        return text
    return scanned if scanned.constant is None else scanned.constant


def decode_csv(content: bytes) -> str:
    """UTF-8 (with or without a byte order mark), else CP932, which spreadsheets in Japan write. Raises ``InputError``."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        first = error.start
    try:
        return content.decode("cp932")
    except UnicodeDecodeError:
        line = content.count(b"\n", 0, first) + 1
        raise InputError(f"neither UTF-8 nor CP932 (line {line})", hint="save it as UTF-8", place=Place("", line, 1)) from None


def parse_csv(content: bytes, file: str) -> tuple[RawRows, list[Finding]]:
    """The rows of a CSV file and all that is wrong with them. Places name the line at which a row begins."""
    try:
        text = decode_csv(content)
    except InputError as error:
        line = error.place.line if error.place else 1
        return _no_rows(file), [Finding(message=error.message, place=Place(file, line, 1), hint=error.hint)]
    csv.field_size_limit(MAX_TABULAR_BYTES)  # of the whole process; the standard library's own is 131,072 characters
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    table = _Tabular(file)
    line = 1
    try:
        for record in reader:
            table.add([cell if cell != "" else EMPTY for cell in record], line)
            line = reader.line_num + 1
    except csv.Error as error:
        table.findings.append(Finding(message=f"this is not CSV: {error}", place=Place(file, line, 1)))
    return table.finish()


def parse_xlsx(sheet: Iterable[Iterable[Any]], file: str, *, unusable: Collection[int] = ()) -> tuple[RawRows, list[Finding]]:
    """The rows of a worksheet, given as rows of openpyxl's values; ``unusable`` are lines whose cells have findings already."""
    table = _Tabular(file)
    for line, cells in enumerate(sheet, 1):
        if line in unusable and table.header is not None:
            continue
        values = [spreadsheet_value(cell) for cell in cells]
        values.extend([EMPTY] * (len(table.header or ()) - len(values)))
        table.add(values, line)
    return table.finish()


def spreadsheet_value(cell: Any) -> Any:
    """What openpyxl gives for a cell as a value of ours; ``EMPTY`` where nothing stands in it."""
    if cell is None or cell == "":
        return EMPTY
    if isinstance(cell, float):
        return int(cell) if cell.is_integer() and abs(cell) < 2**53 else Decimal(repr(cell))
    if isinstance(cell, dt.datetime):
        return cell.isoformat(" ")
    if isinstance(cell, (dt.date, dt.time)):
        return cell.isoformat()
    if isinstance(cell, dt.timedelta):
        return str(cell)
    return cell


class _Tabular:
    """Collects the rows of a file whose first row names the columns."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.header: list[str] | None = None
        self.header_line = 0
        self.rows: list[RawRow] = []
        self.lines: list[int] = []
        self.findings: list[Finding] = []

    def report(self, message: str, line: int, column: int, hint: str = "") -> None:
        self.findings.append(Finding(message=message, place=Place(self.file, line, column), hint=hint))

    def add(self, cells: list[Any], line: int) -> None:
        while cells and cells[-1] is EMPTY and (self.header is None or len(cells) > len(self.header)):
            cells.pop()
        if all(cell is EMPTY for cell in cells) and (self.header is None or len(self.header) > 1 or not cells):
            return
        if self.header is None:
            self.begin(cells, line)
        elif len(cells) != len(self.header):
            count = f"{len(cells)} cell{'s' * (len(cells) != 1)}"
            self.report(f"the row has {count}, the header has {len(self.header)}", line, 1)
        else:
            self.rows.append(
                {name: self.scan(cell, line, n) for n, (name, cell) in enumerate(zip(self.header, cells, strict=True), 1)}
            )
            self.lines.append(line)

    def begin(self, cells: list[Any], line: int) -> None:
        self.header, self.header_line = [], line
        for number, cell in enumerate(cells, 1):
            name = str(cell).strip() if cell is not EMPTY else ""
            if not name:
                self.report(f"column {number} of the header has no name", line, number)
            elif name in self.header:
                self.report(f"the header names {name!r} twice", line, number)
            self.header.append(name)

    def scan(self, cell: Any, line: int, column: int) -> Any:
        if not isinstance(cell, str):
            return cell
        return scan_text(cell, lambda: Place(self.file, line, column), self.findings)

    def finish(self) -> tuple[RawRows, list[Finding]]:
        header = self.header or []

        def locate(row: int, column: str | None) -> Place:
            return Place(self.file, self.lines[row], header.index(column) + 1 if column in header else 1)

        broken_header = len(set(header)) != len(header) or "" in header
        if broken_header:
            return _no_rows(self.file), self.findings
        named = tuple((name, Place(self.file, self.header_line, number)) for number, name in enumerate(header, 1))
        return RawRows(file=self.file, rows=tuple(self.rows), locate=locate, header=named), self.findings
