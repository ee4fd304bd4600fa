"""Swaps on PostgreSQL: ``ALLOW_CONNECTIONS``, markers and renames, each change in one transaction under one advisory lock.

Assumes that the login owns the databases and has CREATEDB and CREATEROLE; it need not be a superuser. Who tries to connect in
a tight loop does not stand in the way: copying and renaming lock the database before they look for sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql

from manor.control.engines.driver import Marker
from manor.control.engines.postgres.census import begin_census, take_census
from manor.control.engines.postgres.database_properties import copy_properties
from manor.control.engines.postgres.marker import read_marker, read_rights, write_marker, write_rights
from manor.control.engines.postgres.session import Sessions
from manor.control.engines.swaps import Census, Closed, Grant, Switch
from manor.errors import Code, EngineError

Connection = psycopg.AsyncConnection[Any]

_TRIES = 5
"""Of what needs a database without sessions; each try waits for some seconds in the server."""

_OBSTACLES = """
SELECT 'a transaction prepared for two-phase commit (' || gid || ') is in it' FROM pg_prepared_xacts WHERE database = %(name)s
UNION ALL
SELECT 'replication slot ' || slot_name || ' reads it, and would go on with the old one'
FROM pg_replication_slots WHERE database = %(name)s
ORDER BY 1
"""

_MARKER = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"

_GRANTS = """
SELECT coalesce(grantee.rolname, ''), entry.privilege_type, entry.is_grantable
FROM pg_database CROSS JOIN LATERAL aclexplode(coalesce(datacl, acldefault('d', datdba))) AS entry
LEFT JOIN pg_roles AS grantee ON grantee.oid = entry.grantee
WHERE datname = %s AND entry.grantee <> datdba ORDER BY 1, 2
"""

_ROLES = "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)"

_ROLES_INSIDE = """
SELECT DISTINCT usename FROM pg_stat_activity
WHERE datname = %s AND usename <> current_user AND NOT pg_has_role(current_user, usename, 'MEMBER')
"""

_END = """
SELECT count(*) FROM (
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = %s AND usename IS NOT NULL AND pid <> pg_backend_pid()) AS ended
"""


class PostgresSwaps:
    """The databases of one PostgreSQL server as swaps see them."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._turn = asyncio.Lock()

    async def obstacles(self, database: str) -> tuple[str, ...]:
        async with self._sessions.maintenance() as connection:
            rows = await (await connection.execute(_OBSTACLES, {"name": database})).fetchall()
        return tuple(row[0] for row in rows)

    async def marker(self, database: str) -> Marker | None:
        async with self._sessions.maintenance() as connection:
            return await _marker(connection, database)

    async def close(self, database: str, *, catalog: str, tenant: str, by: str) -> Closed:
        await self._refuse_obstacles(database)
        async with self._alone(database) as connection:
            found = _require_closable(database, await _marker(connection, database), catalog, tenant, by)
            closed = replace(found, closed=by)
            grants = await _grants(connection, database)
            await _write(connection, database, closed)
            await _allow(connection, database, False)
        sessions = await self._empty(database)
        await self._refuse_obstacles(database)  # one may have been prepared just before
        return Closed(marker=closed, grants=grants, sessions=sessions)

    async def _refuse_obstacles(self, database: str) -> None:
        found = await self.obstacles(database)
        if found:
            raise EngineError(
                f"database {database} cannot be closed: {'; '.join(found[:3])}",
                hint="end that first: COMMIT PREPARED or ROLLBACK PREPARED, or drop the slot",
                code=Code.CONFLICT,
            )

    async def copy(self, source: str, copy: str, marker: Marker) -> None:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} ALLOW_CONNECTIONS false{}").format(
            sql.Identifier(copy),
            sql.Identifier(source),
            sql.SQL(" STRATEGY FILE_COPY" if await self._is_15() else ""),
        )

        async def create() -> None:
            async with self._sessions.maintenance() as connection:
                await connection.execute("SET statement_timeout = 0")  # the login's is meant for queries
                await connection.execute(statement)
                await connection.execute("RESET statement_timeout")

        await self._without_sessions([source], create)
        async with self._alone(copy) as connection:
            await _strip(connection, copy)
            await _write(connection, copy, marker)
            await copy_properties(connection, source, copy)

    async def admit(self, database: str, grants: Sequence[Grant] = ()) -> None:
        async with self._alone(database) as connection:
            await _grant(connection, database, grants)
            await _allow(connection, database, True)

    async def seclude(self, database: str, *, by: str) -> None:
        async with self._alone(database) as connection:
            found = _require_closed(database, await _marker(connection, database), by)
            await _write(connection, database, replace(found, rights=await _rights(connection, database, found)))
            await _strip(connection, database)
            await _allow(connection, database, True)

    async def shut(self, database: str) -> None:
        async with self._alone(database) as connection:
            await _allow(connection, database, False)

    async def switch(self, switch: Switch) -> None:
        async def perform() -> None:
            async with self._alone(switch.database) as connection:
                there = await _marker(connection, switch.kept)
                if there is not None and there.kind == "kept" and there.closed == switch.by:
                    return  # it was done, and the answer was lost
                await _switch(connection, switch)

        await self._without_sessions([switch.database, switch.incoming], perform)

    async def open(self, database: str, *, by: str, grants: Sequence[Grant] = ()) -> None:
        async with self._alone(database) as connection:
            found = await _marker(connection, database)
            if found is not None and not found.closed:
                return
            closed = _require_closed(database, found, by)
            await _grant(connection, database, grants)
            await _grant(connection, database, await _taken_away(connection, closed, grants))
            await _write(connection, database, replace(closed, closed="", rights=""))
            await _allow(connection, database, True)

    async def open_counted(self, database: str, *, by: str, grants: Sequence[Grant], opened: Callable[[], None]) -> Census:
        async with contextlib.AsyncExitStack() as stack:
            async with (
                self._turn
            ):  # only one at a time holds a connection while it waits for another: no deadlock in the budget
                connection = await stack.enter_async_context(self._sessions.inside(database))
                transaction = await begin_census(connection)
                await self.open(database, by=by, grants=grants)
            opened()
            return await take_census(connection, transaction)

    async def census(self, database: str, *, since: int | None = None) -> Census:
        async with self._sessions.inside(database) as connection:
            return await take_census(connection, await begin_census(connection), since=since)

    async def next_transaction(self) -> int:
        async with self._sessions.maintenance() as connection:
            row = await (await connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")).fetchone()
        return int(row[0]) if row else 0

    @contextlib.asynccontextmanager
    async def _alone(self, database: str) -> AsyncIterator[Connection]:
        """A transaction in which no other Manor swaps ``database``."""
        lock = "SELECT pg_advisory_xact_lock(hashtext('manor swap'), hashtext(%s))"
        async with self._sessions.maintenance() as connection, connection.transaction():
            await connection.execute(lock, [database])
            yield connection

    async def _without_sessions(self, databases: Sequence[str], work: Callable[[], Awaitable[None]]) -> None:
        """Do what needs databases without sessions; whoever came back in the meantime is put out again."""
        for left in reversed(range(_TRIES)):
            for database in databases:
                await self._empty(database)
            try:
                await work()
                return
            except EngineError as error:
                if not left or not (error.code is Code.CONFLICT and error.transient):
                    raise

    async def _empty(self, database: str) -> int:
        """End all sessions in a database and wait until they are gone; returns how many there were.

        An ordinary login may end the sessions of roles that it is a member of, and whoever made a role may become one: in a
        transaction that is rolled back.
        """
        grant = sql.SQL("GRANT {} TO CURRENT_USER")
        try:
            async with self._sessions.maintenance() as connection, connection.transaction(force_rollback=True):
                for (role,) in await (await connection.execute(_ROLES_INSIDE, [database])).fetchall():
                    await connection.execute(grant.format(sql.Identifier(role)))
                row = await (await connection.execute(_END, [database])).fetchone()
        except EngineError as error:
            if error.code is Code.DENIED:
                error.hint = f"somebody is in {database} whose session this login may not end: ask them to leave"
            raise
        return int(row[0]) if row else 0

    async def _is_15(self) -> bool:
        async with self._sessions.maintenance() as connection:
            return connection.info.server_version >= 150000


async def _switch(connection: Connection, switch: Switch) -> None:
    await _rename(connection, switch.database, switch.kept)
    # Looked at after the rename, which locks it until the end of the transaction.
    old = _require_closed(switch.database, await _marker(connection, switch.kept), switch.by)
    incoming = await _marker(connection, switch.incoming)
    if incoming is None or (incoming.catalog, incoming.tenant) != (old.catalog, old.tenant):
        raise EngineError(f"database {switch.incoming} is not one of tenant {old.tenant}", code=Code.CONFLICT)
    await _rename(connection, switch.incoming, switch.database)
    rights = await _rights(connection, switch.kept, old)
    await _write(connection, switch.kept, replace(old, kind="kept", rights=""))
    await _write(connection, switch.database, replace(incoming, kind="tenant", closed=switch.by, rights=rights))
    await _allow(connection, switch.kept, False)
    await _strip(connection, switch.database)
    await _allow(connection, switch.database, True)


def _require_closable(database: str, found: Marker | None, catalog: str, tenant: str, by: str) -> Marker:
    if found is None or (found.catalog, found.kind, found.tenant) != (catalog, "tenant", tenant):
        raise EngineError(
            f"database {database} does not bear the mark of tenant {tenant}: it is left alone",
            hint="was its comment changed, or is it another database?",
            code=Code.CONFLICT,
        )
    if found.closed not in ("", by):
        raise EngineError(
            f"database {database} was closed by operation {found.closed.partition(':')[0]}",
            hint="`manor operation recover` opens what a dead operation closed",
            code=Code.CONFLICT,
        )
    return found


def _require_closed(database: str, found: Marker | None, by: str) -> Marker:
    if found is None or found.closed != by:
        raise EngineError(
            f"database {database} is not closed by operation {by.partition(':')[0]} (any more): somebody has taken over",
            hint="nothing was changed; `manor operation list` shows what ran",
            code=Code.CONFLICT,
        )
    return found


async def _marker(connection: Connection, database: str) -> Marker | None:
    row = await (await connection.execute(_MARKER, [database])).fetchone()
    return read_marker(row[0]) if row else None


async def _grants(connection: Connection, database: str) -> tuple[Grant, ...]:
    rows = await (await connection.execute(_GRANTS, [database])).fetchall()
    return tuple(Grant(role=role, privilege=privilege, grantable=grantable) for role, privilege, grantable in rows)


async def _rights(connection: Connection, database: str, closed: Marker) -> str:
    """The rights on a closed database for its marker; those that were taken away are there already."""
    return closed.rights or write_rights(await _grants(connection, database))


async def _taken_away(connection: Connection, closed: Marker, given: Sequence[Grant]) -> list[Grant]:
    """What is to be given back beside ``given``. A role that was dropped since must not keep the tenant out."""
    found = [grant for grant in read_rights(closed.rights) if grant not in given]
    if not found:
        return []
    rows = await (await connection.execute(_ROLES, [[grant.role for grant in found]])).fetchall()
    there = {"", *(name for (name,) in rows)}
    return [grant for grant in found if grant.role in there]


async def _write(connection: Connection, database: str, marker: Marker) -> None:
    comment = sql.Literal(write_marker(marker))
    await connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(database), comment))


