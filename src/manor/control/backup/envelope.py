"""The envelope of backups: streams encrypted for a tenant's key, in the age format (age-encryption.org/v1).

Whoever has the key opens such a file with the program ``age``, without Manor. Destroying the key is what makes all backups
of a tenant unreadable. The library wants file objects, so each stream has a thread of its own, never one of a shared pool:
streams that wait for each other's threads would wait forever.

The text of a file comes out piece by piece before its end was seen, so nothing may be *done* with it before the stream ended
without an error.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import pyrage  # type: ignore[import-untyped]

from manor.errors import Code, InputError, ManorError

_PIECE_BYTES = 256 * 1024
_PIECES_WAITING = 4
_NO_KEY = "No matching keys found"
_THREAD = "manor-envelope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The key pair of one tenant."""

    secret: str = field(repr=False)
    """``AGE-SECRET-KEY-1…``; opens what was encrypted for ``recipient``."""
    recipient: str
    """``age1…``; not secret."""


def new_identity() -> Identity:
    """A new key pair."""
    made = pyrage.x25519.Identity.generate()
    return Identity(secret=str(made), recipient=str(made.to_public()))


def recipient_of(secret: str) -> str:
    """The public half of a secret key. Raises ``InputError`` where it is none; the text is not repeated."""
    return str(_identity(secret).to_public())


async def encrypting(chunks: AsyncIterator[bytes], recipients: Sequence[str]) -> AsyncGenerator[bytes, None]:
    """``chunks`` as an age file that each of ``recipients`` can open. Needs about 2 MB, however long the stream.

    What ``chunks`` raises is raised. Raises ``InputError`` for no recipient, or one that is none.
    """
    keys = [_recipient(text) for text in recipients]
    if not keys:
        raise InputError("nobody is named who could open the encrypted file")

    def work(source: _Source, sink: _Sink) -> None:
        pyrage.encrypt_io(source, sink, keys)

    async with aclosing(_through(chunks, work)) as pieces:
        async for piece in pieces:
            yield piece


async def decrypting(
    chunks: AsyncIterator[bytes], identity_secret: str, *, what: str = "the encrypted file"
) -> AsyncGenerator[bytes, None]:
    """The text of an age file; ``what`` is its name in messages. Complete and genuine only if the stream ends without an error.

    What ``chunks`` raises is raised. Raises ``InputError`` for a secret that is none, ``ManorError`` with ``Code.DENIED`` for
    another one's key and with ``Code.CORRUPT`` for a file that is cut, altered or no age file.
    """
    identity = _identity(identity_secret)

    def work(source: _Source, sink: _Sink) -> None:
        pyrage.decrypt_io(source, sink, [identity])

    try:
        async with aclosing(_through(chunks, work)) as pieces:
            async for piece in pieces:
                yield piece
    except _LibraryError as error:
        raise _unopened(str(error), what) from None


_Work = Callable[["_Source", "_Sink"], None]


class _LibraryError(Exception):
    """What the library said, as opposed to what a stream raised."""


def _recipient(text: str) -> Any:
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        # A secret key in the wrong place is not repeated.
        shown = repr(text[:80]) if text.startswith("age1") else "what was given"
        raise InputError(f"{shown} is no age recipient", hint="it begins with age1") from None


def _identity(secret: str) -> Any:
    try:
        return pyrage.x25519.Identity.from_str(secret.strip())
    except pyrage.IdentityError:
        raise InputError("this is no age identity", hint="it begins with AGE-SECRET-KEY-1") from None


def _unopened(reason: str, what: str) -> ManorError:
    if _NO_KEY in reason:
        return ManorError(
            f"{what} does not open with this key",
            code=Code.DENIED,
            hint="it was encrypted for another tenant or before the key was changed, or its head was altered",
        )
    return ManorError(f"{what} is cut off or was altered ({reason[:80]})", code=Code.CORRUPT, hint="use another backup")


