"""The shapes of ``project.yaml`` and ``environ.yaml`` as pydantic models: what may stand there, of which type, in which bounds.

Imported by ``settings`` only when a file is read. The docstrings are the settings' documentation.
"""

from __future__ import annotations

import datetime as dt
from difflib import get_close_matches
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from manor.api_shapes import ApiSource, GraphqlSource
from manor.sheet_shapes import CacheBlock, CsvSource
from manor.source_shapes import DatabaseSource, MergedSources, YamlSource
from manor.typed_input import DbgearModel, StrictModel

Text = Annotated[str, Field(max_length=10_000)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
DeploymentName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=64)]
MemorySize = Annotated[str, Field(pattern=r"^[1-9][0-9]*(kB|MB|GB)$")]
Seconds = Annotated[int, Field(ge=1, le=86_400)]


def _cron(text: str) -> str:
    """Raise ``ValueError`` for what cron cannot read, or what never comes."""
    try:
        if len(text.split()) != 5:
            raise CronSimError("five fields are needed")
        next(CronSim(text, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)))
    except (CronSimError, StopIteration) as error:
        why = str(error) or "it never comes"
        raise ValueError(f"is not a time of cron: {why}; write one such as 0 3 * * *") from None
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ValueError("is not a time zone; write one such as Asia/Tokyo") from None
    return name


CronText = Annotated[str, Field(max_length=200), AfterValidator(_cron), WithJsonSchema({"type": "string"})]
ZoneText = Annotated[str, Field(max_length=64), AfterValidator(_zone), WithJsonSchema({"type": "string"})]


class Options(DbgearModel):
    """DBGear's options."""

    create_foreign_key_constraints: bool = True
    """Whether the relations of `schema.yaml` become foreign keys."""


class SourceConfig(StrictModel):
    """Settings per provider; the one named by `provider` counts. A provider that was installed beside Manor has its own."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, dict[str, Any]] = Field(init=False)

    database: DatabaseSource | None = None
    """Settings of `provider: database`."""
    api: ApiSource | None = None
    """Settings of `provider: api`."""
    graphql: GraphqlSource | None = None
    """Settings of `provider: graphql`."""
    csv: CsvSource | None = None
    """Settings of `provider: csv`."""
    yaml: YamlSource | None = None
    """Settings of `provider: yaml`."""
    merged: MergedSources | None = None
    """Settings of `provider: merged`."""


class TenantSource(StrictModel):
    """Where tenants are declared, other than in the environment's registry file."""

    provider: Name
    """Kind of source: `database`, `api`, `graphql`, `csv`, `yaml` (a registry file), `merged` (several sources), or a name that
    a package beside Manor registers under the entry point group `manor.sources`."""
    config: SourceConfig = Field(default_factory=SourceConfig)
    """Its settings."""
    cache: CacheBlock | None = None
    """Manor's own: what is kept of the source's answers, and where; nothing where it is absent."""


class SchemaTemplate(StrictModel):
    """A schema template."""

    name: Name
    """What it is called."""
    file: Name
    """Its file, relative to `base_dir`."""


class TemplatesBlock(StrictModel):
    """Schema templates of the project."""

    base_dir: Name = "./templates"
    """Their folder, relative to the project."""
    schema_templates: list[SchemaTemplate] = Field(default_factory=list)
    """The templates."""


class Automation(StrictModel):
    """Bounds of fleet operations."""

    max_parallel_operations: Annotated[int, Field(ge=1, le=256)] | None = None
    """Tenants worked on at the same time, where neither `--parallel` nor the registry's `operations.batch_settings` says.
    Releases keep to what registries say."""
    operation_timeout: Seconds | None = None
    """Seconds that one tenant may take, where the registry's `operations.batch_settings` does not say. Releases keep to what
    registries say."""


