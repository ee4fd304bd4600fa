"""Which keys of a registry are acted on, which are only accepted so far, and which would be unsafe to accept. Pure.

A key that nothing acts on is never ignored in silence: validate and deploy print these names. Whoever makes a key work takes
its name out of the tables below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from pydantic import BaseModel

from manor.control.registry.model import FixedGroup, Registry
from manor.errors import Finding, RefusedError
from manor.typed_input import Places

WAITING = (
    ("environment_config", "database_defaults", "collation"),
    ("environment_config", "database_defaults", "connection_pool_size"),
    ("environment_config", "database_defaults", "connection_timeout"),
    ("operations", "monitoring"),
)
"""Accepted, validated, not acted on yet."""

WAITING_OF_GROUPS = ("monitoring_enabled",)
"""The same for keys of groups and of their databases."""

UTF8_CHARSETS = frozenset({"utf8", "utf-8", "utf8mb3", "utf8mb4"})
"""Spellings of the one character set that every database gets."""


class Declared(Places, Protocol):
    """A registry as values that know their places."""

    @property
    def model(self) -> Registry | None:
        """What could be understood of it."""
        ...

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What reading it found."""
        ...


def not_acted_on(registry: Registry) -> tuple[str, ...]:
    """Dotted names of the keys that stand in the file and that nothing acts on yet, each once, sorted."""
    names = {".".join(path) for path in WAITING if _stands(registry, path)}
    names.update(f"database_groups.*.{key}" for key in WAITING_OF_GROUPS if any(_group_names(registry, key)))
    if not registry.operations.provisioning.validate_before_create:
        names.add("operations.provisioning.validate_before_create")
    charset = registry.environment_config.database_defaults.charset
    if charset is not None and charset.lower() not in UTF8_CHARSETS:
        names.add("environment_config.database_defaults.charset")
    return tuple(sorted(names))


def _stands(model: BaseModel, path: tuple[str, ...]) -> bool:
    if path[0] not in model.model_fields_set:
        return False
    value = getattr(model, path[0])
    return len(path) == 1 or (isinstance(value, BaseModel) and _stands(value, path[1:]))


def _group_names(registry: Registry, key: str) -> Iterator[bool]:
    for group in registry.database_groups.values():
        yield key in group.model_fields_set
        if isinstance(group, FixedGroup):
            yield from (key in database.model_fields_set for database in group.databases)


def refusals(registry: Registry, places: Places) -> Iterator[Finding]:
    """Settings that Manor cannot honour and where silence would be unsafe: validate says them, deploy refuses."""
    security = registry.environment_config.security
    path = ("environment_config", "security")
    if security.tenant_isolation != "database":
        message = f"tenant_isolation: {security.tenant_isolation} is not supported yet, every tenant gets a database of its own"
        yield _refusal(message, "write tenant_isolation: database", places, *path, "tenant_isolation")
    if security.cross_tenant_access:
        message = "cross_tenant_access: true is not supported, tenants never reach each other"
        yield _refusal(message, "write cross_tenant_access: false", places, *path, "cross_tenant_access")
    config = registry.migration_config
    if config is not None and not config.schema_version_tracking:
        message = "schema_version_tracking: false is not supported, every database keeps its history"
        yield _refusal(message, "write schema_version_tracking: true", places, "migration_config", "schema_version_tracking")
    if not security.audit_logging:
        message = "audit_logging: false is not supported, the audit log is always written"
        yield _refusal(message, "write audit_logging: true", places, *path, "audit_logging")


def refuse_unsafe(found: Sequence[Finding]) -> None:
    """Raise ``RefusedError`` for ``refusals``: what was asked for cannot be kept."""
    if found:
        more = f" (and {len(found) - 1} more; `manor multi-tenant validate` lists them)" if len(found) > 1 else ""
        raise RefusedError(f"{found[0].message}{more}", hint=found[0].hint, place=found[0].place)


def _refusal(message: str, hint: str, places: Places, *path: str) -> Finding:
    return Finding(message=message, place=places.place(path), hint=hint, severity="refuse")
