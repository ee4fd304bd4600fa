"""The source that is several others. A tenant is there if one of them has it; one that is away makes all of them away, because
what the others say would look like the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import islice
from typing import Any

from manor.control.registry.merged.merge import ConflictReport, Told, merge_config, merge_tenant
from manor.control.registry.merged.spool import Spool
from manor.control.registry.provider import PAGE, Filters, TenantRegistryProvider
from manor.control.registry.search.filters import check_page, lets_through, search_of_filters, search_of_query
from manor.control.registry.search.predicate import Search
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import InputError, NotFoundError
from manor.telemetry import Telemetry


class MergedTenantProvider(TenantRegistryProvider):
    """``sources`` by name, the one that counts most first; they are closed with it.

    Filters and searches look at merged tenants, so every method but ``get_tenant`` and ``get_tenant_config`` walks all sources.
    Raises ``InputError`` where there are no sources.
    """

    def __init__(
        self, sources: Mapping[str, TenantRegistryProvider], *, name: str = "merged", telemetry: Telemetry | None = None
    ) -> None:
        if not sources:
            raise InputError(f"source {name} merges no sources")
        self.name = name
        self.report = ConflictReport()
        """Of the last walk that was begun; complete once it has ended."""
        self._parts: dict[str, int] = {}
        self._sources = dict(sources)
        self._telemetry = telemetry or Telemetry()

    def __repr__(self) -> str:
        return f"<source {self.name}: merged of {', '.join(self._sources)}>"

    async def list_tenants(self, filters: Filters | None = None, offset: int = 0, limit: int = 100) -> Sequence[TenantInfo]:
        """One page, in the order of the first source that has the tenant."""
        check_page(offset, limit)
        return await self._listed(search_of_filters(filters), offset, offset + limit)

    async def get_tenant(self, tenant_id: str) -> TenantInfo:
        """Raises ``NotFoundError`` where no source has it."""
        told = [Told(source=name, info=info) for name, _, info in await self._having(tenant_id)]
        return merge_tenant(told)[0]

    async def get_tenant_config(self, tenant_id: str) -> Mapping[str, Any]:
        """Key by key, the first source that has the key. Raises ``NotFoundError`` where no source has the tenant."""
        having = await self._having(tenant_id)
        return merge_config([await provider.get_tenant_config(tenant_id) for _, provider, _ in having])

    async def search_tenants(self, query: str) -> Sequence[TenantInfo]:
        """Raises ``InputError`` with the position of what is refused."""
        return await self._listed(search_of_query(query), 0, None)

    async def get_tenant_count(self, filters: Filters | None = None) -> int:
        """Counted by walking."""
        return len(await self._listed(search_of_filters(filters), 0, None))

    async def iter_tenants(self, filters: Filters | None = None) -> AsyncIterator[TenantInfo]:
        """All of them, each once. ``report`` says afterwards where the sources disagreed; so does the event
        ``source.disagreed``."""
        search = search_of_filters(filters)
        self.report = report = ConflictReport()
        with Spool(list(self._sources)) as spool:
            self._parts = {
                name: await _lay_down(spool, rank, provider) for rank, (name, provider) in enumerate(self._sources.items())
            }
            told = spool.told()
            while batch := await asyncio.to_thread(lambda: list(islice(told, PAGE))):
                for one in batch:
                    info, conflicts = merge_tenant(one)
                    report.add(conflicts)
                    if lets_through(search, info):
                        yield info
        if report.tenants:
            self._telemetry.emit("source.disagreed", "", self.name, tenants=report.tenants, fields=dict(report.by_field))

    def parts(self) -> Mapping[str, int]:
        """One that is itself made of others is one part."""
        return self._parts

    async def forget(self) -> None:
        """All of them do."""
        for provider in self._sources.values():
            await provider.forget()

    async def aclose(self) -> None:
        """Close all of them."""
        for provider in self._sources.values():
            await provider.aclose()

    async def _listed(self, search: Search | None, start: int, end: int | None) -> list[TenantInfo]:
        found = [info async for info in self.iter_tenants() if lets_through(search, info)]
        return found[start:end]

    async def _having(self, tenant_id: str) -> list[tuple[str, TenantRegistryProvider, TenantInfo]]:
        found = []
        for name, provider in self._sources.items():
            try:
                found.append((name, provider, await provider.get_tenant(tenant_id)))
            except NotFoundError:
                continue
        if not found:
            raise NotFoundError(f"source {self.name} has no tenant {tenant_id!r}", hint=f"looked in {', '.join(self._sources)}")
        return found


async def _lay_down(spool: Spool, rank: int, provider: TenantRegistryProvider) -> int:
    """How many there were."""
    page: list[TenantInfo] = []
    count = 0
    async for info in provider.iter_tenants():
        page.append(info)
        count += 1
        if len(page) == PAGE:
            await asyncio.to_thread(spool.put, rank, page)
            page = []
    await asyncio.to_thread(spool.put, rank, page)
    return count
