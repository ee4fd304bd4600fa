"""Whether tenants' roles may what they may and nothing more, as the server's own catalogs say.

The isolation probe tries one door; this looks at all of them: attributes, memberships (by any number of steps), databases
that it owns, and the doors of all databases that were opened for a role by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg

from manor.control.engines.driver import RoleFault
from manor.control.engines.postgres.quoting import quote_identifier
from manor.control.engines.postgres.roles import GROUP_ROLE

_FAULTS = """
WITH RECURSIVE wanted AS (
    SELECT w.role, w.database, r.oid, r.rolcanlogin AS can_login,
           array_remove(ARRAY[CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
                              CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END,
                              CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL) AS attributes
    FROM unnest(%(roles)s::text[], %(databases)s::text[]) AS w(role, database) LEFT JOIN pg_roles r ON r.rolname = w.role
), reached AS (
    SELECT w.oid AS member, m.roleid AS granted FROM wanted w JOIN pg_auth_members m ON m.member = w.oid
    UNION
    SELECT r.member, m.roleid FROM reached r JOIN pg_auth_members m ON m.member = r.granted
), memberships AS (
    SELECT r.member, array_agg(g.rolname::text ORDER BY g.rolname) AS names
    FROM reached r JOIN pg_roles g ON g.oid = r.granted GROUP BY r.member
), doors AS (
    SELECT d.datname::text AS database, a.grantee
    FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a WHERE a.privilege_type = 'CONNECT'
        -- Nobody enters a closed database, whatever its doors say: blue-green keeps the old one so.
        AND (d.datallowconn OR d.datname = ANY (%(databases)s::text[]))
), entered AS (
    SELECT grantee, array_agg(database ORDER BY database) AS databases FROM doors GROUP BY grantee
), owned AS (
    SELECT datdba AS owner, array_agg(datname::text ORDER BY datname) AS databases FROM pg_database GROUP BY datdba
), open_to_all AS (
    SELECT DISTINCT database FROM doors WHERE grantee = 0
)
SELECT w.role, w.database, w.oid IS NOT NULL, coalesce(w.can_login, false), w.attributes,
       coalesce(m.names, '{}'), coalesce(e.databases, '{}'), coalesce(x.databases, '{}'), o.database IS NOT NULL
FROM wanted w LEFT JOIN memberships m ON m.member = w.oid LEFT JOIN entered e ON e.grantee = w.oid
     LEFT JOIN owned x ON x.owner = w.oid LEFT JOIN open_to_all o ON o.database = w.database
"""

_MADE_WHOLE = "`manor tenant rotate-password` makes it whole"


class _Role(NamedTuple):
    name: str
    database: str
    exists: bool
    can_login: bool
    attributes: Sequence[str]
    memberships: Sequence[str]
    entered: Sequence[str]
    owned: Sequence[str]
    open_to_all: bool


async def find_role_faults(
    connection: psycopg.AsyncConnection[Any], roles: Mapping[str, str], *, closed: Collection[str] = ()
) -> dict[str, RoleFault]:
    """By role, all that is wrong with it in one sentence. ``roles``: the database of each; ``closed``: those that are not to
    log in."""
    if not roles:
        return {}
    values = {"roles": list(roles), "databases": list(roles.values())}
    rows = await (await connection.execute(_FAULTS.encode(), values)).fetchall()
    found = {role.name: list(_faults(role, role.name in closed)) for role in map(_Role._make, rows)}
    return {
        name: RoleFault(message="; ".join(f.message for f in faults), hint="; ".join(dict.fromkeys(f.hint for f in faults)))
        for name, faults in found.items()
        if faults
    }


def _faults(role: _Role, closed: bool) -> Iterator[RoleFault]:
    if not role.exists:
        yield RoleFault(message=f"its role {role.name} is gone", hint=_MADE_WHOLE)
        return
    quoted = quote_identifier(role.name)
    if role.attributes:
        taken = " ".join(f"NO{attribute}" for attribute in role.attributes)
        yield RoleFault(message=f"its role is {', '.join(role.attributes)}", hint=f"ALTER ROLE {quoted} {taken}")
    for other in role.memberships:
        if other != GROUP_ROLE:
            message = f"isolation is broken: its role is a member of {other}"
            yield RoleFault(message=message, hint=f"REVOKE {quote_identifier(other)} FROM {quoted} (or from {GROUP_ROLE})")
    for database in role.entered:
        if database != role.database:
            hint = f"REVOKE CONNECT ON DATABASE {quote_identifier(database)} FROM {quoted}"
            yield RoleFault(message=f"isolation is broken: its role may enter {database}", hint=hint)
    for database in role.owned:
        hint = f"ALTER DATABASE {quote_identifier(database)} OWNER TO CURRENT_USER"
        yield RoleFault(message=f"its role owns {database} and may do anything to it", hint=hint)
    if role.open_to_all:
        hint = f"REVOKE CONNECT ON DATABASE {quote_identifier(role.database)} FROM PUBLIC"
        yield RoleFault(message="isolation is broken: every role may enter it", hint=hint)
    if GROUP_ROLE not in role.memberships:  # which is also what tells our roles from strangers'
        yield RoleFault(message="its role may not use its tables", hint=f"GRANT {GROUP_ROLE} TO {quoted}")
    if closed:
        if role.can_login:
            yield RoleFault(message="it is suspended, but its role may log in", hint="`manor tenant suspend` shuts it out")
    elif not role.can_login or role.database not in role.entered:
        yield RoleFault(message="its role may not log in, or not enter it", hint=_MADE_WHOLE)
