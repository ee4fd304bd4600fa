"""``manor tenant sync``: what a source of tenants says, into the catalog's directory.

Look, plan, and one transaction: a sync that is killed leaves the directory as before or as after. Syncs of one source take
turns by a lock, and one whose lock was lost is refused by the catalog if another has written meanwhile.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from manor.control.audit import anchor_head
from manor.control.catalog.catalog import Catalog
from manor.control.catalog.chain import safe_json
from manor.control.catalog.records import AuditEvent, OperationRecord
from manor.control.provision.sync_plan import Comparison, Kind, SyncPlan, digest_of, followers, large_change, plan_sync
from manor.control.registry.directory_home import DirectoryHome
from manor.control.registry.provider import PAGE, TenantRegistryProvider
from manor.control.runtime import Runtime
from manor.control.steps import Failure
from manor.errors import EXIT_OK, EXIT_SOME_FAILED, ManorError, RefusedError

VERB = "sync"
_SHOWN_EVERY = 1_000
"""Tenants between two events of progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """What the command line or the API asks for."""

    source: str
    home: DirectoryHome
    all_configs: bool = False
    """Whether the settings of all tenants are read again, not only of those that are new or differ."""
    plan_digest: str | None = None
    allow_large_change: bool = False
    max_change_percent: float = 30
    lock_wait_seconds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What a sync found, and did."""

    plan: SyncPlan
    operation: str = ""
    """Empty where nothing was written."""
    dry_run: bool = False
    started_at: dt.datetime | None = None
    duration_seconds: float = 0.0
    notices: tuple[str, ...] = ()
    problems: tuple[Failure, ...] = ()

    @property
    def summary(self) -> dict[str, int]:
        """Tenants per kind."""
        return self.plan.count()

    @property
    def exit_code(self) -> int:
        """1 where something went wrong beside the tenants."""
        return EXIT_SOME_FAILED if self.problems else EXIT_OK

    def to_json(self) -> dict[str, Any]:
        """The document of ``--format json``."""
        return {
            "operation": {
                "id": self.operation,
                "verb": VERB,
                "dry_run": self.dry_run,
                "digest": self.plan.digest,
                "source": self.plan.source,
                "started_at": self.started_at.isoformat() if self.started_at else None,
                "duration_seconds": round(self.duration_seconds, 3),
            },
            "summary": self.summary,
            "changes": [
                {"tenant_id": change.tenant, "kind": change.kind, "fields": json.loads(safe_json(dict(change.fields)))}
                for change in self.plan.changes()
            ],
            "notices": list(self.notices),
            "problems": [{"code": str(p.code), "message": p.message, "hint": p.hint} for p in self.problems],
        }


def sync_lock(source: str) -> str:
    """The lock that syncs of a source take turns by."""
    return f"sync of {source}"


async def sync(runtime: Runtime, provider: TenantRegistryProvider, request: SyncRequest) -> SyncReport:
    """Look, plan and write. Where nothing changed, nothing is written. What was kept of the source's answers is let go of.

    Raises what the provider raises, ``ConflictError`` where another sync of the source goes on for too long, and
    ``RefusedError`` where the plan is not the reviewed one or changes more than may change unasked: then nothing is written.
    """
    began, started_at = time.monotonic(), runtime.now()
    lock = runtime.catalog.lock(sync_lock(request.source), wait_seconds=request.lock_wait_seconds, holder=runtime.operation)
    async with lock:
        await provider.forget()  # answers that are kept somewhere are as old as the directory from now on
        generation = await _generation(runtime.catalog, request.source)
        plan = await _look(runtime, provider, request)
        _check(plan, request)
        notices = await _notices(runtime.catalog, plan, request)
        report = SyncReport(plan=plan, started_at=started_at, notices=notices)
        if not plan.entries:
            return replace(report, duration_seconds=time.monotonic() - began)
        await _write(runtime, plan, generation, started_at)
    report = replace(report, operation=runtime.operation, problems=await _anchor(runtime, request))
    return replace(report, duration_seconds=time.monotonic() - began)


async def dry_run(runtime: Runtime | None, provider: TenantRegistryProvider, request: SyncRequest) -> SyncReport:
    """Look and plan only. ``runtime`` is None where there is no catalog yet: every tenant would be new.

    Raises as ``sync`` does, but for the large-change guard, which becomes a notice.
    """
    began = time.monotonic()
    plan = await _look(runtime, provider, request)
    _check_digest(plan, request)
    notices = await _notices(runtime.catalog, plan, request) if runtime is not None else ()
    guard = large_change(plan, request.max_change_percent)
    said = (f"sync would be refused without --allow-large-change: {guard}",) if guard else ()
    return SyncReport(plan=plan, dry_run=True, notices=(*notices, *said), duration_seconds=time.monotonic() - began)


async def _look(runtime: Runtime | None, provider: TenantRegistryProvider, request: SyncRequest) -> SyncPlan:
    catalog = runtime.catalog if runtime is not None else None
    marks = await catalog.directory_marks(request.source) if catalog is not None else {}
    walked = Comparison(request.source, marks)
    async for info in provider.iter_tenants():
        walked.take(info)
        if runtime is not None and len(walked.seen) % _SHOWN_EVERY == 0:
            runtime.telemetry.emit("sync.read", runtime.operation, request.source, tenants=len(walked.seen))
    configs = await _configs(provider, walked, request)
    known = [tenant for tenant in (*walked.differing, *configs) if tenant in marks]
    before = await catalog.directory_records(request.source, known) if catalog is not None else {}
    parts_before = await catalog.source_parts(request.source) if catalog is not None else {}
    return plan_sync(walked, before, configs, parts=provider.parts(), parts_before=parts_before)


async def _configs(provider: TenantRegistryProvider, walked: Comparison, request: SyncRequest) -> dict[str, Mapping[str, Any]]:
    """The settings of those that are new or differ; with ``all_configs`` also of all others whose settings differ."""
    found: dict[str, Mapping[str, Any]] = {}
    wanted = sorted(walked.seen if request.all_configs else walked.differing)
    for start in range(0, len(wanted), PAGE):
        part = await provider.get_tenant_configs(wanted[start : start + PAGE])
        for tenant, config in part.items():
            whose = f"config of tenant {tenant} of {request.source}"
            if tenant in walked.differing or digest_of(config, whose) != walked.marks[tenant].config_digest:
                found[tenant] = config
    return found


async def _generation(catalog: Catalog, source: str) -> int:
    return next((one.generation for one in await catalog.directory_sources() if one.name == source), 0)


async def _notices(catalog: Catalog, plan: SyncPlan, request: SyncRequest) -> tuple[str, ...]:
    named = plan.of(Kind.GONE, Kind.SUSPENDED)
    return followers(plan, await catalog.directory_databases(str(request.home), named)) if named else ()


def _check(plan: SyncPlan, request: SyncRequest) -> None:
    _check_digest(plan, request)
    guard = large_change(plan, request.max_change_percent)
    if guard is not None and not request.allow_large_change:
        raise RefusedError(guard, hint="look at it with --dry-run; --allow-large-change if it is meant")


def _check_digest(plan: SyncPlan, request: SyncRequest) -> None:
    if request.plan_digest is not None and request.plan_digest != plan.digest:
        raise RefusedError(
            f"the plan is {plan.digest[:12]}…, not the reviewed {request.plan_digest[:12]}…",
            hint="the source or the directory changed since the review: look again with --dry-run",
        )


async def _write(runtime: Runtime, plan: SyncPlan, generation: int, started_at: dt.datetime) -> None:
    counts = plan.count()
    record = OperationRecord(
        id=runtime.operation,
        verb=VERB,
        state="succeeded",
        source=plan.source,
        digest=plan.digest,
        started_at=started_at,
        actor=runtime.actor,
        arguments={"tenants": plan.seen} | ({"parts": dict(plan.parts)} if plan.parts else {}),
        summary=counts,
    )
    event = AuditEvent(
        actor=runtime.actor, action="tenant.sync", subject=plan.source, details={**counts, "digest": plan.digest}
    )
    runtime.telemetry.emit("sync.planned", runtime.operation, plan.source, **counts)
    await runtime.catalog.apply_sync(
        record, plan.changes(), plan.records(), generation=generation, tenants=plan.seen, audit=[event]
    )
    runtime.telemetry.emit("sync.recorded", runtime.operation, plan.source)


async def _anchor(runtime: Runtime, request: SyncRequest) -> tuple[Failure, ...]:
    """What fails here is a problem of its own: the directory is written."""
    try:
        await anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation)
    except ManorError as error:
        return (Failure.of(error),)
    runtime.telemetry.emit("audit.anchored", runtime.operation, request.source)
    return ()
