"""``TransactWriteItems`` and ``TransactGetItems``.

The latter reads its items one after another, consistently: a writer may come between them, which the service excludes.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from manor.data.documents.driver import Check, Delete, Put, Transaction, Update
from manor.data.documents.faults import CancellationReason, TransactionCancelled
from manor.data.documents.limits import TRANSACTION_BYTES, TRANSACTION_ITEMS
from manor.data.documents.tables import hashable_key
from manor.data.documents.tagged import item_to_tagged
from manor.data.documents.transaction_requests import fingerprint
from manor.data.documents.values import item_size
from manor.testing.dynamodb_endpoint.capacity import transaction_consumption
from manor.testing.dynamodb_endpoint.expressions import read_expressions
from manor.testing.dynamodb_endpoint.faults import invalid
from manor.testing.dynamodb_endpoint.items import delete_of, put_of, update_of
from manor.testing.dynamodb_endpoint.keys import checked_key
from manor.testing.dynamodb_endpoint.store import Definitions
from manor.testing.dynamodb_endpoint.typed import item_of, whole_item

Request = Mapping[str, Any]
Answer = dict[str, Any]
Operation: TypeAlias = Put | Update | Delete | Check
_KINDS = ("ConditionCheck", "Put", "Update", "Delete")


async def transact_write_items(definitions: Definitions, request: Request) -> Answer:
    """All of at most 100 operations, or none."""
    asked: list[Request] = request["TransactItems"]
    _check_count(asked)
    operations = tuple([await _operation(definitions, one) for one in asked])
    _check_distinct(operations)
    _check_size(operations)
    transaction = Transaction(
        operations=operations,
        token=request.get("ClientRequestToken") or secrets.token_hex(18),
        fingerprint=fingerprint(operations),
    )
    try:
        await definitions.store.transact(transaction)
    except TransactionCancelled as error:
        raise _as_asked(error, asked) from error
    return transaction_consumption(request, [one.table.name for one in operations], "Write")


def _check_count(asked: list[Request]) -> None:
    if not 1 <= len(asked) <= TRANSACTION_ITEMS:
        bound = f"less than or equal to {TRANSACTION_ITEMS}" if asked else "greater than or equal to 1"
        raise invalid(
            f"1 validation error detected at 'transactItems' failed to satisfy constraint: Member must have length {bound}."
        )
    for one in asked:
        if sum(kind in one for kind in _KINDS) != 1:
            raise invalid("TransactItems can only contain one of Check, Put, Update or Delete")


async def _operation(definitions: Definitions, one: Request) -> Operation:
    (kind,) = (kind for kind in _KINDS if kind in one)
    given: Request = one[kind]
    parameters = ("UpdateExpression", "ConditionExpression") if kind == "Update" else ("ConditionExpression",)
    expressions = read_expressions(given, *parameters)
    if kind == "ConditionCheck" and "ConditionExpression" not in expressions.texts:
        raise invalid("The expression parameter of a ConditionCheck must be provided: ConditionExpression")
    content = whole_item(given["Item"]) if kind == "Put" else item_of(given["Key"])
    definition = await definitions.find(given["TableName"])
    match kind:
        case "Put":
            return put_of(definition, content, expressions)
        case "Update":
            return update_of(definition, content, expressions)
    deletion = delete_of(definition, content, expressions)
    if kind == "Delete" or deletion.condition is None:
        return deletion
    return Check(table=deletion.table, key=deletion.key, condition=deletion.condition, values=deletion.values)


def _check_distinct(operations: tuple[Operation, ...]) -> None:
    keys = {(one.table.name, *hashable_key(one.table, one.key)) for one in operations}
    if len(keys) < len(operations):
        raise invalid("Transaction request cannot include multiple operations on one item")


def _check_size(operations: tuple[Operation, ...]) -> None:
    size = sum(item_size(one.item if isinstance(one, Put) else dict(one.values)) for one in operations)
    if size > TRANSACTION_BYTES:
        raise invalid("Collection size of aggregated items in TransactWriteItems exceeds the limit of 4MB")


def _as_asked(error: TransactionCancelled, asked: list[Request]) -> TransactionCancelled:
    """Items are shown only to whom asked for them."""
    reasons: list[CancellationReason] = []
    for reason, one in zip(error.reasons, asked, strict=True):
        (given,) = (one[kind] for kind in _KINDS if kind in one)
        wanted = given.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
        reasons.append(reason if wanted else replace(reason, item=None))
    return TransactionCancelled(reasons)


async def transact_get_items(definitions: Definitions, request: Request) -> Answer:
    """At most 100 items by their keys."""
    asked: list[Request] = [one["Get"] for one in request["TransactItems"]]
    if not 1 <= len(asked) <= TRANSACTION_ITEMS:
        raise invalid(
            "1 validation error detected: Value at 'transactItems' failed to satisfy constraint: "
            f"Member must have length less than or equal to {TRANSACTION_ITEMS}"
        )
    answers, tables = [], []
    for one in asked:
        expressions, key = read_expressions(one, "ProjectionExpression"), item_of(one["Key"])
        definition = await definitions.find(one["TableName"])
        tables.append(definition.name)
        found = await definitions.store.get(
            definition.table,
            checked_key(definition, key),
            consistent=True,
            projection=expressions.parsed.get("ProjectionExpression"),
        )
        answers.append({} if found is None else {"Item": item_to_tagged(found)})
    return {"Responses": answers, **transaction_consumption(request, tables, "Read")}
