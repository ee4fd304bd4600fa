"""``manor tenant import``: a bundle becomes a tenant, on this installation or on another one.

Every file of the bundle is compared with its checksum before anything is changed. Then the tenant is made as ``tenant create``
makes one, and what the bundle holds takes the place of its rows as a restore does: beside, proved, switched.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manor.control.audit import anchor_head
from manor.control.backup.bundle import FORMAT, OBJECTS, TENANT, corrupt
from manor.control.backup.manifest import Manifest
from manor.control.catalog.records import AuditEvent
from manor.control.operations.create import create_tenant
from manor.control.operations.fleet import Fleet
from manor.control.operations.restore import Manner, begin, restore_source
from manor.control.operations.tenant_export import copy_objects
from manor.control.rollout.backups.backup_file import BackupFile
from manor.control.rollout.backups.bundle_file import unpacked_below
from manor.control.rollout.backups.head import Heads
from manor.control.rollout.backups.load import Source
from manor.control.rollout.backups.vault import MANIFEST, Backup, BackupVault
from manor.control.rollout.erasure.places import Surroundings, look_around
from manor.control.rollout.report import Report
from manor.control.rollout.retry import until_recorded
from manor.control.runtime import Runtime
from manor.errors import EXIT_OK, RefusedError, UnsupportedError
from manor.storage import open_store
from manor.tenancy import TenantId

_BEGUN, _ENDED = "tenant.import_begin", "tenant.import"
_REMEMBERED = 200
"""Entries of the audit log about one tenant that are looked at."""

Again = Callable[[Runtime], Runtime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """One that was unpacked, every checksum compared."""

    folder: Path
    tenant: str
    """Full id of the tenant that it was made of."""
    id: str
    name: str
    template: str
    backup: str
    objects: tuple[int, ...]
    """How many objects each location of its own installation held."""
    schema: str = ""
    """Fingerprint that the tenant was recorded with where it was made; empty: an older Manor did not write it down."""


@contextlib.asynccontextmanager
async def opened_bundle(bundle: Path, *, state: Path) -> AsyncIterator[Bundle]:
    """Unpack below ``state`` for as long as the block. Raises ``ManorError`` (``corrupt``), ``InputError``,
    ``UnsupportedError`` for a newer format."""
    folder = await asyncio.to_thread(unpacked_below, state, bundle)
    try:
        yield _read(folder)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _read(folder: Path) -> Bundle:
    try:
        told: dict[str, Any] = json.loads((folder / TENANT).read_text(encoding="utf-8"))
        if told["format"] > FORMAT:
            raise UnsupportedError(f"the bundle has format {told['format']}, this Manor reads up to {FORMAT}")
        return Bundle(
            folder=folder,
            tenant=told["tenant"],
            id=told["id"],
            name=told["name"],
            template=told["template"],
            backup=told["backup"],
            objects=tuple(told["objects"]),
            schema=str(told.get("schema", "")),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise corrupt(f"{TENANT} cannot be read ({type(error).__name__})") from error


async def import_bundle(
    runtime: Runtime,
    fleet: Fleet,
    tenant: TenantId,
    bundle: Bundle,
    around: Surroundings,
    *,
    again: Again,
    keep_head: bool = False,
    lock_wait_seconds: float = 10.0,
) -> Report:
    """Make ``tenant``, which ``fleet`` declares, and give it what the bundle holds. ``again``: the runtime under another
    operation's id. ``keep_head``: as it is, at its own release and with what was changed by hand.

    Raises before anything is changed where that cannot be; a tenant that an import that died has made is gone on with.
    """
    vault = BackupVault(open_store(bundle.folder))
    backup = await _whole(vault, bundle)
    _refuse_other_template(fleet, tenant, bundle)
    _refuse_changed(bundle, backup.manifest, keep_head)
    if sum(bundle.objects) and len(around.objects) != len(bundle.objects):
        raise RefusedError(
            "the bundle holds objects, and this environment has no place for them",
            hint="settings.erasure.storage in environ.yaml names as many locations as the one that it comes from",
        )
    made = await _made(runtime, fleet, tenant, bundle, lock_wait_seconds)
    if made is not None and made.exit_code != EXIT_OK:
        return replace(made, verb="import")
    record = await begin(runtime, str(tenant))
    for number, location in enumerate((await look_around(runtime, record, around)).objects):
        await copy_objects(open_store(bundle.folder / OBJECTS / str(number)), around.open_store(location))
    file = BackupFile(vault=vault, key=backup.manifest.dump.key, form=backup.manifest.form, backup=backup)

    @contextlib.asynccontextmanager
    async def opening(*_: object) -> AsyncIterator[Source]:
        source = file.source(runtime, tenant=str(tenant), role=record.role)
        # A role that this server never had has nothing to hand on; where the dump names it all the same, loading copes.
        there = await runtime.servers[record.server].roles()
        yield replace(source, roles={old: new for old, new in source.roles.items() if old in there})

    manner = Manner(heads=Heads.KEEP if keep_head else Heads.MIGRATE, grace_seconds=0.0)
    told = {"bundle_of": bundle.tenant, "backup": bundle.backup}
    report = await restore_source(again(runtime), record, opening, manner, told)
    if report.exit_code == EXIT_OK:
        await _tell(runtime, _ENDED, tenant, bundle)
    return replace(report, verb="import")


async def _whole(vault: BackupVault, bundle: Bundle) -> Backup:
    """Manifest and dump, which must be of one another. ``vault.load`` would miss the tenant's folder."""
    key = f"{bundle.backup}{MANIFEST}"
    backup = Backup(key=key, manifest=Manifest.from_json(await vault.store.read(key), named=key))
    async for _ in vault.proved(backup):
        pass
    return backup


