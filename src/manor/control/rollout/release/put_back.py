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
from manor.control.engines.releases import Change, ChangeStep
from manor.control.rollout.drift import schema_differences
from manor.control.rollout.release.apart import Undecided
from manor.control.rollout.release.move import Done, failed
from manor.control.rollout.release.swap import Swap, SwapTerms, is_at
from manor.control.rollout.release.switch_back import exchange
from manor.control.rollout.release.waves import Mover
from manor.control.rollout.release.work import Work, ended
from manor.control.rollout.retry import ATTEMPTS, retrying
from manor.control.rollout.verify import recorded_isolation
from manor.control.steps import Status
from manor.errors import Code, EngineError, ManorError, RefusedError

_SHOWN = 5
"""So many differences are listed in an error."""


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
        return await _as_before(work, target)
    await exchange(swap, snapshot, kind="blue", discard_writes=discard_writes, on_the_way=True)
    return Done(detail=f"put back to its snapshot, {swap.words}", facts=swap.facts)


async def _as_before(work: Work, target: TargetRecord) -> Done:
    """One without a snapshot is undone only where nothing of the release is there: its history and its schema are those from
    before, which one transaction proves; then what its journal says of the release's statements is forgotten.

    Raises ``RefusedError`` where something is, with what.
    """
    if not await is_at(work, target, work.cohort(target).before):
        raise RefusedError(f"no snapshot is kept of {target.tenant} (any more)", hint="was its grace period over?")
    forget = functools.partial(work.server(target).releases.apply, target.database, _forgetting(work, target))
    try:
        await retrying(forget, attempts=ATTEMPTS)
    except EngineError as error:
        if error.code is not Code.DRIFT:
            raise
        raise await _not_as_before(work, target) from error
    return Done(detail="it is where it was before the release")


def _forgetting(work: Work, target: TargetRecord) -> Change:
    """Changes nothing but the journal of statements, and only where history and schema are those from before the release."""
    cohort, record, terms = work.cohort(target), work.records[target.tenant], work.terms
    # A row that is to go where there is none, or to come where it is: no text is run, and the statements' journal is cleared.
    steps = (ChangeStep(version=s.version, checksum=s.checksum, name=s.name, down=not s.takes_back) for s in cohort.steps)
    return Change(
        operation=terms.operation,
        token=terms.token,
        before=tuple((version, checksum) for version, checksum, _ in cohort.before),
        steps=tuple(steps),
        isolation=recorded_isolation(record.config),
        fingerprint=record.fingerprint,
        lock_timeout_seconds=terms.lock_timeout_seconds,
        statement_timeout_seconds=terms.statement_timeout_seconds,
    )


async def _not_as_before(work: Work, target: TargetRecord) -> RefusedError:
    record = work.records[target.tenant]
    try:
        found = await schema_differences(work.runtime, work.server(target), record)
    except ManorError:  # its golden may be gone, or its copy swept away: then the hint says how to look
        found = []
    shown = "; ".join([*found[:_SHOWN], *([f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else [])])
    what = f": {shown}" if shown else ""
    return RefusedError(
        f"no snapshot is kept of {target.tenant}, and its schema is not the one from before the release{what}",
        hint=f"take that back by hand (`manor tenant show {record.database} --drift`) and decide again, or let it go on: "
        f"`manor operation resume {work.operation}`",
    )


def _undecided(error: ManorError | TimeoutError) -> ManorError | TimeoutError:
    """Whatever went wrong: the tenant stands where it stood."""
    if isinstance(error, (TimeoutError, Undecided)):
        return error
    return Undecided(error.message, hint=error.hint, code=error.code, place=error.place)


def _event(work: Work, target: TargetRecord) -> AuditEvent:
    details = {"to": work.cohort(target).version_before, "by": "snapshot"}
    return AuditEvent(actor=work.runtime.actor, action="tenant.put_back", subject=target.tenant, details=details)
