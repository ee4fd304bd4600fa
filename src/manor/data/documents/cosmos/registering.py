"""Which tables a tenant has: a document for each, beside the items, and the container that holds them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient

from manor.data.documents.cosmos.codec import Document, decode_item, index_places, table_id
from manor.data.documents.cosmos.items import Items, Partition
from manor.data.documents.cosmos.statements import table_bounds
from manor.data.documents.cosmos.translating import translated
from manor.data.documents.cosmos.writes import Layout
from manor.data.documents.faults import TableMissing, WriteConflict
from manor.data.documents.tables import Key, Table
from manor.errors import ConflictError

TABLES_GROUP = "_tables"
"""The second level of the partition key of what is no item."""
AT_A_TIME = 100


class Register:
    """Makes, checks, fills and drops tables; remembers which it has seen, so that reads and writes ask only once."""

    def __init__(self, client: CosmosClient, database: str, container: str, items: Items, layout: Layout) -> None:
        self.client = client
        self.database = database
        self.container = container
        self.items = items
        self.layout = layout
        self.known: dict[tuple[str, str], tuple[Key, ...]] = {}
        self._made = False
        self._lock = asyncio.Lock()

    async def check(self, tenant: str, table: Table) -> None:
        """Raise ``TableMissing`` unless the tenant has the table, ``ConflictError`` where its keys are others."""
        if self.known.get((tenant, table.name)) == table.keys:
            return
        there = await self._read(tenant, table)
        if there is None:
            raise TableMissing(f"table {table.name} does not exist", hint="await ensure_tables() makes it")
        _check_keys(f"table {table.name}", there["keys"], table.keys)
        self.known[tenant, table.name] = table.keys

    async def ensure(self, tenant: str, table: Table) -> None:
        """Make it, or fill the indexes that it did not have. Raises ``ConflictError`` where keys of either are others."""
        await self._ensure_container()
        wanted = self._document(tenant, table)
        there = await self._read(tenant, table)
        if there is None:
            await self.items.upsert(wanted, f"table {table.name}")
        else:
            await self._extend(tenant, table, wanted, there)
        self.known[tenant, table.name] = table.keys

    async def _extend(self, tenant: str, table: Table, wanted: Document, there: Document) -> None:
        what = f"table {table.name}"
        _check_keys(what, there["keys"], table.keys)
        for index in table.indexes:
            _check_keys(f"index {index.name} of {what}", there["indexes"].get(index.name, _told(index.keys)), index.keys)
        if wanted["indexes"].keys() - there["indexes"].keys():
            await self._fill(tenant, table)
            await self.items.upsert({**wanted, "indexes": {**there["indexes"], **wanted["indexes"]}}, what)

    async def drop(self, tenant: str, table: Table) -> None:
        """Remove the items and the table."""
        self.known.pop((tenant, table.name), None)
        what = f"table {table.name}"
        try:
            async for documents in self.documents(tenant, table, "c.id, c.g"):
                await self.remove(tenant, documents, what)
            await self.items.delete(self._partition(tenant), table_id(table), what)
        except TableMissing:
            return  # not even the container is there

    async def remove(self, tenant: str, documents: list[Document], what: str) -> int:
        """Delete documents, those that have an ``_etag`` only if they are unchanged; how many."""
        calls = [
            self.items.delete(self._partition_of(tenant, one), one["id"], what, etag=one.get("_etag")) for one in documents
        ]
        return sum(await self.items.each(calls))

    async def documents(
        self, tenant: str, table: Table, fields: str, condition: str = "", parameters: Any = ()
    ) -> AsyncIterator[list[Document]]:
        """All documents of a table's items, in pages."""
        low, high = table_bounds(table)
        text = f"SELECT {fields} FROM c WHERE c.s >= @low AND c.s < @high{condition}"  # noqa: S608 - no values in it
        bound = [{"name": "@low", "value": low}, {"name": "@high", "value": high}, *parameters]
        what = f"table {table.name}"
        async for page in self.items.pages(self.layout.tenant_partition(tenant), text, bound, what, size=AT_A_TIME):
            yield page

    async def _fill(self, tenant: str, table: Table) -> None:
        async for page in self.documents(tenant, table, "*"):
            await self.items.each([self._index(tenant, table, found) for found in page])

    async def _index(self, tenant: str, table: Table, found: Document) -> None:
        """Give one document its places in the indexes, whatever else becomes of it meanwhile."""
        for _ in range(AT_A_TIME):
            fresh = {name: value for name, value in found.items() if not name.startswith("_")}
            fresh["x"] = index_places(table, decode_item(found["a"]))
            if await self.items.replace(fresh, found["_etag"], f"table {table.name}"):
                return
            again = await self.items.read(self._partition_of(tenant, found), found["id"], f"table {table.name}")
            if again is None:
                return
            found = again
        raise WriteConflict(f"others kept changing items of table {table.name}")

    async def _read(self, tenant: str, table: Table) -> Document | None:
        return await self.items.read(self._partition(tenant), table_id(table), f"table {table.name}")

    def _partition(self, tenant: str) -> Partition:
        return [tenant, TABLES_GROUP] if self.layout.hierarchical else tenant

    def _partition_of(self, tenant: str, found: Document) -> Partition:
        return [tenant, found["g"]] if self.layout.hierarchical else tenant

    def _document(self, tenant: str, table: Table) -> Document:
        made: Document = {
            "id": table_id(table), "t": tenant, "table": table.name, "keys": _told(table.keys),
            "indexes": {index.name: _told(index.keys) for index in table.indexes},
        }  # fmt: skip
        return {**made, "g": TABLES_GROUP} if self.layout.hierarchical else made

    async def _ensure_container(self) -> None:
        async with self._lock:
            if self._made:
                return
            paths = ["/t", "/g"] if self.layout.hierarchical else ["/t"]
            key = PartitionKey(path=paths, kind="MultiHash") if self.layout.hierarchical else PartitionKey(path="/t")
            with translated(f"container {self.database}/{self.container}"):
                database = await self.client.create_database_if_not_exists(self.database)
                container = await database.create_container_if_not_exists(self.container, key, default_ttl=-1)
                properties = await container.read()
            if properties["partitionKey"]["paths"] != paths or "defaultTtl" not in properties:
                raise ConflictError(
                    f"container {self.container} is partitioned by {properties['partitionKey']['paths']}, or nothing expires",
                    hint=f"another container, or one with {paths} and a default time to live of -1",
                )
            self._made = True


def _told(keys: tuple[Key, ...]) -> list[list[str]]:
    return [[key.name, key.type] for key in keys]


def _check_keys(what: str, there: list[list[str]], keys: tuple[Key, ...]) -> None:
    if there != _told(keys):
        raise ConflictError(f"{what} exists with other keys", hint=f"its keys are {there}")
