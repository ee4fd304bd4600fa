"""Tables and indexes as ``DescribeTable`` shows them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from manor.testing.dynamodb_endpoint.definitions import GLOBAL, LOCAL, Definition

_NO_THROUGHPUT = {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What stands in ARNs: the region that the client signed for."""

    region: str = "us-east-1"
    account: str = "123456789012"

    def arn(self, table_name: str, index_name: str = "") -> str:
        """The ARN of a table or of its index."""
        arn = f"arn:aws:dynamodb:{self.region}:{self.account}:table/{table_name}"
        return f"{arn}/index/{index_name}" if index_name else arn


def table_name_of(name_or_arn: str) -> str:
    """The table's name, which clients may give as an ARN."""
    return name_or_arn.rpartition(":table/")[2].partition("/")[0] if name_or_arn.startswith("arn:") else name_or_arn


def described(definition: Definition, place: Place, *, status: str = "ACTIVE", items: int = 0) -> dict[str, Any]:
    """``TableDescription``; ``items`` is how many there are."""
    document = definition.document
    found: dict[str, Any] = {
        "TableName": definition.name,
        "TableArn": place.arn(definition.name),
        "TableId": document["TableId"],
        "TableStatus": status,
        "KeySchema": document["KeySchema"],
        "AttributeDefinitions": document["AttributeDefinitions"],
        "CreationDateTime": document["CreationDateTime"],
        "ItemCount": items,
        "TableSizeBytes": 0,
        "ProvisionedThroughput": {
            **_NO_THROUGHPUT,
            **(document.get("ProvisionedThroughput") or {}),
            "NumberOfDecreasesToday": 0,
        },
        "DeletionProtectionEnabled": document.get("DeletionProtectionEnabled", False),
        **_options(document),
    }
    for kind in (GLOBAL, LOCAL):
        if document.get(kind):
            found[kind] = [_index(kind, one, definition, place, items) for one in document[kind]]
    return found


def _options(document: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if document.get("BillingMode"):
        found["BillingModeSummary"] = {"BillingMode": document["BillingMode"]}
    if document.get("TableClass"):
        found["TableClassSummary"] = {"TableClass": document["TableClass"]}
    if (document.get("SSESpecification") or {}).get("Enabled"):
        found["SSEDescription"] = {"Status": "ENABLED", "SSEType": "KMS"}
    return found


def _index(kind: str, one: Mapping[str, Any], definition: Definition, place: Place, items: int) -> dict[str, Any]:
    found = {
        "IndexName": one["IndexName"],
        "IndexArn": place.arn(definition.name, one["IndexName"]),
        "KeySchema": one["KeySchema"],
        "Projection": one.get("Projection") or {"ProjectionType": "ALL"},
        "ItemCount": items,
        "IndexSizeBytes": 0,
    }
    if kind == GLOBAL:
        found["IndexStatus"] = "ACTIVE"
        found["ProvisionedThroughput"] = {**_NO_THROUGHPUT, **(one.get("ProvisionedThroughput") or {})}
    return found
