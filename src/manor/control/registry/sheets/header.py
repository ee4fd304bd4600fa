"""The first row of a table of tenants: which column is which field, and by what columns are told apart. Pure."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from manor.control.registry.tenant_info import FIELDS
from manor.errors import Finding, InputError, InvalidInput, Place
from manor.scan import suggest

DELIMITERS = (",", ";", "\t", "|")
REQUIRED = ("tenant_id", "customer_code")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the columns of one table are."""

    width: int
    fields: Mapping[str, int]
    """By field of ``TenantInfo``: the number of its column, from 0."""
    passed_over: tuple[str, ...] = ()
    """Columns that are no field."""


def plain_name(text: str) -> str:
    """A column's name as it is compared: ``Tenant ID`` is ``tenant_id``; full-width letters are letters."""
    return "_".join(unicodedata.normalize("NFKC", text).strip().lower().replace("-", " ").split())


def check_columns(columns: Mapping[str, str]) -> None:
    """Raises ``InputError`` for a column that is mapped to what is no field of a tenant."""
    for field in columns:
        if field not in FIELDS:
            message = f"columns: {field!r} is no field of a tenant"
            raise InputError(message, hint=suggest(field, FIELDS) or "write the field first, such as tenant_id: 顧客ID")


def read_header(cells: Sequence[str], columns: Mapping[str, str], place: Place) -> Header:
    """What the columns are. ``columns`` names the column of a field (by field) where it is not called like the field.

    Raises ``InvalidInput`` for a column that is there twice, one that is missing, and one that looks like a slip of the pen.
    """
    reading = _Reading(cells, columns, place)
    fields = {field: found for field in FIELDS if (found := reading.find(field)) is not None}
    used = set(fields.values())
    others = tuple(cell.strip() for number, cell in enumerate(cells) if number not in used and cell.strip())
    reading.look_for_slips(others, fields)
    if reading.findings:
        raise InvalidInput(reading.findings)
    return Header(width=len(cells), fields=fields, passed_over=others)


class _Reading:
    def __init__(self, cells: Sequence[str], columns: Mapping[str, str], place: Place) -> None:
        self.names = [plain_name(cell) for cell in cells]
        self.shown = [cell.strip() for cell in cells if cell.strip()]
        self.columns = columns
        self.place = place
        self.findings: list[Finding] = []

    def report(self, message: str, hint: str = "", column: int = 0) -> None:
        place = Place(self.place.file, self.place.line, column + 1)
        self.findings.append(Finding(message=message, place=place, hint=hint))

    def find(self, field: str) -> int | None:
        wanted = self.columns.get(field, field)
        found = [number for number, name in enumerate(self.names) if name == plain_name(wanted)]
        if len(found) > 1:
            self.report(f"the header names {wanted!r} twice", "keep one of the two", found[1])
        if not found and (field in self.columns or field in REQUIRED):
            self.report(f"there is no column {wanted!r}, which {_is_of(field, wanted)}", self._hint(field, wanted))
        return found[0] if found else None

    def _hint(self, field: str, wanted: str) -> str:
        near = suggest(wanted, self.shown)
        mapping = f"say which column it is: columns: {{{field}: …}}" if field not in self.columns else ""
        return "; ".join(part for part in (near, mapping) if part)

    def look_for_slips(self, others: Sequence[str], fields: Mapping[str, int]) -> None:
        """A column that is passed over leaves its field at the default: not where it may be meant."""
        free = [field for field in FIELDS if field not in fields and field not in REQUIRED]
        for name in others:
            near = suggest(plain_name(name), free)
            if near.startswith("did you mean"):
                hint = f"{near} Rename it, or map the field by columns:"
                self.report(f"the column {name!r} is no field of a tenant", hint, self.names.index(plain_name(name)))


def _is_of(field: str, wanted: str) -> str:
    return "every tenant has" if field == wanted else f"columns: says is {field}"


def choose_delimiter(line: str, columns: Mapping[str, str]) -> str:
    """What separates the columns of the header ``line``: that with which most fields are found; a comma where none are."""
    wanted = {plain_name(columns.get(field, field)) for field in FIELDS}
    return max(DELIMITERS, key=lambda delimiter: (len(wanted & _names(line, delimiter)), line.count(delimiter)))


def _names(line: str, delimiter: str) -> set[str]:
    try:
        return {plain_name(cell) for cell in next(csv.reader([line], delimiter=delimiter), [])}
    except csv.Error:
        return set()
