"""Fields of ``TenantInfo`` bound to the columns that a table turns out to have.

What SELECT reads is the column, as a text where the field is one; what conditions compare is the same with the default in the
place of NULL, which is what the tenant will have. A field without a column is its default, and not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import NullType

from manor.control.registry.search.fields import TENANT_INFO, Kind
from manor.control.registry.tenant_info import FIELDS, TenantInfo
from manor.errors import InputError
from manor.scan import suggest

Expression = sa.ColumnElement[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundField:
    """One field as this table has it."""

    name: str
    kind: Kind
    read: Expression | None
    """None: there is no column."""
    expression: Expression
    """What is compared."""
    comparable: bool
    """Whether conditions can be compiled over the expression; else its values are looked at after they were read."""
    column: sa.Column[Any] | None = None
    zoned: bool = False
    """Of points in time: whether the column has a time zone; without one it is UTC."""


BoundFields = Mapping[str, BoundField]


def bind_fields(
    table: sa.Table, names: Mapping[str, str], defaults: Mapping[str, Any], dialect: str, *, source: str
) -> BoundFields:
    """``names``: by field the column that holds it, where that is called otherwise; ``defaults``: values of fields without one.

    Raises ``InputError`` for a column that is not there, and where nothing gives ``tenant_id`` or ``customer_code``.
    """
    for field, column in names.items():
        if column not in table.c:
            hint = suggest(column, table.c.keys()) or f"known there: {', '.join(table.c.keys())}"
            raise InputError(f"source {source}: {table.name} has no column {column!r} for {field}", hint=hint)
    bound = {}
    for field in FIELDS:
        found = table.c.get(names.get(field, field))
        if found is None and TenantInfo.model_fields[field].is_required() and field not in defaults:
            hint = f"name it: columns: {{{field}: …}}; known there: {', '.join(table.c.keys())}"
            raise InputError(f"source {source}: {table.name} has no column {field!r}", hint=hint)
        bound[field] = _bound(field, found, defaults.get(field), dialect)
    return bound


def _bound(field: str, column: sa.Column[Any] | None, default: Any, dialect: str) -> BoundField:
    kind = TENANT_INFO.fields[field].kind
    if field == "instances":
        return _instances(column)
    if kind is Kind.TEXT:
        own = TenantInfo.model_fields[field]
        return _text(field, column, default if default is not None or own.is_required() else own.default)
    if column is None:
        return BoundField(name=field, kind=kind, read=None, expression=sa.null(), comparable=False)
    return _time(field, column, dialect) if kind is Kind.TIME else _json(field, column, dialect)


def _text(field: str, column: sa.Column[Any] | None, default: str | None) -> BoundField:
    fallback = sa.cast(sa.literal(default, sa.Text()), sa.Text())
    if column is None:
        return BoundField(name=field, kind=Kind.TEXT, read=None, expression=fallback, comparable=True)
    read: Expression = column if _is_plain_text(column.type) else sa.cast(column, sa.Text())
    replaced = default is not None and column.nullable
    expression = sa.func.coalesce(read, fallback) if replaced else read
    return BoundField(name=field, kind=Kind.TEXT, read=read, expression=expression, comparable=True, column=column)


def _is_plain_text(kind: Any) -> bool:
    """CHAR comes with blanks at its end, enumerations and CITEXT do not compare like texts; they are cast."""
    others = (sa.CHAR, sa.Enum, mysql.SET, postgresql.CITEXT)
    return isinstance(kind, sa.String) and not isinstance(kind, others)


def _time(field: str, column: sa.Column[Any], dialect: str) -> BoundField:
    is_time, is_day = isinstance(column.type, sa.DateTime), isinstance(column.type, sa.Date)
    if dialect == "sqlite" or not (is_time or is_day):
        # SQLite has no such type: what stands there is read as what it is.
        raw = sa.type_coerce(column, NullType())
        return BoundField(name=field, kind=Kind.TIME, read=raw, expression=raw, comparable=False, column=column)
    micros = mysql.DATETIME(fsp=6) if dialect == "mysql" else sa.DateTime()
    expression: Expression = sa.cast(column, micros) if is_day else column
    zoned = is_time and bool(getattr(column.type, "timezone", False)) and dialect == "postgresql"
    return BoundField(
        name=field, kind=Kind.TIME, read=expression, expression=expression, comparable=True, column=column, zoned=zoned
    )


def _json(field: str, column: sa.Column[Any], dialect: str) -> BoundField:
    is_json = isinstance(column.type, sa.JSON)
    expression = column if is_json else sa.type_coerce(column, NullType())
    asked = is_json and dialect == "postgresql"
    return BoundField(name=field, kind=Kind.JSON, read=expression, expression=expression, comparable=asked, column=column)


def _instances(column: sa.Column[Any] | None) -> BoundField:
    read: Expression | None = None
    if column is not None:
        is_list = isinstance(column.type, sa.ARRAY | sa.JSON)
        # The driver makes a list of an array by itself.
        plain = sa.type_coerce(column, NullType()) if isinstance(column.type, sa.ARRAY) else column
        read = plain if is_list or _is_plain_text(column.type) else sa.cast(column, sa.Text())
    expression = sa.null() if read is None else read
    return BoundField(name="instances", kind=Kind.TEXT, read=read, expression=expression, comparable=False, column=column)
