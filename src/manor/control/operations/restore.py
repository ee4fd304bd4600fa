"""``manor tenant restore``: a backup becomes a tenant's database, beside the live one first, and back again with ``--undo``."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from manor.control.catalog.records import DatabaseRecord
from manor.control.engines.driver import ServerDriver
from manor.control.operations.tenants import find_record, refuse_undeployed, server_of
from manor.control.rollout.backups.backup_file import BackupFile, find_backup
from manor.control.rollout.backups.head import Heads, refuse_other_head
from manor.control.rollout.backups.load import Source, load_beside
from manor.control.rollout.backups.put_in_place import newest_kept, put_in_place, take_back
from manor.control.rollout.backups.vault import BackupVault
from manor.control.rollout.errands import Done, Order, run_errands
from manor.control.rollout.release.settle import settle_all
from manor.control.rollout.release.swap_recovery import drop_expired
from manor.control.rollout.report import Report
from manor.control.rollout.verify import recorded_isolation
from manor.control.runtime import Runtime
from manor.errors import Code, EngineError, NotFoundError, RefusedError, UnsupportedError

VERB = "restore"
Opening = Callable[[Runtime, DatabaseRecord], AbstractAsyncContextManager[Source]]
"""Brings about what is to be loaded, and clears away afterwards what it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How what was loaded is put in place."""

    heads: Heads = Heads.REFUSE
    grace_seconds: float = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """What the command line or the API asks for."""

    tenant: str
    """Whose backup it is: a full id, or a short id or database name that is unique."""
    backup_file: str
    """A path, a URL, or the id of a backup."""
    into: str | None = None
    """The tenant that gets it, which exists; None: the same."""
    without_manifest: bool = False
    manner: Manner = field(default_factory=Manner)
    base: Path
    """What relative paths count from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A restore that nothing speaks against, as far as can be seen beforehand."""

    record: DatabaseRecord
    """The tenant that gets it."""
    file: BackupFile
    source: Source


async def restore(runtime: Runtime, configured: BackupVault | None, request: RestoreRequest) -> Report:
    """Act. ``configured``: the environment's own store of backups. Raises before anything is changed where the backup cannot be
    the right one; afterwards the tenant has its outcome in the report."""
    await _begin(runtime)
    prepared = await prepare(runtime, configured, request)
    arguments = {"backup": prepared.file.described, "of": prepared.source.tenant}

    @contextlib.asynccontextmanager
    async def opening(*_: object) -> AsyncIterator[Source]:
        yield prepared.source

    return await restore_source(runtime, prepared.record, opening, request.manner, arguments)


async def restore_source(
    runtime: Runtime, record: DatabaseRecord, opening: Opening, manner: Manner, arguments: dict[str, Any]
) -> Report:
    """Load what ``opening`` brings about and switch the tenant of ``record`` to it. ``arguments``: for the journal.

    Raises ``ConflictError`` where another operation holds the tenant; what fails later is the tenant's outcome.
    """
    order = Order(
        verb=VERB,
        action="tenant.restore",
        source=record.source,
        arguments={**arguments, "heads": str(manner.heads), "grace_seconds": manner.grace_seconds},
    )
    runtime.telemetry.emit("operation.planned", runtime.operation, targets=1)
    return await run_errands(runtime, order, [record], functools.partial(_carry_out, opening=opening, manner=manner))


async def _carry_out(runtime: Runtime, record: DatabaseRecord, *, opening: Opening, manner: Manner) -> Done:
    record = await _as_it_is(runtime, record)
    async with opening(runtime, record) as source:
        loaded = await load_beside(runtime, record, source, purpose=VERB)
    done = await put_in_place(runtime, record, loaded, heads=manner.heads, grace_seconds=manner.grace_seconds)
    detail = f"{done.detail}; {source.told}" if source.told else done.detail
    return replace(done, detail=detail, facts={**done.facts, "from": source.described})


async def _as_it_is(runtime: Runtime, record: DatabaseRecord) -> DatabaseRecord:
    """The record once the tenant is ours: a release may have ended since it was read."""
    found = await runtime.catalog.database_by_tenant(str(record.tenant), with_url=False)
    refuse_unready(found)
    return found


async def undo_restore(runtime: Runtime, tenant: str, *, discard_writes: bool, grace_seconds: float) -> Report:
    """Put back what the tenant's last restore replaced. Raises as ``restore``; where somebody wrote since, the outcome is an
    error unless ``discard_writes``."""
    await _begin(runtime)
    record = await find_ready(runtime, tenant)
    kept = await newest_kept(runtime, record)
    order = Order(
        verb="restore undo",
        action="tenant.restore_undo",
        source=record.source,
        arguments={"kept": kept.database, "discard_writes": discard_writes},
    )

    async def act(runtime: Runtime, record: DatabaseRecord) -> Done:
        record = await _as_it_is(runtime, record)
        return await take_back(runtime, record, discard_writes=discard_writes, grace_seconds=grace_seconds)

    runtime.telemetry.emit("operation.planned", runtime.operation, targets=1)
    return await run_errands(runtime, order, [record], act)


async def begin(runtime: Runtime, tenant: str) -> DatabaseRecord:
    """What comes before every restore of a tenant that is there. Raises where it cannot be switched."""
    await _begin(runtime)
    return await find_ready(runtime, tenant)


async def _begin(runtime: Runtime) -> None:
    await runtime.catalog.confirm_key()
    await settle_all(runtime)
    await drop_expired(runtime)


async def prepare(runtime: Runtime, configured: BackupVault | None, request: RestoreRequest) -> Prepared:
    """Look at everything that can be seen without loading. Raises what speaks against it; changes nothing."""
    record = await find_ready(runtime, request.into or request.tenant)
    file = await find_backup(
        runtime, configured, request.backup_file, base=request.base, without_manifest=request.without_manifest
    )
    await _refuse_other_tenant(runtime, file, record, request)
    await refuse_unloadable(file, server_of(runtime, record))
    await require_key(runtime, file)
    made = file.manifest
    if made is not None:
        refuse_other_head(record, made.golden, made.photograph.version, request.manner.heads)
    source = file.source(runtime, tenant=str(record.tenant), role=record.role)
    return Prepared(record=record, file=file, source=source)


async def find_ready(runtime: Runtime, text: str) -> DatabaseRecord:
    """The tenant of that name. Raises ``RefusedError`` and ``EngineError`` where its database could not be switched."""
    record = await find_record(runtime, text)
    refuse_unready(record)
    server = server_of(runtime, record)
    obstacles = await server.swaps.obstacles(record.database)
    if obstacles:
        raise EngineError(
            f"database {record.database} could not be switched: {'; '.join(obstacles)}",
            hint="end that first: COMMIT PREPARED or ROLLBACK PREPARED, or drop the slot",
            code=Code.CONFLICT,
        )
    return record


def refuse_unready(record: DatabaseRecord) -> None:
    """Raise ``RefusedError`` for a tenant that is not in service."""
    refuse_undeployed(record)
    if not record.is_active:
        raise RefusedError(
            f"tenant {record.tenant} is suspended: nothing is restored behind its back",
            hint=f"`manor tenant resume --tenant-id {record.tenant}` first",
        )


async def _refuse_other_tenant(runtime: Runtime, file: BackupFile, record: DatabaseRecord, request: RestoreRequest) -> None:
    """A backup is for the tenant that it was made of, or by name for another one of the same template."""
    made = file.manifest
    if made is None:
        if request.into and recorded_isolation(record.config):
            raise RefusedError(
                f"{file.described} has no manifest, so nobody knows what its isolated columns hold",
                hint="a dump without manifest can only be restored into the tenant that it was made of",
            )
        return
    await owner_of(runtime, file, request.tenant)
    if made.template != record.template:
        raise RefusedError(
            f"{file.described} is of template {made.template}, {record.tenant} is of {record.template}",
            hint="restore into a tenant of the same template",
        )


async def owner_of(runtime: Runtime, file: BackupFile, tenant: str) -> DatabaseRecord | None:
    """The tenant whose backup it is; None where it is gone by now. Raises ``RefusedError`` where that is not ``tenant``."""
    try:
        record = await runtime.catalog.database_by_tenant(tenant, with_url=False)
    except NotFoundError:
        record = None
    named = str(record.tenant) if record is not None else tenant
    if file.manifest is not None and file.manifest.tenant != named:
        raise RefusedError(
            f"{file.described} is a backup of tenant {file.manifest.tenant}, not of {named}",
            hint=f"--tenant-id {file.manifest.tenant} --as {named} restores it into the other tenant, if that is meant",
        )
    return record


async def require_key(runtime: Runtime, file: BackupFile) -> None:
    """Raise ``CatalogError`` (``not_found``) where an encrypted backup's key was destroyed, or never was here."""
    if file.manifest is not None and file.manifest.encrypted:
        await runtime.catalog.secret_for(file.manifest.tenant, file.manifest.encrypted)


async def refuse_unloadable(file: BackupFile, server: ServerDriver) -> None:
    """Raise ``UnsupportedError`` for a dump of a newer major version than ``server`` is, or of another engine."""
    made = file.manifest
    if made is None:
        return
    facts = await server.facts()
    if made.photograph.engine != facts.engine:
        raise UnsupportedError(
            f"{file.described} is a dump of {made.photograph.engine}, server {server.name} is {facts.engine}"
        )
    then, now = _major(made.photograph.server_version), _major(facts.version)
    if then > now:
        raise UnsupportedError(
            f"{file.described} is a dump of version {then}, and server {server.name} is {now}: an older server cannot load it",
            hint=f"restore into a tenant on a server of version {then} or newer",
        )


def _major(version: str) -> int:
    return int(version.partition(".")[0].split()[0])
