"""What ``manor worker`` does by the clock, and what ``manor backup schedule`` tells of it.

Several workers may run: each run is begun under the schedule's lock by the one that moves the catalog's entry, and a worker
that dies leaves the lock free and the run unfinished, so that another one begins it once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from manor.control.backup.schedule import LastRun, Schedule, due_moment, next_moment
from manor.control.catalog.schedules import ScheduleRecord
from manor.control.rollout.retry import until_recorded
from manor.control.runtime import Runtime, StopSignal
from manor.errors import ConflictError, ManorError
from manor.telemetry import Telemetry

LOOK_SECONDS = 15.0
"""Between two looks at what is due: cron counts minutes."""
_STOP_SECONDS = 0.2

Job = Callable[[Runtime], Awaitable[str]]
"""Does what a schedule is for; returns how it ended, in words."""

OpenRuntime = Callable[[str], AbstractAsyncContextManager[Runtime]]
"""Opens servers and catalog under an operation's id; empty: under a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One schedule as people see it."""

    schedule: Schedule
    next_at: dt.datetime | None
    record: ScheduleRecord | None
    """None: no worker has seen it yet."""


async def show_schedules(runtime: Runtime, schedules: Sequence[Schedule]) -> list[Planned]:
    """Every schedule, when it is due next, and what became of its last run."""
    known = await runtime.catalog.schedules()
    now = runtime.now()
    return [Planned(schedule=s, next_at=next_moment(s, now), record=known.get(s.name)) for s in schedules]


@dataclass(slots=True, kw_only=True)
class Clock:
    """The schedules of one worker."""

    open_runtime: OpenRuntime
    schedules: Sequence[Schedule]
    jobs: Mapping[str, Job]
    """By the schedule's name."""
    telemetry: Telemetry
    running: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def keep(self, runtime: Runtime, should_stop: Callable[[], bool]) -> None:
        """Begin what is due until ``should_stop``, and wait for what was begun. Trouble is told of, and tried again."""
        try:
            while not should_stop():
                try:
                    await self.look(runtime)
                except ManorError as error:
                    self._trouble(runtime.operation, str(error))
                await _until(should_stop, LOOK_SECONDS)
        finally:
            await self.end()

    async def look(self, runtime: Runtime) -> None:
        """Begin everything that is due now and that nobody runs."""
        await runtime.catalog.see_schedules({s.name: str(s) for s in self.schedules})
        known, now = await runtime.catalog.schedules(), runtime.now()
        for schedule in self.schedules:
            seen = known.get(schedule.name)
            due = due_moment(schedule, _last(seen), now) if seen is not None else None
            task = self.running.get(schedule.name)
            if seen is not None and due is not None and (task is None or task.done()):
                self.running[schedule.name] = asyncio.create_task(self._run(runtime, seen, due))

    async def end(self) -> None:
        """Wait for what is under way; what it raised was told."""
        await asyncio.gather(*self.running.values(), return_exceptions=True)

    async def _run(self, watcher: Runtime, seen: ScheduleRecord, due: dt.datetime) -> None:
        """``watcher`` holds the lock: servers are entered only by the worker that has it."""
        lock = watcher.catalog.lock(f"schedule {seen.name}", wait_seconds=0, holder=watcher.operation)
        try:
            async with contextlib.AsyncExitStack() as stack:
                try:
                    await stack.enter_async_context(lock)
                except ConflictError:
                    return  # another worker runs it
                runtime = await stack.enter_async_context(self.open_runtime(""))
                operation, worker = runtime.operation, runtime.actor
                if await runtime.catalog.claim_schedule(seen, due, operation=operation, worker=worker):
                    await self._carry_out(runtime, seen.name, due)
        except ManorError as error:
            self._trouble(watcher.operation, f"schedule {seen.name}: {error}")

    async def _carry_out(self, runtime: Runtime, name: str, due: dt.datetime) -> None:
        self.telemetry.emit("schedule.begun", runtime.operation, name, due=due.isoformat())
        try:
            outcome = await self.jobs[name](runtime)
        except ManorError as error:
            outcome = f"failed: {error}"
        finish = functools.partial(runtime.catalog.finish_schedule, name, operation=runtime.operation, outcome=outcome)
        await until_recorded(runtime, finish)
        self.telemetry.emit("schedule.ended", runtime.operation, name, outcome=outcome)

    def _trouble(self, operation: str, message: str) -> None:
        self.telemetry.emit("worker.troubled", operation, message)


async def serve_schedules(clock: Clock, stop: StopSignal) -> None:
    """Nothing but the schedules, until ``stop``. Raises what keeps it from beginning."""
    async with clock.open_runtime("") as runtime:
        names = ", ".join(schedule.name for schedule in clock.schedules)
        clock.telemetry.emit("worker.ready", runtime.operation, f"schedules: {names}")
        await clock.keep(runtime, lambda: stop.requested)


def _last(record: ScheduleRecord | None) -> LastRun:
    if record is None:
        raise ValueError("a schedule that was not seen has no last run")
    return LastRun(since=record.since, due=record.due, finished=record.finished_at is not None, attempts=record.attempts)


async def _until(should_stop: Callable[[], bool], seconds: float) -> None:
    """So many seconds, or until somebody asked for the end."""
    for _ in range(round(seconds / _STOP_SECONDS)):
        if should_stop():
            return
        await asyncio.sleep(_STOP_SECONDS)
