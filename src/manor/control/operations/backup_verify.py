"""``manor backup verify``: reads whole backups and names each that is not what it was."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from manor.control.operations.backup_list import BackupState, Listed, list_backups
from manor.control.rollout.backups.vault import BackupVault
from manor.control.rollout.backups.verifying import Verified, verify_backup
from manor.control.rollout.retry import retrying
from manor.control.runtime import Runtime
from manor.control.steps import Failure
from manor.errors import Code, ManorError

_NOT_OURS = (BackupState.ELSEWHERE, BackupState.FOREIGN)
AT_ONCE = 2
"""Backups read at the same time."""


async def verify_backups(runtime: Runtime, vault: BackupVault, *, tenant: str | None = None) -> list[Verified]:
    """One result per backup of one tenant (its full id) or of all, by tenant, the newest first; dumps without a manifest are
    none, and those of other installations are theirs to verify. The catalog remembers what was found."""
    listed = await list_backups(runtime, vault, tenant=tenant)
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(backup: Listed) -> Verified:
        async with slots:
            return await _verified(runtime, vault, backup)

    return list(await asyncio.gather(*(one(backup) for backup in listed if backup.state not in _NOT_OURS)))


async def _verified(runtime: Runtime, vault: BackupVault, backup: Listed) -> Verified:
    began = time.monotonic()
    found = Verified(id=backup.id, tenant=backup.tenant, file=vault.store.display(backup.key))
    record = backup.record if backup.state is not BackupState.UNRECORDED else None
    try:
        read = await retrying(lambda: verify_backup(runtime, vault, backup.key, record), attempts=2)
        found = replace(found, file=vault.store.display(read.dump_key), bytes=read.manifest.dump.bytes)
    except ManorError as error:
        found = replace(found, problem=Failure.of(error))
    runtime.telemetry.emit("backup.verified", runtime.operation, backup.tenant, backup=backup.id, ok=found.problem is None)
    if record is not None and not _tells_nothing(found.problem):
        await runtime.catalog.record_verified(backup.id, found.problem.message if found.problem else "")
    return replace(found, seconds=time.monotonic() - began)


def _tells_nothing(problem: Failure | None) -> bool:
    """Whether it only says that nobody could look."""
    return problem is not None and problem.code in (Code.UNREACHABLE, Code.DENIED, Code.UNSUPPORTED, Code.TIMEOUT)
