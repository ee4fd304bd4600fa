"""``manor backup prune``, ``hold`` and ``release``: what is removed, and what must stay.

A backup is removed from storage first and struck off the catalog with its audit entry afterwards, so that dying in between
leaves an entry whose manifest is gone: the next run finishes that. Whoever removes and whoever holds take turns by a lock.
"""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import dataclass

from manor.control.audit import anchor_head
from manor.control.backup.retention import Candidate, Policy, Verdict, judge
from manor.control.catalog.backups import BackupRecord
from manor.control.catalog.records import AuditEvent
from manor.control.operations.backup_list import BackupState, Listed, survey_backups
from manor.control.rollout.backups.vault import Backup, BackupVault, Listing
from manor.control.rollout.retry import until_recorded
from manor.control.runtime import Runtime
from manor.errors import ConflictError, RefusedError
from manor.storage.driver import Found

BACKUPS_LOCK = "backups"
LEFTOVER_AGE = dt.timedelta(days=1)
"""A dump without a manifest that is younger may be waiting for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed, or would be."""

    dry_run: bool
    verdicts: tuple[Verdict, ...]
    removed: tuple[Listed, ...]
    forgotten: tuple[Listed, ...]
    """Entries of the catalog whose manifest was gone."""
    swept: tuple[str, ...]
    """Dumps without a manifest, as messages name them."""
    adopted: tuple[Listed, ...]
    """Backups that stay and that the catalog did not know: it does from now on."""
    foreign: tuple[Listed, ...]
    """Backups that another installation has put there: they are left to it, and count for nothing here."""
    problems: tuple[Listed, ...]
    """Backups that are there and cannot be restored: they are left for somebody to look at, and count for nothing."""


async def prune_backups(
    runtime: Runtime, vault: BackupVault, policy: Policy, *, dry_run: bool = False, lock_wait_seconds: float = 10.0
) -> Pruned:
    """Remove what no rule keeps, strike off what is gone, and sweep what killed backups left."""
    async with runtime.catalog.lock(BACKUPS_LOCK, wait_seconds=lock_wait_seconds, holder=runtime.operation):
        pruned = await _decide(runtime, vault, policy, dry_run)
        if not dry_run:
            await _act(runtime, vault, pruned)
        return pruned


async def _decide(runtime: Runtime, vault: BackupVault, policy: Policy, dry_run: bool) -> Pruned:
    everything, listing = await survey_backups(runtime, vault)
    foreign = [one for one in everything if one.state is BackupState.FOREIGN]
    listed = [one for one in everything if one.state not in (BackupState.ELSEWHERE, BackupState.FOREIGN)]
    living = {str(record.tenant) for record in await runtime.catalog.databases()}
    verdicts = judge(map(_candidate, filter(lambda one: one.usable, listed)), policy, now=runtime.now(), living=living)
    doomed = {verdict.backup.id for verdict in verdicts if not verdict.kept}
    gone = [one for one in listed if one.state is BackupState.GONE]
    return Pruned(
        dry_run=dry_run,
        verdicts=tuple(verdicts),
        removed=tuple(one for one in listed if one.id in doomed),
        forgotten=tuple(one for one in gone if not _is_held(one)),
        adopted=tuple(one for one in listed if one.state is BackupState.UNRECORDED and one.id not in doomed),
        swept=tuple(found.key for found in leftovers(listing, runtime.now())),
        foreign=tuple(foreign),
        problems=tuple(one for one in listed if not one.usable and (one not in gone or _is_held(one))),
    )


def leftovers(listing: Listing, now: dt.datetime) -> list[Found]:
    """Dumps without a manifest that nobody is writing any more. Pure."""
    return [
        found for id_, found in listing.dumps.items() if id_ not in listing.manifests and now - found.modified > LEFTOVER_AGE
    ]


def _candidate(one: Listed) -> Candidate:
    record = one.record
    assert record is not None  # noqa: S101 - it is usable
    return Candidate(id=one.id, tenant=one.tenant, kind=record.kind, made_at=record.made_at, held=bool(record.hold_reason))


def _is_held(one: Listed) -> bool:
    return one.record is not None and bool(one.record.hold_reason)


