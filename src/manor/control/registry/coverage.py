"""Which databases backups cover: ``backup_enabled`` of a group and of its databases. Pure."""

from __future__ import annotations

from manor.control.registry.model import FixedDatabase, Registry, TenantGroup
from manor.control.registry.variables import scan_names
from manor.errors import InputError
from manor.tenancy import TenantId


def backup_excluded(registry: Registry, tenant: TenantId) -> bool:
    """Whether the registry says that a tenant is not backed up. One that it does not know is."""
    group = registry.database_groups.get(tenant.group)
    if group is None:
        return False
    if not group.backup_enabled or isinstance(group, TenantGroup):
        return not group.backup_enabled
    given = registry.customer_info.variables()
    return any(not one.backup_enabled and _name(one, given) == tenant.id for one in group.databases)


def _name(database: FixedDatabase, given: dict[str, str]) -> str:
    """The final name of a listed database, which is its tenant's id; empty where it cannot have one."""
    try:
        text, names = scan_names(database.name)
    except InputError:
        return ""
    return text.fill(given) if names <= given.keys() else ""
