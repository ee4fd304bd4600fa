"""Callers that are cancelled with a statement under way: whoever comes after them gets a connection that does what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from itertools import count

import pytest

from manor.data import connect
from manor.data.documents import DatabaseInterface
from manor.data.documents.postgres.codec import KEYS
from manor.data.documents.postgres.connections import Connections
from manor.data.documents.postgres.transacting import lock_of, transaction
from manor.testing.documents.samples import THINGS, new_tenant
from manor.testing.pg_proxy import Action, Direction, Fault, Message, PgProxy

KEY = {"PK": "p", "SK": "s"}
ADD = ("ADD n :one", {":one": 1})
Request = Callable[[DatabaseInterface], Coroutine[object, object, object]]
REQUESTS: dict[str, Request] = {
    "update": lambda db: db.update_item("things", KEY, *ADD),
    "put": lambda db: db.put_item("things", {**KEY, "n": 1}),
    "get": lambda db: db.get_item("things", KEY),
    "query": lambda db: db.query("things", "PK = :p", {":p": "p"}),
    "transaction": lambda db: db.transaction_write([{"type": "Put", "table": "things", "item": {**KEY, "n": 1}}]),
}


@pytest.fixture
def proxy(documents_url: str) -> Iterator[PgProxy]:
    with PgProxy(documents_url) as proxy:
        yield proxy


@pytest.fixture
async def other(documents_url: str) -> AsyncIterator[DatabaseInterface]:
    """What is really there, seen by another process."""
    async with connect(documents_url, tenant=new_tenant(), tables=[THINGS]) as db:
        await db.ensure_tables()
        await db.put_item("things", {**KEY, "n": 0})
        yield db
        await db.driver.drop_tables(db.tenant_id, [THINGS])


@pytest.fixture
async def db(proxy: PgProxy, other: DatabaseInterface) -> AsyncIterator[DatabaseInterface]:
    """One connection, through the proxy, whose statements are prepared."""
    async with connect(proxy.url, tenant=other.tenant_id, tables=[THINGS], connections=1) as db:
        for request in REQUESTS.values():
            await request(db)
        await other.put_item("things", {**KEY, "n": 0})
        yield db


class Held:
    """The n-th message in a direction is kept back."""

    def __init__(self, proxy: PgProxy, direction: Direction, occurrence: int) -> None:
        self.reached = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._left = occurrence
        proxy.clear()
        self.injection = proxy.inject(
            Fault(direction=direction, matches=self._matches, action=Action.HOLD, occurrence=occurrence)
        )

    def _matches(self, _message: Message) -> bool:
        self._left -= 1
        if not self._left:
            self._loop.call_soon_threadsafe(self.reached.set)
        return True


async def is_cancelled_at(held: Held, request: Awaitable[object]) -> bool:
    """Cancel it when the message is held, unless it is over before."""
    task, reached = asyncio.ensure_future(request), asyncio.ensure_future(held.reached.wait())
    await asyncio.wait([task, reached], return_when=asyncio.FIRST_COMPLETED)
    there = reached.done()
    for one in (task, reached):
        one.cancel()
    await asyncio.wait([task, reached])
    held.injection.release()
    return there


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("name", REQUESTS)
async def test_a_write_after_a_cancelled_request_is_there_once_it_is_answered(
    db: DatabaseInterface, other: DatabaseInterface, proxy: PgProxy, name: str, direction: Direction
) -> None:
    """At whatever message the request before it was cancelled, with one connection for both."""
    for occurrence in count(1):
        await REQUESTS[name](db)  # whose statements are prepared now
        if not await is_cancelled_at(Held(proxy, direction, occurrence), REQUESTS[name](db)):
            break
        for number in range(3):
            item = {"PK": "q", "SK": str(number), "n": occurrence}
            await db.put_item("things", item)
            assert await other.get_item("things", {"PK": "q", "SK": str(number)}) == item
    assert occurrence > 1


async def test_requests_cancelled_while_they_wait_for_a_lock_disturb_nobody(
    documents_url: str, other: DatabaseInterface
) -> None:
    """Their connections are ended, on the server too, and those that come after them get others."""
    lock = lock_of(other.tenant_id, "things", KEYS.place(THINGS.keys, KEY))
    holder: Connections = other.driver._connections  # type: ignore[attr-defined]
    async with connect(documents_url, tenant=other.tenant_id, tables=[THINGS], connections=4) as db:
        async with transaction(holder, "", [lock]):
            tasks = [asyncio.create_task(REQUESTS["update"](db)) for _ in range(4)]
            async with holder.one() as watching:
                while await watching.fetchval(_WAITING) < 4:
                    pass
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert all(task.cancelled() for task in tasks)
            for number in range(8):
                await db.put_item("things", {"PK": "p", "SK": str(number)})
        assert len(await other.query("things", "PK = :p", {":p": "p"})) == 9
        assert await db.update_item("things", KEY, *ADD) == {**KEY, "n": 1}


async def test_a_server_that_does_not_stop_costs_a_connection_and_no_answer(
    db: DatabaseInterface, other: DatabaseInterface, proxy: PgProxy
) -> None:
    """A cable is out when the caller gives up: after a moment the connection counts as gone, and the next request is served."""
    task = asyncio.create_task(REQUESTS["update"](db))
    silenced = proxy.inject(Fault(direction=Direction.TO_CLIENT, matches=lambda _: True, action=Action.SILENCE))
    await asyncio.to_thread(silenced.wait)
    task.cancel()
    await asyncio.wait([task])
    elsewhere = {"PK": "q", "SK": "s"}  # the server's session has the lock of the first item still
    await db.put_item("things", elsewhere)
    assert await other.get_item("things", elsewhere) == elsewhere


_WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
