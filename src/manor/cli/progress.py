"""What an operation shows while it runs: a bar on a terminal, plain lines elsewhere, nothing when quiet. Always on stderr."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import click

from manor.telemetry import Event

if TYPE_CHECKING:
    from manor.control.runtime import StopSignal

T = TypeVar("T")

LINE_EVERY_SECONDS = 2.0
_SHOWN = ("cloned", "filled", "published", "prepared", "committed")
"""Steps of targets that are counted beside the bar."""


class Progress:
    """A telemetry hook that draws. ``total`` comes with ``operation.planned``."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._counts: Counter[str] = Counter()
        self._total = 0
        self._last_line = 0.0
        self._last_text = ""
        self._bar: _Bar | None = None

    def __call__(self, event: Event) -> None:
        if self._quiet:
            return
        if event.kind == "operation.planned":
            self._total = int(event.details.get("targets", 0))
            self._bar = _Bar(self._total) if sys.stderr.isatty() else None
        elif event.kind == "golden.built":
            self._line(f"golden database of {event.subject} built on {event.details.get('server')}", always=True)
        elif event.kind == "catalog.away":
            self._line(f"waiting {event.details['seconds']:.0f} s for the catalog: {event.subject}", always=True)
        elif event.kind == "cache.away":
            self._line(f"the cache of source {event.subject} is away, the source itself is asked", always=True)
        elif event.kind == "wave.unclaimed":
            self._line(f"waiting for a worker: {event.details['targets']} targets (start one with `manor worker`)", always=True)
        elif event.kind == "window.awaited":
            self._line(f"waiting until {event.subject} for the next maintenance window", always=True)
        elif event.kind.startswith("target."):
            step = event.kind.removeprefix("target.")
            self._counts[step] += 1
            if step != "recorded":  # changes nothing that is shown
                self._draw()
        elif event.kind == "operation.ended":
            self.close()

    def _draw(self) -> None:
        ended = self._counts["ended"]
        steps = ", ".join(f"{self._counts[s]} {s}" for s in _SHOWN if self._counts[s])
        if self._bar is not None:
            done = max(ended, (self._counts["cloned"] + self._counts["filled"]) // 2)
            self._bar.show(done, steps)
        else:
            text = f"{ended}/{self._total} done"
            self._line(f"{text} ({steps})" if steps else text, always=ended == self._total)

    def _line(self, text: str, *, always: bool = False) -> None:
        now = time.monotonic()
        if self._bar is not None:
            if always:
                self._bar.note(text)
            return
        # A second operation of the same command tells of its steps, too: nothing is said twice in a row.
        if text != self._last_text and (always or now - self._last_line >= LINE_EVERY_SECONDS):
            self._last_line, self._last_text = now, text
            click.echo(text, err=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _Bar:
    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[steps]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("deploy", total=total, steps="")
        self._progress.start()

    def show(self, done: int, steps: str) -> None:
        self._progress.update(self._task, completed=done, steps=steps)

    def note(self, text: str) -> None:
        self._progress.console.print(text, highlight=False)

    def close(self) -> None:
        self._progress.stop()


@contextlib.contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """A progress display that is taken away whatever happens."""
    display = Progress(quiet=quiet)
    try:
        yield display
    finally:
        display.close()


def run_stoppable(work: Callable[[StopSignal], Awaitable[T]]) -> T:
    """Run ``work`` so that Ctrl-C (or SIGTERM) stops it cleanly: the first asks, the second cancels."""
    import asyncio

    async def supervised() -> T:
        from manor.control.runtime import StopSignal

        stop = StopSignal()
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work(stop))

        def interrupt() -> None:
            if task.done():
                return
            if stop.requested:
                click.echo("manor: cancelled; the next deploy cleans up", err=True)
                task.cancel()
                return
            stop.set()
            click.echo("manor: stopping: what is under way is finished and recorded (again to cancel at once)", err=True)

        with handled_by(lambda: loop.call_soon_threadsafe(interrupt)):
            try:
                return await task
            except asyncio.CancelledError:
                raise KeyboardInterrupt from None

    return asyncio.run(supervised())


@contextlib.contextmanager
def handled_by(react: Callable[[], object]) -> Iterator[None]:
    """SIGINT and SIGTERM for a while. The handlers from before come back in one step: ``loop.remove_signal_handler`` would
    leave SIGTERM to the system, which kills."""
    before = {number: signal.signal(number, lambda *_: react()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
