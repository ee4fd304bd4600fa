"""What a golden database must not hold, looked at before it is sealed: every tenant would get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from manor.control.engines.driver import IsolatedColumn
from manor.errors import Code, EngineError

Connection = psycopg.AsyncConnection[Any]

_ELSEWHERE = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname NOT IN ('public', 'information_schema') AND NOT starts_with(n.nspname, 'pg_')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2 LIMIT 1
"""

_DOORS = """
SELECT CASE WHEN a.grantee = 0 THEN 'every role' ELSE a.grantee::regrole::text END, string_agg(lower(a.privilege_type), ', ')
FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
WHERE d.datname = current_database() AND a.grantee <> d.datdba
GROUP BY a.grantee ORDER BY a.grantee LIMIT 1
"""


async def refuse_open_doors(connection: Connection) -> None:
    """Raise ``EngineError`` where anybody beside its owner has rights on the database itself: every tenant would be opened so,
    and the proof against such a golden would find nothing wrong with it."""
    row = await (await connection.execute(_DOORS.encode())).fetchone()
    if row is not None:
        raise EngineError(
            f"its SQL opens the database: {row[0]} would have the right to {row[1]}, and only the tenant's own role may enter",
            hint="take GRANT … ON DATABASE out of it, also out of what a block or a function puts together",
            code=Code.BAD_INPUT,
        )


async def refuse_tables_elsewhere(connection: Connection) -> None:
    """Raise ``EngineError`` where a table was made outside ``public``: the tenant's role could not use it."""
    row = await (await connection.execute(_ELSEWHERE.encode())).fetchone()
    if row is not None:
        raise EngineError(
            f"the schema makes {row[1]} in {row[0]}, but all tables of a tenant stand in public",
            hint="take CREATE SCHEMA and SET search_path out of schema.sql",
            code=Code.BAD_INPUT,
        )


async def refuse_rows_of_nobody(connection: Connection, isolation: Sequence[IsolatedColumn]) -> None:
    """Raise ``EngineError`` where loading shared rows put a row into an isolated table: it holds no tenant's value, and every
    tenant would get it."""
    for isolated in isolation:
        query = sql.SQL("SELECT FROM {} LIMIT 1").format(sql.Identifier(isolated.table))
        if (await connection.execute(query)).rowcount:
            raise EngineError(
                f"loading the shared rows wrote into {isolated.table}, whose rows belong to single tenants",
                hint="a trigger does it: let it do nothing there, or make the rows that set it off the tenants' own",
                code=Code.BAD_INPUT,
            )
