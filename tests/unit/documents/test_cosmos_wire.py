"""What the Cosmos DB driver sends, request by request, through the real SDK; and what becomes of requests that fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from manor.data.documents import DatabaseInterface, Options, Retries, Table
from manor.data.documents.cosmos.connecting import Address
from manor.data.documents.cosmos.driver import CosmosDriver
from manor.data.documents.faults import OutcomeUnknown, Throttled, TransactionCancelled
from manor.errors import Code, InputError, ManorError, UnreachableError, UnsupportedError
from manor.testing.cosmos_gateway import CosmosGateway
from manor.testing.cosmos_gateway.answers import Answer

THINGS = Table(name="things", partition_key="PK", sort_key="SK", allow_scans=True)
KEY = {"PK": "a#1", "SK": "x/y"}
ID = "things.a_231.x_2Fy"
TENANT = "客"
PARTITION = '["\\u5ba2"]'


class Wire:
    """A store, and what it has sent since ``begin``."""

    def __init__(self, gateway: CosmosGateway, db: DatabaseInterface) -> None:
        self.gateway = gateway
        self.db = db

    def begin(self) -> None:
        """Forget what was sent so far."""
        self.gateway.requests.clear()
        self.gateway.recording = True

    def sent(self) -> list[tuple[str, str, dict[str, str], Any]]:
        """Method, last part of the path, headers in small letters, body."""
        found = []
        for method, path, headers, body in self.gateway.requests:
            small = {name.lower(): value for name, value in headers.items()}
            found.append((method, path.rstrip("/").rpartition("/")[2], small, body))
        return found


def options(attempts: int) -> Options:
    async def at_once(_seconds: float) -> None: ...

    return Options(retries=Retries(attempts=attempts, sleep=at_once))


@pytest_asyncio.fixture
async def gateway() -> AsyncIterator[CosmosGateway]:
    async with CosmosGateway() as running:
        yield running


async def opened(gateway: CosmosGateway, *, attempts: int = 1, hierarchical: bool = False) -> DatabaseInterface:
    address = Address(endpoint=gateway.url, database="d", container="c", hierarchical=hierarchical)
    driver = CosmosDriver(address, {"key": "a2V5"}, clock=lambda: 1000.0)
    db = DatabaseInterface(driver, tables=[THINGS], tenant=TENANT, options=options(attempts))
    await db.open()
    await db.ensure_tables()
    return db


@pytest_asyncio.fixture
async def wire(gateway: CosmosGateway) -> AsyncIterator[Wire]:
    db = await opened(gateway)
    yield Wire(gateway, db)
    await db.close()


async def test_a_put_is_one_upsert_in_the_tenants_partition(wire: Wire) -> None:
    wire.begin()
    await wire.db.put_item("things", {**KEY, "n": 10**20, "price": 5})
    ((method, last, headers, body),) = wire.sent()
    assert (method, last) == ("POST", "docs")
    assert headers["x-ms-documentdb-partitionkey"] == PARTITION
    assert headers["x-ms-documentdb-is-upsert"] == "True"
    assert headers["prefer"] == "return=minimal"
    assert body == {
        "id": ID, "t": TENANT, "s": "things a#1 x/y ", "z": 20,
        "a": {"PK": "a#1", "SK": "x/y", "n": {"$n": "55201"}, "price": 5},
    }  # fmt: skip


async def test_a_get_is_one_point_read(wire: Wire) -> None:
    wire.begin()
    assert await wire.db.get_item("things", KEY) is None
    ((method, last, headers, _),) = wire.sent()
    assert (method, last, headers["x-ms-documentdb-partitionkey"]) == ("GET", ID, PARTITION)


async def test_a_counter_is_one_patch_with_the_condition_as_its_predicate(wire: Wire) -> None:
    await wire.db.put_item("things", {**KEY, "n": 1, "name": 'a"b'})
    wire.begin()
    answer = await wire.db.update_item(
        "things",
        KEY,
        "ADD n :one SET seen = :s",
        {":one": 1, ":s": "x", ":name": 'a"b'},
        "#n = :name",
        expression_names={"#n": "name"},
    )
    assert answer["n"] == 2
    ((method, last, headers, body),) = wire.sent()
    assert (method, last, headers["x-ms-documentdb-partitionkey"]) == ("PATCH", ID, PARTITION)
    assert body["operations"] == [
        {"op": "set", "path": "/a/seen", "value": "x"},
        {"op": "incr", "path": "/a/n", "value": 1},
        {"op": "incr", "path": "/z", "value": 26},
    ]
    assert body["condition"] == (
        'from c where c.z <= 409574 AND IS_NUMBER(c.a["n"]) AND c.a["n"] >= -9007199254740990 AND c.a["n"] <= 9007199254740990'
        ' AND (IS_STRING(c.a["name"]) AND c.a["name"] = "a\\"b")'
    )


async def test_what_patch_cannot_say_is_read_and_replaced_if_unchanged(wire: Wire) -> None:
    await wire.db.put_item("things", {**KEY, "l": [1]})
    wire.begin()
    await wire.db.update_item("things", KEY, "SET l = list_append(l, :l)", {":l": [2]})
    (read, write) = wire.sent()
    assert (read[0], read[1]) == ("GET", ID)
    assert (write[0], write[1]) == ("PUT", ID)
    assert write[2]["if-match"].startswith('"')
    assert write[3]["a"]["l"] == [1, 2]


async def test_a_first_put_creates_and_does_not_upsert(wire: Wire) -> None:
    wire.begin()
    await wire.db.put_item("things", KEY, "attribute_not_exists(PK)")
    assert [(method, "x-ms-documentdb-is-upsert" in headers) for method, _, headers, _ in wire.sent()] == [
        ("GET", False),
        ("POST", False),
    ]


async def test_a_transaction_is_one_atomic_batch_with_its_token(wire: Wire) -> None:
    await wire.db.put_item("things", {**KEY, "n": 1})
    wire.begin()
    await wire.db.transaction_write(
        [
            {"type": "Put", "table": "things", "item": {"PK": "new", "SK": "1"}},
            {"type": "Delete", "table": "things", "key": KEY, "condition_expression": "n = :n", "expression_values": {":n": 1}},
        ],
        token="t/1",
    )
    (read, batch) = wire.sent()
    assert read[3]["parameters"] == [{"name": "@ids", "value": [ID, "_token.t_2F1"]}]
    method, last, headers, body = batch
    assert (method, last, headers["x-ms-documentdb-partitionkey"]) == ("POST", "docs", PARTITION)
    assert headers["x-ms-cosmos-is-batch-request"] == headers["x-ms-cosmos-batch-atomic"] == "True"
    assert headers["x-ms-cosmos-batch-continue-on-error"] == "False"
    assert [(one["operationType"], "ifMatch" in one) for one in body] == [
        ("Upsert", False),
        ("Delete", True),
        ("Create", False),
    ]
    assert body[2]["resourceBody"] | {"f": ""} == {"id": "_token.t_2F1", "t": TENANT, "f": "", "ttl": 600}


async def test_a_query_stays_in_the_tenants_partition_and_pushes_its_filter(wire: Wire) -> None:
    wire.begin()
    await wire.db.query(
        "things", "PK = :p AND begins_with(SK, :s)", {":p": "a b", ":s": "x", ":n": 5}, limit=7, filter_expression="n < :n"
    )
    ((method, last, headers, body),) = wire.sent()
    assert (method, last, headers["x-ms-documentdb-partitionkey"]) == ("POST", "docs", PARTITION)
    assert "x-ms-documentdb-query-enablecrosspartition" not in headers
    assert body["query"] == (
        "SELECT TOP 8 c.a, c.z FROM c WHERE c.s >= @low AND c.s < @high AND "
        '((IS_NUMBER(c.a["n"]) AND c.a["n"] < @v0) OR (IS_STRING(c.a["n"]["$n"]) AND c.a["n"]["$n"] < @v1)) ORDER BY c.s ASC'
    )
    assert {one["name"]: one["value"] for one in body["parameters"]} == {
        "@low": "things a!20b x", "@high": "things a!20b x\ud7ff~", "@v0": 5, "@v1": "55005",
    }  # fmt: skip


async def test_a_filter_that_sql_cannot_say_is_evaluated_and_explained(wire: Wire) -> None:
    await wire.db.put_item("things", {**KEY, "l": [1, 2]})
    found = await wire.db.query("things", "PK = :p", {":p": "a#1", ":n": 2}, filter_expression="size(l) = :n")
    assert len(found) == 1
    told = await wire.db.explain("things", "PK = :p", {":p": "a#1", ":n": 2}, filter_expression="size(l) = :n")
    assert "evaluated after reading" in str(told)


# What cannot be atomic is refused before anything is sent


async def test_a_transaction_over_partitions_is_refused_with_hierarchical_keys(gateway: CosmosGateway) -> None:
    db = await opened(gateway, hierarchical=True)
    gateway.recording = True
    puts = [{"type": "Put", "table": "things", "item": {"PK": name, "SK": "1"}} for name in ("a", "b")]
    with pytest.raises(UnsupportedError, match="hierarchical"):
        await db.transaction_write(puts)
    assert gateway.requests == []
    await db.transaction_write([{**put, "item": {"PK": "a", "SK": str(n)}} for n, put in enumerate(puts)])
    assert len(await db.query("things", "PK = :p", {":p": "a"})) == 2
    await db.close()


async def test_a_transaction_without_room_for_its_token_is_refused(wire: Wire) -> None:
    wire.begin()
    add = {"type": "Update", "table": "things", "update_expression": "ADD n :n", "expression_values": {":n": 1}}
    adds = [{**add, "key": {"PK": "p", "SK": str(n)}} for n in range(100)]
    with pytest.raises(UnsupportedError, match="token"):
        await wire.db.transaction_write(adds)
    assert wire.sent() == []
    await wire.db.transaction_write(adds[:99])


async def test_a_transaction_above_two_megabytes_is_refused_and_nothing_is_done(wire: Wire) -> None:
    puts = [{"type": "Put", "table": "things", "item": {"PK": "p", "SK": str(n), "v": "x" * 390_000}} for n in range(6)]
    with pytest.raises(UnsupportedError, match="2 MB"):
        await wire.db.transaction_write(puts)
    assert list(await wire.db.scan("things")) == []


# Faults


async def test_a_write_that_nobody_answered_is_sent_once(wire: Wire) -> None:
    """The SDK alone sends it again after a reset, done or not; a counter would count twice."""
    await wire.db.put_item("things", {**KEY, "n": 0})

    def reset(request: web.Request) -> None:
        if request.method == "PATCH" and request.transport is not None:
            request.transport.abort()

    wire.gateway.after = reset
    wire.begin()
    with pytest.raises(OutcomeUnknown, match="a#1"):
        await wire.db.update_item("things", KEY, "ADD n :one", {":one": 1})
    assert [method for method, *_ in wire.sent()] == ["PATCH"]
    wire.gateway.after = None
    assert await wire.db.get_item("things", KEY) == {**KEY, "n": 1}


async def test_a_transaction_that_nobody_answered_is_done_once_when_sent_again(gateway: CosmosGateway) -> None:
    db = await opened(gateway, attempts=3)
    await db.put_item("things", {**KEY, "n": 0})
    resets = [1, 2]

    def reset(request: web.Request) -> None:
        if "x-ms-cosmos-is-batch-request" in request.headers and resets and request.transport is not None:
            resets.pop()
            request.transport.abort()

    gateway.after = reset
    await db.transaction_write(
        [{"type": "Update", "table": "things", "key": KEY, "update_expression": "ADD n :n", "expression_values": {":n": 1}}]
    )
    assert await db.get_item("things", KEY) == {**KEY, "n": 1}
    await db.close()


@pytest.mark.parametrize(
    ("status", "error", "sent"),
    [(429, Throttled, 2), (449, ManorError, 2), (503, OutcomeUnknown, 1), (408, OutcomeUnknown, 1), (403, ManorError, 1)],
)
async def test_what_the_server_says_of_a_counter_decides_whether_it_is_sent_again(
    gateway: CosmosGateway, status: int, error: type[ManorError], sent: int
) -> None:
    db = await opened(gateway, attempts=2)
    await db.put_item("things", {**KEY, "n": 0})

    def fail(request: web.Request) -> None:
        if request.method == "PATCH":
            raise Answer(status, "hunter2")

    gateway.before, gateway.recording = fail, True
    with pytest.raises(error) as raised:
        await db.update_item("things", KEY, "ADD n :one", {":one": 1})
    assert "hunter2" not in str(raised.value)
    assert "a#1" in str(raised.value)
    assert [method for method, *_ in gateway.requests].count("PATCH") == sent
    await db.close()


async def test_a_throttled_batch_comes_back_and_is_finished(gateway: CosmosGateway) -> None:
    db = await opened(gateway, attempts=4)
    times = [1, 2]

    def fail(request: web.Request) -> None:
        if "x-ms-cosmos-is-batch-request" in request.headers and times:
            times.pop()
            raise Answer(429, "slow down")

    gateway.before = fail
    await db.batch_write("things", [{"PK": "p", "SK": str(n)} for n in range(10)])
    assert len(await db.scan("things")) == 10
    await db.close()


async def test_a_transaction_that_meets_others_is_cancelled_as_a_conflict(wire: Wire) -> None:
    await wire.db.put_item("things", {**KEY, "n": 0})
    container = wire.gateway.containers["d", "c"]

    def touch(request: web.Request) -> None:
        if "x-ms-cosmos-is-batch-request" in request.headers:
            document = container.read((PARTITION[1:-1],), ID)
            container.replace((PARTITION[1:-1],), ID, document, None)

    wire.gateway.before = touch
    with pytest.raises(TransactionCancelled) as cancelled:
        await wire.db.transaction_write(
            [{"type": "Update", "table": "things", "key": KEY, "update_expression": "ADD n :n", "expression_values": {":n": 1}}]
        )
    assert cancelled.value.transient
    assert await wire.db.get_item("things", KEY) == {**KEY, "n": 0}


async def test_nobody_there_is_said_and_nothing_is_unknown(gateway: CosmosGateway) -> None:
    driver = CosmosDriver(Address(endpoint="http://127.0.0.1:9", database="d", container="c"), {"key": "a2V5"})
    with pytest.raises(UnreachableError) as raised:
        await DatabaseInterface(driver, tenant="t").open()
    assert raised.value.code is Code.UNREACHABLE


@pytest.mark.parametrize(
    "url",
    ["cosmos://", "cosmos://a/b/c/d", "cosmos://key@a/b", "cosmos://a?endpont=x", "cosmos://a?hierarchical=yes"],
)
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    from manor.data.documents.cosmos import open_driver

    with pytest.raises(InputError):
        open_driver(url)


def test_an_address_says_account_database_and_container() -> None:
    from manor.data.documents.cosmos.opening import parse_address

    assert parse_address("cosmos://?endpoint=http://127.0.0.1:8081") == Address(
        endpoint="http://127.0.0.1:8081", database="manor", container="documents"
    )
    assert parse_address("cosmos:///d/c?endpoint=http://127.0.0.1:8081").container == "c"
    assert parse_address("cosmos://acct") == Address(
        endpoint="https://acct.documents.azure.com", database="manor", container="documents"
    )
    assert parse_address("cosmos://x/d/c?endpoint=http://127.0.0.1:1&hierarchical=true") == Address(
        endpoint="http://127.0.0.1:1", database="d", container="c", hierarchical=True
    )


async def test_credentials_that_cannot_be_are_refused() -> None:
    driver = CosmosDriver(Address(endpoint="http://127.0.0.1:9", database="d", container="c"), {"kee": "hunter2"})
    with pytest.raises(InputError) as raised:
        await driver.open()
    assert "hunter2" not in str(raised.value)
