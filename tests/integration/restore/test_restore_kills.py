"""``kill -9`` at every boundary of a restore and of its undo: the next command finds the tenant in service, with the old
database or the new one, and nothing is left behind."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet_fixtures import wait_until
from restore_fixtures import build

LOADING = ["target.begun", "target.loaded", "target.verified", "target.moved", "target.closed"]
SWITCHED = ["target.switched", "target.opened", "target.marked", "target.ended", "target.recorded", "operation.recorded"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str]) -> Any:
    """One fleet for all: a restore that died must leave it fit for the next one. Its first tenant has a backup from before the
    last release."""
    fleet = build(tmp_path_factory.mktemp("kills") / "project", wiped_server())
    fleet.write_entries(1, "old")
    backup = fleet.back_up(1)
    fleet.write("0001", "ALTER TABLE ledger ADD COLUMN note text;", "ALTER TABLE ledger DROP COLUMN note;", folder="small")
    fleet.migrate()
    fleet.write_entries(1, "new")
    fleet.restore(1, "--backup-file", fleet.back_up(1))
    return fleet, backup


@pytest.fixture
def fleet(world: tuple[Any, Path]) -> Iterator[Any]:
    """The fleet as it must be before and after each test: at the release, with all entries."""
    made, _ = world
    yield made
    if made.entries(1) == ["old"]:
        made.restore(1, "--undo", "--discard-writes")
    assert made.entries(1) == ["old", "new"]


@pytest.fixture
def backup(world: tuple[Any, Path]) -> Path:
    """Of the earlier release."""
    return world[1]


def killed(fleet: Any, event: str, *words: object) -> None:
    process = fleet.drive("tenant", "restore", "--tenant-id", fleet.tenant(1), *words, at=event)
    out, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, out + err


def settled(fleet: Any) -> None:
    """What any command that acts does first."""
    fleet("operation", "recover")
    fleet.check()
    fleet.check_truth()
    states = {o["id"]: o["state"] for o in fleet.operations()}
    assert set(states.values()) <= {"succeeded", "interrupted", "failed"}, states
    kept = {name for (name,) in fleet.ask("SELECT database FROM manor.kept_databases", "manor_catalog")}
    assert kept == {name for (name,) in fleet.ask("SELECT datname FROM pg_database WHERE datname ~ '^manor_kept_'")}
    fleet("audit", "verify")


@pytest.mark.parametrize("event", LOADING)
def test_a_restore_that_dies_before_it_switches_leaves_the_old_database(fleet: Any, backup: Path, event: str) -> None:
    """In service, at its release; what was loaded is gone."""
    killed(fleet, event, "--backup-file", backup, "--migrate")
    settled(fleet)
    assert fleet.entries(1) == ["old", "new"]


@pytest.mark.parametrize("event", SWITCHED)
@pytest.mark.parametrize("word", ["--migrate", "--keep-head"])
def test_a_restore_that_dies_after_it_switched_leaves_the_new_database(fleet: Any, backup: Path, event: str, word: str) -> None:
    """In service, and the catalog says which release it is at; the old one is kept and can be put back."""
    killed(fleet, event, "--backup-file", backup, word)
    settled(fleet)
    assert fleet.entries(1) == ["old"]
    assert fleet.recorded()["acme_t_001"] == ("0001" if word == "--migrate" else "")
    fleet.restore(1, "--undo", "--discard-writes")
    assert fleet.entries(1) == ["old", "new"]
    fleet.check_truth()


@pytest.mark.parametrize("event", ["target.begun", "target.closed", *SWITCHED])
def test_an_undo_that_dies_leaves_one_of_both(fleet: Any, backup: Path, event: str) -> None:
    """And doing it again leads to the other one."""
    fleet.restore(1, "--backup-file", backup, "--keep-head")
    killed(fleet, event, "--undo")
    settled(fleet)
    is_done = event in SWITCHED
    assert fleet.entries(1) == (["old", "new"] if is_done else ["old"])
    assert fleet.recorded()["acme_t_001"] == ("0001" if is_done else "")
    fleet.restore(1, "--undo", "--discard-writes")
    assert fleet.entries(1) == (["old"] if is_done else ["old", "new"])


def test_the_next_restore_needs_no_other_command_first(fleet: Any, backup: Path) -> None:
    """It settles what the dead one left, takes the tenant over from it and does its own work."""
    whole = fleet.back_up(1)
    killed(fleet, "target.switched", "--backup-file", backup, "--migrate")
    fleet.restore(1, "--backup-file", whole)
    assert fleet.entries(1) == ["old", "new"]
    settled(fleet)


def test_a_restore_that_dies_with_half_a_dump_loads_none_of_it(fleet: Any) -> None:
    """The program that loads does not take the end of its input for the end of the dump, and no role is another one then."""
    backup = fleet.back_up(1, "--plain")
    roles = fleet.ask("SELECT oid, rolname FROM pg_roles ORDER BY 1")
    killed(fleet, "half", "--backup-file", backup, "--as", fleet.tenant(2))
    wait_until(lambda: not fleet.ask("SELECT 1 FROM pg_stat_activity WHERE datname ~ '^manor_green'"))
    for (name,) in fleet.ask("SELECT datname FROM pg_database WHERE datname ~ '^manor_green'"):
        assert fleet.ask("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace", name) == []
    assert fleet.ask("SELECT oid, rolname FROM pg_roles ORDER BY 1") == roles
    settled(fleet)
