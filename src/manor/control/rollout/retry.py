"""Trying again, for errors that say it can help. Waiting grows and jitters (stamina)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

from manor.control.runtime import Runtime
from manor.errors import ManorError

T = TypeVar("T")

ATTEMPTS = 6
"""Of what must not fail because a server restarts just then: some seconds."""

# Without a handler Python would print stamina's warnings on stderr; what matters of a retry is in the outcome.
logging.getLogger("stamina").addHandler(logging.NullHandler())

RECORDING_SECONDS = 120.0
"""How long the catalog may be away before an operation gives up recording; a crash recovery takes seconds."""

STOPPED_SECONDS = 10.0
"""The same once somebody asked the operation to stop."""


def is_transient(error: Exception) -> bool:
    """Whether trying the same again may succeed."""
    return isinstance(error, ManorError) and error.transient


async def retrying(work: Callable[[], Awaitable[T]], *, attempts: int) -> T:
    """Run ``work`` up to ``attempts`` times while its errors are transient; raises the last error."""
    async for attempt in stamina.retry_context(
        on=is_transient, attempts=max(1, attempts), timeout=None, wait_initial=0.2, wait_max=8.0, wait_jitter=0.5
    ):
        with attempt:
            return await work()
    raise AssertionError("stamina either returns or raises")


async def until_recorded(runtime: Runtime, work: Callable[[], Awaitable[T]]) -> T:
    """For the catalog: keep trying for ``RECORDING_SECONDS``, since what was done must be written down.

    The time is that of one outage, however many calls wait for its end, one after the other or together.
    """
    outage = runtime.outage

    def worth_waiting(error: Exception) -> bool:
        if not is_transient(error):
            return False
        if outage.begin():
            runtime.telemetry.emit("catalog.away", runtime.operation, str(error), seconds=RECORDING_SECONDS)
        return outage.seconds < (STOPPED_SECONDS if runtime.stop.requested else RECORDING_SECONDS)

    async for attempt in stamina.retry_context(
        on=worth_waiting, attempts=1000, timeout=None, wait_initial=0.2, wait_max=4.0, wait_jitter=0.5
    ):
        with attempt:
            done = await work()
            outage.end()
            return done
    raise AssertionError("stamina either returns or raises")
