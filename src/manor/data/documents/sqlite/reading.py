"""What is read, in the thread of the reader: plain functions of a connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from manor.data.documents.driver import Got, Query, Slice
from manor.data.documents.faults import TableMissing
from manor.data.documents.query.expression import ProjectionExpression
from manor.data.documents.query.project import project
from manor.data.documents.relational.codec import decode, number_or_bytes
from manor.data.documents.relational.compile import Filter, compiled_filter
from manor.data.documents.relational.keys import KeyForm, Place
from manor.data.documents.relational.paging import Paging, Plan, plan
from manor.data.documents.relational.select import Select
from manor.data.documents.sqlite.codec import FORM
from manor.data.documents.sqlite.compile import NUMBER, TEXT, SQLiteCompiler
from manor.data.documents.tables import Table
from manor.data.documents.values import Item, Value

KEYS = KeyForm()
_GET = "SELECT body FROM documents_items WHERE tenant = ? AND name = ? AND pk = ? AND sk = ?"
_TABLE = "SELECT keys FROM documents_tables WHERE tenant = ? AND name = ?"


def kept_keys(connection: sqlite3.Connection, tenant: str, table: Table) -> str | None:
    """The text of the table's keys (``relational.declared``), None where there is no such table."""
    row = connection.execute(_TABLE, (tenant, table.name)).fetchone()
    return row[0] if row else None


def check_table(connection: sqlite3.Connection, tenant: str, table: Table) -> None:
    """Raises ``TableMissing``."""
    if kept_keys(connection, tenant, table) is None:
        raise TableMissing(f"table {table.name} does not exist", hint="await ensure_tables() makes it")


def current(connection: sqlite3.Connection, tenant: str, table: Table, place: Place) -> Item | None:
    """The whole item."""
    row = connection.execute(_GET, (tenant, table.name, *place)).fetchone()
    return decode(row[0]) if row else None


def get(
    connection: sqlite3.Connection, tenant: str, table: Table, key: Item, projection: ProjectionExpression | None
) -> Item | None:
    """One item, projected. A row that is there proves that its table is."""
    found = current(connection, tenant, table, KEYS.place(table.keys, key))
    if found is None:
        check_table(connection, tenant, table)
        return None
    return project(projection.node.paths, found) if projection else found


def batch_get(
    connection: sqlite3.Connection, tenant: str, table: Table, keys: Sequence[Item], projection: ProjectionExpression | None
) -> Got:
    """One after the other, in one snapshot."""
    found = [get(connection, tenant, table, key, projection) for key in keys]
    return Got(items=[item for item in found if item is not None])


def page(connection: sqlite3.Connection, tenant: str, query: Query) -> Slice:
    """One page; rows are read one by one until it is full."""
    chosen = query_plan(query)
    text, parameters = statement(tenant, query, chosen)
    cursor = connection.execute(text, parameters)
    found = Paging(query, chosen).page(_rows(cursor))
    cursor.close()
    if not found.items and found.last is None and query.start is None:
        check_table(connection, tenant, query.table)
    return found


def _rows(cursor: Iterable[tuple[str, int]]) -> Iterator[tuple[str, bool]]:
    for text, odd in cursor:
        yield text, bool(odd)


def query_plan(query: Query) -> Plan:
    """What SQL does of the filter, and how many rows it is asked for."""
    return plan(query, compiled_filter(query.filter, query.values, FORM, SQLiteCompiler))


def statement(tenant: str, query: Query, chosen: Plan) -> tuple[str, dict[str, Any]]:
    """SQL and its parameters by name."""
    parameters = _filter_parameters(chosen.filter, query.values)

    def add(value: Any) -> str:
        name = f"p{len(parameters)}"
        parameters[name] = value
        return f":{name}"

    text = Select(keys=KEYS, add=add).text(tenant, query, chosen.filter.sql, chosen.limit)
    return text, parameters


def _filter_parameters(chosen: Filter, values: Any) -> dict[str, Any]:
    return {f"v{position}": _bound(values[name], form) for position, (name, form) in enumerate(chosen.parameters)}


def _bound(value: Value, form: str) -> Any:
    if form == NUMBER:
        return FORM.encode(value).text
    return number_or_bytes(value) if form == TEXT else value
