"""The engine port for base backups and the log after them: what a server must tell, and what it is asked to do.

To add an engine, implement ``BaseDriver``; what an engine cannot do it refuses with ``UnsupportedError``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from manor.control.engines.driver import Marker


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFacts:
    """What a server says about itself that a base backup depends on."""

    system: str
    """Identifier of the cluster."""
    major: int
    timeline: int
    segment_bytes: int
    lsn: int
    """End of its log now."""
    at: dt.datetime
    """Its clock now."""
    limits: Mapping[str, int]
    """Settings that a server which replays its log must not have lower."""
    superuser: str
    """A superuser that may log in; empty where there is none."""
    full_page_writes: bool
    wal_level: str
    tablespaces: tuple[str, ...]
    """Those beside PostgreSQL's own."""
    replication: bool
    """Whether our login may stream backups and WAL."""
    switch: bool
    """Whether our login may end a segment."""
    mark: bool
    """Whether our login may make restore points."""
    control_version: int
    """Of the format of its control file; by it and the next one programs recognise a version of PostgreSQL."""
    catalog_version: int
    """Of the format of its system tables."""
    archiving: bool
    """``archive_mode``: the server itself waits for its segments to be archived."""
    summarizing: bool
    """``summarize_wal``: it remembers which blocks its log changed, so that a base backup can leave out the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archiver:
    """``pg_stat_archiver``: how archiving goes, as the server sees it."""

    archived: int
    last_archived: str
    last_archived_at: dt.datetime | None
    failed: int
    last_failed: str
    last_failed_at: dt.datetime | None

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed."""
        if self.last_failed_at is None:
            return False
        return self.last_archived_at is None or self.last_failed_at > self.last_archived_at


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerShape:
    """What a server must have in common with the one whose log it replays, and how to enter it."""

    system: str
    major: int
    segment_bytes: int
    limits: Mapping[str, int]
    """``max_connections`` and the others that recovery compares, by name."""
    superuser: str
    """A login of the server that may do everything."""


class BaseDriver(Protocol):
    """The same server, as base backups see it."""

    async def facts(self) -> LogFacts:
        """Look at it. Raises as ``ServerDriver.facts`` does."""
        ...

    async def databases(self) -> Sequence[tuple[int, str, Marker | None]]:
        """(OID, name, marker) of every database."""
        ...

    async def archiver(self) -> Archiver:
        """How its archiver does."""
        ...

    async def end_segment(self) -> tuple[int, dt.datetime]:
        """Commit something and let the server begin a new segment, so that all before can be archived; returns the end of the
        old one and the time of the commit by the server's clock. Raises ``EngineError`` (``denied``) where the login may not.
        """
        ...

    async def mark(self, name: str) -> tuple[int, dt.datetime]:
        """Make a named restore point; returns its position and time. Not repeatable: each call makes one more."""
        ...

    async def reserve(self, slot: str) -> None:
        """Make sure that there is a replication slot of that name, which keeps WAL until it was received. Safe to repeat."""
        ...

    async def release(self, slot: str) -> None:
        """Drop a replication slot that nobody uses; no error where there is none."""
        ...

    def stream(self, *, listing: bool = False, since: Path | None = None) -> AsyncIterator[bytes]:
        """A base backup as one tar. ``listing``: with the server's own list of its files at the end; ``since``: such a list of
        an earlier one, of which this one is an increment (both: PostgreSQL 17 and later).

        Raises ``EngineError`` with the end of what the program said, ``RefusedError`` where the server cannot go on from
        ``since``; the program is gone when the iterator is closed."""
        ...

    async def program(self, name: str) -> str:
        """Path of the vendor's program of that name that suits the server. Raises ``UnsupportedError``."""
        ...

    def receiver_environment(self) -> Mapping[str, str]:
        """The environment in which pg_receivewal finds the server; passwords stand in no command line."""
        ...
