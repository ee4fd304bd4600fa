"""Rows to tenants many at a time, column by column, wherever nothing about them is out of the ordinary.

Looking at whole columns is a few calls into C, and checking tenants one by one takes longer than reading them. Whatever is not
certain to be what ``rows.RowReader`` makes of it is left to that, by ``Unsure``: the quick way has no errors of its own.
"""

from __future__ import annotations

import datetime as dt
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from manor.control.registry.finite_json import holds_infinity
from manor.control.registry.search.fields import TENANT_INFO, Kind
from manor.control.registry.sql_table.rows import RowReader, json_object, list_of_instances
from manor.control.registry.tenant_columns import DEFAULTS, tenants_of, told_of
from manor.control.registry.tenant_info import TenantInfo

SIZE = 200
"""Rows at a time: few enough that the processor's cache holds them."""

Column = Sequence[Any]
_MOST_REMEMBERED = 2_000
_LONGEST_TEXT = 1_000
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_ONE_PART = re.compile(_PART)
_WORD = re.compile(r"[A-Za-z0-9_.-]{0,128}")
_ALL_PARTS = re.compile(rf"{_PART}(?:\n{_PART})*+")
_TIME_BEGINS_BY = frozenset({"T", " "})


class Unsure(Exception):
    """Something in these rows is not plain; not an error yet."""


class TableReader:
    """Rows to tenants, the quick way where that is sure of them."""

    def __init__(self, names: Sequence[str], defaults: Mapping[str, Any], *, where: str) -> None:
        self._batch = BatchReader(names, defaults)
        self._careful = RowReader(names, defaults, where=where)

    def tenants(self, rows: Sequence[Sequence[Any]]) -> list[TenantInfo]:
        """Raises ``InputError`` with the place of a row that is no tenant."""
        found: list[TenantInfo] = []
        for start in range(0, len(rows), SIZE):
            some = rows[start : start + SIZE]
            try:
                found += self._batch.tenants(some)
            except Unsure:
                found += map(self._careful.tenant, some)
        return found


class BatchReader:
    """Reads rows whose columns are ``names``, and remembers what values that come again and again mean."""

    def __init__(self, names: Sequence[str], defaults: Mapping[str, Any]) -> None:
        defaults = {name: list_of_instances(value) if name == "instances" else value for name, value in defaults.items()}
        self._names = names
        self._constants = {name: value for name, value in defaults.items() if name not in names}
        fallbacks = {**DEFAULTS, **defaults}
        self._reads = [(name, _reader(name, fallbacks.get(name))) for name in names]
        self._gaps = [number for number, name in enumerate(names) if fallbacks.get(name) is not None and name not in defaults]
        self._filled = set(defaults)

    def tenants(self, rows: Sequence[Sequence[Any]]) -> list[TenantInfo]:
        """One tenant per row. Raises ``Unsure``."""
        columns = list(zip(*rows, strict=True))
        values: dict[str, Iterable[Any]] = {}
        try:
            for (name, read), column in zip(self._reads, columns, strict=True):
                values[name] = read(column)
        except (TypeError, ValueError, OverflowError, AttributeError):
            raise Unsure from None
        for name, value in self._constants.items():
            values[name] = _reader(name, None)([value] * len(rows))
        return tenants_of(values, self._told(columns))

    def _told(self, columns: Sequence[Column]) -> Iterable[set[str]] | None:
        """Where a default stands in the place of NULL, the source told nothing. None: there is no such gap."""
        gaps = {
            self._names[number]: [value is None for value in columns[number]]
            for number in self._gaps
            if None in columns[number]
        }
        return told_of({*self._names, *self._filled}, gaps)


def _reader(name: str, fallback: Any) -> Callable[[Column], Iterable[Any]]:
    match TENANT_INFO.fields[name].kind:
        case Kind.TIME:
            return _gapped(_moments)
        case Kind.JSON:
            return _gapped(_objects)
    if name in ("tenant_id", "customer_code"):
        return _parts
    if name == "customer_name":
        return lambda column: _texts(column, fallback)
    if name == "instances":
        return _remembered(_instances, fallback)
    return _remembered(_choice(name) or _word, fallback)


def _parts(column: Column) -> Column:
    """They stand one below the other."""
    joined = "\n".join(column)
    if _ALL_PARTS.fullmatch(joined) is None or joined.count("\n") != len(column) - 1:
        raise Unsure
    return column


def _texts(column: Column, fallback: str) -> Iterable[Any]:
    if None in column:
        column = [fallback if text is None else text for text in column]
    if set(map(type, column)) != {str} or max(map(len, column)) > _LONGEST_TEXT:
        raise Unsure
    return column


def _remembered(mean: Callable[[Any], Any], fallback: Any) -> Callable[[Column], Iterable[Any]]:
    """For fields of few values; a list is known by what it holds."""
    known: dict[Any, Any] = {}

    def read(column: Column) -> Iterable[Any]:
        if list in set(map(type, column)):
            column = [tuple(value) if isinstance(value, list) else value for value in column]
        values = set(column)
        if not known.keys() >= values:
            if len(known) > _MOST_REMEMBERED:
                known.clear()
            known.update((value, fallback if value is None else mean(value)) for value in values)
        return map(known.__getitem__, column)

    return read


def _word(text: Any) -> str:
    if not isinstance(text, str) or _WORD.fullmatch(text) is None:
        raise Unsure
    return text


def _choice(name: str) -> Callable[[Any], Any] | None:
    choices = typing.get_args(TenantInfo.model_fields[name].annotation)
    if not choices or not all(isinstance(choice, str) for choice in choices):
        return None

    def mean(text: Any) -> Any:
        if text not in choices:
            raise Unsure
        return text

    return mean


def _instances(value: Any) -> tuple[str, ...]:
    names = list_of_instances(value)
    if not isinstance(names, tuple) or not names or not all(isinstance(n, str) and _ONE_PART.fullmatch(n) for n in names):
        raise Unsure
    if len(set(names)) < len(names):
        raise Unsure
    return names


def _gapped(read: Callable[[Column], list[Any]]) -> Callable[[Column], Iterable[Any]]:
    """``read`` for the values that are there; None for the others."""

    def spread(column: Column) -> Iterable[Any]:
        if None not in column:
            return read(column)
        there = [value for value in column if value is not None]
        found = iter(read(there) if there else ())
        return [None if value is None else next(found) for value in column]

    return spread


def _moments(column: Column) -> list[Any]:
    (kind,) = set(map(type, column))
    if kind is str:
        if not {text[10:11] for text in column} <= _TIME_BEGINS_BY or any("W" in text for text in column):
            raise Unsure
        column = list(map(dt.datetime.fromisoformat, column))
    elif kind is not dt.datetime:
        raise Unsure
    return [m.replace(tzinfo=dt.UTC) if m.tzinfo is None else m if m.tzinfo is dt.UTC else m.astimezone(dt.UTC) for m in column]


def _objects(column: Column) -> list[Any]:
    found = list(map(json_object, column)) if set(map(type, column)) != {dict} else list(column)
    if set(map(type, found)) != {dict} or holds_infinity(found):
        raise Unsure
    return found
