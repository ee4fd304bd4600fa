"""The journal of releases: plans, claims on tenants, fencing tokens, the decision, and what each target ended as."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg.rows import TupleRow

from manor.control.catalog.chain import safe_json
from manor.control.catalog.journal import JournalStore, operation_values, read_operation
from manor.control.catalog.link import Connection
from manor.control.catalog.queries import query
from manor.control.catalog.records import (
    AuditEvent,
    ClaimRecord,
    DatabaseRecord,
    Lineage,
    OperationRecord,
    ReleaseRecord,
    TargetRecord,
    shared,
)
from manor.control.catalog.store import batch_json
from manor.errors import ConflictError, NotFoundError
from manor.scan import suggest


class ReleaseStore(JournalStore):
    """Releases and their targets."""

    async def begin_release(
        self,
        record: OperationRecord,
        *,
        lock: str,
        plan: Mapping[str, Any],
        targets: Sequence[TargetRecord],
        scripts: Sequence[Mapping[str, Any]] = (),
        parent: str = "",
        claims: bool = True,
        audit: Sequence[AuditEvent] = (),
    ) -> int:
        """Record a release with all its targets and claim those that are ``pending``; all or nothing. Returns its token.
        It takes over what ``parent``, whose work it does again, still holds. ``claims`` false: it holds nobody.

        Raises ``ConflictError`` that names the tenants which another operation holds, and who that is.
        """
        tenants = [t.tenant for t in targets if t.status == "pending" and claims]
        async with self._link.transaction() as connection:
            await connection.execute(query("begin_operation"), operation_values(record))
            values = {"id": record.id, "lock": lock, "plan": safe_json(plan), "parent": parent}
            begun = await connection.execute(query("begin_release"), values)
            await self._claim(connection, record.id, tenants, heir_of=parent)
            batch = batch_json(map(_target_row, targets))
            await connection.execute(query("plan_targets"), {"operation": record.id, "batch": batch})
            await connection.execute(query("put_scripts"), {"batch": batch_json(scripts)})
            await self._append(connection, record.id, audit)
            row = await begun.fetchone()
        return int(row[0]) if row else 0

    async def add_targets(
        self, operation: str, targets: Sequence[TargetRecord], plan: Mapping[str, Any], *, token: int | None = None
    ) -> None:
        """More targets of a running release, claimed like the first ones, and the plan that covers them. Raises
        ``ConflictError`` where its runner is no longer the one with ``token``."""
        async with self._link.transaction() as connection:
            held = await connection.execute(query("hold_operation"), {"id": operation})
            _refuse_fenced(operation, token, await held.fetchone())
            await self._claim(connection, operation, [t.tenant for t in targets if t.status == "pending"])
            await connection.execute(query("set_plan"), {"id": operation, "plan": safe_json(plan)})
            batch = batch_json(map(_target_row, targets))
            await connection.execute(query("plan_targets"), {"operation": operation, "batch": batch})

    async def _claim(self, connection: Connection, operation: str, tenants: Sequence[str], *, heir_of: str = "") -> None:
        values = {"operation": operation, "tenants": list(tenants), "heir_of": heir_of}
        claimed = await connection.execute(query("claim_tenants"), values)
        got = {row[0] for row in await claimed.fetchall()}
        missing = [tenant for tenant in tenants if tenant not in got]
        if missing:
            holders = await (await connection.execute(query("claimed_by"), {"tenants": missing})).fetchall()
            raise _held(missing, [_claim(row) for row in holders])

    async def claims(self, tenants: Iterable[str]) -> list[ClaimRecord]:
        """Who holds which of ``tenants``."""
        return [_claim(row) for row in await self._link.rows(query("claimed_by"), {"tenants": list(tenants)})]

    async def take_targets(
        self, operation: str, token: int, tenants: Sequence[str], *, max_failures: int | None = None
    ) -> frozenset[str]:
        """Mark pending targets as in progress; returns those that were. None is while somebody asked for a pause or an abort,
        while more than ``max_failures`` have failed, or once another runner has taken over (a higher token)."""
        values = {"operation": operation, "token": token, "tenants": list(tenants), "max_failures": max_failures}
        return frozenset(row[0] for row in await self._link.rows(query("take_targets"), values))

    async def give_back_targets(self, operation: str, token: int, tenants: Sequence[str]) -> None:
        """Make targets pending again that were taken and not begun; nothing once another runner has taken over."""
        values = {"operation": operation, "token": token, "tenants": list(tenants)}
        await self._link.run(query("give_back_targets"), values)

    async def target_statuses(self, operation: str, tenants: Iterable[str]) -> dict[str, str]:
        """Status by tenant, of those among ``tenants`` that are targets."""
        rows = await self._link.rows(query("target_statuses"), {"operation": operation, "tenants": list(tenants)})
        return {row[0]: row[1] for row in rows}

    async def record_moves(
        self,
        operation: str,
        targets: Sequence[TargetRecord],
        *,
        moved: Sequence[DatabaseRecord] = (),
        token: int | None = None,
        audit: Sequence[AuditEvent] = (),
    ) -> None:
        """Commit what became of targets: outcomes, the new heads of ``moved`` databases, claims given back, audit lines.

        Raises ``ConflictError``, and nothing is recorded, where the release has ended or its runner is no longer the one with
        ``token``.
        """
        rows = sorted(map(_outcome_row, targets), key=lambda row: str(row["tenant"]))
        heads = [
            {"tenant": str(m.tenant), "version": m.version, "golden": m.golden, "fingerprint": m.fingerprint} for m in moved
        ]
        ended = [t.tenant for t in targets if t.status not in {"pending", "in_progress", "needs_decision"}]
        async with self._link.transaction() as connection:
            held = await connection.execute(query("hold_operation"), {"id": operation})
            await connection.execute(query("record_outcomes"), {"operation": operation, "batch": safe_json(rows)})
            if heads:
                await connection.execute(query("move_databases"), {"operation": operation, "batch": batch_json(heads)})
            await connection.execute(query("release_claims"), {"operation": operation, "tenants": ended})
            await self._append(connection, operation, audit)
            _refuse_fenced(operation, token, await held.fetchone())

    async def correct_heads(self, operation: str, found: Sequence[DatabaseRecord], *, audit: Sequence[AuditEvent] = ()) -> None:
        """Record which version databases were found to have."""
        heads = [
            {"tenant": str(m.tenant), "version": m.version, "golden": m.golden, "fingerprint": m.fingerprint} for m in found
        ]
        async with self._link.transaction() as connection:
            await connection.execute(query("move_databases"), {"operation": operation, "batch": batch_json(heads)})
            await self._append(connection, operation, audit)

    async def want(self, operation: str, wanted: str, *, audit: Sequence[AuditEvent] = ()) -> bool:
        """Ask the runner of a release to ``pause`` or ``abort``; whether that can still be asked: nothing is decided."""
        async with self._link.transaction() as connection:
            asked = await connection.execute(query("want"), {"id": operation, "wanted": wanted})
            await self._append(connection, operation, audit)
            return await asked.fetchone() is not None

    async def decide(
        self,
        operation: str,
        token: int,
        decision: str,
        *,
        heads: Sequence[tuple[str, str, str]] = (),
        audit: Sequence[AuditEvent] = (),
    ) -> dt.datetime | None:
        """Write the one decision of a two-phase commit, with the heads (source, template, version) that come with it.

        Returns when; None where it cannot be decided so: decided otherwise, taken over, or asked to stop. Safe to repeat.
        """
        async with self._link.transaction() as connection:
            values = {"id": operation, "token": token, "decision": decision}
            row = await (await connection.execute(query("decide"), values)).fetchone()
            if row is None:
                return None
            await self._put_heads(connection, operation, heads)
            await self._append(connection, operation, audit)
            at: dt.datetime = row[0]
        return at

    async def put_heads(self, operation: str, heads: Sequence[tuple[str, str, str]]) -> None:
        """Which release new tenants of (source, template) get: (source, template, version)."""
        async with self._link.transaction() as connection:
            await self._put_heads(connection, operation, heads)

    async def put_new_heads(self, operation: str, heads: Sequence[tuple[str, str, str]]) -> None:
        """The same where nobody has recorded one: a release may have put its own since they were worked out."""
        batch = batch_json({"source": source, "template": template, "version": version} for source, template, version in heads)
        await self._link.run(query("put_new_heads"), {"operation": operation, "batch": batch})

    async def _put_heads(self, connection: Connection, operation: str, heads: Sequence[tuple[str, str, str]]) -> None:
        if heads:
            batch = batch_json(
                {"source": source, "template": template, "version": version} for source, template, version in heads
            )
            await connection.execute(query("put_heads"), {"operation": operation, "batch": batch})

    async def heads(self) -> dict[tuple[str, str], str]:
        """Version by (source, template)."""
        return {(row[0], row[1]): row[2] for row in await self._link.rows(query("heads"))}

    async def end_release(
        self,
        operation: str,
        state: str,
        summary: Mapping[str, int],
        *,
        states: Sequence[str],
        detail: str = "",
        token: int | None = None,
        audit: Sequence[AuditEvent] = (),
    ) -> None:
        """Record how a release that is in one of ``states`` ended, or that it is paused (its claims stay). Safe to repeat.

        What was not begun is ``not_started`` with ``detail``, unless it is paused; tenants that need a decision stay claimed.
        Raises ``ConflictError``, and nothing is recorded, where it is in none of the states, or its runner is no longer the one
        with ``token``.
        """
        async with self._link.transaction() as connection:
            if state != "paused":
                await connection.execute(query("close_targets"), {"operation": operation, "detail": detail})
            values = {"id": operation, "state": state, "states": [*states, state], "summary": safe_json(summary)}
            ended = await connection.execute(query("set_release_state"), values)
            if state != "paused":
                await connection.execute(query("release_other_claims"), {"operation": operation})
            await self._append(connection, operation, audit)
            row = await ended.fetchone()
            if row is None or token not in (None, row[0]):
                raise _taken_over(operation)

    async def take_over(
        self,
        operation: str,
        *,
        actor: str,
        states: Sequence[str],
        reopen: Sequence[str],
        tenants: Sequence[str] = (),
        audit: Sequence[AuditEvent] = (),
    ) -> int | None:
        """Become the runner of a release that is in one of ``states``: a new token, and its targets of the statuses ``reopen``,
        and those of ``tenants`` (ids or databases), pending and claimed again.

        None where it is in none of the states. Raises ``ConflictError`` for tenants held elsewhere.
        """
        async with self._link.transaction() as connection:
            taken = await connection.execute(query("take_over"), {"id": operation, "actor": actor, "states": list(states)})
            row = await taken.fetchone()
            if row is None:
                return None
            values = {"operation": operation, "statuses": list(reopen), "tenants": list(tenants)}
            opened = await connection.execute(query("reopen_targets"), values)
            await self._claim(connection, operation, [found[0] for found in await opened.fetchall()])
            await self._append(connection, operation, audit)
        return int(row[0])

    async def running_releases(self) -> list[str]:
        """Ids of the releases that the journal calls running; whether somebody runs one is shown by its lock."""
        return [str(row[0]) for row in await self._link.rows(query("running_releases"))]

    async def state_of(self, operation: str) -> str | None:
        """The state of one operation; None where it is not known."""
        rows = await self._link.rows(query("operation_state"), {"id": operation})
        return str(rows[0][0]) if rows else None

    async def release(self, operation: str) -> ReleaseRecord:
        """One operation of any verb with its plan. Raises ``NotFoundError`` with a suggestion."""
        rows = await self._link.rows(query("release"), {"id": operation})
        if not rows:
            known = [str(row[0]) for row in await self._link.rows(query("similar_operations"))]
            raise NotFoundError(
                f"there is no operation {operation!r}", hint=suggest(operation, known) or "manor operation list"
            )
        row = rows[0]
        return ReleaseRecord(
            operation=read_operation(row[:10]),
            lock=row[10],
            token=row[11],
            wanted=row[12],
            decision=row[13],
            decided_at=row[14],
            plan=row[15],
            parent=row[16],
        )

    async def operation_targets(self, operation: str) -> list[TargetRecord]:
        """Every target of an operation, in the plan's order."""
        rows = await self._link.rows(query("operation_targets"), {"operation": operation})
        return [_read_target(row) for row in rows]

    async def undone_tenants(self, operation: str) -> frozenset[str]:
        """Tenants for which an undo took back what ``operation`` did."""
        return frozenset(row[0] for row in await self._link.rows(query("undone_tenants"), {"id": operation}))

    async def scripts(self, checksums: Iterable[str]) -> dict[tuple[str, str], Mapping[str, Any]]:
        """Recorded migrations by (version, checksum)."""
        rows = await self._link.rows(query("scripts"), {"checksums": sorted(set(checksums))})
        return {(row[0], row[1]): row[2] for row in rows}

    async def put_lineages(self, lineages: Sequence[Lineage]) -> None:
        """Record what digests are made of. Safe to repeat."""
        batch = batch_json({"digest": one.digest, "base": one.base, "history": one.history} for one in lineages)
        await self._link.run(query("put_lineages"), {"batch": batch})

    async def lineages(self, digests: Iterable[str]) -> dict[str, Lineage]:
        """By digest; one that is not recorded is a template's own, without migrations."""
        rows = await self._link.rows(query("lineages"), {"digests": sorted(set(digests))})
        return {row[0]: Lineage(digest=row[0], base=row[1], history=tuple((v, c, n) for v, c, n in row[2])) for row in rows}


