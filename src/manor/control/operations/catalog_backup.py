"""``manor catalog backup``: the control plane's own database, by the same means as tenants' databases.

What is secret in it stays encrypted with the keys of the key ring, which are in no backup: keep a copy of them elsewhere.
"""

from __future__ import annotations

import datetime as dt
from contextlib import aclosing

from manor import __version__
from manor.control.audit import anchor_head
from manor.control.backup.manifest import Manifest
from manor.control.catalog.records import AuditEvent
from manor.control.engines.driver import ServerDriver
from manor.control.engines.dumps import DumpForm
from manor.control.rollout.backups.vault import CATALOGS, MANIFEST, Backup, BackupVault, id_of, new_backup_id, newest_first
from manor.control.runtime import Runtime

CATALOG_DATABASE = "manor_catalog"
KIND = "catalog"


async def back_up_catalog(runtime: Runtime, home: ServerDriver, vault: BackupVault, *, keep: int) -> Backup:
    """Take one; of those of this catalog in the store, the newest ``keep`` stay. ``home``: the server that holds the catalog.

    Raises ``ManorError`` with no backup made.
    """
    backup_id, folder = new_backup_id(runtime), f"{CATALOGS}/{runtime.catalog.id}"
    facts = await home.facts()
    async with (
        home.dumps.photographing(CATALOG_DATABASE, ()) as (photograph, snapshot),
        aclosing(home.dumps.dump(CATALOG_DATABASE, form=DumpForm.CUSTOM, snapshot=snapshot)) as chunks,
    ):
        dump = await vault.put_dump(f"{folder}/{backup_id}.dump", chunks)
    runtime.telemetry.emit("backup.stored", runtime.operation, KIND)
    manifest = Manifest(
        id=backup_id,
        kind=KIND,
        tenant="",
        group="",
        template="",
        database=CATALOG_DATABASE,
        server=home.name,
        form=DumpForm.CUSTOM,
        photograph=photograph,
        dump=dump,
        role=facts.user,
        config={"catalog": runtime.catalog.id, "key": runtime.catalog.key_id},
        made_by=runtime.actor,
        made_at=runtime.now().astimezone(dt.UTC),
        operation=runtime.operation,
        manor_version=__version__,
    )
    backup = Backup(key=f"{folder}/{backup_id}{MANIFEST}", manifest=manifest)
    await vault.store.write(backup.key, manifest.to_json())
    runtime.telemetry.emit("backup.sealed", runtime.operation, KIND)
    await _record(runtime, vault, backup)
    await _prune(runtime, vault, folder, keep)
    return backup


async def _record(runtime: Runtime, vault: BackupVault, backup: Backup) -> None:
    details = {"backup": backup.manifest.id, "file": vault.store.display(backup.dump_key), "digest": backup.manifest.digest}
    event = AuditEvent(actor=runtime.actor, action="catalog.backup", subject="catalog", details=details)
    await runtime.catalog.append_audit(runtime.operation, [event])
    await anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation)


async def _prune(runtime: Runtime, vault: BackupVault, folder: str, keep: int) -> None:
    manifests = [found async for found in vault.store.list(folder) if found.key.endswith(MANIFEST)]
    for key in newest_first(manifests)[max(1, keep) :]:
        await vault.remove(key, f"{key.removesuffix(MANIFEST)}.dump")
        runtime.telemetry.emit("backup.removed", runtime.operation, KIND, backup=id_of(key))


def backup_json(vault: BackupVault, backup: Backup) -> dict[str, object]:
    """What the command tells."""
    manifest = backup.manifest
    return {
        "backup": manifest.id,
        "catalog": manifest.config["catalog"],
        "file": vault.store.display(backup.dump_key),
        "bytes": manifest.dump.bytes,
        "rows": manifest.photograph.total_rows,
        "made_at": manifest.made_at.isoformat(),
    }
