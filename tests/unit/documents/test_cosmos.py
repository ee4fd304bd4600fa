"""The Cosmos DB driver, held to the suite over our own gateway: docs/reference/conformance-cosmos.md says what that proves."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from manor.data.documents.cosmos.driver import Address, CosmosDriver
from manor.testing.cosmos_gateway import CosmosGateway
from manor.testing.documents import DocumentSuite


@pytest_asyncio.fixture
async def gateway() -> AsyncIterator[CosmosGateway]:
    async with CosmosGateway() as running:
        yield running


@pytest_asyncio.fixture
async def driver(gateway: CosmosGateway) -> AsyncIterator[CosmosDriver]:
    made = CosmosDriver(Address(endpoint=gateway.url, database="d", container="flat"), {"key": "a2V5"})
    await made.open()
    yield made
    await made.close()


class TestCosmosDriver(DocumentSuite):
    """The suite, all of a tenant in one logical partition."""
