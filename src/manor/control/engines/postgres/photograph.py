"""Takes the photograph of a database: two messages, or three where it has what few databases have.

The first message lists the tables. The second one begins a transaction, locks them, and only then fixes the moment that is
photographed: LOCK TABLE is a statement that takes no snapshot (PostgreSQL manual, LOCK), so that what the snapshot shows has
the shape that it has until the transaction's end. A table that comes or goes between the two messages begins it all again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from manor.control.engines.driver import IsolatedColumn
from manor.control.engines.dumps import Photograph
from manor.control.engines.postgres.describe import ask
from manor.control.engines.postgres.fingerprint import description_of
from manor.control.engines.postgres.fingerprint_facts import FIRST, Rows, facts_of, first_message, second_message
from manor.control.engines.postgres.quoting import quote_identifier, quote_literal
from manor.errors import Code, EngineError

Connection = psycopg.AsyncConnection[Any]

TRIES = 5
"""Of a photograph in which tables come and go."""

LARGE_OBJECTS = "pg_catalog.pg_largeobject_metadata"
"""Where large objects are counted."""

_AT_ONCE = 50
"""Counts per statement."""

# What a tenant's role or database has set must not end the session while the dump reads its snapshot.
_SESSION = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0"
_SESSION_17 = f"{_SESSION}; SET transaction_timeout = 0"

# 'p' is locked and not counted: its rows are in its partitions. The catalog's classes have OIDs below 16384. What belongs to
# an extension is made anew by it, and no dump holds it.
_TABLES = """
SELECT n.nspname, c.relname, c.relkind = 'p' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""

_HISTORY_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass('public.schema_migrations') AND attnum > 0 AND NOT attisdropped
"""

_MOMENT = "SELECT pg_export_snapshot(), clock_timestamp() AT TIME ZONE 'UTC'"
_SIZE = "SELECT pg_database_size(current_database()), current_setting('server_version')"
_OWN = {("public", "schema_migrations"), ("public", "manor_fence"), ("public", "manor_statements")}

_CHANGED = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName)
"""Raised where a table went just now."""

Table = tuple[str, str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    tables: tuple[Table, ...]
    history: frozenset[str]
    """Columns of the history; empty where there is none."""


async def take(
    connection: Connection, isolation: Sequence[IsolatedColumn], *, lock_timeout_seconds: float
) -> tuple[Photograph, str]:
    """The photograph and its snapshot; the connection stays in the transaction that keeps both. Raises psycopg's errors, and
    ``EngineError`` (``conflict``, transient) where tables come and go all the time."""
    await connection.execute((_SESSION_17 if connection.info.server_version >= 170000 else _SESSION).encode())
    for _ in range(TRIES):
        listed = await _list(connection)
        try:
            taken = await _take(connection, listed, isolation, lock_timeout_seconds)
        except _CHANGED:
            taken = None
        if taken is not None:
            return taken
        await connection.execute(b"ROLLBACK")
    where = connection.info.dbname
    raise EngineError(
        f"database {where}: tables come and go all the time", hint="try again later", code=Code.CONFLICT, transient=True
    )


async def _list(connection: Connection) -> _Listed:
    tables, columns = await ask(connection, f"{_TABLES}; {_HISTORY_COLUMNS}".encode())
    return _Listed(tables=tuple(tables), history=frozenset(name for (name,) in columns))


async def _take(
    connection: Connection, listed: _Listed, isolation: Sequence[IsolatedColumn], lock_timeout_seconds: float
) -> tuple[Photograph, str] | None:
    """None where the tables were others by the time they were locked."""
    before = _statements(listed, lock_timeout_seconds)
    found = await ask(connection, first_message(before, in_transaction=True))
    moment, tables, size, *rest = found[: len(found) - len(FIRST)]
    if tuple(tables) != listed.tables:
        return None
    more = second_message(found, in_transaction=True)
    description = description_of(facts_of(found, await ask(connection, more) if more else []), isolation)
    history = _history(rest.pop(0)) if listed.history else ()
    (snapshot, taken_at), (bytes_, version) = moment[0], size[0]
    return Photograph(
        fingerprint=description.fingerprint,
        history=history,
        rows=_counted(rest),
        isolated=description.isolated,
        bytes=int(bytes_),
        server_version=version,
        engine="postgres",
        taken_at=taken_at.replace(tzinfo=dt.UTC),
    ), str(snapshot)


def _statements(listed: _Listed, lock_timeout_seconds: float) -> str:
    names = [f"ONLY {quote_identifier(schema)}.{quote_identifier(table)}" for schema, table, _ in listed.tables]
    lock = f"LOCK TABLE {', '.join(names)} IN ACCESS SHARE MODE" if names else ""
    history = _history_query(listed.history)
    return "; ".join(
        filter(
            None,
            [
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                f"SET LOCAL lock_timeout = {max(1, round(lock_timeout_seconds * 1000))}",
                "SET LOCAL row_security = off",  # it must not hide rows from the count: the server refuses instead
                lock,
                _MOMENT,
                _TABLES,
                _SIZE,
                history,
                *_counts(listed.tables),
            ],
        )
    )


def _history_query(columns: frozenset[str]) -> str:
    """Another tool's history has fewer columns than ours."""
    if not columns:
        return ""
    wanted = [name if name in columns else "''" for name in ("version", "checksum", "name")]
    return f"SELECT {', '.join(wanted)} FROM public.schema_migrations"  # noqa: S608 - made of constants


def _history(rows: Rows) -> tuple[tuple[str, str, str], ...]:
    return tuple((str(version), str(checksum), str(name)) for version, checksum, name in sorted(rows))


def _counts(tables: Sequence[Table]) -> list[str]:
    counted = [(schema, table) for schema, table, partitioned in tables if not partitioned and (schema, table) not in _OWN]
    singles = [f"SELECT {quote_literal(LARGE_OBJECTS)}, count(*) FROM {LARGE_OBJECTS}"]  # noqa: S608 - constants
    for schema, table in counted:
        name = f"{quote_identifier(schema)}.{quote_identifier(table)}"
        singles.append(f"SELECT {quote_literal(f'{schema}.{table}')}, count(*) FROM ONLY {name}")  # noqa: S608 - quoted
    return [" UNION ALL ".join(singles[start : start + _AT_ONCE]) for start in range(0, len(singles), _AT_ONCE)]


def _counted(parts: Sequence[Rows]) -> dict[str, int]:
    rows = {name: int(number) for part in parts for name, number in part}
    if not rows[LARGE_OBJECTS]:
        del rows[LARGE_OBJECTS]
    return rows
