"""Writes into a new catalog what the servers told of the lost one, and gives every tenant's role a new password.

What a kill leaves behind: a catalog whose newest rebuild did not come to its end. A tenant's URL is recorded before its role
gets the password that is in it, so the next run sets that one again.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from manor.control.audit import anchor_break, anchor_head, declare_break
from manor.control.catalog.chain import REBUILT
from manor.control.catalog.kept import KeptRecord
from manor.control.catalog.rebirth import REBUILD
from manor.control.catalog.records import AuditEvent, DatabaseRecord, GoldenRecord, OperationRecord, SuspensionRecord
from manor.control.engines.driver import Fill, FoundDatabase, IsolatedColumn, Login, Marker, ServerDriver
from manor.control.migrate.cohort import script_json
from manor.control.rollout.erasure.erase import shut_out
from manor.control.rollout.rebuild_plan import KEPT_DAYS, Finding, FoundKept, Rebuilt
from manor.control.rollout.remember import remember_servers
from manor.control.rollout.retry import ATTEMPTS, retrying, until_recorded
from manor.control.runtime import Runtime
from manor.control.steps import Failure, Outcome, Status, count_statuses
from manor.control.templates.model import Schema
from manor.errors import CatalogError, ManorError
from manor.tenancy import TenantId, password_of

Golden = tuple[str, str]
"""(server, digest)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenLook:
    """One golden database, and the isolated columns of the tenants that were copied from it."""

    server: str
    database: FoundDatabase
    isolation: tuple[IsolatedColumn, ...]


async def begin(runtime: Runtime, rebuilt: Rebuilt) -> None:
    """Write the first entry of the new log, which says what is lost, and begin the operation. Safe to repeat."""
    content = await runtime.catalog.content()
    details = {"tenants": len(rebuilt.findings), "unknown": list(rebuilt.unknown)[:50]}
    event = AuditEvent(actor=runtime.actor, action=REBUILT, subject="catalog", details=details)
    if content.entries == 0:
        await declare_break(runtime.catalog, runtime.anchor, event, operation_id=runtime.operation)
    elif content.entries == 1:  # the run before died at this very place
        await anchor_break(runtime.catalog, runtime.anchor, operation_id=runtime.operation)
    runtime.telemetry.emit("catalog.begun", runtime.operation, runtime.catalog.id)
    await runtime.catalog.begin_operation(
        OperationRecord(
            id=runtime.operation,
            verb=REBUILD,
            state="running",
            source="",
            digest="",
            started_at=runtime.now(),
            actor=runtime.actor,
            arguments={"targets": len(rebuilt.findings)},
        )
    )
    runtime.telemetry.emit("operation.started", runtime.operation, runtime.catalog.id)


async def restore_stock(runtime: Runtime, rebuilt: Rebuilt, goldens: Sequence[GoldenLook]) -> Mapping[Golden, str]:
    """Everything but the tenants; returns the fingerprint of each golden that could be looked at."""
    catalog = runtime.catalog
    await remember_servers(runtime, ())
    await catalog.raise_tokens(rebuilt.token)
    await catalog.put_scripts([script_json(migration) for migration in rebuilt.scripts])
    await catalog.put_lineages(rebuilt.lineages)
    fingerprints = await record_goldens(runtime, goldens)
    for warm in rebuilt.pool:
        await catalog.pool_add(warm.server, warm.digest, [warm.database])
    for kept in rebuilt.kept:
        await catalog.put_kept(_kept(kept, until=runtime.now() + dt.timedelta(days=KEPT_DAYS)))
    await catalog.put_new_heads(runtime.operation, rebuilt.heads)
    runtime.telemetry.emit("stock.recorded", runtime.operation, catalog.id)
    return fingerprints


async def record_goldens(runtime: Runtime, goldens: Sequence[GoldenLook]) -> dict[Golden, str]:
    """Record goldens that are on the servers; returns the fingerprint of each."""
    fingerprints = {}
    for golden in goldens:
        record = await _golden(runtime, golden)
        await runtime.catalog.put_golden(record)
        fingerprints[record.server, record.digest] = record.fingerprint
        runtime.telemetry.emit("golden.recorded", runtime.operation, record.database, server=record.server)
    return fingerprints


def _kept(found: FoundKept, *, until: dt.datetime) -> KeptRecord:
    """Whether it was replaced or copied is lost, and so is what its release could be undone by: it is kept to be looked at."""
    return KeptRecord(
        server=found.server,
        database=found.database,
        tenant=found.marker.tenant,
        kind="blue",
        operation=found.marker.operation,
        golden=found.marker.digest,
        drop_after=until,
    )


async def _golden(runtime: Runtime, golden: GoldenLook) -> GoldenRecord:
    """Nobody may enter a golden, so a copy is looked at and dropped; one that a kill leaves is swept by the next deploy."""
    server, name, marker = runtime.servers[golden.server], golden.database.name, golden.database.marker
    if marker is None:
        raise CatalogError(f"database {name} on {golden.server} lost its mark while it was looked at")
    fingerprint = await retrying(lambda: _fingerprint(runtime, server, name, golden.isolation), attempts=ATTEMPTS)
    return GoldenRecord(
        server=golden.server, template=marker.template, digest=marker.digest, database=name, fingerprint=fingerprint
    )


