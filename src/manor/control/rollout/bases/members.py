"""Writes the pieces of a base backup to storage as they come out of one stream, and reads them back, checked.

Each piece is a zstd-compressed tar of its own. A server's stream has one database after the other, so that two pieces are open
at a time: ``system``, and the database that is just arriving.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import zstandard

from manor.control.backup.base_manifest import Member
from manor.control.backup.tar_split import END, SYSTEM, TarSplitter
from manor.errors import Code, EngineError, NotFoundError
from manor.storage.store import Store, Stored

LEVEL = 3
_BATCH_BYTES = 1 << 20
_QUEUED = 4
_SUFFIX = ".tar.zst"


@dataclass(slots=True)
class _Piece:
    """One member on its way to storage."""

    key: str
    queue: asyncio.Queue[bytes | None]
    stored: asyncio.Task[Stored]
    compressor: zstandard.ZstdCompressionObj = field(
        default_factory=lambda: zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
    )
    waiting: bytearray = field(default_factory=bytearray)

    async def write(self, data: bytes) -> None:
        self.waiting += data
        if len(self.waiting) >= _BATCH_BYTES:
            await self._flush()

    async def _flush(self) -> None:
        data, self.waiting = bytes(self.waiting), bytearray()
        await self._send(await asyncio.to_thread(self.compressor.compress, data))

    async def _send(self, data: bytes | None) -> None:
        """Hand on what storage may take its time for; if storage has failed, so do we."""
        putting = asyncio.ensure_future(self.queue.put(data))
        await asyncio.wait([putting, self.stored], return_when=asyncio.FIRST_COMPLETED)
        if self.stored.done():
            putting.cancel()
            self.stored.result()
        await putting

    async def end(self) -> Member:
        self.waiting += END
        await self._flush()
        await self._send(self.compressor.flush())
        await self.queue.put(None)
        stored = await self.stored
        return Member(key=self.key, bytes=stored.size, sha256=stored.sha256)


async def write_members(store: Store, prefix: str, chunks: AsyncIterator[bytes]) -> dict[str, Member]:
    """Store the pieces of one base backup below ``prefix``. Raises what ``chunks`` and storage raise, and ``EngineError``
    (``corrupt``) for a stream that does not come to its end."""
    splitter, found = TarSplitter(), dict[str, Member]()
    open_pieces: dict[str, _Piece] = {}
    try:
        async for chunk in chunks:
            for name, data in splitter.feed(chunk):
                if name not in open_pieces:
                    await _end_all(open_pieces, found, but=SYSTEM)
                    open_pieces[name] = _begin(store, prefix, name, found)
                await open_pieces[name].write(data)
        if not splitter.finished:
            raise EngineError("the base backup's stream ended in the middle", code=Code.CORRUPT)
        await _end_all(open_pieces, found)
    finally:
        for piece in open_pieces.values():
            piece.stored.cancel()
        await asyncio.gather(*(piece.stored for piece in open_pieces.values()), return_exceptions=True)
    return found


def _begin(store: Store, prefix: str, name: str, found: dict[str, Member]) -> _Piece:
    if name in found:
        raise EngineError(f"the base backup's stream has database {name} twice", code=Code.CORRUPT)
    key, queue = f"{prefix}/{name}{_SUFFIX}", asyncio.Queue[bytes | None](_QUEUED)
    return _Piece(key=key, queue=queue, stored=asyncio.create_task(store.put(key, _drained(queue))))


async def _end_all(pieces: dict[str, _Piece], found: dict[str, Member], *, but: str = "") -> None:
    for name in [name for name in pieces if name != but]:
        found[name] = await pieces[name].end()
        del pieces[name]


async def _drained(queue: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
    while (chunk := await queue.get()) is not None:
        yield chunk


async def read_member(store: Store, member: Member) -> AsyncIterator[bytes]:
    """The tar of one member. Raises ``EngineError`` (``corrupt``) naming it where it is gone, short or altered: at the latest
    when it was read to its end."""
    digest, decompressor = hashlib.sha256(), zstandard.ZstdDecompressor().decompressobj()
    try:
        async for chunk in store.get(member.key):
            digest.update(chunk)
            if data := await asyncio.to_thread(decompressor.decompress, chunk):
                yield data
    except NotFoundError as error:
        raise _damaged(store, member, "is gone") from error
    except zstandard.ZstdError as error:
        raise _damaged(store, member, "is damaged") from error
    if digest.hexdigest() != member.sha256:
        raise _damaged(store, member, "is not what was stored")


async def save_file(store: Store, member: Member, name: str, target: Path) -> None:
    """Write the one file that a member is made of to ``target``. Raises as ``read_member``, before ``target`` is whole."""
    with tempfile.TemporaryFile() as tar:
        async with contextlib.aclosing(read_member(store, member)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                await asyncio.to_thread(tar.write, chunk)
        tar.seek(0)
        await asyncio.to_thread(_take_out, tar, name, target)


def _take_out(tar: IO[bytes], name: str, target: Path) -> None:
    with tarfile.open(fileobj=tar, mode="r:") as opened:
        content = opened.extractfile(name)
        if content is None:
            raise EngineError(f"a member of the base backup has no file {name}", code=Code.CORRUPT)
        with content, target.open("xb") as file:
            shutil.copyfileobj(content, file)


def _damaged(store: Store, member: Member, how: str) -> EngineError:
    hint = "restore the file, or use another base backup: --dry-run names the one that is used"
    return EngineError(f"{store.display(member.key)} {how}", code=Code.CORRUPT, hint=hint)
