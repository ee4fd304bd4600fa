"""Templates at the release that their tenants have: a new tenant gets the golden with the same migrations as its neighbours.

A template without tenants gets all its migrations. One with tenants gets those that the last release brought to all of them;
newer files wait for ``manor tenant migrate``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from manor.control.catalog.records import DatabaseRecord, Lineage
from manor.control.engines.driver import IsolatedColumn, ServerDriver
from manor.control.migrate.cohort import Scripts, StepPlan, Terms, migration_from
from manor.control.migrate.model import Migration, head_of_versions, release_digest, version_key
from manor.control.migrate.released import Released
from manor.control.operations.fleet import Fleet
from manor.control.operations.release_sources import ReleaseSources
from manor.control.rollout.build import Golden
from manor.control.rollout.goldens import Migrate, golden_name
from manor.control.rollout.release.goldens import GoldenWork, release_goldens
from manor.control.runtime import Runtime
from manor.control.templates.digest import content_digest
from manor.control.templates.model import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What the catalog knows of releases; nothing where there is no catalog yet."""

    heads: Mapping[tuple[str, str], str] = field(default_factory=dict)
    lineages: Mapping[str, Lineage] = field(default_factory=dict)
    scripts: Scripts = field(default_factory=dict)

    @classmethod
    async def read(cls, runtime: Runtime, records: Iterable[DatabaseRecord]) -> Past:
        """All that concerns ``records``."""
        lineages = await runtime.catalog.lineages(record.golden for record in records)
        checksums = {checksum for lineage in lineages.values() for _, checksum, _ in lineage.history}
        found = await runtime.catalog.scripts(checksums)
        scripts = {key: migration_from(key[0], body) for key, body in found.items()}
        return cls(heads=await runtime.catalog.heads(), lineages=lineages, scripts=scripts)

    def of_neighbours(self, template: Template, records: Iterable[DatabaseRecord], head: str) -> list[Migration] | None:
        """What most tenants at ``head`` had run upon this very template: also migrations that are in no folder. None where no
        tenant tells."""
        histories = Counter(
            lineage.history
            for record in records
            if record.version == head
            and (lineage := self.lineages.get(record.golden)) is not None
            and lineage.base == template.digest
            and all((version, checksum) in self.scripts for version, checksum, _ in lineage.history)
        )
        if not histories:
            return None
        return [self.scripts[version, checksum] for version, checksum, _ in histories.most_common(1)[0][0]]


def at_heads(fleet: Fleet, past: Past, records: Iterable[DatabaseRecord]) -> tuple[Fleet, list[tuple[str, str, str]]]:
    """The fleet with each template at its release, and the heads (source, template, version) that nobody has recorded.

    Raises ``InvalidInput`` for folders of migrations that cannot be read.
    """
    source, heads = fleet.source.shown_as, past.heads
    sources = ReleaseSources.of(fleet.source.project, source, fleet.source.registry.parent, fleet.registry)
    chains = sources.chains((source, template.name) for template in fleet.templates.values())
    present: dict[str, str] = {}
    ready: dict[str, list[DatabaseRecord]] = {}
    for record in records:
        if record.source == source and record.state == "ready":
            ready.setdefault(record.template, []).append(record)
            present[record.template] = min(present.get(record.template, record.version), record.version, key=version_key)
    templates: dict[str, Template] = {}
    released: dict[str, Released] = {}
    new_heads: dict[tuple[str, str], str] = {}
    for recipe, template in fleet.templates.items():
        name = template.name
        chain = chains[source, name]
        known = heads.get((source, name))
        if not chain.migrations and not known:
            continue
        head = known if known is not None else present.get(name, chain.head)
        if known is None:
            new_heads[source, name] = head
        told = past.of_neighbours(template, ready.get(name, ()), head) if head else None
        in_folder = [m for m in chain.migrations if head and version_key(m.version) <= version_key(head)]
        migrations = told if told is not None else in_folder
        if migrations:
            templates[recipe] = _at(template, migrations)
            released[recipe] = _released(migrations, sources.source(source).baseline)
    resolution = replace(fleet.resolution, templates={**fleet.templates, **templates})
    return replace(fleet, resolution=resolution, released=released), [(*place, head) for place, head in new_heads.items()]


def _at(template: Template, migrations: list[Migration]) -> Template:
    digest = release_digest(template.digest, ((m.version, m.checksum) for m in migrations))
    return replace(
        template,
        digest=digest,
        content_digest=content_digest(digest, template.tenant_rows, template.isolation),
        base_digest=template.digest,
        version=head_of_versions(migration.version for migration in migrations),
    )


def _released(migrations: list[Migration], baseline: str) -> Released:
    steps = tuple(StepPlan(version=m.version, checksum=m.checksum, name=m.name, kind=_kind(m, baseline)) for m in migrations)
    return Released(steps=steps, scripts={(m.version, m.checksum): m for m in migrations})


def migrating(runtime: Runtime, released: Mapping[str, Released]) -> Migrate:
    """Makes goldens at their release, for ``ensure_goldens``."""

    async def migrate(server: ServerDriver, template: Template) -> Golden:
        found = released[template.recipe]
        isolation = tuple(IsolatedColumn(table=i.table, column=i.column, value="") for i in template.isolation)
        work = GoldenWork(
            runtime=runtime,
            scripts=found.scripts,
            terms=Terms(operation=runtime.operation, token=0),
            isolation={0: isolation},
        )
        (cohort,) = await release_goldens(work, [found.cohort(template.name, template.base_digest, server.name)])
        name = golden_name(runtime.catalog.id, cohort.golden_to)
        return Golden(database=name, digest=cohort.golden_to, fingerprint=cohort.fingerprint)

    return migrate


def _kind(migration: Migration, baseline: str) -> str:
    return "record" if baseline and version_key(migration.version) <= version_key(baseline) else "up"
