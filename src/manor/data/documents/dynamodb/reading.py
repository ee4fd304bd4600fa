"""Pages: what DynamoDB answers, cut to what was asked for."""

from __future__ import annotations

from functools import partial

from manor.data.documents.driver import Query, Slice, position_of
from manor.data.documents.dynamodb.codec import resent
from manor.data.documents.dynamodb.compile import own_scan_call, page_call
from manor.data.documents.dynamodb.connection import Sender
from manor.data.documents.dynamodb.place import Place
from manor.data.documents.dynamodb.shared import SharedTable
from manor.data.documents.query.evaluate import evaluate
from manor.data.documents.query.project import project
from manor.data.documents.values import Item


async def page(send: Sender, place: Place, query: Query) -> Slice:
    """One request, one page: at most ``query.limit`` items of what was found."""
    asked = page_call(place, query)
    answer = await send(asked.call, partial(source, query))
    items = [place.plain(wire) for wire in answer["Items"]]
    stopped = answer.get("LastEvaluatedKey")
    last = place.position_from(stopped) if stopped else None
    if len(items) > query.limit:
        items = items[: query.limit]
        last = position_of(query, items[-1])
    return Slice(items=[_shown(query, item, asked.added) for item in items], last=last, scanned=answer.get("ScannedCount"))


def _shown(query: Query, item: Item, added: tuple[str, ...] | None) -> Item:
    if added is None and query.projection is not None:
        return project(query.projection.node.paths, item)
    for name in added or ():
        item.pop(name, None)
    return item


async def own_page(send: Sender, place: SharedTable, query: Query) -> Slice:
    """A scan of a table that others use too: read on until something of the tenant's is found, and decide here.

    Where others' items end a page cannot be told to the caller, so a page ends at an item of the tenant's, or at the end.
    """
    for expression in (query.filter, query.projection):
        if expression is not None:
            place.check(expression)
    found = _Found(query)
    start = query.start and place.position(query, query.start)
    while True:
        answer = await send(own_scan_call(place, query, start), partial(source, query))
        for wire in answer["Items"]:
            if found.is_full():
                return found.slice(more=True)
            found.take(place.plain(wire))
        stopped = answer.get("LastEvaluatedKey")
        if not stopped:
            return found.slice(more=False)
        start = resent(stopped)
        if found.last is not None:
            return found.slice(more=True)


class _Found:
    """The tenant's items of a scan, as they come."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.items: list[Item] = []
        self.scanned = 0
        self.last: Item | None = None

    def is_full(self) -> bool:
        return len(self.items) == self.query.limit or self.scanned == self.query.examine

    def take(self, item: Item) -> None:
        self.scanned += 1
        self.last = position_of(self.query, item)
        if self.query.filter is None or evaluate(self.query.filter.node, item, self.query.values):
            self.items.append(project(self.query.projection.node.paths, item) if self.query.projection else item)

    def slice(self, *, more: bool) -> Slice:
        return Slice(items=self.items, last=self.last if more else None, scanned=self.scanned)


def source(query: Query) -> str:
    """``index UserIndex of chats``, for errors."""
    return f"index {query.index.name} of {query.table.name}" if query.index else query.table.name
