"""Gives what arrives asynchronously to code that reads synchronously, in another thread."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from typing import IO, TypeVar, cast

Result = TypeVar("Result")

_BUFFER_BYTES = 1 << 20


class _Pulled(io.RawIOBase):
    """Chunks as a file. Assumes that its reader is in a thread, and that the loop runs meanwhile."""

    def __init__(self, chunks: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._chunks = chunks
        self._loop = loop
        self._rest = b""
        self.stopped = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer))
        while not self._rest:
            if self.stopped:
                raise InterruptedError("nobody waits for this any more")
            piece = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            if piece is None:
                return 0
            self._rest = piece
        size = min(len(view), len(self._rest))
        view[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    async def _next(self) -> bytes | None:
        return await anext(self._chunks, None)


async def read_in_thread(chunks: AsyncIterator[bytes], work: Callable[[IO[bytes]], Result]) -> Result:
    """``work`` with the chunks as a binary file, in a thread; what is left of the chunks is read to its end afterwards, so that
    whoever sums them up sees them all."""
    pulled = _Pulled(chunks, asyncio.get_running_loop())
    stream = io.BufferedReader(pulled, _BUFFER_BYTES)
    task = asyncio.ensure_future(asyncio.to_thread(work, cast(IO[bytes], stream)))
    try:
        result = await asyncio.shield(task)
    except asyncio.CancelledError:
        pulled.stopped = True
        await asyncio.gather(task, return_exceptions=True)  # it writes files, which are about to be removed
        raise
    async for _ in chunks:
        pass
    return result
