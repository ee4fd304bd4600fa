"""Asking a running server: does it answer, who is it, has it read its settings. Assumes that the socket directory was
checked."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from manor.control.engines.embedded.processes import POLL_SECONDS

_CONNECT_SECONDS = 5
_FACTS = """
SELECT current_setting('server_version'), pg_postmaster_start_time(),
       split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int,
       (SELECT string_agg(name, ', ' ORDER BY name) FROM pg_settings WHERE pending_restart)
"""


class Answer(enum.Enum):
    """What a server says to a knock on its door."""

    READY = "ready"
    NOT_YET = "not yet"
    """It is there, but starts, recovers or shuts down."""
    NONE = "none"


_ANSWERS = {pq.Ping.OK: Answer.READY, pq.Ping.REJECT: Answer.NOT_YET}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a running server says of itself."""

    version: str
    started_at: datetime
    pid: int
    pending_restart: str
    """Names of the settings that wait for a restart, comma-separated."""


def knock(url: str) -> Answer:
    """Whether a server accepts connections; full connection slots count as accepting."""
    conninfo = make_conninfo(url, connect_timeout=_CONNECT_SECONDS)
    return _ANSWERS.get(pq.Ping(pq.PGconn.ping(conninfo.encode())), Answer.NONE)


def ask(url: str) -> Facts:
    """Raises ``psycopg.Error`` where the server does not let us in."""
    with _connect(url) as connection:
        row = connection.execute(_FACTS).fetchone()
    if row is None:
        raise psycopg.DataError("the server returned no row")
    version, started_at, pid, pending = row
    return Facts(version=version, started_at=started_at.astimezone(UTC), pid=pid, pending_restart=pending or "")


def reload_settings(url: str, seconds: float) -> bool:
    """Make the server read its files again; False if it did not accept them in time (they have an error)."""
    deadline = time.monotonic() + seconds
    with _connect(url) as connection:
        before = connection.execute("SELECT pg_conf_load_time()").fetchone()
        connection.execute("SELECT pg_reload_conf()")
        while time.monotonic() < deadline:
            if connection.execute("SELECT pg_conf_load_time()").fetchone() != before:
                return True
            time.sleep(POLL_SECONDS)
    return False


def _connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(url, connect_timeout=_CONNECT_SECONDS, application_name="manor server", autocommit=True)
