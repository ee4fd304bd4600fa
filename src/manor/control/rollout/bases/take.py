"""Takes a base backup of one server: refused early or finished whole. One at a time per server."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from manor.control.backup.base_chain import FIRST_MAJOR, choose_parent
from manor.control.backup.base_manifest import MANIFEST, BaseDatabase, BaseManifest
from manor.control.backup.tar_split import FILE_LIST
from manor.control.catalog.bases import BaseRecord
from manor.control.catalog.records import AuditEvent
from manor.control.engines.bases import LogFacts, ServerShape
from manor.control.engines.driver import Marker, ServerDriver
from manor.control.engines.wal import number_at, segment_name
from manor.control.rollout.bases.members import save_file, write_members
from manor.control.rollout.bases.place import BasePlace
from manor.control.rollout.bases.reach import archive_everything
from manor.control.runtime import Runtime
from manor.errors import Code, EngineError, RefusedError, UnsupportedError


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseOrder:
    """How a base backup is taken."""

    server: str
    incremental: bool = False
    """Only what has changed since the newest base backup."""
    archive_deadline_seconds: float = 120.0
    """How long a segment may take to reach the archive."""
    lock_wait_seconds: float = 10.0


def base_lock(server: str) -> str:
    """The lock that guards a server's base backups and its archive."""
    return f"bases {server}"


async def take_base(runtime: Runtime, place: BasePlace, order: BaseOrder) -> BaseManifest:
    """Switch archiving on where that is ours, prove that it works, and store the server's files; the manifest comes last.

    Raises ``RefusedError`` and ``UnsupportedError`` with the reason before anything is stored, ``ConflictError`` while another
    one is taken, and what the server and storage raise; then nothing is left of it.
    """
    server = runtime.servers[order.server]
    async with runtime.catalog.lock(base_lock(order.server), wait_seconds=order.lock_wait_seconds, holder=runtime.operation):
        refuse_unfit(order.server, await server.bases.facts())
        for folder in await place.unfinished(order.server):
            await place.store.delete_prefix(folder)
        await switch_on(place, order.server)
        await archive_everything(server, place.archives[order.server], deadline_seconds=order.archive_deadline_seconds)
        async with _going_on(place, server, order) as since:
            manifest = await _stored(runtime, place, server, order, since)
        await _record(runtime, place, manifest)
    return manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class _Since:
    """What a base backup goes on from: nothing, for a full one."""

    parent: str = ""
    file_list: Path | None = None


@contextlib.asynccontextmanager
async def _going_on(place: BasePlace, server: ServerDriver, order: BaseOrder) -> AsyncIterator[_Since]:
    """The base backup that an increment is of, with its list of files for as long as the block lasts. Raises ``RefusedError``
    with the reason, ``EngineError`` (``corrupt``) where that list is damaged."""
    if not order.incremental:
        yield _Since()
        return
    usable, _ = await place.manifests(server.name)
    where = place.store.display(place.folder_of(server.name))
    parent = choose_parent(server.name, await server.bases.facts(), usable, where=where)
    assert parent.file_list is not None  # noqa: S101 - it would not have been chosen
    with tempfile.TemporaryDirectory(prefix="manor-base-") as folder:
        found = Path(folder) / FILE_LIST
        await save_file(place.store, parent.file_list, FILE_LIST, found)
        yield _Since(parent=parent.id, file_list=found)


def refuse_unfit(server: str, facts: LogFacts) -> None:
    """Raises where no single tenant could be restored from a base backup of this server, with the reason."""
    if not facts.replication:
        raise RefusedError(
            f"server {server}: the login may not stream base backups, so no tenant of it can be restored to a moment",
            hint="ALTER ROLE … REPLICATION, and a line 'replication' in pg_hba.conf for it",
        )
    if not facts.full_page_writes:
        raise RefusedError(
            f"server {server}: full_page_writes is off, so its log cannot be replayed with one tenant's files alone",
            hint="ALTER SYSTEM SET full_page_writes = on, then reload",
        )
    if facts.wal_level == "minimal":
        raise RefusedError(f"server {server}: wal_level is minimal", hint="set wal_level = replica, and restart the server")
    refuse_tablespaces(server, facts)
    require_superuser(server, facts)


def require_superuser(server: str, facts: LogFacts) -> None:
    """Raises ``UnsupportedError`` where nobody could look into a copy of the server."""
    if not facts.superuser:
        raise UnsupportedError(f"server {server} has no superuser that may log in, as which its copy could be entered")