def _refuse_other_template(fleet: Fleet, tenant: TenantId, bundle: Bundle) -> None:
    template = next(target.template for target in fleet.targets if target.tenant == tenant)
    if template != bundle.template:
        raise RefusedError(
            f"the bundle is of template {bundle.template}, tenants of group {tenant.group} are of {template}",
            hint="--group G of the same template",
        )


def _refuse_changed(bundle: Bundle, made: Manifest, keep_head: bool) -> None:
    if not keep_head and bundle.schema not in ("", made.photograph.fingerprint):
        raise RefusedError(
            f"somebody had changed the schema of {bundle.tenant} by hand before the bundle was made: it is not the one of "
            f"{made.photograph.version or 'its template'}",
            hint="--keep-head takes it in as it is; `manor tenant show TENANT --drift` tells the differences then",
        )


async def _made(runtime: Runtime, fleet: Fleet, tenant: TenantId, bundle: Bundle, wait_seconds: float) -> Report | None:
    """Make the tenant; None where an import that died has made it."""
    known = {str(record.tenant): record for record in await runtime.catalog.databases(source=fleet.source.shown_as)}
    found = known.get(str(tenant))
    if found is not None and found.state == "ready":
        told = await runtime.catalog.audit_entries(subject=str(tenant), limit=_REMEMBERED)
        newest = next((entry.action for entry in told if entry.action in (_BEGUN, _ENDED)), "")
        if newest == _BEGUN:
            return None
    else:
        await _tell(runtime, _BEGUN, tenant, bundle)
    return await create_tenant(runtime, fleet, tenant, lock_wait_seconds=wait_seconds)


async def _tell(runtime: Runtime, action: str, tenant: TenantId, bundle: Bundle) -> None:
    details = {"bundle_of": bundle.tenant, "backup": bundle.backup}
    event = AuditEvent(actor=runtime.actor, action=action, subject=str(tenant), details=details)
    await until_recorded(runtime, lambda: runtime.catalog.append_audit(runtime.operation, [event]))
    await anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation)
