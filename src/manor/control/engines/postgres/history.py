"""A tenant's own history and fence: the statements that read and write them, and what follows from them.

``schema_migrations`` is dbmate's table with more columns, so that dbmate can still read and write it. ``manor_fence`` is one
row: whoever changes the database puts its token there in the same transaction, and one with a lower token changes nothing.
``manor_statements`` is the journal of what runs outside transactions, made only where something does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from manor.control.engines.postgres.marker import write_marker
from manor.control.engines.postgres.quoting import quote_identifier, quote_literal
from manor.control.engines.postgres.roles import GROUP_ROLE
from manor.control.engines.releases import Change, ChangeStep, HistoryRow
from manor.errors import Code, EngineError

Connection = psycopg.AsyncConnection[Any]

MISSING = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)
"""Raised where a database has no history of ours yet."""

_RACED = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.DuplicateObject,  # a table's own type
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateColumn,
)
"""Raised where somebody else makes the same tables just now: IF NOT EXISTS does not see what is not committed."""

_SESSION = (
    "SET idle_session_timeout = 0; SET idle_in_transaction_session_timeout = 0; "
    "SET lock_timeout = 0; SET statement_timeout = 0; "
    "SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off; "
    "SET standard_conforming_strings = on; SET client_encoding = 'UTF8'; SET DateStyle = ISO"
)
"""What the role or the database may have set otherwise, and on which it depends what a script does and whether it comes to its
end. The search path stays the login's own: an installation's extensions may be found by it."""

_ROWS = "SELECT version, checksum, name, applied_at, operation FROM public.schema_migrations"

LOWER_FENCE = """
DO $$ BEGIN
    IF to_regclass('public.manor_fence') IS NOT NULL THEN UPDATE public.manor_fence SET token = 0, operation = ''; END IF;
END $$
"""
"""For a golden, which nobody enters any more: copies of it begin without the token of the release that built it."""

_RIGHTS = (
    f"REVOKE ALL ON public.schema_migrations, public.manor_fence, public.manor_statements FROM {GROUP_ROLE}; "
    f"GRANT SELECT ON public.schema_migrations TO {GROUP_ROLE}"
)
OWN_RIGHTS = f"""
DO $$ BEGIN
    IF to_regclass('public.manor_fence') IS NOT NULL THEN {_RIGHTS}; END IF;
END $$
"""
"""After rights on all tables were granted: Manor's own are not among them. The three tables come together."""

_GRANTS_ALL = re.compile(r"\bON\s+ALL\s+TABLES\b", re.IGNORECASE)
"""In a migration that means its own tables, and would give away ours."""

_TABLES = f"""
CREATE TABLE IF NOT EXISTS public.schema_migrations (version character varying(128) PRIMARY KEY);
ALTER TABLE public.schema_migrations
    ADD COLUMN IF NOT EXISTS checksum text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS name text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS applied_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN IF NOT EXISTS operation text NOT NULL DEFAULT '';
CREATE TABLE IF NOT EXISTS public.manor_fence (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton), token bigint NOT NULL, operation text NOT NULL);
INSERT INTO public.manor_fence (token, operation) VALUES (0, '') ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS public.manor_statements (
    version text NOT NULL, down boolean NOT NULL, ordinal integer NOT NULL, digest text NOT NULL,
    state text NOT NULL CHECK (state IN ('begun', 'done')), operation text NOT NULL, at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (version, down, ordinal));
{_RIGHTS}
"""  # noqa: S608 - made of constants


async def read_history(connection: Connection) -> tuple[HistoryRow, ...]:
    """The rows, in autocommit; empty where the table is missing or another tool's."""
    try:
        return _history(await (await connection.execute(_ROWS)).fetchall())
    except psycopg.errors.UndefinedColumn:
        rows = await (await connection.execute("SELECT version FROM public.schema_migrations")).fetchall()
        return tuple(HistoryRow(version=version) for version in sorted(str(row[0]) for row in rows))
    except psycopg.errors.UndefinedTable:
        return ()


