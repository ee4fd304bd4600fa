"""``_mapping.yaml``: what a template folder is, which schemas it takes and how its tenants are told apart.

Pure: a parsed document goes in, a ``TemplateMapping`` and findings come out. Every string of the file may hold
``{NAME}``, but the names by which things are found (``group``, ``base``, ``instances``, tables and columns) must be
constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from manor.errors import Finding, InputError, Place
from manor.scan import Text, scan, suggest
from manor.typed_input import DbgearModel, check
from manor.yaml_reader import YamlDocument

FILE_NAME = "_mapping.yaml"
MacroName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]


class DatabaseConfig(DbgearModel):
    """Connection settings of one schema's database."""

    database_name: str | None = None
    """The name that the database must have; usually `"{DATABASE_NAME}"`. It must equal the name that the registry gives."""
    connection_pool_size: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Connections that the product's pool may hold. Accepted, not acted on yet."""


class DataModelConfig(DbgearModel):
    """How one table is kept to one tenant."""

    table_name: str | None = None
    """Name of the table; the key itself where it is left out."""
    tenant_isolation_column: str | None = None
    """Column that holds the tenant's value and nothing else; a text or uuid column of the table."""
    default_tenant_value: str | int | None = None
    """The value itself, usually `"{TENANT_PREFIX}"`: becomes the column's default and its check."""
    audit_enabled: bool | None = None
    """Record changes of this table. Accepted, not acted on yet."""
    retention_days: Annotated[int, Field(ge=1)] | None = None
    """Days for which rows are kept. Accepted, not acted on yet."""


class MappingFile(DbgearModel):
    """The keys of `_mapping.yaml`."""

    group: str = ""
    """Name of the group that the template belongs to; informative."""
    base: str | None = None
    """Template folder beside this one from which data files, tables and data models of the listed schemas are inherited."""
    instances: Annotated[list[str], Field(min_length=1)] | None = None
    """The schemas that a database of this template takes, such as `main`; may be left out beside `schema_template`."""
    schemas: Annotated[list[str], Field(min_length=1)] | None = None
    """DBGear's spelling of `instances`. Such a template is DBGear's: its rows know `$name` instead of `{NAME}`."""
    deploy: bool = False
    """DBGear's: whether the folder is itself a database, of its own name, where a file of DBGear's is the registry."""
    charset: str | None = None
    """DBGear's: MySQL's character set. Accepted, not acted on: databases have UTF-8."""
    collation: str | None = None
    """DBGear's: MySQL's collation. Accepted, not acted on."""
    description: str = ""
    """What the template is for; any text."""
    deployment: bool = True
    """Whether databases are made from this template; `false` lets it serve as a base only."""
    database_config: dict[str, DatabaseConfig] = Field(default_factory=dict)
    """Connection settings per schema."""
    tenant_config: dict[str, Any] = Field(default_factory=dict)
    """Facts about the tenant, free keys; recorded in the catalog."""
    enterprise_config: dict[str, Any] = Field(default_factory=dict)
    """Further facts about the tenant, free keys; recorded in the catalog."""
    data_models: dict[str, DataModelConfig] = Field(default_factory=dict)
    """Settings per table."""
    schema_template: str | None = None
    """Manor's own: a schema template of `project.yaml` (`multi_tenant.templates`) that is rendered for each tenant."""
    name_macros: dict[MacroName, str] = Field(default_factory=dict)
    """Manor's own: what `${MACRO}` means in the schemas of this template; what a tenant's environment says goes before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataModel:
    """One entry of ``data_models``."""

    key: str
    table: str
    column: str | None
    value: Text | None
    not_acted_on: tuple[str, ...]
    place: Place
    column_place: Place
    table_place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateMapping:
    """One ``_mapping.yaml``, scanned."""

    group: str
    dbgear: bool
    """It names ``schemas``: DBGear's own format, in which braces are text and rows know ``$name``."""
    base: str | None
    base_place: Place
    instances: tuple[str, ...]
    instance_places: tuple[Place, ...]
    description: Text
    deployment: bool
    database_names: Mapping[str, Text]
    config: Mapping[str, Any]
    data_models: tuple[DataModel, ...]
    schema_template: str | None
    schema_template_place: Place
    name_macros: Mapping[str, str]
    """By the macro's name in capitals."""
    not_acted_on: tuple[str, ...]
    """Keys of the file itself; those of data models stand with them."""


