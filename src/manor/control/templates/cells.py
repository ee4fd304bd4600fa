"""One value against one column: does it fit, and what is it exactly.

Pure. Constants are checked when a template is loaded, values with variables once they are bound to a target; both pass
through ``fit_cell``. Text for a number column that is a number becomes that number, a number for a text column becomes
its digits.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from manor.control.templates.column_kinds import ColumnKind, Family
from manor.control.templates.model import Cell, Sql
from manor.scan import Text
from manor.typed_input import describe

MAX_DIGITS = 131_072
"""Digits before the point that PostgreSQL's numeric holds (PostgreSQL manual, Numeric Types)."""

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,6})?", re.ASCII)
_DATE = re.compile(r"(\d{4,6})[-/.](\d{1,2})[-/.](\d{1,2})(?:[ T]+\d{1,2}:\d{2}\S*.*)?", re.ASCII)
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?\s*(?:Z|[+-]\d{1,2}(?::?\d{2})?)?", re.ASCII)
_EVALUATED = frozenset({"now", "today", "tomorrow", "yesterday"})
_SPECIAL_DATES = frozenset({"infinity", "-infinity", "epoch"})
_SPECIAL_NUMBERS = frozenset({"nan", "infinity", "-infinity", "inf", "-inf"})
_TRUE = frozenset({"1", "true", "t"})
_FALSE = frozenset({"0", "false", "f"})


