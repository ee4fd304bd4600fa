"""Opens sources of tenants by the names that ``project.yaml`` gives them. Nothing is contacted before a source is asked.

Another package adds a kind of source by an entry point of the group ``manor.sources``: its name is what ``provider:`` says, and
it is called with the settings that stand below that name, to give a ``TenantRegistryProvider``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from manor.errors import InputError, InvalidInput, ManorError, NotFoundError, RefusedError, UnsupportedError
from manor.fleet_settings import BUILT_IN, SourceSettings
from manor.scan import suggest
from manor.settings import Project, load_source
from manor.telemetry import Telemetry

if TYPE_CHECKING:
    from manor.control.registry.provider import TenantRegistryProvider
    from manor.sheet_shapes import CacheBlock

GROUP = "manor.sources"
"""Entry points of other packages' sources."""


def open_source(
    project: Project, name: str, config_file: Path | None = None, *, telemetry: Telemetry | None = None, cached: bool = True
) -> TenantRegistryProvider:
    """The source ``name`` of the project, or under that name the one that ``config_file`` describes. To be closed (``aclose``).

    ``cached=False``: every answer is the source's own. Raises ``NotFoundError`` for a name that is not there, ``RefusedError``
    where ``multi_tenant.enabled`` is false, ``UnsupportedError`` where a package is missing, ``InputError`` for settings that
    cannot be used.
    """
    if not project.fleet.enabled:
        raise RefusedError("the project has no tenants: multi_tenant.enabled is false", hint="it stands in project.yaml")
    opening = _Opening(project=project, telemetry=telemetry or Telemetry(), cached=cached)
    if config_file is not None:
        return opening.open(load_source(project, name, config_file))
    return opening.named(name)


@dataclass(frozen=True, kw_only=True)
class _Opening:
    project: Project
    telemetry: Telemetry
    cached: bool
    within: tuple[str, ...] = ()
    """Names of the merged sources that this one is part of."""

    def named(self, name: str) -> TenantRegistryProvider:
        known = self.project.fleet.sources
        if name not in known:
            place = "multi_tenant.sources of project.yaml"
            hint = suggest(name, known) if known else f"declare it in {place}, or name a file by --config"
            raise NotFoundError(f"there is no source {name!r} in {self.project.name}", hint=hint)
        return self.open(known[name])

    def open(self, settings: SourceSettings) -> TenantRegistryProvider:
        if settings.unset:
            raise InvalidInput(list(settings.unset))
        provider = _BUILT_IN.get(settings.provider, _foreign)(self, settings)
        cache = _cache(settings) if self.cached else None
        if cache is None:
            return provider
        from manor.control.registry.cached import open_cached

        name, namespace = settings.name, self.project.name
        return open_cached(provider, cache, name=name, namespace=namespace, telemetry=self.telemetry)


def _cache(settings: SourceSettings) -> CacheBlock | None:
    """A database has the reference's ``cache_ttl``, which other providers have as ``cache``."""
    from manor.sheet_shapes import CacheBlock

    if settings.cache is None and settings.provider == "database":
        return CacheBlock(ttl=settings.config.cache_ttl)
    return settings.cache


def _database(opening: _Opening, settings: SourceSettings) -> TenantRegistryProvider:
    from manor.control.registry.sql_table import DatabaseTenantProvider, SqlPlace, TableNames

    config = settings.config
    place = SqlPlace(
        source=settings.name,
        url=config.url.get_secret_value(),
        folder=opening.project.folder,
        timeout_seconds=config.timeout,
    )
    names = TableNames(
        tenant_table=config.tenant_table,
        config_table=config.config_table,
        columns=config.columns,
        defaults=config.defaults,
        config_columns=config.config_columns,
    )
    return DatabaseTenantProvider(place, names)


def _api(opening: _Opening, settings: SourceSettings) -> TenantRegistryProvider:
    from manor.control.registry.http_json.rest import open_api

    return open_api(settings.config, source=settings.name, folder=opening.project.folder, telemetry=opening.telemetry)


def _graphql(opening: _Opening, settings: SourceSettings) -> TenantRegistryProvider:
    from manor.control.registry.http_json.graphql import open_graphql

    return open_graphql(settings.config, source=settings.name, folder=opening.project.folder, telemetry=opening.telemetry)


def _csv(opening: _Opening, settings: SourceSettings) -> TenantRegistryProvider:
    from manor.control.registry.sheets import open_csv

    return open_csv(settings.config, opening.project.folder, name=settings.name)


def _yaml(opening: _Opening, settings: SourceSettings) -> TenantRegistryProvider:
    from manor.control.registry.yaml_source import YamlTenantProvider

    written = settings.config.registry
    return YamlTenantProvider(opening.project.folder / written, name=settings.name, shown_as=written)


def _merged(opening: _Opening, settings: SourceSettings) -> TenantRegistryProvider:
    from manor.control.registry.merged import MergedTenantProvider

    within = (*opening.within, settings.name)
    inner = _Opening(project=opening.project, telemetry=opening.telemetry, cached=opening.cached, within=within)
    names = list(dict.fromkeys(settings.config.sources))
    if again := next((name for name in names if name in within), None):
        raise InputError(f"source {settings.name} merges {again}, which is made of it: {' → '.join((*within, again))}")
    return MergedTenantProvider({name: inner.named(name) for name in names}, name=settings.name, telemetry=opening.telemetry)


def _foreign(_: _Opening, settings: SourceSettings) -> TenantRegistryProvider:
    from manor.control.registry.provider import TenantRegistryProvider

    try:
        factory: Callable[[Mapping[str, object]], object] = _entry_point(settings).load()
        made = factory(settings.config)
    except ManorError:
        raise
    except Exception as error:
        # Its message may hold what stands in the settings.
        message = f"source {settings.name}: provider {settings.provider} cannot be opened ({type(error).__name__})"
        raise InputError(message, hint="--verbose shows where") from error
    if not isinstance(made, TenantRegistryProvider):
        raise InputError(f"source {settings.name}: provider {settings.provider} gives no TenantRegistryProvider")
    return made


def _entry_point(settings: SourceSettings) -> metadata.EntryPoint:
    found = {point.name: point for point in metadata.entry_points(group=GROUP)}
    if settings.provider not in found:
        known = [*BUILT_IN, *found]
        message = f"source {settings.name}: there is no provider {settings.provider!r}"
        raise UnsupportedError(message, hint=suggest(settings.provider, known) or f"known here: {', '.join(known)}")
    return found[settings.provider]


_BUILT_IN: Mapping[str, Callable[[_Opening, SourceSettings], TenantRegistryProvider]] = {
    "database": _database,
    "api": _api,
    "graphql": _graphql,
    "csv": _csv,
    "yaml": _yaml,
    "merged": _merged,
}
