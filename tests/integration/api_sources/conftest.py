"""An API that misbehaves on purpose, and sources that ask it with little patience."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from manor.api_shapes import ApiPagination, ApiSource, GraphqlSource
from manor.control.registry.http_json.client import Patience
from manor.control.registry.http_json.graphql import GraphQLTenantProvider
from manor.control.registry.http_json.rest import APITenantProvider
from manor.control.registry.provider import TenantRegistryProvider
from manor.telemetry import Event, Telemetry
from manor.testing.tenant_api import TenantApi, serving

HASTY = Patience(timeout=5.0, attempts=3, wait_initial=0.001, wait_max=0.01, wait_jitter=0.001, longest_wait=10.0)

OpenRest = Callable[..., APITenantProvider]
OpenGraphql = Callable[..., GraphQLTenantProvider]


@pytest.fixture
def api() -> Iterator[TenantApi]:
    """25 tenants."""
    rows = [{"tenant_id": f"t{n:02}", "customer_code": "c", "tier": ("basic", "premium")[n % 2]} for n in range(25)]
    with serving(TenantApi(rows, {"t01": {"limit": 5}})) as served:
        served.tells = frozenset()
        yield served


@pytest.fixture
def hasty() -> Patience:
    """Three tries, one right after the other."""
    return HASTY


@pytest.fixture
def events() -> list[Event]:
    """What the sources told."""
    return []


@pytest.fixture
async def opened() -> AsyncIterator[list[TenantRegistryProvider]]:
    """Closed at the end."""
    providers: list[TenantRegistryProvider] = []
    yield providers
    for provider in providers:
        await provider.aclose()


@pytest.fixture
def rest(api: TenantApi, opened: list[TenantRegistryProvider], events: list[Event]) -> OpenRest:
    """Opens the REST API with these settings, ten tenants to a page."""

    def open_it(*, patience: Patience = HASTY, pagination: dict[str, Any] | None = None, **settings: Any) -> APITenantProvider:
        pages = ApiPagination(**{"size": 10, **(pagination or {})})
        config = ApiSource(**{"api_base_url": f"{api.url}/v1", "pagination": pages, **settings})
        provider = APITenantProvider(config, source="crm", telemetry=Telemetry(events.append), patience=patience)
        opened.append(provider)
        return provider

    return open_it


@pytest.fixture
def graphql(api: TenantApi, opened: list[TenantRegistryProvider], tmp_path: Path) -> OpenGraphql:
    """Opens the GraphQL API with these settings, ten tenants to a page."""

    def open_it(*, query: str = "query { tenants { pageInfo { endCursor } } }", **settings: Any) -> GraphQLTenantProvider:
        (tmp_path / "list.graphql").write_text(query, encoding="utf-8")
        config = GraphqlSource(**{"api_base_url": f"{api.url}/graphql", "query_file": "list.graphql", "size": 10, **settings})
        provider = GraphQLTenantProvider(config, source="crm", folder=tmp_path, patience=HASTY)
        opened.append(provider)
        return provider

    return open_it
