"""``backup_before_update: true`` of a registry: each tenant is copied before it is changed, and undo goes back to that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fleet_fixtures as fixtures
import pytest

KEPT = "SELECT count(*) FROM pg_database WHERE datname LIKE 'manor_kept_%'"
ASKED = "  provisioning:\n    backup_before_update: true\n"
NO_TRANSACTION = "-- migrate:up transaction:false\n"


@pytest.fixture
def fleet(tmp_path: Path, server_url: str) -> fixtures.Fleet:
    """Three tenants whose registry asks for it."""
    return fixtures.build_fleet(tmp_path / "p", server_url, tenants=3, extra=ASKED)


def write_apart(fleet: fixtures.Fleet, version: str, *statements: str) -> None:
    """A migration whose statements commit one by one, without a down section."""
    file = fleet.write(version, ";\n".join(statements) + ";")
    file.write_text(file.read_text().replace("-- migrate:up\n", NO_TRANSACTION), encoding="utf-8")


def facts(report: Any) -> dict[str, Any]:
    return {outcome["database"]: outcome.get("facts", {}) for outcome in report["outcomes"]}


def test_a_release_that_cannot_be_rolled_back_is_undone_by_its_snapshots(fleet: fixtures.Fleet) -> None:
    """Nobody said `--backup-first`: the registry did. The snapshots hold what the tenants held."""
    write_apart(fleet, "1", "UPDATE items SET price = 0", "CREATE INDEX CONCURRENTLY items_price ON items (price)")
    report = fleet.migrate("--strategy", "rolling")
    assert set(fixtures.statuses(report).values()) == {"success"}
    assert all(told["snapshot"].startswith("manor_kept_") for told in facts(report).values())
    assert fleet.ask(KEPT) == [(3,)]
    assert fleet.ask("SELECT price FROM items", "acme_t_001") == [(0,)]
    undone = fleet.json("operation", "undo", report["operation"]["id"], "--discard-writes")
    assert set(fixtures.statuses(undone).values()) == {"success"}
    for database in fleet.databases:
        assert fleet.ask("SELECT price FROM items", database) == [(10,)]
        assert fleet.history(database) == []
    fleet.check_truth()


def test_who_failed_half_way_is_left_to_a_decision_with_the_snapshot_kept(fleet: fixtures.Fleet) -> None:
    """Undo takes back those that were changed, and names the one between two states: its snapshot waits for the decision."""
    write_apart(fleet, "1", "UPDATE items SET price = 0", "CREATE UNIQUE INDEX CONCURRENTLY u ON items (price)")
    fleet.ask("INSERT INTO items VALUES (2, 'second', 20)", "acme_t_002")
    report = fleet.migrate("--strategy", "rolling", code=None)
    undone = fleet.json("operation", "undo", report["operation"]["id"], "--discard-writes")
    assert fixtures.statuses(undone) == {"acme_t_001": "success", "acme_t_003": "success"}
    assert any("need a decision" in notice and fleet.tenant(2) in notice for notice in undone["notices"])
    assert [fleet.ask("SELECT min(price) FROM items", one) for one in fleet.databases] == [[(10,)], [(0,)], [(10,)]]
    kept = "SELECT count(*) FROM manor.kept_databases WHERE kind = 'snapshot'"
    assert fleet.ask(kept, "manor_catalog") == [(1,)]
