"""The port of every source of tenants, and the walk over all that it has."""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from manor.control.registry.tenant_info import TenantInfo

PAGE = 1_000
"""Tenants that are asked for at a time."""

Filters = Mapping[str, Any]
"""By field of ``TenantInfo``: the value that it must have, or a list of the values that it may have."""


class TenantRegistryProvider(abc.ABC):
    """Where tenants are declared. Every source passes ``manor.testing.sources``.

    The order of tenants is the source's own and the same for every call; ``tenant_id`` is unique. Methods raise
    ``InputError`` with a place for a row that is no tenant, ``UnreachableError`` (transient) where the source is away, and
    never return part of an answer as the whole.
    """

    @abc.abstractmethod
    async def list_tenants(self, filters: Filters | None = None, offset: int = 0, limit: int = 100) -> Sequence[TenantInfo]:
        """One page: at most ``limit`` of those that ``filters`` lets through, after the first ``offset`` of these."""

    @abc.abstractmethod
    async def get_tenant(self, tenant_id: str) -> TenantInfo:
        """One of them. Raises ``NotFoundError``."""

    @abc.abstractmethod
    async def get_tenant_config(self, tenant_id: str) -> Mapping[str, Any]:
        """Its own settings, JSON values; empty where it has none. Raises ``NotFoundError``."""

    @abc.abstractmethod
    async def search_tenants(self, query: str) -> Sequence[TenantInfo]:
        """All that a condition of the search language finds. Raises ``InputError`` with the position of what it refuses."""

    @abc.abstractmethod
    async def get_tenant_count(self, filters: Filters | None = None) -> int:
        """How many ``filters`` lets through."""

    @abc.abstractmethod
    def iter_tenants(self, filters: Filters | None = None) -> AsyncIterator[TenantInfo]:
        """All that ``filters`` lets through, page after page, in bounded memory.

        Raises ``ConflictError`` where the source hands out one tenant twice, or changes under the walk in a way that shows: a
        walk that ends without an error was complete.
        """

    async def get_tenant_configs(self, tenant_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """The settings of several, by id; like ``get_tenant_config``. Here one by one: override it where it can be less."""
        return {tenant_id: await self.get_tenant_config(tenant_id) for tenant_id in tenant_ids}

    def parts(self) -> Mapping[str, int]:
        """Where the source is made of others, by name how many tenants each of them told of in the last whole walk."""
        return {}

    async def forget(self) -> None:  # noqa: B027 - most keep nothing
        """Let go of all answers that are kept, here and where others find them: from now on the source itself is asked."""

    async def aclose(self) -> None:  # noqa: B027 - most hold nothing open
        """Give back what it holds open."""
