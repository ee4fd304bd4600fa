"""Which release new tenants get: the one that all tenants of their template have. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from manor.control.catalog.records import DatabaseRecord, TargetRecord
from manor.control.migrate.cohort import Cohort
from manor.control.migrate.model import version_key

Head = tuple[str, str, str]
"""(source, template, version)."""


def heads_after(
    records: Iterable[DatabaseRecord],
    cohorts: Mapping[int, Cohort],
    moving: Iterable[TargetRecord],
    protected: AbstractSet[str],
) -> list[Head]:
    """The heads of all places that ``cohorts`` touch, once ``moving`` have been moved.

    It is the lowest version that a tenant there is at; those that are pinned or held back (``protected``) do not count.
    """
    coming = {target.tenant: cohorts[target.cohort].version for target in moving if target.cohort is not None}
    places = {(cohort.source, cohort.template) for cohort in cohorts.values()}
    lowest: dict[tuple[str, str], str] = {}
    for record in records:
        place, tenant = (record.source, record.template), str(record.tenant)
        if place not in places or record.state != "ready" or tenant in protected:
            continue
        version = coming.get(tenant, record.version)
        lowest[place] = min(lowest.get(place, version), version, key=version_key)
    return [(source, template, version) for (source, template), version in sorted(lowest.items())]


def late_tenants(
    records: Iterable[DatabaseRecord], known: AbstractSet[str], cohorts: Iterable[Cohort], heads: Sequence[Head]
) -> list[tuple[DatabaseRecord, Cohort]]:
    """Tenants that were made while a release ran (not ``known`` when it began), from the golden that it replaced, where
    everybody else has moved on."""
    moved = {(source, template): version for source, template, version in heads}
    by_place = {
        (c.source, c.template, c.server, c.golden_from): c for c in cohorts if moved.get((c.source, c.template)) == c.version
    }
    late = []
    for record in records:
        cohort = by_place.get((record.source, record.template, record.server, record.golden))
        if cohort is not None and record.state == "ready" and str(record.tenant) not in known:
            late.append((record, cohort))
    return late
