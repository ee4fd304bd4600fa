"""Goes through the waves of a release: so many targets at once, then the gate, the pause, and the next wave.

What stops it between two targets: Ctrl-C, somebody's ``operation pause`` or ``abort``, more failures than are allowed, a gate
that says no, or another runner that has taken over. Targets under way are always brought to their end and recorded.
"""

from __future__ import annotations

import asyncio
import enum
import functools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from manor.control.catalog.records import TargetRecord
from manor.control.rollout.release.move import move
from manor.control.rollout.release.work import Work
from manor.control.rollout.retry import until_recorded
from manor.control.steps import Status

_ASK_SECONDS = 0.5
"""Between two looks at what was asked of us while nothing is under way."""

Mover = Callable[[Work, TargetRecord], Awaitable[TargetRecord]]
Gate = Callable[[Sequence[TargetRecord]], Awaitable[str]]
"""Looks at the targets of a wave; returns why the next one must not begin, or nothing."""


class Stop(enum.StrEnum):
    """Why a release went no further."""

    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    PAUSED = "paused"
    ABORTED = "aborted"
    FAILURES = "failures"
    GATE = "gate"
    TAKEN_OVER = "taken_over"


@dataclass(frozen=True, slots=True, kw_only=True)
class WavePlan:
    """Targets that are handled together."""

    number: int
    targets: tuple[TargetRecord, ...]
    wait_seconds: float = 0.0
    """Pause after it, unless it is the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Went:
    """How far a release went."""

    stop: Stop
    results: tuple[TargetRecord, ...]
    """Of the targets that were begun."""
    reason: str = ""


async def go(work: Work, waves: Sequence[WavePlan], *, mover: Mover = move, gate: Gate | None = None) -> Went:
    """Go through the waves in order. Outcomes are written down when this returns."""
    results: list[TargetRecord] = []
    for wave in waves:
        work.runtime.telemetry.emit("wave.started", work.operation, str(wave.number), targets=len(wave.targets))
        runner = _WaveRunner(work, wave, mover, failures=sum(_is_failure(r) for r in results))
        stop = await runner.run()
        await work.recorder.flush()
        results += runner.results
        work.runtime.telemetry.emit("wave.ended", work.operation, str(wave.number))
        if stop is not Stop.FINISHED:
            return Went(stop=stop, results=tuple(results), reason=_REASONS[stop])
        reason = await gate(runner.results) if gate is not None else ""
        if reason:
            return Went(stop=Stop.GATE, results=tuple(results), reason=f"after wave {wave.number}: {reason}")
        if wave is not waves[-1]:
            stop = await _pause(work, wave.wait_seconds)
            if stop is not Stop.FINISHED:
                return Went(stop=stop, results=tuple(results), reason=_REASONS[stop])
    return Went(stop=Stop.FINISHED, results=tuple(results))


_REASONS = {
    Stop.INTERRUPTED: "interrupted",
    Stop.PAUSED: "paused",
    Stop.ABORTED: "aborted",
    Stop.FAILURES: "more targets failed than are allowed to",
    Stop.TAKEN_OVER: "another runner has taken over",
}


async def asked(work: Work) -> Stop:
    """What somebody wants of us just now; ``FINISHED`` where nobody wants anything."""
    if work.runtime.stop.requested:
        return Stop.INTERRUPTED
    release = await until_recorded(work.runtime, lambda: work.runtime.catalog.release(work.operation))
    if release.token != work.token or release.operation.state != "running":
        return Stop.TAKEN_OVER
    return {"pause": Stop.PAUSED, "abort": Stop.ABORTED}.get(release.wanted, Stop.FINISHED)


async def _pause(work: Work, seconds: float) -> Stop:
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        stop = await asked(work)
        if stop is not Stop.FINISHED:
            return stop
        await asyncio.sleep(min(left, _ASK_SECONDS))
    return await asked(work) if seconds else Stop.FINISHED


def _is_failure(target: TargetRecord) -> bool:
    return target.status in (Status.ERROR, Status.NEEDS_DECISION)


class _WaveRunner:
    """One wave: workers per server, which take targets in small batches that the catalog marks as begun."""

    def __init__(self, work: Work, wave: WavePlan, mover: Mover, *, failures: int) -> None:
        self.work = work
        self.mover = mover
        self.results: list[TargetRecord] = []
        self._failures = failures
        self._stop = Stop.FINISHED
        self._queues: dict[str, deque[TargetRecord]] = {}
        for target in wave.targets:
            self._queues.setdefault(target.server, deque()).append(target)

    async def run(self) -> Stop:
        async with asyncio.TaskGroup() as group:
            for queue in self._queues.values():
                taken = _Taken(self, queue)
                for _ in range(min(self.work.conduct.parallel, len(queue))):
                    group.create_task(self._labour(taken))
        return self._stop

    async def _labour(self, taken: _Taken) -> None:
        while not self.is_stopped and (target := await taken.next()) is not None:
            result = await self.mover(self.work, target)
            self.results.append(result)
            self._failures += _is_failure(result)

    @property
    def is_stopped(self) -> bool:
        """Whether no further target may begin."""
        allowed = self.work.conduct.max_failures
        if self._stop is Stop.FINISHED and self.work.runtime.stop.requested:
            self._stop = Stop.INTERRUPTED
        if self._stop is Stop.FINISHED and allowed is not None and self._failures > allowed:
            self._stop = Stop.FAILURES
        return self._stop is not Stop.FINISHED

    async def take(self, targets: Sequence[TargetRecord]) -> list[TargetRecord]:
        """Have the catalog mark targets as begun; those that it did not give us, somebody stopped."""
        take = functools.partial(
            self.work.runtime.catalog.take_targets,
            self.work.operation,
            self.work.token,
            [target.tenant for target in targets],
            max_failures=self.work.conduct.max_failures,
        )
        given = await until_recorded(self.work.runtime, take)
        if len(given) < len(targets) and self._stop is Stop.FINISHED:
            stop = await asked(self.work)
            self._stop = Stop.FAILURES if stop is Stop.FINISHED else stop
        return [target for target in targets if target.tenant in given]


class _Taken:
    """Targets of one server that are ours to begin; the next batch is asked for before the last one is used up."""

    def __init__(self, runner: _WaveRunner, queue: deque[TargetRecord]) -> None:
        self._runner = runner
        self._queue = queue
        self._ready: deque[TargetRecord] = deque()
        self._size = max(1, min(50, 2 * runner.work.conduct.parallel))
        self._asking: asyncio.Task[list[TargetRecord]] | None = None
        self._turn = asyncio.Lock()

    async def next(self) -> TargetRecord | None:
        """The next target, or None."""
        async with self._turn:
            if not self._ready and (self._asking is not None or self._queue):
                asking, self._asking = self._asking or self._ask(), None
                self._ready.extend(await asking)
            if self._asking is None and self._queue and len(self._ready) <= self._size // 2 and not self._runner.is_stopped:
                self._asking = self._ask()
            return self._ready.popleft() if self._ready else None

    def _ask(self) -> asyncio.Task[list[TargetRecord]]:
        batch = [self._queue.popleft() for _ in range(min(self._size, len(self._queue)))]
        return asyncio.create_task(self._runner.take(batch))