def refuse_tablespaces(server: str, facts: LogFacts) -> None:
    """Replaying the log of a server with tablespaces would write into the live ones: their paths stand in it."""
    if facts.tablespaces:
        raise UnsupportedError(
            f"server {server} has tablespaces of its own ({', '.join(facts.tablespaces)}), whose paths stand in its log",
            hint="move their tables to pg_default and drop them; single tenants can be restored from logical backups",
        )


async def switch_on(place: BasePlace, server: str) -> None:
    """Archiving on, where it is ours. Raises ``RefusedError`` where the settings forbid it."""
    switch = place.switches.get(server)
    if switch is None:
        return
    if switch.forced is False:
        raise RefusedError(
            f"server {server}: environ.yaml says settings.embedded.archive: false",
            hint="a base backup is of no use without the log after it: remove the line, or set it to true",
        )
    await asyncio.to_thread(switch.turn, on=True)


async def _stored(runtime: Runtime, place: BasePlace, server: ServerDriver, order: BaseOrder, since: _Since) -> BaseManifest:
    before, databases = await server.bases.facts(), await server.bases.databases()
    base = f"{runtime.now():%Y%m%dT%H%M%SZ}-{runtime.new_token()}"
    prefix = place.folder_of(server.name, base)
    runtime.telemetry.emit("base.begun", runtime.operation, server.name, base=base)
    try:
        stream = server.bases.stream(listing=before.major >= FIRST_MAJOR, since=since.file_list)
        async with contextlib.aclosing(stream) as chunks:  # type: ignore[type-var]
            members = await write_members(place.store, prefix, chunks)
        after = await server.bases.facts()
        _refuse_other_server(server.name, before, after)
        await archive_everything(server, place.archives[server.name], deadline_seconds=order.archive_deadline_seconds)
        manifest = BaseManifest(
            id=base,
            server=server.name,
            shape=shape_of(after),
            timeline=before.timeline,
            start_lsn=before.lsn,
            stop_lsn=after.lsn,
            start_wal=segment_name(before.timeline, number_at(before.lsn, before.segment_bytes), before.segment_bytes),
            started_at=before.at,
            stopped_at=after.at,
            databases=_merged(databases, await server.bases.databases()),
            members={piece: member for piece, member in members.items() if piece != FILE_LIST},
            parent=since.parent,
            file_list=members.get(FILE_LIST),
            made_by=runtime.actor,
            operation=runtime.operation,
        )
        await place.store.write(f"{prefix}/{MANIFEST}", manifest.to_json().encode())
    except BaseException:  # cancellation too: what has no manifest is no base backup, and must not fill the disk
        with contextlib.suppress(Exception):
            await place.store.delete_prefix(prefix)
        raise
    runtime.telemetry.emit("base.stored", runtime.operation, server.name, base=base)
    return manifest


def shape_of(facts: LogFacts) -> ServerShape:
    """What a side instance must have in common with this server."""
    return ServerShape(
        system=facts.system,
        major=facts.major,
        segment_bytes=facts.segment_bytes,
        limits=facts.limits,
        superuser=facts.superuser,
    )


def _refuse_other_server(server: str, before: LogFacts, after: LogFacts) -> None:
    if (before.system, before.timeline) != (after.system, after.timeline):
        raise EngineError(
            f"server {server} became another one while it was backed up", code=Code.CONFLICT, hint="take the base backup again"
        )


def _merged(
    before: Sequence[tuple[int, str, Marker | None]], after: Sequence[tuple[int, str, Marker | None]]
) -> tuple[BaseDatabase, ...]:
    """Every database that was there before or after; what changed meanwhile is as it was after."""
    found = {oid: BaseDatabase(oid=oid, name=name, marker=marker) for oid, name, marker in (*before, *after)}
    return tuple(found[oid] for oid in sorted(found))


def base_record(place: BasePlace, manifest: BaseManifest, operation: str) -> BaseRecord:
    """A base backup as the catalog knows it; ``operation``: the one that records it."""
    return BaseRecord(
        id=manifest.id,
        server=manifest.server,
        location=place.store.display(place.folder_of(manifest.server, manifest.id)),
        operation=operation,
        major=manifest.shape.major,
        databases=len(manifest.databases),
        bytes=manifest.bytes,
        started_at=manifest.started_at,
        stopped_at=manifest.stopped_at,
        parent=manifest.parent,
    )


async def _record(runtime: Runtime, place: BasePlace, manifest: BaseManifest) -> None:
    record = base_record(place, manifest, runtime.operation)
    details = {"base": manifest.id, "bytes": manifest.bytes, "databases": record.databases, "parent": manifest.parent}
    event = AuditEvent(actor=runtime.actor, action="backup.base", subject=manifest.server, details=details)
    await runtime.catalog.put_base(record, audit=[event])
