"""A target's schema as the statements that make it, in an order that works; grants and sequence positions.

Statements are run one after the other in one transaction, with ``public`` first in the search path. Tables come first, then
what refers to them; foreign keys are added after all tables, so that tables may refer to each other in a circle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from manor.control.engines.driver import IsolatedColumn
from manor.control.engines.postgres.expressions import query_tables, translate_query
from manor.control.engines.postgres.isolation import compile_isolated_column, compile_isolation, function_name, isolated_type
from manor.control.engines.postgres.quoting import quote_identifier, quote_literal, shorten_name
from manor.control.engines.postgres.tables import (
    column_types,
    compile_foreign_key,
    compile_index,
    compile_table,
    index_names,
    touched_columns,
)
from manor.control.engines.postgres.triggers import compile_touch, compile_trigger
from manor.control.engines.postgres.types import translate_type
from manor.control.templates.model import BoundDataset, Column, Schema, Sql, View
from manor.errors import InputError
from manor.scan import suggest


def compile_schema(schema: Schema, isolation: Sequence[IsolatedColumn] = (), *, version_number: int) -> list[str]:
    """All statements that make ``schema`` in an empty database; ``version_number`` as the server reports it (180004).

    Views, triggers and foreign keys that refer to something which no file but a ``schema.sql`` can define come after it,
    everything else before. A ``schema.sql`` is one entry of the list, verbatim: it may hold many statements. Raises
    ``InputError``, with the place where one is known, for whatever cannot be made.
    """
    types = column_types(schema)
    names = index_names(schema)
    statements = [
        f"CREATE EXTENSION IF NOT EXISTS {quote_identifier(e)}" for e in _extensions(t.extension for t in types.values())
    ]
    for table in schema.tables:
        statements += compile_table(table, schema, types, version_number=version_number)
    for table in schema.tables:
        statements += [compile_index(table, index, names[table.name, index.name]) for index in table.indexes]
    early, late = _referring(schema)
    for table in schema.tables:
        touched = touched_columns(table, types)
        early += compile_touch(table, touched) if touched else []
    statements += [*early, *(text for _, text in schema.sql), *late]
    return [*statements, *_isolation(schema, isolation)]


def _isolation(schema: Schema, isolation: Sequence[IsolatedColumn]) -> list[str]:
    counts = Counter(function_name(column) for column in isolation)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise InputError(
            f"two isolated columns would share the function {twice[0]}", hint="rename one of the tables or columns"
        )
    return [statement for column in isolation for statement in _isolated(schema, column)]


def _isolated(schema: Schema, isolated: IsolatedColumn) -> tuple[str, str]:
    table = schema.table(isolated.table)
    column = table.column(isolated.column) if table else None
    found = isolated_type(column.type if column else "text")
    return compile_isolation(isolated), compile_isolated_column(isolated, found)


def _extensions(found: Iterable[str | None]) -> list[str]:
    return sorted({name for name in found if name})


def _referring(schema: Schema) -> tuple[list[str], list[str]]:
    """Foreign keys, views and triggers: those that can be made from ``schema`` alone, and those that need its ``sql``."""
    early: list[str] = []
    late: list[str] = []
    tables = {t.name for t in schema.tables}
    for table in schema.tables:
        for key in table.foreign_keys:
            (early if key.target_table in tables else late).append(compile_foreign_key(table, key, schema))
    present = set(tables)
    for view, query, needs in _ordered_views(schema):
        alone = not schema.sql or needs <= present
        (early if alone else late).extend(_view(view, query))
        present |= {view.name} if alone else set()
    for name, statements in _triggers(schema):
        (early if name in present else late).extend(statements)
    return early, late


def _ordered_views(schema: Schema) -> list[tuple[View, str, frozenset[str]]]:
    """Views so that each stands behind those it reads, as (view, query, what it reads)."""
    queries = {view.name: translate_query(view.select, name=view.name) for view in schema.views}
    needs = {name: query_tables(query) for name, query in queries.items()}
    by_name = {view.name: view for view in schema.views}
    order: list[tuple[View, str, frozenset[str]]] = []
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in done:
            return
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            raise InputError(f"views read each other in a circle: {circle}", hint="break the circle at one of them")
        for needed in sorted(needs[name] & by_name.keys()):
            visit(needed, (*path, name))
        done.add(name)
        order.append((by_name[name], queries[name], needs[name]))

    for name in by_name:
        visit(name, ())
    return order


def _view(view: View, query: str) -> list[str]:
    name = quote_identifier(view.name)
    comment = [f"COMMENT ON VIEW {name} IS {quote_literal(view.comment)}"] if view.comment else []
    return [f"CREATE VIEW {name} AS\n{query}", *comment]


def _triggers(schema: Schema) -> list[tuple[str, list[str]]]:
    """Per trigger the table it is on and its statements."""
    known = {t.name for t in schema.tables} | {v.name for v in schema.views}
    counts = Counter(trigger.name for trigger in schema.triggers)
    compiled = []
    for trigger in schema.triggers:
        if trigger.table not in known and not schema.sql:
            raise InputError(
                f"trigger {trigger.name!r}: there is no table {trigger.table!r}", hint=suggest(trigger.table, known)
            )
        # PostgreSQL counts triggers per table but functions per schema.
        stem = trigger.name if counts[trigger.name] == 1 else f"{trigger.table}_{trigger.name}"
        table = schema.table(trigger.table)
        place = table.place if table else None
        compiled.append((trigger.table, compile_trigger(trigger, shorten_name(f"{stem}_trigger"), place=place)))
    return compiled


def grants(group_role: str) -> list[str]:
    """What a tenant's role may do in its database: use everything, change no structure. The same for objects that come
    later."""
    role = quote_identifier(group_role)
    rights = {
        "TABLES": "SELECT, INSERT, UPDATE, DELETE",
        "SEQUENCES": "USAGE, SELECT, UPDATE",
        "ROUTINES": "EXECUTE",
    }
    return [
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        *(f"GRANT {right} ON ALL {kind} IN SCHEMA public TO {role}" for kind, right in rights.items()),
        *(f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {right} ON {kind} TO {role}" for kind, right in rights.items()),
    ]


def sequence_starts(taken: Mapping[tuple[str, str], int]) -> list[str]:
    """Statements that put identity sequences behind numbers which rows to be loaded later bring along: every copy then
    starts right, and no copy has to touch its sequences."""
    return [_start(table, column, number) for (table, column), number in taken.items()]


def _start(table: str, column: str, number: int) -> str:
    # Rows that are there already may bring higher numbers along.
    highest = f"SELECT max({quote_identifier(column)}) FROM {quote_identifier(table)}"  # noqa: S608 - quoted
    return f"SELECT setval({_sequence(table, column)}, greatest({number}, ({highest})))"


def sequence_resets(
    schema: Schema, datasets: Sequence[BoundDataset], only: frozenset[tuple[str, str]] | None = None
) -> list[str]:
    """Statements that move identity sequences behind the values which the loaded rows brought along; ``only`` these columns."""
    explicit = {}
    for dataset in datasets:
        table = schema.table(dataset.table)
        for position, name in enumerate(dataset.columns):
            column = table.column(name) if table else None
            if only is not None and (dataset.table, name) not in only:
                continue
            if column and counts_itself(column) and _gives_values(dataset, position):
                explicit[dataset.table, name] = _reset(dataset.table, name)
    return list(explicit.values())


def _gives_values(dataset: BoundDataset, position: int) -> bool:
    return any(row[position] is not None and not _is_default(row[position]) for row in dataset.rows)


def _is_default(cell: object) -> bool:
    return isinstance(cell, Sql) and cell.expression.strip().upper() == "DEFAULT"


def counts_itself(column: Column) -> bool:
    """Whether the column takes its value from a sequence."""
    if column.auto_increment:
        return True
    try:
        return translate_type(column).identity
    except InputError:
        return False  # a type of a schema.sql that only the server knows


def _reset(table: str, column: str) -> str:
    name = quote_identifier(column)
    position = f"greatest(max({name}), 1), max({name}) IS NOT NULL"
    return f"SELECT setval({_sequence(table, column)}, {position}) FROM {quote_identifier(table)}"  # noqa: S608 - quoted


def _sequence(table: str, column: str) -> str:
    return f"pg_get_serial_sequence({quote_literal(quote_identifier(table))}, {quote_literal(column)})"
