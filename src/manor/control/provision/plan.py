"""What deploy does to each target, decided from three looks: the registry, the catalog, the servers. Pure.

The rule that all others serve: a database that exists is never changed. It is made, finished, verified, skipped, or reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from manor.control.catalog.records import DatabaseRecord, ErasureRecord
from manor.control.engines.driver import FoundDatabase
from manor.control.engines.entries import ERASING
from manor.control.steps import Action, Orphan, Plan, Step, Target
from manor.control.templates.model import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLook:
    """What one server shows."""

    databases: Mapping[str, FoundDatabase]
    roles: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Everything that was looked at before planning. ``catalog`` is the catalog's id, empty where there is none yet."""

    catalog: str
    records: Mapping[str, DatabaseRecord]
    """By tenant id in its long form."""
    servers: Mapping[str, ServerLook]
    tombstones: Mapping[str, ErasureRecord] = field(default_factory=dict)
    """By tenant id: who was erased, or is being erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings that planning needs."""

    source: str
    auto_create: bool = True
    recreate_missing: bool = False
    max_change_percent: float = 30


def without_unmade(survey: Survey, source: str, declared: frozenset[str]) -> tuple[Survey, tuple[DatabaseRecord, ...]]:
    """The survey without the entries of ``source`` that it no longer declares and that never became a database, and these.

    They stand for a try that failed or was killed: nothing but their roles is on a server, and their names are free.
    """
    unmade = tuple(
        record
        for tenant, record in survey.records.items()
        if record.source == source
        and tenant not in declared
        and record.state not in ("ready", ERASING)
        and record.server in survey.servers
        and record.database not in survey.servers[record.server].databases
    )
    gone = {str(record.tenant) for record in unmade}
    roles: dict[str, set[str]] = {}
    for record in unmade:
        roles.setdefault(record.server, set()).add(record.role)
    servers = {name: replace(look, roles=look.roles - roles.get(name, set())) for name, look in survey.servers.items()}
    return replace(survey, records={t: r for t, r in survey.records.items() if t not in gone}, servers=servers), unmade


def plan_provision(
    targets: Sequence[Target], templates: Mapping[str, Template], survey: Survey, rules: Rules, *, declared: frozenset[str]
) -> Plan:
    """One step per target. ``declared`` holds the tenant ids of the whole registry, also those that a filter left out."""
    owners = {(r.server, r.database): r for r in survey.records.values()}
    steps = tuple(_step(target, templates[target.recipe], survey, rules, owners) for target in targets)
    created = frozenset((s.target.server, s.target.database) for s in steps if s.action is Action.CREATE)
    orphans = tuple(o for o in _orphans(survey, rules, declared) if (o.server, o.database) not in created)
    return Plan(verb="deploy", steps=steps, orphans=orphans)


_Owners = Mapping[tuple[str, str], DatabaseRecord]
"""Who is recorded for a server's database."""


def _step(target: Target, template: Template, survey: Survey, rules: Rules, owners: _Owners) -> Step:
    decision = _erased(target, survey) or _taken(target, survey, owners) or _decide(target, template, survey, rules)
    return Step(
        target=target,
        action=decision.action,
        reason=decision.reason,
        hint=decision.hint,
        changes=decision.changes,
        content_digest=template.content_digest,
    )


@dataclass(frozen=True, slots=True)
class _Decision:
    action: Action
    reason: str = ""
    hint: str = ""
    changes: str = ""


def _erased(target: Target, survey: Survey) -> _Decision | None:
    """Whoever was erased is not made again, whatever the registry says."""
    tombstone = survey.tombstones.get(str(target.tenant))
    return _Decision(Action.SKIP, tombstone_words(tombstone)) if tombstone is not None else None


def tombstone_words(tombstone: ErasureRecord) -> str:
    """What is said of a declared tenant that was erased, or is being erased."""
    if tombstone.erased_at is None:
        return f"is being erased (operation {tombstone.operation}): `manor tenant delete` goes on with it"
    return f"erased on {tombstone.erased_at:%Y-%m-%d}, never made again: take it out of the registry"


def _taken(target: Target, survey: Survey, owners: _Owners) -> _Decision | None:
    """A conflict where the name belongs to another tenant of this catalog, by its record or by the database's own marker."""
    owner = owners.get((target.server, target.database))
    found = survey.servers[target.server].databases.get(target.database)
    tenant = str(owner.tenant) if owner is not None else _marked_for(found, survey)
    if tenant in ("", str(target.tenant)):
        return None
    reason = f"the name {target.database} belongs to tenant {tenant}, which the catalog knows; nothing is renamed or moved"
    return _Decision(Action.CONFLICT, reason, hint="put that tenant back into the registry, or change naming_pattern")


def _marked_for(found: FoundDatabase | None, survey: Survey) -> str:
    if found is None or found.marker is None or found.marker.kind != "tenant" or found.marker.catalog != survey.catalog:
        return ""
    return found.marker.tenant


