"""DynamoDB: requests are compiled, sent once, and their answers and errors translated."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

from manor.data.documents.capabilities import capabilities, never, partly
from manor.data.documents.closing import not_open
from manor.data.documents.driver import Delete, Got, Limits, Put, Query, Returns, Slice, Statement, Transaction, Update, Write
from manor.data.documents.dynamodb import admin
from manor.data.documents.dynamodb.codec import Wire, decode_item
from manor.data.documents.dynamodb.compile import (
    batch_get_call,
    batch_write_call,
    get_call,
    page_call,
    transact_call,
    write_call,
)
from manor.data.documents.dynamodb.connection import Connection, Sender
from manor.data.documents.dynamodb.place import OwnTable, Place
from manor.data.documents.dynamodb.reading import own_page, page
from manor.data.documents.dynamodb.shared import SharedTable
from manor.data.documents.dynamodb.translate import Cancelled, Unfulfilled, cancelled, condition_failed
from manor.data.documents.limits import TOKEN_CHARACTERS
from manor.data.documents.query.expression import ProjectionExpression
from manor.data.documents.query.project import project
from manor.data.documents.tables import Table
from manor.data.documents.values import Item, Value, type_of
from manor.data.documents.writing import shown_key

_CAPABILITIES = capabilities(
    secondary_indexes=partly("an index follows its table within about a second, and cannot be read consistently unless local"),
    expiry=partly("the server removes expired items, within days; reads do not show them meanwhile"),
)
_SHARED_CAPABILITIES = capabilities(
    secondary_indexes=partly(
        "an index follows its table within about a second; its partition key can be set to a value or removed, not computed"
    ),
    long_keys=never("the 2048 bytes of a partition key include the tenant's name"),
    large_items=never("the 400 KiB of an item include the partition keys that are added, for the table and for each index"),
    expiry=partly("the server removes expired items, within days; reads do not show them meanwhile"),
)


class DynamoDriver:
    """See ``driver.Driver``. ``shared_prefix`` puts all tenants into one table for each declared one."""

    name = "dynamodb"
    limits = Limits()

    def __init__(self, connection: Connection, *, shared_prefix: str | None = None) -> None:
        self.connection = connection
        self.shared_prefix = shared_prefix
        self.capabilities = _CAPABILITIES if shared_prefix is None else _SHARED_CAPABILITIES
        self._sender: Sender | None = None
        self._state = "is not open"
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Make the client; DynamoDB has no connection to open. Again is harmless."""
        async with self._turn:
            if self._sender is None:
                stack = AsyncExitStack()
                self._sender = Sender(await self.connection.open(stack), stack)

    async def close(self) -> None:
        """Wait for the answers that are under way, for some seconds, and close the sockets."""
        async with self._turn:
            sender, self._sender = self._sender, None
            if sender is not None:
                self._state = "is closed"
                await sender.close()

    @property
    def _send(self) -> Sender:
        """Raises ``UnreachableError`` where the store is not open."""
        if self._sender is None:
            raise not_open(self._state)
        return self._sender

    def place(self, tenant: str, table: Table) -> Place:
        """Where the tenant's items of a table are."""
        if self.shared_prefix is None:
            return OwnTable(tenant, table)
        return SharedTable(tenant, table, self.shared_prefix)

    # Tables

    async def ensure_tables(self, tenant: str, tables: Sequence[Table]) -> None:
        """Make tables and indexes, and wait until they can be used."""
        for table in tables:
            await admin.ensure(self._send, self.place(tenant, table), table)

    async def drop_tables(self, tenant: str, tables: Sequence[Table]) -> None:
        """Delete the tables; of shared ones the tenant's items, for which all items are read."""
        for table in tables:
            place = self.place(tenant, table)
            if isinstance(place, SharedTable):
                await admin.empty(self._send, place, table)
            else:
                await admin.drop(self._send, place, table)

    # Single items

    async def get(
        self, tenant: str, table: Table, key: Item, *, consistent: bool = False, projection: ProjectionExpression | None = None
    ) -> Item | None:
        """GetItem."""
        place = self.place(tenant, table)
        call = get_call(place, key, consistent=consistent, projection=projection)
        answer = await self._send(call, partial(shown_key, table, key))
        wire = answer.get("Item")
        return None if wire is None else place.plain(wire)

    async def write(self, tenant: str, write: Write) -> Item | None:
        """PutItem, UpdateItem or DeleteItem."""
        place = self.place(tenant, write.table)
        try:
            answer = await self._send(write_call(place, write), partial(shown_key, write.table, write.key), writes=True)
        except Unfulfilled as error:
            raise condition_failed(error.response, place, write) from error.__cause__
        return None if write.returns is Returns.NONE else _returned(place, write, answer.get("Attributes"))

    # Pages

    async def query(self, tenant: str, query: Query) -> Slice:
        """Query or Scan."""
        place = self.place(tenant, query.table)
        if query.keys is None and isinstance(place, SharedTable):
            return await own_page(self._send, place, query)
        return await page(self._send, place, query)

    async def explain(self, tenant: str, query: Query) -> Statement:
        """The operation and its expressions."""
        call = page_call(self.place(tenant, query.table), query).call
        sent = call.parameters
        texts = [f"{name} {sent[name]}" for name in ("TableName", "IndexName", *_TEXTS, "Limit") if name in sent]
        names = [f"{alias}: {name}" for alias, name in sent.get("ExpressionAttributeNames", {}).items()]
        values = [f"{name}: {type_of(value)}" for name, value in query.values.items()]
        return Statement(text=f"{call.operation.capitalize()} {', '.join(texts)}", parameters=(*names, *values))

    # Several items

    async def batch_get(
        self,
        tenant: str,
        table: Table,
        keys: Sequence[Item],
        *,
        consistent: bool = False,
        projection: ProjectionExpression | None = None,
    ) -> Got:
        """BatchGetItem."""
        place = self.place(tenant, table)
        call = batch_get_call(place, keys, consistent=consistent, projection=projection)
        answer = await self._send(call, partial(_batch, table, keys))
        left = answer.get("UnprocessedKeys", {}).get(place.name, {}).get("Keys", ())
        by_wire = {_frozen(place.key(key)): key for key in keys} if left else {}
        return Got(
            items=[place.plain(wire) for wire in answer.get("Responses", {}).get(place.name, ())],
            unprocessed=[by_wire[_frozen(wire)] for wire in left],
        )

    async def batch_write(self, tenant: str, table: Table, writes: Sequence[Put | Delete]) -> Sequence[Put | Delete]:
        """BatchWriteItem."""
        place = self.place(tenant, table)
        answer = await self._send(
            batch_write_call(place, writes), partial(_batch, table, [write.key for write in writes]), writes=True
        )
        left = answer.get("UnprocessedItems", {}).get(place.name, ())
        by_wire = {_frozen(place.key(write.key)): write for write in writes} if left else {}
        return [by_wire[_frozen(_key_in(place, request))] for request in left]

    async def transact(self, tenant: str, transaction: Transaction) -> None:
        """TransactWriteItems. The token is one of the tenant's: the same word of another tenant is another one."""
        places = [self.place(tenant, operation.table) for operation in transaction.operations]
        token = hashlib.sha256(f"{len(tenant)}:{tenant}{transaction.token}".encode()).hexdigest()[:TOKEN_CHARACTERS]
        call = transact_call(list(zip(places, transaction.operations, strict=True)), token)
        try:
            await self._send(call, partial(_whole, transaction), writes=True)
        except Cancelled as error:
            raise cancelled(error.response, places, transaction) from error.__cause__


