"""Puts a loaded database into the place of a tenant's live one, and back again.

Both are renamed in one transaction while nobody is in either. The old one is kept for a grace period as what it was; whoever
dies in between leaves the old database in service or the new one, never neither (``release.swap`` has the table).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from manor.control.catalog.kept import RESTORED, KeptRecord
from manor.control.catalog.records import DatabaseRecord, Lineage
from manor.control.migrate.plan import history_of
from manor.control.rollout.backups.bring_to_head import bring_to_head
from manor.control.rollout.backups.head import (
    Heads,
    changed_by_hand,
    head_json,
    head_of,
    is_same_history,
    kept_head,
    refuse_other_head,
)
from manor.control.rollout.backups.known_schemas import known_schemas
from manor.control.rollout.backups.load import Loaded, dropped_on_failure
from manor.control.rollout.errands import Done
from manor.control.rollout.release.swap import Swap, SwapTerms
from manor.control.rollout.release.swap_recovery import OVERTAKEN
from manor.control.rollout.release.switch_back import DISCARD, SCHEMA, exchange, schema_now
from manor.control.rollout.retry import until_recorded
from manor.control.runtime import Runtime
from manor.errors import RefusedError, counted

_ATTEMPTS = 3
_LEFT = "schema_left"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A loaded database whose tenant may get it."""

    loaded: Loaded
    record: DatabaseRecord
    """The tenant as it is recorded afterwards."""
    schema: str
    """Fingerprint of what it is; the record has that of its golden."""
    words: str


async def put_in_place(runtime: Runtime, record: DatabaseRecord, loaded: Loaded, *, heads: Heads, grace_seconds: float) -> Done:
    """Switch the tenant of ``record`` to ``loaded``, which is dropped where that fails.

    Raises ``RefusedError`` where it is at another release and ``heads`` does not say what to do, ``EngineError`` (``conflict``)
    where a prepared transaction or a replication slot is in the way: the tenant is open and as it was. ``Undecided`` where it
    could not be opened.
    """
    async with dropped_on_failure(runtime.servers[record.server], loaded.database):
        ready = await _at_head(runtime, record, loaded, heads)
        swap = Swap(_terms(runtime, record, grace_seconds), incoming=ready.loaded.database)
        await _switch(swap, ready)
    rows = counted(ready.loaded.photograph.total_rows, "row")
    at = ready.record.version or "no version"
    facts = {**swap.facts, "kept": swap.kept, "rows": ready.loaded.photograph.total_rows, "version": ready.record.version}
    detail = f"{rows} at {at}{ready.words}, {swap.words}; the database before it is kept as {swap.kept}"
    return Done(detail=detail, facts=facts, moved=ready.record if ready.record != record else None)


def _terms(runtime: Runtime, record: DatabaseRecord, grace_seconds: float) -> SwapTerms:
    return SwapTerms(runtime=runtime, record=record, attempts=_ATTEMPTS, grace_seconds=grace_seconds)


async def _at_head(runtime: Runtime, record: DatabaseRecord, loaded: Loaded, heads: Heads) -> _Ready:
    found = loaded.photograph
    refuse_other_head(record, loaded.golden, head_of(found), heads)
    lineages = await until_recorded(runtime, lambda: runtime.catalog.lineages([loaded.golden]))
    if loaded.golden == record.golden:
        return _as_recorded(record, loaded, heads, lineages)
    if heads is Heads.MIGRATE:
        brought, number = await bring_to_head(runtime, record, loaded)
        words = f" after {counted(number, 'migration')} that it lacked"
        return _Ready(loaded=brought, record=record, schema=record.fingerprint, words=words)
    known = await known_schemas(runtime, record, loaded.golden)
    fingerprint = known.by_golden.get(loaded.golden, found.fingerprint)
    moved = kept_head(record, loaded.golden, found, lineages, fingerprint)
    return _Ready(loaded=loaded, record=moved, schema=found.fingerprint, words="; the next release takes it along")


