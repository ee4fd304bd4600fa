"""Tables made and removed, with the waiting that this takes on AWS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from manor.data.documents.dynamodb.codec import resent
from manor.data.documents.dynamodb.compile import Call, fill_call, fill_scan_call, own_scan_call
from manor.data.documents.dynamodb.connection import Sender
from manor.data.documents.dynamodb.place import Place
from manor.data.documents.dynamodb.schema import addition, creation, is_ready, missing_indexes
from manor.data.documents.dynamodb.shared import SharedTable
from manor.data.documents.dynamodb.translate import Unfulfilled
from manor.data.documents.faults import TableMissing, WriteConflict
from manor.data.documents.limits import BATCH_WRITE
from manor.data.documents.tables import Index, Table
from manor.errors import Code, ManorError

DEADLINE_SECONDS = 600
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0


async def ensure(send: Sender, place: Place, table: Table) -> None:
    """Make the table, its indexes and its expiry where they are missing. Raises ``ConflictError``."""
    found = await describe(send, place, table)
    if found is None:
        await _create(send, place, table)
        found = await _ready(send, place, table)
    for index in missing_indexes(place, table, found):
        await _ready(send, place, table)
        if isinstance(place, SharedTable):
            # First, so that an index that is there tells that this is done
            await fill(send, place, table, index)
        await send(Call(operation="update_table", parameters=addition(place, table, index)), _told(table), writes=True)
    await _ready(send, place, table)
    if table.ttl_attribute:
        await _expire_by(send, place, table, table.ttl_attribute)


async def _create(send: Sender, place: Place, table: Table) -> None:
    try:
        await send(Call(operation="create_table", parameters=creation(place, table)), _told(table), writes=True)
    except WriteConflict:
        return  # somebody else is making it


async def describe(send: Sender, place: Place, table: Table) -> dict[str, Any] | None:
    """What the server says of the table; None where there is none."""
    try:
        answer = await send(Call(operation="describe_table", parameters={"TableName": place.name}), _told(table))
    except TableMissing:
        return None
    found: dict[str, Any] = answer["Table"]
    return found


async def _ready(send: Sender, place: Place, table: Table) -> dict[str, Any]:
    async for found in _looks(send, place, table):
        if found is not None and is_ready(found):
            return found
    raise _too_long(table)


async def _looks(send: Sender, place: Place, table: Table) -> AsyncIterator[dict[str, Any] | None]:
    """Look again and again, less and less often, for ten minutes."""
    pause, waited = FIRST_PAUSE_SECONDS, 0.0
    while waited < DEADLINE_SECONDS:
        yield await describe(send, place, table)
        await asyncio.sleep(pause)
        waited += pause
        pause = min(LONGEST_PAUSE_SECONDS, pause * 1.5)


def _too_long(table: Table) -> ManorError:
    return ManorError(
        f"table {table.name}: DynamoDB has not finished after {DEADLINE_SECONDS} s", code=Code.TIMEOUT, hint="ask again later"
    )


async def _expire_by(send: Sender, place: Place, table: Table, attribute: str) -> None:
    name = {"TableName": place.name}
    answer = await send(Call(operation="describe_time_to_live", parameters=name), _told(table))
    now = answer.get("TimeToLiveDescription", {})
    if now.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"} and now.get("AttributeName") == attribute:
        return
    wanted = {"AttributeName": attribute, "Enabled": True}
    await send(
        Call(operation="update_time_to_live", parameters={**name, "TimeToLiveSpecification": wanted}), _told(table), writes=True
    )


async def drop(send: Sender, place: Place, table: Table) -> None:
    """Delete the table, and wait until it is gone, so that it can be made again."""
    try:
        await send(Call(operation="delete_table", parameters={"TableName": place.name}), _told(table), writes=True)
    except TableMissing:
        return
    async for found in _looks(send, place, table):
        if found is None:
            return
    raise _too_long(table)


async def fill(send: Sender, place: SharedTable, table: Table, index: Index) -> None:
    """Give all items of a shared table, whosever they are, what a new index is made of. Reads all of them."""
    start: dict[str, Any] | None = None
    while True:
        answer = await send(fill_scan_call(place, index, start), _told(table))
        for wire in answer["Items"]:
            # An item that changed meanwhile was given it by who changed it
            with suppress(Unfulfilled):
                await send(fill_call(place, index, wire), _told(table), writes=True)
        stopped = answer.get("LastEvaluatedKey")
        if not stopped:
            return
        start = resent(stopped)


async def empty(send: Sender, place: SharedTable, table: Table) -> None:
    """Remove a tenant's items from a table that stays. Reads all items of all tenants."""
    start: dict[str, Any] | None = None
    while True:
        try:
            answer = await send(own_scan_call(place, None, start), _told(table))
        except TableMissing:
            return
        keys = [resent({name: wire[name] for name in place.key_names}) for wire in answer["Items"]]
        for position in range(0, len(keys), BATCH_WRITE):
            await _delete(send, place, table, keys[position : position + BATCH_WRITE])
        stopped = answer.get("LastEvaluatedKey")
        if not stopped:
            return
        start = resent(stopped)


async def _delete(send: Sender, place: SharedTable, table: Table, keys: list[dict[str, Any]]) -> None:
    pause = FIRST_PAUSE_SECONDS
    while keys:
        requests = {place.name: [{"DeleteRequest": {"Key": key}} for key in keys]}
        answer = await send(
            Call(operation="batch_write_item", parameters={"RequestItems": requests}), _told(table), writes=True
        )
        left = answer.get("UnprocessedItems", {}).get(place.name, ())
        keys = [resent(request["DeleteRequest"]["Key"]) for request in left]
        if keys:
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)


def _told(table: Table) -> Callable[[], str]:
    return lambda: f"table {table.name}"
