"""``manor operation list|show|pause|abort|recover``: what ran, what runs, and what is in doubt."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from manor.control.catalog.records import AuditEvent, OperationRecord, ReleaseRecord, TargetRecord
from manor.control.rollout.release.settle import Settled, release_lock, settle_all
from manor.control.rollout.release.work import closed, count, gid_prefix, operation_of_gid
from manor.control.rollout.states import Event, State, states_before, states_with
from manor.control.rollout.strategy import Kind
from manor.control.runtime import Runtime
from manor.control.steps import Status
from manor.errors import ConflictError, ManorError, RefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class InDoubt:
    """A prepared transaction of ours that nobody has ended yet."""

    operation: str
    server: str
    database: str
    since: dt.datetime

    def age(self, now: dt.datetime) -> float:
        """Seconds."""
        return max(0.0, (now - self.since).total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationView:
    """One operation with all its targets."""

    release: ReleaseRecord
    targets: tuple[TargetRecord, ...]
    in_doubt: tuple[InDoubt, ...] = ()
    alive: bool = False
    """Whether somebody runs it just now."""

    @property
    def summary(self) -> dict[str, int]:
        """Number of targets per status; adds up to all of them."""
        return count(self.targets)


async def list_operations(runtime: Runtime, *, limit: int) -> tuple[list[OperationRecord], list[InDoubt]]:
    """The newest operations, and what is in doubt on the servers that answer."""
    return await runtime.catalog.operations(limit), await in_doubt(runtime)


async def in_doubt(runtime: Runtime) -> list[InDoubt]:
    """Prepared transactions of this catalog's releases, oldest first. A server that does not answer is left out."""
    found: list[InDoubt] = []
    prefix = gid_prefix(runtime.catalog.id)
    for name, server in runtime.servers.items():
        with contextlib.suppress(ManorError):
            for prepared in await server.releases.prepared(prefix):
                operation = operation_of_gid(prepared.gid)
                found.append(InDoubt(operation=operation, server=name, database=prepared.database, since=prepared.since))
    return sorted(found, key=lambda one: one.since)


async def show_operation(runtime: Runtime, operation: str) -> OperationView:
    """One operation. Raises ``NotFoundError`` with a suggestion."""
    release = await runtime.catalog.release(operation)
    targets = await runtime.catalog.operation_targets(operation)
    doubtful = [one for one in await in_doubt(runtime) if one.operation == operation]
    return OperationView(
        release=release,
        targets=tuple(targets),
        in_doubt=tuple(doubtful),
        alive=release.operation.state == "running" and await is_alive(runtime, release),
    )


async def is_alive(runtime: Runtime, release: ReleaseRecord) -> bool:
    """Whether its runner's lock is held."""
    try:
        async with runtime.catalog.lock(release.lock, wait_seconds=0, holder=runtime.operation):
            return False
    except ConflictError:
        return True


async def ask(runtime: Runtime, operation: str, wanted: str) -> str:
    """Ask a release to ``pause`` or ``abort``; returns what that comes to. Raises ``RefusedError`` where it is too late."""
    release = await runtime.catalog.release(operation)
    _require_release(release)
    state = release.operation.state
    event = AuditEvent(actor=runtime.actor, action=f"release.{wanted}", subject=operation)
    if state == "running" and await is_alive(runtime, release):
        if await runtime.catalog.want(operation, wanted, audit=[event]):
            return "asked: targets under way are brought to their end first"
        raise RefusedError(
            f"operation {operation} is decided ({release.decision or 'just now'}): it cannot be stopped any more",
            hint="`manor operation watch` shows its end; `manor operation undo` takes it back",
        )
    if state == "running":
        await settle_all(runtime)
        release = await runtime.catalog.release(operation)
        state = release.operation.state
        if state == "running":
            raise RefusedError(
                f"operation {operation} is dead, and some of its targets cannot be looked at: their server does not answer",
                hint="`manor operation recover` tells which, and settles it once it answers again",
            )
    if wanted == "abort" and state in states_with(Event.ABORT):
        targets = await runtime.catalog.operation_targets(operation)
        _refuse_undecided(release, targets)
        sources = states_before(State.ABORTED)
        await runtime.catalog.end_release(
            operation, State.ABORTED, count(closed(targets)), states=sources, detail="aborted", audit=[event]
        )
        return "aborted; what was done stays, `manor operation undo` takes it back"
    raise RefusedError(f"operation {operation} is {state}", hint=_instead(state))


def _instead(state: str) -> str:
    if state == State.NEEDS_DECISION:
        return "`manor operation resume` looks at its databases again, `manor operation decide` says what happened"
    resumable = state in states_with(Event.RESUME)
    return "nobody runs it: `manor operation resume` goes on, `manor operation abort` ends it" if resumable else "it has ended"


def _refuse_undecided(release: ReleaseRecord, targets: Sequence[TargetRecord]) -> None:
    """Their tenants would stay between two versions, and held by an operation that nobody can go on with."""
    operation = release.operation.id
    open_ended = [target.tenant for target in targets if target.status == Status.NEEDS_DECISION]
    changes_nobody = release.plan.get("kind") == Kind.ATOMIC and release.decision != "commit"
    if open_ended and not changes_nobody:
        raise RefusedError(
            f"operation {operation} left tenants between two versions: {', '.join(open_ended[:5])}",
            hint=f"`manor operation resume {operation}` goes on from there, or `manor operation decide` where it asks",
        )


def _require_release(release: ReleaseRecord) -> None:
    if release.lock != release_lock(release.operation.id):
        raise RefusedError(
            f"operation {release.operation.id} is a {release.operation.verb}, not a release",
            hint=f"Ctrl-C stops a {release.operation.verb}; running it again goes on",
        )


async def recover_all(runtime: Runtime) -> Sequence[Settled]:
    """Settle every release whose runner died."""
    return await settle_all(runtime)
