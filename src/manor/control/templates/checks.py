"""The rows of one table against its definition: unknown and missing columns, types, keys, and the tenant's own value.

Pure. Typed rows go in file order; ``datasets`` then groups them so that a row which leaves a column out gets the column's
default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from manor.control.templates.cells import Misfit, fit_cell
from manor.control.templates.column_kinds import ColumnKind, Family, kind_of
from manor.control.templates.model import BoundDataset, Cell, Column, Dataset, Isolation, Sql, Table, cell_names
from manor.control.templates.rows import EMPTY, Empty, RawRow, RawRows
from manor.errors import Finding
from manor.scan import Text, suggest

MAX_FINDINGS_PER_FILE = 50

TypedRow = Mapping[str, Cell]
Unfit = tuple[str | None, str, str]
"""(column or None for the whole row, message, hint)."""


class TableRows:
    """Types the rows of one table, file after file, and collects what is wrong with them."""

    def __init__(self, table: Table, isolation: Isolation | None = None) -> None:
        self.table = table
        self.isolation = isolation
        self.columns = {column.name: column for column in table.columns}
        self.kinds = {column.name: kind_of(column.type, column.items) for column in table.columns}
        self.required = [c.name for c in table.columns if c.required and not self._is_isolated(c.name)]
        self.rows: list[TypedRow] = []
        self.findings: list[Finding] = []
        self._keys: dict[tuple[Any, ...], tuple[RawRows, int]] = {}

    def add(self, raw: RawRows) -> None:
        """Type the rows of one file. Beyond ``MAX_FINDINGS_PER_FILE`` findings only their number is said."""
        found = [] if raw.rows else self._check_header(raw)
        left_out = 0
        for index, row in enumerate(raw.rows):
            typed, problems = self.type_row(row)
            problems.extend(self._repeated_key(typed, raw, index))
            for column, message, hint in problems:
                if len(found) < MAX_FINDINGS_PER_FILE:
                    found.append(Finding(message=message, place=raw.locate(index, column), hint=hint))
                else:
                    left_out += 1
            self.rows.append(typed)
        if left_out:
            found.append(Finding(message=f"{left_out:,} more findings in this file", place=raw.locate(0, None)))
        self.findings.extend(found)

    def _check_header(self, raw: RawRows) -> list[Finding]:
        """Where no rows follow, nothing else looks at the names of the columns; a first row of values would be lost."""
        unknown = [(place, self._unknown(name)) for name, place in raw.header if name not in self.columns]
        return [Finding(message=message, place=place, hint=hint) for place, (_, message, hint) in unknown]

    def _unknown(self, name: str) -> Unfit:
        return name, f"table {self.table.name!r} has no column {name!r}", suggest(name, self.columns)

    def type_row(self, row: RawRow) -> tuple[TypedRow, list[Unfit]]:
        """One row with its cells as they go into the database, and what is wrong with it."""
        typed: dict[str, Cell] = {}
        problems: list[Unfit] = []
        for name, cell in row.items():
            column = self.columns.get(name)
            if column is None:
                problems.append(self._unknown(name))
                continue
            try:
                self._put(typed, column, self.kinds[name], cell)
            except Misfit as misfit:
                problems.append((name, f"{self.table.name}.{name}: {misfit.message}", misfit.hint))
        missing = [name for name in self.required if name not in row]
        if missing:
            problems.append((None, f"the row leaves out {', '.join(missing)}, which {self.table.name!r} requires", ""))
        return typed, problems

    def _put(self, typed: dict[str, Cell], column: Column, kind: ColumnKind, cell: Cell | Empty) -> None:
        if isinstance(cell, Empty):
            cell = self._meaning_of_empty(column, kind)
            if cell is EMPTY:
                return
        if column.expression is not None:
            raise Misfit("the database computes this column", "leave it out")
        if cell is None and column.auto_increment:
            return  # NULL asks for the next number, as in MySQL
        if cell is None and not column.nullable:
            raise Misfit("NULL in a column that is not nullable")
        fitted = fit_cell(cell, kind)
        if self.isolation is not None and self._is_isolated(column.name):
            self._check_tenant(fitted, self.isolation)
        typed[column.name] = fitted

    def _meaning_of_empty(self, column: Column, kind: ColumnKind) -> Cell | Empty:
        """NULL where the column takes it, else empty text, else left to the database."""
        if self._is_isolated(column.name) or column.expression is not None:
            return EMPTY
        if column.nullable:
            return None
        if kind.family is Family.TEXT:
            return ""
        if column.default is not None or column.auto_increment:
            return EMPTY
        raise Misfit("the cell is empty", f"the column takes {kind.family.value}")

    def _check_tenant(self, cell: Cell, isolation: Isolation) -> None:
        value = isolation.value.constant
        if cell != (isolation.value if value is None else value):
            shown = "NULL" if cell is None else repr(written(cell))
            raise Misfit(
                f"{shown} is another tenant's value: data_models keeps this column to {written(isolation.value)!r}",
                "write that value, or leave the column out",
            )

    def _is_isolated(self, column: str) -> bool:
        return self.isolation is not None and self.isolation.column == column

    def _repeated_key(self, typed: TypedRow, raw: RawRows, index: int) -> Iterable[Unfit]:
        columns = self.table.primary_key
        key = tuple(typed.get(name) for name in columns)
        if not columns or not all(isinstance(part, (str, int, Text)) for part in key):
            return
        first, first_index = self._keys.setdefault(key, (raw, index))
        if first is not raw or first_index != index:
            values = ", ".join(str(written(part)) for part in key)
            message = f"the key ({values}) of {self.table.name!r} stands at {first.locate(first_index, None)} as well"
            yield columns[0], message, ""


def written(cell: Cell) -> Any:
    """A cell as its author wrote it: variables in braces."""
    if isinstance(cell, Text):
        return "".join(p.replace("{", "{{").replace("}", "}}") if isinstance(p, str) else f"{{{p.name}}}" for p in cell.parts)
    return cell


def datasets(table: Table, rows: Sequence[TypedRow]) -> tuple[Dataset, ...]:
    """Consecutive rows that give the same columns make one dataset, columns in the table's order."""
    position = {column.name: number for number, column in enumerate(table.columns)}
    made: list[Dataset] = []
    for columns, group in groupby(rows, key=lambda row: tuple(sorted(row, key=position.__getitem__))):
        cells = tuple(tuple(row[name] for name in columns) for row in group)
        made.append(Dataset(table=table.name, columns=columns, rows=cells))
    return tuple(made)


def differs_per_tenant(rows: Iterable[TypedRow]) -> bool:
    """Whether a row holds a variable or an expression that is evaluated when it is loaded."""
    return any(isinstance(cell, Sql) or cell_names(cell) for row in rows for cell in row.values())


def check_bound(dataset: BoundDataset, table: Table) -> list[str]:
    """What is wrong with the values of one target, one line each; the same problem of the same column once."""
    kinds = [kind_of(c.type, c.items) if (c := table.column(name)) else None for name in dataset.columns]
    problems: dict[str, None] = {}
    for row in dataset.rows:
        for name, kind, value in zip(dataset.columns, kinds, row, strict=True):
            problem = _problem(value, kind) if kind else None
            if problem:
                problems[f"{table.name}.{name}: {problem}"] = None
    return list(problems)


def _problem(value: Any, kind: ColumnKind) -> str | None:
    try:
        fit_cell(value, kind)
    except Misfit as misfit:
        return misfit.message
    return None
