"""``manor tenant delete``: a tenant is closed, its customer gets an export, and after its grace period nothing is left of it.

A deletion that was confirmed begins at once, unless a grace period is asked for: until then the tenant is suspended, and
``manor tenant resume`` takes it back. Whatever stops an erasure that has begun, the same command goes on with it; meanwhile
nobody can enter, and no deploy makes anything new of it.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from manor.control.backup.scan import Hit
from manor.control.catalog.certificates import SIGNATURE
from manor.control.catalog.erasures import record_of, subject_of
from manor.control.catalog.locks import FLEET_LOCK
from manor.control.catalog.records import AuditEvent, DatabaseRecord, ErasureRecord, SuspensionRecord
from manor.control.operations.suspend import suspension_of
from manor.control.rollout.backups.vault import BackupVault
from manor.control.rollout.erasure.certify import certify, searched, unsearched
from manor.control.rollout.erasure.erase import Erasure, final_export, shut_out
from manor.control.rollout.erasure.graves import engrave
from manor.control.rollout.erasure.places import Belongings, Surroundings, look_around
from manor.control.rollout.errands import Done, Order, run_errands
from manor.control.rollout.release.move import target_of
from manor.control.rollout.release.settle import settle_all
from manor.control.rollout.report import Report
from manor.control.rollout.retry import until_recorded
from manor.control.runtime import Runtime
from manor.control.steps import Failure, Outcome, Status
from manor.errors import Code, ManorError, NotFoundError, RefusedError
from manor.tenancy import TenantId

OpenVault = Callable[[str], BackupVault]


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseRequest:
    """What the command line or the API asks for."""

    around: Surroundings
    open_vault: OpenVault
    """Where a final export goes, by its location. Raises ``InputError``."""
    confirm: bool = False
    reason: str = ""
    after: dt.timedelta = dt.timedelta()
    """The grace period; none: at once."""
    export_to: str | None = None
    """Location of the customer's export; None: nothing was said."""
    no_export: bool = False
    require_export: bool = False
    """Whether one of the two must be said."""
    search: bool = True
    search_for: tuple[str, ...] = ()
    keep_days: int = 0
    lock_wait_seconds: float = 10.0

    @property
    def is_scheduled(self) -> bool:
        """Whether it is not to be done now."""
        return self.after > dt.timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """What would be, or is, deleted, and what was known of it before."""

    record: DatabaseRecord
    begun: ErasureRecord | None = None
    suspension: SuspensionRecord | None = None
    owned: Belongings | None = None
    refusals: tuple[str, ...] = ()
    """Why it would be refused now."""
    notes: tuple[str, ...] = field(default=())


async def preview(runtime: Runtime, text: str, request: EraseRequest) -> Deletion | ErasureRecord:
    """Look only: what would be erased, and what stands against it; an erasure that is done, as it was recorded. Raises
    ``NotFoundError``, and what keeps it from being seen."""
    begun = await _begun(runtime, text)
    if begun is not None and begun.is_done:
        return begun
    record = record_of(begun.subject) if begun else await runtime.catalog.database_by_tenant(text, with_url=False)
    tenant = str(record.tenant)
    owned = await look_around(runtime, record, request.around)
    export = "no final export" if request.export_to is None else f"a final export goes to {request.export_to}"
    return Deletion(
        record=record,
        begun=begun,
        suspension=(await runtime.catalog.suspensions(tenant)).get(tenant),
        owned=owned,
        refusals=tuple(await _refusals(runtime, record, begun, owned, request)),
        notes=(export,),
    )


async def _begun(runtime: Runtime, text: str) -> ErasureRecord | None:
    """The erasure of a tenant that the catalog still calls so; a living tenant of that short id comes first."""
    found = await runtime.catalog.erasure(text)
    if found is None or found.tenant == text:
        return found
    try:
        living = await runtime.catalog.database_by_tenant(text, with_url=False)
    except NotFoundError:
        return found
    return found if str(living.tenant) == found.tenant else None


