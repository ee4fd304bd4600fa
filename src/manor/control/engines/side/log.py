"""What a side instance's own log says about how the replay went. Pure; assumes that PostgreSQL speaks English."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from manor.errors import Code, EngineError

_LSN = r"([0-9A-F]+/[0-9A-F]+)"
_DAMAGED = re.compile(
    rf"(?:incorrect resource manager data checksum in record|record with (?:incorrect|invalid) prev-link \S+|"
    rf"invalid resource manager ID \S+|invalid record length|record length \d+ .*|invalid magic number|"
    rf"contrecord is requested by|there is no contrecord flag|invalid (?:contrecord|block_id|primary|info).*?) at {_LSN}"
)
_NAMED = re.compile(r"(?:in|of) (?:WAL segment|log segment|archive file) \"?([0-9A-F]{24})")
_WRONG_SIZE = re.compile(r"archive file \"([0-9A-F]{24})\" has wrong size")
_REDO_DONE = re.compile(rf"redo done at {_LSN}")
_LAST_COMMIT = re.compile(r"last completed transaction was at log time (.+)")
_INVALID_PAGE = re.compile(r"WARNING:\s+page \d+ of relation base/(\d+)/\S+ (?:is uninitialized|does not exist)")
_TAIL_LINES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the replay ended, as far as the log tells."""

    damaged: str = ""
    """Position or name of the piece of log that cannot be read."""
    last_commit: str = ""
    beyond: bool = False
    """The log ended before the target."""
    too_early: bool = False
    """The target lies before the end of the base backup."""


def read_end(text: str) -> Ended:
    """What ``text`` says of the end of recovery."""
    beyond = "recovery ended before configured recovery target was reached" in text
    commits, damaged = _LAST_COMMIT.findall(text), ""
    if beyond or "could not locate a valid checkpoint record" in text or "has wrong size" in text:
        damaged = _damaged(text)
    return Ended(
        damaged=damaged,
        last_commit=commits[-1].strip() if commits else "",
        beyond=beyond,
        too_early="before consistent recovery point" in text,
    )


def _damaged(text: str) -> str:
    for pattern in (_WRONG_SIZE, _NAMED, _DAMAGED):
        found = pattern.findall(text)
        if found:
            return str(found[-1])
    return ""


def incomplete_databases(text: str, oids: Collection[int]) -> tuple[int, ...]:
    """Which of ``oids`` lack pages that the log changes."""
    return tuple(sorted({int(oid) for oid in _INVALID_PAGE.findall(text)} & set(oids)))


def failure(text: str, *, target: str, segment: str, segments: Sequence[str]) -> EngineError:
    """The error for a replay that did not reach ``target``. ``segment``: the one that cannot be read, as far as it is known;
    ``segments``: what the archive has."""
    end = read_end(text)
    if segment:
        return EngineError(
            f"the log cannot be replayed to {target}: segment {segment} of the archive is damaged",
            code=Code.CORRUPT,
            hint="restore this file of the archive, choose a moment before it, or one after a later base backup",
        )
    if end.too_early:
        hint = "choose a later moment, or an older base backup"
        return EngineError(f"{target} lies before the end of the base backup", code=Code.REFUSED, hint=hint)
    if end.beyond:
        last = f"; its last transaction is of {end.last_commit}" if end.last_commit else ""
        return EngineError(
            f"{target} lies beyond the end of the archived log ({segments[-1] if segments else 'which is empty'}){last}",
            code=Code.NOT_FOUND,
            hint=f"choose a moment before {end.last_commit}" if end.last_commit else "",
        )
    tail = "\n".join(text.strip().splitlines()[-_TAIL_LINES:]) or "(it said nothing)"
    return EngineError(f"the side instance stopped before it reached {target}; it said:\n{tail}")
