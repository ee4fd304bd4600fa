"""Trying again: what failed for a moment, and what can safely be done twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from manor.data.documents.faults import OutcomeUnknown
from manor.errors import ManorError, UnreachableError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often and how far apart: attempt n waits a random time below ``first_seconds`` × 2ⁿ, at most ``longest_seconds``."""

    attempts: int = 6
    first_seconds: float = 0.05
    longest_seconds: float = 2.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random

    async def pause(self, attempt: int) -> None:
        """Wait before the attempt of this number (the first repetition is 1)."""
        ceiling = min(self.longest_seconds, self.first_seconds * 2.0 ** min(attempt, 30))
        await self.sleep(ceiling * self.chance())


async def again(call: Callable[[], Awaitable[T]], error: ManorError, retries: Retries, *, repeatable: bool) -> T:
    """Go on after a first attempt that ended with ``error``: repeat while that may help, else raise the last error.

    ``repeatable`` says that doing it twice does what doing it once does, so that an unknown outcome may be repeated too.
    """
    unknown = error if isinstance(error, OutcomeUnknown) else None
    for attempt in range(1, retries.attempts):
        if not (error.transient or (repeatable and isinstance(error, OutcomeUnknown))):
            break
        await retries.pause(attempt)
        try:
            return await call()
        except ManorError as next_error:
            error = next_error
            unknown = error if isinstance(error, OutcomeUnknown) else unknown
    # "Throttled", or "the store is closed": nothing was done; that would not be true of an earlier attempt that nobody answered
    undone = error.transient or isinstance(error, UnreachableError)
    raise unknown if unknown is not None and undone else error


def name_tenant(error: ManorError, tenant: str) -> None:
    """Say in the error whose data it is about."""
    mark = f"tenant {tenant}: "
    if not error.message.startswith(mark):
        error.message = mark + error.message
        error.args = (error.message, *error.args[1:])
