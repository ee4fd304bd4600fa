"""Counts what a database holds, so that it can be proved later that nobody wrote to it.

Statistics would be cheaper and are no proof: they are lost in a crash, can be reset by anybody who may, and do not count
TRUNCATE. Rows carry the number of the transaction that wrote them, and keep it when they are frozen. Where no row is newer
than the first count and no table holds fewer rows, each table holds the rows that it held.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from manor.control.engines.swaps import Census

Connection = psycopg.AsyncConnection[Any]

_AT_ONCE = 50
"""Tables per statement."""

# Row security must not hide rows from the count: with it off the server refuses instead.
_BEGIN = """
SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off
"""

_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND NOT (n.nspname = 'public' AND c.relname IN ('schema_migrations', 'manor_fence', 'manor_statements'))
UNION ALL
SELECT 'pg_catalog', name FROM unnest(ARRAY['pg_largeobject', 'pg_largeobject_metadata']) AS name
WHERE EXISTS (SELECT FROM pg_largeobject_metadata)
ORDER BY 1, 2
"""

_SEQUENCES = "SELECT format('%I.%I', schemaname, sequencename), last_value FROM pg_sequences ORDER BY 1"

_TRANSACTION = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"


async def begin_census(connection: Connection) -> int:
    """Fix the moment that will be counted; returns the first transaction after it."""
    await connection.execute(_BEGIN)
    row = await (await connection.execute(_TRANSACTION)).fetchone()
    return int(row[0]) if row else 0


async def take_census(connection: Connection, transaction: int, *, since: int | None = None) -> Census:
    """Count; reads every table once. Raises ``psycopg.Error`` where it may not see all rows."""
    tables = await (await connection.execute(_TABLES)).fetchall()
    rows: dict[str, int] = {}
    newer: dict[str, int] = {}
    for start in range(0, len(tables), _AT_ONCE):
        counts = [_count(schema, table, transaction, since) for schema, table in tables[start : start + _AT_ONCE]]
        for name, number, new in await (await connection.execute(sql.SQL(" UNION ALL ").join(counts))).fetchall():
            rows[name], newer[name] = number, new
    sequences = dict(await (await connection.execute(_SEQUENCES)).fetchall())
    await connection.execute("ROLLBACK")
    return Census(transaction=transaction, rows=rows, sequences=sequences, newer=newer if since is not None else {})


def _count(schema: str, table: str, transaction: int, since: int | None) -> sql.Composed:
    # Numbers in rows have 32 bits: how far behind the first one, modulo 2^32, against how far the last one is.
    condition: sql.Composable = sql.SQL("false")
    if since is not None:
        condition = sql.SQL("((xmin::text::bigint - {}::bigint) & 4294967295) < {}::bigint").format(
            sql.Literal(since), sql.Literal(max(0, transaction - since))
        )
    return sql.SQL("SELECT {}::text, count(*), count(*) FILTER (WHERE {}) FROM ONLY {}").format(
        sql.Literal(f"{schema}.{table}"), condition, sql.Identifier(schema, table)
    )
