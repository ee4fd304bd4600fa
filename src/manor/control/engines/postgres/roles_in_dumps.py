"""Loads a dump for another role than the one it names: for the time of one transaction the other one has its name.

Roles are renamed by transactions like everything else, so that nobody outside ever sees the borrowed name, and nothing has to
be replaced inside the dump's text, where a row may hold the same word.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import psycopg

from manor.control.engines.postgres.quoting import quote_identifier
from manor.errors import Code, EngineError

_ASIDE = "manor_aside_"


async def roles_there(connection: psycopg.AsyncConnection[Any], names: Sequence[str]) -> frozenset[str]:
    """Which of these roles the server has."""
    rows = await (await connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", [list(names)])).fetchall()
    return frozenset(name for (name,) in rows)


async def renamed(chunks: AsyncIterator[bytes], roles: Mapping[str, str], there: frozenset[str]) -> AsyncIterator[bytes]:
    """The SQL of ``chunks`` between the statements that lend and give back the names. ``roles``: by the role that the dump
    names, the one that gets what belonged to it. Raises ``EngineError`` (``not_found``) where that one is not ``there``."""
    missing = sorted(set(roles.values()) - there)
    if missing:
        raise EngineError(f"there is no role {missing[0]} on the server", code=Code.NOT_FOUND)
    aside = {old: f"{_ASIDE}{number}" for number, old in enumerate(roles) if old in there}
    yield _script([*aside.items(), *((new, old) for old, new in roles.items())])
    async for chunk in chunks:
        yield chunk
    yield b"\n" + _script([*roles.items(), *((name, old) for old, name in aside.items())])


def _script(renames: Sequence[tuple[str, str]]) -> bytes:
    lines = [f"ALTER ROLE {quote_identifier(old)} RENAME TO {quote_identifier(new)};\n" for old, new in renames]
    return "".join(lines).encode()
