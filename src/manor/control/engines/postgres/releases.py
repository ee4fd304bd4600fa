"""Releases on PostgreSQL: a change, its history row, its marker and the proof of its outcome in one transaction."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg import pq, sql

from manor.control.engines.driver import IsolatedColumn, Login, Marker
from manor.control.engines.postgres import history
from manor.control.engines.postgres.ballot import PostgresBallot
from manor.control.engines.postgres.describe import ask, describe
from manor.control.engines.postgres.fingerprint import Description
from manor.control.engines.postgres.golden_checks import refuse_open_doors
from manor.control.engines.postgres.isolation import PLACEHOLDERS, function_body, function_name
from manor.control.engines.postgres.marker import write_marker
from manor.control.engines.postgres.scripts import run_placed, script_bytes
from manor.control.engines.postgres.session import APPLICATION_PREFIX, Sessions, translate
from manor.control.engines.releases import (
    Blocker,
    Change,
    Changed,
    ChangeStep,
    HistoryRow,
    Prepared,
    Seen,
    StatementState,
    UnclearError,
    statement_digest,
)
from manor.errors import Code, EngineError, UnreachableError

Connection = psycopg.AsyncConnection[Any]

_PREPARED = "SELECT gid, database, prepared FROM pg_prepared_xacts WHERE starts_with(gid, %s) ORDER BY prepared, gid"

_BLOCKERS = r"""
SELECT DISTINCT ON (waiting.datname) waiting.datname, coalesce(holder.pid, 0), coalesce(holder.usename, ''),
    coalesce(holder.application_name, ''), coalesce(holder.state, ''),
    coalesce(extract(epoch FROM clock_timestamp() - holder.query_start), 0)::float,
    coalesce(extract(epoch FROM clock_timestamp() - holder.xact_start), 0)::float,
    -- Behind comments, which may hold anything. A login without the right to look sees no state and no query.
    CASE WHEN holder.state IS NULL THEN '' ELSE
        upper(coalesce(substring(holder.query FROM '^(?:\s|--[^\n]*\n|/\*(?:[^*]|\*+[^*/])*\*+/)*([A-Za-z]+)'), '')) END
