"""Pages that are as long as they were asked for, whatever pieces the backend answers in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from manor.data.documents.cursors import read_cursor, write_cursor
from manor.data.documents.driver import Query, Slice
from manor.data.documents.pages import Page
from manor.data.documents.values import Item


def continued(key: bytes, tenant: str, query: Query, cursor: str | None) -> Query:
    """The query, from where the cursor says. Raises ``CursorRefused``."""
    return query if cursor is None else replace(query, start=read_cursor(key, tenant, query, cursor))


async def filled(query: Query, ask: Callable[[Query], Awaitable[Slice]], *, fill: bool) -> Slice:
    """Ask until the page is full (``fill``) or has something, the end is reached, or ``examine`` is used up."""
    found = await ask(query)
    items, scanned = found.items, found.scanned
    while found.last is not None and _goes_on(query, items, scanned, fill):
        found = await ask(_rest(query, len(items), scanned, found.last))
        items += found.items
        scanned = None if scanned is None or found.scanned is None else scanned + found.scanned
    return Slice(items=items, last=found.last, scanned=scanned)


def _goes_on(query: Query, items: list[Item], scanned: int | None, fill: bool) -> bool:
    if query.examine is not None and (scanned is None or scanned >= query.examine):
        return False
    return len(items) < query.limit if fill else not items


def _rest(query: Query, found: int, scanned: int | None, last: Item) -> Query:
    examine = None if query.examine is None else query.examine - (scanned or 0)
    return replace(query, limit=query.limit - found, examine=examine, start=last)


def page_of(key: bytes, tenant: str, query: Query, found: Slice) -> Page:
    """What the caller gets: only what the index shows, and a cursor that is bound to tenant and question."""
    visible = query.table.visible(query.index)
    items = found.items
    if visible is not None:
        items = [{name: value for name, value in item.items() if name in visible} for item in items]
    return Page(items, last=found.last, scanned=found.scanned, sign=lambda last: write_cursor(key, tenant, query, last))


async def every_item(ask: Callable[..., Awaitable[Page]]) -> AsyncIterator[Item]:
    """The items of one page after the other; ``ask`` takes the ``cursor`` of the page before."""
    page = await ask()
    while True:
        for item in page:
            yield item
        if page.cursor is None:
            return
        page = await ask(cursor=page.cursor)
