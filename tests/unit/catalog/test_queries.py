"""Our SQL files: what is loaded, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from manor.control import catalog as package
from manor.control.catalog.queries import load_migrations, load_queries, parse_migrations, parse_queries
from manor.errors import CatalogError

FOLDER = Path(next(iter(package.__path__)))


def test_queries_are_cut_at_their_names():
    assert parse_queries("-- About.\n\n-- one --\nSELECT 1;\n-- why\n\n-- two --\nSELECT 2;\n") == {
        "one": b"SELECT 1;\n-- why",
        "two": b"SELECT 2;",
    }


@pytest.mark.parametrize("text", ["-- one --\nSELECT 1;\n-- one --\nSELECT 2;\n", "-- one --\n-- two --\nSELECT 2;\n"])
def test_a_query_that_stands_twice_or_is_empty_is_refused(text):
    with pytest.raises(CatalogError, match="one stands twice or is empty"):
        parse_queries(text)


def test_every_query_is_used_and_every_used_query_exists():
    used = {name for file in FOLDER.glob("*.py") for name in re.findall(r'query\("([a-z_]+)"\)', file.read_text("utf-8"))}
    assert used == set(load_queries())


def test_migrations_are_numbered_without_gap_and_marked_pre_or_post():
    migrations = load_migrations()
    assert [migration.version for migration in migrations] == list(range(1, len(migrations) + 1))
    assert {migration.phase for migration in migrations} <= {"pre", "post"}
    assert len({migration.checksum for migration in migrations}) == len(migrations)


@pytest.mark.parametrize("file", ["0002_pre_x.sql", "0001_during_x.sql", "1_pre_x.sql", "0001_pre_X.sql"])
def test_a_misnamed_migration_is_refused(file):
    with pytest.raises(CatalogError, match=re.escape("should be named 0001_pre_<name>.sql")):
        parse_migrations({file: b""})
