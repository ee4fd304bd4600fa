"""A restore and everything else that goes on: other restores, releases, deploys, and neighbours that are written to."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

Outcome = Callable[[Any], dict[str, Any]]


@contextmanager
def standing_still(fleet: Any, event: str, *words: object) -> Iterator[Any]:
    """A command that waits at an event until the block ends, and then comes to its end."""
    process = fleet.drive(*words, at=event, do="wait")
    assert process.stdout.readline() == "waiting\n", process.stderr.read()
    try:
        yield process
    finally:
        process.communicate("", timeout=60)


def restoring(fleet: Any, backup: Path) -> tuple[object, ...]:
    return ("tenant", "restore", "--tenant-id", fleet.tenant(1), "--backup-file", backup)


@pytest.mark.parametrize("event", ["target.loaded", "target.closed", "target.switched"])
def test_of_two_restores_of_one_tenant_the_second_is_refused_by_name(fleet: Any, event: str) -> None:
    """Wherever the first one is; it comes to its end undisturbed."""
    backup = fleet.back_up(1)
    fleet.write_entries(1, "after")
    with standing_still(fleet, event, *restoring(fleet, backup)) as first:
        error = fleet.restore(1, "--backup-file", backup, code=3)["error"]
        assert "held by operation" in error["message"]
        assert "(restore, running" in error["message"]
    assert first.returncode == 0
    assert fleet.entries(1) == []
    fleet.check()


def test_two_tenants_are_restored_at_once(fleet: Any) -> None:
    """Each with its own backup."""
    backups = [fleet.back_up(1), fleet.back_up(2)]
    for number in (1, 2):
        fleet.write_entries(number, "after")
    with standing_still(fleet, "target.loaded", *restoring(fleet, backups[0])) as first:
        fleet.restore(2, "--backup-file", backups[1])
    assert first.returncode == 0
    assert (fleet.entries(1), fleet.entries(2)) == ([], [])
    fleet.check()


def test_a_restore_during_a_release_is_refused_by_name(fleet: Any) -> None:
    """The release holds the tenant; when it has ended the backup is of an earlier version, and that is said."""
    backup = fleet.back_up(1)
    fleet.write("0001", "CREATE TABLE extras (id integer);", "DROP TABLE extras;", folder="small")
    with standing_still(fleet, "release.rehearsed", "tenant", "migrate", "--all") as release:
        error = fleet.restore(1, "--backup-file", backup, code=3)["error"]
        assert "held by operation" in error["message"]
        assert "(migrate, running" in error["message"]
    assert release.returncode == 0
    assert "is at no version" in fleet.restore(1, "--backup-file", backup, code=3)["error"]["message"]
    fleet.check()


def test_a_release_during_a_restore_is_refused_by_name(fleet: Any) -> None:
    """And the others' release goes on without that tenant."""
    backup = fleet.back_up(1)
    fleet.write("0001", "CREATE TABLE extras (id integer);", "DROP TABLE extras;", folder="small")
    with standing_still(fleet, "target.loaded", *restoring(fleet, backup)) as restore:
        assert "(restore, running" in fleet.migrate(code=3)["error"]["message"]
        others = ("--tenant-id", fleet.tenant(2), "--tenant-id", fleet.tenant(3))
        fleet.migrate(*others, everyone=False)
    assert restore.returncode == 0
    fleet.migrate()
    fleet.check_truth()
    fleet.check()


def test_a_deploy_beside_a_restore_sweeps_nothing_of_it(fleet: Any) -> None:
    """The database that is being loaded is no leftover while its restore lives."""
    fleet.write_entries(1, "before")
    backup = fleet.back_up(1)
    with standing_still(fleet, "target.loaded", *restoring(fleet, backup)) as restore:
        fleet("multi-tenant", "deploy", "--registry", fleet.registry)
        fleet("operation", "recover")
    assert restore.returncode == 0
    assert fleet.entries(1) == ["before"]
    fleet.check()


def test_a_runner_that_was_taken_for_dead_does_not_switch_any_more(fleet: Any) -> None:
    """Its lock is lost while it loads, and somebody settles it: it finds that out before it closes anybody."""
    backup = fleet.back_up(1)
    fleet.write_entries(1, "after")
    with standing_still(fleet, "target.verified", *restoring(fleet, backup)) as restore:
        (operation,) = [o["id"] for o in fleet.operations() if o["state"] == "running"]
        fleet.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{operation}'")
        fleet("operation", "recover")
        fleet.write_entries(1, "and more")
    assert restore.returncode != 0
    assert fleet.entries(1) == ["after", "and more"]
    fleet.check()


def test_neighbours_are_written_to_without_a_pause(fleet: Any, outcome: Outcome) -> None:
    """Not one of their commits waits for half a second, and none is lost; the tenant itself is closed for less than that."""
    with fleet.enter(1) as connection:
        connection.execute("INSERT INTO ledger (entry) SELECT repeat('x', 500) FROM generate_series(1, 20000)")
    backup = fleet.back_up(1)
    url, done, moments = fleet("tenant", "url", fleet.tenant(2)).stdout.strip(), threading.Event(), [time.monotonic()]

    def write() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not done.is_set():
                connection.execute("INSERT INTO ledger (entry) VALUES ('beside')")
                moments.append(time.monotonic())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        facts = outcome(fleet.restore(1, "--backup-file", backup))["facts"]
    finally:
        done.set()
        writer.join()
    assert fleet.ask("SELECT count(*) FROM ledger", fleet.databases[1]) == [(len(moments) - 1,)]
    assert max(late - early for early, late in itertools.pairwise(moments)) < 0.5
    assert facts["closed_seconds"] < 0.5
    assert facts["rows"] == 20002


def test_sessions_of_the_tenant_are_ended_and_come_back(fleet: Any, outcome: Outcome) -> None:
    """Whoever was inside is told by a lost connection, not by wrong data."""
    backup = fleet.back_up(1)
    with fleet.enter(1) as inside:
        facts = outcome(fleet.restore(1, "--backup-file", backup))["facts"]
        assert facts["sessions_ended"] == 1
        with pytest.raises(psycopg.OperationalError):
            inside.execute("SELECT 1")
    fleet.write_entries(1, "again")


def test_a_transaction_that_is_prepared_while_it_loads_keeps_the_old_database(fleet: Any) -> None:
    """It is noticed when the tenant is closed, and the tenant is opened again."""
    backup = fleet.back_up(1)
    with standing_still(fleet, "target.verified", *restoring(fleet, backup)) as restore:
        fleet.ask("BEGIN; INSERT INTO ledger (entry) VALUES ('doubt'); PREPARE TRANSACTION 'doubt'", fleet.databases[0])
    assert restore.returncode == 1
    with psycopg.connect(fleet.url, dbname=fleet.databases[0], autocommit=True) as connection:
        connection.execute("COMMIT PREPARED 'doubt'")
    assert fleet.entries(1) == ["doubt"]
    fleet.check()
