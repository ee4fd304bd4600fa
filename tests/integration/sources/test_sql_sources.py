"""Tables of PostgreSQL, MariaDB and SQLite are sources that keep the port's promises."""

from __future__ import annotations

import pytest
from sql_ground import SqlBench

from manor.testing.sources import SourceBench, SourceSuite


class TestPostgresSource(SourceSuite):
    """The suite."""

    @pytest.fixture
    def bench(self, postgres_url: str) -> SourceBench:
        return SqlBench(postgres_url)


class TestMariadbSource(SourceSuite):
    """The suite."""

    @pytest.fixture
    def bench(self, mysql_url: str) -> SourceBench:
        return SqlBench(mysql_url)


class TestSqliteSource(SourceSuite):
    """The suite."""

    @pytest.fixture
    def bench(self, sqlite_url: str) -> SourceBench:
        return SqlBench(sqlite_url)
