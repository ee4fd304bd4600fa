"""Which databases the tenants that a source told of should have: tenants × instances, names and templates from their rendered
environments. Pure.

One tenant that cannot be provisioned never hides another: whatever is wrong with one sets its targets aside, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from manor.control.catalog.records import DatabaseRecord
from manor.control.registry.bound_checks import check_targets
from manor.control.registry.names import template_name_findings
from manor.control.registry.tenant_info import TenantInfo
from manor.control.steps import Action, Step, Target
from manor.control.templates.model import Template
from manor.control.templates.naming import Naming
from manor.errors import ManorError, Place
from manor.scan import suggest
from manor.tenancy import TenantId, database_name_problem

KIND = "tenant_group"
_FACTS = ("tenant_id", "customer_code", "customer_name", "region", "tier", "status")


class Environment(Protocol):
    """What is read of a rendered environment (``templates.environments.TenantEnvironment``)."""

    @property
    def base(self) -> str: ...
    @property
    def databases(self) -> Mapping[str, str]: ...
    @property
    def name_macros(self) -> Mapping[str, str]: ...
    @property
    def isolation(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One tenant as the directory has it, with its environment, or with what kept that from being rendered."""

    info: TenantInfo
    config: Mapping[str, Any]
    environment: Environment | ManorError


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where targets go."""

    deployments: Sequence[str]
    deployment: str | None = None
    """The one named for this run."""
    template: str | None = None
    """The one named for this run; None: the environment's ``base``."""
    recorded: Mapping[tuple[str, str], DatabaseRecord] = field(default_factory=dict)
    """By instance and the source's id, those that are recorded: neither tenant nor server nor name changes by itself."""

    def record_of(self, tenant: TenantId) -> DatabaseRecord | None:
        """What is recorded of a tenant, which may be under another customer_code."""
        return self.recorded.get((tenant.group, tenant.id))


@dataclass(slots=True, kw_only=True)
class Draft:
    """Targets, and those of them that are set aside."""

    targets: list[Target] = field(default_factory=list)
    aside: dict[str, Step] = field(default_factory=dict)
    """By tenant id."""
    namings: dict[str, Naming] = field(default_factory=dict)
    """By tenant id, what the schemas of its template may depend on."""

    def put_aside(self, target: Target, reason: str, hint: str = "", *, action: Action = Action.CONFLICT) -> None:
        """Keep a target from being looked at further; the first reason counts."""
        step = Step(target=target, action=action, reason=reason, hint=hint)
        self.aside.setdefault(str(target.tenant), step)

    def vary(self, variants: Mapping[str, str]) -> None:
        """Give targets the variants of their templates' schemas, by tenant id."""
        self.targets = [replace(target, variant=variants.get(str(target.tenant), "")) for target in self.targets]

    def usable(self) -> Iterator[Target]:
        """Those that are not set aside."""
        return (target for target in self.targets if str(target.tenant) not in self.aside)


def draft_targets(tenants: Iterable[Told], placement: Placement) -> Draft:
    """A target for each instance of each tenant, in the order given; names are checked against each other."""
    draft = Draft()
    for told in tenants:
        if isinstance(told.environment, ManorError):
            _refuse_all(draft, told, told.environment)
        else:
            _enter(draft, told, told.environment, placement)
    _refuse_collisions(draft, placement)
    return draft


def _refuse_all(draft: Draft, told: Told, error: ManorError) -> None:
    for instance in told.info.instances:
        target = _target(draft, told, instance, "", "", "", {})
        draft.put_aside(target, str(error), error.hint)


def _enter(draft: Draft, told: Told, environment: Environment, placement: Placement) -> None:
    template = placement.template or environment.base
    for instance, database in environment.databases.items():
        tenant = TenantId(told.info.customer_code, instance, told.info.tenant_id)
        server, problem = _server(tenant, told.config, placement)
        variables = variables_of(told, environment, instance, database)
        target = _target(draft, told, instance, database, template, server, variables)
        draft.namings[str(tenant)] = Naming(macros=environment.name_macros, tenant=told.info, config=told.config)
        _check(draft, target, told, environment)
        if problem:
            draft.put_aside(target, *problem)


def _target(
    draft: Draft, told: Told, instance: str, database: str, template: str, server: str, variables: Mapping[str, str]
) -> Target:
    target = Target(
        tenant=TenantId(told.info.customer_code, instance, told.info.tenant_id),
        database=database,
        group=instance,
        kind=KIND,
        template=template,
        server=server,
        variables=variables,
        order=len(draft.targets),
        title=told.info.customer_name,
    )
    draft.targets.append(target)
    return target


def _check(draft: Draft, target: Target, told: Told, environment: Environment) -> None:
    if told.info.status != "active":
        reason = f"its source says {told.info.status}: nothing is made, and what is there stays as it is"
        draft.put_aside(target, reason, action=Action.SKIP)
    isolation = environment.isolation if environment.isolation != "database" else told.info.isolation_strategy
    if isolation != "database":
        reason = f"isolation_strategy: {isolation} is not supported yet, every tenant gets databases of its own"
        draft.put_aside(target, reason, "write database in the source, or leave the tenant out of the query")
    problem = database_name_problem(target.database)
    if problem:
        draft.put_aside(target, f"the database name {target.database!r} {problem}", "change environment.j2, or the source")
    if not isinstance(told.config.get("variables", {}), Mapping):
        draft.put_aside(target, "variables of its settings is no mapping", "write variables: {NAME: text}")


