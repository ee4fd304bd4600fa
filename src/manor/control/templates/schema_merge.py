"""The layers of project, environment, base and template merged to the schema of one target. Pure.

The nearer layer wins per table, view and trigger. ``schema.sql`` texts cannot be merged: all of them run, farthest first,
and a table that two of them create is a finding. All schemas of a target share one namespace.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from manor.control.templates.model import ForeignKey, Schema, Table
from manor.control.templates.ordering import in_order
from manor.control.templates.schema_layer import ObjectName, Relation, SchemaLayer
from manor.errors import Finding, Place
from manor.scan import suggest


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedSchema:
    """The schema of one target, foreign keys included."""

    schema: Schema
    not_acted_on: tuple[str, ...]


def merge_layers(layers: Sequence[SchemaLayer], instances: Sequence[str]) -> tuple[MergedSchema, list[Finding]]:
    """Merge ``layers`` (farthest first), keeping the schemas that ``instances`` names, and check what they refer to."""
    merge = _Merge(instances)
    for layer in layers:
        merge.add(layer)
    return merge.finish()


class _Merge:
    def __init__(self, instances: Sequence[str]) -> None:
        self.instances = instances
        self.origin: dict[tuple[str, ObjectName], SchemaLayer] = {}
        self.sql: list[SchemaLayer] = []
        self.ignored: dict[str, None] = {}
        """What whole schemas have that nothing acts on."""
        self.findings: list[Finding] = []

    def report(self, message: str, place: Place, hint: str = "") -> None:
        self.findings.append(Finding(message=message, place=place, hint=hint))

    def add(self, layer: SchemaLayer) -> None:
        if layer.sql is not None:
            self.sql.append(layer)
        for schema in self.instances:
            self.ignored |= dict.fromkeys(layer.not_acted_on.get((schema, ""), ()))
        for kind, names in (("table", layer.tables), ("view", layer.views), ("trigger", layer.triggers)):
            for name in names:
                if name[0] in self.instances:
                    self.origin[kind, name] = layer

    def of_kind(self, kind: str) -> Iterator[tuple[ObjectName, SchemaLayer]]:
        return ((name, layer) for (found, name), layer in self.origin.items() if found == kind)

    def finish(self) -> tuple[MergedSchema, list[Finding]]:
        tables = {name: layer.tables[name] for name, layer in self.of_kind("table")}
        views = {name: layer.views[name] for name, layer in self.of_kind("view")}
        sql_tables = self.sql_tables()
        places = [(name, table.place) for name, table in (*tables.items(), *sql_tables.items())]
        self.check_names([*places, *((name, view.place) for name, view in views.items())])
        keyed = {name: self.with_keys(tables[name], layer.relations[name], tables) for name, layer in self.of_kind("table")}
        relations = {name: layer.relations[name] for layer in self.sql for name in layer.tables}
        raw = [dataclasses.replace(t, foreign_keys=tuple(r.key for r in relations[n])) for n, t in sql_tables.items()]
        self.check_triggers({table.name for table in (*tables.values(), *raw)} | {name for _, name in views})
        schema = Schema(
            tables=in_key_order(tuple(keyed.values())),
            views=tuple(view.value for view in views.values()),
            triggers=tuple(layer.triggers[name].value for name, layer in self.of_kind("trigger")),
            sql=tuple((layer.file, layer.sql) for layer in self.sql if layer.sql),
            sql_tables=tuple(raw),
        )
        ignored = tuple(key for name, layer in self.of_kind("table") for key in layer.not_acted_on.get(name, ()))
        ignored += tuple(self.ignored)
        return MergedSchema(schema=schema, not_acted_on=ignored), self.findings

    def sql_tables(self) -> dict[ObjectName, Table]:
        found: dict[ObjectName, Table] = {}
        for layer in self.sql:
            for name, table in layer.tables.items():
                if name in found:
                    self.report(
                        f"table {table.name!r} is created by {found[name].place} as well", table.place or Place(layer.file)
                    )
                found[name] = table
        return found

    def check_names(self, named: Sequence[tuple[ObjectName, Place | None]]) -> None:
        """Tables and views of a target share one namespace."""
        seen: dict[str, tuple[ObjectName, Place | None]] = {}
        for name, place in named:
            other = seen.setdefault(name[1], (name, place))
            if other[1] is not place:
                self.report(
                    f"{name[1]!r} is defined twice for this target: here and at {other[1]}",
                    place or Place(""),
                    "all schemas of one target share one namespace: rename one of them",
                )

    def with_keys(self, table: Table, relations: Sequence[Relation], tables: dict[ObjectName, Table]) -> Table:
        keys = [relation.key for relation in relations if self.relation_holds(table, relation, tables)]
        return dataclasses.replace(table, foreign_keys=tuple(keys))

    def relation_holds(self, table: Table, relation: Relation, tables: dict[ObjectName, Table]) -> bool:
        """Report what is wrong with a foreign key; one whose target is missing is left out of the merged schema."""
        name = (relation.target_schema, relation.key.target_table)
        self.check_columns(table, relation.key.columns, relation.place)
        if name in tables:
            self.check_columns(tables[name], relation.key.target_columns, relation.place)
            self.check_target_is_unique(tables[name], relation)
            return True
        if any(("", name[1]) in layer.tables for layer in self.sql):
            return True
        if name[0] not in self.instances:
            hint = f"instances of _mapping.yaml takes {', '.join(self.instances)}"
            self.report(f"{relation.key.name}: the schema {name[0]!r} is not part of this target", relation.place, hint)
        else:
            hint = suggest(name[1], [known for schema, known in tables if schema == name[0]])
            self.report(f"{relation.key.name}: there is no table {name[0]}@{name[1]}", relation.place, hint)
        return False

    def check_columns(self, table: Table, names: Sequence[str], place: Place) -> None:
        for name in names:
            if table.column(name) is None:
                self.report(
                    f"table {table.name!r} has no column {name!r}", place, suggest(name, [c.name for c in table.columns])
                )

    def check_target_is_unique(self, target: Table, relation: Relation) -> None:
        columns = set(relation.key.target_columns)
        unique = [set(target.primary_key), *(set(i.columns) for i in target.indexes if i.unique and not i.condition)]
        if columns not in unique and all(target.column(name) for name in columns):
            self.report(
                f"{relation.key.name}: {', '.join(relation.key.target_columns)} is no key of table {target.name!r}",
                relation.place,
                "a foreign key points to the primary key or to the columns of a unique index",
            )

    def check_triggers(self, known: set[str]) -> None:
        for name, layer in self.of_kind("trigger"):
            trigger = layer.triggers[name]
            if trigger.value.table not in known:
                message = f"trigger {name[1]!r} watches {trigger.value.table!r}, which does not exist"
                self.report(message, trigger.place, suggest(trigger.value.table, known))


def in_key_order(tables: Sequence[Table]) -> tuple[Table, ...]:
    """``tables`` so that foreign keys point to earlier ones, circles aside."""
    by_name = {table.name: table for table in tables}
    order = in_order(list(by_name), {t.name: [key.target_table for key in t.foreign_keys] for t in tables})
    return tuple(by_name[name] for name in order)


def without_foreign_keys(schema: Schema) -> Schema:
    """The schema for projects whose ``create_foreign_key_constraints`` is off; what ``schema.sql`` says stays."""
    none: tuple[ForeignKey, ...] = ()
    return dataclasses.replace(schema, tables=tuple(dataclasses.replace(t, foreign_keys=none) for t in schema.tables))
