"""Connecting, the schema, and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files

import asyncpg  # type: ignore[import-untyped]

from manor.data.documents.postgres.connections import Connection, Connections
from manor.data.documents.postgres.reading import named
from manor.data.documents.postgres.transacting import lock_of, transaction
from manor.data.documents.postgres.writing import Change, enter
from manor.data.documents.relational.codec import decode
from manor.data.documents.relational.declared import index_keys, indexes_text, keys_text, missing_indexes, with_indexes
from manor.data.documents.tables import Index, Table
from manor.errors import UnsupportedError

_FOUND = "SELECT keys, indexes FROM documents_tables WHERE tenant = $1 AND name = $2"
_ITEMS = "SELECT pk, sk, body FROM documents_items WHERE tenant = $1 AND name = $2"
_SCHEMA_LOCK = 0x4D4E5244


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """``url`` as libpq reads it. ``statement_cache_size``: 0 behind a pooler that gives each transaction another session."""

    url: str = field(repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    statement_cache_size: int = 200
    connect_seconds: float = 30.0


async def connect(options: ServerOptions) -> Connection:
    """One connection, whose answers mean what the driver thinks they mean."""
    return await asyncpg.connect(
        options.url,
        user=options.user,
        password=options.password,
        timeout=options.connect_seconds,
        statement_cache_size=options.statement_cache_size,
        server_settings={"application_name": "manor documents"},
    )


async def make_schema(connections: Connections) -> None:
    """Make what is missing, where something is. Raises ``UnsupportedError`` for a database that is not in UTF-8."""
    async with connections.one() as connection:
        encoding = await connection.fetchval("SHOW server_encoding")
        there = await connection.fetchval("SELECT to_regclass('documents_tokens') IS NOT NULL")
    if encoding != "UTF8":
        raise UnsupportedError(f"the database is in {encoding}", hint="documents need a database in UTF8")
    if not there:
        async with transaction(connections, [_SCHEMA_LOCK]) as connection:
            await connection.execute(_schema())


def _schema() -> str:
    return files("manor.data.documents.postgres").joinpath("schema.sql").read_text(encoding="utf-8")


# Tables


async def ensure_table(connections: Connections, tenant: str, table: Table) -> None:
    """Make it, or the indexes that it lacks. Raises ``ConflictError``."""
    async with transaction(connections, [lock_of(tenant, table.name, (b"", b""))]) as connection:
        row = await connection.fetchrow(_FOUND, tenant, named(table.name))
        if row is None:
            texts = (keys_text(table), indexes_text(index_keys(table.indexes)))
            await connection.execute("INSERT INTO documents_tables VALUES ($1, $2, $3, $4)", tenant, named(table.name), *texts)
            return
        missing = missing_indexes(table, row[0], row[1])
        if missing:
            await _fill(connection, tenant, table, missing)
            change = "UPDATE documents_tables SET indexes = $3 WHERE tenant = $1 AND name = $2"
            await connection.execute(change, tenant, named(table.name), with_indexes(table, row[1]))


async def _fill(connection: Connection, tenant: str, table: Table, indexes: Sequence[Index]) -> None:
    """Enter the items that are there. Nobody else writes items meanwhile, so that none is missed; readers go on."""
    await connection.execute("LOCK TABLE documents_items IN SHARE ROW EXCLUSIVE MODE")
    old = "DELETE FROM documents_entries WHERE tenant = $1 AND name = $2 AND index_name = ANY($3::text[])"
    await connection.execute(old, tenant, named(table.name), [named(index.name) for index in indexes])
    only = replace(table, indexes=tuple(indexes))
    async for pk, sk, body in connection.cursor(_ITEMS, tenant, named(table.name), prefetch=200):
        await enter(connection, tenant, [Change(only, (pk, sk), None, decode(body))])


async def drop_table(connections: Connections, tenant: str, table: Table) -> None:
    """Remove it with its items and indexes."""
    async with transaction(connections, [lock_of(tenant, table.name, (b"", b""))]) as connection:
        drop = "DELETE FROM documents_tables WHERE tenant = $1 AND name = $2"
        await connection.execute(drop, tenant, named(table.name))
