"""Former databases and snapshots of tenants, which a release can be taken back to until they expire."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import TupleRow

from manor.control.catalog.ledger import LedgerStore
from manor.control.catalog.queries import query
from manor.control.catalog.records import AuditEvent

RESTORED = "restored"
"""The kind of what a restore replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRecord:
    """One database that is kept, or about to be: it counts only where the server has it."""

    server: str
    database: str
    tenant: str
    kind: str
    """``blue`` (replaced by a release's switch), ``restored`` (by a restore) or ``snapshot`` (copied before a change)."""
    operation: str
    """The operation that it was kept for."""
    drop_after: dt.datetime
    version: str = ""
    golden: str = ""
    fingerprint: str = ""
    marks: Mapping[str, Any] = field(default_factory=dict)
    """What proves that nobody has written since; empty proves nothing. ``head`` and ``schema``: release and fingerprint of what
    a restore put in place, ``schema_left``: fingerprint of what it replaced; ``overtaken``: a later one was dropped."""
    created_at: dt.datetime | None = None


class KeptStore(LedgerStore):
    """Databases that are kept for a while."""

    async def put_kept(self, record: KeptRecord) -> None:
        """Record a database before it comes to be kept, or its marks afterwards."""
        values = {
            "server": record.server,
            "database": record.database,
            "tenant": record.tenant,
            "kind": record.kind,
            "operation": record.operation,
            "version": record.version,
            "golden": record.golden,
            "fingerprint": record.fingerprint,
            "marks": json.dumps(record.marks),  # names of tables that sound like secrets are none
            "drop_after": record.drop_after,
        }
        await self._link.run(query("put_kept"), values)

    async def forget_kept(
        self, server: str, databases: Sequence[str], *, operation_id: str = "", audit: Sequence[AuditEvent] = ()
    ) -> None:
        """Strike entries off; no error for unknown ones."""
        async with self._link.transaction() as connection:
            await connection.execute(query("forget_kept"), {"server": server, "databases": list(databases)})
            await self._append(connection, operation_id, audit)

    async def kept_databases(
        self, *, operation: str | None = None, server: str | None = None, tenant: str | None = None
    ) -> list[KeptRecord]:
        """What is kept, of one operation, server or tenant or of all, oldest first."""
        values = {"operation": operation, "server": server, "tenant": tenant}
        return [_read(row) for row in await self._link.rows(query("kept_databases"), values)]

    async def expired_kept(self, now: dt.datetime) -> list[KeptRecord]:
        """What may be dropped: its time is over, and no operation holds its tenant."""
        return [_read(row) for row in await self._link.rows(query("expired_kept"), {"now": now})]


def _read(row: TupleRow) -> KeptRecord:
    return KeptRecord(
        server=row[0],
        database=row[1],
        tenant=row[2],
        kind=row[3],
        operation=row[4],
        version=row[5],
        golden=row[6],
        fingerprint=row[7],
        marks=row[8],
        drop_after=row[9],
        created_at=row[10],
    )
