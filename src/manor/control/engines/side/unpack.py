"""Unpacks tars of a base backup into a data directory, and makes the folders of databases that are left out.

Names come from a server that may be somebody else's: nothing is ever written outside the directory, and only files, folders and
the links that PostgreSQL itself makes (none, where tablespaces are refused) are accepted.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from manor.control.engines.embedded.account import Account
from manor.errors import Code, EngineError

_COPY_BYTES = 1 << 20
_EMPTY_FOLDERS = ("pg_wal", "pg_wal/archive_status", "pg_wal/summaries")
_VISIBILITY_MAP = re.compile(r"/(INCREMENTAL\.)?[0-9]+_vm(\.[0-9]+)?$")
_FORGOTTEN = ("postgresql.auto.conf", "postmaster.pid", "standby.signal", "recovery.signal", "tablespace_map")


def unpack(stream: IO[bytes], data: Path, *, visibility_maps: bool = True) -> None:
    """Unpack one tar. Raises ``EngineError`` (``corrupt``) where it is not whole, ``OSError`` where it cannot be written.

    ``visibility_maps``: with those. PostgreSQL does without them, and those of an increment cannot be trusted: the log clears
    bits of them without naming their blocks, so that an increment lacks the change, and an index-only scan finds deleted rows.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_COPY_BYTES) as tar:
            for entry in tar:
                if visibility_maps or _VISIBILITY_MAP.search(entry.name) is None:
                    _unpack_one(tar, entry, data)
    except tarfile.TarError as error:
        raise EngineError(f"a member of the base backup is no whole tar: {error}", code=Code.CORRUPT) from error


def _unpack_one(tar: tarfile.TarFile, entry: tarfile.TarInfo, data: Path) -> None:
    path = data / entry.name
    if ".." in Path(entry.name).parts or Path(entry.name).is_absolute():
        raise EngineError(f"a member of the base backup holds the name {entry.name!r}", code=Code.CORRUPT)
    if entry.isdir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return
    content = tar.extractfile(entry) if entry.isreg() else None
    if content is None:
        raise EngineError(f"the base backup holds {entry.name}, which is neither a file nor a folder", code=Code.UNSUPPORTED)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("xb") as target:
        while chunk := content.read(_COPY_BYTES):
            target.write(chunk)


def make_empty_databases(data: Path, oids: Sequence[int]) -> None:
    """Folders of databases without their files. PostgreSQL copies and removes such folders while it replays the log; a missing
    one would end it."""
    version = (data / "PG_VERSION").read_bytes()
    for oid in oids:
        folder = data / "base" / str(oid)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "PG_VERSION").write_bytes(version)


def finish(data: Path, files: dict[str, str], account: Account) -> None:
    """Write the files of ours and give the whole directory to the account that runs the server."""
    for name in _EMPTY_FOLDERS:
        (data / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in _FORGOTTEN:
        (data / name).unlink(missing_ok=True)
    for name, text in files.items():
        (data / name).unlink(missing_ok=True)
        (data / name).write_text(text, encoding="utf-8")
    data.chmod(0o700)
    give_away(data, account)


def give_away(folder: Path, account: Account) -> None:
    """Give a folder and all in it to the account."""
    account.own(folder)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            account.own(Path(parent) / name)
