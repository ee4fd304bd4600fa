"""A CSV file or a worksheet as rows of text: in batches without ado, or one by one with the line at which each begins.

All cells are text, a spreadsheet's numbers and dates included. Empty rows are passed over. A table is opened anew for each time
that it is read, and holds its file open only meanwhile.
"""

from __future__ import annotations

import contextlib
import csv
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from manor.control.registry.sheets.encoding import first_fault, text_encoding
from manor.control.registry.sheets.header import DELIMITERS, choose_delimiter
from manor.control.templates.rows import EMPTY, spreadsheet_value
from manor.errors import Finding, InputError, InvalidInput, Place

Cells = list[str]
_EXCEL_SEPARATOR = "sep="
"""Begins a first line that only Excel understands, and writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Which content a file has, without looking into it."""

    inode: int
    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path, shown: str) -> Version:
        """Raises ``InputError`` where there is no file, or something that never ends."""
        try:
            found = path.stat()
        except OSError as error:
            hint = "is the path right?"
            raise InputError(f"cannot read the file: {error.strerror}", place=Place(shown), hint=hint) from error
        if not stat.S_ISREG(found.st_mode):
            raise InputError("this is not a regular file", place=Place(shown), hint="name a file that ends with its last row")
        return cls(inode=found.st_ino, size=found.st_size, modified_ns=found.st_mtime_ns)


class Table(Protocol):
    """One table of a file."""

    @property
    def shown(self) -> str:
        """What places call the file."""
        ...

    def batches(self, size: int) -> Iterator[list[Cells]]:
        """All rows, the header first and alone, the others ``size`` at a time. Raises ``InputError`` where it cannot go on."""
        ...

    def numbered(self, findings: list[Finding]) -> Iterator[tuple[int, Cells]]:
        """All rows with the lines at which they begin. What makes a row unreadable is added to ``findings``, and ends it."""
        ...


def open_table(path: Path, shown: str, *, encoding: str, delimiter: str, sheet: str, columns: Mapping[str, str]) -> Table:
    """The table of a file: a worksheet where its name ends in ``.xlsx``, else CSV. Empty words are found out from the file.

    Raises ``InputError`` for what cannot be read at all.
    """
    with _readable(shown):
        if path.suffix.lower() == ".xlsx":
            return SheetTable(path=path, shown=shown, sheet=sheet)
        found = text_encoding(path, shown, encoding)
        with _opened(path, found, errors="replace") as file:  # what is wrong is said when it is read
            first = file.readline(1 << 16)
            written = first.strip()[len(_EXCEL_SEPARATOR) :] if first.lower().startswith(_EXCEL_SEPARATOR) else ""
            head = first if not written else file.readline(1 << 16)
    chosen = delimiter or written or choose_delimiter(head.rstrip("\r\n"), columns)
    if len(chosen) != 1 or chosen in '"\r\n':
        raise InputError(f"columns cannot be told apart by {chosen!r}", hint=f"one character, such as {' '.join(DELIMITERS)}")
    return CsvTable(path=path, shown=shown, encoding=found, delimiter=chosen, skipped=1 if written else 0)


@contextlib.contextmanager
def _readable(shown: str) -> Iterator[None]:
    """``OSError``, and errors that know no file, as errors with the file as their place."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror}", place=Place(shown)) from error
    except InputError as error:
        if error.place is not None:
            raise
        raise InputError(error.message, hint=error.hint, place=Place(shown)) from error


def _opened(path: Path, encoding: str, *, errors: str = "strict") -> Any:
    """Without waiting for somebody who writes, should it have become a pipe meanwhile."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    return open(path, encoding=encoding, errors=errors, newline="", opener=opener)


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvTable:
    """A text file whose columns are separated by one character."""

    path: Path
    shown: str
    encoding: str
    delimiter: str
    skipped: int = 0
    """Lines above the header."""

    def batches(self, size: int) -> Iterator[list[Cells]]:
        """Straight from the standard library's reader, written in C."""
        with _readable(self.shown), self._reader() as reader:
            try:
                header = next((row for row in reader if any(row)), None)
                if header is not None:
                    yield [header]
                while rows := list(islice(reader, size)):
                    yield rows if all(rows) else [row for row in rows if any(row)]
            except (csv.Error, UnicodeDecodeError) as error:
                raise InvalidInput([self._fault(error, reader.line_num + self.skipped + 1)]) from error

    def numbered(self, findings: list[Finding]) -> Iterator[tuple[int, Cells]]:
        """The line is that at which the row begins: a cell may hold several."""
        with _readable(self.shown), self._reader() as reader:
            line = self.skipped + 1
            try:
                for row in reader:
                    if any(row):
                        yield line, row
                    line = reader.line_num + self.skipped + 1
            except (csv.Error, UnicodeDecodeError) as error:
                findings.append(self._fault(error, line))

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Any]:
        with _opened(self.path, self.encoding) as file:
            for _ in range(self.skipped):
                file.readline()
            yield csv.reader(file, delimiter=self.delimiter, strict=True)

    def _fault(self, error: ValueError | csv.Error, line: int) -> Finding:
        """Bytes are decoded ahead of the line that is read: where they are wrong is looked for."""
        if isinstance(error, UnicodeDecodeError):
            place = Place(self.shown, first_fault(self.path, self.encoding) or line, 1)
            hint = "name its encoding by encoding:, or save it as UTF-8"
            return Finding(message=f"the file is not {self.encoding}", place=place, hint=hint)
        if "field limit" in str(error):
            message = f"from here on a cell has more than {csv.field_size_limit():,} characters"
            hint = "shorten it, or take its column out; or is a quotation mark not closed?"
            return Finding(message=message, place=Place(self.shown, line, 1), hint=hint)
        hint = "is a quotation mark not closed, or not written twice?"
        return Finding(message=f"this is not CSV from here on: {error}", place=Place(self.shown, line, 1), hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetTable:
    """A worksheet. It is read as a stream; its texts, of which the format keeps one list, are held."""

    path: Path
    shown: str
    sheet: str = ""
    """Its name; empty: the first one."""

    def batches(self, size: int) -> Iterator[list[Cells]]:
        """Raises ``InvalidInput`` as soon as there is a cell whose value is not what it shows."""
        findings: list[Finding] = []
        rows = (cells for _, cells in self.numbered(findings))
        if (header := next(rows, None)) is not None:
            yield [header]
        while batch := list(islice(rows, size)):
            if findings:
                break
            yield batch
        if findings:
            raise InvalidInput(findings)

    def numbered(self, findings: list[Finding]) -> Iterator[tuple[int, Cells]]:
        """Rows are as wide as the header at least."""
        from manor.control.templates.spreadsheets import open_sheet

        with _readable(self.shown), open_sheet(self.path, self.shown, self.sheet) as reader:
            reader.findings = findings
            reader.search_xml()
            width = 0
            for line, values in enumerate(reader.rows(), 1):
                cells = [_text(value) for value in values]
                if any(cells):
                    width = width or len(cells)
                    yield line, cells + [""] * (width - len(cells))


def _text(value: Any) -> str:
    plain = spreadsheet_value(value)
    if plain is EMPTY:
        return ""
    return str(plain).lower() if isinstance(plain, bool) else str(plain)
