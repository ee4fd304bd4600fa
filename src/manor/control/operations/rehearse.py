"""``--rehearse``: the release on every tenant inside a transaction that is rolled back: who would fail, and why."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from manor.control.catalog.records import TargetRecord
from manor.control.migrate.cohort import Terms, is_atomic
from manor.control.operations.migrate import MigrateRequest, draft_release, refuse_impossible
from manor.control.operations.release_report import Ended, report_of
from manor.control.operations.release_sources import ReleaseSources
from manor.control.rollout.release.blockers import BlockerWatch
from manor.control.rollout.release.goldens import GoldenWork, release_goldens
from manor.control.rollout.release.move import failed
from manor.control.rollout.release.recorder import Recorder
from manor.control.rollout.release.settle import release_lock
from manor.control.rollout.release.work import Work, ended
from manor.control.rollout.report import Report
from manor.control.rollout.strategy import Kind
from manor.control.rollout.verify import recorded_isolation
from manor.control.runtime import Runtime
from manor.control.steps import Status
from manor.errors import ManorError


async def rehearse(runtime: Runtime, project: Path, request: MigrateRequest) -> Report:
    """Nothing is changed: goldens are built on copies, tenants in transactions that are rolled back. It takes the same locks as
    the release would, for as long."""
    began, started_at = time.monotonic(), runtime.now()
    async with runtime.catalog.lock(release_lock(runtime.operation), wait_seconds=0, holder=runtime.operation):
        draft = await draft_release(runtime, ReleaseSources(project), request)
        await refuse_impossible(runtime, draft)
        runtime.telemetry.emit("operation.planned", runtime.operation, targets=len(draft.targets))
        for server in runtime.servers.values():
            server.limit(draft.course.conduct.parallel)
        isolation = {
            target.cohort: recorded_isolation(draft.records[target.tenant].config)
            for target in draft.pending
            if target.cohort is not None
        }
        goldens = GoldenWork(
            runtime=runtime,
            scripts=draft.scripts,
            terms=Terms(operation=runtime.operation, token=0),
            isolation=isolation,
            prepare=draft.course.kind is Kind.ATOMIC,
        )
        cohorts = await release_goldens(goldens, draft.course.cohorts)
        work = Work(
            runtime=runtime,
            token=2**62,
            cohorts={cohort.number: cohort for cohort in cohorts},
            scripts=draft.scripts,
            records=draft.records,
            conduct=draft.course.conduct,
            recorder=Recorder(runtime),
            watch=BlockerWatch.about(runtime, draft.pending),
        )
        async with work.watch.looking():
            slots = {name: asyncio.Semaphore(work.conduct.parallel) for name in runtime.servers}
            tried = await asyncio.gather(*(_try(work, target, slots[target.server]) for target in draft.pending))
        results = {target.tenant: target for target in tried}
        targets = tuple(results.get(target.tenant, target) for target in draft.targets)
        report = report_of(
            runtime.operation,
            draft,
            Ended(state="rehearsed", targets=targets),
            verb=f"{request.verb} (rehearsal)",
            started_at=started_at,
            seconds=time.monotonic() - began,
        )
        return replace(report, notices=(*report.notices, "nothing was changed"))


async def _try(work: Work, target: TargetRecord, slot: asyncio.Semaphore) -> TargetRecord:
    cohort = work.cohort(target)
    async with slot:
        began = time.monotonic()
        if work.runtime.stop.requested:
            return ended(target, Status.NOT_STARTED, detail="stopped before it was begun")
        if not is_atomic(cohort, work.scripts):
            result = ended(target, Status.SKIPPED, detail="runs outside transactions: tried on a copy of the golden only")
        else:
            result = await _in_transaction(work, target, began)
        work.runtime.telemetry.emit("target.ended", work.operation, target.tenant, status=result.status)
        return result


async def _in_transaction(work: Work, target: TargetRecord, began: float) -> TargetRecord:
    try:
        (segment,) = work.segments(target)
        await work.server(target).releases.rehearse(target.database, segment.change)
    except ManorError as error:
        return failed(work, target, error, time.monotonic() - began)
    return ended(target, Status.SUCCESS, seconds=time.monotonic() - began, detail="would work")