def _returned(place: Place, write: Write, wire: Wire | None) -> Item | None:
    """The whole item, or what of it the update names."""
    if wire is None:
        return None
    item = place.plain(wire)
    if not isinstance(write, Update) or write.returns not in {Returns.UPDATED_OLD, Returns.UPDATED_NEW}:
        return item or None
    return project(write.update.node.paths() if write.update else (), item) or None


_TEXTS = ("KeyConditionExpression", "FilterExpression", "ProjectionExpression")


def _key_in(place: Place, request: Wire) -> Wire:
    """The key of a write that came back."""
    if "DeleteRequest" in request:
        return request["DeleteRequest"]["Key"]  # type: ignore[no-any-return]
    item = request["PutRequest"]["Item"]
    return {name: item[name] for name in place.key_names}


def _frozen(wire: Wire) -> frozenset[tuple[str, Value]]:
    """A key that was sent or came back, in a form to look it up by."""
    return frozenset(decode_item(wire).items())


def _batch(table: Table, keys: Sequence[Item]) -> str:
    return f"a batch of {len(keys)} that begins with {shown_key(table, keys[0])}"


def _whole(transaction: Transaction) -> str:
    first = transaction.operations[0]
    return f"a transaction of {len(transaction.operations)} that begins with {shown_key(first.table, first.key)}"
