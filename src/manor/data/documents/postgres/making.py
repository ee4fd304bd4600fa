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
from manor.errors import RefusedError, UnsupportedError

_FOUND = "SELECT keys, indexes FROM documents_tables WHERE tenant = $1 AND name = $2"
_ITEMS = "SELECT pk, sk, body FROM documents_items WHERE tenant = $1 AND name = $2"
_SCHEMA_LOCK = 0x4D4E5244


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """``url`` as asyncpg reads it. ``statement_cache_size``: 0 behind a pooler that gives each transaction another session.

    ``command_seconds``: how long a statement may take before the server counts as lost; None: for ever."""

    url: str = field(repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    statement_cache_size: int = 200
    connect_seconds: float = 30.0
    command_seconds: float | None = 60.0
    row_security: bool = False


async def connect(options: ServerOptions) -> Connection:
    """One connection, whose answers mean what the driver thinks they mean."""
    return await asyncpg.connect(
        options.url,
        user=options.user,
        password=options.password,
        timeout=options.connect_seconds,
        command_timeout=options.command_seconds,
        statement_cache_size=options.statement_cache_size,
        server_settings={"application_name": "manor documents", "standard_conforming_strings": "on"},
    )


async def make_schema(connections: Connections) -> None:
    """Make what is missing, where something is.

    Raises ``UnsupportedError`` for a database that is not in UTF-8, ``RefusedError`` where row security would hide everything,
    or would bind nobody.
    """
    async with connections.one() as connection:
        encoding, there, secured, above = await connection.fetchrow(_STATE)
    if encoding != "UTF8":
        raise UnsupportedError(f"the database is in {encoding}", hint="documents need a database in UTF8")
    _check_security(wanted=connections.row_security, there=bool(secured), above=above)
    missing = ([] if there else ["schema.sql"]) + (["row_security.sql"] if connections.row_security and not secured else [])
    if missing:
        async with transaction(connections, "", [_SCHEMA_LOCK]) as connection:
            for name in missing:
                await connection.execute(_script(name))


_STATE = """\
SELECT current_setting('server_encoding'), to_regclass('documents_tokens') IS NOT NULL,
  (SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass('documents_tokens')),
  (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)"""


def _check_security(*, wanted: bool, there: bool, above: bool) -> None:
    if wanted and above:
        raise RefusedError("row security does not bind this login", hint="use one that is no superuser and has no BYPASSRLS")
    if there and not wanted and not above:
        raise RefusedError("the tables have row security, which hides everything here", hint="connect(…, row_security=True)")


def _script(name: str) -> str:
    return files("manor.data.documents.postgres").joinpath(name).read_text(encoding="utf-8")


# Tables


async def ensure_table(connections: Connections, tenant: str, table: Table) -> None:
    """Make it, or the indexes that it lacks. Raises ``ConflictError``."""
    async with transaction(connections, tenant, [lock_of(tenant, table.name, (b"", b""))]) as connection:
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
    async with transaction(connections, tenant, [lock_of(tenant, table.name, (b"", b""))]) as connection:
        drop = "DELETE FROM documents_tables WHERE tenant = $1 AND name = $2"
        await connection.execute(drop, tenant, named(table.name))
