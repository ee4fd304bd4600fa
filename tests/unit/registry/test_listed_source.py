"""Tenants at hand are a source that keeps the port's promises: the suite itself is proved by it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from manor.control.registry.listed import ListedTenantProvider
from manor.control.registry.provider import Filters, TenantRegistryProvider
from manor.control.registry.tenant_info import TenantInfo, tenant_at
from manor.errors import Place
from manor.testing.sources import Row, SourceBench, SourceSuite


class Unread(TenantRegistryProvider):
    """Rows that are read when they are asked for, as a file's are."""

    def __init__(self, rows: Sequence[Row], configs: Mapping[str, Mapping[str, Any]]) -> None:
        self._rows = rows
        self._configs = configs

    def _read(self) -> ListedTenantProvider:
        tenants = [tenant_at(row, Place("rows", number)) for number, row in enumerate(self._rows, 1)]
        return ListedTenantProvider(tenants, self._configs)

    async def list_tenants(self, filters: Filters | None = None, offset: int = 0, limit: int = 100) -> Sequence[TenantInfo]:
        return await self._read().list_tenants(filters, offset, limit)

    async def get_tenant(self, tenant_id: str) -> TenantInfo:
        return await self._read().get_tenant(tenant_id)

    async def get_tenant_config(self, tenant_id: str) -> Mapping[str, Any]:
        return await self._read().get_tenant_config(tenant_id)

    async def search_tenants(self, query: str) -> Sequence[TenantInfo]:
        return await self._read().search_tenants(query)

    async def get_tenant_count(self, filters: Filters | None = None) -> int:
        return await self._read().get_tenant_count(filters)

    async def iter_tenants(self, filters: Filters | None = None) -> AsyncIterator[TenantInfo]:
        async for info in self._read().iter_tenants(filters):
            yield info


class ListedBench:
    """Needs nothing."""

    @contextlib.asynccontextmanager
    async def open(
        self, rows: Sequence[Row], configs: Mapping[str, Mapping[str, Any]] = {}
    ) -> AsyncIterator[TenantRegistryProvider]:
        yield Unread(rows, configs)


class TestListedSource(SourceSuite):
    """The suite."""

    @pytest.fixture
    def bench(self) -> SourceBench:
        return ListedBench()
