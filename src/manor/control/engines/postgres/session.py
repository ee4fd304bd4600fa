"""Connections to one PostgreSQL server, within a budget, and the one place where psycopg's errors become ours.

Assumes a login that may be an ordinary role with CREATEDB and CREATEROLE. Statements that make databases run on
maintenance connections (database ``postgres``), which are kept open; a tenant's database is entered for one transaction and
left at once, because it cannot be renamed or copied while anybody is in it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from manor.errors import Code, EngineError, InputError, ManorError, UnreachableError

APPLICATION_PREFIX = "manor "
_ALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
"""A connection that a network dropped during a long statement is noticed after a minute; libpq's parameters, in seconds but for
the last, which is in milliseconds."""
_TRANSIENT_STATES = {"55006", "55P03", "40001", "40P01", "53300", "53400"}
_CODES = {
    "28P01": Code.DENIED,
    "28000": Code.DENIED,
    "42501": Code.DENIED,
    "53100": Code.EXHAUSTED,
    "53200": Code.EXHAUSTED,
    "53300": Code.EXHAUSTED,
    "42P04": Code.CONFLICT,
    "42710": Code.CONFLICT,
    "55006": Code.CONFLICT,
    "55P03": Code.TIMEOUT,
    "57014": Code.TIMEOUT,
    "3D000": Code.NOT_FOUND,
}
_DETAIL_IS_A_KEY = {"23503", "23505"}
_HINTS = {
    Code.DENIED: "check the login's password and rights; `manor doctor` lists what is missing",
    "53100": "the server's disk is full: free space and run the command again",
    "53300": "raise max_connections or lower max_parallel",
    "55006": "somebody is connected to it",
}


def translate(error: psycopg.Error, where: str) -> ManorError:
    """A vendor's error as ours; ``where`` names the server or database. Never contains a connection string."""
    state = error.sqlstate or ""
    text = (
        error.diag.message_primary or str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    ).strip()
    if not state:
        return _translate_connection_failure(text, where)
    if state.startswith(("08", "57P")):
        return UnreachableError(f"{where}: {text}", hint="the server went away or is starting", transient=True)
    code = _CODES.get(state, Code.INTERNAL if state.startswith("XX") else Code.BAD_INPUT)
    hint = _HINTS.get(state) or _HINTS.get(code) or error.diag.message_hint or ""
    detail = error.diag.message_detail if code is not Code.DENIED and not _detail_is_a_row(state) else None
    text += f" ({detail})" if detail else ""
    return EngineError(f"{where}: {text} [{state}]", hint=hint, code=code, transient=state in _TRANSIENT_STATES)


def _detail_is_a_row(state: str) -> bool:
    """Whether PostgreSQL's detail holds a whole row ("Failing row contains (…)"): a tenant's data has no place in a report."""
    return state.startswith(("23", "44")) and state not in _DETAIL_IS_A_KEY


def _translate_connection_failure(text: str, where: str) -> ManorError:
    lowered = text.lower()
    if (
        "password authentication failed" in lowered
        or "peer authentication failed" in lowered
        or "no pg_hba.conf entry" in lowered
    ):
        return EngineError(f"{where}: {text}", hint=_HINTS[Code.DENIED], code=Code.DENIED)
    if "permission denied for database" in lowered:
        return EngineError(f"{where}: {text}", hint="the role lacks CONNECT on this database", code=Code.DENIED)
    if "not currently accepting connections" in lowered and "database" in lowered:
        hint = "ALTER DATABASE … WITH ALLOW_CONNECTIONS true, if it is meant to be open"
        return EngineError(f"{where}: {text}", hint=hint, code=Code.DENIED)
    if "does not exist" in lowered and "database" in lowered:
        return EngineError(f"{where}: {text}", code=Code.NOT_FOUND)
    if "too many clients" in lowered or "remaining connection slots" in lowered:
        return EngineError(f"{where}: {text}", hint=_HINTS["53300"], code=Code.EXHAUSTED, transient=True)
    return UnreachableError(f"{where}: {text}", hint="is the server running and the address right?", transient=True)


@contextlib.contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise our errors instead of psycopg's."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, where) from error


def tenant_url(admin_url: str, database: str, role: str, password: str) -> str:
    """The administrator's address with a tenant's credentials; password and socket folder are percent-encoded."""
    parameters = conninfo_to_dict(admin_url)
    host, port = str(parameters.get("host") or ""), parameters.get("port")
    query = {
        key: str(value)
        for key, value in sorted(parameters.items())
        if value and key in {"sslmode", "sslrootcert", "hostaddr", "target_session_attrs", "gssencmode", "channel_binding"}
    }
    login = f"{quote(role, safe='')}:{quote(password, safe='')}"
    if host.startswith("/") or "," in host or not host:
        if host:
            query["host"] = host
        if port:
            query["port"] = str(port)
        address = ""
    else:
        bracketed = f"[{host}]" if ":" in host else host
        address = bracketed + (f":{port}" if port else "")
    tail = f"?{urlencode(query, quote_via=quote)}" if query else ""
    return f"postgresql://{login}@{address}/{quote(database, safe='')}{tail}"


