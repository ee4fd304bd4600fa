"""Errands: every target has its outcome, and a runner's death is settled by whoever comes next."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fleet_fixtures import Fleet, build_fleet

from manor.control.audit import AuditLog
from manor.control.catalog.records import DatabaseRecord
from manor.control.rollout.errands import Done, Order, run_errands
from manor.control.rollout.release.settle import settle_all
from manor.control.rollout.report import Report
from manor.control.runtime import Runtime
from manor.control.steps import Status
from manor.errors import ConflictError, EngineError

ORDER = Order(verb="visit", action="tenant.visit", arguments={"why": "test"}, parallel=2)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str]) -> Fleet:
    """Four tenants, deployed once."""
    return build_fleet(tmp_path_factory.mktemp("errands"), wiped_server(), tenants=4)


def in_runtime(fleet: Fleet, work: Callable[[Runtime], Any]) -> Any:
    """Run ``work`` with servers and catalog open."""
    from manor.settings import load_environment, load_project
    from manor.telemetry import Telemetry
    from manor.wiring import Workplace, open_runtime

    async def opened() -> Any:
        project = load_project(fleet.folder)
        environment = load_environment(project, fleet.environment)
        async with open_runtime(Workplace(project=project, environment=environment, telemetry=Telemetry())) as runtime:
            return await work(runtime)

    return asyncio.run(opened())


def errand(fleet: Fleet, act: Any, order: Order = ORDER) -> Report:
    """Run an errand over all tenants."""

    async def work(runtime: Runtime) -> Report:
        return await run_errands(runtime, order, await runtime.catalog.databases(), act)

    report: Report = in_runtime(fleet, work)
    return report


async def visit(_: Runtime, record: DatabaseRecord) -> Done:
    return Done(detail=f"was at {record.database}", facts={"rooms": 3})


def test_every_target_is_journaled_with_what_it_had_to_tell(fleet: Fleet) -> None:
    report = errand(fleet, visit)
    assert report.exit_code == 0
    assert report.summary == {"success": 4}
    shown = fleet.json("operation", "show", report.operation)
    assert shown["operation"]["verb"] == "visit"
    assert {o["detail"] for o in shown["outcomes"]} == {f"was at {name}" for name in fleet.databases}


def test_one_failing_target_is_named_and_hides_no_other(fleet: Fleet) -> None:
    async def act(runtime: Runtime, record: DatabaseRecord) -> Done:
        if record.database == fleet.databases[1]:
            raise EngineError(f"database {record.database}: nobody at home", hint="ring again")
        return await visit(runtime, record)

    report = errand(fleet, act)
    assert report.summary == {"success": 3, "error": 1}
    assert report.exit_code == 1
    (failed,) = [o for o in report.outcomes if o.status is Status.ERROR]
    assert failed.failure is not None
    assert (failed.target.database, failed.failure.hint) == (fleet.databases[1], "ring again")


def test_a_fault_of_ours_is_its_targets_error_and_ends_no_other(fleet: Fleet) -> None:
    async def act(runtime: Runtime, record: DatabaseRecord) -> Done:
        if record.database == fleet.databases[0]:
            raise ZeroDivisionError
        return await visit(runtime, record)

    report = errand(fleet, act)
    assert report.summary == {"success": 3, "error": 1}
    assert [str(o.failure.code) for o in report.outcomes if o.failure] == ["internal"]


def test_a_stop_leaves_the_rest_not_started(fleet: Fleet) -> None:
    async def act(runtime: Runtime, record: DatabaseRecord) -> Done:
        runtime.stop.set()
        return await visit(runtime, record)

    report = errand(fleet, act, Order(verb="visit", action="tenant.visit", parallel=1))
    assert report.summary == {"success": 1, "not_started": 3}
    assert report.exit_code == 130


def test_what_claims_keeps_others_from_its_tenants_and_what_only_reads_does_not(fleet: Fleet) -> None:
    async def inner(runtime: Runtime, order: Order) -> None:
        import dataclasses

        other = dataclasses.replace(runtime, operation=f"{runtime.operation}b")
        await run_errands(other, order, await runtime.catalog.databases(), visit)

    async def refused(runtime: Runtime, record: DatabaseRecord) -> Done:
        with pytest.raises(ConflictError, match="held by operation"):
            await inner(runtime, ORDER)
        return Done(detail="alone")

    async def welcome(runtime: Runtime, record: DatabaseRecord) -> Done:
        await inner(runtime, Order(verb="look", action="tenant.look", claims=False))
        return Done(detail="together")

    first = Order(verb="visit", action="tenant.visit", parallel=1)
    assert errand(fleet, refused, first).summary == {"success": 4}

    async def once(runtime: Runtime) -> Report:
        records = await runtime.catalog.databases()
        return await run_errands(runtime, first, records[:1], welcome)

    assert in_runtime(fleet, once).summary == {"success": 1}


def test_a_killed_errand_is_called_interrupted_by_whoever_comes_next_and_holds_nobody(fleet: Fleet, tmp_path: Path) -> None:
    async def act(runtime: Runtime, record: DatabaseRecord) -> Done:
        if record.database == fleet.databases[2]:
            (tmp_path / "operation").write_text(runtime.operation)
            os.kill(os.getpid(), signal.SIGKILL)
        return await visit(runtime, record)

    pid = os.fork()
    if not pid:
        errand(fleet, act, Order(verb="visit", action="tenant.visit", parallel=1))
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    operation = (tmp_path / "operation").read_text()

    async def settle(runtime: Runtime) -> tuple[str, bool]:
        await settle_all(runtime)
        verdict = await AuditLog(runtime.catalog, runtime.anchor).verify()
        return await runtime.catalog.state_of(operation) or "", verdict.ok

    assert in_runtime(fleet, settle) == ("interrupted", True)
    shown = {o["database"]: o["status"] for o in fleet.json("operation", "show", operation)["outcomes"]}
    assert shown[fleet.databases[2]] == "not_started"
    assert shown[fleet.databases[3]] == "not_started"
    assert errand(fleet, visit).summary == {"success": 4}


@pytest.mark.parametrize("verb", ["pause", "resume", "retry", "undo"])
def test_an_errand_is_no_release_that_could_be_paused_or_taken_back(fleet: Fleet, verb: str) -> None:
    report = errand(fleet, visit)
    done = fleet("operation", verb, report.operation, code=3)
    assert "visit" in done.text
