"""The journal: which operations ran, and which of them were killed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg.rows import TupleRow

from manor.control.catalog.chain import safe_json
from manor.control.catalog.ledger import LedgerStore
from manor.control.catalog.queries import query
from manor.control.catalog.records import AuditEvent, OperationRecord
from manor.errors import NotFoundError


class JournalStore(LedgerStore):
    """Operations."""

    async def begin_operation(self, record: OperationRecord, *, audit: Sequence[AuditEvent] = ()) -> None:
        """Record a running operation. Raises ``ConflictError`` where the id is taken."""
        async with self._link.transaction() as connection:
            await connection.execute(query("begin_operation"), operation_values(record))
            await self._append(connection, record.id, audit)

    async def finish_operation(
        self, operation_id: str, state: str, summary: Mapping[str, int], *, audit: Sequence[AuditEvent] = ()
    ) -> None:
        """Record how it ended (``succeeded``, ``failed`` or ``interrupted``). Raises ``NotFoundError`` for an unknown id."""
        values = {"id": operation_id, "state": state, "summary": safe_json(summary)}
        async with self._link.transaction() as connection:
            finished = await connection.execute(query("finish_operation"), values)
            await self._append(connection, operation_id, audit)
            if await finished.fetchone() is None:
                raise NotFoundError(f"there is no operation {operation_id}")

    async def interrupted_operations(self) -> list[OperationRecord]:
        """Operations under the fleet's lock that are recorded as running. Call it only while holding that lock: then nobody
        runs them any more."""
        return [read_operation(row) for row in await self._link.rows(query("interrupted_operations"))]

    async def end_sessions(self, operation_id: str) -> int:
        """End what a dead operation left running here and wait until it is gone: its last commit must not come after our look.
        Returns how many sessions there were."""
        return int((await self._link.rows(query("end_sessions"), {"application": operation_id}))[0][0])

    async def mark_interrupted(self, operation_id: str, *, found_by: str = "", audit: Sequence[AuditEvent] = ()) -> None:
        """Record that a running operation died, and who found it, in one transaction. Safe to repeat; a finished one stays as
        it is."""
        async with self._link.transaction() as connection:
            await connection.execute(query("mark_interrupted"), {"id": operation_id})
            await self._append(connection, found_by, audit)

    async def operations(self, limit: int = 20) -> list[OperationRecord]:
        """The newest operations, newest first."""
        return [read_operation(row) for row in await self._link.rows(query("operations"), {"limit": limit})]


def operation_values(record: OperationRecord) -> dict[str, object]:
    """The parameters of ``begin_operation``."""
    return {
        "id": record.id,
        "verb": record.verb,
        "state": record.state,
        "source": record.source,
        "digest": record.digest,
        "actor": record.actor,
        "arguments": safe_json(record.arguments),
        "summary": safe_json(record.summary),
        "started_at": record.started_at,
    }


def read_operation(row: TupleRow) -> OperationRecord:
    """The ten columns of an operation that every query begins with."""
    identity, verb, state, source, digest, started_at, finished_at, actor, arguments, summary = row
    return OperationRecord(
        id=identity,
        verb=verb,
        state=state,
        source=source,
        digest=digest,
        started_at=started_at,
        finished_at=finished_at,
        actor=actor,
        arguments=arguments,
        summary=summary,
    )
