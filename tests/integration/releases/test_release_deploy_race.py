"""Deploys that make tenants while a release is under way: a new tenant is at the new version before the release ends."""

from __future__ import annotations

from typing import Any

import pytest

DURING = [
    ("atomic", "operation.started"),
    ("atomic", "release.rehearsed"),
    ("atomic", "target.prepared"),
    ("atomic", "release.decided"),
    ("atomic", "target.committed"),
    ("atomic", "target.recorded"),
    ("rolling", "operation.started"),
    ("rolling", "wave.started"),
    ("rolling", "target.moved"),
    ("rolling", "wave.ended"),
]
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def one_more(fleet: Any) -> str:
    """Declare another tenant; its database."""
    fleet.declare(fleet.small + 1)
    return f"rel_s_{fleet.small:03d}"


@pytest.mark.parametrize(("strategy", "kind"), DURING)
def test_a_tenant_that_is_made_during_a_release_gets_the_new_version(fleet: Any, strategy: str, kind: str) -> None:
    """Before the release ends, and by name."""
    fleet.release()
    worker = fleet.start("migrate", strategy=strategy, stop_at=[kind, 1])
    assert worker.wait().stopped
    new = one_more(fleet)
    deployed = fleet.run("deploy")
    assert deployed.statuses[new] == "success", deployed.document
    worker.go_on()
    ended = worker.wait()
    assert set(ended.statuses.values()) == {"success"}, ended.document
    assert fleet.versions()[new] == fleet.head
    fleet.finish()


@pytest.mark.parametrize("strategy", ["atomic", "rolling"])
@pytest.mark.parametrize("kind", ["operation.started", "target.intent", "target.cloned", "target.published"])
def test_a_release_waits_at_its_end_for_a_deploy_that_makes_tenants(fleet: Any, strategy: str, kind: str) -> None:
    """What the deploy makes from the old golden is brought to the new version too."""
    fleet.release()
    new = one_more(fleet)
    deploy = fleet.start("deploy", stop_at=[kind, 1])
    assert deploy.wait().stopped
    release = fleet.start("migrate", strategy=strategy)
    while fleet.rows("postgres", WAITING) == [(0,)]:
        pass
    deploy.go_on()
    assert deploy.wait().statuses[new] == "success"
    ended = release.wait()
    assert set(ended.statuses.values()) == {"success"}, ended.document
    assert fleet.versions()[new] == fleet.head
    fleet.finish()


@pytest.mark.parametrize(("kind", "occurrence"), [("target.moved", 1), ("target.recorded", -1)])
def test_a_release_killed_while_it_catches_up_with_a_new_tenant_is_settled(fleet: Any, kind: str, occurrence: int) -> None:
    """The tenants that were voted on keep the new version; the new one follows with the next release."""
    fleet.release()
    last = len(fleet.versions()) + 1
    boundary = [kind, occurrence if occurrence > 0 else last]
    worker = fleet.start("migrate", strategy="atomic", stop_at=["release.voted", 1], kill_at=boundary)
    assert worker.wait().stopped
    one_more(fleet)
    fleet.run("deploy")
    worker.go_on()
    dead = worker.wait()
    assert dead.killed, dead.document
    fleet.run("recover")
    assert fleet.problems() == []
    fleet.finish()
