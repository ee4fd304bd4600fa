"""What is read, on one connection. Every statement is a transaction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from manor.data.documents.driver import Query, Slice
from manor.data.documents.faults import TableMissing
from manor.data.documents.postgres.codec import FORM, KEYS, LONGEST_NAME
from manor.data.documents.postgres.compile import ELEMENT, JSON, PostgresCompiler
from manor.data.documents.postgres.connections import Connection
from manor.data.documents.relational.codec import decode, number_or_bytes
from manor.data.documents.relational.compile import compiled_filter
from manor.data.documents.relational.keys import Place, short_name
from manor.data.documents.relational.paging import Paging, Plan, plan
from manor.data.documents.relational.select import Select
from manor.data.documents.tables import Table
from manor.data.documents.values import Item, Value

ROWS_AT_ONCE = 256
"""Rows to ask for where it is not known how many of them will match."""
_GET = "SELECT body FROM documents_items WHERE tenant = $1 AND name = $2 AND pk = $3 AND sk = $4"
_GET_MANY = """\
SELECT asked.number, i.body FROM unnest($2::text[], $3::bytea[], $4::bytea[]) WITH ORDINALITY asked (name, pk, sk, number)
JOIN documents_items i ON i.tenant = $1 AND i.name = asked.name AND i.pk = asked.pk AND i.sk = asked.sk"""
_TABLE = "SELECT keys FROM documents_tables WHERE tenant = $1 AND name = $2"


def named(name: str) -> str:
    """How a table or an index is called in the columns."""
    return short_name(name, LONGEST_NAME)


async def kept_keys(connection: Connection, tenant: str, table: Table) -> str | None:
    """The text of the table's keys (``relational.declared``), None where there is no such table."""
    found: str | None = await connection.fetchval(_TABLE, tenant, named(table.name))
    return found


async def check_table(connection: Connection, tenant: str, table: Table) -> None:
    """Raises ``TableMissing``."""
    if await kept_keys(connection, tenant, table) is None:
        raise missing(table)


def missing(table: Table) -> TableMissing:
    """The error for a table that was not made."""
    return TableMissing(f"table {table.name} does not exist", hint="await ensure_tables() makes it")


async def get(connection: Connection, tenant: str, table: Table, key: Item) -> Item | None:
    """One item. A row that is there proves that its table is."""
    text = await connection.fetchval(_GET, tenant, named(table.name), *KEYS.place(table.keys, key))
    if text is not None:
        return decode(text)
    await check_table(connection, tenant, table)
    return None


async def get_many(connection: Connection, tenant: str, tables: Sequence[Table], places: Sequence[Place]) -> list[Item | None]:
    """The items at these places of these tables, one for each, in their order."""
    names = [named(table.name) for table in tables]
    rows = await connection.fetch(_GET_MANY, tenant, names, [pk for pk, _ in places], [sk for _, sk in places])
    found = {row[0]: decode(row[1]) for row in rows}
    for table in {table.name: table for number, table in enumerate(tables, 1) if number not in found}.values():
        await check_table(connection, tenant, table)
    return [found.get(number) for number in range(1, len(places) + 1)]


async def page(connection: Connection, tenant: str, query: Query) -> Slice:
    """One page."""
    chosen = query_plan(query)
    text, parameters = statement(tenant, query, chosen)
    rows = await connection.fetch(text, *parameters)
    if not rows and query.start is None:
        await check_table(connection, tenant, query.table)
    return Paging(query, chosen).page(rows)


def query_plan(query: Query) -> Plan:
    """What SQL does of the filter, and how many rows it is asked for."""
    compiled = compiled_filter(query.filter, query.values, FORM, PostgresCompiler)
    return plan(query, compiled, at_once=ROWS_AT_ONCE)


def statement(tenant: str, query: Query, chosen: Plan) -> tuple[str, list[Any]]:
    """SQL and its parameters: those of the filter first."""
    parameters = [_bound(query.values[name], form) for name, form in chosen.filter.parameters]

    def add(value: Any) -> str:
        parameters.append(value)
        return f"${len(parameters)}"

    text = Select(keys=KEYS, add=add, name=named).text(tenant, query, chosen.filter.sql, chosen.limit)
    return text, parameters


def _bound(value: Value, form: str) -> Any:
    if form == JSON:
        return FORM.encode(value).text
    return number_or_bytes(value) if form == ELEMENT else value
