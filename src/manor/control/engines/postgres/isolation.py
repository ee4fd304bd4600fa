"""The columns that hold one tenant's value and nothing else: their default, their check, and what stands there in a golden
database.

The value stands in one place, an immutable function per isolated column; default and check call it. A copy becomes a tenant's
by replacing that function, which touches one row of one catalog: changing default and check of every table instead costs ten
times as much, and dirties twenty files that the next checkpoint has to sync. PostgreSQL folds the call into a constant when
a statement is planned.

A golden database belongs to no tenant, so its functions return a placeholder; no isolated table of a golden has rows.
"""

from __future__ import annotations

from manor.control.engines.driver import IsolatedColumn
from manor.control.engines.postgres.quoting import quote_identifier, quote_literal, shorten_name
from manor.control.engines.postgres.types import Kind, PostgresType, translate_type
from manor.control.templates.model import Column
from manor.errors import InputError

PLACEHOLDERS = {Kind.TEXT: ":manor-tenant:", Kind.UUID: "00000000-0000-0000-0000-000000000000"}
"""Each must be a value of its type: the check is evaluated as far as it can be when it is added."""


def isolated_type(column_type: str) -> PostgresType:
    """The type of an isolated column, as written in a schema. Raises ``InputError`` where it cannot hold a tenant's value."""
    found = translate_type(Column(name="the isolation column", type=column_type))
    if found.kind not in PLACEHOLDERS:
        raise InputError(f"a column of type {column_type} cannot hold a tenant's value", hint="use a text or UUID column")
    return found


def placeholder(column_type: str) -> str:
    """What an isolated column of this type holds in a golden database."""
    return PLACEHOLDERS[isolated_type(column_type).kind]


def constraint_name(column: str) -> str:
    """The name of the check that keeps other tenants' values out of ``column``."""
    return shorten_name(f"manor_tenant_{column}")


def function_name(column: IsolatedColumn) -> str:
    """The function of schema ``public`` that returns the tenant's value for one column."""
    return shorten_name(f"manor_tenant_{column.table}__{column.column}")


def function_body(value: str) -> str:
    """The function's body as PostgreSQL prints it (``pg_get_function_sqlbody``)."""
    doubled = value.replace("'", "''")
    return f"RETURN '{doubled}'::text"


def compile_isolation(column: IsolatedColumn) -> str:
    """One statement that makes ``column.value`` the only value of its column. Safe to repeat, also with another value."""
    return (
        f"CREATE OR REPLACE FUNCTION public.{quote_identifier(function_name(column))}() RETURNS text "
        f"LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN {quote_literal(column.value)}"
    )


def compile_isolated_column(column: IsolatedColumn, found: PostgresType) -> str:
    """One statement that ties a column to its function; ``found`` is the column's type."""
    name, constraint = quote_identifier(column.column), quote_identifier(constraint_name(column.column))
    # A text is not cast: that would cut one that is too long, where an error is wanted.
    cast = "" if found.kind is Kind.TEXT else f"::{found.sql}"
    value = f"public.{quote_identifier(function_name(column))}(){cast}"
    return (
        f"ALTER TABLE {quote_identifier(column.table)} ALTER COLUMN {name} SET DEFAULT {value}, "
        f"ADD CONSTRAINT {constraint} CHECK ({name} IS NOT DISTINCT FROM {value})"
    )
