"""``kill -9`` of the coordinator at every boundary between two steps of every strategy: recovery settles it, the next release
does the rest, and no tenant was changed by half or twice.

The boundaries are the events of ``manor.telemetry``. Where a kind is told once per tenant, the first, a middle and the last one
stand for all; the nightly profile kills at every single event.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

TENANTS = 6
ROLLING = {"strategy": "rolling", "overrides": {"batch_size": 3, "wait_between_batches": 1}}
CANARY = {
    "strategy": "canary",
    "overrides": {"initial_percentage": 20, "increment_percentage": 40, "evaluation_period": 0},
}
SICK = "rel_s_002"
Job = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One way to release. ``job``: prepares the fleet and returns what is to be killed."""

    job: Callable[[Any], Job]
    atomic: bool
    boundaries: tuple[tuple[str, int], ...]


def plainly(**job: Any) -> Callable[[Any], Job]:
    """New migrations, and a release of them."""

    def prepare(fleet: Any) -> Job:
        fleet.release()
        return {"verb": "migrate", **job}

    return prepare


def poisoned(fleet: Any) -> Job:
    """One tenant will vote no."""
    fleet.release()
    fleet.poison(SICK)
    return {"verb": "migrate", "strategy": "atomic"}


def undoing(strategy: str) -> Callable[[Any], Job]:
    """A release that is to be taken back."""

    def prepare(fleet: Any) -> Job:
        fleet.release()
        return {"verb": "undo", "operation": done(fleet.run("migrate", strategy=strategy))}

    return prepare


def done(ended: Any) -> str:
    """The id of a release that succeeded."""
    assert ended.answer["exit_code"] == 0, ended.document
    operation: str = ended.operation
    return operation


def retrying(fleet: Any) -> Job:
    """A release that one tenant refused, and whose cause is gone."""
    fleet.release()
    fleet.poison(SICK)
    first = fleet.run("migrate", strategy="rolling")
    assert [name for name, status in first.statuses.items() if status != "success"] == [SICK]
    fleet.poison()
    return {"verb": "retry", "operation": first.operation}


def resuming(fleet: Any) -> Job:
    """A release that was paused after its first wave."""
    fleet.release()
    worker = fleet.start("migrate", stop_at=["wave.ended", 1], **ROLLING)
    paused = worker.wait()
    assert paused.stopped
    fleet.run("ask", operation=paused.operation, wanted="pause")
    worker.go_on()
    assert worker.wait().answer["release"]["state"] == "paused"
    return {"verb": "resume", "operation": paused.operation}


def mixed(fleet: Any) -> Job:
    """Transactions, then statements outside of them, then a transaction."""
    fleet.release("plain", "apart", "plain")
    return {"verb": "migrate", "strategy": "rolling"}


SCENARIOS = {
    "atomic": Scenario(
        job=plainly(strategy="atomic"),
        atomic=True,
        boundaries=(
            *((kind, 1) for kind in ("operation.planned", "operation.started")),
            *((f"golden.{step}", n) for step in ("copied", "migrated", "sealed") for n in (1, 2)),
            ("golden.built", 1),
            ("golden.built", 2),
            ("release.rehearsed", 1),
            ("target.prepared", 1),
            ("target.prepared", 4),
            ("target.prepared", TENANTS),
            ("release.voted", 1),
            ("release.decided", 1),
            ("target.committed", 1),
            ("target.committed", 4),
            ("target.committed", TENANTS),
            ("target.ended", TENANTS),
            ("target.recorded", 1),
            ("operation.recorded", 1),
            ("operation.ended", 1),
        ),
    ),
    "atomic, one says no": Scenario(
        job=poisoned,
        atomic=True,
        boundaries=(
            ("target.refused", 1),
            ("target.prepared", TENANTS - 1),
            ("release.voted", 1),
            ("release.decided", 1),
            ("target.rolled_back", 1),
            ("target.rolled_back", TENANTS - 1),
            ("target.recorded", 1),
            ("operation.recorded", 1),
        ),
    ),
    "rolling": Scenario(
        job=plainly(**ROLLING),
        atomic=False,
        boundaries=(
            ("wave.started", 1),
            ("target.moved", 1),
            ("target.moved", 3),
            ("target.ended", 3),
            ("target.recorded", 1),
            ("wave.ended", 1),
            ("wave.started", 2),
            ("target.moved", TENANTS),
            ("target.recorded", TENANTS),
            ("wave.ended", 2),
            ("operation.recorded", 1),
        ),
    ),
    "canary": Scenario(
        job=plainly(**CANARY),
        atomic=False,
        boundaries=(("gate.looked", 1), ("wave.started", 2), ("gate.looked", 2), ("target.moved", TENANTS)),
    ),
    "undo, atomic": Scenario(
        job=undoing("atomic"),
        atomic=True,
        boundaries=(
            ("golden.copied", 1),
            ("golden.sealed", 1),
            ("release.rehearsed", 1),
            ("target.prepared", TENANTS),
            ("release.decided", 1),
            ("target.committed", 3),
            ("target.recorded", 1),
        ),
    ),
    "undo, rolling": Scenario(
        job=undoing("rolling"),
        atomic=False,
        boundaries=(("target.moved", 1), ("target.recorded", 3), ("wave.ended", 1)),
    ),
    "retry": Scenario(job=retrying, atomic=False, boundaries=(("target.moved", 1), ("target.recorded", 1))),
    "resume": Scenario(
        job=resuming, atomic=False, boundaries=(("operation.planned", 1), ("target.moved", 1), ("operation.recorded", 1))
    ),
    "outside transactions": Scenario(
        job=mixed, atomic=False, boundaries=(("target.moved", 1), ("target.moved", TENANTS), ("target.recorded", 1))
    ),
}
CASES = [(name, *boundary) for name, scenario in SCENARIOS.items() for boundary in scenario.boundaries]
MOST_EVENTS = 48


