"""Between driver and server anything can go wrong: nothing is lost, nothing is done twice, and what is not known is said."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from manor.data import connect
from manor.data.documents import DatabaseInterface, Options, Retries
from manor.data.documents.faults import (
    BatchIncomplete,
    ConditionFailed,
    OutcomeUnknown,
    Throttled,
    TransactionCancelled,
    WriteConflict,
)
from manor.errors import Code, ManorError, UnreachableError
from manor.testing.documents.samples import KEY, THINGS, new_tenant
from manor.testing.http_faults import Answer, FaultyProxy, Forward, Handler, Request, Reset

ADD = {"update_expression": "ADD n :one", "expression_values": {":one": 1}}
ATTEMPTS = 4


async def at_once(_seconds: float) -> None:
    """Retries do not wait in tests."""
    await asyncio.sleep(0)


@pytest_asyncio.fixture
async def proxy(ministack_url: str) -> AsyncIterator[FaultyProxy]:
    async with FaultyProxy(ministack_url.partition("endpoint=")[2]).running() as running:
        yield running


@pytest_asyncio.fixture
async def db(proxy: FaultyProxy, dynamodb_credentials: dict[str, str]) -> AsyncIterator[DatabaseInterface]:
    """A store of a new tenant behind the proxy; the proxy has forgotten what came before."""
    store = connect(
        f"dynamodb://us-east-1?endpoint=http://127.0.0.1:{proxy.port}",
        tenant=new_tenant(),
        tables=[THINGS],
        credentials=dynamodb_credentials,
        options=Options(retries=Retries(attempts=ATTEMPTS, sleep=at_once)),
        read_timeout_seconds=2,
    )
    async with store:
        await store.ensure_tables()
        proxy.requests.clear()
        yield store


def first(count: int, fault: Handler) -> Handler:
    """The fault for the first requests, then none."""
    left = [count]

    async def handle(request: Request, forward: Forward) -> Answer | None:
        left[0] -= 1
        return await fault(request, forward) if left[0] >= 0 else await forward(request)

    return handle


def failing(name: str, status: int = 400, **more: Any) -> Handler:
    """Answer with an error and do nothing."""

    async def handle(request: Request, forward: Forward) -> Answer:
        return Answer.failure(name, status, **more)

    return handle


async def lost_answer(request: Request, forward: Forward) -> None:
    """Done, and the connection closed before the answer."""
    await forward(request)


async def reset_answer(request: Request, forward: Forward) -> Answer:
    """Done, and the connection reset before the answer."""
    await forward(request)
    raise Reset


async def lost_request(request: Request, forward: Forward) -> None:
    """Never done, and the connection closed."""


async def reset_request(request: Request, forward: Forward) -> Answer:
    """Never done, and the connection reset."""
    raise Reset


async def late_answer(request: Request, forward: Forward) -> Answer:
    """Done, and never answered."""
    await forward(request)
    return await asyncio.Event().wait()  # type: ignore[return-value]


async def half_answer(request: Request, forward: Forward) -> Answer:
    """Done, and answered with something that is no JSON, under the checksum of what was meant."""
    answer = await forward(request)
    headers = {**answer.headers, "x-amz-crc32": str(zlib.crc32(answer.body))}
    return Answer(body=answer.body[: len(answer.body) // 2] or b"{", headers=headers)


async def error_after(request: Request, forward: Forward) -> Answer:
    """Done, and answered with an internal error."""
    await forward(request)
    return Answer.failure("InternalServerError", 500)


async def twice(request: Request, forward: Forward) -> Answer:
    """Delivered twice; the second answer counts."""
    await forward(request)
    return await forward(request)


AFTER = [lost_answer, reset_answer, error_after, half_answer]
BEFORE = [lost_request, reset_request]
BUSY = ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "TransactionConflictException"]


async def count(db: DatabaseInterface) -> Any:
    """``n`` of the item that the tests count in."""
    found = await db.get_item("things", KEY, True)
    return None if found is None else found.get("n")


@pytest.mark.parametrize("name", BUSY)
async def test_what_was_certainly_not_done_is_tried_again(db: DatabaseInterface, proxy: FaultyProxy, name: str) -> None:
    """Throttling and conflicts: any kind of write, done once."""
    proxy.handler = first(2, failing(name))
    await db.update_item("things", KEY, **ADD)
    assert proxy.operations() == ["UpdateItem"] * 3
    assert await count(db) == 1


@pytest.mark.parametrize(("name", "error"), [(BUSY[0], Throttled), (BUSY[3], WriteConflict)])
async def test_attempts_are_bounded_and_the_error_names_table_and_key_only(
    db: DatabaseInterface, proxy: FaultyProxy, name: str, error: type[ManorError]
) -> None:
    """As many as the options say."""
    proxy.handler = failing(name)
    with pytest.raises(error) as raised:
        await db.put_item("things", {**KEY, "secret": "hunter2"}, "attribute_not_exists(secret)")
    assert proxy.operations() == ["PutItem"] * ATTEMPTS
    assert "things {PK='p', SK='s'}" in str(raised.value)
    assert db.tenant_id in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("fault", [*AFTER, *BEFORE, late_answer])
async def test_a_write_that_counts_is_not_repeated_where_its_outcome_is_unknown(
    db: DatabaseInterface, proxy: FaultyProxy, fault: Handler
) -> None:
    """Sent once; the caller is told that it may have happened."""
    proxy.handler = first(1, fault)
    with pytest.raises(OutcomeUnknown) as raised:
        await db.update_item("things", KEY, **ADD)
    assert proxy.operations() == ["UpdateItem"]
    assert "things {PK='p', SK='s'}" in str(raised.value)
    assert await count(db) == (None if fault in BEFORE else 1)


@pytest.mark.parametrize("fault", [*AFTER, *BEFORE])
async def test_a_conditional_write_is_not_repeated_either(db: DatabaseInterface, proxy: FaultyProxy, fault: Handler) -> None:
    """Its second attempt would fail because of its first, and tell the caller that somebody else won."""
    proxy.handler = first(1, fault)
    with pytest.raises(OutcomeUnknown):
        await db.put_item("things", {**KEY, "n": 1}, "attribute_not_exists(PK)")
    assert len(proxy.requests) == 1
    assert await count(db) == (None if fault in BEFORE else 1)


@pytest.mark.parametrize("fault", [*AFTER, *BEFORE])
async def test_a_write_that_can_be_repeated_is(db: DatabaseInterface, proxy: FaultyProxy, fault: Handler) -> None:
    """Put, update and delete that leave the same, however often they are done."""
    for write in (
        lambda: db.put_item("things", {**KEY, "n": 5}),
        lambda: db.update_item("things", KEY, "SET n = :v", {":v": 5}),
    ):
        proxy.handler = first(2, fault)
        await write()
        assert await count(db) == 5
    proxy.handler = first(2, fault)
    await db.delete_item("things", KEY)
    assert await count(db) is None


@pytest.mark.parametrize("fault", [*AFTER, *BEFORE])
async def test_a_transaction_is_repeated_with_its_token_and_done_once(
    db: DatabaseInterface, proxy: FaultyProxy, fault: Handler
) -> None:
    """Though it counts, and though its answer was lost twice."""
    proxy.handler = first(2, fault)
    await db.transaction_write([{"type": "Update", "table": "things", "key": KEY, **ADD}])
    assert proxy.operations() == ["TransactWriteItems"] * 3
    assert len({request.json()["ClientRequestToken"] for request in proxy.requests}) == 1
    assert await count(db) == 1


async def test_an_outcome_that_stays_unknown_is_said_to_be(db: DatabaseInterface, proxy: FaultyProxy) -> None:
    """Also where the last attempt was only throttled: an earlier one may have got through."""
    faults = iter([lost_answer, failing(BUSY[0]), failing(BUSY[0]), failing(BUSY[0])])

    async def handle(request: Request, forward: Forward) -> Answer | None:
        return await next(faults)(request, forward)

    proxy.handler = handle
    with pytest.raises(OutcomeUnknown):
        await db.put_item("things", {**KEY, "n": 1})
    assert len(proxy.requests) == ATTEMPTS


@pytest.mark.parametrize("fault", [*BEFORE, *AFTER, failing("InternalServerError", 500), failing("ServiceUnavailable", 503)])
async def test_a_read_is_repeated_whatever_happened(db: DatabaseInterface, proxy: FaultyProxy, fault: Handler) -> None:
    """By key, query, scan and batch; after the last attempt the server counts as unreachable."""
    await db.put_item("things", {**KEY, "n": 1})
    for read in (
        lambda: db.get_item("things", KEY),
        lambda: db.query("things", "PK = :p", {":p": "p"}),
        lambda: db.scan("things"),
        lambda: db.batch_get("things", [KEY]),
    ):
        proxy.handler = first(2, fault)
        assert await read()
    proxy.handler, proxy.requests[:] = fault, []
    with pytest.raises(UnreachableError):
        await db.get_item("things", KEY)
    assert len(proxy.requests) == ATTEMPTS


async def test_a_server_that_is_not_there_has_done_nothing(dynamodb_credentials: dict[str, str]) -> None:
    """So that also writes that count may be tried again, and the error is not that of an unknown outcome."""
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    url = f"dynamodb://us-east-1?endpoint=http://127.0.0.1:{port}"
    options = Options(retries=Retries(attempts=2, sleep=at_once))
    async with connect(url, tenant="t", tables=[THINGS], credentials=dynamodb_credentials, options=options) as db:
        with pytest.raises(UnreachableError, match="things"):
            await db.update_item("things", KEY, **ADD)


async def test_a_message_that_is_delivered_twice_is_done_once(db: DatabaseInterface, proxy: FaultyProxy) -> None:
    """Puts and deletes anyway, transactions by their token."""
    proxy.handler = twice
    await db.put_item("things", {**KEY, "n": 1})
    await db.transaction_write([{"type": "Update", "table": "things", "key": KEY, **ADD}])
    await db.batch_write("things", [{"PK": "q", "SK": "s"}])
    proxy.handler = first(0, twice)
    assert await count(db) == 2
    assert len(await db.scan("things")) == 2


async def test_a_first_delivery_shows_in_the_condition_of_the_second(db: DatabaseInterface, proxy: FaultyProxy) -> None:
    """What a network repeats no client can hide; the item of the error is the caller's own, which tells it."""
    proxy.handler = first(1, twice)
    with pytest.raises(ConditionFailed) as failed:
        await db.put_item("things", {**KEY, "owner": "me"}, "attribute_not_exists(PK)")
    assert failed.value.item == {**KEY, "owner": "me"}


