"""Values with variables, checked once they are known: what ``validate`` asks per target.

Thousands of targets share one template, so the distinct cells that hold variables are collected once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from manor.control.templates.cells import Misfit, fit_cell
from manor.control.templates.column_kinds import ColumnKind, kind_of
from manor.control.templates.model import Schema, Template, bind_cell, cell_names


class BoundChecks:
    """The cells of one template whose fit depends on the target."""

    def __init__(self, template: Template) -> None:
        self._cells: list[tuple[str, frozenset[str], Any, ColumnKind]] = []
        seen: set[tuple[str, str]] = set()
        for table, column, cell in _variable_cells(template):
            kind = _kind(template.schema, table, column)
            if kind is not None and (mark := (f"{table}.{column}", repr(cell))) not in seen:
                seen.add(mark)
                self._cells.append((mark[0], cell_names(cell), cell, kind))

    def check(self, values: Mapping[str, str]) -> list[str]:
        """What does not fit with one target's ``values``, one line each; cells with a variable not given are passed over."""
        problems: dict[str, None] = {}
        for where, names, cell, kind in self._cells:
            if not names <= values.keys():
                continue
            try:
                fit_cell(bind_cell(cell, values), kind)
            except Misfit as misfit:
                problems[f"{where}: {misfit.message}"] = None
        return list(problems)


def _variable_cells(template: Template) -> Iterator[tuple[str, str, Any]]:
    for dataset in template.tenant_rows:
        for row in dataset.rows:
            for column, cell in zip(dataset.columns, row, strict=True):
                if cell_names(cell):
                    yield dataset.table, column, cell
    for isolated in template.isolation:
        if isolated.value.names:
            yield isolated.table, isolated.column, isolated.value


def _kind(schema: Schema, table: str, column: str) -> ColumnKind | None:
    found = schema.table(table)
    declared = found.column(column) if found else None
    return kind_of(declared.type, declared.items) if declared else None
