"""PostgreSQL agrees with the meaning, whatever Hypothesis makes up."""

from __future__ import annotations

import pytest

from manor.data.documents.postgres import PostgresDriver, open_driver
from manor.testing.documents.fuzzing import FuzzSuite

URL: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def _url(documents_url: str) -> None:
    URL[:] = [documents_url]


class TestPostgresFuzz(FuzzSuite):
    """On a server."""

    async def new_driver(self) -> PostgresDriver:
        driver = open_driver(URL[0])
        await driver.open()
        return driver
