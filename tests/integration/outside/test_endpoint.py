"""The endpoint, asked by boto3 and by hand."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import pytest_asyncio
from botocore.config import Config
from botocore.exceptions import ClientError

from manor.data.documents import Table
from manor.data.opening import connect
from manor.errors import InputError, UnreachableError
from manor.testing.dynamodb_endpoint import DynamoDBEndpoint

Ask = Callable[..., Any]
THINGS: dict[str, Any] = {
    "TableName": "things",
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
HEADERS = {
    "X-Amz-Target": "DynamoDB_20120810.ListTables",
    "Authorization": "AWS4-HMAC-SHA256 Credential=x",
    "Content-Type": "x",
}


def client_of(url: str) -> Any:
    """boto3, without retries."""
    return boto3.client(
        "dynamodb", endpoint_url=url, region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="y",
        config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip


def asker(url: str) -> Ask:
    """``await ask("put_item", …)``: boto3 blocks, so it works in a thread."""
    client = client_of(url)
    return lambda operation, **request: asyncio.to_thread(lambda: getattr(client, operation)(**request))


@pytest_asyncio.fixture
async def endpoint() -> AsyncIterator[DynamoDBEndpoint]:
    """In memory."""
    async with DynamoDBEndpoint("memory://", tenant="acme") as endpoint:
        yield endpoint


@pytest_asyncio.fixture
async def ask(endpoint: DynamoDBEndpoint) -> Ask:
    """With one table."""
    ask = asker(endpoint.url)
    await ask("create_table", **THINGS)
    return ask


async def test_tables_and_items_outlive_the_endpoint_where_the_store_does(tmp_path: Path) -> None:
    """And are ordinary documents of the tenant, which the portable type reads."""
    url = f"sqlite:///{tmp_path}/documents.db"
    async with DynamoDBEndpoint(url, tenant="acme") as first:
        ask = asker(first.url)
        await ask("create_table", **THINGS)
        await ask("put_item", TableName="things", Item={"pk": {"S": "a"}, "n": {"N": "1.50"}})
    async with DynamoDBEndpoint(url, tenant="acme") as second:
        ask = asker(second.url)
        assert (await ask("list_tables"))["TableNames"] == ["things"]
        assert (await ask("get_item", TableName="things", Key={"pk": {"S": "a"}}))["Item"] == {
            "pk": {"S": "a"},
            "n": {"N": "1.5"},
        }
    async with connect(url, tenant="acme", tables=[Table(name="things", partition_key="pk")]) as db:
        assert await db.get_item("things", {"pk": "a"}) is not None


async def test_an_endpoint_shows_nothing_of_another_tenant(tmp_path: Path) -> None:
    """Neither tables nor items."""
    url = f"sqlite:///{tmp_path}/documents.db"
    async with DynamoDBEndpoint(url, tenant="acme") as mine, DynamoDBEndpoint(url, tenant="other") as theirs:
        ask = asker(theirs.url)
        await asker(mine.url)("create_table", **THINGS)
        assert (await ask("list_tables"))["TableNames"] == []
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            await ask("get_item", TableName="things", Key={"pk": {"S": "a"}})


async def test_two_endpoints_of_one_store_know_each_others_tables(tmp_path: Path) -> None:
    """A table that the other one made is found when it is asked for, and can be made anew when the other one dropped it."""
    url = f"sqlite:///{tmp_path}/documents.db"
    async with DynamoDBEndpoint(url, tenant="acme") as one, DynamoDBEndpoint(url, tenant="acme") as other:
        first, second = asker(one.url), asker(other.url)
        await first("create_table", **THINGS)
        await second("put_item", TableName="things", Item={"pk": {"S": "a"}})
        await first("delete_table", TableName="things")
        assert (await second("list_tables"))["TableNames"] == []
        await second("create_table", **THINGS)


async def test_a_check_without_a_condition_is_refused(endpoint: DynamoDBEndpoint, ask: Ask) -> None:
    """boto3 would not send it."""
    await ask("put_item", TableName="things", Item={"pk": {"S": "a"}})
    body = {"TransactItems": [{"ConditionCheck": {"TableName": "things", "Key": {"pk": {"S": "a"}}}}]}
    async with httpx.AsyncClient() as client:
        headers = HEADERS | {"X-Amz-Target": "DynamoDB_20120810.TransactWriteItems"}
        answer = await client.post(endpoint.url, json=body, headers=headers)
    assert answer.status_code == 400
    assert (await ask("scan", TableName="things"))["Count"] == 1


async def test_a_transaction_with_its_token_is_done_once(ask: Ask) -> None:
    """And another one with the same token is refused."""
    update = {"TableName": "things", "Key": {"pk": {"S": "a"}}, "UpdateExpression": "ADD n :one"}
    operations = [{"Update": {**update, "ExpressionAttributeValues": {":one": {"N": "1"}}}}]
    for _ in range(2):
        await ask("transact_write_items", TransactItems=operations, ClientRequestToken="token")
    assert (await ask("get_item", TableName="things", Key={"pk": {"S": "a"}}))["Item"]["n"] == {"N": "1"}
    operations[0]["Update"]["ExpressionAttributeValues"] = {":one": {"N": "2"}}
    with pytest.raises(ClientError, match="IdempotentParameterMismatchException"):
        await ask("transact_write_items", TransactItems=operations, ClientRequestToken="token")


async def test_64_increments_at_once_are_64(ask: Ask) -> None:
    """Through HTTP as well."""
    increment = {
        "TableName": "things", "Key": {"pk": {"S": "a"}}, "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }  # fmt: skip
    await asyncio.gather(*(ask("update_item", **increment) for _ in range(64)))
    assert (await ask("get_item", TableName="things", Key={"pk": {"S": "a"}}))["Item"]["n"] == {"N": "64"}


async def test_pages_end_at_a_mebibyte_and_go_on(ask: Ask) -> None:
    """Nothing is missed and nothing doubled."""
    for number in range(30):
        await ask("put_item", TableName="things", Item={"pk": {"S": f"{number:02}"}, "text": {"S": "x" * 100_000}})
    seen, start = [], {}
    while True:
        page = await ask("scan", TableName="things", **start)
        seen += [item["pk"]["S"] for item in page["Items"]]
        assert page["Count"] <= 10
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert sorted(seen) == [f"{number:02}" for number in range(30)]


async def test_expired_items_are_removed(endpoint: DynamoDBEndpoint, ask: Ask) -> None:
    """By the attribute that UpdateTimeToLive names."""
    await ask("update_time_to_live", TableName="things", TimeToLiveSpecification={"Enabled": True, "AttributeName": "gone"})
    for key, moment in (("old", "1"), ("new", "99999999999")):
        await ask("put_item", TableName="things", Item={"pk": {"S": key}, "gone": {"N": moment}})
    assert await endpoint.definitions.expire() == 1
    assert [item["pk"]["S"] for item in (await ask("scan", TableName="things"))["Items"]] == ["new"]


@pytest.mark.parametrize(
    ("headers", "body", "kind"),
    [
        ({"X-Amz-Target": "S3.ListBuckets"}, "{}", "UnknownOperationException"),
        ({"X-Amz-Target": "DynamoDB_20120810.DescribeStream"}, "{}", "UnknownOperationException"),
        ({}, "{", "SerializationException"),
        ({}, "[]", "SerializationException"),
        ({"X-Amz-Target": "DynamoDB_20120810.GetItem"}, "{}", "SerializationException"),
        ({"X-Amz-Target": "DynamoDB_20120810.GetItem"}, '{"TableName": "things", "Key": 7}', "SerializationException"),
        ({"X-Amz-Target": "DynamoDB_20120810.PutItem"}, '{"Item": ' + "[" * 100_000, "SerializationException"),
    ],
)
async def test_requests_that_no_sdk_sends_are_refused_with_a_reason(
    endpoint: DynamoDBEndpoint, headers: dict[str, str], body: str, kind: str
) -> None:
    """Status 400 and the service's kind of error."""
    async with httpx.AsyncClient() as client:
        answer = await client.post(endpoint.url, content=body, headers=HEADERS | headers)
    assert answer.status_code == 400
    assert answer.json()["__type"].endswith(f"#{kind}")


