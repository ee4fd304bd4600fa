"""A store that is closed while others ask it: what is under way is waited for, what comes later is refused. For drivers that
stand on a client over HTTP, whose own way of closing is to cancel whoever waits for it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType

from manor.errors import UnreachableError

PATIENCE_SECONDS = 10.0
"""How long closing waits for answers."""


def not_open(state: str = "is not open") -> UnreachableError:
    """The error for what is asked of a store that is not open, so that nothing was sent."""
    return UnreachableError(f"the store {state}", hint="async with connect(…) opens it")


def nobody_cancelled() -> bool:
    """Whether a ``CancelledError`` that was caught is not this task's: a future that it waited for was cancelled."""
    task = asyncio.current_task()
    return task is None or task.cancelling() == 0


class Requests:
    """``with requests:`` around each. Raises ``UnreachableError`` where the store is closed. One for each time it is opened."""

    def __init__(self) -> None:
        self.ended = False
        self.patience_seconds = PATIENCE_SECONDS
        self._running = 0
        self._answered = asyncio.Event()

    def __enter__(self) -> None:
        if self.ended:
            raise not_open("is closed")
        self._running += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._running -= 1
        if self.ended and not self._running:
            self._answered.set()

    async def end(self) -> None:
        """Let nobody in any more, and wait until those inside are out, or patience is."""
        self.ended = True
        if self._running:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.patience_seconds):
                    await self._answered.wait()

    def broke(self, error: BaseException) -> bool:
        """Whether ``error``, of a request, came of the client that was closed under it: no answer came, and none will."""
        if isinstance(error, asyncio.CancelledError):
            return nobody_cancelled()
        return self.ended
