"""Base backups and named restore points, as the catalog knows them. What storage holds is the truth about base backups."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from manor.control.catalog.ledger import LedgerStore
from manor.control.catalog.queries import query
from manor.control.catalog.records import AuditEvent
from manor.errors import ConflictError


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseRecord:
    """A finished base backup."""

    id: str
    server: str
    location: str
    operation: str
    major: int
    databases: int
    bytes: int
    """As stored."""
    started_at: dt.datetime
    stopped_at: dt.datetime
    parent: str = ""
    """The base backup that it is an increment of; empty: it is a full one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkRecord:
    """A named restore point of one server."""

    server: str
    name: str
    lsn: int
    at: dt.datetime
    actor: str


class BaseStore(LedgerStore):
    """Base backups and marks."""

    async def put_base(self, record: BaseRecord, *, audit: Sequence[AuditEvent] = ()) -> None:
        """Record a base backup. Safe to repeat."""
        values = {
            "id": record.id,
            "server": record.server,
            "location": record.location,
            "operation": record.operation,
            "major": record.major,
            "databases": record.databases,
            "bytes": record.bytes,
            "started_at": record.started_at,
            "stopped_at": record.stopped_at,
            "parent": record.parent,
        }
        async with self._link.transaction() as connection:
            await connection.execute(query("put_base"), values)
            await self._append(connection, record.operation, audit)

    async def bases(self, server: str | None = None) -> list[BaseRecord]:
        """Base backups of one server or of all, oldest first."""
        rows = await self._link.rows(query("bases"), {"server": server})
        return [
            BaseRecord(
                id=row[0],
                server=row[1],
                location=row[2],
                operation=row[3],
                major=row[4],
                databases=row[5],
                bytes=row[6],
                started_at=row[7],
                stopped_at=row[8],
                parent=row[9],
            )
            for row in rows
        ]

    async def forget_bases(self, ids: Sequence[str], *, operation_id: str, audit: Sequence[AuditEvent] = ()) -> None:
        """Strike base backups off; no error for unknown ones."""
        async with self._link.transaction() as connection:
            await connection.execute(query("forget_bases"), {"ids": list(ids)})
            await self._append(connection, operation_id, audit)

    async def claim_mark(self, server: str, name: str) -> None:
        """Take a name before the server is told of it: recovery would stop at the first of two restore points. Raises
        ``ConflictError`` where the name was taken before."""
        if not await self._link.run(query("claim_mark"), {"server": server, "name": name}):
            raise ConflictError(f"server {server} has a mark {name!r} already", hint="choose another name")

    async def put_mark(self, record: MarkRecord, *, operation_id: str, audit: Sequence[AuditEvent] = ()) -> None:
        """Record a restore point that the server has made."""
        values = {"server": record.server, "name": record.name, "lsn": record.lsn, "at": record.at, "actor": record.actor}
        async with self._link.transaction() as connection:
            await connection.execute(query("put_mark"), values)
            await self._append(connection, operation_id, audit)

    async def marks(self, server: str | None = None) -> list[MarkRecord]:
        """Marks that the server made, oldest first."""
        rows = await self._link.rows(query("marks"), {"server": server})
        return [MarkRecord(server=row[0], name=row[1], lsn=int(row[2]), at=row[3], actor=row[4]) for row in rows]
