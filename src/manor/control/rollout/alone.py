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


def _taken_over() -> ConflictError:
    return ConflictError(
        "the lock was lost while a server was away, and another operation has taken over",
        hint="nothing more is done here; run the command again once that one has ended",
    )
