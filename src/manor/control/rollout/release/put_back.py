"""Puts a target that stands between two versions back to the snapshot that its release took of it.

Statements outside transactions commit one by one, so nobody can roll back what they did: the snapshot holds what the tenant had
before the first. Its programs (hooks) are not run: they belong to a release that comes to an end.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping

from manor.control.catalog.kept import KeptRecord
from manor.control.catalog.records import AuditEvent, TargetRecord
from manor.control.rollout.release.apart import Undecided
from manor.control.rollout.release.move import Done, failed
from manor.control.rollout.release.swap import Swap, SwapTerms, is_at
from manor.control.rollout.release.switch_back import exchange
from manor.control.rollout.release.waves import Mover
from manor.control.rollout.release.work import Work, ended
from manor.control.steps import Status
from manor.errors import ManorError, RefusedError


def putting_back(kept: Mapping[str, KeptRecord], *, discard_writes: bool) -> Mover:
    """The mover of such a decision. ``kept``: by tenant id, its snapshot."""
    return functools.partial(put_back, kept=kept, discard_writes=discard_writes)


async def put_back(work: Work, target: TargetRecord, *, kept: Mapping[str, KeptRecord], discard_writes: bool) -> TargetRecord:
    """Put one target back; it ends as ``rolled_back``, else it needs a decision as before. Safe to repeat."""
    began = time.monotonic()
    try:
        done = await _switched(work, target, kept.get(target.tenant), discard_writes=discard_writes)
    except (ManorError, TimeoutError) as error:
        result = failed(work, target, _undecided(error), time.monotonic() - began)
        work.recorder.put(result)
    else:
        seconds = time.monotonic() - began
        result = ended(target, Status.ROLLED_BACK, seconds=seconds, detail=done.detail, facts=done.facts)
        work.recorder.put(result, None, _event(work, target))
    work.runtime.telemetry.emit("target.ended", work.operation, target.tenant, status=result.status)
    return result


async def _switched(work: Work, target: TargetRecord, snapshot: KeptRecord | None, *, discard_writes: bool) -> Done:
    swap = Swap(SwapTerms.of(work, target))
    await swap.tidy()
    there = await swap.swaps.marker(snapshot.database) if snapshot is not None else None
    if snapshot is None or there is None or there.kind != "kept":
        if await is_at(work, target, work.cohort(target).before):
            return Done(detail="it is where it was before the release")
        raise RefusedError(f"no snapshot is kept of {target.tenant} (any more)", hint="was its grace period over?")
    await exchange(swap, snapshot, kind="blue", discard_writes=discard_writes, on_the_way=True)
    return Done(detail=f"put back to its snapshot, {swap.words}", facts=swap.facts)


def _undecided(error: ManorError | TimeoutError) -> ManorError | TimeoutError:
    """Whatever went wrong: the tenant stands where it stood."""
    if isinstance(error, (TimeoutError, Undecided)):
        return error
    return Undecided(error.message, hint=error.hint, code=error.code, place=error.place)


def _event(work: Work, target: TargetRecord) -> AuditEvent:
    details = {"to": work.cohort(target).version_before, "by": "snapshot"}
    return AuditEvent(actor=work.runtime.actor, action="tenant.put_back", subject=target.tenant, details=details)
