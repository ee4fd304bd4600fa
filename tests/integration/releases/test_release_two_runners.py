"""Two releases at once, and a coordinator that comes back after others took it for dead."""

from __future__ import annotations

from typing import Any

import pytest

SMALL = ["rel_s_001", "rel_s_002"]
OTHERS = {"another template": ["rel_l_001", "rel_l_002"], "the same template": ["rel_s_003", "rel_s_004"]}
HELD = [
    ("atomic", "operation.started", 1),
    ("atomic", "golden.copied", 1),
    ("atomic", "target.prepared", 1),
    ("atomic", "target.prepared", 6),
    ("atomic", "release.voted", 1),
    ("atomic", "release.decided", 1),
    ("atomic", "target.committed", 2),
    ("atomic", "target.recorded", 6),
    ("rolling", "wave.started", 1),
    ("rolling", "target.moved", 1),
    ("rolling", "target.recorded", 1),
    ("rolling", "wave.ended", 1),
]
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%{}'"


@pytest.mark.parametrize("strategy", ["atomic", "rolling"])
def test_a_second_release_of_the_same_tenants_is_refused_and_names_the_first(fleet: Any, strategy: str) -> None:
    """Nothing of the second one is begun; the first is not disturbed."""
    fleet.release()
    first = fleet.start("migrate", strategy=strategy, stop_at=["release.rehearsed", 1])
    operation = first.wait().operation
    second = fleet.run("migrate", strategy=strategy, tenants=SMALL)
    assert operation in second.error["message"]
    assert "rel/small/001" in second.error["message"]
    first.go_on()
    assert set(first.wait().statuses.values()) == {"success"}
    fleet.finish()


@pytest.mark.parametrize("stands_at", ["operation.started", "golden.copied", "golden.built", "target.moved"])
@pytest.mark.parametrize("others", OTHERS)
def test_two_releases_of_different_tenants_both_succeed(fleet: Any, others: str, stands_at: str) -> None:
    """Though they need the same golden."""
    fleet.release()
    first = fleet.start("migrate", strategy="rolling", tenants=SMALL, stop_at=[stands_at, 1])
    assert first.wait().stopped
    second = fleet.run("migrate", strategy="rolling", tenants=OTHERS[others])
    assert set(second.statuses.values()) == {"success"}, second.document
    first.go_on()
    ended = first.wait()
    assert set(ended.statuses.values()) == {"success"}, ended.document
    fleet.finish()


@pytest.mark.parametrize("then", ["recover", "migrate"])
@pytest.mark.parametrize(("strategy", "kind", "occurrence"), HELD)
def test_a_coordinator_that_was_taken_for_dead_changes_nothing_when_it_comes_back(
    fleet: Any, strategy: str, kind: str, occurrence: int, then: str
) -> None:
    """Its machine slept, its sessions were lost and its release was settled, or even done by another one: it ends with an error
    that says so."""
    fleet.release()
    zombie = fleet.start("migrate", strategy=strategy, stop_at=[kind, occurrence])
    held = zombie.wait()
    assert held.stopped, held.document
    fleet.rows("postgres", END_SESSIONS.format(held.operation))
    fleet.run("recover")
    if then == "migrate":
        done = fleet.run("migrate", strategy="rolling")
        assert set(done.statuses.values()) <= {"success", "skipped"}, done.document
    versions = fleet.versions()
    zombie.go_on()
    error = zombie.wait().error
    assert "taken over" in error["message"]
    assert error["code"] == "conflict"
    assert fleet.versions() == versions
    assert fleet.problems(atomic=strategy == "atomic") == []
    fleet.finish()
