"""Connections to PostgreSQL that are lost at any message: no write is lost, none is doubled, and what is not known is said."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest

from manor.data import connect
from manor.data.documents import DatabaseInterface, Index, Options, Retries, Table
from manor.data.documents.faults import OutcomeUnknown
from manor.data.documents.postgres.faults import translated
from manor.errors import ManorError, UnreachableError
from manor.testing.documents.samples import THINGS, new_tenant
from manor.testing.pg_proxy import Action, Direction, Fault, Matches, Message, PgProxy, matching

KEY = {"PK": "p", "SK": "s"}
MESSAGES = 24
"""More than a transaction takes."""


async def _at_once(_seconds: float) -> None:
    """Instead of waiting between attempts."""


OPTIONS = Options(retries=Retries(sleep=_at_once))


@pytest.fixture
def proxy(documents_url: str) -> Iterator[PgProxy]:
    with PgProxy(documents_url) as proxy:
        yield proxy


@pytest.fixture
async def db(proxy: PgProxy) -> AsyncIterator[DatabaseInterface]:
    """A store through the proxy, with an item that counts, whose statements are prepared."""
    async with connect(proxy.url, tenant=new_tenant(), tables=[THINGS], options=OPTIONS, connections=1) as db:
        await db.ensure_tables()
        for _ in range(2):
            await db.put_item("things", {**KEY, "n": 0})
        proxy.clear()
        yield db
        await db.driver.drop_tables(db.tenant_id, [THINGS])


def any_message(_message: Message) -> bool:
    return True


def strike(proxy: PgProxy, matches: Matches, action: Action, *, occurrence: int = 1) -> None:
    proxy.inject(Fault(direction=Direction.TO_SERVER, matches=matches, action=action, occurrence=occurrence))


@pytest.mark.parametrize("action", [Action.CUT_BEFORE, Action.CUT_AFTER])
@pytest.mark.parametrize("occurrence", range(1, MESSAGES))
async def test_a_transaction_is_done_once_wherever_its_connection_is_lost(
    db: DatabaseInterface, proxy: PgProxy, action: Action, occurrence: int
) -> None:
    """Its token tells the second attempt whether there was a first."""
    strike(proxy, any_message, action, occurrence=occurrence)
    add = {"type": "Update", "table": "things", "key": KEY, "update_expression": "ADD n :one", "expression_values": {":one": 1}}
    await db.transaction_write([add, {"type": "Put", "table": "things", "item": {**KEY, "SK": "other"}}])
    proxy.clear()
    assert await db.get_item("things", KEY) == {**KEY, "n": 1}
    assert await db.get_item("things", {**KEY, "SK": "other"}) is not None


@pytest.mark.parametrize("action", [Action.CUT_BEFORE, Action.CUT_AFTER])
@pytest.mark.parametrize("occurrence", range(1, 16))
async def test_an_increment_is_done_once_or_its_outcome_is_unknown(
    db: DatabaseInterface, proxy: PgProxy, action: Action, occurrence: int
) -> None:
    """Before the commit is sent nothing can have happened, and it is tried again; afterwards it may have."""
    strike(proxy, any_message, action, occurrence=occurrence)
    try:
        await db.update_item("things", KEY, "ADD n :one", {":one": 1}, return_values="NONE")
    except OutcomeUnknown:
        expected = {0, 1}
    else:
        expected = {1}
    proxy.clear()
    found = await db.get_item("things", KEY)
    assert found is not None
    assert found["n"] in expected


@pytest.mark.parametrize(("action", "count"), [(Action.CUT_BEFORE, 0), (Action.CUT_AFTER, 1)])
async def test_a_commit_without_an_answer_is_an_unknown_outcome(
    db: DatabaseInterface, proxy: PgProxy, action: Action, count: int
) -> None:
    """With tenant, and without the server's URL."""
    strike(proxy, lambda message: message.type == "Q" and message.text.startswith("COMMIT"), action)
    with pytest.raises(OutcomeUnknown) as unknown:
        await db.update_item("things", KEY, "ADD n :one", {":one": 1}, return_values="NONE")
    assert db.tenant_id in str(unknown.value)
    # an update waits for the item's lock, which the server's session has until the commit is done
    assert await db.update_item("things", KEY, None) == {**KEY, "n": count}


