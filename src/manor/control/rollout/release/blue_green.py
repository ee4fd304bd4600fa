"""Blue-green of one target: closed, cloned, the clone migrated and proved, both names switched at once, open again.

Until the switch the tenant's own database is not changed at all: whatever fails before it, the clone is dropped and the tenant
opened as it was. Afterwards the old database is kept, closed, for the grace period. Hooks run while the tenant is open.
"""

from __future__ import annotations

import functools
from dataclasses import replace

from manor.control.catalog.records import TargetRecord
from manor.control.engines.swaps import Closed
from manor.control.migrate.cohort import Segment
from manor.control.rollout.release.apart import Undecided
from manor.control.rollout.release.gate import HealthGate
from manor.control.rollout.release.move import Done, detail_of, done_before, move, run_segments
from manor.control.rollout.release.swap import Swap, SwapTerms, is_at
from manor.control.rollout.release.waves import Mover
from manor.control.rollout.release.work import Work
from manor.control.rollout.retry import retrying
from manor.control.rollout.strategy import Gate
from manor.errors import EngineError, RefusedError


def blue_green(gate: Gate | None) -> Mover:
    """The mover of the strategy. ``gate``: what each new database must pass before it is switched to."""
    return functools.partial(move, act=functools.partial(replace_database, gate=gate))


async def replace_database(work: Work, target: TargetRecord, *, gate: Gate | None) -> Done:
    """Bring one target to its cohort's version in a clone, and switch to that.

    Raises ``ManorError`` with the tenant open and as it was; ``Undecided`` where it could not be opened.
    """
    swap = Swap(SwapTerms.of(work, target))
    await swap.tidy()
    if await is_at(work, target, work.cohort(target).after):
        return await done_before(work, target)
    await _raise_fence(work, target)
    kept = await swap.keep("blue")
    try:
        closed = await swap.close()
        await _build(work, target, swap, closed, gate)
        await swap.switch(swap.green)
    except BaseException:  # cancellation too: a tenant is not left closed
        if not await swap.back_out():
            raise
    else:
        await swap.open_counted(kept, closed.grants)
    return Done(detail=f"{detail_of(work, target, True)}, {swap.words}", facts=swap.facts | {"kept": kept.database})


async def _raise_fence(work: Work, target: TargetRecord) -> None:
    """A runner that was taken for dead changes no clone that is made from now on."""
    change = work.segments(target)[0].change
    begin = functools.partial(work.server(target).releases.begin_apart, target.database, change)
    await retrying(begin, attempts=work.conduct.attempts)


async def _build(work: Work, target: TargetRecord, swap: Swap, closed: Closed, gate: Gate | None) -> None:
    green = replace(target, database=swap.green)
    building = replace(closed.marker, kind="building", closed="", operation=work.operation)
    await swap.swaps.copy(target.database, swap.green, building)
    swap.tell("target.cloned")
    await swap.swaps.admit(swap.green)
    try:
        await run_segments(work, green, unpublished(work.segments(target)))
    except Undecided as error:  # the clone is dropped: there is nothing to decide
        raise EngineError(error.message, hint="nothing was changed; the tenant is open", code=error.code) from error
    if gate is not None:
        await swap.swaps.admit(swap.green, closed.grants)
        await _check(work, green, gate)


def unpublished(segments: list[Segment]) -> list[Segment]:
    """The same steps, after which the database says that it is being built."""
    found = []
    for segment in segments:
        marker = segment.change.marker
        marker = replace(marker, kind="building") if marker is not None else None
        found.append(replace(segment, change=replace(segment.change, marker=marker)))
    return found


async def _check(work: Work, green: TargetRecord, gate: Gate) -> None:
    record = replace(work.records[green.tenant], database=green.database)
    problem = await HealthGate(replace(work, records={**work.records, green.tenant: record}), gate).check(green, proved=True)
    if problem:
        raise RefusedError(f"the new database is not healthy: {problem}", hint="nothing was changed; the tenant is open")
    work.runtime.telemetry.emit("target.checked", work.operation, green.tenant)
