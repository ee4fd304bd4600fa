"""The columns that hold one tenant's value and nothing else: their default, their check, and what stands there in a golden
database.

A golden database belongs to no tenant, so its isolated columns hold a placeholder that no tenant's value can equal by accident.
"""

from __future__ import annotations

from manor.control.engines.driver import IsolatedColumn
from manor.control.engines.postgres.quoting import quote_identifier, quote_literal, shorten_name
from manor.control.engines.postgres.types import Kind, translate_type
from manor.control.templates.model import Column
from manor.errors import InputError

PLACEHOLDER_TEXT = ":manor-tenant:"
PLACEHOLDER_UUID = "00000000-0000-0000-0000-000000000000"
PLACEHOLDER_INTEGER = "0"


def placeholder(column_type: str) -> str:
    """The value for a column of ``column_type`` (as written in a schema) in a golden database.

    Raises ``InputError`` for a type that cannot hold a tenant's value.
    """
    kind = translate_type(Column(name="the isolation column", type=column_type)).kind
    known = {Kind.TEXT: PLACEHOLDER_TEXT, Kind.UUID: PLACEHOLDER_UUID, Kind.INTEGER: PLACEHOLDER_INTEGER}
    if kind not in known:
        raise InputError(
            f"a column of type {column_type} cannot hold a tenant's value", hint="use a text, integer or UUID column"
        )
    return known[kind]


def constraint_name(column: str) -> str:
    """The name of the check that keeps other tenants' values out of ``column``."""
    return shorten_name(f"manor_tenant_{column}")


def compile_isolation(column: IsolatedColumn) -> str:
    """One statement that makes ``column.value`` the default and the only value. Safe to repeat, also with another value."""
    name, constraint = quote_identifier(column.column), quote_identifier(constraint_name(column.column))
    value = quote_literal(column.value)
    return (
        f"ALTER TABLE {quote_identifier(column.table)} ALTER COLUMN {name} SET DEFAULT {value}, "
        f"DROP CONSTRAINT IF EXISTS {constraint}, ADD CONSTRAINT {constraint} CHECK ({name} = {value})"
    )