async def test_a_plain_put_without_an_answer_is_sent_again(db: DatabaseInterface, proxy: PgProxy) -> None:
    """Twice is once."""
    strike(proxy, matching(type="S"), Action.CUT_AFTER)
    await db.put_item("things", {**KEY, "n": 5})
    assert await db.get_item("things", KEY) == {**KEY, "n": 5}


async def test_a_connection_that_the_server_ended_is_replaced(db: DatabaseInterface, proxy: PgProxy) -> None:
    """Whether it was noticed or not."""
    proxy.cut_all()
    assert await db.get_item("things", KEY) == {**KEY, "n": 0}


async def test_sessions_that_an_administrator_ends_are_replaced(db: DatabaseInterface, documents_url: str) -> None:
    """In the middle of whatever they do; nothing but lost connections is told, and reads do not fail at all."""
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ 'documents_' AND pid <> pg_backend_pid()"
    wrong = []

    async def read() -> None:
        for _ in range(100):
            try:
                await many.get_item("things", KEY)
            except UnreachableError:
                pass  # after the last attempt
            except ManorError as error:
                wrong.append(error)

    async with connect(documents_url, tenant=db.tenant_id, tables=[THINGS], options=OPTIONS) as many:
        killer = await asyncpg.connect(documents_url)
        readers = [asyncio.create_task(read()) for _ in range(16)]
        while not all(reader.done() for reader in readers):
            await killer.execute(ended)
        await killer.close()
    assert wrong == []


def test_a_session_that_was_ended_between_question_and_answer_is_lost() -> None:
    """Though asyncpg calls it a fault of its own."""
    error = asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")
    assert translated(error, sent=False).transient
    assert isinstance(translated(error, sent=True), OutcomeUnknown)


async def test_a_store_is_opened_again_after_it_was_closed(documents_url: str) -> None:
    """Or opened twice."""
    db = connect(documents_url, tenant="acme", tables=[THINGS])
    await db.open()
    for _ in range(2):
        async with db:
            await db.ensure_tables()
            assert await db.get_item("things", KEY) is None
    await db.open()
    await db.driver.drop_tables("acme", [THINGS])
    await db.close()


async def test_a_server_that_does_not_answer_is_named_without_its_url(tmp_path: Path) -> None:
    """After the last attempt."""
    db = connect(f"postgresql://secret:word@/x?host={tmp_path}", tenant="acme", tables=[THINGS], options=OPTIONS)
    with pytest.raises(UnreachableError) as refused:
        await db.open()
    await db.close()
    assert "word" not in str(refused.value)


async def test_keys_of_the_greatest_length_fit_into_an_index(documents_url: str) -> None:
    """Tenant, table, index and all four keys at once: an index of PostgreSQL takes 2,704 bytes."""
    wide = Table(
        name="t" * 255, partition_key="PK", sort_key="SK", indexes=(Index(name="i" * 255, partition_key="IP", sort_key="IS"),)
    )
    items = [
        {"PK": _noise(2048, f"p{n}"), "SK": _noise(1024, f"s{n}"), "IP": _noise(2048, "i"), "IS": _noise(1024, f"j{n}")}
        for n in range(3)
    ]
    async with connect(documents_url, tenant=_noise(255, "t"), tables=[wide], allow_scans=True) as db:
        await db.ensure_tables()
        await db.batch_write(wide.name, items)
        for item in items:
            assert await db.get_item(wide.name, {"PK": item["PK"], "SK": item["SK"]}) == item
        found = await db.query(wide.name, "IP = :i", {":i": items[0]["IP"]}, "i" * 255)
        assert found == sorted(items, key=lambda item: item["IS"])
        await db.driver.drop_tables(db.tenant_id, [wide])


def _noise(length: int, seed: str) -> str:
    """Text that does not get shorter by compression."""
    chance = random.Random(seed)
    return "".join(chance.choice("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(length))
