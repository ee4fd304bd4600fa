"""A registry file as a source of tenants: the file is read again when it has changed.

A tenant of the file is a tenant here, and the groups that list its id are its instances: ``acme/tenants/001`` is tenant ``001``
with the instance ``tenants``. The file has one customer, whose name and region all of them have.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from manor.control.registry.listed import ListedTenantProvider
from manor.control.registry.provider import Filters, TenantRegistryProvider
from manor.control.registry.resolve import resolve
from manor.control.registry.search.filters import check_page, search_of_filters, search_of_query
from manor.control.registry.tenant_info import TenantInfo, tenant_at
from manor.control.registry.yaml_files import LoadedRegistry, load_registry
from manor.control.steps import Target
from manor.errors import InputError, InvalidInput, Place

_Version = tuple[int, int]


class YamlTenantProvider(TenantRegistryProvider):
    """The registry at ``path``; ``shown_as`` is what places call it. Nothing is read before the first method is called, and its
    methods raise ``InputError`` where the file cannot be read, ``InvalidInput`` with all that is wrong with it."""

    def __init__(self, path: Path, *, name: str = "yaml", shown_as: str = "") -> None:
        self.name = name
        self._path = path
        self._shown = shown_as or str(path)
        self._read: tuple[_Version, ListedTenantProvider] | None = None

    def __repr__(self) -> str:
        return f"<source {self.name}: registry {self._shown}>"

    async def list_tenants(self, filters: Filters | None = None, offset: int = 0, limit: int = 100) -> Sequence[TenantInfo]:
        """One page, in the file's order."""
        check_page(offset, limit)
        search_of_filters(filters)
        return await (await self._tenants()).list_tenants(filters, offset, limit)

    async def get_tenant(self, tenant_id: str) -> TenantInfo:
        """Raises ``NotFoundError``."""
        return await (await self._tenants()).get_tenant(tenant_id)

    async def get_tenant_config(self, tenant_id: str) -> Mapping[str, Any]:
        """By group: template, database and variables. Raises ``NotFoundError``."""
        return await (await self._tenants()).get_tenant_config(tenant_id)

    async def search_tenants(self, query: str) -> Sequence[TenantInfo]:
        """Raises ``InputError`` with the position of what is refused."""
        search_of_query(query)
        return await (await self._tenants()).search_tenants(query)

    async def get_tenant_count(self, filters: Filters | None = None) -> int:
        """How many there are."""
        return await (await self._tenants()).get_tenant_count(filters)

    async def iter_tenants(self, filters: Filters | None = None) -> AsyncIterator[TenantInfo]:
        """In the file's order, as it was when the walk began."""
        async for info in (await self._tenants()).iter_tenants(filters):
            yield info

    async def _tenants(self) -> ListedTenantProvider:
        return await asyncio.to_thread(self._current)

    def _current(self) -> ListedTenantProvider:
        try:
            facts = self._path.stat()
        except OSError as error:
            raise InputError(f"the registry cannot be read: {error.strerror or error}", place=Place(self._shown)) from error
        version = (facts.st_mtime_ns, facts.st_size)
        if self._read is None or self._read[0] != version:
            self._read = version, tenants_of(load_registry(self._path, shown_as=self._shown), source=self.name)
        return self._read[1]


def tenants_of(loaded: LoadedRegistry, *, source: str) -> ListedTenantProvider:
    """The tenants that a registry declares. Raises ``InvalidInput`` with all that is wrong with it."""
    if loaded.model is None or loaded.findings:
        raise InvalidInput(loaded.findings)
    servers = sorted({group.server for group in loaded.model.database_groups.values() if group.server}) or ["any"]
    resolution = resolve(loaded, None, servers, source=source, deployment=servers[0])
    errors = [finding for finding in resolution.findings if finding.severity == "error"]
    if errors:
        raise InvalidInput(errors)
    by_id: dict[str, list[Target]] = {}
    for target in resolution.targets:
        by_id.setdefault(target.tenant.id, []).append(target)
    tenants = [_tenant(tenant_id, targets, loaded) for tenant_id, targets in by_id.items()]
    configs = {tenant_id: {t.group: _settings(t) for t in targets} for tenant_id, targets in by_id.items()}
    return ListedTenantProvider(tenants, configs, name=source)


def _tenant(tenant_id: str, targets: Sequence[Target], loaded: LoadedRegistry) -> TenantInfo:
    values: dict[str, Any] = {"tenant_id": tenant_id, "customer_code": targets[0].tenant.customer_code}
    customer = loaded.model.customer_info.variables() if loaded.model else {}
    values |= {name: customer[name] for name in ("customer_name", "region") if name in customer}
    values["instances"] = tuple(target.group for target in targets)
    return tenant_at(values, loaded.place(("customer_info",), key=True))


def _settings(target: Target) -> dict[str, Any]:
    return {"template": target.template, "database": target.database, "variables": dict(target.variables)}