FROM pg_stat_activity AS waiting
CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking (pid)
LEFT JOIN pg_stat_activity AS holder ON holder.pid = blocking.pid
WHERE waiting.application_name = %s AND waiting.wait_event_type = 'Lock'
ORDER BY waiting.datname, holder.xact_start
"""

_INDEX = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"

_BODIES = """
SELECT proname, pg_get_function_sqlbody(p.oid) FROM pg_proc p
WHERE pronamespace = 'public'::regnamespace AND pronargs = 0 AND proname = ANY (%s)
"""


_ENDED = "manor.transaction_has_ended"
_SAME = f"""
SELECT CASE WHEN pg_current_xact_id_if_assigned()::text = '{{transaction}}' THEN '' ELSE current_setting('{_ENDED}') END
"""
"""Fails where the session is in another transaction than before a script: after ``COMMIT; BEGIN`` it is in one again."""

T = TypeVar("T")


class PostgresReleases:
    """The databases of one PostgreSQL server as releases see them."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def look(self, database: str, isolation: Sequence[IsolatedColumn]) -> Seen:
        async with self._sessions.inside(database) as connection:
            found = await describe(connection, isolation)
            rows = await history.read_history(connection)
        return Seen(history=rows, fingerprint=found.fingerprint, isolated=found.isolated)

    async def history(self, database: str) -> tuple[HistoryRow, ...]:
        async with self._sessions.inside(database) as connection:
            return await history.read_history(connection)

    async def fence(self, database: str, operation: str, token: int) -> tuple[HistoryRow, ...]:
        change = Change(operation=operation, token=token, before=(), steps=())
        async with self._sessions.inside(database) as connection:
            begun = await history.begin(connection, change)
            await connection.execute("COMMIT")
        return begun.rows

    async def token(self, database: str) -> int:
        async with self._sessions.inside(database) as connection:
            return await history.read_token(connection)

    async def apply(self, database: str, change: Change) -> Changed:
        async with self._sessions.inside(database) as connection:
            changed = await run_change(connection, database, change)
            try:
                await connection.execute("COMMIT")
            except psycopg.OperationalError as error:
                found = translate(error, f"database {database}")
                if not isinstance(found, UnreachableError):
                    raise
                raise UnclearError(found.message, hint=found.hint, transient=True) from error
            return changed

    async def rehearse(self, database: str, change: Change) -> Changed:
        async with self._sessions.inside(database) as connection:
            changed = await run_change(connection, database, change)
            await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what COMMIT would look at
            await connection.execute("ROLLBACK")
            return changed

    async def begin_apart(self, database: str, change: Change) -> tuple[StatementState, ...] | None:
        async with self._sessions.inside(database) as connection:
            begun = await history.begin(connection, change)
            left = history.steps_left(change, begun.rows, database)
            found = await (await connection.execute(history.statements_of(change))).fetchall()
            await connection.execute("COMMIT")
        return tuple(StatementState(ordinal=o, state=s, digest=d) for o, s, d in found) if left else None

    async def run_apart(self, database: str, change: Change, ordinal: int, text: str) -> None:
        step = change.steps[0]
        statement = script_bytes(step, text)
        async with self._sessions.inside(database) as connection:
            await history.begin(connection, change)
            await connection.execute(history.statement_begun(change, ordinal, statement_digest(text)))
            await connection.execute("COMMIT")
            await connection.execute(history.settings(change, local=False).encode())
            await run_placed(connection, statement, step, text, where=f"database {database}")
            await connection.execute(history.afresh(change, local=False).encode())
            await connection.execute(history.statement_done(change, ordinal))

    async def unbegin_apart(self, database: str, change: Change, ordinal: int) -> None:
        async with self._sessions.inside(database) as connection:
            await history.begin(connection, change)
            await connection.execute(history.statement_unbegun(change, ordinal))
            await connection.execute("COMMIT")

    async def index_is_valid(self, database: str, name: str) -> bool | None:
        async with self._sessions.inside(database) as connection:
            row = await (await connection.execute(_INDEX, [name])).fetchone()
        return None if row is None else bool(row[0])

    async def holds(self, database: str, login: Login, query: str) -> bool:
        async with self._sessions.inside(database, user=login.role, password=login.password) as connection:
            await connection.execute("BEGIN READ ONLY")
            # binary: the extended protocol takes one statement only, so nothing can end the transaction and write after it.
            row = await (await connection.execute(query.encode(), binary=True)).fetchone()
            return bool(row and row[0])

    async def prepared(self, prefix: str) -> list[Prepared]:
        async with self._sessions.maintenance() as connection:
            rows = await (await connection.execute(_PREPARED, [prefix])).fetchall()
        return [Prepared(gid=gid, database=database, since=since) for gid, database, since in rows]

    async def blockers(self, operation: str) -> Mapping[str, Blocker]:
        async with self._sessions.maintenance() as connection:
            rows = await (await connection.execute(_BLOCKERS, [APPLICATION_PREFIX + operation])).fetchall()
        return {
            row[0]: Blocker(
                database=row[0],
                pid=row[1],
                user=row[2],
                application=row[3],
                state=row[4],
                query_seconds=row[5],
                transaction_seconds=row[6],
                command=row[7],
            )
            for row in rows
        }

    @contextlib.asynccontextmanager
    async def ballot(self, *, connections: int) -> AsyncIterator[PostgresBallot]:
        sessions = self._sessions.another(budget=connections)
        ballot = PostgresBallot(sessions, run_change)
        try:
            yield ballot
        finally:
            await ballot.close()

    async def seal(self, building: str, database: str, marker: Marker, isolation: Sequence[IsolatedColumn]) -> str:
        async with self._sessions.inside(building) as connection:
            await connection.execute("SET statement_timeout = 0")  # the login's is meant for queries
            await connection.execute(history.LOWER_FENCE)
            await connection.execute("VACUUM (ANALYZE)")
        # A new session: the first one after a change writes pg_internal.init, which copies then need not make.
        async with self._sessions.inside(building) as connection:
            await refuse_open_doors(connection)
            placeholders = await _placeholders(connection, isolation)
            found = await describe(connection, placeholders)
        if not found.isolated:
            raise EngineError(f"golden {database} does not hold its own placeholders", code=Code.INTERNAL)
        await self._rename(building, database, marker)
        return found.fingerprint

    async def _rename(self, building: str, database: str, marker: Marker) -> None:
        names = {"old": sql.Identifier(building), "new": sql.Identifier(database)}
        async with self._sessions.maintenance() as connection, connection.transaction():
            await connection.execute(sql.SQL("ALTER DATABASE {old} RENAME TO {new}").format(**names))
            comment = sql.Literal(write_marker(marker))
            await connection.execute(sql.SQL("COMMENT ON DATABASE {new} IS {c}").format(**names, c=comment))
            await connection.execute(sql.SQL("ALTER DATABASE {new} WITH ALLOW_CONNECTIONS false").format(**names))


