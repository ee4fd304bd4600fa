"""Carries out one batch: targets of one server, as many at once as its budget allows, claimed from the catalog on the way.

For the command that does everything itself as for a worker. What stops it between two targets: Ctrl-C or SIGTERM, somebody's
``operation pause`` or ``abort``, more failures than are allowed, another runner. Targets under way are always brought to their
end and recorded; those that were claimed and not begun are given back.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from manor.control.catalog.records import TargetRecord
from manor.control.rollout.release.stopping import Stop, asked, is_failure
from manor.control.rollout.release.work import Work
from manor.control.rollout.retry import until_recorded
from manor.control.steps import Status

Mover = Callable[[Work, TargetRecord], Awaitable[TargetRecord]]
_MOST_CLAIMED = 50
"""Targets that one statement claims: with more, other claims would wait for it."""
_LOOK_SECONDS = 0.5
"""Between two looks at whether somebody wants us to stop."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the batches of a wave that run in this process have come to."""

    failures: int = 0
    results: list[TargetRecord] = field(default_factory=list)
    stop: Stop = Stop.FINISHED


class BatchRunner:
    """One batch under way."""

    def __init__(self, work: Work, targets: Iterable[TargetRecord], mover: Mover, tally: Tally) -> None:
        self.work = work
        self._mover = mover
        self._tally = tally
        self._queue = deque(targets)
        self._looked_at = time.monotonic()

    async def run(self) -> Stop:
        """Carry it out; outcomes are on their way into the journal when this returns. Says why it went no further."""
        claimed = _Claimed(self, self._queue)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.work.conduct.parallel, len(self._queue))):
                    group.create_task(self._labour(claimed))
        finally:
            await claimed.give_back()
        return self._tally.stop

    async def finish_begun(self) -> None:
        """Bring targets to their end that the journal calls begun, whatever anybody wants: their runner died. Only for whoever
        knows that nobody else carries this batch out."""
        statuses = await self._statuses(self._queue)
        begun = deque(target for target in self._queue if statuses.get(target.tenant) == Status.IN_PROGRESS)
        self._queue = deque(target for target in self._queue if statuses.get(target.tenant) == Status.PENDING)

        async def labour() -> None:
            while begun and not self.work.runtime.stop.requested:
                await self._move(begun.popleft())

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.work.conduct.parallel, len(begun))):
                group.create_task(labour())

    async def _labour(self, claimed: _Claimed) -> None:
        while not self.is_stopped and (target := await claimed.next()) is not None:
            if await self._is_unwanted():
                claimed.put_back(target)
                return
            await self._move(target)

    async def _is_unwanted(self) -> bool:
        """See from time to time whether somebody wants us to stop: claimed targets need not be begun."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            stop = await asked(self.work)
            if self._tally.stop is Stop.FINISHED:
                self._tally.stop = stop
        return self._tally.stop is not Stop.FINISHED

    async def _move(self, target: TargetRecord) -> None:
        result = await self._mover(self.work, target)
        self._tally.results.append(result)
        self._tally.failures += is_failure(result.status)

    @property
    def is_stopped(self) -> bool:
        """Whether no further target may begin."""
        tally, allowed = self._tally, self.work.conduct.max_failures
        if tally.stop is Stop.FINISHED and self.work.runtime.stop.requested:
            tally.stop = Stop.INTERRUPTED
        if tally.stop is Stop.FINISHED and allowed is not None and tally.failures > allowed:
            tally.stop = Stop.FAILURES
        return tally.stop is not Stop.FINISHED

    async def claim(self, targets: Sequence[TargetRecord]) -> list[TargetRecord]:
        """Have the catalog mark targets as begun; those that it did not give us, somebody stopped."""
        take = functools.partial(
            self.work.runtime.catalog.take_targets,
            self.work.operation,
            self.work.token,
            [target.tenant for target in targets],
            max_failures=self.work.conduct.max_failures,
        )
        given = set(await until_recorded(self.work.runtime, take))
        if len(given) < len(targets):
            given |= await self._unanswered(targets)
        if len(given) < len(targets) and self._tally.stop is Stop.FINISHED:
            stop = await asked(self.work)
            self._tally.stop = Stop.FAILURES if stop is Stop.FINISHED else stop
        return [target for target in targets if target.tenant in given]

    async def _unanswered(self, targets: Sequence[TargetRecord]) -> set[str]:
        """Those that an earlier try claimed whose answer was lost; nobody but us claims targets of this batch."""
        if await asked(self.work) is Stop.TAKEN_OVER:
            return set()
        statuses = await self._statuses(targets)
        return {tenant for tenant, status in statuses.items() if status == Status.IN_PROGRESS}

    async def _statuses(self, targets: Iterable[TargetRecord]) -> dict[str, str]:
        tenants = [target.tenant for target in targets]
        look = functools.partial(self.work.runtime.catalog.target_statuses, self.work.operation, tenants)
        return await until_recorded(self.work.runtime, look)


class _Claimed:
    """Targets that are ours to begin; the next ones are asked for before the last ones are used up."""

    def __init__(self, runner: BatchRunner, queue: deque[TargetRecord]) -> None:
        self._runner = runner
        self._queue = queue
        self._ready: deque[TargetRecord] = deque()
        self._size = max(1, min(_MOST_CLAIMED, 2 * runner.work.conduct.parallel))
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
        return asyncio.create_task(self._runner.claim(batch))

    def put_back(self, target: TargetRecord) -> None:
        """Return one that was not begun."""
        self._ready.appendleft(target)

    async def give_back(self) -> None:
        """Make what was claimed and not begun pending again."""
        if self._asking is not None:
            asking, self._asking = self._asking, None
            self._ready.extend(await asking)
        if self._ready:
            work, tenants = self._runner.work, [target.tenant for target in self._ready]
            give = functools.partial(work.runtime.catalog.give_back_targets, work.operation, work.token, tenants)
            await until_recorded(work.runtime, give)
