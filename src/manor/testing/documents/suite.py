"""All groups of cases as one class."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from manor.data.documents import DatabaseInterface, Options, Retries
from manor.data.documents.capabilities import Capability, Degree
from manor.data.documents.driver import Driver
from manor.testing.documents.conditions import ConditionCases
from manor.testing.documents.indexes import ExpiryCases, IndexCases
from manor.testing.documents.isolation import IsolationCases
from manor.testing.documents.items import ItemCases
from manor.testing.documents.keys import KeyCases
from manor.testing.documents.queries import PageCases, QueryCases, ScanCases
from manor.testing.documents.samples import THINGS, new_tenant
from manor.testing.documents.together import BatchCases, ConcurrencyCases, TransactionCases
from manor.testing.documents.updates import UpdateCases


class StoreFixtures:
    """What every case gets: ``db``, a store of a new tenant with the table ``things``, on the subclass's ``driver``."""

    @pytest.fixture(autouse=True)
    def _needed(self, request: pytest.FixtureRequest, driver: Driver) -> None:
        """Skip what the driver says it cannot do."""
        needed: Capability | None = getattr(request.function, "capability", None)
        if needed is not None and driver.capabilities[needed].degree is Degree.NONE:
            pytest.skip(f"{needed.value}: {driver.capabilities[needed].reason}")

    @pytest.fixture
    def options(self) -> Options:
        """How the store behaves: patient, because a conformance suite is no load test."""
        return Options(retries=Retries(attempts=12, sleep=asyncio.sleep))

    @pytest_asyncio.fixture
    async def db(self, driver: Driver, options: Options) -> AsyncIterator[DatabaseInterface]:
        """A store of a tenant of its own; its tables are dropped at the end."""
        root = DatabaseInterface(driver, tables=[THINGS], options=options)
        store = root.for_tenant(new_tenant())
        await store.ensure_tables()
        yield store
        await driver.drop_tables(store.tenant_id, list(store.tables.values()))


class DocumentSuite(
    ConditionCases,
    UpdateCases,
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
    """Subclass it, and provide the fixture ``driver``: an open driver."""
