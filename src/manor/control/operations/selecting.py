"""Which tenants a command is about: all, some by name, a group, or what a search finds. Pure, and cheap to import."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from manor.control.catalog.records import DatabaseRecord
from manor.control.rollout.selection import find_tenants
from manor.errors import NotFoundError
from manor.scan import suggest


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which tenants a command is about; exactly one of them."""

    everyone: bool = False
    tenants: tuple[str, ...] = ()
    """Full ids, short ids or database names."""
    group: str | None = None
    search: str | None = None


def select(records: Sequence[DatabaseRecord], wanted: Selection) -> list[DatabaseRecord]:
    """The chosen tenants, by id. Raises ``NotFoundError`` (no such tenant, group) and ``InputError`` (a search that cannot be
    read, a short id of several)."""
    if wanted.tenants:
        return _named(records, wanted.tenants)
    if wanted.group is not None:
        chosen = [record for record in records if record.group == wanted.group]
        if not chosen:
            hint = suggest(wanted.group, {record.group for record in records})
            raise NotFoundError(f"no recorded tenant is in a group {wanted.group!r}", hint=hint)
        return chosen
    if wanted.search is not None:
        return found_by(wanted.search, records)
    return list(records)


def found_by(text: str, records: Sequence[DatabaseRecord], *, where: str = "--filter") -> list[DatabaseRecord]:
    """The tenants that a search finds among all (``records``).

    Raises ``InputError`` where it cannot be read, or has a name that no tenant has.
    """
    from manor.control.registry.search.fields import record_values
    from manor.control.registry.search.parse import parse_search  # imports sqlglot

    search = parse_search(text, where=where)
    search.require_known(key for record in records for key in (*record.variables, *record.config))
    return [record for record in records if search.matches(record_values(record))]


def _named(records: Sequence[DatabaseRecord], names: Iterable[str]) -> list[DatabaseRecord]:
    by_database = {record.database: record for record in records}
    by_tenant = {record.tenant: record for record in records}
    chosen: dict[str, DatabaseRecord] = {}
    for name in names:
        record = by_database.get(name)
        if record is None:
            record = by_tenant[find_tenants([name], list(by_tenant), key="--tenant-id")[name]]
        chosen[str(record.tenant)] = record
    return list(chosen.values())
