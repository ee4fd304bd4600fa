"""DBGear's ``schema.yaml`` to tables, views and triggers.

Pure. Names are checked here, since whatever becomes an identifier must be safe; whether what a file refers to exists is
checked after the layers are merged. SQL (defaults, conditions, bodies) is the author's own and passes as written, dollar
signs included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from manor.control.templates.column_kinds import KNOWN_WORDS, Family, inline_items, kind_of, numbers_itself
from manor.control.templates.model import Column, ForeignKey, Index, Table, Trigger, View
from manor.control.templates.schema_format import (
    NEXT_POSITION,
    ColumnFormat,
    ColumnTypeFormat,
    IndexFormat,
    RelationFormat,
    SchemaFile,
    SchemaFormat,
    TableFormat,
    TriggerFormat,
    ViewFormat,
)
from manor.control.templates.schema_layer import Declared, ObjectName, Relation, SchemaLayer
from manor.errors import Finding, Place
from manor.scan import suggest
from manor.tenancy import POSTGRES_MAX_BYTES, identifier_problem
from manor.typed_input import check, describe
from manor.yaml_reader import YamlDocument

FILE_NAME = "schema.yaml"

_EVENT = re.compile(r"(?:INSERT|UPDATE|DELETE|TRUNCATE)(?: OR (?:INSERT|UPDATE|DELETE|TRUNCATE))*")
_DIRECTION = re.compile(r"\s+(?:asc|desc)(?:\s+nulls\s+(?:first|last))?$", re.IGNORECASE)
_INDEX_TYPE = re.compile(r"[A-Z_]+")
Types = Mapping[str, ColumnTypeFormat]


def parse_schema(
    document: YamlDocument, inherited: Types | None = None, *, rendered: bool = False
) -> tuple[SchemaLayer, list[Finding]]:
    """The layer that ``document`` holds and all that is wrong with it; ``inherited`` are registered types of farther layers.

    ``rendered``: a schema template has said it, so that ``{{`` in it is a value's own.
    A file with wrong keys or types contributes nothing.
    """
    value = {} if document.value is None else document.value
    file, problems = check(SchemaFile, value, document)
    if file is None:
        return SchemaLayer(file=document.file, broken=True), _once_per_place(problem.finding for problem in problems)
    return _Builder(document, file, inherited or {}, rendered=rendered).build()


def _once_per_place(findings: Iterable[Finding]) -> list[Finding]:
    seen: dict[Place, Finding] = {}
    for finding in findings:
        seen.setdefault(finding.place, finding)
    return list(seen.values())


def made_name(prefix: str, table: str, columns: Iterable[str]) -> str:
    """The name of an index or constraint that has none, cut to what PostgreSQL allows."""
    return f"{prefix}_{table}_{'_'.join(columns)}".encode()[:POSTGRES_MAX_BYTES].decode(errors="ignore")


def _unused(name: str, taken: Sequence[str]) -> str:
    """``name``, numbered where it is taken."""
    numbered = (name, *(f"{name[: POSTGRES_MAX_BYTES - 4]}_{number}" for number in range(2, len(taken) + 2)))
    return next(candidate for candidate in numbered if candidate not in taken)


class _Builder:
    """Turns one checked file into a layer; ``path`` arguments lead to the value that a finding is about."""

    def __init__(self, document: YamlDocument, file: SchemaFile, inherited: Types, *, rendered: bool) -> None:
        self.document = document
        self.rendered = rendered
        self.file = file
        self.types = {**inherited, **file.registry}
        self.findings: list[Finding] = []
        self.ignored: dict[ObjectName, list[str]] = {}

    def build(self) -> tuple[SchemaLayer, list[Finding]]:
        tables: dict[ObjectName, Table] = {}
        relations: dict[ObjectName, tuple[Relation, ...]] = {}
        views: dict[ObjectName, Declared[View]] = {}
        triggers: dict[ObjectName, Declared[Trigger]] = {}
        for schema_name, schema in self.file.schemas.items():
            self.name(schema_name, "schema", "schemas", schema_name, key=True)
            for name, table in schema.tables.items():
                tables[schema_name, name] = self.table(schema_name, name, table, {**self.types, **schema.registry})
                relations[schema_name, name] = self.relations(schema_name, name, table)
            views |= self.views(schema_name, schema)
            triggers |= self.triggers(schema_name, schema)
            for name in schema.procedures:
                self.ignored.setdefault((schema_name, ""), []).append(f"{schema_name}: procedure {name}")
        layer = SchemaLayer(
            file=self.document.file,
            tables=tables,
            relations=relations,
            views=views,
            triggers=triggers,
            schemas=frozenset(self.file.schemas),
            types=self.types,
            not_acted_on={name: tuple(keys) for name, keys in self.ignored.items()},
        )
        return layer, self.findings

    def place(self, *path: str | int, key: bool = False) -> Place:
        return self.document.place(path, key=key)

    def report(self, message: str, *path: str | int, hint: str = "", key: bool = False) -> None:
        self.findings.append(Finding(message=message, place=self.place(*path, key=key), hint=hint))

    def name(self, name: str, what: str, *path: str | int, key: bool = False) -> None:
        """Check what will become an identifier."""
        problem = identifier_problem(name)
        if problem:
            self.report(f"the {what} name {name!r} {problem}", *path, key=key)

    def ignore(self, schema: str, table: str, key: str, value: Any) -> None:
        if value is not None:
            self.ignored.setdefault((schema, table), []).append(f"{schema}@{table}.{key}")

    def table(self, schema: str, name: str, table: TableFormat, types: Types) -> Table:
        path = ("schemas", schema, "tables", name)
        self.name(name, "table", *path, key=True)
        self.ignore(schema, name, "mysql_options", table.mysql_options)
        if table.columns is not None and table.fields is not None:
            self.report(f"table {name!r} has both columns and fields", *path, "fields", key=True, hint="keep columns")
        list_key, formats = ("fields", table.fields) if table.columns is None else ("columns", table.columns)
        if not formats:
            self.report(f"table {name!r} has no columns", *path, key=True)
        columns: list[Column] = []
        for index, column in enumerate(formats or ()):
            if any(column.column_name == other.name for other in columns):
                self.report(f"table {name!r} has two columns {column.column_name!r}", *path, list_key, index, "column_name")
                continue
            columns.append(self.column(schema, name, column, columns, types, (*path, list_key, index)))
        self.check_key(name, columns, path)
        return Table(
            schema=schema,
            name=name,
            columns=tuple(columns),
            indexes=self.indexes(schema, name, table, columns),
            comment=table.display_name or "",
            place=self.place(*path, key=True),
        )

    def check_key(self, name: str, columns: list[Column], path: tuple[str | int, ...]) -> None:
        positions = sorted(c.primary_key for c in columns if c.primary_key is not None)
        if positions != list(range(1, len(positions) + 1)):
            numbers = ", ".join(map(str, positions))
            self.report(
                f"the primary key of {name!r} has the positions {numbers}", *path, key=True, hint="count from 1 without gaps"
            )

    def column(
        self, schema: str, table: str, column: ColumnFormat, before: list[Column], types: Types, path: tuple[str | int, ...]
    ) -> Column:
        name = column.column_name
        self.name(name, "column", *path, "column_name")
        self.ignore(schema, table, f"{name}.charset", column.charset)
        self.ignore(schema, table, f"{name}.collation", column.collation)
        kind = types.get(column.column_type.column_type, column.column_type)
        self.ignore(schema, table, f"{name}.json_schema", kind.json_schema)
        declared, items = spelled(kind), tuple(item.value for item in kind.items or ()) or inline_items(kind.column_type)
        self.check_type(declared, items, types, path)
        position = column.primary_key
        if position == NEXT_POSITION:
            position = max((c.primary_key or 0 for c in before), default=0) + 1
        return Column(
            name=name,
            type=declared,
            nullable=column.nullable and position is None,
            primary_key=position,
            default=self.default(column, path),
            expression=column.expression,
            stored=column.stored,
            auto_increment=column.auto_increment or numbers_itself(declared),
            collation=column.collation,
            items=items,
            comment=column.display_name or "",
            place=self.place(*path),
        )

    def check_type(self, declared: str, items: tuple[str, ...], types: Types, path: tuple[str | int, ...]) -> None:
        if not declared.strip():
            self.report("the column type is empty", *path, "column_type")
        elif ";" in re.sub(r"'(?:[^']|'')*'", "", declared):
            self.report(f"{declared!r} is not a column type", *path, "column_type")
        elif kind_of(declared, items).family in (Family.ENUM, Family.SET) and not items:
            self.report(f"the type {declared} has no items", *path, "column_type", hint="list them under items")
        elif kind_of(declared).family is Family.OTHER:
            self.doubt_type(declared, types, path)

    def doubt_type(self, declared: str, types: Types, path: tuple[str | int, ...]) -> None:
        """A type that is unknown here may be a domain; one that looks like a slip of the pen is said, not refused."""
        word = re.split(r"[\s(]", declared.lower(), maxsplit=1)[0]
        known = KNOWN_WORDS | set(types)
        hint = "" if word in known else suggest(word, known)
        if hint.startswith("did you mean"):
            place, message = self.place(*path, "column_type"), f"the column type {declared!r} is not known here"
            self.findings.append(Finding(message=message, place=place, hint=hint, severity="notice"))

    def default(self, column: ColumnFormat, path: tuple[str | int, ...]) -> str | None:
        value = column.default_value
        if value is None:
            return None
        if isinstance(value, bool):
            return "TRUE" if value else "FALSE"
        if isinstance(value, (int, Decimal)):
            return str(value)
        if not isinstance(value, str):
            self.report(f"default_value must be an SQL expression, found {describe(value)}", *path, "default_value")
            return None
        if "{{" in value and not self.rendered:
            hint = (
                "put the schema into a schema template, or give the column the tenant's value by data_models of _mapping.yaml"
            )
            self.report("Jinja2 expressions work in schema templates (.j2) only", *path, "default_value", hint=hint)
        return value.strip() or None

    def indexes(self, schema: str, table: str, format_: TableFormat, columns: list[Column]) -> tuple[Index, ...]:
        path = ("schemas", schema, "tables", table, "indexes")
        known = [column.name for column in columns]
        indexes: list[Index] = []
        for position, index in enumerate(format_.indexes):
            name = index.index_name or _unused(made_name("idx", table, index.columns), [other.name for other in indexes])
            self.name(name, "index", *path, position, "index_name")
            if any(name == other.name for other in indexes):
                self.report(f"table {table!r} has two indexes {name!r}", *path, position, "index_name")
            self.check_index_columns(table, index, known, (*path, position))
            if not _INDEX_TYPE.fullmatch(index.index_type):
                self.report(f"{index.index_type!r} is not a kind of index", *path, position, "index_type")
            self.ignore(schema, table, f"{name}.storage_parameters", index.storage_parameters)
            self.ignore(schema, table, f"{name}.tablespace", index.tablespace)
            indexes.append(
                Index(
                    name=name,
                    columns=tuple(index.columns),
                    unique=index.unique,
                    type=index.index_type,
                    condition=index.partial_condition,
                    include=tuple(index.include_columns or ()),
                )
            )
        return tuple(indexes)

    def check_index_columns(self, table: str, index: IndexFormat, known: list[str], path: tuple[str | int, ...]) -> None:
        for key, names in (("columns", index.columns), ("include_columns", index.include_columns or [])):
            for number, name in enumerate(names):
                plain = _DIRECTION.sub("", name.strip())
                if plain not in known and "(" not in plain:
                    self.report(f"table {table!r} has no column {name!r}", *path, key, number, hint=suggest(name, known))

    def relations(self, schema: str, table: str, format_: TableFormat) -> tuple[Relation, ...]:
        path = ("schemas", schema, "tables", table, "relations")
        relations: list[Relation] = []
        for position, relation in enumerate(format_.relations):
            made = self.relation(table, relation, [other.key.name for other in relations], (*path, position))
            if any(made.key.name == other.key.name for other in relations):
                self.report(
                    f"table {table!r} has two constraints {made.key.name!r}", *path, position, hint="give constraint_name"
                )
            relations.append(made)
        return tuple(relations)

    def relation(self, table: str, relation: RelationFormat, taken: list[str], path: tuple[str | int, ...]) -> Relation:
        sources = tuple(bind.source_column for bind in relation.bind_columns)
        name = relation.constraint_name or _unused(made_name("fk", table, sources), taken)
        self.name(name, "constraint", *path, "constraint_name")
        if relation.initially_deferred and not relation.deferrable:
            self.report("initially_deferred needs deferrable: true", *path, "initially_deferred")
        if relation.match_type == "PARTIAL":
            self.report("no engine implements MATCH PARTIAL", *path, "match_type", hint="use SIMPLE or FULL")
        key = ForeignKey(
            name=name,
            columns=sources,
            target_table=relation.target.table_name,
            target_columns=tuple(bind.target_column for bind in relation.bind_columns),
            on_delete=relation.on_delete,
            on_update=relation.on_update,
            deferrable=relation.deferrable,
            initially_deferred=relation.initially_deferred,
            match=relation.match_type,
        )
        return Relation(key=key, target_schema=relation.target.schema_name, place=self.place(*path))

    def views(self, schema: str, format_: SchemaFormat) -> dict[ObjectName, Declared[View]]:
        return {(schema, name): self.view(schema, name, view) for name, view in format_.views.items()}

    def view(self, schema: str, name: str, view: ViewFormat) -> Declared[View]:
        path = ("schemas", schema, "views", name)
        self.name(name, "view", *path, key=True)
        select = view.select_statement.strip().removesuffix(";").strip()
        if not select:
            self.report(f"view {name!r} has an empty select_statement", *path, "select_statement")
        value = View(schema=schema, name=name, select=select, comment=view.comment or view.display_name or "")
        return Declared(value=value, place=self.place(*path, key=True))

    def triggers(self, schema: str, format_: SchemaFormat) -> dict[ObjectName, Declared[Trigger]]:
        return {(schema, name): self.trigger(schema, name, trigger) for name, trigger in format_.triggers.items()}

    def trigger(self, schema: str, name: str, trigger: TriggerFormat) -> Declared[Trigger]:
        path = ("schemas", schema, "triggers", name)
        self.name(name, "trigger", *path, key=True)
        if not _EVENT.fullmatch(trigger.event):
            self.report(
                f"{trigger.event!r} is not a trigger event", *path, "event", hint="INSERT, UPDATE or DELETE, joined by OR"
            )
        value = Trigger(
            schema=schema,
            name=name,
            table=trigger.table_name,
            timing=trigger.timing,
            event=trigger.event,
            body=trigger.body,
            condition=trigger.condition,
        )
        return Declared(value=value, place=self.place(*path, key=True))


def spelled(kind: ColumnTypeFormat) -> str:
    """The type as SQL text; a size that is given only in parts is written into it."""
    declared = kind.column_type.strip()
    if "(" in declared or "[" in declared:
        return declared
    family = kind_of(declared).family
    if family is Family.DECIMAL and kind.precision:
        return f"{declared}({kind.precision},{kind.scale or 0})"
    if family in (Family.TEXT, Family.BINARY) and kind.length and "text" not in declared.lower():
        return f"{declared}({kind.length})"
    return declared
