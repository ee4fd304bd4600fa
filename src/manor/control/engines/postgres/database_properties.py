"""What belongs to a database and not to its contents: settings, connection limit, owner. No dump brings it along."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

Connection = psycopg.AsyncConnection[Any]

_PROPERTIES = """
SELECT d.datconnlimit, CASE WHEN d.datdba <> (SELECT oid FROM pg_roles WHERE rolname = current_user) THEN o.rolname END
FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba WHERE d.datname = %s
"""

_SETTINGS = """
SELECT role.rolname, split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)
FROM pg_db_role_setting AS settings JOIN pg_database ON pg_database.oid = settings.setdatabase
LEFT JOIN pg_roles AS role ON role.oid = settings.setrole
CROSS JOIN LATERAL unnest(settings.setconfig) WITH ORDINALITY AS one (setting, place)
WHERE datname = %s ORDER BY 1 NULLS FIRST, one.place
"""

_LISTS = {"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"}
"""Settings whose recorded value is a list, quoted already."""


async def copy_properties(connection: Connection, source: str, copy: str) -> None:
    """Give ``copy`` those of ``source``. Safe to repeat."""
    name = sql.Identifier(copy)
    for role, setting, value in await (await connection.execute(_SETTINGS, [source])).fetchall():
        what = sql.SQL("DATABASE {}").format(name)
        if role is not None:
            what = sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(role), name)
        await _set(connection, what, setting, value)
    row = await (await connection.execute(_PROPERTIES, [source])).fetchone()
    limit, owner = row or (-1, None)
    if limit != -1:
        await connection.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(name, sql.Literal(limit)))
    if owner is not None:
        await connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(owner)))


async def _set(connection: Connection, what: sql.Composable, setting: str, value: str) -> None:
    parts = [sql.Identifier(part) for part in setting.split(".")]
    variable = sql.SQL(".").join(parts)
    if setting in _LISTS:  # as one value it would be quoted a second time
        await connection.execute("SELECT set_config(%s, %s, true)", [setting, value])
        await connection.execute(sql.SQL("ALTER {} SET {} FROM CURRENT").format(what, variable))
        return
    await connection.execute(sql.SQL("ALTER {} SET {} TO {}").format(what, variable, sql.Literal(value)))