async def read_token(connection: Connection) -> int:
    """The token that stands in the fence, in autocommit; 0 where there is none."""
    try:
        row = await (await connection.execute("SELECT max(token) FROM public.manor_fence")).fetchone()
    except MISSING:
        return 0
    return int(row[0] or 0) if row else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A transaction that has passed the fence."""

    transaction: str
    """Its number on the server."""
    rows: tuple[HistoryRow, ...]


async def begin(connection: Connection, change: Change) -> Begun:
    """Begin the transaction of a change, raise the fence, and read the history. Raises ``EngineError`` (conflict) where the
    fence is higher. Makes the tables where they are missing."""
    try:
        return await _begin(connection, change, "")
    except MISSING:
        await connection.execute("ROLLBACK")
    try:
        return await _begin(connection, change, _TABLES + ";")
    except _RACED:
        await connection.execute("ROLLBACK")
        return await _begin(connection, change, "")


async def _begin(connection: Connection, change: Change, tables: str) -> Begun:
    begun = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
    cursor = await connection.execute(f"{begun}; {settings(change)}; {tables} {_fence(change)}; {_ROWS}".encode())
    fence: list[Any] = []
    while cursor.nextset():
        if cursor.description and cursor.description[0].name == "fence":
            fence = await cursor.fetchall()
    rows = _history(await cursor.fetchall())
    if not fence:
        raise EngineError(
            f"a later operation has been at work here: token {change.token} of operation {change.operation} is out of date",
            hint="nothing was changed; `manor operation list` shows what ran",
            code=Code.CONFLICT,
        )
    return Begun(transaction=fence[0][0], rows=rows)


def settings(change: Change, *, local: bool = True) -> str:
    """Statements that make the session ours; the change's limits are for this transaction or (not ``local``) the session."""
    return f"{_SESSION}; {_limits(change, local)}"


def afresh(change: Change, *, local: bool = True) -> str:
    """The same after a script of the user's: whatever it set, and whoever it became, is over."""
    return f"RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; {settings(change, local=local)}"


def _limits(change: Change, local: bool) -> str:
    lock, statement = round(change.lock_timeout_seconds * 1000), round(change.statement_timeout_seconds * 1000)
    scope = "LOCAL " if local else ""
    return f"SET {scope}lock_timeout = {max(1, lock)}; SET {scope}statement_timeout = {max(1, statement)}"


def _fence(change: Change) -> str:
    return (
        f"UPDATE public.manor_fence SET token = {change.token:d}, operation = {quote_literal(change.operation)} "  # noqa: S608 - quoted
        f"WHERE token <= {change.token:d} RETURNING pg_current_xact_id()::text AS fence"
    )


def _history(rows: list[Any]) -> tuple[HistoryRow, ...]:
    """In the order of versions; sorted here, as on a fresh connection the server takes longer to find its operators."""
    return tuple(
        HistoryRow(version=version, checksum=checksum, name=name, applied_at=applied_at, operation=operation)
        for version, checksum, name, applied_at, operation in sorted(rows, key=lambda row: row[0])
    )


def steps_left(change: Change, rows: tuple[HistoryRow, ...], database: str) -> tuple[ChangeStep, ...]:
    """The steps that the database has not seen. Raises ``EngineError`` (conflict) where its history is not the expected one."""
    present = {row.version: row.checksum for row in rows}
    before = dict(change.before)
    coming = {step.version: step.checksum for step in (*change.steps, *change.later) if not step.down}
    going = {step.version for step in (*change.steps, *change.later) if step.down}
    expected = before | coming
    problems = [
        *(f"{version} is missing" for version in before if version not in present and version not in going),
        *(f"{version} is not known" for version in present if version not in expected),
        *(
            f"{version} was run with another text"
            for version, checksum in present.items()
            if checksum and expected.get(version, checksum) != checksum
        ),
    ]
    if problems:
        raise EngineError(
            f"database {database}: its history is not the one that is recorded: {', '.join(problems[:5])}",
            hint="`manor tenant migrate --verify` looks into every database and records what is there",
            code=Code.CONFLICT,
        )
    return tuple(step for step in change.steps if (step.version in present) == step.down)


