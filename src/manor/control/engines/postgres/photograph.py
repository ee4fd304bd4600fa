"""Takes the photograph of a database: two messages, one more where it has what few databases have, one less where its tables
are those of the last one of its template.

The first message lists the tables. The second one begins a transaction, locks them, and only then fixes the moment that is
photographed: LOCK TABLE is a statement that takes no snapshot (PostgreSQL manual, LOCK), so that what the snapshot shows has
the shape that it has until the transaction's end. A table that comes or goes between the two messages begins it all again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from manor.control.engines.driver import IsolatedColumn
from manor.control.engines.dumps import Photograph
from manor.control.engines.postgres.describe import ask
from manor.control.engines.postgres.fingerprint import description_of
from manor.control.engines.postgres.fingerprint_facts import FIRST, Rows, facts_of, first_message, second_message
from manor.control.engines.postgres.quoting import quote_identifier
from manor.errors import Code, EngineError

Connection = psycopg.AsyncConnection[Any]

TRIES = 5
"""Of a photograph in which tables come and go."""

LARGE_OBJECTS = "pg_catalog.pg_largeobject_metadata"
"""Where large objects are counted."""

# What a tenant's role or database has set must not end the session while the dump reads its snapshot.
_SESSION = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0"
_SESSION_17 = f"{_SESSION}; SET transaction_timeout = 0"

# Plain queries, for which a fresh session needs the least time (docs/decisions/0011). The catalog's own tables have OIDs below
# 16384; what belongs to an extension is made anew by it, and no dump holds it. 1259 and 3079 are pg_class and pg_extension.
_TABLES = "SELECT oid, relnamespace, relname, relkind FROM pg_class WHERE oid >= 16384 AND relpersistence <> 't'"
_SPACES = "SELECT oid, nspname FROM pg_namespace"
_OF_EXTENSIONS = """
SELECT objid FROM pg_depend WHERE refclassid = 3079 AND refobjid >= 16384 AND classid = 1259 AND deptype = 'e'
"""

_MOMENT = "SELECT pg_export_snapshot(), extract(epoch FROM clock_timestamp())::float8"
_SIZE = "SELECT pg_database_size(current_database()), current_setting('server_version')"
_OWN = {("public", "schema_migrations"), ("public", "manor_fence"), ("public", "manor_statements")}

# What pg_dump looks for in the whole catalog of a server, with joins that take a quarter of a small tenant's dump. The comment
# on schema public (OID 2200, of class 2615) is there from the beginning, and only another one is dumped.
_COMMENTS = "SELECT 1 FROM pg_description WHERE objoid >= 16384 LIMIT 1"
_COMMENT_ON_PUBLIC = "SELECT description FROM pg_description WHERE objoid = 2200 AND classoid = 2615 AND objsubid = 0"
_LABELS = "SELECT 1 FROM pg_seclabel LIMIT 1"
_FIRST_COMMENT_ON_PUBLIC = [("standard public schema",)]
_GONE = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)
"""Raised where a table went just now."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _Table:
    schema: str
    name: str
    partitioned: bool
    """It is locked and not counted: its rows are in its partitions."""

    @property
    def quoted(self) -> str:
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.name)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The tables of a database."""

    tables: tuple[_Table, ...]
    foreign: frozenset[int]
    """OIDs of tables that belong to extensions."""

    @property
    def counted(self) -> list[_Table]:
        return [t for t in self.tables if not t.partitioned and (t.schema, t.name) not in _OWN]

    @property
    def has_history(self) -> bool:
        return any((table.schema, table.name) == ("public", "schema_migrations") for table in self.tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A photograph whose snapshot is open."""

    photograph: Photograph
    snapshot: str
    omitted: tuple[str, ...]
    """Options that spare pg_dump looking for what this database does not have."""
    listed: Listed


async def take(
    connection: Connection,
    isolation: Sequence[IsolatedColumn],
    *,
    lock_timeout_seconds: float,
    guess: Listed | None = None,
) -> Taken:
    """The photograph and its snapshot; the connection stays in the transaction that keeps both. ``guess``: the tables of a
    database of the same template, which spares listing them where it is right.

    Raises psycopg's errors, and ``EngineError`` (``conflict``, transient) where tables come and go all the time.
    """
    columns = ("version", "checksum", "name")
    for _ in range(TRIES):
        listed, guess = guess or await _list(connection), None
        try:
            taken = await _take(connection, listed, isolation, lock_timeout_seconds, columns)
        except psycopg.errors.UndefinedColumn:  # another tool's history
            taken, columns = None, ("version", "''", "''")
        except _GONE:
            taken = None
        if taken is not None:
            return taken
        await connection.execute(b"ROLLBACK")
    where = connection.info.dbname
    raise EngineError(
        f"database {where}: tables come and go all the time", hint="try again later", code=Code.CONFLICT, transient=True
    )


