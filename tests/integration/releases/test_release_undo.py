"""Undoing releases as a user meets it: retried undos, undos of undos, and what is refused."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import fleet_fixtures as fixtures
import pytest
from killed_command import killed


@pytest.fixture
def fleet(tmp_path: Path, server_url: str) -> Any:
    """Two tenants, and a migration that can be taken back."""
    fleet = fixtures.build_fleet(tmp_path / "p", server_url, tenants=2)
    fleet.write("001", "CREATE TABLE one (id integer);", "DROP TABLE one;")
    return fleet


def operation_of(report: Any) -> str:
    """Its id."""
    found: str = report["operation"]["id"]
    return found


def names(fleet: Any) -> list[str]:
    """What the tenants' only rows say."""
    return [fleet.ask("SELECT name FROM items", database)[0][0] for database in fleet.databases]


def test_an_undo_is_retried_as_often_as_it_takes(fleet: Any) -> None:
    """Each retry is about the release that is undone, and the tenants that the last try left."""
    report = fleet.migrate("--strategy", "rolling")
    sick, well = fleet.databases
    fleet.ask("CREATE VIEW mine AS SELECT * FROM one", sick)
    report = fleet.json("operation", "undo", operation_of(report), code=1)
    assert fixtures.statuses(report) == {sick: "error", well: "success"}
    for _ in range(2):
        report = fleet.json("operation", "retry", operation_of(report), code=1)
        assert fixtures.statuses(report) == {sick: "error"}
    fleet.ask("DROP VIEW mine", sick)
    report = fleet.json("operation", "retry", operation_of(report))
    assert fixtures.statuses(report) == {sick: "success"}
    assert fleet.histories() == [[], []]
    fleet.check_truth()


def test_an_undo_takes_back_what_its_own_release_did(fleet: Any) -> None:
    """Its runner is killed, another release brings the rest to the version, and the first one finds nothing left to do there:
    what it is undone for is the tenant that it changed."""
    own, others = fleet.databases
    words = ("tenant", "migrate", "--all", "--strategy", "rolling", "--parallel", 1, "--batch-size", 1)
    assert killed(fleet.folder, "target.ended", 1, *words).returncode == -signal.SIGKILL
    first = fleet.operations()[0]["id"]
    fleet.json("operation", "recover")
    second = operation_of(fleet.migrate("--strategy", "rolling"))
    resumed = fleet.json("operation", "resume", first)
    assert fixtures.statuses(resumed) == {own: "success", others: "success"}
    (detail,) = [outcome["detail"] for outcome in resumed["outcomes"] if outcome["database"] == others]
    assert detail.endswith(f"was done before by operation {second}")
    assert fixtures.statuses(fleet.json("operation", "undo", first)) == {own: "success"}
    assert fleet.histories() == [[], ["001"]]
    fleet.check_truth()
    assert fixtures.statuses(fleet.json("operation", "undo", second)) == {others: "success"}


def test_an_undo_by_down_sections_is_not_undone(fleet: Any) -> None:
    """Refused with the command that releases again; nothing is touched."""
    report = fleet.migrate("--strategy", "rolling")
    back = operation_of(fleet.json("operation", "undo", operation_of(report)))
    before = fleet.everything()
    error = fleet.json("operation", "undo", back, code=3)["error"]
    assert error["code"] == "refused"
    assert back in error["message"]
    assert "tenant migrate" in error["hint"]
    assert fleet.everything() == before
    assert fleet.migrate("--strategy", "rolling")["summary"] == {"success": 2}


def test_a_switch_back_is_undone_by_switching_again(fleet: Any) -> None:
    """What was discarded is there again, and so on, for as long as what was replaced is kept."""
    report = fleet.migrate("--strategy", "blue_green")
    fleet.ask("UPDATE items SET name = 'written since'", fleet.databases[0])
    report = fleet.json("operation", "undo", operation_of(report), "--discard-writes")
    assert (names(fleet), fleet.has("one")) == (["first", "first"], [False, False])
    fleet.check_truth()
    for history, there, name in ((["001"], True, "written since"), ([], False, "first"), (["001"], True, "written since")):
        report = fleet.json("operation", "undo", operation_of(report))
        assert set(fixtures.statuses(report).values()) == {"success"}
        assert (names(fleet), fleet.has("one")) == ([name, "first"], [there, there])
        assert fleet.histories() == [history, history]
        fleet.check_truth()


def test_an_undo_of_an_undo_is_retried_about_the_same_one(fleet: Any) -> None:
    """Whoever wrote since the first undo is refused again, and not taken for undone."""
    report = fleet.migrate("--strategy", "blue_green")
    report = fleet.json("operation", "undo", operation_of(report))
    busy, idle = fleet.databases
    fleet.ask("UPDATE items SET name = 'written since'", busy)
    report = fleet.json("operation", "undo", operation_of(report), code=1)
    assert fixtures.statuses(report) == {busy: "error", idle: "success"}
    for _ in range(2):
        report = fleet.json("operation", "retry", operation_of(report), code=1)
        assert fixtures.statuses(report) == {busy: "error"}
        assert "written to since" in fixtures.errors(report)[busy]["message"]
    assert fleet.histories() == [[], ["001"]]
    fleet.check_truth()


def test_a_switch_back_whose_databases_are_gone_is_not_undone(fleet: Any) -> None:
    """Their grace period is over: releasing again is what is left."""
    report = fleet.migrate("--strategy", "blue_green")
    back = operation_of(fleet.json("operation", "undo", operation_of(report)))
    fleet.ask(f"DELETE FROM manor.kept_databases WHERE operation = '{back}'", "manor_catalog")
    error = fleet.json("operation", "undo", back, code=3)["error"]
    assert error["code"] == "refused"
    assert "tenant migrate" in error["hint"]
