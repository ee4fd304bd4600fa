"""PostgreSQL 14 and later as a ``ServerDriver``.

Copies are made with ``STRATEGY FILE_COPY``: slower per byte written than it looks, but it leaves nothing behind for the next
checkpoint (docs/decisions/0006). Passwords reach the server as SCRAM verifiers, so that they stand in no server log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from manor.control.engines.driver import (
    Fill,
    FoundDatabase,
    GoldenSpec,
    HealthFacts,
    IsolatedColumn,
    Login,
    Marker,
    Publication,
    RoleFault,
    ServerFacts,
    ServerFolders,
    StrayFolder,
)
from manor.control.engines.postgres.bases import PostgresBases
from manor.control.engines.postgres.describe import describe
from manor.control.engines.postgres.dumps import LOCK_TIMEOUT_SECONDS, PostgresDumps
from manor.control.engines.postgres.entries import PostgresEntries
from manor.control.engines.postgres.fill import fill_database
from manor.control.engines.postgres.fingerprint import explain_drift
from manor.control.engines.postgres.folders import find_folders
from manor.control.engines.postgres.goldens import build_golden
from manor.control.engines.postgres.marker import read_marker, write_marker
from manor.control.engines.postgres.programs import Finder, machine_program
from manor.control.engines.postgres.releases import PostgresReleases
from manor.control.engines.postgres.restores import PostgresRestores
from manor.control.engines.postgres.role_faults import find_role_faults
from manor.control.engines.postgres.roles import GROUP_ROLE, are_ours, let_in, make_roles, verifiers_of
from manor.control.engines.postgres.server_facts import server_facts
from manor.control.engines.postgres.session import APPLICATION_PREFIX, Sessions, tenant_url
from manor.control.engines.postgres.strays import find_strays
from manor.control.engines.postgres.swaps import PostgresSwaps
from manor.errors import Code, EngineError, ManorError, UnsupportedError
from manor.settings import redact_url

OLDEST = 140000

_DATABASES = """
SELECT d.datname, r.rolname, shobj_description(d.oid, 'pg_database'), d.datconnlimit
FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
"""

_ENTRANTS = """
SELECT d.datname, array_agg(r.rolname::text ORDER BY r.rolname)
FROM pg_database d CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
JOIN pg_roles r ON r.oid = a.grantee
WHERE a.privilege_type = 'CONNECT'
    AND EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid AND g.rolname = %s)
