"""A table as ``CreateTable`` says it: checked by the service's rules, described in its words, declared to our drivers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from manor.data.documents.tables import ALL, KEYS_ONLY, Index, Key, Table
from manor.testing.dynamodb_endpoint.faults import bad_parameter, invalid

Json = Mapping[str, Any]
CATALOG = Table(name="manor.endpoint.tables", partition_key="name", allow_scans=True)
"""Where the endpoint keeps the definitions, in the store that it serves."""

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
GLOBAL, LOCAL = "GlobalSecondaryIndexes", "LocalSecondaryIndexes"
_PATHS = {GLOBAL: "globalSecondaryIndexes", LOCAL: "localSecondaryIndexes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A table or one of its indexes, as reads see it. ``keys`` may be more than two for a global index; then no driver knows
    the index (``index`` is None) and the endpoint reads it out of the table itself."""

    name: str
    keys: tuple[Key, ...]
    partitions: int = 1
    kind: str = ""
    projection: str | tuple[str, ...] = ALL
    index: Index | None = None

    @property
    def is_composite(self) -> bool:
        """Whether only the endpoint knows this index."""
        return bool(self.kind) and self.index is None

    @property
    def key_names(self) -> tuple[str, ...]:
        """Names of all key attributes, partitions first."""
        return tuple(key.name for key in self.keys)


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One table. ``document`` is what is stored of it: the request, and what was changed since."""

    document: Json

    @property
    def name(self) -> str:
        """The table's name."""
        return str(self.document["TableName"])

    @cached_property
    def types(self) -> dict[str, str]:
        """Attribute → S, N or B."""
        return {one["AttributeName"]: one["AttributeType"] for one in self.document["AttributeDefinitions"]}

    @cached_property
    def view(self) -> View:
        """The table itself."""
        return View(name=self.name, keys=self._keys(self.document["KeySchema"]))

    @cached_property
    def views(self) -> dict[str, View]:
        """Its indexes."""
        return {one["IndexName"]: self._view(kind, one) for kind in (GLOBAL, LOCAL) for one in self.document.get(kind) or ()}

    @cached_property
    def table(self) -> Table:
        """What drivers are told of it."""
        partition, sort = _pair(self.view.keys)
        ttl = self.document.get("TimeToLive") or {}
        return Table(
            name=self.name,
            partition_key=partition,
            sort_key=sort,
            indexes=tuple(view.index for view in self.views.values() if view.index is not None),
            ttl_attribute=ttl.get("AttributeName") if ttl.get("Enabled") else None,
            allow_scans=True,
        )

    def changed(self, **document: Any) -> Definition:
        """The same with other parts."""
        return replace(self, document={**self.document, **document})

    def _keys(self, schema: Iterable[Json]) -> tuple[Key, ...]:
        ordered = sorted(schema, key=lambda one: one["KeyType"] != "HASH")
        return tuple(Key(one["AttributeName"], self.types[one["AttributeName"]]) for one in ordered)

    def _view(self, kind: str, one: Json) -> View:
        keys, projection = self._keys(one["KeySchema"]), _projection(one)
        partitions = sum(part["KeyType"] == "HASH" for part in one["KeySchema"])
        index = None
        if partitions == 1 and len(keys) <= 2:
            partition, sort = _pair(keys)
            index = Index(
                name=one["IndexName"], partition_key=partition, sort_key=sort, projection=projection, local=kind == LOCAL
            )
        return View(name=one["IndexName"], keys=keys, partitions=partitions, kind=kind, projection=projection, index=index)


def _pair(keys: tuple[Key, ...]) -> tuple[Key, Key | None]:
    return keys[0], keys[1] if len(keys) > 1 else None


def _projection(one: Json) -> str | tuple[str, ...]:
    projection = one.get("Projection") or {}
    kind = projection.get("ProjectionType", ALL)
    return kind if kind in {ALL, KEYS_ONLY} else tuple(projection.get("NonKeyAttributes", ()))


