"""REST in every way of paging, and GraphQL, pass the suite of all sources, over real HTTP."""

from __future__ import annotations

import typing
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from manor.api_shapes import ApiPagination, ApiSource, FilterField, GraphqlSource
from manor.control.registry.http_json.graphql import open_graphql
from manor.control.registry.http_json.rest import open_api
from manor.control.registry.provider import TenantRegistryProvider
from manor.testing.sources import Row, SourceSuite
from manor.testing.tenant_api import TenantApi, serving

LIST = "query Tenants($first: Int!, $after: String) { tenants(first: $first, after: $after) { edges { node { tenant_id } } } }"
ONE = "query One($tenant_id: ID!) { tenant(id: $tenant_id) { tenant_id } }"


class RestBench:
    """Opens a REST source over rows."""

    def __init__(self, pagination: ApiPagination, *, tells: Sequence[str] = (), **settings: Any) -> None:
        self.pagination = pagination
        self.tells = frozenset(tells)
        self.settings = settings

    @asynccontextmanager
    async def open(
        self, rows: Sequence[Row], configs: Mapping[str, Mapping[str, Any]] = {}
    ) -> AsyncIterator[TenantRegistryProvider]:
        """The source."""
        api = TenantApi(rows, configs)
        api.tells = self.tells
        api.filters = frozenset(self.settings.get("filters", {}).values())
        with serving(api):
            provider = open_api(ApiSource(api_base_url=f"{api.url}/v1", pagination=self.pagination, **self.settings))
            try:
                yield provider
            finally:
                await provider.aclose()


class GraphqlBench:
    """Opens a GraphQL source over rows."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.settings = settings
        (folder / "list.graphql").write_text(LIST, encoding="utf-8")
        (folder / "one.graphql").write_text(ONE, encoding="utf-8")

    @asynccontextmanager
    async def open(
        self, rows: Sequence[Row], configs: Mapping[str, Mapping[str, Any]] = {}
    ) -> AsyncIterator[TenantRegistryProvider]:
        """The source."""
        api = TenantApi(rows, configs)
        api.filters = frozenset(self.settings.get("filters", {}).values())
        with serving(api):
            config = GraphqlSource(
                api_base_url=f"{api.url}/graphql", query_file="list.graphql", config="settings", **self.settings
            )
            provider = open_graphql(config, folder=self.folder)
            try:
                yield provider
            finally:
                await provider.aclose()


class TestByOffset(SourceSuite):
    """``offset`` and ``limit``, as the reference has them, and nothing else told."""

    @pytest.fixture
    def bench(self) -> RestBench:
        return RestBench(ApiPagination(size=500))


class TestByOffsetWithTotal(SourceSuite):
    """With a total, filters that the API knows, and one tenant only to be found in the list."""

    @pytest.fixture
    def bench(self) -> RestBench:
        filters = {name: name for name in typing.get_args(FilterField)}
        return RestBench(
            ApiPagination(size=1000, total="total"),
            tells=["total"],
            tenant_path=None,
            filters=filters,
            parameters={"sort": "id"},
        )


class TestByPage(SourceSuite):
    """``page``, with a header that has the total."""

    @pytest.fixture
    def bench(self) -> RestBench:
        return RestBench(ApiPagination(style="page", size=500, total_header="X-Total-Count"), tells=["X-Total-Count"])


class TestByCursor(SourceSuite):
    """A cursor in the answer."""

    @pytest.fixture
    def bench(self) -> RestBench:
        return RestBench(ApiPagination(style="cursor", size=500), tells=["next_cursor"])


class TestByLink(SourceSuite):
    """A ``Link`` header."""

    @pytest.fixture
    def bench(self) -> RestBench:
        return RestBench(ApiPagination(style="link", size=500), tells=["Link"])


class TestByAddressInTheAnswer(SourceSuite):
    """An address in the answer, as Django REST framework has it."""

    @pytest.fixture
    def bench(self) -> RestBench:
        return RestBench(ApiPagination(style="link", next="next", size=500), tells=["next"])


class TestInOneAnswer(SourceSuite):
    """No pages at all."""

    @pytest.fixture
    def bench(self) -> RestBench:
        return RestBench(ApiPagination(style="none"), parameters={"limit": "10000"})

    @pytest.fixture(autouse=True)
    def _large_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = TenantApi.__init__

        def without_maximum(self: TenantApi, *arguments: Any, **named: Any) -> None:
            before(self, *arguments, **named)
            self.maximum = 10_000

        monkeypatch.setattr(TenantApi, "__init__", without_maximum)


class TestGraphql(SourceSuite):
    """A Relay connection, and a query of its own for one tenant."""

    @pytest.fixture
    def bench(self, tmp_path: Path) -> GraphqlBench:
        return GraphqlBench(tmp_path, size=500, total="totalCount", tenant_query_file="one.graphql")


class TestGraphqlListOnly(SourceSuite):
    """The list's query alone, with filters that the API knows."""

    @pytest.fixture
    def bench(self, tmp_path: Path) -> GraphqlBench:
        return GraphqlBench(tmp_path, size=700, filters={name: name for name in typing.get_args(FilterField)})
