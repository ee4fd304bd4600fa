"""The registry as typed values: every key of ``tenant_registry.yaml``, version 2.0, with its meaning, unit and bounds.

Names and nesting are those of the reference design; the keys that are Manor's own say so. The docstrings below are what
``manor schema registry`` and the registry reference print. Pure: reading files and finding places happens elsewhere.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema

from manor.typed_input import TAG, Number, StrictModel, describe

MAX_TENANTS = 100_000
"""The most that one group may count: more belongs into several registries."""

Count = Annotated[int, Field(ge=0, le=MAX_TENANTS)]
Seconds = Annotated[int, Field(ge=1, le=86_400)]
Pause = Annotated[int, Field(ge=0, le=86_400)]
Percentage = Annotated[int, Field(ge=1, le=100)]
PercentNumber = Annotated[Number, Field(ge=0, le=100), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100})]
Name = Annotated[str, Field(min_length=1, max_length=256)]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
Data = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""Any text that a database can store."""
Variables = dict[VariableName, Data]
SearchText = Annotated[str, Field(min_length=1, max_length=4096)]
"""A condition over tenants or a query, kept as text."""
OrderKey = Annotated[str, Field(pattern=r"^-?[A-Za-z_][A-Za-z0-9_]*$", max_length=129)]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)
TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
PERCENTAGE = r"^(100|[0-9]{1,2}(\.[0-9]{1,4})?)%$"