def record(change: Change, done: tuple[ChangeStep, ...], rows: tuple[HistoryRow, ...], database: str) -> str:
    """One text of statements that writes the history and the marker."""
    statements = [_row(step.version, step.checksum, step.name, change.operation) for step in done if not step.down]
    gone = [quote_literal(step.version) for step in done if step.down]
    if gone:
        statements.append(f"DELETE FROM public.schema_migrations WHERE version IN ({', '.join(gone)})")  # noqa: S608 - quoted
    recorded = [quote_literal(step.version) for step in change.steps if step.text is None]
    if recorded:  # what ran outside transactions is in the history now
        statements.append(f"DELETE FROM public.manor_statements WHERE version IN ({', '.join(recorded)})")  # noqa: S608 - quoted
    if any(_GRANTS_ALL.search(step.text or "") for step in done):
        statements.append(_RIGHTS)
    checksums = dict(change.before)
    for row in rows:  # another tool's rows are adopted
        if not row.checksum and row.version in checksums:
            checksum, version = quote_literal(checksums[row.version]), quote_literal(row.version)
            adopt = f"UPDATE public.schema_migrations SET checksum = {checksum} WHERE version = {version}"  # noqa: S608 - literals
            statements.append(adopt)
    if change.marker is not None:
        comment = quote_literal(write_marker(change.marker))
        statements.append(f"COMMENT ON DATABASE {quote_identifier(database)} IS {comment}")
    return "; ".join(statements)


def _row(version: str, checksum: str, name: str, operation: str) -> str:
    values = ", ".join(quote_literal(value) for value in (version, checksum, name, operation))
    return (
        f"INSERT INTO public.schema_migrations (version, checksum, name, operation) VALUES ({values}) "  # noqa: S608 - quoted
        "ON CONFLICT (version) DO UPDATE SET checksum = excluded.checksum, name = excluded.name, "
        "operation = excluded.operation, applied_at = now()"
    )


def statement_begun(change: Change, ordinal: int, digest: str) -> sql.Composed:
    """Journals that a statement outside transactions is about to run."""
    step = change.steps[0]
    return sql.SQL(
        "INSERT INTO public.manor_statements (version, down, ordinal, digest, state, operation) "
        "VALUES ({}, {}, {}, {}, 'begun', {}) ON CONFLICT (version, down, ordinal) DO UPDATE "
        "SET digest = excluded.digest, state = 'begun', operation = excluded.operation, at = now()"
    ).format(*map(sql.Literal, (step.version, step.down, ordinal, digest, change.operation)))


def statement_done(change: Change, ordinal: int) -> sql.Composed:
    """Journals that it has run, unless another operation has begun it anew meanwhile."""
    step = change.steps[0]
    return sql.SQL(
        "UPDATE public.manor_statements SET state = 'done', at = now() "
        "WHERE version = {} AND down = {} AND ordinal = {} AND operation = {}"
    ).format(*map(sql.Literal, (step.version, step.down, ordinal, change.operation)))


def statement_unbegun(change: Change, ordinal: int) -> sql.Composed:
    """Takes it back that a statement was begun, unless another operation has begun it anew meanwhile."""
    step = change.steps[0]
    return sql.SQL(
        "DELETE FROM public.manor_statements "
        "WHERE version = {} AND down = {} AND ordinal = {} AND operation = {} AND state = 'begun'"
    ).format(*map(sql.Literal, (step.version, step.down, ordinal, change.operation)))


def statements_of(change: Change) -> sql.Composed:
    """Reads the journal of a step."""
    step = change.steps[0]
    return sql.SQL(
        "SELECT ordinal, state, digest FROM public.manor_statements WHERE version = {} AND down = {} ORDER BY ordinal"
    ).format(*map(sql.Literal, (step.version, step.down)))
