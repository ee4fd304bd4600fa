"""The suite against a real account, where the environment names one: ``pytest -m live_cosmos``.

MANOR_COSMOS_URL is ``cosmos://account/database/container``; AZURE_COSMOS_KEY its key, or whatever azure-identity finds. Nobody
has run this yet.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from manor.data.documents.driver import Driver
from manor.data.opening import open_driver
from manor.testing.documents import DocumentSuite

URL = os.environ.get("MANOR_COSMOS_URL", "")


@pytest_asyncio.fixture
async def driver() -> AsyncIterator[Driver]:
    if not URL:
        pytest.skip("MANOR_COSMOS_URL names no account")
    made = open_driver(URL)
    await made.open()
    yield made
    await made.close()


@pytest.mark.live_cosmos
class TestLiveCosmos(DocumentSuite):
    """The suite."""
