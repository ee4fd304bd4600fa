"""The port of documents over one container of Cosmos DB."""

# ruff: noqa: ARG002 - how consistent reads are is a property of the account

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from manor.data.documents.capabilities import Capability, Support, capabilities, never, partly
from manor.data.documents.closing import not_open
from manor.data.documents.cosmos.codec import decode_item, document_id
from manor.data.documents.cosmos.compile import compile_condition
from manor.data.documents.cosmos.connecting import Address, Opened, connect
from manor.data.documents.cosmos.items import BatchFailed
from manor.data.documents.cosmos.statements import Sql, place_of, sql_of
from manor.data.documents.cosmos.writes import Layout
from manor.data.documents.driver import (
    Delete,
    Got,
    Limits,
    Put,
    Query,
    Slice,
    Statement,
    Transaction,
    Write,
    check_capabilities,
    position_of,
)
from manor.data.documents.faults import Throttled
from manor.data.documents.limits import PAGE_BYTES
from manor.data.documents.query.evaluate import evaluate
from manor.data.documents.query.expression import ConditionExpression, Expression, ProjectionExpression
from manor.data.documents.query.nodes import Compare, Path, Ref
from manor.data.documents.query.project import project
from manor.data.documents.tables import Table
from manor.data.documents.values import Item, item_size, type_of
from manor.data.documents.writing import shown_key

BATCH_BYTES = 600_000
"""Items of a batch of puts: JSON can be three times as long, and Cosmos DB takes 2 MB."""
BATCH_ITEMS = 100

_COMMON = {
    "consistent_reads": partly("what this client wrote; what others wrote only where the account's consistency is strong"),
    "idempotent_transactions": partly("a transaction of 100 operations is puts and deletes without conditions, or refused"),
}  # fmt: skip
_FLAT = capabilities(**_COMMON)
_HIERARCHICAL = capabilities(
    **_COMMON, atomic_transactions=never("with hierarchical keys only inside one partition of one table")
)


