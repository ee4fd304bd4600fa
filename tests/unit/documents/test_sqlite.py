"""The suite on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from manor.data.documents.sqlite import SQLiteDriver, open_driver
from manor.testing.documents import DocumentSuite, LifeSuite


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def driver(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SQLiteDriver]:
    """One file for all cases."""
    driver = open_driver(f"sqlite:///{tmp_path_factory.mktemp('documents') / 'documents.db'}")
    await driver.open()
    yield driver
    await driver.close()


class TestSQLiteDriver(DocumentSuite):
    """The suite, in a file."""


class TestLife(LifeSuite):
    """Opening and closing a file."""

    @pytest.fixture
    def unopened(self, tmp_path: Path) -> SQLiteDriver:
        """Of a file of its own."""
        return open_driver(f"sqlite:///{tmp_path / 'documents.db'}")
