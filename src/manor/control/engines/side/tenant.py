"""Finding one tenant's database on a side instance by its marker: names and OIDs may have been others at that moment."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from manor.control.engines.postgres.marker import read_marker
from manor.control.engines.sides import TenantThen
from manor.errors import Code, EngineError

_DATABASES = "SELECT oid::bigint, datname, shobj_description(oid, 'pg_database') FROM pg_database"
_IN_DOUBT = "SELECT gid FROM pg_prepared_xacts WHERE database = %s ORDER BY prepared"
# A database that was copied from one whose files were left out knows of tables that have no files.
_MISSING = """
SELECT count(*) FROM pg_class
WHERE relkind IN ('r', 'i', 'S', 't', 'm') AND relpersistence <> 't' AND NOT relisshared
    AND pg_relation_filenode(oid) IS NOT NULL AND (pg_stat_file(pg_relation_filepath(oid), true)).size IS NULL
"""
_UNLOGGED = """
SELECT format('%s.%s', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'u' ORDER BY 1
"""


async def find_tenant(url: str, tenant: str) -> tuple[str, int] | None:
    """(name, OID) of the tenant's database, None where it had none. Raises ``EngineError`` where it had two."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        rows = await (await connection.execute(_DATABASES)).fetchall()
    found = [(name, oid) for oid, name, comment in rows if _is_of(comment, tenant)]
    if len(found) > 1:
        names = ", ".join(sorted(name for name, _ in found))
        raise EngineError(f"tenant {tenant} had several databases at that moment: {names}", code=Code.CONFLICT)
    return found[0] if found else None


def _is_of(comment: str | None, tenant: str) -> bool:
    marker = read_marker(comment)
    return marker is not None and marker.kind == "tenant" and marker.tenant == tenant


async def open_tenant(url: str, database: str) -> None:
    """Let us in: it may have been closed for a swap at that moment."""
    name = sql.Identifier(database)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1").format(name))


async def roll_back_doubts(url: str, database: str) -> tuple[str, ...]:
    """Roll back what was prepared in the database and undecided; returns the transactions' names. They hold locks that would
    stop every reader."""
    async with await psycopg.AsyncConnection.connect(url, dbname=database, autocommit=True) as connection:
        names = [row[0] for row in await (await connection.execute(_IN_DOUBT, [database])).fetchall()]
        for name in names:
            await connection.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(name)))
    return tuple(names)


async def is_complete(url: str, database: str) -> bool:
    """Whether every table and index has its files."""
    async with await psycopg.AsyncConnection.connect(url, dbname=database, autocommit=True) as connection:
        row: Any = await (await connection.execute(_MISSING)).fetchone()
    return int(row[0]) == 0


async def unlogged_tables(url: str, database: str) -> tuple[str, ...]:
    """The tables that a recovery leaves empty, because no log has their rows."""
    async with await psycopg.AsyncConnection.connect(url, dbname=database, autocommit=True) as connection:
        return tuple(row[0] for row in await (await connection.execute(_UNLOGGED)).fetchall())


async def examine(url: str, database: str, oid: int) -> TenantThen:
    """Open it, free it of doubts, and see whether it is whole. One that cannot even be entered is not."""
    try:
        await open_tenant(url, database)
        doubts = await roll_back_doubts(url, database)
        complete = await is_complete(url, database)
        unlogged = await unlogged_tables(url, database)
    except psycopg.Error:
        return TenantThen(database=database, oid=oid, rolled_back=(), complete=False)
    return TenantThen(database=database, oid=oid, rolled_back=doubts, complete=complete, unlogged=unlogged)
