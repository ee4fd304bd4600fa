"""The driver against our own endpoint over the memory driver, which keeps to the meaning where emulators do not.

What goes out as DynamoDB's protocol and comes back through an evaluator that is the meaning must be the meaning.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from manor.data.documents import DatabaseInterface, Options, closing
from manor.data.documents.dynamodb import DynamoDriver, open_driver
from manor.data.documents.faults import ExpressionError
from manor.testing.documents import DocumentSuite, LifeSuite
from manor.testing.documents.fuzzing import FuzzSuite
from manor.testing.documents.samples import CHATS, calls

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


@pytest_asyncio.fixture
async def unopened() -> AsyncIterator[DynamoDriver]:
    async with endpoint.DynamoDBEndpoint("memory://", tenant="endpoint") as server:
        yield open_driver(f"dynamodb://us-east-1?endpoint={server.url}", credentials=CREDENTIALS)


class TestLife(LifeSuite):
    """Opened, closed, and asked meanwhile."""


class TestImpatientLife(LifeSuite):
    """Closing waits for nobody."""

    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(closing, "PATIENCE_SECONDS", 0)


class TestFuzz(FuzzSuite):
    """Random items and expressions, a table for each tenant."""

    async def new_driver(self) -> DynamoDriver:
        return await BehindEndpoint.opened()


class TestFuzzOfSharedTables(FuzzSuite):
    """The same, all tenants in one table."""

    async def new_driver(self) -> DynamoDriver:
        return await BehindEndpoint.opened("&tables=shared")


async def test_what_is_hidden_in_shared_tables_cannot_be_named() -> None:
    """Neither read nor written, by any kind of expression."""
    driver = await BehindEndpoint.opened("&tables=shared")
    db = DatabaseInterface(driver, tables=[CHATS], tenant="acme", options=Options(allow_scans=True))
    await db.ensure_tables()
    key, names, none = {"PK": "p", "SK": "s"}, {"#m": "manor:partition"}, {":v": "x"}
    await db.put_item("chats", key)
    for call in calls(
        lambda: db.put_item("chats", key, "attribute_exists(#m)", expression_names=names),
        lambda: db.update_item("chats", key, "SET x = #m", expression_names=names),
        lambda: db.update_item("chats", key, "REMOVE #m", expression_names=names),
        lambda: db.get_item("chats", key, projection_expression="#m", expression_names=names),
        lambda: db.scan("chats", "#m = :v", none, expression_names=names),
        lambda: db.scan("chats", projection_expression="#m", expression_names=names),
        lambda: db.query("chats", "PK = :v", none, filter_expression="size(#m) > :v", expression_names=names),
        lambda: db.transaction_write(
            [{"type": "Delete", "table": "chats", "key": key, "condition_expression": "#m = :v"}
             | {"expression_names": names, "expression_values": none}]
        ),
    ):  # fmt: skip
        with pytest.raises(ExpressionError, match="manor:") as refused:
            await call()
        assert refused.value.position
    await driver.close()
