"""Making, describing, changing and dropping tables."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from manor.testing.dynamodb_endpoint.definitions import GLOBAL, LOCAL, Definition, check_attributes, check_creation
from manor.testing.dynamodb_endpoint.describing import Place, described
from manor.testing.dynamodb_endpoint.faults import WireError, bad_parameter, invalid
from manor.testing.dynamodb_endpoint.store import Definitions

Request = Mapping[str, Any]
Answer = dict[str, Any]

_TAGS = 10
NOT_FOUND = "Requested resource not found: Table: {name} not found"
_KEPT = (
    "TableName", "KeySchema", "AttributeDefinitions", GLOBAL, LOCAL, "BillingMode", "ProvisionedThroughput", "Tags",
    "SSESpecification", "DeletionProtectionEnabled", "TableClass",
)  # fmt: skip


async def create_table(definitions: Definitions, request: Request, place: Place) -> Answer:
    """Make a table; it is ready at once."""
    check_creation(request)
    if (request.get("StreamSpecification") or {}).get("StreamEnabled"):
        raise WireError("ValidationException", "streams are not offered by Manor's DynamoDB endpoint")
    await definitions.refresh()
    if request["TableName"] in definitions.known:
        raise WireError("ResourceInUseException", f"Table already exists: {request['TableName']}")
    document = {name: request[name] for name in _KEPT if request.get(name) is not None}
    definition = Definition(document={**document, "TableId": str(uuid.uuid4()), "CreationDateTime": time.time()})
    await definitions.save(definition)
    return {"TableDescription": described(definition, place)}


async def describe_table(definitions: Definitions, request: Request, place: Place) -> Answer:
    """What a table is, and how many items it has."""
    definition = await definitions.find(request["TableName"], NOT_FOUND)
    return {"Table": described(definition, place, items=await definitions.count(definition))}


async def list_tables(definitions: Definitions, request: Request, place: Place) -> Answer:
    """Names in order, from behind ``ExclusiveStartTableName``."""
    await definitions.refresh()
    start, limit = request.get("ExclusiveStartTableName") or "", request.get("Limit") or 100
    names = [name for name in definitions.names() if name > start]
    answer: Answer = {"TableNames": names[:limit]}
    if len(names) > limit:
        answer["LastEvaluatedTableName"] = names[limit - 1]
    return answer


async def delete_table(definitions: Definitions, request: Request, place: Place) -> Answer:
    """Drop a table with its items."""
    definition = await definitions.find(request["TableName"], NOT_FOUND)
    if definition.document.get("DeletionProtectionEnabled"):
        raise WireError(
            "ValidationException",
            "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.",
        )
    await definitions.remove(definition)
    return {"TableDescription": described(definition, place, status="DELETING")}


async def update_table(definitions: Definitions, request: Request, place: Place) -> Answer:
    """Other throughput, or another index; a dropped index stays in the store unseen."""
    definition = await definitions.find(request["TableName"], NOT_FOUND)
    if (request.get("StreamSpecification") or {}).get("StreamEnabled"):
        raise WireError("ValidationException", "streams are not offered by Manor's DynamoDB endpoint")
    plain = ("BillingMode", "ProvisionedThroughput", "SSESpecification", "DeletionProtectionEnabled", "TableClass")
    changes = {name: request[name] for name in plain if request.get(name) is not None}
    declared = {one["AttributeName"]: one for one in definition.document["AttributeDefinitions"]}
    declared.update({one["AttributeName"]: one for one in request.get("AttributeDefinitions") or ()})
    indexes = {one["IndexName"]: one for one in definition.document.get(GLOBAL) or ()}
    for change in request.get("GlobalSecondaryIndexUpdates") or ():
        _change_index(indexes, change)
    fresh = definition.changed(**changes, **{GLOBAL: list(indexes.values()) or None})
    fresh = fresh.changed(AttributeDefinitions=[one for one in declared.values() if one["AttributeName"] in _used(fresh)])
    check_attributes(fresh.document)
    await definitions.save(fresh)
    return {"TableDescription": described(fresh, place)}


def _change_index(indexes: dict[str, Any], change: Request) -> None:
    ((kind, one),) = change.items()
    name = one["IndexName"]
    if kind == "Create":
        if name in indexes:
            raise bad_parameter(f"Duplicate index name: {name}")
        indexes[name] = one
    elif name not in indexes:
        raise WireError("ResourceNotFoundException", "Requested resource not found")
    elif kind == "Delete":
        del indexes[name]
    else:
        indexes[name] = {**indexes[name], "ProvisionedThroughput": one["ProvisionedThroughput"]}


def _used(definition: Definition) -> set[str]:
    schemas = [definition.document["KeySchema"]]
    schemas += [one["KeySchema"] for kind in (GLOBAL, LOCAL) for one in definition.document.get(kind) or ()]
    return {one["AttributeName"] for schema in schemas for one in schema}


# Expiry


async def update_time_to_live(definitions: Definitions, request: Request, place: Place) -> Answer:
    """Say which attribute is the time of expiry."""
    definition = await definitions.find(request["TableName"], NOT_FOUND)
    wanted = request["TimeToLiveSpecification"]
    now = (definition.document.get("TimeToLive") or {}).get("Enabled", False)
    if now == wanted["Enabled"]:
        raise invalid(f"TimeToLive is already {'enabled' if now else 'disabled'}")
    await definitions.save(definition.changed(TimeToLive=wanted))
    return {"TimeToLiveSpecification": wanted}


async def describe_time_to_live(definitions: Definitions, request: Request, place: Place) -> Answer:
    """Which attribute that is."""
    definition = await definitions.find(request["TableName"], NOT_FOUND)
    ttl = definition.document.get("TimeToLive") or {}
    if not ttl.get("Enabled"):
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
    return {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": ttl["AttributeName"]}}


# Tags and the rest that clients ask for


async def tag_resource(definitions: Definitions, request: Request, place: Place) -> Answer:
    """Add or replace tags."""
    definition = await definitions.find(request["ResourceArn"], NOT_FOUND)
    tags = {one["Key"]: one["Value"] for one in [*(definition.document.get("Tags") or ()), *request["Tags"]]}
    await definitions.save(definition.changed(Tags=[{"Key": key, "Value": value} for key, value in tags.items()]))
    return {}


async def untag_resource(definitions: Definitions, request: Request, place: Place) -> Answer:
    """Remove tags."""
    definition = await definitions.find(request["ResourceArn"], NOT_FOUND)
    kept = [one for one in definition.document.get("Tags") or () if one["Key"] not in request["TagKeys"]]
    await definitions.save(definition.changed(Tags=kept))
    return {}


async def list_tags_of_resource(definitions: Definitions, request: Request, place: Place) -> Answer:
    """Tags of a table, ten at a time."""
    definition = await definitions.find(request["ResourceArn"], NOT_FOUND)
    tags, start = list(definition.document.get("Tags") or ()), int(request.get("NextToken") or 0)
    more = {"NextToken": str(start + _TAGS)} if len(tags) > start + _TAGS else {}
    return {"Tags": tags[start : start + _TAGS], **more}


async def describe_limits(definitions: Definitions, request: Request, place: Place) -> Answer:
    """The service's numbers; nothing here has such limits."""
    account, table = 80_000, 40_000
    return {
        "AccountMaxReadCapacityUnits": account,
        "AccountMaxWriteCapacityUnits": account,
        "TableMaxReadCapacityUnits": table,
        "TableMaxWriteCapacityUnits": table,
    }


