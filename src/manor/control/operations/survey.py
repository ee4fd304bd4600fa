"""Looks at the catalog and at every server, and changes nothing."""

from __future__ import annotations

import asyncio

from manor.control.engines.driver import ServerDriver
from manor.control.provision.plan import ServerLook, Survey
from manor.control.runtime import Runtime


async def take_survey(runtime: Runtime) -> Survey:
    """What is. Raises ``UnreachableError`` if a server cannot be seen: half a look would plan half a fleet away."""
    names = list(runtime.servers)
    looks = await asyncio.gather(*(look(runtime.servers[name]) for name in names))
    records = await runtime.catalog.databases()
    return Survey(
        catalog=runtime.catalog.id,
        records={str(record.tenant): record for record in records},
        servers=dict(zip(names, looks, strict=True)),
        tombstones={erasure.tenant: erasure for erasure in await runtime.catalog.erasures()},
    )


async def look(server: ServerDriver) -> ServerLook:
    """One server's databases and roles."""
    return ServerLook(databases=await server.databases(), roles=await server.roles())
