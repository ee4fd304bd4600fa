"""A small fleet whose tenants hold different rows, and its backups."""

from __future__ import annotations

from pathlib import Path

import fleet_fixtures as fixtures
import pytest


@pytest.fixture
def fleet(tmp_path: Path, server_url: str) -> fixtures.Fleet:
    """Three tenants at one migration, each with rows of its own."""
    fleet = fixtures.build_fleet(tmp_path / "a project", server_url, tenants=3)
    fleet.write("1", "CREATE TABLE orders (id integer PRIMARY KEY, what text);", "DROP TABLE orders;")
    fleet.migrate()
    for number, database in enumerate(fleet.databases, start=1):
        fleet.ask(f"INSERT INTO orders SELECT n, 'order ' || n FROM generate_series(1, {number * 100}) AS n", database)
    return fleet
