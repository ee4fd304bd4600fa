"""What the endpoint stands on: one tenant's store, reached below the portable type, and the tables made through it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from manor.data.documents import DatabaseInterface, paging
from manor.data.documents.driver import Delete, Put, Query, Slice, Transaction, Write
from manor.data.documents.query.expression import ProjectionExpression
from manor.data.documents.tables import Table
from manor.data.documents.values import Item
from manor.testing.dynamodb_endpoint.definitions import CATALOG, Definition
from manor.testing.dynamodb_endpoint.describing import table_name_of
from manor.testing.dynamodb_endpoint.faults import missing


class WireStore(DatabaseInterface):
    """Requests that are checked already, with the retries and errors of the portable type."""

    async def get(self, table: Table, key: Item, *, consistent: bool, projection: ProjectionExpression | None) -> Item | None:
        """One item."""
        return await self._call(
            lambda: self.driver.get(self.tenant_id, table, key, consistent=consistent, projection=projection), repeatable=True
        )

    async def write(self, write: Write) -> Item | None:
        """One write."""
        return await self._write(self.tenant_id, write)

    async def page(self, query: Query, *, fill: bool = True) -> Slice:
        """One page, as long as it was asked for."""
        return await paging.filled(
            query,
            lambda part: self._call(lambda: self.driver.query(self.tenant_id, part), repeatable=True),
            fill=fill,
        )

    async def everything(self, query: Query) -> AsyncIterator[Item]:
        """All items of a query."""
        while True:
            found = await self.page(query)
            for item in found.items:
                yield item
            if found.last is None:
                return
            query = replace(query, start=found.last)

    async def write_some(self, table: Table, writes: Sequence[Put | Delete]) -> Sequence[Put | Delete]:
        """A batch, in parts that the driver takes; the answer is what was not done."""
        size = self.driver.limits.batch_write
        undone: list[Put | Delete] = []
        for start in range(0, len(writes), size):
            part = writes[start : start + size]
            undone += await self._call(
                lambda part=part: self.driver.batch_write(self.tenant_id, table, part),  # type: ignore[misc]
                repeatable=True,
            )
        return undone

    async def transact(self, transaction: Transaction) -> None:
        """All or nothing."""
        await self._call(lambda: self.driver.transact(self.tenant_id, transaction), repeatable=True)

    async def make(self, table: Table) -> None:
        """Make a table, or what it lacks."""
        await self._call(lambda: self.driver.ensure_tables(self.tenant_id, [table]), repeatable=True)

    async def drop(self, tables: Sequence[Table]) -> None:
        """Remove tables with their items."""
        await self._call(lambda: self.driver.drop_tables(self.tenant_id, tables), repeatable=True)


class Definitions:
    """The tables that clients made, kept in the store itself: they outlive the endpoint where the store does."""

    def __init__(self, store: WireStore) -> None:
        self.store = store
        self.known: dict[str, Definition] = {}

    async def open(self) -> None:
        """Make the table of definitions, and read it."""
        await self.store.ensure_tables([CATALOG])
        await self.refresh()

    async def refresh(self) -> None:
        """Read all of them again: other endpoints on the same store make and drop tables too."""
        items = [item async for item in self.store.scan_all(CATALOG.name)]
        for name in self.known.keys() - {item["name"] for item in items}:
            self._forget(name)
        for item in items:
            self._know(Definition(document=json.loads(item["document"])))

    async def find(self, name_or_arn: str, message: str = "Requested resource not found") -> Definition:
        """The definition of a table. Raises ``ResourceNotFoundException`` with the message."""
        name = table_name_of(name_or_arn)
        found = self.known.get(name) or await self._read(name)
        if found is None:
            raise missing(message.format(name=name))
        return found

    async def _read(self, name: str) -> Definition | None:
        """Another endpoint on the same store may have made it meanwhile."""
        item = await self.store.get_item(CATALOG.name, {"name": name}, True) if name else None
        return self._know(Definition(document=json.loads(item["document"]))) if item else None

    def _know(self, definition: Definition) -> Definition:
        self.known[definition.name] = definition
        self.store.tables[definition.name] = definition.table
        return definition

    def _forget(self, name: str) -> None:
        self.known.pop(name, None)
        self.store.tables.pop(name, None)

    async def save(self, definition: Definition) -> None:
        """Make or change a table: first the table, then its definition."""
        await self.store.make(definition.table)
        self._know(definition)
        document = json.dumps(definition.document)
        await self.store.put_item(CATALOG.name, {"name": definition.name, "document": document})

    async def remove(self, definition: Definition) -> None:
        """Drop a table."""
        await self.store.delete_item(CATALOG.name, {"name": definition.name})
        self._forget(definition.name)
        await self.store.drop([definition.table])

    async def count(self, definition: Definition) -> int:
        """How many items a table has: counted, where the service estimates."""
        query = Query(table=definition.table)
        return len([None async for _ in self.store.everything(query)])

    def names(self) -> list[str]:
        """The names of all tables, in order."""
        return sorted(self.known)

    async def expire(self) -> int:
        """Remove what has expired, where the store does not do that by itself; how many items."""
        return sum([await self.store.expire(name) for name in self.names()])

    async def clear(self) -> None:
        """Drop every table that was made through an endpoint."""
        for definition in list(self.known.values()):
            await self.remove(definition)
