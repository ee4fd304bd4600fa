"""Tenants whose grace period is over are erased by the clock of a worker, and nobody else is."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import leaving
import pytest
from fleet_fixtures import Fleet

from manor.control.operations.schedules import Clock
from manor.control.runtime import Runtime
from manor.settings import load_environment, load_project
from manor.telemetry import Telemetry
from manor.wiring import Workplace, open_runtime, scheduled

NIGHTLY = '  erasure: {schedule: "0 2 * * *", tz: "Asia/Tokyo", require_final_export: true, '


@pytest.fixture
def fleet(tmp_path: Path, server_url: str) -> Fleet:
    """Four tenants, and a worker's schedule."""
    fleet = leaving.build(tmp_path / "p", server_url, tenants=4)
    environ = fleet.environment / "environ.yaml"
    environ.write_text(environ.read_text("utf-8").replace("  erasure: {", NIGHTLY), encoding="utf-8")
    return fleet


@dataclass
class Nights:
    """A worker whose clock the test moves."""

    workplace: Workplace
    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))

    @contextlib.asynccontextmanager
    async def opened(self, operation: str) -> AsyncIterator[Runtime]:
        async with open_runtime(self.workplace, operation=operation) as runtime:
            yield replace(runtime, now=lambda: self.now)

    async def look(self) -> None:
        """What a worker does at its next look."""
        schedules, jobs = scheduled(self.workplace)
        clock = Clock(open_runtime=self.opened, schedules=schedules, jobs=jobs, telemetry=Telemetry())
        async with self.opened("") as runtime:
            await clock.look(runtime)
            await clock.end()

    def look_after(self, days: int) -> None:
        self.now += dt.timedelta(days=days)
        asyncio.run(self.look())


@pytest.fixture
def nights(fleet: Fleet) -> Nights:
    project = load_project(fleet.folder)
    environment = load_environment(project, fleet.environment)
    return Nights(Workplace(project=project, environment=environment, telemetry=Telemetry()))


def test_a_worker_erases_who_is_due_and_nobody_else(fleet: Fleet, nights: Nights) -> None:
    """Not before the grace period is over; not who is only suspended, or held, or was never confirmed."""
    due, suspended, held, staying = (leaving.leaving(fleet, number, furnished=number == 1) for number in (1, 2, 3, 4))
    for one in (due, held):
        fleet("tenant", "delete", "--tenant-id", one.id, "--confirm", "--after", "30d", "--no-final-export")
    fleet("tenant", "suspend", "--tenant-id", suspended.id, "--reason", "unpaid")
    fleet("tenant", "hold", "--tenant-id", held.id, "--reason", "lawsuit")
    fleet("tenant", "delete", "--tenant-id", staying.id, code=3)
    nights.look_after(0)
    nights.look_after(28)
    assert fleet.ask("SELECT count(*) FROM manor.erasures", "manor_catalog") == [(0,)]
    nights.look_after(4)
    assert due.left_behind() == []
    assert fleet.json("tenant", "certificate", "--tenant-id", due.id)["tenant"] == due.id
    databases = {row[0] for row in fleet.ask("SELECT datname FROM pg_database WHERE datname LIKE 'acme%'")}
    assert databases == {suspended.database, held.database, staying.database}
    assert staying.may_log_in
    (schedule,) = fleet.json("backup", "schedule")
    assert (schedule["name"], schedule["tz"], schedule["last"]["outcome"]) == ("erase", "Asia/Tokyo", "1 success")
    nights.look_after(1)
    assert fleet.json("backup", "schedule")[0]["last"]["outcome"] == "nobody"


def test_an_erasure_that_died_is_finished_if_it_had_a_grace_period(fleet: Fleet, nights: Nights) -> None:
    """One that somebody began at once and that stopped waits for that one: the clock was not asked for it."""
    due, at_once = (leaving.leaving(fleet, number) for number in (1, 2))
    fleet("tenant", "delete", "--tenant-id", due.id, "--confirm", "--after", "1h", "--no-final-export")
    fleet.ask("UPDATE manor.suspensions SET erase_after = now() - interval '1 hour'", "manor_catalog")

    async def erase_due(runtime: Runtime, workplace: Workplace) -> None:
        await scheduled(workplace)[1]["erase"](runtime)

    async def erase_now(runtime: Runtime, workplace: Workplace) -> None:
        from manor.control.operations.erase import delete

        await delete(runtime, at_once.id, leaving.request_of(workplace))

    assert leaving.killed_at(fleet, "erase.sealed", erase_due)
    assert leaving.killed_at(fleet, "erase.sealed", erase_now)
    nights.look_after(0)
    nights.look_after(2)
    states = "SELECT tenant, state FROM manor.erasures ORDER BY 1"
    assert fleet.ask(states, "manor_catalog") == [(due.id, "erased"), (at_once.id, "erasing")]
    assert due.left_behind() == []
    fleet("tenant", "delete", "--tenant-id", at_once.id, "--confirm", "--no-final-export")
    assert at_once.left_behind() == []
