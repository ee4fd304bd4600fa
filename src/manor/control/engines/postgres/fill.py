"""Puts isolation values and rows into one open database, all or nothing.

What fits is sent as one text of several statements: one round trip, and PostgreSQL makes one transaction of it. Only large
sets of rows go by COPY, inside an explicit transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from manor.control.engines.driver import Fill
from manor.control.engines.postgres import compile as ddl
from manor.control.engines.postgres import values
from manor.control.engines.postgres.isolation import compile_isolation
from manor.control.templates.model import BoundDataset, Schema, Table
from manor.errors import Code, EngineError

COPY_FROM_ROWS = 500

Connection = psycopg.AsyncConnection[Any]


async def fill_database(connection: Connection, fill: Fill) -> None:
    """Isolation values first, because rows are checked against them; then rows in the given order."""
    if not any(_by_copy(dataset) for dataset in fill.rows):
        inserts = [text for index in range(len(fill.rows)) for text in _inserts(connection, fill, index)]
        await _send(connection, [*_isolation(fill), *inserts, *_resets(fill)])
        return
    async with connection.transaction():
        await _send(connection, _isolation(fill))
        for index, dataset in enumerate(fill.rows):
            if _by_copy(dataset):
                await _copy(connection, _table(fill.schema, dataset), dataset)
                await _send(connection, _moves_on(fill, index))
            else:
                await _send(connection, list(_inserts(connection, fill, index)))
        await _send(connection, _resets(fill))


async def _send(connection: Connection, statements: Sequence[str]) -> None:
    if statements:
        await connection.execute("; ".join(statements).encode())


def _isolation(fill: Fill) -> list[str]:
    return [compile_isolation(column) for column in fill.isolation]


def _resets(fill: Fill) -> list[str]:
    return ddl.sequence_resets(fill.schema, fill.rows, fill.varying)


def _moves_on(fill: Fill, index: int) -> list[str]:
    """Moves sequences behind the numbers that one dataset gave, where rows of its table follow that leave theirs to it."""
    dataset = fill.rows[index]
    if all(later.table != dataset.table for later in fill.rows[index + 1 :]):
        return []
    return ddl.sequence_resets(fill.schema, [dataset], fill.varying)


def _inserts(connection: Connection, fill: Fill, index: int) -> Iterator[str]:
    cursor = psycopg.AsyncClientCursor(connection)
    dataset = fill.rows[index]
    for statement, parameters in values.insert_statement(_table(fill.schema, dataset), dataset):
        yield cursor.mogrify(statement.encode(), parameters)
    yield from _moves_on(fill, index)


def _by_copy(dataset: BoundDataset) -> bool:
    return len(dataset.rows) >= COPY_FROM_ROWS and values.can_copy(dataset)


def _table(schema: Schema, dataset: BoundDataset) -> Table:
    table = schema.table(dataset.table)
    if table is None:
        raise EngineError(f"table {dataset.table} is not in the schema", code=Code.INTERNAL)
    return table


async def _copy(connection: Connection, table: Table, dataset: BoundDataset) -> None:
    async with connection.cursor() as cursor, cursor.copy(values.copy_statement(table, dataset).encode()) as copy:
        for line in values.copy_lines(table, dataset):
            await copy.write_row(line)
