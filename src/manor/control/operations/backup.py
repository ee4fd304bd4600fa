"""``manor tenant backup``: a logical backup of each chosen tenant. A failing tenant is named and stops no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from manor.control.catalog.locks import FLEET_LOCK
from manor.control.catalog.records import DatabaseRecord
from manor.control.engines.dumps import DumpForm
from manor.control.operations.release_sources import ReleaseSources
from manor.control.operations.selecting import Selection, select
from manor.control.operations.tenants import refuse_erased
from manor.control.registry.coverage import backup_excluded
from manor.control.rollout.backups.indexing import Indexing
from manor.control.rollout.backups.vault import Backup, BackupVault, new_tenant_key
from manor.control.rollout.errands import Done, Order, run_errands
from manor.control.rollout.release.settle import settle_all
from manor.control.rollout.report import Report
from manor.control.runtime import Runtime
from manor.control.steps import Status
from manor.errors import InputError, NotFoundError, counted

CONNECTIONS = 2
"""Of one backup: one photographs, and pg_dump has its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRequest:
    """What the command line or the API asks for."""

    selection: Selection
    form: DumpForm = DumpForm.CUSTOM
    parallel: int = 4
    """Tenants at once per server."""
    lock_wait_seconds: float = 10.0


async def backup(runtime: Runtime, project: Path, vault: BackupVault, request: BackupRequest) -> Report:
    """Act. Raises before anything is done where the selection names nobody; afterwards every tenant has its outcome."""
    notices = [f"operation {settled.operation} had died: {settled.state}" for settled in await settle_all(runtime)]
    records = await _selected(runtime, request.selection)
    skipped, missing = _skipped(project, records) if request.selection.everyone else ({}, [])
    if vault.encrypt:
        await _make_keys(runtime, records, request.lock_wait_seconds)
    for server in runtime.servers.values():
        server.limit(CONNECTIONS * request.parallel)
    arguments = {"location": vault.location, "form": str(request.form), "encrypted": vault.encrypt}
    order = Order(verb="backup", action="tenant.backup", arguments=arguments, parallel=request.parallel, claims=False)

    indexing = Indexing(runtime, vault)

    async def act(runtime: Runtime, record: DatabaseRecord) -> Done:
        reason = _not_ready(record) or skipped.get(str(record.tenant), "")
        if reason:
            return Done(detail=reason, status=Status.SKIPPED)
        made = await vault.take(runtime, record, form=request.form)
        indexing.put(made)
        return _told(vault, made)

    try:
        report = await run_errands(runtime, order, records, act)
    finally:
        problems = await indexing.flush()
    return replace(report, notices=(*report.notices, *notices, *missing), problems=(*report.problems, *problems))


async def _selected(runtime: Runtime, selection: Selection) -> list[DatabaseRecord]:
    records = await runtime.catalog.databases()
    if not records:  # a schedule of somebody whose catalog was lost must not look well
        hint = "`manor multi-tenant deploy` makes them; where they are there and the catalog was lost: `manor catalog rebuild`"
        raise NotFoundError("the catalog knows of no tenants: nothing was backed up", hint=hint)
    try:
        return select(records, selection)
    except NotFoundError:
        for name in selection.tenants:
            await refuse_erased(runtime, name)
        raise


def _told(vault: BackupVault, made: Backup) -> Done:
    manifest = made.manifest
    facts = {
        "backup": manifest.id,
        "file": vault.store.display(made.dump_key),
        "bytes": manifest.dump.bytes,
        "rows": manifest.photograph.total_rows,
        "version": manifest.photograph.version,
        "encrypted": bool(manifest.encrypted),
    }
    return Done(detail=f"backup {manifest.id}, {counted(manifest.photograph.total_rows, 'row')}: {facts['file']}", facts=facts)


def _not_ready(record: DatabaseRecord) -> str:
    return "" if record.state == "ready" else f"not backed up: it is {record.state}, deploy it first"


def _skipped(project: Path, records: Sequence[DatabaseRecord]) -> tuple[Mapping[str, str], list[str]]:
    """Why tenants are left out, by id, and what was noticed: a registry that cannot be read leaves nobody out."""
    sources = ReleaseSources(project)
    skipped: dict[str, str] = {}
    notices: dict[str, None] = {}
    for record in records:
        try:
            registry = sources.source(record.source).registry
        except InputError as error:
            notices[f"{record.source} cannot be read, all of its tenants are backed up: {error}"] = None
            continue
        if backup_excluded(registry, record.tenant):
            skipped[str(record.tenant)] = f"backup_enabled is false in {record.source}"
    return skipped, list(notices)


async def _make_keys(runtime: Runtime, records: Sequence[DatabaseRecord], wait_seconds: float) -> None:
    """A key for each tenant that has none, under the lock that moving to another key of the catalog takes."""
    have = await runtime.catalog.tenants_with_keys()
    without = [str(record.tenant) for record in records if str(record.tenant) not in have]
    if not without:
        return
    async with runtime.catalog.lock(FLEET_LOCK, wait_seconds=wait_seconds, holder=runtime.operation):
        await runtime.catalog.confirm_key()
        for tenant in without:
            await runtime.catalog.tenant_key(tenant, new_tenant_key)
