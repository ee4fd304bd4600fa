"""A backup of an earlier release: refused without a word, brought to the tenant's release, or left for the next one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Outcome = Callable[[Any], dict[str, Any]]


@pytest.fixture
def older(fleet: Any) -> Path:
    """A backup of the first tenant from before two releases."""
    fleet.write("0001", "CREATE TABLE extras (id integer PRIMARY KEY);", "DROP TABLE extras;", folder="small")
    fleet.migrate()
    fleet.write_entries(1, "before")
    backup: Path = fleet.back_up(1)
    fleet.write(
        "0002",
        "ALTER TABLE ledger ADD COLUMN note text DEFAULT 'none';",
        "ALTER TABLE ledger DROP COLUMN note;",
        folder="small",
    )
    fleet.write(
        "0003",
        "CREATE INDEX CONCURRENTLY by_entry ON ledger (entry);",
        "DROP INDEX CONCURRENTLY by_entry;",
        folder="small",
        name="index",
    )
    index = fleet.environment / "small" / "migrations" / "0003_index.sql"
    index.write_text(
        index.read_text()
        .replace("migrate:up\n", "migrate:up transaction:false\n")
        .replace("migrate:down\n", "migrate:down transaction:false\n")
    )
    fleet.migrate("--strategy", "rolling")
    fleet.write_entries(1, "after")
    return backup


def test_without_a_word_it_is_refused(fleet: Any, older: Path) -> None:
    """With both versions, and the words that there are."""
    said = fleet.refused(1, "--backup-file", older, code=3)
    assert "is at 0001, acme/tenants/001 at 0003" in said
    assert "--migrate" in said
    assert "--keep-head" in said


def test_it_is_brought_to_the_release_of_the_tenant(fleet: Any, older: Path, outcome: Outcome) -> None:
    """In the loaded database, before anybody enters it; from what was recorded, whatever became of the files."""
    for file in (fleet.environment / "small" / "migrations").iterdir():
        file.unlink()
    done = outcome(fleet.restore(1, "--backup-file", older, "--migrate"))
    assert (done["status"], done["facts"]["version"]) == ("success", "0003")
    assert "after 2 migrations" in done["detail"]
    assert fleet.entries(1) == ["before"]
    assert fleet.ask("SELECT note FROM ledger", fleet.databases[0]) == [("none",)]
    fleet.check_truth()
    fleet.check()


def test_it_is_left_at_its_own_release_and_the_next_one_takes_it_along(fleet: Any, older: Path, outcome: Outcome) -> None:
    """The catalog says what is there: healthy at the earlier version, and the same release as for everybody else finds it."""
    assert outcome(fleet.restore(1, "--backup-file", older, "--keep-head"))["facts"]["version"] == "0001"
    fleet.check_truth()
    fleet.check()
    assert fleet.recorded()["acme_t_001"] == "0001"
    report = fleet.migrate("--strategy", "rolling")
    assert report["summary"] == {"success": 1, "skipped": 2}
    assert fleet.recorded()["acme_t_001"] == "0003"
    assert fleet.entries(1) == ["before"]
    fleet.check()


def test_undo_leads_back_to_the_release_that_was_there(fleet: Any, older: Path) -> None:
    """And to the earlier one again."""
    fleet.restore(1, "--backup-file", older, "--keep-head")
    fleet.restore(1, "--undo")
    assert (fleet.recorded()["acme_t_001"], fleet.entries(1)) == ("0003", ["before", "after"])
    fleet.check_truth()
    fleet.restore(1, "--undo")
    assert (fleet.recorded()["acme_t_001"], fleet.entries(1)) == ("0001", ["before"])
    fleet.check_truth()
    fleet.check()


def test_undo_does_not_take_back_a_release_in_silence(fleet: Any, older: Path) -> None:
    """A migration changes no row, and still is something that came since."""
    fleet.restore(1, "--backup-file", older, "--keep-head")
    fleet.migrate("--strategy", "rolling")
    assert "was brought to 0003 since it was restored" in fleet.refused(1, "--undo", code=1)


def test_a_newer_backup_is_no_older_one(fleet: Any, older: Path) -> None:
    """Of a tenant whose releases were taken back since: no migrations lead back, and it is said so."""
    newer = fleet.back_up(1)
    operation = fleet.operations()[1]["id"]
    fleet.json("operation", "undo", operation)
    assert "is at 0003" in fleet.refused(1, "--backup-file", newer, code=3)
    assert "no migrations lead from 0003" in fleet.refused(1, "--backup-file", newer, "--migrate", code=1)
    fleet.restore(1, "--backup-file", newer, "--keep-head")
    assert fleet.recorded()["acme_t_001"] == "0003"
    fleet.check()


def test_a_migration_that_the_old_rows_do_not_bear_changes_nothing(fleet: Any) -> None:
    """It was corrected by hand in the live database since; the backup does not know that."""
    fleet.write_entries(1, "twice", "twice")
    backup = fleet.back_up(1)
    fleet.ask("DELETE FROM ledger WHERE id = 2", fleet.databases[0])
    fleet.write("0001", "CREATE UNIQUE INDEX once ON ledger (entry);", "DROP INDEX once;", folder="small")
    fleet.migrate()
    said = fleet.refused(1, "--backup-file", backup, "--migrate", code=1)
    assert "could not create unique index" in said


def test_a_schema_that_was_changed_by_hand_needs_a_word(fleet: Any, outcome: Outcome) -> None:
    """The backup is what it was: the drift comes back with it, and is seen again."""
    fleet.ask("CREATE TABLE by_hand (id integer)", fleet.databases[0])
    backup = fleet.back_up(1)
    fleet.ask("DROP TABLE by_hand", fleet.databases[0])
    assert "somebody had changed its schema by hand" in fleet.refused(1, "--backup-file", backup, code=1)
    assert "somebody had changed its schema by hand" in fleet.refused(1, "--backup-file", backup, "--dry-run", code=3)
    assert outcome(fleet.restore(1, "--backup-file", backup, "--keep-head", "--dry-run"))["status"] == "pending"
    outcome(fleet.restore(1, "--backup-file", backup, "--keep-head"))
    assert "by_hand" in fleet("tenant", "show", fleet.tenant(1), "--drift", code=1).stdout


def test_what_was_changed_by_hand_before_the_backup_does_not_keep_an_undo_from_going_back(fleet: Any) -> None:
    """Nobody changed anything since; and what somebody does change since is told. So it is in the other direction."""
    name = fleet.databases[0]
    fleet.ask("CREATE TABLE by_hand (id integer)", name)
    backup = fleet.back_up(1)
    fleet.ask("DROP TABLE by_hand; CREATE INDEX by_hand_too ON ledger (entry)", name)
    fleet.restore(1, "--backup-file", backup, "--keep-head")
    fleet.restore(1, "--undo")
    assert fleet.ask("SELECT to_regclass('by_hand'), to_regclass('by_hand_too')::text", name) == [(None, "by_hand_too")]
    fleet.restore(1, "--undo")
    assert fleet.ask("SELECT to_regclass('by_hand')::text, to_regclass('by_hand_too')", name) == [("by_hand", None)]
    fleet.ask("CREATE INDEX since ON ledger (entry)", name)
    assert "its schema was changed by hand" in fleet.refused(1, "--undo", code=1)
