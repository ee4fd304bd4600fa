"""A release that stops while a worker does not come to an end is not ended over its head: settling judges what it did."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

TENANTS = 12
pytestmark = pytest.mark.server
IMPATIENT = """\
from manor.control.rollout.release import elsewhere
elsewhere.longest_seconds = lambda conduct: 1.0
from manor.cli.main import main
main()
"""
"""The command line, in which targets under way get a second to end once the release is to stop."""


def begun(crew: Any) -> Any:
    """A release whose worker is in targets that take six seconds."""
    release = crew.release("--parallel", 2, program=("-c", IMPATIENT))
    crew.until(lambda: crew.operation() != crew.before and crew.statuses().get("in_progress", 0) > 0)
    return release


def left(crew: Any, release: Any) -> None:
    """It ended soon, says what it left, and its tenants are still held."""
    report = json.loads(release.ended())
    assert release.code == 1, report
    assert report["release"]["state"] == "running"
    (problem,) = report["problems"]
    names = [one["tenant_id"] for one in report["outcomes"] if one["status"] == "in_progress"]
    assert names
    assert all(name in problem["message"] for name in names), problem
    assert "manor operation recover" in problem["hint"]


def judged(crew: Any) -> None:
    """What the journal says is what the tenants' databases say, and nobody is held any more."""
    statuses = crew.statuses()
    assert set(statuses) <= {"success", "not_started"}
    assert sum(crew.counts().values()) == statuses.get("success", 0)
    assert crew.ask("SELECT count(*) FROM manor.claims") == [(0,)]


def test_what_a_slow_worker_does_after_the_end_of_the_wait_is_not_called_not_begun(crew: Any, version: str) -> None:
    """Aborted while it is in a long target: it commits that, and the journal says so."""
    (worker,) = crew.workers(1)
    crew.migration(version, 6)
    release = begun(crew)
    crew.want("abort")
    left(crew, release)
    worker.process.send_signal(signal.SIGTERM)
    worker.ended()
    assert sum(crew.counts().values()) > 0
    crew.manor("operation", "recover")
    judged(crew)


def test_targets_of_a_worker_that_died_are_judged_by_their_databases(crew: Any, version: str) -> None:
    """Nobody is there to bring them to their end when the coordinator is interrupted; resuming does the rest."""
    (worker,) = crew.workers(1)
    crew.migration(version, 6)
    release = begun(crew)
    worker.kill()
    release.process.send_signal(signal.SIGINT)
    left(crew, release)
    crew.manor("operation", "recover")
    judged(crew)