def _as_recorded(record: DatabaseRecord, loaded: Loaded, heads: Heads, lineages: Mapping[str, Lineage]) -> _Ready:
    """At the tenant's release; but somebody may have changed schema or history by hand before the backup."""
    _, history = history_of(record, lineages)
    found = loaded.photograph
    drifted = found.fingerprint != record.fingerprint or not is_same_history(found.history, history)
    if drifted and heads is not Heads.KEEP:
        raise changed_by_hand(record.version)
    words = ", its schema changed by hand before" if drifted else ""
    return _Ready(loaded=loaded, record=record, schema=found.fingerprint, words=words)


async def _switch(swap: Swap, ready: _Ready) -> None:
    await swap.tidy()
    kept = await swap.keep(RESTORED, _marks(ready.record, ready.schema, await schema_now(swap)))
    try:
        await swap.runtime.still_alone()  # loading may have taken hours
        closed = await swap.close()
        await swap.switch(ready.loaded.database)
    except BaseException:  # cancellation too: a tenant is not left closed
        if not await swap.back_out():
            raise
    else:
        await swap.open_counted(kept, closed.grants)


def _marks(after: DatabaseRecord, schema: str, left: str) -> dict[str, Any]:
    """What took the place: its release, which recovery records where we die before that, and its schema, by which an undo tells
    whether somebody changed it since. ``left``: the schema of what is kept."""
    return {"head": head_json(after), SCHEMA: schema, _LEFT: left}


async def newest_kept(runtime: Runtime, record: DatabaseRecord) -> KeptRecord:
    """What the last restore of a tenant replaced. Raises ``RefusedError`` where nothing is kept of that (any more), though what
    an earlier one replaced may be."""
    kept = await until_recorded(runtime, lambda: runtime.catalog.kept_databases(tenant=str(record.tenant)))
    swaps = runtime.servers[record.server].swaps
    for one in reversed(kept):
        marker = await swaps.marker(one.database) if one.kind == RESTORED else None
        if marker is not None and marker.kind == "kept":
            if one.marks.get(OVERTAKEN):
                raise _nothing_kept(record, f"its grace period was over; {one.database} is what an earlier restore replaced")
            return one
    raise _nothing_kept(record, "was its grace period over, or was it never restored?")


def _nothing_kept(record: DatabaseRecord, hint: str) -> RefusedError:
    return RefusedError(f"nothing is kept of {record.tenant} that its last restore replaced", hint=hint)


async def take_back(runtime: Runtime, record: DatabaseRecord, *, discard_writes: bool, grace_seconds: float) -> Done:
    """Put back what the tenant's last restore replaced; the restored database is kept in its turn, so that doing it again leads
    back to it.

    Raises ``RefusedError`` where nothing is kept, or where somebody wrote or a release came since, unless ``discard_writes``:
    the tenant is open and as it was.
    """
    kept = await newest_kept(runtime, record)
    if not discard_writes and record.golden != kept.marks.get("head", {}).get("golden"):
        raise RefusedError(
            f"{record.tenant} was brought to {record.version or 'no version'} since it was restored",
            hint=f"what was kept is at {kept.version or 'no version'}; {DISCARD}",
        )
    moved = replace(record, version=kept.version, golden=kept.golden, fingerprint=kept.fingerprint)
    swap = Swap(_terms(runtime, record, grace_seconds))
    await swap.tidy()
    marks = _marks(moved, kept.marks.get(_LEFT) or moved.fingerprint, await schema_now(swap))
    await exchange(swap, kept, kind=RESTORED, discard_writes=discard_writes, marks=marks)
    detail = f"switched back to what was there before, at {kept.version or 'no version'}, {swap.words}"
    facts = {**swap.facts, "kept": swap.kept, "version": kept.version}
    return Done(detail=detail, facts=facts, moved=moved if moved != record else None)
