"""Files, schema and tables: in the thread of the writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

from manor.data.documents.relational.codec import decode
from manor.data.documents.relational.declared import index_keys, indexes_text, keys_text, missing_indexes, with_indexes
from manor.data.documents.sqlite.reading import KEYS
from manor.data.documents.tables import Index, Table
from manor.errors import UnsupportedError

VERSION = 1
"""Of the schema, in the file's ``user_version``."""
APPLICATION = 0x4D4E5244


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    """``synchronous`` is FULL (a write that was answered survives a loss of power) or NORMAL (it survives the end of the
    process, and the file stays whole in any case); ``busy_seconds`` is how long to wait for another process that writes."""

    path: str
    synchronous: str = "FULL"
    busy_seconds: float = 5.0


def connector(options: FileOptions, *, writes: bool) -> Callable[[], sqlite3.Connection]:
    """What makes the connection of a thread; the writer's makes the schema too."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            options.path, timeout=options.busy_seconds, isolation_level=None, check_same_thread=True, cached_statements=256
        )
        try:
            _set_up(connection, options, writes=writes)
        except BaseException:
            connection.close()
            raise
        return connection

    return connect


def _set_up(connection: sqlite3.Connection, options: FileOptions, *, writes: bool) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA synchronous = {options.synchronous}")
    if not writes:
        connection.execute("PRAGMA query_only = ON")
        return
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    _make_schema(connection, options.path)
    connection.execute("COMMIT")


def _make_schema(connection: sqlite3.Connection, path: str) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if version > VERSION or (tables and application != APPLICATION):
        raise UnsupportedError(f"{path} is another program's file, or of a newer Manor", hint="name another file")
    if version == VERSION:
        return
    if tables:
        raise UnsupportedError(
            f"{path} is a file of Manor that has lost its version (PRAGMA user_version is {version})",
            hint="restore it from a backup; or, if its tables are whole, PRAGMA user_version = 1",
        )
    for statement in _schema().split(";\n"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute(f"PRAGMA application_id = {APPLICATION}")


def _schema() -> str:
    return files("manor.data.documents.sqlite").joinpath("schema.sql").read_text(encoding="utf-8")


# Tables


def ensure_table(connection: sqlite3.Connection, tenant: str, table: Table) -> None:
    """Make it, or the indexes that it lacks. Raises ``ConflictError``."""
    found = "SELECT keys, indexes FROM documents_tables WHERE tenant = ? AND name = ?"
    row = connection.execute(found, (tenant, table.name)).fetchone()
    if row is None:
        texts = (keys_text(table), indexes_text(index_keys(table.indexes)))
        connection.execute("INSERT INTO documents_tables VALUES (?, ?, ?, ?)", (tenant, table.name, *texts))
        return
    missing = missing_indexes(table, *row)
    if missing:
        _fill(connection, tenant, table, missing)
        change = "UPDATE documents_tables SET indexes = ? WHERE tenant = ? AND name = ?"
        connection.execute(change, (with_indexes(table, row[1]), tenant, table.name))


def _fill(connection: sqlite3.Connection, tenant: str, table: Table, indexes: Sequence[Index]) -> None:
    """Enter the items that are there."""
    for index in indexes:
        old = "DELETE FROM documents_entries WHERE tenant = ? AND name = ? AND index_name = ?"
        connection.execute(old, (tenant, table.name, index.name))
    only = replace(table, indexes=tuple(indexes))
    rows = connection.execute("SELECT pk, sk, body FROM documents_items WHERE tenant = ? AND name = ?", (tenant, table.name))
    enter = "INSERT OR IGNORE INTO documents_entries VALUES (?, ?, ?, ?, ?, ?, ?)"
    for pk, sk, body in rows:
        entries = KEYS.entries(only, decode(body))
        connection.executemany(enter, [(tenant, table.name, *entry, pk, sk) for entry in entries])


def drop_table(connection: sqlite3.Connection, tenant: str, table: Table) -> None:
    """Remove it with its items and indexes."""
    connection.execute("DELETE FROM documents_tables WHERE tenant = ? AND name = ?", (tenant, table.name))