def _decide(target: Target, template: Template, survey: Survey, rules: Rules) -> _Decision:
    look = survey.servers[target.server]
    found = look.databases.get(target.database)
    record = survey.records.get(str(target.tenant))
    if record is not None and record.state == "ready":
        changed = _changed(target, record)
        if changed is not None:
            return changed
    if found is not None and record is not None and record.state == "ready" and not _is_ours(found, target, survey):
        reason = (
            f"the database {target.database} does not bear Manor's mark: its comment was changed, or it is another database"
        )
        return _Decision(Action.CONFLICT, reason, hint="it is left alone; if it is another one, put the tenant's own back")
    if found is not None and not _is_ours(found, target, survey):
        reason = f"a database named {target.database} exists that Manor did not make: it is left alone"
        return _Decision(Action.CONFLICT, reason, hint="rename it, or change naming_pattern")
    if found is not None and record is not None and record.state == "ready":
        return _Decision(Action.VERIFY, "exists")
    if found is not None:
        return _Decision(Action.FINISH, "the database is complete, the catalog has yet to hear of it")
    if record is not None and record.state == "ready" and not record.is_active:
        return _Decision(Action.CONFLICT, "suspended, but the database is gone from the server", hint="restore it")
    if record is not None and record.state == "ready" and not rules.recreate_missing:
        reason = "recorded as ready, but the database is gone from the server"
        return _Decision(Action.CONFLICT, reason, hint="restore it, or build an empty one with --recreate-missing")
    reason = switched_off(target, template, auto_create=rules.auto_create)
    if reason:
        return _Decision(Action.SKIP, reason)
    if target.database in look.roles and record is None:
        reason = f"a role named {target.database} exists that Manor did not make: it is left alone"
        return _Decision(Action.CONFLICT, reason, hint="drop or rename the role, or change naming_pattern")
    return _Decision(Action.CREATE)


def _is_ours(found: FoundDatabase, target: Target, survey: Survey) -> bool:
    marker = found.marker
    return (
        marker is not None
        and marker.catalog == survey.catalog
        and marker.kind == "tenant"
        and marker.tenant == str(target.tenant)
    )


def _changed(target: Target, record: DatabaseRecord) -> _Decision | None:
    differences = (
        ("name", record.database, target.database, "deploy renames nothing"),
        ("server", record.server, target.server, "deploy moves nothing"),
        ("template", record.template, target.template, "deploy rebuilds nothing"),
    )
    for what, recorded, wanted, rule in differences:
        if recorded != wanted:
            reason = f"recorded with {what} {recorded}, the registry now says {wanted}: {rule}"
            return _Decision(Action.CONFLICT, reason, hint=f"put {recorded} back into the registry", changes=what)
    return None


def switched_off(target: Target, template: Template, *, auto_create: bool) -> str:
    """Which word keeps the target from being made, or nothing."""
    if not template.deployment:
        return f"template {template.name} has deployment: false"
    if not auto_create:  # the registry has already made all its targets auto_provision: false
        return "operations.provisioning.auto_create_on_deploy: false"
    if not target.auto_provision:
        return "auto_provision: false"
    return ""


def _orphans(survey: Survey, rules: Rules, declared: frozenset[str]) -> tuple[Orphan, ...]:
    orphans = []
    recorded = {(record.server, record.database) for record in survey.records.values()}
    for server, look in sorted(survey.servers.items()):
        for name, found in sorted(look.databases.items()):
            marker = found.marker
            if marker is None or marker.kind != "tenant" or marker.catalog != survey.catalog:
                continue
            if (server, name) not in recorded:
                detail = f"made for {marker.tenant}, in no catalog entry"
                orphans.append(Orphan(database=name, server=server, kind="unrecorded", detail=detail))
    for tenant, record in sorted(survey.records.items()):
        visible = survey.servers.get(record.server)
        if visible is not None and record.state == "ready" and record.database not in visible.databases:
            detail = f"{tenant} is recorded as ready, its database is gone"
            orphans.append(Orphan(database=record.database, server=record.server, kind="missing", detail=detail))
        elif record.source == rules.source and tenant not in declared and record.state != ERASING:
            detail = f"{tenant} is no longer in {rules.source}; nothing is dropped"
            orphans.append(Orphan(database=record.database, server=record.server, kind="undeclared", detail=detail))
    return tuple(orphans)


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeChange:
    """Why a plan needs an explicit word."""

    message: str


def large_change(plan: Plan, survey: Survey, rules: Rules) -> LargeChange | None:
    """The large-change guard, per source: changes of template or server and vanished entries count, creations never do.

    It trips above ``max_change_percent`` of what the catalog knows from the source, and above two targets.
    """
    known = [r for r in survey.records.values() if r.source == rules.source and r.state == "ready"]
    changed = [s for s in plan.steps if s.changes in {"server", "template"}]
    ready = {(r.server, r.database) for r in known}
    gone = [o for o in plan.orphans if o.kind == "undeclared" and (o.server, o.database) in ready]
    count = len(changed) + len(gone)
    if count <= 2 or not known or count * 100 <= rules.max_change_percent * len(known):
        return None
    parts = []
    if changed:
        parts.append(f"{len(changed)} would change template or server")
    if gone:
        parts.append(f"{len(gone)} of {len(known)} recorded tenants are no longer declared")
    return LargeChange(message=f"{' and '.join(parts)}; {rules.max_change_percent:g} % is the limit")
