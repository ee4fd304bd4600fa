"""What a table of ours looks like on the server, and what is missing there. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from manor.data.documents.dynamodb.naming import index_name
from manor.data.documents.dynamodb.place import KeyNames, Place
from manor.data.documents.tables import Index, Table
from manor.errors import ConflictError

KINDS = ("HASH", "RANGE")


def creation(place: Place, table: Table) -> dict[str, Any]:
    """The parameters of CreateTable: on demand, with all indexes."""
    parameters = {
        "TableName": place.name,
        "KeySchema": _key_schema(place.key_names),
        "AttributeDefinitions": _definitions(table, [place.key_names, *map(place.index_key_names, table.indexes)]),
        "BillingMode": "PAY_PER_REQUEST",
    }
    for parameter, local in (("LocalSecondaryIndexes", True), ("GlobalSecondaryIndexes", False)):
        indexes = [_index(place, table, index) for index in table.indexes if index.local is local]
        if indexes:
            parameters[parameter] = indexes
    return parameters


def addition(place: Place, table: Table, index: Index) -> dict[str, Any]:
    """The parameters of UpdateTable that add one index."""
    return {
        "TableName": place.name,
        "AttributeDefinitions": _definitions(table, [place.key_names, place.index_key_names(index)]),
        "GlobalSecondaryIndexUpdates": [{"Create": _index(place, table, index)}],
    }


def _key_schema(names: KeyNames) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, KINDS, strict=False)]


def _definitions(table: Table, keys: Sequence[KeyNames]) -> list[dict[str, str]]:
    """Each key attribute once; those that are not the table's own are strings."""
    types = {key.name: key.type for key in table.all_keys()}
    names = dict.fromkeys(name for some in keys for name in some)
    return [{"AttributeName": name, "AttributeType": types.get(name, "S")} for name in names]


def _index(place: Place, table: Table, index: Index) -> dict[str, Any]:
    names = place.index_key_names(index)
    return {
        "IndexName": index_name(index.name),
        "KeySchema": _key_schema(names),
        "Projection": _projection(table, index, {*names, *place.key_names}),
    }


def _projection(table: Table, index: Index, held: set[str]) -> dict[str, Any]:
    """What an index holds besides the keys of table and index (``held``), which it always does."""
    stored = table.stored(index)
    if stored is None:
        return {"ProjectionType": "ALL"}
    extra = sorted(stored - held)
    return {"ProjectionType": "INCLUDE", "NonKeyAttributes": extra} if extra else {"ProjectionType": "KEYS_ONLY"}


def missing_indexes(place: Place, table: Table, found: dict[str, Any]) -> list[Index]:
    """The indexes that DescribeTable's ``found`` does not have. Raises ``ConflictError`` where it has other keys than ours."""
    _check_keys(table, "", place.key_names, found)
    there = {
        index["IndexName"]: index
        for parameter in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes")
        for index in found.get(parameter) or ()
    }
    missing = []
    for index in table.indexes:
        name = index_name(index.name)
        if name in there:
            definitions = found["AttributeDefinitions"]
            _check_keys(table, index.name, place.index_key_names(index), {**there[name], "AttributeDefinitions": definitions})
        elif index.local:
            raise ConflictError(
                f"table {table.name} exists without its local index {index.name}",
                hint="DynamoDB makes local indexes with the table only: leave out `local`, or make the table anew",
            )
        else:
            missing.append(index)
    return missing


def _check_keys(table: Table, index: str, names: KeyNames, found: dict[str, Any]) -> None:
    types = {one["AttributeName"]: one["AttributeType"] for one in found["AttributeDefinitions"]}
    declared = {key.name: key.type for key in table.all_keys()}
    theirs = [(one["AttributeName"], types[one["AttributeName"]]) for one in _sorted(found["KeySchema"])]
    if theirs != [(name, declared.get(name, "S")) for name in names]:
        what = f"index {index} of table {table.name}" if index else f"table {table.name}"
        raise ConflictError(f"{what} exists with other keys: {', '.join(f'{name} ({kind})' for name, kind in theirs)}")


def _sorted(schema: list[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(schema, key=lambda one: KINDS.index(one["KeyType"]))


def is_ready(found: dict[str, Any]) -> bool:
    """Whether a table and all of its indexes can be used."""
    indexes = found.get("GlobalSecondaryIndexes") or ()
    # Some emulators leave out the status of indexes
    return found["TableStatus"] == "ACTIVE" and all(one.get("IndexStatus", "ACTIVE") == "ACTIVE" for one in indexes)
