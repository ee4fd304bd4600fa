"""Parsed files to a ``Template``: rows typed against the merged schema, split into shared and tenant's, ordered. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from manor.control.templates.checks import TableRows, TypedRow, datasets, differs_per_tenant
from manor.control.templates.data_settings import DataSettings
from manor.control.templates.digest import content_digest, golden_digest
from manor.control.templates.isolation import isolate
from manor.control.templates.mapping import TemplateMapping
from manor.control.templates.model import Dataset, Isolation, Schema, Table, Template, cell_names, numbers_taken
from manor.control.templates.ordering import in_order, shared_tables
from manor.control.templates.rows import DataName, RawRows
from manor.control.templates.schema_merge import MergedSchema, without_foreign_keys
from manor.errors import Finding, Place
from manor.scan import suggest


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One data file that belongs to the template, its own or inherited."""

    name: DataName
    rows: RawRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that was read for one template."""

    name: str
    folder: str
    mappings: Sequence[TemplateMapping]
    """The template's own and then those of its bases, nearest first."""
    merged: MergedSchema
    data: Sequence[DataFile]
    """In the order in which rows are to be loaded where nothing else orders them."""
    settings: Mapping[DataName, tuple[DataSettings, Place]]
    not_acted_on: tuple[str, ...] = ()
    later: frozenset[str] = frozenset()
    """Tables that only migrations make."""


def find_table(schema: Schema, name: DataName) -> Table | None:
    """The table that a data file is about; one that ``schema.sql`` creates belongs to every schema of the target."""
    table = schema.table(name.table)
    return table if table is not None and table.schema in (name.schema, "") else None


def assemble(parts: Parts, *, foreign_keys: bool = True) -> tuple[Template, list[Finding]]:
    """The template, and all that is wrong with what it holds. It is fit for use only if no finding is an error."""
    schema = parts.merged.schema
    isolated = isolate(parts.mappings, schema)
    data = _Data(schema, {column.table: column for column in isolated.columns}, lenient=parts.mappings[0].dbgear)
    for file in parts.data:
        data.add(file)
    for name, (settings, place) in parts.settings.items():
        data.configure(name, settings, place)
    shared, tenant = data.split(parts.later)
    own = parts.mappings[0]
    built = schema if foreign_keys else without_foreign_keys(schema)
    taken = numbers_taken(built, tenant)
    digest = golden_digest(built, shared, isolated.columns, taken)
    settings_ignored = [key for settings, _ in parts.settings.values() for key in settings.not_acted_on]
    template = Template(
        name=parts.name,
        folder=parts.folder,
        group=own.group,
        instances=own.instances,
        description=own.description,
        deployment=own.deployment,
        schema=built,
        shared_rows=shared,
        tenant_rows=tenant,
        numbers_taken=taken,
        isolation=isolated.columns,
        database_names=own.database_names,
        config=own.config,
        not_acted_on=(
            *own.not_acted_on,
            *isolated.not_acted_on,
            *parts.merged.not_acted_on,
            *settings_ignored,
            *parts.not_acted_on,
        ),
        names=_names(own, tenant, isolated.columns),
        digest=digest,
        content_digest=content_digest(digest, tenant, isolated.columns),
    )
    return template, [*isolated.findings, *_isolated_later(parts, isolated.columns), *data.findings()]


def _isolated_later(parts: Parts, columns: Sequence[Isolation]) -> list[Finding]:
    """A golden's isolated columns are tied to the tenant before its migrations run."""
    return [
        Finding(
            message=f"data_models: {column.table} is made by migrations, so {column.column} cannot be tied to the tenant",
            place=Place(parts.folder),
            hint="put the table into schema.yaml or schema.sql, and tell the registry the baseline",
        )
        for column in columns
        if column.table in parts.later
    ]


def _names(mapping: TemplateMapping, rows: Sequence[Dataset], isolation: Sequence[Isolation]) -> frozenset[str]:
    names = mapping.description.names | cell_names(dict(mapping.config)) | cell_names(dict(mapping.database_names))
    return names.union(*(dataset.names for dataset in rows), *(column.value.names for column in isolation))


class _Data:
    """The rows of all tables of one template."""

    def __init__(self, schema: Schema, isolation: Mapping[str, Isolation], *, lenient: bool) -> None:
        """``lenient``: a dependency on a table that is not there is a notice, as in DBGear."""
        self.lenient = lenient
        self.schema = schema
        self.isolation = isolation
        self.tables: dict[str, TableRows] = {}
        self.needs: dict[str, list[str]] = {
            table.name: [key.target_table for key in table.foreign_keys] for table in (*schema.tables, *schema.sql_tables)
        }
        self.manual: set[str] = set()
        self.own_findings: list[Finding] = []

    def report_unknown(self, name: DataName, place: Place, *, severity: str = "error") -> None:
        known = {f"{t.schema or name.schema}@{t.name}" for t in (*self.schema.tables, *self.schema.sql_tables)}
        message = f"no schema of this template defines table {name.subject}"
        hint = suggest(name.subject, known)
        self.own_findings.append(Finding(message=message, place=place, hint=hint, severity=severity))

    def add(self, file: DataFile) -> None:
        table = find_table(self.schema, file.name)
        if table is None:
            self.report_unknown(file.name, Place(file.rows.file))
            return
        rows = self.tables.get(table.name)
        if rows is None:
            rows = self.tables[table.name] = TableRows(table, self.isolation.get(table.name))
        rows.add(file.rows)

    def configure(self, name: DataName, settings: DataSettings, place: Place) -> None:
        table = find_table(self.schema, name)
        if table is None:
            self.report_unknown(name, place)
            return
        if settings.sync_mode == "manual":
            self.manual.add(table.name)
        for text, where in settings.dependencies:
            needed = DataName.parse(text)
            target = find_table(self.schema, needed) if needed else None
            if target is not None:
                self.needs[table.name].append(target.name)
            elif needed is None:
                message = f"{text!r} does not name a table"
                self.own_findings.append(Finding(message=message, place=where, hint="write it as schema@table"))
            else:
                self.report_unknown(needed, where, severity="notice" if self.lenient else "error")

    def split(self, later: frozenset[str]) -> tuple[tuple[Dataset, ...], tuple[Dataset, ...]]:
        """(shared rows, tenant rows), each in the order in which they can be loaded. Rows of ``later`` tables are tenants'."""
        filled: dict[str, list[TypedRow]] = {
            name: rows.rows for name, rows in self.tables.items() if rows.rows and name not in self.manual
        }
        differing = {
            name for name, rows in filled.items() if name in self.isolation or name in later or differs_per_tenant(rows)
        }
        shared = shared_tables(filled, differing, self.needs)
        groups: tuple[list[Dataset], list[Dataset]] = ([], [])
        for name in in_order(list(filled), self.needs):
            groups[name not in shared].extend(datasets(self.tables[name].table, filled[name]))
        return tuple(groups[0]), tuple(groups[1])

    def findings(self) -> list[Finding]:
        return [*self.own_findings, *(finding for rows in self.tables.values() for finding in rows.findings)]
