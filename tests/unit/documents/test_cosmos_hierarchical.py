"""The same driver with hierarchical partition keys: what it can do there, and what it refuses before sending."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from manor.data.documents.cosmos.driver import Address, CosmosDriver
from manor.testing.cosmos_gateway import CosmosGateway
from manor.testing.documents import DocumentSuite


@pytest_asyncio.fixture
async def driver() -> AsyncIterator[CosmosDriver]:
    async with CosmosGateway() as gateway:
        address = Address(endpoint=gateway.url, database="d", container="deep", hierarchical=True)
        made = CosmosDriver(address, {"key": "a2V5"})
        await made.open()
        yield made
        await made.close()


class TestHierarchicalCosmosDriver(DocumentSuite):
    """The suite, a tenant spread over logical partitions."""
