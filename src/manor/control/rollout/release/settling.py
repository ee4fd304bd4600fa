"""One dead release being settled: server by server, and on each of them target by target.

What cannot be looked at keeps nobody else waiting. Where nothing was decided, an all-or-none release changes nobody any more:
its targets are not started, and what is prepared on a server that does not answer is rolled back as soon as it does
(``doubts``). Else a target whose server is away stays as it is, and the release running, until somebody can look; one whose
database is gone or lets nobody in needs a decision.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from manor.control.catalog.records import AuditEvent, DatabaseRecord, ReleaseRecord, TargetRecord
from manor.control.engines.driver import ServerDriver
from manor.control.engines.releases import HistoryRow
from manor.control.migrate.cohort import Cohort
from manor.control.rollout.release.swap_recovery import recover_swaps
from manor.control.rollout.release.whose import by_whom, others_doing
from manor.control.rollout.release.work import UNDECIDED, closed, count, ended, gid_of, gid_prefix
from manor.control.rollout.retry import ATTEMPTS, retrying, until_recorded
from manor.control.rollout.states import State, states_before
from manor.control.rollout.strategy import Kind
from manor.control.runtime import Runtime, operation_token
from manor.control.steps import Failure, Status
from manor.errors import Code, EngineError, ManorError

LEFT = "left when the operation was interrupted"


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


class Settling:
    """One release being settled."""

    def __init__(self, runtime: Runtime, release: ReleaseRecord, records: Mapping[str, DatabaseRecord]) -> None:
        self.runtime = runtime
        self.release = release
        self.records = records
        self._cohorts = {c["number"]: Cohort.from_json(c) for c in release.plan.get("cohorts", ())}
        self._results: list[TargetRecord] = []
        self._moved: list[DatabaseRecord] = []
        self._waiting: dict[str, TargetRecord] = {}
        """Targets that cannot be looked at just now, as they are."""
        self._unreachable: set[str] = set()
        self._stuck: dict[str, ManorError] = {}
        """By database: why its prepared transaction could not be ended."""
        self._committed = 0
        self._rolled_back = 0

    @property
    def operation(self) -> str:
        """The release's id."""
        return self.release.operation.id

    @property
    def commits(self) -> bool:
        """Whether it was decided to commit."""
        return self.release.decision == "commit"

    @property
    def changes_nobody(self) -> bool:
        """Whether it is one for all or none, and nobody can decide any more to commit."""
        return self.release.plan.get("kind") == Kind.ATOMIC and not self.commits

    def _is_open(self, target: TargetRecord) -> bool:
        """Whether nobody has recorded yet what became of it."""
        undecided = target.status == Status.NEEDS_DECISION and self.commits
        return target.status in (Status.PENDING, Status.IN_PROGRESS) or undecided

    def _was_begun(self, target: TargetRecord) -> bool:
        """Of an open one: whether its database may have been changed."""
        return target.status != Status.PENDING or self._was_voted_on(target)

    def _was_voted_on(self, target: TargetRecord) -> bool:
        """Whether the decision to commit is about it: not for tenants that were made meanwhile and follow one by one."""
        return self.commits and target.wave != 0

    async def server(self, name: str, targets: Sequence[TargetRecord]) -> None:
        """Settle one server's targets; what keeps it from being done is noted."""
        begun = [target for target in targets if self._is_open(target) and self._was_begun(target)]
        try:
            server = await self._entered(name, targets)
        except ManorError as error:
            self._unreachable.add(name)
            for target in begun:
                self._unseen(target, error)
            return
        for target in begun:
            await self._settle_one(server, target, targets)

    async def _entered(self, name: str, targets: Sequence[TargetRecord]) -> ServerDriver:
        """The server, without sessions of the release, with what was prepared ended. Raises where it does not answer."""
        server = self.runtime.servers.get(name)
        if server is None:
            raise EngineError(f"server {name} is not among the deployments", code=Code.NOT_FOUND)
        await retrying(functools.partial(server.end_sessions, self.operation), attempts=ATTEMPTS)
        await recover_swaps(self.runtime, self.operation, name)  # a closed database tells no history
        await self._second_phase(name, targets)
        await self._drop_goldens_under_way(server)
        return server

    async def _settle_one(self, server: ServerDriver, target: TargetRecord, targets: Sequence[TargetRecord]) -> None:
        stuck = self._stuck.get(target.database)
        if stuck is not None and self.commits:
            self._unseen(target, stuck)
            return
        try:
            rows = await retrying(functools.partial(self._fenced, server, target, targets), attempts=ATTEMPTS)
        except ManorError as error:
            self._unseen(target, error)
        else:
            self._judge(target, rows)

    def _unseen(self, target: TargetRecord, error: ManorError) -> None:
        """Note a target that cannot be looked at."""
        if self.changes_nobody:
            detail = f"{LEFT}; what may be prepared there is rolled back as soon as that is possible: {error.message}"
            self._results.append(ended(target, Status.NOT_STARTED, detail=detail))
        elif error.transient:
            self._waiting[target.tenant] = target
        else:
            again = (
                f"decide {self.operation} --tenant-id {target.tenant} --as again"
                if self.commits
                else f"resume {self.operation}"
            )
            hint = f"once it can be entered, `manor operation {again}` looks and goes on from there"
            failure = Failure(code=error.code, message=error.message, hint=hint)
            self._results.append(ended(target, Status.NEEDS_DECISION, failure=failure))

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
                try:
                    done = await retrying(functools.partial(verb, prepared.database, prepared.gid), attempts=ATTEMPTS)
                except ManorError as error:  # its neighbours' locks must not wait for it
                    self._stuck[prepared.database] = error
                    continue
                self._committed += done and verb == ballot.commit
                self._rolled_back += done and verb == ballot.roll_back
                self.runtime.telemetry.emit("release.settled", self.operation, prepared.database)

    def _judge(self, target: TargetRecord, rows: Sequence[HistoryRow]) -> None:
        cohort = self._cohorts[target.cohort or 0]
        present = {(row.version, row.checksum) for row in rows}
        after = {(version, checksum) for version, checksum, _ in cohort.after}
        before = {(version, checksum) for version, checksum, _ in cohort.before}
        if present == after:
            record = self.records[target.tenant]
            version, golden = cohort.version, cohort.golden_to
            self._moved.append(replace(record, version=version, golden=golden, fingerprint=cohort.fingerprint))
            detail = f"{cohort.version_before or 'none'} → {cohort.version or 'none'}, found done"
            fact = others_doing(cohort, rows, self.operation)
            self._results.append(ended(target, Status.SUCCESS, detail=detail + by_whom(fact), facts=fact))
        elif self._was_voted_on(target):
            failure = Failure(
                code=Code.CORRUPT,
                message="it was decided to commit, but its transaction is neither prepared nor committed",
                hint="somebody rolled it back by hand: `manor operation decide OPERATION --tenant-id T --as again` moves it",
            )
            self._results.append(ended(target, Status.NEEDS_DECISION, failure=failure))
        elif target.facts.get(UNDECIDED):
            hint = "`manor operation resume` looks once more"
            failure = Failure(
                code=Code.INTERRUPTED, message="it needed a decision before, and was not brought to its end", hint=hint
            )
            self._results.append(ended(target, Status.NEEDS_DECISION, failure=failure))
        elif self.changes_nobody or present == before or _without_checksums(rows) or not self._is_partial(cohort, present):
            self._results.append(ended(target, Status.NOT_STARTED, detail=LEFT))
        else:
            failure = Failure(
                code=Code.INTERRUPTED,
                message="some of its migrations are done, others not",
                hint="`manor operation resume` goes on from there",
            )
            self._results.append(ended(target, Status.NEEDS_DECISION, failure=failure))

    def _is_partial(self, cohort: Cohort, present: set[tuple[str, str]]) -> bool:
        steps = {(step.version, step.checksum) for step in cohort.steps if not step.takes_back}
        gone = {(step.version, step.checksum) for step in cohort.steps if step.takes_back}
        return bool(steps & present) or bool(gone - present and gone)

    async def finish(self, targets: Sequence[TargetRecord]) -> Settled:
        """Record it all. With targets that wait the release stays running, so that the next settling comes back to it; those
        that were never begun are free."""
        if self._waiting:
            never = [t for t in targets if self._is_open(t) and not self._was_begun(t)]
            self._results += [ended(target, Status.NOT_STARTED, detail=LEFT) for target in never]
        token = self.release.token
        record = functools.partial(
            self.runtime.catalog.record_moves, self.operation, self._results, moved=self._moved, token=token
        )
        await until_recorded(self.runtime, record)
        await self._put_heads()
        now = list(
            ({target.tenant: target for target in targets} | {target.tenant: target for target in self._results}).values()
        )
        state = State.RUNNING
        if not self._waiting:
            now = closed(now)
            state = self._state(now)
            await self._end(state, count(now))
        return Settled(
            operation=self.operation,
            state=str(state),
            committed=self._committed,
            rolled_back=self._rolled_back,
            counts=count(now),
            unreachable=tuple(sorted(self._unreachable | {target.server for target in self._waiting.values()})),
        )

    def _state(self, targets: Sequence[TargetRecord]) -> State:
        if any(target.status == Status.NEEDS_DECISION for target in targets):
            return State.NEEDS_DECISION
        done = all(target.status in (Status.SUCCESS, Status.SKIPPED) for target in targets)
        return State.SUCCEEDED if self.commits and done else State.INTERRUPTED

    async def _put_heads(self) -> None:
        """New tenants get the version that all tenants of a place came to, pinned or held back ones aside; where these differ,
        the next release says which."""
        places = {(cohort.source, cohort.template) for cohort in self._cohorts.values()}
        protected = set(self.release.plan.get("protected", ()))
        versions: dict[tuple[str, str], set[str]] = {}
        for record in await until_recorded(self.runtime, self.runtime.catalog.databases):
            place = (record.source, record.template)
            if place in places and record.state == "ready" and str(record.tenant) not in protected:
                versions.setdefault(place, set()).add(record.version)
        heads = [(source, template, min(found)) for (source, template), found in versions.items() if len(found) == 1]
        await until_recorded(self.runtime, lambda: self.runtime.catalog.put_heads(self.operation, heads))

    async def _end(self, state: State, counts: Mapping[str, int]) -> None:
        details = {"state": str(state), "committed": self._committed, "rolled_back": self._rolled_back}
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
