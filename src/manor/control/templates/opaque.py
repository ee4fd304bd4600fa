"""Values in the text of a template: opaque marks that are exchanged for the values after the text was parsed.

While a template renders, a ``Ledger`` keeps each value that it writes, and the text gets a mark with the value's number. A
mark consists of letters and digits, so that it means the same wherever YAML lets text stand, and nothing that a value looks
like can change what the text says. What a template catches with ``{% set %}…{% endset %}``, a macro or a filter block becomes a
``Captured``: to expressions it is the plain text, written out unchanged it is the author's own text with marks again. Pure.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import secrets
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from manor.errors import InputError

_MARK_BEGIN = f"mAnOr{secrets.token_hex(8)}VaLuE"
"""Of this process: nobody who writes a template can know it, and two tenants still get the same text."""
MARK = re.compile(_MARK_BEGIN + r"(\d+)eNd")
MAX_VALUES = 200_000
"""Values that one rendering may write."""
MAX_CAPTURED_CHARACTERS = 2_000_000
_FIRST = 200
_FIRST_MARKS = tuple(f"{_MARK_BEGIN}{number}eNd" for number in range(_FIRST))
"""Most documents need no others."""

Scalar = None | bool | int | Decimal | str
Value = Any
"""A ``Scalar``, or a list or mapping of them: what JSON has."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the value ``number`` of a ledger goes."""

    number: int


class Captured(str):
    """Text that a template caught: itself when it is looked at, its pieces when it is written."""

    __slots__ = ("pieces",)
    pieces: tuple[tuple[bool, Any], ...]
    """(whether it is a value, the author's text or the value)."""


class Ledger:
    """The values that one rendering has written, by their numbers, and how much work it has left."""

    def __init__(self, steps: int) -> None:
        self.values: list[Value] = []
        self.steps = steps

    def spend(self, steps: int) -> None:
        """Take ``steps`` from what is left. Raises ``InputError`` where that is not enough."""
        self.steps -= steps
        if self.steps < 0:
            raise InputError("the template does not come to an end: too many turns of loops and calls")

    def mark(self, value: Value) -> str:
        """Keep ``value``; returns what stands for it in the text."""
        values = self.values
        number = len(values)
        values.append(value)
        return _FIRST_MARKS[number] if number < _FIRST else f"{_MARK_BEGIN}{number}eNd"

    def write(self, value: Any) -> str:
        """The text for whatever a template writes. Raises ``InputError`` for what is not data."""
        kind = type(value)
        if kind is str:
            return self.mark(value)
        if kind is Captured:
            if len(self.values) + len(value.pieces) > MAX_VALUES:
                raise InputError(f"the template writes more than {MAX_VALUES:,} values")
            return "".join(self.mark(piece) if is_value else piece for is_value, piece in value.pieces)
        return self.mark(as_data(value))

    def capture(self, parts: Iterable[str]) -> Captured:
        """What a block of a template has written."""
        text = "".join(parts)
        if len(text) > MAX_CAPTURED_CHARACTERS:
            raise InputError(f"a block writes more than {MAX_CAPTURED_CHARACTERS:,} characters")
        pieces = tuple(self._pieces(text))
        plain = [_plain(piece) if is_value else piece for is_value, piece in pieces]
        if sum(map(len, plain)) > MAX_CAPTURED_CHARACTERS:
            raise InputError(f"a block holds more than {MAX_CAPTURED_CHARACTERS:,} characters")
        captured = Captured("".join(plain))
        captured.pieces = pieces
        return captured

    def _pieces(self, text: str) -> Iterable[tuple[bool, Any]]:
        for part in split(text):
            if isinstance(part, Slot):
                yield True, self.values[part.number]
            else:
                yield False, part


LEDGER: ContextVar[Ledger] = ContextVar("manor_template_ledger")
"""The ledger of the rendering that runs here."""


def split(text: str) -> list[str | Slot]:
    """``text`` cut into the author's text and the slots of values."""
    if _MARK_BEGIN not in text:
        return [text]
    pieces = MARK.split(text)
    parts: list[str | Slot] = [Slot(int(piece)) if index % 2 else piece for index, piece in enumerate(pieces)]
    return [part for part in parts if part != ""]


def as_data(value: Any) -> Value:
    """``value`` as JSON has it. Raises ``InputError`` for what no document can hold."""
    if isinstance(value, float):
        value = Decimal(repr(value))
    if value is None or isinstance(value, (bool, int, Decimal)):
        if isinstance(value, Decimal) and not value.is_finite():
            raise InputError(f"{value} cannot be written into a document", hint="write a number")
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (dt.datetime, dt.date)):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): as_data(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [as_data(item) for item in value]
    kind = type(value).__name__.lower()
    raise InputError(f"a {kind} cannot be written into a document", hint="write one of its fields")


def as_text(value: Value) -> str:
    """A value inside a longer text. Raises ``InputError`` for one that has no such form."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return str(value)
    if value is None:
        raise InputError("a value that is missing (none) stands inside a text", hint="write {{ … or '' }}")
    kind = "a list" if isinstance(value, list) else "a mapping"
    raise InputError(f"{kind} stands inside a text", hint="let it be the whole value, without quotes")


def _plain(value: Value) -> str:
    """What a value is to an expression that looks at the text around it."""
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (list, dict)) else as_text(value)
