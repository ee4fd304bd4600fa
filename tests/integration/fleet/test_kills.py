"""``kill -9`` at every boundary between two steps of a deploy: the next deploy makes the fleet whole.

The boundaries are the events of ``manor.telemetry``; waves are cut to two targets, so that the five targets of the small
project have a first, a middle and a last wave.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

DRIVER = Path(__file__).with_name("deploy_driver.py")
WAVE_SIZE = 2
TARGETS = 5
FIRST_MIDDLE_LAST = (1, 3, TARGETS)

RECORDED = frozenset({"operation.recorded", "audit.anchored", "operation.ended"})

WHOLE_FLEET = ["operation.planned", "operation.started", "operation.recorded", "audit.anchored", "operation.ended"]
PER_TARGET = ["intent", "cloned", "restricted", "filled", "published", "recorded"]
FRESH = [
    *((kind, 1) for kind in WHOLE_FLEET),
    *((kind, n) for kind in ("golden.sealed", "golden.built") for n in (1, 2)),
    *((kind, n) for kind in ("wave.started", "roles.created") for n in (1, 3)),
    *((f"target.{step}", n) for step in PER_TARGET for n in FIRST_MIDDLE_LAST),
    ("target.ended", TARGETS),
]
POOL_FILLING = [("pool.cloned", 1), ("pool.cloned", 4), ("pool.restricted", 1), ("pool.filled", 1), ("pool.filled", 4)]
POOL_TAKING = [
    ("target.taken", 1),
    ("target.taken", 2),
    ("target.cloned", 1),
    ("target.restricted", 1),
    ("target.filled", 1),
    ("target.published", 2),
    ("target.recorded", 2),
]
CLEANING_UP = [("operation.interrupted", 1), ("leftover.dropped", 1), ("leftover.dropped", 2)]
TRIMMING = [("pool.dropped", 1), ("pool.dropped", 2)]
RETIRING = [("golden.dropped", 1), ("golden.retired", 1)]
FORGETTING = [("entry.forgotten", 1), ("entry.forgotten", 4)]
MOVING = [("server.moved", 1)]
FINISHING = [(f"target.{step}", n) for step in ("intent", "unlocked", "recorded") for n in (1, 2)]


def killed_deploy(registry: Path, *arguments: object, wave_size: int = WAVE_SIZE) -> subprocess.CompletedProcess[str]:
    """Run the driver in a process of its own."""
    command = [sys.executable, DRIVER, registry, "--wave-size", wave_size, *arguments]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, check=False)


def kill(registry: Path, kind: str, occurrence: int, *, wave_size: int = WAVE_SIZE) -> None:
    """A deploy that dies at a boundary."""
    dead = killed_deploy(registry, "--at", kind, "--occurrence", occurrence, wave_size=wave_size)
    assert dead.returncode == -signal.SIGKILL, f"there was no {kind} number {occurrence}: {dead.stdout}{dead.stderr}"


def converge(driver: Any, registry: Path) -> None:
    """A deploy that lives."""
    report = driver.deploy_once(registry)
    statuses = {str(o.target.tenant): (str(o.status), o.detail) for o in report.outcomes}
    assert report.exit_code == 0, statuses
    assert report.summary.keys() <= {"success", "skipped"}, statuses


def with_pool(registry: Path, *, tenants: int = 4) -> None:
    """Ask for two warm databases per template."""
    text = registry.read_text(encoding="utf-8").replace("tenant_count: 4", f"tenant_count: {tenants}")
    registry.write_text(text + "  provisioning:\n    warm_pool: 2\n", encoding="utf-8")


def change_template(customer: Path) -> None:
    """Another price in the rows that all tenants of a template share: another golden."""
    rows = customer / "tenant_type1" / "main@products.dat"
    rows.write_text(rows.read_text(encoding="utf-8").replace("9800.00", "9900.00"), encoding="utf-8")


@pytest.mark.parametrize(("kind", "occurrence"), FRESH)
def test_a_deploy_killed_at_a_boundary_is_made_whole_by_the_next(
    driver: Any, registry: Path, fleet_check: Any, kind: str, occurrence: int
) -> None:
    """No provisional database is left, none is half filled or filled twice, and the journal says what was interrupted."""
    kill(registry, kind, occurrence)
    converge(driver, registry)
    assert fleet_check.problems() == []
    states = [state for _, state in fleet_check.recorded().operations]
    expected = {"operation.planned": []}.get(kind, ["succeeded" if kind in RECORDED else "interrupted"])
    assert states == ["succeeded", *expected]


@pytest.mark.parametrize(("kind", "occurrence"), POOL_FILLING)
def test_a_deploy_killed_while_it_fills_the_warm_pool_leaves_no_stray_copy(
    driver: Any, registry: Path, fleet_check: Any, kind: str, occurrence: int
) -> None:
    """Every copy that waits is known to the catalog, and the pool is full after the next deploy."""
    with_pool(registry)
    kill(registry, kind, occurrence)
    converge(driver, registry)
    assert fleet_check.problems(pool=2) == []


@pytest.mark.parametrize(("kind", "occurrence"), POOL_TAKING)
def test_a_deploy_killed_while_it_takes_from_the_warm_pool_is_made_whole_by_the_next(
    driver: Any, registry: Path, fleet_check: Any, kind: str, occurrence: int
) -> None:
    """A copy that was taken is used or dropped, never both and never twice."""
    with_pool(registry, tenants=1)
    converge(driver, registry)
    registry.write_text(registry.read_text(encoding="utf-8").replace("tenant_count: 1", "tenant_count: 4"), encoding="utf-8")
    kill(registry, kind, occurrence, wave_size=TARGETS)
    converge(driver, registry)
    assert fleet_check.problems(pool=2) == []


def test_a_warm_pool_shrinks_to_its_size(driver: Any, registry: Path, fleet_check: Any) -> None:
    """Copies beyond it are dropped by the next deploy, down to none."""
    with_pool(registry, tenants=1)
    converge(driver, registry)
    text = registry.read_text(encoding="utf-8")
    registry.write_text(text.replace("warm_pool: 2", "warm_pool: 1"), encoding="utf-8")
    converge(driver, registry)
    assert fleet_check.problems(pool=1) == []
    registry.write_text(text.replace("warm_pool: 2", "warm_pool: 0"), encoding="utf-8")
    converge(driver, registry)
    assert fleet_check.recorded().pool == ()
    assert fleet_check.problems() == []


@pytest.mark.parametrize(("kind", "occurrence"), TRIMMING)
def test_a_deploy_killed_while_it_trims_the_warm_pool_is_made_whole_by_the_next(
    driver: Any, registry: Path, fleet_check: Any, kind: str, occurrence: int
) -> None:
    """No copy is left that nobody can take, and none is offered that is gone."""
    with_pool(registry, tenants=1)
    converge(driver, registry)
    registry.write_text(registry.read_text(encoding="utf-8").replace("warm_pool: 2", "warm_pool: 1"), encoding="utf-8")
    kill(registry, kind, occurrence)
    converge(driver, registry)
    assert fleet_check.problems(pool=1) == []


@pytest.mark.parametrize(("kind", "occurrence"), RETIRING)
def test_a_golden_that_nothing_came_from_is_dropped_though_the_deploy_that_does_it_is_killed(
    driver: Any, registry: Path, fleet_check: Any, kind: str, occurrence: int
) -> None:
    """Its template changed before any tenant was made of it."""
    kill(registry, "golden.built", 2)
    change_template(registry.parent)
    kill(registry, kind, occurrence)
    converge(driver, registry)
    assert fleet_check.problems() == []
    assert len(fleet_check.recorded().goldens) == 2


@pytest.mark.parametrize(("kind", "occurrence"), FORGETTING)
def test_entries_of_tenants_that_never_came_to_be_are_forgotten_once_undeclared(
    driver: Any, registry: Path, fleet_check: Any, kind: str, occurrence: int
) -> None:
    """Their names are free, their roles are gone, and nobody calls them orphans."""
    kill(registry, "target.cloned", 2, wave_size=TARGETS)
    text = registry.read_text(encoding="utf-8")
    registry.write_text(text.replace("  tenants:", "  clients:"), encoding="utf-8")  # the same names, other tenants
    kill(registry, kind, occurrence)
    report = driver.deploy_once(registry)
    assert report.exit_code == 0
    assert report.orphans == ()
    assert fleet_check.problems() == []


def test_a_golden_that_was_sealed_but_never_recorded_is_dropped_too(driver: Any, registry: Path, fleet_check: Any) -> None:
    """Only its marker tells whose it is."""
    kill(registry, "golden.sealed", 2)
    change_template(registry.parent)
    converge(driver, registry)
    assert fleet_check.problems() == []


def test_a_golden_stays_as_long_as_a_database_came_from_it(driver: Any, registry: Path, fleet_check: Any) -> None:
    """`tenant show --drift` compares with it."""
    converge(driver, registry)
    change_template(registry.parent)
    registry.write_text(registry.read_text(encoding="utf-8").replace("tenant_count: 4", "tenant_count: 5"), encoding="utf-8")
    converge(driver, registry)
    converge(driver, registry)
    assert len(fleet_check.recorded().goldens) == 3


def test_registries_that_share_a_template_name_leave_each_others_warm_pools_alone(
    driver: Any, registry: Path, fleet_check: Any
) -> None:
    """Each customer's folder has a template of that name, and the catalog is one."""
    with_pool(registry, tenants=1)
    converge(driver, registry)
    theirs = fleet_check.recorded().pool
    other = shutil.copytree(registry.parent, registry.parent.with_name("customer_b")) / registry.name
    change_template(other.parent)
    other.write_text(other.read_text(encoding="utf-8").replace("customer_a", "customer_b"), encoding="utf-8")
    converge(driver, other)
    assert set(theirs) < set(fleet_check.recorded().pool)