class MonitoringBlock(StrictModel):
    """How Manor itself is watched."""

    enabled: bool = True
    """Whether it is; not acted on yet."""
    metrics_endpoint: Name = "/metrics"
    """Path that metrics are served under; not acted on yet."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    """Least severe level of what is logged on standard error: `INFO` is operations and waves, `DEBUG` every step of every
    target. Without the block `monitoring` nothing is; nor is it with `--quiet`."""


class MultiTenant(StrictModel):
    """The block `multi_tenant` of `project.yaml`."""

    enabled: bool = True
    """Whether the project has tenants; `false`: sources are not read."""
    scale: Literal["small", "medium", "large", "enterprise"] = "enterprise"
    """How large the fleet is: how many operations run at a time where `automation` does not say (4, 10, 20, 20)."""
    tenant_registry: TenantSource | None = None
    """Where tenants are declared. On the command line the source is called like its provider: `--source database`."""
    sources: dict[DeploymentName, TenantSource] = Field(default_factory=dict)
    """Manor's own: further sources by name, such as `crm`."""
    templates: TemplatesBlock | None = None
    """Schema templates of the project."""
    automation: Automation | None = None
    """Bounds of fleet operations."""
    monitoring: MonitoringBlock | None = None
    """How Manor itself is watched."""


class ProjectFile(DbgearModel):
    """One `project.yaml`."""

    project_name: Name | None = None
    """Name of the project; its folder's name where it is absent."""
    description: Text = ""
    """What the project is."""
    options: Options = Field(default_factory=Options)
    """DBGear's options."""
    multi_tenant: MultiTenant | None = None
    """The fleet's settings."""


class EmbeddedBlock(StrictModel):
    """Settings of the PostgreSQL that Manor brings along."""

    archive: bool | None = None
    """Whether its WAL is archived, which restoring to a point in time needs; by default as long as there are base backups."""
    shared_buffers: MemorySize = "128MB"
    """Memory for shared buffers, such as `128MB`."""
    max_connections: Annotated[int, Field(ge=10, le=5_000)] = 200
    """Connections at the same time."""
    max_prepared_transactions: Annotated[int, Field(ge=0, le=5_000)] = 200
    """Slots for two-phase commit."""
    max_wal_size: MemorySize = "2GB"
    """How much WAL may gather between two checkpoints."""


class ScheduleBlock(StrictModel):
    """When `manor worker` does what: times as cron spells them (minute, hour, day of month, month, day of week)."""

    backup: CronText | None = None
    """When every tenant is backed up, such as `0 3 * * *`; never where it is absent."""
    base: CronText | None = None
    """When a base backup of every server is taken, and older ones (`keep_bases`) go; never where it is absent."""
    catalog: CronText | None = None
    """When the catalog is backed up; never where it is absent."""
    drill: CronText | None = None
    """When backups of some tenants (`drill_sample`) are restored for practice; never where it is absent."""
    prune: CronText | None = None
    """When backups that no rule keeps are removed; never where it is absent."""
    tz: ZoneText = "UTC"
    """Time zone of these times, by its IANA name."""


class PgBackRestBlock(StrictModel):
    """Where pgBackRest keeps a server's backups. Passwords belong into its own configuration."""

    stanza: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=256)]
    """The server's name there."""
    config: Name | None = None
    """Path of pgBackRest's configuration, relative to the project; its own default where it is absent."""


class BackupBlock(StrictModel):
    """How tenants are backed up, and for how long backups are kept. What one rule keeps is kept."""

    location: Name | None = None
    """Folder (relative to the project) or URL (`s3://`, `gs://`, `az://`) of the backups; without it `.manor/backups`."""
    encrypt: bool = False
    """Whether backups are encrypted, each with its tenant's own key (age); the keys are in the catalog."""
    parallel: Annotated[int, Field(ge=1, le=256)] = 4
    """Tenants backed up at the same time on each server; each takes two connections."""
    lock_timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] = 10
    """Seconds that a backup waits for a table that somebody else has locked."""
    keep_last: Annotated[int, Field(ge=0, le=100_000)] = 7
    """The newest backups of each tenant that `manor backup prune` keeps; the newest one is always kept."""
    keep_days: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Days for which every backup is kept; 0: this rule keeps none."""
    keep_weekly: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Weeks of which the newest backup is kept; 0: this rule keeps none."""
    keep_bases: Annotated[int, Field(ge=1, le=1_000)] = 2
    """Base backups of each server's present cluster that a scheduled one leaves, beside those that they are increments of; the
    oldest of them says how far back tenants can be restored."""
    base_increments: Annotated[int, Field(ge=0, le=100)] = 0
    """Scheduled base backups between two full ones that hold only what has changed since the one before; where a server cannot
    do that (before PostgreSQL 17, `summarize_wal` off), full ones are taken."""
    drill_sample: Annotated[int, Field(ge=1, le=100_000)] = 5
    """Tenants whose newest backup a scheduled drill restores: those that have waited longest."""
    schedules: ScheduleBlock = Field(default_factory=ScheduleBlock)
    """When `manor worker` backs up, drills and prunes."""
    pgbackrest: dict[DeploymentName, PgBackRestBlock] = Field(default_factory=dict)
    """By deployment: pgBackRest's repository, from which its tenants are restored to a moment instead of from base backups."""


