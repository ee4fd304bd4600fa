"""What a lost catalog held, as far as the servers and the registries still tell. Pure.

A tenant's database says whose it is and which golden it was copied from (its marker), what was run upon it (its history) and
who may enter it. The registries say the rest, where they still declare it. What neither tells is reported by name.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from manor.control.catalog.records import DatabaseRecord, Lineage, WarmRecord
from manor.control.engines.driver import FoundDatabase, IsolatedColumn, Marker
from manor.control.engines.releases import HistoryRow, Prepared
from manor.control.migrate.model import Migration, head_of_versions, release_digest, version_key
from manor.control.steps import Failure, Target
from manor.errors import Code, InputError, RefusedError, counted
from manor.tenancy import TenantId

KEPT_DAYS = 7
"""How long databases that were kept for an undo are kept from now on: until when they should have been is lost."""

History = tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What a registry says of one tenant."""

    target: Target
    source: str
    base: str
    """Digest of the template as its files are now."""
    isolation: tuple[IsolatedColumn, ...] = ()
    config: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTenant:
    """One tenant's database as it was looked at."""

    tenant: TenantId
    server: str
    database: str
    marker: Marker
    roles: tuple[str, ...] = ()
    """Tenants' roles that may enter it."""
    history: tuple[HistoryRow, ...] = ()
    fingerprint: str = ""
    isolated: bool = True
    token: int = 0
    suspended: bool = False
    """Whether its role is there and may not log in."""
    failure: Failure | None = None
    """Why it could not be looked into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundKept:
    """A former database of a tenant, or a snapshot of one."""

    server: str
    database: str
    marker: Marker


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One tenant as it will be recorded, or why not."""

    found: FoundTenant
    target: Target
    record: DatabaseRecord | None
    """Without its URL."""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """Everything that a new catalog is told."""

    findings: tuple[Finding, ...]
    lineages: tuple[Lineage, ...]
    kept: tuple[FoundKept, ...]
    pool: tuple[WarmRecord, ...]
    heads: tuple[tuple[str, str, str], ...]
    scripts: tuple[Migration, ...]
    token: int
    """The highest that any database has seen."""
    unknown: tuple[str, ...]
    """What cannot be known any more, in words."""

    @property
    def records(self) -> list[DatabaseRecord]:
        """Those that can be recorded."""
        return [finding.record for finding in self.findings if finding.record is not None]


def choose_catalog(looks: Mapping[str, Mapping[str, FoundDatabase]], wanted: str | None, present: str) -> str:
    """Which catalog is to come back: the one that the databases' markers name. ``present``: the id of one that is half
    rebuilt, or empty.

    Raises ``InputError`` where several are named and none was chosen, or none is named, and ``RefusedError`` for another one
    than is half rebuilt.
    """
    named = Counter(
        found.marker.catalog
        for look in looks.values()
        for found in look.values()
        if found.marker is not None and found.marker.kind in ("tenant", "kept", "golden")
    )
    chosen = wanted or present or (next(iter(named)) if len(named) == 1 else "")
    if present and chosen != present:
        raise RefusedError(f"the catalog {present} is half rebuilt, not {chosen}", hint=f"--catalog-id {present}")
    if chosen in named:
        return chosen
    if not named:
        raise InputError("no database on these servers bears Manor's mark", hint="is environ.yaml the right one?")
    ids = ", ".join(f"{name} ({counted(count, 'database')})" for name, count in named.most_common())
    what = f"no database was made by catalog {chosen}" if chosen else "the databases were made by several catalogs"
    raise InputError(f"{what}: found {ids}", hint="--catalog-id ID says which of them was lost")


