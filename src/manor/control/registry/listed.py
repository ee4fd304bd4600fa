"""Tenants that are at hand as a list, as a source: what the methods of the port mean, in their plainest form.

Sources that are small enough to be held become this one; others are compared with it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from manor.control.registry.provider import Filters, TenantRegistryProvider
from manor.control.registry.search.filters import check_page, lets_through, search_of_filters, search_of_query
from manor.control.registry.search.predicate import Search
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import ConflictError, NotFoundError


class ListedTenantProvider(TenantRegistryProvider):
    """The source ``name`` with these tenants, in this order.

    ``configs`` are settings by tenant id. Raises ``ConflictError`` for a tenant that is there twice.
    """

    def __init__(
        self, tenants: Iterable[TenantInfo], configs: Mapping[str, Mapping[str, Any]] | None = None, *, name: str = "list"
    ) -> None:
        self.name = name
        self._tenants: dict[str, TenantInfo] = {}
        self._configs = configs or {}
        for info in tenants:
            if info.tenant_id in self._tenants:
                raise ConflictError(f"source {name} has the tenant {info.tenant_id!r} twice", hint="keep one of the two")
            self._tenants[info.tenant_id] = info

    def __repr__(self) -> str:
        return f"<source {self.name}: {len(self._tenants)} listed tenants>"

    async def list_tenants(self, filters: Filters | None = None, offset: int = 0, limit: int = 100) -> Sequence[TenantInfo]:
        """One page."""
        check_page(offset, limit)
        return list(islice(self._found(search_of_filters(filters)), offset, offset + limit))

    async def get_tenant(self, tenant_id: str) -> TenantInfo:
        """Raises ``NotFoundError``."""
        found = self._tenants.get(tenant_id)
        if found is None:
            raise NotFoundError(f"source {self.name} has no tenant {tenant_id!r}")
        return found

    async def get_tenant_config(self, tenant_id: str) -> Mapping[str, Any]:
        """Raises ``NotFoundError``."""
        await self.get_tenant(tenant_id)
        return self._configs.get(tenant_id, {})

    async def search_tenants(self, query: str) -> Sequence[TenantInfo]:
        """Raises ``InputError`` with the position of what is refused."""
        return list(self._found(search_of_query(query)))

    async def get_tenant_count(self, filters: Filters | None = None) -> int:
        """How many there are."""
        return sum(1 for _ in self._found(search_of_filters(filters)))

    async def iter_tenants(self, filters: Filters | None = None) -> AsyncIterator[TenantInfo]:
        """All of them."""
        for info in self._found(search_of_filters(filters)):
            yield info

    def _found(self, search: Search | None) -> Iterable[TenantInfo]:
        return (info for info in self._tenants.values() if lets_through(search, info))
