"""Suspended tenants, legal holds, and erasures: what is closed, what must not be erased, and what was."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from manor.control.catalog.certificates import Signer
from manor.control.catalog.ledger import LedgerStore
from manor.control.catalog.queries import query
from manor.control.catalog.records import AuditEvent, DatabaseRecord, ErasureRecord, HoldRecord, SuspensionRecord
from manor.errors import ConflictError, InputError, RefusedError
from manor.tenancy import TenantId

_LOCK_WAIT = "5s"
"""For rewriting tables whose rows were deleted: everybody else waits behind us for as long."""


STORE, BUNDLE = "store", "bundle"
"""Kinds of places that tenants' rows are written to."""


class ErasureStore(LedgerStore):
    """Tenants on their way out."""

    @property
    def signer(self) -> Signer:
        """Signs with the installation's key. Raises ``CatalogError`` where there is none."""
        return Signer.of(self._secrets)

    async def suspend(self, record: SuspensionRecord, *, audit: Sequence[AuditEvent] = ()) -> None:
        """Record that a tenant is closed. Safe to repeat: since when stays, what is said anew counts."""
        values = {
            "tenant": record.tenant,
            "reason": record.reason,
            "since": record.since,
            "actor": record.actor,
            "operation": record.operation,
            "erase_after": record.erase_after,
            "final_export": json.dumps(record.final_export) if record.final_export is not None else None,
            "active": False,
        }
        async with self._link.transaction() as connection:
            await connection.execute(query("suspend_tenant"), values)
            await connection.execute(query("set_active"), values)
            await self._append(connection, record.operation, audit)

    async def unsuspend(self, tenant: str, *, operation_id: str = "", audit: Sequence[AuditEvent] = ()) -> None:
        """Record that a tenant is open again, and that nobody wants it erased any more. Safe to repeat."""
        async with self._link.transaction() as connection:
            await connection.execute(query("resume_tenant"), {"tenant": tenant})
            await connection.execute(query("set_active"), {"tenant": tenant, "active": True})
            await self._append(connection, operation_id, audit)

    async def suspensions(self, tenant: str | None = None) -> dict[str, SuspensionRecord]:
        """By tenant: all, or the one of ``tenant``."""
        rows = await self._link.rows(query("suspensions"), {"tenant": tenant})
        return {row[0]: _suspension(row) for row in rows}

    async def due_for_erasure(self, now: dt.datetime) -> list[str]:
        """Tenants whose grace period is over, and that neither a hold nor an operation keeps."""
        return [str(row[0]) for row in await self._link.rows(query("due_for_erasure"), {"now": now})]

    async def hold_tenant(self, record: HoldRecord, *, operation_id: str = "", audit: Sequence[AuditEvent] = ()) -> None:
        """Keep a tenant from being erased. Safe to repeat, in the same words. Raises ``RefusedError`` once its erasure has
        begun, and ``ConflictError`` where it is held already: lifting one hold must not lift another."""
        values = {"tenant": record.tenant, "reason": record.reason, "since": record.since, "actor": record.actor}
        async with self._link.transaction() as connection:
            held = await (await connection.execute(query("hold_tenant"), values)).fetchone()
            if held is not None and (held[0], held[1]) != (record.reason, record.actor):
                message = f"tenant {record.tenant} is under legal hold since {held[2]:%Y-%m-%d} ({held[0]}), by {held[1]}"
                raise ConflictError(message, hint="there is one hold: unhold it, and hold with a reason that names both cases")
            found = await (await connection.execute(query("erasure"), {"text": record.tenant})).fetchone()
            if found is not None and found[0] == record.tenant:
                raise RefusedError(f"the erasure of tenant {record.tenant} has begun", hint="it cannot be held any more")
            await self._append(connection, operation_id, audit)

    async def unhold_tenant(self, tenant: str, *, operation_id: str = "", audit: Sequence[AuditEvent] = ()) -> bool:
        """Let it be erased again; whether it was held."""
        async with self._link.transaction() as connection:
            row = await (await connection.execute(query("unhold_tenant"), {"tenant": tenant})).fetchone()
            if row is not None:
                await self._append(connection, operation_id, audit)
        return row is not None

    async def tenant_holds(self, tenant: str | None = None) -> dict[str, HoldRecord]:
        """By tenant: all, or the one of ``tenant``."""
        rows = await self._link.rows(query("tenant_holds"), {"tenant": tenant})
        return {row[0]: HoldRecord(tenant=row[0], reason=row[1], since=row[2], actor=row[3]) for row in rows}

    async def begin_erasure(
        self,
        record: ErasureRecord,
        suspension: SuspensionRecord,
        *,
        audit: Sequence[AuditEvent] = (),
    ) -> None:
        """Record that a tenant is being erased; from here on it is closed for good. Safe to repeat: what the first time knew
        and did stays. Raises ``RefusedError`` where it is held."""
        values = {
            "tenant": record.tenant,
            "operation": record.operation,
            "actor": record.actor,
            "reason": record.reason,
            "subject": self._secrets.encrypt(record.tenant, json.dumps(record.subject)),
            "begun_at": record.begun_at,
            "since": suspension.since,
            "erase_after": None,
            "final_export": None,
            "active": False,
        }
        async with self._link.transaction() as connection:
            begun = await (await connection.execute(query("begin_erasure"), values)).fetchone()
            if begun is None:
                raise RefusedError(f"tenant {record.tenant} is held", hint="`manor tenant unhold` lifts a legal hold")
            if await _is_there(connection, record.tenant):
                await connection.execute(query("suspend_tenant"), values)
                await connection.execute(query("set_active"), values)
            await connection.execute(query("mark_erasing"), values)
            await self._append(connection, record.operation, audit)

    async def erasure(self, text: str) -> ErasureRecord | None:
        """The erasure of one tenant: full id, or a short id that is unique among the erased. Raises ``InputError`` with the
        candidates where several match."""
        rows = await self._link.rows(query("erasure"), {"text": text})
        if len(rows) > 1 and rows[0][0] != text:
            candidates = ", ".join(str(row[0]) for row in rows)
            raise InputError(f"{text!r} is the name of several erased tenants", hint=f"name one of them: {candidates}")
        return self._erasure(rows[0]) if rows else None

    async def erasure_state(self, tenant: str) -> str:
        """Of a tenant by its full id: ``erasing``, ``erased``, or empty where nobody erases it."""
        rows = await self._link.rows(query("erasure_state"), {"tenant": tenant})
        return str(rows[0][0]) if rows else ""

    async def places_of_writing(self) -> list[tuple[str, str]]:
        """(``STORE`` or ``BUNDLE``, location or file) that backups, final exports and bundles were ever written to."""
        return [(str(row[0]), str(row[1])) for row in await self._link.rows(query("places_of_writing"))]

    async def erasures(self) -> list[ErasureRecord]:
        """All, oldest first, without their subjects: one that cannot be decrypted stops nobody else."""
        return [self._erasure((*row[:5], "", *row[6:])) for row in await self._link.rows(query("erasures"))]

    async def erasure_step(self, tenant: str, step: str, facts: Mapping[str, Any]) -> None:
        """Record that a step is done. Raises ``ConflictError`` where the tenant is not being erased."""
        values = {"tenant": tenant, "step": step, "facts": json.dumps(facts, default=str)}
        if not await self._link.run(query("erasure_step"), values):
            raise ConflictError(f"tenant {tenant} is not being erased", hint="`manor tenant certificate` tells more")

    async def erase_entries(self, tenant: str) -> dict[str, int]:
        """Delete all that the catalog has of a tenant, but journal, audit log and tombstone. Safe to repeat."""
        async with self._link.transaction() as connection:
            row = await (await connection.execute(query("erase_entries"), {"tenant": tenant})).fetchone()
            told = await (await connection.execute(query("erase_directory"), {"tenant": tenant})).fetchone()
            await connection.execute(query("erase_tenant"), {"tenant": tenant})
        counts = dict(zip(("databases", "kept", "suspensions"), row or (0, 0, 0), strict=True))
        return counts | ({"directory": told[0], "directory_changes": told[1]} if told and told[0] else {})

    async def rewrite_tenants(self) -> str:
        """Rewrite the tables that ``erase_entries`` deleted from: a deleted row stays in its page until then. Returns why that
        could not be done, or nothing."""
        try:
            async with self._link.use() as connection:
                await connection.execute(f"SET lock_timeout TO '{_LOCK_WAIT}'".encode())
                try:
                    await connection.execute(query("rewrite_tenants"))
                finally:
                    await connection.execute("RESET lock_timeout")
        except psycopg.errors.LockNotAvailable:
            return "the catalog's tables are in use; the next VACUUM FULL removes the deleted rows' bytes"
        return ""

    async def finish_erasure(
        self, tenant: str, certificate: str, erased_at: dt.datetime, *, operation_id: str, audit: Sequence[AuditEvent] = ()
    ) -> None:
        """Record the end: the certificate takes the place of everything else that was known. Raises ``ConflictError`` where the
        tenant is not being erased."""
        values = {"tenant": tenant, "certificate": certificate, "erased_at": erased_at}
        async with self._link.transaction() as connection:
            row = await (await connection.execute(query("finish_erasure"), values)).fetchone()
            if row is None:
                raise ConflictError(f"tenant {tenant} is not being erased")
            await self._append(connection, operation_id, audit)

    async def bury(self, record: ErasureRecord) -> None:
        """Record an erasure of which only a tombstone is known. Safe to repeat."""
        is_done = record.is_done
        values = {
            "tenant": record.tenant,
            "state": record.state,
            "operation": record.operation,
            "actor": record.actor,
            "reason": record.reason,
            "subject": "" if is_done else self._secrets.encrypt(record.tenant, json.dumps(record.subject)),
            "begun_at": record.begun_at,
            "erased_at": record.erased_at,
            "certificate": record.certificate or None,
        }
        await self._link.run(query("bury"), values)

    async def base_backups(self, server: str) -> list[tuple[str, str, dt.datetime]]:
        """(id, location, when the last one ended that needs it: itself, or an increment) of a server's base backups."""
        return [(row[0], row[1], row[2]) for row in await self._link.rows(query("base_backups_of"), {"server": server})]

    async def catalog_hits(self, terms: Sequence[str]) -> dict[tuple[str, int], int]:
        """How many rows of which table hold which of ``terms`` (by position) as text; tables without any are left out."""
        tables = [str(row[0]) for row in await self._link.rows(query("catalog_tables"), {})]
        found: dict[tuple[str, int], int] = {}
        for table in tables:
            counts = sql.SQL(", ").join(
                sql.SQL("count(*) FILTER (WHERE strpos(one::text, {}) > 0)").format(sql.Literal(term)) for term in terms
            )
            name = sql.SQL(table)  # quoted by the server itself
            async with self._link.use() as connection:
                cursor = await connection.execute(sql.SQL("SELECT {} FROM {} AS one").format(counts, name))
                row = await cursor.fetchone()
            found |= {(table, number): int(count) for number, count in enumerate(row or ()) if count}
        return found

    def _erasure(self, row: TupleRow) -> ErasureRecord:
        subject = self._secrets.decrypt(row[0], row[5]) if row[5] else "{}"
        return ErasureRecord(
            tenant=row[0],
            state=row[1],
            operation=row[2],
            actor=row[3],
            reason=row[4],
            subject=json.loads(subject),
            steps=row[6],
            begun_at=row[7],
            erased_at=row[8],
            certificate=row[9] or "",
        )


