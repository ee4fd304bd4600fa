"""Work that blocks, done in threads, so that neither a cancellation nor a wait for each other does harm."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import CancelledError, Future
from typing import TypeVar

_Result = TypeVar("_Result")


async def in_thread(work: Callable[[], _Result]) -> _Result:
    """``work`` in a thread of the shared pool: for what ends by itself. Cancelled, it still waits."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def in_own_thread(work: Callable[[], _Result]) -> _Result:
    """The same in a thread of its own: for what waits for other work, which may need the pool."""
    done: Future[_Result] = Future()

    def run() -> None:
        done.set_running_or_notify_cancel()
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="manor-storage", daemon=True).start()
    return await asyncio.wrap_future(done)


class Pull:
    """An asynchronous iterator, as a thread can iterate over it while the loop is running."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._asked: Future[bytes | None] | None = None
        self._answering: asyncio.Task[object] | None = None
        self._stopped = False

    def __iter__(self) -> Pull:
        return self

    def __next__(self) -> bytes:
        """From the thread. Raises what the iterator raises, and ``CancelledError`` once stopped."""
        with self._lock:
            if self._stopped:
                raise CancelledError
            asked = self._asked = asyncio.run_coroutine_threadsafe(self._answer(), self._loop)
        chunk = asked.result()
        if chunk is None:
            raise StopIteration
        return chunk

    async def while_taken(self, work: Callable[[], _Result]) -> _Result:
        """``work``, which iterates over this, in a thread of its own. Cancelled, it makes the iteration fail and waits."""
        taking = asyncio.ensure_future(in_own_thread(work))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            self._stop()
            await asyncio.gather(taking, *self._still_answering(), return_exceptions=True)
            raise

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            asked = self._asked
        if asked is not None:
            asked.cancel()

    def _still_answering(self) -> list[asyncio.Task[object]]:
        return [self._answering] if self._answering is not None else []

    async def _answer(self) -> bytes | None:
        self._answering = asyncio.current_task()
        return await anext(self._chunks, None)