async def _allow(connection: Connection, database: str, allowed: bool) -> None:
    word = sql.SQL("true" if allowed else "false")
    await connection.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}").format(sql.Identifier(database), word))


async def _rename(connection: Connection, database: str, name: str) -> None:
    names = sql.Identifier(database), sql.Identifier(name)
    await connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))


async def _strip(connection: Connection, database: str) -> None:
    """Take all rights on a database away from everybody but its owner."""
    revoke = sql.SQL("REVOKE ALL ON DATABASE {} FROM {}")
    for role in sorted({grant.role for grant in await _grants(connection, database)}):
        await connection.execute(revoke.format(sql.Identifier(database), _role(role)))


async def _grant(connection: Connection, database: str, grants: Sequence[Grant]) -> None:
    for grant in grants:
        option = sql.SQL(" WITH GRANT OPTION" if grant.grantable else "")
        statement = sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
            sql.SQL(_PRIVILEGES[grant.privilege]), sql.Identifier(database), _role(grant.role), option
        )
        await connection.execute(statement)


_PRIVILEGES = {"CONNECT": "CONNECT", "TEMPORARY": "TEMPORARY", "TEMP": "TEMPORARY", "CREATE": "CREATE"}


def _role(name: str) -> sql.Composable:
    return sql.Identifier(name) if name else sql.SQL("PUBLIC")
