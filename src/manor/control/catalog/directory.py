"""The directory: what each source of tenants said last, and what changed with each sync.

Rows are written by syncs only, each in one transaction; a tenant that its source has no longer is marked, never struck off.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from psycopg.rows import TupleRow

from manor.collector import paused_collector
from manor.control.catalog.chain import safe_json
from manor.control.catalog.journal import operation_values
from manor.control.catalog.ledger import LedgerStore
from manor.control.catalog.link import Connection
from manor.control.catalog.queries import query
from manor.control.catalog.records import (
    AuditEvent,
    DirectoryChange,
    DirectoryMark,
    DirectoryRecord,
    OperationRecord,
    SourceRecord,
)
from manor.control.catalog.store import batch_json
from manor.errors import ConflictError

_BATCH = 2_000
"""Rows per statement."""
_MANY = 500
"""From here on the planner must learn of new rows at once; autovacuum would tell it a minute later."""

GONE = "gone"
_VALUES = (
    "tenant_id",
    "customer_code",
    "customer_name",
    "region",
    "tier",
    "status",
    "created_at",
    "updated_at",
    "isolation_strategy",
    "database_prefix",
    "schema_suffix",
    "table_prefix",
    "instances",
    "billing_info",
    "contract_info",
)
"""Fields of ``TenantInfo`` in the order of its queries' columns."""


class DirectoryStore(LedgerStore):
    """What sources said."""

    async def directory_sources(self) -> list[SourceRecord]:
        """Every source that was ever synced, by name."""
        return [_source(row) for row in await self._link.rows(query("directory_sources"))]

    async def source_parts(self, source: str) -> dict[str, int]:
        """Of a source that is made of others, how many tenants each of them told of at the last sync that wrote something."""
        return {row[0]: row[1] for row in await self._link.rows(query("source_parts"), {"source": source})}

    async def directory_marks(self, source: str) -> dict[str, DirectoryMark]:
        """By tenant id, all that a sync must know of a source's tenants to see which of them changed; gone ones too."""
        async with self._link.use() as connection:
            cursor = await connection.execute(query("directory_marks"), {"source": source})
            with paused_collector():
                return {row[0]: DirectoryMark(*row[1:]) for row in await cursor.fetchall()}

    async def directory_records(self, source: str, tenants: Iterable[str]) -> dict[str, DirectoryRecord]:
        """By tenant id, those of ``tenants`` that a source is known to have or to have had."""
        found: dict[str, DirectoryRecord] = {}
        for part in _parts(sorted(set(tenants))):
            rows = await self._link.rows(query("directory_records"), {"source": source, "tenants": part})
            found |= {record.tenant: record for record in _records(rows)}
        return found

    async def search_directory(
        self,
        condition: str,
        parameters: Mapping[str, Any],
        *,
        source: str | None = None,
        state: str = "present",
        limit: int | None = None,
    ) -> list[DirectoryRecord]:
        """Those for whom ``condition`` is true, by source and tenant id. ``condition`` is SQL of ours over the alias ``info``
        (``registry.search.sql``), ``parameters`` are its own."""
        statement = query("search_directory").replace(b"{condition}", condition.encode())
        values = {**parameters, "in_source": source, "in_state": state, "at_most": limit}
        async with self._link.use() as connection:
            cursor = await connection.execute(statement, values)
            with paused_collector():
                return _records(await cursor.fetchall())

    async def directory_history(self, tenant: str, *, source: str | None = None, limit: int = 100) -> list[DirectoryChange]:
        """What changed about one tenant, newest first."""
        values = {"tenant": tenant, "source": source, "limit": limit}
        return [_change(row) for row in await self._link.rows(query("directory_history"), values)]

    async def directory_databases(self, home: str, tenants: Iterable[str]) -> dict[str, int]:
        """By short tenant id, how many ready databases were provisioned for it from ``home``; those without any left out."""
        found: dict[str, int] = {}
        for part in _parts(sorted(set(tenants))):
            rows = await self._link.rows(query("directory_databases"), {"home": home, "tenants": part})
            found |= {row[0]: row[1] for row in rows}
        return found

    async def apply_sync(
        self,
        operation: OperationRecord,
        changes: Sequence[DirectoryChange],
        records: Sequence[DirectoryRecord],
        *,
        generation: int,
        tenants: int,
        audit: Sequence[AuditEvent] = (),
    ) -> None:
        """Write what a sync found, all of it or nothing: the journal's line, ``changes``, and the new state of those that are
        not gone. ``generation`` is the source's when the sync looked (0: it was never synced), ``tenants`` how many it has now.

        Raises ``ConflictError`` where another sync of the source has written since.
        """
        values = {"name": operation.source, "generation": generation, "tenants": tenants, "operation": operation.id}
        async with self._link.transaction() as connection:
            held = await connection.execute(query("advance_source"), values)
            await connection.execute(query("record_finished"), operation_values(operation))
            for part in _parts(records):
                batch = batch_json(_row(record) for record in part)
                await connection.execute(query("put_directory"), {"batch": batch, "operation": operation.id})
            await self._mark_gone(connection, operation, changes)
            for changed in _parts(changes):
                batch = safe_json([{"tenant_id": c.tenant, "kind": c.kind, "fields": dict(c.fields)} for c in changed])
                values = {"batch": batch, "operation": operation.id, "source": operation.source}
                await connection.execute(query("put_directory_changes"), values)
            await self._append(connection, operation.id, audit)
            if await held.fetchone() is None:
                raise ConflictError(
                    f"the source {operation.source} was synced by another operation meanwhile", hint="run the command again"
                )
        if len(records) >= _MANY:
            await self._link.run(query("analyze_directory"))

    async def _mark_gone(self, connection: Connection, operation: OperationRecord, changes: Sequence[DirectoryChange]) -> None:
        for part in _parts([change.tenant for change in changes if change.kind == GONE]):
            values = {"source": operation.source, "tenants": part, "operation": operation.id}
            await connection.execute(query("mark_gone"), values)