async def _list(connection: Connection) -> Listed:
    relations, spaces, foreign = await ask(connection, f"{_TABLES}; {_SPACES}; {_OF_EXTENSIONS}".encode())
    of_extensions = frozenset(oid for (oid,) in foreign)
    return Listed(tables=_tables(relations, dict(spaces), of_extensions), foreign=of_extensions)


def _tables(relations: Iterable[tuple[Any, ...]], spaces: Mapping[int, str], foreign: frozenset[int]) -> tuple[_Table, ...]:
    """In the order of their names."""
    found = [
        _Table(schema=spaces[space], name=name, partitioned=kind == "p")
        for oid, space, name, kind in relations
        if kind in "rp" and oid not in foreign and space in spaces
    ]
    return tuple(sorted(found))


async def _take(
    connection: Connection,
    listed: Listed,
    isolation: Sequence[IsolatedColumn],
    lock_timeout_seconds: float,
    columns: tuple[str, ...],
) -> Taken | None:
    """None where the tables were others by the time they were locked."""
    session = _SESSION_17 if connection.info.server_version >= 170000 else _SESSION
    before = f"{session}; {_statements(listed, lock_timeout_seconds, columns)}"
    found = await ask(connection, first_message(before, in_transaction=True))
    more = second_message(found, in_transaction=True)
    facts = facts_of(found, await ask(connection, more) if more else [])
    relations = ((row[0], row[1], row[2], row[3]) for row in facts.relations if row[6] != "t")
    if _tables(relations, {row[0]: row[1] for row in facts.spaces}, listed.foreign) != listed.tables:
        return None
    description = description_of(facts, isolation)
    moment, size, comments, on_public, labels, *rest = found[: len(found) - len(FIRST)]
    history = _history(rest.pop(0)) if listed.has_history else ()
    (snapshot, seconds), (bytes_, version) = moment[0], size[0]
    photograph = Photograph(
        fingerprint=description.fingerprint,
        history=history,
        rows=_counted(listed.counted, rest),
        isolated=description.isolated,
        bytes=int(bytes_),
        server_version=version,
        engine="postgres",
        taken_at=dt.datetime.fromtimestamp(seconds, dt.UTC),
    )
    omitted = [] if comments or on_public != _FIRST_COMMENT_ON_PUBLIC else ["--no-comments"]
    omitted += [] if labels else ["--no-security-labels"]
    return Taken(photograph=photograph, snapshot=str(snapshot), omitted=tuple(omitted), listed=listed)


def _statements(listed: Listed, lock_timeout_seconds: float, columns: tuple[str, ...]) -> str:
    names = ", ".join(f"ONLY {table.quoted}" for table in listed.tables)
    statements = [
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        f"SET LOCAL lock_timeout = {max(1, round(lock_timeout_seconds * 1000))}",
        "SET LOCAL row_security = off",  # it must not hide rows from the count: the server refuses instead
        f"LOCK TABLE {names} IN ACCESS SHARE MODE" if names else "",
        _MOMENT,
        _SIZE,
        _COMMENTS,
        _COMMENT_ON_PUBLIC,
        _LABELS,
        f"SELECT {', '.join(columns)} FROM public.schema_migrations" if listed.has_history else "",  # noqa: S608 - constants
        *(f"SELECT count(*) FROM ONLY {table.quoted}" for table in listed.counted),  # noqa: S608 - quoted
        f"SELECT count(*) FROM {LARGE_OBJECTS}",  # noqa: S608 - constants
    ]
    return "; ".join(statement for statement in statements if statement)


def _history(rows: Rows) -> tuple[tuple[str, str, str], ...]:
    return tuple((str(version), str(checksum), str(name)) for version, checksum, name in sorted(rows))


def _counted(tables: Sequence[_Table], counts: Sequence[Rows]) -> dict[str, int]:
    """By table; large objects, which are counted last, only where there are any."""
    names = [*(f"{table.schema}.{table.name}" for table in tables), LARGE_OBJECTS]
    rows = {name: int(found[0][0]) for name, found in zip(names, counts, strict=True)}
    if not rows[LARGE_OBJECTS]:
        del rows[LARGE_OBJECTS]
    return rows