# Checks


def check_creation(request: Json) -> None:
    """Raise ``WireError`` unless a table can be made of this request."""
    name = request.get("TableName", "")
    if not 3 <= len(name) <= 255:
        short = len(name) < 3
        raise invalid(
            f"1 validation error detected: Value '{name}' at 'tableName' failed to satisfy constraint: "
            f"Member must have length {'greater' if short else 'less'} than or equal to {3 if short else 255}"
        )
    if not _NAME.fullmatch(name) or name == CATALOG.name:
        raise invalid(
            f"1 validation error detected: Value '{name}' at 'tableName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
        )
    for path, schema in _schemas(request):
        _check_schema(path, schema)
    check_throughput(request)
    for kind in (GLOBAL, LOCAL):
        if request.get(kind) == []:
            raise bad_parameter(f"List of {kind} is empty", static=True)
    if request.get(LOCAL) and len(request["KeySchema"]) < 2:
        raise bad_parameter(
            "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex", static=True
        )
    check_attributes(request)


def _schemas(request: Json) -> Iterator[tuple[str, list[Json]]]:
    yield "keySchema", request.get("KeySchema") or []
    for kind, path in _PATHS.items():
        for number, one in enumerate(request.get(kind) or (), 1):
            yield f"{path}.{number}.member.keySchema", one["KeySchema"]


def _check_schema(path: str, schema: list[Json]) -> None:
    for number, one in enumerate(schema, 1):
        if one["KeyType"] not in {"HASH", "RANGE"}:
            raise invalid(
                f"1 validation error detected: Value '{one['KeyType']}' at '{path}.{number}.member.keyType' failed to satisfy "
                "constraint: Member must satisfy enum value set: [HASH, RANGE]"
            )
    most = 8 if path.startswith("global") else 2
    if len(schema) > most:
        raise invalid(
            f"1 validation error detected: Value '[{', '.join(_shown_key(one) for one in schema)}]' at '{path}' failed to "
            f"satisfy constraint: Member must have length less than or equal to {most}"
        )
    if not schema or schema[0]["KeyType"] != "HASH":
        raise invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if most == 2 and len(schema) == 2 and schema[1]["KeyType"] != "RANGE":
        raise invalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")


def _shown_key(one: Json) -> str:
    return f"KeySchemaElement(attributeName={one['AttributeName']}, keyType={one['KeyType']})"


def check_throughput(request: Json) -> None:
    """The two ways of paying exclude each other."""
    throughput = request.get("ProvisionedThroughput")
    if request.get("BillingMode") == "PAY_PER_REQUEST":
        if throughput:
            raise bad_parameter(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
                static=True,
            )
    elif not throughput:
        raise bad_parameter(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED", static=True
        )


def check_attributes(request: Json) -> None:
    """Every key is declared, and nothing else is."""
    declared = sorted(one["AttributeName"] for one in request.get("AttributeDefinitions") or ())
    used = sorted({one["AttributeName"] for _, schema in _schemas(request) for one in schema})
    missing = [name for name in used if name not in declared]
    has_indexes = request.get(GLOBAL) or request.get(LOCAL)
    if missing and not has_indexes and len(used) == 2 and len(declared) == 1:
        raise invalid("Invalid KeySchema: Some index key attribute have no definition")
    if missing:
        raise bad_parameter(
            "Some index key attributes are not defined in AttributeDefinitions. "
            f"Keys: [{', '.join(missing)}], AttributeDefinitions: [{', '.join(declared)}]",
            static=True,
        )
    if len(declared) == len(used):
        return
    if not has_indexes:
        raise bad_parameter(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions",
            static=True,
        )
    raise bad_parameter(
        "Some AttributeDefinitions are not used. "
        f"AttributeDefinitions: [{', '.join(declared)}], keys used: [{', '.join(used)}]",
        static=True,
    )
