"""The audit log's rows: appending under the lock of the head, and reading. What the chain means is in ``chain``."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

from psycopg.rows import TupleRow

from manor.control.catalog.chain import Anchor, Break, Head, SealedEntry, seal
from manor.control.catalog.link import Connection
from manor.control.catalog.queries import query
from manor.control.catalog.records import AuditEntry, AuditEvent
from manor.control.catalog.store import Store, batch_json
from manor.errors import CatalogError


class LedgerStore(Store):
    """The audit log."""

    async def append_audit(self, operation_id: str, events: Sequence[AuditEvent]) -> None:
        """Append entries in a transaction of their own."""
        async with self._link.transaction() as connection:
            await self._append(connection, operation_id, events)

    async def audit_entries(
        self, *, limit: int = 100, subject: str | None = None, since: dt.datetime | None = None
    ) -> list[AuditEntry]:
        """The newest entries, newest first; ``since`` is an aware time."""
        parameters = {"limit": limit, "subject": subject, "since": since}
        return [SealedEntry(*row).entry() for row in await self._link.rows(query("audit_entries"), parameters)]

    async def audit_page(self, *, after: int, limit: int) -> tuple[list[SealedEntry], Head | None]:
        """Up to ``limit`` entries of higher sequence than ``after``, and the head of the same instant (None: missing)."""
        rows = await self._link.rows(query("audit_page"), {"after": after, "limit": limit})
        if not rows:
            return [], None
        return [SealedEntry(*row[3:]) for row in rows if row[3] is not None], _head(rows[0])

    async def audit_head(self) -> Head:
        """The newest entry's sequence and MAC. Raises ``CatalogError`` where they are missing."""
        _, head = await self.audit_page(after=2**62, limit=1)
        if head is None:
            raise _headless()
        return head

    async def append_break(self, operation: str, event: AuditEvent, anchor: Anchor | None) -> Head:
        """Append an entry that says what is lost before it: everything between the newest entry and ``anchor``, the last one
        that was written down outside. It hangs on the anchor where that is the newer one; returns the new head."""
        async with self._link.transaction() as connection:
            row = await (await connection.execute(query("lock_audit_head"))).fetchone()
            if row is None:
                raise _headless()
            head = _head(row)
            lost = Break(kept_through=head.sequence, sequence=head.sequence, mac=head.mac)
            if anchor is not None and anchor.sequence > head.sequence:
                lost = replace(lost, sequence=anchor.sequence, mac=anchor.mac)
                values = {"sequence": anchor.sequence, "mac": anchor.mac, "at": head.at}
                await connection.execute(query("move_audit_head"), values)
            await self._append(connection, operation, [replace(event, details={**event.details, **lost.to_json()})])
        return await self.audit_head()

    def audit_key(self, key_id: str) -> bytes | None:
        """The audit key of that id, where the key ring has it."""
        return self._secrets.audit_key(key_id)

    async def _append(self, connection: Connection, operation: str, events: Sequence[AuditEvent]) -> None:
        """Append inside a transaction; call it last, because it makes every other writer of the log wait for the commit."""
        if not events:
            return
        row = await (await connection.execute(query("lock_audit_head"))).fetchone()
        if row is None:
            raise _headless()
        head, key_id = _head(row), self._secrets.key_id
        key = self._secrets.audit_key(key_id) or b""
        entries = seal(events, operation=operation, head=head, catalog=self.id, key_id=key_id, key=key)
        batch = batch_json(_row(entry) for entry in entries)
        await connection.execute(query("append_audit"), {"batch": batch})
        last = entries[-1]
        await connection.execute(query("move_audit_head"), {"sequence": last.sequence, "mac": last.mac, "at": last.at})


def _headless() -> CatalogError:
    return CatalogError("the head of the audit log is missing", hint="somebody changed the catalog by hand: manor audit verify")


def _head(row: TupleRow) -> Head:
    return Head(sequence=row[0], mac=row[1], at=row[2])


def _row(entry: SealedEntry) -> dict[str, object]:
    return {name.name: getattr(entry, name.name) for name in dataclasses.fields(entry)}
