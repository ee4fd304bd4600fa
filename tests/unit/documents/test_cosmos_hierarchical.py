"""The same driver with hierarchical partition keys: what it can do there, and what it refuses before sending."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from manor.data.documents.cosmos.driver import Address, CosmosDriver
from manor.testing.cosmos_gateway import CosmosGateway
from manor.testing.documents.indexes import ExpiryCases, IndexCases
from manor.testing.documents.isolation import IsolationCases
from manor.testing.documents.items import ItemCases, KeyCases
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
