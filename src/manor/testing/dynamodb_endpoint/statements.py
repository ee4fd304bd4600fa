"""``ExecuteStatement``, ``BatchExecuteStatement`` and ``ExecuteTransaction``: PartiQL, carried out as ordinary requests."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from manor.errors import ManorError
from manor.testing.dynamodb_endpoint import items, reads
from manor.testing.dynamodb_endpoint.definitions import Definition
from manor.testing.dynamodb_endpoint.expressions import NAMES, VALUES
from manor.testing.dynamodb_endpoint.faults import WireError, beyond, invalid, refused, wire_error
from manor.testing.dynamodb_endpoint.partiql import Part, Statement, parse_statement
from manor.testing.dynamodb_endpoint.store import Definitions
from manor.testing.dynamodb_endpoint.transactions import transact_get_items, transact_write_items

Request = Mapping[str, Any]
Answer = dict[str, Any]

_NO_KEY = "Where clause does not contain a mandatory equality on all key attributes"


async def execute_statement(definitions: Definitions, request: Request) -> Answer:
    """One statement; a SELECT of a partition is a query, any other a scan."""
    statement = parse_statement(request["Statement"], request.get("Parameters") or ())
    definition = await definitions.find(statement.table)
    if statement.verb == "SELECT":
        return await _select(definitions, definition, statement, request)
    written = await _write(definitions, definition, statement)
    return {"Items": [written["Attributes"]] if written.get("Attributes") else []}


# Reading


async def _select(definitions: Definitions, definition: Definition, statement: Statement, request: Request) -> Answer:
    asked = select_request(definition, statement)
    if request.get("ConsistentRead"):
        asked["ConsistentRead"] = True
    if request.get("Limit"):
        asked["Limit"] = request["Limit"]
    if request.get("NextToken"):
        asked["ExclusiveStartKey"] = _read_token(request["NextToken"])
    found = await (reads.query if "KeyConditionExpression" in asked else reads.scan)(definitions, asked)
    answer: Answer = {"Items": found["Items"]}
    if "LastEvaluatedKey" in found:
        answer["LastEvaluatedKey"] = found["LastEvaluatedKey"]
        answer["NextToken"] = base64.b64encode(json.dumps(found["LastEvaluatedKey"]).encode()).decode()
    return answer


def _read_token(token: str) -> Any:
    try:
        return json.loads(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError) as error:
        raise invalid("Invalid NextToken") from error


def select_request(definition: Definition, statement: Statement) -> Answer:
    """The query or scan that a SELECT is."""
    if statement.index is not None and statement.index not in definition.views:
        raise refused("The table does not have the specified index")
    view = definition.views[statement.index] if statement.index else definition.view
    keyed, rest = _split(statement.where, view.key_names, view.key_names[: view.partitions])
    asked: Answer = {"TableName": statement.table, "ScanIndexForward": statement.forward}
    if statement.index:
        asked["IndexName"] = statement.index
    if keyed:
        asked["KeyConditionExpression"] = " AND ".join(part.text for part in keyed)
    elif statement.order:
        raise invalid("Must have WHERE clause in the statement when using ORDER BY clause.")
    if rest:
        asked["FilterExpression"] = " AND ".join(part.text for part in rest)
    if statement.projection:
        asked["ProjectionExpression"] = statement.projection
    return asked | _used(statement)


def _split(where: list[Part], keys: tuple[str, ...], partitions: tuple[str, ...]) -> tuple[list[Part], list[Part]]:
    """Parts for a key condition and for a filter; all of them are filter where the keys cannot be said by a key condition."""
    keyed = [part for part in where if part.key in keys]
    rest = [part for part in where if part.key not in keys]
    equal = {part.key for part in keyed if part.value is not None}
    plain = len({part.key for part in keyed}) == len(keyed) and not any(part.names & set(keys) for part in rest)
    return (keyed, rest) if equal >= set(partitions) and plain else ([], where)


def _used(statement: Statement) -> Answer:
    found: Answer = {NAMES: statement.names} if statement.names else {}
    return found | ({VALUES: statement.values} if statement.values else {})


# Writing


async def _write(definitions: Definitions, definition: Definition, statement: Statement) -> Answer:
    request = write_request(definition, statement)
    try:
        match statement.verb:
            case "INSERT":
                return await items.put_item(definitions, request)
            case "UPDATE":
                return await items.update_item(definitions, request)
        return await items.delete_item(definitions, request)
    except ManorError as error:
        told = wire_error(error)
        if statement.verb == "INSERT" and told.kind == "ConditionalCheckFailedException":
            raise WireError("DuplicateItemException", "Duplicate primary key exists in table") from error
        raise told from error


def write_request(definition: Definition, statement: Statement) -> Answer:
    """The put, update or delete that a statement is.

    Only an item that is not there is inserted, only one that is there is updated.
    """
    asked: Answer = {"TableName": statement.table, "ReturnValues": statement.returns}
    keys = definition.view.key_names
    if statement.verb == "INSERT":
        aliases = {"#key": keys[0]}
        return asked | {
            "Item": statement.item, "ConditionExpression": "attribute_not_exists(#key)", NAMES: aliases,
        }  # fmt: skip
    equal = {part.key: part.value for part in statement.where if part.key in keys and part.value is not None}
    rest = [part.text for part in statement.where if part.key not in equal]
    if equal.keys() != set(keys):
        raise invalid(_NO_KEY)
    asked["Key"] = equal
    names, values = dict(statement.names), dict(statement.values)
    if statement.verb == "UPDATE":
        names["#key"] = keys[0]
        rest.append("attribute_exists(#key)")
        asked["UpdateExpression"] = statement.update
    if rest:
        asked["ConditionExpression"] = " AND ".join(rest)
    text = " ".join((statement.update, *rest))
    return asked | _still_used(text, names, values)


def _still_used(text: str, names: dict[str, str], values: dict[str, Any]) -> Answer:
    """The key left the WHERE, and its alias and value with it."""
    words = set(text.replace(",", " ").replace("(", " ").replace(")", " ").replace(".", " ").replace("[", " ").split())
    found = {
        NAMES: {alias: name for alias, name in names.items() if alias in words},
        VALUES: {ref: value for ref, value in values.items() if ref in words},
    }
    return {parameter: given for parameter, given in found.items() if given}


# Several


async def batch_execute_statement(definitions: Definitions, request: Request) -> Answer:
    """Statements about single items, each for itself."""
    return {"Responses": [await _one(definitions, one) for one in request["Statements"]]}


async def _one(definitions: Definitions, one: Request) -> Answer:
    answer: Answer = {}
    try:
        statement = parse_statement(one["Statement"], one.get("Parameters") or ())
        definition = await definitions.find(statement.table)
        answer["TableName"] = definition.name
        if statement.verb == "SELECT":
            _check_single(definition, statement)
        found = (await execute_statement(definitions, one))["Items"]
    except (WireError, ManorError) as error:
        told = error if isinstance(error, WireError) else wire_error(error)
        code = told.kind.removesuffix("Exception").replace("Validation", "ValidationError")
        return {**answer, "Error": {"Code": code, "Message": told.message}}
    return {**answer, **({"Item": found[0]} if found and statement.verb == "SELECT" else {})}


def _check_single(definition: Definition, statement: Statement) -> None:
    equal = {part.key for part in statement.where if part.value is not None}
    if not equal >= set(definition.view.key_names):
        raise invalid("Select statements within BatchExecuteStatement must specify the primary key in the where clause.")


async def execute_transaction(definitions: Definitions, request: Request) -> Answer:
    """Statements about single items, all or none: only SELECTs, or none of them."""
    asked = request["TransactStatements"]
    statements = [parse_statement(one["Statement"], one.get("Parameters") or ()) for one in asked]
    selects = [statement for statement in statements if statement.verb == "SELECT"]
    if selects and len(selects) < len(statements):
        raise invalid("Transaction cannot contain both reads and writes")
    operations = [await _operation(definitions, statement) for statement in statements]
    if selects:
        return await transact_get_items(definitions, {"TransactItems": operations})
    token = {"ClientRequestToken": request["ClientRequestToken"]} if request.get("ClientRequestToken") else {}
    await transact_write_items(definitions, {"TransactItems": operations, **token})
    return {"Responses": [{} for _ in operations]}


async def _operation(definitions: Definitions, statement: Statement) -> Answer:
    definition = await definitions.find(statement.table)
    if statement.verb != "SELECT":
        kind = {"INSERT": "Put", "UPDATE": "Update", "DELETE": "Delete"}[statement.verb]
        request = write_request(definition, statement)
        request.pop("ReturnValues")
        return {kind: request}
    equal = {part.key: part.value for part in statement.where if part.value is not None}
    if equal.keys() != set(definition.view.key_names) or statement.index or len(equal) < len(statement.where):
        raise beyond("a SELECT in a transaction that does not name one item by its key")
    get: Answer = {"TableName": statement.table, "Key": equal}
    if statement.projection:
        get["ProjectionExpression"] = statement.projection
    return {"Get": get | _still_used(statement.projection, statement.names, {})}