def _parts(items: Sequence[Any]) -> Iterable[list[Any]]:
    return (list(items[start : start + _BATCH]) for start in range(0, len(items), _BATCH))


def _source(row: TupleRow) -> SourceRecord:
    return SourceRecord(name=row[0], generation=row[1], tenants=row[2], operation=row[3], changed_at=row[4])


def _records(rows: Iterable[TupleRow]) -> list[DirectoryRecord]:
    parse = functools.cache(json.loads)  # many tenants have the same settings, most of them none
    return [_record(row, parse) for row in rows]


def _record(row: TupleRow, parse: Callable[[str], Any]) -> DirectoryRecord:
    values = dict(zip(_VALUES, row[8:], strict=True))
    for name in ("created_at", "updated_at"):
        values[name] = values[name].isoformat() if values[name] is not None else None
    for name in ("billing_info", "contract_info"):
        values[name] = parse(values[name]) if values[name] is not None else None
    values["instances"] = values["instances"].split(";")
    return DirectoryRecord(
        source=row[0],
        tenant=values["tenant_id"],
        values=values,
        config=parse(row[1]),
        digest=row[2],
        config_digest=row[3],
        state=row[4],
        operation=row[5],
        first_seen_at=row[6],
        changed_at=row[7],
    )


def _row(record: DirectoryRecord) -> dict[str, Any]:
    return {
        **record.values,
        "instances": ";".join(record.values["instances"]),
        "source": record.source,
        "config": dict(record.config),
        "digest": record.digest,
        "config_digest": record.config_digest,
    }


def _change(row: TupleRow) -> DirectoryChange:
    return DirectoryChange(source=row[0], tenant=row[1], kind=row[2], fields=row[3], operation=row[4], at=row[5])