def plan_rebuild(
    catalog: str,
    looks: Mapping[str, Mapping[str, FoundDatabase]],
    tenants: Sequence[FoundTenant],
    declared: Mapping[str, Declaration],
    migrations: Iterable[Migration],
    prepared: Mapping[str, Sequence[Prepared]],
) -> Rebuilt:
    """Everything that the new catalog is told. ``declared``: by tenant; ``migrations``: all that stand in a folder;
    ``prepared``: by server, transactions of the lost catalog that wait for their second phase."""
    scripts = {(m.version, m.checksum): m for m in migrations}
    bases = _bases(catalog, looks, declared)
    findings = tuple(_finding(found, declared.get(str(found.tenant)), _twins(found, tenants)) for found in tenants)
    told = [f for f in findings if f.record is not None]
    lineages = {f.found.marker.digest: _lineage(f.found, bases) for f in told if f.found.history}
    used = {(v, c) for lineage in lineages.values() for v, c, _ in lineage.history}
    kept = tuple(FoundKept(server=s, database=f.name, marker=m) for s, f, m in _ours(catalog, looks, "kept"))
    unknown = [
        *itertools.chain.from_iterable(_unknown(finding, declared) for finding in told),
        *(_lost_base(lineage, told) for lineage in lineages.values() if not lineage.base),
        *(f"the text of migration {v} is in no folder: it cannot be undone" for v, c in sorted(used - scripts.keys())),
        *(f"until when {k.database} ({k.marker.tenant}) was to be kept: now for {KEPT_DAYS} days" for k in kept),
        *_undecided(prepared),
        *(
            f"what is left of the erasure of {marker.tenant}: {found.name} on {server} is sealed, and is to be dropped"
            for server, found, marker in _ours(catalog, looks, "erasing")
        ),
        "operations, their outcomes, and the entries of the audit log",
        "marks (`manor backup mark`): their moments can be reached by time",
        "legal holds, keys of encrypted backups, certificates of erasures",
    ]
    return Rebuilt(
        findings=findings,
        lineages=tuple(lineages.values()),
        kept=kept,
        pool=tuple(_pool(catalog, looks)),
        heads=tuple(_heads([f.record for f in told if f.record is not None])),
        scripts=tuple(scripts[key] for key in sorted(used & scripts.keys())),
        token=max((found.token for found in tenants), default=0),
        unknown=tuple(unknown),
    )


def _twins(found: FoundTenant, tenants: Iterable[FoundTenant]) -> list[FoundTenant]:
    return [t for t in tenants if t.tenant == found.tenant and (t.server, t.database) != (found.server, found.database)]


def _finding(found: FoundTenant, declaration: Declaration | None, twins: Sequence[FoundTenant]) -> Finding:
    target = _target(found, declaration)
    failure = found.failure
    if failure is None and twins:
        other = f"{twins[0].database} on {twins[0].server}"
        failure = Failure(
            code=Code.CONFLICT,
            message=f"two databases say that they are {found.tenant}: {found.database} on {found.server} and {other}",
            hint="drop the wrong one, or take its comment away: COMMENT ON DATABASE … IS NULL",
        )
    if failure is not None:
        return Finding(found=found, target=target, record=None, failure=failure)
    return Finding(found=found, target=target, record=_record(found, target, declaration))


def _target(found: FoundTenant, declaration: Declaration | None) -> Target:
    if declaration is not None:
        place = declaration.target
        return replace(place, database=found.database, server=found.server, template=found.marker.template)
    return Target(
        tenant=found.tenant,
        database=found.database,
        group=found.tenant.group,
        kind="tenant_group",
        template=found.marker.template,
        server=found.server,
        variables={},
        declared=False,
    )


def _record(found: FoundTenant, target: Target, declaration: Declaration | None) -> DatabaseRecord:
    isolation = declaration.isolation if declaration else ()
    config = {
        **({} if target.declared else {"declared": False}),
        "isolation": [[i.table, i.column, i.value] for i in isolation],
        **(declaration.config if declaration else {}),
    }
    return DatabaseRecord(
        tenant=found.tenant,
        database=found.database,
        server=found.server,
        group=target.group,
        template=target.template,
        state="ready",
        role=role_of(found),
        golden=found.marker.digest,
        fingerprint=found.fingerprint,
        version=head_of_versions(row.version for row in found.history),
        source=declaration.source if declaration else "",
        name=target.title or found.database,
        config=config,
        variables=target.variables,
    )


def role_of(found: FoundTenant) -> str:
    """The tenant's own role: the one that may enter its database; of several, or where all doors are closed, the one of the
    database's name."""
    return found.roles[0] if len(found.roles) == 1 else found.database


def _bases(
    catalog: str, looks: Mapping[str, Mapping[str, FoundDatabase]], declared: Mapping[str, Declaration]
) -> dict[str, set[str]]:
    """By template, digests of goldens that migrations may have been run upon."""
    bases: dict[str, set[str]] = {}
    for declaration in declared.values():
        bases.setdefault(declaration.target.template, set()).add(declaration.base)
    for look in looks.values():
        for marker in (found.marker for found in look.values() if found.marker and found.marker.catalog == catalog):
            bases.setdefault(marker.template, set()).add(marker.digest)
    return bases


