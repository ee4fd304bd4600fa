"""All tenants of a list, page after page. What is handed out was complete when it ends, or it ends in an error.

An API's list may move while it is read, hand out one tenant twice, lead in a circle or end too early. Each of these is told
apart from a list that is through. Holds one page, and the ids of all tenants.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

from manor.control.registry.http_json.answers import is_no_page
from manor.control.registry.http_json.paging import Page, Pager, Step
from manor.control.registry.http_json.records import Records
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import Code, ConflictError, ManorError, Place

MOST_EMPTY_PAGES = 100
"""One after the other, each with another cursor."""
_AGAIN = (
    "run it again; if it stays so, let the API sort by something that does not change (parameters: {sort: id}), or use cursors"
)

TURNS_TO_SEND = 6
"""Turns of the event loop in which a request leaves; reading a page keeps the loop busy afterwards."""

Fetch = Callable[[Step], Awaitable[Page]]


class Walk:
    """One way through one list."""

    def __init__(self, fetch: Fetch, pager: Pager, records: Records, url: str) -> None:
        self._fetch = fetch
        self._pager = pager
        self._records = records
        self._url = url
        self._seen: set[str] = set()
        self._positions: set[int | str | None] = set()
        self._total: int | None = None
        self._before: tuple[Step, Sequence[Any]] | None = None
        self._empty = 0

    async def pages(self, offset: int = 0, *, ahead: bool = True) -> AsyncGenerator[list[TenantInfo], None]:
        """The tenants from row ``offset`` on (0 unless the pager's rows have numbers).

        ``ahead``: ask for the next page while this one is worked on. Raises ``ConflictError`` (transient) where the list moved,
        ``ManorError`` (CORRUPT) where it leads in a circle or ends in doubt, ``InvalidInput`` with a finding for every record
        of a page that is no tenant, and what ``fetch`` raises.
        """
        step: Step | None = self._pager.begin(offset)
        next_page = None
        try:
            while step is not None:
                self._refuse_circle(step)
                page = await (next_page or self._fetch(step))
                self._check_total(step, page)
                following = self._pager.after(step, page, offset + len(self._seen) + len(page.items) - step.overlap)
                next_page = await self._asked_ahead(following) if ahead and not self._pager.looks_back else None
                infos = self._tenants(step, page, offset)
                await self._look_back(step, page)
                if following is None:
                    await self._check_end(step, page, offset)
                yield infos
                step = following
        finally:
            if next_page is not None:
                next_page.cancel()
                await asyncio.gather(next_page, return_exceptions=True)

    async def _asked_ahead(self, step: Step | None) -> asyncio.Task[Page] | None:
        """The next page, on its way."""
        if step is None:
            return None
        task = asyncio.create_task(self._fetch_page(step))
        for _ in range(TURNS_TO_SEND):
            await asyncio.sleep(0)
        return task

    async def _fetch_page(self, step: Step) -> Page:
        return await self._fetch(step)

    def _tenants(self, step: Step, page: Page, offset: int) -> list[TenantInfo]:
        """Those that are new. Raises unless the overlap is, and nothing else was seen before."""
        items = page.items[1:] if step.overlap else page.items
        if step.overlap and self._before is not None:
            last, first = self._records.id_of(self._before[1][-1]), self._records.id_of(page.items[0]) if page.items else None
            if last != first:
                raise self._moved(f"page {step.number} does not begin with {last}, where the page before ended")
        number = offset + len(self._seen) + 1
        infos = self._records.tenants(items, self._url, number)
        self._refuse_seen([info.tenant_id for info in infos], step)
        self._empty = 0 if infos else self._empty + 1
        return infos

    def _refuse_seen(self, ids: list[str], step: Step) -> None:
        before = len(self._seen)
        twice = self._seen.intersection(ids)
        self._seen.update(ids)
        if twice or len(self._seen) != before + len(ids):
            tenant = min(twice or {one for one in ids if ids.count(one) > 1})
            raise self._moved(f"{tenant} comes twice, the second time on page {step.number}")

    async def _look_back(self, step: Step, page: Page) -> None:
        """A tenant that went from the page before pulled one up from behind, which then stands on no page that was read."""
        if self._pager.looks_back and self._before is not None:
            before, items = self._before
            again = await self._fetch(before)
            if self._ids(again.items) != self._ids(items):
                raise self._moved(f"page {before.number} changed before page {step.number} was there")
        self._before = (step, page.items)

    def _ids(self, items: Sequence[Any]) -> list[str | None]:
        return [self._records.id_of(item) for item in items]

    def _refuse_circle(self, step: Step) -> None:
        if step.position in self._positions or self._empty > MOST_EMPTY_PAGES:
            what = "leads back to a page that was read" if step.position in self._positions else "goes on without tenants"
            raise ManorError(
                f"{self._url}: page {step.number - 1} {what}",
                code=Code.CORRUPT,
                hint="the API's cursors lead in a circle, or pagination.next is not where the next one stands",
            )
        self._positions.add(step.position)

    def _check_total(self, step: Step, page: Page) -> None:
        if self._total is not None and page.total != self._total:
            raise self._moved(f"the list had {self._total} tenants, and at page {step.number} it has {page.total}")
        self._total = page.total

    async def _check_end(self, step: Step, page: Page, offset: int) -> None:
        if self._total is not None and len(self._seen) != max(0, self._total - offset):
            raise self._moved(f"the list ends after {offset + len(self._seen)} tenants of {self._total}")
        if self._pager.is_doubtful(step, page):
            await self._prove_end(page)
        for look in self._pager.beyond(step, page):
            await self._look_beyond(step, page, look)

    async def _look_beyond(self, step: Step, page: Page, look: Step) -> None:
        """Raises unless nothing new stands there; behind the end some APIs answer with an error, or with the last page."""
        try:
            items = (await self._fetch(look)).items
        except ManorError as error:
            if look == step or not is_no_page(error):
                raise
            return
        is_new = not self._seen.issuperset(filter(None, self._ids(items)))
        if items and page.items and (is_new or len(page.items) >= look.size):
            raise ManorError(
                f"{self._url} tells of {page.total} tenants, which is what page {step.number} has, and goes on behind it",
                code=Code.CORRUPT,
                hint="pagination.total must count the whole list; without it the list is read to its end",
            )
        if items and not page.items and (is_new or look == step):
            raise self._moved(f"page {step.number} had no tenants, and page {look.number} has some")

    async def _prove_end(self, page: Page) -> None:
        """With several tenants, a page of one must name the next one; if it does not, nothing says where that would stand."""
        one = await self._fetch(Step(number=1, position=None, size=1))
        if one.following is None:
            raise ManorError(
                f"{self._url}: after {len(page.items)} tenants no next page is named, nor is one after the first tenant alone",
                code=Code.CORRUPT,
                place=Place(self._url),
                hint=f"is {self._pager.named} right? pagination.more or total would tell; style: none has all in one",
            )

    def _moved(self, what: str) -> ConflictError:
        return ConflictError(f"{self._url}: {what}", transient=True, hint=_AGAIN)
