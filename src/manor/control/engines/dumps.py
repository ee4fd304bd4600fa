"""The engine port for dumps: a database as a stream of bytes, a database made from one, and what each of them holds.

A photograph and a dump that belong together show one moment: the dump reads the snapshot that ``photographing`` keeps open.
The programs that dump and load are the vendor's own, started with passwords in their environment, never in their arguments.

To add an engine, implement ``DumpDriver`` and run ``tests/integration/engines/test_dumps.py`` against a real server.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from manor.control.engines.driver import IsolatedColumn, Marker
from manor.errors import Code, EngineError


class DumpForm(enum.StrEnum):
    """How a dump is written."""

    CUSTOM = "custom"
    """PostgreSQL's own archive: compressed, and parts of it can be restored."""
    PLAIN = "plain"
    """SQL as text, not compressed."""

    @property
    def ending(self) -> str:
        """What names of files end in."""
        return "dump" if self is DumpForm.CUSTOM else "sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """What one database held at one moment."""

    fingerprint: str
    history: tuple[tuple[str, str, str], ...]
    """(version, checksum, name) of each migration, in order."""
    rows: Mapping[str, int]
    """By ``schema.table``; Manor's own tables and those of extensions are left out, large objects are one table more."""
    isolated: bool
    """Whether the isolated columns hold this tenant's values."""
    bytes: int = field(compare=False)
    """On the server's disk."""
    server_version: str = field(compare=False)
    engine: str = field(compare=False)
    taken_at: dt.datetime = field(compare=False)

    @property
    def version(self) -> str:
        """The newest migration; empty where it has seen none."""
        return self.history[-1][0] if self.history else ""

    @property
    def total_rows(self) -> int:
        """Of all tables."""
        return sum(self.rows.values())


def differences(expected: Photograph, found: Photograph) -> tuple[str, ...]:
    """What ``found`` holds otherwise than ``expected``, in words; empty where it holds the same. Pure."""
    words = []
    if found.fingerprint != expected.fingerprint:
        words.append("its schema is another one")
    if found.history != expected.history:
        words.append(f"its history ends with {found.version or 'nothing'}, not with {expected.version or 'nothing'}")
    if expected.isolated and not found.isolated:
        words.append("the value of an isolated column is not this tenant's")
    for table in sorted(expected.rows.keys() | found.rows.keys()):
        before, after = expected.rows.get(table), found.rows.get(table)
        if before != after:
            words.append(f"table {table} holds {_rows(after)}, not {_rows(before)}")
    return tuple(words)


def _rows(number: int | None) -> str:
    if number is None:
        return "nothing: it is not there"
    return "1 row" if number == 1 else f"{number} rows"


class MissingRole(EngineError):
    """A dump names a role that the server does not have."""

    def __init__(self, message: str, role: str) -> None:
        super().__init__(message, hint=f"CREATE ROLE {role}, or load it with another role for it", code=Code.NOT_FOUND)
        self.role = role


class DumpDriver(Protocol):
    """One server's databases as backups see them. Every method names the database in its errors."""

    def photographing(
        self, database: str, isolation: Sequence[IsolatedColumn]
    ) -> AbstractAsyncContextManager[tuple[Photograph, str]]:
        """The photograph and the snapshot that it shows, which ``dump`` can read inside the block; the tables are locked
        against changes of their shape for as long. Takes two connections of the budget, the second one for that dump.

        Raises ``EngineError``: ``timeout`` (somebody holds a table too long), ``not_found``, ``denied``.
        """
        ...

    def dump(self, database: str, *, form: DumpForm, snapshot: str = "") -> AsyncGenerator[bytes, None]:
        """The database, streamed. Without ``snapshot``: of this moment, with a connection of the budget. Raises ``EngineError``
        with the end of what the program said, ``UnsupportedError`` where no program is new enough."""
        ...

    async def create_empty(self, database: str, *, like: str = "", marker: Marker) -> None:
        """Make an empty database with the encoding and the sort order of ``like``, marked, PUBLIC shut out. Not repeatable."""
        ...

    async def load(
        self, database: str, chunks: AsyncIterator[bytes], *, form: DumpForm, roles: Mapping[str, str] | None = None
    ) -> None:
        """Load a dump into an empty database, all of it or nothing. ``roles``: by a role that the dump names, the one that
        gets what belonged to it; empty, where the server has no such role: our own login, and rights of that role are lost.

        Raises ``MissingRole`` where the dump names another role that the server does not have, else ``EngineError`` with the
        end of what the program said; whatever ``chunks`` raises leaves nothing loaded.
        """
        ...

    async def photograph(self, database: str, isolation: Sequence[IsolatedColumn]) -> Photograph:
        """What the database holds now. Raises as ``photographing``; takes one connection."""
        ...

    def as_text(self, chunks: AsyncIterator[bytes], *, server_version: str) -> AsyncIterator[bytes]:
        """A custom dump, made from a server of this version, as SQL; the server is not asked. Raises ``EngineError``."""
        ...

    async def check(self, chunks: AsyncIterator[bytes], *, server_version: str) -> int:
        """Read the table of contents of a custom dump, made from a server of this version; returns its number of entries. Not
        all chunks need be taken; the server is not asked. Raises ``EngineError`` (``corrupt``, or ``unsupported``)."""
        ...
