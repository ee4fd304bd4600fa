"""One wave that workers carry out: what the coordinator sees of it is the journal.

The wave is over when no target of it is pending or in progress any more; or, once it is to stop, when none is in progress.
Batches of which targets are left are submitted again from time to time, which does nothing as long as the engine knows them: no
job that an engine loses is missed for good.

A wave that is to stop waits only so long for the targets under way: their worker may have died with nobody there to replace
it. They stay in progress then, and the release is not ended but left to settling, which asks their databases.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence

from manor.control.jobs.engine import Batch, JobEngine
from manor.control.rollout.release.batch import Tally
from manor.control.rollout.release.conduct import Conduct
from manor.control.rollout.release.move import NEVER_FINISHED
from manor.control.rollout.release.stopping import Stop, asked, is_failure
from manor.control.rollout.release.work import Work
from manor.control.rollout.retry import until_recorded
from manor.control.steps import Status

_SUBMIT_AGAIN_SECONDS = 10.0
_UNCLAIMED_SECONDS = 10.0
"""After which it is said that nobody takes the work."""
_OPEN = (Status.PENDING, Status.IN_PROGRESS)


def longest_seconds(conduct: Conduct) -> float:
    """How long targets under way are waited for; of more than one transaction, or tried again, they may take longer."""
    return conduct.statement_timeout_seconds + 2 * NEVER_FINISHED


class WaveElsewhere:
    """One wave in the hands of workers."""

    def __init__(self, work: Work, engine: JobEngine, batches: Sequence[Batch], number: int, tally: Tally) -> None:
        self._work = work
        self._engine = engine
        self._batches = batches
        self._number = number
        self._tally = tally
        self._open = dict.fromkeys((tenant for batch in batches for tenant in batch.tenants), str(Status.PENDING))
        self._submitted_at = 0.0
        self._moved_at = time.monotonic()
        self._give_up_at = float("inf")

    async def run(self) -> Stop:
        """Hand it over and wait; the tally gets the targets as the journal has them."""
        every = set(self._open)
        await self._submit()
        await self._engine.wait(self._work.operation, self._number, self._is_over)
        if self._tally.stop is not Stop.TAKEN_OVER:  # what waits then is the successor's
            await until_recorded(self._work.runtime, lambda: self._engine.cancel(self._work.operation))
        look = functools.partial(self._work.runtime.catalog.operation_targets, self._work.operation)
        targets = await until_recorded(self._work.runtime, look)
        self._tally.results += [t for t in targets if t.tenant in every and t.status not in _OPEN]
        return self._tally.stop

    async def _submit(self) -> None:
        self._submitted_at = time.monotonic()
        stopping = self._tally.stop is not Stop.FINISHED
        wanted = {tenant for tenant, status in self._open.items() if not stopping or status == Status.IN_PROGRESS}
        left = [batch for batch in self._batches if not wanted.isdisjoint(batch.tenants)]
        submit = functools.partial(self._engine.submit, left)
        await until_recorded(self._work.runtime, submit)

    async def _is_over(self) -> bool:
        await self._look()
        if not self._open:
            return True
        if self._tally.stop is Stop.FINISHED:
            self._tally.stop = await self._asked()
            if self._tally.stop is not Stop.FINISHED:
                await self._halt()
        if self._tally.stop is Stop.TAKEN_OVER or time.monotonic() > self._give_up_at:
            return True
        if self._tally.stop is not Stop.FINISHED and Status.IN_PROGRESS not in self._open.values():
            return True
        if time.monotonic() - self._submitted_at > _SUBMIT_AGAIN_SECONDS:
            await self._submit()
        return False

    async def _look(self) -> None:
        ask = functools.partial(self._work.runtime.catalog.target_statuses, self._work.operation, list(self._open))
        statuses = await until_recorded(self._work.runtime, ask)
        if statuses != self._open:
            self._moved_at = time.monotonic()
        for tenant, status in statuses.items():
            if status not in _OPEN:
                self._tally.failures += is_failure(status)
                self._work.runtime.telemetry.emit("target.ended", self._work.operation, tenant, status=status)
        self._open = {tenant: status for tenant, status in statuses.items() if status in _OPEN}
        if time.monotonic() - self._moved_at > _UNCLAIMED_SECONDS and Status.IN_PROGRESS not in self._open.values():
            self._moved_at = time.monotonic()
            self._work.runtime.telemetry.emit(
                "wave.unclaimed", self._work.operation, str(self._number), targets=len(self._open)
            )

    async def _asked(self) -> Stop:
        allowed = self._work.conduct.max_failures
        if allowed is not None and self._tally.failures > allowed:
            return Stop.FAILURES
        return await asked(self._work)

    async def _halt(self) -> None:
        """Let no worker claim a further target, and those under way have their time."""
        conduct, runtime = self._work.conduct, self._work.runtime
        self._give_up_at = time.monotonic() + longest_seconds(conduct)
        if self._tally.stop is Stop.INTERRUPTED:  # of which only this process knows
            await until_recorded(runtime, lambda: runtime.catalog.want(self._work.operation, "pause"))
