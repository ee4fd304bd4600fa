"""The server restarts in every phase of a release while the coordinator lives: it goes on, or says why not; nothing is mixed.

The coordinator stands still at an event (SIGSTOP) while the server is stopped without a checkpoint and started again. It finds
all its sessions gone, its own lock among them.
"""

from __future__ import annotations

from typing import Any

import pytest

VOTING = [("release.rehearsed", 1), ("target.prepared", 1), ("target.prepared", 5), ("release.voted", 1)]
DECIDED = [("release.decided", 1), ("target.committed", 1), ("target.committed", 5), ("target.recorded", 1)]
ROLLING = [
    ("operation.started", 1),
    ("golden.copied", 1),
    ("wave.started", 1),
    ("target.moved", 1),
    ("target.moved", 5),
    ("target.recorded", 1),
    ("wave.ended", 1),
]


def restarted_at(fleet: Any, server: Any, kind: str, occurrence: int, **job: Any) -> Any:
    """A release during which the server crashes and comes back."""
    fleet.release()
    worker = fleet.start("migrate", stop_at=[kind, occurrence], **job)
    held = worker.wait()
    assert held.stopped, held.document
    server.stop(mode="immediate")
    server.start()
    worker.go_on()
    return worker.wait()


@pytest.mark.parametrize(("kind", "occurrence"), VOTING)
def test_a_restart_before_the_decision_changes_all_tenants_or_none(
    fleet: Any, embedded_server: Any, kind: str, occurrence: int
) -> None:
    """Prepared transactions live through it; votes that were under way say no, and their tenants are named."""
    ended = restarted_at(fleet, embedded_server, kind, occurrence, strategy="atomic")
    assert set(ended.statuses.values()) in ({"success"}, {"error"}, {"rolled_back", "error"}), ended.document
    assert fleet.problems(atomic=True) == []
    fleet.finish()


@pytest.mark.parametrize(("kind", "occurrence"), DECIDED)
def test_a_restart_after_the_decision_keeps_no_tenant_from_the_new_version(
    fleet: Any, embedded_server: Any, kind: str, occurrence: int
) -> None:
    """Decided is decided: the same run commits over new sessions."""
    ended = restarted_at(fleet, embedded_server, kind, occurrence, strategy="atomic")
    assert set(ended.statuses.values()) == {"success"}, ended.document
    assert set(fleet.versions().values()) == {fleet.head}
    fleet.finish()


@pytest.mark.parametrize(("kind", "occurrence"), ROLLING)
def test_a_rolling_release_lives_through_a_restart(fleet: Any, embedded_server: Any, kind: str, occurrence: int) -> None:
    """Targets under way are tried again; each of them is done once."""
    ended = restarted_at(fleet, embedded_server, kind, occurrence, strategy="rolling")
    assert set(ended.statuses.values()) == {"success"}, ended.document
    assert fleet.problems() == []
    fleet.finish()