async def _through(chunks: AsyncIterator[bytes], work: _Work) -> AsyncGenerator[bytes, None]:
    """What ``work`` writes while it reads ``chunks``. However it ends, the thread has ended too."""
    bridge = _Bridge(asyncio.get_running_loop(), chunks)
    thread = threading.Thread(target=bridge.carry_out, args=(work,), name=_THREAD, daemon=True)
    thread.start()
    try:
        while (piece := await bridge.waiting.get()) is not None:
            yield piece
    finally:
        await bridge.stop()
        thread.join()
    if bridge.failure is not None:
        raise bridge.failure


class _Bridge:
    """Between the loop, which has the streams, and the thread, which has the library."""

    def __init__(self, loop: asyncio.AbstractEventLoop, chunks: AsyncIterator[bytes]) -> None:
        self.waiting: asyncio.Queue[bytes | None] = asyncio.Queue(_PIECES_WAITING)
        self.ended = asyncio.Event()
        self.failure: Exception | None = None
        self._loop = loop
        self._chunks = chunks
        self._lock = threading.Lock()
        self._asked: Future[Any] | None = None
        self._answering: asyncio.Task[Any] | None = None
        self._stopped = False

    def carry_out(self, work: _Work) -> None:
        """The thread's whole life."""
        try:
            sink = _Sink(self)
            work(_Source(self), sink)
            sink.finish()
        except Exception as error:
            self.failure = self.failure or _LibraryError(str(error))
        finally:
            self._end()

    def read(self) -> bytes:
        """From the thread: the next chunk, empty at the end. The library wraps errors, so ours is kept."""
        try:
            chunk: bytes | None = self._ask(self._next_chunk)
            return chunk or b""
        except Exception as error:
            self.failure = self.failure or error
            raise

    def write(self, piece: bytes) -> None:
        """From the thread: hand on what is ready, and wait while nobody takes it.

        The library passes over an error in its last write, therefore it is kept here.
        """
        try:
            self._ask(lambda: self.waiting.put(piece))
        except Exception as error:
            self.failure = self.failure or error
            raise

    async def stop(self) -> None:
        """From the loop: whatever the thread waits for fails, now and later. Returns when nobody reads the stream any more."""
        with self._lock:
            self._stopped = True
            asked = self._asked
        if asked is not None:
            asked.cancel()
        await self.ended.wait()
        if self._answering is not None and not self._answering.done():
            await asyncio.wait([self._answering])

    async def _next_chunk(self) -> bytes | None:
        """The next chunk that is not empty, None at the end."""
        async for chunk in self._chunks:
            if chunk:
                return chunk
        return None

    def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any:
        """From the thread: have the loop answer, and wait for it. Raises ``CancelledError`` once stopped."""
        with self._lock:
            if self._stopped:
                raise CancelledError
            asked = self._asked = asyncio.run_coroutine_threadsafe(self._answer(question), self._loop)
        return asked.result()

    async def _answer(self, question: Callable[[], Awaitable[Any]]) -> Any:
        self._answering = asyncio.current_task()
        return await question()

    def _end(self) -> None:
        with suppress(CancelledError):
            self._ask(lambda: self.waiting.put(None))
        self._loop.call_soon_threadsafe(self.ended.set)


class _Source:
    """A file object for the library to read from."""

    def __init__(self, bridge: _Bridge) -> None:
        self._bridge = bridge
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        if not self._rest:
            self._rest = memoryview(self._bridge.read())
        taken = self._rest if size < 0 else self._rest[:size]
        self._rest = self._rest[len(taken) :]
        return bytes(taken)


class _Sink:
    """A file object for the library to write to; it hands on pieces of a size that is worth crossing threads for."""

    def __init__(self, bridge: _Bridge) -> None:
        self._bridge = bridge
        self._pending = bytearray()

    def write(self, data: bytes) -> int:
        self._pending += data
        if len(self._pending) >= _PIECE_BYTES:
            self.finish()
        return len(data)

    def flush(self) -> None:
        """Pieces are handed on when they are large enough."""

    def finish(self) -> None:
        """Hand on what is left."""
        if self._pending:
            piece, self._pending = bytes(self._pending), bytearray()
            self._bridge.write(piece)
