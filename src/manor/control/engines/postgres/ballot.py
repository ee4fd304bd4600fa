"""Two-phase commit on one PostgreSQL server.

COMMIT PREPARED must run in the database in which the transaction was prepared, so each vote's connection is kept for the second
phase as far as the budget goes: connecting anew takes longer than committing, and all that time the fleet is of two versions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from psycopg import pq, sql

from manor.control.engines.postgres.session import Sessions, translated
from manor.control.engines.releases import Change, Changed
from manor.errors import Code, EngineError, UnreachableError

Connection = psycopg.AsyncConnection[Any]

ANSWER_SECONDS = 10.0
"""How long the second phase of one database may take before it is tried again: it takes a millisecond."""
Run = Callable[[Connection, str, Change], Awaitable[Changed]]


class PostgresBallot:
    """Votes of one server's databases. ``sessions``: of its own, its budget is what may stay open."""

    def __init__(self, sessions: Sessions, run: Run) -> None:
        self._sessions = sessions
        self._run = run
        self._kept: dict[str, Connection] = {}
        self._done: list[Connection] = []
        """Those whose transaction has ended: a session's end costs the server as much as a commit, so it waits."""

    async def vote(self, database: str, change: Change, gid: str) -> Changed:
        connection = await self._sessions.open(database)
        kept = False
        try:
            with translated(self._where(database)):
                changed = await self._run(connection, database, change)
                await self._prepare(connection, database, gid)
            if len(self._kept) < self._sessions.budget:
                self._kept[database] = connection
                kept = True
            return changed
        finally:
            if not kept:  # also where it failed: closing rolls back what was not prepared
                await connection.close()

    async def _prepare(self, connection: Connection, database: str, gid: str) -> None:
        try:
            await connection.execute(sql.SQL("PREPARE TRANSACTION {}").format(sql.Literal(gid)))
        except psycopg.errors.ObjectNotInPrerequisiteState as error:
            raise EngineError(
                f"server {self._sessions.name} takes no prepared transactions: {error.diag.message_primary}",
                hint="set max_prepared_transactions and restart it, or take --strategy rolling",
                code=Code.EXHAUSTED,
            ) from error
        except psycopg.errors.FeatureNotSupported as error:  # temporary objects, LISTEN, exported snapshots
            message = f"{self._where(database)}: {error.diag.message_primary}"
            raise EngineError(message, hint="take --strategy rolling", code=Code.UNSUPPORTED) from error

    async def commit(self, database: str, gid: str) -> bool:
        return await self._end(database, "COMMIT", gid)

    async def roll_back(self, database: str, gid: str) -> bool:
        return await self._end(database, "ROLLBACK", gid)

    async def _end(self, database: str, verb: str, gid: str) -> bool:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._ended(database, verb, gid)
        except TimeoutError as error:
            message = f"{self._where(database)}: no answer to {verb} PREPARED within {ANSWER_SECONDS:g} s"
            raise UnreachableError(message, hint="the server or the network is gone", transient=True) from error

    async def _ended(self, database: str, verb: str, gid: str) -> bool:
        statement = sql.SQL("{} PREPARED {}").format(sql.SQL(verb), sql.Literal(gid))
        connection = self._kept.pop(database, None)
        if connection is not None and connection.info.transaction_status == pq.TransactionStatus.IDLE:
            self._done.append(connection)
            with translated(self._where(database)):
                return await self._perform(connection, statement, gid)
        if connection is not None:
            await connection.close()
        connection = await self._open(database)
        try:
            with translated(self._where(database)):
                return await self._perform(connection, statement, gid)
        finally:
            await connection.close()

    async def _open(self, database: str) -> Connection:
        connection = await self._sessions.open(database)
        with translated(self._where(database)):
            await connection.execute("SET statement_timeout = 0")  # the login's is meant for queries
        return connection

    async def _perform(self, connection: Connection, statement: sql.Composed, gid: str) -> bool:
        try:
            await connection.execute(statement)
        except psycopg.errors.UndefinedObject:
            return False
        except psycopg.errors.ObjectNotInPrerequisiteState as error:
            # The session of an earlier try, which we lost, is at it or has not ended yet.
            message = f"prepared transaction {gid} is busy"
            raise EngineError(message, code=Code.CONFLICT, transient=True) from error
        return True

    def _where(self, database: str) -> str:
        return f"server {self._sessions.name}, database {database}"

    async def close(self) -> None:
        """Close what is still open; prepared transactions stay."""
        await self.let_go()
        while self._kept:
            await self._kept.popitem()[1].close()

    async def let_go(self) -> None:
        while self._done:
            await self._done.pop().close()
