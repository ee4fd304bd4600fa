"""The Cosmos DB driver, held to the suite over our own gateway: docs/reference/conformance-cosmos.md says what that proves."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from manor.data.documents import DatabaseInterface, Options, Retries, closing
from manor.data.documents.cosmos.connecting import Address
from manor.data.documents.cosmos.driver import CosmosDriver
from manor.data.documents.cosmos.writes import ROUNDS
from manor.testing.cosmos_gateway import CosmosGateway
from manor.testing.documents import DocumentSuite, LifeSuite
from manor.testing.documents.samples import CHATS


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


@pytest.fixture
def unopened(gateway: CosmosGateway) -> CosmosDriver:
    return CosmosDriver(Address(endpoint=gateway.url, database="d", container="flat"), {"key": "a2V5"})


class TestLife(LifeSuite):
    """Opened, closed, and asked meanwhile."""


class TestImpatientLife(LifeSuite):
    """Closing waits for nobody."""

    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(closing, "PATIENCE_SECONDS", 0)


class TestCosmosDriver(DocumentSuite):
    """The suite, all of a tenant in one logical partition."""


async def test_a_write_outlasts_many_others_of_its_item(driver: CosmosDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else is faster thirty times over: an update that is decided here is still made, and once."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    db = DatabaseInterface(driver, tables=[CHATS], tenant="acme", options=Options(retries=Retries(sleep=sleep)))
    await db.ensure_tables()
    await db.put_item("chats", {"PK": "p", "SK": "s", "user_id": "u", "score": 1})
    replace, beaten = driver._opened.items.replace, iter(range(30))

    async def late(document: Any, etag: str, what: str) -> bool:
        return await replace(document, "elsewhere" if next(beaten, None) is not None else etag, what)

    monkeypatch.setattr(driver._opened.items, "replace", late)
    monkeypatch.setattr(driver._opened.writer, "rounds", dataclasses.replace(ROUNDS, sleep=sleep))
    await db.update_item("chats", {"PK": "p", "SK": "s"}, "ADD score :one", {":one": 1})
    item = await db.get_item("chats", {"PK": "p", "SK": "s"})
    assert item is not None
    assert item["score"] == 2
    assert len(pauses) == 30
    assert len(set(pauses)) == 30
