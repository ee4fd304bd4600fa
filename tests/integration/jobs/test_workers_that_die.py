"""Workers come, go and die; the release does not notice, and no tenant is changed twice."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest

TENANTS = 12
pytestmark = pytest.mark.server


def whole(crew: Any) -> None:
    """Every tenant ran the migration once, and the journal says so."""
    assert set(crew.counts().values()) == {1}
    assert crew.statuses() == {"success": TENANTS}


def test_a_worker_that_is_killed_is_replaced_by_another(crew: Any, version: str) -> None:
    """SIGKILL in the middle of a batch: the second worker brings it to its end, and no tenant is migrated twice."""
    crew.workers(2)
    crew.migration(version, 0.6)
    release = crew.release("--parallel", 2)
    crew.until_some_ended(2)
    busy = next(w for w in crew.processes if any("begun" in line for line in w.lines))
    busy.kill()
    report = json.loads(release.ended())
    assert release.code == 0, report
    whole(crew)


def test_a_worker_that_is_told_to_stop_finishes_its_targets(crew: Any, version: str) -> None:
    """SIGTERM: the targets under way are recorded, the rest of the batch is taken by the next worker at once."""
    (first,) = crew.workers(1)
    crew.migration(version, 0.6)
    release = crew.release("--parallel", 2)
    crew.until_some_ended(2)
    first.process.send_signal(signal.SIGTERM)
    first.ended()
    assert first.code == 0, first.lines
    left = crew.statuses()
    assert set(left) == {"success", "pending"}
    assert sum(crew.counts().values()) == left["success"]
    crew.worker()
    release.ended()
    whole(crew)


def test_a_release_waits_for_the_first_worker(crew: Any, version: str) -> None:
    """Without a worker nothing is begun; once there is one, all is done."""
    crew.migration(version, 0.01)
    release = crew.release()
    crew.until(lambda: crew.operation() != crew.before and crew.statuses() == {"pending": TENANTS})
    crew.worker()
    release.ended()
    whole(crew)


def test_a_release_whose_coordinator_was_killed_is_settled_by_a_worker_and_can_be_resumed(crew: Any, version: str) -> None:
    """The coordinator dies with the work half done: a new worker settles the release, and resuming does the rest."""
    crew.workers(1)
    crew.migration(version, 0.6)
    release = crew.release("--parallel", 2)
    crew.until_some_ended(2)
    release.kill()
    crew.worker()
    crew.until(lambda: set(crew.statuses()) <= {"success", "not_started"})
    crew.manor("operation", "resume", crew.operation())
    whole(crew)


def test_a_restart_of_postgresql_is_outlived(crew: Any, version: str, embedded_server: Any) -> None:
    """PostgreSQL restarts in the middle: coordinator and worker go on, and no tenant is migrated twice."""
    (worker,) = crew.workers(1)
    crew.migration(version, 0.6)
    release = crew.release("--parallel", 2)
    crew.until_some_ended(2)
    embedded_server.stop()
    embedded_server.start()
    report = json.loads(release.ended())
    assert release.code == 0, report
    assert worker.process.poll() is None
    whole(crew)


def test_an_idle_worker_outlives_a_restart_too(crew: Any, version: str, embedded_server: Any) -> None:
    """A worker that had nothing to do while PostgreSQL restarted takes the next release."""
    (worker,) = crew.workers(1)
    embedded_server.stop()
    embedded_server.start()
    crew.migration(version, 0.01)
    began = time.monotonic()
    release = crew.release()
    release.ended()
    assert worker.process.poll() is None
    assert time.monotonic() - began < 25
    whole(crew)
