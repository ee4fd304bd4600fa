"""Moves one target by itself: hooks, its steps, the proof, the outcome. For every strategy that goes tenant by tenant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from manor.control.catalog.records import AuditEvent, DatabaseRecord, TargetRecord
from manor.control.engines.releases import Change, Changed, ReleaseDriver, UnclearError
from manor.control.migrate.cohort import Segment
from manor.control.rollout.hook_context import HookContext
from manor.control.rollout.hooks import HookFailed, HookRun
from manor.control.rollout.release.apart import Begun, Undecided, run_apart
from manor.control.rollout.release.whose import by_whom, others_doing
from manor.control.rollout.release.work import Work, ended
from manor.control.rollout.retry import ATTEMPTS, retrying, until_recorded
from manor.control.rollout.verify import recorded_isolation
from manor.control.steps import Failure, Status, Target
from manor.errors import Code, EngineError, ManorError

UPDATE_KINDS = PRE, POST = "pre_update", "post_update"
NEVER_FINISHED = 30.0
"""Seconds beyond the statement timeouts after which a transaction is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What an act has to tell."""

    detail: str
    facts: Mapping[str, object] = field(default_factory=dict)


Act = Callable[[Work, TargetRecord], Awaitable[Done]]
"""What happens to a target between its hooks; raises ``ManorError`` or ``TimeoutError`` where it stays as it was."""


async def move(work: Work, target: TargetRecord, *, begun: Begun = Begun.LOOK, act: Act | None = None) -> TargetRecord:
    """Bring one target to where its cohort goes, or say why not; never raises for what concerns the target alone.

    ``act``: how; by default its steps are run where it stands.
    """
    began = time.monotonic()
    runs: list[HookRun] = []
    try:
        work.require_golden(target)
        runs += await run_hooks(work, target, PRE)
        done = await (act or partial(in_place, begun=begun))(work, target)
        seconds = time.monotonic() - began
        result = ended(target, Status.SUCCESS, seconds=seconds, detail=done.detail, facts=done.facts)
    except Exception as error:  # a fault of ours too: one tenant never ends the others
        result = failed(work, target, error, time.monotonic() - began)
        runs += error.runs if isinstance(error, HookFailed) else ()
    result = await after_hooks(work, result, runs)
    put(work, result)
    return result


def put(work: Work, result: TargetRecord) -> None:
    """Hand an outcome to the recorder, with the new head of a target that was moved."""
    moved = work.moved(result) if is_moved(result) else None
    event = _event(work, result) if moved is not None else None
    work.recorder.put(result, moved, event)
    work.runtime.telemetry.emit("target.ended", work.operation, result.tenant, status=result.status)


def is_moved(target: TargetRecord) -> bool:
    """Whether its steps are done: also where only a hook after them failed."""
    return target.status == Status.SUCCESS or bool(target.facts.get("moved"))


def _event(work: Work, target: TargetRecord) -> AuditEvent:
    cohort = work.cohort(target)
    details = {"from": cohort.version_before, "to": cohort.version, "steps": [f"{s.kind} {s.version}" for s in cohort.steps]}
    return AuditEvent(actor=work.runtime.actor, action="tenant.migrate", subject=target.tenant, details=details)


async def in_place(work: Work, target: TargetRecord, *, begun: Begun = Begun.LOOK) -> Done:
    """Run a target's steps in its own database."""
    segments = work.segments(target)
    if len(segments) > 1 or segments[0].apart:
        await _require_recorded_schema(work, target, segments[0])
    if await run_segments(work, target, segments, begun=begun):
        return Done(detail=detail_of(work, target, True))
    return await done_before(work, target)


async def done_before(work: Work, target: TargetRecord) -> Done:
    """Of one that is found where its cohort goes; where others brought it there, that is a fact of it."""
    history = partial(work.server(target).releases.history, target.database)
    rows = await retrying(history, attempts=ATTEMPTS)
    fact = others_doing(work.cohort(target), rows, work.operation)
    return Done(detail=detail_of(work, target, False) + by_whom(fact), facts=fact)


async def _require_recorded_schema(work: Work, target: TargetRecord, first: Segment) -> None:
    """Raise ``EngineError`` (drift) where somebody changed the database by hand: that would show only at the end, behind steps
    that stay."""
    record, cohort, server = work.records[target.tenant], work.cohort(target), work.server(target).releases
    attempts = work.conduct.attempts
    if first.apart and await retrying(partial(server.begin_apart, target.database, first.change), attempts=attempts) != ():
        return  # some of its statements are done
    look = partial(server.look, target.database, recorded_isolation(record.config))
    seen = await retrying(look, attempts=attempts)
    is_untouched = {(row.version, row.checksum) for row in seen.history} == {(v, c) for v, c, _ in cohort.before}
    if is_untouched and record.fingerprint and (seen.fingerprint != record.fingerprint or not seen.isolated):
        raise EngineError(
            f"database {target.database}: its schema is not the recorded one; nothing was changed",
            hint=f"`manor tenant show {target.tenant} --drift` lists what is different",
            code=Code.DRIFT,
        )


async def run_segments(work: Work, target: TargetRecord, segments: Sequence[Segment], *, begun: Begun = Begun.LOOK) -> bool:
    """Run all segments in ``target.database``; whether any of them found something to do."""
    server, ran = work.server(target).releases, False
    for number, segment in enumerate(segments):
        try:
            if segment.apart:
                ran |= await run_apart(server, target.database, segment.change, begun=begun)
            else:
                ran |= bool((await _apply(server, target.database, segment.change, work.conduct.attempts)).ran)
        except ManorError as error:
            if number and not isinstance(error, Undecided):
                raise _between(segments[:number], error) from error
            raise
    work.runtime.telemetry.emit("target.moved", work.operation, target.tenant)
    return ran


