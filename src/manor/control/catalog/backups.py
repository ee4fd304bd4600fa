"""The index of backups, the legal holds on them, and the keys that tenants' backups are encrypted with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields

from psycopg.rows import TupleRow

from manor.control.catalog.ledger import LedgerStore
from manor.control.catalog.queries import query
from manor.control.catalog.records import AuditEvent
from manor.control.catalog.store import batch_json
from manor.errors import CatalogError, Code, NotFoundError

_WRITTEN_LATER = ("verified_at", "problem", "hold_reason", "held_by", "held_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRecord:
    """One backup as the catalog knows it. Whether it is there, storage says."""

    id: str
    location: str
    """The store that holds it, without what is secret."""
    key: str
    """Of its manifest, below the location."""
    tenant: str
    kind: str
    form: str
    database: str
    server: str
    bytes: int
    """Of the dump as it is stored."""
    rows: int
    version: str
    fingerprint: str
    digest: str
    """Of its manifest."""
    encrypted: str
    """The recipient; empty: it is not encrypted."""
    operation: str
    made_by: str
    made_at: dt.datetime
    verified_at: dt.datetime | None = None
    problem: str = ""
    """What the last verification found; empty: nothing."""
    hold_reason: str = ""
    """Of a legal hold; empty: there is none."""
    held_by: str = ""
    held_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantKey:
    """A key pair (age) of one tenant."""

    recipient: str
    secret: str = field(repr=False)


class BackupStore(LedgerStore):
    """Backups and tenants' keys."""

    async def put_backups(self, records: Sequence[BackupRecord], *, of_living: bool = False) -> None:
        """Record backups that are complete. Safe to repeat; what was found out about one later stays. ``of_living``: those of
        tenants whose erasure has begun are left out."""
        rows = [{name: value for name, value in asdict(one).items() if name not in _WRITTEN_LATER} for one in records]
        await self._link.run(query("put_backups"), {"batch": batch_json(rows), "of_living": of_living})

    async def backups(self, *, tenant: str | None = None, location: str | None = None) -> list[BackupRecord]:
        """What is recorded, by tenant, the newest first."""
        values = {"tenant": tenant, "location": location, "id": None}
        return [_read(row) for row in await self._link.rows(query("backups"), values)]

    async def backup(self, backup_id: str) -> BackupRecord:
        """One backup. Raises ``NotFoundError``."""
        rows = await self._link.rows(query("backups"), {"tenant": None, "location": None, "id": backup_id})
        if not rows:
            raise NotFoundError(f"there is no backup {backup_id!r}", hint="`manor backup list` shows them")
        return _read(rows[0])

    async def forget_backups(
        self, ids: Sequence[str], *, operation_id: str = "", audit: Sequence[AuditEvent] = ()
    ) -> list[str]:
        """Strike backups off; returns those that were: one with a legal hold is not."""
        async with self._link.transaction() as connection:
            gone = await connection.execute(query("forget_backups"), {"ids": list(ids)})
            await self._append(connection, operation_id, audit)
            return [str(row[0]) for row in await gone.fetchall()]

    async def hold_backup(
        self, backup_id: str, reason: str, *, by: str, operation_id: str = "", audit: Sequence[AuditEvent] = ()
    ) -> None:
        """Put a legal hold on a backup, or (no ``reason``) take it off. Raises ``NotFoundError``."""
        async with self._link.transaction() as connection:
            changed = await connection.execute(query("hold_backup"), {"id": backup_id, "reason": reason, "by": by})
            await self._append(connection, operation_id, audit)
            if await changed.fetchone() is None:
                raise NotFoundError(f"there is no backup {backup_id!r}", hint="`manor backup list` shows them")

    async def record_verified(self, backup_id: str, problem: str) -> None:
        """Remember what verifying a backup found; empty: nothing is wrong."""
        await self._link.run(query("record_verified"), {"id": backup_id, "problem": problem})

    async def tenant_key(self, tenant: str, make: Callable[[], TenantKey]) -> TenantKey:
        """The key that encrypts for a tenant; the first caller's ``make`` makes it."""
        known = await self.tenant_keys(tenant)
        if known:
            return known[0]
        made = make()
        values = {"tenant": tenant, "recipient": made.recipient, "secret": self._secrets.encrypt(tenant, made.secret)}
        async with self._link.transaction() as connection:
            await connection.execute(query("lock_tenant_key"), {"tenant": tenant})
            await connection.execute(query("add_tenant_key"), values)
        return (await self.tenant_keys(tenant))[0]

    async def tenant_keys(self, tenant: str) -> list[TenantKey]:
        """All keys of a tenant, the newest first. Raises ``CatalogError`` where one cannot be decrypted."""
        rows = await self._link.rows(query("tenant_keys"), {"tenant": tenant})
        return [TenantKey(recipient=row[0], secret=self._secrets.decrypt(tenant, row[1], what="backup key")) for row in rows]

    async def tenants_with_keys(self) -> frozenset[str]:
        """Ids of the tenants that have a key."""
        return frozenset(row[0] for row in await self._link.rows(query("tenants_with_keys")))

    async def secret_for(self, tenant: str, recipient: str) -> str:
        """The secret that opens what was encrypted for ``recipient``. Raises ``CatalogError`` (``not_found``) where the key was
        destroyed, or never was here."""
        for key in await self.tenant_keys(tenant):
            if key.recipient == recipient:
                return key.secret
        raise CatalogError(
            f"the key that the backups of {tenant} are encrypted with is not in this catalog",
            hint="it was destroyed with the tenant, or the backup is of another installation",
            code=Code.NOT_FOUND,
        )

    async def destroy_tenant_keys(self, tenant: str, *, operation_id: str = "", audit: Sequence[AuditEvent] = ()) -> list[str]:
        """Destroy all keys of a tenant: nobody can read its encrypted backups any more. Returns their recipients."""
        async with self._link.transaction() as connection:
            gone = await connection.execute(query("destroy_tenant_keys"), {"tenant": tenant})
            await self._append(connection, operation_id, audit)
            return [str(row[0]) for row in await gone.fetchall()]


def _read(row: TupleRow) -> BackupRecord:
    """The query names the columns in the order of the fields."""
    return BackupRecord(**dict(zip((one.name for one in fields(BackupRecord)), row, strict=True)))