# Batches


def rows(number: int) -> list[dict[str, Any]]:
    """Items in partitions of their own."""
    return [{"PK": f"p{n}", "SK": "s", "n": n} for n in range(number)]


def part_of_the_writes(chosen: Callable[[int], bool], *, reset: bool = False) -> Handler:
    """Only some of a batch is done; the rest comes back, or the connection breaks."""

    async def handle(request: Request, forward: Forward) -> Answer:
        if request.operation != "BatchWriteItem":
            return await forward(request)
        (table, writes), *_ = request.json()["RequestItems"].items()
        done = [write for number, write in enumerate(writes) if chosen(number)]
        left = [write for number, write in enumerate(writes) if not chosen(number)]
        answer = await forward(request.with_json({"RequestItems": {table: done}})) if done else Answer()
        if reset:
            raise Reset
        return answer.with_json({"UnprocessedItems": {table: left} if left else {}})

    return handle


def part_of_the_keys(chosen: Callable[[int], bool]) -> Handler:
    """Only some of the keys are read; the rest comes back."""

    async def handle(request: Request, forward: Forward) -> Answer:
        (table, asked), *_ = request.json()["RequestItems"].items()
        done = [key for number, key in enumerate(asked["Keys"]) if chosen(number)]
        left = [key for number, key in enumerate(asked["Keys"]) if not chosen(number)]
        answer = await forward(request.with_json({"RequestItems": {table: {**asked, "Keys": done}}}))
        return answer.with_json({**answer.json(), "UnprocessedKeys": {table: {**asked, "Keys": left}} if left else {}})

    return handle


