"""What differs between a tenant's schema and the golden one that it was copied from, in words."""

from __future__ import annotations

from manor.control.catalog.records import DatabaseRecord
from manor.control.engines.driver import Fill, Marker, ServerDriver
from manor.control.rollout.verify import recorded_isolation
from manor.control.runtime import Runtime
from manor.control.templates.model import Schema
from manor.errors import NotFoundError


async def schema_differences(runtime: Runtime, server: ServerDriver, record: DatabaseRecord) -> list[str]:
    """Each difference one short line; empty where there is none.

    Nobody may enter a golden database, so a copy is looked at and dropped; one that a kill leaves is swept by the next deploy.
    Raises ``NotFoundError`` where the golden is gone.
    """
    golden = next((g for g in await runtime.catalog.goldens(record.server) if g.digest == record.golden), None)
    if golden is None:
        raise NotFoundError(f"the golden database that {record.database} was copied from is no longer there")
    isolation = recorded_isolation(record.config)
    copy = f"manor_new_{runtime.catalog.id}_drift_{runtime.new_token()}"
    try:
        await server.clone(golden.database, copy)
        await server.restrict({copy: Marker(catalog=runtime.catalog.id, kind="building", operation=runtime.operation)})
        await server.fill(copy, Fill(schema=Schema(), isolation=isolation))
        expected = await server.describe(copy, isolation)
    finally:
        await server.drop_database(copy)
    return server.explain_drift(expected, await server.describe(record.database, isolation))
