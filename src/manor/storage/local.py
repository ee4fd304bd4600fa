"""A folder as a store. Each object is a file; what a writer has not finished lies in ``.incoming`` and is no object.

obstore's own driver for folders syncs nothing to the disk, so that a power cut could leave a finished backup empty. Here a
file is written aside, synced, and linked into place, and its folder is synced: it is there whole, or not at all. Writers hold a
lock on what they write, by which ``sweep`` tells a dead writer's leftovers.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from manor.errors import ManorError
from manor.storage import faults
from manor.storage.driver import INCOMING, Found
from manor.storage.threads import in_thread

_READ_BYTES = 1024 * 1024
_PLACING_ATTEMPTS = 5
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class LocalDriver:
    """``Driver`` for one folder, which need not be there yet. Files get mode 0600, folders 0700."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, key: str, chunks: AsyncIterator[bytes], *, overwrite: bool) -> None:
        """See ``Driver.put``."""
        incoming = _Incoming(self._folder / INCOMING / secrets.token_hex(12))
        try:
            await self._run(key, self._begin, incoming, key, overwrite)
            async for chunk in chunks:
                await self._run(key, incoming.write, chunk)
            await self._run(key, self._settle, incoming, key, overwrite)
        finally:
            incoming.close()

    async def get(self, key: str) -> AsyncIterator[bytes]:
        """See ``Driver.get``."""
        reading = _Reading(self._folder / key)
        try:
            await self._run(key, reading.begin)
            while piece := await self._run(key, reading.read):
                yield piece
        finally:
            reading.close()

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        """See ``Driver.get_range``."""
        return await self._run(key, self._read_range, key, start, length)

    async def head(self, key: str) -> Found | None:
        """See ``Driver.head``."""
        return await self._run(key, self._look, key)

    async def list(self, prefix: str) -> AsyncIterator[Found]:
        """See ``Driver.list``. One folder's names are in memory at a time."""
        for found in await self._run(prefix, self._folder_of, prefix):
            if isinstance(found, Found):
                yield found
                continue
            async for below in self.list(found):
                yield below

    async def delete(self, keys: Sequence[str]) -> None:
        """See ``Driver.delete``. Folders that become empty go too."""
        for key in keys:
            await self._run(key, self._remove, key)

    async def sweep(self) -> int:
        """See ``Driver.sweep``."""
        return await self._run(INCOMING, self._sweep)

    async def _run(
        self, key: str, work: Callable[_Arguments, _Result], *arguments: _Arguments.args, **named: _Arguments.kwargs
    ) -> _Result:
        """``work`` in a thread, its errors translated."""
        try:
            return await in_thread(partial(work, *arguments, **named))
        except OSError as error:
            raise _translated(error, self._place(key)) from error

    def _place(self, key: str) -> str:
        return str(self._folder / key)

    def _begin(self, incoming: _Incoming, key: str, overwrite: bool) -> None:
        if not overwrite and (self._folder / key).exists():
            raise faults.exists(self._place(key))
        incoming.begin()

    def _settle(self, incoming: _Incoming, key: str, overwrite: bool) -> None:
        """Give a finished file its key. Somebody who empties the folder above at this moment is given way to."""
        incoming.sync()
        target = self._folder / key
        for attempt in range(1, _PLACING_ATTEMPTS + 1):
            _make_folder(target.parent)
            try:
                _move(incoming.path, target, overwrite)
                break
            except FileNotFoundError:
                if attempt == _PLACING_ATTEMPTS:
                    raise
        _sync_folder(target.parent)

    def _read_range(self, key: str, start: int, length: int) -> bytes:
        reading = _Reading(self._folder / key)
        try:
            reading.begin()
            return reading.read_at(start, length)
        finally:
            reading.close()

    def _look(self, key: str) -> Found | None:
        path = self._folder / key
        try:
            return _found(key, path.lstat()) if path.is_file() and not path.is_symlink() else None
        except FileNotFoundError:
            return None

    def _folder_of(self, prefix: str) -> Sequence[Found | str]:
        """What is in one folder: objects, and prefixes of folders, in the order of the keys that they stand for."""
        try:
            with os.scandir(self._folder / prefix) as entries:
                return [item for _, item in sorted(_listed(prefix, entries), key=lambda pair: pair[0])]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _remove(self, key: str) -> None:
        path = self._folder / key
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        for folder in path.parents:
            if folder == self._folder or not _remove_empty(folder):
                _sync_folder(folder)
                return

    def _sweep(self) -> int:
        with suppress(FileNotFoundError):
            return sum(_remove_if_dead(path) for path in sorted((self._folder / INCOMING).iterdir()))
        return 0


