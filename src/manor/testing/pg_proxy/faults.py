"""What a test may ask of the proxy: a fault, the messages it is for, and the points where a scenario can be broken. Pure."""

from __future__ import annotations

import enum
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from manor.testing.pg_proxy.wire import Direction, Message

Matches = Callable[[Message], bool]
"""Whether a fault is for a message. Called in the proxy's thread."""

_LITERAL = re.compile(r"'(?:[^']|'')*'")
_NUMBER = re.compile(r"\d+")


class Action(enum.StrEnum):
    """What is done to a message. "Both sides" are the client's and the server's connection."""

    CUT_BEFORE = "cut_before"
    """Close both sides; the message is not forwarded."""
    CUT_AFTER = "cut_after"
    """Forward the message, then close both sides; nothing that answers it gets through."""
    SWALLOW = "swallow"
    """Drop this one message; what follows passes."""
    SILENCE = "silence"
    """Drop this message and all that follows, both ways, even that a side has closed: the cable is out, and nobody is told."""
    HOLD = "hold"
    """Keep this message, and what follows in its direction, until ``Injection.release``; then forward, sender gone or not."""
    RESET = "reset"
    """As ``CUT_BEFORE``, with a TCP reset instead of a proper end; on a Unix socket whatever was not sent yet is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """Keep the message, and what follows in its direction, for a time; then forward, sender gone or not."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Do ``action`` to the messages that match, from the ``occurrence``-th on (counts from 1, over all connections)."""

    direction: Direction
    matches: Matches
    action: Action | Delay
    occurrence: int = 1
    times: int | None = 1
    """How often; None: from then on, always."""


def matching(
    *, type: str | None = None, text: str | None = None, database: str | None = None, application: str | None = None
) -> Matches:
    """Messages of that type (see ``Message``), whose text contains ``text`` in any case, on connections to that database and of
    that application; None: any."""

    def matches(message: Message) -> bool:
        return (
            type in (None, message.type)
            and (text is None or text.casefold() in message.text.casefold())
            and database in (None, message.database)
            and application in (None, message.application)
        )

    return matches


def normal_text(text: str) -> str:
    """SQL without what differs from run to run: each literal becomes ``'?'``, each number ``0``."""
    return _NUMBER.sub("0", _LITERAL.sub("'?'", text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A message that can be found again in another run of the same scenario: the n-th of its kind in its database."""

    database: str
    direction: Direction
    type: str
    text: str
    """As ``normalise`` made it."""
    occurrence: int
    normalise: Callable[[str], str] = normal_text

    def __str__(self) -> str:
        return f"{self.database} {self.direction} {self.type} {self.text} #{self.occurrence}"

    def fault(self, action: Action | Delay) -> Fault:
        """The fault that strikes here, once."""
        return Fault(direction=self.direction, matches=self.is_like, action=action, occurrence=self.occurrence)

    def is_like(self, message: Message) -> bool:
        """Whether a message is of this point's kind, whichever occurrence it is."""
        return self._key == (message.database, message.direction, message.type, self.normalise(message.text))

    @property
    def _key(self) -> tuple[str, Direction, str, str]:
        return self.database, self.direction, self.type, self.text


def points(messages: Iterable[Message], normalise: Callable[[str], str] = normal_text) -> list[Point]:
    """One point per message, in the same order. Pass *all* messages of a run, and choose among the points afterwards."""
    seen: Counter[tuple[str, Direction, str, str]] = Counter()
    found = []
    for message in messages:
        key = (message.database, message.direction, message.type, normalise(message.text))
        seen[key] += 1
        database, direction, kind, text = key
        found.append(
            Point(database=database, direction=direction, type=kind, text=text, occurrence=seen[key], normalise=normalise)
        )
    return found