async def _fingerprint(runtime: Runtime, server: ServerDriver, golden: str, isolation: Sequence[IsolatedColumn]) -> str:
    copy = f"manor_new_{runtime.catalog.id}_look_{runtime.new_token()}"
    try:
        await server.clone(golden, copy)
        await server.restrict({copy: Marker(catalog=runtime.catalog.id, kind="building", operation=runtime.operation)})
        await server.fill(copy, Fill(schema=Schema(), isolation=tuple(isolation)))
        return (await server.fingerprint(copy, isolation))[0]
    finally:
        await server.drop_database(copy)


async def restore_tenants(
    runtime: Runtime, findings: Sequence[Finding], fingerprints: Mapping[Golden, str], *, parallel: int
) -> list[Outcome]:
    """One outcome per tenant, in the same order."""
    stored = await runtime.catalog.encrypted_urls(f.found.tenant for f in findings)
    slots = {name: asyncio.Semaphore(parallel) for name in runtime.servers}

    async def one(finding: Finding) -> Outcome:
        async with slots[finding.found.server]:
            outcome = await _restored(runtime, finding, fingerprints, stored)
        runtime.telemetry.emit("target.ended", runtime.operation, str(finding.found.tenant), status=str(outcome.status))
        return outcome

    return list(await asyncio.gather(*map(one, findings)))


async def _restored(
    runtime: Runtime, finding: Finding, fingerprints: Mapping[Golden, str], stored: Mapping[TenantId, str]
) -> Outcome:
    failure = finding.failure
    if finding.record is not None and runtime.stop.requested:
        return Outcome(target=finding.target, status=Status.NOT_STARTED, detail="stopped before it was begun")
    if finding.record is not None:
        try:
            return await _record(runtime, finding, finding.record, fingerprints, stored)
        except ManorError as error:
            failure = Failure.of(error)
    outcome = Outcome(
        target=finding.target, status=Status.ERROR, failure=failure, detail=failure.message if failure else "not recorded"
    )
    await until_recorded(runtime, lambda: runtime.catalog.record_results(runtime.operation, [outcome]))
    return outcome


async def _record(
    runtime: Runtime,
    finding: Finding,
    record: DatabaseRecord,
    fingerprints: Mapping[Golden, str],
    stored: Mapping[TenantId, str],
) -> Outcome:
    server = runtime.servers[record.server]
    login = Login(role=record.role, password=_password(runtime, record.tenant, stored) or runtime.new_password())
    # What its golden has, not what it was found with: a database that has drifted must not become its own measure.
    expected = fingerprints.get((record.server, record.golden), record.fingerprint)
    complete = replace(record, url=server.url(record.database, login), fingerprint=expected)
    await until_recorded(runtime, lambda: runtime.catalog.record_intent([complete], runtime.operation))
    runtime.telemetry.emit("target.intent", runtime.operation, str(record.tenant))
    suspended = await _keep_suspended(runtime, finding)
    await retrying(functools.partial(server.set_password, login, record.database), attempts=ATTEMPTS)
    runtime.telemetry.emit("target.unlocked", runtime.operation, str(record.tenant))
    if suspended:  # a new password lets its role log in; nobody has had it yet
        await shut_out(runtime, complete)
        complete = replace(complete, is_active=False)
    drifted = expected != record.fingerprint
    detail = "recorded, new password" + ("; its schema is not that of its golden: see healthcheck" if drifted else "")
    outcome = Outcome(target=finding.target, status=Status.SUCCESS, detail=detail)
    details = {"database": record.database, "server": record.server, "version": record.version}
    event = AuditEvent(actor=runtime.actor, action="tenant.rebuild", subject=str(record.tenant), details=details)
    await until_recorded(
        runtime, lambda: runtime.catalog.record_results(runtime.operation, [outcome], ready=[complete], audit=[event])
    )
    runtime.telemetry.emit("target.recorded", runtime.operation, str(record.tenant))
    return outcome


async def _keep_suspended(runtime: Runtime, finding: Finding) -> bool:
    """Record that a tenant is suspended before anything lets it in; whether it is, by its role or by what a run that died has
    recorded."""
    tenant = str(finding.found.tenant)
    if await until_recorded(runtime, functools.partial(runtime.catalog.suspensions, tenant)):
        return True
    if finding.found.suspended:
        reason = "found suspended when the catalog was rebuilt"
        record = SuspensionRecord(
            tenant=tenant, reason=reason, since=runtime.now(), actor=runtime.actor, operation=runtime.operation
        )
        await until_recorded(runtime, functools.partial(runtime.catalog.suspend, record))
    return finding.found.suspended


def _password(runtime: Runtime, tenant: TenantId, stored: Mapping[TenantId, str]) -> str:
    """The one that a run before recorded; empty where there is none that can be read."""
    try:
        return password_of(runtime.catalog.decrypt_url(tenant, stored[tenant])) if stored.get(tenant) else ""
    except CatalogError:
        return ""


async def end(runtime: Runtime, outcomes: Sequence[Outcome]) -> tuple[Failure, ...]:
    """Record and anchor the end; what fails here is returned."""
    summary = count_statuses(outcomes)
    state = "succeeded" if set(summary) <= {str(Status.SUCCESS)} else "failed"
    event = AuditEvent(actor=runtime.actor, action="catalog.rebuild_end", subject="catalog", details=summary)
    finish = functools.partial(runtime.catalog.finish_operation, runtime.operation, state, summary, audit=[event])
    try:
        await until_recorded(runtime, finish)
        runtime.telemetry.emit("operation.recorded", runtime.operation, runtime.catalog.id, state=state)
        await until_recorded(runtime, lambda: anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation))
    except ManorError as error:
        return (Failure.of(error),)
    runtime.telemetry.emit("operation.ended", runtime.operation, runtime.catalog.id)
    return ()
