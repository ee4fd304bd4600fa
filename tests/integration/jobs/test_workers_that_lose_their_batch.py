"""A worker whose session with a batch's lock is lost knows that the batch may be another one's by then."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from manor.control.catalog.locks import lock_key
from manor.control.rollout.release.settle import release_lock

TENANTS = 12
pytestmark = pytest.mark.server


def batch_lock(crew: Any) -> tuple[int, int] | None:
    """Key and session of the lock of the one batch that is carried out; None where nobody holds it."""
    operation = crew.operation()
    held = crew.ask(
        "SELECT (classid::bigint << 32) | objid::bigint, pid FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE locktype = 'advisory' AND granted AND datname = current_database() AND backend_type = 'client backend' "
        f"AND application_name LIKE '%{operation}'"
    )
    others = [(key, pid) for key, pid in held if key != lock_key(release_lock(operation))]
    return others[0] if others else None


def end_session(crew: Any, pid: int) -> None:
    """As a restart of the catalog's server would."""
    crew.ask(f"SELECT pg_terminate_backend({pid}, 5000)")


@contextlib.contextmanager
def inherited(crew: Any, key: int, pid: int) -> Iterator[None]:
    """Take a lock away from a session, and hold it."""
    with psycopg.connect(crew.url, dbname="manor_catalog", autocommit=True) as successor:
        heir = threading.Thread(target=successor.execute, args=("SELECT pg_advisory_lock(%s)", [key]))
        heir.start()
        crew.until(lambda: crew.ask("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") != [])
        end_session(crew, pid)
        heir.join()
        yield


def whole(crew: Any) -> None:
    """Every tenant ran the migration once, and the journal says so."""
    assert set(crew.counts().values()) == {1}
    assert crew.statuses() == {"success": TENANTS}


def test_a_worker_begins_no_target_of_a_batch_that_it_has_lost(crew: Any, version: str) -> None:
    """Somebody else has the lock: the targets under way are recorded, and the others are left to whoever carries it out."""
    (worker,) = crew.workers(1)
    crew.migration(version, 0.6)
    release = crew.release("--parallel", 2)
    crew.until_some_ended(2)
    found = batch_lock(crew)
    assert found is not None
    with inherited(crew, *found):
        worker.wait_for("taken_over")
        left = crew.statuses()
        assert set(left) == {"success", "pending"}
        assert sum(crew.counts().values()) == left["success"] < TENANTS
    report = json.loads(release.ended())
    assert release.code == 0, report
    whole(crew)


def test_a_lost_lock_is_taken_again_while_targets_are_under_way(crew: Any, version: str) -> None:
    """So that no other worker takes them for a dead one's; the rest of the batch is begun under a lock that was never lost."""
    (worker,) = crew.workers(1)
    crew.migration(version, 3)
    release = crew.release("--parallel", 6)
    crew.until(lambda: crew.operation() != crew.before and crew.statuses().get("in_progress", 0) > 0)
    before = batch_lock(crew)
    assert before is not None
    end_session(crew, before[1])
    crew.until(lambda: batch_lock(crew) is not None, seconds=2)
    assert "success" not in crew.statuses()
    report = json.loads(release.ended())
    assert release.code == 0, report
    assert sum("begun" in line for line in worker.lines) == 2, worker.lines
    whole(crew)
