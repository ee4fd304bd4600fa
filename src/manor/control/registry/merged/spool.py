"""Tenants of several sources, laid down by id: sources hand them out in different orders, and may have more than memory holds.

A temporary SQLite database, which stays in memory while it is small and goes to a file of its own that nobody else can open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Self

from manor.control.registry.merged.merge import Told
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import ConflictError

_TABLE = "CREATE TABLE told (tenant TEXT, rank INTEGER, place INTEGER, info TEXT, PRIMARY KEY (tenant, rank)) WITHOUT ROWID"
_PUT = "INSERT INTO told VALUES (?, ?, ?, ?)"
# In the order of the first source that has the tenant, its own order within.
_ALL = (
    "SELECT told.tenant, told.rank, told.info FROM told JOIN"
    " (SELECT tenant, min(rank) AS first, place FROM told GROUP BY tenant) AS leader USING (tenant)"
    " ORDER BY leader.first, leader.place, told.rank"
)


class Spool:
    """Filled once, then read. ``sources``: names by rank, the one that counts most first. To be closed."""

    def __init__(self, sources: Sequence[str]) -> None:
        self._sources = sources
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA cache_size = -16000")
        self._database.execute(_TABLE)
        self._database.execute("BEGIN")
        self._places = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def put(self, rank: int, tenants: Sequence[TenantInfo]) -> None:
        """Of one source, in its order. Raises ``ConflictError`` for one that it hands out twice."""
        for info in tenants:
            self._places += 1
            try:
                self._database.execute(_PUT, (info.tenant_id, rank, self._places, info.model_dump_json(exclude_unset=True)))
            except sqlite3.IntegrityError:
                message = f"source {self._sources[rank]} has the tenant {info.tenant_id!r} twice"
                raise ConflictError(message, hint="keep one of the two") from None

    def told(self) -> Iterator[list[Told]]:
        """What there is of each tenant, the source that counts most first."""
        rows = self._database.execute(_ALL)
        for _, group in groupby(rows, key=lambda row: row[0]):
            yield [Told(source=self._sources[rank], info=TenantInfo.model_validate_json(info)) for _, rank, info in group]
