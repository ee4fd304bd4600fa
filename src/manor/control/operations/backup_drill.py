"""``manor backup drill``: the newest backup of each tenant is restored into a scratch database, proved and dropped.

The live databases are never touched, and nothing is claimed: drills run beside whatever else runs. A scratch database bears the
name and the marker of one that is being built, so that what a death leaves is dropped by whatever settles the operation.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from manor.control.backup.drill import Waiting, never_drilled, sample
from manor.control.catalog.drills import Drilled, DrillRecord
from manor.control.catalog.records import DatabaseRecord
from manor.control.operations.release_draft import Selection, select
from manor.control.rollout.backups.backup_file import BackupFile
from manor.control.rollout.backups.load import load_beside
from manor.control.rollout.backups.vault import Backup, BackupVault, id_of, newest_first, tenant_of
from manor.control.rollout.errands import Done, Order, run_errands
from manor.control.rollout.release.settle import settle_all
from manor.control.rollout.report import Report
from manor.control.rollout.retry import ATTEMPTS, retrying, until_recorded
from manor.control.runtime import Runtime
from manor.errors import Code, ManorError, NotFoundError
from manor.storage.driver import Found

DRILLED_KINDS = ("logical", "before_change")
"""Backups that a tenant would be restored from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillRequest:
    """What the command line asks for: all, a sample, or tenants by name."""

    selection: Selection
    sample: int | None = None
    """So many of the selection, those first that have waited longest."""
    parallel: int = 4
    """Tenants at once per server."""


async def drill(runtime: Runtime, vault: BackupVault, request: DrillRequest) -> Report:
    """Act; every chosen tenant has its outcome, and one without a backup is an error. Raises before anything is done where the
    selection names nobody."""
    notices = [f"operation {settled.operation} had died: {settled.state}" for settled in await settle_all(runtime)]
    records = [r for r in select(await runtime.catalog.databases(), request.selection) if r.state == "ready"]
    records = _chosen(records, await runtime.catalog.drilled(), request.sample)
    newest = _newest_first((await vault.list()).manifests.values())
    digests = {known.id: known.digest for known in await runtime.catalog.backups(location=vault.location)}
    arguments = {"location": vault.location, "sample": request.sample}
    order = Order(verb="drill", action="backup.drill", arguments=arguments, parallel=request.parallel, claims=False)

    async def act(runtime: Runtime, record: DatabaseRecord) -> Done:
        return await _drill(runtime, vault, record, newest.get(str(record.tenant), ()), digests)

    report = await run_errands(runtime, order, records, act)
    waiting = await show_drills(runtime)
    return replace(report, notices=(*report.notices, *notices, *waiting.words), extra=waiting.to_json())


@dataclass(frozen=True, slots=True, kw_only=True)
class Drills:
    """How the fleet stands."""

    tenants: Sequence[Drilled]
    never: Sequence[str]
    """Tenants of which no drill ever proved a backup, the oldest first."""

    @property
    def words(self) -> tuple[str, ...]:
        """For people; empty where every tenant's backup was proved once."""
        if not self.never:
            return ()
        others = f" and {len(self.never) - 1} more" if len(self.never) > 1 else ""
        return (f"never proved by a drill: {self.never[0]}, the oldest{others}",)

    def to_json(self) -> dict[str, object]:
        """For reports."""
        return {"drills": {"never": len(self.never), "oldest_never": self.never[0] if self.never else None}}


async def show_drills(runtime: Runtime) -> Drills:
    """What became of every tenant's drills; who has waited longest stands first."""
    drilled = await runtime.catalog.drilled()
    return Drills(tenants=drilled, never=never_drilled(map(_waiting, drilled)))


def _chosen(records: Sequence[DatabaseRecord], drilled: Iterable[Drilled], number: int | None) -> list[DatabaseRecord]:
    if number is None:
        return list(records)
    by_tenant = {str(record.tenant): record for record in records}
    names = sample((_waiting(one) for one in drilled if one.tenant in by_tenant), number)
    return [by_tenant[name] for name in names]


