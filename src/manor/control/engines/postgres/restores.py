"""Restores on PostgreSQL: what a dump does not bring along, and isolated columns that come to hold another tenant's value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import psycopg
from psycopg import sql

from manor.control.engines.driver import IsolatedColumn
from manor.control.engines.postgres import compile as ddl
from manor.control.engines.postgres.database_properties import copy_properties
from manor.control.engines.postgres.describe import describe
from manor.control.engines.postgres.history import LOWER_FENCE, OWN_RIGHTS
from manor.control.engines.postgres.isolation import compile_isolation
from manor.control.engines.postgres.roles import GROUP_ROLE
from manor.control.engines.postgres.session import Sessions
from manor.errors import Code, EngineError

Connection = psycopg.AsyncConnection[Any]

_PATIENTLY = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET row_security = off"

_TRIGGERS = """
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND NOT tgisinternal AND tgenabled <> 'D'
ORDER BY 1
"""
_ENABLE = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
"""How a trigger is put back, by the mode that it was in."""


class PostgresRestores:
    """The databases of one PostgreSQL server as restores see them."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def furnish(self, database: str, *, like: str) -> None:
        async with self._sessions.inside(database) as connection:
            await connection.execute(_PATIENTLY.encode())
            await connection.execute(LOWER_FENCE.encode())
            await connection.execute(b"ANALYZE")
        async with self._sessions.maintenance() as connection, connection.transaction():
            await copy_properties(connection, like, database)

    async def regrant(self, database: str) -> None:
        async with self._sessions.inside(database) as connection, connection.transaction():
            for statement in ddl.grants(GROUP_ROLE):
                await connection.execute(statement.encode())
            await connection.execute(OWN_RIGHTS.encode())

    async def fingerprint_as(self, database: str, isolation: Sequence[IsolatedColumn], roles: Mapping[str, str]) -> str:
        async with self._sessions.inside(database) as connection:
            found = await describe(connection, isolation)
        return replace(found, lines=sorted(_renamed(found.lines, roles), key=str.encode)).fingerprint

    async def hand_over(
        self, database: str, before: Sequence[IsolatedColumn], after: Sequence[IsolatedColumn]
    ) -> Mapping[str, int]:
        tables = _by_table(before, after)
        async with self._sessions.inside(database) as connection:
            await connection.execute(_PATIENTLY.encode())
            async with connection.transaction():
                for table in tables:
                    await _refuse_others_rows(connection, database, table)
                silenced = [await _silence(connection, table) for table in tables]
                for column in after:
                    await connection.execute(compile_isolation(column).encode())
                counts = await _rewrite(connection, tables)
                await connection.execute(b"SET CONSTRAINTS ALL IMMEDIATE")  # a table with checks to come cannot be altered
                for restored in silenced:
                    for statement in restored:
                        await connection.execute(statement)
        return counts


def _renamed(lines: Sequence[str], roles: Mapping[str, str]) -> list[str]:
    """The lines with other roles in them. Whatever else has such a name is renamed too, and then nothing fits: that is safe."""
    if not roles:
        return list(lines)
    names = re.compile(r"(?<!\w)(" + "|".join(map(re.escape, roles)) + r")(?!\w)")
    return [names.sub(lambda match: roles[match[1]], line) for line in lines]


class _Table:
    """The isolated columns of one table: (name, value before, value after)."""

    def __init__(self, name: str, columns: Sequence[tuple[str, str, str]]) -> None:
        self.name = name
        self.columns = columns
        self.identifier = sql.Identifier("public", name)


def _by_table(before: Sequence[IsolatedColumn], after: Sequence[IsolatedColumn]) -> list[_Table]:
    values = {(column.table, column.column): column.value for column in after}
    ordered = sorted(before, key=lambda column: (column.table, column.column))
    return [
        _Table(name, [(c.column, c.value, values[name, c.column]) for c in columns])
        for name, columns in groupby(ordered, key=lambda column: column.table)
    ]


async def _refuse_others_rows(connection: Connection, database: str, table: _Table) -> None:
    """A row with a third tenant's value is nobody's to give away."""
    wrong = [sql.SQL("{} IS DISTINCT FROM {}").format(sql.Identifier(c), sql.Literal(old)) for c, old, _ in table.columns]
    query = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(table.identifier, sql.SQL(" OR ").join(wrong))
    row = await (await connection.execute(query)).fetchone()
    if row and row[0]:
        raise EngineError(
            f"database {database}: {row[0]} rows of {table.name} hold a value that is not their tenant's",
            hint="such rows are not given to another tenant; nothing was changed",
            code=Code.CONFLICT,
        )


async def _silence(connection: Connection, table: _Table) -> list[sql.Composed]:
    """Disable the user's triggers; returns the statements that put each back as it was."""
    name = table.identifier.as_string(connection)
    found = await (await connection.execute(_TRIGGERS.encode(), [name])).fetchall()
    alter = sql.SQL("ALTER TABLE {} {} TRIGGER {}")
    for trigger, _ in found:
        await connection.execute(alter.format(table.identifier, sql.SQL("DISABLE"), sql.Identifier(trigger)))
    return [alter.format(table.identifier, sql.SQL(_ENABLE[mode]), sql.Identifier(trigger)) for trigger, mode in found]


async def _rewrite(connection: Connection, tables: Sequence[_Table]) -> dict[str, int]:
    """All tables in one statement, at whose end foreign keys between them are looked at."""
    if not tables:
        return {}
    updates, counts = [], []
    for number, table in enumerate(tables):
        assigned = [sql.SQL("{} = {}").format(sql.Identifier(c), sql.Literal(new)) for c, _, new in table.columns]
        part = sql.Identifier(f"t{number}")
        update = sql.SQL("{} AS (UPDATE {} SET {} RETURNING 1)")
        updates.append(update.format(part, table.identifier, sql.SQL(", ").join(assigned)))
        counts.append(sql.SQL("(SELECT count(*) FROM {})").format(part))
    query = sql.SQL("WITH {} SELECT {}").format(sql.SQL(", ").join(updates), sql.SQL(", ").join(counts))
    row = await (await connection.execute(query)).fetchone()
    return dict(zip((table.name for table in tables), map(int, row or ()), strict=False))
