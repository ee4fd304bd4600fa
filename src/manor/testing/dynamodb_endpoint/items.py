"""``GetItem``, ``PutItem``, ``UpdateItem``, ``DeleteItem``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manor.data.documents.driver import Delete, Put, Returns, Update
from manor.data.documents.tagged import item_to_tagged
from manor.data.documents.values import Item
from manor.testing.dynamodb_endpoint.capacity import consumed, read_units, write_units
from manor.testing.dynamodb_endpoint.definitions import Definition
from manor.testing.dynamodb_endpoint.expressions import Expressions, read_expressions
from manor.testing.dynamodb_endpoint.faults import invalid
from manor.testing.dynamodb_endpoint.keys import check_update, checked_key, key_of_item
from manor.testing.dynamodb_endpoint.legacy import modern
from manor.testing.dynamodb_endpoint.store import Definitions
from manor.testing.dynamodb_endpoint.typed import item_of, whole_item

Request = Mapping[str, Any]
Answer = dict[str, Any]


async def get_item(definitions: Definitions, request: Request) -> Answer:
    """One item by its key."""
    request = modern(request)
    key, expressions = item_of(request["Key"]), read_expressions(request, "ProjectionExpression")
    definition = await definitions.find(request["TableName"])
    consistent = bool(request.get("ConsistentRead"))
    found = await definitions.store.get(
        definition.table,
        checked_key(definition, key),
        consistent=consistent,
        projection=expressions.parsed.get("ProjectionExpression"),
    )
    cost = consumed(request, definition.name, read_units([found] if found else [], consistent=consistent))
    return cost if found is None else {"Item": item_to_tagged(found), **cost}


# Writes: what they are is decided here, for single ones, batches and transactions


def put_of(definition: Definition, item: Item, expressions: Expressions, returns: Returns = Returns.NONE) -> Put:
    """A put of the checked item."""
    return Put(
        table=definition.table,
        key=key_of_item(definition, item),
        item=item,
        condition=expressions.parsed.get("ConditionExpression"),
        values=expressions.values,
        returns=returns,
    )


def delete_of(definition: Definition, key: Item, expressions: Expressions, returns: Returns = Returns.NONE) -> Delete:
    """A delete."""
    return Delete(
        table=definition.table,
        key=checked_key(definition, key),
        condition=expressions.parsed.get("ConditionExpression"),
        values=expressions.values,
        returns=returns,
    )


def update_of(definition: Definition, key: Item, expressions: Expressions, returns: Returns = Returns.NONE) -> Update:
    """An update; without an expression it makes the item of its key alone."""
    update = expressions.parsed.get("UpdateExpression")
    checked = checked_key(definition, key)
    if update is not None:
        check_update(definition, update, expressions.values)
    return Update(
        table=definition.table,
        key=checked,
        update=update,
        condition=expressions.parsed.get("ConditionExpression"),
        values=expressions.values,
        returns=returns,
    )


_RETURNS = ["ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"]


def _returns(request: Request, *, old_only: bool = False) -> Returns:
    word = request.get("ReturnValues") or "NONE"
    if word not in _RETURNS:
        raise invalid(
            f"Value '{word}' at 'returnValues' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(_RETURNS)}]"
        )
    if old_only and word not in {"NONE", "ALL_OLD"}:
        raise invalid("Return values set to invalid value")
    return Returns(word)


async def put_item(definitions: Definitions, request: Request) -> Answer:
    """Store one item."""
    request = modern(request)
    returns = _returns(request, old_only=True)
    expressions, item = read_expressions(request, "ConditionExpression"), whole_item(request["Item"])
    definition = await definitions.find(request["TableName"])
    returned = await definitions.store.write(put_of(definition, item, expressions, returns))
    return _written(request, definition, returned, item)


async def update_item(definitions: Definitions, request: Request) -> Answer:
    """Change one item."""
    request = modern(request)
    returns = _returns(request)
    expressions = read_expressions(request, "UpdateExpression", "ConditionExpression")
    key = item_of(request["Key"])
    definition = await definitions.find(request["TableName"])
    returned = await definitions.store.write(update_of(definition, key, expressions, returns))
    return _written(request, definition, returned, returned)


async def delete_item(definitions: Definitions, request: Request) -> Answer:
    """Remove one item."""
    request = modern(request)
    returns = _returns(request, old_only=True)
    expressions, key = read_expressions(request, "ConditionExpression"), item_of(request["Key"])
    definition = await definitions.find(request["TableName"])
    returned = await definitions.store.write(delete_of(definition, key, expressions, returns))
    return _written(request, definition, returned, returned)


def _written(request: Request, definition: Definition, returned: Item | None, item: Item | None) -> Answer:
    cost = consumed(request, definition.name, write_units(item))
    return {"Attributes": item_to_tagged(returned), **cost} if returned else cost
