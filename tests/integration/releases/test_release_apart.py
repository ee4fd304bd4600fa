"""Migrations whose statements run outside transactions, as a user meets them where one fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fleet_fixtures as fixtures
import pytest

DUPLICATES = "INSERT INTO items (id, name, price) VALUES (2, 'second', 10)"
INDEXES = "SELECT relname, indisvalid FROM pg_class JOIN pg_index ON indexrelid = oid WHERE relname IN ('fast', 'sole')"


@pytest.fixture
def fleet(tmp_path: Path, server_url: str) -> Any:
    """Two tenants, the first of which has two rows of the same price."""
    fleet = fixtures.build_fleet(tmp_path / "p", server_url, tenants=2)
    fleet.ask(DUPLICATES, fleet.databases[0])
    return fleet


def write(fleet: Any, *statements: str) -> None:
    """One migration that runs outside transactions."""
    file = fleet.write("001", "\n".join(statements))
    file.write_text(file.read_text(encoding="utf-8").replace("migrate:up", "migrate:up transaction:false"), encoding="utf-8")


def held(fleet: Any) -> list[Any]:
    """The tenants that some operation holds."""
    return list(fleet.ask("SELECT tenant FROM manor.claims", "manor_catalog"))


def test_an_index_that_cannot_be_made_leaves_nothing_however_often_it_is_tried(fleet: Any) -> None:
    """Its invalid remains are dropped by Manor, which is no statement of the migration's: no decision is asked for."""
    write(fleet, "CREATE UNIQUE INDEX CONCURRENTLY sole ON items (price);")
    sick, well = fleet.databases
    report = fleet.migrate("--strategy", "rolling", code=1)
    for _ in range(2):
        assert fixtures.statuses(report)[sick] == "error", report
        assert "stay" not in fixtures.errors(report)[sick]["message"]
        assert fleet.ask(INDEXES, sick) == []
        assert held(fleet) == []
        report = fleet.json("operation", "retry", report["operation"]["id"], code=1)
    fleet.ask("DELETE FROM items WHERE id = 2", sick)
    assert fixtures.statuses(fleet.json("operation", "retry", report["operation"]["id"])) == {sick: "success"}
    assert [fleet.ask(INDEXES, database) for database in (sick, well)] == [[("sole", True)]] * 2
    fleet.check_truth()


def test_what_was_done_before_the_index_that_fails_is_counted(fleet: Any) -> None:
    """One statement, whether or not remains were dropped after it; going on begins with the second."""
    write(fleet, "CREATE INDEX CONCURRENTLY fast ON items (name);", "CREATE UNIQUE INDEX CONCURRENTLY sole ON items (price);")
    sick = fleet.databases[0]
    report = fleet.migrate("--strategy", "rolling", code=1)
    operation = report["operation"]["id"]
    for _ in range(2):
        assert fixtures.statuses(report)[sick] == "needs_decision"
        assert "done before it, and staying: 1 statement" in fixtures.errors(report)[sick]["message"]
        report = fleet.json("operation", "resume", operation, code=1)
    fleet.ask("DELETE FROM items WHERE id = 2", sick)
    assert fixtures.statuses(fleet.json("operation", "resume", operation))[sick] == "success"
    assert sorted(fleet.ask(INDEXES, sick)) == [("fast", True), ("sole", True)]
    fleet.check_truth()


def test_who_has_no_snapshot_is_undone_only_where_nothing_of_the_release_is_there(fleet: Any) -> None:
    """What is left of it is named, and the tenant stays undecided; once it is gone, all of it can be released anew."""
    write(fleet, "CREATE INDEX CONCURRENTLY fast ON items (name);", "CREATE UNIQUE INDEX CONCURRENTLY sole ON items (price);")
    sick = fleet.databases[0]
    operation = fleet.migrate("--strategy", "rolling", code=1)["operation"]["id"]
    undone = ("operation", "decide", operation, "--tenant-id", sick, "--as", "undone")
    (outcome,) = fleet.json(*undone, code=1)["outcomes"]
    assert outcome["status"] == "needs_decision"
    assert "no snapshot is kept" in outcome["error"]["message"]
    assert "index fast: extra" in outcome["error"]["message"]
    fleet.ask("DROP INDEX fast", sick)
    (outcome,) = fleet.json(*undone)["outcomes"]
    assert outcome["detail"] == "it is where it was before the release"
    assert held(fleet) == []
    fleet.ask("DELETE FROM items WHERE id = 2", sick)
    assert fixtures.statuses(fleet.migrate("--strategy", "rolling"))[sick] == "success"
    assert sorted(fleet.ask(INDEXES, sick)) == [("fast", True), ("sole", True)]
    fleet.check_truth()
