"""Copies made ahead of time, so that a sign-up is a rename."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from manor.control.engines.driver import FoundDatabase, Marker, ServerDriver
from manor.control.rollout.provision import Golden
from manor.control.runtime import Runtime


async def trim_pool(
    runtime: Runtime, server: ServerDriver, template: str, digest: str, size: int, *, foreign: AbstractSet[str]
) -> None:
    """Drop the copies of a template that came from an earlier golden, and those beyond ``size``.

    ``foreign`` are digests that other registries use: their templates may have the same name.
    """
    pool = await runtime.catalog.pool_list(server.name)
    present = await server.databases() if pool else {}
    ours = [w for w in pool if _is_of(template, present.get(w.database)) and (w.digest == digest or w.digest not in foreign)]
    current = [warm for warm in ours if warm.digest == digest]
    for warm in [*(w for w in ours if w.digest != digest), *current[size:]]:
        # Forgotten first: nobody may take what is about to be dropped; what a kill leaves is swept by the next operation.
        await runtime.catalog.pool_forget(server.name, [warm.database])
        await server.drop_database(warm.database)
        runtime.telemetry.emit("pool.dropped", runtime.operation, warm.database, template=template)


def _is_of(template: str, found: FoundDatabase | None) -> bool:
    return found is not None and found.marker is not None and found.marker.template == template


async def fill_pool(runtime: Runtime, server: ServerDriver, template: str, golden: Golden, size: int) -> int:
    """Bring the pool of one golden up to ``size`` databases; returns how many were made. Stops when asked to."""
    waiting = [warm for warm in await runtime.catalog.pool_list(server.name) if warm.digest == golden.digest]
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
