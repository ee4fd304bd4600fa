"""Queries as SQL of Cosmos DB: one range of one text that sorts as the keys do, and what of the filter SQL can say. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from manor.data.documents.cosmos.codec import BEHIND, END, LAST, index_place, sort_part, table_place
from manor.data.documents.cosmos.compile import Compiled, compile_condition
from manor.data.documents.driver import Query
from manor.data.documents.query.keys import SortRange
from manor.data.documents.tables import Table
from manor.data.documents.values import Item

EVERYTHING = Compiled((), True)
SPARE_ROWS = 100
"""How many rows are read at least where the filter is evaluated after reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sql:
    """``text`` and ``parameters`` as the SDK takes them. ``exact``: every row is wanted; else the filter is evaluated. ``rows``
    is how many are wanted: the text asks for one more, to know whether there is one."""

    text: str
    parameters: list[dict[str, Any]]
    exact: bool
    rows: int


def sql_of(query: Query) -> Sql:
    """What is sent for a page."""
    compiled = _filter(query)
    rows = _rows(query, exact=compiled.exact)
    place = f"c.x[{json.dumps(query.index.name)}]" if query.index else "c.s"
    low, high = bounds(query)
    said, parameters = compiled.with_parameters(query.values)
    where = f"{place} >= @low AND {place} < @high{f' AND {said}' if said else ''}"
    order = "ASC" if query.forward else "DESC"
    return Sql(
        text=f"SELECT TOP {rows + 1} c.a, c.z FROM c WHERE {where} ORDER BY {place} {order}",  # noqa: S608 - no values in it
        parameters=[{"name": "@low", "value": low}, {"name": "@high", "value": high}, *parameters],
        exact=compiled.exact,
        rows=rows,
    )


def _filter(query: Query) -> Compiled:
    """With ``examine`` every item must be seen, so that it can be counted."""
    if query.filter is None:
        return EVERYTHING
    return Compiled() if query.examine is not None else compile_condition(query.filter, query.values)


def _rows(query: Query, *, exact: bool) -> int:
    if query.examine is not None:
        return query.examine
    return query.limit if exact else max(query.limit, SPARE_ROWS)


def bounds(query: Query) -> tuple[str, str]:
    """The first place that can match, and the first one behind all that can."""
    prefix = f"{query.table.name}{END}"
    if query.keys is not None:
        prefix += f"{sort_part(query.keys.partition)}{END}"
    low, high = _range(prefix, query.keys.range if query.keys else None)
    if query.start is None:
        return low, high
    start = place_of(query, query.start)
    return (start + END, high) if query.forward else (low, start)


def place_of(query: Query, item: Item) -> str:
    """Where an item stands in the order of a query."""
    return index_place(query.table, query.index, item) if query.index else table_place(query.table, item)


def table_bounds(table: Table) -> tuple[str, str]:
    """The places of all items of a table."""
    return _range(f"{table.name}{END}", None)


def _range(prefix: str, keys: SortRange | None) -> tuple[str, str]:
    last = prefix[: -len(END)] + BEHIND
    if keys is None:
        return prefix, last
    low = prefix + sort_part(keys.low)
    match keys.op:
        case "=":
            return low + END, low + BEHIND
        case "<":
            return prefix, low + END
        case "<=":
            return prefix, low + BEHIND
        case ">":
            return low + BEHIND, last
        case ">=":
            return low + END, last
        case "BETWEEN":
            return low + END, prefix + sort_part(keys.high) + BEHIND
        case _:
            return low, low + LAST