def _server(tenant: TenantId, config: Mapping[str, Any], placement: Placement) -> tuple[str, tuple[str, str] | None]:
    """(name, what is wrong and what to do)."""
    record = placement.record_of(tenant)
    known, server = (record.tenant, record.server) if record is not None else (tenant, "")
    if known != tenant:
        reason = f"recorded as {known}, the source now says customer_code {tenant.customer_code}: a tenant's id never changes"
        return server, (reason, f"put {known.customer_code} back in the source, or move to a new tenant and delete the old one")
    if server:
        return server, None
    named = config.get("server") or placement.deployment
    if named is not None:
        if named in placement.deployments:
            return str(named), None
        return "", (f"there is no deployment {named!r}", suggest(str(named), placement.deployments))
    if len(placement.deployments) == 1:
        return placement.deployments[0], None
    names = ", ".join(placement.deployments)
    return "", (f"the environment has several deployments ({names})", "--deployment NAME, or server: in the tenant's settings")


def variables_of(told: Told, environment: Environment, instance: str, database: str) -> dict[str, str]:
    """What ``{NAME}`` means in the rows of the template: facts of the tenant in small letters and in capitals, macros of its
    environment, ``INSTANCE``, ``DATABASE_NAME``, ``TENANT_PREFIX``, ``TENANT_TYPE``; ``variables`` of its settings count most.
    """
    facts = {name: str(getattr(told.info, name)) for name in _FACTS} | {"instance": instance}
    macros = {name.lower(): value for name, value in environment.name_macros.items()}
    prefix = macros.get("database_prefix") or macros.get("tenant_prefix") or told.info.tenant_id
    named = {"database_name": database, "tenant_prefix": prefix, "tenant_type": told.info.tier, **macros, **facts}
    own = told.config.get("variables", {})
    given = {str(name): _text(value) for name, value in own.items()} if isinstance(own, Mapping) else {}
    return {**{name.upper(): value for name, value in named.items()}, **named, **given}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _refuse_collisions(draft: Draft, placement: Placement) -> None:
    """Of tenants that get one name, all are set aside but the one whose database has it: new rows take it from nobody."""
    by_name: dict[tuple[str, str], list[Target]] = {}
    for target in draft.usable():
        by_name.setdefault((target.server, target.database.lower()), []).append(target)
    for found in by_name.values():
        refused = [target for target in found if not _has_the_name(target, placement)]
        for target in refused if len(found) > 1 else ():
            others = ", ".join(str(other.tenant) for other in found if other is not target)
            reason = f"the database name {target.database!r} would be that of {others} too"
            draft.put_aside(target, reason, "put {{ tenant.tenant_id }} into the names of environment.j2")


def _has_the_name(target: Target, placement: Placement) -> bool:
    record = placement.record_of(target.tenant)
    return record is not None and record.database == target.database


def check_against_templates(
    draft: Draft, templates: Mapping[str, Template], place: Callable[[str], Place], *, known: Iterable[str] = ()
) -> None:
    """Set aside those whose template is not among ``templates``, needs a variable that they have not, or has rows that their
    values do not fit. ``place``: of a template's folder; ``known``: the templates that there are."""
    for target in list(draft.usable()):
        template = templates.get(target.recipe)
        if template is None:
            hint = (
                suggest(target.template, known) or f"make the folder {target.template}/ with a _mapping.yaml, or --template T"
            )
            draft.put_aside(target, f"there is no template {target.template!r}", hint)
        elif missing := sorted(template.names - target.variables.keys()):
            reason = f"template {template.name} needs the variable {{{missing[0]}}}, which nothing defines"
            draft.put_aside(target, reason, f"variables: {{{missing[0]}: …}} in the tenant's settings, or name_macros")
    _check_names(draft, templates, place)
    _check_rows(draft, templates, place)


def _check_names(draft: Draft, templates: Mapping[str, Template], place: Callable[[str], Place]) -> None:
    """``database_config.<instance>.database_name`` of a template must be the name that the target has."""
    for target in list(draft.usable()):
        finding = next(template_name_findings([target], templates, lambda one: place(one.template)), None)
        if finding is not None:
            draft.put_aside(target, finding.message.replace("the registry", "environment.j2"), finding.hint)


def _check_rows(draft: Draft, templates: Mapping[str, Template], place: Callable[[str], Place]) -> None:
    """All at once first; one by one only where something is wrong."""
    targets = list(draft.usable())

    def at(target: Target) -> Place:
        return place(target.template)

    if not any(check_targets(targets, templates, at)):
        return
    for target in targets:
        finding = next(check_targets([target], templates, at), None)
        if finding is not None:
            draft.put_aside(target, finding.message, finding.hint)
