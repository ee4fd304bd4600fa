"""The user's SQL on a connection: several statements in one message, and what fails has a place in the user's file."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import generators, pq

from manor.control.engines.postgres.session import translate
from manor.control.engines.releases import ChangeStep
from manor.errors import Code, EngineError, InputError, ManorError, Place, UnreachableError

Connection = psycopg.AsyncConnection[Any]

_COPIES = {pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH}
_CORRECT = "correct the migration, or what stands in its way there, then `manor operation retry`"


def script_bytes(step: ChangeStep, text: str) -> bytes:
    """The user's SQL as it is sent. Raises ``InputError`` for a NUL character, at which libpq would stop in silence."""
    at = text.find("\0")
    if at >= 0:
        message = f"migration {step.version} contains a NUL character"
        raise InputError(message, place=_place_of(step, text, at), hint="PostgreSQL cannot read it; remove it")
    return text.encode()


async def run_placed(connection: Connection, script: bytes, step: ChangeStep, text: str, *, where: str) -> None:
    """Run ``script``: ``text``, which is the step's, or one statement of it. Raises ``EngineError`` with the place of the
    statement that failed, and ``UnreachableError``. ``where``: the database, for messages."""
    where = f"{where}, migration {step.version}{' (down)' if step.down else ''}"
    try:
        # Not ``execute``: of several results it tells the last one only, and their number says which statement failed.
        async with connection.lock:
            connection.pgconn.send_query(script)
            results = await connection.wait(generators.execute(connection.pgconn))
    except psycopg.Error as error:
        raise translate(error, where) from error
    last = results[-1]
    if last.status in _COPIES:
        hint = "write INSERT, or read a file that is on the server"
        message = f"{where}: COPY from or to the client has no place in a migration"
        raise EngineError(message, hint=hint, place=_statement(step, text, len(results) - 1), code=Code.BAD_INPUT)
    if last.status == pq.ExecStatus.FATAL_ERROR:
        raise _explain(psycopg.errors.error_from_result(last), where, step, text, len(results) - 1)


def _explain(error: psycopg.Error, where: str, step: ChangeStep, text: str, number: int) -> ManorError:
    """A failure of the user's SQL, in its statement ``number``, from 0."""
    found = translate(error, where)
    if not isinstance(found, UnreachableError):
        position = error.diag.statement_position
        found.place = _place_of(step, text, int(position) - 1) if position else _statement(step, text, number)
        found.hint = found.hint or _CORRECT
    return found


def _statement(step: ChangeStep, text: str, number: int) -> Place | None:
    """Where a statement of ``text`` begins."""
    if text != step.text:
        return _place_of(step, text, 0)
    return step.statements[number] if number < len(step.statements) else step.place


def _place_of(step: ChangeStep, text: str, offset: int) -> Place | None:
    """Where the character at ``offset`` of ``text`` stands in the file."""
    if step.place is None:
        return None
    before = (step.text or "")[: max(0, (step.text or "").find(text)) + offset]
    line, column = before.count("\n"), len(before) - before.rfind("\n")
    column += step.place.column - 1 if not line else 0
    return Place(step.place.file, step.place.line + line, column)
