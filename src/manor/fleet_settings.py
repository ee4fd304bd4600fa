"""The block ``multi_tenant`` of ``project.yaml`` as frozen values: sources by name, templates, bounds of operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from manor.errors import Finding, InvalidInput
from manor.scan import suggest

if TYPE_CHECKING:
    from manor.settings_shapes import MultiTenant, TenantSource
    from manor.sheet_shapes import CacheBlock
    from manor.yaml_reader import YamlDocument

BUILT_IN = ("database", "api", "graphql", "csv", "yaml", "merged")
"""Providers that Manor brings along."""
PARALLEL_BY_SCALE = {"small": 4, "medium": 10, "large": 20, "enterprise": 20}


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """One source of tenants, named and checked; nothing is opened."""

    name: str
    provider: str
    config: Any = field(repr=False)
    """Of a built-in provider its shape (``settings_shapes``), of another one a mapping of its own."""
    cache: CacheBlock | None = None
    """None: not said, which for a database means its ``cache_ttl``."""
    unset: tuple[Finding, ...] = ()
    """Variables in its settings that are not set: then they were not read, and whoever opens it is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSettings:
    """Jinja2 templates of the project."""

    base_dir: str = "./templates"
    """Relative to the project."""
    schema_templates: Mapping[str, str] = field(default_factory=dict)
    """Files, relative to ``base_dir``, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomationSettings:
    """What fleet verbs keep to where neither the command line nor a registry says; None: not said here either."""

    max_parallel_operations: int | None = None
    operation_timeout_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """The block, or what holds without one."""

    enabled: bool = True
    scale: str | None = None
    """None: not said."""
    sources: Mapping[str, SourceSettings] = field(default_factory=dict)
    """By name; the source of ``tenant_registry`` is called like its provider."""
    templates: TemplateSettings = field(default_factory=TemplateSettings)
    automation: AutomationSettings = field(default_factory=AutomationSettings)
    log_level: str | None = None
    """None: not said."""


def fleet_settings(
    block: MultiTenant | None, document: YamlDocument, held_back: Mapping[str, SourceSettings] | None = None
) -> FleetSettings:
    """From the checked block, and the sources that ``unset_sources`` took out.

    Raises ``InvalidInput`` with the places of sources without settings of their provider.
    """
    if block is None:
        return FleetSettings()
    sources, findings = _sources(block, document)
    findings += [_named_twice(name, document) for name in held_back or {} if name in sources]
    if findings:
        raise InvalidInput(findings)
    sources |= held_back or {}
    return FleetSettings(
        enabled=block.enabled,
        scale=block.scale if "scale" in block.model_fields_set else None,
        sources=sources,
        templates=_templates(block),
        automation=_automation(block),
        log_level=block.monitoring.log_level if block.monitoring is not None else None,
    )


def _sources(block: MultiTenant, document: YamlDocument) -> tuple[dict[str, SourceSettings], list[Finding]]:
    found: dict[str, SourceSettings] = {}
    findings: list[Finding] = []
    for name, source, path in _declared(block):
        findings += source_findings(source, document, path)
        if name in found:
            findings.append(_named_twice(name, document))
        found[name] = source_settings(name, source)
    return found, findings


def _named_twice(name: str, document: YamlDocument) -> Finding:
    message = f"{name} is also the name of the source of tenant_registry, which is called like its provider"
    place = document.place(("multi_tenant", "sources", name), key=True)
    return Finding(message=message, place=place, hint="choose another name")


def _declared(block: MultiTenant) -> Iterator[tuple[str, TenantSource, tuple[str, ...]]]:
    if block.tenant_registry is not None:
        yield block.tenant_registry.provider, block.tenant_registry, ("multi_tenant", "tenant_registry")
    for name, source in block.sources.items():
        yield name, source, ("multi_tenant", "sources", name)


def source_settings(name: str, source: TenantSource) -> SourceSettings:
    """A checked source under its name."""
    config = getattr(source.config, source.provider, None) if source.provider in BUILT_IN else _foreign(source)
    return SourceSettings(name=name, provider=source.provider, config=config, cache=source.cache)


def _foreign(source: TenantSource) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (source.config.model_extra or {}).get(source.provider, {})
    return found


def source_findings(source: TenantSource, document: YamlDocument, path: tuple[str, ...] = ()) -> Iterator[Finding]:
    """What is wrong with a source that stands at ``path``: its provider's settings are not there, or others are."""
    config = document.place((*path, "config"), key=True)
    given = source.config.model_fields_set
    if source.provider in BUILT_IN and source.provider not in given:
        message = f"the settings of provider {source.provider} are missing"
        yield Finding(message=message, place=config, hint=f"write them below config: {source.provider}:")
    for other in sorted(given - {source.provider}):
        place = document.place((*path, "config", other), key=True)
        hint = suggest(other, [source.provider]) if other not in BUILT_IN else "each provider takes its own"
        yield Finding(
            message=f"settings of {other} stand below a source with provider {source.provider}", place=place, hint=hint
        )


def _templates(block: MultiTenant) -> TemplateSettings:
    read = block.templates
    if read is None:
        return TemplateSettings()
    return TemplateSettings(base_dir=read.base_dir, schema_templates={one.name: one.file for one in read.schema_templates})


def _automation(block: MultiTenant) -> AutomationSettings:
    said = block.automation
    by_scale = PARALLEL_BY_SCALE[block.scale] if "scale" in block.model_fields_set else None
    return AutomationSettings(
        max_parallel_operations=(said.max_parallel_operations if said is not None else None) or by_scale,
        operation_timeout_seconds=said.operation_timeout if said is not None else None,
    )
