"""``data_models`` to isolated columns: which column of which table holds the tenant's value. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from manor.control.templates.cells import Misfit, fit_cell
from manor.control.templates.column_kinds import kind_of
from manor.control.templates.mapping import DataModel, TemplateMapping
from manor.control.templates.model import Isolation, Schema, Table
from manor.errors import Finding, Place
from manor.scan import suggest


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolated:
    """What the data models of a template and its bases come to."""

    columns: tuple[Isolation, ...]
    not_acted_on: tuple[str, ...]
    findings: tuple[Finding, ...]


def isolate(mappings: Sequence[TemplateMapping], schema: Schema) -> Isolated:
    """Take ``data_models`` from ``mappings`` (the template's own first, then its bases, nearest first).

    The nearer one wins per table. A base may speak of tables that this target does not have; the template itself may not.
    """
    reader = _Reader(schema)
    for index, mapping in enumerate(mappings):
        before = set(reader.taken)
        for model in mapping.data_models:
            if model.table not in before:
                reader.take(model, own=index == 0)
    return Isolated(columns=tuple(reader.columns), not_acted_on=tuple(reader.not_acted_on), findings=tuple(reader.findings))


class _Reader:
    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.taken: set[str] = set()
        self.columns: list[Isolation] = []
        self.not_acted_on: list[str] = []
        self.findings: list[Finding] = []

    def report(self, message: str, place: Place, hint: str = "") -> None:
        self.findings.append(Finding(message=message, place=place, hint=hint))

    def take(self, model: DataModel, *, own: bool) -> None:
        table = self.schema.table(model.table)
        if table is None:
            if own:
                known = [t.name for t in (*self.schema.tables, *self.schema.sql_tables)]
                message = f"data_models.{model.key}: no schema of this template defines table {model.table!r}"
                self.report(message, model.table_place, suggest(model.table, known))
            return
        if model.table in self.taken:
            self.report(f"data_models.{model.key}: table {model.table!r} has an entry already", model.place)
            return
        self.taken.add(model.table)
        self.not_acted_on.extend(model.not_acted_on)
        if model.column is not None and model.value is not None and self.column_fits(model, table):
            self.columns.append(Isolation(table=table.name, column=model.column, value=model.value))

    def column_fits(self, model: DataModel, table: Table) -> bool:
        column = table.column(model.column or "")
        if column is None:
            message = f"data_models.{model.key}: table {table.name!r} has no column {model.column!r}"
            self.report(message, model.column_place, suggest(model.column or "", [c.name for c in table.columns]))
            return False
        kind = kind_of(column.type, column.items)
        if not kind.holds_tenant_value or column.expression is not None:
            what = "computed by the database" if column.expression is not None else column.type
            message = f"data_models.{model.key}: {table.name}.{column.name} is {what} and cannot hold a tenant's value"
            self.report(message, model.column_place, "it takes a text or uuid column")
            return False
        try:
            fit_cell(model.value.constant if model.value else None, kind)
        except Misfit as misfit:
            self.report(f"data_models.{model.key}: default_tenant_value: {misfit.message}", model.place, misfit.hint)
        return True
