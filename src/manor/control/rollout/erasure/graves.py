"""Tombstones that outlive the catalog: written beside it while it is there, brought back into one that was rebuilt or restored.

What an erasure's certificate said is not in them. A certificate that was lost with the catalog is replaced by a line that says
so; the customer's copy stays valid.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from manor.control.catalog.erasures import subject_of
from manor.control.catalog.records import DatabaseRecord, ErasureRecord
from manor.control.catalog.tombstones import Tombstone
from manor.control.rollout.retry import until_recorded
from manor.control.runtime import Runtime

LOST = "the certificate was lost with the catalog; a copy that was printed before is still valid"


def engrave(runtime: Runtime, tenant: str, state: str) -> None:
    """Write beside the catalog how far the erasure of a tenant came. Raises ``CatalogError``."""
    runtime.tombstones.append(
        Tombstone(catalog=runtime.catalog.id, tenant=tenant, state=state, at=runtime.now(), operation=runtime.operation)
    )


def graves_of(tombstones: Mapping[str, Tombstone], living: AbstractSet[str]) -> list[Tombstone]:
    """Those that a new catalog is told of. ``living``: tenants whose databases are there: their erasure is not over."""
    return [one for tenant, one in sorted(tombstones.items()) if tenant not in living]


async def dig(runtime: Runtime, graves: Sequence[Tombstone], records: Mapping[str, DatabaseRecord]) -> None:
    """Bring tombstones into the catalog. ``records``: where tenants would be whose erasure did not come to its end; of those
    that nobody knows, there is nothing to go on with. Safe to repeat."""
    for grave in graves:
        record = records.get(grave.tenant)
        if grave.state == "erased":
            await until_recorded(runtime, functools.partial(runtime.catalog.bury, _erasure(runtime, grave)))
        elif record is not None:
            erasure = _erasure(runtime, grave, record)
            await until_recorded(runtime, functools.partial(runtime.catalog.bury, erasure))
        runtime.telemetry.emit("erase.remembered", runtime.operation, grave.tenant, state=grave.state)


async def bury_again(runtime: Runtime, tombstones: Mapping[str, Tombstone]) -> list[str]:
    """In a catalog that is older than some erasures: what it brought back of those tenants is erased once more. Returns the
    tenants. Safe to repeat."""
    known = {one.tenant for one in await runtime.catalog.erasures() if one.is_done}
    graves = [one for one in graves_of(tombstones, known) if one.state == "erased"]
    for grave in graves:
        await runtime.catalog.destroy_tenant_keys(grave.tenant)
        await runtime.catalog.erase_entries(grave.tenant)
    await dig(runtime, graves, {})
    if graves:
        await runtime.catalog.rewrite_tenants()
    return [grave.tenant for grave in graves]


def _erasure(runtime: Runtime, grave: Tombstone, record: DatabaseRecord | None = None) -> ErasureRecord:
    is_done = grave.state == "erased"
    document = {
        "tenant": grave.tenant,
        "installation": runtime.catalog.id,
        "operation": grave.operation,
        "erased_at": grave.at.isoformat(),
        "note": LOST,
    }
    return ErasureRecord(
        tenant=grave.tenant,
        state=grave.state,
        operation=grave.operation,
        actor=runtime.actor,
        begun_at=grave.at,
        reason="known by its tombstone alone",
        subject=subject_of(record) if record is not None else {},
        erased_at=grave.at if is_done else None,
        certificate=json.dumps(document, ensure_ascii=False, indent=2) if is_done else "",
    )
