"""Restore drills on a real server: what they prove, what they find, and what they leave."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any

import fleet_fixtures as fixtures
import killed_command
import pytest

from manor.control.backup.manifest import Manifest


def server_content(fleet: fixtures.Fleet) -> list[tuple[Any, ...]]:
    """Every database with its number, which another one of the same name would not have."""
    return fleet.ask("SELECT datname, oid::int, shobj_description(oid, 'pg_database') FROM pg_database ORDER BY 1")


def backed_up(fleet: fixtures.Fleet, *arguments: object) -> dict[str, Any]:
    """Back everybody up; by database, what the report says of the backup."""
    report = fleet.json("tenant", "backup", "--all", *arguments)
    return {outcome["database"]: outcome["facts"] for outcome in report["outcomes"]}


def test_every_tenants_newest_backup_is_proved_and_nothing_is_left(fleet: fixtures.Fleet) -> None:
    """Rows and fingerprint are compared; the live databases are the very same afterwards, though they have moved on since."""
    backed_up(fleet)
    made = backed_up(fleet)
    fleet.ask("DELETE FROM orders", "acme_t_001")
    before = server_content(fleet)
    report = fleet.json("backup", "drill", "--all")
    assert set(fixtures.statuses(report).values()) == {"success"}
    facts = {o["database"]: o["facts"] for o in report["outcomes"]}
    assert {d: f["backup"] for d, f in facts.items()} == {d: f["backup"] for d, f in made.items()}
    assert {d: f["rows"] for d, f in facts.items()} == {f"acme_t_00{n}": n * 100 + 1 for n in (1, 2, 3)}
    assert report["drills"] == {"never": 0, "oldest_never": None}
    assert server_content(fleet) == before
    assert fleet.ask("SELECT count(*) FROM orders", "acme_t_001") == [(0,)]
    drills = fleet.json("backup", "drills")
    assert all(one["proved_at"] and one["problem"] is None for one in drills["tenants"])
    assert {e["action"] for e in fleet.json("audit", "list", "--subject", fleet.tenant(1))} >= {"backup.drill"}


def test_a_bad_backup_is_named_and_hides_no_other(fleet: fixtures.Fleet) -> None:
    """A flipped bit is found before anything counts; the tenant stays among those that were never proved."""
    made = backed_up(fleet)
    file = fleet.folder / ".manor" / "backups" / fleet.tenant(2)
    (dump,) = file.glob("*.dump")
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(bytes(content))
    before = server_content(fleet)
    report = fleet.json("backup", "drill", "--all", code=1)
    assert fixtures.statuses(report) == {"acme_t_001": "success", "acme_t_002": "error", "acme_t_003": "success"}
    assert made["acme_t_002"]["backup"] in str(fixtures.errors(report)) + str(dump)
    assert report["drills"] == {"never": 1, "oldest_never": fleet.tenant(2)}
    assert server_content(fleet) == before
    drills = fleet.json("backup", "drills")
    assert drills["oldest_never"] == fleet.tenant(2)
    first = drills["tenants"][0]
    assert (first["tenant_id"], first["proved_at"]) == (fleet.tenant(2), None)
    assert first["problem"]
    assert fleet.tenant(2) in fleet("backup", "drills").text


def test_a_tenant_without_a_backup_fails_its_drill(fleet: fixtures.Fleet) -> None:
    """Nothing to restore is the worst thing that a drill can find."""
    fleet("tenant", "backup", "--tenant-id", "001")
    report = fleet.json("backup", "drill", "--all", code=1)
    assert fixtures.statuses(report) == {"acme_t_001": "success", "acme_t_002": "error", "acme_t_003": "error"}
    assert "has no backup" in fixtures.errors(report)["acme_t_002"]["message"]


def test_another_installations_backup_proves_nothing_for_this_one(fleet: fixtures.Fleet) -> None:
    """It may lie in the same place, under the same tenant's id."""
    fleet("tenant", "backup", "--tenant-id", "001")
    (path,) = (fleet.folder / ".manor" / "backups").rglob("*.manifest.json")
    path.write_bytes(replace(Manifest.from_json(path.read_bytes()), installation="another").to_json())
    fleet.ask("TRUNCATE manor.backups", "manor_catalog")
    report = fleet.json("backup", "drill", "--tenant-id", "001", code=1)
    assert "has no backup" in fixtures.errors(report)["acme_t_001"]["message"]


def test_samples_come_round(fleet: fixtures.Fleet) -> None:
    """Those never drilled first, then those that have waited longest."""
    backed_up(fleet)
    drilled = [list(fixtures.statuses(fleet.json("backup", "drill", "--sample", 2, "--parallel", 1))) for _ in range(3)]
    assert [sorted(some) for some in drilled] == [
        ["acme_t_001", "acme_t_002"],
        ["acme_t_001", "acme_t_003"],
        ["acme_t_002", "acme_t_003"],
    ]


def test_encrypted_backups_and_plain_ones_are_drilled_too(fleet: fixtures.Fleet) -> None:
    """With the tenant's own key, and as SQL text."""
    backed_up(fleet, "--encrypt", "--plain")
    report = fleet.json("backup", "drill", "--tenant-id", "001", "--tenant-id", "002")
    assert fixtures.statuses(report) == {"acme_t_001": "success", "acme_t_002": "success"}


def test_drills_run_while_a_release_is_paused(fleet: fixtures.Fleet) -> None:
    """They claim nobody: a backup of an earlier version is proved as what it was."""
    backed_up(fleet)
    fleet.write("2", "CREATE TABLE more (id integer);", "DROP TABLE more;")
    fleet.migrate()
    assert set(fixtures.statuses(fleet.json("backup", "drill", "--all")).values()) == {"success"}


@pytest.mark.parametrize(
    ("kind", "occurrence"),
    [("target.begun", 1), ("target.loaded", 1), ("target.verified", 2), ("drill.dropped", 1), ("drill.proved", 2)],
)
def test_a_killed_drill_leaves_nothing_for_long(fleet: fixtures.Fleet, kind: str, occurrence: int) -> None:
    """The next one drops what was left; the live databases never knew."""
    backed_up(fleet)
    before = server_content(fleet)
    done = killed_command.killed(fleet.folder, kind, occurrence, "backup", "drill", "--all")
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    report = fleet.json("backup", "drill", "--all")
    assert set(fixtures.statuses(report).values()) == {"success"}
    assert server_content(fleet) == before
    fleet.check_truth()


def test_without_a_selection_the_settings_sample_is_taken(fleet: fixtures.Fleet) -> None:
    """Five unless environ.yaml says otherwise: here that is everybody."""
    backed_up(fleet)
    assert fleet.json("backup", "drill")["summary"] == {"success": 3}


@pytest.mark.parametrize("words", [("--all", "--sample", "2"), ("--sample", "0"), ("--tenant-id", "999")])
def test_bad_words_are_refused(fleet: fixtures.Fleet, words: tuple[str, ...]) -> None:
    fleet("backup", "drill", *words, code=2)
