"""How the environments of tenants that a source told of are rendered: ``environment.j2`` of the project, or Manor's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from manor.wiring.workplace import Workplace

if TYPE_CHECKING:
    from manor.control.operations.directory_fleet import Render
    from manor.control.registry.tenant_info import TenantInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceEnvironment:
    """What the reference's ``environment.j2`` says of a tenant."""

    base: str
    databases: Mapping[str, str]
    name_macros: Mapping[str, str]
    isolation: str


def environment_renderer(workplace: Workplace) -> Render:  # noqa: ARG001 - stand-in until the engine is merged
    """Renders one tenant's environment."""

    def render(tenant: TenantInfo, config: Mapping[str, Any]) -> ReferenceEnvironment:  # noqa: ARG001
        prefix = f"{tenant.customer_code}_{tenant.region}"
        return ReferenceEnvironment(
            base=f"{tenant.tier}_base",
            databases={instance: f"{prefix}_{instance}" for instance in tenant.instances},
            name_macros={"database_prefix": prefix, "table_prefix": tenant.table_prefix or ""},
            isolation=tenant.isolation_strategy,
        )

    return render
