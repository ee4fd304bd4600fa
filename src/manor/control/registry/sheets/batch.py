"""Rows to tenants a hundred at a time, column by column, wherever nothing about them is out of the ordinary.

Looking at whole columns is a few calls into C; looking at cells one by one takes longer than reading them. Whatever is not
certain to be what ``careful.read_row`` makes of it is left to that, by ``Unsure``: the quick way has no errors of its own.
"""

from __future__ import annotations

import datetime as dt
import operator
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

from pydantic_core import from_json

from manor.control.registry.finite_json import may_overflow
from manor.control.registry.sheets.cells import instances
from manor.control.registry.sheets.header import Header
from manor.control.registry.tenant_columns import DEFAULTS, tenants_of, told_of
from manor.control.registry.tenant_info import BEFORE_TIMES, TenantInfo

SIZE = 100
"""Rows at a time: few enough that Python's collector and the processor's cache do not notice them."""

Column = Sequence[str]
_READY = frozenset({"tenant_id", "customer_code"})
_WORDS = frozenset({"database_prefix", "schema_suffix", "table_prefix"})
_NOT_IN_JSON = ("\\u0000", "NaN", "Infinity")
"""What the parser lets through and others do not; within a text they are only looked at more closely."""
_BEFORE_TIMES = BEFORE_TIMES - {""}
_before_time = operator.itemgetter(slice(10, 11))
_MOST_REMEMBERED = 2_000
_LONGEST_TEXT = 1_000


def _lines(one: str) -> re.Pattern[str]:
    """Cells one below the other."""
    return re.compile(rf"(?:{one})(?:\n(?:{one}))*+", re.ASCII)


_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_ONE_PART = re.compile(_PART)
_ALL_PARTS = _lines(_PART)
_ALL_WORDS = _lines(r"[A-Za-z0-9_.-]{0,128}")


class Unsure(Exception):
    """Something in these rows is not plain; not an error yet."""


class BatchReader:
    """Reads batches of one table, and remembers what values that come again and again mean."""

    def __init__(self, header: Header) -> None:
        self._width = {header.width}
        self._fields = header.fields
        self._parts = [number for field, number in header.fields.items() if field in _READY]
        self._words = [number for field, number in header.fields.items() if field in _WORDS]
        self._reads: list[tuple[str, int, Callable[[Column], Iterable[Any]]]] = [
            (field, number, _repeated(_REPEATED[field]) if field in _REPEATED else _READ[field])
            for field, number in header.fields.items()
            if field not in _READY
        ]

    def tenants(self, rows: Sequence[Sequence[str]]) -> tuple[Column, list[TenantInfo]]:
        """The ids, and one tenant per row. Raises ``Unsure``."""
        if set(map(len, rows)) != self._width:
            raise Unsure
        columns = list(zip(*rows, strict=False))  # they are equally long
        _require(_ALL_PARTS, [columns[number] for number in self._parts])
        if written := [column for number in self._words if any(column := columns[number])]:
            _require(_ALL_WORDS, written)
        values: dict[str, Iterable[Any]] = {field: columns[self._fields[field]] for field in _READY}
        try:
            for field, number, read in self._reads:
                values[field] = read(columns[number])
        except (ValueError, OverflowError):
            raise Unsure from None
        return columns[self._fields["tenant_id"]], tenants_of(values, self._told(columns))

    def _told(self, columns: Sequence[Column]) -> Iterable[set[str]] | None:
        """Where a default stands in the place of an empty cell, the source told nothing."""
        empty = (
            (field, columns[number])
            for field, number in self._fields.items()
            if DEFAULTS.get(field) is not None and not all(columns[number])
        )
        return told_of(self._fields, {field: [not text for text in column] for field, column in empty})


def _require(pattern: re.Pattern[str], columns: Sequence[Column]) -> None:
    """All cells are as the pattern has them, which takes them one below the other."""
    joined = "\n".join(chain.from_iterable(columns))
    if pattern.fullmatch(joined) is None or joined.count("\n") != len(columns) * len(columns[0]) - 1:
        raise Unsure


def _or_default(field: str) -> Callable[[Column], Iterable[Any]]:
    default = DEFAULTS[field]

    def read(column: Column) -> Iterable[Any]:
        return [text or default for text in column] if any(column) else repeat(default)

    return read


def _texts(column: Column) -> Iterable[Any]:
    stripped = list(map(str.strip, column))
    if max(map(len, stripped)) > _LONGEST_TEXT or "\x00" in "".join(stripped):
        raise Unsure
    return stripped


def _spread(read: Callable[[Column], list[Any]]) -> Callable[[Column], Iterable[Any]]:
    """``read`` for the cells that are not empty; None for the others."""

    def spread(column: Column) -> Iterable[Any]:
        if all(column):
            return read(column)
        if not any(column):
            return repeat(None)
        found = iter(read([text for text in column if text]))
        return [next(found) if text else None for text in column]

    return spread


def _moments(texts: Column) -> list[Any]:
    """ISO times all alike, with a zone or without: giving one to each time takes ten times as long as reading it."""
    if not _BEFORE_TIMES.issuperset(map(_before_time, texts)):
        raise Unsure
    if dt.datetime.fromisoformat(texts[0]).tzinfo is None:
        texts = [f"{text}+00:00" for text in texts]
    found = list(map(dt.datetime.fromisoformat, texts))
    zones = [moment.tzinfo for moment in found]
    if zones.count(dt.UTC) == len(zones):
        return found
    if None in zones:
        raise Unsure
    return [moment.astimezone(dt.UTC) for moment in found]


def _objects(texts: Column) -> list[Any]:
    joined = "".join(texts)
    if any(word in joined for word in _NOT_IN_JSON) or may_overflow(joined):
        raise Unsure
    found = list(map(from_json, texts))
    if set(map(type, found)) != {dict}:
        raise Unsure
    return found


def _repeated(mean: Callable[[str], Any]) -> Callable[[Column], Iterable[Any]]:
    """For fields of few values."""
    known: dict[str, Any] = {}

    def read(column: Column) -> Iterable[Any]:
        values = set(column)
        if not known.keys() >= values:
            if len(known) > _MOST_REMEMBERED:
                known.clear()
            known.update((text, mean(text)) for text in values)
        return map(known.__getitem__, column)

    return read


def _choice(field: str) -> Callable[[str], Any]:
    choices = frozenset(typing.get_args(TenantInfo.model_fields[field].annotation))

    def mean(text: str) -> Any:
        if text and text not in choices:
            raise Unsure
        return text or DEFAULTS[field]

    return mean


def _word(field: str) -> Callable[[str], Any]:
    def mean(text: str) -> Any:
        if _ALL_WORDS.fullmatch(text) is None or "\n" in text:
            raise Unsure
        return text or DEFAULTS[field]

    return mean


def _instances(text: str) -> Any:
    names = instances(text) if text else DEFAULTS["instances"]
    if not all(map(_ONE_PART.fullmatch, names)):
        raise Unsure
    return names


_REPEATED: Mapping[str, Callable[[str], Any]] = {
    "region": _word("region"),
    "tier": _word("tier"),
    "status": _choice("status"),
    "isolation_strategy": _choice("isolation_strategy"),
    "instances": _instances,
}
_READ: Mapping[str, Callable[[Column], Iterable[Any]]] = {
    **{field: _or_default(field) for field in _WORDS},
    "customer_name": _texts,
    "created_at": _spread(_moments),
    "updated_at": _spread(_moments),
    "billing_info": _spread(_objects),
    "contract_info": _spread(_objects),
}
