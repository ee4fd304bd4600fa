"""``kill -9`` at random moments: whatever a chain of killed deploys leaves, the next one that lives makes the fleet whole.

A chain is a few deploys that are killed one after the other, each on the debris of those before; then one that lives, and the
inspection. The seed is the test's parameter, so that a failing chain can be run again alone. Half of the kills come at a random
event, half after a random time, in the middle of whatever is going on.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DRIVER = Path(__file__).with_name("deploy_driver.py")
KILLS_PER_CHAIN = 5
LONGEST_MS = 2_500
"""About what a whole deploy of the small project takes on a slow machine; one that was faster has nothing left to kill."""
MOST_EVENTS = 45
DIED, DONE = -signal.SIGKILL, 0


def random_moment(chance: random.Random) -> list[str]:
    """Arguments of the driver: where to die."""
    if chance.random() < 0.5:
        return ["--at", "*", "--occurrence", str(chance.randint(1, MOST_EVENTS))]
    return ["--after-ms", f"{chance.uniform(1, LONGEST_MS):.1f}"]


def run_chain(seed: int, driver: Any, registry: Path, fleet_check: Any) -> None:
    """Kill, kill, kill, deploy, inspect."""
    chance = random.Random(seed)
    pool = chance.choice([0, 2])
    if pool:
        registry.write_text(registry.read_text(encoding="utf-8") + "  provisioning:\n    warm_pool: 2\n", encoding="utf-8")
    wave_size = chance.choice([1, 2, 200])
    history = [f"seed {seed}, pool {pool}, waves of {wave_size}"]
    for _ in range(KILLS_PER_CHAIN):
        moment = random_moment(chance)
        command = [sys.executable, str(DRIVER), str(registry), "--wave-size", str(wave_size), *moment]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        history.append(f"{' '.join(moment)}: {ended.returncode}")
        assert ended.returncode in {DIED, DONE}, "\n".join([*history, ended.stderr])
    report = driver.deploy_once(registry)
    broken = [f"{o.target.database}: {o.status} {o.detail}" for o in report.outcomes if o.status not in {"success", "skipped"}]
    broken += fleet_check.problems(pool=pool)
    broken += [f"still: {o.detail}" for o in driver.deploy_once(registry).outcomes if o.status != "skipped"]
    assert broken == [], "\n".join([*history, *broken])


@pytest.mark.parametrize("seed", range(10))
def test_fifty_random_kills_leave_nothing_that_the_next_deploy_does_not_make_whole(
    seed: int, driver: Any, registry: Path, fleet_check: Any
) -> None:
    """Ten chains of five."""
    run_chain(seed, driver, registry, fleet_check)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1_000, 1_200))
def test_a_thousand_random_kills_leave_nothing_that_the_next_deploy_does_not_make_whole(
    seed: int, driver: Any, registry: Path, fleet_check: Any
) -> None:
    """Two hundred chains of five."""
    run_chain(seed, driver, registry, fleet_check)
