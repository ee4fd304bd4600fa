"""What the driver costs per call, in processor time, beside the SDK that it is made of and the SDK that others use in threads.

The server is a stub in another process that answers at once and always the same, so that only the client is measured.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

import boto3
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config

from benchmarks.cloud_calls import CloudCalls, Step
from benchmarks.measure import Result, Sample, Settings, Spread, Verdict
from manor.data import connect
from manor.data.documents import DatabaseInterface, Table

TABLE = Table(name="chats", partition_key="PK", sort_key="SK")
LOGIN = {"access_key_id": "bench", "secret_access_key": "bench"}
CONCURRENCY = 16
KINDS = ("get", "put", "query of 20")
BARE, THREADS, OURS = "aiobotocore", "boto3 in threads", "manor"
TARGETS = {BARE: 1.20, THREADS: 0.85}

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
KEY = {"PK": "CHAT#1", "SK": "MESSAGE#0001"}
CONDITION = "PK = :p AND begins_with(SK, :s)"

_STUB = """
import asyncio, json, sys, zlib
ANSWERS = json.loads(sys.stdin.readline())

def packed(text):
    body = text.encode()
    head = ("HTTP/1.1 200 OK\\r\\ncontent-type: application/x-amz-json-1.0\\r\\n"
            f"x-amz-crc32: {zlib.crc32(body)}\\r\\ncontent-length: {len(body)}\\r\\n\\r\\n")
    return head.encode() + body

ANSWERS = {name.encode(): packed(text) for name, text in ANSWERS.items()}

async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\\r\\n")[0])
            await reader.readexactly(length)
            operation = head.partition(b"dynamodb_20120810.")[2].partition(b"\\r\\n")[0]
            writer.write(ANSWERS[operation])
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


def run(settings: Settings) -> Result:
    """CPU per call of three clients at concurrency 16."""
    comparison = CloudCalls(stub=_STUB, answers=_answers(), steps=_steps, concurrency=CONCURRENCY)
    return _result(comparison.calls(settings), comparison.samples(settings))


async def _steps(stack: AsyncExitStack, endpoint: str) -> dict[str, Step]:
    ours = await stack.enter_async_context(
        connect(f"dynamodb://us-east-1?endpoint={endpoint}", tenant="bench", tables=[TABLE], credentials=LOGIN)
    )
    where = {"region_name": "us-east-1", "endpoint_url": endpoint}
    login = {f"aws_{name}": value for name, value in LOGIN.items()}
    bare = await stack.enter_async_context(
        get_session().create_client("dynamodb", config=AioConfig(max_pool_connections=64), **where, **login)
    )
    table = boto3.resource("dynamodb", config=Config(max_pool_connections=64), **where, **login).Table("bench-chats")
    legs = {OURS: _ours(ours), BARE: _bare(bare), THREADS: _threads(table)}
    return {f"{kind}: {name}": step for name, steps in legs.items() for kind, step in zip(KINDS, steps, strict=True)}


def _ours(db: DatabaseInterface) -> tuple[Step, Step, Step]:
    return (
        lambda: db.get_item("chats", KEY),
        lambda: db.put_item("chats", ITEM),
        lambda: db.query("chats", CONDITION, {":p": "CHAT#1", ":s": "MESSAGE#"}, limit=20),
    )


def _bare(client: Any) -> tuple[Step, Step, Step]:
    """As somebody would who writes typed values by hand."""
    key, item = _typed(KEY), _typed(ITEM)
    values = _typed({":p": "CHAT#1", ":s": "MESSAGE#"})
    return (
        lambda: client.get_item(TableName="bench-chats", Key=key),
        lambda: client.put_item(TableName="bench-chats", Item=item),
        lambda: client.query(
            TableName="bench-chats", KeyConditionExpression=CONDITION, ExpressionAttributeValues=values, Limit=20
        ),
    )


def _threads(table: Any) -> tuple[Step, Step, Step]:
    """What the reference does: a Table of boto3, each call in a thread."""
    values = {":p": "CHAT#1", ":s": "MESSAGE#"}
    return (
        lambda: asyncio.to_thread(table.get_item, Key=KEY),
        lambda: asyncio.to_thread(table.put_item, Item=ITEM),
        lambda: asyncio.to_thread(table.query, KeyConditionExpression=CONDITION, ExpressionAttributeValues=values, Limit=20),
    )


def _typed(item: Mapping[str, Any]) -> dict[str, Any]:
    serializer = TypeSerializer()
    return {name: serializer.serialize(value) for name, value in item.items()}


def _answers() -> dict[str, str]:
    item = _typed(ITEM)
    assert {name: TypeDeserializer().deserialize(value) for name, value in item.items()} == ITEM
    found = [{**item, "SK": {"S": f"MESSAGE#{number:04}"}} for number in range(20)]
    return {
        "getitem": json.dumps({"Item": item}),
        "putitem": "{}",
        "query": json.dumps({"Items": found, "Count": 20, "ScannedCount": 20}),
    }


def _result(calls: int, samples: Mapping[str, list[Sample]]) -> Result:
    rows, verdicts = [], []
    for kind in KINDS:
        ours = samples[f"{kind}: {OURS}"]
        for name in (OURS, BARE, THREADS):
            spent = Spread.of([sample.seconds * 1e6 / calls for sample in samples[f"{kind}: {name}"]])
            rows.append((kind, name, spent.show(0)))
        for name, target in TARGETS.items():
            pairs = zip(ours, samples[f"{kind}: {name}"], strict=True)
            ratio = Spread.of([mine.seconds / theirs.seconds for mine, theirs in pairs])
            verdicts.append(
                Verdict(
                    what=f"DynamoDB, CPU per {kind} at concurrency {CONCURRENCY}, to {name}",
                    target=f"≤ {target:.2f}",
                    measured=ratio.show(),
                    reached=ratio.middle <= target,
                )
            )
    return Result(
        title="Documents on DynamoDB: CPU per call",
        method=(
            f"{calls} calls a round by {CONCURRENCY} tasks against a stub that answers at once, in turn: Manor (values are "
            "checked, copied and converted), the bare client of aiobotocore with values typed by hand and left as they come, "
            "and boto3's Table in threads. Processor time of the client's process."
        ),
        header=("call", "client", "CPU µs per call (min / median / max)"),
        rows=rows,
        verdicts=verdicts,
    )
