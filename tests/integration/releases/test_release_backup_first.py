"""``--backup-first`` of a release of all or none: stopped while tenants are copied, which comes before any vote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import fleet_fixtures as fixtures
import pytest

STOPPED = """\
import os, signal, sys
import psycopg
from manor.cli import progress
from manor.cli.main import main

url, statement, *arguments = sys.argv[1:]

class Stopping(progress.Progress):
    seen = 0

    def __call__(self, event):
        super().__call__(event)
        Stopping.seen += event.kind == "target.closed"
        if event.kind != "target.closed" or Stopping.seen != 2:
            return
        if not statement:
            os.kill(os.getpid(), signal.SIGINT)
            return
        with psycopg.connect(url, dbname="manor_catalog", autocommit=True) as connection:
            connection.execute(statement)

progress.Progress = Stopping
sys.argv = ["manor", "--format", "json", *arguments]
main()
"""
"""The ``manor`` command that is stopped while it copies the second tenant: by Ctrl-C, or by a statement in the catalog."""
RUNNING = "WHERE state = 'running'"
KEPT = "SELECT count(*) FROM pg_database WHERE datname LIKE 'manor_kept_%'"
CLOSED = "SELECT datname FROM pg_database WHERE datname LIKE 'acme_%' AND NOT datallowconn"


@pytest.fixture
def fleet(tmp_path: Path, server_url: str) -> Any:
    """Four tenants and a migration."""
    fleet = fixtures.build_fleet(tmp_path / "p", server_url)
    fleet.write("001", "CREATE TABLE one (id integer);")
    return fleet


def stopped(fleet: Any, statement: str) -> subprocess.CompletedProcess[str]:
    """An atomic release that copies one tenant after the other, and is asked to stop at the second."""
    words = ["tenant", "migrate", "--all", "--strategy", "atomic", "--backup-first", "--parallel", "1"]
    command = [sys.executable, "-W", "ignore", "-c", STOPPED, fleet.url, statement, *words]
    done = subprocess.run(command, cwd=fleet.folder, capture_output=True, text=True, timeout=120, check=False)
    assert "internal error" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize(
    ("statement", "state", "reason"),
    [
        ("", "interrupted", "not begun: interrupted"),
        (f"UPDATE manor.operations SET wanted = 'abort' {RUNNING}", "aborted", "not begun: aborted"),
    ],
    ids=["interrupted", "aborted"],
)
def test_copying_first_is_stopped_between_two_tenants(fleet: Any, statement: str, state: str, reason: str) -> None:
    """The copy under way is finished, and none begun; nobody votes, and every tenant is open and as it was."""
    done = stopped(fleet, statement)
    assert done.returncode == 130, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert fixtures.statuses(report) == dict.fromkeys(fleet.databases, "not_started")
    assert {outcome["detail"] for outcome in report["outcomes"]} == {reason}
    assert report["release"]["state"] == state
    assert fleet.ask(KEPT) == [(2,)]
    assert fleet.ask(CLOSED) == []
    assert fleet.histories() == [[], [], [], []]
    fleet.check_truth()
    assert fleet.migrate("--strategy", "atomic")["summary"] == {"success": 4}


def test_a_runner_that_was_taken_for_dead_copies_no_more(fleet: Any) -> None:
    """Its successor settles what it left; it records nothing itself."""
    done = stopped(fleet, f"UPDATE manor.operations SET token = token + 1 {RUNNING}")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "another runner has taken over" in done.stdout + done.stderr
    assert fleet.ask(KEPT) == [(2,)]
    assert fleet.ask(CLOSED) == []
    fleet("operation", "recover")
    assert fleet.operations()[0]["state"] == "interrupted"
    fleet.check_truth()