def settle_and_finish(fleet: Any, dead: Any, scenario: Scenario) -> None:
    """What an operator does after a death: ``operation recover``, and the release again."""
    fleet.run("recover")
    assert fleet.problems(atomic=scenario.atomic, midway=undecided(fleet, dead)) == []
    fleet.poison()
    if undecided(fleet, dead):
        fleet.run("resume", operation=dead.operation)
    fleet.finish()


def undecided(fleet: Any, dead: Any) -> list[str]:
    """Databases that an operation left between two migrations."""
    query = (
        "SELECT database FROM manor.outcomes JOIN manor.operations ON id = operation"
        f" WHERE operation = '{dead.operation}' AND status = 'needs_decision'"
    )
    return [row[0] for row in fleet.rows("manor_catalog", query)]


@pytest.mark.parametrize(("name", "kind", "occurrence"), CASES)
def test_a_release_killed_at_a_boundary_is_settled_and_done_by_the_next(
    fleet: Any, name: str, kind: str, occurrence: int
) -> None:
    """Nothing is half done, nothing is done twice, every target is named; all or none stays all or none."""
    scenario = SCENARIOS[name]
    dead = fleet.run(**scenario.job(fleet), kill_at=[kind, occurrence])
    assert dead.killed, f"there was no {kind} number {occurrence}: {[e[0] for e in dead.events]} {dead.document}"
    settle_and_finish(fleet, dead, scenario)


@pytest.mark.nightly
@pytest.mark.parametrize("occurrence", range(1, MOST_EVENTS + 1))
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_release_killed_at_any_event_at_all_is_settled_and_done_by_the_next(fleet: Any, name: str, occurrence: int) -> None:
    """Every boundary of every strategy, one after the other."""
    scenario = SCENARIOS[name]
    settle_and_finish(fleet, fleet.run(**scenario.job(fleet), kill_at=["*", occurrence]), scenario)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_boundary_that_a_release_tells_of_is_killed_at(fleet: Any, name: str) -> None:
    """A step that is added later cannot be forgotten here, in the default profile or in the nightly one."""
    ended = fleet.run(**SCENARIOS[name].job(fleet))
    assert len(ended.events) <= MOST_EVENTS
    killed_at = {kind for scenario in SCENARIOS.values() for kind, _ in scenario.boundaries}
    assert {kind for kind, _, _ in ended.events} <= killed_at
    fleet.poison()
    fleet.finish()


BUILDING = f"""
SELECT count(*) FROM pg_stat_activity
WHERE datname = '{SICK}' AND query LIKE 'CREATE %INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'
"""


@pytest.mark.timeout(100)
def test_a_kill_while_an_index_is_built_concurrently_leaves_no_invalid_index_for_good(fleet: Any) -> None:
    """A session of a user's keeps the statement from its end, and the server's own session would go on after the kill."""
    fleet.release("plain", "apart", "plain")
    with fleet.connect(SICK) as user:
        user.autocommit = False
        user.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        user.execute("SELECT count(*) FROM poison")
        worker = fleet.start("migrate", strategy="rolling", tenants=[SICK])
        while fleet.rows("postgres", BUILDING) == [(0,)]:
            pass
        os.kill(worker.pid, signal.SIGKILL)
        dead = worker.wait()
        fleet.run("recover")
        user.rollback()
    assert undecided(fleet, dead) == [SICK], fleet.run("inspect").document
    assert fleet.problems(midway=[SICK]) == []
    resumed = fleet.run("resume", operation=dead.operation)
    assert resumed.statuses == {SICK: "success"}, resumed.document
    fleet.finish()
