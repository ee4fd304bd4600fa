"""``manor tenant search``: the tenants that sources told of, found by what they told. Looks only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from manor.control.catalog.catalog import Catalog
from manor.control.catalog.records import DirectoryRecord, SourceRecord
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
