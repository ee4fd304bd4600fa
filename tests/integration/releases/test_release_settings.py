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


def test_a_squash_leaves_settings_where_the_release_left_them(tmp_path: Path, server_url: str) -> None:
    """A search path that one migration sets is over in the next, in one file too: new tenants are as the old ones."""
    fleet = fixtures.build_fleet(tmp_path / "p", server_url, tenants=1)
    fleet.write("001", "CREATE SCHEMA app;\nSET search_path = app;\nCREATE TABLE a1 (i int);")
    fleet.write("002", "CREATE TABLE b1 (i int);")
    fleet.migrate()
    fleet("migration", "squash", "--through", "002", "--delete-files")
    fleet.migrate()
    text = fleet.registry.read_text(encoding="utf-8").replace("tenant_count: 1", "tenant_count: 2")
    fleet.registry.write_text(text, encoding="utf-8")
    fleet("multi-tenant", "deploy", "--registry", fleet.registry, "--allow-large-change")
    tables = "SELECT schemaname, tablename FROM pg_tables WHERE tablename IN ('a1', 'b1') ORDER BY 2"
    found = [fleet.ask(tables, database) for database in ("acme_t_001", "acme_t_002")]
    assert found == [[("app", "a1"), ("public", "b1")]] * 2