async def _refusals(
    runtime: Runtime, record: DatabaseRecord, begun: ErasureRecord | None, owned: Belongings, request: EraseRequest
) -> list[str]:
    tenant = str(record.tenant)
    found = []
    held = (await runtime.catalog.tenant_holds(tenant)).get(tenant)
    if held is not None:
        found.append(f"tenant {tenant} is under legal hold since {held.since:%Y-%m-%d} ({held.reason}), by {held.actor}")
    found += [f"backup {one.id} is under legal hold ({one.hold_reason})" for one in owned.backups if one.hold_reason]
    if begun is not None:
        if request.is_scheduled:
            found.append(f"the erasure of tenant {tenant} has begun and cannot be put off")
        if request.export_to is not None and "sealed" in begun.steps and not begun.steps.get("exported", {}).get("file"):
            found.append("its database is closed for good: there can be no final export any more")
        return found
    if record.state == "ready" and request.require_export and request.export_to is None and not request.no_export:
        found.append("settings.erasure.require_final_export: say --final-export DIR|URL, or --no-final-export")
    for server, database in owned.databases:
        found += [f"database {database}: {one}" for one in await runtime.servers[server].swaps.obstacles(database)]
    return found


@dataclass(slots=True, kw_only=True)
class _Told:
    """What errands have to tell beyond their outcomes."""

    certificates: list[Mapping[str, Any]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    problems: list[Failure] = field(default_factory=list)


async def delete(runtime: Runtime, text: str, request: EraseRequest) -> Report:
    """Act. Raises ``NotFoundError``, ``RefusedError`` (not confirmed, held), ``ConflictError`` where another operation holds
    the tenant: nothing was changed then. A tenant that was erased before is skipped, with its certificate."""
    notices = await _settled(runtime)
    found = await preview(runtime, text, request)
    if isinstance(found, ErasureRecord):
        return _done_before(found)
    refuse(found, request)
    return await _carried_out(runtime, [found.record], request, _schedule if request.is_scheduled else _erase, notices)


async def _settled(runtime: Runtime) -> list[str]:
    return [f"operation {settled.operation} had died: {settled.state}" for settled in await settle_all(runtime)]


async def _carried_out(
    runtime: Runtime,
    records: Sequence[DatabaseRecord],
    request: EraseRequest,
    act: Callable[..., Awaitable[Done]],
    notices: Sequence[str],
) -> Report:
    arguments = {
        "reason": request.reason,
        "after_seconds": request.after.total_seconds(),
        "final_export": request.export_to or "",
    }
    sources = sorted({record.source for record in records})
    order = Order(verb="delete", action="tenant.delete", source=", ".join(sources), arguments=arguments, parallel=1)
    told = _Told()
    report = await run_errands(runtime, order, records, functools.partial(act, request=request, told=told))
    extra = {"certificate": told.certificates[0]} if len(told.certificates) == 1 else {"certificates": told.certificates}
    return replace(
        report,
        notices=(*report.notices, *notices, *told.notices),
        problems=(*report.problems, *told.problems),
        extra=extra if told.certificates else {},
    )


def refuse(found: Deletion, request: EraseRequest) -> None:
    """Raise ``RefusedError`` where something stands against it, or nobody confirmed it: then the error says what would go."""
    if found.refusals:
        raise RefusedError("; ".join(found.refusals), hint=_hint(found))
    if not request.confirm:
        owned = found.owned.words(found.record) if found.owned else []
        what = "; ".join([*owned, *found.notes])
        raise RefusedError(
            f"tenant {found.record.tenant} would be erased for good: {what}",
            hint="--confirm does it; --final-export DIR|URL gives the customer a copy first, --after 30d leaves time to think",
        )


def _hint(found: Deletion) -> str:
    if any("legal hold" in one for one in found.refusals):
        return "`manor tenant unhold` or `manor backup release` lifts a legal hold"
    return "nothing was changed"


def _done_before(found: ErasureRecord) -> Report:
    document = json.loads(found.certificate)
    where = document.get("database", {})
    record = DatabaseRecord(
        tenant=_tenant_of(found.tenant),
        database=str(where.get("name", "")),
        server=str(where.get("server", "")),
        group=_tenant_of(found.tenant).group,
        template="",
        state="erased",
        role="",
    )
    detail = f"erased on {found.erased_at:%Y-%m-%d}, by operation {found.operation}"
    outcome = Outcome(target=target_of(record), status=Status.SKIPPED, detail=detail)
    return Report(operation="", verb="delete", outcomes=(outcome,), extra={"certificate": document})


def _tenant_of(text: str) -> TenantId:
    return TenantId(*text.split("/"))


async def _schedule(runtime: Runtime, record: DatabaseRecord, *, request: EraseRequest, told: _Told) -> Done:
    """Suspend it until then. The customer's export is made at once: nothing changes in it any more."""
    when = runtime.now() + request.after
    suspension = replace(suspension_of(runtime, record, request.reason), erase_after=when)
    await until_recorded(runtime, lambda: runtime.catalog.suspend(suspension))
    runtime.telemetry.emit("erase.scheduled", runtime.operation, suspension.tenant)
    await shut_out(runtime, record)
    runtime.telemetry.emit("erase.closed", runtime.operation, suspension.tenant)
    facts: dict[str, Any] = {"erase_after": when.isoformat()}
    if request.export_to is not None:
        made = await final_export(runtime, record, request.open_vault(request.export_to))
        await until_recorded(runtime, lambda: runtime.catalog.suspend(replace(suspension, final_export=made)))
        facts["final_export"] = made["file"]
        runtime.telemetry.emit("erase.exported", runtime.operation, suspension.tenant)
    told.notices.append(f"`manor tenant resume {suspension.tenant}` takes it back until then")
    return Done(detail=f"suspended; to be erased after {when:%Y-%m-%d %H:%M} UTC", facts=facts)


async def _erase(runtime: Runtime, record: DatabaseRecord, *, request: EraseRequest, told: _Told) -> Done:
    lock = functools.partial(runtime.catalog.lock, FLEET_LOCK, wait_seconds=request.lock_wait_seconds, holder=runtime.operation)
    # Under the lock of deploys: one that runs has ended, and the next one sees the suspension, then the tombstone.
    async with lock():
        await runtime.catalog.confirm_key()
        await _close(runtime, record, request.reason)
    await _export(runtime, record, request, told)
    async with lock():
        found = await _begin(runtime, record, request)
    location = None if request.no_export else request.export_to or found.subject.get("export_to")
    erasure = Erasure(
        runtime=runtime,
        record=record,
        found=found,
        around=request.around,
        export_to=request.open_vault(location) if location else None,
    )
    steps = await erasure.run()
    others = [one for one in await runtime.catalog.databases() if one.tenant != record.tenant]
    scan = (
        await searched(runtime, record, request.around, steps, others, request.search_for)
        if request.search
        else unsearched(runtime)
    )
    stanza = request.around.stanzas.get(record.server, "")
    document, elsewhere = await certify(runtime, record, found, steps, scan, keep_days=request.keep_days, stanza=stanza)
    told.certificates.append(document)
    told.notices += [f"left: {one}, a backup of another installation" for one in steps.get("backups", {}).get("foreign", ())]
    if elsewhere:
        told.problems.append(_found_elsewhere(record, elsewhere))
    facts = {"key": document[SIGNATURE]["fingerprint"], "search": document["scan"]["result"]}
    return Done(detail=f"erased; {document['scan']['result']}", facts=facts)


async def _close(runtime: Runtime, record: DatabaseRecord, reason: str) -> None:
    """Nobody is in it any more when its erasure begins: until then it is a suspended tenant like any other."""
    tenant = str(record.tenant)
    if tenant in await runtime.catalog.tenant_holds(tenant):
        raise RefusedError(f"tenant {tenant} is under legal hold", hint="`manor tenant unhold` lifts it")
    if await runtime.catalog.erasure(tenant) is None:
        await until_recorded(runtime, lambda: runtime.catalog.suspend(suspension_of(runtime, record, reason)))
        runtime.telemetry.emit("tenant.suspended", runtime.operation, tenant)
    await shut_out(runtime, record)
    runtime.telemetry.emit("tenant.shut_out", runtime.operation, tenant)


async def _export(runtime: Runtime, record: DatabaseRecord, request: EraseRequest, told: _Told) -> None:
    """The customer's copy stands before anything is irrevocable; one that stands there already is not made again."""
    tenant = str(record.tenant)
    if request.export_to is None or await runtime.catalog.erasure_state(tenant):
        return
    vault = request.open_vault(request.export_to)
    before = (await runtime.catalog.suspensions(tenant)).get(tenant)
    if before is not None and before.final_export and before.final_export.get("location") == vault.location:
        return
    if record.database not in await runtime.servers[record.server].databases():  # it never was made
        return
    try:
        made = await final_export(runtime, record, vault)
    except ManorError:
        told.notices.append(
            f"{tenant} is suspended, and nothing of it was erased: `manor tenant resume {tenant}` takes it back"
        )
        raise
    exported = replace(suspension_of(runtime, record, request.reason), final_export=made)
    await until_recorded(runtime, lambda: runtime.catalog.suspend(exported))
    runtime.telemetry.emit("erase.exported", runtime.operation, tenant)


async def _begin(runtime: Runtime, record: DatabaseRecord, request: EraseRequest) -> ErasureRecord:
    tenant = str(record.tenant)
    before = (await runtime.catalog.suspensions(tenant)).get(tenant)
    suspension = before or suspension_of(runtime, record, request.reason)
    begun = ErasureRecord(
        tenant=tenant,
        state="erasing",
        operation=runtime.operation,
        actor=runtime.actor,
        reason=request.reason or suspension.reason,
        subject={**subject_of(record), "export_to": request.export_to or "", "was_due": suspension.erase_after is not None},
        begun_at=runtime.now(),
    )
    event = AuditEvent(
        actor=runtime.actor,
        action="tenant.erase",
        subject=tenant,
        details={"reason": begun.reason, "database": record.database},
    )
    await until_recorded(runtime, lambda: runtime.catalog.begin_erasure(begun, suspension, audit=[event]))
    engrave(runtime, tenant, "erasing")
    if before is not None and before.final_export:
        exported = {"at": str(before.final_export.get("verified_at", "")), **before.final_export}
        await until_recorded(runtime, lambda: runtime.catalog.erasure_step(tenant, "exported", exported))
    runtime.telemetry.emit("erase.begun", runtime.operation, tenant)
    found = await until_recorded(runtime, lambda: runtime.catalog.erasure(tenant))
    if found is None:
        raise NotFoundError(f"the erasure of tenant {tenant} is not recorded")
    return found


def _found_elsewhere(record: DatabaseRecord, hits: Sequence[Hit]) -> Failure:
    places = ", ".join(sorted({f"{hit.where} ({hit.label})" for hit in hits})[:5])
    return Failure(
        code=Code.CORRUPT,
        message=f"tenant {record.tenant} is erased, but {places} still holds what was searched for",
        hint="look there: the certificate lists all of it under scan.hits_elsewhere",
    )


async def delete_due(runtime: Runtime, request: EraseRequest, *, scheduled: bool = False) -> Report:
    """Erase everybody whose grace period is over, and finish what was stopped; one outcome for each. Raises ``ConflictError``
    where another operation holds one of them.

    ``scheduled``: nobody stands behind it, so only those whose deletion was confirmed with a grace period, and whom nobody
    holds.
    """
    notices = await _settled(runtime)
    due = [
        await runtime.catalog.database_by_tenant(t, with_url=False)
        for t in await runtime.catalog.due_for_erasure(runtime.now())
    ]
    records = {str(record.tenant): record for record in [*due, *await _stopped(runtime, only_due=scheduled)]}
    if scheduled:
        held = {claim.tenant for claim in await runtime.catalog.claims(records)}
        records = {tenant: record for tenant, record in records.items() if tenant not in held}
    request = replace(request, confirm=True, after=dt.timedelta())
    if not records:
        return Report(operation="", verb="delete", notices=(*notices, "nobody is due to be erased"))
    return await _carried_out(runtime, list(records.values()), request, _erase_due, notices)


async def _stopped(runtime: Runtime, *, only_due: bool) -> list[DatabaseRecord]:
    """Whose erasure has begun and did not come to its end. ``only_due``: of those that had a grace period."""
    begun = [await runtime.catalog.erasure(one.tenant) for one in await runtime.catalog.erasures() if not one.is_done]
    left = [one for one in begun if one is not None and not one.is_done]
    return [record_of(one.subject) for one in left if not only_due or one.subject.get("was_due")]


async def _erase_due(runtime: Runtime, record: DatabaseRecord, *, request: EraseRequest, told: _Told) -> Done:
    found = await preview(runtime, str(record.tenant), request)
    if isinstance(found, ErasureRecord):
        return Done(detail="erased before", status=Status.SKIPPED)
    refuse(found, request)
    return await _erase(runtime, record, request=request, told=told)
