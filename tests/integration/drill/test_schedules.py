"""What workers do by the clock: once each, made up for once, begun again where a worker died."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import fleet_fixtures as fixtures
import pytest

from manor.control.backup.schedule import Schedule
from manor.control.operations.schedules import Clock
from manor.control.runtime import Runtime
from manor.settings import find_project, load_environment
from manor.telemetry import Telemetry
from manor.wiring import Workplace, open_runtime

HOURLY = Schedule(name="backup", cron="0 * * * *")


class Times:
    """A clock that the test moves, and what ran by it."""

    def __init__(self, fleet: fixtures.Fleet) -> None:
        self.now = dt.datetime.now(dt.UTC)
        self.ran: list[str] = []
        self._fleet = fleet

    @contextlib.asynccontextmanager
    async def opened(self, operation: str) -> AsyncIterator[Runtime]:
        project = find_project(self._fleet.folder)
        environment = load_environment(project, self._fleet.environment)
        workplace = Workplace(project=project, environment=environment, telemetry=Telemetry())
        async with open_runtime(workplace, operation=operation) as runtime:
            yield replace(runtime, now=lambda: self.now)

    async def job(self, runtime: Runtime) -> str:
        self.ran.append(runtime.operation)
        return "done"

    def worker(self, job: Callable[[Runtime], Any] | None = None) -> Clock:
        return Clock(open_runtime=self.opened, schedules=[HOURLY], jobs={"backup": job or self.job}, telemetry=Telemetry())

    async def look(self, *workers: Clock) -> None:
        """All workers look at the same time, and end what they began."""
        async with contextlib.AsyncExitStack() as stack:
            runtimes = [await stack.enter_async_context(self.opened("")) for _ in workers]
            await asyncio.gather(*(worker.look(runtime) for worker, runtime in zip(workers, runtimes, strict=True)))
            await asyncio.gather(*(worker.end() for worker in workers))

    def pass_hours(self, hours: int) -> None:
        self.now += dt.timedelta(hours=hours)


@pytest.fixture
def times(fleet: fixtures.Fleet) -> Times:
    return Times(fleet)


async def test_of_several_workers_one_runs_each(times: Times) -> None:
    """Nothing is due when a schedule is first seen; then one run per hour, however many look."""
    workers = [times.worker() for _ in range(4)]
    await times.look(*workers)
    assert times.ran == []
    for expected in (1, 2):
        times.pass_hours(1)
        await times.look(*workers)
        await times.look(*workers)
        assert len(times.ran) == expected


async def test_missed_runs_are_made_up_for_once(times: Times) -> None:
    worker = times.worker()
    await times.look(worker)
    times.pass_hours(30)
    await times.look(worker)
    await times.look(worker)
    assert len(times.ran) == 1


async def test_a_run_whose_worker_died_is_begun_once_more(times: Times) -> None:
    """What dies leaves no outcome: another worker begins it again, and a third time nobody does."""

    async def die(runtime: Runtime) -> str:
        times.ran.append(runtime.operation)
        raise asyncio.CancelledError

    worker = times.worker()
    await times.look(worker)
    times.pass_hours(1)
    await times.look(times.worker(die))
    await times.look(times.worker(die))
    assert len(times.ran) == 2
    await times.look(worker)
    assert len(times.ran) == 2
    times.pass_hours(1)
    await times.look(worker)
    assert len(times.ran) == 3


async def test_a_run_that_fails_is_told_and_is_not_repeated(times: Times, fleet: fixtures.Fleet) -> None:
    from manor.errors import RefusedError

    async def fail(runtime: Runtime) -> str:
        times.ran.append(runtime.operation)
        raise RefusedError("no room")

    await times.look(times.worker())
    times.pass_hours(1)
    await times.look(times.worker(fail))
    await times.look(times.worker(fail))
    assert len(times.ran) == 1
    assert fleet.ask("SELECT outcome, attempts FROM manor.schedules", "manor_catalog") == [("failed: no room", 1)]


SETTINGS = """
settings:
  backup:
    drill_sample: 2
    schedules: {backup: "* * * * *", drill: "* * * * *", prune: "0 4 * * 0", tz: "Asia/Tokyo"}
"""
WITHOUT_ENGINE = "import sys; sys.modules['pgqueuer'] = None; from manor.cli.main import main; main(['worker'])"


def test_a_worker_without_the_job_engine_keeps_the_schedules(fleet: fixtures.Fleet) -> None:
    """It backs up, drills and stops cleanly; `backup schedule` tells what it did and what comes next."""
    with (fleet.environment / "environ.yaml").open("a", encoding="utf-8") as file:
        file.write(SETTINGS)
    shown = fleet.json("backup", "schedule")
    assert [(one["name"], one["tz"], one["last"]) for one in shown] == [
        ("backup", "Asia/Tokyo", None),
        ("drill", "Asia/Tokyo", None),
        ("prune", "Asia/Tokyo", None),
    ]
    worker = subprocess.Popen(
        [sys.executable, "-c", WITHOUT_ENGINE], cwd=fleet.folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        first = "SELECT count(*) FROM manor.schedules WHERE name IN ('backup', 'drill')"
        fixtures.wait_until(lambda: fleet.ask(first, "manor_catalog") == [(2,)])
        # As if it had been seen some minutes ago: both were missed since, and are made up for at the next look.
        fleet.ask("UPDATE manor.schedules SET since = since - interval '5 minutes' WHERE name = 'backup'", "manor_catalog")
        done = "SELECT outcome FROM manor.schedules WHERE name = 'backup' AND finished_at IS NOT NULL"
        fixtures.wait_until(lambda: fleet.ask(done, "manor_catalog"), seconds=60)
    finally:
        worker.send_signal(signal.SIGTERM)
        _, said = worker.communicate(timeout=60)
    assert "ready for schedules: backup, drill, prune" in said
    assert fleet.ask(done, "manor_catalog") == [("3 success",)]
    assert len(fleet.json("backup", "list")) == 3
    (backup, *_) = fleet.json("backup", "schedule")
    assert backup["last"]["outcome"] == "3 success"
    assert backup["next_at"]
    assert "3 success" in fleet("backup", "schedule").stdout
