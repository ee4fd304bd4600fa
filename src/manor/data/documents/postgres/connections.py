"""A handful of connections that are taken and given back without a question to the server. Made when they are needed.

A transaction of ours always ends before its connection is given back, and nothing is set on a session, so there is nothing to
reset; a connection that may have something open is closed instead.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, TypeAlias

from manor.data.documents.postgres.faults import translated
from manor.errors import ManorError, UnreachableError

Connection: TypeAlias = Any
"""``asyncpg.Connection``, which has no types of its own."""


class Held:
    """A connection for a block; what goes wrong on it is said in our words. A class: a generator costs twice as much."""

    __slots__ = ("_connection", "_connections")

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def __aenter__(self) -> Connection:
        self._connection = self._connections.take_idle() or await self._connections.take()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connections.give(self._connection)
        if isinstance(error, Exception) and not isinstance(error, ManorError):
            raise translated(error, sent=False) from error


class Connections:
    """At most ``size`` of them. ``row_security``: the server is told the tenant of every transaction."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], size: int, *, row_security: bool = False) -> None:
        self._connect = connect
        self.row_security = row_security
        self._size = size
        self._idle: list[Connection] = []
        self._count = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def one(self) -> Held:
        """``async with`` a connection for a block that writes nothing."""
        return Held(self)

    def take_idle(self) -> Connection | None:
        """One that is free at once, if there is one."""
        while self._idle and not self._closed:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
            self._count -= 1
        return None

    async def take(self) -> Connection:
        """One that nobody else has; waits for its turn."""
        while not self._closed:
            connection = self.take_idle()
            if connection is not None:
                return connection
            if self._count < self._size:
                return await self._new()
            await self._turn()
        raise UnreachableError("the store is closed", hint="async with connect(…) opens it")

    async def _new(self) -> Connection:
        self._count += 1
        try:
            return await self._connect()
        except BaseException as error:
            self._count -= 1
            self._wake()
            if isinstance(error, Exception):
                raise translated(error, sent=False) from error
            raise

    async def _turn(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._wake()  # it was this one's turn, and it is gone
            raise

    def give(self, connection: Connection) -> None:
        """Give it back."""
        if self._closed or connection.is_closed() or connection.is_in_transaction():
            connection.terminate()
            self._count -= 1
        else:
            self._idle.append(connection)
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return

    async def close(self) -> None:
        """Close those that are idle now, and the others when they are given back."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()
        while self._waiting:
            self._wake()
