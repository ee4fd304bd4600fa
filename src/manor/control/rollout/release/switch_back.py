"""Switches a target back to the database that was kept of it, or to its snapshot. The replaced one is kept in its turn.

What was written since would be lost, so this is refused unless it was proved that nobody wrote, or ``discard_writes``. The
proof is made twice: while the tenant works, so that a refusal closes nobody, and again once it is closed.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from manor.control.catalog.kept import KeptRecord
from manor.control.catalog.records import TargetRecord
from manor.control.engines.swaps import Census, SwapDriver, writes_between
from manor.control.migrate.cohort import Cohort
from manor.control.rollout.release.move import Done, detail_of, move
from manor.control.rollout.release.swap import Swap, SwapTerms, is_at
from manor.control.rollout.release.waves import Mover
from manor.control.rollout.release.work import Work
from manor.control.rollout.verify import recorded_isolation
from manor.errors import Code, ManorError, RefusedError

_SHOWN = 3
SCHEMA = "schema"
"""The mark with the fingerprint of what took the place, where that need not be the recorded one."""
DISCARD = "--discard-writes switches back all the same; what was written stays in the database that is kept"


def switching_back(kept: Mapping[str, KeptRecord], *, discard_writes: bool) -> Mover:
    """The mover of an undo. ``kept``: by tenant id, what to switch to."""
    return functools.partial(move, act=functools.partial(switch_back, kept=kept, discard_writes=discard_writes))


def cohort_back(cohort: Cohort, number: int, fingerprint: str) -> Cohort:
    """A cohort that leads back to where ``cohort`` began, without running anything. ``fingerprint``: of the kept databases."""
    steps = tuple(replace(step, kind="forget") for step in reversed(cohort.steps))
    return replace(
        cohort, number=number, golden_from=cohort.golden_to, before=cohort.after, steps=steps, fingerprint=fingerprint
    )


async def switch_back(work: Work, target: TargetRecord, *, kept: Mapping[str, KeptRecord], discard_writes: bool) -> Done:
    """Switch one target to what was kept of it.

    Its cohort must lead to the kept database's history, by steps that need no text (``forget``). Raises ``RefusedError`` where
    nothing is kept or somebody wrote, with the tenant open and as it was; ``Undecided`` where it could not be opened.
    """
    swap = Swap(SwapTerms.of(work, target))
    await swap.tidy()
    record = kept.get(target.tenant)
    there = await swap.swaps.marker(record.database) if record is not None else None
    if record is None or there is None or there.kind != "kept":
        if await is_at(work, target, work.cohort(target).after):
            return Done(detail=detail_of(work, target, False))
        raise RefusedError(f"nothing is kept of {target.tenant} (any more)", hint="was its grace period over?")
    if not discard_writes and not await is_at(work, target, work.cohort(target).before):
        raise RefusedError(f"the history of {target.tenant} is not the one that is recorded", hint=DISCARD)
    await exchange(swap, record, kind="blue", discard_writes=discard_writes)
    return Done(detail=f"{detail_of(work, target, True)}, switched back, {swap.words}", facts=swap.facts)


async def exchange(
    swap: Swap,
    kept: KeptRecord,
    *,
    kind: str,
    discard_writes: bool,
    marks: Mapping[str, Any] | None = None,
    on_the_way: bool = False,
) -> None:
    """Put a kept database back into its place; the one that it replaces is kept in its turn, as a ``kind`` with ``marks``.
    ``on_the_way``: it stands between two versions, so that its schema is nobody's.

    Raises ``RefusedError`` where somebody wrote since, with the tenant open and as it was; ``Undecided`` where it could not be
    opened.
    """
    if not discard_writes:
        await _refuse_writes(swap, kept, on_the_way)
    replaced = await swap.keep(kind, marks)
    try:
        closed = await swap.close()
        if not discard_writes:
            await swap.swaps.seclude(swap.database, by=swap.by)
            await _refuse_writes(swap, kept, on_the_way)
        await swap.switch(kept.database)
    except BaseException:  # cancellation too: a tenant is not left closed
        if not await swap.back_out():
            raise
    else:
        await swap.open_counted(replaced, closed.grants)
    await swap.forget(kept)


async def _refuse_writes(swap: Swap, kept: KeptRecord, on_the_way: bool) -> None:
    found = await writes_since(swap, kept, on_the_way=on_the_way)
    if found:
        shown = "; ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
        raise RefusedError(
            f"{swap.tenant} may have been written to since: {shown}",
            hint=DISCARD,
        )


async def writes_since(swap: Swap, kept: KeptRecord, *, on_the_way: bool = False) -> tuple[str, ...]:
    """What says that the target was written to since ``kept`` was left, in words; empty only where that is proved.

    ``on_the_way``: a migration was begun there, so its schema proves nothing, and a new table without rows is the migration's.
    Rows that the migration itself wrote cannot be told from the tenant's."""
    try:
        before = await _before(swap.swaps, kept)
        now = await swap.swaps.census(swap.database, since=before.transaction) if before is not None else None
        if before is None or now is None:
            return ("it was not recorded what it held",)
        if on_the_way:
            return writes_between(before, _without_new_tables(before, now))
        found = writes_between(before, now)
        fingerprint, isolated = await _schema(swap)
    except ManorError as error:
        if error.transient or error.code is Code.UNREACHABLE:
            raise
        return (f"its rows could not be counted ({error.message})",)
    expected = kept.marks.get(SCHEMA, swap.record.fingerprint)
    drifted = () if isolated and fingerprint == expected else ("its schema was changed by hand",)
    return (*found, *drifted)


async def schema_now(swap: Swap) -> str:
    """Fingerprint of the target's live database; empty where it cannot be told just now."""
    try:
        return (await _schema(swap))[0]
    except ManorError:
        return ""


async def _schema(swap: Swap) -> tuple[str, bool]:
    return await swap.server.fingerprint(swap.database, recorded_isolation(swap.record.config))


def _without_new_tables(before: Census, now: Census) -> Census:
    rows = {name: number for name, number in now.rows.items() if name in before.rows or number}
    sequences = {name: at for name, at in now.sequences.items() if name in before.sequences or at is not None}
    return replace(now, rows=rows, sequences=sequences)


async def _before(swaps: SwapDriver, kept: KeptRecord) -> Census | None:
    """What the database held when ``kept`` was left. A snapshot is counted now: nobody can have changed it."""
    if "transaction" not in kept.marks:
        return None
    if kept.kind != "snapshot":
        return Census.from_json(kept.marks)
    await swaps.admit(kept.database)
    try:
        return replace(await swaps.census(kept.database), transaction=kept.marks["transaction"])
    finally:
        await swaps.shut(kept.database)
