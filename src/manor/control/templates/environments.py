"""A tenant's environment: which databases it has, from which template they are made, and which names stand in them.

``environment.j2`` of the project says it, Manor's own where the project has none. All names are final here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from manor.control.templates.tenant_names import TenantFacts
from manor.errors import InputError, Place
from manor.scan import suggest
from manor.tenancy import database_name_problem, id_part_problem, identifier_problem
from manor.typed_input import StrictModel, check

if TYPE_CHECKING:
    from manor.control.templates.template_engine import TenantTemplateEngine

Text = Annotated[str, Field(max_length=10_000)]


class InstanceFile(StrictModel):
    """One database of the tenant."""

    database_name: Text
    """Its name on the server."""
    schema_name: Text = ""
    """The schema that it takes; the instance's own name where it is left out."""


class IsolationFile(StrictModel):
    """How the tenant is kept apart."""

    strategy: Literal["database", "schema", "table"] = "database"
    """By databases of its own; `schema` and `table` cannot be deployed."""
    naming_pattern: Text = ""
    """How names of databases are built, with `{instance}`; informative."""


class EnvironmentFile(StrictModel):
    """The document that `environment.j2` renders."""

    name: Text
    """The tenant's name; its `tenant_id`."""
    type: Literal["tenant"] = "tenant"
    """What the environment is for."""
    base: Text
    """The template folder that its databases are made from."""
    description: Text = ""
    """Any text."""
    tenant_info: dict[str, Any] = Field(default_factory=dict)
    """Facts about the tenant, free keys; recorded in the catalog."""
    tenant_config: dict[str, Any] = Field(default_factory=dict)
    """Further facts, free keys; recorded in the catalog."""
    database_config: Annotated[dict[str, InstanceFile], Field(min_length=1)]
    """Its databases by instance."""
    isolation_config: IsolationFile = Field(default_factory=IsolationFile)
    """How the tenant is kept apart."""
    name_macros: dict[str, Text] = Field(default_factory=dict)
    """What `${MACRO}` means in the schemas of its databases, by the macro's name in small letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantEnvironment:
    """What a tenant's databases are: names by instance, and the template that they are made from."""

    name: str
    base: str
    """Name of the template folder; whether there is one is not known here."""
    databases: Mapping[str, str]
    """Name of the database by instance, in the template's order."""
    schema_names: Mapping[str, str] = field(default_factory=dict)
    """Name of the schema that the database takes, by instance."""
    name_macros: Mapping[str, str] = field(default_factory=dict)
    """By the macro's name in small letters."""
    tenant_info: Mapping[str, Any] = field(default_factory=dict)
    tenant_config: Mapping[str, Any] = field(default_factory=dict)
    isolation: Literal["database", "schema", "table"] = "database"
    naming_pattern: str = ""


def render_environment(
    engine: TenantTemplateEngine, tenant: TenantFacts, config: Mapping[str, Any] | None = None
) -> TenantEnvironment:
    """The environment of one tenant; ``config`` is what its source says beyond ``TenantInfo``.

    Raises ``InputError`` with the template and the tenant for a template that fails, a document that is no environment, or a
    name that no database can have.
    """
    document = engine.environment_config(tenant, config)
    place = engine.environment_place(tenant)
    return read_environment(document, place, tenant)


def read_environment(document: Mapping[str, Any], place: Place, tenant: TenantFacts) -> TenantEnvironment:
    """The environment that a rendered document says. Raises ``InputError`` with ``place``."""
    read, problems = check(EnvironmentFile, dict(document), _OnePlace(place))
    if read is None:
        first = problems[0].finding
        raise InputError(f"tenant {tenant.tenant_id}: {first.message}", place=place, hint=first.hint)
    _check_instances(read, place, tenant)
    return TenantEnvironment(
        name=read.name,
        base=read.base,
        databases={instance: database.database_name for instance, database in read.database_config.items()},
        schema_names={name: database.schema_name or name for name, database in read.database_config.items()},
        name_macros={name.lower(): value for name, value in read.name_macros.items()},
        tenant_info=read.tenant_info,
        tenant_config=read.tenant_config,
        isolation=read.isolation_config.strategy,
        naming_pattern=read.isolation_config.naming_pattern,
    )


def _check_instances(read: EnvironmentFile, place: Place, tenant: TenantFacts) -> None:
    taken: dict[str, str] = {}
    for instance, database in read.database_config.items():
        name = database.database_name
        problem = id_part_problem(instance)
        if problem:
            raise InputError(f"tenant {tenant.tenant_id}: the instance {instance!r} {problem}", place=place)
        problem = database_name_problem(name)
        if problem:
            hint = "the filter safe_identifier makes a name of any text"
            raise InputError(f"tenant {tenant.tenant_id}: the database name {name!r} {problem}", place=place, hint=hint)
        other = taken.setdefault(name.lower(), instance)
        if other != instance:
            message = f"tenant {tenant.tenant_id}: the instances {other} and {instance} get the same database name {name!r}"
            raise InputError(message, place=place, hint="put {{ instance }} into it")
        _check_schema(database.schema_name or instance, place, tenant)
    for name in tenant.instances:
        if name not in read.database_config:
            hint = suggest(name, read.database_config)
            raise InputError(f"tenant {tenant.tenant_id}: its instance {name!r} gets no database", place=place, hint=hint)


def _check_schema(name: str, place: Place, tenant: TenantFacts) -> None:
    problem = identifier_problem(name)
    if problem:
        raise InputError(f"tenant {tenant.tenant_id}: the schema name {name!r} {problem}", place=place)


@dataclass(frozen=True, slots=True)
class _OnePlace:
    """Places of a document that was rendered: its lines are nobody's."""

    rendered: Place

    def place(self, path: Sequence[str | int] = (), *, key: bool = False) -> Place:  # noqa: ARG002 - a Places
        return self.rendered
