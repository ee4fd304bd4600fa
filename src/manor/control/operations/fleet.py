"""Reads what a fleet should be: registry and templates, resolved to targets. Looks only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from manor.collector import paused_collector
from manor.control.catalog.records import DatabaseRecord
from manor.control.migrate.released import Released
from manor.control.operations.release_sources import ReleaseSources
from manor.control.operations.strategy_check import strategy_findings
from manor.control.registry.hook_files import look_at_paths
from manor.control.registry.model import Registry
from manor.control.registry.resolve import Resolution, resolve
from manor.control.registry.yaml_files import load_registry
from manor.control.runtime import Runtime
from manor.control.steps import Step, Target
from manor.control.templates.loader import TemplateLoader
from manor.control.templates.model import Template
from manor.errors import Finding, InvalidInput, NotFoundError
from manor.fleet_settings import AutomationSettings
from manor.scan import suggest


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSource:
    """Where a fleet is declared."""

    project: Path
    registry: Path
    shown_as: str
    """The registry's path relative to the project: the ``source`` of catalog entries, and what places say."""
    deployments: Sequence[str]
    deployment: str | None = None
    """The one named for this run (``--deployment``)."""
    foreign_keys: bool = True
    variables: Mapping[str, str] = field(default_factory=dict)
    """The environment's own settings, for rows of DBGear's templates."""
    further: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By group, ids and display names of tenants that the registry does not list (``tenant create``)."""
    automation: AutomationSettings = field(default_factory=AutomationSettings)
    """The project's bounds, which hold where the registry says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A registry without findings: what should be."""

    source: FleetSource
    registry: Registry
    resolution: Resolution
    released: Mapping[str, Released] = field(default_factory=dict)
    """By template, of those that stand at a release (``heads``)."""
    aside: Mapping[str, Step] = field(default_factory=dict)
    """By tenant id, what becomes of targets that are not to be looked at further: skipped, or in conflict, and why."""
    is_choice: bool = False
    """Whether the source declares more than these targets: then none of those recorded from it is missed."""

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every target, in the order of the registry."""
        return self.resolution.targets

    @property
    def templates(self) -> Mapping[str, Template]:
        """The templates in use, by name."""
        return self.resolution.templates

    @property
    def declared(self) -> frozenset[str]:
        """Tenant ids of the whole registry."""
        return frozenset(str(target.tenant) for target in self.targets)

    def declared_of(self, records: Iterable[DatabaseRecord]) -> frozenset[str]:
        """Those that count as declared, given what is recorded."""
        if not self.is_choice:
            return self.declared
        return self.declared | {str(record.tenant) for record in records if record.source == self.source.shown_as}

    def select(self, *, group: str | None = None, limit: int | None = None, only: str | None = None) -> tuple[Target, ...]:
        """The targets of one group, at most ``limit``, or ``only`` the one with that full id. Raises ``NotFoundError`` for a
        group that is not declared."""
        if only is not None:
            return tuple(target for target in self.targets if str(target.tenant) == only)
        targets = self.targets
        if group is not None:
            groups = tuple(self.registry.database_groups)
            if group not in groups:
                raise NotFoundError(f"there is no group {group!r} in {self.source.shown_as}", hint=suggest(group, groups))
            targets = tuple(t for t in targets if t.group == group)
        return targets if limit is None else targets[:limit]


def read_fleet(source: FleetSource) -> tuple[Registry | None, Resolution]:
    """Everything that can be said about the declaration, right or wrong. Raises ``InputError`` where it is no YAML at all."""
    with paused_collector():  # thousands of tenants stay alive; walking over them would double the time
        return _read(source)


def _read(source: FleetSource) -> tuple[Registry | None, Resolution]:
    loaded = load_registry(source.registry, shown_as=source.shown_as)
    if loaded.model is not None:
        loaded = replace(loaded, model=with_bounds(loaded.model, source.automation))
    environment = source.registry.parent
    templates = TemplateLoader(
        project=source.project, environment=environment, foreign_keys=source.foreign_keys, variables=source.variables
    )
    paths = look_at_paths(loaded.model, folder=environment, project=source.project) if loaded.model else {}
    resolution = resolve(
        loaded,
        templates,
        source.deployments,
        source=source.shown_as,
        deployment=source.deployment,
        paths=paths,
        further=source.further,
    )
    findings = (*resolution.findings, *strategy_findings(loaded, resolution))
    return loaded.model, replace(resolution, findings=findings)


def with_bounds(registry: Registry, automation: AutomationSettings) -> Registry:
    """The registry with the project's bounds in the place of defaults; what the registry says itself stays."""
    batch = registry.operations.batch_settings
    bounds = {"max_parallel": automation.max_parallel_operations, "timeout_seconds": automation.operation_timeout_seconds}
    update = {name: value for name, value in bounds.items() if value is not None and name not in batch.model_fields_set}
    if not update:
        return registry
    operations = registry.operations.model_copy(update={"batch_settings": batch.model_copy(update=update)})
    return registry.model_copy(update={"operations": operations})


Examine = Callable[[Template], Sequence[Finding]]
"""What the engine could not make of a template."""


def all_errors(resolution: Resolution, examine: Examine) -> list[Finding]:
    """Everything that keeps a deploy from beginning; what several templates share is said once."""
    errors = {f: None for f in resolution.findings if f.severity == "error"}
    errors |= {finding: None for template in resolution.templates.values() for finding in examine(template)}
    return list(errors)


def migration_findings(source: FleetSource, registry: Registry, resolution: Resolution) -> list[Finding]:
    """What is wrong in the folders of migrations."""
    sources = ReleaseSources.of(source.project, source.shown_as, source.registry.parent, registry)
    try:
        sources.chains((source.shown_as, template.name) for template in resolution.templates.values())
    except InvalidInput as error:
        return list(error.findings)
    return []


def load_fleet(source: FleetSource, examine: Examine = lambda _: ()) -> Fleet:
    """A fleet that can be acted on. Raises ``InvalidInput`` with every finding where there is one; what only looks at what is
    there needs no ``examine``."""
    registry, resolution = read_fleet(source)
    errors = all_errors(resolution, examine)
    if registry is not None:
        errors += migration_findings(source, registry, resolution)
    if errors or registry is None:
        raise InvalidInput(errors or resolution.findings)
    return Fleet(source=source, registry=registry, resolution=resolution)


async def with_created(runtime: Runtime, fleet: Fleet) -> Fleet:
    """The fleet with the tenants that ``tenant create`` made beside those that the registry lists."""
    records = await runtime.catalog.databases(source=fleet.source.shown_as)
    further: dict[str, dict[str, str]] = {group: dict(names) for group, names in fleet.source.further.items()}
    for record in records:
        known = fleet.registry.database_groups.get(record.group)
        if not record.config.get("declared", True) and known is not None and known.type == "tenant_group":
            further.setdefault(record.group, {}).setdefault(record.tenant.id, record.name)
    if further == fleet.source.further:
        return fleet
    return load_fleet(replace(fleet.source, further=further))
