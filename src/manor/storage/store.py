"""One store: keys that are checked, sums that are taken. The same for every kind of storage."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from manor.errors import InputError
from manor.storage import faults
from manor.storage.driver import INCOMING, Driver, Found
from manor.storage.keys import check_key, check_prefix
from manor.storage.location import Location

READ_LIMIT_BYTES = 16 * 1024 * 1024
_DELETE_BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What was written: ``size`` in bytes, ``sha256`` in lower-case hexadecimal digits."""

    size: int
    sha256: str


class Store:
    """Objects under keys such as ``acme/tenants/001/2026-11-28.dump``; see ``keys.check_key`` for what a key may be.

    Every method raises ``InputError`` for a key that cannot be one, ``UnreachableError`` (transient) where storage does not
    answer, and ``ManorError`` with ``Code.DENIED`` or ``Code.EXHAUSTED`` where it refuses or is full.
    """

    def __init__(self, location: Location, driver: Driver) -> None:
        self.location = location
        self._driver = driver

    def __repr__(self) -> str:
        return f"Store({str(self.location)!r})"

    async def put(self, key: str, chunks: AsyncIterator[bytes], *, overwrite: bool = False) -> Stored:
        """Store ``chunks`` under ``key``: all of them, or nothing. Needs the memory of a few parts, however large the object.

        What ``chunks`` raises is raised. Raises ``ConflictError`` for a key that is there already, unless ``overwrite``.
        """
        feed = _Feed(chunks)
        try:
            async with aclosing(feed.pieces()) as pieces:
                await self._driver.put(check_key(key), pieces, overwrite=overwrite)
        except Exception as error:
            if feed.failure is not None and error is not feed.failure:
                raise feed.failure from None
            raise
        return Stored(size=feed.size, sha256=feed.digest.hexdigest())

    async def write(self, key: str, content: bytes, *, overwrite: bool = False) -> Stored:
        """``put`` of a small object. Raises what ``put`` raises."""
        return await self.put(key, _once(content), overwrite=overwrite)

    def get(self, key: str) -> AsyncIterator[bytes]:
        """The object in pieces of about 1 MB. Raises ``NotFoundError`` when the first one is asked for."""
        return self._driver.get(check_key(key))

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        """At most ``length`` bytes from ``start``, fewer at the end, none behind it. Raises ``NotFoundError``."""
        if start < 0 or length < 1:
            raise InputError(f"a range of {key!r} begins at 0 or later and has a length")
        return await self._driver.get_range(check_key(key), start, length)

    async def read(self, key: str, *, limit_bytes: int = READ_LIMIT_BYTES) -> bytes:
        """A small object at once. Raises ``NotFoundError``, and ``ManorError`` (``EXHAUSTED``) where it exceeds the limit."""
        content = bytearray()
        async for piece in self.get(key):
            content += piece
            if len(content) > limit_bytes:
                raise faults.too_large(self.display(key), limit_bytes)
        return bytes(content)

    async def head(self, key: str) -> Found | None:
        """Size and time of an object, None if it is not there."""
        return await self._driver.head(check_key(key))

    def list(self, prefix: str = "") -> AsyncIterator[Found]:
        """All objects below ``prefix``, in the order of their keys. ``a`` has ``a/b``, and neither ``a`` nor ``ab``."""
        return self._driver.list(check_prefix(prefix))

    async def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; what is not there is not missed, so that it can be done again."""
        wanted = [check_key(key) for key in keys]
        for start in range(0, len(wanted), _DELETE_BATCH):
            await self._driver.delete(wanted[start : start + _DELETE_BATCH])

    async def delete_prefix(self, prefix: str) -> int:
        """Remove all below ``prefix``, which must not be empty; the number of objects. Raises ``InputError``."""
        if not check_prefix(prefix):
            raise InputError(f"all of {self.location} is not removed at once", hint="name a prefix")
        removed = 0
        batch: list[str] = []
        async for found in self.list(prefix):
            batch.append(found.key)
            if len(batch) == _DELETE_BATCH:
                await self._driver.delete(batch)
                removed, batch = removed + len(batch), []
        await self._driver.delete(batch)
        return removed + len(batch)

    async def sweep(self) -> int:
        """Remove what killed writers left outside of any key; the number of files. Writers at work are not disturbed."""
        return await self._driver.sweep()

    def unfinished(self) -> Sequence[Path]:
        """Files that writers, dead or at work, have not given a key yet; none where they are not on this machine."""
        folder = self.location.folder
        if folder is None or not (folder / INCOMING).is_dir():
            return ()
        return sorted((folder / INCOMING).iterdir())

    def display(self, key: str = "") -> str:
        """How messages name an object, or the store: the location without options."""
        return f"{self.location}/{key}" if key else str(self.location)

    def local_path(self, key: str) -> Path | None:
        """The file that holds ``key``, None where it is not on this machine. Whether it is there is not looked at."""
        folder = self.location.folder
        return folder / check_key(key) if folder is not None else None


class _Feed:
    """The pieces of one object on their way: counted, summed, and their own failure told from storage's."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.size = 0
        self.digest = hashlib.sha256()
        self.failure: Exception | None = None
        self._chunks = chunks

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        while (piece := await self._next()) is not None:
            self.size += len(piece)
            self.digest.update(piece)
            if piece:
                yield piece

    async def _next(self) -> bytes | None:
        try:
            return await anext(self._chunks, None)
        except Exception as error:
            self.failure = error
            raise


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
