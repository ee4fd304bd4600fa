"""One tenant at a moment of the past: what it takes, and the moment itself as a source to restore from."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from manor.control.backup.recover import Recovery, Target
from manor.control.catalog.records import DatabaseRecord
from manor.control.engines.dumps import DumpForm, Photograph
from manor.control.rollout.bases.look import Chosen, choose
from manor.control.rollout.bases.place import BasePlace
from manor.control.rollout.bases.side_source import TenantAtMoment, tenant_at
from manor.control.rollout.verify import recorded_isolation
from manor.control.runtime import Runtime


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


async def plan_moment(runtime: Runtime, place: BasePlace, record: DatabaseRecord, target: Target) -> Chosen:
    """What ``at_moment`` would use, or why it could not. Touches nothing."""
    return await choose(runtime, place, record.server, target, act=False)


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
