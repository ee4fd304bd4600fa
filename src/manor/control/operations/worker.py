"""``manor worker``: carries out batches of releases that other commands coordinate, until it is told to stop.

What a worker needs to know of a release is in the catalog; only the hooks are files of the project, which is therefore the same
on every machine. A batch may be delivered twice. Nobody minds, because of four things: a lock per batch in the catalog, which
goes with its worker's session, keeps a second worker waiting, and who finds that session lost begins no further target; the
catalog gives each target to one runner only; a target that the journal calls begun while the lock is free was left by a dead
worker and is brought to its end; and a tenant's own transaction, behind its fence, leaves out the steps that its history has.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from manor.control.catalog.records import DatabaseRecord, TargetRecord
from manor.control.jobs.engine import Again, Batch, WorkerEngine
from manor.control.operations.migrate import hooks_of
from manor.control.operations.operation_resume import scripts_of
from manor.control.operations.release_sources import ReleaseSources
from manor.control.operations.schedules import Clock
from manor.control.rollout.alone import BatchLock
from manor.control.rollout.alongside import again_and_again
from manor.control.rollout.release.batch import BatchRunner, Mover, Tally
from manor.control.rollout.release.blockers import BlockerWatch
from manor.control.rollout.release.course import Course
from manor.control.rollout.release.move import move
from manor.control.rollout.release.recorder import Recorder
from manor.control.rollout.release.settle import settle_all
from manor.control.rollout.release.stopping import Stop
from manor.control.rollout.release.work import Work
from manor.control.runtime import Runtime, StopSignal
from manor.errors import ConflictError, ManorError
from manor.telemetry import Telemetry

SETTLE_SECONDS = 30.0
_IDLE_SECONDS = 30.0
"""After which a release that has no batch for us is closed."""
_HELD_SECONDS = 2.0
"""After which a batch is looked at again that another worker has."""
_KEEP_SECONDS = 0.5
"""Between two looks at a batch's lock while targets are under way: shorter than ``_HELD_SECONDS``, so that its worker is the
first to get it again."""

OpenRuntime = Callable[[str], AbstractAsyncContextManager[Runtime]]
"""Opens servers and catalog under an operation's id; empty: under a new one."""


async def serve(
    open_runtime: OpenRuntime,
    engine: WorkerEngine,
    project: Path,
    *,
    telemetry: Telemetry,
    parallel: int,
    stop: StopSignal,
    clock: Clock | None = None,
) -> None:
    """Settle dead releases, then carry out batches, and what is due by ``clock``, until ``stop``; what is under way is brought
    to the next target's end.

    Raises what keeps it from beginning: no catalog, no right.
    """
    async with open_runtime("") as runtime, _Releases(open_runtime, project) as releases:
        await settle_all(runtime)
        carrier = _Carrier(releases=releases, telemetry=telemetry)

        def on_trouble(error: Exception) -> None:
            telemetry.emit("worker.troubled", runtime.operation, str(error) or type(error).__name__)

        telemetry.emit("worker.ready", runtime.operation, ", ".join(runtime.servers))
        async with (
            again_and_again(SETTLE_SECONDS, lambda: _tidy(runtime, releases), on_trouble),
            _ticking(clock, runtime, stop),
        ):
            await engine.serve(
                carrier.carry,
                servers=list(runtime.servers),
                parallel=parallel,
                should_stop=lambda: stop.requested,
                on_trouble=on_trouble,
            )


@contextlib.asynccontextmanager
async def _ticking(clock: Clock | None, runtime: Runtime, stop: StopSignal) -> AsyncIterator[None]:
    """The clock runs inside the block, and what it began is waited for."""
    if clock is None:
        yield
        return
    ended = StopSignal()  # the block may end by an error too
    task = asyncio.create_task(clock.keep(runtime, lambda: stop.requested or ended.requested))
    try:
        yield
    finally:
        ended.set()
        await task


async def _tidy(runtime: Runtime, releases: _Releases) -> None:
    await releases.close_idle()
    await settle_all(runtime)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Carrier:
    """What the engine calls with every batch."""

    releases: _Releases
    telemetry: Telemetry

    async def carry(self, batch: Batch) -> Again | None:
        """Carry a batch out as far as it is not done. None where it is done, or no longer ours to do."""
        async with self.releases.use(batch) as opened, AsyncExitStack() as stack:
            if opened is None:
                return None
            lock = opened.runtime.catalog.lock(f"batch {batch.key}", wait_seconds=0, holder=batch.operation)
            try:
                held = BatchLock(await stack.enter_async_context(lock))
            except ConflictError:
                return Again(seconds=_HELD_SECONDS, reason="its worker lives")
            await stack.enter_async_context(again_and_again(_KEEP_SECONDS, held.keep, _told_elsewhere))
            stop = await self._carry_out(opened, batch, held)
            if stop is Stop.INTERRUPTED:
                return Again(reason="this worker stops")
            return Again(reason="its lock was lost") if stop is Stop.TAKEN_OVER and held.is_lost else None

    async def _carry_out(self, opened: _Opened, batch: Batch, held: BatchLock) -> Stop:
        began, shown = time.monotonic(), f"{batch.wave}/{batch.number}"
        self.telemetry.emit("batch.begun", batch.operation, shown, server=batch.server, targets=len(batch.tenants))
        work, tally = opened.work(held), Tally()
        runner = BatchRunner(work, await opened.targets(batch), _moving(tally), tally)
        try:
            await runner.finish_begun()
            stop = await runner.run()
            await work.recorder.flush()
        except ConflictError:  # the release was ended or taken over: its histories tell what was done here
            stop = Stop.TAKEN_OVER
        seconds = time.monotonic() - began
        self.telemetry.emit(
            "batch.ended",
            batch.operation,
            shown,
            server=batch.server,
            targets=len(tally.results),
            seconds=seconds,
            stop=str(stop),
        )
        return stop


