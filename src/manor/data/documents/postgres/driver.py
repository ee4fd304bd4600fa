"""Documents in PostgreSQL: ``jsonb`` in one table for all tenants, whose primary key begins with the tenant.

``postgresql://user@host/database``, with whatever asyncpg reads in a URL. Options of ``connect()``: ``connections`` (at most
so many, default 8), ``statement_cache_size`` (0 behind a pooler in transaction mode), ``command_seconds`` (60) and
``row_security`` (the server holds the tenants apart as well). The tables are made in the first schema of the login's search
path when a store is first opened.
"""

# ruff: noqa: ARG002 - every read is consistent

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from manor.data.documents.capabilities import capabilities
from manor.data.documents.driver import Delete, Got, Limits, Put, Query, Slice, Statement, Transaction, Write
from manor.data.documents.postgres import making, reading, writing
from manor.data.documents.postgres.codec import KEYS
from manor.data.documents.postgres.connections import Connection, Connections
from manor.data.documents.postgres.making import ServerOptions
from manor.data.documents.postgres.transacting import reading as reader
from manor.data.documents.query.expression import ProjectionExpression
from manor.data.documents.query.project import project
from manor.data.documents.relational.declared import Compared
from manor.data.documents.relational.explaining import told
from manor.data.documents.relational.paging import expired
from manor.data.documents.tables import Table
from manor.data.documents.values import Item
from manor.errors import InputError


class PostgresDriver:
    """See ``driver.Driver``."""

    name = "postgresql"
    capabilities = capabilities()
    limits = Limits()

    def __init__(self, options: ServerOptions, *, connections: int = 8) -> None:
        async def connect() -> Connection:
            return await making.connect(options)

        self._connections = Connections(connect, connections, row_security=options.row_security)
        self._compared = Compared(self._kept_keys)

    async def open(self) -> None:
        """Connect once, and make the tables where they are missing."""
        self._connections.open()
        await making.make_schema(self._connections)

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()

    async def ensure_tables(self, tenant: str, tables: Sequence[Table]) -> None:
        """Each in a transaction of its own."""
        for table in tables:
            await making.ensure_table(self._connections, tenant, table)

    async def _kept_keys(self, tenant: str, table: Table) -> str | None:
        async with reader(self._connections, tenant) as connection:
            return await reading.kept_keys(connection, tenant, table)

    async def drop_tables(self, tenant: str, tables: Sequence[Table]) -> None:
        """Each in a transaction of its own."""
        for table in tables:
            self._compared.forget(tenant, table)
            await making.drop_table(self._connections, tenant, table)

    async def get(
        self, tenant: str, table: Table, key: Item, *, consistent: bool = False, projection: ProjectionExpression | None = None
    ) -> Item | None:
        """One statement."""
        if self._compared.keys.get((tenant, table.name)) is not table.keys:
            await self._compared.look(tenant, table)
        async with reader(self._connections, tenant) as connection:
            found = await reading.get(connection, tenant, table, key)
        return project(projection.node.paths, found) if projection and found is not None else found

    async def write(self, tenant: str, write: Write) -> Item | None:
        """One statement, or read, decide and store under the item's lock."""
        if self._compared.keys.get((tenant, write.table.name)) is not write.table.keys:
            await self._compared.look(tenant, write.table)
        return await writing.write(self._connections, tenant, write)

    async def query(self, tenant: str, query: Query) -> Slice:
        """One page."""
        if self._compared.keys.get((tenant, query.table.name)) is not query.table.keys:
            await self._compared.look(tenant, query.table)
        async with reader(self._connections, tenant) as connection:
            return await reading.page(connection, tenant, query)

    async def explain(self, tenant: str, query: Query) -> Statement:
        """The SQL, and what of the filter it cannot say."""
        chosen = reading.query_plan(query)
        text, _ = reading.statement(tenant, query, chosen)
        return told(query, chosen, text)

    async def batch_get(
        self,
        tenant: str,
        table: Table,
        keys: Sequence[Item],
        *,
        consistent: bool = False,
        projection: ProjectionExpression | None = None,
    ) -> Got:
        """All of them in one statement."""
        if self._compared.keys.get((tenant, table.name)) is not table.keys:
            await self._compared.look(tenant, table)
        places = [KEYS.place(table.keys, key) for key in keys]
        async with reader(self._connections, tenant) as connection:
            rows = await reading.get_many(connection, tenant, [table] * len(places), places)
        found = [item for item in rows if item is not None]
        return Got(items=[project(projection.node.paths, item) for item in found] if projection else found)

    async def batch_write(self, tenant: str, table: Table, writes: Sequence[Put | Delete]) -> Sequence[Put | Delete]:
        """All of them in one transaction."""
        if self._compared.keys.get((tenant, table.name)) is not table.keys:
            await self._compared.look(tenant, table)
        await writing.batch(self._connections, tenant, table, writes)
        return ()

    async def transact(self, tenant: str, transaction: Transaction) -> None:
        """All decisions first, then all of them stored."""
        for one in transaction.operations:
            await self._compared.look(tenant, one.table)
        await writing.transact(self._connections, tenant, transaction)

    async def expire(self, tenant: str, table: Table, now: int) -> int:
        """Remove what has expired, a page at a time; what came to life again meanwhile stays."""
        query: Query | None = replace(expired(table, now), limit=self.limits.batch_get)
        count = 0
        while query is not None:
            found = await self.query(tenant, query)
            if found.items:
                count += await writing.expire(self._connections, tenant, query, found.items)
            query = None if found.last is None else replace(query, start=found.last)
        return count


def open_driver(
    url: str,
    *,
    credentials: Mapping[str, str] | None = None,
    connections: int = 8,
    statement_cache_size: int = 200,
    command_seconds: float | None = 60.0,
    row_security: bool = False,
) -> PostgresDriver:
    """``postgresql://…``; ``credentials`` may have ``user`` and ``password``. Raises ``InputError``."""
    if connections < 1:
        raise InputError(f"connections is {connections}", hint="at least 1")
    given = dict(credentials or {})
    options = ServerOptions(
        url=url,
        user=given.pop("user", None),
        password=given.pop("password", None),
        statement_cache_size=statement_cache_size,
        command_seconds=command_seconds,
        row_security=row_security,
    )
    if given:
        raise InputError(f"PostgreSQL has no credential {', '.join(given)}", hint="user and password")
    return PostgresDriver(options, connections=connections)