async def test_half_a_surrogate_pair_does_not_come_back(endpoint: DynamoDBEndpoint, ask: Ask) -> None:
    """What is wrong with it is said in UTF-8."""
    body = b'{"TableName": "things", "FilterExpression": "\\ud800"}'
    async with httpx.AsyncClient() as client:
        headers = {**HEADERS, "X-Amz-Target": "DynamoDB_20120810.Scan"}
        answer = await client.post(endpoint.url, content=body, headers=headers)
    assert answer.status_code == 400
    assert "Invalid FilterExpression" in json.loads(answer.content.decode())["message"]


async def test_a_request_without_a_signature_is_refused(endpoint: DynamoDBEndpoint) -> None:
    """So that a web page, which can send none without being allowed to, gets nothing."""
    async with httpx.AsyncClient() as client:
        answer = await client.post(endpoint.url, content="{}", headers={"X-Amz-Target": HEADERS["X-Amz-Target"]})
        asked_first = await client.options(endpoint.url, headers={"Origin": "http://elsewhere.example"})
    assert answer.json()["__type"].endswith("#MissingAuthenticationTokenException")
    assert asked_first.status_code == 405
    assert "Access-Control-Allow-Origin" not in asked_first.headers


async def test_only_a_resettable_endpoint_can_be_emptied(endpoint: DynamoDBEndpoint, ask: Ask) -> None:
    """A store that somebody serves is not dropped by a stray test suite."""
    async with httpx.AsyncClient() as client:
        assert (await client.post(f"{endpoint.url}/moto-api/reset")).status_code == 404
    assert (await ask("list_tables"))["TableNames"] == ["things"]


@pytest.mark.parametrize("host", ["::", "10.0.0.1", "example.com"])
def test_an_address_that_others_can_reach_is_refused(host: str) -> None:
    """Nothing asks who calls."""
    with pytest.raises(InputError, match=host):
        DynamoDBEndpoint("memory://", tenant="acme", host=host)


async def test_a_port_that_is_taken_is_named(endpoint: DynamoDBEndpoint) -> None:
    """And the store is closed again."""
    with pytest.raises(UnreachableError, match=str(endpoint.port)):
        await DynamoDBEndpoint("memory://", tenant="acme", port=endpoint.port).open()


async def test_serve_says_where_it_listens_and_ends_cleanly_with_sigterm(tmp_path: Path) -> None:
    """``manor data serve``, as a process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "manor.cli.main", "data", "serve", "--store", f"sqlite:///{tmp_path}/documents.db",
        "--tenant", "acme", "--port", "0", "--format", "json",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    url = json.loads((await process.stdout.readuntil(b"}")).decode())["url"]
    await asker(url)("create_table", **THINGS)
    process.terminate()
    assert await process.wait() == 0