def parse_mapping(document: YamlDocument) -> tuple[TemplateMapping | None, list[Finding]]:
    """The mapping that ``document`` holds, or None where its keys or types are wrong, and all that is wrong with it."""
    value = {} if document.value is None else document.value
    file, problems = check(MappingFile, value, document)
    if file is None:
        return None, [problem.finding for problem in problems]
    reader = _Reader(document, dbgear=file.schemas is not None)
    instances = reader.instances(file)
    mapping = TemplateMapping(
        dbgear=file.schemas is not None,
        group=reader.constant(file.group, "group"),
        base=reader.constant(file.base, "base") if file.base is not None else None,
        base_place=document.place(("base",)),
        instances=tuple(instances),
        instance_places=tuple(instances.values()),
        description=reader.text(file.description, "description"),
        deployment=file.deployment,
        database_names=reader.database_names(file),
        config={
            key: reader.tree(part, key)
            for key, part in (("tenant_config", file.tenant_config), ("enterprise_config", file.enterprise_config))
            if part
        },
        data_models=tuple(reader.data_model(key, model) for key, model in file.data_models.items()),
        schema_template=reader.constant(file.schema_template, "schema_template") if file.schema_template is not None else None,
        schema_template_place=document.place(("schema_template",)),
        name_macros={name.upper(): reader.constant(value, "name_macros", name) for name, value in file.name_macros.items()},
        not_acted_on=_charset(file)
        + tuple(
            f"database_config.{name}.connection_pool_size"
            for name, settings in file.database_config.items()
            if settings.connection_pool_size is not None
        ),
    )
    return mapping, reader.findings


def _charset(file: MappingFile) -> tuple[str, ...]:
    utf8 = file.charset is None or file.charset.lower().startswith("utf8")
    return ("charset",) * (not utf8) + ("collation",) * (file.collation is not None)


class _Reader:
    """Scans the strings of one file and collects what is wrong with them."""

    def __init__(self, document: YamlDocument, *, dbgear: bool) -> None:
        self.document = document
        self.dbgear = dbgear
        self.findings: list[Finding] = []

    def text(self, text: str, *path: str | int) -> Text:
        if self.dbgear:
            return Text((text,))
        try:
            return scan(text, place=self.document.place(path))
        except InputError as error:
            self.report(error.message, *path, hint=error.hint)
            return Text((text,))

    def constant(self, text: str, *path: str | int) -> str:
        scanned = self.text(text, *path)
        if scanned.constant is None:
            self.report(f"{'.'.join(map(str, path))} cannot hold variables: {text!r}", *path)
            return text
        return scanned.constant

    def report(self, message: str, *path: str | int, hint: str = "", key: bool = False) -> None:
        self.findings.append(Finding(message=message, place=self.document.place(path, key=key), hint=hint))

    def instances(self, file: MappingFile) -> dict[str, Place]:
        names: dict[str, Place] = {}
        key = "schemas" if self.dbgear else "instances"
        listed = file.schemas if self.dbgear else file.instances
        if listed is None and file.schema_template is not None and not self.dbgear:
            return {}  # what the schema template defines is all that the database takes
        if listed is None or (self.dbgear and file.instances is not None):
            problem = (
                "the key 'instances' is missing" if listed is None else "instances and schemas, DBGear's spelling, stand both"
            )
            self.report(problem, hint="name the schemas that the database takes: instances: [main]")
        for index, raw in enumerate(listed or ()):
            name = self.constant(raw, key, index)
            if name in names:
                self.report(f"{name!r} stands twice among the {key}", key, index)
            else:
                names[name] = self.document.place((key, index))
        for name in file.database_config:
            if name not in names:
                hint = suggest(name, names)
                self.report(f"{name!r} is not one of the instances", "database_config", name, key=True, hint=hint)
        return names

    def database_names(self, file: MappingFile) -> dict[str, Text]:
        return {
            name: self.text(settings.database_name, "database_config", name, "database_name")
            for name, settings in file.database_config.items()
            if settings.database_name is not None
        }

    def data_model(self, key: str, model: DataModelConfig) -> DataModel:
        path = ("data_models", key)
        column, value = model.tenant_isolation_column, model.default_tenant_value
        if column is not None and value is None:
            self.report(
                f"{key}: tenant_isolation_column needs default_tenant_value", *path, key=True, hint="add the tenant's value"
            )
        if value is not None and column is None:
            self.report(f"{key}: default_tenant_value needs tenant_isolation_column", *path, key=True, hint="name the column")
        if value == "":
            self.report(f"{key}: default_tenant_value is empty", *path, "default_tenant_value", hint="write the tenant's value")
        ignored = [name for name in ("audit_enabled", "retention_days") if getattr(model, name) is not None]
        return DataModel(
            key=key,
            table=self.constant(model.table_name if model.table_name is not None else key, *path, "table_name"),
            column=self.constant(column, *path, "tenant_isolation_column") if column is not None else None,
            value=self.text(str(value), *path, "default_tenant_value") if value is not None else None,
            not_acted_on=tuple(f"data_models.{key}.{name}" for name in ignored),
            place=self.document.place(path, key=True),
            column_place=self.document.place((*path, "tenant_isolation_column")),
            table_place=self.document.place((*path, "table_name") if model.table_name else path, key=not model.table_name),
        )

    def tree(self, value: Any, *path: str | int) -> Any:
        """A free value with its strings scanned; numbers with a fraction become text, since the catalog records JSON."""
        if isinstance(value, str):
            return self.text(value, *path)
        if isinstance(value, list):
            return [self.tree(item, *path, index) for index, item in enumerate(value)]
        if isinstance(value, dict):
            return {key: self.tree(item, *path, key) for key, item in value.items()}
        return str(value) if isinstance(value, Decimal) else value