@pytest.mark.parametrize(("kind", "occurrence"), MOVING)
def test_a_deploy_killed_while_it_follows_a_moved_server_is_made_whole_by_the_next(
    driver: Any, registry: Path, fleet_check: Any, server_url: str, kind: str, occurrence: int
) -> None:
    """New URLs are stored before the new address is: the next deploy looks again."""
    converge(driver, registry)
    folder = unquote(server_url.partition("host=")[2])
    environment = registry.parent / "environ.yaml"
    with tempfile.TemporaryDirectory(prefix="manor-", dir="/tmp") as short:
        moved = Path(short) / "moved"
        moved.symlink_to(folder)
        text = environment.read_text(encoding="utf-8")
        environment.write_text(text.replace(quote(folder, safe=""), quote(str(moved), safe="")), encoding="utf-8")
        kill(registry, kind, occurrence)
        converge(driver, registry)
        assert fleet_check.problems() == []
        assert all(quote(str(moved), safe="") in url for url in fleet_check.recorded().urls.values())


@pytest.mark.parametrize(("kind", "occurrence"), CLEANING_UP)
def test_a_deploy_killed_while_it_cleans_up_after_a_killed_one_is_made_whole_by_the_next(
    driver: Any, registry: Path, fleet_check: Any, kind: str, occurrence: int
) -> None:
    """Cleaning up is safe to interrupt."""
    kill(registry, "target.filled", 2)
    kill(registry, kind, occurrence)
    converge(driver, registry)
    assert fleet_check.problems() == []


