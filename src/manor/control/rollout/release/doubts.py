"""Ends prepared transactions that nobody else will: those of releases that have ended while a server did not answer."""

from __future__ import annotations

import contextlib
import functools

from manor.control.catalog.records import ReleaseRecord
from manor.control.engines.releases import Prepared
from manor.control.rollout.release.work import gid_prefix, operation_of_gid
from manor.control.rollout.retry import ATTEMPTS, retrying
from manor.control.runtime import Runtime
from manor.errors import ManorError, NotFoundError


async def end_doubts(runtime: Runtime) -> int:
    """Commit or roll back, as it was decided, what ended releases left prepared; returns how many there were.

    Releases that the journal calls running are settled by ``settle_all``, or live. A server that does not answer is left for
    the next time.
    """
    ended = 0
    for name, server in runtime.servers.items():
        if name in runtime.away:
            continue
        with contextlib.suppress(ManorError):
            for prepared in await server.releases.prepared(gid_prefix(runtime.catalog.id)):
                release = await _ended_release(runtime, operation_of_gid(prepared.gid))
                if release is not None:
                    ended += await _end(runtime, name, prepared, commit=release.decision == "commit")
    return ended


async def _ended_release(runtime: Runtime, operation: str) -> ReleaseRecord | None:
    """The release, unless it is under way; a catalog that does not know it may be an older copy: nothing is touched then."""
    try:
        release = await runtime.catalog.release(operation)
    except NotFoundError:
        return None
    return None if release.operation.state == "running" else release


async def _end(runtime: Runtime, server: str, prepared: Prepared, *, commit: bool) -> bool:
    async with runtime.servers[server].releases.ballot(connections=0) as ballot:
        verb = ballot.commit if commit else ballot.roll_back
        done = await retrying(functools.partial(verb, prepared.database, prepared.gid), attempts=ATTEMPTS)
    runtime.telemetry.emit("release.settled", runtime.operation, prepared.database)
    return done
