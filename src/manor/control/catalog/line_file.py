"""A file of lines that only ever grows: each one is on disk when ``append`` comes back, processes take turns.

A last line without its end was never acknowledged (power cut, full disk): readers ignore it, the next append removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from manor.control.catalog.key_file import sync_folder

_BLOCK_BYTES = 64 * 1024


class LineFile:
    """The file; there need not be one yet. Every method may raise ``OSError``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The file for reading; empty where there is none yet."""
        with (self.path if self.path.exists() else Path(os.devnull)).open("rb") as file:
            yield file

    def lines(self) -> Generator[bytes]:
        """Whole lines without their ends, the first one first, streamed."""
        with self.opened() as file:
            yield from (line[:-1] for line in file if line.endswith(b"\n"))

    def backwards(self) -> Generator[bytes]:
        """Whole lines without their ends, the last one first, read from the file's end."""
        with self.opened() as file:
            pieces = _pieces_backwards(file.fileno())
            next(pieces, None)
            yield from pieces

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Nobody else appends; yields the handle that ``append`` takes."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self.path.exists()
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if is_new:
                sync_folder(self.path.parent)
            yield handle
        finally:
            os.close(handle)

    def append(self, handle: int, line: str) -> None:
        """Write one line behind the last whole one, all of it or nothing, and wait until it is on disk."""
        data = line.encode() + b"\n"
        size = os.fstat(handle).st_size
        torn = len(next(_pieces_backwards(handle), b"")) if size else 0
        if torn:
            os.ftruncate(handle, size - torn)
        if os.write(handle, data) != len(data):
            os.ftruncate(handle, size - torn)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(handle)


def _pieces_backwards(handle: int) -> Iterator[bytes]:
    """What stands between newlines, from the end; the first piece is what follows the last newline (empty in a whole file)."""
    position = os.fstat(handle).st_size
    rest = b""
    while position:
        start = max(0, position - _BLOCK_BYTES)
        pieces = (os.pread(handle, position - start, start) + rest).split(b"\n")
        rest = pieces[0]
        yield from reversed(pieces[1:])
        position = start
    yield rest