def _waiting(one: Drilled) -> Waiting:
    return Waiting(tenant=one.tenant, created_at=one.created_at, last=one.last, last_ok=one.last_ok)


def _newest_first(manifests: Iterable[Found]) -> Mapping[str, Sequence[str]]:
    """Keys of manifests by tenant."""
    by_tenant: dict[str, list[str]] = {}
    for key in newest_first(manifests):
        by_tenant.setdefault(tenant_of(key), []).append(key)
    return by_tenant


async def _drill(
    runtime: Runtime, vault: BackupVault, record: DatabaseRecord, keys: Sequence[str], digests: Mapping[str, str]
) -> Done:
    """One tenant; what became of it is in the catalog, whatever it is."""
    began = time.monotonic()
    told = DrillRecord(operation=runtime.operation, tenant=str(record.tenant), backup=id_of(keys[0]) if keys else "", ok=False)
    try:
        backup = await _newest(vault, record, keys, runtime.catalog.id)
        _require_recorded(vault, backup, digests)
        told = replace(told, backup=backup.manifest.id, backup_made_at=backup.manifest.made_at)
        told = await _prove(runtime, vault, record, backup, told)
    except (ManorError, TimeoutError) as error:
        await _record(runtime, replace(told, problem=str(error) or "not done in time", seconds=time.monotonic() - began))
        raise
    told = replace(told, ok=True, seconds=time.monotonic() - began)
    await _record(runtime, told)
    runtime.telemetry.emit("drill.proved", runtime.operation, told.tenant, seconds=told.seconds, rows=told.rows)
    facts = {"backup": told.backup, "rows": told.rows, "fingerprint": told.fingerprint, "made_at": _moment(backup)}
    return Done(detail=f"backup {told.backup} of {_moment(backup)} was restored and proved, {told.rows} rows", facts=facts)


async def _newest(vault: BackupVault, record: DatabaseRecord, keys: Sequence[str], installation: str) -> Backup:
    for key in keys:
        backup = await vault.load(key)
        if backup.manifest.kind in DRILLED_KINDS and backup.manifest.is_of(installation):
            return backup
    raise NotFoundError(
        f"{record.tenant} has no backup in {vault.location}", hint=f"manor tenant backup --tenant-id {record.tenant}"
    )


def _require_recorded(vault: BackupVault, backup: Backup, digests: Mapping[str, str]) -> None:
    if digests.get(backup.manifest.id, backup.manifest.digest) != backup.manifest.digest:
        where = vault.store.display(backup.key)
        raise ManorError(
            f"{where} is not the manifest that was recorded when the backup was made",
            hint="somebody has written another one in its place: take another backup",
            code=Code.CORRUPT,
        )


async def _prove(
    runtime: Runtime, vault: BackupVault, record: DatabaseRecord, backup: Backup, told: DrillRecord
) -> DrillRecord:
    """Restore into scratch, which is dropped whatever comes. Raises ``ManorError`` where it is not what was written down."""
    file = BackupFile(vault=vault, key=backup.dump_key, form=backup.manifest.form, backup=backup)
    source = file.source(runtime, tenant=told.tenant, role=record.role)
    loaded = await load_beside(runtime, record, source, purpose="drill", scratch=True)
    server = runtime.servers[record.server]
    try:
        if not loaded.photograph.isolated:
            message = f"backup {told.backup} of {told.tenant} holds another tenant's isolated values"
            raise ManorError(message, code=Code.CORRUPT, hint="take another backup")
        return replace(told, rows=loaded.photograph.total_rows, fingerprint=loaded.photograph.fingerprint)
    finally:
        await retrying(functools.partial(server.drop_database, loaded.database), attempts=ATTEMPTS)
        runtime.telemetry.emit("drill.dropped", runtime.operation, told.tenant, database=loaded.database)


def _moment(backup: Backup) -> str:
    return f"{backup.manifest.made_at:%Y-%m-%d %H:%M:%S} UTC"


async def _record(runtime: Runtime, told: DrillRecord) -> None:
    await until_recorded(runtime, functools.partial(runtime.catalog.put_drills, [told]))
