"""What PostgreSQL could not make of a template, found without a server. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from manor.control.engines.postgres.compile import compile_schema
from manor.control.engines.postgres.tables import column_types, compile_index, compile_table, index_names
from manor.control.engines.postgres.types import translate_type
from manor.control.templates.model import Schema, Template
from manor.errors import Finding, InputError, Place

_NEWEST = 180_000
"""The server is not known yet; older ones make fewer kinds of generated columns virtual, and nothing else differs."""


def examine_template(template: Template) -> list[Finding]:
    """One finding per column, table or index that cannot be made; after these, the first of what refers to them."""
    folder = Place(template.folder, 0, 0)
    return [_finding(error, folder) for error in _errors(template.schema)]


def _errors(schema: Schema) -> list[InputError]:
    # Each stage needs the one before it: a table is made of its columns' types, a view of tables.
    for stage in (_types, _tables, _whole):
        found = [error for make in stage(schema) if (error := _error_of(make)) is not None]
        if found:
            return found
    return []


def _types(schema: Schema) -> Iterator[Callable[[], object]]:
    for table in schema.tables:
        for column in table.columns:
            yield lambda column=column: translate_type(column)  # type: ignore[misc]


def _tables(schema: Schema) -> Iterator[Callable[[], object]]:
    types, names = column_types(schema), index_names(schema)
    for table in schema.tables:
        yield lambda table=table: compile_table(table, schema, types, version_number=_NEWEST)  # type: ignore[misc]
        for index in table.indexes:
            name = names[table.name, index.name]
            yield lambda table=table, index=index, name=name: compile_index(table, index, name)  # type: ignore[misc]


def _whole(schema: Schema) -> Iterator[Callable[[], object]]:
    yield lambda: compile_schema(schema, version_number=_NEWEST)


def _error_of(make: Callable[[], object]) -> InputError | None:
    try:
        make()
    except InputError as error:
        return error
    return None


def _finding(error: InputError, folder: Place) -> Finding:
    return Finding(message=error.message, place=error.place or folder, hint=error.hint)
