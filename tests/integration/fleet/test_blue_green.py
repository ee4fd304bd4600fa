"""Blue-green releases and snapshots over a small fleet, switching back, and a kill at every boundary of a swap.

Run as a program this file releases and dies at an event, as ``kill -9`` does; the next command recovers what is left.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import importlib.util
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest

from manor.control.migrate.cohort import Cohort
from manor.control.operations.migrate import MigrateRequest, begin, migrate
from manor.control.operations.release_draft import Draft, Selection
from manor.control.operations.release_run import ReleaseRun
from manor.control.rollout.release.course import Course
from manor.control.rollout.release.settle import settle_all
from manor.control.rollout.release.swap_recovery import drop_expired, recover_forgotten
from manor.control.rollout.release.switch_back import cohort_back, switching_back
from manor.control.rollout.strategy import Kind, Overrides
from manor.control.runtime import Runtime
from manor.errors import NotFoundError
from manor.wiring import open_runtime

T = TypeVar("T")

DRIVER = Path(__file__).with_name("deploy_driver.py")
TENANT, OTHER = "acme_t_001", "acme_t_002"
FULL_ID = "acme/tenants/001"

MIGRATION = """\
-- migrate:up
ALTER TABLE products ADD COLUMN colour text;
DO $$ BEGIN
    IF EXISTS (SELECT FROM products WHERE name = 'poison') THEN RAISE EXCEPTION 'poisoned'; END IF;
END $$;
UPDATE products SET colour = 'red';
"""
SWAP = ["target.closed", "target.cloned", "target.moved", "target.switched", "target.opened", "target.marked", "target.ended"]
SNAPSHOT = ["target.closed", "target.cloned", "target.opened", "target.marked", "target.moved"]
BACK = ["target.closed", "target.switched", "target.opened", "target.marked"]


def load_driver() -> Any:
    """The deploy driver as a module: this file is a program too, without fixtures."""
    specification = importlib.util.spec_from_file_location("blue_green_deploy_driver", DRIVER)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def inside(registry: Path, work: Callable[[Runtime], Coroutine[Any, Any, T]], *hooks: Any) -> T:
    """Run something with a runtime of the registry's environment."""

    async def run() -> T:
        async with open_runtime(load_driver().open_workplace(registry, *hooks)) as runtime:
            return await work(runtime)

    return asyncio.run(run())


async def release(runtime: Runtime, registry: Path, **request: Any) -> Any:
    """One release to the two tenants of the group."""
    wanted = MigrateRequest(**{"selection": Selection(group="tenants"), "strategy": "blue_green", **request})
    return await migrate(runtime, registry.parent.parent, wanted)


async def go_back(runtime: Runtime, operation: str, *, discard_writes: bool) -> dict[str, Any]:
    """Undo a release by switching back; outcomes by database."""
    await settle_all(runtime)
    released = await runtime.catalog.release(operation)
    course = Course.from_json(released.plan)
    records = {str(record.tenant): record for record in await runtime.catalog.databases()}
    kept = {one.tenant: one for one in await runtime.catalog.kept_databases(operation=operation)}
    targets = await runtime.catalog.operation_targets(operation)
    chosen = [t for t in targets if t.tenant in kept and t.status == "success"]
    if not chosen:
        raise NotFoundError("nothing is kept")
    cohorts: dict[int, Cohort] = {
        c.number: cohort_back(c, c.number, next(kept[t.tenant].fingerprint for t in chosen if t.cohort == c.number))
        for c in course.cohorts
        if any(t.cohort == c.number for t in chosen)
    }
    back = dataclasses.replace(
        course, kind=Kind.ROLLING, cohorts=tuple(cohorts.values()), undoes=True, gate=None, soak_seconds={}, windows=()
    )
    fresh = tuple(dataclasses.replace(t, status="pending", error=None, detail="", facts={}, attempt=0, wave=1) for t in chosen)
    draft = Draft(course=back, targets=fresh, records=records, scripts={}, sources=("customer_a/tenant_registry.yaml",))
    request = MigrateRequest(selection=Selection(), verb="undo", parent=operation)
    token = await begin(runtime, draft, request, runtime.now())
    run = ReleaseRun(
        runtime=runtime,
        token=token,
        course=back,
        scripts={},
        records=records,
        hooks={},
        mover=switching_back(kept, discard_writes=discard_writes),
    )
    return {target.database: target for target in (await run.carry_out(fresh)).targets}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """What is there, seen from outside and through the tenants' own URLs."""

    colours: dict[str, bool]
    """By database, whether it is of the new version."""
    leftovers: tuple[str, ...]
    kept: tuple[str, ...]
    """Databases that are kept."""
    recorded: tuple[str, ...]
    """Those that the catalog knows of."""
    versions: dict[str, str]
    states: dict[str, str]


