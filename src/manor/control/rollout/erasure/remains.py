"""What holds data of an erased tenant still, and for how long: what was written before, in places that nobody edits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from manor.control.backup.certificate import CONTENT, IDENTIFIERS, Remaining
from manor.control.backup.scan import Where
from manor.control.catalog.records import DatabaseRecord
from manor.control.runtime import Runtime

_RECYCLED = "until the server has recycled its segments: after the next checkpoints, a matter of max_wal_size"
_ARCHIVED = "until no base backup needs it any more and `manor backup prune` removes it"
_NAMES = "names only: of the database, of its role, and the tenant id"


async def remaining(
    runtime: Runtime, record: DatabaseRecord, export: Mapping[str, Any] | None, *, keep_days: int
) -> list[Remaining]:
    """All places, with the day on which retention removes them where that is known. ``keep_days``: for how long base backups
    are kept by days; 0: other rules decide."""
    server = f"server {record.server}"
    found = [
        Remaining(kind=Where.WAL, where=f"{server}: pg_wal", holds=CONTENT, why=_RECYCLED),
        Remaining(kind=Where.WAL_ARCHIVE, where=f"{server}: WAL archive", holds=CONTENT, why=_ARCHIVED),
    ]
    for base, location, stopped_at in await runtime.catalog.base_backups(record.server):
        until = stopped_at + dt.timedelta(days=keep_days) if keep_days else None
        why = "" if until else "until `manor backup prune` removes it"
        found.append(Remaining(kind=Where.BASE_BACKUP, where=f"{location}: base {base}", holds=CONTENT, until=until, why=why))
    if export:
        found.append(Remaining(kind=Where.DUMP, where=str(export["file"]), holds=CONTENT, why="the customer's own copy"))
    found.append(Remaining(kind=Where.CATALOG, where="manor.", holds=IDENTIFIERS, why=f"journal and audit log stay: {_NAMES}"))
    for name in runtime.servers:
        for kind in (Where.DATA, Where.LOG, Where.WAL, Where.WAL_ARCHIVE):
            found.append(Remaining(kind=kind, where=f"server {name}: ", holds=IDENTIFIERS, why=_NAMES))
    return found
