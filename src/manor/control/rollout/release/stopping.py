"""Why a release goes no further, and how that is found out."""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Iterable

from manor.control.catalog.records import TargetRecord
from manor.control.rollout.release.work import Work
from manor.control.rollout.retry import until_recorded
from manor.control.steps import Failure, Status
from manor.errors import Code, ConflictError, counted

_ASK_SECONDS = 0.5
"""Between two looks at what was asked of us while nothing is under way."""


class Stop(enum.StrEnum):
    """Why a release went no further."""

    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    PAUSED = "paused"
    ABORTED = "aborted"
    FAILURES = "failures"
    GATE = "gate"
    TAKEN_OVER = "taken_over"


REASONS = {
    Stop.INTERRUPTED: "interrupted",
    Stop.PAUSED: "paused",
    Stop.ABORTED: "aborted",
    Stop.FAILURES: "more targets failed than are allowed to",
    Stop.TAKEN_OVER: "another runner has taken over",
}
"""For people; a gate gives its own."""


async def asked(work: Work) -> Stop:
    """What somebody wants of us just now; ``FINISHED`` where nobody wants anything."""
    if work.runtime.stop.requested:
        return Stop.INTERRUPTED
    try:
        await work.runtime.still_alone()  # a restart of the catalog's server has ended the lock: it is taken again here
    except ConflictError:
        return Stop.TAKEN_OVER
    release = await until_recorded(work.runtime, lambda: work.runtime.catalog.release(work.operation))
    if release.token != work.token or release.operation.state != "running":
        return Stop.TAKEN_OVER
    return {"pause": Stop.PAUSED, "abort": Stop.ABORTED}.get(release.wanted, Stop.FINISHED)


async def wait_unless_asked(work: Work, seconds: float) -> Stop:
    """Do nothing for a while, or until somebody wants something of us."""
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        stop = await asked(work)
        if stop is not Stop.FINISHED:
            return stop
        await asyncio.sleep(min(left, _ASK_SECONDS))
    return await asked(work)


def taken_over(operation: str) -> ConflictError:
    """What a runner ends with that is not the release's runner any more."""
    return ConflictError(
        f"another runner has taken over operation {operation}",
        hint=f"nothing more is done here; `manor operation show {operation}` tells what became of it",
    )


def unended(targets: Iterable[TargetRecord]) -> Failure | None:
    """Why a release cannot be ended though it goes no further: some targets were begun, and nobody has said what became of
    them. Calling them not begun would be a guess; its next settling ends what is under way there and asks their databases."""
    begun = [target.tenant for target in targets if target.status == Status.IN_PROGRESS]
    if not begun:
        return None
    shown = ", ".join(begun[:5]) + (f" and {len(begun) - 5} more" if len(begun) > 5 else "")
    return Failure(
        code=Code.TIMEOUT,
        message=f"{counted(len(begun), 'target')} did not end in time, and the release stays running: {shown}; "
        "a worker is in them still, or died there",
        hint="`manor operation recover` looks at what was done there; workers and the next command do so by themselves",
    )


def is_failure(status: str) -> bool:
    """Whether a target that ended so counts against the allowed failures."""
    return status in (Status.ERROR, Status.NEEDS_DECISION)


def failures(targets: list[TargetRecord]) -> int:
    """How many count."""
    return sum(is_failure(target.status) for target in targets)
