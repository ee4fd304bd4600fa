"""One cell of a table of tenants: from its text to the value of its field. Pure.

Every cell comes as text, a spreadsheet's own types included, so that there is one meaning. An empty cell says nothing: the
field keeps its default.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import Any

from manor.control.registry.finite_json import finite_json
from manor.control.registry.tenant_info import iso_moment
from manor.typed_input import describe

_LOOSE_MOMENT = re.compile(
    r"(?P<year>\d{4})[-/](?P<month>\d{1,2})[-/](?P<day>\d{1,2})"
    r"(?:[ T]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?)?",
    re.ASCII,
)
"""As spreadsheets write times into CSV where the year comes first."""


class Misfit(ValueError):
    """The text cannot be the field's value; ``hint`` says what could."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def cell_value(field: str, text: str) -> Any:
    """The value that the text of a cell that is not empty means for ``field``, as yet unchecked. Raises ``Misfit``."""
    if "\x00" in text:
        raise Misfit(f"{field} holds a NUL character", "no database stores it as text: is the encoding right?")
    read = _READ.get(field)
    return read(field, text) if read is not None else text


def moment(text: str) -> dt.datetime:
    """A point in time in UTC, which one without a zone is. Raises ``ValueError``."""
    try:
        return iso_moment(text)
    except ValueError:
        return _loose_moment(text)


def _loose_moment(text: str) -> dt.datetime:
    match = _LOOSE_MOMENT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
    return dt.datetime(year, month, day, hour, minute, second, tzinfo=dt.UTC)


def _moment(field: str, text: str) -> dt.datetime:
    try:
        return moment(text)
    except ValueError:
        hint = "write it like 2026-01-31, 2026-01-31 09:30 or 2026-01-31 09:30+09:00; without a zone it is UTC"
        raise Misfit(f"{field} is no point in time: {describe(text)}", hint) from None


def instances(text: str) -> tuple[str, ...]:
    """``main;test`` as its names; a semicolon at the end is allowed. Raises ``ValueError`` where one is named twice."""
    names = tuple(name.strip() for name in text.rstrip().removesuffix(";").split(";"))
    if len(set(names)) < len(names):
        raise ValueError(text)
    return names


def _instances(field: str, text: str) -> tuple[str, ...]:
    try:
        return instances(text)
    except ValueError:
        raise Misfit(f"{field} names one of them twice: {describe(text)}", "write each once, such as main;test") from None


def json_object(text: str) -> dict[str, Any]:
    """Raises ``ValueError`` for what is no JSON object, or one that PostgreSQL cannot store."""
    if "\\u0000" in text:
        raise ValueError("it holds a NUL character")
    found = finite_json(text)
    if type(found) is not dict:
        raise ValueError(f"it is {describe(found)}")
    return found


def _json(field: str, text: str) -> dict[str, Any]:
    try:
        return json_object(text)
    except ValueError as error:
        raise Misfit(f"{field} is no JSON object: {error}", 'write it like {"plan": "gold", "seats": 5}') from None


_READ: Mapping[str, Callable[[str, str], Any]] = {
    "created_at": _moment,
    "updated_at": _moment,
    "instances": _instances,
    "billing_info": _json,
    "contract_info": _json,
}
