"""The engine of a command that does everything itself: batches are tasks of this process, and die with it.

Nothing is lost with them: what was done is in the journal and in the tenants' own histories, and whoever resumes the operation
submits the rest anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from manor.control.jobs.engine import Batch, Capabilities, Carry, IsOver


class InlineEngine:
    """Carries batches out with ``carry`` while the coordinator waits for them, all of a wave at once."""

    capabilities = Capabilities(remote=False, batch_size=None, redelivers=False)

    def __init__(self, carry: Carry) -> None:
        self._carry = carry
        self._waiting: dict[str, Batch] = {}
        self._under_way: set[str] = set()

    async def submit(self, batches: Sequence[Batch]) -> None:
        """They begin with ``wait``."""
        for batch in batches:
            if batch.key not in self._under_way:
                self._waiting.setdefault(batch.key, batch)

    async def cancel(self, operation: str) -> None:
        """Forget what waits."""
        self._waiting = {key: batch for key, batch in self._waiting.items() if batch.operation != operation}

    async def wait(self, operation: str, wave: int, is_over: IsOver) -> None:  # noqa: ARG002 - it knows
        """Carry the wave out. What a batch raises ends the others, and is raised as an exception group."""
        while found := [b for b in self._waiting.values() if (b.operation, b.wave) == (operation, wave)]:
            async with asyncio.TaskGroup() as group:
                for batch in found:
                    self._begin(batch, group)

    def _begin(self, batch: Batch, group: asyncio.TaskGroup) -> None:
        del self._waiting[batch.key]
        self._under_way.add(batch.key)
        group.create_task(self._bring_to_end(batch))

    async def _bring_to_end(self, batch: Batch) -> None:
        try:
            while (again := await self._carry(batch)) is not None:  # noqa: ASYNC110 - nobody could tell when
                await asyncio.sleep(again.seconds)
        finally:
            self._under_way.discard(batch.key)

    async def close(self) -> None:
        """Nothing is open."""
