"""``manor tenant search``: the tenants that sources told of, found by what they told. Looks only."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from manor.control.catalog.catalog import Catalog
from manor.control.catalog.chain import safe_json
from manor.control.catalog.records import DatabaseRecord, DirectoryChange, DirectoryRecord, SourceRecord
from manor.control.registry.directory_home import DirectoryHome
from manor.errors import NotFoundError
from manor.scan import suggest


async def search_directory(
    catalog: Catalog,
    query: str,
    *,
    source: str | None = None,
    state: str = "present",
    limit: int | None = None,
    where: str = "--query",
) -> list[DirectoryRecord]:
    """All that ``query`` finds, of one source where one is named, by source and tenant id; at most ``limit`` of them.

    Raises ``InputError`` with line and column for what is not of the search language, ``NotFoundError`` for a source that was
    never synced.
    """
    from manor.control.registry.search.filters import search_of_query
    from manor.control.registry.search.sql import compile_sql  # imports sqlglot

    condition, parameters = compile_sql(search_of_query(query, where=where))
    if source is not None:
        require_source(await catalog.directory_sources(), source)
    return await catalog.search_directory(condition, parameters, source=source, state=state, limit=limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a source told of one tenant, and when."""

    record: DirectoryRecord
    history: tuple[DirectoryChange, ...]
    """Newest first."""

    def to_json(self) -> dict[str, Any]:
        """As ``--format json`` shows it; values of settings that sound secret are masked."""
        config = json.loads(safe_json(dict(self.record.config)))
        changes = [
            {
                "at": one.at.isoformat() if one.at else None,
                "operation": one.operation,
                "kind": one.kind,
                "fields": dict(one.fields),
            }
            for one in self.history
        ]
        return {**record_json(self.record), "config": config, "history": changes}


async def find_told(catalog: Catalog, tenant: str, *, source: str | None = None, changes: int = 20) -> list[Told]:
    """What sources told of the tenant that they call ``tenant``, gone or not; of one source where that is named. Empty where
    none did."""
    names = [source] if source is not None else [one.name for one in await catalog.directory_sources()]
    found = [(await catalog.directory_records(name, [tenant])).get(tenant) for name in names]
    return [
        Told(record=one, history=tuple(await catalog.directory_history(tenant, source=one.source, limit=changes)))
        for one in found
        if one is not None
    ]


async def told_of(catalog: Catalog, record: DatabaseRecord) -> list[Told]:
    """What its source told of the tenant of a recorded database; empty where a registry declared it."""
    home = DirectoryHome.parse(record.source)
    return await find_told(catalog, record.tenant.id, source=home.source) if home is not None else []


def require_source(known: Iterable[SourceRecord], source: str) -> None:
    """Raise ``NotFoundError`` for a source that the directory does not know."""
    names = [one.name for one in known]
    if source not in names:
        hint = suggest(source, names) or f"`manor tenant sync --source {source}` reads it"
        raise NotFoundError(f"the source {source!r} was never synced", hint=hint)


def record_json(record: DirectoryRecord) -> dict[str, Any]:
    """One of them as ``--format json`` shows it."""
    return {
        "source": record.source,
        **record.values,
        "state": record.state,
        "first_seen_at": record.first_seen_at.isoformat() if record.first_seen_at else None,
        "changed_at": record.changed_at.isoformat() if record.changed_at else None,
        "operation": record.operation,
    }
