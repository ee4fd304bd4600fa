"""The handful of connections: who gets one, and what becomes of one that is broken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg  # type: ignore[import-untyped]
import pytest

from manor.data.documents.faults import TableMissing
from manor.data.documents.postgres.connections import ENDING_SECONDS, Connections
from manor.errors import Code, InputError, ManorError, UnreachableError


class Fake:
    """A connection."""

    def __init__(self) -> None:
        self.broken = False
        self.open_transaction = False
        self.terminated = False
        self.ended_within: float | None = None

    def is_closed(self) -> bool:
        return self.broken

    def is_in_transaction(self) -> bool:
        return self.open_transaction

    def terminate(self) -> None:
        self.terminated = True

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109 - as asyncpg has it
        self.ended_within = timeout
        self.broken = True


class Server:
    """Makes connections, and counts them."""

    def __init__(self) -> None:
        self.made: list[Fake] = []
        self.down = False

    async def connect(self) -> Fake:
        if self.down:
            raise ConnectionRefusedError
        self.made.append(Fake())
        return self.made[-1]


def opened(connect: Callable[[], Awaitable[Fake]], size: int) -> Connections:
    """Connections that can be taken."""
    connections = Connections(connect, size)
    connections.open()
    return connections


async def test_a_connection_is_used_again() -> None:
    """The one that was given back last."""
    server = Server()
    connections = opened(server.connect, 8)
    for _ in range(20):
        async with connections.one():
            pass
    assert len(server.made) == 1


async def test_no_more_than_allowed_are_made_and_who_waits_gets_one() -> None:
    """All of them come to their turn."""
    server, busy, most = Server(), 0, 0
    connections = opened(server.connect, 3)

    async def use() -> None:
        nonlocal busy, most
        async with connections.one():
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0)
            busy -= 1

    await asyncio.gather(*(use() for _ in range(50)))
    assert (len(server.made), most) == (3, 3)


async def test_a_broken_connection_is_replaced() -> None:
    """Whether it broke in use, while it waited, or was left inside a transaction."""
    server = Server()
    connections = opened(server.connect, 1)
    async with connections.one() as first:
        first.broken = True
    async with connections.one() as second:
        second.open_transaction = True
    assert second.terminated
    async with connections.one():
        pass
    server.made[-1].broken = True
    async with connections.one() as last:
        assert last is server.made[3]


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, TimeoutError, ValueError])
async def test_a_connection_whose_answer_was_not_waited_for_is_ended(error: type[BaseException]) -> None:
    """It is no use that it says it is in no transaction; its place is free afterwards."""
    server = Server()
    connections = opened(server.connect, 1)
    with pytest.raises(BaseException):  # noqa: B017, PT011 - whatever becomes of it
        async with connections.one() as first:
            raise error
    async with connections.one() as second:
        assert second is not first
    assert first.ended_within == ENDING_SECONDS


async def test_a_connection_stays_after_an_answer_that_is_a_refusal() -> None:
    """The server's or ours."""
    server = Server()
    connections = opened(server.connect, 1)
    for error in (asyncpg.UniqueViolationError("no"), TableMissing("no")):
        with pytest.raises(ManorError):
            async with connections.one():
                raise error
    async with connections.one() as last:
        assert last is server.made[0]


async def test_somebody_who_gives_up_waiting_does_not_take_the_turn_along() -> None:
    """The next one in the queue gets it."""
    server = Server()
    connections = opened(server.connect, 1)
    held = await connections.take()
    waiting = [asyncio.create_task(connections.take()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    connections.give(held)
    waiting[1].cancel()  # its turn has come, but it does not run any more
    assert await asyncio.wait_for(waiting[2], 5) is held


async def test_a_server_that_is_down_leaves_no_place_taken() -> None:
    """Asking again works as soon as it is up."""
    server = Server()
    connections = opened(server.connect, 1)
    server.down = True
    for _ in range(3):
        with pytest.raises(UnreachableError) as refused:
            await connections.take()
        assert refused.value.transient
    server.down = False
    assert await connections.take() is server.made[0]


async def test_closing_ends_all_and_refuses_who_waits() -> None:
    """Those in use are closed when they are given back."""
    server = Server()
    connections = opened(server.connect, 2)
    used = await connections.take()
    connections.give(await connections.take())
    other = await connections.take()
    waiting = asyncio.create_task(connections.take())
    await asyncio.sleep(0)
    connections.give(other)
    await waiting
    late = asyncio.create_task(connections.take())
    await asyncio.sleep(0)
    await connections.close()
    with pytest.raises(UnreachableError, match="closed") as refused:
        await late
    assert refused.value.code is Code.UNREACHABLE
    connections.give(used)
    assert used.terminated


def test_a_store_of_another_event_loop_is_refused_and_can_be_closed() -> None:
    """From anywhere; then it can be opened in the other one."""
    server = Server()
    connections = opened(server.connect, 1)

    async def use() -> None:
        async with connections.one():
            pass

    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(use())
        with pytest.raises(InputError, match="event loop"):
            second.run(use())
        first.run(use())
        second.run(connections.close())
        first.run(asyncio.sleep(0))
        with pytest.raises(UnreachableError):
            first.run(use())
        connections.open()
        second.run(use())
    assert [one.broken for one in server.made] == [True, False]
    asyncio.run(connections.close())  # the second loop is closed
