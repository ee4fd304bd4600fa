"""Rows of a bound table as tenants. Columns that hold no value leave a field to its default."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from manor.control.registry.finite_json import checked, finite_json
from manor.control.registry.search.fields import TENANT_INFO, Kind
from manor.control.registry.tenant_info import TenantInfo, tenant_at
from manor.errors import InputError, Place

_SEPARATORS = re.compile(r"[;,]")
_AT_THE_END = re.compile(r"[;,]\s*\Z")


class RowReader:
    """Makes tenants of rows whose columns are ``names``. ``where`` is what places call the table; ``defaults`` are values of
    fields that a row says nothing of."""

    def __init__(self, names: Sequence[str], defaults: Mapping[str, Any], *, where: str) -> None:
        self._where = where
        self._defaults = {name: list_of_instances(value) if name == "instances" else value for name, value in defaults.items()}
        self._readers = tuple((name, _reader(name)) for name in names)

    def tenant(self, row: Sequence[Any]) -> TenantInfo:
        """Raises ``InputError`` with the place of a row that is no tenant."""
        values = {}
        for (name, read), given in zip(self._readers, row, strict=True):
            value = given if read is None or given is None else self._read(name, read, given, row)
            if value is not None:
                values[name] = value
        return tenant_at({**self._defaults, **values} if self._defaults else values, self.place(row))

    def _read(self, name: str, read: Callable[[Any], Any], given: Any, row: Sequence[Any]) -> Any:
        """An empty text says nothing, as an empty cell of a spreadsheet does."""
        if isinstance(given, str) and not given.strip():
            return None
        try:
            return read(given)
        except ValueError as error:
            raise InputError(f"{name} cannot be read: {error}", place=self.place(row)) from error

    def place(self, row: Sequence[Any]) -> Place:
        """A row is found again by its tenant."""
        number = next((index for index, (name, _) in enumerate(self._readers) if name == "tenant_id"), 0)
        if row[number] is None:
            return Place(f"{self._where}, a row without a tenant_id")
        return Place(f"{self._where}, row of tenant {str(row[number])[:128]!r}")


def _reader(name: str) -> Callable[[Any], Any] | None:
    if name == "instances":
        return list_of_instances
    return {Kind.TIME: _moment, Kind.JSON: json_object}.get(TENANT_INFO.fields[name].kind)


def list_of_instances(value: Any) -> Any:
    """``main;test``, with a semicolon or a comma at its end or without, a JSON list, or a list."""
    if isinstance(value, str):
        is_json = value.lstrip().startswith("[")
        value = json_object(value) if is_json else [p.strip() for p in _SEPARATORS.split(_AT_THE_END.sub("", value))]
    return tuple(value) if isinstance(value, list) else value


def _moment(value: Any) -> Any:
    """A day is its first moment."""
    is_day = isinstance(value, dt.date) and not isinstance(value, dt.datetime)
    return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC) if is_day else value


def json_object(value: Any) -> Any:
    """What a text of JSON holds; values that were read already stay. Raises ``ValueError``."""
    return finite_json(value) if isinstance(value, str | bytes) else checked(value)


def json_value(value: Any) -> Any:
    """A column of another type in settings, which are JSON."""
    match value:
        case None | bool() | int() | float() | str() | Mapping() | list():
            return value
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case _:
            return str(value)
