"""From requests of the layer above to the parameters of DynamoDB's operations. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from manor.data.documents.driver import Check, Delete, Put, Query, Returns, Update, Values, Write
from manor.data.documents.dynamodb.codec import Wire, decode, encode, resent
from manor.data.documents.dynamodb.naming import index_name
from manor.data.documents.dynamodb.place import Place
from manor.data.documents.dynamodb.shared import SharedTable, text_beside
from manor.data.documents.query.expression import Expression, ProjectionExpression
from manor.data.documents.query.nodes import Path, Projection
from manor.data.documents.query.spell import spell
from manor.data.documents.tables import Index
from manor.data.documents.values import Item

Parameters: TypeAlias = dict[str, Any]
LEAST_READ = 100
"""Items that are read at least for a page with a filter: what a filter leaves cannot be known before."""
READ_PER_ITEM = 4

_OLD = {Returns.ALL_OLD: "ALL_OLD", Returns.UPDATED_OLD: "ALL_OLD", Returns.ALL_NEW: "ALL_NEW", Returns.UPDATED_NEW: "ALL_NEW"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An operation of the client and its parameters."""

    operation: str
    parameters: Parameters


def _express(place: Place, parameters: Parameters, values: Values, extra: Wire, **expressions: Expression[Any] | None) -> None:
    """Put the texts of expressions in, and exactly the names and values that they use."""
    names: dict[str, str] = {}
    refs: set[str] = set()
    for parameter, expression in expressions.items():
        if expression is not None:
            place.check(expression)
            spelling = expression.compiled(spell)
            parameters[parameter] = spelling.text
            names.update(spelling.names)
            refs |= expression.refs
    if names:
        parameters["ExpressionAttributeNames"] = names
    if refs:
        parameters["ExpressionAttributeValues"] = {
            ref: extra[ref] if ref in extra else encode(values[ref]) for ref in sorted(refs)
        }


# Single items


def get_call(place: Place, key: Item, *, consistent: bool, projection: ProjectionExpression | None) -> Call:
    """GetItem."""
    parameters: Parameters = {"TableName": place.name, "Key": place.key(key)}
    if consistent:
        parameters["ConsistentRead"] = True
    if projection is not None:
        _express(place, parameters, {}, {}, ProjectionExpression=projection)
    return Call(operation="get_item", parameters=parameters)


