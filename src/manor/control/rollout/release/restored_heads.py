"""Records the release of a database that a restore put in place and died before it could say so.

The database that was replaced is kept together with the release of what took its place. Where the live database's marker says
that release and the catalog still the former one, the catalog is behind.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from manor.control.catalog.kept import KeptRecord
from manor.control.catalog.records import AuditEvent, DatabaseRecord
from manor.control.engines.driver import FoundDatabase
from manor.control.rollout.retry import until_recorded
from manor.control.runtime import Runtime, operation_token


async def record_restored_heads(
    runtime: Runtime,
    kept: Sequence[KeptRecord],
    found: Mapping[str, FoundDatabase],
    is_dead: Callable[[str], bool],
) -> None:
    """Correct the catalog for the tenants of dead restores. ``found``: the server's databases; ``is_dead``: whether the
    operation with that token is. Safe to repeat."""
    candidates = [one for one in kept if "head" in one.marks and is_dead(operation_token(one.operation))]
    if not candidates:
        return
    records = {str(record.tenant): record for record in await until_recorded(runtime, runtime.catalog.databases)}
    behind = [
        replace(record, **one.marks["head"])
        for one in candidates
        if (record := records.get(one.tenant)) is not None and _is_behind(one, record, found)
    ]
    if behind:
        events = [
            AuditEvent(actor=runtime.actor, action="tenant.restored", subject=str(r.tenant), details={"version": r.version})
            for r in behind
        ]
        correct = functools.partial(runtime.catalog.correct_heads, runtime.operation, behind, audit=events)
        await until_recorded(runtime, correct)


def _is_behind(kept: KeptRecord, record: DatabaseRecord, found: Mapping[str, FoundDatabase]) -> bool:
    golden = kept.marks["head"]["golden"]
    live, old = found.get(record.database), found.get(kept.database)
    return (
        record.golden == kept.golden != golden
        and live is not None
        and live.marker is not None
        and (live.marker.tenant, live.marker.digest) == (kept.tenant, golden)
        and old is not None
        and old.marker is not None
        and old.marker.kind == "kept"
    )
