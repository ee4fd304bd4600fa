"""Work that is repeated beside other work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from manor.errors import ManorError


@contextlib.asynccontextmanager
async def again_and_again(
    seconds: float, work: Callable[[], Awaitable[None]], on_trouble: Callable[[ManorError], None]
) -> AsyncIterator[None]:
    """Inside the block, do ``work`` after each so many seconds; one that fails is told of and tried again the next time."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except ManorError as error:
                on_trouble(error)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
