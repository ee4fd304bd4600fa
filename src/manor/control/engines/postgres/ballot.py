"""Two-phase commit on one PostgreSQL server.

COMMIT PREPARED must run in the database in which the transaction was prepared, so each vote's connection is kept for the second
phase as far as the budget goes: connecting anew takes longer than committing, and all that time the fleet is of two versions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from psycopg import pq, sql

from manor.control.engines.postgres.session import Sessions, translated
from manor.control.engines.releases import Change, Changed

Connection = psycopg.AsyncConnection[Any]
Run = Callable[[Connection, str, Change], Awaitable[Changed]]


class PostgresBallot:
    """Votes of one server's databases. ``sessions``: of its own, its budget is what may stay open."""

    def __init__(self, sessions: Sessions, run: Run) -> None:
        self._sessions = sessions
        self._run = run
        self._kept: dict[str, Connection] = {}
        self._opening = 0

    async def vote(self, database: str, change: Change, gid: str) -> Changed:
        connection = await self._sessions.open(database)
        kept = False
        try:
            with translated(f"server {self._sessions.name}, database {database}"):
                changed = await self._run(connection, database, change)
                await connection.execute(sql.SQL("PREPARE TRANSACTION {}").format(sql.Literal(gid)))
            if len(self._kept) < self._sessions.budget:
                self._kept[database] = connection
                kept = True
            return changed
        finally:
            if not kept:  # also where it failed: closing rolls back what was not prepared
                await connection.close()

    async def commit(self, database: str, gid: str) -> bool:
        return await self._end(database, "COMMIT", gid)

    async def roll_back(self, database: str, gid: str) -> bool:
        return await self._end(database, "ROLLBACK", gid)

    async def _end(self, database: str, verb: str, gid: str) -> bool:
        statement = sql.SQL("{} PREPARED {}").format(sql.SQL(verb), sql.Literal(gid))
        connection = self._kept.pop(database, None)
        if connection is None or connection.broken or connection.info.transaction_status != pq.TransactionStatus.IDLE:
            connection = await self._sessions.open(database)
        try:
            with translated(f"server {self._sessions.name}, database {database}"):
                try:
                    await connection.execute(statement)
                except psycopg.errors.UndefinedObject:
                    return False
            return True
        finally:
            await connection.close()

    async def close(self) -> None:
        """Close what is still open; prepared transactions stay."""
        while self._kept:
            await self._kept.popitem()[1].close()
