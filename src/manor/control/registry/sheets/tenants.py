"""All tenants of one table, in batches, each once; or all that is wrong with the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from manor.control.registry.sheets.batch import SIZE, BatchReader, Unsure
from manor.control.registry.sheets.careful import read_row
from manor.control.registry.sheets.header import Header, read_header
from manor.control.registry.sheets.tables import Cells, Table
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import ConflictError, Finding, InputError, InvalidInput, Place

MOST_FINDINGS = 50
"""Of one file; of those beyond it only the number is said."""


class TableTenants:
    """The tenants of a table whose columns may be called otherwise (``columns``: by field, the name)."""

    def __init__(self, table: Table, columns: Mapping[str, str]) -> None:
        self._table = table
        self._columns = columns
        self.passed_over: tuple[str, ...] = ()
        """Columns that are no field; known once reading has begun."""

    def batches(self) -> Iterator[list[TenantInfo]]:
        """All of them, some at a time.

        Raises ``InvalidInput`` with all findings of the whole table as soon as something is wrong, ``ConflictError`` where it
        was changed meanwhile.
        """
        try:
            yield from self._batches()
        except (InputError, _Wrong) as error:
            raise self._faults(error) from None

    def _batches(self) -> Iterator[list[TenantInfo]]:
        batches = self._table.batches(SIZE)
        header = self._header(next(batches, [[]])[0], 1)
        reader, seen, count = BatchReader(header), set[str](), 0
        for rows in batches:
            if not rows:
                continue
            ids, tenants = _read(rows, reader, header)
            seen.update(ids)
            count += len(tenants)
            if len(seen) < count:
                raise _Wrong
            yield tenants

    def _header(self, cells: Cells, line: int) -> Header:
        if not cells:
            place = Place(self._table.shown, 1, 1)
            hint = "its first row names the columns: tenant_id, customer_code, …"
            raise InputError("the table is empty", place=place, hint=hint)
        header = read_header(cells, self._columns, Place(self._table.shown, line, 1))
        self.passed_over = header.passed_over
        return header

    def _faults(self, first: Exception) -> InputError | ConflictError:
        """Everything once more, row by row: what was wrong is found again with its line, and all else that is."""
        findings: list[Finding] = []
        try:
            self._search(findings)
        except InputError as error:
            return error
        if findings:
            return InvalidInput(_fewer(findings, self._table.shown))
        if isinstance(first, InputError):
            return first
        return ConflictError(f"{self._table.shown} was changed while it was read", hint="try again once it is written")

    def _search(self, findings: list[Finding]) -> None:
        rows = self._table.numbered(findings)
        line, cells = next(rows, (1, []))
        if findings and not cells:
            return
        header = self._header(cells, line)
        lines: dict[str, int] = {}
        for line, row in rows:
            info, wrong = read_row(row, header, Place(self._table.shown, line, 1))
            if info is not None and (before := lines.setdefault(info.tenant_id, line)) != line:
                wrong = [_twice(info, Place(self._table.shown, line, header.fields["tenant_id"] + 1), before)]
            findings.extend(wrong)


class _Wrong(Exception):
    """Something is; what and where is found by reading again."""


def _read(rows: Sequence[Cells], reader: BatchReader, header: Header) -> tuple[Sequence[str], list[TenantInfo]]:
    try:
        return reader.tenants(rows)
    except Unsure:
        pass
    tenants = []
    for row in rows:
        info, wrong = read_row(row, header, Place(""))
        if wrong:
            raise _Wrong
        if info is not None:
            tenants.append(info)
    return [info.tenant_id for info in tenants], tenants


def _twice(info: TenantInfo, place: Place, before: int) -> Finding:
    message = f"the tenant {info.tenant_id!r} is there twice, first in line {before}"
    return Finding(message=message, place=place, hint="keep one of the two, or tell their ids apart")


def _fewer(findings: list[Finding], shown: str) -> list[Finding]:
    """In the order of the file, one for each place, and no more than somebody reads."""
    first = {finding.place: finding for finding in reversed(findings)}
    ordered = sorted(first.values(), key=lambda finding: (finding.place.line, finding.place.column))
    left_out = len(ordered) - MOST_FINDINGS
    if left_out <= 0:
        return ordered
    return [*ordered[:MOST_FINDINGS], Finding(message=f"{left_out:,} more findings in this file", place=Place(shown))]
