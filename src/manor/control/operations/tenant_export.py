"""``manor tenant export``: one tenant as a bundle that any PostgreSQL restores, and any other Manor takes in."""

from __future__ import annotations

import asyncio
import functools
import json
import shutil
from pathlib import Path

from manor.control.backup.bundle import FORMAT, OBJECTS, TENANT, release_file, texts
from manor.control.catalog.chain import safe_json
from manor.control.catalog.records import DatabaseRecord
from manor.control.migrate.plan import history_of
from manor.control.operations.tenants import find_record, refuse_undeployed
from manor.control.rollout.backups.bundle_file import bundle_size, pack, refuse_existing
from manor.control.rollout.backups.vault import MANIFEST, Backup, BackupVault
from manor.control.rollout.backups.workroom import sweep_workrooms, workroom
from manor.control.rollout.erasure.places import Surroundings, look_around
from manor.control.rollout.errands import Done, Order, run_errands
from manor.control.rollout.report import Report
from manor.control.runtime import Runtime
from manor.storage import open_store
from manor.storage.store import Store


async def export_tenant(runtime: Runtime, text: str, bundle: Path, around: Surroundings) -> Report:
    """Write the bundle, whole or not at all. Raises ``NotFoundError``, ``RefusedError`` where the tenant is not deployed, and
    ``ConflictError`` where the file is there."""
    record = await find_record(runtime, text)
    refuse_undeployed(record)
    refuse_existing(bundle)
    order = Order(verb="export", action="tenant.export", source=record.source, arguments={"bundle": str(bundle)}, claims=False)
    return await run_errands(runtime, order, [record], functools.partial(_export, bundle=bundle, around=around))


async def _export(runtime: Runtime, record: DatabaseRecord, *, bundle: Path, around: Surroundings) -> Done:
    await asyncio.to_thread(sweep_workrooms, bundle.parent)
    with workroom(bundle.parent) as room:
        folder = room / "bundle"
        await asyncio.to_thread(folder.mkdir)
        backup = await _database(runtime, record, folder)
        versions, unknown = await _releases(runtime, record, folder)
        objects = await _objects(runtime, record, around, folder)
        await _words(record, backup, versions, objects, folder)
        await asyncio.to_thread(pack, folder, bundle)
    size, rows = await asyncio.to_thread(bundle_size, bundle), backup.manifest.photograph.total_rows
    without = f"; without the text of {', '.join(unknown)}, which is recorded nowhere" if unknown else ""
    detail = f"{bundle}: {rows} rows, {len(versions)} migrations, {sum(objects.values())} objects{without}"
    return Done(detail=detail, facts={"bundle": str(bundle), "bytes": size, "rows": rows, "objects": sum(objects.values())})


async def _database(runtime: Runtime, record: DatabaseRecord, folder: Path) -> Backup:
    """Dump and manifest, side by side."""
    vault = BackupVault(open_store(folder / "dump"))
    backup = await vault.take(runtime, record, kind="bundle")
    made = folder / "dump" / str(record.tenant)
    for name in (backup.manifest.dump.key, f"{backup.manifest.id}{MANIFEST}"):
        await asyncio.to_thread((made / name).rename, folder / name)
    await asyncio.to_thread(shutil.rmtree, folder / "dump")
    return backup


async def _releases(runtime: Runtime, record: DatabaseRecord, folder: Path) -> tuple[list[str], list[str]]:
    """The migrations that the tenant has seen, as they were run; (versions, those whose text is not recorded)."""
    _, history = history_of(record, await runtime.catalog.lineages([record.golden]))
    scripts = await runtime.catalog.scripts(checksum for _, checksum, _ in history)
    unknown = []
    for version, checksum, _ in history:
        body = scripts.get((version, checksum))
        if body is None:
            unknown.append(version)
            continue
        name, text = release_file(version, body)
        await _write(folder / name, text)
    return [version for version, _, _ in history], unknown


async def _objects(runtime: Runtime, record: DatabaseRecord, around: Surroundings, folder: Path) -> dict[str, int]:
    """Everything in storage that is the tenant's alone; by location, how many objects."""
    counts = {}
    for number, location in enumerate((await look_around(runtime, record, around)).objects):
        store, target = around.open_store(location), open_store(folder / OBJECTS / str(number))
        counts[location] = await copy_objects(store, target)
    return counts


async def copy_objects(source: Store, target: Store) -> int:
    """Copy all objects of a store; returns how many. What is there already is written anew."""
    count = 0
    async for found in source.list():
        await target.put(found.key, source.get(found.key), overwrite=True)
        count += 1
    return count


async def _words(record: DatabaseRecord, backup: Backup, versions: list[str], objects: dict[str, int], folder: Path) -> None:
    for name, text in texts(backup.manifest).items():
        await _write(folder / name, text)
    (folder / "restore.sh").chmod(0o755)
    document = {
        "format": FORMAT,
        "tenant": str(record.tenant),
        "id": record.tenant.id,
        "name": record.name,
        "template": record.template,
        "backup": backup.manifest.id,
        "schema": record.fingerprint,
        "variables": json.loads(safe_json(dict(record.variables))),
        "history": versions,
        "objects": list(objects.values()),
    }
    await _write(folder / TENANT, json.dumps(document, ensure_ascii=False, indent=2) + "\n")


async def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    await asyncio.to_thread(path.write_text, text, encoding="utf-8")