GROUP BY d.datname
"""

_SIZE_AND_SESSIONS = """
SELECT pg_database_size(current_database()), greatest(numbackends - 1, 0)
FROM pg_stat_database WHERE datname = current_database()
"""


class PostgresServer:
    """One PostgreSQL server.

    ``sessions`` is the most connections that this object ever holds at a time.
    """

    engine = "postgres"

    def __init__(
        self,
        name: str,
        admin_url: str,
        *,
        operation: str,
        sessions: int = 20,
        connect_timeout: int = 30,
        programs: Finder = machine_program,
        dump_lock_timeout: float = LOCK_TIMEOUT_SECONDS,
    ) -> None:
        self.name = name
        self._sessions = Sessions(
            name, admin_url, application=operation, budget=max(2, sessions), connect_timeout=connect_timeout
        )
        self._version = 0
        self.releases = PostgresReleases(self._sessions)
        self.swaps = PostgresSwaps(self._sessions)
        self.bases = PostgresBases(self._sessions, programs)
        self.restores = PostgresRestores(self._sessions)
        self.entries = PostgresEntries(self._sessions)
        self.dumps = PostgresDumps(self._sessions, programs, lock_timeout_seconds=dump_lock_timeout)

    def limit(self, sessions: int) -> None:
        self._sessions.limit(max(2, sessions))

    async def facts(self) -> ServerFacts:
        async with self._sessions.maintenance() as connection:
            found = await server_facts(connection)
        self._version = found.version_number
        if self._version < OLDEST:
            raise UnsupportedError(
                f"server {self.name}: PostgreSQL {found.version} is too old", hint="14 is the oldest that works"
            )
        return found

    async def databases(self) -> Mapping[str, FoundDatabase]:
        async with self._sessions.maintenance() as connection:
            rows = await (await connection.execute(_DATABASES)).fetchall()
        return {
            name: FoundDatabase(name=name, owner=owner, marker=read_marker(comment), broken=limit == -2)
            for name, owner, comment, limit in rows
        }

    async def roles(self) -> frozenset[str]:
        async with self._sessions.maintenance() as connection:
            rows = await (await connection.execute("SELECT rolname FROM pg_roles")).fetchall()
        return frozenset(row[0] for row in rows)

    async def entrants(self) -> Mapping[str, tuple[str, ...]]:
        async with self._sessions.maintenance() as connection:
            rows = await (await connection.execute(_ENTRANTS, [GROUP_ROLE])).fetchall()
        return {database: tuple(roles) for database, roles in rows}

    async def stray_folders(self) -> list[StrayFolder] | None:
        if not (await self.facts()).superuser:
            return None
        async with self._sessions.maintenance() as connection:
            return await find_strays(connection)

    async def folders(self) -> ServerFolders | None:
        if not (await self.facts()).superuser:
            return None
        async with self._sessions.maintenance() as connection:
            return await find_folders(connection)

    async def end_sessions(self, operation: str) -> int:
        # pg_terminate_backend with a timeout returns once the process is gone; it may be in the middle of copying files.
        query = (
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 60000)) FROM pg_stat_activity"
            " WHERE application_name = %s AND pid <> pg_backend_pid() AND usename = current_user"
        )
        async with self._sessions.maintenance() as connection:
            row = await _one(connection, query, [APPLICATION_PREFIX + operation])
        return int(row[0])

    async def prepare(self) -> None:
        async with self._sessions.maintenance() as connection:
            found = await (await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [GROUP_ROLE])).fetchone()
            if found:
                return
            try:
                await connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(GROUP_ROLE)))
            except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                return  # another Manor on the same server made it just now

    async def build_golden(self, spec: GoldenSpec) -> str:
        version = await self._version_number()
        await self.drop_database(spec.building)
        try:
            return await build_golden(self._sessions, spec, version_number=version)
        except BaseException:  # cancellation too: nothing or the finished database is left
            with contextlib.suppress(ManorError):  # where even this fails, the next operation finds it
                await self.drop_database(spec.building)
            raise

    async def clone(self, golden: str, database: str) -> None:
        strategy = sql.SQL(" STRATEGY FILE_COPY" if await self._version_number() >= 150000 else "")
        # Closed, because a copy has the default rights: every tenant's role could enter it and change the shared rows.
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} ALLOW_CONNECTIONS false{}").format(
            sql.Identifier(database), sql.Identifier(golden), strategy
        )
        async with self._sessions.maintenance() as connection:
            await connection.execute(statement)

    async def create_roles(self, logins: Sequence[Login]) -> None:
        verifiers = await verifiers_of(logins)
        async with self._sessions.maintenance() as connection, connection.transaction():
            await make_roles(connection, logins, verifiers)

    async def restrict(self, databases: Mapping[str, Marker]) -> None:
        statements = []
        for name, marker in databases.items():
            database = sql.Identifier(name)
            statements.append(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
            comment = sql.Literal(write_marker(marker))
            statements.append(sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, comment))
            statements.append(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true").format(database))
        async with self._sessions.maintenance() as connection, connection.transaction():
            await connection.execute(_joined(statements))

    async def fill(self, database: str, fill: Fill) -> None:
        async with self._sessions.inside(database) as connection:
            await fill_database(connection, fill)

    async def publish(self, names: Sequence[Publication]) -> None:
        statements = []
        for name in names:
            target = sql.Identifier(name.database)
            statements.append(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name.building), target))
            comment = sql.Literal(write_marker(name.marker))
            statements.append(sql.SQL("COMMENT ON DATABASE {} IS {}").format(target, comment))
            statements.append(let_in(name.database, name.role))
        try:
            async with self._sessions.maintenance() as connection, connection.transaction():
                await connection.execute(_joined(statements))
        except EngineError as error:
            if error.code is not Code.NOT_FOUND or not await self._are_published(names):
                raise  # otherwise it was done before, and the answer was lost

    async def _are_published(self, names: Sequence[Publication]) -> bool:
        present = await self.databases()
        return all(name.database in present and present[name.database].marker == name.marker for name in names)

    async def set_password(self, login: Login, database: str) -> None:
        verifiers = await verifiers_of([login])
        async with self._sessions.maintenance() as connection, connection.transaction():
            await make_roles(connection, [login], verifiers)
            await connection.execute(let_in(database, login.role))

    async def role_faults(self, roles: Mapping[str, str], *, closed: Collection[str] = ()) -> Mapping[str, RoleFault]:
        async with self._sessions.maintenance() as connection:
            return await find_role_faults(connection, roles, closed=closed)

    async def drop_database(self, database: str) -> None:
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
        for last in (False, False, True):  # its tenant may connect anew between two statements
            try:
                async with self._sessions.maintenance() as connection:
                    await connection.execute(statement)
                return
            except EngineError as error:
                if last or error.code is not Code.DENIED or not await self._empty(database):
                    raise

    async def _empty(self, database: str) -> bool:
        """End other roles' sessions in a database, which FORCE does for a superuser only; whether this login may.

        Who made a role may become a member of it, and a member may end its sessions: in a transaction that is rolled back.
        """
        query = "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = %s AND usename <> current_user"
        grant = sql.SQL("GRANT {} TO CURRENT_USER")
        try:
            async with self._sessions.maintenance() as connection, connection.transaction(force_rollback=True):
                roles = await (await connection.execute(query, [database])).fetchall()
                for (role,) in roles:
                    await connection.execute(grant.format(sql.Identifier(role)))
                end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"
                await connection.execute(end, [database])
        except EngineError as error:
            if error.code is Code.DENIED:
                return False
            raise
        return True

    async def drop_role(self, role: str) -> None:
        async with self._sessions.maintenance() as connection:
            if await are_ours(connection, [role]):
                await connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))

    async def fingerprint(self, database: str, isolation: Sequence[IsolatedColumn]) -> tuple[str, bool]:
        async with self._sessions.inside(database) as connection:
            found = await describe(connection, isolation)
        return found.fingerprint, found.isolated

    async def describe(self, database: str, isolation: Sequence[IsolatedColumn]) -> list[str]:
        async with self._sessions.inside(database) as connection:
            return (await describe(connection, isolation)).lines

    def explain_drift(self, expected: Sequence[str], found: Sequence[str]) -> list[str]:
        return explain_drift(expected, found)

    async def check(
        self, database: str, login: Login, isolation: Sequence[IsolatedColumn], *, other: str | None
    ) -> HealthFacts:
        credentials = {"user": login.role, "password": login.password}
        async with self._sessions.inside(database, **credentials) as connection:
            found = await describe(connection, isolation)
            size, sessions = await _one(connection, _SIZE_AND_SESSIONS)
        return HealthFacts(
            fingerprint=found.fingerprint,
            isolation_ok=found.isolated,
            bytes=int(size),
            connections=int(sessions),
            reaches_other=await self._reaches(other, credentials, home=database) if other else False,
            probed=other,
        )

    async def _reaches(self, database: str, credentials: dict[str, str], *, home: str) -> bool:
        try:
            async with self._sessions.inside(database, **credentials):
                return True
        except ManorError as error:
            # A server that does not speak English refuses in words that nobody here knows: ask it.
            if error.code is Code.DENIED or not await self._may_connect(database, home, credentials):
                return False
            raise  # a probe that could not be made proves nothing

    async def _may_connect(self, database: str, home: str, credentials: dict[str, str]) -> bool:
        query = "SELECT has_database_privilege(current_user, %s, 'CONNECT')"
        async with self._sessions.inside(home, **credentials) as connection:
            return bool((await _one(connection, query, [database]))[0])

    @property
    def address(self) -> str:
        return redact_url(self._sessions.admin_url)

    def url(self, database: str, login: Login) -> str:
        return tenant_url(self._sessions.admin_url, database, login.role, login.password)

    async def checkpoint(self) -> None:
        try:
            async with self._sessions.maintenance() as connection:
                await connection.execute("CHECKPOINT")
        except ManorError as error:
            if error.code is not Code.DENIED:
                raise

    async def close(self) -> None:
        await self._sessions.close()

    async def _version_number(self) -> int:
        return self._version or (await self.facts()).version_number


async def _one(connection: psycopg.AsyncConnection[Any], query: str, parameters: Any = None) -> tuple[Any, ...]:
    row = await (await connection.execute(query.encode(), parameters)).fetchone()
    if row is None:
        raise EngineError("the server returned no row where one is certain", code=Code.INTERNAL)
    return tuple(row)


def _joined(statements: Sequence[sql.Composed]) -> sql.Composed:
    """Several statements for one round trip."""
    joined: sql.Composed = sql.SQL("; ").join(statements)
    return joined
