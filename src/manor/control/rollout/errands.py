"""Errands: one thing done for each of several tenants, each by itself. Backups, restores, drills and erasures are errands.

An errand is journaled as a release is: an operation with a lock and a token, one outcome per target, and claims where it must
not meet another operation on the same tenant. It differs in what its death leaves: no version to look up, so it is called
interrupted, and what its targets' databases need (a door that was closed, a copy that nobody knows) is found by their markers.
Running the same command again is the way on.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from manor.control.audit import anchor_head
from manor.control.catalog.records import AuditEvent, DatabaseRecord, OperationRecord, ReleaseRecord, TargetRecord
from manor.control.rollout.alone import release_still_alone
from manor.control.rollout.release.move import target_of
from manor.control.rollout.release.recorder import Recorder
from manor.control.rollout.release.swap_recovery import recover_swaps
from manor.control.rollout.release.work import closed, count, ended
from manor.control.rollout.report import Report
from manor.control.rollout.retry import ATTEMPTS, retrying, until_recorded
from manor.control.rollout.states import State, states_before
from manor.control.runtime import Runtime
from manor.control.steps import Failure, Outcome, Status
from manor.errors import Code, EngineError, ManorError

_LOCK = "errand "
_GATHER_SECONDS = 0.2
"""How long an outcome may wait for others to be written with it: writing one down costs as much as a part of the errand."""
_PROOF_SECONDS = 1.0
"""For how long it is believed that nobody has taken over an errand that only reads."""
LEFT = "left when the operation was interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done for each tenant."""

    verb: str
    """As the journal and the report call it: ``backup``, ``restore``."""
    action: str
    """As the audit log calls it: ``tenant.backup``."""
    source: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for, without secrets."""
    parallel: int = 4
    """Targets at once per server."""
    claims: bool = True
    """Whether a tenant is held against other operations meanwhile. What only reads does not, so that it works while a release
    is paused or soaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What one target's errand has to tell."""

    detail: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    moved: DatabaseRecord | None = None
    """The database's record, where its version, golden or fingerprint is another one now."""
    status: Status = Status.SUCCESS


Act = Callable[[Runtime, DatabaseRecord], Awaitable[Done]]
"""Does it for one tenant. Raises ``ManorError`` or ``TimeoutError`` where that failed, with the tenant as it was before."""


def errand_lock(operation: str) -> str:
    """The lock that the runner of an errand holds."""
    return f"{_LOCK}{operation}"


def is_errand(record: ReleaseRecord) -> bool:
    """Whether an operation of the journal is an errand."""
    return record.lock.startswith(_LOCK)


async def run_errands(runtime: Runtime, order: Order, records: Sequence[DatabaseRecord], act: Act) -> Report:
    """Do it for all of them, as many at once as ``order.parallel`` allows on each server; every target has its outcome.

    Raises ``ConflictError`` before anything is done where ``order.claims`` and another operation holds one of the tenants, and
    later only what keeps the outcomes from being recorded.
    """
    began, started_at = time.monotonic(), runtime.now()
    operation = runtime.operation
    targets = [_target(record, position) for position, record in enumerate(records)]
    async with runtime.catalog.lock(errand_lock(operation), wait_seconds=0, holder=operation) as lock:
        token = await _begin(runtime, order, targets)
        prove = release_still_alone(runtime, lock)
        runtime = replace(runtime, still_alone=prove if order.claims else _now_and_then(prove))
        run = _Run(
            runtime=runtime, order=order, act=act, recorder=Recorder(runtime, token, gather_seconds=_GATHER_SECONDS), slots={}
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run.one(*pair)) for pair in zip(targets, records, strict=True)]
        await run.recorder.flush()
        results = [task.result() for task in tasks]
        problems = await _end(runtime, order, results, token)
    return Report(
        operation=operation,
        verb=order.verb,
        source=order.source,
        started_at=started_at,
        duration_seconds=time.monotonic() - began,
        outcomes=tuple(_outcome(result, record) for result, record in zip(results, records, strict=True)),
        problems=problems,
    )


