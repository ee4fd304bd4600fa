"""A golden database: made under a temporary name, proved, and closed under its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from psycopg import sql

from manor.control.engines.driver import Fill, GoldenSpec, IsolatedColumn
from manor.control.engines.postgres import compile as ddl
from manor.control.engines.postgres.describe import describe
from manor.control.engines.postgres.fill import fill_database
from manor.control.engines.postgres.golden_checks import refuse_open_doors, refuse_rows_of_nobody, refuse_tables_elsewhere
from manor.control.engines.postgres.isolation import placeholder
from manor.control.engines.postgres.marker import write_marker
from manor.control.engines.postgres.roles import GROUP_ROLE
from manor.control.engines.postgres.session import Sessions
from manor.control.templates.model import BoundDataset
from manor.errors import Code, EngineError


async def build_golden(sessions: Sessions, spec: GoldenSpec, *, version_number: int) -> str:
    """Its fingerprint. Whoever calls drops ``spec.building``, before and where this fails."""
    isolation = _placeholders(spec)
    await _create_empty(sessions, spec)
    await _make(sessions, spec, isolation, version_number)
    async with sessions.inside(spec.building) as connection:
        await connection.execute("VACUUM (ANALYZE)")
    # A new session, because the first one after a change writes pg_internal.init: copied along, it spares every
    # copy's first sessions from reading the system catalogs anew.
    async with sessions.inside(spec.building) as connection:
        found = await describe(connection, isolation)
    if not found.isolated:
        raise EngineError(
            f"server {sessions.name}: the new golden database does not hold its own placeholders", code=Code.INTERNAL
        )
    await _seal(sessions, spec)
    return found.fingerprint


async def _create_empty(sessions: Sessions, spec: GoldenSpec) -> None:
    async with sessions.maintenance() as connection:
        name = sql.Identifier(spec.building)
        await connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(name))
        await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))


async def _make(sessions: Sessions, spec: GoldenSpec, isolation: Sequence[IsolatedColumn], version_number: int) -> None:
    async with sessions.inside(spec.building) as connection, connection.transaction():
        for statement in ddl.compile_schema(spec.schema, isolation, version_number=version_number):
            await connection.execute(statement.encode())
            await connection.execute(b"RESET search_path")  # a dump sets it to nothing, and names no schema may follow
        await refuse_tables_elsewhere(connection)
        await refuse_open_doors(connection)
        await fill_database(connection, Fill(schema=spec.schema, rows=spec.rows, varying=_all_columns(spec.rows)))
        for statement in (*ddl.sequence_starts(spec.numbers_taken), *ddl.grants(GROUP_ROLE)):
            await connection.execute(statement.encode())
        await refuse_rows_of_nobody(connection, isolation)


async def _seal(sessions: Sessions, spec: GoldenSpec) -> None:
    names = {"old": sql.Identifier(spec.building), "new": sql.Identifier(spec.database)}
    comment = sql.Literal(write_marker(spec.marker))
    async with sessions.maintenance() as connection, connection.transaction():
        await connection.execute(sql.SQL("ALTER DATABASE {old} RENAME TO {new}").format(**names))
        await connection.execute(sql.SQL("COMMENT ON DATABASE {new} IS {c}").format(**names, c=comment))
        # Nobody may enter: a session would block copying, and a change would reach every later tenant.
        await connection.execute(sql.SQL("ALTER DATABASE {new} WITH ALLOW_CONNECTIONS false").format(**names))


def _all_columns(rows: Sequence[BoundDataset]) -> frozenset[tuple[str, str]]:
    return frozenset((dataset.table, column) for dataset in rows for column in dataset.columns)


def _placeholders(spec: GoldenSpec) -> list[IsolatedColumn]:
    """The isolated columns with values that no tenant has."""
    placeholders = []
    for isolated in spec.isolation:
        table = spec.schema.table(isolated.table)
        column = table.column(isolated.column) if table else None
        placeholders.append(replace(isolated, value=placeholder(column.type if column else "text")))
    return placeholders
