"""``manor tenant restore --dry-run``: what would be done, and whatever can be known beforehand to speak against it."""

from __future__ import annotations

from typing import Any

from manor.control.catalog.records import DatabaseRecord
from manor.control.operations.create import refuse_taken
from manor.control.operations.fleet import Fleet
from manor.control.operations.restore import VERB, Prepared, RestoreRequest, prepare, refuse_unloadable
from manor.control.rollout.backups.backup_file import BackupFile, find_backup
from manor.control.rollout.backups.head import Heads, changed_by_hand
from manor.control.rollout.backups.known_schemas import known_schemas
from manor.control.rollout.backups.vault import BackupVault
from manor.control.rollout.release.move import target_of
from manor.control.rollout.report import Report
from manor.control.runtime import Runtime
from manor.control.steps import Outcome, Status, Target
from manor.errors import NotFoundError, counted
from manor.tenancy import TenantId


async def dry_run(runtime: Runtime, configured: BackupVault | None, request: RestoreRequest) -> Report:
    """Look only. Raises as ``restore`` does before it begins, and ``RefusedError`` where the backup's schema was changed by
    hand and nobody said to keep it."""
    prepared = await prepare(runtime, configured, request)
    await _refuse_changed(runtime, prepared, request.manner.heads)
    record = prepared.record
    return _report(runtime, prepared.file, target_of(record), record.source, f"beside {record.database}")


async def dry_run_as(
    runtime: Runtime, configured: BackupVault | None, request: RestoreRequest, fleet: Fleet, tenant: TenantId
) -> Report:
    """The same for a tenant that is not there: ``tenant``, which ``fleet`` declares, would be made first. Raises as that and
    the restore would before they begin."""
    await refuse_taken(runtime, fleet, tenant)
    (target,) = fleet.select(only=str(tenant))
    file = await find_backup(runtime, configured, request.backup_file, base=request.base)
    if target.server in runtime.servers:
        await refuse_unloadable(file, runtime.servers[target.server])
    words = f"into tenant {tenant}, which would be made first"
    return _report(runtime, file, target, fleet.source.shown_as, words)


async def _refuse_changed(runtime: Runtime, prepared: Prepared, heads: Heads) -> None:
    """Only for backups of this very server: elsewhere the names of roles make another schema of the same one."""
    made, record = prepared.file.manifest, prepared.record
    if made is None or heads is Heads.KEEP or not await _is_of_here(runtime, made.id, made.server, record):
        return
    known = await known_schemas(runtime, record, made.golden)
    if known.is_changed(made.photograph, made.golden):
        raise changed_by_hand(made.photograph.version)


async def _is_of_here(runtime: Runtime, backup: str, server: str, record: DatabaseRecord) -> bool:
    try:
        await runtime.catalog.backup(backup)
    except NotFoundError:
        return False
    return server == record.server


def _report(runtime: Runtime, file: BackupFile, target: Target, source: str, where: str) -> Report:
    made = file.manifest
    facts: dict[str, Any] = {"from": file.described}
    what = f"a dump without manifest ({file.form})"
    if made is not None:
        rows, at = made.photograph.total_rows, made.photograph.version or "no version"
        what = f"{counted(rows, 'row')} of {made.photograph.taken_at:%Y-%m-%d %H:%M:%S} UTC at {at}"
        facts |= {"backup": made.id, "rows": rows, "version": made.photograph.version, "bytes": made.dump.bytes}
        facts |= {"taken_at": made.photograph.taken_at.isoformat(), "of": made.tenant}
    detail = f"would load {what} {where}, verify it, and switch to it"
    outcome = Outcome(target=target, status=Status.PENDING, detail=detail, facts=facts)
    return Report(operation=runtime.operation, verb=VERB, dry_run=True, source=source, outcomes=(outcome,))
