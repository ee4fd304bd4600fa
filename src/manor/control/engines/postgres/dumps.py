"""Dumps of PostgreSQL: ``pg_dump`` reads the snapshot of a photograph, ``pg_restore`` and ``psql`` load what it wrote."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from manor.control.engines.driver import IsolatedColumn, Marker
from manor.control.engines.dumps import DumpForm, MissingRole, Photograph
from manor.control.engines.postgres import photograph as photographs
from manor.control.engines.postgres.client import psql_environment
from manor.control.engines.postgres.marker import write_marker
from manor.control.engines.postgres.programs import Finder, Run, fed, streamed, translated
from manor.control.engines.postgres.psql_input import explained, in_transaction
from manor.control.engines.postgres.roles_in_dumps import handed_on, missing_role, roles_there
from manor.control.engines.postgres.session import APPLICATION_PREFIX, Sessions
from manor.errors import Code, EngineError

LOCK_TIMEOUT_SECONDS = 10.0
"""How long a table may be held by others before its backup fails."""

# (encoding, provider, collation, character type, locale of the provider)
_LOCALE = "SELECT pg_encoding_to_char(encoding), {}, datcollate, datctype, {} FROM pg_database WHERE datname = %s"
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
_LOCALE_WORDS = {"i": "ICU_LOCALE", "b": "BUILTIN_LOCALE"}


class PostgresDumps:
    """The databases of one PostgreSQL server as backups see them."""

    def __init__(self, sessions: Sessions, programs: Finder, *, lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> None:
        self._sessions = sessions
        self._find = programs
        self._lock_timeout_seconds = lock_timeout_seconds
        self._major = 0
        self._open: dict[str, tuple[str, ...]] = {}
        """By snapshot, what its dump need not look for."""
        self._tables: dict[tuple[tuple[str, str], ...], photographs.Listed] = {}
        """By isolated columns, which stand for a template, the tables that were found last."""
        self._paths: dict[str, str] = {}
        self._variables = psql_environment(sessions.admin_url)

    @contextlib.asynccontextmanager
    async def photographing(self, database: str, isolation: Sequence[IsolatedColumn]) -> AsyncIterator[tuple[Photograph, str]]:
        async with self._sessions.inside_with_place(database) as connection:
            self._major = connection.info.server_version // 10000
            taken = await self._take(connection, isolation)
            self._open[taken.snapshot] = taken.omitted
            try:
                yield taken.photograph, taken.snapshot
            finally:
                del self._open[taken.snapshot]

    async def photograph(self, database: str, isolation: Sequence[IsolatedColumn]) -> Photograph:
        async with self._sessions.inside(database) as connection:
            return (await self._take(connection, isolation)).photograph

    async def _take(self, connection: psycopg.AsyncConnection[Any], isolation: Sequence[IsolatedColumn]) -> photographs.Taken:
        template = tuple((column.table, column.column) for column in isolation)
        taken = await photographs.take(
            connection, isolation, lock_timeout_seconds=self._lock_timeout_seconds, guess=self._tables.get(template)
        )
        if not taken.listed.foreign:  # which tables belong to an extension is said by numbers that each database has of its own
            self._tables[template] = taken.listed
        return taken

    async def dump(self, database: str, *, form: DumpForm, snapshot: str = "") -> AsyncGenerator[bytes, None]:
        arguments = [f"--format={form}", "--no-password", f"--lock-wait-timeout={round(self._lock_timeout_seconds * 1000)}"]
        if snapshot:
            arguments += [f"--snapshot={snapshot}", *self._open.get(snapshot, ())]
        run = await self._run("pg_dump", database, arguments)
        # The photograph that a snapshot comes from has taken a place in the budget for this.
        place = contextlib.nullcontext() if snapshot else self._sessions.place()
        async with place, contextlib.aclosing(streamed(run)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def create_empty(self, database: str, *, like: str = "", marker: Marker) -> None:
        name = sql.Identifier(database)
        async with self._sessions.maintenance() as connection:
            locale = await _locale(connection, like) if like else sql.SQL("ENCODING 'UTF8'")
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ALLOW_CONNECTIONS false {}").format(name, locale)
            await connection.execute(statement)
            async with connection.transaction():
                await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
                comment = sql.Literal(write_marker(marker))
                await connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, comment))
                await connection.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true").format(name))

    async def load(
        self, database: str, chunks: AsyncIterator[bytes], *, form: DumpForm, roles: Mapping[str, str] | None = None
    ) -> None:
        try:
            await self._load(database, chunks, form, {old: new for old, new in (roles or {}).items() if old != new})
        except EngineError as error:
            missing = missing_role(error.message)
            if missing is None or missing in (roles or {}):
                raise explained(error) from error
            raise MissingRole(error.message, missing) from error

    async def _load(self, database: str, chunks: AsyncIterator[bytes], form: DumpForm, changed: Mapping[str, str]) -> None:
        async with self._sessions.place():
            if form is DumpForm.CUSTOM and not changed:
                arguments = [
                    "--single-transaction",
                    "--exit-on-error",
                    "--no-password",
                    f"--dbname={make_conninfo(dbname=database)}",
                ]
                await fed(await self._run("pg_restore", database, arguments), chunks)
                return
            text = chunks if form is DumpForm.PLAIN else await self._as_text(database, chunks)
            if changed:
                text = handed_on(text, changed, await self._roles(changed), builder=database)
            arguments = ["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--file=-"]
            await fed(await self._run("psql", database, arguments), in_transaction(text))

    def as_text(self, chunks: AsyncIterator[bytes], *, server_version: str) -> AsyncIterator[bytes]:
        program = self._find("pg_restore", int(server_version.partition(".")[0]))
        return translated(Run(program=program, arguments=["--file=-"], environment={}, where="the dump"), chunks)

    async def check(self, chunks: AsyncIterator[bytes], *, server_version: str) -> int:
        program = self._find("pg_restore", int(server_version.partition(".")[0]))
        try:
            listed = await fed(Run(program=program, arguments=["--list"], environment={}, where="the dump"), chunks)
        except EngineError as error:
            code = Code.UNSUPPORTED if "unsupported version" in error.message else Code.CORRUPT
            raise EngineError(error.message, hint=error.hint, code=code) from error
        return sum(not line.startswith(b";") for line in listed.splitlines() if line)

    async def _as_text(self, database: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """A custom dump as SQL."""
        return translated(await self._run("pg_restore", database, ["--file=-", "--exit-on-error"]), chunks)

    async def _roles(self, changed: Mapping[str, str]) -> frozenset[str]:
        async with self._sessions.maintenance() as connection:
            return await roles_there(connection, [*changed, *changed.values()])

    async def _run(self, program: str, database: str, arguments: Sequence[str]) -> Run:
        where = f"server {self._sessions.name}, database {database}"
        if program not in self._paths:
            self._paths[program] = self._find(program, await self._server_major())
        # A dead operation's sessions are found by this name.
        own = {"PGDATABASE": database, "PGAPPNAME": APPLICATION_PREFIX + self._sessions.application}
        return Run(program=self._paths[program], arguments=arguments, environment={**self._variables, **own}, where=where)

    async def _server_major(self) -> int:
        if not self._major:
            async with self._sessions.maintenance() as connection:
                self._major = connection.info.server_version // 10000
        return self._major


async def _locale(connection: psycopg.AsyncConnection[Any], like: str) -> sql.Composed:
    """How CREATE DATABASE is told to sort as ``like`` does."""
    version = connection.info.server_version
    provider = "datlocprovider" if version >= 150000 else "'c'::\"char\""
    locale = "datlocale" if version >= 170000 else "daticulocale" if version >= 150000 else "NULL"
    row = await (await connection.execute(_LOCALE.format(provider, locale).encode(), [like])).fetchone()
    if row is None:
        raise EngineError(f"there is no database {like}", code=Code.NOT_FOUND)
    encoding, kind, collation, character_type, own = row
    words = sql.SQL("ENCODING {} LC_COLLATE {} LC_CTYPE {}").format(*map(sql.Literal, (encoding, collation, character_type)))
    if version >= 150000:
        words += sql.SQL(" LOCALE_PROVIDER {}").format(sql.SQL(_PROVIDERS[kind]))
    if kind in _LOCALE_WORDS and own:
        words += sql.SQL(" {} {}").format(sql.SQL(_LOCALE_WORDS[kind]), sql.Literal(own))
    return words
