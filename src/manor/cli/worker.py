"""``manor worker``: one of the processes that carry releases out, on this or any machine that reaches catalog and servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from manor.cli.options import current, open_workplace, with_global_options
from manor.cli.progress import run_stoppable
from manor.telemetry import Event

if TYPE_CHECKING:
    from manor.control.runtime import StopSignal


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
    """Carry out batches of releases that are begun with the job engine pgqueuer.

    Runs until Ctrl-C or SIGTERM: then the tenants under way are finished and recorded, and the rest is left to other workers.
    """
    from manor.control.operations.worker import serve
    from manor.wiring import open_runtime, open_worker_engine

    workplace = open_workplace(hooks=(_Lines(quiet=current().quiet),))

    async def work(stop: StopSignal) -> None:
        engine = await open_worker_engine(workplace, dead_after_seconds=dead_after)
        await serve(
            lambda operation: open_runtime(workplace, stop=stop, operation=operation, some_away=True),
            engine,
            workplace.project.folder,
            telemetry=workplace.telemetry,
            parallel=parallel,
            stop=stop,
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
    if event.kind == "worker.troubled":
        return f"trouble, trying again: {event.subject}"
    return f"operation {event.subject} was settled: its runner had died" if event.kind == "operation.interrupted" else ""
