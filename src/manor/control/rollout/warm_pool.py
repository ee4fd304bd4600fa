"""Copies made ahead of time, so that a sign-up is a rename."""

from __future__ import annotations

from collections.abc import Sequence

from manor.control.catalog.records import WarmRecord
from manor.control.engines.driver import Marker, ServerDriver
from manor.control.rollout.provision import Golden
from manor.control.runtime import Runtime


async def fill_pool(runtime: Runtime, server: ServerDriver, template: str, golden: Golden, size: int) -> int:
    """Bring the pool of one golden up to ``size`` databases, and drop those that were copied from an earlier golden of the
    same template; returns how many were made. Stops when asked to."""
    pool = await runtime.catalog.pool_list(server.name)
    await _drop_outdated(runtime, server, template, [warm for warm in pool if warm.digest != golden.digest])
    waiting = [warm for warm in pool if warm.digest == golden.digest]
    made = 0
    for _ in range(size - len(waiting)):
        if runtime.stop.requested:
            break
        name = f"manor_warm_{runtime.catalog.id}_{golden.digest[:8]}_{runtime.new_token()}"
        marker = Marker(
            catalog=runtime.catalog.id, kind="warm", template=template, digest=golden.digest, operation=runtime.operation
        )
        await server.clone(golden.database, name)
        runtime.telemetry.emit("pool.cloned", runtime.operation, name, template=template)
        await server.restrict({name: marker})
        runtime.telemetry.emit("pool.restricted", runtime.operation, name, template=template)
        # Recorded last: a copy that the catalog does not know is swept by the next operation.
        await runtime.catalog.pool_add(server.name, golden.digest, [name])
        made += 1
        runtime.telemetry.emit("pool.filled", runtime.operation, name, template=template)
    return made


async def _drop_outdated(runtime: Runtime, server: ServerDriver, template: str, others: Sequence[WarmRecord]) -> None:
    present = await server.databases() if others else {}
    for warm in others:
        found = present.get(warm.database)
        if found is None or found.marker is None or found.marker.template != template:
            continue
        # Forgotten first: nobody may take what is about to be dropped; what a kill leaves is swept by the next operation.
        await runtime.catalog.pool_forget(server.name, [warm.database])
        await server.drop_database(warm.database)
        runtime.telemetry.emit("pool.dropped", runtime.operation, warm.database, template=template)
