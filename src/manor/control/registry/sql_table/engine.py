"""Reaching the database of a SQL source: URL to engine, read-only transactions, vendors' errors in our words.

Assumes that a message of the server may hold values of rows but no password; the URL itself never gets into one.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json
from sqlalchemy.engine import URL, Connection, Engine, make_url

from manor.control.registry.search.predicate import like
from manor.errors import Code, EngineError, InputError, ManorError, UnreachableError, UnsupportedError

_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "sqlite": "sqlite+pysqlite",
}
_URL_HINT = "write postgresql://user:password@host/database, mysql://… or sqlite:///file.db, special characters percent-encoded"
_DENIED_STATES = ("28", "42501")
_DENIED_NUMBERS = frozenset({1044, 1045, 1142, 1143, 1227, 1698})
_GONE_NUMBERS = frozenset({1040, 1053, 2002, 2003, 2006, 2013, 2055})


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlPlace:
    """Where the table is."""

    source: str
    """Name of the source, for messages."""
    url: str = field(repr=False)
    """``postgresql://``, ``mysql://``, ``mariadb://`` or ``sqlite:///``."""
    folder: Path = Path()
    """What a relative path of SQLite counts from."""
    timeout_seconds: int = 30
    """For connecting, and for SQLite's locks."""


def open_engine(place: SqlPlace) -> Engine:
    """Nothing is contacted yet. Raises ``InputError`` for a URL that cannot be used, ``UnsupportedError`` without a driver."""
    url = _url(place)
    family = url.get_backend_name()
    every: Mapping[str, Mapping[str, Any]] = {
        "postgresql": {"connect_timeout": place.timeout_seconds, "application_name": "manor"},
        "mysql": {"connect_timeout": place.timeout_seconds, "charset": "utf8mb4"},
        "sqlite": {"timeout": place.timeout_seconds, "uri": True},
    }
    given = {key: value for key, value in every[family].items() if key not in url.query}
    try:
        engine = sa.create_engine(
            url,
            connect_args=given,
            pool_size=2,
            max_overflow=30,
            pool_pre_ping=family != "sqlite",
            json_deserializer=from_json,
        )
    except ModuleNotFoundError as error:
        hint = "pip install 'manor[mysql]'" if family == "mysql" else ""
        raise UnsupportedError(f"source {place.source} needs the package {error.name}", hint=hint) from error
    except (sa.exc.ArgumentError, TypeError) as error:
        raise InputError(f"the URL of source {place.source} cannot be used", hint=_URL_HINT) from error
    sa.event.listen(engine, "connect", _PREPARE[family])
    return engine


def _url(place: SqlPlace) -> URL:
    scheme, separator, rest = place.url.partition("://")
    if not separator or scheme.lower() not in _DRIVERS:
        raise InputError(f"the URL of source {place.source} is none of a SQL database that can be read", hint=_URL_HINT)
    try:
        url = make_url(f"{_DRIVERS[scheme.lower()]}://{rest}")
    except (sa.exc.ArgumentError, ValueError):
        raise InputError(f"the URL of source {place.source} cannot be taken apart", hint=_URL_HINT) from None
    return _sqlite_file(place, url) if url.get_backend_name() == "sqlite" else url


def _sqlite_file(place: SqlPlace, url: URL) -> URL:
    """Opening must not make a file: a path that is wrong would be an empty database."""
    if not url.database:
        raise InputError(f"the URL of source {place.source} names no file", hint="such as sqlite:///crm.db")
    path = (place.folder / url.database).absolute()
    if not path.is_file():
        raise InputError(
            f"source {place.source}: the database {url.database} is not there", hint="its path counts from the project"
        )
    return url.set(database=path.as_uri(), query={"mode": "ro", "uri": "true"})


def _prepare_postgres(connection: Any, _: object) -> None:
    connection.execute("SET TIME ZONE 'UTC'")
    connection.commit()


def _prepare_mysql(connection: Any, _: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SET SESSION TRANSACTION READ ONLY")
        cursor.execute("SET time_zone = '+00:00'")


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA query_only = ON")
    connection.create_function("manor_like", 2, _sqlite_like, deterministic=True)


def _sqlite_like(text: Any, pattern: str) -> bool | None:
    """SQLite's own LIKE looks over the case of letters."""
    return None if text is None else like(str(text), pattern, any_case=False)


_PREPARE = {"postgresql": _prepare_postgres, "mysql": _prepare_mysql, "sqlite": _prepare_sqlite}
_READ_ONLY: Mapping[str, Mapping[str, Any]] = {
    "postgresql": {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"},
    "mysql": {},
    "sqlite": {},
}


@contextlib.contextmanager
def reading(engine: Engine, source: str) -> Iterator[Connection]:
    """One read-only transaction that sees one moment. Errors come as ours, see ``translated``."""
    with translated(source), engine.connect() as connection:
        yield connection.execution_options(**_READ_ONLY[engine.dialect.name])


@contextlib.contextmanager
def translated(source: str) -> Iterator[None]:
    """Raises ``UnreachableError`` (transient) where the database is away, else ``EngineError`` with the server's words: CORRUPT
    where a value cannot be read."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise _ours(error, source) from error
    except UnicodeDecodeError as error:
        raise EngineError(f"source {source}: a text of the table is not {error.encoding}", code=Code.CORRUPT) from error
    except (ValueError, OverflowError) as error:  # of the driver: a point in time or a number beyond what Python has
        raise EngineError(f"source {source}: a value of the table cannot be read: {error}", code=Code.CORRUPT) from error


def _ours(error: sa.exc.SQLAlchemyError, source: str) -> ManorError:
    cause = getattr(error, "orig", None)
    said = str(cause or error).strip().partition("\n")[0]
    state = str(getattr(cause, "sqlstate", None) or "")
    number = cause.args[0] if cause is not None and cause.args and isinstance(cause.args[0], int) else 0
    if state.startswith(_DENIED_STATES) or number in _DENIED_NUMBERS:
        return EngineError(
            f"source {source}: the database refuses us: {said}", hint="reading is all that is needed", code=Code.DENIED
        )
    away = isinstance(error, sa.exc.DBAPIError) and (error.connection_invalidated or number in _GONE_NUMBERS)
    if away or (isinstance(error, sa.exc.OperationalError) and _is_away(state, cause)):
        return UnreachableError(f"source {source}: the database does not answer: {said}", transient=True)
    of_data = isinstance(error, sa.exc.DataError) or state.startswith("22") or said.startswith("Could not decode")
    if of_data:
        return EngineError(f"source {source}: a value of the table cannot be read: {said}", code=Code.CORRUPT)
    return EngineError(f"source {source}: the database cannot answer: {said}")


def _is_away(state: str, cause: object) -> bool:
    """PostgreSQL: no state (no connection was made), connection failures, shutting down, no slots. SQLite: locked."""
    if isinstance(cause, sqlite3.Error):
        return "locked" in str(cause) or "unable to open" in str(cause)
    return not state or state.startswith(("08", "57P", "53")) if hasattr(cause, "sqlstate") else False
