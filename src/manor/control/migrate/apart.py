"""Statements outside transactions: what to do about one that was begun and of whose end nobody heard. Pure.

A statement that was killed half-way may have been done, may have left something behind (an invalid index), or nothing. Some can
be looked at, some can simply be repeated; of the others only a person knows.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

_NAME = r'((?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)(?:\.(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*))?)'
_CREATE_INDEX = re.compile(
    rf"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?!ON\b){_NAME}\s+ON\s+(?:ONLY\s+)?{_NAME}", re.I
)
_DROP_INDEX = re.compile(rf"DROP\s+INDEX\s+CONCURRENTLY\s+(?:IF\s+EXISTS\s+)?{_NAME}\s*(?:CASCADE|RESTRICT)?\s*;?\s*$", re.I)
_REPEATABLE = re.compile(
    r"(?:VACUUM|ANALYZE|REINDEX|REFRESH\s+MATERIALIZED\s+VIEW|CLUSTER|CHECKPOINT|SET|RESET|SELECT\s+1|COMMENT\s+ON"
    r"|ALTER\s+TYPE\s+\S+\s+ADD\s+VALUE\s+IF\s+NOT\s+EXISTS"
    r"|CREATE\s+OR\s+REPLACE"
    r"|ALTER\s+TABLE\s+\S+\s+VALIDATE\s+CONSTRAINT)\b",
    re.I,
)
_CONDITIONAL = re.compile(r"(?:CREATE\s+(?:\w+\s+){1,2}IF\s+NOT\s+EXISTS|DROP\s+(?:\w+\s+){1,2}IF\s+EXISTS)\b", re.I)
_MAY_COMMIT = re.compile(r"(?:CALL|DO)\b", re.I)
_COMMENTS = re.compile(r"\A(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.S)


class Look(enum.StrEnum):
    """How to find out what a begun statement came to."""

    INDEX_MADE = "index_made"
    """Done if the index is valid; an invalid one is dropped first, then it is run again."""
    INDEX_DROPPED = "index_dropped"
    """Done if the index is gone; run again otherwise."""
    REPEAT = "repeat"
    """Running it again does no harm."""
    ASK = "ask"
    """The state cannot tell: a person decides."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What can be known about one statement."""

    look: Look
    index: str = ""
    """The index's name as it would stand in SQL, with its table's schema where the statement names one."""


def outlook(text: str) -> Outlook:
    """Of one statement, comments before it left out."""
    statement = _COMMENTS.sub("", text)
    if found := _CREATE_INDEX.match(statement):
        name, table = found[1], found[2]
        schema, dot, _ = table.rpartition(".")
        return Outlook(Look.INDEX_MADE, f"{schema}{dot}{name}")
    if found := _DROP_INDEX.match(statement):
        return Outlook(Look.INDEX_DROPPED, found[1])
    if _REPEATABLE.match(statement) or _CONDITIONAL.match(statement):
        return Outlook(Look.REPEAT)
    return Outlook(Look.ASK)


def is_plainly_undone(text: str) -> bool:
    """Whether nobody need be asked about one statement that the server refused: nothing of it is there. Procedures and blocks
    may have committed half-way; of indexes and what can be repeated the state tells anyway."""
    return outlook(text).look is Look.ASK and _MAY_COMMIT.match(_COMMENTS.sub("", text)) is None
