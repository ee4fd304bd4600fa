"""``kill -9`` of an atomic release at random moments: whatever a chain of killed releases leaves, the fleet is of one version.

A chain is some releases that are killed one after the other, each on the debris of those before; sometimes somebody recovers
in between, and sometimes that is killed too. After every recovery no two tenants differ. The seed is the test's parameter,
so that a failing chain can be run again alone.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

KILLS_PER_CHAIN = 10
CHAINS, NIGHTLY_CHAINS = 10, 100
"""One hundred kills in the default profile, a thousand in the nightly one."""
MOST_EVENTS = 40
LONGEST_MS = 1_500
"""About what an atomic release of the small fleet takes; one that was faster has nothing left to kill."""


def random_moment(chance: random.Random) -> dict[str, Any]:
    """Where to die: at an event, or at any instant."""
    if chance.random() < 0.5:
        return {"kill_at": ["*", chance.randint(1, MOST_EVENTS)]}
    return {"kill_after_ms": chance.uniform(1, LONGEST_MS)}


def random_job(chance: random.Random, fleet: Any) -> dict[str, Any]:
    """Mostly a release; sometimes one that a tenant refuses, or a recovery."""
    if chance.random() < 0.15:
        return {"verb": "recover"}
    fleet.poison(*(["rel_s_003"] if chance.random() < 0.2 else []))
    return {"verb": "migrate", "strategy": "atomic", "overrides": {"atomic_connections": chance.choice([1, 100])}}


def run_chain(seed: int, fleet: Any) -> None:
    """Kill, look, kill, look; then one release that lives."""
    chance = random.Random(seed)
    story = [f"seed {seed}"]
    kills = 0
    fleet.release()
    while kills < KILLS_PER_CHAIN:
        job, moment = random_job(chance, fleet), random_moment(chance)
        ended = fleet.run(**job, **moment)
        kills += ended.killed
        story.append(f"{job['verb']} {moment}: {'killed' if ended.killed else 'lived'} after {len(ended.events)} events")
        if chance.random() < 0.5:
            fleet.run("recover")
            versions = fleet.versions()
            assert len(set(versions.values())) == 1, "\n".join([*story, str(versions)])
            if set(versions.values()) == {fleet.head}:
                fleet.release()
    fleet.run("recover")
    fleet.poison()
    problems = fleet.problems(atomic=True)
    assert problems == [], "\n".join([*story, *problems])
    fleet.finish()
    fleet.run("deploy")  # drops goldens that nothing needs any more


@pytest.mark.parametrize("seed", range(CHAINS))
def test_a_hundred_random_kills_leave_no_fleet_of_two_versions(fleet: Any, seed: int) -> None:
    """0 mixed, 0 half migrated, 0 applied twice, 0 unnamed."""
    run_chain(seed, fleet)


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(1_000, 1_000 + NIGHTLY_CHAINS))
def test_a_thousand_random_kills_leave_no_fleet_of_two_versions(fleet: Any, seed: int) -> None:
    """The same, ten times as often."""
    run_chain(seed, fleet)