def _now_and_then(prove: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """The same proof, asked for at most once in ``_PROOF_SECONDS``."""
    last = -_PROOF_SECONDS

    async def proved() -> None:
        nonlocal last
        if time.monotonic() - last >= _PROOF_SECONDS:
            await prove()
            last = time.monotonic()

    return proved


async def settle_errand(runtime: Runtime, record: ReleaseRecord) -> Mapping[str, int]:
    """End an errand whose runner died; ``record`` is under a token of ours. Returns the number of targets per status.

    Its sessions are ended, closed databases are opened and half-made copies dropped on every server that answers; the others
    are looked at by the next settling (``recover_forgotten``).
    """
    operation = record.operation.id
    targets = await until_recorded(runtime, lambda: runtime.catalog.operation_targets(operation))
    for name in sorted({target.server for target in targets} & runtime.servers.keys()):
        await _tidy(runtime, operation, name)
    summary = count(closed(targets))
    event = AuditEvent(actor=runtime.actor, action="operation.interrupted", subject=operation, details=summary)
    end = functools.partial(
        runtime.catalog.end_release,
        operation,
        State.INTERRUPTED,
        summary,
        states=states_before(State.INTERRUPTED),
        detail=LEFT,
        token=record.token,
        audit=[event],
    )
    await until_recorded(runtime, end)
    runtime.telemetry.emit("operation.interrupted", runtime.operation, operation)
    return summary


async def _tidy(runtime: Runtime, operation: str, name: str) -> None:
    server = runtime.servers[name]
    try:
        await retrying(functools.partial(server.end_sessions, operation), attempts=ATTEMPTS)
        await recover_swaps(runtime, operation, name)
    except ManorError as error:
        if not error.transient:
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Errands under way."""

    runtime: Runtime
    order: Order
    act: Act
    recorder: Recorder
    slots: dict[str, asyncio.Semaphore]
    """By server."""

    async def one(self, target: TargetRecord, record: DatabaseRecord) -> TargetRecord:
        """One target, from its turn to its outcome, which is on its way into the journal."""
        async with self.slots.setdefault(record.server, asyncio.Semaphore(self.order.parallel)):
            if self.runtime.stop.requested:
                result, moved = ended(target, Status.NOT_STARTED, detail="stopped before it was begun"), None
            else:
                result, moved = await self._carried_out(target, record)
        self.recorder.put(result, moved, None if result.status == Status.NOT_STARTED else self._event(result))
        self.runtime.telemetry.emit("target.ended", self.runtime.operation, target.tenant, status=result.status)
        return result

    async def _carried_out(self, target: TargetRecord, record: DatabaseRecord) -> tuple[TargetRecord, DatabaseRecord | None]:
        began = time.monotonic()
        self.runtime.telemetry.emit("target.begun", self.runtime.operation, target.tenant)
        try:
            await self.runtime.still_alone()
            _require_server(self.runtime, record)
            done = await self.act(self.runtime, record)
        except Exception as error:  # a fault of ours too: one tenant never ends the others
            failure = _failure(error, record)
            return ended(target, Status.ERROR, seconds=time.monotonic() - began, failure=failure), None
        seconds = time.monotonic() - began
        return ended(target, done.status, seconds=seconds, detail=done.detail, facts=done.facts), done.moved

    def _event(self, result: TargetRecord) -> AuditEvent:
        details = {"status": result.status, "detail": result.detail, **result.facts}
        return AuditEvent(actor=self.runtime.actor, action=self.order.action, subject=result.tenant, details=details)


async def _begin(runtime: Runtime, order: Order, targets: Sequence[TargetRecord]) -> int:
    record = OperationRecord(
        id=runtime.operation,
        verb=order.verb,
        state=State.RUNNING,
        source=order.source,
        digest="",
        started_at=runtime.now(),
        actor=runtime.actor,
        arguments=order.arguments,
    )
    details = {"targets": len(targets), **order.arguments}
    token = await runtime.catalog.begin_release(
        record,
        lock=errand_lock(runtime.operation),
        plan={"errand": order.verb},
        targets=targets,
        claims=order.claims,
        audit=[AuditEvent(actor=runtime.actor, action=f"{order.verb}.begin", subject=runtime.operation, details=details)],
    )
    runtime.telemetry.emit("operation.planned", runtime.operation, targets=len(targets))
    runtime.telemetry.emit("operation.started", runtime.operation, order.source)
    return token


async def _end(runtime: Runtime, order: Order, results: Sequence[TargetRecord], token: int) -> tuple[Failure, ...]:
    """Record and anchor the end. What fails here is returned: the targets are done, and their report must appear."""
    state = _state(results)
    summary = count(results)
    event = AuditEvent(actor=runtime.actor, action=f"{order.verb}.end", subject=runtime.operation, details=summary)
    end = functools.partial(
        runtime.catalog.end_release,
        runtime.operation,
        state,
        summary,
        states=states_before(state),
        token=token,
        audit=[event],
    )
    try:
        await until_recorded(runtime, end)
        runtime.telemetry.emit("operation.recorded", runtime.operation, state)
        await until_recorded(runtime, lambda: anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation))
        runtime.telemetry.emit("audit.anchored", runtime.operation, order.source)
    except ManorError as error:
        return (Failure.of(error),)
    runtime.telemetry.emit("operation.ended", runtime.operation, state)
    return ()


def _state(results: Sequence[TargetRecord]) -> State:
    statuses = {result.status for result in results}
    if Status.NOT_STARTED in statuses:
        return State.INTERRUPTED
    return State.SUCCEEDED if statuses <= {Status.SUCCESS, Status.SKIPPED} else State.FAILED


def _require_server(runtime: Runtime, record: DatabaseRecord) -> None:
    if record.server not in runtime.servers:
        message = f"server {record.server}, which holds {record.database}, is not among the deployments"
        raise EngineError(message, hint="put it back into environ.yaml", code=Code.NOT_FOUND)


def _failure(error: Exception, record: DatabaseRecord) -> Failure:
    if isinstance(error, TimeoutError):
        message = f"database {record.database} did not answer in time"
        error = EngineError(message, hint="is its server overloaded, or the network gone?", code=Code.TIMEOUT)
    return Failure.of(error)


def _target(record: DatabaseRecord, position: int) -> TargetRecord:
    return TargetRecord(
        tenant=str(record.tenant),
        database=record.database,
        server=record.server,
        group=record.group,
        template=record.template,
        status=str(Status.PENDING),
        duration_seconds=0.0,
        error=None,
        detail="",
        facts={},
        position=position,
    )


def _outcome(result: TargetRecord, record: DatabaseRecord) -> Outcome:
    error = result.error
    return Outcome(
        target=replace(target_of(record), order=result.position or 0),
        status=Status(result.status),
        duration_seconds=result.duration_seconds,
        failure=Failure(code=Code(error["code"]), message=error["message"], hint=error["hint"]) if error else None,
        detail=result.detail,
        facts=result.facts,
    )