async def _act(runtime: Runtime, vault: BackupVault, pruned: Pruned) -> None:
    for one in pruned.removed:
        await vault.remove(one.key, one.dump_key)
        runtime.telemetry.emit("backup.removed", runtime.operation, one.tenant, backup=one.id)
        await _forget(runtime, vault, one, "backup.remove")
    found = [one.record for one in pruned.adopted if one.record is not None]
    if found:
        await until_recorded(runtime, functools.partial(runtime.catalog.put_backups, found))
    for one in pruned.forgotten:
        await _forget(runtime, vault, one, "backup.forget")
    for key in pruned.swept:
        await vault.store.delete([key])
        runtime.telemetry.emit("backup.swept", runtime.operation, key)
        event = _event(runtime, "backup.sweep", key.rpartition("/")[0], file=vault.store.display(key))
        await until_recorded(runtime, functools.partial(runtime.catalog.append_audit, runtime.operation, [event]))
    await vault.store.sweep()
    await until_recorded(runtime, lambda: anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation))


async def _forget(runtime: Runtime, vault: BackupVault, one: Listed, action: str) -> None:
    event = _event(runtime, action, one.tenant, backup=one.id, file=vault.store.display(one.key))
    await until_recorded(
        runtime, lambda: runtime.catalog.forget_backups([one.id], operation_id=runtime.operation, audit=[event])
    )
    runtime.telemetry.emit("backup.forgotten", runtime.operation, one.tenant, backup=one.id)


def _event(runtime: Runtime, action: str, subject: str, **details: str) -> AuditEvent:
    return AuditEvent(actor=runtime.actor, action=action, subject=subject, details=details)


async def hold_backup(
    runtime: Runtime, vault: BackupVault, backup_id: str, reason: str, *, lock_wait_seconds: float = 10.0
) -> str:
    """Put a legal hold on a backup: neither retention nor the erasure of its tenant removes it. Returns its tenant.

    One that only storage knows is recorded first. Raises ``NotFoundError``, ``RefusedError`` for one of another installation,
    and ``ConflictError`` where it is held already.
    """
    async with runtime.catalog.lock(BACKUPS_LOCK, wait_seconds=lock_wait_seconds, holder=runtime.operation):
        known = {record.id: record for record in await runtime.catalog.backups()}
        if backup_id not in known:
            found = vault.record_of(await _own(runtime, vault, backup_id))
            await runtime.catalog.put_backups([found])
            known[backup_id] = found
        _refuse_held(known[backup_id], reason, runtime.actor)
        await _hold(runtime, known[backup_id].tenant, backup_id, reason, "backup.hold")
        return known[backup_id].tenant


async def _own(runtime: Runtime, vault: BackupVault, backup_id: str) -> Backup:
    found = await vault.find(backup_id)
    if not found.manifest.is_of(runtime.catalog.id):
        message = f"backup {backup_id} of {found.manifest.tenant} is of another installation ({found.manifest.installation})"
        raise RefusedError(message, hint="hold it there: here nothing removes it")
    return found


def _refuse_held(record: BackupRecord, reason: str, actor: str) -> None:
    """Lifting one hold must not lift another. The same words again are no second one."""
    if record.hold_reason and (record.hold_reason, record.held_by) != (reason, actor):
        raise ConflictError(
            f"backup {record.id} is under legal hold already ({record.hold_reason}), by {record.held_by}",
            hint="there is one hold: release it, and hold with a reason that names both cases",
        )


async def release_backup(runtime: Runtime, backup_id: str, reason: str, *, lock_wait_seconds: float = 10.0) -> str:
    """Take a legal hold off a backup; returns its tenant. Raises ``NotFoundError``, ``RefusedError`` where there is none."""
    async with runtime.catalog.lock(BACKUPS_LOCK, wait_seconds=lock_wait_seconds, holder=runtime.operation):
        record = await runtime.catalog.backup(backup_id)
        if not record.hold_reason:
            raise RefusedError(f"backup {backup_id} has no legal hold")
        await _hold(runtime, record.tenant, backup_id, "", "backup.release", why=reason)
        return record.tenant


async def _hold(runtime: Runtime, tenant: str, backup_id: str, reason: str, action: str, why: str = "") -> None:
    event = _event(runtime, action, tenant, backup=backup_id, reason=reason or why)
    await runtime.catalog.hold_backup(backup_id, reason, by=runtime.actor, operation_id=runtime.operation, audit=[event])
    await anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation)
