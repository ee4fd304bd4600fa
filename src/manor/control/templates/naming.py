"""What names in the schemas of a template depend on: macros, and the tenant that a schema template is rendered for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from manor.control.templates.tenant_names import TenantFacts
from manor.errors import Finding
from manor.yaml_reader import YamlDocument


class SchemaRenderer(Protocol):
    """Renders schema templates (``template_engine.TenantTemplateEngine``)."""

    def schema_document(
        self, template: str, tenant: TenantFacts, config: Mapping[str, Any] | None, name_macros: Mapping[str, str]
    ) -> tuple[YamlDocument, list[Finding]]:
        """The parsed schema with every name final, and what is wrong with its names."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """For whom a template is loaded; without anything it is the same for all."""

    macros: Mapping[str, str] = field(default_factory=dict)
    """``name_macros`` of the tenant's environment."""
    tenant: TenantFacts | None = None
    """For schema templates only."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The tenant's own settings, as its source has them."""


EVERYBODY = Naming()
