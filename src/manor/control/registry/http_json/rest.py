"""Tenants behind a REST API."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

from manor.api_shapes import ApiPagination, ApiSource
from manor.control.registry.http_json.answers import Answer, is_no_page, shown
from manor.control.registry.http_json.client import ApiClient, Patience, Request
from manor.control.registry.http_json.expressions import Expression, expression_of
from manor.control.registry.http_json.link_header import read_links
from manor.control.registry.http_json.paged import PagedProvider, record_list, settings_of, whole_number
from manor.control.registry.http_json.paging import Page, Step, counts_the_page, pager_of, parameters_of
from manor.control.registry.http_json.records import Records
from manor.control.registry.http_json.walk import Walk
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import Code, ConflictError, InputError, ManorError, NotFoundError
from manor.telemetry import Telemetry
from manor.typed_input import describe


class PageReader:
    """What an answer says about its page, by the settings of ``pagination``."""

    def __init__(self, pagination: ApiPagination, items: str) -> None:
        """Raises ``InputError`` for a setting that is no JMESPath."""
        self._items = Expression(items, "items")
        self._total = expression_of(pagination.total, "pagination.total")
        self._total_header = (pagination.total_header or "").lower()
        self._more = expression_of(pagination.more, "pagination.more")
        default = "next_cursor" if pagination.style == "cursor" else None
        self._next = expression_of(pagination.next or default, "pagination.next")
        self._by_address = pagination.style in ("link", "none")

    @property
    def tells_total(self) -> bool:
        """Whether every page says how many tenants there are."""
        return self._total is not None or bool(self._total_header)

    def read(self, answer: Answer, url: str) -> Page:
        """Raises ``ManorError`` (CORRUPT) where something that the settings name is not there."""
        following, told = self._following(answer, url)
        return Page(
            items=record_list(self._items.find(answer.value), shown(url), "items", answer.value),
            total=self._told_total(answer, shown(url)),
            more=self._told_more(answer.value, shown(url)),
            following=following,
            following_told=told,
        )

    def _told_total(self, answer: Answer, url: str) -> int | None:
        if self._total is not None:
            return whole_number(self._total.find(answer.value), url, "pagination.total")
        if self._total_header:
            return whole_number(answer.headers.get(self._total_header), url, "pagination.total_header")
        return None

    def _told_more(self, value: Any, url: str) -> bool | None:
        if self._more is None:
            return None
        found = self._more.find(value)
        if not isinstance(found, bool):
            raise ManorError(
                f"{url} does not say whether there is more, found {describe(found)}",
                code=Code.CORRUPT,
                hint="pagination.more is where true or false stands; where it is a cursor or an address use pagination.next",
            )
        return found

    def _following(self, answer: Answer, url: str) -> tuple[str | None, bool]:
        """Cursor or address, and whether the answer has a place for it."""
        if self._next is None:
            found, told = self._linked(answer, shown(url)) if self._by_address else (None, True)
        else:
            found, told = self._next.find(answer.value), self._next.stands_in(answer.value)
        if isinstance(found, bool) or not isinstance(found, str | int | None):
            raise ManorError(
                f"{shown(url)} names {describe(found)} as its next page", code=Code.CORRUPT, hint="is pagination.next right?"
            )
        if found is None or found == "":
            return None, told
        return (urljoin(url, str(found)) if self._by_address else str(found)), True

    def _linked(self, answer: Answer, url: str) -> tuple[str | None, bool]:
        links = read_links(answer.headers.get("link"), url)
        if len(links.following) > 1:
            raise ManorError(f"{url} names two next pages", code=Code.CORRUPT, hint="is pagination.next in the answer itself?")
        return next(iter(links.following), None), links.of_pages


class APITenantProvider(PagedProvider):
    """A REST API with JSON. Settings: ``manor.api_shapes.ApiSource``."""

    def __init__(
        self,
        config: ApiSource,
        *,
        source: str = "api",
        folder: Path = Path(),
        telemetry: Telemetry | None = None,
        patience: Patience | None = None,
    ) -> None:
        """``source`` is its name for messages, ``folder`` what paths are relative to. Asks nothing yet.

        Raises ``InputError`` for a setting that cannot be used, ``RefusedError`` for a secret in the clear.
        """
        client = ApiClient(config, folder=folder, patience=patience)
        super().__init__(config, client, source=source, telemetry=telemetry)
        self._config = config
        self._pager = pager_of(config.pagination)
        self._reader = PageReader(config.pagination, config.items)
        self._records = Records(config.fields)
        self._tenant = Expression(config.tenant, "tenant")
        self._settings = Expression(config.config, "config")
        self._list_url = client.address(config.list_path)
        self.rows_have_numbers = self._pager.rows_have_numbers
        self._looks_at_page_0 = config.pagination.style == "page" and config.pagination.first_page is None

    async def get_tenant(self, tenant_id: str) -> TenantInfo:
        """Asked for by its path, or looked for in the list."""
        path = self._config.tenant_path
        if path is None:
            return await self._looked_for(tenant_id)
        answer, url = await self._about(path, tenant_id)
        info = self._records.tenant(self._tenant.find(answer.value), url)
        if info.tenant_id != tenant_id:  # an API that looks over the case of letters, or finds the nearest
            raise self._unknown(tenant_id)
        return info

    async def get_tenant_config(self, tenant_id: str) -> Mapping[str, Any]:
        """Asked for by its path. An API answers 404 for a tenant without settings too: the tenant itself decides."""
        path = self._config.config_path
        if path is not None:
            try:
                answer, url = await self._about(path, tenant_id)
                return settings_of(self._settings.find(answer.value), url, "config")
            except NotFoundError:
                pass
        await self.get_tenant(tenant_id)
        return {}

    async def _about(self, path: str, tenant_id: str) -> tuple[Answer, str]:
        self._check_id(tenant_id)
        path = path.replace("{tenant_id}", quote(tenant_id, safe=""))
        try:
            return await self._client.ask(Request(path=path)), shown(self._client.address(path))
        except NotFoundError:
            raise self._unknown(tenant_id) from None

    def _walk(self, parameters: Mapping[str, str]) -> Walk:
        async def fetch(step: Step) -> Page:
            return await self._page(step, parameters)

        return Walk(fetch, self._pager, self._records, shown(self._list_url))

    async def _page(self, step: Step, parameters: Mapping[str, str]) -> Page:
        asked = parameters_of(step, self._config.pagination)
        if self._config.pagination.style == "link" and step.position is not None:
            url = str(step.position)  # it has all parameters in it
            return self._reader.read(await self._client.ask(Request(path=url, parameters=asked)), url)
        request = Request(path=self._config.list_path, parameters={**self._config.parameters, **parameters, **asked})
        try:
            page = self._reader.read(await self._client.ask(request), self._list_url)
        except NotFoundError as error:
            if step.number > 1:  # some APIs say so that the list is through; so does a proxy that lost its way
                error.hint = "where the API answers so behind its last page, let pagination.more or total tell the end"
            raise
        if step.number == 1 and self._looks_at_page_0:
            self._looks_at_page_0 = False
            try:
                await self._refuse_page_0(page, parameters)
            except ManorError:
                self._looks_at_page_0 = True
                raise
        return page

    async def _refuse_page_0(self, first: Page, parameters: Mapping[str, str]) -> None:
        """An API that counts from 0 would lose its first page, without a word."""
        try:
            before = await self._page(Step(number=1, position=0, size=self._config.pagination.size), parameters)
        except ManorError as error:
            if is_no_page(error):
                return
            error.hint = "Manor looked whether the API counts its pages from 0; pagination.first_page says so"
            raise
        ids, others = ({self._records.id_of(item) for item in page.items} for page in (before, first))
        if ids and ids.isdisjoint(others):
            raise InputError(
                f"{shown(self._list_url)}: page 0 has tenants that page 1 does not have",
                hint="the API counts its pages from 0: write pagination.first_page: 0; or 1, if page 0 is something else",
            )
        if ids and ids != others:
            raise ConflictError(
                f"{shown(self._list_url)}: page 1 changed before page 0 was there",
                transient=True,
                hint="run it again; pagination.first_page says from where the API counts its pages",
            )

    async def _told_count(self) -> int | None:
        if not self._reader.tells_total:
            return None
        page = await self._page(self._pager.begin(0), {})
        return None if counts_the_page(page) else page.total


def open_api(
    config: ApiSource, *, source: str = "api", folder: Path = Path(), telemetry: Telemetry | None = None
) -> APITenantProvider:
    """The source that ``config`` describes; it is asked nothing before its first method. Close it with ``aclose``.

    Raises ``InputError``, ``RefusedError`` for settings that cannot be used.
    """
    return APITenantProvider(config, source=source, folder=folder, telemetry=telemetry)