def _lineage(found: FoundTenant, bases: Mapping[str, set[str]]) -> Lineage:
    """What a golden's digest is made of; without a base where that cannot be told. The digest proves base and order."""
    by_version = sorted(found.history, key=lambda row: version_key(row.version))
    as_run = sorted(found.history, key=lambda row: (row.applied_at is not None, row.applied_at, version_key(row.version)))
    candidates = sorted(bases.get(found.marker.template, ()))
    for rows, base in itertools.product((by_version, as_run), candidates):
        if release_digest(base, ((row.version, row.checksum) for row in rows)) == found.marker.digest:
            return Lineage(digest=found.marker.digest, base=base, history=_triples(rows))
    return Lineage(digest=found.marker.digest, base="", history=_triples(by_version))


def _triples(rows: Iterable[HistoryRow]) -> History:
    return tuple((row.version, row.checksum, row.name) for row in rows)


def _lost_base(lineage: Lineage, told: Iterable[Finding]) -> str:
    template = next(f.target.template for f in told if f.found.marker.digest == lineage.digest)
    return f"which state of template {template} golden {lineage.digest[:16]} began with: its files have changed since"


def _unknown(finding: Finding, declared: Mapping[str, Declaration]) -> Iterator[str]:
    found, record = finding.found, finding.record
    if str(found.tenant) not in declared:
        yield f"registry, name, variables and isolated values of {found.tenant}: no registry here declares it"
    elif record is not None and not finding.target.declared:
        yield f"the name of {found.tenant}, which `tenant create` made or its registry no longer lists"
    if len(found.roles) != 1:
        which = "none" if not found.roles else ", ".join(found.roles)
        yield f"the role of {found.tenant}: {which} may enter {found.database}; {role_of(found)} is taken"
    if found.suspended:
        yield f"why {found.tenant} is suspended, and whether it is to be erased: its role may not log in, and it stays so"
    if not found.isolated:
        yield f"the isolated values of {found.tenant}: those in {found.database} are not the registry's"
    if found.marker.closed:
        operation = found.marker.closed.partition(":")[0]
        yield f"what operation {operation}, which closed {found.database}, was about to do: the next deploy opens it"


def _undecided(prepared: Mapping[str, Sequence[Prepared]]) -> Iterator[str]:
    for server, transactions in sorted(prepared.items()):
        for one in transactions:
            yield (
                f"how the release was decided that left transaction '{one.gid}' prepared in {one.database} on {server}: "
                "where any tenant has its migration, COMMIT PREPARED all of them, else ROLLBACK PREPARED"
            )


def _pool(catalog: str, looks: Mapping[str, Mapping[str, FoundDatabase]]) -> Iterator[WarmRecord]:
    for server, found, marker in _ours(catalog, looks, "warm"):
        yield WarmRecord(server=server, database=found.name, digest=marker.digest)


def _ours(
    catalog: str, looks: Mapping[str, Mapping[str, FoundDatabase]], kind: str
) -> Iterator[tuple[str, FoundDatabase, Marker]]:
    for server, look in sorted(looks.items()):
        for _, found in sorted(look.items()):
            marker = found.marker
            if marker is not None and not found.broken and (marker.catalog, marker.kind) == (catalog, kind):
                yield server, found, marker


def tenants_of(catalog: str, looks: Mapping[str, Mapping[str, FoundDatabase]]) -> list[FoundTenant]:
    """The catalog's tenants by their databases' markers, not looked into yet; by tenant id."""
    found = []
    for server, database, marker in _ours(catalog, looks, "tenant"):
        parts = marker.tenant.split("/")
        if len(parts) == 3:
            tenant = TenantId(*parts)
            found.append(FoundTenant(tenant=tenant, server=server, database=database.name, marker=marker))
    return sorted(found, key=lambda one: (one.tenant, one.server, one.database))


def _heads(records: Iterable[DatabaseRecord]) -> list[tuple[str, str, str]]:
    """The release that new tenants of a template get: the lowest that one there is at."""
    lowest: dict[tuple[str, str], str] = {}
    for record in records:
        if record.source:
            place = (record.source, record.template)
            lowest[place] = min(lowest.get(place, record.version), record.version, key=version_key)
    return [(source, template, version) for (source, template), version in sorted(lowest.items()) if version]