def _moving(tally: Tally) -> Mover:
    """``move`` that begins no target once the batch is not surely ours: not even those that a dead worker had begun."""

    async def move_ours(work: Work, target: TargetRecord) -> TargetRecord:
        try:
            await work.runtime.still_alone()
        except ConflictError:
            tally.stop = Stop.TAKEN_OVER
            return target  # the journal calls it begun: whoever gets the batch brings it to its end
        return await move(work, target)

    return move_ours


def _told_elsewhere(_: ManorError) -> None:
    """A lost lock stops the batch before its next target; that is told."""


@dataclass(slots=True, kw_only=True)
class _Opened:
    """A release that this worker has open, with sessions and a catalog connection under its id: whoever settles or takes over
    the release ends them."""

    runtime: Runtime
    base: Work
    records: dict[str, DatabaseRecord]
    """Those of ``base``."""
    known: dict[str, TargetRecord] = field(default_factory=dict)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    users: int = 0
    idle_since: float = field(default_factory=time.monotonic)

    def work(self, held: BatchLock) -> Work:
        """For one batch: under its lock, and with a recorder of its own, so that it waits for its own outcomes only."""
        runtime = replace(self.runtime, still_alone=held.prove)
        return replace(self.base, runtime=runtime, recorder=Recorder(runtime, self.base.token))

    async def targets(self, batch: Batch) -> list[TargetRecord]:
        """The batch's targets; those that joined the release after it was opened are looked up."""
        if any(tenant not in self.known for tenant in batch.tenants):
            await self.refresh()
        return [self.known[tenant] for tenant in batch.tenants if tenant in self.known]

    async def refresh(self) -> None:
        """Read targets and databases anew."""
        self.known.update({t.tenant: t for t in await self.runtime.catalog.operation_targets(self.runtime.operation)})
        self.records.update({str(record.tenant): record for record in await self.runtime.catalog.databases()})


class _Releases:
    """The releases that this worker has open."""

    def __init__(self, open_runtime: OpenRuntime, project: Path) -> None:
        self._open_runtime = open_runtime
        self._project = project
        self._opened: dict[tuple[str, int], _Opened] = {}
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> _Releases:
        return self

    async def __aexit__(self, *_: object) -> None:
        for opened in self._opened.values():
            await opened.stack.aclose()

    @contextlib.asynccontextmanager
    async def use(self, batch: Batch) -> AsyncIterator[_Opened | None]:
        """The batch's release; None where it has ended or its runner is another one than the batch's."""
        opened = await self._find(batch)
        if opened is None:
            yield None
            return
        opened.users += 1
        try:
            yield opened
        finally:
            opened.users -= 1
            opened.idle_since = time.monotonic()

    async def _find(self, batch: Batch) -> _Opened | None:
        key = (batch.operation, batch.token)
        async with self._turn:
            if key not in self._opened:
                opened = await self._open(*key)
                if opened is None:
                    return None
                self._opened[key] = opened
            return self._opened[key]

    async def _open(self, operation: str, token: int) -> _Opened | None:
        async with AsyncExitStack() as stack:
            runtime = await stack.enter_async_context(self._open_runtime(operation))
            release = await runtime.catalog.release(operation)
            if release.token != token or release.operation.state != "running":
                return None
            course = Course.from_json(release.plan)
            watch = BlockerWatch(runtime.servers, operation)
            await stack.enter_async_context(watch.looking())
            for server in runtime.servers.values():
                server.limit(course.conduct.parallel)
            records: dict[str, DatabaseRecord] = {}
            base = await self._work(runtime, token, course, watch, records)
            opened = _Opened(runtime=runtime, base=base, records=records)
            await opened.refresh()
            opened.stack = stack.pop_all()
            return opened

    async def _work(
        self, runtime: Runtime, token: int, course: Course, watch: BlockerWatch, records: Mapping[str, DatabaseRecord]
    ) -> Work:
        sources = tuple(sorted({cohort.source for cohort in course.cohorts}))
        return Work(
            runtime=runtime,
            token=token,
            cohorts={cohort.number: cohort for cohort in course.cohorts},
            scripts=await scripts_of(runtime, course),
            records=records,
            conduct=course.conduct,
            recorder=Recorder(runtime, token),
            watch=watch,
            hooks=hooks_of(runtime, ReleaseSources(self._project), sources, self._project),
        )

    async def close_idle(self) -> None:
        """Close what nobody needs just now."""
        async with self._turn:
            now = time.monotonic()
            idle = [key for key, o in self._opened.items() if not o.users and now - o.idle_since > _IDLE_SECONDS]
            for key in idle:
                await self._opened.pop(key).stack.aclose()