def write_call(place: Place, write: Write) -> Call:
    """PutItem, UpdateItem or DeleteItem. A failed condition always brings the item."""
    operation, parameters = _write(place, write)
    if write.condition is not None:
        parameters["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    if write.returns is not Returns.NONE:
        # UPDATED_* are cut out of the whole item by the driver: AWS does not say what they are for elements of lists
        parameters["ReturnValues"] = _OLD[write.returns]
    return Call(operation=operation, parameters=parameters)


def _write(place: Place, write: Put | Update | Delete | Check) -> tuple[str, Parameters]:
    parameters: Parameters = {"TableName": place.name}
    update: Expression[Any] | None = None
    extra: Wire = {}
    match write:
        case Put():
            operation = "put_item"
            parameters["Item"] = place.item(write.item)
        case Update():
            operation = "update_item"
            parameters["Key"] = place.key(write.key)
            update, extra = place.update(write)
        case Delete() | Check():
            operation = "delete_item"
            parameters["Key"] = place.key(write.key)
    if update is not None or write.condition is not None:
        _express(place, parameters, write.values, extra, UpdateExpression=update, ConditionExpression=write.condition)
    return operation, parameters


# Pages


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCall:
    """A call for a page, and the attributes that must be taken out of its items again; None where they come unprojected."""

    call: Call
    added: tuple[str, ...] | None = ()


def page_call(place: Place, query: Query) -> PageCall:
    """Query or Scan."""
    parameters: Parameters = {"TableName": place.name, "Limit": read_limit(query)}
    condition, extra = place.key_condition(query, query.keys) if query.keys else (None, {})
    projection, added = _with_keys(query) if query.projection else (None, ())
    _express(
        place,
        parameters,
        query.values,
        extra,
        KeyConditionExpression=condition,
        FilterExpression=query.filter,
        ProjectionExpression=projection,
    )
    if query.index:
        parameters["IndexName"] = index_name(query.index.name)
    if query.keys and not query.forward:
        parameters["ScanIndexForward"] = False
    if query.consistent:
        parameters["ConsistentRead"] = True
    if query.start is not None:
        parameters["ExclusiveStartKey"] = place.position(query, query.start)
    return PageCall(call=Call(operation="query" if query.keys else "scan", parameters=parameters), added=added)


def read_limit(query: Query) -> int:
    """How many items are to be read. With ``examine`` no page can find too many, so that what was read is what counts."""
    if query.examine is not None:
        return min(query.limit, query.examine)
    if query.filter is None or not query.filter.text:  # no filter but that of expired items
        return query.limit
    return max(LEAST_READ, query.limit * READ_PER_ITEM)


def _with_keys(query: Query) -> tuple[ProjectionExpression | None, tuple[str, ...] | None]:
    """The projection with the keys that say where a page ends; None where the driver must project."""
    projection = query.projection
    if projection is None or query.filter is None:
        return projection, ()
    keys = {key.name for key in (*query.table.keys, *(query.index.keys if query.index else ()))}
    if any(path.name in keys and len(path.parts) > 1 for path in projection.node.paths):
        return None, None
    missing = tuple(sorted(keys - {path.name for path in projection.node.paths}))
    if not missing:
        return projection, ()
    return projection.compiled_for(("keys", missing), lambda: _widened(projection, missing)), missing


def _widened(projection: ProjectionExpression, names: tuple[str, ...]) -> ProjectionExpression:
    paths = (*projection.node.paths, *(Path((name,)) for name in names))
    return Expression(projection.kind, projection.text, Projection(paths), paths=paths)


def own_scan_call(place: SharedTable, query: Query | None, start: Wire | None) -> Call:
    """Scan of one tenant's items in a shared table, or in one of its indexes; everything else is decided in Python."""
    parameters: Parameters = {
        "TableName": place.name,
        "FilterExpression": "begins_with(#tenant, :tenant)",
        "ExpressionAttributeNames": {"#tenant": place.key_names[0]},
        "ExpressionAttributeValues": {":tenant": {"S": place.tenant_text}},
    }
    if query is not None and query.index:
        parameters["IndexName"] = index_name(query.index.name)
    if query is None or query.consistent:
        parameters["ConsistentRead"] = True
    if start:
        parameters["ExclusiveStartKey"] = start
    return Call(operation="scan", parameters=parameters)


def fill_scan_call(place: SharedTable, index: Index, start: Wire | None) -> Call:
    """Scan for the items of all tenants that belong into an index and do not have our key of it."""
    theirs, ours = index.keys[0], place.index_key_names(index)[0]
    parameters: Parameters = {
        "TableName": place.name,
        "FilterExpression": "attribute_type(#theirs, :type) AND #theirs <> :empty AND attribute_not_exists(#ours)",
        "ExpressionAttributeNames": {"#theirs": theirs.name, "#ours": ours},
        "ExpressionAttributeValues": {":type": {"S": theirs.type}, ":empty": encode(b"" if theirs.type == "B" else "")},
        "ConsistentRead": True,
    }
    if start:
        parameters["ExclusiveStartKey"] = start
    return Call(operation="scan", parameters=parameters)


def fill_call(place: SharedTable, index: Index, wire: Wire) -> Call:
    """Give one of them our key, unless it has changed."""
    theirs = index.keys[0].name
    found = resent({name: wire[name] for name in {*place.key_names, theirs}})
    parameters: Parameters = {
        "TableName": place.name,
        "Key": {name: found[name] for name in place.key_names},
        "UpdateExpression": "SET #ours = :ours",
        "ConditionExpression": "#theirs = :theirs",
        "ExpressionAttributeNames": {"#theirs": theirs, "#ours": place.index_key_names(index)[0]},
        "ExpressionAttributeValues": {":theirs": found[theirs], ":ours": {"S": text_beside(wire, decode(wire[theirs]))}},
    }
    return Call(operation="update_item", parameters=parameters)


# Several items


def batch_get_call(place: Place, keys: Sequence[Item], *, consistent: bool, projection: ProjectionExpression | None) -> Call:
    """BatchGetItem, of one table."""
    request: Parameters = {"Keys": [place.key(key) for key in keys]}
    if consistent:
        request["ConsistentRead"] = True
    if projection is not None:
        _express(place, request, {}, {}, ProjectionExpression=projection)
    return Call(operation="batch_get_item", parameters={"RequestItems": {place.name: request}})


def batch_write_call(place: Place, writes: Sequence[Put | Delete]) -> Call:
    """BatchWriteItem, of one table."""
    requests = [
        {"PutRequest": {"Item": place.item(write.item)}}
        if isinstance(write, Put)
        else {"DeleteRequest": {"Key": place.key(write.key)}}
        for write in writes
    ]
    return Call(operation="batch_write_item", parameters={"RequestItems": {place.name: requests}})


NOTHING = "manor:nothing"


def _change_nothing(parameters: Parameters) -> None:
    """An update in a transaction must have an expression; one that removes what nobody has makes the key only."""
    parameters["UpdateExpression"] = "REMOVE #nothing"
    parameters["ExpressionAttributeNames"] = {**parameters.get("ExpressionAttributeNames", {}), "#nothing": NOTHING}


_KINDS = {Put: "Put", Update: "Update", Delete: "Delete", Check: "ConditionCheck"}


def transact_call(operations: Sequence[tuple[Place, Put | Update | Delete | Check]], token: str) -> Call:
    """TransactWriteItems; failed conditions bring the items."""
    items = []
    for place, operation in operations:
        parameters = _write(place, operation)[1]
        if operation.condition is not None:
            parameters["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        if isinstance(operation, Update) and "UpdateExpression" not in parameters:
            _change_nothing(parameters)
        items.append({_KINDS[type(operation)]: parameters})
    return Call(operation="transact_write_items", parameters={"TransactItems": items, "ClientRequestToken": token})
