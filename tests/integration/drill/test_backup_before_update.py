"""``backup_before_update: true`` of a registry: each tenant is copied before it is changed, and undo goes back to that."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import fleet_fixtures as fixtures
import killed_command
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


PARTLY = "CREATE INDEX CONCURRENTLY items_price ON items (price)"
FAILING = "CREATE UNIQUE INDEX CONCURRENTLY items_one ON items (price)"
INDEXES = "SELECT count(*) FROM pg_indexes WHERE indexname = 'items_price'"
SNAPSHOTS = "SELECT count(*) FROM manor.kept_databases WHERE kind = 'snapshot'"


def half_way(fleet: fixtures.Fleet, first: str) -> str:
    """A release whose second statement fails for the second tenant, behind a first one that stays; its id."""
    write_apart(fleet, "1", first, FAILING)
    fleet.ask("INSERT INTO items VALUES (2, 'second', 10)", "acme_t_002")
    report = fleet.migrate("--strategy", "rolling", code=1)
    assert fixtures.statuses(report)["acme_t_002"] == "needs_decision"
    return str(report["operation"]["id"])


def status_of(fleet: fixtures.Fleet, operation: str, database: str) -> str:
    return fixtures.statuses(fleet.json("operation", "show", operation))[database]


def test_who_failed_half_way_goes_back_to_its_snapshot_with_the_undo(fleet: fixtures.Fleet) -> None:
    """Nobody wrote since, and the migration's statements wrote no rows: the whole fleet is where it was, and can try again."""
    operation = half_way(fleet, PARTLY)
    assert [fleet.ask(INDEXES, one) for one in fleet.databases] == [[(1,)], [(1,)], [(1,)]]
    undone = fleet.json("operation", "undo", operation)
    assert set(fixtures.statuses(undone).values()) == {"success"}
    assert len(undone["outcomes"]) == 3
    assert [fleet.ask(INDEXES, one) for one in fleet.databases] == [[(0,)], [(0,)], [(0,)]]
    assert fleet.histories() == [[], [], []]
    assert status_of(fleet, operation, "acme_t_002") == "rolled_back"
    assert fleet.ask("SELECT count(*) FROM items", "acme_t_002") == [(2,)]
    fleet.check_truth()
    fleet.ask("DELETE FROM items WHERE id = 2", "acme_t_002")
    assert fleet.migrate("--strategy", "rolling")["summary"] == {"success": 3}


def test_what_a_tenant_wrote_since_is_not_thrown_away_unasked(fleet: fixtures.Fleet) -> None:
    """It stays as it is, still waiting for the decision, with the snapshot kept; then somebody says that it may be lost."""
    operation = half_way(fleet, PARTLY)
    fleet.ask("INSERT INTO items VALUES (3, 'third', 30)", "acme_t_002")
    words = ("operation", "decide", operation, "--tenant-id", fleet.tenant(2), "--as", "undone")
    (outcome,) = fleet.json(*words, code=1)["outcomes"]
    assert outcome["status"] == "needs_decision"
    assert "table public.items has 1 new or changed rows" in outcome["error"]["message"]
    assert fleet.ask("SELECT count(*) FROM items", "acme_t_002") == [(3,)]
    assert fleet.ask(INDEXES, "acme_t_002") == [(1,)]
    assert fleet.ask(SNAPSHOTS, "manor_catalog") == [(3,)]
    (outcome,) = fleet.json(*words, "--discard-writes")["outcomes"]
    assert (outcome["database"], outcome["status"]) == ("acme_t_002", "success")
    assert fleet.ask("SELECT count(*) FROM items", "acme_t_002") == [(2,)]
    assert fixtures.statuses(fleet.json("operation", "show", operation)) == {
        "acme_t_001": "success",
        "acme_t_002": "rolled_back",
        "acme_t_003": "success",
    }
    fleet.check_truth()


def test_rows_that_the_migration_wrote_are_taken_for_the_tenants(fleet: fixtures.Fleet) -> None:
    """Nobody can tell them apart, so that is asked; what is discarded is kept for its grace period all the same."""
    operation = half_way(fleet, "UPDATE items SET price = 0")
    refused = fleet.json("operation", "undo", operation, code=1)
    assert fixtures.statuses(refused)["acme_t_002"] == "needs_decision"
    assert fleet.ask("SELECT min(price) FROM items", "acme_t_002") == [(0,)]
    undone = fleet.json("operation", "undo", operation, "--discard-writes")
    assert set(fixtures.statuses(undone).values()) == {"success"}
    assert [fleet.ask("SELECT min(price) FROM items", one) for one in fleet.databases] == [[(10,)], [(10,)], [(10,)]]
    fleet.check_truth()


@pytest.mark.parametrize("kind", ["target.closed", "target.switched", "target.opened"])
def test_putting_back_that_was_killed_is_finished_by_deciding_again(fleet: fixtures.Fleet, kind: str) -> None:
    """The tenant is never left closed, and never without what it held."""
    operation = half_way(fleet, PARTLY)
    words = ("operation", "decide", operation, "--tenant-id", fleet.tenant(2), "--as", "undone")
    done = killed_command.killed(fleet.folder, kind, 1, *words)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    fleet("operation", "recover")
    assert fleet.ask("SELECT count(*) FROM items", "acme_t_002") == [(2,)]
    (outcome,) = fleet.json(*words)["outcomes"]
    assert (outcome["database"], outcome["status"]) == ("acme_t_002", "success")
    assert status_of(fleet, operation, "acme_t_002") == "rolled_back"
    assert fleet.ask(INDEXES, "acme_t_002") == [(0,)]
    assert fleet.history("acme_t_002") == []
    fleet.check_truth()
