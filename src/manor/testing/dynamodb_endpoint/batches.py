"""``BatchGetItem`` and ``BatchWriteItem``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from manor.data.documents.driver import Delete, Put
from manor.data.documents.limits import BATCH_GET, BATCH_WRITE
from manor.data.documents.tables import hashable_key
from manor.data.documents.tagged import item_to_tagged
from manor.data.documents.values import Item, item_size
from manor.testing.dynamodb_endpoint.capacity import consumption, read_units, write_units
from manor.testing.dynamodb_endpoint.definitions import Definition
from manor.testing.dynamodb_endpoint.expressions import Expressions, read_expressions
from manor.testing.dynamodb_endpoint.faults import WireError, invalid
from manor.testing.dynamodb_endpoint.items import delete_of, put_of
from manor.testing.dynamodb_endpoint.keys import checked_key
from manor.testing.dynamodb_endpoint.legacy import modern
from manor.testing.dynamodb_endpoint.store import Definitions
from manor.testing.dynamodb_endpoint.typed import item_of, whole_item

Request = Mapping[str, Any]
Answer = dict[str, Any]

RESPONSE_BYTES = 16 * 1024 * 1024
_DUPLICATES = "Provided list of item keys contains duplicates"


async def batch_get_item(definitions: Definitions, request: Request) -> Answer:
    """Items of many keys, of several tables; at most 16 MiB of them."""
    asked = {name: modern(one) for name, one in (request.get("RequestItems") or {}).items()}
    if not asked:
        raise _length("requestItems", "greater than or equal to 1")
    for name, one in asked.items():
        if not one.get("Keys"):
            raise _length(f"requestItems.{name}.member.keys", "greater than or equal to 1")
        if len(one["Keys"]) > BATCH_GET:
            raise _length(f"requestItems.{name}.member.keys", f"less than or equal to {BATCH_GET}")
    if sum(len(one["Keys"]) for one in asked.values()) > BATCH_GET:
        raise invalid("Too many items requested for the BatchGetItem call")
    work = []
    for name, one in asked.items():
        expressions = read_expressions(one, "ProjectionExpression")
        definition = await definitions.find(name)
        work.append((name, one, expressions, definition, _distinct_keys(definition, one["Keys"])))
    answer: Answer = {"Responses": {}, "UnprocessedKeys": {}}
    capacities, left = [], RESPONSE_BYTES
    for name, one, expressions, definition, keys in work:
        found, left = await _get(definitions, one, expressions, definition, keys, left)
        answer["Responses"][name] = [item_to_tagged(item) for item in found[0]]
        if found[1]:
            answer["UnprocessedKeys"][name] = {**one, "Keys": [item_to_tagged(key) for key in found[1]]}
        units = sum(read_units([item], consistent=bool(one.get("ConsistentRead"))) for item in found[0]) or 0.5
        capacities.append(consumption(request, definition.name, units))
    return _with_capacities(answer, capacities)


def _distinct_keys(definition: Definition, keys: Sequence[Any]) -> list[Item]:
    checked = [checked_key(definition, item_of(key)) for key in keys]
    if len({hashable_key(definition.table, key) for key in checked}) < len(checked):
        raise invalid(_DUPLICATES)
    return checked


async def _get(
    definitions: Definitions, one: Request, expressions: Expressions, definition: Definition, keys: list[Item], left: int
) -> tuple[tuple[list[Item], list[Item]], int]:
    """Found items, keys that were not read, and how many bytes are left."""
    found: list[Item] = []
    for position, key in enumerate(keys):
        item = await definitions.store.get(
            definition.table,
            key,
            consistent=bool(one.get("ConsistentRead")),
            projection=expressions.parsed.get("ProjectionExpression"),
        )
        if item is None:
            continue
        left -= item_size(item)
        if left < 0:
            return (found, keys[position:]), 0
        found.append(item)
    return (found, []), left


async def batch_write_item(definitions: Definitions, request: Request) -> Answer:
    """Puts and deletes of several tables."""
    asked: Mapping[str, Sequence[Request]] = request.get("RequestItems") or {}
    count = sum(map(len, asked.values()))
    if not count or count > BATCH_WRITE:
        told = "less than or equal to 25" if count else "greater than or equal to 1"
        raise (
            _length("requestItems", told)
            if not count
            else invalid(f"Too many items requested for the BatchWriteItem call: {told}")
        )
    work = []
    for name, ones in asked.items():
        definition = await definitions.find(name)
        work.append((name, definition, _distinct(definition, [_write(definition, one) for one in ones])))
    unprocessed: Answer = {}
    capacities = []
    for name, definition, writes in work:
        undone = await definitions.store.write_some(definition.table, writes)
        if undone:
            unprocessed[name] = [_told(write) for write in undone]
        units = sum(write_units(write.item if isinstance(write, Put) else None) for write in writes)
        capacities.append(consumption(request, definition.name, units))
    return _with_capacities({"UnprocessedItems": unprocessed}, capacities)


def _write(definition: Definition, one: Request) -> Put | Delete:
    if len(one) != 1:
        raise invalid(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
        )
    if "PutRequest" in one:
        return put_of(definition, whole_item(one["PutRequest"]["Item"]), Expressions())
    return delete_of(definition, item_of(one["DeleteRequest"]["Key"]), Expressions())


def _distinct(definition: Definition, writes: list[Put | Delete]) -> list[Put | Delete]:
    if len({hashable_key(definition.table, write.key) for write in writes}) < len(writes):
        raise invalid(_DUPLICATES)
    return writes


def _told(write: Put | Delete) -> Answer:
    if isinstance(write, Put):
        return {"PutRequest": {"Item": item_to_tagged(write.item)}}
    return {"DeleteRequest": {"Key": item_to_tagged(write.key)}}


def _with_capacities(answer: Answer, capacities: list[Answer | None]) -> Answer:
    told = [one for one in capacities if one is not None]
    return {**answer, "ConsumedCapacity": told} if told else answer


def _length(where: str, bound: str) -> WireError:
    return invalid(
        f"1 validation error detected: Value at '{where}' failed to satisfy constraint: Member must have length {bound}"
    )
