"""Releases over databases that have settings of their own for whoever enters them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fleet_fixtures as fixtures
import pytest


@pytest.fixture
def fleet(tmp_path: Path, server_url: str) -> Any:
    """Four tenants, at no version."""
    return fixtures.build_fleet(tmp_path / "p", server_url)


@pytest.mark.parametrize("strategy", ["atomic", "rolling", "blue_green"])
def test_dates_that_a_database_spells_otherwise_are_in_nobodys_way(fleet: Any, strategy: str) -> None:
    """All are released, shown, and taken back, and a migration's own dates are the same everywhere."""
    first, second = fleet.databases[:2]
    fleet.ask(f"ALTER DATABASE {first} SET DateStyle = 'German'")
    fleet.ask(f"ALTER DATABASE {second} SET DateStyle = 'SQL, DMY'")
    fleet.write("001", "CREATE TABLE one AS SELECT date '2026-02-01'::text AS at;", "DROP TABLE one;")
    fleet.write("002", "CREATE TABLE two AS SELECT '01.02.2026'::text AS at;", "DROP TABLE two;")
    report = fleet.migrate("--strategy", strategy, "--verify")
    assert set(fixtures.statuses(report).values()) == {"success"}
    assert [fleet.ask("SELECT at FROM one", database) for database in fleet.databases] == [[("2026-02-01",)]] * 4
    assert len(fleet.json("migration", "status", "--tenant-id", first)["migrations"]) == 2
    fleet.json("operation", "undo", report["operation"]["id"])
    assert fleet.has("one") == [False] * 4
    fleet.check_truth()


def test_dates_that_the_login_spells_otherwise_are_in_nobodys_way(fleet: Any) -> None:
    """On the maintenance database and in the catalog too."""
    (role,) = fleet.ask("SELECT current_user")[0]
    fleet.write("001", "CREATE TABLE one (id integer);", "DROP TABLE one;")
    fleet.ask(f"ALTER ROLE {role} SET DateStyle = 'German'")
    try:
        assert set(fixtures.statuses(fleet.migrate("--verify")).values()) == {"success"}
        fleet.check_truth()
    finally:
        fleet.ask(f"ALTER ROLE {role} RESET DateStyle")