def _zone_name(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValueError(f"is not a time zone: {describe(name)}; write one such as Asia/Tokyo") from None
    return name


def _failure_budget(value: Any) -> Any:
    number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TENANTS
    if number or (isinstance(value, str) and re.fullmatch(PERCENTAGE, value)):
        return value
    raise ValueError(f'must be a whole number or a percentage such as "5%", found {describe(value)}')


def _hold_back(value: Any) -> Any:
    items = value if isinstance(value, list) else [value]
    if all(isinstance(item, str) and 0 < len(item) <= 4096 for item in items):
        return value
    raise ValueError(f"must be a search text or a list of tenant ids, found {describe(value)}")


ZoneName = Annotated[str, AfterValidator(_zone_name)]
_BUDGET_SCHEMA = [{"type": "integer", "minimum": 0, "maximum": MAX_TENANTS}, {"type": "string", "pattern": PERCENTAGE}]
FailureBudget = Annotated[int | str, BeforeValidator(_failure_budget), WithJsonSchema({"anyOf": _BUDGET_SCHEMA})]
"""Failures that are put up with: a number, or a share as text."""
_TEXTS_SCHEMA = [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
HoldBack = Annotated[str | list[str], BeforeValidator(_hold_back), WithJsonSchema({"anyOf": _TEXTS_SCHEMA})]


class CustomerInfo(StrictModel):
    """Whose databases these are. Every key given here is also a variable of the same name."""

    customer_code: Name
    """Short, stable code of the customer; first part of every tenant id. Letters, digits, `_`, `-`, `.`."""
    customer_name: Data | None = None
    """Full name, any text; it is data wherever it is inserted."""
    region: Data | None = None
    """Where the customer's data lives, any text."""
    environment: Data | None = None
    """Such as `production` or `staging`, any text."""

    def variables(self) -> dict[str, str]:
        """The keys that were given, as variables."""
        return {key: value for key, value in self if isinstance(value, str)}


class TenantGroup(StrictModel):
    """Numbered tenants that share one template."""

    type: Literal["tenant_group"]
    """What kind of group this is."""
    template: Name
    """Folder, beside the registry, from which each database is made."""
    tenant_count: Count = 0
    """Number of tenants."""
    tenant_id_start: Annotated[int, Field(ge=0, le=10**15)] = 1
    """Number of the first tenant."""
    tenant_id_format: Name = "{:03d}"
    """How a number becomes an id: plain text around one `{}` or `{:spec}`, the spec being a width and `d`, `x` or `X`."""
    naming_pattern: Name
    """Name of each database; refers to variables as `{NAME}`."""
    variables: Variables = Field(default_factory=dict)
    """Values for the template; they may refer to each other and to the customer's keys and `tenant_id`, in any order."""
    auto_provision: bool = True
    """Whether deploy makes these databases."""
    backup_enabled: bool = True
    """Whether backups cover these databases."""
    monitoring_enabled: bool = True
    """Whether monitoring covers these databases."""
    server: Name | None = None
    """Manor's own: name of the deployment that holds the group; needed where the environment has several."""


class FixedDatabase(StrictModel):
    """One database with a name of its own."""

    name: Name
    """Name of the database, and the id of its tenant; may refer to the customer's keys."""
    template: Name
    """Folder, beside the registry, from which the database is made."""
    variables: Variables = Field(default_factory=dict)
    """Values for the template; they may refer to each other and to the customer's keys and `tenant_id`, in any order."""
    auto_provision: bool = True
    """Whether deploy makes this database."""
    backup_enabled: bool = True
    """Whether backups cover this database."""
    monitoring_enabled: bool = True
    """Whether monitoring covers this database."""
    server: Name | None = None
    """Manor's own: name of the deployment that holds this database; goes before the group's."""


class FixedGroup(StrictModel):
    """Databases that are listed one by one."""

    type: Literal["fixed_group"]
    """What kind of group this is."""
    databases: list[FixedDatabase] = Field(default_factory=list, max_length=MAX_TENANTS)
    """The databases."""
    auto_provision: bool = True
    """Whether deploy makes these databases; a database's own `false` counts as well."""
    backup_enabled: bool = True
    """Whether backups cover these databases."""
    monitoring_enabled: bool = True
    """Whether monitoring covers these databases."""
    server: Name | None = None
    """Manor's own: name of the deployment that holds the group; needed where the environment has several."""


TENANT_GROUP_TAG = f"{TAG}tenant_group"
FIXED_GROUP_TAG = f"{TAG}fixed_group"


def _group_tag(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"{TAG}{kind}" if kind in ("tenant_group", "fixed_group") else None


Group = Annotated[
    Annotated[TenantGroup, Tag(TENANT_GROUP_TAG)] | Annotated[FixedGroup, Tag(FIXED_GROUP_TAG)], Discriminator(_group_tag)
]


class BatchSettings(StrictModel):
    """How many databases are worked on at once and how long each may take."""

    max_parallel: Annotated[int, Field(ge=1, le=256)] = 10
    """Databases worked on at the same time."""
    timeout_seconds: Seconds = 300
    """Longest time that one database may take, in seconds."""
    retry_attempts: Annotated[int, Field(ge=0, le=20)] = 3
    """Further tries after a transient error."""


class Provisioning(StrictModel):
    """How deploy makes databases."""

    auto_create_on_deploy: bool = True
    """Whether deploy makes databases at all; `false` has the effect of `auto_provision: false` on every group."""
    validate_before_create: bool = True
    """Validation before anything is made. Manor always validates."""
    backup_before_update: bool = False
    """Whether a database is backed up before it is changed."""
    warm_pool: Annotated[int, Field(ge=0, le=1_000)] = 0
    """Manor's own: finished spare databases that are kept per template, so that a sign-up is a rename."""


class AlertThresholds(StrictModel):
    """From where on monitoring raises an alert."""

    connection_usage: PercentNumber | None = None
    """Connections in use, in percent of those allowed."""
    error_rate: PercentNumber | None = None
    """Failing requests, in percent."""


class Monitoring(StrictModel):
    """How the fleet is watched."""

    health_check_interval: Seconds = 300
    """Seconds between two health checks."""
    metrics_collection: bool = True
    """Whether metrics are collected."""
    alert_thresholds: AlertThresholds = Field(default_factory=AlertThresholds)
    """From where on an alert is raised."""


class Operations(StrictModel):
    """Settings of every fleet verb."""

    batch_settings: BatchSettings = Field(default_factory=BatchSettings)
    """Parallelism, timeout and retries."""
    provisioning: Provisioning = Field(default_factory=Provisioning)
    """How deploy makes databases."""
    monitoring: Monitoring = Field(default_factory=Monitoring)
    """How the fleet is watched."""
    max_change_percent: Percentage = 30
    """Manor's own: a plan that drops, suspends or moves a larger share of the fleet, in percent, needs an explicit word."""


class DatabaseDefaults(StrictModel):
    """Defaults of every database."""

    charset: Name | None = None
    """Character set; `utf8mb4` and `utf8` mean UTF8 on PostgreSQL."""
    collation: Name | None = None
    """Collation; MySQL's (`utf8mb4_…`) have no meaning on PostgreSQL, which takes that of the server."""
    connection_pool_size: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Connections of the application's pool per database."""
    connection_timeout: Seconds | None = None
    """Seconds that the application waits for a connection."""


class Security(StrictModel):
    """What separates the tenants."""

    tenant_isolation: Literal["database", "schema", "table"] = "database"
    """What a tenant has of its own."""
    cross_tenant_access: bool = False
    """Whether one tenant's role may reach another tenant's database."""
    audit_logging: bool = True
    """Whether what Manor does is written to the audit log."""


class EnvironmentConfig(StrictModel):
    """Settings of this environment."""

    database_defaults: DatabaseDefaults = Field(default_factory=DatabaseDefaults)
    """Defaults of every database."""
    security: Security = Field(default_factory=Security)
    """What separates the tenants."""


class Canary(StrictModel):
    """A release that begins with few tenants."""

    initial_percentage: Percentage = 5
    """Share of the first wave, in percent of the tenants, rounded up."""
    increment_percentage: Percentage = 25
    """How much each further wave adds, in percent of the tenants, rounded up."""
    evaluation_period: Pause = 300
    """Seconds between a wave and the next one; the health gate looks before them and after."""


class MaintenanceWindow(StrictModel):
    """Manor's own: when tenants may be changed. It may cross midnight; equal times mean 24 hours."""

    days: Annotated[list[Day], Field(min_length=1)] = Field(default_factory=lambda: list(DAYS))
    """Days on which the window begins."""
    opens: TimeOfDay
    """Time of day from which on it is open."""
    closes: TimeOfDay
    """Time of day until which it is open; on the next day unless it is later than `opens`."""
    timezone: ZoneName = "UTC"
    """Time zone of days and times, by its IANA name."""
    where: SearchText | None = None
    """Search for the tenants that it is about; all where absent. Tenants that no window is about may be changed at any time."""


class HealthGate(StrictModel):
    """Manor's own: what is looked at between two waves. Connecting and the fingerprint always are."""

    sql: list[SearchText] = Field(default_factory=list)
    """Queries that run on each database that the wave changed; the first column of the first row must be true."""
    scripts: list[Name] = Field(default_factory=list)
    """Programs that run for each of them and must end with 0; paths inside the project, relative to the registry."""
    max_error_rate: Annotated[PercentNumber, Field(json_schema_extra={"default": 0})] = Decimal(0)
    """Share of the wave, in percent, that may fail these checks before the release stops."""
    timeout_seconds: Seconds = 60
    """Longest time that one check may take, in seconds."""


class DeploymentStrategy(StrictModel):
    """How a release goes through the fleet."""

    type: Literal["rolling", "blue_green", "canary", "atomic"] = "atomic"
    """Kind of rollout. `atomic` is Manor's own: all tenants or none."""
    batch_size: Annotated[int, Field(ge=1, le=MAX_TENANTS)] = 10
    """Tenants per wave of `rolling` and `blue_green`."""
    wait_between_batches: Pause = 0
    """Seconds between two waves of `rolling` and `blue_green`."""
    canary: Canary | None = None
    """Settings of `type: canary`."""
    max_failures: FailureBudget | None = None
    """Manor's own: failed tenants, a number or a share of all such as "5%", beyond which no further one is begun.
    Where absent, `canary` stops at the first and the others try every tenant."""
    order_by: list[OrderKey] = Field(default_factory=list)
    """Manor's own: variables, or `tenant_id`, `group`, `template`, `server` and the like, by which tenants take their turn; `-`
    before a name turns the order around, and tenants without a value come last. Then the registry's order."""
    first: SearchText | None = None
    """Manor's own: search for the tenants that go before all others."""
    pins: dict[Name, Name] = Field(default_factory=dict)
    """Manor's own: by tenant id, the version beyond which no release takes it."""
    hold_back: HoldBack | None = None
    """Manor's own: a search, or a list of tenant ids; these tenants are left out of releases that do not name them."""
    maintenance_windows: list[MaintenanceWindow] = Field(default_factory=list)
    """Manor's own: when tenants may be changed; at any time where there are none."""
    health_gate: HealthGate = Field(default_factory=HealthGate)
    """Manor's own: what is looked at between two waves."""
    lock_timeout_seconds: Seconds = 5
    """Manor's own: seconds that a migration waits for a lock that a session of the tenant's holds."""
    prepare_deadline_seconds: Seconds = 300
    """Manor's own: seconds until all tenants of an `atomic` release must have voted; else all are rolled back."""
    atomic_connections: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Manor's own: connections that an `atomic` release may keep open; one per tenant where absent."""
    grace_period_seconds: Annotated[int, Field(ge=0, le=31_536_000)] = 86_400
    """Manor's own: seconds for which `blue_green` keeps the old database."""


class MigrationConfig(StrictModel):
    """How schemas change over time."""

    schema_version_tracking: bool = True
    """Whether each database records the migrations it has seen."""
    data_migration_scripts: Name | None = None
    """Folder of the migrations, relative to the registry."""
    rollback_enabled: bool = True
    """Whether a migration can be undone."""
    baseline: Name | None = None
    """Manor's own: the tables of the templates already hold every migration up to this version: these are recorded, not run."""


HookList = list[Name]


class Hooks(StrictModel):
    """Programs of the user's that run around an operation; paths inside the project, relative to the registry."""

    pre_provision: HookList = Field(default_factory=list)
    """Before a database is made."""
    post_provision: HookList = Field(default_factory=list)
    """After a database was made."""
    pre_update: HookList = Field(default_factory=list)
    """Before a database is changed."""
    post_update: HookList = Field(default_factory=list)
    """After a database was changed."""


class Registry(StrictModel):
    """One `tenant_registry.yaml`: which databases should exist, from which templates, and how they are run."""

    registry_version: Literal["2.0"]
    """Version of this format."""
    customer_info: CustomerInfo
    """Whose databases these are."""
    database_groups: dict[Name, Group]
    """The databases, in named groups; a group's name is the second part of its tenants' ids."""
    operations: Operations = Field(default_factory=Operations)
    """Settings of every fleet verb."""
    environment_config: EnvironmentConfig = Field(default_factory=EnvironmentConfig)
    """Settings of this environment."""
    deployment_strategy: DeploymentStrategy | None = None
    """How a release goes through the fleet."""
    migration_config: MigrationConfig | None = None
    """How schemas change over time."""
    hooks: Hooks = Field(default_factory=Hooks)
    """Programs of the user's that run around an operation."""


def json_schema() -> dict[str, Any]:
    """The format as a JSON Schema (draft 2020-12), for editors."""
    body = Registry.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:manor:schema:tenant_registry:2.0",
        **body,
    }
