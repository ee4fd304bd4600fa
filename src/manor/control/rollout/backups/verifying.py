"""Reads a whole backup and says what is wrong with it: manifest, size, both digests, and the dump's table of contents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from manor.control.catalog.backups import BackupRecord
from manor.control.engines.driver import ServerDriver
from manor.control.engines.dumps import DumpForm
from manor.control.rollout.backups.vault import Backup, BackupVault, Sums
from manor.control.runtime import Runtime
from manor.control.steps import Failure
from manor.errors import Code, EngineError, ManorError, UnsupportedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What reading one backup found."""

    id: str
    tenant: str
    file: str
    bytes: int = 0
    """Read."""
    problem: Failure | None = None
    seconds: float = 0.0


async def verify_backup(runtime: Runtime, vault: BackupVault, key: str, record: BackupRecord | None) -> Backup:
    """Read the backup whose manifest has this key; ``record``: what the catalog knows of it.

    Raises ``ManorError``: ``corrupt``, ``not_found`` (a part of it is gone, its key was destroyed), or what keeps it from being
    read.
    """
    backup = await vault.load(key)
    _require_recorded(vault, backup, record)
    stored = Sums(vault.store.get(backup.dump_key))
    plain = Sums(await vault.plain(runtime, backup, stored))
    unreadable = await _check(_driver(runtime, backup), backup, plain)
    await _drain(plain)
    await _drain(stored)
    vault.require_intact(backup, stored, plain)  # what was altered is told before what it led to
    if unreadable is not None:
        raise unreadable
    return backup


def _require_recorded(vault: BackupVault, backup: Backup, record: BackupRecord | None) -> None:
    if record is None or record.digest == backup.manifest.digest:
        return
    raise ManorError(
        f"{vault.store.display(backup.key)} is not the manifest that was recorded when the backup was made",
        hint="somebody has written another one in its place",
        code=Code.CORRUPT,
    )


async def _check(server: ServerDriver | None, backup: Backup, plain: AsyncIterator[bytes]) -> ManorError | None:
    """Why the table of contents cannot be read, or None. What storage or the envelope raise on the way is raised."""
    if server is None or backup.manifest.form is not DumpForm.CUSTOM:
        return None
    try:
        await server.dumps.check(plain, server_version=backup.manifest.photograph.server_version)
    except (EngineError, UnsupportedError) as error:
        return error
    return None


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    async for _ in chunks:
        pass


def _driver(runtime: Runtime, backup: Backup) -> ServerDriver | None:
    """The server whose programs are asked: the backup's own, where the environment still has it."""
    return runtime.servers.get(backup.manifest.server) or next(iter(runtime.servers.values()), None)
