"""The archive of one server's WAL: a store with a file per segment, filled by the server's archiver or by pg_receivewal."""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from manor.control.backup.recover import Archive
from manor.control.engines.wal import Timelines, is_history, is_segment, read_history, timeline_of
from manor.errors import Code, EngineError, NotFoundError
from manor.storage.driver import Found
from manor.storage.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class WalArchive:
    """Segments, and the histories of timelines, directly below ``prefix`` in ``store``."""

    store: Store
    prefix: str = ""

    def __str__(self) -> str:
        return self.store.display(self.prefix)

    @property
    def folder(self) -> Path | None:
        """Where the files lie, None where they are not on this machine."""
        root = self.store.location.folder
        return root / self.prefix if root is not None else None

    @property
    def if_late(self) -> str:
        """What to look at where a segment does not arrive."""
        return "manor backup archive status shows more; is the archive's disk full, or pg_receivewal not running?"

    async def files(self) -> Mapping[str, Found]:
        """Everything in it by name."""
        start = len(self.prefix) + 1 if self.prefix else 0
        return {found.key[start:]: found async for found in self.store.list(self.prefix)}

    async def look(self) -> Archive:
        """What planning a recovery needs. Raises what storage raises."""
        files = await self.files()
        histories = {timeline_of(name): read_history((await self.read(name)).decode()) for name in files if is_history(name)}
        whole = _size_of_most(files)
        return Archive(
            segments={name: _stored_at(found) for name, found in files.items() if is_segment(name) and found.size == whole},
            timelines=Timelines(histories=histories),
        )

    async def read(self, name: str) -> bytes:
        """One small file."""
        return await self.store.read(self._key(name))

    async def holds(self, name: str) -> bool:
        """Whether that file is there."""
        return await self.store.head(self._key(name)) is not None

    async def remove(self, names: Iterable[str]) -> None:
        """Remove files; what is not there is not missed."""
        await self.store.delete(self._key(name) for name in names)

    async def fetch(self, names: Sequence[str], folder: Path) -> None:
        """Copy files to ``folder``, several at once. Raises ``EngineError`` (``corrupt``) for one that is not there."""
        await asyncio.to_thread(folder.mkdir, mode=0o700, exist_ok=True)
        slots = asyncio.Semaphore(4)

        async def one(name: str) -> None:
            async with slots:
                await self._fetch(name, folder / name)

        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(one(name))

    async def _fetch(self, name: str, target: Path) -> None:
        if self.folder is not None:
            await asyncio.to_thread(shutil.copyfile, self.folder / name, target)
            return
        try:
            with target.open("wb") as file:
                async for chunk in self.store.get(self._key(name)):
                    await asyncio.to_thread(file.write, chunk)
        except NotFoundError as error:
            raise EngineError(f"segment {name} is gone from the archive {self}", code=Code.CORRUPT) from error

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name


def _size_of_most(files: Mapping[str, Found]) -> int:
    """The size of a whole segment: none is larger."""
    return max((found.size for name, found in files.items() if is_segment(name)), default=0)


def _stored_at(found: Found) -> dt.datetime:
    return found.modified