async def run_change(connection: Connection, database: str, change: Change) -> Changed:
    """Begin a transaction and do everything in it but ending it. Raises ``EngineError``; closing the connection undoes it."""
    begun = await history.begin(connection, change)
    left = history.steps_left(change, begun.rows, database)
    after_script = f"{history.afresh(change)}; {_SAME.format(transaction=begun.transaction)}"
    ran: ChangeStep | None = None
    for step in left:
        if step.text is None:
            continue
        if ran is not None:
            await _go_on(database, ran, ask(connection, after_script.encode()))
        await _run_script(connection, database, step)
        ran = step
    record = history.record(change, tuple(left), begun.rows, database)
    # One message for all that is left to say: on a fresh connection each one counts.
    statements = "; ".join(text for text in (after_script if ran else "", record) if text)
    fingerprint = await _go_on(database, ran, _record_and_prove(connection, database, change, statements))
    return Changed(ran=tuple(step.version for step in left), fingerprint=fingerprint)


async def _run_script(connection: Connection, database: str, step: ChangeStep) -> None:
    text = step.text or ""
    script = script_bytes(step, text)
    await run_placed(connection, script, step, text, where=f"database {database}")
    if connection.info.transaction_status != pq.TransactionStatus.INTRANS:
        raise _ended(database, step)


async def _go_on(database: str, ran: ChangeStep | None, work: Awaitable[T]) -> T:
    """Do what begins with ``_SAME`` where a script has run."""
    try:
        return await work
    except psycopg.errors.UndefinedObject as error:
        if ran is None or _ENDED not in str(error):
            raise
        raise _ended(database, ran) from error


def _ended(database: str, step: ChangeStep) -> EngineError:
    return EngineError(
        f"database {database}: migration {step.version} ends the transaction that it runs in; "
        "what it did before may stay, and the history does not know of it",
        place=step.place,
        hint="take BEGIN, COMMIT and ROLLBACK out of it, or declare it transaction:false; then look at `--drift`",
        code=Code.BAD_INPUT,
    )


async def _record_and_prove(connection: Connection, database: str, change: Change, statements: str) -> str:
    """Say ``statements`` and look at what the database is then; returns its fingerprint, if that is to be compared."""
    if not change.fingerprint:
        if statements:
            await ask(connection, statements.encode())
        return ""
    found = await describe(connection, change.isolation, before=statements)
    _compare(database, change, found)
    return found.fingerprint


def _compare(database: str, change: Change, found: Description) -> None:
    if found.fingerprint == change.fingerprint and found.isolated:
        return
    wrong_value = "an isolated column would not hold this tenant's value"
    what = "its schema would not be the released one" if found.isolated else wrong_value
    raise EngineError(
        f"database {database}: {what}; rolled back",
        hint="`manor tenant show TENANT --drift` lists what was different before",
        code=Code.DRIFT,
    )


async def _placeholders(connection: Connection, isolation: Sequence[IsolatedColumn]) -> list[IsolatedColumn]:
    """The isolated columns with what the golden holds for them, which depends on their types."""
    names = [function_name(column) for column in isolation]
    bodies = dict(await (await connection.execute(_BODIES, [names])).fetchall())
    values = {function_body(value): value for value in PLACEHOLDERS.values()}
    return [
        IsolatedColumn(table=c.table, column=c.column, value=values.get(bodies.get(function_name(c), ""), ""))
        for c in isolation
    ]
