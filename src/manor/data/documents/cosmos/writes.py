"""One write of one item: at best one request without reading, else read, decide, and store where nothing has changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from manor.data.documents.cosmos.codec import Document, decode_item, document, document_id, group_id
from manor.data.documents.cosmos.items import Items, Partition
from manor.data.documents.cosmos.patches import Patch, patch_of
from manor.data.documents.driver import Delete, Put, Returns, Update, Write
from manor.data.documents.faults import WriteConflict
from manor.data.documents.retrying import Retries
from manor.data.documents.tables import Table
from manor.data.documents.values import Item, item_size
from manor.data.documents.writing import Outcome, outcome, returned, shown_key

ROUNDS = Retries(attempts=12, first_seconds=0.004, longest_seconds=0.25)
"""How often a write reads and decides before it leaves waiting to the layer above, and the pauses between: without any, those
who all want one item would meet again each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How items lie in the container. ``clock`` gives seconds since 1970, for the time to live."""

    hierarchical: bool
    clock: Callable[[], float]

    def partition(self, tenant: str, table: Table, key: Item) -> Partition:
        """The whole partition key of an item."""
        return [tenant, group_id(table, key[table.key_names[0]])] if self.hierarchical else tenant

    def tenant_partition(self, tenant: str) -> Partition:
        """What a tenant's documents have in common: a whole partition key, or the beginning of one."""
        return [tenant] if self.hierarchical else tenant

    def document(self, tenant: str, table: Table, item: Item) -> Document:
        """The document of an item."""
        now = int(self.clock())
        return document(table, item, tenant, item_size(item), now, hierarchical=self.hierarchical)


class Writer:
    """Single writes."""

    def __init__(self, items: Items, layout: Layout, rounds: Retries = ROUNDS) -> None:
        self.items = items
        self.layout = layout
        self.rounds = rounds

    async def write(self, tenant: str, write: Write) -> Item | None:
        """Do it. Raises what ``writing.outcome`` raises, and ``WriteConflict``."""
        what = shown_key(write.table, write.key)
        if write.condition is None and write.returns is Returns.NONE:
            if isinstance(write, Put):
                await self.items.upsert(self.layout.document(tenant, write.table, write.item), what)
                return None
            if isinstance(write, Delete):
                partition = self.layout.partition(tenant, write.table, write.key)
                await self.items.delete(partition, document_id(write.table, write.key), what)
                return None
        return await self._guarded(tenant, write, what)

    async def _guarded(self, tenant: str, write: Write, what: str) -> Item | None:
        partition, id_ = self.layout.partition(tenant, write.table, write.key), document_id(write.table, write.key)
        patch = patch_of(write) if isinstance(write, Update) else None
        for attempt in range(self.rounds.attempts):
            if attempt:
                await self.rounds.pause(attempt)
            if patch is not None and isinstance(write, Update):
                done, answer = await self._patched(partition, id_, write, patch, what)
                if done:
                    return answer
            current = await self.items.read(partition, id_, what)
            result = outcome(write, None if current is None else decode_item(current["a"]))
            if await self._store(tenant, write, current, result, what):
                return result.returned
        raise WriteConflict(f"others kept changing the item: {what}")

    async def _patched(
        self, partition: Partition, id_: str, write: Update, patch: Patch, what: str
    ) -> tuple[bool, Item | None]:
        """Whether the PATCH went through, and what the caller gets then."""
        found = await self.items.patch(partition, id_, patch, what, answer=write.returns is not Returns.NONE)
        if found is None:
            return False, None
        return True, returned(write, None, decode_item(found["a"])) if found else None

    async def _store(self, tenant: str, write: Write, current: Document | None, result: Outcome, what: str) -> bool:
        """Make it so, if the item is still as it was read."""
        if result.item is None:
            if current is None:
                return True
            partition = self.layout.partition(tenant, write.table, write.key)
            return await self.items.delete(partition, current["id"], what, etag=current["_etag"])
        fresh = self.layout.document(tenant, write.table, result.item)
        if current is None:
            return await self.items.create(fresh, what)
        return await self.items.replace(fresh, current["_etag"], what)
