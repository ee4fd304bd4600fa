"""Items as JSON text that a database can look into, exact both ways. Pure.

Strings, booleans, NULL, lists, maps and *plain* numbers are JSON's own, so that SQL can compare them. What JSON lacks is an
object with one name: ``{"$b": "AA=="}`` bytes, ``{"$ss": [..]}``, ``{"$ns": ["1.5"]}``, ``{"$bs": [..]}`` sets (sorted),
``{"$n": "1E+40"}`` a number that is not plain, ``{"$s": "6100"}`` a string with U+0000 (in hexadecimal). An attribute's name
that begins with ``$`` gets a second one, a name with U+0000 is ``$0`` and hexadecimal. An item that holds a number or string
that is not plain is *odd*: SQL may not judge it, ``evaluate`` does.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from manor.data.documents import numbers
from manor.data.documents.numbers import Number
from manor.data.documents.values import Item, Value, type_of


@dataclass(frozen=True, slots=True)
class Encoded:
    """``text`` is compact JSON; ``odd`` says that SQL cannot judge it."""

    text: str
    odd: bool


class JsonForm:
    """How items look in one database. ``is_plain`` tells the numbers that its JSON holds and compares exactly.

    Most items have nothing but what the standard library writes as fast as C can; ``suspect`` is a pattern of what may be a
    whole number that is not plain in its text (None: all are). A suspicion is enough to go the slow way.
    """

    def __init__(self, *, is_plain: Callable[[Number], bool], suspect: str | None = None) -> None:
        self.is_plain = is_plain
        self._suspect = re.compile(suspect).search if suspect else None

    def encode(self, value: Value) -> Encoded:
        """An item or one value, as text."""
        try:
            text = _written(value)
        except _NotJsonError:
            return self._spelled(value)
        if '"$' in text or "\\u0000" in text or (self._suspect and self._suspect(text)):
            return self._spelled(value)
        return Encoded(text, False)

    def _spelled(self, value: Value) -> Encoded:
        speller = _Speller(self.is_plain)
        text = speller.spell(value)
        return Encoded(text, speller.odd)


class _NotJsonError(Exception):
    pass


def _refuse(_value: Any) -> Any:
    raise _NotJsonError


_written = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"), default=_refuse).encode
_text = json.JSONEncoder(ensure_ascii=False).encode


class _Speller:
    def __init__(self, is_plain: Callable[[Number], bool]) -> None:
        self.is_plain = is_plain
        self.odd = False

    def spell(self, value: Value) -> str:
        kind = type(value)
        if kind is str:
            return self._string(value)
        if kind is int or kind is Decimal:
            return self._number(value)
        if kind is dict:
            return "{" + ",".join(f"{self._name(name)}:{self.spell(part)}" for name, part in value.items()) + "}"
        if kind is list:
            return "[" + ",".join(map(self.spell, value)) + "]"
        if kind is bytes:
            return f'{{"$b":"{_base64(value)}"}}'
        return self._set(value) if kind is set else _text(value)

    def _string(self, value: str) -> str:
        if "\0" not in value:
            return _text(value)
        self.odd = True
        return f'{{"$s":"{value.encode().hex()}"}}'

    def _number(self, value: Number) -> str:
        text = numbers.number_text(value)
        if self.is_plain(value):
            return text
        self.odd = True
        return f'{{"$n":"{text}"}}'

    def _name(self, name: str) -> str:
        self.odd = self.odd or "\0" in name
        return _text(stored_name(name))

    def _set(self, value: set[Any]) -> str:
        kind, elements = type_of(value), sorted(value)
        spell = self._string if kind == "SS" else _quoted
        spelled = map(spell, elements)
        return f'{{"${kind.lower()}":[{",".join(spelled)}]}}'


def _quoted(element: Number | bytes) -> str:
    return f'"{number_or_bytes(element)}"'


def stored_name(name: str) -> str:
    """What an attribute is called in the text."""
    if "\0" in name:
        return "$0" + name.encode().hex()
    return "$" + name if name[0] == "$" else name


def number_or_bytes(element: Number | bytes) -> str:
    """How an element stands in a set."""
    return _base64(element) if isinstance(element, bytes) else numbers.number_text(element)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


# And back


def decode(text: str) -> Item:
    """The item that ``encode`` was given, also after a database has written its text anew."""
    found: Item = (_TAGGED if '"$' in text else _PLAIN).decode(text)
    return found


def _decimal(text: str) -> Number:
    return numbers.canonical(Decimal(text))


def _untagged(found: dict[str, Any]) -> Any:
    if len(found) == 1:
        ((name, content),) = found.items()
        read = _READERS.get(name)
        if read is not None:
            return read(content)
    if any(name[0] == "$" for name in found):
        return {_plain_name(name): content for name, content in found.items()}
    return found


def _plain_name(name: str) -> str:
    if name.startswith("$0"):
        return bytes.fromhex(name[2:]).decode()
    return name.removeprefix("$")


_READERS: dict[str, Callable[[Any], Value]] = {
    "$s": lambda content: bytes.fromhex(content).decode(),
    "$n": numbers.parse_number,
    "$b": base64.b64decode,
    "$ss": set,
    "$ns": lambda content: set(map(numbers.parse_number, content)),
    "$bs": lambda content: set(map(base64.b64decode, content)),
}
_PLAIN = json.JSONDecoder(parse_float=_decimal)
_TAGGED = json.JSONDecoder(parse_float=_decimal, object_hook=_untagged)
