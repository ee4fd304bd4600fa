"""``manor migration status``: who has seen which migrations. Of the fleet from the catalog alone; of one tenant from its own
database, compared with the catalog. Looks only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manor.control.catalog.records import DatabaseRecord, Lineage
from manor.control.engines.releases import HistoryRow
from manor.control.migrate.cohort import History, migration_from
from manor.control.migrate.history import Chain, Pending, Problem, pending
from manor.control.migrate.model import Applied, Migration, version_key
from manor.control.migrate.plan import history_of, lone_only, with_recorded
from manor.control.migrate.status import StatusRow, status
from manor.control.operations.release_draft import Selection, select
from manor.control.operations.release_sources import ReleaseSources
from manor.control.operations.tenants import server_of
from manor.control.runtime import Runtime
from manor.errors import RefusedError

Recorded = Mapping[tuple[str, str], Migration]


@dataclass(slots=True, kw_only=True)
class ChainStatus:
    """One template's tenants against its chain of migrations."""

    source: str
    template: str
    chain: Chain
    versions: Counter[str] = field(default_factory=Counter)
    """Tenants by version; the empty one has seen no migration."""
    pending: Counter[str] = field(default_factory=Counter)
    """Tenants by migration that they lack."""
    problems: dict[Problem, list[str]] = field(default_factory=dict)
    """Tenant ids by what keeps them from being released."""

    def count(self, record: DatabaseRecord, found: Pending) -> None:
        """Add one tenant."""
        self.versions[record.version] += 1
        for problem in found.problems:
            self.problems.setdefault(problem, []).append(str(record.tenant))
        if not found.problems:
            self.pending.update(migration.version for migration in (*found.migrations, *found.recorded))

    def to_json(self) -> dict[str, Any]:
        """One entry of the document's ``chains``."""
        at = sorted(self.versions.items(), key=lambda item: version_key(item[0]))
        return {
            "source": self.source,
            "template": self.template,
            "head": self.chain.head,
            "tenants": self.versions.total(),
            "versions": [{"version": version, "tenants": count} for version, count in at],
            "migrations": [
                {
                    "version": migration.version,
                    "name": migration.name,
                    "place": str(migration.place),
                    "has_down": migration.down is not None,
                    "pending": self.pending[migration.version],
                }
                for migration in self.chain.migrations
            ],
            "problems": [{**_problem(problem), "tenants": tenants} for problem, tenants in self.problems.items()],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus:
    """What the catalog says of the chosen tenants."""

    chains: tuple[ChainStatus, ...]
    not_ready: tuple[str, ...]
    """Tenants without a finished database."""

    @property
    def has_problems(self) -> bool:
        """Whether somebody cannot be released."""
        return any(chain.problems for chain in self.chains)

    def to_json(self) -> dict[str, Any]:
        """The document of ``--format json``."""
        return {"chains": [chain.to_json() for chain in self.chains], "not_ready": list(self.not_ready)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantStatus:
    """What one tenant's own database says."""

    record: DatabaseRecord
    rows: tuple[StatusRow, ...]
    problems: tuple[Problem, ...]
    differences: tuple[str, ...]
    """From the catalog, in words."""

    @property
    def has_problems(self) -> bool:
        """Whether it cannot be released, or is not what the catalog takes it for."""
        return bool(self.problems or self.differences)

    def to_json(self) -> dict[str, Any]:
        """The document of ``--format json``."""
        return {
            "tenant_id": str(self.record.tenant),
            "database": self.record.database,
            "template": self.record.template,
            "recorded_version": self.record.version,
            "migrations": [
                {
                    "version": row.version,
                    "name": row.name,
                    "state": str(row.state),
                    "has_down": row.has_down,
                    "applied_at": row.applied_at.isoformat() if row.applied_at else None,
                    "operation": row.operation,
                }
                for row in self.rows
            ],
            "problems": [_problem(problem) for problem in self.problems],
            "differences": list(self.differences),
        }


async def fleet_status(runtime: Runtime, project: Path, selection: Selection) -> FleetStatus:
    """Count the chosen tenants by version. No tenant's database is entered."""
    records = select(await runtime.catalog.databases(), selection)
    ready = [record for record in records if record.state == "ready"]
    lineages = await runtime.catalog.lineages(record.golden for record in ready)
    recorded = await _recorded(runtime, (row for lineage in lineages.values() for row in lineage.history))
    sources = ReleaseSources(project)
    chains = sources.chains((record.source, record.template) for record in ready)
    found = {place: ChainStatus(source=place[0], template=place[1], chain=chain) for place, chain in sorted(chains.items())}
    known: dict[tuple[str, str, str], Pending] = {}
    for record in ready:
        key = (record.source, record.template, record.golden)
        if key not in known:
            lone = lone_only(recorded, _shown(project, sources.folders(*key[:2])))
            known[key] = _pending(chains[key[:2]], record, lineages, lone)
        found[key[:2]].count(record, known[key])
    return FleetStatus(chains=tuple(found.values()), not_ready=tuple(str(r.tenant) for r in records if r.state != "ready"))


async def tenant_status(runtime: Runtime, project: Path, name: str) -> TenantStatus:
    """Read one tenant's history from its own database. Raises ``NotFoundError`` for the tenant or its server, ``RefusedError``
    where its database is not finished."""
    (record,) = select(await runtime.catalog.databases(), Selection(tenants=(name,)))
    if record.state != "ready":
        raise RefusedError(f"tenant {record.tenant} is {record.state}", hint="deploy it first")
    rows = await server_of(runtime, record).releases.history(record.database)
    _, history = history_of(record, await runtime.catalog.lineages([record.golden]))
    seen = tuple((row.version, row.checksum, row.name) for row in rows)
    sources = ReleaseSources(project)
    place = (record.source, record.template)
    recorded = lone_only(await _recorded(runtime, [*history, *seen]), _shown(project, sources.folders(*place)))
    chain = with_recorded(sources.chains([place])[place], seen, recorded)
    applied = [
        Applied(version=r.version, checksum=r.checksum, name=r.name, applied_at=r.applied_at, operation=r.operation)
        for r in rows
    ]
    return TenantStatus(
        record=record,
        rows=status(chain, applied),
        problems=pending(chain, applied).problems,
        differences=tuple(differences(history, rows)),
    )


def differences(history: History, rows: Sequence[HistoryRow]) -> list[str]:
    """Where a database's own history is not the one that the catalog knows, in words."""
    recorded = {version: checksum for version, checksum, _ in history}
    present = {row.version: row.checksum for row in rows}
    lines = {version: f"{version} is recorded in the catalog, and the database has not seen it" for version in recorded}
    lines |= {version: f"{version} is in the database, and the catalog does not know it" for version in present}
    for version in recorded.keys() & present.keys():
        if present[version] in ("", recorded[version]):  # another tool keeps no checksums
            del lines[version]
        else:
            lines[version] = f"{version} was run with another text than the catalog knows"
    return [lines[version] for version in sorted(lines, key=version_key)]


def _shown(project: Path, folders: Iterable[Path]) -> list[str]:
    return [folder.relative_to(project).as_posix() for folder in folders if folder.is_relative_to(project)]


def _pending(chain: Chain, record: DatabaseRecord, lineages: Mapping[str, Lineage], lone: Recorded) -> Pending:
    _, history = history_of(record, lineages)
    rows = [Applied(version=version, checksum=checksum, name=name) for version, checksum, name in history]
    return pending(with_recorded(chain, history, lone), rows)


async def _recorded(runtime: Runtime, rows: Iterable[tuple[str, str, str]]) -> Recorded:
    found = await runtime.catalog.scripts({checksum for _, checksum, _ in rows if checksum})
    return {key: migration_from(key[0], body) for key, body in found.items()}


def _problem(problem: Problem) -> dict[str, str]:
    return {
        "code": str(problem.code),
        "version": problem.version,
        "message": problem.message,
        "hint": problem.hint,
    }
