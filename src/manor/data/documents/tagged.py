"""Values with their types, in DynamoDB's JSON: ``{"S": "x"}``, ``{"N": "1"}``, ``{"B": "AA=="}``. Exact both ways."""

from __future__ import annotations

import base64
import json
from typing import Any, TypeAlias

from manor.data.documents import numbers
from manor.data.documents.faults import ValueRefused
from manor.data.documents.limits import NESTING
from manor.data.documents.values import Item, Value, admit, type_of

Tagged: TypeAlias = dict[str, Any]


def to_tagged(value: Value) -> Tagged:
    """An admitted value with its type. Sets are sorted, so equal values have equal texts."""
    kind = type_of(value)
    match kind:
        case "NULL":
            return {kind: True}
        case "L":
            return {kind: [to_tagged(element) for element in value]}
        case "M":
            return {kind: item_to_tagged(value)}
        case "SS" | "NS" | "BS":
            return {kind: [_scalar(kind[0], element) for element in sorted(value)]}
        case _:
            return {kind: _scalar(kind, value)}


def _scalar(kind: str, value: Value) -> Any:
    if kind == "N":
        return numbers.number_text(value)
    return base64.b64encode(value).decode() if kind == "B" else value


def item_to_tagged(item: Item) -> Tagged:
    """An item, each of its values with its type."""
    return {name: to_tagged(element) for name, element in item.items()}


def from_tagged(tagged: Any) -> Value:
    """The value, admitted. Raises ``ValueRefused`` for what is not of this form."""
    return admit(_plain(tagged, 0))


def item_from_tagged(tagged: Any) -> Item:
    """The item, admitted. Raises ``ValueRefused``."""
    if not isinstance(tagged, dict):
        raise ValueRefused("an item is an object of typed values")
    return {name: from_tagged(value) for name, value in tagged.items()}


def _plain(tagged: Any, depth: int) -> Any:
    if depth > NESTING + 1:
        raise ValueRefused(f"lists and maps stand more than {NESTING} deep in each other")
    if not isinstance(tagged, dict) or len(tagged) != 1:
        raise ValueRefused('a typed value is an object with one name, such as {"S": "text"}')
    (kind, content), *_ = tagged.items()
    try:
        return _read(kind, content, depth)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueRefused(f"the content of {kind} is of another kind") from error


def _read(kind: str, content: Any, depth: int) -> Any:
    match kind:
        case "S":
            return _expect(str, content)
        case "N":
            return numbers.parse_number(_expect(str, content))
        case "B":
            return base64.b64decode(content, validate=True)
        case "BOOL":
            return _expect(bool, content)
        case "NULL":
            return None
        case "L":
            return [_plain(element, depth + 1) for element in content]
        case "M":
            return {name: _plain(element, depth + 1) for name, element in content.items()}
        case "SS" | "NS" | "BS":
            return {_read(kind[0], element, depth) for element in _expect(list, content)}
    raise ValueRefused(f"there is no type {kind}")


def _expect(kind: type, content: Any) -> Any:
    if not isinstance(content, kind):
        raise TypeError(kind.__name__)
    return content


def text_of(tagged: Any) -> str:
    """Compact JSON, the same for equal values."""
    return json.dumps(tagged, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
