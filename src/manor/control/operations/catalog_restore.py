"""``manor catalog restore``: a backup of the catalog takes the place of a lost one.

It is loaded beside, compared with its manifest, gets the entry that says what its log lacks, and is renamed last: a death
before that leaves the servers without a catalog, as they were, and one more anchor.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from manor.control.audit import declare_break
from manor.control.backup.manifest import Manifest
from manor.control.catalog.chain import RESTORED
from manor.control.catalog.records import AuditEvent, DatabaseRecord
from manor.control.engines.dumps import differences
from manor.control.operations.catalog_backup import KIND
from manor.control.operations.rebuild_look import Looks, look_at_servers
from manor.control.operations.recovery import Recovery, make_room, refuse_in_use
from manor.control.rollout.backups.backup_file import split_location
from manor.control.rollout.backups.vault import MANIFEST, Backup, BackupVault, id_of
from manor.control.rollout.erasure.graves import bury_again
from manor.control.rollout.rebuild import GoldenLook, record_goldens
from manor.control.rollout.rebuild_plan import tenants_of
from manor.control.rollout.retry import ATTEMPTS, retrying
from manor.control.rollout.verify import recorded_isolation
from manor.control.runtime import Runtime
from manor.errors import Code, EngineError, RefusedError
from manor.storage import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredCatalog:
    """What came back, and what it does not know."""

    catalog: str
    backup: Backup
    tenants: int
    unrecorded: tuple[str, ...]
    """Tenants made since, by the marks of their databases."""
    missing: tuple[str, ...]
    """Recorded tenants whose databases are not where the catalog believes."""
    erased: tuple[str, ...] = ()
    """Tenants erased since: what the backup held of them is erased again."""


async def restore_catalog(recovery: Recovery, backup_file: str, *, base: Path) -> RestoredCatalog:
    """Bring a backup back. ``backup_file``: path or URL of the dump or of its manifest.

    Raises ``RefusedError`` where the catalog is there and has tenants, ``ManorError`` (``corrupt``) for a backup that was
    altered or cut, ``CatalogError`` where the key that it needs is not in the key ring: then nothing is changed.
    """
    await refuse_in_use(recovery)
    vault, backup = await _find(backup_file, base)
    catalog_id = str(backup.manifest.config["catalog"])
    recovery.place.secrets.check(str(backup.manifest.config["key"]))
    looks = await look_at_servers(recovery.servers)
    building = f"manor_new_{catalog_id}_catalog_{backup.manifest.id[-8:]}"
    await recovery.place.create_beside(building)
    try:
        await _load(recovery, vault, backup, building)
        async with await recovery.place.enter(building) as catalog:
            runtime = recovery.runtime(catalog)
            buried = await bury_again(runtime, recovery.tombstones.of(catalog_id))
            records = await catalog.databases()
            await _go_on(runtime, backup, records, looks)
        await make_room(recovery, catalog_id)
        await _clear(recovery)
        await recovery.place.put_in_place(building)
    except BaseException:  # cancellation too: nothing is left beside
        await recovery.place.drop_beside(building)
        raise
    return replace(_told(catalog_id, backup, records, looks), erased=tuple(buried))


async def _find(text: str, base: Path) -> tuple[BackupVault, Backup]:
    location, name = split_location(text)
    vault = BackupVault(open_store(location, base=base))
    backup = await vault.load(f"{id_of(name)}{MANIFEST}")
    if backup.manifest.kind != KIND or not {"catalog", "key"} <= backup.manifest.config.keys():
        raise RefusedError(f"{text} is a backup of {backup.manifest.tenant or 'something else'}, not of a catalog")
    return vault, backup


async def _load(recovery: Recovery, vault: BackupVault, backup: Backup, building: str) -> None:
    manifest, dumps = backup.manifest, recovery.home.dumps
    user = (await recovery.home.facts()).user
    await dumps.load(building, vault.proved(backup), form=manifest.form, roles={manifest.role: user})
    _compare(manifest, differences(manifest.photograph, await dumps.photograph(building, ())))


def _compare(manifest: Manifest, problems: Sequence[str]) -> None:
    if problems:
        raise EngineError(
            f"what came out of backup {manifest.id} is not what was written down: {'; '.join(problems[:5])}",
            hint="nothing was changed; restore another backup",
            code=Code.CORRUPT,
        )


async def _go_on(runtime: Runtime, backup: Backup, records: Sequence[DatabaseRecord], looks: Looks) -> None:
    """Whatever was handed out since the backup is behind: the log's entries, and the numbers that fence runners off."""
    highest = 0
    for record in records:
        if record.database in looks.get(record.server, {}):
            releases = runtime.servers[record.server].releases
            token = await retrying(functools.partial(releases.token, record.database), attempts=ATTEMPTS)
            highest = max(highest, token)
    await runtime.catalog.raise_tokens(highest)
    await record_goldens(runtime, [golden async for golden in _unknown_goldens(runtime, records, looks)])
    details = {"backup": backup.manifest.id, "made_at": backup.manifest.made_at.isoformat()}
    event = AuditEvent(actor=runtime.actor, action=RESTORED, subject="catalog", details=details)
    await declare_break(runtime.catalog, runtime.anchor, event, operation_id=runtime.operation)
    runtime.telemetry.emit("catalog.loaded", runtime.operation, runtime.catalog.id)


async def _unknown_goldens(runtime: Runtime, records: Sequence[DatabaseRecord], looks: Looks) -> AsyncIterator[GoldenLook]:
    """Goldens of releases that came after the backup: by them ``--verify`` knows the schemas that tenants have now."""
    isolation = {record.template: recorded_isolation(record.config) for record in records}
    for server, look in looks.items():
        known = {golden.database for golden in await runtime.catalog.goldens(server)}
        for name, found in sorted(look.items()):
            marker = found.marker
            if marker is None or (marker.catalog, marker.kind) != (runtime.catalog.id, "golden") or found.broken:
                continue
            if name not in known and marker.template in isolation:
                yield GoldenLook(server=server, database=found, isolation=isolation[marker.template])


async def _clear(recovery: Recovery) -> None:
    """Drop a catalog that is still in its place: one that was never used, or that is half rebuilt."""
    if recovery.found is not None:
        await recovery.place.drop()


def _told(catalog_id: str, backup: Backup, records: Sequence[DatabaseRecord], looks: Looks) -> RestoredCatalog:
    known = {str(record.tenant) for record in records}
    marked = {str(found.tenant) for found in tenants_of(catalog_id, looks)}
    missing = [str(r.tenant) for r in records if r.state == "ready" and r.database not in looks.get(r.server, {})]
    return RestoredCatalog(
        catalog=catalog_id,
        backup=backup,
        tenants=len(records),
        unrecorded=tuple(sorted(marked - known)),
        missing=tuple(missing),
    )
