"""Takes the one tar stream of a base backup apart into one tar per database, on the fly and byte by byte. Pure.

Headers and contents pass through unchanged, so that what comes out is made of the server's own bytes. Assumes the streams of
pg_basebackup: plain ustar headers, and databases as ``base/<oid>/…``.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from manor.errors import Code, EngineError

SYSTEM = "system"
FILE_LIST = "backup_manifest"
"""PostgreSQL's own manifest, which ends the stream where it was asked for."""
BLOCK = 512
END = bytes(2 * BLOCK)
"""What ends a tar."""
FIRST_ORDINARY_OID = 16384
"""Databases below it come with the cluster."""


def member_of(path: str) -> str:
    """Which piece a path belongs to: ``system``, ``backup_manifest``, or the OID of a database that somebody made."""
    parts = path.removeprefix("./").split("/")
    if parts == [FILE_LIST]:
        return FILE_LIST
    if len(parts) < 2 or parts[0] != "base" or not parts[1].isdigit() or int(parts[1]) < FIRST_ORDINARY_OID:
        return SYSTEM
    return parts[1]


@dataclass(slots=True)
class TarSplitter:
    """``feed`` it the stream; ``finished`` says whether it came to its end."""

    finished: bool = False
    _rest: bytearray = field(default_factory=bytearray)
    _member: str = SYSTEM
    _left: int = 0
    """Bytes of the current file (its padding included) that are still to come."""

    def feed(self, chunk: bytes) -> Iterator[tuple[str, bytes]]:
        """Pieces as (member, bytes). Raises ``EngineError`` (``corrupt``) where this is no tar."""
        self._rest += chunk
        start = 0
        view = bytes(self._rest)
        while start < len(view) and not self.finished:
            if self._left:
                piece = view[start : start + self._left]
                self._left -= len(piece)
            elif len(view) - start < BLOCK:
                break
            else:
                piece = view[start : start + BLOCK]
                self._begin(piece)
            start += len(piece)
            if not self.finished:
                yield self._member, piece
        self._rest = bytearray(view[start:])

    def _begin(self, header: bytes) -> None:
        if header == bytes(BLOCK):
            self.finished = True
            return
        try:
            found = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise EngineError(f"the base backup's stream is no tar: {error}", code=Code.CORRUPT) from error
        self._member = member_of(found.name)
        self._left = -(-found.size // BLOCK) * BLOCK if found.isreg() else 0