def _refuse_fenced(operation: str, token: int | None, row: TupleRow | None) -> None:
    """``row``: (state, token), held."""
    if row is not None and (row[0] not in ("running", "needs_decision") or token not in (None, row[1])):
        raise _taken_over(operation)


def _taken_over(operation: str) -> ConflictError:
    hint = f"nothing more is done here; `manor operation show {operation}` tells what became of it"
    return ConflictError(f"another runner has taken over operation {operation}", hint=hint)


def _held(tenants: Sequence[str], holders: Sequence[ClaimRecord]) -> ConflictError:
    shown = ", ".join(tenants[:5]) + (f" and {len(tenants) - 5} more" if len(tenants) > 5 else "")
    by = sorted({f"operation {h.operation} ({h.verb}, {h.state}, by {h.actor})" for h in holders})
    hint = "wait until it has ended; `manor operation list` shows it, `operation resume` or `operation abort` ends it"
    if any(h.state == "needs_decision" for h in holders):
        hint = "`manor operation show` lists who needs a decision; `operation resume` looks again, `operation decide` ends it"
    return ConflictError(f"held by {', '.join(by) or 'an operation that just ended'}: {shown}", hint=hint, transient=True)


def _target_row(target: TargetRecord) -> dict[str, Any]:
    return {
        "tenant": target.tenant,
        "database": target.database,
        "server": target.server,
        "grp": target.group,
        "template": target.template,
        "status": target.status,
        "error": dict(target.error) if target.error else None,
        "detail": target.detail,
        "position": target.position,
        "wave": target.wave,
        "cohort": target.cohort,
    }


def _outcome_row(target: TargetRecord) -> dict[str, Any]:
    return {
        **_target_row(target),
        "duration_seconds": target.duration_seconds,
        "facts": dict(target.facts),
    }


def _read_target(row: TupleRow) -> TargetRecord:
    return TargetRecord(
        tenant=row[0],
        database=row[1],
        server=shared(row[2]),
        group=shared(row[3]),
        template=shared(row[4]),
        status=shared(row[5]),
        duration_seconds=row[6],
        error=row[7],
        detail=row[8],
        facts=row[9],
        position=row[10],
        wave=row[11],
        cohort=row[12],
        attempt=row[13],
        at=row[14],
    )


def _claim(row: TupleRow) -> ClaimRecord:
    return ClaimRecord(tenant=row[0], operation=row[1], verb=row[2], state=row[3], actor=row[4], since=row[5])
