"""Whether the rows of the templates still fit their columns once variables are filled in. Pure.

Constants were checked when the template was loaded, so only the cells with variables are looked at, each distinct one once, for
every distinct set of values of its variables. Beyond a budget of values, for the first, the shortest and the longest of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from manor.control.steps import Target
from manor.control.templates.checks import check_bound
from manor.control.templates.model import BoundDataset, Table, Template, bind_cell, cell_names
from manor.errors import Finding, Place
from manor.scan import Text

VALUE_BUDGET = 200_000
"""Values that are bound and checked per template, for all targets together."""

PlaceOf = Callable[[Target], Place]
ColumnCell = tuple[Table, str, Any]


def check_targets(targets: Sequence[Target], templates: Mapping[str, Template], place_of: PlaceOf) -> Iterator[Finding]:
    """One finding per distinct problem of a template's rows, at the first target that has it."""
    users: dict[str, list[Target]] = {}
    for target in targets:
        users.setdefault(target.recipe, []).append(target)
    for name, found in users.items():
        template = templates.get(name)
        if template is not None:
            usable = [target for target in found if template.names <= target.variables.keys()]
            yield from _check_template(template, usable, place_of)


def _check_template(template: Template, targets: Sequence[Target], place_of: PlaceOf) -> Iterator[Finding]:
    cells = varying_cells(template)
    told: set[str] = set()
    for table, column, cell in cells:
        chosen = representatives(targets, sorted(cell_names(cell)), VALUE_BUDGET // len(cells))
        if not _problems(table, column, cell, chosen):
            continue
        for target in chosen:
            for problem in _problems(table, column, cell, [target]):
                if problem not in told:
                    told.add(problem)
                    message = f"template {template.name}, tenant {target.tenant.id}: {problem}"
                    yield Finding(message=message, place=place_of(target))


def _problems(table: Table, column: str, cell: Any, targets: Sequence[Target]) -> list[str]:
    """What is wrong with a cell's values for these targets, in one go."""
    rows = tuple((bind_cell(cell, target.variables),) for target in targets)
    return check_bound(BoundDataset(table=table.name, columns=(column,), rows=rows), table)


def varying_cells(template: Template) -> list[ColumnCell]:
    """The distinct cells of a template in which a variable stands, isolation values among them."""
    found: dict[tuple[str, str, Any], ColumnCell] = {}
    for table_name, column, cell in _all_cells(template):
        table = template.schema.table(table_name)
        if table is not None and cell_names(cell):
            key = cell if isinstance(cell, Text) else id(cell)
            found[(table_name, column, key)] = (table, column, cell)
    return list(found.values())


def _all_cells(template: Template) -> Iterator[tuple[str, str, Any]]:
    for dataset in template.tenant_rows:
        for row in dataset.rows:
            for column, cell in zip(dataset.columns, row, strict=True):
                yield dataset.table, column, cell
    for isolation in template.isolation:
        yield isolation.table, isolation.column, isolation.value


def representatives(targets: Sequence[Target], names: Sequence[str], budget: int) -> list[Target]:
    """The first target of each distinct set of values, or where those are more than ``budget`` the few that stand for them."""
    values = itemgetter(*names)
    distinct = list({values(target.variables): target for target in reversed(targets)}.values())[::-1]
    if len(distinct) <= budget or not distinct:
        return distinct
    chosen = {distinct[0].tenant: distinct[0]}
    for name in names:
        by_length = sorted(distinct, key=lambda target: len(target.variables[name]))
        chosen.update((target.tenant, target) for target in (by_length[0], by_length[-1]))
    return sorted(chosen.values(), key=lambda target: target.order)
