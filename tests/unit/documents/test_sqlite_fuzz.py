"""SQLite agrees with the meaning, whatever Hypothesis makes up."""

from __future__ import annotations

import tempfile
from pathlib import Path

from manor.data.documents.sqlite import SQLiteDriver, open_driver
from manor.testing.documents.fuzzing import FuzzSuite


class TestSQLiteFuzz(FuzzSuite):
    """In a file."""

    folder: tempfile.TemporaryDirectory[str]

    async def new_driver(self) -> SQLiteDriver:
        type(self).folder = tempfile.TemporaryDirectory()
        driver = open_driver(f"sqlite:///{Path(self.folder.name) / 'documents.db'}?synchronous=normal")
        await driver.open()
        return driver

    @classmethod
    def teardown_class(cls) -> None:
        super().teardown_class()
        cls.folder.cleanup()
