"""What an operation does first, under the lock: finish off what a dead one left behind.

The lock proves that no other operation of this catalog lives, so an operation that the journal calls running is dead; its
sessions may not be: a killed client does not stop the server's work. They are ended first, and only then is anything
looked at.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from manor.control.catalog.records import AuditEvent, DatabaseRecord
from manor.control.engines.driver import FoundDatabase, ServerDriver
from manor.control.rollout.retry import ATTEMPTS, retrying, until_recorded
from manor.control.runtime import Runtime, operation_token


async def recover(runtime: Runtime) -> int:
    """End dead operations' sessions and drop unfinished databases; returns the number of databases dropped."""
    dead = [o for o in await runtime.catalog.interrupted_operations() if o.id != runtime.operation]
    for operation in dead:
        await runtime.catalog.end_sessions(operation.id)
        for server in runtime.servers.values():
            await server.end_sessions(operation.id)
        event = AuditEvent(
            actor=runtime.actor, action="operation.interrupted", subject=operation.source, details={"verb": operation.verb}
        )
        await runtime.catalog.mark_interrupted(operation.id, found_by=runtime.operation, audit=[event])
        runtime.telemetry.emit("operation.interrupted", runtime.operation, operation.id)
    dropped = 0
    living = {operation_token(operation) for operation in await runtime.catalog.running_releases()}
    for server in runtime.servers.values():
        dropped += await _sweep(runtime, server, living)
    return dropped


async def forget_unmade(runtime: Runtime, unmade: Iterable[DatabaseRecord]) -> None:
    """Strike entries off that never became a database and are no longer declared, and the roles that were made for them."""
    for record in unmade:
        await runtime.still_alone()
        if record.role:
            await retrying(functools.partial(runtime.servers[record.server].drop_role, record.role), attempts=ATTEMPTS)
        # Last: a kill before it leaves an entry that the next deploy forgets.
        event = AuditEvent(
            actor=runtime.actor, action="tenant.forget", subject=str(record.tenant), details={"database": record.database}
        )
        forget = functools.partial(runtime.catalog.forget, record.tenant, operation_id=runtime.operation, audit=[event])
        await until_recorded(runtime, forget)
        runtime.telemetry.emit("entry.forgotten", runtime.operation, str(record.tenant))


async def _sweep(runtime: Runtime, server: ServerDriver, living: AbstractSet[str]) -> int:
    """``living``: tokens of releases under way, which build goldens and clones without the fleet's lock."""
    present = await server.databases()
    pooled = {warm.database for warm in await runtime.catalog.pool_list(server.name)}
    found = [d.name for d in present.values() if _is_leftover(d, runtime.catalog.id, pooled)]
    leftovers = [name for name in found if name.rpartition("_")[2] not in living]
    for name in leftovers:
        await server.drop_database(name)
        runtime.telemetry.emit("leftover.dropped", runtime.operation, name, server=server.name)
    gone = [name for name in pooled if name not in present]
    if gone:
        await runtime.catalog.pool_forget(server.name, gone)
    return len(leftovers)


def _is_leftover(found: FoundDatabase, catalog: str, pooled: set[str]) -> bool:
    if found.name.startswith(f"manor_new_{catalog}_"):
        return True
    return found.name.startswith(f"manor_warm_{catalog}_") and (found.broken or found.name not in pooled)


def leftovers(present: Mapping[str, FoundDatabase], catalog: str, pooled: set[str]) -> list[str]:
    """Names that ``recover`` would drop; for ``doctor``, which only looks."""
    return sorted(d.name for d in present.values() if _is_leftover(d, catalog, pooled))