async def _is_there(connection: psycopg.AsyncConnection[TupleRow], tenant: str) -> bool:
    row = await (await connection.execute("SELECT FROM manor.tenants WHERE id = %s", [tenant])).fetchone()
    return row is not None


def subject_of(record: DatabaseRecord) -> dict[str, Any]:
    """What an erasure must know to go on once the catalog's entries are gone."""
    return {
        "customer_code": record.tenant.customer_code,
        "tenant_group": record.tenant.group,
        "short_id": record.tenant.id,
        "database": record.database,
        "server": record.server,
        "group": record.group,
        "template": record.template,
        "role": record.role,
        "source": record.source,
        "version": record.version,
        "state": record.state,
        "name": record.name,
        "isolation": record.config.get("isolation", []),
    }


def _suspension(row: TupleRow) -> SuspensionRecord:
    return SuspensionRecord(
        tenant=row[0], reason=row[1], since=row[2], actor=row[3], operation=row[4], erase_after=row[5], final_export=row[6]
    )


def record_of(subject: Mapping[str, Any]) -> DatabaseRecord:
    """What ``subject_of`` wrote, as the record that it was."""
    return DatabaseRecord(
        tenant=TenantId(subject["customer_code"], subject["tenant_group"], subject["short_id"]),
        database=subject["database"],
        server=subject["server"],
        group=subject["group"],
        template=subject["template"],
        state="erasing",
        role=subject["role"],
        source=subject["source"],
        version=subject["version"],
        name=subject["name"],
        is_active=False,
        config={"isolation": subject["isolation"]},
    )
