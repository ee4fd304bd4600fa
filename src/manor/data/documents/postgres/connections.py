"""A handful of connections that are taken and given back without a question to the server. Made when they are needed.

A transaction of ours always ends before its connection is given back, and nothing is set on a session, so there is nothing to
reset. A connection is given back only where the server has answered everything that was sent on it, and is not inside a
transaction then. Any other (its user was cancelled, or an answer did not come) is ended: what it would say about itself is
the state before the last question.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, TypeAlias

import asyncpg  # type: ignore[import-untyped]

from manor.data.documents.postgres.faults import translated
from manor.errors import InputError, ManorError, UnreachableError

Connection: TypeAlias = Any
"""``asyncpg.Connection``, which has no types of its own."""
ANSWERED = (ManorError, asyncpg.PostgresError)
"""What is raised with nothing under way: by us between two statements, or by the server as its answer."""
ENDING_SECONDS = 2.0
"""How long the server may take to stop what a connection that is ended was doing."""


class Held:
    """A connection for a block; what goes wrong on it is said in our words. A class: a generator costs twice as much."""

    __slots__ = ("_connection", "_connections", "_sent")

    def __init__(self, connections: Connections, sent: bool) -> None:
        self._connections = connections
        self._sent = sent

    async def __aenter__(self) -> Connection:
        self._connection = self._connections.take_idle() or await self._connections.take()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._connections.give(self._connection)
            return
        self._connections.give_after(self._connection, error)
        if isinstance(error, Exception) and not isinstance(error, ManorError):
            raise translated(error, sent=self._sent) from error


class Connections:
    """At most ``size`` of them. ``row_security``: the server is told the tenant of every transaction."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], size: int, *, row_security: bool = False) -> None:
        self._connect = connect
        self.row_security = row_security
        self._size = size
        self._idle: list[Connection] = []
        self._count = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = True
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Let connections be taken, also again after ``close``, in whatever event loop asks first."""
        if self._closed:
            self._closed = False
            self._loop = None

    def one(self, *, sent: bool = False) -> Held:
        """``async with`` a connection for a block that writes nothing, or (``sent``) whose every statement is a write."""
        return Held(self, sent)

    def take_idle(self) -> Connection | None:
        """One that is free at once, if there is one. Raises ``InputError`` in another event loop than the first one's."""
        if asyncio.get_running_loop() is not self._loop:
            self._check_loop()
        while self._idle and not self._closed:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
            self._count -= 1
        return None

    def _check_loop(self) -> None:
        if self._loop is not None:
            raise InputError("this store belongs to another event loop", hint="connect(…) once in each event loop")
        self._loop = asyncio.get_running_loop()

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
        """Give it back. Only where everything that was sent on it has been answered."""
        if self._closed or connection.is_closed() or connection.is_in_transaction():
            connection.terminate()
            self._count -= 1
        else:
            self._idle.append(connection)
        self._wake()

    def give_after(self, connection: Connection, error: BaseException) -> None:
        """Give it back after what its last statement raised, or end it where that may be under way still."""
        if isinstance(error, ANSWERED):
            self.give(connection)
        else:
            self.end(connection)

    def end(self, connection: Connection) -> None:
        """End it, whatever it is doing. Its place is free when the server has stopped that, or has had its time to."""
        task = asyncio.get_running_loop().create_task(self._end(connection))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self, connection: Connection) -> None:
        try:
            await connection.close(timeout=ENDING_SECONDS)  # it asks the server to stop, and aborts where that fails
        except Exception:
            connection.terminate()
        finally:
            self._count -= 1
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
        loop, self._loop = self._loop, None
        if loop is None or loop is asyncio.get_running_loop():
            self._end_all()
            if self._ending:
                await asyncio.wait(self._ending)
        elif loop.is_closed():  # and all connections with it
            self._idle.clear()
            self._count = 0
        else:
            loop.call_soon_threadsafe(self._end_all)

    def _end_all(self) -> None:
        idle, self._idle = self._idle, []
        while self._waiting:
            self._wake()
        for connection in idle:
            self.end(connection)