@pytest.mark.parametrize(("kind", "occurrence"), FINISHING)
def test_a_deploy_killed_while_it_records_finished_databases_is_made_whole_by_the_next(
    driver: Any, registry: Path, fleet_check: Any, kind: str, occurrence: int
) -> None:
    """The password that the catalog holds is the one that the role has, wherever the second kill came."""
    kill(registry, "target.published", 2)
    kill(registry, kind, occurrence)
    converge(driver, registry)
    assert fleet_check.problems() == []


def test_every_boundary_that_a_deploy_tells_of_is_killed_at(driver: Any, registry: Path) -> None:
    """A step that is added later cannot be forgotten here."""
    seen: set[str] = set()
    with_pool(registry, tenants=1)
    kill(registry, "target.published", 1)
    driver.deploy_once(registry, lambda event: seen.add(event.kind))
    registry.write_text(registry.read_text(encoding="utf-8").replace("tenant_count: 1", "tenant_count: 4"), encoding="utf-8")
    driver.deploy_once(registry, lambda event: seen.add(event.kind))
    covered = {
        kind for kind, _ in (*FRESH, *POOL_FILLING, *POOL_TAKING, *CLEANING_UP, *TRIMMING, *RETIRING, *FORGETTING, *FINISHING)
    }
    assert seen <= covered
