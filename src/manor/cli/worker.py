"""``manor worker``: one of the processes that carry releases out and keep the schedules, on this or any machine that reaches
catalog and servers."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import click

from manor.cli.options import current, open_workplace, with_global_options
from manor.cli.progress import run_stoppable
from manor.errors import UnsupportedError
from manor.telemetry import Event

if TYPE_CHECKING:
    from manor.control.runtime import Runtime, StopSignal


@click.command()
@click.option(
    "--parallel",
    type=click.IntRange(2, 256),
    default=8,
    show_default=True,
    metavar="N",
    help="Batches at once, of different servers.",
)
@click.option(
    "--dead-after",
    type=click.FloatRange(min=1),
    default=15,
    show_default=True,
    metavar="S",
    help="Seconds of silence after which another worker's batch is taken over; the same for all workers.",
)
@with_global_options
def worker(parallel: int, dead_after: float) -> None:
    """Carry out batches of releases that are begun with the job engine pgqueuer, and keep the schedules of environ.yaml.

    Runs until Ctrl-C or SIGTERM: then the tenants under way are finished and recorded, and the rest is left to other workers.
    Schedules alone need no job engine.
    """
    from manor.control.operations.schedules import Clock, serve_schedules
    from manor.control.operations.worker import serve
    from manor.wiring import open_runtime, open_worker_engine, scheduled

    workplace = open_workplace(hooks=(_Lines(quiet=current().quiet),))
    schedules, jobs = scheduled(workplace)

    async def work(stop: StopSignal) -> None:
        def opened(operation: str) -> AbstractAsyncContextManager[Runtime]:
            return open_runtime(workplace, stop=stop, operation=operation, some_away=True)

        clock = Clock(open_runtime=opened, schedules=schedules, jobs=jobs, telemetry=workplace.telemetry)
        try:
            engine = await open_worker_engine(workplace, dead_after_seconds=dead_after)
        except UnsupportedError:
            if not schedules:
                raise
            await serve_schedules(clock, stop)
            return
        telemetry = workplace.telemetry
        folder = workplace.project.folder
        await serve(
            opened, engine, folder, telemetry=telemetry, parallel=parallel, stop=stop, clock=clock if schedules else None
        )

    run_stoppable(work)


class _Lines:
    """A telemetry hook that tells a line per batch."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._last = ""

    def __call__(self, event: Event) -> None:
        line = "" if self._quiet else _line(event)
        if line and line != self._last:
            click.echo(line, err=True)
        self._last = line or self._last


def _line(event: Event) -> str:
    told = event.details
    if event.kind == "worker.ready":
        return f"ready for {event.subject}"
    if event.kind == "batch.begun":
        return f"operation {event.operation}: batch {event.subject} of {told['server']} begun, {told['targets']} targets"
    if event.kind == "batch.ended":
        how = "" if told["stop"] == "finished" else f" ({told['stop']})"
        done = f"{told['targets']} targets in {told['seconds']:.1f} s{how}"
        return f"operation {event.operation}: batch {event.subject} of {told['server']} ended, {done}"
    if event.kind == "schedule.begun":
        return f"operation {event.operation}: {event.subject} of {told['due'][:16]} begun"
    if event.kind == "schedule.ended":
        return f"operation {event.operation}: {event.subject} ended, {told['outcome']}"
    if event.kind == "worker.troubled":
        return f"trouble, trying again: {event.subject}"
    return f"operation {event.subject} was settled: its runner had died" if event.kind == "operation.interrupted" else ""
