"""What the Cosmos DB driver costs per call, in processor time, beside the SDK that it is made of.

The server is a stub in another process that answers at once and always the same, so that only the client is measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

from aiohttp import ClientSession, DummyCookieJar
from azure.core.pipeline.transport import AioHttpTransport
from azure.cosmos.aio import ContainerProxy, CosmosClient

from benchmarks.cloud_calls import CALLS, CloudCalls, Step
from benchmarks.measure import Result, Sample, Settings, Spread, Verdict
from manor.data import connect
from manor.data.documents import DatabaseInterface, Table
from manor.data.documents.cosmos.codec import document

TABLE = Table(name="chats", partition_key="PK", sort_key="SK")
TENANT = "bench"
CONCURRENCY = 8
KINDS = ("get", "put", "count", "query of 20")
POINT_KINDS = KINDS[:3]
BARE, LEAN, OURS = "azure-cosmos", "azure-cosmos, no proxies", "manor"
TARGET = 1.10
ITEM: dict[str, Any] = {
    "PK": "CHAT#1",
    "SK": "MESSAGE#0001",
    "user_id": "user-1",
    "created_at": "2026-11-28T10:00:00Z",
    "title": "A conversation about documents",
    "content": "x" * 120,
    "tokens": 123,
    "cost": Decimal("0.0125"),
    "pinned": False,
    "tags": ["a", "b"],
}
KEY = {"PK": ITEM["PK"], "SK": ITEM["SK"]}
KEY_CONDITION = "PK = :p AND begins_with(SK, :s)"
METHOD = f"""\
Processor time of this process for {CALLS} calls by {CONCURRENCY} tasks at once, against a stub in another process that always
answers the same; each round begins with another way, and ratios are made within a round. azure-cosmos is called as somebody
would who keeps the same documents by hand: a read, an upsert without an answer, a counting PATCH, a query of one partition."""

_STUB = """
import asyncio, json, sys
ANSWERS = json.loads(sys.stdin.readline())

def packed(status, text):
    body = text.encode()
    head = (f"HTTP/1.1 {status} OK\\r\\ncontent-type: application/json\\r\\nx-ms-session-token: 0:-1#5\\r\\netag: \\"1\\"\\r\\n"
            f"x-ms-request-charge: 1\\r\\ncontent-length: {len(body)}\\r\\n\\r\\n")
    return head.encode() + body

def answer(method, path, query):
    parts = [part for part in path.split("/") if part]
    if not parts:
        return account
    if parts[-1] == "pkranges":
        return ranges
    if len(parts) == 4:
        return container
    if method == "POST":
        return found if query else created
    return one

