"""Tenants and their databases: listing, finding, and recording what is intended and what is done."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from psycopg.rows import TupleRow

from manor.collector import paused_collector
from manor.control.catalog.chain import safe_json
from manor.control.catalog.ledger import LedgerStore
from manor.control.catalog.link import Connection
from manor.control.catalog.queries import query
from manor.control.catalog.records import AuditEvent, DatabaseRecord, shared
from manor.control.catalog.store import batch_json
from manor.control.steps import Outcome, Status
from manor.errors import ConflictError, InputError, NotFoundError
from manor.scan import suggest
from manor.tenancy import TenantId

_BATCH = 2_000
"""Rows per statement: large enough to make round trips cheap, small enough not to hold up the event loop while encrypting."""
_MANY = 500
"""From here on the planner must learn of new rows at once; autovacuum would tell it a minute later."""


class FleetStore(LedgerStore):
    """Tenants, databases and outcomes."""

    async def databases(
        self, source: str | None = None, *, server: str | None = None, group: str | None = None, state: str | None = None
    ) -> list[DatabaseRecord]:
        """All recorded databases by tenant id, those of one source, server, group or state if given; without URLs."""
        parameters = {"source": source, "server": server, "group": group, "state": state}
        async with self._link.use() as connection:
            cursor = await connection.execute(query("databases"), parameters)
            with paused_collector():  # 100,000 records take a third of the time
                parse = functools.cache(json.loads)
                return [_record(row, parse) for row in await cursor.fetchall()]

    async def database_by_tenant(self, text: str, *, with_url: bool = True) -> DatabaseRecord:
        """The database of one tenant, with its URL unless told otherwise. ``text``: full tenant id, or a short id or database
        name that is unique.

        Raises ``NotFoundError`` with a suggestion, ``InputError`` with the candidates where several match, and
        ``CatalogError`` where the URL cannot be decrypted.
        """
        rows = await self._link.rows(query("database_by_tenant"), {"text": text})
        if not rows:
            raise NotFoundError(f"there is no tenant {text!r}", hint=await self._suggestion(text))
        found = _tenant(rows[0])
        if len(rows) > 1 and str(found) != text:
            candidates = ", ".join(str(_tenant(row)) for row in rows)
            raise InputError(f"{text!r} is the name of several tenants", hint=f"name one of them: {candidates}")
        url = self._secrets.decrypt(str(found), rows[0][-1]) if with_url else ""
        return _record(rows[0], json.loads, url=url)

    async def record_intent(self, batch: Sequence[DatabaseRecord], operation_id: str) -> None:
        """Record tenants and databases that are about to be made, as ``pending``; all or none. Safe to repeat.

        A record without URL leaves a URL that is there. Raises ``ConflictError`` where a name or role belongs to another
        tenant, where a ready database would change its place, or where another operation called this one interrupted.
        """
        rows = _rows(batch)
        async with self._link.transaction() as connection:
            held = await connection.execute(query("hold_operation"), {"id": operation_id})
            for part in _parts(rows):
                await self._refuse_conflicts(connection, part)
                await self._record(connection, [{**row, "state": "pending"} for row in part], operation_id)
            _refuse_interrupted(operation_id, await held.fetchone())
        if len(rows) >= _MANY:
            await self._link.run(query("analyze_fleet"))

    async def record_results(
        self,
        operation_id: str,
        outcomes: Sequence[Outcome],
        ready: Sequence[DatabaseRecord] = (),
        audit: Sequence[AuditEvent] = (),
    ) -> None:
        """Commit what became of targets in one transaction: outcomes, ready databases, audit lines.

        A database that is pending and whose outcome is an error, or was rolled back, becomes ``failed``. ``operation_id`` must
        have begun. Raises ``ConflictError`` where another operation called this one interrupted.
        """
        rows = _rows(ready)
        async with self._link.transaction() as connection:
            # Held from here on, looked at last: nobody can call the operation interrupted before this transaction ends, and
            # the answer costs no round trip of its own.
            held = await connection.execute(query("hold_operation"), {"id": operation_id})
            for part in _parts(_outcome_rows(outcomes)):
                await connection.execute(query("record_outcomes"), {"operation": operation_id, "batch": safe_json(part)})
            failed = sorted(str(o.target.tenant) for o in outcomes if o.status in (Status.ERROR, Status.ROLLED_BACK))
            if failed:
                await connection.execute(query("mark_failed"), {"operation": operation_id, "tenants": failed})
            for part in _parts(rows):
                await self._record(connection, [{**row, "state": "ready"} for row in part], operation_id)
            await self._append(connection, operation_id, audit)
            _refuse_interrupted(operation_id, await held.fetchone())

    async def forget(self, tenant: TenantId, *, operation_id: str = "", audit: Sequence[AuditEvent] = ()) -> None:
        """Strike off a tenant whose database was never ready; no error where it is not known. A ready one stays."""
        async with self._link.transaction() as connection:
            await connection.execute(query("forget_database"), {"tenant": str(tenant)})
            await connection.execute(query("forget_tenant"), {"tenant": str(tenant)})
            await self._append(connection, operation_id, audit)

    async def _record(self, connection: Connection, rows: list[dict[str, Any]], operation_id: str) -> None:
        encrypted = ({**row, "url": self._secrets.encrypt(row["tenant"], row["url"])} for row in rows)
        batch = batch_json(encrypted)
        await connection.execute(query("record_tenants"), {"batch": batch})
        await connection.execute(query("record_databases"), {"batch": batch, "operation": operation_id})

    async def _refuse_conflicts(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        names = [{key: row[key] for key in ("tenant", "server", "database", "role")} for row in rows]
        found = await (await connection.execute(query("conflicting_databases"), {"batch": batch_json(names)})).fetchall()
        if found:
            more = f" (and {len(found) - 1} more like it)" if len(found) > 1 else ""
            raise ConflictError(_conflict(found[0]) + more, hint="manor tenant show tells what is recorded")

    async def _suggestion(self, text: str) -> str:
        """Near names among tenants that share the beginning; comparing with all of a large fleet would take seconds."""
        short_id = text.rpartition("/")[2]
        rows = await self._link.rows(query("similar_tenants"), {"short_id": short_id})
        near = suggest(text, {row[0] for row in rows}) if "/" in text else suggest(text, {row[1] for row in rows})
        return near or "manor tenant list shows all tenants"


def _refuse_interrupted(operation_id: str, row: TupleRow | None) -> None:
    if row is not None and row[0] == "interrupted":
        raise ConflictError(
            f"another operation has taken over from {operation_id}",
            hint="nothing more is done here; run the command again once that one has ended",
        )


def _tenant(row: TupleRow) -> TenantId:
    return TenantId(row[0], row[1], row[2])


def _record(row: TupleRow, parse: Callable[[str], Any], url: str = "") -> DatabaseRecord:
    return DatabaseRecord(
        tenant=TenantId(shared(row[0]), shared(row[1]), row[2]),
        database=row[3],
        server=shared(row[4]),
        group=shared(row[5]),
        template=shared(row[6]),
        state=shared(row[7]),
        role=row[8],
        golden=shared(row[9]),
        fingerprint=shared(row[10]),
        source=shared(row[11]),
        name=row[12],
        is_active=row[13],
        config=parse(row[14]),
        variables=parse(row[15]),
        created_at=row[16],
        updated_at=row[17],
        version=shared(row[18]),
        url=url,
    )


def _rows(batch: Iterable[DatabaseRecord]) -> list[dict[str, Any]]:
    """By tenant id, so that two writers cannot wait for each other; a tenant that stands twice counts last."""
    rows = {str(record.tenant): _row(record) for record in batch}
    return [rows[tenant] for tenant in sorted(rows)]


def _row(record: DatabaseRecord) -> dict[str, Any]:
    return {
        "tenant": str(record.tenant),
        "customer_code": record.tenant.customer_code,
        "tenant_group": record.tenant.group,
        "short_id": record.tenant.id,
        "name": record.name or record.tenant.id,
        "url": record.url,
        "is_active": record.is_active,
        "source": record.source,
        "variables": dict(record.variables),
        "config": dict(record.config),
        "server": record.server,
        "database": record.database,
        "grp": record.group,
        "template": record.template,
        "role": record.role,
        "golden": record.golden,
        "fingerprint": record.fingerprint,
        "version": record.version,
    }


def _outcome_rows(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    rows = {str(outcome.target.tenant): _outcome_row(outcome) for outcome in outcomes}
    return [rows[tenant] for tenant in sorted(rows)]


def _outcome_row(outcome: Outcome) -> dict[str, Any]:
    failure = outcome.failure
    error = {"code": str(failure.code), "message": failure.message, "hint": failure.hint} if failure else None
    return {
        "tenant": str(outcome.target.tenant),
        "database": outcome.target.database,
        "server": outcome.target.server,
        "grp": outcome.target.group,
        "template": outcome.target.template,
        "status": str(outcome.status),
        "duration_seconds": outcome.duration_seconds,
        "error": error,
        "detail": outcome.detail,
        "facts": dict(outcome.facts),
    }


def _parts(rows: list[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    return (rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH))


def _conflict(row: TupleRow) -> str:
    kind, tenant, server, name, owner, owner_server, owner_database = row
    if kind == "moved":
        return f"tenant {tenant} is recorded as database {owner_database} on {owner_server}; it does not move by itself"
    return f"{kind} {name} on {server}, wanted by tenant {tenant}, belongs to tenant {owner}"