class ErasureBlock(StrictModel):
    """What `manor tenant delete` needs to know."""

    storage: list[Name] = Field(default_factory=list)
    """Where the objects of each tenant are, to be erased with it, such as `s3://bucket/storage/{tenant_id}`: `{tenant_id}`,
    `{customer_code}`, `{group}`, `{id}` and `{database}` are filled in."""
    grace_days: Annotated[int, Field(ge=0, le=3_650)] = 0
    """Days for which a deleted tenant is only suspended, where the command does not say `--after`."""
    require_final_export: bool = False
    """Whether a deletion must say `--final-export` or `--no-final-export`."""
    schedule: CronText | None = None
    """When `manor worker` erases the tenants whose grace period (`--after`) is over, such as `0 2 * * *`; never where it is
    absent: then `manor tenant delete --due` does."""
    tz: ZoneText = "UTC"
    """Time zone of this schedule, by its IANA name."""


class SettingsBlock(StrictModel):
    """Settings of an environment."""

    @model_validator(mode="before")
    @classmethod
    def _take_variables(cls, value: Any) -> Any:
        """DBGear's settings are free texts; a name that is nearly one of Manor's is a slip and stays unknown."""
        if not isinstance(value, dict):
            return value
        own = {
            name: text
            for name, text in value.items()
            if isinstance(text, str) and name not in cls.model_fields and not get_close_matches(name, cls.model_fields, 1, 0.85)
        }
        given = value.get("variables", {})
        if not own or not isinstance(given, dict):
            return value
        return {name: item for name, item in value.items() if name not in own} | {"variables": given | own}

    embedded: EmbeddedBlock = Field(default_factory=EmbeddedBlock)
    """Settings of the PostgreSQL that Manor brings along."""
    backup: BackupBlock = Field(default_factory=BackupBlock)
    """How tenants are backed up."""
    erasure: ErasureBlock = Field(default_factory=ErasureBlock)
    """What is erased with a tenant, and when."""
    lock_wait_seconds: Annotated[int, Field(ge=0, le=86_400)] = 30
    """Seconds that a command waits for another one that works on the same fleet."""
    connect_timeout_seconds: Annotated[int, Field(ge=1, le=600)] = 10
    """Seconds that connecting to a server may take."""
    restore_grace_seconds: Annotated[int, Field(ge=0, le=31_536_000)] = 86_400
    """Seconds for which `manor tenant restore` keeps the database that it replaced, so that `--undo` can put it back."""
    variables: dict[str, Text] = Field(default_factory=dict)
    """DBGear's own settings, which stand here without this key: what `$name` means in the rows of DBGear's templates."""
    job_engine: Literal["inline", "pgqueuer"] = "inline"
    """Who carries releases out: the command itself (`inline`), or workers (`pgqueuer`; start them with `manor worker`)."""


class EnvironmentOptions(DbgearModel):
    """DBGear's options, where this environment differs from the project."""

    create_foreign_key_constraints: bool | None = None
    """Whether the relations of `schema.yaml` become foreign keys."""


class EnvironFile(DbgearModel):
    """One `environ.yaml`."""

    description: Text = ""
    """What the environment is."""
    deployments: dict[DeploymentName, Name] = Field(default_factory=dict)
    """Servers by name: connection URLs such as `postgresql://user:password@host/`."""
    deployment: dict[DeploymentName, Name] = Field(default_factory=dict)
    """DBGear's older spelling of `deployments`."""
    catalog_url: Name | None = None
    """Connection URL of the server that holds the catalog; the first deployment where it is absent."""
    settings: SettingsBlock = Field(default_factory=SettingsBlock)
    """Settings of the environment."""
    options: EnvironmentOptions = Field(default_factory=EnvironmentOptions)
    """DBGear's options."""
