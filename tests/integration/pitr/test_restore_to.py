"""``manor tenant restore --to``: a tenant goes back to a moment, from the command line, and its neighbours stay."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pitr_site import Site

from manor.wiring import embedded_server

USER = "INSERT INTO users (username, email) VALUES ('{0}', '{0}@example.com')"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, make_project: Callable[..., Path]) -> Iterator[Site]:
    """A deployed fleet as its template makes it, with a base backup."""
    site = Site(project=make_project(tmp_path_factory.mktemp("restore to") / "a project"))
    try:
        done = site.manor("multi-tenant", "deploy", "--registry", "customer_a/tenant_registry.yaml")
        assert done.returncode == 0, done.stderr
        site.take_base()
        yield site
    finally:
        embedded_server(site.workplace.project, site.workplace.environment).destroy()


def users(site: Site, tenant: str) -> set[str]:
    with site.connect(site.database(tenant)) as connection:
        return {row[0] for row in connection.execute("SELECT username FROM users").fetchall()}


def moment_after(site: Site, tenant: str, *names: str) -> str:
    site.sql(site.database(tenant), *(USER.format(name) for name in names))
    at: dt.datetime = site.sql("postgres", "SELECT clock_timestamp()")
    return at.astimezone(dt.timezone(dt.timedelta(hours=9))).isoformat()


def test_a_tenant_goes_back_to_a_moment_and_forth_again_while_its_neighbour_stays(fleet: Site) -> None:
    moment = moment_after(fleet, "001", "early")
    fleet.sql(fleet.database("001"), USER.format("late"), "DELETE FROM users WHERE username = 'early'")
    neighbour = users(fleet, "002")

    dry = fleet.manor("tenant", "restore", "--tenant-id", "001", "--to", moment, "--dry-run", "--format", "json")
    assert dry.returncode == 0, dry.stderr
    assert json.loads(dry.stdout)["outcomes"][0]["detail"].startswith("would recover base backup")

    done = fleet.manor("tenant", "restore", "--tenant-id", "001", "--to", moment)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "early" in users(fleet, "001")
    assert "late" not in users(fleet, "001")
    assert users(fleet, "002") == neighbour

    undone = fleet.manor("tenant", "restore", "--tenant-id", "001", "--undo")
    assert undone.returncode == 0, undone.stderr + undone.stdout
    assert "late" in users(fleet, "001")

    again = moment_after(fleet, "001", "after the undo")
    fleet.sql(fleet.database("001"), "DELETE FROM users WHERE username = 'after the undo'")
    done = fleet.manor("tenant", "restore", "--tenant-id", "001", "--to", again)
    assert done.returncode == 0, done.stderr + done.stdout
    assert {"late", "after the undo"} <= users(fleet, "001")


def test_a_tenant_goes_back_to_a_mark(fleet: Site) -> None:
    moment_after(fleet, "003", "marked")
    assert fleet.manor("backup", "mark", "before the import").returncode == 0
    fleet.sql(fleet.database("003"), USER.format("imported"))
    done = fleet.manor("tenant", "restore", "--tenant-id", "003", "--to-mark", "before the import")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "marked" in users(fleet, "003")
    assert "imported" not in users(fleet, "003")


def test_a_moment_with_a_schema_that_was_changed_by_hand_needs_a_word(fleet: Site) -> None:
    """As a backup of it does; it goes back, and forth again."""
    fleet.sql(fleet.database("002"), "CREATE INDEX by_hand ON users (email)")
    moment = moment_after(fleet, "002", "indexed")
    fleet.sql(fleet.database("002"), "DROP INDEX by_hand", USER.format("later"))
    for words in ([], ["--migrate"]):
        refused = fleet.manor("tenant", "restore", "--tenant-id", "002", "--to", moment, *words)
        assert refused.returncode == 1
        assert "somebody had changed its schema by hand" in refused.stdout + refused.stderr
        assert "--keep-head" in refused.stdout + refused.stderr
    done = fleet.manor("tenant", "restore", "--tenant-id", "002", "--to", moment, "--keep-head")
    assert done.returncode == 0, done.stderr + done.stdout
    assert fleet.sql(fleet.database("002"), "SELECT to_regclass('by_hand')::text") == "by_hand"
    assert "later" not in users(fleet, "002")
    undone = fleet.manor("tenant", "restore", "--tenant-id", "002", "--undo")
    assert undone.returncode == 0, undone.stderr + undone.stdout
    assert "later" in users(fleet, "002")


def test_a_time_without_zone_is_refused_with_a_hint(fleet: Site) -> None:
    done = fleet.manor("tenant", "restore", "--tenant-id", "001", "--to", "2026-11-20T14:05:00")
    assert done.returncode == 2
    assert "has no time zone" in done.stderr
    assert "2026-11-20T14:05:00+09:00" in done.stderr


def test_a_moment_that_cannot_be_reached_changes_nothing_and_names_those_that_can(fleet: Site) -> None:
    before = users(fleet, "001")
    for words in ([], ["--dry-run"]):
        done = fleet.manor("tenant", "restore", "--tenant-id", "001", "--to", "2020-01-01T00:00:00Z", *words)
        assert done.returncode == 3, done.stderr
        assert "before the end of the first base backup" in done.stderr
        assert "on can be reached" in done.stderr
    assert users(fleet, "001") == before


def test_a_dry_run_to_a_moment_before_the_tenant_was_made_says_so(fleet: Site) -> None:
    """As the command itself does, once it has recovered that moment."""
    moment = moment_after(fleet, "001", "before the fifth")
    made = fleet.manor("tenant", "create", "--name", "Fifth", "--tenant-id", "005", "--group", "tenants")
    assert made.returncode == 0, made.stderr + made.stdout
    dry = fleet.manor("tenant", "restore", "--tenant-id", "005", "--to", moment, "--dry-run")
    done = fleet.manor("tenant", "restore", "--tenant-id", "005", "--to", moment)
    for found, code in ((dry, 2), (done, 1)):
        assert found.returncode == code, found.stderr
        assert "had no database on server embedded at" in found.stderr + found.stdout
    shown = fleet.manor("backup", "extract", "--tenant-id", "005", "--to", moment, "--dry-run", "--format", "json")
    assert json.loads(shown.stdout)["reachable"] is False
    now: dt.datetime = fleet.sql("postgres", "SELECT clock_timestamp()")
    later = fleet.manor("tenant", "restore", "--tenant-id", "005", "--to", now.isoformat(), "--dry-run")
    assert later.returncode == 0, later.stderr


def test_a_dump_of_a_moment_is_written_to_a_file_and_nothing_is_changed(fleet: Site, tmp_path: Path) -> None:
    moment = moment_after(fleet, "004", "in the file")
    before = users(fleet, "004")
    file = tmp_path / "then.dump"
    done = fleet.manor("backup", "extract", "--tenant-id", "004", "--to", moment, "--output", file)
    assert done.returncode == 0, done.stderr
    assert file.stat().st_size > 1000
    assert users(fleet, "004") == before
    again = fleet.manor("backup", "extract", "--tenant-id", "004", "--to", moment, "--output", file)
    assert again.returncode == 3
    assert "is there already" in again.stderr
    shown = fleet.manor("backup", "extract", "--tenant-id", "004", "--to", moment, "--dry-run", "--format", "json")
    assert json.loads(shown.stdout)["reachable"] is True


def test_unlogged_tables_which_come_back_empty_are_named(fleet: Site, tmp_path: Path) -> None:
    database = fleet.database("003")
    fleet.sql(database, "CREATE UNLOGGED TABLE sessions (id integer)", "INSERT INTO sessions VALUES (1)")
    moment = moment_after(fleet, "003", "with sessions")
    words = ("--tenant-id", "003", "--to", moment, "--format", "json")
    shown = fleet.manor("backup", "extract", "--output", tmp_path / "then.dump", *words)
    assert json.loads(shown.stdout)["unlogged"] == ["public.sessions"]
    done = fleet.manor("tenant", "restore", "--keep-head", *words)
    assert done.returncode == 0, done.stderr + done.stdout
    told = "unlogged tables are empty, no log has their rows: public.sessions"
    assert told in json.loads(done.stdout)["outcomes"][0]["detail"]
    assert fleet.sql(database, "SELECT count(*) FROM sessions") == 0


def test_a_full_disk_under_an_extract_is_told_without_a_traceback(fleet: Site, tmp_path: Path) -> None:
    """One message, and no half file."""
    moment = moment_after(fleet, "004", "where there is no room")
    small = tmp_path / "small"
    small.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=8k,mode=700", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        done = fleet.manor("backup", "extract", "--tenant-id", "004", "--to", moment, "--output", small / "then.dump")
        assert done.returncode == 1
        assert "the disk is full" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (small / "then.dump").exists()
    finally:
        subprocess.run(["/bin/umount", str(small)], check=True)


def test_explicitly_switched_off_archiving_refuses_a_base_backup(fleet: Site) -> None:
    environ = fleet.project / "customer_a" / "environ.yaml"
    before = environ.read_text("utf-8") if environ.exists() else ""
    environ.write_text("settings:\n  embedded: {archive: false}\n", encoding="utf-8")
    try:
        done = fleet.manor("backup", "base")
        assert done.returncode == 3, done.stderr
        assert "settings.embedded.archive" in done.stderr
    finally:
        environ.write_text(before, encoding="utf-8")


def test_archiving_outlives_a_restart_of_the_server(fleet: Site) -> None:
    assert fleet.manor("server", "stop").returncode == 0
    assert fleet.manor("server", "start").returncode == 0
    assert "archive" in fleet.sql("postgres", "SHOW archive_command")
    moment = moment_after(fleet, "002", "after the restart")
    done = fleet.manor("tenant", "restore", "--tenant-id", "002", "--to", moment)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "after the restart" in users(fleet, "002")


def test_pruning_keeps_what_the_newest_base_backup_needs(fleet: Site) -> None:
    assert fleet.manor("backup", "base").returncode == 0
    moment = moment_after(fleet, "002", "after the second base")
    done = fleet.manor("backup", "archive", "prune", "--keep-bases", "1", "--format", "json")
    assert done.returncode == 0, done.stderr
    pruned = json.loads(done.stdout)
    assert len(pruned["bases"]) == 1
    assert pruned["segments"] > 0
    assert pruned["archiving"] is True
    restored = fleet.manor("tenant", "restore", "--tenant-id", "002", "--to", moment)
    assert restored.returncode == 0, restored.stderr + restored.stdout
    listed = json.loads(fleet.manor("backup", "bases", "--format", "json").stdout)
    assert len(listed["bases"]) == 1


def test_a_rebuilt_catalog_knows_the_base_backups_that_storage_holds(fleet: Site) -> None:
    """What comes last: the catalog is lost, and a moment before that is reached all the same."""
    moment = moment_after(fleet, "002", "before the loss")
    fleet.sql(fleet.database("002"), USER.format("after it"))
    before = json.loads(fleet.manor("backup", "bases", "--format", "json").stdout)["bases"]
    assert before
    fleet.sql("postgres", "DROP DATABASE manor_catalog WITH (FORCE)")

    rebuilt = fleet.manor("catalog", "rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr + rebuilt.stdout
    assert "found in storage and recorded again" in rebuilt.stderr + rebuilt.stdout
    after = json.loads(fleet.manor("backup", "bases", "--format", "json").stdout)["bases"]
    assert [one["base"] for one in after] == [one["base"] for one in before]

    done = fleet.manor("tenant", "restore", "--tenant-id", "002", "--to", moment)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "before the loss" in users(fleet, "002")
    assert "after it" not in users(fleet, "002")
