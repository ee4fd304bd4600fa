"""``manor backup archive``: how archives of WAL are, and removing what no base backup needs."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from manor.control.audit import anchor_head
from manor.control.backup.base_chain import keeping
from manor.control.backup.base_manifest import MANIFEST, BaseManifest
from manor.control.backup.recover import gap_after
from manor.control.catalog.records import AuditEvent
from manor.control.engines.bases import Archiver
from manor.control.engines.wal import is_segment, number_at, segment_number
from manor.control.rollout.bases.place import BasePlace
from manor.control.rollout.bases.take import base_lock
from manor.control.runtime import Runtime
from manor.errors import RefusedError, UnreachableError


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveHealth:
    """How one server's archive is."""

    server: str
    where: str
    bases: int
    segments: int
    bytes: int
    first: str
    last: str
    stored_at: dt.datetime | None
    """When the newest segment came."""
    gaps: tuple[str, ...]
    """First missing segment after each base backup that has one."""
    lag_bytes: int
    """Of the log that is not archived yet."""
    archiver: Archiver | None
    """What the server's own archiver says; None where pg_receivewal fills the archive."""
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For ``--format json``."""
        archiver = self.archiver
        return {
            "server": self.server,
            "archive": self.where,
            "bases": self.bases,
            "segments": self.segments,
            "bytes": self.bytes,
            "first": self.first,
            "last": self.last,
            "stored_at": self.stored_at.isoformat() if self.stored_at else None,
            "gaps": list(self.gaps),
            "lag_bytes": self.lag_bytes,
            "failed": archiver.failed if archiver else None,
            "last_failed": archiver.last_failed if archiver else None,
            "last_failed_at": archiver.last_failed_at.isoformat() if archiver and archiver.last_failed_at else None,
            "problems": list(self.problems),
        }


async def archive_health(runtime: Runtime, place: BasePlace, server: str) -> ArchiveHealth:
    """Look at one server's archive. Raises what the server and storage raise."""
    driver = runtime.servers[server]
    facts, manifests = await driver.bases.facts(), await place.manifests(server)
    files = await place.archives[server].files()
    archive = await place.archives[server].look()
    segments = sorted((name for name in files if is_segment(name)), key=lambda name: (name[8:], name))
    ours = [manifest for manifest in manifests[0] if manifest.shape.system == facts.system]
    end = (segment_number(segments[-1], facts.segment_bytes) + 1) * facts.segment_bytes if segments else 0
    archiver = await driver.bases.archiver() if server in place.switches else None
    gaps = {gap for manifest in ours if (gap := gap_after(manifest.base, archive, runtime.now()))}
    problems = [str(error) for error in manifests[1]]
    problems += [f"segment {gap} is missing, and later ones are there" for gap in sorted(gaps)]
    if archiver is not None and archiver.failing:
        problems.append(f"the server cannot archive {archiver.last_failed}")
    return ArchiveHealth(
        server=server,
        where=str(place.archives[server]),
        bases=len(ours),
        segments=len(segments),
        bytes=sum(found.size for found in files.values()),
        first=segments[0] if segments else "",
        last=segments[-1] if segments else "",
        stored_at=files[segments[-1]].modified if segments else None,
        gaps=tuple(sorted(gaps)),
        lag_bytes=max(0, facts.lsn - end) if ours else 0,
        archiver=archiver,
        problems=tuple(problems),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed of one server's."""

    server: str
    bases: tuple[str, ...]
    segments: int
    bytes: int
    archiving: bool
    """Whether the archive goes on being filled."""
    others: tuple[str, ...] = ()
    """Base backups that were left because they are of a cluster which the server has replaced."""

    def to_json(self) -> dict[str, Any]:
        """For ``--format json``."""
        return {
            "server": self.server,
            "bases": list(self.bases),
            "segments": self.segments,
            "bytes": self.bytes,
            "archiving": self.archiving,
            "others": list(self.others),
        }


async def prune_archive(
    runtime: Runtime, place: BasePlace, server: str, *, keep_bases: int | None, lock_wait_seconds: float = 10.0
) -> Pruned:
    """Remove all base backups of the server's present cluster but the newest ``keep_bases`` (None: none of them) and those that
    these are increments of, and the log that no base backup needs. Those of a cluster that the server has replaced are neither
    counted nor removed, unless ``keep_bases`` is 0. With the last one archiving is switched off, where it was switched on for
    them.

    Raises ``RefusedError`` where a manifest cannot be read: what it needs is not known; ``ConflictError`` while a base backup
    is taken.
    """
    async with runtime.catalog.lock(base_lock(server), wait_seconds=lock_wait_seconds, holder=runtime.operation):
        manifests, broken = await place.manifests(server)
        if broken:
            raise RefusedError(
                f"server {server}: {broken[0]}", hint=f"remove that base backup's folder by hand; {broken[0].hint}"
            )
        found = keeping(manifests, system=await _system(runtime, server, manifests), keep_bases=keep_bases)
        gone = tuple(reversed(found.gone))  # increments before what they go on from
        await _remove_bases(runtime, place, server, gone)
        archiving = await _archiving_after(place, server, found.needed)
        segments, size = await _remove_segments(place, server, found.needed)
    details = {"bases": [m.id for m in gone], "segments": segments, "bytes": size}
    event = AuditEvent(actor=runtime.actor, action="backup.prune", subject=server, details=details)
    await runtime.catalog.forget_bases([m.id for m in gone], operation_id=runtime.operation, audit=[event])
    await anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation)
    return Pruned(
        server=server,
        bases=tuple(m.id for m in gone),
        segments=segments,
        bytes=size + sum(manifest.bytes for manifest in gone),
        archiving=archiving,
        others=tuple(m.id for m in found.others),
    )


async def _system(runtime: Runtime, server: str, manifests: Sequence[BaseManifest]) -> str:
    """The present cluster; of a server that does not answer, the one that the newest base backup was taken of."""
    try:
        return (await runtime.servers[server].bases.facts()).system
    except UnreachableError:
        return manifests[-1].shape.system if manifests else ""


async def _remove_bases(runtime: Runtime, place: BasePlace, server: str, gone: Sequence[BaseManifest]) -> None:
    for manifest in gone:
        folder = place.folder_of(server, manifest.id)
        await place.store.delete([f"{folder}/{MANIFEST}"])  # first: what has no manifest does not exist
        await place.store.delete_prefix(folder)
        runtime.telemetry.emit("base.removed", runtime.operation, server, base=manifest.id)
    for folder in await place.unfinished(server):
        await place.store.delete_prefix(folder)


async def _archiving_after(place: BasePlace, server: str, kept: Sequence[BaseManifest]) -> bool:
    switch = place.switches.get(server)
    if switch is None or kept:
        return True
    if switch.forced is None:
        await asyncio.to_thread(switch.turn, on=False)
    return bool(switch.forced)


async def _remove_segments(place: BasePlace, server: str, kept: Sequence[BaseManifest]) -> tuple[int, int]:
    """Remove segments before the first one that is needed, and labels of backups; (number, bytes). Histories stay."""
    archive = place.archives[server]
    files = await archive.files()
    needed = min((number_at(m.start_lsn, m.shape.segment_bytes) for m in kept), default=None)
    size = kept[0].shape.segment_bytes if kept else 1 << 24
    old = [
        name
        for name in files
        if is_segment(name[:24]) and not name.endswith(".partial")
        if needed is None or segment_number(name[:24], size) < needed
    ]
    await archive.remove(old)
    return sum(is_segment(name) for name in old), sum(files[name].size for name in old)