async def update_continuous_backups(definitions: Definitions, request: Request, place: Place) -> Answer:
    """Remembered, not acted on: the store behind the endpoint has backups of its own."""
    definition = await _with_backups(definitions, request["TableName"])
    wanted = request["PointInTimeRecoverySpecification"]
    fresh = definition.changed(PointInTimeRecovery=wanted if wanted["PointInTimeRecoveryEnabled"] else None)
    await definitions.save(fresh)
    return {"ContinuousBackupsDescription": _continuous(fresh)}


async def describe_continuous_backups(definitions: Definitions, request: Request, place: Place) -> Answer:
    """What was said of them."""
    return {"ContinuousBackupsDescription": _continuous(await _with_backups(definitions, request["TableName"]))}


async def _with_backups(definitions: Definitions, name_or_arn: str) -> Definition:
    try:
        return await definitions.find(name_or_arn)
    except WireError as error:
        raise WireError("TableNotFoundException", f"Table not found: {name_or_arn}") from error


def _continuous(definition: Definition) -> Answer:
    recovery = definition.document.get("PointInTimeRecovery")
    told: Answer = {"PointInTimeRecoveryStatus": "ENABLED" if recovery else "DISABLED"}
    if recovery:
        told["RecoveryPeriodInDays"] = recovery.get("RecoveryPeriodInDays", 35)
        told["EarliestRestorableDateTime"] = told["LatestRestorableDateTime"] = definition.document["CreationDateTime"]
    return {"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": told}


async def export_table(definitions: Definitions, request: Request, place: Place) -> Answer:
    """Only the refusals: there is no S3 here."""
    definition = await _with_backups(definitions, request["TableArn"])
    if not definition.document.get("PointInTimeRecovery"):
        raise WireError(
            "PointInTimeRecoveryUnavailableException",
            f"Point in time recovery is not enabled for table '{definition.name}'",
        )
    raise WireError("UnknownOperationException", "exports to S3 are not offered by Manor's DynamoDB endpoint")


async def import_table(definitions: Definitions, request: Request, place: Place) -> Answer:
    """Only the refusals: there is no S3 here."""
    check_creation(request["TableCreationParameters"])
    raise WireError("UnknownOperationException", "imports from S3 are not offered by Manor's DynamoDB endpoint")
