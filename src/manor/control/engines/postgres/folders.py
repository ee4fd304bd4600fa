"""Where a PostgreSQL server's files are, if they can be read from here."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg

from manor.control.engines.driver import ServerFolders

_SETTINGS = """
SELECT current_setting('data_directory'), current_setting('logging_collector'), current_setting('log_directory'),
       current_setting('wal_compression'), current_setting('archive_command'),
       (SELECT system_identifier FROM pg_control_system())
"""


async def find_folders(connection: psycopg.AsyncConnection[Any]) -> ServerFolders | None:
    """The folders, or None: a path of that name on this machine may be another server's, so its control file must say that it
    is this one. Needs a superuser."""
    row = await (await connection.execute(_SETTINGS)).fetchone()
    if row is None:
        return None
    data, collects, logs, compression, archiving, identifier = row
    folder = Path(data)
    if await asyncio.to_thread(_identifier, folder) != int(identifier) % 2**64:
        return None
    place = Path(logs) if Path(logs).is_absolute() else (folder / logs).resolve()
    outside = collects == "on" and not place.is_relative_to(folder)
    archive = folder.parent / "archive" if "../archive/" in archiving else None  # as the embedded server archives
    return ServerFolders(data=folder, logs=place if outside else None, archive=archive, compressed_images=compression != "off")


def _identifier(folder: Path) -> int:
    """What the control file begins with: the system identifier, in the machine's byte order (``pg_control.h``)."""
    try:
        with (folder / "global" / "pg_control").open("rb") as file:
            return int.from_bytes(file.read(8), "little")
    except OSError:
        return -1
