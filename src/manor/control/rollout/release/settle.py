"""Settles releases whose runner died: what was decided is carried through, what was not is rolled back, and every target gets
the status that its own database proves.

A release is dead if the journal calls it running and its lock is free. Its sessions may live on: they are ended first, and only
then are prepared transactions looked at, so that one which is still being prepared is not taken for one in doubt.

Its runner itself may live, behind a network that failed or on a machine that slept. So settling begins with a token of its own:
from then on the runner can neither decide nor record anything. The same token goes into the fence of every database that was
begun, before its history is believed: what was found there stays so.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from manor.control.catalog.locks import HeldLock
from manor.control.catalog.records import AuditEvent, DatabaseRecord, ReleaseRecord, TargetRecord
from manor.control.engines.driver import ServerDriver
from manor.control.engines.releases import HistoryRow
from manor.control.migrate.cohort import Cohort
from manor.control.rollout.provision import operation_token
from manor.control.rollout.release.doubts import end_doubts
from manor.control.rollout.release.swap_recovery import recover_forgotten, recover_swaps
from manor.control.rollout.release.work import count_closed, ended, gid_of, gid_prefix
from manor.control.rollout.retry import ATTEMPTS, retrying, until_recorded
from manor.control.rollout.states import State, states_before
from manor.control.runtime import Runtime
from manor.control.steps import Failure, Status
from manor.errors import Code, ConflictError, EngineError, ManorError

LEFT = "left when the operation was interrupted"


def release_lock(operation: str) -> str:
    """The lock that the runner of a release holds."""
    return f"operation {operation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of a dead release."""

    operation: str
    state: str
    committed: int = 0
    rolled_back: int = 0
    counts: Mapping[str, int]
    unreachable: tuple[str, ...] = ()
    """Servers that did not answer: what is prepared there stays in doubt until the next settling."""


async def settle_all(runtime: Runtime) -> list[Settled]:
    """Settle every dead release; those that live, or that somebody else settles just now, are left alone."""
    settled = []
    for operation in await until_recorded(runtime, runtime.catalog.running_releases):
        if operation == runtime.operation:
            continue
        async with _alone(runtime, operation) as held:
            if held is None:
                continue
            release = await _take_over(runtime, operation)
            if release is not None:
                settled.append(await _settle(runtime, release))
    await end_doubts(runtime)
    await recover_forgotten(runtime)
    return settled


@contextlib.asynccontextmanager
async def _alone(runtime: Runtime, operation: str) -> AsyncIterator[HeldLock | None]:
    """The lock of a dead release, or None where its runner lives."""
    async with contextlib.AsyncExitStack() as stack:
        lock = runtime.catalog.lock(release_lock(operation), wait_seconds=0, holder=runtime.operation)
        try:
            held = await stack.enter_async_context(lock)
        except ConflictError:
            yield None
            return
        yield held


async def _take_over(runtime: Runtime, operation: str) -> ReleaseRecord | None:
    """A dead release under a new token, and only then its decision: nobody else can make one any more. None where it has ended
    meanwhile."""
    release = await runtime.catalog.release(operation)
    take = functools.partial(
        runtime.catalog.take_over, operation, actor=release.operation.actor, states=[State.RUNNING], reopen=()
    )
    token = await until_recorded(runtime, take)
    return await until_recorded(runtime, lambda: runtime.catalog.release(operation)) if token is not None else None


async def _settle(runtime: Runtime, release: ReleaseRecord) -> Settled:
    operation = release.operation.id
    await runtime.catalog.end_sessions(operation)
    targets = await runtime.catalog.operation_targets(operation)
    cohorts = {c["number"]: Cohort.from_json(c) for c in release.plan.get("cohorts", ())}
    records = {str(r.tenant): r for r in await runtime.catalog.databases()}
    one = _Settling(runtime, release, cohorts, records)
    unreachable = []
    for name in sorted({target.server for target in targets}):
        here = [target for target in targets if target.server == name]
        try:
            await one.server(name, here)
        except ManorError as error:
            unreachable.append(name)
            one.results += [one.unseen(target, error) for target in here if one.is_open(target)]
    return await one.finish(targets, tuple(unreachable))


