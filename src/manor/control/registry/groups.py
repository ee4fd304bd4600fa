"""The groups of a registry turned into targets, one walk with all findings. Pure; the inside of ``resolve``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

from manor.control.registry.acted_on import Declared
from manor.control.registry.id_format import IdFormat, id_format_problem
from manor.control.registry.model import FixedGroup, Registry, TenantGroup
from manor.control.registry.names import NameLedger, template_name_findings
from manor.control.registry.variables import Definitions, define, scan_names
from manor.control.steps import Target
from manor.control.templates.model import Template
from manor.errors import Finding, InputError, Place
from manor.scan import Text, suggest
from manor.tenancy import TenantId, id_part_problem
from manor.typed_input import Path


class TemplateSource(Protocol):
    """Where templates come from (``templates.loader.TemplateLoader``)."""

    @property
    def findings(self) -> Sequence[Finding]:
        """What is wrong with the templates loaded so far."""
        ...

    def load(self, name: str, *, used_at: Place | None) -> Template | None:
        """A template by name; None where it is missing or unusable, which ``findings`` then explains."""
        ...


@dataclass(slots=True, kw_only=True)
class GroupPass:
    """One walk over the groups; findings and names taken so far gather here."""

    registry: Declared
    model: Registry
    templates: TemplateSource | None
    deployments: Sequence[str]
    deployment: str | None
    further: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By group, ids of tenants beyond the numbered ones, with their display names (``tenant create``)."""
    findings: list[Finding] = field(default_factory=list)
    loaded: dict[str, Template] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    targets: list[Target] = field(default_factory=list)
    paths: dict[TenantId, Path] = field(default_factory=dict)
    """Where each target is declared: its group, or its entry in a fixed group."""
    names: NameLedger = field(init=False)
    given: dict[str, str] = field(init=False)
    """Variables that every target has: the customer's, before its tenant id."""
    given_names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.names = NameLedger(self.place_of_name)
        self.given = self.model.customer_info.variables()
        self.given_names = frozenset(self.given) | {"tenant_id"}

    def find(self, message: str, path: Path, hint: str = "", *, key: bool = False) -> None:
        self.findings.append(Finding(message=message, place=self.registry.place(path, key=key), hint=hint))

    def place_of_target(self, target: Target) -> Place:
        path = self.paths[target.tenant]
        return self.registry.place(path, key=len(path) == 2)

    def place_of_name(self, target: Target) -> Place:
        last = "name" if target.kind == "fixed_group" else "naming_pattern"
        return self.registry.place((*self.paths[target.tenant], last))

    def all_groups(self) -> None:
        """Fill ``targets`` and ``findings``."""
        for name, group in self.model.database_groups.items():
            problem = id_part_problem(name)
            if problem:
                self.find(f"the group name {name!r} {problem}", ("database_groups", name), key=True)
            if isinstance(group, TenantGroup):
                self.tenant_group(name, group)
            else:
                self.fixed_group(name, group)

    def tenant_group(self, name: str, group: TenantGroup) -> None:
        path: Path = ("database_groups", name)
        known = self.given_names | group.variables.keys()
        self.need_template(group.template, path, f"group {name}", known)
        server = self.server(group.server, path)
        definitions = self.definitions(group.variables, path)
        pattern = self.pattern(group.naming_pattern, (*path, "naming_pattern"), known)
        ids = self.id_format(group, (*path, "tenant_id_format"))
        if definitions is None or pattern is None or ids is None:
            return
        customer, provisions = self.model.customer_info.customer_code, self.provisions(group.auto_provision)
        first, before = group.tenant_id_start, len(self.targets)
        made: list[Target] = []
        further = self.further.get(name, {})
        numbered = (ids.format(number) for number in range(first, first + group.tenant_count))
        for tenant_id in (*numbered, *further):
            tenant = TenantId(customer, name, tenant_id)
            values = definitions.fill({**self.given, "tenant_id": tenant.id})
            self.paths[tenant] = path
            made.append(
                Target(
                    tenant=tenant,
                    database=pattern.fill(values),
                    group=name,
                    kind=group.type,
                    template=group.template,
                    server=server,
                    variables=values,
                    auto_provision=provisions,
                    order=before + len(made),
                    title=further.get(tenant_id, ""),
                    declared=tenant_id not in further,
                )
            )
        self.enter(made)

    def fixed_group(self, name: str, group: FixedGroup) -> None:
        path: Path = ("database_groups", name)
        needs_server = any(database.server is None for database in group.databases)
        server = self.server(group.server, path) if needs_server or group.server else ""
        made: list[Target] = []
        for index in range(len(group.databases)):
            target = self.fixed_database(name, group, index, server, len(self.targets) + len(made))
            if target is not None:
                made.append(target)
        self.enter(made)

    def fixed_database(self, name: str, group: FixedGroup, index: int, group_server: str, order: int) -> Target | None:
        path: Path = ("database_groups", name, "databases", index)
        database = group.databases[index]
        self.need_template(database.template, path, f"database {database.name}", self.given_names | database.variables.keys())
        server = self.server(database.server, path) if database.server else group_server
        definitions = self.definitions(database.variables, path)
        pattern = self.pattern(database.name, (*path, "name"), self.given.keys())
        if definitions is None or pattern is None:
            return None
        final = pattern.fill(self.given)
        tenant = TenantId(self.model.customer_info.customer_code, name, final)
        if tenant in self.paths:
            first = self.registry.place((*self.paths[tenant], "name"))
            self.find(f"the database {final!r} stands twice in {name}", (*path, "name"), f"the first one is at {first}")
            return None
        self.paths[tenant] = path
        return Target(
            tenant=tenant,
            database=final,
            group=name,
            kind=group.type,
            template=database.template,
            server=server,
            variables=definitions.fill({**self.given, "tenant_id": final}),
            auto_provision=self.provisions(group.auto_provision and database.auto_provision),
            order=order,
        )

    def enter(self, made: Sequence[Target]) -> None:
        self.findings.extend(self.names.enter(made))
        self.findings.extend(template_name_findings(made, self.loaded, self.place_of_target))
        self.targets.extend(made)

    def provisions(self, auto_provision: bool) -> bool:
        return auto_provision and self.model.operations.provisioning.auto_create_on_deploy

    def need_template(self, name: str, path: Path, user: str, known: AbstractSet[str]) -> None:
        """Load a template once, and check for each user of it that all its variables are defined there."""
        if self.templates is None:
            return
        used_at = (*path, "template")
        template = self.loaded.get(name) or self.load_template(name, used_at, self.templates)
        if template is None:
            return
        for missing in sorted(template.names - known):
            self.find(
                f"template {name} needs the variable {{{missing}}}, which {user} does not define",
                used_at,
                suggest(missing, known) or f"add {missing} to its variables",
            )

    def load_template(self, name: str, used_at: Path, templates: TemplateSource) -> Template | None:
        if name in self.missing:
            return None
        template = templates.load(name, used_at=self.registry.place(used_at))
        if template is not None:
            self.loaded[name] = template
            return template
        self.missing.add(name)
        if not templates.findings:
            self.find(f"there is no template {name!r}", used_at, f"make the folder {name}/ with a _mapping.yaml")
        return None

    def server(self, named: str | None, path: Path) -> str:
        """The deployment that holds what is declared at ``path``; empty after a finding."""
        if named is not None:
            if named in self.deployments:
                return named
            self.find(f"there is no deployment {named!r}", (*path, "server"), suggest(named, self.deployments))
            return ""
        if self.deployment is not None:
            return self.deployment
        if len(self.deployments) == 1:
            return self.deployments[0]
        names = ", ".join(self.deployments) or "none"
        message = f"the environment has several deployments ({names}), and group {path[1]} names none of them"
        self.find(message, path, "add server: to it, or give --deployment", key=True)
        return ""

    def definitions(self, variables: Mapping[str, str], path: Path) -> Definitions | None:
        definitions, findings = define(variables, self.given_names, lambda n: self.registry.place((*path, "variables", n)))
        self.findings.extend(findings)
        return definitions

    def pattern(self, written: str, path: Path, known: Iterable[str]) -> Text | None:
        try:
            text, names = scan_names(written)
        except InputError as error:
            self.find(f"{path[-1]}: {error.message}", path, error.hint)
            return None
        unknown = sorted(names - set(known)) if names else []
        for name in unknown:
            self.find(f"{path[-1]} refers to {{{name}}}, which is not defined", path, suggest(name, known))
        return None if unknown else text

    def id_format(self, group: TenantGroup, path: Path) -> IdFormat | None:
        """The checked format. Its ids are of one alphabet, so the first and the last stand for all."""
        written = group.tenant_id_format
        problem = id_format_problem(written)
        if problem is not None:
            self.find(f"tenant_id_format {written!r} {problem}", path, "such as {:03d}")
            return None
        ids = IdFormat.parse(written)
        last = group.tenant_id_start + max(group.tenant_count - 1, 0)
        for tenant_id in (ids.format(group.tenant_id_start), ids.format(last)):
            problem = id_part_problem(tenant_id)
            if problem:
                message = f"tenant_id_format {written!r} makes the id {tenant_id!r}, which {problem}"
                self.find(message, path, "pad with zeros: {:03d}")
                return None
        return ids
