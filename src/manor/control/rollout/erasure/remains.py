"""What holds data of an erased tenant still, and for how long: what was written before, in places that nobody edits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from manor.control.backup.certificate import CONTENT, IDENTIFIERS, Remaining
from manor.control.backup.scan import Where
from manor.control.catalog.records import DatabaseRecord
from manor.control.runtime import Runtime

_RECYCLED = "until the server has recycled its segments: after the next checkpoints, a matter of max_wal_size"
_ARCHIVED = "until no base backup needs its segments any more and they are removed"
_EXPIRED_THERE = "backups and log of the whole cluster, until pgBackRest's own retention has expired them; it was not searched"
_NAMES = "names only: of the database, of its role, and the tenant id"


_FOREIGN = "a backup that another installation has made: until it is pruned, or the tenant erased, there"
_CATALOG = "a backup of the catalog: the connection URL and the keys of backups, encrypted, until it is pruned"


def base_place(base: str) -> str:
    """How a base backup is called."""
    return f"base backup {base}"


async def remaining(
    runtime: Runtime, record: DatabaseRecord, export: Mapping[str, Any] | None, *, keep_days: int, stanza: str = ""
) -> list[Remaining]:
    """All places, with the day on which retention removes them where that is known. ``keep_days``: for how long base backups
    are kept by days; 0: other rules decide. ``stanza``: of pgBackRest, which backs the server up; empty: nobody said so."""
    server = f"server {record.server}"
    found = [Remaining(kind=Where.WAL, where=f"{server}: pg_wal", holds=CONTENT, why=_RECYCLED)]
    bases = await runtime.catalog.base_backups(record.server)
    folders = await runtime.servers[record.server].folders()
    if bases or folders is None or folders.archive is not None:
        found.append(Remaining(kind=Where.WAL_ARCHIVE, where=f"{server}: WAL archive", holds=CONTENT, why=_ARCHIVED))
    for base, location, needed_at in bases:
        until = needed_at + dt.timedelta(days=keep_days) if keep_days else None
        why = f"in {location}" if until else f"in {location}, until it is removed there"
        found.append(Remaining(kind=Where.BASE_BACKUP, where=base_place(base), holds=CONTENT, until=until, why=why))
    if stanza:
        where = f"pgBackRest's repository, stanza {stanza}"
        found.append(Remaining(kind=Where.BASE_BACKUP, where=where, holds=CONTENT, why=_EXPIRED_THERE))
    for backup in await runtime.catalog.backups():
        if backup.kind == "catalog":
            where = f"{backup.location}: {backup.key}"
            found.append(Remaining(kind=Where.DUMP, where=where, holds=CONTENT, why=_CATALOG))
    if export:
        found.append(Remaining(kind=Where.DUMP, where=str(export["file"]), holds=CONTENT, why="the customer's own copy"))
    found.append(Remaining(kind=Where.CATALOG, where="manor.", holds=IDENTIFIERS, why=f"journal and audit log stay: {_NAMES}"))
    for name in runtime.servers:
        for kind in (Where.DATA, Where.LOG, Where.WAL, Where.WAL_ARCHIVE):
            found.append(Remaining(kind=kind, where=f"server {name}: ", holds=IDENTIFIERS, why=_NAMES))
    return found


def of_others(backups: Iterable[str]) -> list[Remaining]:
    """Backups in the same place that are not this installation's to remove, as messages name them."""
    return [Remaining(kind=Where.STORAGE, where=f"{one}.", holds=CONTENT, why=_FOREIGN) for one in backups]
