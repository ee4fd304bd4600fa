"""What every source behind pages shares: list, search, count and walk over one ``Walk``, whatever is spoken on the wire."""

from __future__ import annotations

import abc
import itertools
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from manor.api_shapes import ApiAccess
from manor.control.registry.http_json.client import ApiClient
from manor.control.registry.http_json.pushdown import asked_of
from manor.control.registry.http_json.walk import Walk
from manor.control.registry.provider import Filters, TenantRegistryProvider
from manor.control.registry.search.filters import check_page, lets_through, search_of_filters, search_of_query
from manor.control.registry.search.predicate import Search
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import Code, ManorError, NotFoundError
from manor.telemetry import Telemetry
from manor.typed_input import describe

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
"""As ``tenant_info.Part`` has it: nothing else is an id, nor becomes a part of an address."""


class PagedProvider(TenantRegistryProvider):
    """Subclasses say how a walk is begun, and how one tenant is asked for."""

    rows_have_numbers: bool
    """Whether a walk can begin in the middle."""

    def __init__(self, config: ApiAccess, client: ApiClient, *, source: str, telemetry: Telemetry | None) -> None:
        self._client = client
        self._source = source
        self._telemetry = telemetry or Telemetry()
        self._filters: Mapping[str, str] = {str(field): name for field, name in config.filters.items()}
        self._values: Mapping[str, Mapping[str, str]] = {str(field): words for field, words in config.filter_values.items()}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._source}: {self._client.base_url}>"

    @abc.abstractmethod
    def _walk(self, parameters: Mapping[str, str]) -> Walk:
        """A new walk; ``parameters`` are filters by the API's names."""

    @abc.abstractmethod
    async def _told_count(self) -> int | None:
        """How many tenants the API says that there are, where it does so exactly."""

    async def list_tenants(self, filters: Filters | None = None, offset: int = 0, limit: int = 100) -> Sequence[TenantInfo]:
        """One page; without filters and where rows have numbers the API is asked for just these rows."""
        check_page(offset, limit)
        search = search_of_filters(filters)
        if limit == 0:
            return []
        begin = offset if self.rows_have_numbers and search is None else 0
        found: list[TenantInfo] = []
        async with aclosing(self._found(search, begin, ahead=False)) as tenants:
            async for infos in tenants:
                found += infos
                if len(found) >= offset - begin + limit:
                    break
        return found[offset - begin : offset - begin + limit]

    async def search_tenants(self, query: str) -> Sequence[TenantInfo]:
        """All that the whole list has; the API is asked for what it can filter by."""
        search = search_of_query(query)
        async with aclosing(self._found(search)) as pages:
            return [info async for infos in pages for info in infos]

    async def get_tenant_count(self, filters: Filters | None = None) -> int:
        """As the API tells, where it does and nothing is filtered; else by walking."""
        search = search_of_filters(filters)
        told = await self._told_count() if search is None else None
        if told is not None:
            return told
        async with aclosing(self._found(search)) as pages:
            return sum([len(infos) async for infos in pages])

    async def iter_tenants(self, filters: Filters | None = None) -> AsyncGenerator[TenantInfo, None]:
        """All; holds one page, and the ids."""
        async with aclosing(self._found(search_of_filters(filters))) as pages:
            async for infos in pages:
                for info in infos:
                    yield info

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def _found(
        self, search: Search | None, offset: int = 0, *, ahead: bool = True
    ) -> AsyncGenerator[list[TenantInfo], None]:
        """Page by page those that ``search`` finds."""
        asked = asked_of(search, self._filters, self._values)
        if asked.here:
            self._telemetry.emit("source.filtered_here", "", self._source, conditions=asked.here)
        async with aclosing(self._walk(asked.parameters).pages(offset, ahead=ahead)) as pages:
            async for infos in pages:
                yield infos if search is None else [info for info in infos if lets_through(search, info)]

    async def _looked_for(self, tenant_id: str) -> TenantInfo:
        """One tenant by walking, for an API that cannot be asked for it."""
        self._check_id(tenant_id)
        async for info in self.iter_tenants({"tenant_id": tenant_id}):
            return info
        raise self._unknown(tenant_id)

    def _check_id(self, tenant_id: str) -> None:
        if _ID.fullmatch(tenant_id) is None:
            raise self._unknown(tenant_id)

    def _unknown(self, tenant_id: str) -> NotFoundError:
        return NotFoundError(f"the source {self._source} has no tenant {tenant_id}", hint=f"asked at {self._client.base_url}")


def settings_of(value: Any, url: str, setting: str) -> Mapping[str, Any]:
    """A tenant's settings as they stand in an answer; empty where there are none. Raises ``ManorError`` (CORRUPT)."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ManorError(
            f"{url} answers with {describe(value)} where settings belong", code=Code.CORRUPT, hint=f"is {setting} right?"
        )
    return value


def record_list(value: Any, url: str, setting: str, answer: Any = None) -> Sequence[Any]:
    """The records of an answer. Raises ``ManorError`` (CORRUPT) where there is no list, which is not an empty one."""
    if not isinstance(value, list):
        keys = f"; it has {', '.join(itertools.islice(answer, 10))}" if isinstance(answer, Mapping) and answer else ""
        raise ManorError(
            f"{url} answers without a list of records, found {describe(value)}{keys}",
            code=Code.CORRUPT,
            hint=f"is {setting} right?",
        )
    return value


def whole_number(value: Any, url: str, setting: str) -> int:
    """A count that the API tells. Raises ``ManorError`` (CORRUPT)."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,15}", value.strip()):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ManorError(
            f"{url} does not say how many tenants there are, found {describe(value)}",
            code=Code.CORRUPT,
            hint=f"is {setting} right?",
        )
    return value
