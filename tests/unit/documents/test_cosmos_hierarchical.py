"""The same driver with hierarchical partition keys: what it can do there, and what it refuses before sending."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from manor.data.documents import DatabaseInterface, Index, Table
from manor.data.documents.cosmos.connecting import Address
from manor.data.documents.cosmos.driver import CosmosDriver
from manor.testing.cosmos_gateway import CosmosGateway
from manor.testing.cosmos_gateway.spans import hashed
from manor.testing.documents.indexes import ExpiryCases, IndexCases
from manor.testing.documents.isolation import IsolationCases
from manor.testing.documents.items import ItemCases
from manor.testing.documents.keys import KeyCases
from manor.testing.documents.queries import PageCases, QueryCases, ScanCases
from manor.testing.documents.suite import StoreFixtures
from manor.testing.documents.together import BatchCases, ConcurrencyCases, TransactionCases


@pytest_asyncio.fixture
async def driver() -> AsyncIterator[CosmosDriver]:
    async with CosmosGateway() as gateway:
        address = Address(endpoint=gateway.url, database="d", container="deep", hierarchical=True)
        made = CosmosDriver(address, {"key": "a2V5"})
        await made.open()
        yield made
        await made.close()


class TestHierarchicalCosmosDriver(
    ItemCases,
    KeyCases,
    QueryCases,
    PageCases,
    ScanCases,
    IndexCases,
    ExpiryCases,
    BatchCases,
    TransactionCases,
    ConcurrencyCases,
    IsolationCases,
    StoreFixtures,
):
    """The suite but for conditions and updates, which do not know of partitions; a tenant spread over several of them."""


async def test_a_tenant_over_several_physical_partitions_is_one_order() -> None:
    """Scans and indexes ask each of them, and no item is lost, doubled or out of order, at any size of a page."""
    things = Table(
        name="things",
        partition_key="PK",
        sort_key="SK",
        allow_scans=True,
        indexes=(Index(name="ByKind", partition_key="kind"),),
    )
    async with CosmosGateway() as gateway:
        address = Address(endpoint=gateway.url, database="d", container="deep", hierarchical=True)
        async with DatabaseInterface(CosmosDriver(address, {"key": "a2V5"}), tables=[things], tenant="t") as db:
            await db.ensure_tables()
            items = [{"PK": f"p{number:02}", "SK": "s", "kind": "k"} for number in range(30)]
            await db.batch_write("things", items)
            await db.for_tenant("other").ensure_tables()
            await db.for_tenant("other").batch_write("things", items)
            container = gateway.containers["d", "deep"]
            places = sorted(hashed(container, one) for one in container.living() if one["t"] == "t" and "s" in one)
            gateway.splits = (places[7], places[20])
            gateway.recording = True
            for limit in (1, 7, 100):
                assert [item async for item in db.scan_all("things", limit=limit)] == items
                found = db.query_all("things", "kind = :k", {":k": "k"}, index_name="ByKind", limit=limit, scan_forward=False)
                assert [item async for item in found] == items[::-1]
            asked = {headers.get("x-ms-documentdb-partitionkeyrangeid") for _, _, headers, _ in gateway.requests}
            assert {"0", "1", "2"} <= asked
