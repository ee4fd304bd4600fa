"""What psql understands and a server does not: found in SQL text before a server sees it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from manor.control.migrate.model import Section
from manor.control.migrate.statements import Lines, backslash, reads, split
from manor.errors import Finding, InputError, Place

_META = re.compile(r"^[ \t]*\\", re.MULTILINE)
_COPY = re.compile(r"^[ \t]*COPY\b[^;]*?\bFROM\s+STDIN\b", re.MULTILINE | re.IGNORECASE)


def sql_findings(section: Section) -> Iterator[Finding]:
    """What psql understands and a server does not, and what cannot be read."""
    text, lines = section.text, Lines(section.text, section.place)
    try:
        statements = split(text, section.place).statements
        meta = backslash(text)
    except InputError as error:
        yield _unreadable(text, lines) or Finding(message=error.message, place=error.place or section.place)
        return
    copies = [s for s in statements if re.match(r"COPY .*\bFROM STDIN\b", s.normal)]
    yield from (_copy(statement.place) for statement in copies)
    if meta is not None and not copies:
        yield _meta(lines.place(meta))


def _unreadable(text: str, lines: Lines) -> Finding | None:
    """Rows after COPY and psql's commands may look like strings that are not closed."""
    copy = next((m for m in _COPY.finditer(text) if reads(text[: m.start()])), None)
    if copy is not None:
        return _copy(lines.place(copy.end() - len(copy[0].lstrip())))
    meta = next((m for m in _META.finditer(text) if reads(text[: m.start()])), None)
    return _meta(lines.place(meta.end() - 1)) if meta is not None else None


def _copy(place: Place) -> Finding:
    return Finding(
        message="COPY … FROM STDIN is read by psql only; a migration is sent to the server as it is",
        place=place,
        hint="write INSERT statements (pg_dump --inserts)",
    )


def _meta(place: Place) -> Finding:
    return Finding(
        message="a backslash begins a command of psql; a migration is sent to the server as it is",
        place=place,
        hint="leave the line out, or write what it does in SQL",
    )
