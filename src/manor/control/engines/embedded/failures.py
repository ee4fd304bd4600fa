"""What goes wrong around a server process, as Manor's errors: the operating system's and PostgreSQL's own texts.

Assumes that PostgreSQL speaks English, which holds because its processes run with ``LC_ALL=C``
(``account.process_environment``).
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from manor.errors import Code, EngineError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL_TEXTS = ("No space left on device", "Disk quota exceeded")
_TAIL_LINES = 12


def is_full(text: str) -> bool:
    """Whether a program's output says that the disk (or a quota) is full."""
    return any(phrase in text for phrase in _FULL_TEXTS)


def process_failed(doing: str, output: str, where: Path, *, code: Code = Code.INTERNAL) -> EngineError:
    """The error for a PostgreSQL program that failed: the end of what it printed, and ``exhausted`` where the disk is full."""
    tail = "\n".join(output.strip().splitlines()[-_TAIL_LINES:]) or "(it printed nothing)"
    if is_full(output):
        return EngineError(
            f"{doing}: the disk is full; the last lines were:\n{tail}",
            code=Code.EXHAUSTED,
            hint=f"free some space on the file system of {where}, then run the command again",
        )
    return EngineError(f"{doing} failed; the last lines were:\n{tail}", code=code, hint="manor server logs shows more")


@contextlib.contextmanager
def translated(doing: str, where: Path) -> Iterator[None]:
    """Turn an ``OSError`` of the block into an ``EngineError`` that says what was being done, and to what."""
    try:
        yield
    except OSError as error:
        raise _translate(doing, where, error) from error


def _translate(doing: str, where: Path, error: OSError) -> EngineError:
    named = error.filename or where
    cause = error.strerror or str(error)
    if error.errno in _FULL:
        hint = f"free some space on the file system of {where}, then run the command again"
        return EngineError(f"{doing}: the disk is full ({named}: {cause})", code=Code.EXHAUSTED, hint=hint)
    if error.errno in _DENIED:
        hint = "run the command as the account that made it, or as root"
        return EngineError(f"{doing}: not allowed ({named}: {cause})", code=Code.DENIED, hint=hint)
    return EngineError(f"{doing}: {named}: {cause}")