async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode()
            length = int((head.lower().partition("content-length: ")[2].partition("\\r\\n")[0]) or 0)
            await reader.readexactly(length)
            method, path, _ = head.split(" ", 2)
            writer.write(answer(method, path, "x-ms-documentdb-isquery" in head.lower()))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    global account, container, ranges, one, found, created
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    account = packed(200, ANSWERS["account"].replace("PORT", str(port)))
    container, ranges, one, found = (packed(200, ANSWERS[name]) for name in ("container", "ranges", "one", "found"))
    created = packed(201, "")
    print(port, flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


def run(settings: Settings) -> Result:
    """CPU per call of two clients."""
    comparison = CloudCalls(stub=_STUB, answers=_answers(), steps=_steps, concurrency=CONCURRENCY)
    return _result(comparison.calls(settings), comparison.samples(settings))


async def _steps(stack: AsyncExitStack, endpoint: str) -> dict[str, Step]:
    url = f"cosmos://bench/d/c?endpoint={endpoint}"
    ours = await stack.enter_async_context(connect(url, tenant=TENANT, tables=[TABLE], credentials={"key": "a2V5"}))
    client = await stack.enter_async_context(CosmosClient(endpoint, credential="a2V5"))
    transport = AioHttpTransport(session=ClientSession(cookie_jar=DummyCookieJar()))
    lean = await stack.enter_async_context(CosmosClient(endpoint, credential="a2V5", transport=transport))
    legs = {OURS: _ours(ours), BARE: _bare(_container(client)), LEAN: _bare(_container(lean))}
    return {f"{kind}: {name}": step for name, steps in legs.items() for kind, step in zip(KINDS, steps, strict=True)}


def _container(client: CosmosClient) -> ContainerProxy:
    return client.get_database_client("d").get_container_client("c")


def _ours(db: DatabaseInterface) -> tuple[Step, ...]:
    return (
        lambda: db.get_item("chats", KEY),
        lambda: db.put_item("chats", ITEM),
        lambda: db.update_item("chats", KEY, "ADD tokens :n", {":n": 1}, return_values="NONE"),
        lambda: db.query("chats", KEY_CONDITION, {":p": "CHAT#1", ":s": "MESSAGE#"}, limit=20),
    )


def _bare(container: ContainerProxy) -> tuple[Step, ...]:
    stored = _document()
    id_ = stored["id"]
    count = [{"op": "incr", "path": "/a/tokens", "value": 1}]
    text = "SELECT TOP 20 c.a FROM c WHERE c.s >= @low AND c.s < @high ORDER BY c.s ASC"
    parameters: list[dict[str, Any]] = [{"name": "@low", "value": "a"}, {"name": "@high", "value": "b"}]

    async def query() -> list[Any]:
        found = container.query_items(text, parameters=parameters, partition_key=TENANT, max_item_count=20)
        return [row async for row in found]

    return (
        lambda: container.read_item(id_, partition_key=TENANT),
        lambda: container.upsert_item(stored, no_response=True),
        lambda: container.patch_item(id_, TENANT, count, no_response=True),
        query,
    )


def _document() -> dict[str, Any]:
    return document(TABLE, ITEM, TENANT, 300, 0, hierarchical=False)


def _answers() -> dict[str, str]:
    stored = {**_document(), "_rid": "x", "_self": "x", "_etag": '"1"', "_attachments": "attachments/", "_ts": 1}
    here = [{"name": "here", "databaseAccountEndpoint": "http://127.0.0.1:PORT"}]
    only = {"id": "0", "_rid": "x", "minInclusive": "", "maxExclusive": "FF", "parents": []}
    rows = [{"a": {**stored["a"], "SK": f"MESSAGE#{number:04}"}, "z": 300} for number in range(20)]
    answers: dict[str, Any] = {
        "account": {
            "id": "stub", "_rid": "x", "writableLocations": here, "readableLocations": here,
            "enableMultipleWriteLocations": False, "userConsistencyPolicy": {"defaultConsistencyLevel": "Session"},
        },
        "container": {
            "id": "c", "_rid": "AAAAAAAAAAE=", "_self": "dbs/d/colls/c/",
            "partitionKey": {"paths": ["/t"], "kind": "Hash", "version": 2},
        },
        "ranges": {"_rid": "x", "PartitionKeyRanges": [only], "_count": 1},
        "one": stored,
        "found": {"_rid": "x", "Documents": rows, "_count": 20},
    }  # fmt: skip
    return {name: json.dumps(answer) for name, answer in answers.items()}


def _result(calls: int, samples: Mapping[str, list[Sample]]) -> Result:
    rows, verdicts = [], []
    for kind in KINDS:
        ours = samples[f"{kind}: {OURS}"]
        for name in (OURS, BARE, LEAN):
            theirs = samples[f"{kind}: {name}"]
            ratio = Spread.of([one.seconds / other.seconds for one, other in zip(ours, theirs, strict=True)])
            spent = Spread.of([one.seconds / calls * 1e6 for one in theirs])
            rows.append([kind, name, spent.show(0), "" if name == OURS else ratio.show()])
            if kind in POINT_KINDS and name == BARE:
                target, reached = f"≤ {TARGET:.2f} × {BARE}", ratio.middle <= TARGET
                verdicts.append(Verdict(what=f"Cosmos DB, {kind}", target=target, measured=ratio.show(), reached=reached))
    return Result(
        title="Documents in Cosmos DB: the client's cost",
        method=METHOD,
        header=("operation", "way", "CPU µs per call (min / median / max)", "manor ÷ this"),
        rows=rows,
        verdicts=verdicts,
        remarks=[
            "azure-cosmos as it comes lets aiohttp look for proxies and a .netrc at each request; Manor's client asks the "
            "environment once, when it is made. The third way is azure-cosmos with that changed: what is above it is Manor's."
        ],
    )
