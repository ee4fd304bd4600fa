"""The reference's two public classes as thin, typed faces over ``load_registry`` and ``resolve``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from manor.control.registry.groups import TemplateSource
from manor.control.registry.model import FixedGroup, Operations, Registry, TenantGroup
from manor.control.registry.resolve import Resolution, resolve
from manor.control.registry.yaml_files import LoadedRegistry, load_registry
from manor.control.steps import Target
from manor.errors import InvalidInput, NotFoundError
from manor.scan import suggest


class TenantRegistry:
    """One registry file without an error in it."""

    def __init__(self, registry_path: str | Path, *, shown_as: str = "") -> None:
        """Reads the file. Raises ``InputError`` if it is not YAML, ``InvalidInput`` with all findings if it is no registry."""
        self.registry_path = Path(registry_path)
        self.loaded: LoadedRegistry = load_registry(self.registry_path, shown_as=shown_as)
        if self.loaded.findings or self.loaded.model is None:
            raise InvalidInput(self.loaded.findings)
        self.model: Registry = self.loaded.model

    def get_database_groups(self) -> Mapping[str, TenantGroup | FixedGroup]:
        """All groups by name, in the file's order."""
        return dict(self.model.database_groups)

    def get_tenant_groups(self) -> Mapping[str, TenantGroup]:
        """The groups of numbered tenants."""
        return {name: group for name, group in self.model.database_groups.items() if isinstance(group, TenantGroup)}

    def get_fixed_groups(self) -> Mapping[str, FixedGroup]:
        """The groups whose databases are listed."""
        return {name: group for name, group in self.model.database_groups.items() if isinstance(group, FixedGroup)}

    def get_customer_info(self) -> Mapping[str, str]:
        """The customer's keys that were given."""
        return self.model.customer_info.variables()

    def get_operations_config(self) -> Operations:
        """Settings of every fleet verb, defaults filled in."""
        return self.model.operations


class DatabaseDefinitionGenerator:
    """The databases that a registry declares."""

    def __init__(
        self,
        registry: TenantRegistry,
        *,
        templates: TemplateSource | None = None,
        deployments: Sequence[str] = ("embedded",),
        deployment: str | None = None,
    ) -> None:
        """Resolves once. Without ``templates`` only the names are looked at.

        Raises ``InvalidInput`` with all findings, ``NotFoundError`` for a ``deployment`` that is not there.
        """
        self.registry = registry
        self.resolution: Resolution = resolve(
            registry.loaded, templates, deployments, source=registry.registry_path.name, deployment=deployment
        )
        errors = [finding for finding in self.resolution.findings if finding.severity == "error"]
        if errors:
            raise InvalidInput(errors)

    def generate_tenant_definitions(self, group_name: str) -> tuple[Target, ...]:
        """The targets of a group of numbered tenants. Raises ``NotFoundError`` if there is no such group."""
        return self._generate(group_name, self.registry.get_tenant_groups(), "tenant group")

    def generate_fixed_definitions(self, group_name: str) -> tuple[Target, ...]:
        """The targets of a group whose databases are listed. Raises ``NotFoundError`` if there is no such group."""
        return self._generate(group_name, self.registry.get_fixed_groups(), "fixed group")

    def _generate(self, name: str, groups: Mapping[str, object], kind: str) -> tuple[Target, ...]:
        if name not in groups:
            raise NotFoundError(f"there is no {kind} {name!r}", hint=suggest(name, groups))
        return tuple(target for target in self.resolution.targets if target.group == name)
