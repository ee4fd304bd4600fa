"""Proves, before a step that a second operation could trip over, that this operation is still the only one.

The lock is a session: a restart of the catalog's server ends it, and another operation may begin while this one waits for the
server to come back. That one marks this one as interrupted, under the lock. So an operation is alone if it holds the lock, or
gets it back at once, and the journal still calls it running.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from manor.control.catalog.locks import HeldLock
from manor.control.rollout.retry import until_recorded
from manor.control.runtime import Runtime
from manor.errors import ConflictError


def still_alone(runtime: Runtime, lock: HeldLock) -> Callable[[], Awaitable[None]]:
    """The proof for one operation. Awaiting it raises ``ConflictError`` where another operation has taken over."""

    async def prove() -> None:
        await lock.regain()
        running = {operation.id for operation in await runtime.catalog.interrupted_operations()}
        if runtime.operation not in running:
            raise _taken_over()

    return lambda: until_recorded(runtime, prove)


def release_still_alone(runtime: Runtime, lock: HeldLock) -> Callable[[], Awaitable[None]]:
    """The same for a release, which holds a lock of its own; before it has begun, the lock alone is the proof."""

    async def prove() -> None:
        await lock.regain()
        if await runtime.catalog.state_of(runtime.operation) not in (None, "running"):
            raise _taken_over()

    return lambda: until_recorded(runtime, prove)


class BatchLock:
    """The lock of the batch that a worker carries out.

    Once it was lost, the batch counts as another worker's, even if the lock could be taken again: both have the same token, so
    that the journal does not tell what was begun in between. Only what is under way is brought to its end.
    """

    def __init__(self, lock: HeldLock) -> None:
        self._lock = lock
        self.is_lost = False
        """Whether it ever was."""

    async def prove(self) -> None:
        """The proof before each target. Raises ``ConflictError`` where the lock was lost."""
        await self._look()
        if self.is_lost:
            raise ConflictError(
                "the lock of a batch was lost while the catalog's server was away, and another worker may carry it out",
                hint="nothing is to be done: the rest of the batch is brought back to a worker",
            )

    async def keep(self) -> None:
        """Take the lock again where it was lost: nobody is to begin what is under way here. Raises ``ConflictError`` where
        somebody does already, and ``UnreachableError``."""
        await self._look()
        if self.is_lost:
            await self._lock.regain()

    async def _look(self) -> None:
        try:
            await self._lock.confirm()
        except ConflictError:
            self.is_lost = True


def _taken_over() -> ConflictError:
    return ConflictError(
        "the lock was lost while a server was away, and another operation has taken over",
        hint="nothing more is done here; run the command again once that one has ended",
    )
