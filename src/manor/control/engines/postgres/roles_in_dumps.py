"""Loads a dump for other roles than those that it names: what they own and may is handed on inside the loaded database, in the
same transaction. A role that the server does not have is there for just as long.

Nothing is replaced inside the dump's text, where a row may hold the same word; and no role of the server is renamed: whoever
dies in the middle must not leave a tenant with another one's name.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import psycopg

from manor.control.engines.postgres.quoting import quote_identifier, quote_literal
from manor.errors import Code, EngineError

_MISSING = re.compile(r'ERROR:  role "((?:[^"]|"")+)" does not exist')

# An owner needs CREATE on the schema of what it gets; only a superuser gives without. It comes by a role beside, so that it is
# not among what is handed on.
_OPEN = "CREATE ROLE {0} NOLOGIN;\nGRANT {0} TO CURRENT_USER;\nGRANT USAGE, CREATE ON SCHEMA public TO {0};\n"
_INVENT = "CREATE ROLE {0} NOLOGIN;\nGRANT {0} TO CURRENT_USER;\nGRANT {1} TO {0};\n"
_DISMISS = "REASSIGN OWNED BY {0} TO CURRENT_USER;\nDROP OWNED BY {0};\nDROP ROLE {0};\n"
_CLOSE = "DROP OWNED BY {0};\nDROP ROLE {0};\n"

# What is owned first: its rights follow the owner. A sequence that belongs to a column follows its table.
_HAND_ON = """
DO $manor$
DECLARE
    former oid := (SELECT oid FROM pg_roles WHERE rolname = {old});
    heir text := {new};
    statement text;
BEGIN
    PERFORM set_config('search_path', '', true);
    FOR statement IN
        SELECT format('ALTER %s %s OWNER TO %I', kind, name, heir) FROM (
            SELECT 'TABLE', c.oid::regclass::text, relowner FROM pg_class c
            WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT EXISTS (
                SELECT FROM pg_depend d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND relkind = 'S' AND d.deptype IN ('a', 'i'))
            UNION ALL SELECT 'ROUTINE', oid::regprocedure::text, proowner FROM pg_proc
            UNION ALL SELECT 'SCHEMA', quote_ident(nspname), nspowner FROM pg_namespace
            UNION ALL SELECT 'TYPE', oid::regtype::text, typowner FROM pg_type WHERE typtype IN ('e', 'd', 'r')
        ) AS owned (kind, name, owner) WHERE owner = former
    LOOP
        EXECUTE statement;
    END LOOP;
    FOR statement IN
        SELECT format(template, words, heir) || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
            || '; ' || format(replace(replace(template, 'GRANT ', 'REVOKE '), ' TO %I', ' FROM %I'), words, {old})
        FROM (
            SELECT format('GRANT %%s ON %s %s TO %%I', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, oid::regclass),
                '%s', relacl FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
            UNION ALL
            SELECT format('GRANT %%s ON TABLE %s TO %%I', attrelid::regclass), format('%%s (%I)', attname), attacl
            FROM pg_attribute WHERE NOT attisdropped
            UNION ALL SELECT format('GRANT %%s ON ROUTINE %s TO %%I', oid::regprocedure), '%s', proacl FROM pg_proc
            UNION ALL SELECT format('GRANT %%s ON SCHEMA %I TO %%I', nspname), '%s', nspacl FROM pg_namespace
            UNION ALL SELECT format('GRANT %%s ON TYPE %s TO %%I', oid::regtype), '%s', typacl FROM pg_type
            UNION ALL
            SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %s%s GRANT %%s ON %s TO %%I', defaclrole::regrole,
                    ' IN SCHEMA ' || nullif(defaclnamespace, 0)::regnamespace,
                    CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES'
                        WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END),
                '%s', defaclacl FROM pg_default_acl
        ) AS granted (template, spelling, acl)
        CROSS JOIN LATERAL aclexplode(acl) AS entry
        CROSS JOIN LATERAL (SELECT format(spelling, entry.privilege_type) AS words) AS spelled
        WHERE entry.grantee = former
    LOOP
        EXECUTE statement;
    END LOOP;
END
$manor$;
"""


def missing_role(said: str) -> str | None:
    """The role that the server did not find, from its own words (programs are run with LC_ALL=C); None where it is something
    else."""
    match = _MISSING.search(said)
    return match[1].replace('""', '"') if match else None


async def roles_there(connection: psycopg.AsyncConnection[Any], names: Sequence[str]) -> frozenset[str]:
    """Which of these roles the server has."""
    rows = await (await connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", [list(names)])).fetchall()
    return frozenset(name for (name,) in rows)


async def handed_on(
    chunks: AsyncIterator[bytes], roles: Mapping[str, str], there: frozenset[str], *, builder: str
) -> AsyncIterator[bytes]:
    """The SQL of ``chunks`` between the statements that hand on what belongs to roles. ``roles``: by the role that the dump
    names, the one that gets what belonged to it, or nothing: then that is Manor's login, and no right remains. ``builder``: a
    role that nobody has, for as long as it takes. Raises ``EngineError`` (``not_found``) where one that is to get something is
    not ``there``."""
    missing = sorted(set(filter(None, roles.values())) - there)
    if missing:
        raise EngineError(f"there is no role {missing[0]} on the server", code=Code.NOT_FOUND)
    invented = [old for old in roles if old not in there]
    if invented:
        yield _lines(_OPEN, [builder]) + _lines(_INVENT, invented, builder)
    async for chunk in chunks:
        yield chunk
    yield b"\n" + "".join(_hand_on(old, new) for old, new in roles.items() if new).encode() + _lines(_DISMISS, invented)
    if invented:
        yield _lines(_CLOSE, [builder])


def _hand_on(old: str, new: str) -> str:
    return _HAND_ON.replace("{old}", quote_literal(old)).replace("{new}", quote_literal(new))


def _lines(text: str, roles: Sequence[str], *others: str) -> bytes:
    return "".join(text.format(*map(quote_identifier, (role, *others))) for role in roles).encode()
