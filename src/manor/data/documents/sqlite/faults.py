"""SQLite's errors in our words."""

from __future__ import annotations

import sqlite3

from manor.data.documents.faults import WriteConflict
from manor.errors import Code, EngineError, ManorError, UnreachableError

BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_CODES = {
    sqlite3.SQLITE_FULL: (Code.EXHAUSTED, "make room on the disk"),
    sqlite3.SQLITE_NOTADB: (Code.CORRUPT, "this file is no SQLite database"),
    sqlite3.SQLITE_CORRUPT: (Code.CORRUPT, "restore the file from a backup"),
    sqlite3.SQLITE_READONLY: (Code.DENIED, "the file, or its folder, cannot be written"),
}


def translated(error: sqlite3.Error, path: str) -> ManorError:
    """Ours for theirs. Nothing was written: a statement or commit that fails is rolled back by SQLite."""
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if primary in BUSY:
        return WriteConflict(f"another process has been writing {path} for too long")
    if primary == sqlite3.SQLITE_CANTOPEN:
        return UnreachableError(f"{path} cannot be opened", hint="its folder must exist, and be writable")
    code, hint = _CODES.get(primary, (Code.INTERNAL, ""))
    return EngineError(f"SQLite cannot go on with {path}: {error}", hint=hint, code=code)
