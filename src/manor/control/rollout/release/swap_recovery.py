"""Finishes off swaps whose runner died, and drops what was kept long enough.

Only names and markers on the servers are looked at, so that it works whatever the catalog heard of. Call it once the dead
operation's sessions are ended.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from manor.control.catalog.kept import RESTORED, KeptRecord
from manor.control.catalog.records import AuditEvent
from manor.control.engines.driver import FoundDatabase, ServerDriver
from manor.control.rollout.release.restored_heads import record_restored_heads
from manor.control.rollout.release.swap import GREEN, KEPT, reopen
from manor.control.rollout.retry import ATTEMPTS, retrying, until_recorded
from manor.control.runtime import Runtime, operation_token
from manor.errors import ManorError

OVERTAKEN = "overtaken"
"""The mark of what a restore replaced, and is kept although what a later one replaced was dropped."""
IsDead = Callable[[str], bool]
"""Whether the operation with that token is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What one server had when it was looked at, and what the catalog believed to be kept there."""

    server: ServerDriver
    found: Mapping[str, FoundDatabase]
    kept: Sequence[KeptRecord]


async def recover_swaps(runtime: Runtime, operation: str, server: str) -> int:
    """Open what a dead operation closed on one server, drop its clones, forget what it never came to keep; returns how many
    databases were opened or dropped. Safe to repeat. Raises ``ManorError`` where the server does not answer."""
    token = operation_token(operation)
    return await _recover(runtime, await _look(runtime, runtime.servers[server]), lambda found: found == token)


async def recover_forgotten(runtime: Runtime) -> int:
    """The same, on every server that answers, for all operations that are not running: also of those that ended while they
    could not open a tenant."""
    done = 0
    for server in runtime.servers.values():
        if server.name in runtime.away:
            continue
        try:
            done += await _recover_unclaimed(runtime, server)
        except ManorError as error:
            if not error.transient:
                raise
    return done


async def _recover_unclaimed(runtime: Runtime, server: ServerDriver) -> int:
    look = await _look(runtime, server)
    # In this order, and afresh for each server: releases begin while one that does not answer is waited for.
    running = await until_recorded(runtime, runtime.catalog.running_releases)
    living = {operation_token(operation) for operation in (*running, runtime.operation)}
    return await _recover(runtime, look, lambda token: token not in living)


async def _look(runtime: Runtime, server: ServerDriver) -> _Look:
    found = await retrying(server.databases, attempts=ATTEMPTS)
    kept = await until_recorded(runtime, lambda: runtime.catalog.kept_databases(server=server.name))
    return _Look(server=server, found=found, kept=kept)


async def _recover(runtime: Runtime, look: _Look, is_dead: IsDead) -> int:
    opened = await _open_closed(runtime, look, is_dead)
    dropped = await _drop_leftovers(runtime, look, is_dead)
    await _forget_unmade(runtime, look, is_dead)
    await record_restored_heads(runtime, look.kept, look.found, is_dead)
    return opened + dropped


async def _open_closed(runtime: Runtime, look: _Look, is_dead: IsDead) -> int:
    ours = [d for d in look.found.values() if d.marker is not None and d.marker.catalog == runtime.catalog.id]
    closed = [d for d in ours if d.marker and d.marker.kind == "tenant" and (token := _closer(d)) and is_dead(token)]
    if closed:
        roles = {str(record.tenant): record.role for record in await runtime.catalog.databases()}
        for database in closed:
            await _open(runtime, look.server, database, roles)
    return len(closed)


async def _drop_leftovers(runtime: Runtime, look: _Look, is_dead: IsDead) -> int:
    names = [name for name in look.found if _is_of(name, GREEN, runtime.catalog.id, is_dead)]
    for name in look.found:
        if _is_of(name, KEPT, runtime.catalog.id, is_dead) and not await _is_kept(look, name):
            names.append(name)
    for name in names:
        await retrying(functools.partial(look.server.drop_database, name), attempts=ATTEMPTS)
        runtime.telemetry.emit("leftover.dropped", runtime.operation, name, server=look.server.name)
    return len(names)


async def _forget_unmade(runtime: Runtime, look: _Look, is_dead: IsDead) -> None:
    dead = [kept.database for kept in look.kept if is_dead(operation_token(kept.operation))]
    unmade = [name for name in dead if not await _is_kept(look, name)]
    if unmade:
        await until_recorded(runtime, lambda: runtime.catalog.forget_kept(look.server.name, unmade))


async def _open(runtime: Runtime, server: ServerDriver, database: FoundDatabase, roles: dict[str, str]) -> None:
    if database.marker is None:
        return
    role = roles.get(database.marker.tenant, "")
    await retrying(functools.partial(reopen, server, database.name, database.marker, role), attempts=ATTEMPTS)
    runtime.telemetry.emit("target.opened", runtime.operation, database.marker.tenant)


def _closer(found: FoundDatabase) -> str:
    """Token of the operation that closed a database; one that is open has none."""
    closed = found.marker.closed if found.marker is not None else ""
    return operation_token(closed.partition(":")[0]) if closed else ""


def _is_of(name: str, prefix: str, catalog: str, is_dead: IsDead) -> bool:
    return name.startswith(f"{prefix}{catalog}_") and is_dead(name.rpartition("_")[2])


async def _is_kept(look: _Look, name: str) -> bool:
    """Whether a database is a kept one. That it was not when we looked is no proof: its release may have made it since, and
    ended."""
    found = look.found.get(name)
    if found is not None and found.broken:
        return False
    marker = found.marker if found is not None else None
    if marker is None or marker.kind != "kept":
        marker = await retrying(functools.partial(look.server.swaps.marker, name), attempts=ATTEMPTS)
    return marker is not None and marker.kind == "kept"


async def drop_expired(runtime: Runtime) -> int:
    """Drop kept databases whose time is over; returns how many. Those on servers that do not answer wait for the next time."""
    dropped = 0
    for kept in await until_recorded(runtime, lambda: runtime.catalog.expired_kept(runtime.now())):
        if kept.server not in runtime.servers or kept.server in runtime.away:
            continue
        try:
            await drop_kept(runtime, kept)
        except ManorError as error:
            if not error.transient:
                raise
            continue
        dropped += 1
    return dropped


async def drop_kept(runtime: Runtime, kept: KeptRecord) -> None:
    """Drop one kept database and its entry; one that is not (any more) what the entry says is left alone."""
    server = runtime.servers[kept.server]
    await _overtake(runtime, kept)
    marker = await server.swaps.marker(kept.database)
    if marker is not None and (marker.kind, marker.catalog, marker.tenant) == ("kept", runtime.catalog.id, kept.tenant):
        await retrying(functools.partial(server.drop_database, kept.database), attempts=ATTEMPTS)
    details = {"database": kept.database, "kind": kept.kind, "kept_for": kept.operation}
    event = AuditEvent(actor=runtime.actor, action="kept.drop", subject=kept.tenant, details=details)
    forget = functools.partial(
        runtime.catalog.forget_kept, kept.server, [kept.database], operation_id=runtime.operation, audit=[event]
    )
    await until_recorded(runtime, forget)
    runtime.telemetry.emit("kept.dropped", runtime.operation, kept.tenant, database=kept.database)


async def _overtake(runtime: Runtime, kept: KeptRecord) -> None:
    """Mark what earlier restores of the same tenant replaced: it is not what the last one replaced, once that is dropped."""
    if kept.kind != RESTORED or kept.created_at is None:
        return
    for other in await until_recorded(runtime, lambda: runtime.catalog.kept_databases(tenant=kept.tenant)):
        if other.kind == kept.kind and other.created_at is not None and other.created_at < kept.created_at:
            marked = replace(other, marks={**other.marks, OVERTAKEN: True})
            await until_recorded(runtime, functools.partial(runtime.catalog.put_kept, marked))