def _between(done: Sequence[Segment], error: ManorError) -> Undecided:
    """A step that failed behind others that are committed."""
    versions = ", ".join(step.version for segment in done for step in segment.change.steps)
    hint = error.hint or "correct what keeps it from going on"
    message = f"{error.message}; {versions} before it is done and stays"
    return Undecided(message, hint=f"{hint}; `manor operation resume` goes on from there", code=error.code, place=error.place)


async def _apply(server: ReleaseDriver, database: str, change: Change, attempts: int) -> Changed:
    """One transaction, tried again where that can help; what it is not known to have done is looked up."""
    unclear = False

    async def once() -> Changed:
        nonlocal unclear
        try:
            async with asyncio.timeout(longest_seconds(change)):
                return await server.apply(database, change)
        except (TimeoutError, UnclearError):
            unclear = True
            raise

    try:
        return await retrying(once, attempts=attempts)
    except (ManorError, TimeoutError) as error:
        if unclear and await _is_done(server, database, change):
            return Changed(ran=tuple(step.version for step in change.steps), fingerprint=change.fingerprint)
        raise error


async def _is_done(server: ReleaseDriver, database: str, change: Change) -> bool:
    """Whether a change was committed, once nobody is at work on it any more. Raises ``Undecided`` where that cannot be seen."""
    try:
        rows = await retrying(partial(server.fence, database, change.operation, change.token), attempts=ATTEMPTS)
    except ManorError as error:
        raise Undecided(
            f"database {database}: its transaction may be committed, and now it cannot be asked: {error.message}",
            hint="`manor operation resume` looks once more",
            code=error.code,
        ) from error
    present = {row.version for row in rows}
    return all((step.version in present) is not step.down for step in change.steps)


def longest_seconds(change: Change) -> float:
    """How long a change may take: PostgreSQL's limit is for each statement, and beyond all limits it does not even say no."""
    statements = sum(len(step.statements) for step in change.steps)
    return max(1, statements) * change.statement_timeout_seconds + NEVER_FINISHED


def detail_of(work: Work, target: TargetRecord, ran: bool) -> str:
    """From which version to which."""
    cohort = work.cohort(target)
    versions = f"{cohort.version_before or 'none'} → {cohort.version or 'none'}"
    return versions if ran else f"{versions}, was done before"


def failed(work: Work, target: TargetRecord, error: BaseException, seconds: float) -> TargetRecord:
    """A target with the error that it ended with, and who was in its way."""
    if isinstance(error, TimeoutError):
        message = f"database {target.database} did not answer in time"
        error = EngineError(message, hint="is its server overloaded, or the network gone?", code=Code.TIMEOUT)
    if isinstance(error, ManorError):
        error = work.watch.explain(target.server, target.database, error)
    status = Status.NEEDS_DECISION if isinstance(error, Undecided) else Status.ERROR
    return ended(target, status, seconds=seconds, failure=Failure.of(error))


async def run_hooks(work: Work, target: TargetRecord, kind: str, after: TargetRecord | None = None) -> tuple[HookRun, ...]:
    """Run a target's hooks of one kind; ``after``: what became of it. Raises ``HookFailed``."""
    runner = work.hooks.get(work.cohort(target).source)
    if runner is None or not runner.has(kind):
        return ()
    record = work.records[target.tenant]

    async def url() -> str:
        urls = await until_recorded(work.runtime, lambda: work.runtime.catalog.urls([record.tenant]))
        return urls[record.tenant]

    return await runner.run(kind, hook_context(work, target, after), url)


def hook_context(work: Work, target: TargetRecord, after: TargetRecord | None) -> HookContext:
    """What a program of the user's is told about a target; ``after``: what became of it."""
    cohort = work.cohort(target)
    error = after.error if after is not None else None
    failure = Failure(code=Code(error["code"]), message=error["message"], hint=error["hint"]) if error else None
    return HookContext(
        operation=work.operation,
        verb="undo" if all(step.takes_back for step in cohort.steps) else "migrate",
        target=target_of(work.records[target.tenant]),
        attempt=target.attempt + 1,
        from_version=cohort.version_before,
        to_version=cohort.version,
        versions=tuple(step.version for step in cohort.steps),
        status=Status(after.status) if after is not None else None,
        failure=failure,
    )


async def after_hooks(work: Work, result: TargetRecord, runs: list[HookRun]) -> TargetRecord:
    """Run the hooks after; one that fails or cannot be run makes a target that was done an error, and its new version stays."""
    try:
        runs += await run_hooks(work, result, POST, after=result)
    except ManorError as error:
        runs += error.runs if isinstance(error, HookFailed) else ()
        if result.status == Status.SUCCESS:
            hint = "; ".join(text for text in (error.hint, "its migrations are done and stay") if text)
            failure = replace(Failure.of(error), hint=hint)
            result = ended(
                result, Status.ERROR, seconds=result.duration_seconds, failure=failure, facts={**result.facts, "moved": True}
            )
    return replace(result, facts={**result.facts, "hooks": [run.to_json() for run in runs]}) if runs else result


def target_of(record: DatabaseRecord, kind: str = "tenant_group") -> Target:
    """A recorded database as a target."""
    return Target(
        tenant=record.tenant,
        database=record.database,
        group=record.group,
        kind=kind,
        template=record.template,
        server=record.server,
        variables=record.variables,
    )
