"""Loads a dump for another role than the one it names: for the time of one transaction the other one has its name. A role that
the server does not have is there for just as long.

Roles are renamed by transactions like everything else, so that nobody outside ever sees the borrowed name, and nothing has to
be replaced inside the dump's text, where a row may hold the same word.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import psycopg

from manor.control.engines.postgres.quoting import quote_identifier
from manor.errors import Code, EngineError

_ASIDE = "manor_aside_"
_MISSING = re.compile(r'ERROR:  role "((?:[^"]|"")+)" does not exist')


def missing_role(said: str) -> str | None:
    """The role that the server did not find, from its own words (programs are run with LC_ALL=C); None where it is something
    else."""
    match = _MISSING.search(said)
    return match[1].replace('""', '"') if match else None


async def roles_there(connection: psycopg.AsyncConnection[Any], names: Sequence[str]) -> frozenset[str]:
    """Which of these roles the server has."""
    rows = await (await connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", [list(names)])).fetchall()
    return frozenset(name for (name,) in rows)


async def renamed(chunks: AsyncIterator[bytes], roles: Mapping[str, str], there: frozenset[str]) -> AsyncIterator[bytes]:
    """The SQL of ``chunks`` between the statements that lend and give back the names. ``roles``: by the role that the dump
    names, the one that gets what belonged to it, or nothing: then that is Manor's login, and no right remains. Raises
    ``EngineError`` (``not_found``) where one that is named is not ``there``."""
    missing = sorted(set(filter(None, roles.values())) - there)
    if missing:
        raise EngineError(f"there is no role {missing[0]} on the server", code=Code.NOT_FOUND)
    ours = [old for old, new in roles.items() if not new and old not in there]
    lent = {old: new for old, new in roles.items() if new}
    aside = {old: f"{_ASIDE}{number}" for number, old in enumerate(lent) if old in there}
    yield _script([*aside.items(), *((new, old) for old, new in lent.items())]) + _lines(_INVENT, ours)
    async for chunk in chunks:
        yield chunk
    yield b"\n" + _lines(_TAKE_OVER, ours) + _script([*lent.items(), *((name, old) for old, name in aside.items())])


# An owner needs CREATE on the schema of what it gets; only a superuser gives without.
_INVENT = "CREATE ROLE {0} NOLOGIN;\nGRANT {0} TO CURRENT_USER;\nGRANT USAGE, CREATE ON SCHEMA public TO {0};\n"
_TAKE_OVER = "REASSIGN OWNED BY {0} TO CURRENT_USER;\nDROP OWNED BY {0};\nDROP ROLE {0};\n"


def _lines(text: str, roles: Sequence[str]) -> bytes:
    return "".join(text.format(quote_identifier(role)) for role in roles).encode()


def _script(renames: Sequence[tuple[str, str]]) -> bytes:
    lines = [f"ALTER ROLE {quote_identifier(old)} RENAME TO {quote_identifier(new)};\n" for old, new in renames]
    return "".join(lines).encode()
