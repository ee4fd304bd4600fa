"""One connection to the catalog: kept open, checked without a round trip, reopened when it is gone.

The only place that knows how psycopg's errors read. Callers take turns: a connection carries one conversation at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
from psycopg import conninfo, pq
from psycopg.rows import TupleRow

from manor.errors import CatalogError, Code, ConflictError, InputError, ManorError, UnreachableError

CATALOG_DATABASE = "manor_catalog"
CONNECT_TIMEOUT_SECONDS = 10

Connection = psycopg.AsyncConnection[TupleRow]

# What the server's or the role's own settings must not change under us.
_SESSION = (
    "SET TIME ZONE 'UTC'; SET DateStyle TO ISO; SET search_path TO pg_catalog; "
    "SET default_transaction_isolation TO 'read committed'"
)
_SESSION_14 = f"{_SESSION}; SET idle_session_timeout TO 0"

# SQLSTATE (or its class) → code, whether trying again can help, hint
_KINDS: dict[str, tuple[Code, bool, str]] = {
    "42501": (Code.DENIED, False, "the catalog's login must own the database manor_catalog"),
    "28": (Code.DENIED, False, "check user and password of the catalog URL"),
    "53": (Code.EXHAUSTED, True, "the catalog's server is out of disk, memory or connections"),
    "25006": (Code.DENIED, False, "the catalog's server is read-only: a standby?"),
    "40": (Code.CONFLICT, True, ""),
    "55P03": (Code.CONFLICT, True, "another Manor holds it for long: manor doctor"),
}
_DENIED_AT_CONNECT = (
    "authentication failed",
    "no pg_hba.conf entry",
    "no password supplied",
    "permission denied",
    "does not exist",
)


def catalog_conninfo(admin_url: str, *, database: str | None = CATALOG_DATABASE) -> str:
    """Connection string of ``database`` on the admin URL's server; with None the URL's own, where that is another one, else
    ``postgres``: the place to make the catalog from.

    Raises ``InputError`` without the URL in it, because it may hold a password.
    """
    try:
        values = conninfo.conninfo_to_dict(admin_url)
    except psycopg.ProgrammingError:
        raise InputError(
            "the catalog URL cannot be read",
            hint="write postgresql://user:password@host:port/database, with %XX for special characters in the password",
        ) from None
    values.setdefault("connect_timeout", str(CONNECT_TIMEOUT_SECONDS))
    elsewhere = values.get("dbname") if values.get("dbname") != CATALOG_DATABASE else None
    values["dbname"] = database or elsewhere or "postgres"
    values.pop("application_name", None)
    return conninfo.make_conninfo("", **values)


async def connect(info: str, *, application: str) -> Connection:
    """A new session in autocommit, UTC. Raises psycopg's errors: wrap it in ``translated``."""
    connection = await psycopg.AsyncConnection.connect(info, autocommit=True, application_name=application)
    try:
        await connection.execute(_SESSION_14 if connection.info.server_version >= 140000 else _SESSION)
    except BaseException:  # whatever happens, cancellation too: no session is left behind
        await connection.close()
        raise
    return connection


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg's errors into Manor's."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error) from error


def translate(error: psycopg.Error) -> ManorError:
    """Manor's error for psycopg's; never with a statement's values in it."""
    state = error.sqlstate or ""
    reason = (error.diag.message_primary or str(error)).strip().splitlines()[0]
    if isinstance(error, psycopg.OperationalError) and (not state or state.startswith(("08", "57P"))):
        if any(text in reason for text in _DENIED_AT_CONNECT):
            return CatalogError(f"the catalog's server refuses us: {reason}", code=Code.DENIED, hint=_KINDS["28"][2])
        return UnreachableError(
            f"the catalog does not answer: {reason}", hint="is its server running? manor server status", transient=True
        )
    if state.startswith("23"):
        return ConflictError(f"the catalog refuses: {reason}; {error.diag.message_detail or ''}".rstrip("; "))
    code, transient, hint = _KINDS.get(state) or _KINDS.get(state[:2]) or (Code.CORRUPT, False, "")
    return CatalogError(f"the catalog fails: {reason}", code=code, transient=transient, hint=hint)


class Link:
    """The kept connection."""

    def __init__(self, info: str, *, application: str) -> None:
        self.info = info
        self.application = application
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    def __repr__(self) -> str:
        return f"Link(application={self.application!r})"

    @contextlib.asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """The connection, alone, in autocommit. Raises ``UnreachableError`` and ``CatalogError``."""
        async with self._turn:
            with translated():
                connection = await self._living()
                try:
                    yield connection
                finally:
                    await self._settle(connection)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """The same inside a transaction in pipeline mode: statements are answered only at the first ``fetch`` or the end.

        psycopg's own ``transaction()`` would cost three more round trips: it synchronises the pipeline at each of its edges.
        """
        async with self.use() as connection:
            try:
                async with connection.pipeline():
                    await connection.execute("BEGIN")
                    yield connection
                    await connection.execute("COMMIT")
            except BaseException:  # cancellation too; where even this fails, ``use`` closes the connection
                with contextlib.suppress(psycopg.Error):
                    await connection.execute("ROLLBACK")
                raise

    async def rows(self, statement: bytes, parameters: dict[str, Any] | None = None) -> list[TupleRow]:
        """All rows of one statement."""
        async with self.use() as connection:
            return await (await connection.execute(statement, parameters)).fetchall()

    async def run(self, statement: bytes, parameters: dict[str, Any] | None = None) -> int:
        """Run one statement in its own transaction; returns the number of rows it touched."""
        async with self.use() as connection:
            return (await connection.execute(statement, parameters)).rowcount

    async def close(self) -> None:
        """Close the session; a later ``use`` opens a new one."""
        async with self._turn:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def _living(self) -> Connection:
        if self._connection is not None and not await _is_alive(self._connection):
            await self._connection.close()
            self._connection = None
        if self._connection is None:
            self._connection = await connect(self.info, application=self.application)
        return self._connection

    async def _settle(self, connection: Connection) -> None:
        """A conversation that was cut short (cancelled) leaves a connection that nobody can go on with."""
        idle = connection.info.transaction_status == pq.TransactionStatus.IDLE
        if connection.closed or not idle or connection.info.pipeline_status != pq.PipelineStatus.OFF:
            await connection.close()
            self._connection = None


async def _is_alive(connection: Connection) -> bool:
    """An idle socket with something to read has been left by the server, or holds a harmless notice: then ask."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if not poll.poll(0):
        return True
    try:
        await connection.execute("SELECT")
    except psycopg.OperationalError:
        return False
    return True