class _Settling:
    """One release being settled."""

    def __init__(
        self,
        runtime: Runtime,
        release: ReleaseRecord,
        cohorts: Mapping[int, Cohort],
        records: Mapping[str, DatabaseRecord],
    ) -> None:
        self.runtime = runtime
        self.release = release
        self.cohorts = cohorts
        self.records = records
        self.results: list[TargetRecord] = []
        self.moved: list[DatabaseRecord] = []
        self.committed = 0
        self.rolled_back = 0

    @property
    def operation(self) -> str:
        return self.release.operation.id

    @property
    def commits(self) -> bool:
        """Whether it was decided to commit."""
        return self.release.decision == "commit"

    def is_open(self, target: TargetRecord) -> bool:
        """Whether nobody has recorded yet what became of it."""
        undecided = target.status == Status.NEEDS_DECISION and self.commits
        return target.status in (Status.PENDING, Status.IN_PROGRESS) or undecided

    async def server(self, name: str, targets: Sequence[TargetRecord]) -> None:
        """Settle one server's targets. Raises where it does not answer."""
        server = self.runtime.servers.get(name)
        if server is None:
            raise EngineError(f"server {name} is not among the deployments", code=Code.NOT_FOUND)
        await retrying(functools.partial(server.end_sessions, self.operation), attempts=ATTEMPTS)
        await recover_swaps(self.runtime, self.operation, name)  # a closed database tells no history
        await self._second_phase(name, targets)
        for target in targets:
            if not self.is_open(target):
                continue
            if target.status == Status.PENDING and not self._was_voted_on(target):
                continue  # never begun
            look = functools.partial(self._fenced, server, target, targets)
            self._judge(target, await retrying(look, attempts=ATTEMPTS))
        await self._drop_goldens_under_way(server)

    def _was_voted_on(self, target: TargetRecord) -> bool:
        """Whether the decision to commit is about it: not for tenants that were made meanwhile and follow one by one."""
        return self.commits and target.wave != 0

    async def _fenced(
        self, server: ServerDriver, target: TargetRecord, targets: Sequence[TargetRecord]
    ) -> Sequence[HistoryRow]:
        """The target's history, which its runner cannot change any more, should it live after all."""
        try:
            return await server.releases.fence(target.database, self.operation, self.release.token)
        except EngineError as error:
            if error.code is Code.CONFLICT and not error.transient:  # another operation has been at work since
                return await server.releases.history(target.database)
            if error.code is Code.TIMEOUT:  # prepared after we looked: it holds the fence
                await self._second_phase(target.server, targets)
            raise

    async def _drop_goldens_under_way(self, server: ServerDriver) -> None:
        """Copies of goldens that it was at work on; their names are its own."""
        prefix, suffix = f"manor_new_{self.runtime.catalog.id}_", f"_{operation_token(self.operation)}"
        for name in await server.databases():
            if name.startswith((f"{prefix}golden_", f"{prefix}tried_")) and name.endswith(suffix):
                await retrying(functools.partial(server.drop_database, name), attempts=ATTEMPTS)
                self.runtime.telemetry.emit("leftover.dropped", self.runtime.operation, name, server=server.name)

    async def _second_phase(self, name: str, targets: Sequence[TargetRecord]) -> None:
        """Commit or roll back what is prepared, as decided; nothing decided means rolled back."""
        releases = self.runtime.servers[name].releases
        prefix = gid_prefix(self.runtime.catalog.id, self.operation)
        found = await retrying(functools.partial(releases.prepared, prefix), attempts=ATTEMPTS)
        known = {gid_of(self.runtime.catalog.id, self.operation, target.tenant) for target in targets}
        async with releases.ballot(connections=0) as ballot:
            for prepared in found:
                verb = ballot.commit if self.commits and prepared.gid in known else ballot.roll_back
                done = await retrying(functools.partial(verb, prepared.database, prepared.gid), attempts=ATTEMPTS)
                self.committed += done and verb == ballot.commit
                self.rolled_back += done and verb == ballot.roll_back
                self.runtime.telemetry.emit("release.settled", self.operation, prepared.database)

    def _judge(self, target: TargetRecord, rows: Sequence[HistoryRow]) -> None:
        cohort = self.cohorts[target.cohort or 0]
        present = {(row.version, row.checksum) for row in rows}
        after = {(version, checksum) for version, checksum, _ in cohort.after}
        before = {(version, checksum) for version, checksum, _ in cohort.before}
        if present == after:
            record = self.records[target.tenant]
            version, golden = cohort.version, cohort.golden_to
            self.moved.append(replace(record, version=version, golden=golden, fingerprint=cohort.fingerprint))
            detail = f"{cohort.version_before or 'none'} → {cohort.version or 'none'}, found done"
            self.results.append(ended(target, Status.SUCCESS, detail=detail))
        elif self._was_voted_on(target):
            failure = Failure(
                code=Code.CORRUPT,
                message="it was decided to commit, but its transaction is neither prepared nor committed",
                hint="somebody rolled it back by hand: `manor operation decide OPERATION --tenant-id T --as again` moves it",
            )
            self.results.append(ended(target, Status.NEEDS_DECISION, failure=failure))
        elif present == before or _without_checksums(rows) or not self._is_partial(cohort, present):
            self.results.append(ended(target, Status.NOT_STARTED, detail=LEFT))
        else:
            failure = Failure(
                code=Code.INTERRUPTED,
                message="some of its migrations are done, others not",
                hint="`manor operation resume` goes on from there",
            )
            self.results.append(ended(target, Status.NEEDS_DECISION, failure=failure))

    def _is_partial(self, cohort: Cohort, present: set[tuple[str, str]]) -> bool:
        steps = {(step.version, step.checksum) for step in cohort.steps if not step.takes_back}
        gone = {(step.version, step.checksum) for step in cohort.steps if step.takes_back}
        return bool(steps & present) or bool(gone - present and gone)

    def unseen(self, target: TargetRecord, error: ManorError) -> TargetRecord:
        """A target of a server that does not answer."""
        failure = Failure(code=error.code, message=error.message, hint="`manor operation recover` once it answers again")
        return ended(target, Status.NEEDS_DECISION, failure=failure)

    async def finish(self, targets: Sequence[TargetRecord], unreachable: tuple[str, ...]) -> Settled:
        """Record it all. With a server unseen the release stays running, so that the next settling comes back to it."""
        record = functools.partial(
            self.runtime.catalog.record_moves, self.operation, self.results, moved=self.moved, token=self.release.token
        )
        await until_recorded(self.runtime, record)
        await self._put_heads()
        by_tenant = {target.tenant: target for target in targets} | {target.tenant: target for target in self.results}
        left = [t for t in by_tenant.values() if t.status not in (Status.SUCCESS, Status.SKIPPED)]
        state = State.SUCCEEDED if self.commits and not left else State.INTERRUPTED
        state = State.NEEDS_DECISION if any(target.status == Status.NEEDS_DECISION for target in left) else state
        counts = count_closed(list(by_tenant.values()))
        if not unreachable:
            await self._end(state, counts)
        return Settled(
            operation=self.operation,
            state=str(State.RUNNING if unreachable else state),
            committed=self.committed,
            rolled_back=self.rolled_back,
            counts=counts,
            unreachable=unreachable,
        )

    async def _put_heads(self) -> None:
        """New tenants get the version that all tenants of a place came to, pinned or held back ones aside; where these differ,
        the next release says which."""
        places = {(cohort.source, cohort.template) for cohort in self.cohorts.values()}
        protected = set(self.release.plan.get("protected", ()))
        versions: dict[tuple[str, str], set[str]] = {}
        for record in await until_recorded(self.runtime, self.runtime.catalog.databases):
            place = (record.source, record.template)
            if place in places and record.state == "ready" and str(record.tenant) not in protected:
                versions.setdefault(place, set()).add(record.version)
        heads = [(source, template, min(found)) for (source, template), found in versions.items() if len(found) == 1]
        await until_recorded(self.runtime, lambda: self.runtime.catalog.put_heads(self.operation, heads))

    async def _end(self, state: State, counts: Mapping[str, int]) -> None:
        details = {"state": str(state), "committed": self.committed, "rolled_back": self.rolled_back}
        event = AuditEvent(actor=self.runtime.actor, action="operation.interrupted", subject=self.operation, details=details)
        end = functools.partial(
            self.runtime.catalog.end_release,
            self.operation,
            state,
            counts,
            states=states_before(state),
            detail=LEFT,
            token=self.release.token,
            audit=[event],
        )
        await until_recorded(self.runtime, end)
        self.runtime.telemetry.emit("operation.interrupted", self.runtime.operation, self.operation)


def _without_checksums(rows: Sequence[HistoryRow]) -> bool:
    return bool(rows) and not any(row.checksum for row in rows)
