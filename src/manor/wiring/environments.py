"""How the environments of tenants that a source told of are rendered: ``environment.j2`` of the project, or Manor's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from manor.wiring.workplace import Workplace

if TYPE_CHECKING:
    from manor.control.operations.directory_fleet import Render
    from manor.control.registry.tenant_info import TenantInfo
    from manor.control.templates.environments import TenantEnvironment
    from manor.control.templates.template_engine import TenantTemplateEngine


def template_engine(workplace: Workplace) -> TenantTemplateEngine:
    """The project's Jinja2 templates, compiled once: of environments, and of schemas."""
    from manor.control.templates.template_engine import TenantTemplateEngine

    settings = workplace.project.fleet.templates
    folder = workplace.project.folder / settings.base_dir
    return TenantTemplateEngine(
        folder if folder.is_dir() else None,
        shown_as=workplace.project.shown(folder),
        schema_templates=settings.schema_templates,
    )


def environment_renderer(engine: TenantTemplateEngine) -> Render:
    """Renders the environment of one tenant after another."""
    from manor.control.templates.environments import render_environment

    def render(tenant: TenantInfo, config: Mapping[str, Any]) -> TenantEnvironment:
        return render_environment(engine, tenant, config)

    return render
