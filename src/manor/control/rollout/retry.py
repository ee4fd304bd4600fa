"""Trying again, for errors that say it can help. Waiting grows and jitters (stamina)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

from manor.errors import ManorError

T = TypeVar("T")

# Without a handler Python would print stamina's warnings on stderr; what matters of a retry is in the outcome.
logging.getLogger("stamina").addHandler(logging.NullHandler())

RECORDING_SECONDS = 120.0
"""How long the catalog may be away before an operation gives up recording; a crash recovery takes seconds."""


def is_transient(error: Exception) -> bool:
    """Whether trying the same again may succeed."""
    return isinstance(error, ManorError) and error.transient


async def retrying(work: Callable[[], Awaitable[T]], *, attempts: int, seconds: float | None = None) -> T:
    """Run ``work`` up to ``attempts`` times while its errors are transient; raises the last error."""
    async for attempt in stamina.retry_context(
        on=is_transient, attempts=max(1, attempts), timeout=seconds, wait_initial=0.2, wait_max=8.0, wait_jitter=0.5
    ):
        with attempt:
            return await work()
    raise AssertionError("stamina either returns or raises")


async def until_recorded(work: Callable[[], Awaitable[T]]) -> T:
    """For the catalog: keep trying for ``RECORDING_SECONDS``, since what was done must be written down."""
    return await retrying(work, attempts=1000, seconds=RECORDING_SECONDS)