class _Incoming:
    """A file that is being written, locked, and that no key names yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = -1

    def begin(self) -> None:
        _make_folder(self.path.parent)
        self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._handle, rest) :]

    def sync(self) -> None:
        os.fsync(self._handle)

    def close(self) -> None:
        if self._handle >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._handle)


class _Reading:
    """The file of an object. A link is no object: it could lead anywhere."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = -1

    def begin(self) -> None:
        self._handle = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if stat.S_ISDIR(os.fstat(self._handle).st_mode):
            raise FileNotFoundError(errno.ENOENT, "a folder", str(self._path))

    def read(self) -> bytes:
        return os.read(self._handle, _READ_BYTES)

    def read_at(self, start: int, length: int) -> bytes:
        content = bytearray()
        while length > len(content) and (piece := os.pread(self._handle, length - len(content), start + len(content))):
            content += piece
        return bytes(content)

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)


def _listed(prefix: str, entries: Iterator[os.DirEntry[str]]) -> Iterator[tuple[str, Found | str]]:
    above = f"{prefix}/" if prefix else ""
    for entry in entries:
        if entry.name.startswith("."):
            continue
        key = above + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield f"{key}/", key
        elif entry.is_file(follow_symlinks=False):
            with suppress(FileNotFoundError):  # removed meanwhile
                yield key, _found(key, entry.stat(follow_symlinks=False))


def _found(key: str, status: os.stat_result) -> Found:
    return Found(key=key, size=status.st_size, modified=datetime.fromtimestamp(status.st_mtime, UTC))


def _move(path: Path, target: Path, overwrite: bool) -> None:
    """Put ``path`` at ``target``; unless ``overwrite``, a target that is there makes it fail, whoever was first."""
    if overwrite:
        path.replace(target)
        return
    try:
        target.hardlink_to(path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without links: looking first is the best that it offers.
        if target.exists():
            raise FileExistsError(errno.EEXIST, "there", str(target)) from error
        path.rename(target)


def _make_folder(folder: Path) -> None:
    """Make it and those above it, for nobody else to read, and synced like files."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with suppress(FileExistsError, FileNotFoundError):
        folder.mkdir(mode=0o700)
        _sync_folder(folder.parent)
    with suppress(FileNotFoundError):  # removed meanwhile: whoever moves a file into it sees that
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "a file", str(folder))


def _sync_folder(folder: Path) -> None:
    with suppress(FileNotFoundError):  # removed meanwhile
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def _remove_if_dead(path: Path) -> bool:
    """Remove a leftover, unless its writer still holds the lock."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(handle)


def _translated(error: OSError, place: str) -> ManorError:
    match error.errno:
        case errno.ENOENT | errno.ELOOP:
            return faults.missing(place)
        case errno.EEXIST:
            return faults.exists(place)
        case errno.ENOTDIR | errno.EISDIR | errno.ENOTEMPTY:
            return faults.in_the_way(place)
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return faults.denied(place, os.strerror(error.errno))
        case errno.ENOSPC | errno.EDQUOT:
            return faults.full(place)
        case errno.EIO | errno.ESTALE | errno.ETIMEDOUT | errno.ENOTCONN:
            return faults.unreachable(place, os.strerror(error.errno))
        case _:
            return faults.failed(place, os.strerror(error.errno) if error.errno else type(error).__name__)