async def look(runtime: Runtime) -> Look:
    """Look at the two tenants."""
    records = {r.database: r for r in await runtime.catalog.databases() if r.group == "tenants"}
    urls = await runtime.catalog.urls([record.tenant for record in records.values()])
    colours = {}
    for database, record in records.items():
        with psycopg.connect(urls[record.tenant], autocommit=True) as connection:
            columns = connection.execute("SELECT attname FROM pg_attribute WHERE attrelid = 'products'::regclass").fetchall()
            assert connection.execute("SELECT count(*) FROM products").fetchone() != (0,)
            colours[database] = ("colour",) in columns
    names = (await next(iter(runtime.servers.values())).databases()).keys()
    return Look(
        colours=colours,
        leftovers=tuple(sorted(name for name in names if name.startswith(("manor_green_", "manor_new_")))),
        kept=tuple(sorted(name for name in names if name.startswith("manor_kept_"))),
        recorded=tuple(sorted(one.database for one in await runtime.catalog.kept_databases())),
        versions={database: record.version for database, record in records.items()},
        states={operation.id: operation.state for operation in await runtime.catalog.operations()},
    )


@pytest.fixture
def fleet(driver: Any, registry: Path) -> Path:
    """A deployed fleet of two tenants and a migration that waits."""
    text = registry.read_text(encoding="utf-8")
    registry.write_text(text.replace("tenant_count: 4", "tenant_count: 2"), encoding="utf-8")
    assert driver.deploy_once(registry).exit_code == 0
    folder = registry.parent / "migrations"
    folder.mkdir()
    (folder / "20260101000000_colour.sql").write_text(MIGRATION, encoding="utf-8")
    return registry


@pytest.fixture
def urls(fleet: Path) -> dict[str, str]:
    """The tenants' own URLs by database."""

    async def read(runtime: Runtime) -> dict[str, str]:
        records = await runtime.catalog.databases()
        found = await runtime.catalog.urls([record.tenant for record in records])
        return {record.database: found[record.tenant] for record in records}

    return inside(fleet, read)


def statuses(report: Any) -> dict[str, str]:
    """By database."""
    return {outcome.target.database: str(outcome.status) for outcome in report.outcomes}


def failed_outcome(report: Any) -> Any:
    """The only outcome that is an error."""
    (found,) = [outcome for outcome in report.outcomes if outcome.status == "error"]
    return found


def write(url: str, statement: str) -> None:
    """One statement as a tenant."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def test_blue_green_switches_each_tenant_and_says_how_long_it_was_closed(fleet: Path, urls: dict[str, str]) -> None:
    """The same URL leads to the new version with all rows; an ended session is told; the old database is kept."""
    with psycopg.connect(urls[TENANT], autocommit=True) as session:
        session.execute("UPDATE products SET name = 'mine'")
        report = inside(fleet, lambda runtime: release(runtime, fleet))
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert statuses(report) == {TENANT: "success", OTHER: "success"}
    outcome = next(o for o in report.outcomes if o.target.database == TENANT)
    assert 0 < outcome.facts["closed_seconds"] <= outcome.duration_seconds
    assert "closed for" in outcome.detail
    assert "1 of its sessions ended" in outcome.detail
    seen = inside(fleet, look)
    assert seen.colours == {TENANT: True, OTHER: True}
    assert seen.versions == {TENANT: "20260101000000", OTHER: "20260101000000"}
    assert seen.leftovers == ()
    assert len(seen.kept) == 2
    assert seen.kept == seen.recorded
    with psycopg.connect(urls[TENANT]) as session:
        assert session.execute("SELECT DISTINCT name, colour FROM products").fetchall() == [("mine", "red")]
    again = inside(fleet, lambda runtime: release(runtime, fleet))
    assert statuses(again) == {TENANT: "skipped", OTHER: "skipped"}


def test_a_tenant_whose_migration_fails_stays_as_it_was_and_open(fleet: Path, urls: dict[str, str]) -> None:
    """Its clone is dropped, nothing is kept of it, and the others are switched; corrected, retrying brings it there."""
    write(urls[TENANT], "UPDATE products SET name = 'poison'")
    report = inside(fleet, lambda runtime: release(runtime, fleet))
    assert statuses(report) == {TENANT: "error", OTHER: "success"}
    assert "poisoned" in failed_outcome(report).failure.message
    seen = inside(fleet, look)
    assert seen.colours == {TENANT: False, OTHER: True}
    assert (seen.leftovers, len(seen.kept)) == ((), 1)
    assert seen.kept == seen.recorded
    write(urls[TENANT], "UPDATE products SET name = 'healthy'")
    assert statuses(inside(fleet, lambda runtime: release(runtime, fleet)))[TENANT] == "success"


def test_a_new_database_that_is_not_healthy_is_not_switched_to(fleet: Path, urls: dict[str, str]) -> None:
    """The registry's own query is asked of the clone, as the tenant, before anything is switched."""
    query = "SELECT NOT EXISTS (SELECT FROM products WHERE name = 'ill') OR current_database() NOT LIKE 'manor_green%'"
    block = f"deployment_strategy:\n  type: blue_green\n  health_gate:\n    sql: [{json.dumps(query)}]\n"
    fleet.write_text(fleet.read_text(encoding="utf-8") + block, encoding="utf-8")
    write(urls[TENANT], "UPDATE products SET name = 'ill'")
    report = inside(fleet, lambda runtime: release(runtime, fleet))
    assert statuses(report) == {TENANT: "error", OTHER: "success"}, [o.detail for o in report.outcomes]
    assert "not healthy" in failed_outcome(report).failure.message
    seen = inside(fleet, look)
    assert seen.colours[TENANT] is False
    assert seen.leftovers == ()


