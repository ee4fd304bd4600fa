"""Carries out a release that the journal knows: goldens, waves or the vote, tenants that came meanwhile, the end.

``migrate`` begins one and calls this; ``operation resume`` calls it for one that was paused or died. It needs nothing that is
not in the journal, but for the hooks, which are the registry's files.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from manor.control.audit import anchor_head
from manor.control.catalog.locks import FLEET_LOCK
from manor.control.catalog.records import AuditEvent, DatabaseRecord, TargetRecord
from manor.control.engines.driver import IsolatedColumn
from manor.control.migrate.cohort import Cohort, Scripts, Terms
from manor.control.operations.release_report import Ended
from manor.control.rollout.hooks import HookRunner
from manor.control.rollout.release.atomic import vote_and_commit
from manor.control.rollout.release.blockers import BlockerWatch
from manor.control.rollout.release.blue_green import blue_green
from manor.control.rollout.release.capacity import look_for_room
from manor.control.rollout.release.course import Course
from manor.control.rollout.release.gate import HealthGate
from manor.control.rollout.release.goldens import GoldenWork, release_goldens, without_golden
from manor.control.rollout.release.heads import Head, heads_after, late_tenants
from manor.control.rollout.release.move import move, put
from manor.control.rollout.release.opening import Opening, go_in_windows
from manor.control.rollout.release.recorder import Recorder
from manor.control.rollout.release.snapshots import snapshot_all, snapshot_first
from manor.control.rollout.release.stopping import asked, taken_over, unended
from manor.control.rollout.release.switch_back import switching_back
from manor.control.rollout.release.waves import Mover, Stop, WavePlan, Went, go
from manor.control.rollout.release.work import Work, closed, count
from manor.control.rollout.retry import until_recorded
from manor.control.rollout.states import State, states_before
from manor.control.rollout.strategy import Kind
from manor.control.rollout.verify import recorded_isolation
from manor.control.runtime import Runtime
from manor.control.steps import Failure, Status
from manor.errors import Code, ConflictError, ManorError

_STATES = {Stop.PAUSED: State.PAUSED, Stop.ABORTED: State.ABORTED, Stop.INTERRUPTED: State.INTERRUPTED}
_CATCH_UPS = 5
"""Rounds of looking for tenants that were made while the release ran; each round is shorter than the last."""
_DEPLOY_SECONDS = 60.0
"""How long a deploy under way is waited for at the end of a release."""


@dataclass(slots=True, kw_only=True)
class ReleaseRun:
    """One release under way."""

    runtime: Runtime
    token: int
    course: Course
    scripts: Scripts
    records: Mapping[str, DatabaseRecord]
    hooks: Mapping[str, HookRunner]
    since: dt.datetime | None = None
    """When it began, where that was before ``records`` were read; None: just now."""
    own: frozenset[str] = frozenset()
    """Its targets so far, where it began earlier."""
    paused: bool = False
    """Whether it is paused again afterwards: only one of its targets was decided about."""
    mover: Mover | None = None
    """Instead of the strategy's own."""
    notices: list[str] = field(default_factory=list)

    async def carry_out(self, targets: Sequence[TargetRecord]) -> Ended:
        """Do it. ``targets``: all of the release; those that are pending are begun. The end is recorded when this returns.

        Raises only what keeps it from being recorded.
        """
        try:
            self.course = await self._with_goldens()
        except ManorError as error:
            return await self._end(State.FAILED, problems=(Failure.of(error),), detail="the rehearsal failed")
        pending = [target for target in targets if target.status == Status.PENDING]
        watch = BlockerWatch.about(self.runtime, pending)
        work = Work(
            runtime=self.runtime,
            token=self.token,
            cohorts={cohort.number: cohort for cohort in self.course.cohorts},
            scripts=self.scripts,
            records=self.records,
            conduct=self.course.conduct,
            recorder=Recorder(self.runtime, self.token),
            watch=watch,
            hooks=self.hooks,
        )
        async with watch.looking():
            if self.course.kind is Kind.ATOMIC:
                return await self._atomic(work, pending)
            return await self._in_waves(work, targets)

    async def _with_goldens(self) -> Course:
        if all(cohort.fingerprint for cohort in self.course.cohorts):
            return self.course
        isolation: dict[int, tuple[IsolatedColumn, ...]] = {}
        for target in await self.runtime.catalog.operation_targets(self.runtime.operation):
            if target.cohort is not None:
                isolation.setdefault(target.cohort, recorded_isolation(self.records[target.tenant].config))
        work = GoldenWork(
            runtime=self.runtime,
            scripts=self.scripts,
            terms=Terms(operation=self.runtime.operation, token=self.token),
            isolation=isolation,
            prepare=self.course.kind is Kind.ATOMIC,
        )
        cohorts = await release_goldens(work, self.course.cohorts)
        course = replace(self.course, cohorts=tuple(cohorts))
        self.notices += without_golden(cohorts)
        plan = course.to_json()
        keep = functools.partial(self.runtime.catalog.add_targets, self.runtime.operation, [], plan, token=self.token)
        await until_recorded(self.runtime, keep)
        self.runtime.telemetry.emit("release.rehearsed", self.runtime.operation, course.label)
        return course

    async def _atomic(self, work: Work, pending: Sequence[TargetRecord]) -> Ended:
        conduct = self.course.conduct
        try:
            room = await look_for_room(self.runtime.servers, [target.server for target in pending])
        except ManorError as error:
            return await self._end(State.FAILED, problems=(Failure.of(error),), detail=f"not begun: {error.message}")
        connections = {name: found.kept(conduct.parallel, conduct.atomic_connections) for name, found in room.items()}
        heads = heads_after(await self._known(), work.cohorts, pending, self.course.protected)
        if conduct.snapshot and not await self._snapshots(work, pending):
            return await self._end(State.FAILED, detail="not every tenant could be copied first")
        verdict = await vote_and_commit(work, pending, connections=connections, heads=heads)
        if not verdict.committed:
            state = _STATES.get(verdict.stop, State.FAILED)
            state = State.ABORTED if state is State.PAUSED else state  # prepared transactions hold locks: there is no pause
            ended = await self._end(state, detail=verdict.reason)
            return replace(ended, prepare_seconds=verdict.prepare_seconds)
        if any(result.status == Status.NEEDS_DECISION for result in verdict.results):
            # Decided and not done everywhere: it stays running without a runner, so that settling comes back to it.
            ended = await self._report(State.RUNNING)
        else:
            await self._catch_up(work, heads)
            ended = await self._end(None)
        return replace(ended, window_seconds=verdict.window_seconds, prepare_seconds=verdict.prepare_seconds)

    async def _snapshots(self, work: Work, pending: Sequence[TargetRecord]) -> bool:
        """Copy every target before anybody votes; whether all could be copied."""
        failures = await snapshot_all(work, pending)
        for failure in failures:
            put(work, failure)
        await work.recorder.flush()
        return not failures

    async def _in_waves(self, work: Work, targets: Sequence[TargetRecord]) -> Ended:
        gate = HealthGate(work, self.course.gate, self.notices) if self.course.gate is not None else None
        opening = Opening.of(self.course.windows, self.records)
        went = await go_in_windows(work, self._waves(targets), opening, gate=gate, mover=await self._mover())
        if went.stop is Stop.TAKEN_OVER or await asked(work) is Stop.TAKEN_OVER:
            raise taken_over(self.runtime.operation)
        heads = heads_after(await self._known(), work.cohorts, (), self.course.protected)
        await until_recorded(self.runtime, lambda: self.runtime.catalog.put_heads(self.runtime.operation, heads))
        if went.stop is Stop.FINISHED and not self.paused:
            await self._catch_up(work, heads)
        return await self._end_waves(went)

    async def _mover(self) -> Mover:
        course = self.course
        if self.mover is not None:
            return self.mover
        if course.back_of:
            kept = await self.runtime.catalog.kept_databases(operation=course.back_of)
            return switching_back({one.tenant: one for one in kept}, discard_writes=course.discard_writes)
        if course.kind is Kind.BLUE_GREEN:  # what it replaces is kept: that is its snapshot
            return blue_green(course.gate)
        return snapshot_first() if course.conduct.snapshot else move

    async def _known(self) -> list[DatabaseRecord]:
        """The tenants that were there when the release began: those made since follow it, they do not hold it back."""
        records = await until_recorded(self.runtime, self.runtime.catalog.databases)
        return [record for record in records if str(record.tenant) in self._there]

    @property
    def _there(self) -> frozenset[str]:
        """Tenants that were ready when the release began; one that a deploy was at work on then comes later."""
        return frozenset(t for t, r in self.records.items() if r.state == "ready" and not self._is_younger(r))

    def _is_younger(self, record: DatabaseRecord) -> bool:
        if self.since is None or record.created_at is None or str(record.tenant) in self.own:
            return False
        return record.created_at > self.since

    async def _end_waves(self, went: Went) -> Ended:
        state = State.PAUSED if self.paused else _STATES.get(went.stop)
        problems: tuple[Failure, ...] = ()
        if went.stop in (Stop.FAILURES, Stop.GATE):
            failure = Failure(
                code=Code.REFUSED,
                message=f"stopped: {went.reason}",
                hint="`manor operation show` lists the targets; correct the cause, then `manor operation resume`, or `undo`",
            )
            problems = (failure,)
            state = State.FAILED
        return await self._end(state, problems=problems, detail=f"not begun: {went.reason}")

    def _waves(self, targets: Sequence[TargetRecord]) -> list[WavePlan]:
        """The waves that are left. Waves between which nothing happens are one: each would wait for its slowest tenant.

        A release that goes on begins with the last wave that it changed anything in, if only for its gate.
        """
        left, done = _by_wave(t for t in targets if t.status == Status.PENDING), self._looked_at_again(targets)
        waves: list[WavePlan] = []
        for number in sorted(left.keys() | done.keys()):
            members = left.get(number, [])
            if waves and self.course.gate is None and not self.course.windows and not waves[-1].wait_seconds:
                members = [*waves.pop().targets, *members]
            wait, before = self.course.soak_seconds.get(number, 0.0), tuple(done.get(number, ()))
            waves.append(WavePlan(number=number, targets=tuple(members), wait_seconds=wait, done=before))
        return waves

    def _looked_at_again(self, targets: Sequence[TargetRecord]) -> dict[int, list[TargetRecord]]:
        """Those of the last wave that changed anything, whose gate may be what it stopped at."""
        if self.course.gate is None or self.mover is not None:
            return {}
        changed = _by_wave(target for target in targets if target.status == Status.SUCCESS)
        return {number: members for number, members in changed.items() if number == max(changed)}

    async def _catch_up(self, work: Work, heads: Sequence[Head]) -> None:
        """Bring tenants that were made from the old golden meanwhile to the new version."""
        if self.course.undoes:
            return
        try:
            # A deploy that has begun may still make tenants from the old golden: none is under way while this holds its lock.
            wait_seconds = _DEPLOY_SECONDS
            async with self.runtime.catalog.lock(FLEET_LOCK, wait_seconds=wait_seconds, holder=self.runtime.operation):
                await self._bring_late_ones(work, heads)
        except ConflictError as error:
            self.notices.append(f"tenants that a deploy makes just now may be a version behind: {error.message}")

    async def _bring_late_ones(self, work: Work, heads: Sequence[Head]) -> None:
        known = set(self._there)
        for _ in range(_CATCH_UPS):
            late = late_tenants(await self.runtime.catalog.databases(), known, work.cohorts.values(), heads)
            if not late:
                return
            added = [_late_target(record, cohort, len(known) + index) for index, (record, cohort) in enumerate(late)]
            plan = self.course.to_json()
            add = functools.partial(self.runtime.catalog.add_targets, self.runtime.operation, added, plan, token=self.token)
            await until_recorded(self.runtime, add)
            known |= {str(record.tenant) for record, _ in late}
            records = {**work.records, **{str(record.tenant): record for record, _ in late}}
            waves = [WavePlan(number=0, targets=tuple(added))]
            await go(replace(work, records=records), waves, mover=await self._mover())

    async def _report(self, state: State, problems: tuple[Failure, ...] = ()) -> Ended:
        targets = await self.runtime.catalog.operation_targets(self.runtime.operation)
        return Ended(state=str(state), targets=tuple(targets), problems=problems, notices=tuple(self.notices))

    async def _end(self, state: State | None, *, problems: tuple[Failure, ...] = (), detail: str = "") -> Ended:
        """Record and anchor the end; ``state`` None: what the targets say."""
        targets = await until_recorded(self.runtime, lambda: self.runtime.catalog.operation_targets(self.runtime.operation))
        if (left := unended(targets)) is not None:
            return await self._report(State.RUNNING, (*problems, left))
        said = state_of_targets(closed(targets))
        if state is None or (state is State.ABORTED and said is State.NEEDS_DECISION):
            state = said  # given up, its tenants would be held by an operation that nobody can go on with
        summary = count(targets if state is State.PAUSED else closed(targets))
        event = AuditEvent(
            actor=self.runtime.actor, action="release.end", subject=self.runtime.operation, details={"state": state, **summary}
        )
        end = functools.partial(
            self.runtime.catalog.end_release,
            self.runtime.operation,
            state,
            summary,
            states=states_before(state),
            detail=detail,
            token=self.token,
            audit=[event],
        )
        await until_recorded(self.runtime, end)
        self.runtime.telemetry.emit("operation.recorded", self.runtime.operation, state)
        await until_recorded(
            self.runtime, lambda: anchor_head(self.runtime.catalog, self.runtime.anchor, operation_id=self.runtime.operation)
        )
        self.runtime.telemetry.emit("operation.ended", self.runtime.operation, state)
        return await self._report(state, problems)


def _by_wave(targets: Iterable[TargetRecord]) -> dict[int, list[TargetRecord]]:
    found: dict[int, list[TargetRecord]] = {}
    for target in targets:
        found.setdefault(target.wave or 1, []).append(target)
    return found


def state_of_targets(targets: Sequence[TargetRecord]) -> State:
    """How an operation ended whose targets ended so."""
    statuses = {target.status for target in targets}
    if Status.NEEDS_DECISION in statuses:
        return State.NEEDS_DECISION
    return State.SUCCEEDED if statuses <= {Status.SUCCESS, Status.SKIPPED} else State.FAILED


def _late_target(record: DatabaseRecord, cohort: Cohort, position: int) -> TargetRecord:
    made = TargetRecord.of(record)
    return replace(made, detail="made while the release ran", position=position, wave=0, cohort=cohort.number)
