"""The suite on DynamoDB itself: ``MANOR_LIVE_DYNAMODB=dynamodb://eu-central-1 pytest -m live_dynamodb …``.

Credentials come from boto3's chain. Each case makes tables and drops them; at the rates of AWS that takes about an hour and, on
demand, cents. Nobody has run it yet. It needs to be asked for, so that no test run touches an account by accident.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from manor.data.documents.dynamodb import DynamoDriver, open_driver
from manor.testing.documents import DocumentSuite

URL = os.environ.get("MANOR_LIVE_DYNAMODB", "")

pytestmark = [
    pytest.mark.live_dynamodb,
    pytest.mark.skipif(not URL, reason="MANOR_LIVE_DYNAMODB names no store"),
    pytest.mark.timeout(1800),
]

UNSTEADY = {"a global index follows its table within about a second": ["index", "Index", "chats"]}


@pytest_asyncio.fixture
async def driver() -> AsyncIterator[DynamoDriver]:
    made = open_driver(URL)
    await made.open()
    yield made
    await made.close()


class TestLive(DocumentSuite):
    """Everything, on AWS."""
