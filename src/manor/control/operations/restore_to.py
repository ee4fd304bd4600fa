"""One tenant at a moment of the past: what it takes, and the moment itself as a source to restore from."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

from manor.control.audit import anchor_head
from manor.control.backup.recover import Recovery, Target, read_time
from manor.control.catalog.records import AuditEvent, DatabaseRecord
from manor.control.engines.dumps import DumpForm, Photograph
from manor.control.engines.wal import read_lsn
from manor.control.operations.restore import VERB, Manner, begin, find_ready, restore_source
from manor.control.rollout.backups.load import Source
from manor.control.rollout.bases.place import BasePlace
from manor.control.rollout.bases.side_source import TenantAtMoment, had_none
from manor.control.rollout.bases.ways import Way, find_way
from manor.control.rollout.release.move import target_of
from manor.control.rollout.report import Report
from manor.control.rollout.verify import recorded_isolation
from manor.control.runtime import Runtime
from manor.control.steps import Outcome, Status
from manor.errors import counted
from manor.storage.store import Store

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A tenant as it was: its database on a side instance, photographed, and the snapshot that shows it."""

    tenant: str
    described: str
    told: str
    """What whoever restores it must know of where it came from."""
    then: TenantAtMoment
    photograph: Photograph
    snapshot: str
    base: str
    log_range: str

    def dump(self, form: DumpForm = DumpForm.CUSTOM) -> AsyncGenerator[bytes, None]:
        """Its content; may be asked for several times."""
        return self.then.server.dumps.dump(self.then.database, form=form, snapshot=self.snapshot)


def read_target(*, to: str | None, to_mark: str | None, to_lsn: str | None) -> Target:
    """What the options ``--to``, ``--to-mark`` and ``--to-lsn`` say. Raises ``InputError``."""
    return Target(
        time=read_time(to) if to is not None else None,
        mark=to_mark or "",
        lsn=read_lsn(to_lsn) if to_lsn is not None else None,
    )


async def explain(runtime: Runtime, place: BasePlace, record: DatabaseRecord, target: Target) -> dict[str, Any]:
    """What ``at_moment`` would use, or why it could not, for people and programs. Touches nothing."""
    way = await find_way(runtime, place, record.server, target, act=False)
    found = way.outcome
    document: dict[str, Any] = {"tenant_id": str(record.tenant), "server": record.server, "target": str(target)}
    if isinstance(found, Recovery) and await _is_younger(runtime, record, target, way):
        error = had_none(str(record.tenant), record.server, target)
        document |= {"reachable": False, "reason": error.message, "hint": error.hint}
    elif isinstance(found, Recovery):
        document |= {"reachable": True, **way.facts, "log": found.log_range, "timeline": found.timeline}
        document |= way.sizes(str(record.tenant))
    else:
        nearest = {"earlier": found.earlier, "later": found.later}
        document |= {"reachable": False, "reason": found.reason, "hint": found.nearest or found.hint}
        document |= {f"nearest_{name}": at.isoformat() if at else None for name, at in nearest.items()}
    return {**document, "problems": list(way.problems)}


async def extract_to(
    runtime: Runtime,
    place: BasePlace,
    record: DatabaseRecord,
    target: Target,
    store: Store,
    key: str,
    *,
    deadline_seconds: float,
) -> dict[str, Any]:
    """Store the tenant's dump (PostgreSQL's custom format), whole or not at all. Raises as ``at_moment`` and storage do."""
    async with at_moment(runtime, place, record, target, deadline_seconds=deadline_seconds) as moment:
        async with contextlib.aclosing(moment.dump()) as chunks:
            stored = await store.put(key, chunks)
        details = {"to": str(target), "base": moment.base}
        event = AuditEvent(actor=runtime.actor, action="tenant.extract", subject=moment.tenant, details=details)
        await runtime.catalog.append_audit(runtime.operation, [event])
    await anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation)
    return {
        "tenant_id": moment.tenant,
        "target": str(target),
        "bytes": stored.size,
        "sha256": stored.sha256,
        "rows": moment.photograph.total_rows,
        "version": moment.photograph.version,
        "database": moment.then.database,
        "base": moment.base,
        "log": moment.log_range,
        "rolled_back": list(moment.then.rolled_back),
        "unlogged": list(moment.then.unlogged),
        "told": moment.told,
    }