def test_a_tenant_with_a_prepared_transaction_is_refused_and_stays_open(fleet: Path, urls: dict[str, str]) -> None:
    """It is named with the transaction; its neighbour is switched."""
    write(urls[TENANT], "BEGIN; UPDATE settings SET setting_value = 'x'; PREPARE TRANSACTION 'theirs'")
    try:
        report = inside(fleet, lambda runtime: release(runtime, fleet))
    finally:
        write(urls[TENANT], "ROLLBACK PREPARED 'theirs'")
    assert statuses(report) == {TENANT: "error", OTHER: "success"}
    assert "theirs" in failed_outcome(report).failure.message
    assert inside(fleet, look).colours == {TENANT: False, OTHER: True}


def test_undo_switches_back_unless_somebody_wrote(fleet: Path, urls: dict[str, str]) -> None:
    """Who wrote is refused by name and stays on the new version; discarding needs a word, and what was written is kept."""
    operation = inside(fleet, lambda runtime: release(runtime, fleet)).operation
    write(urls[TENANT], "UPDATE products SET name = 'since'")
    back = inside(fleet, lambda runtime: go_back(runtime, operation, discard_writes=False))
    assert {name: target.status for name, target in back.items()} == {TENANT: "error", OTHER: "success"}
    assert back[TENANT].error["code"] == "refused"
    assert "public.products" in back[TENANT].error["message"]
    assert "--discard-writes" in back[TENANT].error["hint"]
    seen = inside(fleet, look)
    assert seen.colours == {TENANT: True, OTHER: False}
    assert seen.versions == {TENANT: "20260101000000", OTHER: ""}
    assert seen.kept == seen.recorded
    back = inside(fleet, lambda runtime: go_back(runtime, operation, discard_writes=True))
    assert back[TENANT].status == "success"
    seen = inside(fleet, look)
    assert seen.colours == {TENANT: False, OTHER: False}
    assert (seen.leftovers, len(seen.kept)) == ((), 2)


def test_a_snapshot_before_a_rolling_release_brings_its_tenant_back(fleet: Path, urls: dict[str, str]) -> None:
    """The migration changed rows itself, which nothing tells from a tenant's: so only with an explicit word."""
    request = {"strategy": "rolling", "backup_first": True}
    report = inside(fleet, lambda runtime: release(runtime, fleet, **request))
    assert statuses(report) == {TENANT: "success", OTHER: "success"}
    assert all("snapshot taken, closed for" in outcome.detail for outcome in report.outcomes)
    assert len(inside(fleet, look).kept) == 2
    back = inside(fleet, lambda runtime: go_back(runtime, report.operation, discard_writes=False))
    assert {target.status for target in back.values()} == {"error"}
    assert inside(fleet, look).colours == {TENANT: True, OTHER: True}
    back = inside(fleet, lambda runtime: go_back(runtime, report.operation, discard_writes=True))
    assert {target.status for target in back.values()} == {"success"}
    assert inside(fleet, look).colours == {TENANT: False, OTHER: False}


