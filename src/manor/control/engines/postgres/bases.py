"""Base backups and the log of PostgreSQL, for the port ``bases``."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from manor.control.engines.bases import Archiver, LogFacts
from manor.control.engines.driver import Marker
from manor.control.engines.postgres.client import psql_environment
from manor.control.engines.postgres.marker import read_marker
from manor.control.engines.postgres.programs import Finder
from manor.control.engines.postgres.session import Sessions
from manor.errors import Code, EngineError, RefusedError

LIMITS = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)
FULL_INSTEAD = "take a full base backup: the same command without --incremental"
# Summaries of the log that were removed or never made, and a log that went another way: words of basebackup_incremental.c.
_CANNOT_GO_ON = re.compile(r"summar|incremental backup|manifest")
_CHUNK = 1 << 20
_TAIL_LINES = 8

_FACTS = """
SELECT (SELECT system_identifier::text FROM pg_control_system()),
       current_setting('server_version_num')::int / 10000,
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int,
       (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
       pg_current_wal_lsn() - '0/0', clock_timestamp(),
       current_setting('full_page_writes')::bool, current_setting('wal_level'),
       ARRAY(SELECT spcname::text FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1),
       (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user),
       has_function_privilege('pg_switch_wal()', 'EXECUTE'),
       has_function_privilege('pg_create_restore_point(text)', 'EXECUTE'),
       current_setting('archive_mode') <> 'off',
       coalesce((SELECT rolname FROM pg_roles WHERE rolsuper AND rolcanlogin ORDER BY rolname <> current_user, oid LIMIT 1),
                ''),
       (SELECT pg_control_version FROM pg_control_system()), (SELECT catalog_version_no FROM pg_control_system()),
       coalesce(current_setting('summarize_wal', true)::bool, false)
"""
_LIMITS = "SELECT name, setting::int FROM pg_settings WHERE name = ANY (%s)"
_DATABASES = "SELECT oid::bigint, datname::text, shobj_description(oid, 'pg_database') FROM pg_database ORDER BY oid"
_ARCHIVER = """
SELECT archived_count, coalesce(last_archived_wal, ''), last_archived_time,
       failed_count, coalesce(last_failed_wal, ''), last_failed_time
FROM pg_stat_archiver
"""
# Anything that has a transaction number leaves a commit record, and recovery stops at the first one after its target.
_HEARTBEAT = "SELECT pg_logical_emit_message(true, 'manor', 'heartbeat'), clock_timestamp()"
_SLOT_EXISTS = "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s"


class PostgresBases:
    """One server. Needs pg_control's functions, which every login may call."""

    def __init__(self, sessions: Sessions, programs: Finder) -> None:
        self._sessions = sessions
        self._find = programs

    async def facts(self) -> LogFacts:
        async with self._sessions.maintenance() as connection:
            row = await _row(connection, _FACTS)
            limits = await (await connection.execute(_LIMITS, [list(LIMITS)])).fetchall()
        return LogFacts(
            system=row[0],
            major=row[1],
            timeline=row[2],
            segment_bytes=int(row[3]),
            lsn=int(row[4]),
            at=_utc(row[5]),
            full_page_writes=row[6],
            wal_level=row[7],
            tablespaces=tuple(row[8]),
            replication=row[9],
            switch=row[10],
            mark=row[11],
            archiving=row[12],
            superuser=row[13],
            control_version=row[14],
            catalog_version=row[15],
            summarizing=row[16],
            limits=dict(sorted(limits)),
        )

    async def databases(self) -> Sequence[tuple[int, str, Marker | None]]:
        async with self._sessions.maintenance() as connection:
            rows = await (await connection.execute(_DATABASES)).fetchall()
        return [(oid, name, read_marker(comment)) for oid, name, comment in rows]

    async def archiver(self) -> Archiver:
        async with self._sessions.maintenance() as connection:
            row = await _row(connection, _ARCHIVER)
        return Archiver(
            archived=row[0],
            last_archived=row[1],
            last_archived_at=_utc(row[2]) if row[2] else None,
            failed=row[3],
            last_failed=row[4],
            last_failed_at=_utc(row[5]) if row[5] else None,
        )

    async def end_segment(self) -> tuple[int, dt.datetime]:
        async with self._sessions.maintenance() as connection:
            row = await _row(connection, _HEARTBEAT)
            (lsn,) = await _row(connection, "SELECT pg_switch_wal() - '0/0'")
        return int(lsn), _utc(row[1])

    async def mark(self, name: str) -> tuple[int, dt.datetime]:
        async with self._sessions.maintenance() as connection:
            query = "SELECT pg_create_restore_point(%s) - '0/0', clock_timestamp()"
            row = await _row(connection, query, [name])
        return int(row[0]), _utc(row[1])

    async def reserve(self, slot: str) -> None:
        async with self._sessions.maintenance() as connection:
            if not await (await connection.execute(_SLOT_EXISTS, [slot])).fetchone():
                await connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", [slot])

    async def release(self, slot: str) -> None:
        query = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
        async with self._sessions.maintenance() as connection:
            await connection.execute(query, [slot])

    def receiver_environment(self) -> Mapping[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {**ours, **psql_environment(self._sessions.admin_url), "LC_ALL": "C"}

    async def program(self, name: str) -> str:
        async with self._sessions.maintenance() as connection:
            return self._find(name, connection.info.server_version // 10000)

    async def stream(self, *, listing: bool = False, since: Path | None = None) -> AsyncIterator[bytes]:
        command = [
            await self.program("pg_basebackup"),
            "-D",
            "-",
            "-F",
            "tar",
            "-X",
            "none",
            "-c",
            "fast",
            # Without digests of files: what is stored has some of its own.
            "--manifest-checksums=NONE" if listing else "--no-manifest",
            *([f"--incremental={since}"] if since is not None else []),
            "--no-password",
        ]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2 * _CHUNK,
            env=dict(self.receiver_environment()),
        )
        assert process.stdout is not None  # noqa: S101 - it was asked for
        assert process.stderr is not None  # noqa: S101 - it was asked for
        said = asyncio.create_task(process.stderr.read())
        try:
            while chunk := await process.stdout.read(_CHUNK):
                yield chunk
            _require_success(await process.wait(), await said, self._sessions.name, increment=since is not None)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            said.cancel()


def _require_success(code: int, said: bytes, server: str, *, increment: bool = False) -> None:
    if code == 0:
        return
    text = said.decode("utf-8", "replace")
    tail = "\n".join(text.strip().splitlines()[-_TAIL_LINES:]) or "(it said nothing)"
    if "checksum" in text:
        hint = "the server's own files are damaged: restore the database that the file belongs to, or check the disk"
        raise EngineError(f"server {server}: pg_basebackup found damage; it said:\n{tail}", code=Code.CORRUPT, hint=hint)
    if increment and _CANNOT_GO_ON.search(text):
        raise RefusedError(
            f"server {server}: it cannot go on from the base backup before; pg_basebackup said:\n{tail}", hint=FULL_INSTEAD
        )
    denied = "no pg_hba.conf entry" in text or "must be superuser or replication role" in text
    hint = "the login needs REPLICATION and a line 'replication' in pg_hba.conf" if denied else ""
    raise EngineError(
        f"server {server}: pg_basebackup failed; it said:\n{tail}", code=Code.DENIED if denied else Code.INTERNAL, hint=hint
    )


async def _row(connection: psycopg.AsyncConnection[Any], query: str, parameters: Any = None) -> tuple[Any, ...]:
    row = await (await connection.execute(query.encode(), parameters)).fetchone()
    if row is None:
        raise EngineError("the server returned no row where one is certain", code=Code.INTERNAL)
    return tuple(row)


def _utc(at: dt.datetime) -> dt.datetime:
    return at.astimezone(dt.UTC)