def _readable(name: str, url: str) -> str:
    """``url`` itself. Raises ``InputError`` where libpq cannot read it; what libpq says is left out, it quotes passwords."""
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        hint = "write postgresql://user:password@host:5432/, special characters in the password percent-encoded"
        raise InputError(f"the connection URL of server {name} cannot be read", hint=hint) from None
    return url


async def _read_times(connection: psycopg.AsyncConnection[Any]) -> None:
    """psycopg reads times in ISO's spelling only, and a database or a role may have another one. The server has told us which,
    so that this costs nothing where it is the usual one."""
    if (connection.info.parameter_status("DateStyle") or "ISO").startswith("ISO"):
        return
    try:
        await connection.execute("SET DateStyle = ISO")
    except BaseException:  # whatever happens, cancellation too: no session is left behind
        await connection.close()
        raise


class Sessions:
    """Opens connections to one server, never more than ``budget`` at a time, and keeps maintenance connections for reuse."""

    def __init__(self, name: str, admin_url: str, *, application: str, budget: int, connect_timeout: int) -> None:
        self.name = name
        self.admin_url = _readable(name, admin_url)
        self._parameters: dict[str, Any] = dict(conninfo_to_dict(admin_url))
        self.application = application
        self._connect_timeout = connect_timeout
        self._budget = budget
        self._slots = asyncio.Semaphore(budget)
        self._turn = asyncio.Lock()
        self._in_use = 0
        self._idle: list[psycopg.AsyncConnection[Any]] = []

    @property
    def budget(self) -> int:
        """The most connections at a time."""
        return self._budget

    def limit(self, budget: int) -> None:
        """Change the budget; only while no connection is in use."""
        if self._in_use:
            raise EngineError(f"server {self.name}: the budget cannot change while it is in use", code=Code.INTERNAL)
        self._budget = budget
        self._slots = asyncio.Semaphore(budget)

    def another(self, *, budget: int) -> Sessions:
        """The same server and login with a budget of its own."""
        return Sessions(
            self.name, self.admin_url, application=self.application, budget=budget, connect_timeout=self._connect_timeout
        )

    async def open(self, database: str) -> psycopg.AsyncConnection[Any]:
        """A connection to one database that the caller closes, outside the budget."""
        return await self._connect(dbname=database)

    async def _connect(self, **overrides: Any) -> psycopg.AsyncConnection[Any]:
        where = f"server {self.name}" + (f", database {overrides['dbname']}" if "dbname" in overrides else "")
        defaults: dict[str, Any] = {
            "application_name": APPLICATION_PREFIX + self.application,
            "connect_timeout": self._connect_timeout,
        }
        if not self._parameters.get("dbname"):
            defaults["dbname"] = "postgres"  # libpq would take the user's name
        # The URL was read once: reading it for every connection takes 0.2 ms.
        parameters = _ALIVE | self._parameters | defaults | overrides
        with translated(where):
            connection = await psycopg.AsyncConnection.connect(autocommit=True, **parameters)
            await _read_times(connection)
        connection.prepare_threshold = None  # a pooler in between would lose prepared statements
        return connection

    @contextlib.asynccontextmanager
    async def maintenance(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection to the maintenance database; goes back to the idle ones unless it broke."""
        async with self._slot():
            connection = self._take_idle() or await self._connect()
            try:
                with translated(f"server {self.name}"):
                    yield connection
            except BaseException:
                await connection.close()
                raise
            self._idle.append(connection)

    @contextlib.asynccontextmanager
    async def inside(self, database: str, **login: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection to one database, closed at the end; ``login`` (user, password) for another role."""
        async with self._slot(), self._entered(database, login) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def inside_with_place(self, database: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """The same, and a place in the budget for a connection that another program opens meanwhile."""
        async with self._slot(2), self._entered(database, {}) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def _entered(self, database: str, login: dict[str, str]) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        await self._make_room()
        connection = await self._connect(dbname=database, **login)
        try:
            with translated(f"server {self.name}, database {database}"):
                yield connection
        finally:
            await connection.close()

    def _take_idle(self) -> psycopg.AsyncConnection[Any] | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and not connection.broken:
                return connection
        return None

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place in the budget for a connection that another program opens."""
        async with self._slot():
            await self._make_room()
            yield

    @contextlib.asynccontextmanager
    async def _slot(self, number: int = 1) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            # Only one at a time holds a place while it waits for another: no deadlock in the budget.
            async with self._turn if number > 1 else contextlib.nullcontext():
                for _ in range(number):
                    await stack.enter_async_context(self._slots)
            self._in_use += number
            try:
                yield
            finally:
                self._in_use -= number

    async def _make_room(self) -> None:
        # Idle maintenance connections count against the budget too: they give way to work inside tenants.
        while self._idle and len(self._idle) + self._in_use > self._budget:
            await self._idle.pop().close()

    async def close(self) -> None:
        """Close the idle connections; those in use close themselves."""
        while self._idle:
            await self._idle.pop().close()
