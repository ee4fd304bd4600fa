"""Puts isolation values and rows into one open database; the caller holds the transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from manor.control.engines.driver import IsolatedColumn
from manor.control.engines.postgres import compile as ddl
from manor.control.engines.postgres import values
from manor.control.templates.model import BoundDataset, Schema, Table
from manor.errors import Code, EngineError

COPY_FROM_ROWS = 500


async def fill_database(
    connection: psycopg.AsyncConnection[Any],
    schema: Schema,
    isolation: Sequence[IsolatedColumn],
    rows: Sequence[BoundDataset],
) -> None:
    """Isolation first, while the tables are still empty and a check costs nothing; then rows in the given order."""
    if any(_by_copy(dataset) for dataset in rows):
        await _fill(connection, schema, isolation, rows)
        return
    async with connection.pipeline():  # one round trip for everything; COPY cannot take part
        await _fill(connection, schema, isolation, rows)


async def _fill(
    connection: psycopg.AsyncConnection[Any],
    schema: Schema,
    isolation: Sequence[IsolatedColumn],
    rows: Sequence[BoundDataset],
) -> None:
    for column in isolation:
        await connection.execute(ddl.compile_isolation(column).encode())
    for dataset in rows:
        table = schema.table(dataset.table)
        if table is None:
            raise EngineError(f"table {dataset.table} is not in the schema", code=Code.INTERNAL)
        if _by_copy(dataset):
            await _copy(connection, table, dataset)
            continue
        for statement, parameters in values.insert_statement(table, dataset):
            await connection.execute(statement.encode(), parameters)
    for statement in ddl.sequence_resets(schema, rows):
        await connection.execute(statement.encode())


def _by_copy(dataset: BoundDataset) -> bool:
    return len(dataset.rows) >= COPY_FROM_ROWS and values.can_copy(dataset)


async def _copy(connection: psycopg.AsyncConnection[Any], table: Table, dataset: BoundDataset) -> None:
    async with connection.cursor() as cursor, cursor.copy(values.copy_statement(table, dataset).encode()) as copy:
        for line in values.copy_lines(table, dataset):
            await copy.write_row(line)
