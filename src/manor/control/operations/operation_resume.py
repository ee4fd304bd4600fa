"""``manor operation resume|decide``: a release that was paused, or whose runner died, goes on under its own id and plan."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from manor.control.catalog.kept import KeptRecord
from manor.control.catalog.records import AuditEvent, DatabaseRecord, ReleaseRecord, TargetRecord
from manor.control.migrate.cohort import Scripts, migration_from
from manor.control.operations.migrate import hooks_of
from manor.control.operations.release_draft import Draft
from manor.control.operations.release_report import report_of
from manor.control.operations.release_run import ReleaseRun
from manor.control.operations.release_sources import ReleaseSources
from manor.control.rollout.alone import release_still_alone
from manor.control.rollout.release.apart import Begun
from manor.control.rollout.release.course import Course
from manor.control.rollout.release.move import move
from manor.control.rollout.release.put_back import putting_back
from manor.control.rollout.release.settle import release_lock
from manor.control.rollout.release.waves import Mover
from manor.control.rollout.report import Report
from manor.control.rollout.states import REOPENED, Event, State, states_with
from manor.control.rollout.strategy import Kind
from manor.control.runtime import Runtime
from manor.control.steps import Status
from manor.errors import InputError, NotFoundError, RefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What somebody knows about targets that nobody could tell about."""

    tenants: tuple[str, ...]
    begun: Begun = Begun.LOOK
    """``done`` or ``again``: what its open statement is taken for."""
    undone: bool = False
    """Instead: put it back to the snapshot that the release took of it."""
    discard_writes: bool = False
    """Also where it was written to since."""

    @property
    def taken(self) -> str:
        """What was decided, as the command has it."""
        return "undone" if self.undone else str(self.begun)


async def resume(runtime: Runtime, project: Path, decision: Decision | None = None) -> Report:
    """Go on with the release whose id ``runtime.operation`` is: with all targets that are not done (those that failed once
    more), or with the one that was decided about.

    Raises ``NotFoundError``, ``RefusedError`` where there is nothing to go on with, and ``ConflictError`` where somebody runs
    it. Call it after dead releases were settled.
    """
    began = time.monotonic()
    operation = runtime.operation
    async with runtime.catalog.lock(release_lock(operation), wait_seconds=0, holder=operation) as lock:
        release = await runtime.catalog.release(operation)
        course = _course(release, decision)
        if decision is not None:
            named = [await _undecided(runtime, operation, tenant) for tenant in decision.tenants]
            decision = replace(decision, tenants=tuple(named))
        token = await _take_over(runtime, release, decision)
        runtime = replace(runtime, still_alone=release_still_alone(runtime, lock))
        records = {str(record.tenant): record for record in await runtime.catalog.databases()}
        scripts = await scripts_of(runtime, course)
        targets = await _without_erased(runtime, token, records)
        chosen = [t for t in targets if decision is None or t.tenant in decision.tenants]
        sources = ReleaseSources(project)
        names = tuple(sorted({cohort.source for cohort in course.cohorts}))
        runtime.telemetry.emit("operation.planned", operation, targets=sum(t.status == Status.PENDING for t in chosen))
        for server in runtime.servers.values():
            server.limit(course.conduct.parallel)
        run = ReleaseRun(
            runtime=runtime,
            token=token,
            course=course,
            scripts=scripts,
            records=records,
            hooks=hooks_of(runtime, sources, names, project),
            since=release.operation.started_at,
            own=frozenset(target.tenant for target in targets),
            paused=decision is not None and release.operation.state == State.PAUSED,
            mover=await _mover(runtime, decision) if decision else None,
        )
        ended = await run.carry_out(chosen)
        draft = Draft(course=course, targets=tuple(targets), records=records, scripts=scripts, sources=names)
        return report_of(
            operation,
            draft,
            ended,
            verb=release.operation.verb,
            started_at=release.operation.started_at,
            seconds=time.monotonic() - began,
        )


