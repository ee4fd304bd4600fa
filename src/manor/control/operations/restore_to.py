"""One tenant at a moment of the past: what it takes, and the moment itself as a source to restore from."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from manor.control.audit import anchor_head
from manor.control.backup.recover import Recovery, Target, read_time
from manor.control.catalog.records import AuditEvent, DatabaseRecord
from manor.control.engines.dumps import DumpForm, Photograph
from manor.control.engines.wal import read_lsn
from manor.control.rollout.bases.look import choose
from manor.control.rollout.bases.place import BasePlace
from manor.control.rollout.bases.side_source import TenantAtMoment, tenant_at
from manor.control.rollout.verify import recorded_isolation
from manor.control.runtime import Runtime
from manor.storage.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A tenant as it was: its database on a side instance, photographed, and the snapshot that shows it."""

    tenant: str
    described: str
    then: TenantAtMoment
    photograph: Photograph
    snapshot: str
    base: str
    log_range: str

    def dump(self, form: DumpForm = DumpForm.CUSTOM) -> AsyncIterator[bytes]:
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
    chosen = await choose(runtime, place, record.server, target, act=False)
    found = chosen.outcome
    document: dict[str, Any] = {"tenant_id": str(record.tenant), "server": record.server, "target": str(target)}
    if isinstance(found, Recovery):
        pieces = chosen.manifest.pieces_for(str(record.tenant))
        size = sum(chosen.manifest.members[piece].bytes for piece in pieces)
        document |= {"reachable": True, "base": found.base.id, "log": found.log_range, "timeline": found.timeline}
        document |= {"pieces": len(pieces), "bytes": size}
    else:
        nearest = {"earlier": found.earlier, "later": found.later}
        document |= {"reachable": False, "reason": found.reason, "hint": found.nearest or found.hint}
        document |= {f"nearest_{name}": at.isoformat() if at else None for name, at in nearest.items()}
    return {**document, "problems": list(chosen.problems)}


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
        stored = await store.put(key, moment.dump())
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
    chosen = await choose(runtime, place, record.server, target, act=True, deadline_seconds=deadline_seconds)
    if not isinstance(chosen.outcome, Recovery):
        raise chosen.outcome.error(record.server)
    recovery, manifest = chosen.outcome, chosen.manifest
    async with tenant_at(place, manifest, recovery, tenant, now=chosen.now) as then:
        isolation = recorded_isolation(record.config)
        async with then.server.dumps.photographing(then.database, isolation) as (photograph, snapshot):
            runtime.telemetry.emit("target.recovered", runtime.operation, tenant, database=then.database)
            yield Moment(
                tenant=tenant,
                described=f"{tenant} at {target} (base backup {manifest.id})",
                then=then,
                photograph=photograph,
                snapshot=snapshot,
                base=manifest.id,
                log_range=recovery.log_range,
            )
