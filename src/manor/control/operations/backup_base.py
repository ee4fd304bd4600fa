"""``manor backup base``, ``mark``, and what there is of them."""

from __future__ import annotations

import contextlib
import dataclasses
import re

from manor.control.audit import anchor_head
from manor.control.backup.base_chain import chain_of
from manor.control.backup.base_manifest import BaseManifest
from manor.control.catalog.bases import MarkRecord
from manor.control.catalog.records import AuditEvent
from manor.control.rollout.bases.place import BasePlace
from manor.control.rollout.bases.take import BaseOrder, take_base
from manor.control.runtime import Runtime
from manor.errors import EngineError, InputError, NotFoundError, RefusedError
from manor.scan import suggest

_MARK = re.compile(r"[^\x00-\x1f\x7f]{1,63}")


def choose_server(runtime: Runtime, name: str | None) -> str:
    """The server that is meant: the only one where none is named. Raises ``InputError`` and ``NotFoundError``."""
    if name is None:
        if len(runtime.servers) > 1:
            raise InputError("which server?", hint=f"--server NAME; {suggest('', list(runtime.servers))}")
        return next(iter(runtime.servers))
    if name not in runtime.servers:
        raise NotFoundError(f"there is no server {name!r}", hint=suggest(name, list(runtime.servers)))
    return name


async def backup_base(runtime: Runtime, place: BasePlace, order: BaseOrder) -> BaseManifest:
    """Take a base backup of one server. Raises what ``take_base`` raises."""
    manifest = await take_base(runtime, place, order)
    await anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation)
    return manifest


async def backup_base_in_turn(runtime: Runtime, place: BasePlace, order: BaseOrder, increments: int) -> BaseManifest:
    """An increment of the newest base backup where that can be done and fewer than ``increments`` follow the last full one;
    else a full one. Raises what ``take_base`` raises."""
    usable, _ = await place.manifests(order.server)
    if usable and len(chain_of(usable[-1], usable)) <= increments:
        with contextlib.suppress(RefusedError):  # the full one is refused too where it is not for being an increment
            return await backup_base(runtime, place, dataclasses.replace(order, incremental=True))
    return await backup_base(runtime, place, order)


async def mark_moment(runtime: Runtime, name: str, server: str) -> MarkRecord:
    """Make a named restore point on one server. Raises ``InputError`` for a name that cannot be one, ``ConflictError`` where
    the server has had it, ``EngineError`` where the login may not."""
    if _MARK.fullmatch(name) is None or len(name.encode()) > 63:
        raise InputError(f"{name!r} cannot be the name of a mark", hint="1 to 63 bytes, no control characters")
    facts = await runtime.servers[server].bases.facts()
    if not facts.mark:
        raise EngineError(
            f"server {server}: the login may not make restore points",
            hint="GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO the login, in database postgres",
        )
    await runtime.catalog.claim_mark(server, name)
    lsn, at = await runtime.servers[server].bases.mark(name)
    record = MarkRecord(server=server, name=name, lsn=lsn, at=at, actor=runtime.actor)
    event = AuditEvent(actor=runtime.actor, action="backup.mark", subject=server, details={"mark": name})
    await runtime.catalog.put_mark(record, operation_id=runtime.operation, audit=[event])
    await anchor_head(runtime.catalog, runtime.anchor, operation_id=runtime.operation)
    return record
