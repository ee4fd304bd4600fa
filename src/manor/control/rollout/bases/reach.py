"""Makes sure that what a server has committed by now can be reached: a commit later than it, in a segment that is archived."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from manor.control.engines.driver import ServerDriver
from manor.control.engines.wal import number_at, segment_name
from manor.errors import Code, EngineError, ManorError

_POLL_SECONDS = 0.05


class Arriving(Protocol):
    """An archive that a server's segments arrive in; ``str`` of it says where that is."""

    @property
    def if_late(self) -> str:
        """What to look at where they do not."""
        ...

    async def holds(self, name: str) -> bool:
        """Whether that segment is there."""
        ...


async def archive_everything(server: ServerDriver, archive: Arriving, *, deadline_seconds: float) -> int:
    """Commit a heartbeat, end the segment, and wait until it is archived; returns the end of what is archived.

    Raises ``EngineError``: ``timeout`` with what the archiver says, ``denied`` where the login may not end a segment.
    """
    facts = await server.bases.facts()
    if not facts.switch:
        raise EngineError(
            f"server {server.name}: the login may not end a segment of the log",
            code=Code.DENIED,
            hint="GRANT EXECUTE ON FUNCTION pg_switch_wal() TO the login, in database postgres",
        )
    lsn, _ = await server.bases.end_segment()
    # The position just after a segment's end belongs to the next one.
    name = segment_name(facts.timeline, number_at(max(0, lsn - 1), facts.segment_bytes), facts.segment_bytes)
    deadline = time.monotonic() + deadline_seconds
    while not await archive.holds(name):
        if time.monotonic() > deadline:
            raise await _late(server, archive, name, deadline_seconds)
        await asyncio.sleep(_POLL_SECONDS)
    return lsn


async def _late(server: ServerDriver, archive: Arriving, name: str, seconds: float) -> ManorError:
    archiver = await server.bases.archiver()
    words = f"server {server.name}: segment {name} is not in the archive {archive} after {seconds:g} seconds"
    if archiver.failing:
        words += f"; the server failed to archive {archiver.last_failed}, {archiver.failed} times in all"
    return EngineError(words, code=Code.TIMEOUT, hint=archive.if_late)
