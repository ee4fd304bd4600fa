"""Names and text as SQL tokens.

Assumes ``standard_conforming_strings = on`` (PostgreSQL's default since 9.1): a backslash inside a literal is a backslash.
"""

from __future__ import annotations

import hashlib

from manor.errors import InputError, Place
from manor.tenancy import POSTGRES_MAX_BYTES

_DIGEST_CHARACTERS = 8


def quote_identifier(name: str) -> str:
    """``name`` as a quoted identifier. Raises ``InputError`` for what no identifier can hold (nothing, a NUL character)."""
    if not name or "\0" in name:
        raise InputError(f"{name!r} cannot be a name")
    return '"' + name.replace('"', '""') + '"'


def quote_identifiers(names: tuple[str, ...]) -> str:
    """Quoted identifiers with commas between them."""
    return ", ".join(quote_identifier(name) for name in names)


def quote_literal(text: str, *, place: Place | None = None) -> str:
    """``text`` as a string literal. Raises ``InputError`` for a NUL character, which PostgreSQL cannot store."""
    if "\0" in text:
        raise InputError("a text value contains a NUL character", place=place, hint="PostgreSQL cannot store it; remove it")
    return "'" + text.replace("'", "''") + "'"


def shorten_name(name: str) -> str:
    """A generated name cut to 63 bytes; a digest of the whole keeps two long ones apart, where the server would cut in
    silence."""
    encoded = name.encode()
    if len(encoded) <= POSTGRES_MAX_BYTES:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:_DIGEST_CHARACTERS]
    head = encoded[: POSTGRES_MAX_BYTES - _DIGEST_CHARACTERS - 1].decode(errors="ignore")
    return f"{head}_{digest}"
