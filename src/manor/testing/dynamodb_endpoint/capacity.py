"""What a request would have cost: units as the service counts them, so that clients find what they ask for. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from manor.data.documents.values import Item, item_size
from manor.testing.dynamodb_endpoint.faults import invalid

_LEVELS = ["INDEXES", "TOTAL", "NONE"]


def read_units(items: list[Item], *, consistent: bool) -> float:
    """Half a unit, or one where consistent, for each 4 KiB that were read."""
    blocks = max(1, math.ceil(sum(map(item_size, items)) / 4096))
    return float(blocks) if consistent else blocks / 2


def write_units(item: Item | None) -> float:
    """One unit for each KiB."""
    return float(max(1, math.ceil(item_size(item) / 1024))) if item else 1.0


def consumed(request: Mapping[str, Any], table_name: str, units: float, index_name: str | None = None) -> dict[str, Any]:
    """The part ``ConsumedCapacity`` of an answer, empty unless the request wants it."""
    found = consumption(request, table_name, units, index_name)
    return {"ConsumedCapacity": found} if found else {}


def check_wanted(request: Mapping[str, Any]) -> None:
    """Raise ``WireError`` for a word that says nothing."""
    wanted = request.get("ReturnConsumedCapacity")
    if wanted is not None and wanted not in _LEVELS:
        raise invalid(
            f"1 validation error detected: Value '{wanted}' at 'returnConsumedCapacity' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(_LEVELS)}]"
        )


def transaction_consumption(request: Mapping[str, Any], table_names: list[str], kind: str) -> dict[str, Any]:
    """The part ``ConsumedCapacity`` of a transaction: everything twice. ``kind`` is Read or Write."""
    found = []
    for name in dict.fromkeys(table_names):
        units = 2.0 * table_names.count(name)
        if told := consumption(request, name, units):
            own = {f"{kind}CapacityUnits": units}
            table = {"Table": {**told["Table"], **own}} if "Table" in told else {}
            found.append({**told, **own, **table})
    return {"ConsumedCapacity": found} if found else {}


def consumption(
    request: Mapping[str, Any], table_name: str, units: float, index_name: str | None = None
) -> dict[str, Any] | None:
    """The units of one table."""
    wanted = request.get("ReturnConsumedCapacity", "NONE")
    if wanted == "NONE":
        return None
    found: dict[str, Any] = {"TableName": table_name, "CapacityUnits": units}
    if wanted == "INDEXES":
        found["Table"] = {"CapacityUnits": 0.0 if index_name else units}
        if index_name:
            found["GlobalSecondaryIndexes"] = {index_name: {"CapacityUnits": units}}
    return found
