"""Constants against the type of what they are compared with: does it fit, and what is it exactly."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from manor.control.registry.search.fields import Kind
from manor.control.registry.search.nodes import Constant

_MOMENT = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?P<time>[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?P<zone> ?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?))?)?"
)
_WRITE_TIMES = "write '2026-11-20', '2026-11-20 09:30' or '2026-11-20 09:30+09:00'; without zone it is UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """``DATE '…'``, ``TIMESTAMP '…'`` or ``TIMESTAMPTZ '…'``, the text not yet read."""

    word: str
    text: str


class Misfit(ValueError):
    """The constant cannot be compared with the field; ``hint`` says what could."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def fit(value: Constant | Marked, kind: Kind, name: str) -> Constant:
    """``value`` as it is compared with the field ``name`` of ``kind``. Raises ``Misfit``."""
    if kind is Kind.TIME and isinstance(value, Marked | str):
        return _moment(value)
    if isinstance(value, Marked) and kind is Kind.JSON:
        hint = "write the text as it stands in the JSON: ISO dates sort by themselves, '2026-02-01' < '2026-11-20'"
        raise Misfit(f"dates inside of JSON are text, and {name} is looked up in JSON", hint)
    if isinstance(value, Marked) or not isinstance(value, _TAKES[kind]):
        raise Misfit(f"{name} is {kind.value}, which is not compared with {_called(value)}", _WRITE[kind])
    return value


def _called(value: Constant | Marked) -> str:
    match value:
        case Marked() | dt.datetime():
            return "a date"
        case bool():
            return "true or false"
        case str():
            return "text"
        case _:
            return "a number"


def _moment(value: str | Marked) -> dt.datetime:
    text = value.text if isinstance(value, Marked) else value
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise Misfit(f"{text[:40]!r} is no date and no time", _WRITE_TIMES)
    if isinstance(value, Marked):
        _check_mark(value, match)
    try:
        moment = dt.datetime.fromisoformat(_iso(match))
        return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise Misfit(f"{text!r} is not in the calendar", _WRITE_TIMES) from None


def _iso(match: re.Match[str]) -> str:
    return match[0].replace(" ", "T", 1).replace(" ", "")


def _check_mark(value: Marked, match: re.Match[str]) -> None:
    """PostgreSQL would cut off what the word does not cover, without saying so."""
    if value.word == "DATE" and match["time"]:
        raise Misfit("DATE takes a day without time", "write TIMESTAMP '…' or the text alone")
    if value.word == "TIMESTAMP" and match["zone"]:
        raise Misfit("TIMESTAMP takes a time without zone", "write TIMESTAMPTZ '…' or the text alone")


_TAKES: dict[Kind, tuple[type, ...]] = {
    Kind.TEXT: (str,),
    Kind.BOOLEAN: (bool,),
    Kind.TIME: (),
    Kind.JSON: (object,),
}
_WRITE = {
    Kind.TEXT: "write the text in quotes: '10'",
    Kind.BOOLEAN: "write true or false, without quotes",
    Kind.TIME: _WRITE_TIMES,
    Kind.JSON: "",
}