async def test_what_a_server_leaves_of_a_batch_is_sent_again(db: DatabaseInterface, proxy: FaultyProxy) -> None:
    """Puts, deletes and reads, until all is done."""
    proxy.handler = part_of_the_writes(lambda number: number % 3 == 0)
    await db.batch_write("things", rows(60))
    await db.batch_write("things", deletes=[{"PK": f"p{n}", "SK": "s"} for n in range(50, 60)])
    proxy.handler = part_of_the_keys(lambda number: number % 3 == 0)
    found = await db.batch_get("things", [{"PK": row["PK"], "SK": "s"} for row in rows(60)])
    assert found == rows(50)


async def test_a_batch_that_breaks_in_the_middle_is_finished(db: DatabaseInterface, proxy: FaultyProxy) -> None:
    """What was done already is done again, which changes nothing."""
    proxy.handler = first(2, part_of_the_writes(lambda number: number < 10, reset=True))
    await db.batch_write("things", rows(60))
    assert await db.batch_get("things", [{"PK": row["PK"], "SK": "s"} for row in rows(60)]) == rows(60)


async def test_a_batch_that_a_server_never_finishes_says_what_is_left(db: DatabaseInterface, proxy: FaultyProxy) -> None:
    """After as many attempts without any progress as the options say."""
    proxy.handler = part_of_the_writes(lambda _number: False)
    with pytest.raises(BatchIncomplete) as raised:
        await db.batch_write("things", rows(30))
    assert len(raised.value.keys) == 30
    assert len(proxy.requests) == ATTEMPTS


