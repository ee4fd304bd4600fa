"""Settles releases whose runner died: what was decided is carried through, what was not is rolled back, and every target gets
the status that its own database proves.

A release is dead if the journal calls it running and its lock is free. Its sessions may live on: they are ended first, and only
then are prepared transactions looked at, so that one which is still being prepared is not taken for one in doubt.

Its runner itself may live, behind a network that failed or on a machine that slept. So settling begins with a token of its own:
from then on the runner can neither decide nor record anything. The same token goes into the fence of every database that was
begun, before its history is believed: what was found there stays so.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator

from manor.control.catalog.locks import HeldLock
from manor.control.catalog.records import ReleaseRecord
from manor.control.rollout.errands import is_errand, settle_errand
from manor.control.rollout.release.doubts import end_doubts
from manor.control.rollout.release.settling import Settled, Settling
from manor.control.rollout.release.swap_recovery import recover_forgotten
from manor.control.rollout.retry import until_recorded
from manor.control.rollout.states import State
from manor.control.runtime import Runtime
from manor.errors import ConflictError

__all__ = ["Settled", "release_lock", "settle_all"]


def release_lock(operation: str) -> str:
    """The lock that the runner of a release holds."""
    return f"operation {operation}"


async def settle_all(runtime: Runtime) -> list[Settled]:
    """Settle every dead release; those that live, or that somebody else settles just now, are left alone."""
    settled = []
    for operation in await until_recorded(runtime, runtime.catalog.running_releases):
        if operation == runtime.operation:
            continue
        lock = (await until_recorded(runtime, functools.partial(runtime.catalog.release, operation))).lock
        async with _alone(runtime, lock) as held:
            if held is None:
                continue
            release = await _take_over(runtime, operation)
            if release is not None:
                settled.append(await _settle(runtime, release))
    await end_doubts(runtime)
    await recover_forgotten(runtime)
    return settled


@contextlib.asynccontextmanager
async def _alone(runtime: Runtime, name: str) -> AsyncIterator[HeldLock | None]:
    """The lock of a dead operation, or None where its runner lives."""
    async with contextlib.AsyncExitStack() as stack:
        lock = runtime.catalog.lock(name, wait_seconds=0, holder=runtime.operation)
        try:
            held = await stack.enter_async_context(lock)
        except ConflictError:
            yield None
            return
        yield held


async def _take_over(runtime: Runtime, operation: str) -> ReleaseRecord | None:
    """A dead release under a new token, and only then its decision: nobody else can make one any more. None where it has ended
    meanwhile."""
    release = await runtime.catalog.release(operation)
    take = functools.partial(
        runtime.catalog.take_over, operation, actor=release.operation.actor, states=[State.RUNNING], reopen=()
    )
    token = await until_recorded(runtime, take)
    return await until_recorded(runtime, lambda: runtime.catalog.release(operation)) if token is not None else None


async def _settle(runtime: Runtime, release: ReleaseRecord) -> Settled:
    operation = release.operation.id
    await runtime.catalog.end_sessions(operation)
    if is_errand(release):
        return Settled(operation=operation, state=State.INTERRUPTED, counts=await settle_errand(runtime, release))
    targets = await runtime.catalog.operation_targets(operation)
    records = {str(r.tenant): r for r in await runtime.catalog.databases()}
    settling = Settling(runtime, release, records)
    for name in sorted({target.server for target in targets}):
        await settling.server(name, [target for target in targets if target.server == name])
    return await settling.finish(targets)
