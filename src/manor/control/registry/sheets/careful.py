"""One row to one tenant, with all that is wrong with it and where: what a row means. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from manor.control.registry.sheets.cells import Misfit, cell_value
from manor.control.registry.sheets.header import REQUIRED, Header
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import Finding, Place
from manor.typed_input import check


def read_row(row: Sequence[str], header: Header, place: Place) -> tuple[TenantInfo | None, list[Finding]]:
    """The tenant of a row that begins at ``place``, or None and what is wrong; None without findings where the row is empty."""
    if not any(map(str.strip, row)):
        return None, []
    reading = _Reading(row, header, place)
    if any(map(str.strip, row[header.width :])) or len(row) < header.width:
        reading.report(f"the row has {len(row)} cells, the header has {header.width}", "is it all there, and quoted rightly?")
        return None, reading.findings
    return reading.tenant()


class _Reading:
    def __init__(self, row: Sequence[str], header: Header, place: Place) -> None:
        self._row = row
        self._places = _Cells(start=place, header=header)
        self.findings: list[Finding] = []

    def report(self, message: str, hint: str = "", field: str = "") -> None:
        self.findings.append(Finding(message=message, place=self._places.place((field,)), hint=hint))

    def tenant(self) -> tuple[TenantInfo | None, list[Finding]]:
        values: dict[str, Any] = {}
        for field, number in self._places.header.fields.items():
            if text := self._row[number].strip():
                self._read(field, text, values)
            elif field in REQUIRED:
                self.report(f"{field} is empty", "every tenant has one", field)
        given = dict.fromkeys(REQUIRED, "required") | values  # so that the others are looked at all the same
        info, problems = check(TenantInfo, given, self._places)
        first = {problem.path[:1]: problem.finding for problem in reversed(problems)}
        self.findings += first.values()
        return (None if self.findings else info), self.findings

    def _read(self, field: str, text: str, values: dict[str, Any]) -> None:
        try:
            values[field] = cell_value(field, text)
        except Misfit as misfit:
            self.report(misfit.message, misfit.hint, field)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """Where the fields of one row stand."""

    start: Place
    header: Header

    def place(self, path: Sequence[str | int] = (), *, key: bool = False) -> Place:  # noqa: ARG002 - of the protocol
        number = self.header.fields.get(str(path[0]) if path else "")
        return self.start if number is None else Place(self.start.file, self.start.line, number + 1)
