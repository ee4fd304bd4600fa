"""Folders of databases that no database refers to: what a server crash in the middle of a file copy leaves behind.

PostgreSQL never removes them; they hold a copy's files and nothing that anybody can reach. Listing folders takes a superuser.
"""

from __future__ import annotations

from typing import Any

import psycopg

from manor.control.engines.driver import StrayFolder

# A copy makes its folder long before its row can be seen, so folders younger than the oldest transaction do not count.
_QUERY = """
WITH folders AS MATERIALIZED (
    SELECT name, (pg_stat_file('base/' || name, true)).modification AS changed
    FROM pg_ls_dir('base') AS name WHERE name ~ '^[0-9]+$'
), quiet AS (
    SELECT least(now() - interval '1 minute', min(xact_start)) AS since
    FROM pg_stat_activity WHERE pid <> pg_backend_pid()
)
SELECT 'base/' || name,
       (SELECT coalesce(sum((pg_stat_file('base/' || name || '/' || file, true)).size), 0)::bigint
        FROM pg_ls_dir('base/' || name, true, false) AS file)
FROM folders, quiet
WHERE changed < since AND name NOT IN (SELECT oid::text FROM pg_database)
ORDER BY name::numeric
"""


async def find_strays(connection: psycopg.AsyncConnection[Any]) -> list[StrayFolder]:
    """The stray folders of the default tablespace, seen by a superuser."""
    rows = await (await connection.execute(_QUERY)).fetchall()
    return [StrayFolder(path=path, bytes=size) for path, size in rows]
