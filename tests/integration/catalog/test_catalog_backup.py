"""The catalog's own backup: taken, lost, brought back, with what happened in between."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import fleet_fixtures as fixtures
import killed_command
import pytest
from cryptography.fernet import Fernet

CATALOGS = "SELECT datname FROM pg_database WHERE datname LIKE 'manor_catalog%' OR datname LIKE 'manor_new_%'"


@pytest.fixture
def fleet(tmp_path: Path, server_url: str) -> fixtures.Fleet:
    """Two tenants at one migration."""
    fleet = fixtures.build_fleet(tmp_path / "a project", server_url, tenants=2)
    fleet.write("1", "CREATE TABLE one (id integer);", "DROP TABLE one;")
    fleet.migrate()
    return fleet


def lose(fleet: fixtures.Fleet) -> None:
    fleet.ask("DROP DATABASE manor_catalog WITH (FORCE)")


def move_on(fleet: fixtures.Fleet) -> None:
    """What the backup does not know: a release and a tenant."""
    fleet.write("2", "CREATE TABLE two (id integer);", "DROP TABLE two;")
    fleet.migrate()
    fleet("tenant", "create", "--name", "late", "--group", "tenants")


def test_a_backup_comes_back_and_what_came_after_it_is_told(fleet: fixtures.Fleet) -> None:
    """Tenants made since are named and recorded by the next deploy, versions found by `--verify`, and releases go on: the
    numbers that fence runners off are behind those that were handed out."""
    made = fleet.json("catalog", "backup")
    urls = {t["tenant_id"]: fleet.json("tenant", "url", t["tenant_id"])["url"] for t in fleet.json("tenant", "list")}
    move_on(fleet)
    entries = fleet.json("audit", "verify")["entries"]
    lose(fleet)
    found = fleet.json("catalog", "restore", "--backup-file", made["file"])
    assert (found["catalog"], found["tenants"]) == (made["catalog"], 2)
    assert (found["unrecorded"], found["missing"]) == (["acme/tenants/late"], [])
    assert fleet.ask(CATALOGS) == [("manor_catalog",)]
    assert {t: fleet.json("tenant", "url", t)["url"] for t in urls} == urls
    verdict = fleet.json("audit", "verify", code=1)
    assert verdict["problems"] == []
    (lost,) = verdict["breaks"]
    assert f"to {entries} are lost" in lost
    assert "restored from a backup" in lost
    fleet("tenant", "migrate", "--all", "--verify")
    assert fleet.recorded() == {"acme_t_001": "2", "acme_t_002": "2"}
    fleet.write("3", "CREATE TABLE three (id integer);", "DROP TABLE three;")
    assert set(fixtures.statuses(fleet.migrate()).values()) == {"success"}
    assert fleet.json("audit", "verify", "--allow-rebuilt")["ok"] is True


def test_a_backup_that_nothing_came_after_loses_nothing(fleet: fixtures.Fleet) -> None:
    """But the entry that says so."""
    made = fleet.json("catalog", "backup")
    lose(fleet)
    fleet("catalog", "restore", "--backup-file", made["file"])
    health = fleet.json("multi-tenant", "healthcheck", "--registry", fleet.registry)
    assert set(fixtures.statuses(health).values()) == {"success"}
    assert fleet.json("audit", "verify", "--allow-rebuilt")["ok"] is True


def test_nothing_is_brought_back_over_a_catalog_that_is_there(fleet: fixtures.Fleet) -> None:
    made = fleet.json("catalog", "backup")
    everything = fleet.everything()
    assert "has 2 tenants" in fleet.json("catalog", "restore", "--backup-file", made["file"], code=3)["error"]["message"]
    assert fleet.everything() == everything


@pytest.mark.parametrize("what", ["dump", "manifest"])
def test_an_altered_backup_is_refused_and_leaves_nothing(fleet: fixtures.Fleet, what: str) -> None:
    """One bit of the dump or of its manifest."""
    made = fleet.json("catalog", "backup")
    dump = Path(made["file"])
    file = dump if what == "dump" else dump.with_name(f"{made['backup']}.manifest.json")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    lose(fleet)
    fleet("catalog", "restore", "--backup-file", made["file"], code=1)
    assert fleet.ask(CATALOGS) == []


def test_without_its_key_a_backup_is_refused(fleet: fixtures.Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is made: nobody could read a single URL in it."""
    made = fleet.json("catalog", "backup")
    lose(fleet)
    monkeypatch.setenv("MANOR_KEY", Fernet.generate_key().decode())
    assert "key" in fleet.json("catalog", "restore", "--backup-file", made["file"], code=4)["error"]["message"]
    assert fleet.ask(CATALOGS) == []