async def test_a_batch_that_is_throttled_as_a_whole_is_tried_again(db: DatabaseInterface, proxy: FaultyProxy) -> None:
    """DynamoDB says so by an error where it took nothing."""
    proxy.handler = first(2, failing(BUSY[0]))
    await db.batch_write("things", rows(5))
    assert len(await db.scan("things")) == 5


# Transactions


async def test_a_transaction_that_meets_another_is_tried_again(db: DatabaseInterface, proxy: FaultyProxy) -> None:
    """Where conflicts are the only reasons."""
    conflict = [{"Code": "TransactionConflict", "Message": "x"}]
    proxy.handler = first(2, failing("TransactionCanceledException", CancellationReasons=conflict))
    await db.transaction_write([{"type": "Update", "table": "things", "key": KEY, **ADD}])
    assert await count(db) == 1


async def test_a_transaction_that_failed_for_another_reason_is_not(db: DatabaseInterface, proxy: FaultyProxy) -> None:
    """One attempt, and the reasons."""
    failed = [{"Code": "ConditionalCheckFailed", "Item": {"PK": {"S": "p"}}}]
    proxy.handler = failing("TransactionCanceledException", CancellationReasons=failed)
    with pytest.raises(TransactionCancelled) as raised:
        await db.transaction_write([{"type": "Update", "table": "things", "key": KEY, **ADD}])
    assert raised.value.reasons[0].item == {"PK": "p"}
    assert len(proxy.requests) == 1


async def test_a_transaction_still_under_way_is_asked_about_again(db: DatabaseInterface, proxy: FaultyProxy) -> None:
    """With the same token."""
    proxy.handler = first(1, failing("TransactionInProgressException"))
    await db.transaction_write([{"type": "Update", "table": "things", "key": KEY, **ADD}])
    assert await count(db) == 1


@pytest.mark.parametrize("name", ["UnrecognizedClientException", "AccessDeniedException", "ExpiredTokenException"])
async def test_who_may_not_is_told_at_once(db: DatabaseInterface, proxy: FaultyProxy, name: str) -> None:
    """Without repetition."""
    proxy.handler = failing(name)
    with pytest.raises(ManorError, match=name) as raised:
        await db.get_item("things", KEY)
    assert raised.value.code is Code.DENIED
    assert len(proxy.requests) == 1


# Everything at once


@pytest.mark.parametrize("seed", range(3))
async def test_in_any_weather_the_count_is_what_got_through(db: DatabaseInterface, proxy: FaultyProxy, seed: int) -> None:
    """Sixty-four tasks, half of their requests disturbed: what was answered happened once, what was not may have."""
    chance = random.Random(seed)
    faults: list[Handler] = [*AFTER, *BEFORE, failing(BUSY[0]), failing(BUSY[3]), failing("InternalServerError", 500)]

    async def stormy(request: Request, forward: Forward) -> Answer | None:
        fault = chance.choice(faults)
        return await (fault(request, forward) if chance.random() < 0.5 else forward(request))

    async def step() -> str:
        try:
            await db.update_item("things", KEY, **ADD)
        except OutcomeUnknown:
            return "unknown"
        except (Throttled, WriteConflict):
            return "not done"
        return "done"

    proxy.handler, proxy.forwarded[:] = stormy, []
    told = await asyncio.gather(*(step() for _ in range(64)))
    done_by_server = len(proxy.forwarded)
    proxy.handler = first(0, lost_answer)
    assert await count(db) == done_by_server
    assert told.count("done") <= done_by_server <= told.count("done") + told.count("unknown")
