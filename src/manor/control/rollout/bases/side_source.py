"""One tenant's database as it was at a moment: the side instance that holds it, from the base backup to the open database."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from manor.control.backup.base_manifest import BaseManifest
from manor.control.backup.recover import Recovery, Target
from manor.control.engines.bases import ServerShape
from manor.control.engines.driver import ServerDriver
from manor.control.engines.sides import Replay, Side, TenantThen
from manor.control.engines.wal import show_lsn
from manor.control.rollout.bases.members import read_member
from manor.control.rollout.bases.place import BasePlace
from manor.errors import Code, EngineError, NotFoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantAtMoment:
    """A tenant's database on a running side instance."""

    server: ServerDriver
    database: str
    rolled_back: tuple[str, ...]
    """Transactions that were in doubt then: they are not part of it."""
    unlogged: tuple[str, ...]
    """Tables that are empty, whatever they held: no log has their rows."""
    laid_out: tuple[str, ...]
    """The pieces of the base backup whose files were needed."""


@contextlib.asynccontextmanager
async def tenant_at(
    place: BasePlace, chain: Sequence[BaseManifest], recovery: Recovery, tenant: str, *, now: ServerShape | None
) -> AsyncIterator[TenantAtMoment]:
    """The side instance with the tenant's database, for as long as the block lasts. ``chain``: a full base backup, and the
    increments up to the one that is used. ``now``: the server as it is today, whose limits may have been raised since.

    Raises ``EngineError`` and ``NotFoundError``; nothing of it is left behind.
    """
    manifest = chain[-1]
    shape = _with_limits_of(manifest.shape, now)
    async with place.sides[manifest.server].opening(shape) as side:
        await _give_archive(place, manifest.server, recovery, side)
        server, then, pieces = await _recovered(place, chain, recovery, tenant, side)
        yield reached(server, then, pieces)


def reached(server: ServerDriver, then: TenantThen, laid_out: tuple[str, ...]) -> TenantAtMoment:
    """What a side instance has come to."""
    return TenantAtMoment(
        server=server,
        database=then.database,
        rolled_back=then.rolled_back,
        unlogged=then.unlogged,
        laid_out=laid_out,
    )


def _with_limits_of(shape: ServerShape, now: ServerShape | None) -> ServerShape:
    limits = now.limits if now is not None and now.system == shape.system else {}
    return replace(shape, limits={name: max(value, limits.get(name, 0)) for name, value in shape.limits.items()})


async def _give_archive(place: BasePlace, server: str, recovery: Recovery, side: Side) -> None:
    archive = place.archives[server]
    if archive.folder is not None and await side.use_archive(archive.folder):
        return
    histories = [name for name in await archive.files() if name.endswith(".history")]
    await archive.fetch([*recovery.segments, *histories], side.archive)


async def _recovered(
    place: BasePlace, chain: Sequence[BaseManifest], recovery: Recovery, tenant: str, side: Side
) -> tuple[ServerDriver, TenantThen, tuple[str, ...]]:
    """Recover with the files that the tenant needs as far as the manifest tells; where its database was another one then, or
    was copied from one that was left out, once more with those."""
    manifest, also = chain[-1], tuple[int, ...]()
    while True:
        pieces = manifest.pieces_for(tenant, also)
        left_out = manifest.left_out(pieces)
        await _lay_out(place, chain, pieces, side)
        await side.leave_out(left_out)
        server = await side.recover(replay_of(recovery))
        then = await side.find(tenant)
        if then is None:
            raise had_none(tenant, manifest.server, recovery.target)
        if then.complete and then.oid not in left_out:
            return server, then, pieces
        if not left_out:
            raise EngineError(
                f"tenant {tenant}: files of its database {then.database} are missing from base backup {manifest.id}",
                code=Code.CORRUPT,
                hint="use an older or newer base backup",
            )
        also = (then.oid,) if then.oid in left_out and then.oid not in also else left_out
        await side.begin_again()


async def _lay_out(place: BasePlace, chain: Sequence[BaseManifest], pieces: Sequence[str], side: Side) -> None:
    """The pieces out of all base backups of the chain, each read to its end and compared before they are put together. A
    database that was made later has no piece in the earlier ones: all its files are whole."""
    for layer, one in enumerate(chain):
        for piece in pieces:
            if piece not in one.members:
                continue
            async with contextlib.aclosing(read_member(place.store, one.members[piece])) as chunks:  # type: ignore[type-var]
                await side.lay_out(chunks, layer=layer if len(chain) > 1 else None)
    if len(chain) > 1:
        await side.combine()


def had_none(tenant: str, server: str, target: Target) -> NotFoundError:
    """The error for a tenant without a database at that moment."""
    hint = "was it made later, or deleted before?"
    return NotFoundError(f"tenant {tenant} had no database on server {server} at {target}", hint=hint)


def replay_of(recovery: Recovery) -> Replay:
    """How PostgreSQL is told of the target."""
    setting, value = _setting(recovery.target)
    return Replay(setting=setting, value=value, timeline=recovery.timeline, segments=recovery.segments)


def _setting(target: Target) -> tuple[str, str]:
    if target.time is not None:
        return "recovery_target_time", target.time.isoformat()
    if target.mark:
        return "recovery_target_name", target.mark
    return "recovery_target_lsn", show_lsn(target.lsn or 0)