class CosmosDriver:
    """See ``driver.Driver``. ``connections`` is how many the client opens at most, ``clock`` gives seconds since 1970."""

    name = "cosmos"
    limits = Limits(batch_write=BATCH_ITEMS, batch_get=100)
    capabilities: Mapping[Capability, Support] = _FLAT

    def __init__(
        self,
        address: Address,
        credentials: Mapping[str, str] | None = None,
        *,
        connections: int = 64,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.address = address
        if address.hierarchical:
            self.capabilities = _HIERARCHICAL
        self._credentials = credentials
        self._connections = connections
        self._layout = Layout(hierarchical=address.hierarchical, clock=clock)
        self._connected: Opened | None = None
        self._state = "is not open"
        self._turn = asyncio.Lock()

    def __repr__(self) -> str:
        return f"CosmosDriver({self.address})"

    # Life

    async def open(self) -> None:
        """Connect, and read what regions the account has. Again is harmless."""
        async with self._turn:
            if self._connected is None:
                self._connected = await connect(self.address, self._credentials, self._layout, connections=self._connections)

    async def close(self) -> None:
        """Wait for the answers that are under way, for some seconds, and close the connections."""
        async with self._turn:
            opened, self._connected = self._connected, None
            if opened is not None:
                self._state = "is closed"
                await opened.close()

    @property
    def _opened(self) -> Opened:
        """Raises ``UnreachableError`` where the store is not open."""
        if self._connected is None:
            raise not_open(self._state)
        return self._connected

    # Tables

    async def ensure_tables(self, tenant: str, tables: Sequence[Table]) -> None:
        """A document for each; database and container are made where they are missing."""
        for table in tables:
            check_capabilities(table, self.name, self.capabilities)
            await self._opened.register.ensure(tenant, table)

    async def drop_tables(self, tenant: str, tables: Sequence[Table]) -> None:
        """Their documents and items; the container stays."""
        for table in tables:
            await self._opened.register.drop(tenant, table)

    # Single items

    async def get(
        self, tenant: str, table: Table, key: Item, *, consistent: bool = False, projection: ProjectionExpression | None = None
    ) -> Item | None:
        """A point read."""
        await self._opened.register.check(tenant, table)
        found = await self._opened.items.read(
            self._layout.partition(tenant, table, key), document_id(table, key), shown_key(table, key)
        )
        return None if found is None else _shown(decode_item(found["a"]), projection)

    async def write(self, tenant: str, write: Write) -> Item | None:
        """One request where that can be, else a read and a write that is guarded by the ETag."""
        await self._opened.register.check(tenant, write.table)
        return await self._opened.writer.write(tenant, write)

    # Queries

    async def query(self, tenant: str, query: Query) -> Slice:
        """One page: a range of places, in their order."""
        await self._opened.register.check(tenant, query.table)
        sql = sql_of(query)
        items, more = await self._rows(tenant, query, sql)
        found: list[Item] = []
        scanned = 0
        for item in items:
            if len(found) == query.limit:
                more = True
                break
            scanned += 1
            if sql.exact or query.filter is None or evaluate(query.filter.node, item, query.values):
                found.append(_shown(item, query.projection))
        last = position_of(query, items[scanned - 1]) if more else None
        return Slice(items=found, last=last, scanned=scanned if query.examine is not None or query.filter is None else None)

    async def _rows(self, tenant: str, query: Query, sql: Sql) -> tuple[list[Item], bool]:
        """At most ``sql.rows`` unprojected items, and whether there may be more."""
        spread = self._layout.hierarchical and (query.keys is None or query.index is not None)
        items: list[Item] = []
        size = 0
        partition = self._layout.tenant_partition(tenant)
        if self._layout.hierarchical and query.keys is not None and not spread:
            partition = self._layout.partition(tenant, query.table, {query.table.key_names[0]: query.keys.partition})
        what = f"table {query.table.name}"
        async for page in self._opened.items.pages(partition, sql.text, sql.parameters, what, size=min(sql.rows + 1, 1000)):
            items += [decode_item(row["a"]) for row in page]
            size += sum(row["z"] for row in page)
            if items and not spread and (len(items) > sql.rows or size > PAGE_BYTES):
                return items[: sql.rows], True
        if spread:  # every physical partition has answered with the first of its own
            items.sort(key=lambda item: place_of(query, item), reverse=not query.forward)
        return items[: sql.rows], len(items) > sql.rows

    async def explain(self, tenant: str, query: Query) -> Statement:
        """The SQL, and whether the filter is evaluated after reading."""
        sql = sql_of(query)
        rest = "" if sql.exact or query.filter is None else " -- and the filter is evaluated after reading"
        return Statement(
            text=sql.text + rest, parameters=tuple(f"{one['name']}: {_told_type(one['value'])}" for one in sql.parameters)
        )

    # Batches and transactions

    async def batch_get(
        self,
        tenant: str,
        table: Table,
        keys: Sequence[Item],
        *,
        consistent: bool = False,
        projection: ProjectionExpression | None = None,
    ) -> Got:
        """One query by ids; with hierarchical keys a point read for each."""
        await self._opened.register.check(tenant, table)
        if self._layout.hierarchical:
            read = await self._opened.items.each([self.get(tenant, table, key, projection=projection) for key in keys])
            return Got(items=[item for item in read if item is not None])
        ids = [document_id(table, key) for key in keys]
        found = await self._opened.items.by_ids(self._layout.tenant_partition(tenant), ids, f"table {table.name}")
        return Got(items=[_shown(decode_item(one["a"]), projection) for one in found.values()])

    async def batch_write(self, tenant: str, table: Table, writes: Sequence[Put | Delete]) -> Sequence[Put | Delete]:
        """Puts as batches of upserts, deletes one by one; what is throttled comes back."""
        await self._opened.register.check(tenant, table)
        puts = [write for write in writes if isinstance(write, Put)]
        single: list[list[Put | Delete]] = [
            [write] for write in writes if not isinstance(write, Put) or self._layout.hierarchical
        ]
        parts = single if self._layout.hierarchical else [*single, *_parts(puts)]
        left = await self._opened.items.each([self._write_part(tenant, table, part) for part in parts])
        return [write for part in left for write in part]

    async def _write_part(self, tenant: str, table: Table, part: list[Put | Delete]) -> list[Put | Delete]:
        """Do them; those that were not done."""
        try:
            if len(part) == 1:
                await self._opened.writer.write(tenant, part[0])
            else:
                documents = [self._layout.document(tenant, table, one.item) for one in part if isinstance(one, Put)]
                upserts = [("upsert", (document,)) for document in documents]
                await self._opened.items.batch(self._layout.tenant_partition(tenant), upserts, f"table {table.name}")
        except (Throttled, BatchFailed):
            return part
        return []

    async def transact(self, tenant: str, transaction: Transaction) -> None:
        """One batch in the tenant's partition."""
        for table in {one.table.name: one.table for one in transaction.operations}.values():
            await self._opened.register.check(tenant, table)
        await self._opened.transactor.transact(tenant, transaction)

    async def expire(self, tenant: str, table: Table, now: int) -> int:
        """Remove what has expired; the server does it too, an hour later."""
        await self._opened.register.check(tenant, table)
        condition: ConditionExpression = Expression(
            "expiry", "", Compare("<=", Path((table.ttl_attribute or "",)), Ref(":now")), refs=frozenset({":now"})
        )
        text, parameters = compile_condition(condition, {":now": now}).with_parameters({":now": now})
        removed = 0
        async for page in self._opened.register.documents(tenant, table, "c.id, c.g, c._etag", f" AND {text}", parameters):
            removed += await self._opened.register.remove(tenant, page, f"table {table.name}")
        return removed


def _shown(item: Item, projection: ProjectionExpression | None) -> Item:
    return project(projection.node.paths, item) if projection else item


def _told_type(value: object) -> str:
    return "object" if isinstance(value, dict) else type_of(value)


def _parts(puts: list[Put]) -> list[list[Put | Delete]]:
    """Puts in parts that a batch can hold."""
    parts: list[list[Put | Delete]] = []
    size = BATCH_BYTES
    for put in puts:
        size += item_size(put.item)
        if size > BATCH_BYTES or len(parts[-1]) == BATCH_ITEMS:
            parts.append([])
            size = item_size(put.item)
        parts[-1].append(put)
    return parts
