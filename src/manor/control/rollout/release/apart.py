"""One step whose statements run outside transactions: each is journaled in the tenant's database before and after it.

Run again after a death it goes on where it stopped: what is done is left out, what was begun is looked at (``migrate.apart``).
A statement that fails by itself leaves nothing behind that stands in the way: an invalid index is dropped at once.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Sequence
from dataclasses import replace

from manor.control.engines.releases import Change, ReleaseDriver, StatementState, statement_digest
from manor.control.migrate.apart import Look, is_plainly_undone, outlook
from manor.errors import Code, EngineError, ManorError, counted

_CLEARING = -1
"""Ordinal of what Manor itself runs between the statements, and journals like them: it is none of the migration's."""


class Undecided(EngineError):
    """A statement was begun and nobody can tell what it came to, or a step failed after some of its statements."""


class Begun(enum.StrEnum):
    """What to take a statement for that was begun and of whose end nobody heard."""

    LOOK = "look"
    """Look whether it was done; ask where that cannot be seen."""
    DONE = "done"
    AGAIN = "again"


async def run_apart(server: ReleaseDriver, database: str, change: Change, *, begun: Begun = Begun.LOOK) -> bool:
    """Bring the change's only step to its end; whether anything was left to do.

    Raises ``Undecided`` (the tenant stands between two versions until somebody decides) and ``EngineError`` (nothing of the
    step remains).
    """
    states = await server.begin_apart(database, change)
    if states is None:
        return False
    texts = statements_of(change)
    states = tuple(state for state in states if state.ordinal != _CLEARING)
    done = {state.ordinal for state in states if state.state == "done"}
    open_ended = {state.ordinal for state in states if state.state == "begun"}
    believed: list[str] = []
    for ordinal, text in enumerate(texts):
        if ordinal in done:
            continue
        _refuse_other_text(database, change, states, ordinal, text)
        if ordinal in open_ended and await _was_done(server, database, change, text, begun):
            done.add(ordinal)
            believed += [text] if begun is Begun.DONE else []
            continue
        try:
            await server.run_apart(database, change, ordinal, text)
        except ManorError as error:
            if isinstance(error, EngineError) and is_plainly_undone(text):
                with contextlib.suppress(ManorError):  # then somebody is asked
                    await server.unbegin_apart(database, change, ordinal)
            raise await _failed(server, database, change, text, error, done, believed) from error
        done.add(ordinal)
    finish = replace(change, steps=(replace(change.steps[0], text=None),))
    try:
        await server.apply(database, finish)
    except EngineError as error:
        if believed:
            raise _was_not_done(database, change, believed, error) from error
        hint = error.hint or "correct what keeps it from going on"
        raise Undecided(
            f"{error.message}; its statements are done and stay",
            hint=f"{hint}; `manor operation resume` goes on from there",
            code=error.code,
            place=error.place,
        ) from error
    return True


def statements_of(change: Change) -> list[str]:
    """The texts of the step's statements."""
    from manor.control.migrate.statements import split  # imports sqlglot, which few commands need

    return [statement.text for statement in split(change.steps[0].text or "").statements]


def _refuse_other_text(database: str, change: Change, states: tuple[StatementState, ...], ordinal: int, text: str) -> None:
    known = {state.ordinal: state.digest for state in states}
    if known.get(ordinal, statement_digest(text)) != statement_digest(text):
        raise Undecided(
            f"database {database}: migration {change.steps[0].version} was begun with another text",
            hint="put the file back as it was, or finish by hand and `manor operation decide`",
            code=Code.CONFLICT,
        )


async def _was_done(server: ReleaseDriver, database: str, change: Change, text: str, begun: Begun) -> bool:
    """Whether a begun statement came to its end; clears away what it left half-made."""
    seen = outlook(text)
    if begun is Begun.DONE:
        return True
    if seen.look is Look.REPEAT or (seen.look is Look.ASK and begun is Begun.AGAIN):
        return False
    if seen.look is Look.ASK:
        raise Undecided(
            f"database {database}: migration {change.steps[0].version}: nobody knows if this was done: {text.strip()[:80]}",
            hint=f"look into the database, then `{_decide(database, change)} --as done` if it was, else `--as again`",
            code=Code.INTERRUPTED,
        )
    valid = await server.index_is_valid(database, seen.index)
    if seen.look is Look.INDEX_DROPPED:
        return valid is None
    if valid is False:
        await _drop_index(server, database, change, seen.index)
    return valid is True


async def _failed(
    server: ReleaseDriver,
    database: str,
    change: Change,
    text: str,
    error: ManorError,
    done: set[int],
    believed: Sequence[str],
) -> ManorError:
    seen = outlook(text)
    if seen.look is Look.INDEX_MADE:
        with contextlib.suppress(ManorError):
            if await server.index_is_valid(database, seen.index) is False:
                await _drop_index(server, database, change, seen.index)
    if not done:
        return error
    message = f"{error.message}; done before it, and staying: {counted(len(done), 'statement')}"
    hint = error.hint or "correct what keeps it from going on, then `manor operation resume` goes on from there"
    if believed:
        hint = f"{hint}; if {_shown(believed)} was not done after all: `{_decide(database, change)} --as again` runs it"
    return Undecided(message, hint=hint, code=error.code, place=error.place)


def _was_not_done(database: str, change: Change, believed: Sequence[str], error: EngineError) -> Undecided:
    """What comes out is not the release, behind statements that somebody said were done: the way on from there."""
    again = f"`{_decide(database, change)} --as again` runs it"
    by_half = (
        f"where it was done by half, `manor tenant show {database} --drift` lists what is there of the migration: "
        "do the rest by hand, then `--as done`"
    )
    return Undecided(
        f"{error.message}; taken for done, and it seems not to be: {_shown(believed)}",
        hint=f"{again}; {by_half}",
        code=error.code,
        place=error.place,
    )


def _decide(database: str, change: Change) -> str:
    return f"manor operation decide {change.operation} --tenant-id {database}"


def _shown(texts: Sequence[str]) -> str:
    return "; ".join(" ".join(text.split())[:80] for text in texts)


async def _drop_index(server: ReleaseDriver, database: str, change: Change, index: str) -> None:
    await server.run_apart(database, change, _CLEARING, f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
