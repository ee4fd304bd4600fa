"""The suite on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from manor.data.documents.postgres import PostgresDriver, open_driver
from manor.testing.documents import DocumentSuite, LifeSuite


@pytest_asyncio.fixture
async def driver(documents_url: str) -> AsyncIterator[PostgresDriver]:
    """Connections belong to an event loop, and every case has its own."""
    driver = open_driver(documents_url)
    await driver.open()
    yield driver
    await driver.close()


class TestPostgresDriver(DocumentSuite):
    """The suite, on a server."""


class TestLife(LifeSuite):
    """Opening and closing a store of the server."""

    @pytest.fixture
    def unopened(self, documents_url: str) -> PostgresDriver:
        """Never opened."""
        return open_driver(documents_url)