@contextlib.asynccontextmanager
async def at_moment(
    runtime: Runtime, place: BasePlace, record: DatabaseRecord, target: Target, *, deadline_seconds: float = 120.0
) -> AsyncIterator[Moment]:
    """The tenant of ``record`` at ``target``, for as long as the block lasts; neighbours are not touched.

    Raises ``RefusedError`` that says why the moment cannot be reached and which ones can, ``EngineError`` (``corrupt``) naming
    the file of the backup or the archive that is damaged, ``NotFoundError`` where the tenant had no database then.
    """
    tenant = str(record.tenant)
    runtime.telemetry.emit("target.recovering", runtime.operation, tenant, to=str(target))
    way = await find_way(runtime, place, record.server, target, act=True, deadline_seconds=deadline_seconds)
    recovery = way.required(record.server)
    async with way.opening(tenant) as then:
        isolation = recorded_isolation(record.config)
        async with then.server.dumps.photographing(then.database, isolation) as (photograph, snapshot):
            runtime.telemetry.emit("target.recovered", runtime.operation, tenant, database=then.database)
            yield Moment(
                tenant=tenant,
                described=f"{tenant} at {target} ({way.described})",
                told="; ".join(filter(None, (way.told, _emptied(then)))),
                then=then,
                photograph=photograph,
                snapshot=snapshot,
                base=recovery.base.id,
                log_range=recovery.log_range,
            )


def _emptied(then: TenantAtMoment) -> str:
    found = then.unlogged
    if not found:
        return ""
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"unlogged tables are empty, no log has their rows: {', '.join(found[:_SHOWN])}{more}"


async def restore_to(runtime: Runtime, place: BasePlace, tenant: str, target: Target, manner: Manner) -> Report:
    """Take a tenant back to a moment of the past: load beside its database, verify, and switch. Neighbours are not touched.

    Raises before the tenant is touched what ``begin`` raises, and ``RefusedError`` where the moment cannot be reached; what
    fails later is the tenant's outcome.
    """
    record = await begin(runtime, tenant)
    way = await find_way(runtime, place, record.server, target, act=False)
    way.required(record.server)

    def opening(runtime: Runtime, record: DatabaseRecord) -> contextlib.AbstractAsyncContextManager[Source]:
        return source_at(runtime, place, record, target)

    return await restore_source(runtime, record, opening, manner, {"to": str(target)})


async def dry_run_to(runtime: Runtime, place: BasePlace, tenant: str, target: Target) -> Report:
    """Look only. Raises as ``restore_to`` does before it begins, and ``NotFoundError`` where the tenant was made later."""
    record = await find_ready(runtime, tenant)
    way = await find_way(runtime, place, record.server, target, act=False)
    log_range = way.required(record.server).log_range
    if await _is_younger(runtime, record, target, way):
        raise had_none(str(record.tenant), record.server, target)
    facts = {"to": str(target), **way.facts, "log": log_range}
    detail = f"would recover {way.described} with the log from {log_range}, to {target}, and switch to it"
    outcome = Outcome(target=target_of(record), status=Status.PENDING, detail=detail, facts=facts)
    return Report(operation=runtime.operation, verb=VERB, dry_run=True, source=record.source, outcomes=(outcome,))


async def _is_younger(runtime: Runtime, record: DatabaseRecord, target: Target, way: Way) -> bool:
    """Whether catalog and backup say that the tenant was made after the target; a position in the log says no time."""
    at = target.time
    if target.mark:
        at = next((mark.at for mark in await runtime.catalog.marks(record.server) if mark.name == target.mark), None)
    made_at = record.created_at
    return at is not None and made_at is not None and made_at > at and not way.may_hold(str(record.tenant))


@contextlib.asynccontextmanager
async def source_at(
    runtime: Runtime, place: BasePlace, record: DatabaseRecord, target: Target, *, deadline_seconds: float = 120.0
) -> AsyncIterator[Source]:
    """The tenant at a moment as what it is loaded from. Raises as ``at_moment``."""
    async with at_moment(runtime, place, record, target, deadline_seconds=deadline_seconds) as moment:
        doubts = len(moment.then.rolled_back)
        told = f", without {counted(doubts, 'transaction')} that {'was' if doubts == 1 else 'were'} in doubt" if doubts else ""
        yield Source(
            described=moment.described + told,
            told=moment.told,
            form=DumpForm.CUSTOM,
            chunks=moment.dump,
            expected=moment.photograph,
            tenant=moment.tenant,
            database=moment.then.database,
        )