def test_a_snapshot_proves_by_itself_that_nobody_wrote(fleet: Path, urls: dict[str, str]) -> None:
    """A migration that touches no row needs no explicit word, unless the tenant wrote."""
    script = fleet.parent / "migrations" / "20260101000000_colour.sql"
    script.write_text("-- migrate:up\nALTER TABLE products ADD COLUMN colour text;\n", encoding="utf-8")
    request = {"strategy": "rolling", "backup_first": True}
    operation = inside(fleet, lambda runtime: release(runtime, fleet, **request)).operation
    write(urls[TENANT], "DELETE FROM settings")
    back = inside(fleet, lambda runtime: go_back(runtime, operation, discard_writes=False))
    assert {name: target.status for name, target in back.items()} == {TENANT: "error", OTHER: "success"}


def test_kept_databases_are_dropped_after_their_grace_period(fleet: Path) -> None:
    """Not before; afterwards nothing is left of them, and nothing can be switched back to."""
    overrides = Overrides(grace_period_seconds=3600)
    operation = inside(fleet, lambda runtime: release(runtime, fleet, overrides=overrides)).operation
    assert inside(fleet, drop_expired) == 0
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)
    assert inside(fleet, lambda runtime: drop_expired(dataclasses.replace(runtime, now=lambda: later))) == 2
    seen = inside(fleet, look)
    assert (seen.kept, seen.recorded) == ((), ())
    assert seen.colours == {TENANT: True, OTHER: True}
    with pytest.raises(NotFoundError):
        inside(fleet, lambda runtime: go_back(runtime, operation, discard_writes=True))


def killed(registry: Path, kind: str, *arguments: str) -> None:
    """A command that dies at the first event of a kind."""
    command = [sys.executable, __file__, str(registry), kind, *arguments]
    dead = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert dead.returncode == -signal.SIGKILL, f"there was no {kind}: {dead.stdout}{dead.stderr}"


async def recover(runtime: Runtime) -> Look:
    """What the next command does first, twice; then a look."""
    for _ in range(2):
        await settle_all(runtime)
        await recover_forgotten(runtime)
    return await look(runtime)


def check_recovered(seen: Look) -> None:
    """Every tenant is at exactly one version (and open, or it could not have been seen), and the catalog knows it."""
    assert seen.leftovers == ()
    assert seen.kept == seen.recorded
    assert "running" not in seen.states.values()
    assert {name: bool(version) for name, version in seen.versions.items()} == seen.colours


@pytest.mark.parametrize("kind", SWAP)
def test_a_switch_that_is_killed_leaves_the_old_or_the_new_version_and_nothing_else(fleet: Path, kind: str) -> None:
    """Whoever comes next opens the tenant; releasing again brings all to the new version."""
    killed(fleet, kind, "blue_green")
    check_recovered(inside(fleet, recover))
    inside(fleet, lambda runtime: release(runtime, fleet))
    seen = inside(fleet, recover)
    check_recovered(seen)
    assert seen.colours == {TENANT: True, OTHER: True}


@pytest.mark.parametrize("kind", SNAPSHOT)
def test_a_snapshot_that_is_killed_leaves_the_tenant_open_and_whole(fleet: Path, kind: str) -> None:
    """A snapshot is there and recorded, or neither."""
    killed(fleet, kind, "rolling")
    check_recovered(inside(fleet, recover))


@pytest.mark.parametrize("kind", BACK)
def test_switching_back_that_is_killed_leaves_the_old_or_the_new_version(fleet: Path, kind: str) -> None:
    """And what it did not come to can be done again."""
    operation = inside(fleet, lambda runtime: release(runtime, fleet)).operation
    killed(fleet, kind, "back", operation)
    check_recovered_back(inside(fleet, recover))
    inside(fleet, lambda runtime: again(runtime, operation))
    assert inside(fleet, recover).colours == {TENANT: False, OTHER: False}


def check_recovered_back(seen: Look) -> None:
    """The same, but for an entry of what became the tenant's database again: it means nothing without a database."""
    check_recovered(dataclasses.replace(seen, recorded=seen.kept))
    assert set(seen.kept) <= set(seen.recorded)


async def again(runtime: Runtime, operation: str) -> None:
    """Switch back what is left."""
    try:
        await go_back(runtime, operation, discard_writes=True)
    except NotFoundError:
        return


def main() -> None:
    """``registry kind strategy [operation]``."""
    registry, kind, strategy = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    hook = load_driver().killer(kind, 1)
    if strategy == "back":
        inside(registry, lambda runtime: go_back(runtime, sys.argv[4], discard_writes=False), hook)
    else:
        request = {"strategy": strategy, "backup_first": strategy == "rolling"}
        inside(registry, lambda runtime: release(runtime, registry, **request), hook)


if __name__ == "__main__":
    main()