async def _mover(runtime: Runtime, decision: Decision) -> Mover:
    if not decision.undone:
        return functools.partial(move, begun=decision.begun)
    kept = await snapshots_of(runtime, runtime.operation)
    return putting_back(kept, discard_writes=decision.discard_writes)


async def snapshots_of(runtime: Runtime, operation: str) -> dict[str, KeptRecord]:
    """By tenant, the snapshot that a release took of it and that is kept."""
    kept = await runtime.catalog.kept_databases(operation=operation)
    return {one.tenant: one for one in kept if one.kind == "snapshot"}


async def _without_erased(runtime: Runtime, token: int, records: Mapping[str, DatabaseRecord]) -> list[TargetRecord]:
    """The release's targets; those that were erased since, or are being erased, are skipped from now on."""
    targets = await runtime.catalog.operation_targets(runtime.operation)
    erased = {one.tenant for one in await runtime.catalog.erasures()}
    left = {
        t.tenant: replace(t, status=str(Status.SKIPPED), error=None, detail="erased since")
        for t in targets
        if t.tenant in erased and t.status == Status.PENDING
    }
    if left:
        await runtime.catalog.record_moves(runtime.operation, list(left.values()), token=token)
    known = records.keys() - erased
    return [left.get(target.tenant, target) for target in targets if target.tenant in known or target.tenant in left]


def _course(release: ReleaseRecord, decision: Decision | None) -> Course:
    operation = release.operation
    if release.lock != release_lock(operation.id):
        raise RefusedError(f"operation {operation.id} is a {operation.verb}, not a release", hint="run the command again")
    if operation.state not in states_with(Event.RESUME):
        raise RefusedError(f"operation {operation.id} is {operation.state}: there is nothing to go on with")
    course = Course.from_json(release.plan)
    if course.kind is Kind.ATOMIC and (decision is None or release.decision != "commit"):
        raise RefusedError(
            f"operation {operation.id} was all or none, and none was changed",
            hint="`manor operation retry` votes anew",
        )
    if decision is None:
        return course
    # Others that failed or wait for a decision are no reason to leave this one as it is.
    return replace(course, kind=Kind.ROLLING, conduct=replace(course.conduct, max_failures=None))


async def _take_over(runtime: Runtime, release: ReleaseRecord, decision: Decision | None) -> int:
    operation = release.operation.id
    details = {"tenant": ", ".join(decision.tenants), "as": decision.taken} if decision else {}
    event = AuditEvent(actor=runtime.actor, action="release.resume", subject=operation, details=details)
    token = await runtime.catalog.take_over(
        operation,
        actor=runtime.actor,
        states=states_with(Event.RESUME),
        reopen=() if decision else REOPENED,
        tenants=list(decision.tenants) if decision else [],
        audit=[event],
    )
    if token is None:
        raise RefusedError(f"operation {operation} has just ended or been resumed elsewhere")
    return token


async def _undecided(runtime: Runtime, operation: str, name: str) -> str:
    """The tenant that ``name`` (its id, the short one where that is unique, or its database) means, which needs a decision."""
    targets: list[TargetRecord] = await runtime.catalog.operation_targets(operation)
    found = [t for t in targets if name in (t.tenant, t.database)] or [t for t in targets if t.tenant.endswith(f"/{name}")]
    if not found:
        raise NotFoundError(
            f"operation {operation} has no target {name!r}", hint=f"`manor operation show {operation}` lists them"
        )
    if len(found) > 1:
        raise InputError(f"{name!r} means several targets", hint=f"name one of them: {', '.join(t.tenant for t in found)}")
    if found[0].status != Status.NEEDS_DECISION:
        raise RefusedError(
            f"{found[0].tenant} is {found[0].status}: there is nothing to decide", hint=f"`manor operation resume {operation}`"
        )
    return found[0].tenant


async def scripts_of(runtime: Runtime, course: Course) -> Scripts:
    """The migrations of a release as they were when it began."""
    wanted = {step.checksum for cohort in course.cohorts for step in cohort.steps}
    found = await runtime.catalog.scripts(wanted)
    return {key: migration_from(key[0], body) for key, body in found.items()}
