"""The shapes of sources that are tables, registry files or several others, as they stand in ``project.yaml`` and in a file of
``--config``.

Imported by ``settings_shapes``. The docstrings are the settings' documentation. Secrets never reach a ``repr``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from manor.api_shapes import Name, Seconds, Secret, TenantField
from manor.typed_input import StrictModel


class DatabaseSource(StrictModel):
    """Tenants in a table (or view) of a SQL database. It is only read."""

    url: Secret
    """Connection URL: `postgresql://`, `mysql://`, `mariadb://`, or `sqlite:///` with a path relative to the project."""
    tenant_table: Name = "tenants"
    """Name of the table of tenants, with its schema before it where it needs one: `crm.tenants`."""
    config_table: Name | None = None
    """Name of the table of their settings; where it is absent, `tenant_configs` if there is one."""
    columns: dict[TenantField, Name] = Field(default_factory=dict)
    """By field of a tenant: the column that holds it, where that is called otherwise."""
    defaults: dict[TenantField, Name] = Field(default_factory=dict)
    """By field: its value where there is no such column, or nothing in it."""
    config_columns: dict[Literal["tenant_id", "config", "key", "value"], Name] = Field(default_factory=dict)
    """Columns of the table of settings, where they are called otherwise: `tenant_id` and `config` (JSON), or `key` and `value`
    (a row for each setting). Where there are none of these, every column is a setting."""
    timeout: Seconds = 30
    """Seconds that connecting may take."""
    cache_ttl: Annotated[int, Field(ge=0, le=86_400)] = 300
    """Seconds that what was read stays good; `manor tenant sync` always reads anew."""


class YamlSource(StrictModel):
    """Tenants of a registry file: numbered tenants with the groups that they are in as their instances."""

    registry: Name
    """Path of the `tenant_registry.yaml`, relative to the project."""


class MergedSources(StrictModel):
    """Several sources as one."""

    sources: Annotated[list[Name], Field(min_length=1, max_length=16)]
    """Their names, the one that counts most first: each field of a tenant is told by the first source that says something."""
