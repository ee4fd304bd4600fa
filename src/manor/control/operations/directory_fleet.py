"""The fleet that the directory declares: tenants that a query finds, as targets of every deploy's pipeline. Looks only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manor.control.catalog.catalog import Catalog
from manor.control.catalog.records import DirectoryRecord, SourceRecord
from manor.control.operations.directory_search import require_source, search_directory
from manor.control.operations.fleet import Examine, Fleet, FleetSource, all_errors, migration_findings, with_bounds
from manor.control.operations.schema_variants import SchemaVariants
from manor.control.provision.directory_targets import (
    Draft,
    Environment,
    Placement,
    Told,
    check_against_templates,
    draft_targets,
)
from manor.control.registry.acted_on import not_acted_on, refusals
from manor.control.registry.directory_home import REGISTRY_FILE, DirectoryHome, load_home_settings
from manor.control.registry.model import Registry
from manor.control.registry.resolve import Resolution
from manor.control.registry.tenant_info import TenantInfo
from manor.control.templates.loader import TemplateLoader
from manor.control.templates.model import Template
from manor.control.templates.naming import SchemaRenderer
from manor.errors import Finding, InputError, InvalidInput, ManorError, NotFoundError, Place
from manor.fleet_settings import AutomationSettings

Render = Callable[[TenantInfo, Mapping[str, Any]], Environment]
"""A tenant and its settings → its environment. Raises ``ManorError``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryPlaces:
    """Where the directory's tenants are provisioned: one environment of one project."""

    project: Path
    environment: Path
    deployments: tuple[str, ...]
    render: Render
    deployment: str | None = None
    template: str | None = None
    foreign_keys: bool = True
    renderer: SchemaRenderer | None = None
    """Of the project's schema templates."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """The environment's settings, for DBGear's rows."""
    automation: AutomationSettings = field(default_factory=AutomationSettings)
    """What ``project.yaml`` says of bounds, where the environment's registry does not."""

    def loader(self) -> TemplateLoader:
        """Reads the environment's templates afresh."""
        return TemplateLoader(
            project=self.project,
            environment=self.environment,
            foreign_keys=self.foreign_keys,
            renderer=self.renderer,
            variables=self.variables,
        )


async def directory_fleet(
    catalog: Catalog, query: str, places: DirectoryPlaces, *, source: str | None = None, examine: Examine = lambda _: ()
) -> Fleet:
    """The tenants that ``query`` finds among all that the source told of, page or not, as a fleet.

    Raises ``InputError`` for a query that cannot be read, or that finds tenants of several sources where none is named;
    ``NotFoundError`` where nothing was ever synced; ``InvalidInput`` with every finding where a template is wrong. What is
    wrong with one tenant is in ``Fleet.aside``.
    """
    known = await catalog.directory_sources()
    found = await _find(catalog, known, query, source)
    home = DirectoryHome.at(places.project, places.environment, _source_of(found, known, source))
    registry, loaded = load_home_settings(places.environment, home.registry_shown_as)
    registry = with_bounds(registry, places.automation)
    records = await catalog.databases(source=str(home))
    recorded = {(record.tenant.group, record.tenant.id): record for record in records}
    placement = Placement(
        deployments=places.deployments, deployment=places.deployment, template=places.template, recorded=recorded
    )
    draft = draft_targets((_told(record, places.render) for record in found), placement)
    templates = _templates(draft, places, home)
    fleet_source = FleetSource(
        project=places.project,
        registry=places.environment / REGISTRY_FILE,
        shown_as=str(home),
        deployments=places.deployments,
        deployment=places.deployment,
        foreign_keys=places.foreign_keys,
    )
    resolution = Resolution(
        source=str(home),
        targets=tuple(draft.targets),
        findings=(),
        refusals=tuple(refusals(registry, loaded)) if loaded is not None else (),
        not_acted_on=not_acted_on(registry),
        templates=templates,
    )
    _refuse_findings(fleet_source, registry, resolution, examine)
    return Fleet(source=fleet_source, registry=registry, resolution=resolution, aside=draft.aside, is_choice=True)


async def _find(catalog: Catalog, known: list[SourceRecord], query: str, source: str | None) -> list[DirectoryRecord]:
    if not known:
        raise NotFoundError("no source of tenants was ever synced", hint="`manor tenant sync --source NAME` reads one")
    if source is not None:
        require_source(known, source)
    return await search_directory(catalog, query, source=source)


def _source_of(found: Iterable[DirectoryRecord], known: Iterable[SourceRecord], named: str | None) -> str:
    if named is not None:
        return named
    sources = sorted({record.source for record in found})
    if len(sources) > 1:
        raise InputError(
            f"the query finds tenants of several sources: {', '.join(sources)}", hint="name one of them: --source NAME"
        )
    return sources[0] if sources else next(one.name for one in known)


def _told(record: DirectoryRecord, render: Render) -> Told:
    info = TenantInfo.model_validate(record.values)
    environment: Environment | ManorError
    try:
        environment = render(info, record.config)
    except ManorError as error:
        environment = error
    return Told(info=info, config=record.config, environment=environment)


def _templates(draft: Draft, places: DirectoryPlaces, home: DirectoryHome) -> dict[str, Template]:
    """The templates in use, by recipe. One that is not there concerns its tenants alone; one that is wrong for everybody is a
    fault of the project, and one that is wrong with a tenant's own names is that tenant's."""
    there = sorted(path.parent.name for path in places.environment.glob("*/_mapping.yaml"))
    loaded = SchemaVariants(places.loader).load(draft, there)
    check_against_templates(draft, loaded, lambda name: Place(f"{home.environment}/{name}"), known=there)
    used = {target.recipe for target in draft.usable()}
    return {recipe: template for recipe, template in loaded.items() if recipe in used}


def _refuse_findings(source: FleetSource, registry: Registry, resolution: Resolution, examine: Examine) -> None:
    errors: list[Finding] = [*all_errors(resolution, examine), *migration_findings(source, registry, resolution)]
    if errors:
        raise InvalidInput(errors)
