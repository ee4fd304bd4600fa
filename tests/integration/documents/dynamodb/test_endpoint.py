"""The driver against our own endpoint over the memory driver, which keeps to the meaning where emulators do not.

What goes out as DynamoDB's protocol and comes back through an evaluator that is the meaning must be the meaning.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from manor.data.documents.dynamodb import DynamoDriver, open_driver
from manor.testing.documents import DocumentSuite
from manor.testing.documents.fuzzing import FuzzSuite

endpoint = pytest.importorskip("manor.testing.dynamodb_endpoint", reason="the endpoint comes with another branch")

CREDENTIALS = {"access_key_id": "tester", "secret_access_key": "the-secret-of-the-tests"}


class BehindEndpoint(DynamoDriver):
    """The driver, with an endpoint that lives as long as it."""

    @classmethod
    async def opened(cls, parameters: str = "") -> BehindEndpoint:
        stack = AsyncExitStack()
        server = await stack.enter_async_context(endpoint.DynamoDBEndpoint("memory://", tenant="endpoint"))
        made = open_driver(f"dynamodb://us-east-1?endpoint={server.url}{parameters}", credentials=CREDENTIALS)
        driver = cls(made.connection, shared_prefix=made.shared_prefix)
        driver.server = stack
        await driver.open()
        return driver

    server: Any

    async def close(self) -> None:
        await super().close()
        await self.server.aclose()


@pytest_asyncio.fixture
async def driver() -> AsyncIterator[DynamoDriver]:
    made = await BehindEndpoint.opened()
    yield made
    await made.close()


@pytest.mark.nightly
class TestBehindEndpoint(DocumentSuite):
    """The suite, without any exception."""


class TestFuzz(FuzzSuite):
    """Random items and expressions, a table for each tenant."""

    async def new_driver(self) -> DynamoDriver:
        return await BehindEndpoint.opened()


class TestFuzzOfSharedTables(FuzzSuite):
    """The same, all tenants in one table."""

    async def new_driver(self) -> DynamoDriver:
        return await BehindEndpoint.opened("&tables=shared")
