"""What a key may be: relative text of parts with ``/`` between them, the same in a folder and in every cloud. Pure.

A part that begins with a dot is refused: ``.`` and ``..`` would walk out of the store, and names of that kind are the local
driver's own. The other characters refused are those that some cloud or its library would spell differently.
"""

from __future__ import annotations

from manor.errors import InputError

MAX_KEY_BYTES = 800
"""S3, GCS and Azure take 1,024 bytes or characters, the location's prefix included."""
MAX_PART_BYTES = 255
"""The length of a file name."""

_REFUSED = frozenset('\\{}^%`[]"<>~#|*?')


def check_key(key: str) -> str:
    """``key`` itself. Raises ``InputError`` where it cannot be a key of every kind of store."""
    if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        raise InputError(f"the storage key {key[:40]!r}… is longer than {MAX_KEY_BYTES} bytes")
    for part in key.split("/"):
        fault = _fault(part)
        if fault:
            raise InputError(f"{key!r} cannot be a storage key: {fault}", hint="write parts like a/b/c.dump, relative")
    return key


def check_prefix(prefix: str) -> str:
    """``prefix`` without a trailing ``/``; empty means all. It stands for whole parts: ``a`` has ``a/b`` and not ``ab``."""
    bare = prefix.removesuffix("/")
    return check_key(bare) if bare else ""


def _fault(part: str) -> str:
    if not part:
        return "it has an empty part"
    if part.startswith("."):
        return "a part begins with a dot"
    if len(part.encode("utf-8", "surrogatepass")) > MAX_PART_BYTES:
        return f"a part is longer than {MAX_PART_BYTES} bytes"
    refused = next((character for character in part if character in _REFUSED or not character.isprintable()), "")
    return f"it contains {refused!r}" if refused else ""
