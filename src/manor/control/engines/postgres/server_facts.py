"""What a server is and what a login may do there, in one query."""

from __future__ import annotations

from typing import Any

import psycopg

from manor.control.engines.driver import ServerFacts
from manor.errors import Code, EngineError

# An ordinary login does not see what kind of session another role's is (NULL), but it does see the database.
_FACTS = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int, current_user,
       r.rolsuper, r.rolcreatedb OR r.rolsuper, r.rolcreaterole OR r.rolsuper,
       coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
       current_setting('max_connections')::int - CASE WHEN r.rolsuper THEN 0 ELSE
           current_setting('superuser_reserved_connections')::int
           + coalesce(current_setting('reserved_connections', true), '0')::int END,
       (SELECT count(*) FROM pg_stat_activity WHERE coalesce(backend_type, 'client backend') = 'client backend' AND datid > 0),
       current_setting('max_prepared_transactions')::int, pg_backend_pid(),
       CASE WHEN r.rolsuper THEN current_setting('data_directory') END
FROM pg_roles r WHERE r.rolname = current_user
"""


async def server_facts(connection: psycopg.AsyncConnection[Any]) -> ServerFacts:
    """Look at the server that ``connection`` leads to. Raises psycopg's errors."""
    row = await (await connection.execute(_FACTS.encode())).fetchone()
    if row is None:
        raise EngineError("the server returned no row where one is certain", code=Code.INTERNAL)
    return ServerFacts(
        engine="postgres",
        version=row[0],
        version_number=row[1],
        user=row[2],
        superuser=row[3],
        can_create_databases=row[4],
        can_create_roles=row[5],
        encrypted=row[6],
        max_connections=row[7],
        used_connections=row[8],
        max_prepared_transactions=row[9],
        data_directory=row[11],
        # A pooler answers the handshake itself, so the process id it told us is not the server's.
        pooler="a connection pooler" if connection.info.backend_pid != row[10] else None,
    )
