"""The text of one file as sections: marker lines, their options, and the versions that a migration stands for. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from manor.control.migrate.file_names import FileName, Kind
from manor.control.migrate.model import Section
from manor.control.migrate.psql_only import sql_findings
from manor.control.migrate.statements import Lines, reads, split
from manor.errors import Finding, Place

_MARKER = re.compile(r"^--[ \t]*migrate:(?P<direction>up|down)(?P<options>[ \t]+[^\r\n]*)?[ \t]*\r?$", re.MULTILINE)
_ALMOST = re.compile(r"^[ \t]*--[ \t]*migrate[ \t]*[:=-]?[ \t]*(?:up|down)\b", re.MULTILINE | re.IGNORECASE)
_SQUASHES = re.compile(r"^[ \t]*--[ \t]*manor:squashes?\b(?P<versions>[^\r\n]*)$", re.MULTILINE)
_VERSION = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    """What one text says. Flyway's undo files have ``down`` only, all others at least ``up``."""

    up: Section | None
    down: Section | None
    squashes: tuple[str, ...]


def read_sections(text: str, name: FileName, *, shown_as: str) -> tuple[Sections | None, list[Finding]]:
    """The sections of ``text``; None together with findings if it cannot be used."""
    reader = _Reader(text, shown_as, name)
    sections = reader.read()
    return (None if reader.findings else sections), reader.findings


class _Reader:
    """Reads one text; ``findings`` is what was wrong with it."""

    def __init__(self, text: str, shown_as: str, named: FileName) -> None:
        self.text = text
        self.file = shown_as
        self.named = named
        self.findings: list[Finding] = []

    def read(self) -> Sections | None:
        if "\0" in self.text:
            self.report(self.text.index("\0"), "the file has a NUL character", "PostgreSQL takes none: remove it")
            return None
        markers = self.markers()
        if self.findings:
            return None
        up, down = self.sections(markers)
        squashes = self.squashes(up)
        for section in (up, down):
            self.findings.extend(sql_findings(section) if section is not None else ())
        if self.findings:
            return None
        needed = down if self.named.kind is Kind.UNDO else up
        if needed is not None and not _has_sql(needed):
            what = "the file" if needed.place.line == 1 else "the up section"
            self.findings.append(Finding(message=f"{what} has no SQL to run", place=needed.place, hint="write a statement"))
        if down is not None and not _has_sql(down):
            down = None  # which says nothing about undoing
        return Sections(up=up, down=down, squashes=squashes)

    def report(self, offset: int, message: str, hint: str = "") -> None:
        self.findings.append(Finding(message=message, place=self.at(offset), hint=hint))

    def at(self, offset: int) -> Place:
        return Lines(self.text, Place(self.file, 1, 1)).place(offset)

    def markers(self) -> list[re.Match[str]]:
        """The lines that begin sections: none, up, or up and down."""
        markers = list(_MARKER.finditer(self.text))
        starts = {marker.start() for marker in markers}
        for almost in _ALMOST.finditer(self.text):
            if almost.start() not in starts:
                hint = "write -- migrate:up or -- migrate:down, from the first column on"
                self.report(almost.start(), "this line looks like the beginning of a section and is none", hint)
        for marker, direction in itertools.zip_longest(markers, ("up", "down")):
            if marker is not None and marker["direction"] != direction:
                hint = "a file has one migrate:up and after it at most one migrate:down"
                self.report(marker.start(), f"migrate:{marker['direction']} cannot stand here", hint)
        if markers:
            self.check_preface(markers[0].start())
        return markers

    def check_preface(self, end: int) -> None:
        for line in re.finditer(r"^[^\S\n]*(?!--)\S", self.text[:end], re.MULTILINE):
            hint = "move it below that line; above it only comments may stand"
            self.report(line.end() - 1, "there is SQL before -- migrate:up", hint)
            return

    def sections(self, markers: Sequence[re.Match[str]]) -> tuple[Section | None, Section | None]:
        kind = self.named.kind
        if kind is Kind.UNDO:
            if markers:
                self.report(markers[0].start(), "Flyway's undo files have no sections", "leave out the -- migrate lines")
            return None, self.section(0, len(self.text))
        if not markers and kind is Kind.DBMATE:
            hint = "write -- migrate:up above the SQL; a file that is all up is named like v2.1_add_plan.sql"
            self.report(0, "there is no line -- migrate:up", hint)
        if not markers:
            return self.section(0, len(self.text)), None
        ends = [*(marker.start() for marker in markers[1:]), len(self.text)]
        found = [self.section(_next_line(self.text, m.end()), end, m) for m, end in zip(markers, ends, strict=True)]
        return found[0], found[1] if len(found) > 1 else None

    def section(self, start: int, end: int, marker: re.Match[str] | None = None) -> Section:
        transaction = self.transaction(marker) if marker is not None else True
        return Section(text=self.text[start:end], place=self.at(start), transaction=transaction)

    def transaction(self, marker: re.Match[str]) -> bool:
        """What the options of a marker say about the transaction; others are reported."""
        options = (marker["options"] or "").split()
        for option in options:
            if option not in ("transaction:false", "transaction:true"):
                offset = marker.start() + marker[0].index(option)
                self.report(offset, f"{option!r} is no option of a section", "the only one is transaction:false")
        return "transaction:false" not in options

    def squashes(self, up: Section | None) -> tuple[str, ...]:
        """The versions on ``-- manor:squashes`` lines, which stand before the first statement."""
        versions: list[str] = []
        for line in _SQUASHES.finditer(self.text):
            words = line["versions"].replace(",", " ").split()
            if up is None or not self.precedes_sql(line.start()):
                self.report(line.start(), "manor:squashes cannot stand here", "write it above the first statement")
            elif not words or not all(_VERSION.fullmatch(word) for word in words):
                hint = "list each version: -- manor:squashes 1 2 3"
                self.report(line.start(), "manor:squashes names no versions, or something else than versions", hint)
            versions.extend(words)
        return tuple(dict.fromkeys(versions))

    def precedes_sql(self, offset: int) -> bool:
        before = self.text[:offset]
        return reads(before) and not split(before).statements


def _has_sql(section: Section) -> bool:
    return bool(split(section.text, section.place).statements)


def _next_line(text: str, offset: int) -> int:
    return text.find("\n", offset) + 1 or len(text)