class Misfit(ValueError):
    """The value cannot stand in the column; ``hint`` says what could."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


_TAKES_LIST = (Family.JSON, Family.ARRAY, Family.SET, Family.OTHER)
"""``OTHER`` may be a vector or a domain over an array: the server decides."""


def fit_cell(cell: Any, kind: ColumnKind) -> Cell:
    """``cell`` as it goes into a column of ``kind``. Raises ``Misfit``. NULL and ``!sql`` fit every kind."""
    if cell is None or isinstance(cell, Sql):
        return cell
    if isinstance(cell, Text):
        return _fit_variable(cell, kind)
    if isinstance(cell, dict) and kind.family is not Family.JSON:
        raise Misfit("a mapping fits only into a JSON column")
    if isinstance(cell, list) and kind.family not in _TAKES_LIST:
        raise Misfit("a list fits only into a JSON or array column")
    return _FITS[kind.family](cell, kind)


def _fit_variable(cell: Text, kind: ColumnKind) -> Text:
    """Inside JSON or array text a value could end the string it stands in; it must stay one value."""
    structured = kind.family is Family.ARRAY or (kind.family is Family.JSON and _may_become_json(cell))
    if structured and len(cell.parts) > 1:
        raise Misfit(
            f"a variable cannot stand inside the text of {kind.family.value}",
            "write the value as a YAML mapping or list: there the variable stays one value",
        )
    return cell


def _may_become_json(cell: Text) -> bool:
    first = cell.parts[0]
    return not isinstance(first, str) or first.lstrip()[:1] in ("", "{", "[")


def _text(cell: Any, kind: ColumnKind) -> str:
    if isinstance(cell, bool):
        raise Misfit("true or false for a text column", "put it in quotes")
    if isinstance(cell, bytes):
        raise Misfit("bytes for a text column")
    text = cell if isinstance(cell, str) else str(cell)
    if "\x00" in text:
        raise Misfit("the text holds a NUL character", "PostgreSQL cannot store it")
    if kind.length is not None and len(text) > kind.length:
        raise Misfit(f"the text has {len(text)} characters, the column takes {kind.length}")
    return text


def _number(cell: Any, what: str) -> Decimal:
    if isinstance(cell, bool):
        raise Misfit(f"true or false for a column that takes {what}", "write 1 or 0")
    if isinstance(cell, int) or (isinstance(cell, Decimal) and cell.is_finite()):
        return Decimal(cell)
    if not isinstance(cell, str) or not _NUMBER.fullmatch(cell.strip()):
        raise Misfit(f"{describe(cell)} is not {what}")
    return Decimal(cell.strip())


def _integer(cell: Any, kind: ColumnKind) -> int:
    number = _number(cell, kind.family.value)
    if number.is_zero():
        return 0
    if number.adjusted() > 40 or not kind.lowest <= number <= kind.highest:
        raise Misfit(f"{describe(cell)} is out of range: {kind.lowest:,} to {kind.highest:,}")
    if number != number.to_integral_value():
        raise Misfit(f"{describe(cell)} is not a whole number")
    return int(number)


def _decimal(cell: Any, kind: ColumnKind) -> Cell:
    if isinstance(cell, str) and cell.strip().lower() in _SPECIAL_NUMBERS:
        return cell.strip()
    number = _number(cell, kind.family.value)
    if number.adjusted() >= MAX_DIGITS or int(number.as_tuple().exponent) < -16_383:
        raise Misfit(f"{describe(cell)} is out of range")
    if kind.precision is not None:
        _check_digits(number, kind.precision, kind.scale)
    return number


def _check_digits(number: Decimal, precision: int, scale: int) -> None:
    digits = number.normalize()
    after = max(0, -int(digits.as_tuple().exponent))
    before = max(0, digits.adjusted() + 1) if digits else 0
    if after > scale:
        raise Misfit(f"{number} has {after} digits after the point, the column keeps {scale}")
    if before > precision - scale:
        raise Misfit(f"{number} has {before} digits before the point, the column takes {precision - scale}")


def _float(cell: Any, kind: ColumnKind) -> Cell:
    if isinstance(cell, str) and cell.strip().lower() in _SPECIAL_NUMBERS:
        return cell.strip()
    number = _number(cell, kind.family.value)
    if number and not -308 <= number.adjusted() <= 307:
        raise Misfit(f"{describe(cell)} is out of range")
    return number


def _boolean(cell: Any, _kind: ColumnKind) -> bool:
    word = cell.strip().lower() if isinstance(cell, str) else str(cell).lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise Misfit(f"{describe(cell)} is not true or false", "write true, false, 1 or 0")


def _date(cell: Any, kind: ColumnKind) -> str:
    if not isinstance(cell, str):
        raise Misfit(f"{describe(cell)} is not {kind.family.value}")
    word = cell.strip()
    if word.lower() in _EVALUATED:
        raise Misfit(f"{describe(cell)} would be evaluated by the database", "write !sql NOW() where that is meant")
    if word.lower() in _SPECIAL_DATES or _is_date(word):
        return cell
    example = "2024-01-31" if kind.family is Family.DATE else "2024-01-31 12:00:00+00:00"
    raise Misfit(f"{describe(cell)} is not {kind.family.value}", f"write it like {example}")


def _is_date(text: str) -> bool:
    if "W" in text:  # a week date of ISO 8601, which databases do not read
        return False
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        match = _DATE.fullmatch(text)
        if not match:
            return False
        year, month, day = map(int, match.groups())
        return _is_day(year, month, day)
    return True


def _is_day(year: int, month: int, day: int) -> bool:
    try:
        dt.date(
            2000 + year % 400, month, day
        )  # the calendar repeats every 400 years; Python's ends with 9999, PostgreSQL's does not
    except ValueError:
        return False
    return year > 0


def _time(cell: Any, kind: ColumnKind) -> str:
    match = _TIME.fullmatch(cell.strip()) if isinstance(cell, str) else None
    if not match or int(match.group(1)) > 24 or int(match.group(2)) > 59:
        raise Misfit(f"{describe(cell)} is not {kind.family.value}", "write it like 09:30:00")
    return str(cell)


def _json(cell: Any, _kind: ColumnKind) -> Cell:
    """Text that begins like a JSON object or array is one (CSV has no other way to write them); other text is a JSON string."""
    if isinstance(cell, bytes):
        raise Misfit("bytes for a JSON column")
    if not isinstance(cell, str) or cell.lstrip()[:1] not in ("{", "["):
        return cell  # type: ignore[no-any-return]
    try:
        return json.loads(cell, parse_float=Decimal)  # type: ignore[no-any-return]
    except (ValueError, RecursionError):
        raise Misfit(f"{describe(cell)} begins like JSON and is not", "write a YAML mapping or list") from None


def _array(cell: Any, kind: ColumnKind) -> Cell:
    if isinstance(cell, list) and kind.element is not None:
        return [_array(item, kind) if isinstance(item, list) else fit_cell(item, kind.element) for item in cell]
    if isinstance(cell, str) and cell.startswith("{") and cell.endswith("}"):
        return cell
    raise Misfit(f"{describe(cell)} is not an array", "write a YAML list")


def _uuid(cell: Any, _kind: ColumnKind) -> str:
    try:
        uuid.UUID(cell if isinstance(cell, str) else "")
    except ValueError:
        raise Misfit(f"{describe(cell)} is not a UUID") from None
    return str(cell)


def _enum(cell: Any, kind: ColumnKind) -> str:
    text = _text(cell, kind)
    if kind.items and text not in kind.items:
        raise Misfit(f"{text!r} is none of the items", f"items: {', '.join(kind.items)}")
    return text


def _set(cell: Any, kind: ColumnKind) -> Cell:
    parts = cell if isinstance(cell, list) else [part for part in _text(cell, kind).split(",") if part]
    return [part if isinstance(part, Text) else _enum(part, kind) for part in parts]


def _other(cell: Any, _kind: ColumnKind) -> Cell:
    return cell  # type: ignore[no-any-return]


def _binary(cell: Any, kind: ColumnKind) -> Cell:
    if isinstance(cell, (str, bytes)):
        return cell
    raise Misfit(f"{describe(cell)} is not {kind.family.value}", r"write it as text like \x00ff")


_FITS: dict[Family, Callable[[Any, ColumnKind], Cell]] = {
    Family.TEXT: _text,
    Family.INTEGER: _integer,
    Family.DECIMAL: _decimal,
    Family.FLOAT: _float,
    Family.BOOLEAN: _boolean,
    Family.TIMESTAMP: _date,
    Family.DATE: _date,
    Family.TIME: _time,
    Family.JSON: _json,
    Family.ARRAY: _array,
    Family.UUID: _uuid,
    Family.BINARY: _binary,
    Family.ENUM: _enum,
    Family.SET: _set,
    Family.OTHER: _other,
}
