"""Row security as a second wall: parts of the suite behind it, and the wall itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import asyncpg
import psycopg
import pytest
import pytest_asyncio

from manor.data.documents import DatabaseInterface
from manor.data.documents.postgres import PostgresDriver, open_driver
from manor.errors import RefusedError
from manor.testing.documents.indexes import ExpiryCases, IndexCases
from manor.testing.documents.isolation import IsolationCases
from manor.testing.documents.samples import KEY, THINGS
from manor.testing.documents.suite import StoreFixtures
from manor.testing.documents.together import BatchCases, TransactionCases

DATABASE = "documents_behind_a_wall"


@pytest.fixture(scope="module")
def application_url(documents_url: str) -> Iterator[str]:
    """The URL of a login that owns a database and is bound by row security."""
    with psycopg.connect(documents_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE documents_application LOGIN")
        admin.execute(f"CREATE DATABASE {DATABASE} OWNER documents_application TEMPLATE template0 ENCODING 'UTF8'")
    url = documents_url.replace("/postgres?", f"/{DATABASE}?")
    yield url
    with psycopg.connect(documents_url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        admin.execute("DROP ROLE documents_application")


async def as_application(url: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(url)
    await connection.execute("SET ROLE documents_application")
    return connection


@pytest_asyncio.fixture
async def driver(application_url: str) -> AsyncIterator[PostgresDriver]:
    driver = open_driver(application_url + "&role=documents_application", row_security=True)
    await driver.open()
    yield driver
    await driver.close()


class TestBehindRowSecurity(IndexCases, ExpiryCases, BatchCases, TransactionCases, IsolationCases, StoreFixtures):
    """What works without it works with it."""


async def test_a_login_sees_nothing_without_a_tenant(driver: PostgresDriver, application_url: str) -> None:
    """And one tenant's rows with it, whatever a statement asks for."""
    for tenant in ("a'b", "other"):
        await driver.ensure_tables(tenant, [THINGS])
        store = DatabaseInterface(driver, tables=[THINGS], tenant=tenant)
        await store.put_item("things", KEY)
    connection = await as_application(application_url)
    everything = "SELECT tenant FROM documents_items"
    assert await connection.fetch(everything) == []
    await connection.execute("SELECT set_config('manor.tenant', 'a''b', false)")
    assert [row[0] for row in await connection.fetch(everything)] == ["a'b"]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("UPDATE documents_items SET tenant = 'other'")
    await connection.close()


async def test_a_login_that_row_security_does_not_bind_is_refused(documents_url: str) -> None:
    """A superuser would go through the wall."""
    driver = open_driver(documents_url, row_security=True)
    with pytest.raises(RefusedError, match="does not bind"):
        await driver.open()
    await driver.close()


async def test_a_store_that_would_see_nothing_is_refused(driver: PostgresDriver, application_url: str) -> None:
    """Tables with row security need to be told the tenant."""
    blind = open_driver(application_url + "&role=documents_application")
    with pytest.raises(RefusedError) as refused:
        await blind.open()
    assert "row_security=True" in refused.value.hint
    await blind.close()
