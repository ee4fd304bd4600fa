"""How the environments of tenants that a source told of are rendered: ``environment.j2`` of the project, or Manor's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from manor.wiring.workplace import Workplace

if TYPE_CHECKING:
    from manor.control.operations.directory_fleet import Render
    from manor.control.registry.tenant_info import TenantInfo
    from manor.control.templates.environments import TenantEnvironment


def environment_renderer(workplace: Workplace) -> Render:
    """Renders the environment of one tenant after another; templates are compiled once."""
    from manor.control.templates.environments import render_environment
    from manor.control.templates.template_engine import TenantTemplateEngine

    folder = workplace.project.folder / workplace.project.fleet.templates.base_dir
    engine = TenantTemplateEngine(folder if folder.is_dir() else None, shown_as=workplace.project.shown(folder))

    def render(tenant: TenantInfo, config: Mapping[str, Any]) -> TenantEnvironment:
        return render_environment(engine, tenant, config)

    return render
