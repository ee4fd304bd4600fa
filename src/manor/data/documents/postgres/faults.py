"""asyncpg's errors in our words."""

from __future__ import annotations

import asyncpg  # type: ignore[import-untyped]

from manor.data.documents.faults import OutcomeUnknown, TableMissing, Throttled, WriteConflict
from manor.errors import Code, EngineError, InputError, ManorError, UnreachableError

LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # "cannot switch to state": the server ended the session between a question and its answer
    OSError,
    EOFError,
)
_CONFLICTS = {"40001", "40P01", "55P03"}  # serialisation, deadlock, lock not available
_BUSY = {"53300", "53400"}  # too many connections, configuration limit
_ENDED = {"57P01", "57P02", "57P03", "57P05"}  # shut down, crashed, starting up, idle for too long
_CODES = {"42501": Code.DENIED, "53100": Code.EXHAUSTED, "53200": Code.EXHAUSTED, "57014": Code.TIMEOUT}
_CLASSES = {"28": Code.DENIED, "3D": Code.NOT_FOUND, "XX": Code.CORRUPT}


def translated(error: Exception, *, sent: bool) -> ManorError:
    """Ours for theirs. ``sent``: the statement that makes a write last was sent, and a lost connection leaves its outcome open.

    The server's own words are kept only where they hold no values.
    """
    state = getattr(error, "sqlstate", None) or ""
    if state == "23503":
        return TableMissing("a table does not exist", hint="await ensure_tables() makes it")
    if isinstance(error, asyncpg.ClientConfigurationError):
        return InputError("the URL of PostgreSQL cannot be used", hint="postgresql://user@host/database")
    if state in _CONFLICTS:
        return WriteConflict("another session of PostgreSQL was in the way")
    if state in _BUSY:
        return Throttled("PostgreSQL takes no more connections")
    if isinstance(error, LOST) or state in _ENDED:
        if sent:
            return OutcomeUnknown("the connection to PostgreSQL was lost before it answered")
        return UnreachableError(f"PostgreSQL does not answer: {type(error).__name__}", transient=True)
    code = _CODES.get(state) or _CLASSES.get(state[:2]) or Code.INTERNAL
    words = str(error).partition("\n")[0] if code is not Code.INTERNAL else type(error).__name__
    return EngineError(f"PostgreSQL refuses ({state or 'no code'}): {words}", code=code)
