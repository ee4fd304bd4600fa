"""TODO"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from manor.data.documents.dynamodb import DynamoDriver, open_driver
from manor.testing.documents import DocumentSuite


@pytest_asyncio.fixture
async def driver(ministack_url: str, dynamodb_credentials: dict[str, str]) -> AsyncIterator[DynamoDriver]:
    made = open_driver(ministack_url, credentials=dynamodb_credentials)
    await made.open()
    yield made
    await made.close()


class TestDynamo(DocumentSuite):
    """The suite."""