def test_a_tenants_backup_is_no_catalog(fleet: fixtures.Fleet) -> None:
    report = fleet.json("tenant", "backup", "--tenant-id", "001")
    lose(fleet)
    file = report["outcomes"][0]["facts"]["file"]
    assert "acme/tenants/001" in fleet.json("catalog", "restore", "--backup-file", file, code=1)["error"]["message"]
    assert fleet.ask(CATALOGS) == []


def test_killed_while_it_comes_back_it_comes_back_the_next_time(fleet: fixtures.Fleet) -> None:
    """Until the last step there is no catalog; the log tells one loss."""
    made = fleet.json("catalog", "backup")
    move_on(fleet)
    lose(fleet)
    words = ("catalog", "restore", "--backup-file", made["file"])
    done = killed_command.killed(fleet.folder, "catalog.loaded", 1, *words)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    assert ("manor_catalog",) not in fleet.ask(CATALOGS)
    fleet(*words)
    assert fleet.ask(CATALOGS) == [("manor_catalog",)]
    verdict = fleet.json("audit", "verify", code=1)
    assert (verdict["problems"], len(verdict["breaks"])) == ([], 1)


def test_so_many_of_the_newest_stay_and_tenants_backups_do_not_count(fleet: fixtures.Fleet) -> None:
    """`keep_last`; and `backup list` lists tenants' backups alone."""
    with (fleet.environment / "environ.yaml").open("a", encoding="utf-8") as file:
        file.write("settings:\n  backup:\n    keep_last: 2\n")
    made: list[Any] = [fleet.json("catalog", "backup") for _ in range(3)]
    folder = Path(made[0]["file"]).parent
    assert sorted(path.name for path in folder.glob("*.dump")) == sorted(f"{m['backup']}.dump" for m in made[1:])
    fleet("tenant", "backup", "--tenant-id", "001")
    assert [one["tenant_id"] for one in fleet.json("backup", "list")] == ["acme/tenants/001"]


def test_who_was_erased_since_does_not_come_back_with_the_backup(fleet: fixtures.Fleet) -> None:
    """Neither its entries nor its key, and no deploy makes it again."""
    fleet("tenant", "backup", "--tenant-id", "acme/tenants/002", "--encrypt")
    made = fleet.json("catalog", "backup")
    fleet("tenant", "delete", "--tenant-id", "acme/tenants/002", "--confirm", "--no-final-export", "--no-search")
    lose(fleet)
    found = fleet.json("catalog", "restore", "--backup-file", made["file"])
    assert (found["erased"], found["missing"], found["tenants"]) == (["acme/tenants/002"], [], 1)
    for table, column in (("tenants", "id"), ("databases", "tenant"), ("tenant_keys", "tenant")):
        assert fleet.ask(f"SELECT 1 FROM manor.{table} WHERE {column} = 'acme/tenants/002'", "manor_catalog") == []
    report = fleet.json("multi-tenant", "deploy", "--registry", fleet.registry)
    assert set(fixtures.statuses(report).values()) == {"skipped"}
    assert fleet.ask("SELECT datname FROM pg_database WHERE datname = 'acme_t_002'") == []
