"""Shutting tenants out of PostgreSQL: NOLOGIN for roles, ``ALLOW_CONNECTIONS false`` for databases.

A session that is just being opened may have passed the check of its role before the change was committed, and is not listed
yet: sessions are therefore ended until two looks in a row find none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from manor.control.engines.driver import Marker
from manor.control.engines.postgres.marker import write_marker
from manor.control.engines.postgres.roles import GROUP_ROLE, are_ours
from manor.control.engines.postgres.session import Sessions
from manor.errors import Code, EngineError

Connection = psycopg.AsyncConnection[Any]

_LOOKS = 20
_BETWEEN_LOOKS_SECONDS = 0.05

_STRANGERS = """
SELECT DISTINCT usename FROM pg_stat_activity
WHERE usename <> current_user AND (usename = %(role)s OR datname = %(database)s)
    AND NOT pg_has_role(current_user, usename, 'MEMBER')
"""
_END = """
SELECT count(*) FROM (
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE usename <> current_user AND (usename = %(role)s OR datname = %(database)s) AND pid <> pg_backend_pid()) AS ended
"""
_END_ALL = """
SELECT count(*) FROM (
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = %(database)s AND usename IS NOT NULL AND pid <> pg_backend_pid()) AS ended
"""
_STRANGERS_INSIDE = """
SELECT DISTINCT usename FROM pg_stat_activity
WHERE usename <> current_user AND datname = %(database)s AND NOT pg_has_role(current_user, usename, 'MEMBER')
"""
_POSSESSIONS = """
SELECT DISTINCT coalesce(d.datname, 'the whole server')::text
FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid AND s.refclassid = 'pg_authid'::regclass
LEFT JOIN pg_database d ON d.oid = CASE WHEN s.classid = 'pg_database'::regclass THEN s.objid ELSE s.dbid END
WHERE r.rolname = %(role)s AND coalesce(d.datname, '') <> %(database)s AND s.deptype IN ('o', 'a', 'r', 'i')
ORDER BY 1
"""


class PostgresEntries:
    """The doors of one PostgreSQL server."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def shut_out(self, role: str, database: str) -> int:
        await self._alter(role, "NOLOGIN", missing_ok=True)
        return await self._end(_STRANGERS, _END, {"role": role, "database": database})

    async def let_in(self, role: str) -> None:
        await self._alter(role, "LOGIN", missing_ok=False)

    async def may_log_in(self, role: str) -> bool:
        async with self._sessions.maintenance() as connection:
            row = await (await connection.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", [role])).fetchone()
        return bool(row and row[0])

    async def seal(self, database: str, marker: Marker) -> None:
        name, comment = sql.Identifier(database), sql.Literal(write_marker(marker))
        async with self._sessions.maintenance() as connection:
            found = await connection.execute("SELECT FROM pg_database WHERE datname = %s", [database])
            if await found.fetchone() is None:
                return
            async with connection.transaction():
                await connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, comment))
                await connection.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(name))
        await self._end(_STRANGERS_INSIDE, _END_ALL, {"database": database})

    async def foreign_possessions(self, role: str) -> Sequence[str]:
        async with self._sessions.maintenance() as connection:
            rows = await (await connection.execute(_POSSESSIONS, {"role": role, "database": role})).fetchall()
        return [str(row[0]) for row in rows]

    async def _alter(self, role: str, word: str, *, missing_ok: bool) -> None:
        async with self._sessions.maintenance() as connection, connection.transaction():
            found = await connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role])
            if await found.fetchone() is None:
                if missing_ok:
                    return
                hint = "`manor tenant rotate-password` makes it anew"
                raise EngineError(f"role {role} is gone from server {self._sessions.name}", hint=hint, code=Code.NOT_FOUND)
            if not await are_ours(connection, [role]):
                raise EngineError(
                    f"role {role} is no member of {GROUP_ROLE}: it is left alone",
                    hint="is it another role of that name? Put the membership back if it is the tenant's",
                    code=Code.CONFLICT,
                )
            await connection.execute(sql.SQL("ALTER ROLE {} WITH {}").format(sql.Identifier(role), sql.SQL(word)))

    async def _end(self, strangers: str, end: str, values: dict[str, str]) -> int:
        ended = quiet = 0
        for _ in range(_LOOKS):
            found = await self._end_once(strangers, end, values)
            ended, quiet = ended + found, 0 if found else quiet + 1
            if quiet == 2:
                return ended
            await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)
        raise EngineError(
            f"server {self._sessions.name}: somebody enters {values['database']} anew all the time",
            hint="another role than the tenant's has the right to connect: take it away",
            code=Code.CONFLICT,
        )

    async def _end_once(self, strangers: str, end: str, values: dict[str, str]) -> int:
        """An ordinary login may end the sessions of roles that it is a member of, and whoever made a role may become one: in a
        transaction that is rolled back."""
        try:
            async with self._sessions.maintenance() as connection, connection.transaction(force_rollback=True):
                for (role,) in await (await connection.execute(strangers.encode(), values)).fetchall():
                    await connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))
                row = await (await connection.execute(end.encode(), values)).fetchone()
        except EngineError as error:
            if error.code is Code.DENIED:
                error.hint = f"somebody is in {values['database']} whose session this login may not end: ask them to leave"
            raise
        return int(row[0]) if row else 0
