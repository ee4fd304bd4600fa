"""``manor tenant suspend``, ``resume``, ``hold`` and ``unhold``: who may enter, and who must not be erased.

A suspended tenant is closed by its role, which may log in no more; its database stays open to Manor, so that backups, exports
and releases go on. Both verbs tell the catalog first and the server then: whoever finds them at odds after a death
(healthcheck, deploy) says it, and running the command again brings them together.
"""

from __future__ import annotations

import functools
from dataclasses import replace

from manor.control.audit import anchor_head
from manor.control.catalog.locks import FLEET_LOCK
from manor.control.catalog.records import AuditEvent, DatabaseRecord, HoldRecord, SuspensionRecord
from manor.control.operations.tenants import refuse_erased
from manor.control.rollout.erasure.erase import shut_out
from manor.control.rollout.errands import Done, Order, run_errands
from manor.control.rollout.release.settle import settle_all
from manor.control.rollout.report import Report
from manor.control.rollout.retry import ATTEMPTS, retrying, until_recorded
from manor.control.runtime import Runtime
from manor.control.steps import Status
from manor.errors import NotFoundError, RefusedError


async def suspend(runtime: Runtime, text: str, *, reason: str = "") -> Report:
    """Shut a tenant out. Raises ``NotFoundError``, ``RefusedError`` where it is not deployed, and ``ConflictError`` where
    another operation holds it."""
    notices = await _settled(runtime)
    record = await known_tenant(runtime, text)
    _require_ready(record)
    order = Order(verb="suspend", action="tenant.suspend", source=record.source, arguments={"reason": reason})
    report = await run_errands(runtime, order, [record], functools.partial(_suspend, reason=reason))
    return replace(report, notices=(*report.notices, *notices))


async def _suspend(runtime: Runtime, record: DatabaseRecord, *, reason: str) -> Done:
    tenant = str(record.tenant)
    before = (await runtime.catalog.suspensions(tenant)).get(tenant)
    await until_recorded(runtime, lambda: runtime.catalog.suspend(suspension_of(runtime, record, reason)))
    runtime.telemetry.emit("tenant.suspended", runtime.operation, tenant)
    ended = await shut_out(runtime, record)
    runtime.telemetry.emit("tenant.shut_out", runtime.operation, tenant)
    words = f"suspended before, since {before.since:%Y-%m-%d %H:%M} UTC" if before else "suspended"
    status = Status.SKIPPED if before and not ended else Status.SUCCESS
    return Done(detail=f"{words}; {_sessions(ended)}", facts={"sessions_ended": ended}, status=status)


def suspension_of(runtime: Runtime, record: DatabaseRecord, reason: str) -> SuspensionRecord:
    """The record of a suspension that begins now."""
    return SuspensionRecord(
        tenant=str(record.tenant), reason=reason, since=runtime.now(), actor=runtime.actor, operation=runtime.operation
    )


def _sessions(ended: int) -> str:
    return {0: "nobody was in it", 1: "1 session ended"}.get(ended, f"{ended} sessions ended")


async def resume(runtime: Runtime, text: str) -> Report:
    """Let a suspended tenant in again; a scheduled erasure is off. Raises as ``suspend``."""
    notices = await _settled(runtime)
    record = await known_tenant(runtime, text)
    _require_ready(record)
    order = Order(verb="resume", action="tenant.resume", source=record.source)
    report = await run_errands(runtime, order, [record], _resume)
    return replace(report, notices=(*report.notices, *notices))


async def _resume(runtime: Runtime, record: DatabaseRecord) -> Done:
    tenant = str(record.tenant)
    before = (await runtime.catalog.suspensions(tenant)).get(tenant)
    entries = runtime.servers[record.server].entries
    if before is None and record.is_active and await retrying(lambda: entries.may_log_in(record.role), attempts=ATTEMPTS):
        return Done(detail="it was not suspended", status=Status.SKIPPED)
    await until_recorded(runtime, lambda: runtime.catalog.unsuspend(tenant))
    runtime.telemetry.emit("tenant.resumed", runtime.operation, tenant)
    await retrying(lambda: entries.let_in(record.role), attempts=ATTEMPTS)
    runtime.telemetry.emit("tenant.let_in", runtime.operation, tenant)
    off = "; its erasure is off" if before and before.erase_after else ""
    return Done(detail=f"open again{off}")


async def hold(runtime: Runtime, text: str, *, reason: str, lock_wait_seconds: float = 10.0) -> HoldRecord:
    """Keep a tenant from being erased. Raises ``NotFoundError``, ``ConflictError`` where it is held for another reason, and
    ``RefusedError`` once its erasure has begun."""
    record = await known_tenant(runtime, text)
    tenant = str(record.tenant)
    held = HoldRecord(tenant=tenant, reason=reason, since=runtime.now(), actor=runtime.actor)
    event = AuditEvent(actor=runtime.actor, action="tenant.hold", subject=tenant, details={"reason": reason})
    # The lock under which erasures begin: of two that come at once, one is told of the other.
    async with runtime.catalog.lock(FLEET_LOCK, wait_seconds=lock_wait_seconds, holder=runtime.operation):
        await runtime.catalog.hold_tenant(held, operation_id=runtime.operation, audit=[event])
    await anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation)
    return (await runtime.catalog.tenant_holds(tenant))[tenant]


async def unhold(runtime: Runtime, text: str, *, reason: str) -> tuple[str, bool]:
    """Let it be erased again: (tenant, whether it was held). Raises ``NotFoundError``."""
    tenant = str((await known_tenant(runtime, text)).tenant)
    event = AuditEvent(actor=runtime.actor, action="tenant.unhold", subject=tenant, details={"reason": reason})
    was_held = await runtime.catalog.unhold_tenant(tenant, operation_id=runtime.operation, audit=[event])
    await anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation)
    return tenant, was_held


async def known_tenant(runtime: Runtime, text: str) -> DatabaseRecord:
    """One tenant, without its URL. Raises ``NotFoundError``, which says so where it was erased."""
    try:
        return await runtime.catalog.database_by_tenant(text, with_url=False)
    except NotFoundError:
        await refuse_erased(runtime, text)
        raise


def _require_ready(record: DatabaseRecord) -> None:
    if record.state == "erasing":
        raise RefusedError(f"tenant {record.tenant} is being erased", hint="`manor tenant delete` goes on with it")
    if record.state != "ready":
        raise RefusedError(f"tenant {record.tenant} is {record.state}", hint="deploy it first")


async def _settled(runtime: Runtime) -> list[str]:
    return [f"operation {settled.operation} had died: {settled.state}" for settled in await settle_all(runtime)]
