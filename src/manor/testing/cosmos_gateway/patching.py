"""What a PATCH does to a document. Source: "Partial document update in Azure Cosmos DB", learn.microsoft.com."""

from __future__ import annotations

import copy
from typing import Any

from manor.testing.cosmos_gateway.answers import NotKnown, bad

OPERATIONS = 10


def patched(document: dict[str, Any], operations: list[dict[str, Any]], fixed: set[str]) -> dict[str, Any]:
    """A new document. ``fixed`` are the names at the top that cannot change. Raises ``Answer`` 400."""
    if not 0 < len(operations) <= OPERATIONS:
        raise bad(f"a patch has {len(operations)} operations")
    fresh = copy.deepcopy(document)
    for operation in operations:
        parts = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].removeprefix("/").split("/")]
        if parts[0] in fixed:
            raise bad(f"{parts[0]} cannot be patched")
        _apply(fresh, operation, parts)
    return fresh


def _apply(document: dict[str, Any], operation: dict[str, Any], parts: list[str]) -> None:
    parent = _parent(document, parts)
    match operation["op"]:
        case "add" | "set":
            _put(parent, parts[-1], operation["value"], insert=operation["op"] == "add")
        case "replace":
            _need(parent, parts[-1])
            _put(parent, parts[-1], operation["value"], insert=False)
        case "remove":
            _need(parent, parts[-1])
            del parent[_place(parent, parts[-1])]
        case "incr" | "increment":
            _count(parent, parts[-1], operation["value"])
        case "move":
            _move(document, operation, parent, parts[-1])
        case other:
            raise NotKnown(f"the patch operation {other}")


def _parent(document: Any, parts: list[str]) -> Any:
    for part in parts[:-1]:
        _need(document, part)
        document = document[_place(document, part)]
    if type(document) not in {dict, list}:
        raise bad("the path of a patch leads into a value")
    return document


def _place(parent: Any, part: str) -> Any:
    if type(parent) is list:
        if not part.isdecimal():
            raise bad(f"{part!r} is no position")
        return int(part)
    return part


def _need(parent: Any, part: str) -> None:
    if type(parent) is dict and part in parent:
        return
    if type(parent) is not list or _place(parent, part) >= len(parent):
        raise bad(f"there is nothing at {part!r}")


def _put(parent: Any, part: str, value: Any, *, insert: bool) -> None:
    if type(parent) is dict:
        parent[part] = value
        return
    place = len(parent) if part == "-" else _place(parent, part)
    if place > len(parent):
        raise bad(f"position {place} is behind the end")
    if insert or place == len(parent):
        parent.insert(place, value)
    else:
        parent[place] = value


def _count(parent: Any, part: str, step: Any) -> None:
    place = _place(parent, part)
    before = parent.get(place, 0) if type(parent) is dict else parent[place]
    if type(before) not in {int, float} or type(step) not in {int, float}:
        raise bad("only numbers are incremented")
    total = before + step
    parent[place] = float(total) if abs(total) > 2**53 else total


def _move(document: Any, operation: dict[str, Any], parent: Any, part: str) -> None:
    source = operation["from"].removeprefix("/").split("/")
    holder = _parent(document, source)
    _need(holder, source[-1])
    _put(parent, part, holder.pop(_place(holder, source[-1])), insert=True)
