"""What psql is fed with when it loads a dump: SQL, and nothing else.

psql obeys lines that begin with a backslash. One of them (``\\connect``) would go on in another database than the one that is
being loaded, another (``\\!``) runs programs. Nobody needs them in a dump of one database, so psql is told to refuse them:
``\\restrict``, of August 2025 (14.19, 15.14, 16.10, 17.6, 18). Since then a dump says so itself, together with the word that
ends it, and two of them do not go together: the dump's own lines are taken out.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator

from manor.errors import Code, EngineError

_OWN = re.compile(rb"^\\restrict ([A-Za-z0-9]+)\r?\n", re.MULTILINE)
_LOOKED_AT = 65536
"""Bytes of the beginning in which a dump's own ``\\restrict`` stands, if it has one."""


async def in_transaction(text: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The SQL in a transaction that commits at its end: with its own option psql would commit also where whoever feeds it dies
    in the middle."""
    yield b"\\restrict " + secrets.token_hex(16).encode() + b"\nBEGIN;\n"
    async for chunk in without_own_restriction(text):
        yield chunk
    yield b"\nCOMMIT;\n"


async def without_own_restriction(text: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same text, but for lines ``\\restrict WORD`` and ``\\unrestrict WORD`` with the first such word of its beginning."""
    word: bytes | None = None
    held = b""
    async for chunk in text:
        held += chunk
        if word is None and len(held) < _LOOKED_AT:
            continue
        word = _word(held) if word is None else word
        if not word:
            yield held
            held = b""
            continue
        # A line may be cut by the chunk's end: whole lines go on, the rest waits.
        whole, newline, held = held.rpartition(b"\n")
        yield _without(whole + newline, word)
    yield _without(held, _word(held) if word is None else word)


def explained(error: EngineError) -> EngineError:
    """The error with what to do about it, where psql refused a command of its own or does not know how to."""
    if "backslash commands are restricted" in error.message or "unrestrict: wrong key" in error.message:
        hint = r"a dump of one database holds SQL only: take out psql's own commands (\connect, \!, \i), or dump without -C"
        return EngineError(error.message, hint=hint, code=Code.REFUSED)
    if r"invalid command \restrict" in error.message:
        hint = "install PostgreSQL's client programs of August 2025 or later: older ones cannot be kept to one database"
        return EngineError(error.message, hint=hint, code=Code.UNSUPPORTED)
    return error


def _word(beginning: bytes) -> bytes:
    found = _OWN.search(beginning[:_LOOKED_AT])
    return found[1] if found else b""


def _without(text: bytes, word: bytes) -> bytes:
    if not word or word not in text:
        return text
    return re.sub(rb"^\\(?:un)?restrict " + word + rb"\r?(?:\n|\Z)", b"", text, flags=re.MULTILINE)
