"""Snapshots before a change (``--backup-first``): a copy of the tenant's database, which is closed as long as that takes.

A snapshot is kept like a database that blue-green replaced, and undo switches to it; to that of a tenant which stands between
two versions as well (``put_back``). Nothing tells the tenant's writes from the migration's own, so undo takes every row that
has changed since for a tenant's.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from manor.control.catalog.records import TargetRecord
from manor.control.rollout.release.move import Act, Done, failed, in_place, move
from manor.control.rollout.release.stopping import Stop, asked, taken_over
from manor.control.rollout.release.swap import Swap, SwapTerms, is_at
from manor.control.rollout.release.waves import Mover
from manor.control.rollout.release.work import Work
from manor.control.rollout.retry import ATTEMPTS, retrying, until_recorded
from manor.errors import ManorError


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One that was taken."""

    database: str
    closed_seconds: float
    words: str


def snapshot_first(act: Act = in_place) -> Mover:
    """A mover that takes a snapshot of each target before ``act``."""
    return functools.partial(move, act=functools.partial(_act, act=act))


async def _act(work: Work, target: TargetRecord, *, act: Act) -> Done:
    if await is_at(work, target, work.cohort(target).after) or await _is_begun(work, target):
        return await act(work, target)
    snapshot = await take_snapshot(work, target)
    done = await act(work, target)
    facts = {"closed_seconds": round(snapshot.closed_seconds, 3), "snapshot": snapshot.database}
    return replace(done, detail=f"{done.detail}, snapshot taken, {snapshot.words}", facts={**done.facts, **facts})


async def _is_begun(work: Work, target: TargetRecord) -> bool:
    """Whether some of its steps are done since this operation took a snapshot: then that is the one to keep."""
    if await is_at(work, target, work.cohort(target).before):
        return False
    catalog = work.runtime.catalog
    kept = functools.partial(catalog.kept_databases, operation=work.operation, tenant=target.tenant)
    return bool(await until_recorded(work.runtime, kept))


async def snapshot_all(work: Work, targets: Sequence[TargetRecord]) -> list[TargetRecord]:
    """Snapshots of all targets, before a release of all or none; returns the targets of which none could be taken, as
    errors. Then nothing must be changed.

    Once somebody asks it to stop it begins no more of them. That is no error: the vote asks the same before it begins. Raises
    ``ConflictError`` where another runner has taken over.
    """
    slots = {target.server: asyncio.Semaphore(work.conduct.parallel) for target in targets}

    async def one(target: TargetRecord) -> TargetRecord | Stop:
        async with slots[target.server]:
            return await _snapshot_unless_asked(work, target)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(target)) for target in targets]
    results = [task.result() for task in tasks]
    if Stop.TAKEN_OVER in results:
        raise taken_over(work.operation)
    return [result for result in results if isinstance(result, TargetRecord)]


async def _snapshot_unless_asked(work: Work, target: TargetRecord) -> TargetRecord | Stop:
    """What somebody wanted of us before it was its turn; else the target, if it failed."""
    try:
        stop = await asked(work)
        if stop is Stop.FINISHED:
            await take_snapshot(work, target)
    except (ManorError, TimeoutError) as error:
        return failed(work, target, error, 0.0)
    return stop


async def take_snapshot(work: Work, target: TargetRecord) -> Snapshot:
    """Copy one target's database. Raises ``ManorError`` with the tenant open and no copy left; ``Undecided`` where it could not
    be opened."""
    swap = Swap(SwapTerms.of(work, target))
    await swap.tidy()
    kept = await swap.keep("snapshot")
    try:
        closed = await swap.close()
        first = await retrying(swap.swaps.next_transaction, attempts=ATTEMPTS)
        await swap.swaps.copy(target.database, swap.kept, replace(closed.marker, kind="kept"))
        swap.tell("target.cloned")
        await swap.open()
    except BaseException:  # cancellation too: a tenant is not left closed
        await swap.back_out()
        await retrying(functools.partial(work.server(target).drop_database, swap.kept), attempts=ATTEMPTS)
        await swap.forget(kept)
        raise
    await swap.mark(kept, {"transaction": first})
    return Snapshot(database=swap.kept, closed_seconds=swap.closed_seconds, words=swap.words)
