"""What goes wrong with one tenant's backup is named and stops no other; what dies leaves a backup or none."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fleet_fixtures import errors, holding, statuses, wait_until

from manor.storage import local


def test_a_tenant_whose_table_is_held_is_named_and_the_others_are_backed_up(fleet: Any, backups: Any) -> None:
    """It says that somebody holds a lock, and nothing is left of it."""
    with holding(fleet, fleet.databases[1], "LOCK TABLE items IN ACCESS EXCLUSIVE MODE"):
        report = backups.take(code=1)
    assert statuses(report) == {
        fleet.databases[0]: "success",
        fleet.databases[1]: "error",
        fleet.databases[2]: "success",
    }
    (error,) = errors(report).values()
    assert error["code"] == "timeout"
    assert fleet.databases[1] in error["message"]
    assert {path.parent.name for path in backups.dumps()} == {"001", "003"}
    assert fleet.json("operation", "show", report["operation"]["id"])["operation"]["state"] == "failed"


def test_a_tenant_whose_database_is_gone_is_named_and_the_others_are_backed_up(fleet: Any, backups: Any) -> None:
    """It is not found."""
    name = fleet.databases[2]
    fleet.ask(f"ALTER DATABASE {name} RENAME TO {name}_away")
    try:
        report = backups.take(code=1)
    finally:
        fleet.ask(f"ALTER DATABASE {name}_away RENAME TO {name}")
    assert errors(report)[name]["code"] == "not_found"
    assert report["summary"] == {"success": 2, "error": 1}


def test_a_database_that_a_registry_leaves_out_is_skipped_and_says_so(fleet: Any, backups: Any) -> None:
    """By ``--all``; who names its group wants it."""
    text = fleet.registry.read_text(encoding="utf-8")
    try:
        fleet.registry.write_text(text.replace("    variables:", "    backup_enabled: false\n    variables:"), encoding="utf-8")
        report = backups.take()
        assert report["summary"] == {"skipped": 3}
        assert "backup_enabled is false" in report["outcomes"][0]["detail"]
        assert backups.manifests() == []
        assert fleet.json("tenant", "backup", "--group", "tenants")["summary"] == {"success": 3}
    finally:
        fleet.registry.write_text(text, encoding="utf-8")


def test_a_registry_that_is_gone_leaves_nobody_without_a_backup(fleet: Any, backups: Any) -> None:
    """It is said, and all are backed up."""
    away = fleet.registry.rename(fleet.registry.with_suffix(".away"))
    try:
        report = backups.take()
    finally:
        away.rename(fleet.registry)
    assert report["summary"] == {"success": 3}
    assert "cannot be read" in report["notices"][0]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("--all", "--group", "tenants"), 2),
        (("--tenant-id", "nobody"), 2),
        (("--all", "--output", "ftp://somewhere"), 2),
        (("--all", "--output", "/proc/nothing/here"), 1),
    ],
)
def test_what_cannot_be_asked_for_is_refused(fleet: Any, backups: Any, arguments: tuple[str, ...], code: int) -> None:
    """Before anything is written."""
    fleet("tenant", "backup", *arguments, code=code)
    assert backups.dumps() == []


@pytest.mark.parametrize("call", range(1, 7))
def test_a_full_disk_leaves_a_backup_or_none(fleet: Any, backups: Any, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Whichever write is the first that fails: of a dump or of a manifest."""
    written = 0
    write = local._Incoming.write

    def full(incoming: Any, chunk: bytes) -> None:
        nonlocal written
        written += 1
        if written >= call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(incoming, chunk)

    monkeypatch.setattr(local._Incoming, "write", full)
    report = backups.take("--parallel", 1, code=1)
    monkeypatch.undo()
    assert {error["code"] for error in errors(report).values()} == {"exhausted"}
    assert len(backups.manifests()) == report["summary"].get("success", 0) == (call - 1) // 2
    whole = fleet.json("backup", "verify", "--all")["summary"]
    assert whole == {"ok": (call - 1) // 2, "bad": 0}
    assert pg_dumps(fleet) == 0


def pg_dumps(fleet: Any) -> int:
    """Sessions of backups that the server still has, once they had time to go."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'acme_t_%'"
    wait_until(lambda: fleet.ask(query) == [(0,)], seconds=20)
    return int(fleet.ask(query)[0][0])


BOUNDARIES = [
    ("operation.started", 1),
    ("target.begun", 1),
    ("target.begun", 3),
    ("backup.photographed", 1),
    ("backup.photographed", 3),
    ("backup.stored", 1),
    ("backup.stored", 2),
    ("backup.stored", 3),
    ("backup.sealed", 1),
    ("backup.sealed", 3),
    ("target.ended", 1),
    ("target.ended", 3),
    ("target.recorded", 1),
    ("operation.recorded", 1),
    ("backup.recorded", 1),
    ("backup.recorded", 3),
]


@pytest.mark.parametrize(("kind", "occurrence"), BOUNDARIES)
def test_a_backup_killed_at_a_boundary_leaves_each_tenant_a_backup_or_none(
    fleet: Any, backups: Any, kind: str, occurrence: int
) -> None:
    """Whatever has a manifest is whole; the journal says what was interrupted; the next backup works; leftovers are swept."""
    assert backups.killed(kind, occurrence) == -signal.SIGKILL
    made = len(backups.manifests())
    assert fleet.json("backup", "verify", "--all")["summary"] == {"ok": made, "bad": 0}
    assert backups.take()["summary"] == {"success": 3}
    states = {operation["state"] for operation in fleet.operations()}
    assert "running" not in states
    for path in backups.dumps():
        os.utime(path, (time.time() - 90_000,) * 2)
    pruned = fleet.json("backup", "prune")
    assert (backups.orphans(), pruned["problems"]) == ([], [])
    assert list((backups.folder / ".incoming").iterdir()) == []
    listed = fleet.json("backup", "list")
    assert {one["state"] for one in listed} == {"complete"}
    assert len(listed) == made + 3
    assert pg_dumps(fleet) == 0
    assert fleet.json("audit", "verify")["ok"]


def test_a_command_stopped_by_hand_finishes_what_it_has_begun(fleet: Any, backups: Any) -> None:
    """The rest is not started, and no pg_dump outlives it."""
    with holding(fleet, fleet.databases[0], "LOCK TABLE items IN ACCESS EXCLUSIVE MODE"):
        command = fleet.popen("tenant", "backup", "--all", "--parallel", 1)
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = 'acme_t_001'"
        wait_until(lambda: fleet.ask(waiting))
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=60)
    assert command.returncode in (1, 130)
    assert {path.parent.name for path in backups.dumps()} <= {"001"}
    assert pg_dumps(fleet) == 0


SECRET = "hush-hush-%/'1"


def test_no_password_is_ever_an_argument_or_told(fleet: Any, backups: Any, tmp_path: Path) -> None:
    """Every command line on the machine is watched while backups are taken with a password; errors do not say it either."""
    from urllib.parse import quote

    quoted = SECRET.replace("'", "''")
    fleet.ask(f"DROP ROLE IF EXISTS boss; CREATE ROLE boss LOGIN SUPERUSER PASSWORD '{quoted}'")
    environ = fleet.environment / "environ.yaml"
    before = environ.read_text(encoding="utf-8")
    url = fleet.url.replace("postgresql://", f"postgresql://boss:{quote(SECRET, safe='')}@").replace("manor@", "", 1)
    text = before.replace(repr(fleet.url), repr(url), 1)
    stop, seen = threading.Event(), set()

    def watch() -> None:
        while not stop.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(path.read_bytes())
                except OSError:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        environ.write_text(text, encoding="utf-8")
        done = fleet("--format", "json", "tenant", "backup", "--all")
        with holding(fleet, fleet.databases[0], "LOCK TABLE items IN ACCESS EXCLUSIVE MODE"):
            failed = fleet("tenant", "backup", "--all", code=1)
    finally:
        stop.set()
        watcher.join()
        environ.write_text(before, encoding="utf-8")
    lines = b"\n".join(seen)
    assert b"pg_dump" in lines
    for secret in (SECRET, quote(SECRET, safe="")):
        assert secret.encode() not in lines
        assert secret not in done.text + failed.text
        for path in [*backups.manifests(), *backups.dumps()]:
            assert secret.encode() not in path.read_bytes()


def test_backups_hold_no_more_connections_than_they_may(fleet: Any, backups: Any) -> None:
    """Two for each tenant that is backed up at once."""
    stop, most = threading.Event(), 0

    def watch() -> None:
        nonlocal most
        with psycopg.connect(fleet.url, autocommit=True) as connection:
            while not stop.is_set():
                query = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'acme_t_%'"
                row = connection.execute(query).fetchone()
                most = max(most, row[0] if row else 0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        backups.take("--parallel", 1)
    finally:
        stop.set()
        watcher.join()
    assert 1 <= most <= 3  # a session that has ended is seen for a moment


def test_a_fleet_that_the_catalog_does_not_know_is_not_backed_up_in_silence(fleet: Any) -> None:
    """Somebody's nightly backup of everybody fails when the catalog was lost."""
    fleet.ask("ALTER DATABASE manor_catalog RENAME TO manor_catalog_away")
    try:
        error = fleet.json("tenant", "backup", "--all", code=2)["error"]
        assert "nothing was backed up" in error["message"]
        assert "manor catalog rebuild" in error["hint"]
    finally:
        fleet.ask("DROP DATABASE IF EXISTS manor_catalog WITH (FORCE)")
        fleet.ask("ALTER DATABASE manor_catalog_away RENAME TO manor_catalog")
