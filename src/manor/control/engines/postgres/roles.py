"""The roles of tenants: each has a login of its own, and what it may do comes from one group."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from manor.control.engines.driver import Login
from manor.control.engines.postgres.scram import scram_verifier
from manor.errors import Code, EngineError

GROUP_ROLE = "manor_tenant"
"""Every tenant's role is a member; goldens grant to it. It opens no database by itself: CONNECT is granted role by role."""

_EXISTING = """
SELECT r.rolname, EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                          WHERE m.member = r.oid AND g.rolname = %s)
FROM pg_roles r WHERE r.rolname = ANY(%s)
"""


async def verifiers_of(logins: Sequence[Login]) -> list[str]:
    """SCRAM verifiers, which stand in for the passwords on the way to the server. In a thread: each takes a millisecond."""
    return await asyncio.to_thread(lambda: [scram_verifier(login.password) for login in logins])


async def make_roles(connection: psycopg.AsyncConnection[Any], logins: Sequence[Login], verifiers: Sequence[str]) -> None:
    """Make roles, or give a new password to those that were made here before. Raises ``EngineError`` with code ``conflict``
    for a role that is no member of the group: somebody else's."""
    present = await _present(connection, [login.role for login in logins])
    strangers = sorted(role for role, ours in present if not ours)
    if strangers:
        raise EngineError(
            f"a role named {strangers[0]} exists that Manor did not make: it is left alone",
            hint="drop or rename the role, or change naming_pattern",
            code=Code.CONFLICT,
        )
    existing = {role for role, _ in present}
    statements = [_statement(login.role, v, login.role in existing) for login, v in zip(logins, verifiers, strict=True)]
    await connection.execute(sql.SQL("; ").join(statements))


def let_in(database: str, role: str) -> sql.Composed:
    """One statement that opens a database to its role. Safe to repeat."""
    names = sql.Identifier(database), sql.Identifier(role)
    return sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(*names)


async def are_ours(connection: psycopg.AsyncConnection[Any], roles: Sequence[str]) -> bool:
    """Whether all these roles exist and were made here."""
    present = await _present(connection, roles)
    return len(present) == len(set(roles)) and all(ours for _, ours in present)


async def _present(connection: psycopg.AsyncConnection[Any], roles: Sequence[str]) -> list[tuple[Any, ...]]:
    return await (await connection.execute(_EXISTING, [GROUP_ROLE, list(roles)])).fetchall()


def _statement(role: str, verifier: str, exists: bool) -> sql.Composed:
    text = "ALTER ROLE {} WITH LOGIN PASSWORD {}" if exists else "CREATE ROLE {} WITH LOGIN PASSWORD {} IN ROLE {}"
    return sql.SQL(text).format(sql.Identifier(role), sql.Literal(verifier), *([] if exists else [sql.Identifier(GROUP_ROLE)]))
